# Golden cases of NAS-Bench-201: evaluation networks, super-nets of both forms, steps of the two-stage search, sizes.
import random

from torch import nn

from golden_file import Case, Family, Table
from ista_nas import count_mult_adds, count_parameters, random_codes
from nas_bench_201 import (
    CANDIDATES,
    NODES,
    OPERATIONS,
    EvaluationNetwork,
    SuperNet,
    support_of_text,
    text_of_connections,
)
from network_cases import Search, record, record_steps
from steps import SearchStep

# Every operation is on every edge of one of them. In "dead-ends", node 1 is zeros and nothing takes up node 2.
ARCHITECTURES = {
    "mixed": "|nor_conv_3x3~0|+|skip_connect~0|nor_conv_1x1~1|+|avg_pool_3x3~0|none~1|nor_conv_3x3~2|",
    "pool-first": "|avg_pool_3x3~0|+|nor_conv_1x1~0|nor_conv_3x3~1|+|none~0|skip_connect~1|avg_pool_3x3~2|",
    "dead-ends": "|none~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_1x1~1|none~2|",
    "skip-first": "|skip_connect~0|+|avg_pool_3x3~0|none~1|+|nor_conv_1x1~0|nor_conv_3x3~1|skip_connect~2|",
    "narrow": "|nor_conv_1x1~0|+|none~0|skip_connect~1|+|nor_conv_3x3~0|avg_pool_3x3~1|nor_conv_1x1~2|",
}
# What follows "mixed" in a trajectory: nodes 2 and 3 change.
NEXT = "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_1x1~1|+|nor_conv_1x1~0|skip_connect~1|avg_pool_3x3~2|"


def make_search(case: Case, architecture: str, training: bool, frozen=None, later=None, **options) -> Search:
    """Random weights and codes; the operations that a `later` architecture needs exist from the start."""
    supports = support_of_text(architecture)
    network = SuperNet(supports, **options)
    if later is not None:
        network.set_supports(support_of_text(later))
        network.set_supports(supports)
    case.randomise(network)
    codes = random_codes(case.generator, supports=supports, candidates=CANDIDATES)
    if options["one_stage"]:
        for node in set(range(NODES)) - set(frozen):
            for norm in network.final_norms(node):
                nn.init.ones_(norm.weight)
                nn.init.zeros_(norm.bias)
    return Search(network, {"cell": codes}, {"cell": frozen or []}).train(training)


def supernet_description(architecture: str, training: bool, options: dict) -> dict:
    supports = {"cell": support_of_text(architecture)}
    return dict(network="super-net", architecture=architecture, supports=supports, training=training, **options)


def networks() -> Family:
    family = Family("nas-bench-201", compact=True)
    add_evaluations(family)
    add_supernets(family)
    add_trajectories(family)
    return family


def add_evaluations(family: Family) -> None:
    small, wide = dict(n=1, channels=2, classes=5), dict(n=2, channels=4, classes=3)
    for name, training, normalised, size, shape in (
        *((name, True, False, 8, small) for name in ARCHITECTURES),
        *((name, True, True, 8, small) for name in ("mixed", "dead-ends", "narrow")),
        ("mixed", False, False, 8, small),
        ("narrow", False, True, 8, small),
        ("pool-first", True, False, 16, wide),
    ):

        def build(case: Case) -> None:
            network = EvaluationNetwork(ARCHITECTURES[name], **shape, normalised=normalised)
            case.randomise(network).train(training)
            case.notes["parameters"] = count_parameters(network)
            case.notes["mult_adds"] = count_mult_adds(network, size)
            record(case, network, 4, size, shape["classes"], {})

        form, mode = "norms" if normalised else "plain", "train" if training else "eval"
        title = f"{form}-{name}-{mode}" + ("-wide" if shape is wide else "")
        description = dict(network="evaluation", architecture=ARCHITECTURES[name], normalised=normalised)
        family.add(title, dict(description, training=training, **shape), build)


def add_supernets(family: Family) -> None:
    small, wide = dict(n=1, channels=2, classes=5), dict(n=2, channels=4, classes=3)
    for title, name, training, frozen, size, shape in (
        ("two-stage-mixed-train", "mixed", True, None, 8, small),
        ("two-stage-skip-first-train", "skip-first", True, None, 8, small),
        ("two-stage-pool-first-eval", "pool-first", False, None, 8, small),
        ("two-stage-mixed-train-wide", "mixed", True, None, 16, wide),
        ("one-stage-mixed-train", "mixed", True, [], 8, small),
        ("one-stage-partly-frozen-train", "pool-first", True, [1], 8, small),
        ("one-stage-frozen-train", "narrow", True, [0, 1, 2], 8, small),
        ("one-stage-frozen-eval", "mixed", False, [0, 1, 2], 8, small),
    ):
        architecture, options = ARCHITECTURES[name], dict(shape, one_stage=frozen is not None)

        def build(case: Case) -> None:
            record(case, make_search(case, architecture, training, frozen, **options), 4, size, shape["classes"], {})

        description = supernet_description(architecture, training, options)
        family.add(title, description if frozen is None else dict(description, frozen={"cell": frozen}), build)


def add_trajectories(family: Family) -> None:
    rates = dict(lr=0.1, momentum=0.9, weight_decay=3e-4, clip=2.0, code_lr=0.01, code_weight_decay=1e-3)
    options, steps, recovery_after = dict(n=1, channels=4, classes=5, one_stage=False), 5, 3
    for title, changing in (("trajectory-fixed-support", False), ("trajectory-changing-support", True)):

        def build(case: Case) -> None:
            search = make_search(case, ARCHITECTURES["mixed"], True, later=NEXT if changing else None, **options)
            recovered = random_codes(case.generator, supports=support_of_text(NEXT), candidates=CANDIDATES)
            record_steps(
                case, search, lambda copied: SearchStep(copied.network, *copied.codes(), **rates),
                batch=8, size=8, classes=options["classes"], steps=steps,
                recovery=(recovery_after, [recovered]) if changing else None,
            )  # fmt: skip

        description = dict(supernet_description(ARCHITECTURES["mixed"], True, options), steps=steps, **rates)
        if changing:
            description |= dict(recovery_after=recovery_after, next_supports={"cell": support_of_text(NEXT)})
        family.add(title, description, build)


def sizes(count: int = 50) -> Table:
    """Parameters and mult-adds of architectures drawn evenly, in networks of several shapes."""
    draw, cases = random.Random(201), []
    for _ in range(count):
        text = text_of_connections([[(p, draw.choice(OPERATIONS)) for p in range(node + 1)] for node in range(NODES)])
        shape = dict(channels=draw.choice([2, 3, 8, 16]), n=draw.choice([1, 2, 5]), classes=draw.choice([10, 100, 120]))
        size = draw.choice([8, 16, 32])
        plain, normalised = (EvaluationNetwork(text, **shape, normalised=flag) for flag in (False, True))
        cases.append(dict(
            architecture=text, **shape, image_size=size, parameters=count_parameters(plain),
            normalised_parameters=count_parameters(normalised), mult_adds=count_mult_adds(plain, size),
        ))  # fmt: skip
    return Table("nas-bench-201-sizes", cases)
