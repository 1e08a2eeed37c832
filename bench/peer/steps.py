# One step of the two-stage search, and one of ordinary training.
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ista_nas import AUXILIARY_WEIGHT, EvaluationNetwork, SparseCodes


class SearchStep:
    """First-order alternation (section 3 of the paper): b on a validation batch by Adam, then weights on a training batch by SGD.

    The network is the super-net of either space; there are codes for each of its cell types.
    """

    def __init__(
        self, network: nn.Module, *codes: SparseCodes,
        lr=0.1, momentum=0.9, weight_decay=3e-4, clip=5.0, code_lr=6e-4, code_weight_decay=1e-3, full_backward=False,
    ):  # fmt: skip
        self.full_backward = full_backward
        self.network, self.codes, self.clip = network, codes, clip
        self.trained = [parameter for part in codes for parameter in part.parameters()]
        self.sgd = torch.optim.SGD(network.parameters(), lr=lr, momentum=momentum, weight_decay=weight_decay)
        self.adam = torch.optim.Adam(
            self.trained, lr=code_lr, betas=(0.5, 0.999), weight_decay=code_weight_decay
        )  # fmt: skip

    def weights(self) -> list:
        """Per cell type what the network is to weight its connections by."""
        return [part.weights() for part in self.codes]

    def recover(self, *recovered: SparseCodes) -> None:
        """Takes the codes z of the next epoch (b goes on) and gives the operations that are new to the optimiser."""
        known = set(self.network.parameters())
        for mine, found in zip(self.codes, recovered):
            for node in range(len(mine.b)):
                mine.get_buffer(f"z{node}").copy_(found.get_buffer(f"z{node}"))
        self.network.set_supports(*(part.supports for part in self.codes))
        added = [parameter for parameter in self.network.parameters() if parameter not in known]
        if added:
            self.sgd.add_param_group({"params": added})

    def codes_pass(self, images: Tensor, labels: Tensor) -> float:
        """The validation loss before the step of b.

        Only the gradient of b is computed, unless `full_backward`: then those of all weights are too, and thrown away,
        as in programs that call `loss.backward()` here.
        """
        logits, _ = self.network(images, *self.weights())
        loss = cross_entropy(logits, labels)
        if self.full_backward:
            self.adam.zero_grad(set_to_none=True)
            self.sgd.zero_grad(set_to_none=True)
            loss.backward()
        else:
            for parameter, gradient in zip(self.trained, torch.autograd.grad(loss, self.trained)):
                parameter.grad = gradient
        self.adam.step()
        return loss.item()

    def weights_pass(self, images: Tensor, labels: Tensor) -> tuple[float, float]:
        """The training loss before the step of the weights, and the norm of the gradient before clipping."""
        with torch.no_grad():
            weights = self.weights()
        self.sgd.zero_grad(set_to_none=True)
        loss = cross_entropy(self.network(images, *weights)[0], labels)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), self.clip)
        self.sgd.step()
        return loss.item(), norm.item()


class TrainStep:
    """Training of a found network: one forward, one backward, clipping, SGD."""

    def __init__(self, network: EvaluationNetwork, *, lr=0.025, momentum=0.9, weight_decay=3e-4, clip=5.0):
        self.network, self.clip = network, clip
        self.sgd = torch.optim.SGD(network.parameters(), lr=lr, momentum=momentum, weight_decay=weight_decay)

    def __call__(self, images: Tensor, labels: Tensor, masks=None) -> float:
        self.sgd.zero_grad(set_to_none=True)
        logits, auxiliary_logits = self.network(images, masks)
        loss = cross_entropy(logits, labels)
        if auxiliary_logits is not None:
            loss = loss + AUXILIARY_WEIGHT * cross_entropy(auxiliary_logits, labels)
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), self.clip)
        self.sgd.step()
        return loss.item()
