# Golden cases of DARTS and PC-DARTS: dense super-nets, search steps, what is kept of alpha and beta.
import random

from torch import nn
from torch.nn.functional import cross_entropy

from darts import COLUMNS, GROUPS, PREDECESSORS, DenseStep, Mixture, dense_network, discretise, softmax
from golden_file import Case, Family, Table, Tensors
from network_cases import record_steps


class DenseSearch(nn.Module):
    def __init__(self, case: Case, space: str, partial: bool, options: dict):
        super().__init__()
        self.network = case.randomise(dense_network(space, partial=partial, **options))
        self.mixture = Mixture(space, partial=partial, draw=lambda *shape: case.normal(*shape, scale=0.5))


def classification(module: DenseSearch, values: Tensors) -> Tensors:
    logits, _ = module.network(values["images"], *module.mixture.weights())
    return {"logits": logits, "loss": cross_entropy(logits, values["labels"])}


def searches(method: str) -> Family:
    family, partial = Family(method, compact=True, fresh_statistics=True), method == "pc-darts"
    rates = dict(lr=0.1, momentum=0.9, weight_decay=3e-4, clip=2.0, code_lr=0.01, code_weight_decay=1e-3)
    batch, size, steps = 8, 8, 5
    channels = 8 if partial else 2  # two in the operations; one alone is absorbed by its batch norm
    for space, options in (
        ("darts", dict(cells=2, channels=channels, classes=5, reductions=[1])),
        ("nas-bench-201", dict(n=1, channels=channels, classes=5)),
    ):

        def gradient(case: Case) -> None:
            images = case.noise("input.images", (batch, 3, size, size), 1.7)
            search = DenseSearch(case, space, partial, options)
            case.record(search, classification, {"images": images}, {"labels": case.labels(batch, options["classes"])})

        def trajectory(case: Case) -> None:
            record_steps(
                case, DenseSearch(case, space, partial, options),
                lambda copied: DenseStep(copied.network, copied.mixture, **rates),
                batch=batch, size=size, classes=options["classes"], steps=steps, buffers=False,
            )  # fmt: skip

        description = dict(network="dense", space=space, training=True, **options)
        family.add(f"{space}-gradient", description, gradient)
        family.add(f"{space}-trajectory", dict(description, steps=steps, **rates), trajectory)
    return family


def alphas_of(space: str, kind: str, draw: random.Random) -> list[list[list[float]]]:
    """alpha of a group by node, predecessor and column, of a kind that `discretisation` lists."""
    columns = len(COLUMNS[space])
    if kind == "equal":
        return [[[0.0] * columns for _ in range(count)] for count in PREDECESSORS[space]]
    alpha = [
        [[round(draw.gauss(0, 1), 2) for _ in range(columns)] for _ in range(count)] for count in PREDECESSORS[space]
    ]
    for rows in alpha:
        for row in rows:
            if kind == "tied-operations":
                first, second = draw.sample(range(columns), 2)
                row[first] = row[second] = round(max(row) + 0.5, 2)
            elif kind == "none-dominated" and draw.random() < 0.6:
                row[0] = round(max(row) + draw.choice([0.5, 1.0, 3.0]), 2)
        if kind == "tied-edges" and len(rows) > 2:
            strongest = max(rows, key=lambda row: max(softmax(row)[1:]))
            for p in draw.sample(range(len(rows)), 2):
                rows[p] = list(strongest)
    return alpha


def betas_of(space: str, kind: str, draw: random.Random) -> list[list[float]]:
    tied = kind in ("equal", "tied-edges")
    return [[0.0 if tied else round(draw.gauss(0, 1), 2) for _ in range(count)] for count in PREDECESSORS[space]]


def discretisation() -> Table:
    """Random alpha and beta; equal ones of an edge's operations, of edges, of everything; edges on which `none` leads."""
    draw, cases = random.Random(2019), []
    kinds = ["random"] * 3 + ["tied-operations", "tied-edges", "none-dominated"] * 2 + ["equal"]
    for method in ("darts", "pc-darts"):
        for space, groups in GROUPS.items():
            for kind in kinds:
                alpha = {group: alphas_of(space, kind, draw) for group in groups}
                beta = {group: betas_of(space, kind, draw) for group in groups} if method == "pc-darts" else None
                genotype = {g: discretise(space, alpha[g], beta and beta[g]) for g in groups}
                cases.append(dict(method=method, space=space, kind=kind, alpha=alpha, beta=beta, genotype=genotype))
    return Table("discretisation", cases)
