# A peer process for benchmarks: builds one PyTorch workload and times steps of it when asked to on standard input.
"""Commands, one a line; each is answered by one line of JSON:

    run K       K steps: {"seconds": [...], "images_per_second": ..., "peak_rss_bytes": ...}
    matmul      the best of some float32 products of 2048 x 2048 matrices: {"gflop_per_second": ...}
    quit        (or the end of the input) ends the process

A driver can so let this process and ours take turns on the same machine. The first step is slower than the rest: warm up.
images_per_second is the batch size over the median step; a search step handles two batches, each counted once.
peak_rss_bytes is that of the whole process so far, with Python and libtorch (`baseline_rss_bytes` of the first line).
"""

import argparse
import json
import resource
import sys
import time
from pathlib import Path
from statistics import median

import numpy as np
import torch
from torch import Tensor, nn

import nas_bench_201
from darts import DenseStep, Mixture, dense_network
from genotypes import NAMED_GENOTYPES, Genotype
from ista_nas import (
    EvaluationNetwork,
    SuperNet,
    count_parameters,
    random_codes,
    support_of_genotype,
)
from operations import PRIMITIVES, FactorizedReduce, ReLUConvNorm, cifar_stem, make_operation
from steps import SearchStep, TrainStep

CIFAR_MEAN, CIFAR_STD = (0.49139968, 0.48215827, 0.44653124), (0.24703233, 0.24348505, 0.26158768)
ARCHITECTURE = "|nor_conv_3x3~0|+|nor_conv_1x1~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|avg_pool_3x3~2|"
BLOCKS = ("relu_conv_norm", "factorized_reduce", "cifar_stem", "batch_norm", "pointwise")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", choices=("supernet", "target"), default="supernet")
    parser.add_argument("--space", choices=("darts", "nas-bench-201"), default="darts", help="of the super-net")
    parser.add_argument("--method", choices=("ista-nas", "darts", "pc-darts"), default="ista-nas", help="of the search")
    parser.add_argument("--mode", choices=("search-step", "train-step", "inference"))
    parser.add_argument("--operator", choices=(*PRIMITIVES, *BLOCKS), help="forward and backward of one block instead")
    parser.add_argument("--stride", type=int, choices=(1, 2), default=1, help="of the operator")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--cells", type=int, help="8 for the super-net, 20 for the target network")
    parser.add_argument("--n", type=int, default=5, help="cells of a stage in NAS-Bench-201")
    parser.add_argument("--channels", type=int, help="16 for the super-net and operators, 36 for the target network")
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--image-size", type=int, default=32)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--layout", choices=("nchw", "channels-last"), default="nchw")
    parser.add_argument("--genotype", default="ISTA_twostage", help="a published name or a JSON file; also the support")
    parser.add_argument("--architecture", default=ARCHITECTURE, help="the support in NAS-Bench-201")
    parser.add_argument("--full-backward", action="store_true", help="the first pass also computes the weights' gradients")
    parser.add_argument("--norms", action="store_true", help="batch norm after pooling and skip, as one-stage cells have")
    parser.add_argument("--auxiliary", action="store_true")
    parser.add_argument("--drop-path", type=float, default=0.0)
    parser.add_argument("--data", type=Path, help="folder with CIFAR-10 binary files; random images without it")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    target = options.network == "target"
    options.mode = options.mode or ("train-step" if target else "search-step")
    if target and options.mode == "search-step":
        parser.error("--mode search-step: expected --network supernet")
    if not target and options.mode == "train-step":
        parser.error("--mode train-step: expected --network target")
    if target and (options.space, options.method) != ("darts", "ista-nas"):
        parser.error("--space, --method: expected --network supernet")
    if options.norms and options.method != "ista-nas":
        parser.error("--norms: expected --method ista-nas")
    options.cells = options.cells or (20 if target else 8)
    options.channels = options.channels or (36 if target and not options.operator else 16)
    return options


def read_genotype(name: str) -> Genotype:
    if name in NAMED_GENOTYPES:
        return NAMED_GENOTYPES[name]
    content = json.loads(Path(name).read_text())
    return Genotype(*([(operation, predecessor) for operation, predecessor in content[key]] for key in Genotype._fields))


def read_cifar(folder: Path, count: int) -> tuple[Tensor, Tensor]:
    """The first `count` records: normalised images [count, 3, 32, 32] and labels."""
    files = sorted(folder.glob("*.bin"))
    records = np.concatenate([np.fromfile(file, np.uint8).reshape(-1, 3073) for file in files])[:count]
    if len(records) < count:
        raise SystemExit(f"--data: expected {count} images, found {len(records)} in {folder}")
    pixels = torch.from_numpy(records[:, 1:]).reshape(-1, 3, 32, 32).float() / 255
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (CIFAR_MEAN, CIFAR_STD))
    return (pixels - mean) / std, torch.from_numpy(records[:, 0]).long()


def make_batches(options: argparse.Namespace, count: int = 4) -> list[tuple[Tensor, Tensor]]:
    total = count * options.batch
    if options.data is None:
        images = torch.randn(total, 3, options.image_size, options.image_size)
        labels = torch.randint(options.classes, (total,))
    else:
        images, labels = read_cifar(options.data, total)
    memory_format = torch.channels_last if options.layout == "channels-last" else torch.contiguous_format
    batches = zip(images.split(options.batch), labels.split(options.batch))
    return [(part.contiguous(memory_format=memory_format), targets) for part, targets in batches]


def make_search(options: argparse.Namespace) -> tuple[nn.Module, list[nn.Module]]:
    """A super-net, and what of its architecture is trained."""
    in_darts_space = options.space == "darts"
    depth = dict(cells=options.cells) if in_darts_space else dict(n=options.n)
    shape = dict(channels=options.channels, classes=options.classes, **depth)
    if options.method != "ista-nas":
        partial = options.method == "pc-darts"
        return dense_network(options.space, partial=partial, **shape), [Mixture(options.space, partial=partial)]
    generator = torch.Generator().manual_seed(options.seed)
    if in_darts_space:
        supports = [support_of_genotype(cell) for cell in read_genotype(options.genotype)]
        network = SuperNet(*supports, **shape, one_stage=options.norms)
        return network, [random_codes(generator, supports=support) for support in supports]
    support = nas_bench_201.support_of_text(options.architecture)
    network = nas_bench_201.SuperNet(support, **shape, one_stage=options.norms)
    return network, [random_codes(generator, supports=support, candidates=nas_bench_201.CANDIDATES)]


def network_step(options: argparse.Namespace):
    """A function of the step's number, and what to say about the workload."""
    batches = make_batches(options)
    if options.network == "supernet":
        network, codes = make_search(options)
    else:
        genotype = read_genotype(options.genotype)
        network = EvaluationNetwork(
            genotype, options.channels, options.cells, options.classes,
            norm_pool_and_identity=options.norms, auxiliary=options.auxiliary,
        )  # fmt: skip
        codes = []
    if options.layout == "channels-last":
        network = network.to(memory_format=torch.channels_last)
    network.train(options.mode != "inference")
    about = {"parameters": count_parameters(network)}
    if codes:
        kind = SearchStep if options.method == "ista-nas" else DenseStep
        search = kind(network, *codes, full_backward=options.full_backward)

    if options.mode == "inference":
        with torch.no_grad():
            weights = search.weights() if codes else []

        @torch.inference_mode()
        def step(index: int) -> None:
            network(batches[index % len(batches)][0], *weights)

    elif options.mode == "search-step":

        def step(index: int) -> None:
            search.codes_pass(*batches[2 * index % len(batches)])
            search.weights_pass(*batches[(2 * index + 1) % len(batches)])

    else:
        train = TrainStep(network)

        def step(index: int) -> None:
            masks = network.drop_path_masks(options.batch, options.drop_path) if options.drop_path > 0 else None
            train(*batches[index % len(batches)], masks)

    return step, about


def operator_step(options: argparse.Namespace):
    """Forward and backward, to the input and to the weights, of one operation as the two-stage super-net has it."""
    channels, name = options.channels, options.operator
    channels_in = {"relu_conv_norm": 4 * channels, "factorized_reduce": 4 * channels, "cifar_stem": 3}.get(name, channels)
    blocks = {
        "relu_conv_norm": lambda: ReLUConvNorm(channels_in, channels, affine=False),
        "factorized_reduce": lambda: FactorizedReduce(channels_in, channels, affine=False),
        "cifar_stem": lambda: cifar_stem(channels_in, channels),
        "batch_norm": lambda: nn.BatchNorm2d(channels, affine=False),
        "pointwise": lambda: nn.Conv2d(channels, channels, 1, bias=False),
    }
    flags = dict(affine=False, norm_pool=True, norm_identity=False)
    module = blocks[name]() if name in blocks else make_operation(name, channels, options.stride, **flags)
    memory_format = torch.channels_last if options.layout == "channels-last" else torch.contiguous_format
    module = module.to(memory_format=memory_format)
    x = torch.randn(options.batch, channels_in, options.image_size, options.image_size)
    x = x.contiguous(memory_format=memory_format).requires_grad_(name != "cifar_stem")
    upstream = torch.randn_like(module(x))
    leaves = [tensor for tensor in (x, *module.parameters()) if tensor.requires_grad]

    def step(_: int) -> None:
        torch.autograd.grad(module(x), leaves, upstream)

    return step, {"channels_in": channels_in}


def matmul_rate(size: int = 2048, repeats: int = 8) -> float:
    a, b = torch.randn(size, size), torch.randn(size, size)
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        torch.mm(a, b)
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best / 1e9


def peak_rss_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def say(**values) -> None:
    print(json.dumps(values), flush=True)


def main() -> None:
    options = parse_arguments()
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    baseline = peak_rss_bytes()
    step, about = operator_step(options) if options.operator else network_step(options)
    workload = {key: str(value) if isinstance(value, Path) else value for key, value in vars(options).items()}
    say(ready=True, torch=torch.__version__, baseline_rss_bytes=baseline, **about, **workload)
    done = 0
    for line in sys.stdin:
        match line.split():
            case ["run", count] if count.isdigit() and int(count) > 0:
                seconds = []
                for _ in range(int(count)):
                    start = time.perf_counter()
                    step(done)
                    seconds.append(time.perf_counter() - start)
                    done += 1
                say(
                    seconds=seconds,
                    images_per_second=options.batch / median(seconds),
                    peak_rss_bytes=peak_rss_bytes(),
                )
            case ["matmul"]:
                say(gflop_per_second=matmul_rate())
            case ["quit"]:
                return
            case _:
                say(error=f"expected 'run K', 'matmul' or 'quit', got {line.strip()!r}")


if __name__ == "__main__":
    main()
