# ISTA-NAS in PyTorch: sparse codes, cells, super-net, evaluation network, and their sizes.
"""An independent PyTorch form of ISTA-NAS (Yang et al. 2020, arXiv 2010.06176).

It is the yardstick of this project's benchmarks and the source of its golden tensors, written as a PyTorch user
would write it: one module per operation, autograd throughout, NCHW unless `.to(memory_format=torch.channels_last)`.
"""

from typing import Sequence

import torch
from torch import Tensor, nn

from genotypes import ISTA_IMAGENET, ISTA_ONESTAGE, ISTA_TWOSTAGE, Genotype
from operations import (
    PRIMITIVES,
    AuxiliaryHead,
    FactorizedReduce,
    ReLUConvNorm,
    cifar_stem,
    final_norm,
    imagenet_stem0,
    imagenet_stem1,
    make_operation,
)

STEPS = 4  # intermediate nodes of a cell
STEM_MULTIPLIER = 3
AUXILIARY_WEIGHT = 0.4


class SparseCodes(nn.Module):
    """The codes of one cell type: for node j a fixed matrix A_j [m, n_j], the trained b_j [m] and the sparse z_j [n_j].

    n_j = (j + 2) * |O|; connection i is operation i mod |O| on predecessor floor(i / |O|).
    """

    def __init__(self, measurements: Sequence[Tensor], compressed: Sequence[Tensor], codes: Sequence[Tensor]):
        super().__init__()
        self.b = nn.ParameterList(nn.Parameter(b.clone()) for b in compressed)
        for node, (measurement, code) in enumerate(zip(measurements, codes)):
            self.register_buffer(f"A{node}", measurement)
            self.register_buffer(f"z{node}", code)

    @property
    def supports(self) -> list[list[int]]:
        """Per node, the ascending indices of the nonzero entries of z."""
        return [self.get_buffer(f"z{node}").nonzero().flatten().tolist() for node in range(len(self.b))]

    def weights(self) -> list[Tensor]:
        """Per node w_S(b) = A_S^T b - E_SS z_S with E = A^T A - I: one step of ISTA from z, without the threshold."""
        result = []
        for node, support in enumerate(self.supports):
            active = self.get_buffer(f"A{node}")[:, support]
            code = self.get_buffer(f"z{node}")[support]
            gram_minus_identity = active.T @ active - torch.eye(len(support), dtype=active.dtype)
            result.append(active.T @ self.b[node] - gram_minus_identity @ code)
        return result


CANDIDATES = [(node + 2) * len(PRIMITIVES) for node in range(STEPS)]


def random_codes(
    generator: torch.Generator, m: int = 7, sparsity: int = 2, supports=None, candidates=CANDIDATES
) -> SparseCodes:
    """Gaussian A ~ N(0, 1/m), z on the given (or a random) support, and a b that A z does not quite explain."""
    measurements, compressed, codes = [], [], []
    for node, n in enumerate(candidates):
        support = torch.randperm(n, generator=generator)[:sparsity] if supports is None else supports[node]
        measurement = torch.randn(m, n, generator=generator) / m**0.5
        code = torch.zeros(n)
        code[support] = 0.5 + torch.rand(len(support), generator=generator)
        measurements.append(measurement)
        codes.append(code)
        compressed.append(measurement @ code + 0.05 * torch.randn(m, generator=generator))
    return SparseCodes(measurements, compressed, codes)


class Cell(nn.Module):
    """Four intermediate nodes, each a (weighted) sum of operations on earlier nodes; the output concatenates them."""

    def __init__(
        self, connections: list[list[tuple[int, str]]], older: int, newer: int, channels: int,
        reduction: bool, older_is_larger: bool, affine: bool,
    ):  # fmt: skip
        super().__init__()
        self.connections = connections  # per node: (predecessor, operation)
        self.channels = channels
        self.reduction = reduction
        preprocess0 = FactorizedReduce if older_is_larger else ReLUConvNorm
        self.preprocess0 = preprocess0(older, channels, affine)
        self.preprocess1 = ReLUConvNorm(newer, channels, affine)

    def stride(self, predecessor: int) -> int:
        return 2 if self.reduction and predecessor < 2 else 1

    def operation(self, node: int, branch: int) -> nn.Module:
        raise NotImplementedError

    def spared_by_drop_path(self, node: int, branch: int) -> bool:
        predecessor, name = self.connections[node][branch]
        return name == "skip_connect" and self.stride(predecessor) == 1

    def node(self, node: int, states: list[Tensor], weights, masks) -> Tensor:
        total = 0
        for branch, (predecessor, _) in enumerate(self.connections[node]):
            out = self.operation(node, branch)(states[predecessor])
            if masks is not None and masks[branch] is not None:
                out = out * masks[branch].view(-1, 1, 1, 1)
            if weights is not None:
                out = weights[branch] * out
            total = total + out
        return total

    def forward(self, older: Tensor, newer: Tensor, weights=None, masks=None) -> Tensor:
        """`weights[node]` [branches] scales the operations; `masks[node][branch]` [N] or None is the drop-path mask."""
        states = [self.preprocess0(older), self.preprocess1(newer)]
        for node in range(len(self.connections)):
            parts = [None if values is None else values[node] for values in (weights, masks)]
            states.append(self.node(node, states, *parts))
        return torch.cat(states[2:], dim=1)


class Edge(nn.Module):
    """The operations of a super-net that join one pair of nodes; only those that have been active exist."""

    def __init__(self):
        super().__init__()
        self._ops = nn.ModuleDict()


class SuperNetCell(Cell):
    share = 1  # of the channels, operations take the first 1 / share

    def __init__(self, *args, affine: bool, norm_identity: bool):
        super().__init__(*args, affine)
        self.flags = dict(affine=affine, norm_pool=True, norm_identity=norm_identity)
        self._ops = nn.ModuleDict()
        self.set_connections(self.connections)

    def set_connections(self, connections: list[list[tuple[int, str]]]) -> None:
        """Builds what is new; an operation that leaves keeps its weights and is taken up again when it returns."""
        self.connections = connections
        for node, pairs in enumerate(connections):
            for predecessor, name in pairs:
                edge, index = self._address(node, predecessor, name)
                if edge not in self._ops:
                    self._ops[edge] = Edge()
                operations = self._ops[edge]._ops
                if index not in operations:
                    channels, stride = self.channels // self.share, self.stride(predecessor)
                    operations[index] = make_operation(name, channels, stride, **self.flags)

    @staticmethod
    def _address(node: int, predecessor: int, name: str) -> tuple[str, str]:
        first_edge = sum(earlier + 2 for earlier in range(node))
        return str(first_edge + predecessor), str(PRIMITIVES.index(name))

    def operation(self, node: int, branch: int) -> nn.Module:
        edge, index = self._address(node, *self.connections[node][branch])
        return self._ops[edge]._ops[index]


class EvaluationCell(Cell):
    def __init__(self, *args, norm_pool_and_identity: bool):
        super().__init__(*args, affine=True)
        flags = dict(affine=True, norm_pool=norm_pool_and_identity, norm_identity=norm_pool_and_identity)
        self._ops = nn.ModuleList(
            make_operation(name, self.channels, self.stride(predecessor), **flags)
            for pairs in self.connections
            for predecessor, name in pairs
        )

    def operation(self, node: int, branch: int) -> nn.Module:
        return self._ops[sum(len(pairs) for pairs in self.connections[:node]) + branch]


def connections_of_support(supports: list[list[int]]) -> list[list[tuple[int, str]]]:
    count = len(PRIMITIVES)
    return [[(index // count, PRIMITIVES[index % count]) for index in support] for support in supports]


def support_of_genotype(cell: list[tuple[str, int]]) -> list[list[int]]:
    indices = [predecessor * len(PRIMITIVES) + PRIMITIVES.index(name) for name, predecessor in cell]
    return [sorted(indices[k : k + 2]) for k in range(0, len(indices), 2)]


def connections_of_genotype(cell: list[tuple[str, int]]) -> list[list[tuple[int, str]]]:
    pairs = [(predecessor, name) for name, predecessor in cell]
    return [pairs[k : k + 2] for k in range(0, len(pairs), 2)]


class Network(nn.Module):
    """What super-net and evaluation network share: stem, stack of cells, auxiliary head, classifier."""

    def _build(self, make_cell, channels, cells, classes, reductions, auxiliary, imagenet):
        if imagenet:
            self.stem0, self.stem1 = imagenet_stem0(3, channels), imagenet_stem1(channels)
            older = newer = channels
        else:
            self.stem = cifar_stem(3, STEM_MULTIPLIER * channels)
            older = newer = STEM_MULTIPLIER * channels
        self.imagenet = imagenet
        self.auxiliary_at = 2 * cells // 3
        self.cells = nn.ModuleList()
        older_is_larger = imagenet
        for index in range(cells):
            reduction = index in reductions
            if reduction:
                channels *= 2
            self.cells.append(make_cell(older, newer, channels, reduction, older_is_larger))
            older_is_larger = reduction
            older, newer = newer, STEPS * channels
            if auxiliary and index == self.auxiliary_at:
                self.auxiliary_head = AuxiliaryHead(newer, classes, imagenet)
        self.has_auxiliary = auxiliary
        self.classifier = nn.Linear(newer, classes)

    def _run(self, images: Tensor, run_cell) -> tuple[Tensor, Tensor | None]:
        if self.imagenet:
            older = self.stem0(images)
            newer = self.stem1(older)
        else:
            older = newer = self.stem(images)
        auxiliary_logits = None
        for index, cell in enumerate(self.cells):
            older, newer = newer, run_cell(index, cell, older, newer)
            if self.has_auxiliary and self.training and index == self.auxiliary_at:
                auxiliary_logits = self.auxiliary_head(newer)
        return self.classifier(newer.mean(dim=(2, 3))), auxiliary_logits


def default_reductions(cells: int) -> set[int]:
    return {cells // 3, 2 * cells // 3}


class SuperNet(Network):
    """Only the connections of the supports are built and run.

    Two-stage flavour (the default): batch norms of the cells not affine, none after the identity.
    One-stage flavour (`one_stage=True`): batch norms affine, one after pooling and identity too; `auxiliary` head.
    """

    Cell = SuperNetCell

    def __init__(
        self, normal_supports, reduction_supports, channels=16, cells=8, classes=10, *,
        one_stage=False, auxiliary=False, reductions=None,
    ):  # fmt: skip
        super().__init__()
        normal, reduce = connections_of_support(normal_supports), connections_of_support(reduction_supports)

        def make_cell(older, newer, width, reduction, older_is_larger):
            shape = (older, newer, width, reduction, older_is_larger)
            return self.Cell(reduce if reduction else normal, *shape, affine=one_stage, norm_identity=one_stage)

        reductions = default_reductions(cells) if reductions is None else reductions
        self._build(make_cell, channels, cells, classes, reductions, auxiliary, imagenet=False)

    def set_supports(self, normal_supports, reduction_supports) -> None:
        normal, reduce = connections_of_support(normal_supports), connections_of_support(reduction_supports)
        for cell in self.cells:
            cell.set_connections(reduce if cell.reduction else normal)

    def forward(self, images: Tensor, normal_weights, reduction_weights) -> tuple[Tensor, Tensor | None]:
        """Logits and auxiliary logits [N, classes]; the weights are lists of [s], one per node, by cell type."""

        def run_cell(_, cell, older, newer):
            return cell(older, newer, reduction_weights if cell.reduction else normal_weights)

        return self._run(images, run_cell)

    def final_norms(self, reduction: bool, node: int) -> list[nn.BatchNorm2d]:
        """The last batch norm of each operation of a node, in every cell of the type: held at (1, 0) until it freezes."""
        cells = [cell for cell in self.cells if cell.reduction == reduction]
        return [final_norm(cell.operation(node, k)) for cell in cells for k in range(len(cell.connections[node]))]


class EvaluationNetwork(Network):
    """The network of a genotype; batch norm after pooling and stride-1 skip for cells of a one-stage search."""

    def __init__(
        self, genotype: Genotype, channels=36, cells=20, classes=10, *,
        norm_pool_and_identity=False, auxiliary=False, imagenet=False,
    ):  # fmt: skip
        super().__init__()
        normal, reduce = connections_of_genotype(genotype.normal), connections_of_genotype(genotype.reduce)

        def make_cell(older, newer, width, reduction, older_is_larger):
            shape = (older, newer, width, reduction, older_is_larger)
            connections = reduce if reduction else normal
            return EvaluationCell(connections, *shape, norm_pool_and_identity=norm_pool_and_identity)

        self._build(make_cell, channels, cells, classes, default_reductions(cells), auxiliary, imagenet)

    def drop_path_masks(self, batch: int, probability: float, generator=None) -> list:
        """Per cell, node and branch a mask [batch] of 0 and 1 / (1 - probability), or None for an identity."""
        keep = torch.full((batch,), 1 - probability)

        def mask(cell, node, branch):
            if cell.spared_by_drop_path(node, branch):
                return None
            return torch.bernoulli(keep, generator=generator) / (1 - probability)

        return [
            [[mask(cell, node, k) for k in range(len(pairs))] for node, pairs in enumerate(cell.connections)]
            for cell in self.cells
        ]

    def forward(self, images: Tensor, masks=None) -> tuple[Tensor, Tensor | None]:
        """Logits and auxiliary logits [N, classes]; `masks` as `drop_path_masks` makes them."""

        def run_cell(index, cell, older, newer):
            return cell(older, newer, masks=None if masks is None else masks[index])

        return self._run(images, run_cell)


def count_parameters(network: nn.Module) -> int:
    """All parameters but the auxiliary head's."""
    return sum(p.numel() for name, p in network.named_parameters() if not name.startswith("auxiliary_head"))


@torch.no_grad()
def count_mult_adds(network: EvaluationNetwork, image_size: int) -> int:
    """Multiply-adds of convolutions and linear layers for one image, without the auxiliary head."""
    total = 0

    def add(module, _, output):
        nonlocal total
        if isinstance(module, nn.Conv2d):
            total += output[0].numel() * module.weight[0].numel()
        else:
            total += module.weight.numel()

    layers = [module for module in network.modules() if isinstance(module, (nn.Conv2d, nn.Linear))]
    handles = [layer.register_forward_hook(add) for layer in layers]
    was_training = network.training
    network.eval()(torch.zeros(1, 3, image_size, image_size))
    network.train(was_training)
    for handle in handles:
        handle.remove()
    return total


def check_published_sizes() -> None:
    """Prints the sizes of the published networks and stops at one that is not what it should be."""
    imagenet = dict(channels=48, cells=14, classes=1000, imagenet=True)
    for label, genotype, options, image_size, parameters, mult_adds in (
        ("two-stage, CIFAR-10", ISTA_TWOSTAGE, {}, 32, 3_316_726, 515.226),
        ("one-stage, CIFAR-10", ISTA_ONESTAGE, dict(norm_pool_and_identity=True), 32, 3_371_806, 532.257),
        ("ImageNet", ISTA_IMAGENET, imagenet, 224, 5_651_392, 621.084),
        ("ImageNet, norms", ISTA_IMAGENET, dict(norm_pool_and_identity=True, **imagenet), 224, 5_655_232, 621.084),
    ):
        network = EvaluationNetwork(genotype, auxiliary=True, **options)
        counted = count_parameters(network), round(count_mult_adds(network, image_size) / 1e6, 3)
        print(f"{label}: {counted[0]:,} parameters, {counted[1]} M mult-adds")
        assert counted == (parameters, mult_adds), f"expected {parameters:,} and {mult_adds}"


if __name__ == "__main__":
    check_published_sizes()
