# Golden cases of single operations, of blocks, of a node, of optimisers and of the loss.
import copy

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from golden_file import Case, Family
from operations import (
    PRIMITIVES,
    AuxiliaryHead,
    FactorizedReduce,
    ReLUConvNorm,
    cifar_stem,
    imagenet_stem0,
    imagenet_stem1,
    make_operation,
)


def probed(module: nn.Module, values: dict[str, Tensor]) -> dict[str, Tensor]:
    """One input, one output; the loss is its sum weighted with a fixed random probe."""
    output = module(values["x"])
    return {"y": output, "loss": (output * values["probe"]).sum()}


def record_block(case: Case, module: nn.Module, shape: tuple[int, ...], training: bool) -> None:
    case.randomise(module).train(training)
    x = case.noise("input.x", shape, 2.0)
    with torch.no_grad():
        output_shape = copy.deepcopy(module)(x).shape
    case.record(module, probed, {"x": x}, {"probe": case.noise("input.probe", output_shape, 1.0)})


def operators() -> Family:
    """Every primitive; names are OPERATION-strideS-FLAVOUR[-HxW]."""
    family = Family("operators")
    # affine: one-stage and evaluation networks; fixed: two-stage super-net; plain: no batch norm after pool and identity
    flavours = {
        "affine": dict(affine=True, norm_pool=True, norm_identity=True),
        "fixed": dict(affine=False, norm_pool=True, norm_identity=False),
        "plain": dict(affine=True, norm_pool=False, norm_identity=False),
    }
    variants = [("affine", True, (2, 4, 8, 6)), ("affine", False, (2, 4, 8, 6))]
    variants += [("fixed", True, (2, 4, 8, 6)), ("affine", True, (3, 6, 5, 7))]
    for operation in PRIMITIVES:
        is_pool, is_skip = operation.endswith("pool_3x3"), operation == "skip_connect"
        for stride in (1, 2):
            plain = [("plain", True, (2, 4, 8, 6))] if is_pool or (is_skip and stride == 1) else []
            for flavour, training, shape in variants + plain:
                if is_skip and (shape[2] % 2 and stride == 2 or flavour == "fixed" and stride == 1):
                    continue  # odd maps cannot be halved by two convolutions; the fixed identity is the plain one

                def build(case: Case) -> None:
                    module = make_operation(operation, shape[1], stride, **flavours[flavour])
                    record_block(case, module, shape, training)

                mode = "train" if training else "eval"
                description = dict(
                    operation=operation, stride=stride, training=training, shape=shape, **flavours[flavour]
                )
                family.add(f"{operation}-s{stride}-{flavour}-{mode}-{shape[2]}x{shape[3]}", description, build)
    return family


def blocks() -> Family:
    """Preprocessing, stems, auxiliary heads."""
    family = Family("blocks")
    makers = {
        "relu_conv_norm": (lambda: ReLUConvNorm(16, 4, True), (2, 16, 8, 6)),
        "relu_conv_norm_fixed": (lambda: ReLUConvNorm(12, 5, False), (2, 12, 5, 7)),
        "factorized_reduce": (lambda: FactorizedReduce(16, 6, True), (2, 16, 8, 6)),
        "factorized_reduce_fixed": (lambda: FactorizedReduce(8, 4, False), (2, 8, 4, 4)),
        "cifar_stem": (lambda: cifar_stem(3, 12), (2, 3, 8, 6)),
        "cifar_stem_grey": (lambda: cifar_stem(1, 6), (2, 1, 8, 8)),
        "imagenet_stem0": (lambda: imagenet_stem0(3, 8), (2, 3, 16, 12)),
        "imagenet_stem1": (lambda: imagenet_stem1(8), (2, 8, 8, 6)),
        "auxiliary_head_cifar": (lambda: AuxiliaryHead(16, 10, imagenet=False), (8, 16, 8, 8)),
        "auxiliary_head_imagenet": (lambda: AuxiliaryHead(16, 5, imagenet=True), (8, 16, 7, 7)),
    }
    for block, (make, shape) in makers.items():
        for training in (True, False):
            description = dict(block=block.removesuffix("_fixed"), training=training, shape=shape)
            name = f"{block}-{'train' if training else 'eval'}"
            family.add(name, description, lambda case: record_block(case, make(), shape, training))
    return family


class Node(nn.Module):
    """A weighted, masked sum of operations, as in a cell."""

    def __init__(self, connections: list[tuple[int, str, int]], channels: int, flags: dict[str, bool]):
        super().__init__()
        self.inputs = [source for source, _, _ in connections]
        self.operations = nn.ModuleList(
            make_operation(name, channels, stride, **flags) for _, name, stride in connections
        )

    def forward(self, inputs: list[Tensor], weights: Tensor | None, masks: list[Tensor | None]) -> Tensor:
        total = 0
        for k, operation in enumerate(self.operations):
            out = operation(inputs[self.inputs[k]])
            if masks[k] is not None:
                out = out * masks[k].view(-1, 1, 1, 1)
            total = total + (out if weights is None else weights[k] * out)
        return total


def nodes() -> Family:
    """Sums of operations with search weights, with drop-path masks, with both; an input used twice; all primitives."""
    family = Family("nodes")
    one_stage = dict(affine=True, norm_pool=True, norm_identity=True)
    two_stage = dict(affine=False, norm_pool=True, norm_identity=False)
    plain = dict(affine=True, norm_pool=False, norm_identity=False)
    everything = [(k % 3, name, 1) for k, name in enumerate(PRIMITIVES)]
    reducing = [(0, "skip_connect", 2), (1, "sep_conv_5x5", 2), (2, "dil_conv_3x3", 1)]
    for name, flags, connections, weighted, masked, training in (
        ("two-stage-pair", two_stage, [(0, "sep_conv_3x3", 1), (1, "skip_connect", 1)], True, False, True),
        ("two-stage-same-input", two_stage, [(0, "max_pool_3x3", 1), (0, "dil_conv_5x5", 1)], True, False, True),
        ("two-stage-all", two_stage, everything, True, False, True),
        ("one-stage-all", one_stage, everything, True, False, True),
        ("one-stage-all-masks", one_stage, everything, True, True, True),
        ("one-stage-all-eval", one_stage, everything, True, False, False),
        ("two-stage-reduction", two_stage, reducing, True, False, True),
        ("evaluation-masks", plain, everything, False, True, True),
        ("evaluation-reduction-masks", plain, reducing, False, True, True),
        ("evaluation-eval", plain, everything, False, False, False),
        ("single-branch", plain, [(0, "avg_pool_3x3", 1)], True, False, True),
    ):

        def build(case: Case) -> None:
            batch, channels, height, width = 4, 4, 6, 8
            module = case.randomise(Node(connections, channels, flags)).train(training)
            inputs, constants, spared = {}, {}, set()
            for k, (source, operation, stride) in enumerate(connections):
                size = (batch, channels, height * stride, width * stride)
                if f"x.{source}" not in inputs:
                    inputs[f"x.{source}"] = case.noise(f"input.x.{source}", size, 2.0)
                if masked and not (operation == "skip_connect" and stride == 1):
                    keep = torch.tensor([1.0, 0.0, 1.0, 1.0])[torch.randperm(batch, generator=case.generator)]
                    constants[f"mask.{k}"] = keep / 0.75
            if weighted:
                inputs["weights"] = case.normal(len(connections))
            constants["probe"] = case.normal(batch, channels, height, width)

            def compute(module: Node, values: dict[str, Tensor]) -> dict[str, Tensor]:
                sources = {int(key[2:]): tensor for key, tensor in values.items() if key.startswith("x.")}
                masks = [values.get(f"mask.{k}") for k in range(len(connections))]
                output = module(sources, values.get("weights"), masks)
                return {"y": output, "loss": (output * values["probe"]).sum()}

            case.record(module, compute, inputs, constants)

        description = dict(connections=connections, weighted=weighted, masked=masked, training=training, **flags)
        family.add(name, description, build)
    return family


def optimisers() -> Family:
    """Three steps with given gradients: SGD with momentum, decay and clipping; Adam as b uses it."""
    family = Family("optimisers")
    shapes = {"p0": (3, 4), "p1": (5,), "p2": (2, 1, 3, 3)}
    sgd = dict(momentum=0.9, weight_decay=3e-4)
    adam = dict(betas=(0.5, 0.999), weight_decay=1e-3, eps=1e-8)
    for name, kind, options, clip, rates in (
        ("sgd", torch.optim.SGD, sgd, None, (0.1, 0.1, 0.1)),
        ("sgd-clip-schedule", torch.optim.SGD, sgd, 5.0, (0.1, 0.05, 0.001)),
        ("sgd-plain", torch.optim.SGD, dict(momentum=0.0, weight_decay=0.0), 5.0, (0.1, 0.1, 0.1)),
        ("adam", torch.optim.Adam, adam, None, (6e-4, 6e-4, 6e-4)),
        ("adam-schedule", torch.optim.Adam, adam, None, (0.1, 0.02, 0.003)),
    ):

        def build(case: Case) -> None:
            start = {key: case.normal(*shape) for key, shape in shapes.items()}
            # the middle gradient is small, so that clipping leaves it alone
            gradients = [{key: case.normal(*shape, scale=s) for key, shape in shapes.items()} for s in (3, 0.3, 2)]

            def run(dtype: torch.dtype) -> dict[str, Tensor]:
                parameters = {key: tensor.to(dtype, copy=True).requires_grad_() for key, tensor in start.items()}
                optimizer, results = kind(parameters.values(), lr=rates[0], **options), {}
                for step, rate in enumerate(rates):
                    optimizer.param_groups[0]["lr"] = rate
                    for key, parameter in parameters.items():
                        parameter.grad = gradients[step][key].to(dtype, copy=True)  # clipping happens in place
                    limit = float("inf") if clip is None else clip
                    results[f"output.norm.{step}"] = nn.utils.clip_grad_norm_(parameters.values(), limit)
                    optimizer.step()
                    for key, parameter in parameters.items():
                        results[f"after.{step}.parameter.{key}"] = parameter.detach().clone()
                return results

            exact = run(torch.float64)
            case.compare(exact, run(torch.float32))
            case.store_results({f"parameter.{key}": tensor for key, tensor in start.items()})
            for step, values in enumerate(gradients):
                case.store_results({f"input.gradient.{step}.{key}": tensor for key, tensor in values.items()})
            case.store_results(exact)

        description = dict(optimiser=kind.__name__, clip=clip, learning_rates=rates, **options)
        family.add(name, description, build)
    return family


def losses() -> Family:
    """Mean cross entropy, with and without label smoothing, at ordinary and at huge logits."""
    family = Family("losses")
    for name, smoothing, classes, scale in (
        ("plain", 0.0, 10, 2.0),
        ("smoothed", 0.1, 10, 2.0),
        ("smoothed-1000", 0.1, 1000, 1.0),
        ("huge", 0.0, 4, 300.0),
    ):

        def build(case: Case) -> None:
            def compute(_: nn.Module, values: dict[str, Tensor]) -> dict[str, Tensor]:
                return {"loss": cross_entropy(values["logits"], values["labels"], label_smoothing=smoothing)}

            logits = case.normal(4, classes, scale=scale)
            case.record(nn.Identity(), compute, {"logits": logits}, {"labels": case.labels(4, classes)})

        family.add(name, dict(label_smoothing=smoothing), build)
    return family
