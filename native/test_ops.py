"""The fused operators against their compositions in double precision. Run: /usr/bin/python3 native/test_ops.py [--long]"""
import itertools
import json
import os
import random
import resource
import sys
import threading
import unittest

import torch

from ops_cases import (
    AVERAGE, COMPOSED, DENSE_1, DENSE_3, DILATED_3, DILATED_5, EPSILON, MAX, MOMENTUM, OPERATIONS, SEPARABLE_3, SEPARABLE_5, SKIP, Case,
    compare, ista, node, norm, pattern)

LONG = "--long" in sys.argv
if LONG:
    sys.argv.remove("--long")
torch.set_num_threads(2)


class VectorCodeTest(unittest.TestCase):
    def test_what_is_named_or_else_the_widest_is_used(self):
        self.assertEqual(ista.vector_code(), os.environ.get("ISTA_NAS_VECTOR") or ista.vector_codes()[0])


class NodeTest(unittest.TestCase):
    def check(self, tolerance=2e-4, **arguments):
        with self.subTest(**arguments):
            case = Case(**arguments)
            reference = case.run(torch.float64)
            compare(self, case.run(torch.float32, channels_last=True), reference, tolerance)
            compare(self, case.run(torch.float32), reference, tolerance)

    def test_every_operation_alone(self):
        for operation, stride, training in itertools.product(OPERATIONS, (1, 2), (True, False)):
            self.check(operations=[operation], strides=[stride], training=training, channels=10, size=(6, 8))

    def test_affine_masks_and_no_weights(self):
        for operation, stride in itertools.product(OPERATIONS, (1, 2)):
            self.check(operations=[operation], strides=[stride], affine=True, masks=True, weights=False, channels=6, size=(8, 4))
            self.check(operations=[operation], strides=[stride], affine=True, masks=True, training=False)

    def test_pairs_and_shared_inputs(self):
        self.check(operations=[SEPARABLE_3, SEPARABLE_5], inputs=[0, 0], channels=12)
        self.check(operations=[SKIP, SKIP], inputs=[0, 0], bare=True)
        self.check(operations=[MAX, SEPARABLE_3, DILATED_5], inputs=[0, 1, 0], channels=5)
        self.check(operations=[MAX, AVERAGE, SKIP], strides=[2, 2, 2], inputs=[0, 1, 1], bare=True)
        self.check(operations=[DILATED_3, SEPARABLE_5], strides=[2, 1], inputs=[0, 1], channels=4, size=(1, 1), batch=4)

    def test_bare_pools_and_identity(self):
        for operation in (MAX, AVERAGE, SKIP, DENSE_1, DENSE_3):
            for weights in (True, False):
                self.check(operations=[operation], bare=True, weights=weights, masks=True, channels=9, size=(5, 7))

    def test_odd_sizes_channels_and_batches(self):
        generator = random.Random(1)
        sizes = [1, 2, 3, 5, 7, 8, 13]
        for seed in range(200 if LONG else 25):
            operations = [generator.choice(OPERATIONS) for _ in range(generator.randint(1, 3))]
            stride = generator.choice((1, 2))
            batch = generator.choice((1, 2, 3, 33))
            size = (generator.choice(sizes), generator.choice(sizes))
            training = batch * ((size[0] + 1) // 2) * ((size[1] + 1) // 2) > 3 and generator.random() < 0.8
            self.check(operations=operations, strides=[stride] * len(operations), channels=generator.choice((2, 4, 6, 16, 18, 24, 36)),
                       size=size, batch=batch, training=training, affine=generator.random() < 0.5,
                       masks=generator.random() < 0.5, weights=generator.random() < 0.7, bare=generator.random() < 0.3, seed=seed,
                       tolerance=2e-3)

    def test_real_sizes(self):
        for channels, size in ((16, 32), (36, 32), (64, 8)):
            for operations in ([SEPARABLE_3, DILATED_5], [DENSE_3, DENSE_1]):
                case = Case(operations, channels=channels, size=(size, size), batch=4, seed=1)
                compare(self, case.run(torch.float32), case.run(torch.float64), by_norm=True)

    def test_only_what_is_wanted(self):
        for wanted in ("weights", "inputs"):
            self.check(operations=[SEPARABLE_3, MAX], affine=True, wanted=wanted)
            self.check(operations=[DILATED_5, SKIP], strides=[2, 2], wanted=wanted)
            self.check(operations=[DENSE_1, DENSE_3], strides=[2, 2], wanted=wanted)

    def test_zero_images(self):
        for operation in OPERATIONS:
            self.check(operations=[operation], scale=0.0)

    def test_huge_and_tiny_values(self):
        for operation in OPERATIONS:
            self.check(operations=[operation], scale=1e8, affine=True)
            # So small that epsilon rules.
            self.check(operations=[operation], scale=1e-6)

    def test_large_mean(self):
        # Means far above the deviation: variances must not be differences of large squares.
        case = Case([AVERAGE], channels=8, size=(8, 8))
        case.inputs[0] += 300
        compare(self, case.run(torch.float32), case.run(torch.float64), 2e-3)

    def test_seven_by_seven_kernels(self):
        self.check(operations=[("separable", 7, 1, 2), ("separable", 7, 2, 1)], channels=8, size=(9, 9))

    def test_what_has_no_kernel_is_composed(self):
        for operation, stride in itertools.product(COMPOSED, (1, 2)):
            kind, (kernel, dilation, _, stages) = pattern(operation, stride)
            self.assertFalse(ista.node_accepts(kind, kernel, dilation, stride, stages))
            self.check(operations=[operation, MAX], strides=[stride, stride], affine=True, masks=True, size=(9, 8))
        for operation, stride in itertools.product(OPERATIONS, (1, 2)):
            kind, (kernel, dilation, _, stages) = pattern(operation, stride)
            self.assertTrue(ista.node_accepts(kind, kernel, dilation, stride, stages))

    def test_dense_branches_of_other_widths(self):
        generator = torch.Generator().manual_seed(11)
        for kernel, (inputs, outputs), stride in itertools.product((1, 3), ((3, 16), (16, 5), (40, 24)), (1, 2)):
            case = Case([("dense", kernel, 1, 1)], [stride], channels=outputs, size=(7, 6), affine=True, masks=True)
            case.inputs = [torch.randn(3, inputs, 7, 6, generator=generator)]
            case.convolutions = [torch.randn(outputs, inputs, kernel, kernel, generator=generator)]
            compare(self, case.run(torch.float32), case.run(torch.float64))

    def test_same_bits_for_any_number_of_threads(self):
        case = Case([SEPARABLE_3, DILATED_5, MAX, DENSE_3, DENSE_1], channels=16, size=(16, 16), batch=37, affine=True)
        first = case.run(torch.float32)
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            again = case.run(torch.float32)
            for name in first:
                self.assertTrue(torch.equal(first[name], again[name]), f"{name}, {threads} threads")
        torch.set_num_threads(2)

    def test_recomputing_gives_the_same_bits(self):
        for arguments in ({"affine": True}, {"training": False, "wanted": "inputs"}, {"wanted": "weights", "strides": [2, 2, 2, 2, 2]}):
            case = Case([SEPARABLE_5, DILATED_3, SKIP, DENSE_1, DENSE_3], channels=6, size=(8, 8), **arguments)
            stored = case.run(torch.float32)
            case.recompute = True
            again = case.run(torch.float32)
            for name in stored:
                self.assertTrue(torch.equal(stored[name], again[name]), name)

    def test_ties_of_max_pooling_go_to_the_first(self):
        case = Case([MAX], channels=3, size=(6, 6), bare=True)
        case.inputs = [torch.randint(0, 3, (3, 3, 6, 6), generator=torch.Generator().manual_seed(5)).float()]
        compare(self, case.run(torch.float32), case.run(torch.float64))

    def test_infinite_values_stay_where_the_windows_are(self):
        for stride, (y, x) in itertools.product((1, 2), ((0, 0), (4, 6), (2, 3))):
            image = torch.randn(1, 8, 5, 7)
            image[0, :, y, x] = float("inf")
            pooled = node([image], None, [AVERAGE], [stride], [], [None] * 4, [None])
            expected = torch.nn.functional.avg_pool2d(image, 3, stride, 1, count_include_pad=False)
            self.assertTrue(torch.allclose(pooled, expected, atol=1e-6), (stride, y, x))

    def test_a_repeated_backward_pass_gives_the_same(self):
        x = torch.randn(2, 8, 5, 5, requires_grad=True)
        y = node([x], None, [SKIP], [1], [], [None, None, torch.zeros(8), torch.ones(8)], [None])
        factor = torch.randn_like(y)
        first, = torch.autograd.grad(y, x, factor, retain_graph=True)
        second, = torch.autograd.grad(y, x, factor)
        self.assertTrue(torch.equal(first, second))

    def test_wrong_arguments_are_refused(self):
        x, n = torch.randn(2, 8, 5, 5), [None, None, torch.zeros(8), torch.ones(8)]
        kernels = [torch.randn(8, 1, 4, 4), torch.randn(8, 8, 1, 1)]
        for message, arguments in {
            "no kind of branch named pool": ([x], None, [("pool", 3, 1, 1)], [1], [], n, [None]),
            "must be 1 to 4096, got 0": ([x], None, [MAX], [0], [], n, [None]),
            "identity has kernel 1": ([x], None, [("identity", 3, 1, 1)], [1], [], n, [None]),
            "take 2 convolutions": ([x], None, [DILATED_3], [1], [], n, [None]),
            "depthwise weights of separable 3x3 dilation 2 must be": ([x], None, [DILATED_3], [1], kernels, n, [None]),
            r"weights of dense 3x3 must be \[out, 8, 3, 3\]": ([x], None, [DENSE_3], [1], kernels[1:], n, [None]),
            "expected 8 contiguous values": ([x], None, [MAX], [1], [], [None, None, torch.zeros(9), torch.ones(9)], [None]),
            "more than one value": ([x[:1, :, :1, :1]], None, [MAX], [1], [], n, [None]),
            "the first one": ([x, x], None, [MAX, MAX], [1, 2], [], n + n, [None, None]),
        }.items():
            with self.assertRaisesRegex(RuntimeError, message):
                node(*arguments)

    def test_the_composition_by_finite_differences(self):
        for operation, stride, training in itertools.product(OPERATIONS + COMPOSED, (1, 2), (True, False)):
            case = Case([operation], [stride], channels=2, size=(4, 4), batch=2, training=training, affine=True, masks=True)
            kernels = [kernel.double().requires_grad_() for kernel in case.convolutions]
            statistics = [None if tensor is None else tensor.double() for tensor in case.norms]

            def run(x, weights, *rest):
                norms = [None if tensor is None else tensor.clone() for tensor in statistics]
                return node([x], weights, [operation], [stride], list(rest), norms, [case.masks[0].double()], training)

            self.assertTrue(torch.autograd.gradcheck(run, (case.inputs[0].double().requires_grad_(),
                                                           case.weights.double().requires_grad_(), *kernels)))


class ProfileTest(unittest.TestCase):
    def run_node(self, operations):
        Case(operations, channels=8, size=(8, 8)).run(torch.float32)

    def names(self):
        return {entry["name"]: entry for entry in json.loads(ista.profile_report())}

    def test_branches_have_the_names_of_their_patterns(self):
        ista.profile_start()
        self.run_node([SEPARABLE_3, DILATED_5, DENSE_3, MAX])
        names = self.names()
        for name in ("separable 3x3", "separable 5x5 dilation 2", "dense 3x3", "max-pool 3x3", "node sum", "node backward sums"):
            self.assertIn(name, names)
        # Once forward, once backward.
        self.assertEqual(names["dense 3x3"]["calls"], 2)

    def test_what_was_composed_is_shown_as_such(self):
        ista.profile_start()
        self.run_node([("separable", 9, 1, 2), MAX])
        names = self.names()
        self.assertEqual(set(names), {"composed: separable 9x9", "composed: max-pool 3x3"})
        self.assertGreater(names["composed: separable 9x9"]["seconds"], 0)

    def test_threads_have_counters_of_their_own(self):
        seen = []

        def other():
            self.run_node([DENSE_1])
            ista.profile_start()
            self.run_node([AVERAGE])
            seen.append(self.names())

        ista.profile_start()
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        self.run_node([DENSE_3])
        mine = self.names()
        self.assertIn("dense 3x3", mine)
        self.assertFalse({"dense 1x1", "average-pool 3x3"} & set(mine))
        self.assertIn("average-pool 3x3", seen[0])
        self.assertFalse({"dense 1x1", "dense 3x3"} & set(seen[0]))


class DenseTest(unittest.TestCase):
    def check(self, function, inputs, kernels, affine=False, training=True, seed=0, switched_off=1.0):
        generator = torch.Generator().manual_seed(seed)
        channels = sum(kernel.shape[0] for kernel in kernels)
        base = norm(channels, generator, affine)
        if affine:
            # A channel that is switched off: its normalised values cannot be got back from the output.
            base[0][seed % channels] *= switched_off
        results = []
        for dtype in (torch.float64, torch.float32):
            leaves = [tensor.to(dtype).requires_grad_() for tensor in inputs]
            weights = [tensor.to(dtype).requires_grad_() for tensor in kernels]
            norms = [None if t is None else t.clone().to(dtype).requires_grad_(i < 2) for i, t in enumerate(base)]
            if base[2] is None:
                norms = [None] * 4
            output = function(leaves, weights, norms, training)
            factor = torch.randn(output.shape, generator=torch.Generator().manual_seed(9)).to(dtype)
            wanted = leaves + weights + [tensor for tensor in norms[:2] if tensor is not None]
            gradients = torch.autograd.grad((output * factor).sum(), wanted)
            result = {"output": output.detach(), "mean": norms[2].detach(), "variance": norms[3].detach()}
            result.update({f"gradient {i}": gradient for i, gradient in enumerate(gradients)})
            with torch.no_grad():
                result["output without gradient"] = function(leaves, weights, norms, False)
            results.append(result)
        compare(self, results[1], results[0])

    def test_relu_conv_norm(self):
        run = lambda x, w, n, training: ista.relu_conv_norm(x, w[0], n, training, MOMENTUM, EPSILON)
        for channels, size, affine, training in itertools.product(([16], [4, 4, 4, 4], [3, 10]), ((6, 6), (1, 1), (5, 9)), (False, True),
                                                                  (True, False)):
            inputs = [torch.randn(4, c, *size) for c in channels]
            self.check(run, inputs, [torch.randn(12, sum(channels), 1, 1)], affine, training)

    def test_switched_off_channels(self):
        run = lambda x, w, n, training: ista.relu_conv_norm(x, w[0], n, training, MOMENTUM, EPSILON)
        for switched_off, training, seed in itertools.product((0.0, 1e-3, 1.0), (True, False), range(4)):
            self.check(run, [torch.randn(4, 8, 5, 5)], [torch.randn(12, 8, 1, 1)], True, training, seed, switched_off)

    def test_factorized_reduce(self):
        run = lambda x, w, n, training: ista.factorized_reduce(x, w[0], w[1], n, training, MOMENTUM, EPSILON)
        for channels, size, affine, training in itertools.product(([16], [4, 6], [5]), ((6, 6), (3, 5), (1, 1), (8, 7)), (False, True),
                                                                  (True, False)):
            inputs = [torch.randn(4, c, *size) for c in channels]
            kernels = [torch.randn(9, sum(channels), 1, 1), torch.randn(9, sum(channels), 1, 1)]
            self.check(run, inputs, kernels, affine, training)

    def test_conv_norm(self):
        for stride, padding, relu, affine, training in itertools.product((1, 2), (0, 1), (False, True), (False, True), (True, False)):
            run = lambda x, w, n, training: ista.conv_norm(x[0], w[0], n, stride, padding, relu, training, MOMENTUM, EPSILON)
            self.check(run, [torch.randn(3, 3, 7, 8)], [torch.randn(11, 3, 3, 3)], affine, training)
        run = lambda x, w, n, training: ista.conv_norm(x[0], w[0], n, 2, 1, False, training, MOMENTUM, EPSILON)
        self.check(run, [torch.randn(2, 3, 33, 31)], [torch.randn(24, 3, 3, 3)])

    def test_wrong_arguments_are_refused(self):
        x, n = torch.randn(2, 8, 5, 5), [None, None, torch.zeros(8), torch.ones(8)]
        with self.assertRaisesRegex(RuntimeError, "weight must be"):
            ista.relu_conv_norm([x], torch.randn(8, 9, 1, 1), n, True, MOMENTUM, EPSILON)
        with self.assertRaisesRegex(RuntimeError, "does not fit"):
            ista.conv_norm(x, torch.randn(8, 8, 7, 7), n, 1, 0, False, True, MOMENTUM, EPSILON)
        with self.assertRaisesRegex(RuntimeError, "same N, H and W"):
            ista.relu_conv_norm([x, x[:1]], torch.randn(8, 16, 1, 1), n, True, MOMENTUM, EPSILON)


class AddingInPlaceTest(unittest.TestCase):
    """Fused operators add their gradients into the one that made the tensor; nobody who looks may see the difference."""

    def network(self, dtype, look=None):
        """A tensor that fused operators and others read, several times; `look` is given it. The loss and the leaves."""
        generator = torch.Generator().manual_seed(3)
        tensor = lambda *shape: (torch.randn(*shape, generator=generator).to(dtype) / shape[1] ** 0.5).requires_grad_()
        n = lambda: [None, None, torch.zeros(8, dtype=dtype), torch.ones(8, dtype=dtype)]
        sum_of = lambda inputs, operations, kernels, norms: node(
            inputs, None, operations, [1] * len(inputs), kernels, norms, [None] * len(inputs))
        image, first, second = tensor(4, 8, 9, 7), tensor(8, 8, 1, 1), tensor(8, 24, 1, 1)
        kernels = [tensor(8, 1, 3, 3), tensor(8, 8, 1, 1), tensor(8, 8, 3, 3)]
        halves = [tensor(4, 16, 1, 1), tensor(4, 16, 1, 1)]
        shared = ista.relu_conv_norm([image], first, n(), True, MOMENTUM, EPSILON)
        if look:
            look(shared)
        one = sum_of([shared, shared, shared], [DILATED_3, AVERAGE, DENSE_3], kernels, n() + n() + n())
        two = sum_of([shared, one], [MAX, SKIP], [], n() + [None] * 4)
        three = ista.relu_conv_norm([shared, one, shared], second, n(), True, MOMENTUM, EPSILON)
        four = ista.factorized_reduce([one, shared], *halves, n(), True, MOMENTUM, EPSILON)
        loss = (two * three).sin().sum() + (shared * one).cos().sum() + four.exp().sum()
        return loss, shared, [image, first, second, *kernels, *halves]

    def close(self, actual, expected):
        error = ((actual.double() - expected.double()).norm() / expected.double().norm()).item()
        self.assertLess(error, 1e-5)

    def test_gradients_of_a_tensor_that_many_read(self):
        exact, _, exact_leaves = self.network(torch.float64)
        loss, _, leaves = self.network(torch.float32)
        for gradient, expected in zip(torch.autograd.grad(loss, leaves), torch.autograd.grad(exact, exact_leaves)):
            self.close(gradient, expected)

    def test_somebody_asks_for_the_gradient_in_the_middle(self):
        exact, exact_shared, exact_leaves = self.network(torch.float64)
        loss, shared, leaves = self.network(torch.float32)
        wanted = torch.autograd.grad(exact, [exact_shared, *exact_leaves], retain_graph=True)
        for gradient, expected in zip(torch.autograd.grad(loss, [shared, *leaves], retain_graph=True), wanted):
            self.close(gradient, expected)
        self.close(torch.autograd.grad(loss, shared)[0], wanted[0])

    def test_hooks_see_the_whole_gradient(self):
        exact, exact_shared, _ = self.network(torch.float64)
        expected, = torch.autograd.grad(exact, exact_shared)
        seen = []
        loss, _, _ = self.network(torch.float32, lambda shared: shared.register_hook(seen.append))
        loss.backward()
        self.assertEqual(len(seen), 1)
        self.close(seen[0], expected)
        loss, shared, _ = self.network(torch.float32, lambda shared: shared.retain_grad())
        loss.backward()
        self.close(shared.grad, expected)

    def test_nothing_is_left_for_the_next_pass(self):
        loss, _, leaves = self.network(torch.float32)
        first = torch.autograd.grad(loss, leaves, retain_graph=True)
        torch.autograd.grad(loss, leaves[:1], retain_graph=True)
        for gradient, again in zip(first, torch.autograd.grad(loss, leaves)):
            self.assertTrue(torch.equal(gradient, again))


class MemoryTest(unittest.TestCase):
    """Blocks of memory that are halved, joined and given to others: no two tensors may share one."""

    def test_no_two_tensors_overlap(self):
        draw = random.Random(5)
        alive, norms = [], [None] * 4
        for turn in range(400 if LONG else 120):
            if alive and draw.random() < 0.48:
                tensor, value = alive.pop(draw.randrange(len(alive)))
                self.assertTrue(bool((tensor == value).all()), f"turn {turn}: {tuple(tensor.shape)}")
                del tensor
                continue
            # An identity node makes a fresh tensor of this library's.
            shape = (draw.choice((1, 8, 64)), draw.choice((3, 16, 36, 64)), draw.choice((8, 16, 33)), draw.choice((8, 32)))
            tensor = node([torch.full(shape, float(turn))], None, [SKIP], [1], [], norms, [None])
            alive.append((tensor, turn))
        for tensor, value in alive:
            self.assertTrue(bool((tensor == value).all()))

    def test_steps_after_the_first_ask_for_no_memory(self):
        # Many small tensors and a few large ones whose size is no power of two, as a network's stem makes them.
        def fresh(channels, size):
            return node([images[channels, size]], None, [SKIP], [1], [], [None] * 4, [None])

        layers = [(48, 32)] + [(16, 32)] * 24 + [(32, 16)] * 16 + [(64, 8)] * 16
        images = {layer: torch.ones(256, layer[0], layer[1], layer[1]).contiguous(memory_format=torch.channels_last)
                  for layer in set(layers)}
        faults = []
        for _ in range(8):
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            kept, gradient = [fresh(*layer) for layer in layers], None
            while kept:
                gradient = fresh(*layers[len(kept) - 1])
                kept.pop()
            del gradient
            faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
        # A fault for every page of 4 KiB or 2 MiB of some 700 MiB at first.
        self.assertGreater(faults[0], 100, faults)
        self.assertLess(max(faults[4:]), 30, faults)


class SgdTest(unittest.TestCase):
    def test_like_torch(self):
        cases = itertools.product((torch.float32, torch.float64), (0.0, 0.5, 1e6), (False, True))
        for dtype, max_norm, nesterov in cases:
            parameters = [torch.randn(shape, dtype=dtype) for shape in ((3,), (17, 5), (40000,))]
            ours = [parameter.clone() for parameter in parameters]
            momenta = [torch.zeros_like(parameter) for parameter in parameters]
            for parameter in parameters:
                parameter.requires_grad_()
            optimiser = torch.optim.SGD(parameters, lr=0.1, momentum=0.9, weight_decay=3e-4, nesterov=nesterov)
            for _ in range(3):
                gradients = [torch.randn_like(parameter) for parameter in parameters]
                for parameter, gradient in zip(parameters, gradients):
                    parameter.grad = gradient.clone()
                expected = torch.nn.utils.clip_grad_norm_(parameters, max_norm if max_norm > 0 else 1e30).item()
                optimiser.step()
                total = ista.sgd_step(ours, gradients, momenta, 0.1, 0.9, 3e-4, max_norm, nesterov)
                self.assertAlmostEqual(total / expected, 1, places=5)
            for mine, theirs in zip(ours, parameters):
                self.assertLess((mine - theirs).abs().max().item(), 1e-5)


if __name__ == "__main__":
    unittest.main()
