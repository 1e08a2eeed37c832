# The operations of the DARTS space and the blocks around them, as plain PyTorch modules (NCHW).
"""Operations of the search space of Yang et al. 2020 (arXiv 2010.06176), one module each.

Parameter names are those of the PyTorch programs of the DARTS family, so that weights can be exchanged.
"""

import torch
from torch import Tensor, nn

PRIMITIVES = (
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
)


class ReLUConvNorm(nn.Module):
    """ReLU, 1x1 convolution, batch normalisation."""

    def __init__(self, channels_in: int, channels_out: int, affine: bool):
        super().__init__()
        self.op = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(channels_in, channels_out, 1, bias=False),
            nn.BatchNorm2d(channels_out, affine=affine),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.op(x)


class DenseConv(nn.Module):
    """ReLU, convolution over all channels, batch normalisation (nor_conv of NAS-Bench-201)."""

    def __init__(self, channels: int, kernel: int, stride: int, affine: bool):
        super().__init__()
        self.op = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(channels, channels, kernel, stride, padding=kernel // 2, bias=False),
            nn.BatchNorm2d(channels, affine=affine),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.op(x)


class SumOfAll(nn.Module):
    """A node whose input comes through every operation of NAS-Bench-201: itself, both convolutions, average pooling."""

    def __init__(self, channels: int, affine: bool):
        super().__init__()
        self.convolutions = nn.ModuleList(DenseConv(channels, kernel, 1, affine) for kernel in (1, 3))
        self.pool = nn.AvgPool2d(3, 1, padding=1, count_include_pad=False)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.convolutions[0](x) + self.convolutions[1](x) + self.pool(x)


class FactorizedReduce(nn.Module):
    """Halves height and width by two strided 1x1 convolutions, the second on the input shifted by one pixel."""

    def __init__(self, channels_in: int, channels_out: int, affine: bool):
        super().__init__()
        self.relu = nn.ReLU()
        self.conv_1 = nn.Conv2d(channels_in, channels_out // 2, 1, stride=2, bias=False)
        self.conv_2 = nn.Conv2d(channels_in, channels_out - channels_out // 2, 1, stride=2, bias=False)
        self.bn = nn.BatchNorm2d(channels_out, affine=affine)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(x)
        return self.bn(torch.cat([self.conv_1(x), self.conv_2(x[:, :, 1:, 1:])], dim=1))


def _depthwise(channels: int, kernel: int, stride: int, dilation: int) -> nn.Conv2d:
    padding = dilation * (kernel - 1) // 2
    return nn.Conv2d(channels, channels, kernel, stride, padding, dilation, groups=channels, bias=False)


class SepConv(nn.Module):
    """Twice: ReLU, depthwise, pointwise, batch normalisation; the stride is in the first."""

    def __init__(self, channels: int, kernel: int, stride: int, affine: bool):
        super().__init__()
        self.op = nn.Sequential(
            nn.ReLU(),
            _depthwise(channels, kernel, stride, dilation=1),
            nn.Conv2d(channels, channels, 1, bias=False),
            nn.BatchNorm2d(channels, affine=affine),
            nn.ReLU(),
            _depthwise(channels, kernel, 1, dilation=1),
            nn.Conv2d(channels, channels, 1, bias=False),
            nn.BatchNorm2d(channels, affine=affine),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.op(x)


class DilConv(nn.Module):
    """ReLU, depthwise with dilation 2, pointwise, batch normalisation."""

    def __init__(self, channels: int, kernel: int, stride: int, affine: bool):
        super().__init__()
        self.op = nn.Sequential(
            nn.ReLU(),
            _depthwise(channels, kernel, stride, dilation=2),
            nn.Conv2d(channels, channels, 1, bias=False),
            nn.BatchNorm2d(channels, affine=affine),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.op(x)


def make_operation(
    name: str, channels: int, stride: int, *, affine: bool, norm_pool: bool, norm_identity: bool
) -> nn.Module:
    """The operation `name` on `channels` channels; pools and the identity end in a batch norm only if asked to."""
    if name in ("max_pool_3x3", "avg_pool_3x3"):
        if name == "max_pool_3x3":
            pool = nn.MaxPool2d(3, stride, padding=1)
        else:
            pool = nn.AvgPool2d(3, stride, padding=1, count_include_pad=False)
        return nn.Sequential(pool, nn.BatchNorm2d(channels, affine=affine)) if norm_pool else pool
    if name == "skip_connect":
        if stride == 2:
            return FactorizedReduce(channels, channels, affine)
        return nn.Sequential(nn.Identity(), nn.BatchNorm2d(channels, affine=affine)) if norm_identity else nn.Identity()
    kernel = 3 if name.endswith("3x3") else 5
    if name.startswith("sep_conv"):
        return SepConv(channels, kernel, stride, affine)
    if name.startswith("dil_conv"):
        return DilConv(channels, kernel, stride, affine)
    raise ValueError(f"make_operation: expected one of {', '.join(PRIMITIVES)}, got {name}")


def final_norm(operation: nn.Module) -> nn.BatchNorm2d | None:
    """The batch norm that an operation ends in, if it has one."""
    norms = [module for module in operation.modules() if isinstance(module, nn.BatchNorm2d)]
    return norms[-1] if norms else None


class AuxiliaryHead(nn.Module):
    """The auxiliary classifier; needs maps of 8x8 (CIFAR) or 7x7 (ImageNet) pixels, give or take."""

    def __init__(self, channels: int, classes: int, imagenet: bool):
        super().__init__()
        norm = [] if imagenet else [nn.BatchNorm2d(768)]
        self.features = nn.Sequential(
            nn.ReLU(),
            nn.AvgPool2d(5, stride=2 if imagenet else 3, count_include_pad=False),
            nn.Conv2d(channels, 128, 1, bias=False),
            nn.BatchNorm2d(128),
            nn.ReLU(),
            nn.Conv2d(128, 768, 2, bias=False),
            *norm,
            nn.ReLU(),
        )
        self.classifier = nn.Linear(768, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x).flatten(1))


def cifar_stem(channels_in: int, channels_out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False),
        nn.BatchNorm2d(channels_out),
    )


def imagenet_stem0(channels_in: int, channels_out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out // 2, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(channels_out // 2),
        nn.ReLU(),
        nn.Conv2d(channels_out // 2, channels_out, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(channels_out),
    )


def imagenet_stem1(channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.ReLU(),
        nn.Conv2d(channels, channels, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(channels),
    )
