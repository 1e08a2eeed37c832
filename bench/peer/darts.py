# DARTS (first order) and PC-DARTS in PyTorch, in the DARTS space and in NAS-Bench-201.
"""The dense searches that stand beside ISTA-NAS: all candidates of an edge run, mixed by softmax(alpha).

DARTS: Liu, Simonyan, Yang 2019 (arXiv 1806.09055). PC-DARTS: Xu et al. 2020 (arXiv 1907.05737), as their program does it.
alpha of a node is [predecessors, columns]: in the DARTS space `none`, which is not built, and then the primitives in
index order; in NAS-Bench-201 its operations, `none` among them.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool2d

import ista_nas
import nas_bench_201
from operations import PRIMITIVES
from steps import SearchStep

PARTS = 4  # PC-DARTS mixes the first of so many parts of the channels
COLUMNS = {"darts": ("none", *PRIMITIVES), "nas-bench-201": nas_bench_201.OPERATIONS}
PREDECESSORS = {"darts": [2, 3, 4, 5], "nas-bench-201": [1, 2, 3]}  # of each node
GROUPS = {"darts": ("normal", "reduction"), "nas-bench-201": ("cell",)}


def shuffle_channels(x: Tensor) -> Tensor:
    """Channel c of part p goes to place c * PARTS + p."""
    return x.unflatten(1, (PARTS, -1)).transpose(1, 2).flatten(1, 2)


def partial_mixture(x: Tensor, weights: Tensor, operations: Sequence[nn.Module]) -> Tensor:
    """The first part of the channels goes through the mixture, the rest past it, pooled where the mixture has stride 2."""
    first, rest = x.split([x.shape[1] // PARTS, x.shape[1] - x.shape[1] // PARTS], dim=1)
    mixed = sum(w * operation(first) for w, operation in zip(weights, operations))
    if mixed.shape[2] != x.shape[2]:
        rest = max_pool2d(rest, 2)
    return shuffle_channels(torch.cat([mixed, rest], dim=1))


def partial_node(states: list[Tensor], weights: tuple[Tensor, Tensor], operations) -> Tensor:
    """The weights are those of the operations [predecessors, operations] and those of the edges [predecessors]."""
    mixing, edges = weights
    count = mixing.shape[1]
    parts = [operations[p * count : (p + 1) * count] for p in range(len(edges))]
    return sum(edges[p] * partial_mixture(states[p], mixing[p], parts[p]) for p in range(len(edges)))


class PartialDartsCell(ista_nas.SuperNetCell):
    share = PARTS

    def node(self, node: int, states: list[Tensor], weights, masks) -> Tensor:
        return partial_node(states, weights, [self.operation(node, k) for k in range(len(self.connections[node]))])


class PartialNasBench201Cell(nas_bench_201.SuperNetCell):
    share = PARTS

    def node(self, node: int, states: list[Tensor], weights) -> Tensor:
        return partial_node(states, weights, [self.operation(node, *pair) for pair in self.connections[node]])


class PartialDartsNet(ista_nas.SuperNet):
    Cell = PartialDartsCell


class PartialNasBench201Net(nas_bench_201.SuperNet):
    Cell = PartialNasBench201Cell


def dense_network(space: str, *, partial: bool, **options) -> nn.Module:
    """The super-net of all candidates, batch norms of operations not affine; `partial` for PC-DARTS."""
    if space == "darts":
        everything = [list(range(n)) for n in ista_nas.CANDIDATES]
        return (PartialDartsNet if partial else ista_nas.SuperNet)(everything, everything, **options)
    everything = [list(range(n)) for n in nas_bench_201.CANDIDATES]
    return (PartialNasBench201Net if partial else nas_bench_201.SuperNet)(everything, **options)


class Mixture(nn.Module):
    """alpha and, for PC-DARTS, beta (of the edges into a node), per group and node."""

    def __init__(self, space: str, *, partial: bool, draw=lambda *shape: 1e-3 * torch.randn(*shape)):
        super().__init__()
        self.first = 1 if space == "darts" else 0  # column that is built
        counts, columns = PREDECESSORS[space], len(COLUMNS[space])

        def parameters(*shape: int) -> nn.ModuleDict:
            return nn.ModuleDict({
                group: nn.ParameterList(nn.Parameter(draw(count, *shape)) for count in counts) for group in GROUPS[space]
            })  # fmt: skip

        self.alpha = parameters(columns)
        self.beta = parameters() if partial else None

    def weights(self) -> list[list]:
        """Per group and node the weights of its candidates, by connection; for PC-DARTS by edge, and those of the edges."""
        mixing = [[alpha.softmax(1)[:, self.first :] for alpha in nodes] for nodes in self.alpha.values()]
        if self.beta is None:
            return [[weights.flatten() for weights in nodes] for nodes in mixing]
        edges = [[beta.softmax(0) for beta in nodes] for nodes in self.beta.values()]
        return [list(zip(*pair)) for pair in zip(mixing, edges)]


class DenseStep(SearchStep):
    """First order: alpha (and beta) on a held-out batch by Adam, then weights on a training batch by SGD."""

    def __init__(self, network: nn.Module, mixture: Mixture, *, code_lr=3e-4, **rates):
        super().__init__(network, mixture, code_lr=code_lr, **rates)

    def weights(self) -> list[list]:
        return self.codes[0].weights()


Node = list[tuple[str, int]]  # (operation, predecessor)


def softmax(values: Sequence[float]) -> list[float]:
    powers = [math.exp(value - max(values)) for value in values]
    return [power / sum(powers) for power in powers]


def discretise(space: str, alpha: Sequence[Sequence[Sequence[float]]], beta: Sequence[Sequence[float]] | None) -> list[Node]:
    """What is kept of a group: alpha by node, predecessor and column; of equals the first.

    DARTS space: of each node the two edges whose best operation that is not `none` is strongest, for PC-DARTS times the
    edge's weight. NAS-Bench-201: the strongest operation of each edge, whatever it is; beta plays no part.
    """
    names = COLUMNS[space]
    if space == "nas-bench-201":
        return [[(names[row.index(max(row))], p) for p, row in enumerate(rows)] for rows in alpha]
    result = []
    for node, rows in enumerate(alpha):
        edges = [1.0] * len(rows) if beta is None else softmax(beta[node])
        mixing = [softmax(row)[1:] for row in rows]
        strength = [edge * max(weights) for edge, weights in zip(edges, mixing)]
        kept = sorted(sorted(range(len(rows)), key=lambda p: -strength[p])[:2])
        result.append([(PRIMITIVES[mixing[p].index(max(mixing[p]))], p) for p in kept])
    return result
