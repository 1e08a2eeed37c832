"""What the tests of the operators have in common: patterns of branches, cases of `node`, comparison with a reference."""
import torch

import ops_library

ista = ops_library.load()
MOMENTUM, EPSILON = 0.1, 1e-5
# (kind, kernel, dilation, stages); SKIP is the identity at stride 1 and the factorised reduction at stride 2.
MAX, AVERAGE, SKIP = ("max-pool", 3, 1, 1), ("average-pool", 3, 1, 1), ("skip", 1, 1, 1)
SEPARABLE_3, SEPARABLE_5, SEPARABLE_ONCE = ("separable", 3, 1, 2), ("separable", 5, 1, 2), ("separable", 3, 1, 1)
DILATED_3, DILATED_5, DILATED_TWICE = ("separable", 3, 2, 1), ("separable", 5, 2, 1), ("separable", 7, 2, 2)
DENSE_1, DENSE_3 = ("dense", 1, 1, 1), ("dense", 3, 1, 1)
OPERATIONS = (MAX, AVERAGE, SKIP, SEPARABLE_3, SEPARABLE_5, DILATED_3, DILATED_5, SEPARABLE_ONCE, DILATED_TWICE, DENSE_1, DENSE_3)
# Without kernels of their own.
COMPOSED = (("separable", 9, 1, 2), ("separable", 3, 3, 1), ("separable", 3, 1, 3), ("dense", 5, 1, 1), ("dense", 3, 2, 1),
            ("max-pool", 5, 1, 1), ("average-pool", 5, 1, 1))


def pattern(operation, stride):
    """Kind and settings, as `node` takes them."""
    kind, kernel, dilation, stages = operation
    if kind == "skip":
        kind = "identity" if stride == 1 else "factorized-reduce"
    return kind, [kernel, dilation, stride, stages]


def node(inputs, weights, operations, strides, kernels, norms, masks, training=True, recompute=False):
    patterns = [pattern(*one) for one in zip(operations, strides)]
    return ista.node(inputs, weights, [kind for kind, _ in patterns], [value for _, settings in patterns for value in settings],
                     kernels, norms, masks, recompute, training, MOMENTUM, EPSILON)


def convolutions(operation, stride, channels, generator):
    def tensor(*shape):
        fan_in = shape[1] * shape[2] * shape[3]
        return torch.randn(*shape, generator=generator) / fan_in ** 0.5

    kind, kernel, _, stages = operation
    if kind == "separable":
        return [tensor(*shape) for shape in stages * [(channels, 1, kernel, kernel), (channels, channels, 1, 1)]]
    if kind == "dense":
        return [tensor(channels, channels, kernel, kernel)]
    if operation == SKIP and stride == 2:
        half = channels // 2
        return [tensor(half, channels, 1, 1), tensor(channels - half, channels, 1, 1)]
    return []


def norm(channels, generator, affine):
    gamma = torch.randn(channels, generator=generator) if affine else None
    beta = torch.randn(channels, generator=generator) if affine else None
    return [gamma, beta, torch.randn(channels, generator=generator), torch.rand(channels, generator=generator) + 0.5]


class Case:
    """Arguments of `node`, and what to differentiate."""

    def __init__(self, operations, strides=None, channels=8, size=(6, 6), batch=3, weights=True, affine=False, bare=False,
                 masks=False, training=True, inputs=None, seed=0, scale=1.0, wanted="all", recompute=False):
        generator = torch.Generator().manual_seed(seed)
        self.operations, self.strides = list(operations), list(strides or [1] * len(operations))
        self.training, self.wanted, self.recompute = training, wanted, recompute
        self.convolutions, self.norms, self.masks = [], [], []
        for operation, stride in zip(self.operations, self.strides):
            self.convolutions += convolutions(operation, stride, channels, generator)
            if bare and (operation in (MAX, AVERAGE, DENSE_1, DENSE_3) or operation == SKIP and stride == 1):
                self.norms += [None] * 4
            else:
                for _ in range(operation[3]):
                    self.norms += norm(channels, generator, affine)
            self.masks.append((torch.rand(batch, generator=generator) > 0.4).float() * 1.7 if masks else None)
        distinct = inputs or list(range(len(operations)))
        tensors = [torch.randn(batch, channels, *size, generator=generator) * scale for _ in range(max(distinct) + 1)]
        self.inputs, self.order = tensors, distinct
        self.weights = torch.randn(len(operations), generator=generator) if weights else None

    def run(self, dtype, channels_last=False):
        """Output, running statistics, and the gradients by everything that is wanted (by name)."""
        def leaf(tensor, differentiate=True):
            if tensor is None:
                return None
            copy = tensor.clone().to(dtype)
            if channels_last and copy.dim() == 4:
                copy = copy.contiguous(memory_format=torch.channels_last)
            return copy.requires_grad_(differentiate)

        inputs = [leaf(tensor) for tensor in self.inputs]
        weights = leaf(self.weights)
        kernels = [leaf(tensor) for tensor in self.convolutions]
        norms = [leaf(tensor, index % 4 < 2) for index, tensor in enumerate(self.norms)]
        masks = [leaf(tensor, False) for tensor in self.masks]
        output = node([inputs[i] for i in self.order], weights, self.operations, self.strides, kernels, norms, masks, self.training,
                      self.recompute)
        factor = torch.randn(output.shape, generator=torch.Generator().manual_seed(7)).to(dtype)
        named = {f"input {i}": tensor for i, tensor in enumerate(inputs)}
        named.update({f"convolution {i}": tensor for i, tensor in enumerate(kernels)})
        named.update({f"norm {i}": tensor for i, tensor in enumerate(norms) if tensor is not None and tensor.requires_grad})
        if weights is not None:
            named["weights"] = weights
        if self.wanted == "weights":
            named = {"weights": weights}
        if self.wanted == "inputs":
            named = {name: tensor for name, tensor in named.items() if name.startswith("input")}
        gradients = torch.autograd.grad((output * factor).sum(), list(named.values()))
        result = {"output": output.detach()}
        result.update({f"gradient of {name}": gradient for name, gradient in zip(named, gradients)})
        for index, tensor in enumerate(norms):
            if index % 4 >= 2 and tensor is not None:
                result[f"running statistics {index}"] = tensor
        return result


def compare(test, fused, reference, tolerance=2e-4, by_norm=False):
    """by_norm: for large images, where some value is so near to zero that rounding takes it through a ReLU to the other side and one
    gradient is really different."""
    for name, expected in reference.items():
        actual = fused[name].double()
        test.assertEqual(actual.shape, expected.shape, name)
        if by_norm:
            error = ((actual - expected).norm() / expected.norm()).item()
            test.assertLess(error, 1e-5, f"{name}: relative error {error}")
            continue
        scale = expected.abs().max().item() + 1e-3
        # Where a norm follows, gradients of what it cancels are all rounding: measured against the largest gradient.
        if name.startswith("gradient"):
            scale = max(scale, 1e-2 * max(value.abs().max().item() for key, value in reference.items() if key.startswith("gradient")))
        error = (actual - expected).abs().max().item()
        test.assertLess(error, tolerance * scale, f"{name}: error {error}, largest value {scale}")
