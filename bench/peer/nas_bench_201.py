# NAS-Bench-201 in PyTorch: operations, evaluation network, super-net.
"""The topology space of NAS-Bench-201 (Dong and Yang 2020, arXiv 2001.00326), independent of our own programs.

A cell has nodes 0..3; node 0 is its input, node 3 its output; an edge joins every pair of nodes i < j. Connection i of
node j is operation i mod 5 on predecessor floor(i / 5), as in ista_nas.py. An architecture is written
`|op~0|+|op~0|op~1|+|op~0|op~1|op~2|`. Parameter names are those of the PyTorch programs of this family.
"""

import torch
from torch import Tensor, nn

from ista_nas import count_mult_adds, count_parameters
from operations import final_norm

OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
NODES = 3  # beside the input
CANDIDATES = [node * len(OPERATIONS) for node in range(1, NODES + 1)]

Supports = list[list[int]]  # per node the ascending indices of its connections
Connections = list[list[tuple[int, str]]]  # per node: (predecessor, operation)


class Zeros(nn.Module):
    """`none`: no gradient goes through it."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x)


class ReLUConvNorm(nn.Module):
    def __init__(self, channels_in: int, channels_out: int, kernel: int, stride: int, affine: bool):
        super().__init__()
        self.op = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(channels_in, channels_out, kernel, stride, padding=kernel // 2, bias=False),
            nn.BatchNorm2d(channels_out, affine=affine),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.op(x)


def make_operation(name: str, channels: int, *, affine: bool, normalised: bool) -> nn.Module:
    """The operation `name`; skip and pool end in a batch norm (`1.*`) only if `normalised`."""
    if name == "none":
        return Zeros()
    if name.startswith("nor_conv"):
        return ReLUConvNorm(channels, channels, kernel=int(name[-1]), stride=1, affine=affine)
    if name not in OPERATIONS:
        raise ValueError(f"make_operation: expected one of {', '.join(OPERATIONS)}, got {name}")
    plain = nn.Identity() if name == "skip_connect" else nn.AvgPool2d(3, 1, padding=1, count_include_pad=False)
    return nn.Sequential(plain, nn.BatchNorm2d(channels, affine=affine)) if normalised else plain


class ResidualBlock(nn.Module):
    """Halves the maps and doubles the channels between two stages."""

    def __init__(self, channels_in: int, channels_out: int, affine: bool):
        super().__init__()
        self.conv_a = ReLUConvNorm(channels_in, channels_out, kernel=3, stride=2, affine=affine)
        self.conv_b = ReLUConvNorm(channels_out, channels_out, kernel=3, stride=1, affine=affine)
        self.downsample = nn.Sequential(nn.AvgPool2d(2, 2), nn.Conv2d(channels_in, channels_out, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        return self.downsample(x) + self.conv_b(self.conv_a(x))


def connections_of_text(text: str) -> Connections:
    nodes = [[pair.split("~") for pair in node.strip("|").split("|")] for node in text.split("+")]
    connections = [[(int(predecessor), name) for name, predecessor in pairs] for pairs in nodes]
    well_formed = [[p for p, _ in pairs] for pairs in connections] == [list(range(j + 1)) for j in range(NODES)]
    if not well_formed or any(name not in OPERATIONS for pairs in connections for _, name in pairs):
        raise ValueError(f"architecture: expected |op~0|+|op~0|op~1|+|op~0|op~1|op~2|, got {text}")
    return connections


def text_of_connections(connections: Connections) -> str:
    return "+".join("|" + "|".join(f"{name}~{predecessor}" for predecessor, name in pairs) + "|" for pairs in connections)


def connections_of_support(supports: Supports) -> Connections:
    return [[(i // len(OPERATIONS), OPERATIONS[i % len(OPERATIONS)]) for i in support] for support in supports]


def support_of_text(text: str) -> Supports:
    return [[p * len(OPERATIONS) + OPERATIONS.index(name) for p, name in pairs] for pairs in connections_of_text(text)]


class Network(nn.Module):
    """Stem, three stages of `n` cells with residual blocks between them, head.

    The logits come with None for the auxiliary logits, which this space has not.
    """

    def _build(self, make_cell, channels: int, n: int, classes: int, affine: bool) -> None:
        # Stem and last norm are affine also where those in between are not, like the DARTS super-net's stem.
        self.stem = nn.Sequential(nn.Conv2d(3, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels))
        self.cells = nn.ModuleList()
        for stage in range(3):
            if stage > 0:
                self.cells.append(ResidualBlock(channels, 2 * channels, affine))
                channels *= 2
            self.cells.extend(make_cell(channels) for _ in range(n))
        self.lastact = nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU())
        self.classifier = nn.Linear(channels, classes)

    def forward(self, images: Tensor, weights: list[Tensor] | None = None) -> tuple[Tensor, None]:
        """`weights` [connections] of each node, for a super-net."""
        x = self.stem(images)
        for cell in self.cells:
            x = cell(x) if isinstance(cell, ResidualBlock) else cell(x, weights)
        return self.classifier(self.lastact(x).mean(dim=(2, 3))), None


class EvaluationCell(nn.Module):
    def __init__(self, connections: Connections, channels: int, normalised: bool):
        super().__init__()
        self.predecessors = [[predecessor for predecessor, _ in pairs] for pairs in connections]
        names = [name for pairs in connections for _, name in pairs]
        self.layers = nn.ModuleList(make_operation(name, channels, affine=True, normalised=normalised) for name in names)

    def forward(self, x: Tensor, _) -> Tensor:
        states, layers = [x], iter(self.layers)
        for predecessors in self.predecessors:
            states.append(sum(next(layers)(states[p]) for p in predecessors))
        return states[-1]


class EvaluationNetwork(Network):
    """The network of an architecture; `normalised`: of a one-stage search, with batch norms after skip and pool."""

    def __init__(self, architecture: str, channels=16, n=5, classes=10, *, normalised=False):
        super().__init__()
        connections = connections_of_text(architecture)
        self._build(lambda width: EvaluationCell(connections, width, normalised), channels, n, classes, affine=True)


class SuperNetCell(nn.Module):
    """Node j is the sum of its connections, each times its weight; operations are built when they are first needed."""

    share = 1  # of the channels, operations take the first 1 / share

    def __init__(self, connections: Connections, channels: int, one_stage: bool):
        super().__init__()
        self.channels = channels
        self.flags = dict(affine=one_stage, normalised=one_stage)
        self.edges = nn.ModuleDict()
        self.set_connections(connections)

    def set_connections(self, connections: Connections) -> None:
        self.connections = connections
        for node, pairs in enumerate(connections):
            for predecessor, name in pairs:
                edge, index = self._edge(node, predecessor), str(OPERATIONS.index(name))
                if edge not in self.edges:
                    self.edges[edge] = nn.ModuleDict()
                if index not in self.edges[edge]:
                    self.edges[edge][index] = make_operation(name, self.channels // self.share, **self.flags)

    @staticmethod
    def _edge(node: int, predecessor: int) -> str:
        return f"{node + 1}<-{predecessor}"

    def operation(self, node: int, predecessor: int, name: str) -> nn.Module:
        return self.edges[self._edge(node, predecessor)][str(OPERATIONS.index(name))]

    def node(self, node: int, states: list[Tensor], weights) -> Tensor:
        pairs = self.connections[node]
        return sum(w * self.operation(node, p, name)(states[p]) for w, (p, name) in zip(weights, pairs))

    def forward(self, x: Tensor, weights: list) -> Tensor:
        states = [x]
        for node in range(NODES):
            states.append(self.node(node, states, weights[node]))
        return states[-1]


class SuperNet(Network):
    """Only the connections of the supports are built and run.

    Two-stage flavour (the default): batch norms of candidates and residual blocks not affine, none after skip and pool.
    One-stage flavour: all batch norms affine, one after skip and pool too.
    """

    Cell = SuperNetCell

    def __init__(self, supports: Supports, channels=16, n=5, classes=10, *, one_stage=False):
        super().__init__()
        connections = connections_of_support(supports)
        self._build(lambda width: self.Cell(connections, width, one_stage), channels, n, classes, affine=one_stage)

    def set_supports(self, supports: Supports) -> None:
        for cell in self._searched():
            cell.set_connections(connections_of_support(supports))

    def _searched(self) -> list[SuperNetCell]:
        return [cell for cell in self.cells if isinstance(cell, SuperNetCell)]

    def final_norms(self, node: int) -> list[nn.BatchNorm2d]:
        """The batch norm that each operation of a node ends in, in every cell: held at (1, 0) until the node freezes."""
        norms = [final_norm(cell.operation(node, *pair)) for cell in self._searched() for pair in cell.connections[node]]
        return [norm for norm in norms if norm is not None]


def check_known_sizes() -> None:
    """Stops at a network whose size is not what it should be."""
    network = EvaluationNetwork("+".join("|" + "|".join(f"nor_conv_3x3~{i}" for i in range(j)) + "|" for j in (1, 2, 3)))
    counted = count_parameters(network), count_mult_adds(network, image_size=32)
    print(f"NAS-Bench-201, all nor_conv_3x3: {counted[0]:,} parameters, {counted[1]:,} mult-adds")
    assert counted == (1_531_546, 220_119_680)


if __name__ == "__main__":
    check_known_sizes()
