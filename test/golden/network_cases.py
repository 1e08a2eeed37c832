# Golden cases of whole networks: super-nets, evaluation networks, and the two-stage search loop.
import copy
import re

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from genotypes import ISTA_IMAGENET, ISTA_ONESTAGE, ISTA_TWOSTAGE, Genotype
from golden_file import Case, Family, Tensors, state
from ista_nas import (
    AUXILIARY_WEIGHT,
    EvaluationNetwork,
    SparseCodes,
    SuperNet,
    count_mult_adds,
    count_parameters,
    random_codes,
    support_of_genotype,
)
from steps import SearchStep

# Every primitive occurs in both cell types, at both strides where it can, and a node uses one predecessor twice.
SUPERNET_CELLS = Genotype(
    normal=[("max_pool_3x3", 0), ("skip_connect", 1), ("sep_conv_3x3", 0), ("dil_conv_5x5", 2)]
    + [("avg_pool_3x3", 3), ("sep_conv_5x5", 1), ("skip_connect", 0), ("dil_conv_3x3", 4)],
    reduce=[("skip_connect", 0), ("sep_conv_5x5", 1), ("dil_conv_3x3", 0), ("max_pool_3x3", 1)]
    + [("avg_pool_3x3", 0), ("dil_conv_5x5", 2), ("max_pool_3x3", 1), ("sep_conv_3x3", 1)],
)
SUPPORTS = [support_of_genotype(cell) for cell in SUPERNET_CELLS]
# The next epoch's supports: nodes 1 and 3 of the normal cell and node 0 of the reduction cell have changed.
NEXT_SUPPORTS = [
    [SUPPORTS[0][0], [2, 10], SUPPORTS[0][2], [12, 27]],
    [[1, 3], *SUPPORTS[1][1:]],
]


class Search(nn.Module):
    """A super-net with the codes of its cell types; some nodes may be frozen, which makes constants of their weights."""

    def __init__(self, network: nn.Module, codes: dict[str, SparseCodes], frozen: dict[str, list[int]] | None = None):
        super().__init__()
        self.network, self.kinds, self.frozen = network, list(codes), frozen or {}
        for kind, part in codes.items():
            self.add_module(kind, part)

    def codes(self) -> list[SparseCodes]:
        return [self.get_submodule(kind) for kind in self.kinds]

    def weights(self) -> list[list[Tensor]]:
        return [
            [w.detach() if node in self.frozen.get(kind, ()) else w for node, w in enumerate(codes.weights())]
            for kind, codes in zip(self.kinds, self.codes())
        ]


def classification(module: nn.Module, values: Tensors) -> Tensors:
    """Logits of both heads, search weights, and the loss: cross entropy, plus 0.4 times the auxiliary one."""
    outputs = {}
    if isinstance(module, Search):
        weights = module.weights()
        for kind, per_node in zip(module.kinds, weights):
            outputs |= {f"{kind}.w.{node}": w for node, w in enumerate(per_node)}
        logits, auxiliary_logits = module.network(values["images"], *weights)
    elif "masks" in values:
        logits, auxiliary_logits = module(values["images"], unflatten_masks(module, values["masks"]))
    else:
        logits, auxiliary_logits = module(values["images"])
    loss = cross_entropy(logits, values["labels"])
    if auxiliary_logits is not None:
        outputs["auxiliary_logits"] = auxiliary_logits
        loss = loss + AUXILIARY_WEIGHT * cross_entropy(auxiliary_logits, values["labels"])
    return {"logits": logits, "loss": loss, **outputs}


def unflatten_masks(network: EvaluationNetwork, masks: Tensor) -> list:
    """From [cells, branches, N] to a list per cell, node and branch; identities get None."""
    result = []
    for cell, rows in zip(network.cells, masks):
        rows = iter(rows)
        result.append([
            [None if cell.spared_by_drop_path(node, k) else row for k, row in zip(range(len(pairs)), rows)]
            for node, pairs in enumerate(cell.connections)
        ])  # fmt: skip
    return result


def flatten_masks(masks: list, batch: int) -> Tensor:
    ones = torch.ones(batch)
    return torch.stack([
        torch.stack([ones if mask is None else mask for node in cell for mask in node]) for cell in masks
    ])  # fmt: skip


def record(case: Case, module: nn.Module, batch: int, size: int, classes: int, constants: Tensors) -> None:
    images = case.noise("input.images", (batch, 3, size, size), 1.7)
    case.record(module, classification, {"images": images}, {"labels": case.labels(batch, classes), **constants})


def make_search(case: Case, training: bool, frozen=((), ()), later=None, **options) -> Search:
    """Random weights and codes; with `later` supports, the operations that they will need exist from the start."""
    network = SuperNet(*SUPPORTS, **options)
    if later is not None:
        network.set_supports(*later)
        network.set_supports(*SUPPORTS)
    case.randomise(network)
    codes = [random_codes(case.generator, supports=supports) for supports in SUPPORTS]
    if options.get("one_stage"):
        for reduction, nodes in zip((False, True), frozen):
            for node in set(range(4)) - set(nodes):
                for norm in network.final_norms(reduction, node):
                    nn.init.ones_(norm.weight)
                    nn.init.zeros_(norm.bias)
    return Search(network, kinds(codes), kinds(frozen)).train(training)


def supernet_description(options: dict, training: bool) -> dict:
    return dict(network="super-net", supports=kinds(SUPPORTS), training=training, **options)


def kinds(pair) -> dict:
    return dict(zip(("normal", "reduction"), pair))


def two_stage() -> Family:
    """The two-stage super-net: logits, loss, gradients of all weights and of b."""
    family = Family("two-stage")
    for name, training, batch, size, options in (
        ("normal-only-train", True, 4, 8, dict(channels=4, cells=3, classes=10, reductions=[])),
        ("full-train", True, 4, 16, dict(channels=4, cells=5, classes=10, reductions=[1, 3])),
        ("full-eval", False, 4, 16, dict(channels=4, cells=5, classes=10, reductions=[1, 3])),
        ("eight-cells-train", True, 6, 8, dict(channels=2, cells=8, classes=3, reductions=[2, 5])),
    ):

        def build(case: Case) -> None:
            record(case, make_search(case, training, **options), batch, size, options["classes"], {})

        family.add(name, supernet_description(options, training), build)
    return family


def one_stage() -> Family:
    """The one-stage super-net with its auxiliary head: while searching, with some nodes frozen, with all frozen."""
    family = Family("one-stage")
    shape = dict(channels=4, cells=4, classes=10, reductions=[1, 2], one_stage=True)
    for name, training, size, auxiliary, frozen in (
        ("search-train", True, 32, True, [[], []]),
        ("partly-frozen-train", True, 32, True, [[0, 2], [1]]),
        ("frozen-train", True, 16, False, [[0, 1, 2, 3], [0, 1, 2, 3]]),
        ("frozen-eval", False, 16, False, [[0, 1, 2, 3], [0, 1, 2, 3]]),
    ):
        options = dict(shape, auxiliary=auxiliary)

        def build(case: Case) -> None:
            search = make_search(case, training, frozen, **options)
            record(case, search, 8, size, options["classes"], {})

        family.add(name, dict(supernet_description(options, training), frozen=kinds(frozen)), build)
    return family


def evaluation() -> Family:
    """Networks of the published cells: CIFAR, plain and with norms after pool and skip, and ImageNet."""
    family = Family("evaluation")
    plain, norms = dict(norm_pool_and_identity=False), dict(norm_pool_and_identity=True)
    cifar = dict(channels=4, cells=4, classes=10, imagenet=False)
    imagenet = dict(channels=4, cells=4, classes=7, imagenet=True)
    for name, cell, training, batch, size, drop_path, options in (
        ("plain-train", "ISTA_twostage", True, 4, 16, 0, dict(cifar, **plain, auxiliary=False)),
        ("plain-eval", "ISTA_twostage", False, 4, 16, 0, dict(cifar, **plain, auxiliary=False)),
        ("plain-drop-path-train", "ISTA_twostage", True, 4, 16, 0.2, dict(cifar, **plain, auxiliary=False)),
        ("plain-auxiliary-train", "ISTA_twostage", True, 8, 32, 0, dict(cifar, **plain, auxiliary=True)),
        ("norms-train", "ISTA_onestage", True, 4, 16, 0, dict(cifar, **norms, auxiliary=False)),
        ("norms-eval", "ISTA_onestage", False, 4, 16, 0, dict(cifar, **norms, auxiliary=False)),
        ("norms-auxiliary-train", "ISTA_onestage", True, 8, 32, 0, dict(cifar, **norms, auxiliary=True)),
        ("imagenet-train", "ISTA_ImageNet", True, 4, 64, 0, dict(imagenet, **plain, auxiliary=False)),
        ("imagenet-auxiliary-train", "ISTA_ImageNet", True, 2, 224, 0, dict(imagenet, **plain, auxiliary=True)),
        ("imagenet-norms-train", "ISTA_ImageNet", True, 4, 64, 0, dict(imagenet, **norms, auxiliary=False)),
    ):
        genotype = dict(ISTA_twostage=ISTA_TWOSTAGE, ISTA_onestage=ISTA_ONESTAGE, ISTA_ImageNet=ISTA_IMAGENET)[cell]

        def build(case: Case) -> None:
            network = case.randomise(EvaluationNetwork(genotype, **options)).train(training)
            case.notes["parameters"] = count_parameters(network)
            case.notes["mult_adds"] = count_mult_adds(network, size)
            constants = {}
            if drop_path:
                constants["masks"] = flatten_masks(network.drop_path_masks(batch, drop_path, case.generator), batch)
            record(case, network, batch, size, options["classes"], constants)

        description = dict(network="evaluation", genotype=cell, training=training, **options)
        family.add(name, description, build)
    return family


TRAINED = re.compile(r"parameter\.(\w+\.b|alpha\.\w+|beta\.\w+)\.")  # of the architecture
WATCHED = ("parameter.stem.0.weight", "parameter.classifier.weight", "buffer.stem.1.running_mean")


def record_steps(
    case: Case, search: nn.Module, make_stepper, *, batch, size, classes, steps, recovery=None, buffers=True
) -> None:
    """Stores a search, its batches, and what becomes of it in some steps of `make_stepper(search)`.

    `recovery` is the number of a step and the codes that the search goes on with from there. Without `buffers` the state
    after the last step is that of the parameters alone.
    """
    batches = {}
    for step in range(steps):
        for part in ("validation", "training"):
            key = f"input.{part}.images.{step}"
            batches[key] = case.noise(key, (batch, 3, size, size), 1.7)
            batches[f"input.{part}.labels.{step}"] = case.labels(batch, classes)

    def run(dtype: torch.dtype) -> Tensors:
        copied = copy.deepcopy(search).to(dtype)
        stepper, results = make_stepper(copied), {}
        for step in range(steps):
            if recovery is not None and step == recovery[0]:
                stepper.recover(*recovery[1])
            parts = [
                (batches[f"input.{part}.images.{step}"].to(dtype), batches[f"input.{part}.labels.{step}"])
                for part in ("validation", "training")
            ]
            validation_loss = stepper.codes_pass(*parts[0])
            training_loss, norm = stepper.weights_pass(*parts[1])
            numbers = dict(validation_loss=validation_loss, training_loss=training_loss, gradient_norm=norm)
            results |= {f"output.{key}.{step}": torch.tensor(x, dtype=dtype) for key, x in numbers.items()}
            for key, tensor in state(copied).items():
                if ".z" not in key and ".A" not in key:
                    last = step == steps - 1 and (buffers or key.startswith("parameter."))
                    if last or key in WATCHED or TRAINED.match(key):
                        results[f"after.{step}.{key}"] = tensor
        return results

    exact = run(torch.float64)
    case.compare(exact, run(torch.float32))
    case.store_results(state(search) | batches)
    if recovery is not None:
        for kind, codes in zip(search.kinds, recovery[1]):
            case.store_results({
                f"input.recovered.{kind}.z{node}": codes.get_buffer(f"z{node}") for node in range(len(codes.b))
            })  # fmt: skip
    case.store_results(exact)


def trajectory() -> Family:
    """Steps of the two-stage search: b by Adam on a validation batch, weights by clipped SGD on a training batch."""
    family = Family("trajectory")
    rates = dict(lr=0.1, momentum=0.9, weight_decay=3e-4, clip=2.0, code_lr=0.01, code_weight_decay=1e-3)
    steps, recovery_after = 5, 3
    options = dict(channels=4, cells=3, classes=10, reductions=[1, 2])
    for name, changing in (("fixed-support", False), ("changing-support", True)):

        def build(case: Case) -> None:
            search = make_search(case, True, later=NEXT_SUPPORTS if changing else None, **options)
            recovered = [random_codes(case.generator, supports=supports) for supports in NEXT_SUPPORTS]
            record_steps(
                case, search, lambda copied: SearchStep(copied.network, *copied.codes(), **rates),
                batch=8, size=8, classes=options["classes"], steps=steps,
                recovery=(recovery_after, recovered) if changing else None,
            )  # fmt: skip

        description = dict(supernet_description(options, True), steps=steps, **rates)
        if changing:
            description |= dict(recovery_after=recovery_after, next_supports=kinds(NEXT_SUPPORTS))
        family.add(name, description, build)
    return family
