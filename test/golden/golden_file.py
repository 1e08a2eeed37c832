# Golden files: cases evaluated in double precision, compared with float32, written as safetensors.
"""Helpers of make_golden.py; README.md describes the layout of the files."""

import copy
import json
import struct
from pathlib import Path
from statistics import median
from typing import Callable

import numpy as np
import torch
from torch import Tensor, nn

STORED_LIMIT = 128  # noise with more elements is generated, results are sampled; what else goes in is stored whole
SAMPLES = 100
# for families of many tensors
COMPACT_NOISE_LIMIT = 8
COMPACT_RESULT_LIMIT = 64
COMPACT_SAMPLES = 32
ZERO = 1e-6  # results smaller than this are compared absolutely; for gradients the floor depends on the case
FLOAT32_LIMIT = 2e-5  # largest relative difference between float32 and double precision of a usable case
ATTEMPTS = 50

Tensors = dict[str, Tensor]
Compute = Callable[[nn.Module, Tensors], Tensors]


def save_safetensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    kinds = {torch.float32: "F32", torch.int64: "I64"}
    header, data, offset = {"__metadata__": metadata}, [], 0
    # the widest first, so that every tensor is aligned to its element
    for name, tensor in sorted(tensors.items(), key=lambda item: -item[1].element_size()):
        raw = tensor.detach().contiguous().numpy().tobytes()
        header[name] = {
            "dtype": kinds[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [offset, offset + len(raw)],
        }
        offset += len(raw)
        data.append(raw)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(data))


def generated(shape, seed: int, scale: float) -> Tensor:
    """Float32 noise in [-scale, scale) that any language can make again: a hash of the element's index and the seed."""
    x = np.arange(int(np.prod(shape)), dtype=np.uint32) + np.uint32(seed * 0x9E3779B9 % 2**32)
    x = (x ^ (x >> np.uint32(16))) * np.uint32(0x7FEB352D)
    x = (x ^ (x >> np.uint32(15))) * np.uint32(0x846CA68B)
    x ^= x >> np.uint32(16)
    values = (x.astype(np.float64) / 2**31 - 1) * scale
    return torch.from_numpy(values.astype(np.float32)).reshape(shape)


class Inconclusive(Exception):
    """The case lies too near a kink (an argmax, a ReLU at zero) for a comparison in float32."""


class Family:
    """The cases that go into one file."""

    def __init__(self, name: str, seed: int = 1, compact: bool = False, fresh_statistics: bool = False):
        self.name, self.seed = name, seed
        self.options = dict(compact=compact, fresh_statistics=fresh_statistics)
        self.tensors: Tensors = {}
        self.cases: dict[str, dict] = {}

    def add(self, name: str, description: dict, build: Callable[["Case"], None]) -> None:
        """Adds the case that `build` fills in; another seed is taken while float32 does not confirm the results."""
        for attempt in range(ATTEMPTS):
            case = Case(self.seed * 1000 + len(self.cases) * ATTEMPTS + attempt, **self.options)
            try:
                build(case)
            except Inconclusive:
                continue
            self.cases[name] = {**description, **case.description(), "seed": case.seed}
            self.tensors.update({f"{name}/{key}": tensor for key, tensor in case.tensors.items()})
            return
        raise RuntimeError(f"{self.name}/{name}: no well-conditioned seed in {ATTEMPTS}")

    def save(self, folder: Path) -> int:
        """Writes the file and returns its size."""
        metadata = {
            "made_by": "test/golden/make_golden.py",
            "torch": torch.__version__,
            "precision": "computed in float64, rounded to float32",
            "cases": json.dumps(self.cases),
        }
        path = folder / f"{self.name}.safetensors"
        save_safetensors(path, self.tensors, metadata)
        worst = max(case["float32_error"] for case in self.cases.values())
        size = path.stat().st_size
        print(f"{path.name}: {len(self.cases)} cases, {size:,} bytes, largest float32 error {worst:.1e}")
        return size


class Table:
    """Cases of numbers and texts alone, one a line of a JSON file."""

    def __init__(self, name: str, cases: list[dict]):
        self.name, self.cases = name, cases

    def save(self, folder: Path) -> int:
        path = folder / f"{self.name}.json"
        path.write_text("[\n" + ",\n".join(json.dumps(case) for case in self.cases) + "\n]\n")
        print(f"{path.name}: {len(self.cases)} cases, {path.stat().st_size:,} bytes")
        return path.stat().st_size


class Case:
    """Tensors of one case and what is to be known to read them."""

    def __init__(self, seed: int, *, compact: bool, fresh_statistics: bool):
        """With `fresh_statistics` running means are 0 and variances 1 at first, and not stored."""
        self.seed, self.fresh_statistics = seed, fresh_statistics
        self.noise_limit = COMPACT_NOISE_LIMIT if compact else STORED_LIMIT
        self.result_limit = COMPACT_RESULT_LIMIT if compact else STORED_LIMIT
        self.sample_count = COMPACT_SAMPLES if compact else SAMPLES
        self.generator = torch.Generator().manual_seed(seed)
        self.tensors: Tensors = {}
        self.recipes: dict[str, dict] = {}
        self.samples: dict[str, dict] = {}
        self.float32_error = 0.0
        self.gradient_floor = ZERO
        self.notes: dict = {}

    def description(self) -> dict:
        return {
            **self.notes,
            "gradient_floor": float(f"{self.gradient_floor:.1e}"),
            "float32_error": float(f"{self.float32_error:.1e}"),
            **({"generated": self.recipes} if self.recipes else {}),
            **({"sampled": self.samples} if self.samples else {}),
        }

    def normal(self, *shape: int, scale: float = 1.0, mean: float = 0.0) -> Tensor:
        return torch.randn(*shape, generator=self.generator) * scale + mean

    def labels(self, count: int, classes: int) -> Tensor:
        return torch.randint(classes, (count,), generator=self.generator)

    def noise(self, key: str, shape: tuple[int, ...], scale: float) -> Tensor:
        """What will be stored as `key`: noise in [-scale, scale), by the hash where the tensor is too large to be stored."""
        if np.prod(shape) <= self.noise_limit:
            return (torch.rand(*shape, generator=self.generator) * 2 - 1) * scale
        self.recipes[key] = {"shape": list(shape), "seed": self.seed + len(self.recipes), "scale": scale}
        return generated(**self.recipes[key])

    def randomise(self, module: nn.Module) -> nn.Module:
        """Fresh weights at the usual scale; batch norms with scales, shifts and running statistics that all matter."""
        for name, layer in module.named_modules():
            if isinstance(layer, (nn.Conv2d, nn.Linear)):
                scale = 1.5 * layer.weight[0].numel() ** -0.5
                layer.weight.data = self.noise(f"parameter.{name}.weight", layer.weight.shape, scale)
                if layer.bias is not None:
                    layer.bias.data = self.normal(*layer.bias.shape, scale=0.1)
            elif isinstance(layer, nn.BatchNorm2d):
                channels = layer.num_features
                if layer.affine:
                    layer.weight.data = self.normal(channels, scale=0.2, mean=1)
                    layer.bias.data = self.normal(channels, scale=0.2)
                if not self.fresh_statistics:
                    layer.running_mean = self.normal(channels, scale=0.2)
                    layer.running_var = 0.5 + torch.rand(channels, generator=self.generator)
        return module

    def record(self, module: nn.Module, compute: Compute, inputs: Tensors, constants: Tensors) -> None:
        """Stores the module, what goes in, and what `compute` makes of it: outputs, gradients, buffers afterwards.

        `compute(module, values)` returns named outputs, one of them "loss". Gradients are taken of the inputs and
        of the parameters, not of the constants.
        """
        for name, tensor in (inputs | constants).items():
            self._store(f"input.{name}", tensor)
        for key, tensor in state(module).items():
            self._store(key, tensor)
        exact = evaluate(module, compute, inputs, constants, torch.float64)
        self.compare(exact, evaluate(module, compute, inputs, constants, torch.float32))
        for key, tensor in exact.items():
            self._store(key, tensor)

    def compare(self, exact: Tensors, single: Tensors) -> None:
        """Keeps the largest relative difference; raises `Inconclusive` where float32 does not come near."""
        sizes = [tensor.abs().max().item() for key, tensor in exact.items() if key.startswith("gradient.")]
        if sizes:  # a parameter that a later batch norm absorbs has the gradient zero, but for rounding
            self.gradient_floor = max(ZERO, 0.1 * median(sizes))
        for key, tensor in exact.items():
            floor = self.gradient_floor if key.startswith("gradient.") else ZERO
            difference = (single[key].double() - tensor).abs().max() / tensor.abs().max().clamp(min=floor)
            self.float32_error = max(self.float32_error, difference.item())
        if self.float32_error > FLOAT32_LIMIT:
            raise Inconclusive(self.float32_error)

    def store_results(self, results: Tensors) -> None:
        for key, tensor in results.items():
            self._store(key, tensor)

    def _store(self, key: str, tensor: Tensor) -> None:
        if key in self.recipes or (self.fresh_statistics and key.startswith("buffer.")):
            return
        if tensor.is_floating_point():
            tensor = tensor.float()
        if tensor.numel() > self.result_limit and key.startswith(("output.", "gradient.", "after.")):
            step = tensor.numel() // self.sample_count | 1
            self.samples[key] = {"shape": list(tensor.shape), "step": step, "norm": tensor.double().norm().item()}
            tensor = tensor.flatten()[::step]
        self.tensors[key] = tensor


def public(name: str) -> str:
    """The name in a state dict of the network alone, also where the network is part of a search."""
    return name.removeprefix("network.").removeprefix("mixture.")


def state(module: nn.Module) -> Tensors:
    """Parameters and floating-point buffers under the names that the files use."""
    named = [(f"parameter.{public(name)}", tensor) for name, tensor in module.named_parameters()]
    named += [(f"buffer.{public(name)}", tensor) for name, tensor in module.named_buffers() if tensor.is_floating_point()]
    return {key: tensor.detach().clone() for key, tensor in named}


def evaluate(module: nn.Module, compute: Compute, inputs: Tensors, constants: Tensors, dtype: torch.dtype) -> Tensors:
    """Outputs, gradients and changed buffers of a fresh copy of the module in `dtype`."""
    module = copy.deepcopy(module).to(dtype)
    before = state(module)
    leaves = {name: tensor.to(dtype).requires_grad_() for name, tensor in inputs.items()}
    fixed = {name: tensor.to(dtype) if tensor.is_floating_point() else tensor for name, tensor in constants.items()}
    outputs = compute(module, leaves | fixed)
    targets = {f"input.{name}": leaf for name, leaf in leaves.items()}
    targets |= {f"parameter.{public(name)}": parameter for name, parameter in module.named_parameters()}
    gradients = torch.autograd.grad(outputs["loss"], list(targets.values()), allow_unused=True)
    results = {f"output.{name}": tensor.detach() for name, tensor in outputs.items()}
    results |= {f"gradient.{key}": g for key, g in zip(targets, gradients) if g is not None}
    results |= {f"after.{key}": t for key, t in state(module).items() if not torch.equal(t, before[key])}
    return results
