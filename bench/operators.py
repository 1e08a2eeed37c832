# Forward and backward of each operation, ours and PyTorch's, in turn in one process; prints a table.
"""Run: /usr/bin/python3 bench/operators.py [--channels 16 --size 32 --batch 64 --threads 2 --rounds 10]

Both sides run on the same libtorch with the same shapes: ours through the operators of native/ops, PyTorch's as the modules of
bench/peer, in NCHW and in channels-last. Times are the best of the rounds (forward, then backward to the input and all weights).
"""
import argparse
import json
import sys
import time
from pathlib import Path

import torch
from torch import nn

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "native"), str(ROOT / "bench" / "peer")]
import ops_library  # noqa: E402
from operations import DenseConv, FactorizedReduce, ReLUConvNorm, SumOfAll, make_operation  # noqa: E402

MOMENTUM, EPSILON = 0.1, 1e-5
# Names of the DARTS space and of NAS-Bench-201: kind of branch, kernel, dilation, stages.
PATTERNS = {
    "max_pool_3x3": ("max-pool", 3, 1, 1),
    "avg_pool_3x3": ("average-pool", 3, 1, 1),
    "skip_connect": ("factorized-reduce", 1, 1, 1),
    "sep_conv_3x3": ("separable", 3, 1, 2),
    "sep_conv_5x5": ("separable", 5, 1, 2),
    "dil_conv_3x3": ("separable", 3, 2, 1),
    "dil_conv_5x5": ("separable", 5, 2, 1),
    "nor_conv_1x1": ("dense", 1, 1, 1),
    "nor_conv_3x3": ("dense", 3, 1, 1),
}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("channels", 16), ("size", 32), ("batch", 64), ("threads", 2), ("rounds", 10)):
        parser.add_argument(f"--{name}", type=int, default=default)
    return parser.parse_args()


def matrix_product_rate(size=2048, rounds=6):
    a, b = torch.randn(size, size), torch.randn(size, size)
    return 2 * size**3 / min(seconds(lambda: torch.mm(a, b)) for _ in range(rounds)) / 1e9


def seconds(function):
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def parts(module):
    """Convolution weights and norm entries in the operators' order."""
    weights = [layer.weight for layer in module.modules() if isinstance(layer, nn.Conv2d)]
    norms = []
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            norms += [layer.weight, layer.bias, layer.running_mean, layer.running_var]
    return weights, norms


def cases(channels):
    """(name, stride, input channels, module, our form of it)."""
    for name, (kind, kernel, dilation, stages) in PATTERNS.items():
        for stride in (1, 2):
            if name == "skip_connect" and stride == 1:
                continue
            if kind == "dense":
                module = DenseConv(channels, kernel, stride, affine=False)
            else:
                module = make_operation(name, channels, stride, affine=False, norm_pool=True, norm_identity=False)
            weights, norms = parts(module)
            settings = [kernel, dilation, stride, stages]

            def ours(x, kind=kind, settings=settings, weights=weights, norms=norms):
                return torch.ops.ista.node([x], None, [kind], settings, weights, norms, [None], False, True, MOMENTUM, EPSILON)

            yield name, stride, channels, module, ours
    module = SumOfAll(channels, affine=False)
    weights, norms = parts(module)
    bare = [None] * 4

    def all_four(x, weights=weights, norms=norms):
        kinds = ["identity", "dense", "dense", "average-pool"]
        settings = 2 * [1, 1, 1, 1] + 2 * [3, 1, 1, 1]
        return torch.ops.ista.node([x] * 4, None, kinds, settings, weights, bare + norms + bare, bare, False, True, MOMENTUM, EPSILON)

    yield "all of NAS-Bench-201", 1, channels, module, all_four
    for name, module, operator in (
        ("relu_conv_norm", ReLUConvNorm(4 * channels, channels, affine=False), "relu_conv_norm"),
        ("factorized_reduce", FactorizedReduce(4 * channels, channels, affine=False), "factorized_reduce"),
    ):
        weights, norms = parts(module)

        def ours(x, operator=operator, weights=weights, norms=norms):
            return getattr(torch.ops.ista, operator)([x], *weights, norms, True, MOMENTUM, EPSILON)

        yield name, 1 if operator == "relu_conv_norm" else 2, 4 * channels, module, ours


def main():
    options = arguments()
    torch.set_num_threads(options.threads)
    torch.manual_seed(1)
    ista = ops_library.load()
    ista.tune_allocator()
    rate = matrix_product_rate()
    print(f"batch {options.batch}, {options.channels} channels, {options.size} x {options.size}, {options.threads} threads; "
          f"matrix product {rate:.0f} GFLOP/s; times in ms, forward and backward\n")
    print("| operation | stride | ours | PyTorch NCHW | channels-last | NCHW / ours | GFLOP/s | share of matrix product | GB/s at least |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name, stride, channels_in, module, ours in cases(options.channels):
        x = torch.randn(options.batch, channels_in, options.size, options.size)
        # (function, input): ours takes channels-last, as its neighbours hand it over.
        last = x.contiguous(memory_format=torch.channels_last)
        sides = {"ours": (ours, last), "nchw": (module, x), "channels-last": (module, last)}
        best = dict.fromkeys(sides, float("inf"))
        work = {}
        for attempt in range(options.rounds + 1):
            for side, (function, tensor) in sides.items():
                leaf = tensor.detach().requires_grad_()
                leaves = [leaf, *module.parameters()]
                output = function(leaf)
                upstream = torch.randn_like(output)
                del output
                if attempt == 0 and side == "ours":
                    ista.profile_start()
                taken = seconds(lambda: torch.autograd.grad(function(leaf), leaves, upstream))
                if attempt == 0 and side == "ours":
                    report = json.loads(ista.profile_report())
                    work = {key: sum(entry[key] for entry in report) for key in ("gigaflop", "gigabytes")}
                best[side] = min(best[side], taken)
        mine = best["ours"]
        print(f"| {name} | {stride} | {mine * 1e3:.2f} | {best['nchw'] * 1e3:.1f} | {best['channels-last'] * 1e3:.1f} | "
              f"{best['nchw'] / mine:.1f} | {work['gigaflop'] / mine:.0f} | {work['gigaflop'] / mine / rate:.0%} | "
              f"{work['gigabytes'] / mine:.1f} |", flush=True)


if __name__ == "__main__":
    main()
