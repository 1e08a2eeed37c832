# Genotypes and the three cells that the paper's authors published.
from typing import NamedTuple


class Genotype(NamedTuple):
    """Two connections (operation, predecessor) per intermediate node, in node order, for both cell types."""

    normal: list[tuple[str, int]]
    reduce: list[tuple[str, int]]


def _cell(text: str) -> list[tuple[str, int]]:
    """Reads 'skip_connect 0, dil_conv_3x3 1 | ...'."""
    pairs = (pair.split() for node in text.split("|") for pair in node.split(","))
    return [(name, int(predecessor)) for name, predecessor in pairs]


ISTA_TWOSTAGE = Genotype(
    normal=_cell(
        "skip_connect 0, dil_conv_3x3 1 | sep_conv_5x5 0, dil_conv_3x3 2 | "
        "dil_conv_3x3 1, sep_conv_3x3 0 | sep_conv_3x3 2, skip_connect 0"
    ),
    reduce=_cell(
        "avg_pool_3x3 0, sep_conv_5x5 1 | dil_conv_5x5 2, max_pool_3x3 1 | "
        "dil_conv_5x5 3, sep_conv_3x3 1 | dil_conv_5x5 4, sep_conv_5x5 1"
    ),
)
ISTA_ONESTAGE = Genotype(
    normal=_cell(
        "skip_connect 0, dil_conv_3x3 1 | sep_conv_3x3 1, dil_conv_5x5 2 | "
        "avg_pool_3x3 3, sep_conv_3x3 1 | sep_conv_5x5 1, sep_conv_3x3 2"
    ),
    reduce=_cell(
        "avg_pool_3x3 0, max_pool_3x3 1 | skip_connect 0, max_pool_3x3 1 | "
        "sep_conv_5x5 1, avg_pool_3x3 0 | max_pool_3x3 0, dil_conv_5x5 2"
    ),
)
ISTA_IMAGENET = Genotype(
    normal=_cell(
        "sep_conv_3x3 1, sep_conv_3x3 0 | sep_conv_3x3 1, skip_connect 2 | "
        "sep_conv_3x3 1, sep_conv_3x3 0 | sep_conv_3x3 1, dil_conv_5x5 4"
    ),
    reduce=_cell(
        "skip_connect 0, sep_conv_3x3 1 | dil_conv_5x5 2, sep_conv_3x3 0 | "
        "sep_conv_3x3 0, skip_connect 2 | sep_conv_3x3 2, skip_connect 3"
    ),
)
NAMED_GENOTYPES = {
    "ISTA_twostage": ISTA_TWOSTAGE,
    "ISTA_onestage": ISTA_ONESTAGE,
    "ISTA_ImageNet": ISTA_IMAGENET,
}
