"""A network's scores and input gradients in batches of one fixed size, so that an image's numbers do not depend on its neighbours.

torch's float32 kernels depend on the size of the batch, and for one size on nothing else in it (tests/adversarial/test_scores.py).
A step by the sign of a gradient turns the smallest difference into another image; hence every batch is filled up to BATCH.
"""

import numpy as np
import torch
from torch import Tensor

from stiffcore import device
from stiffcore.analysis import input_gradient
from stiffcore.errors import not_finite
from stiffcore.networks.network import Network

BATCH = 16  # ResNet18 on one core: 4.5 ms an image forward, 9.5 with the gradient; 11 and 28 alone, 3.9 and 8.8 in 32
TIE = 1e-5  # of the largest score: two scores as near as that may change their order by rounding


class Scores:
    """A network on one thread in float32. Images are float32 in grey levels, shape (n, 3, H, W), n ≤ BATCH.

    Raises CannotCompute for scores that are not finite.
    """

    def __init__(self, network: Network) -> None:
        device.use_one_thread()
        self._module = network.module()
        self._exact: torch.nn.Module | None = None
        about = network.preprocessing
        self._centre, self._scale = (
            torch.tensor(values, dtype=torch.float64).view(1, 3, 1, 1)
            for values in (about.mean, about.standard_deviation)
        )

    def _scores(self, images: Tensor) -> Tensor:
        normalised = (images / 255 - self._centre.to(images)) / self._scale.to(images)
        scores: Tensor = self._module(normalised)
        if not torch.isfinite(scores).all():
            raise not_finite("the network's scores")
        return scores

    def of(self, images: Tensor) -> Tensor:
        """float64, shape (n, classes)."""
        with torch.inference_mode():
            return self._scores(_filled(images))[: len(images)].double()

    def with_gradient(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """The scores, and the sign of ∇ₓ L, float32 of −1, 0 and 1. L: cross-entropy at the labels, shape (n,)."""
        x = _filled(images).detach().clone().requires_grad_()
        scores = self._scores(x)
        known = torch.cat([labels, labels[-1:].expand(len(x) - len(labels))])
        (gradient,) = torch.autograd.grad(scores, x, input_gradient.loss_gradient(scores.detach(), known).to(scores))
        return scores.detach()[: len(images)].double(), gradient[: len(images)].sign()

    def confirms(self, image: Tensor, label: int) -> bool:
        """Whether the network in float64 predicts another class than the label for one image, shape (3, H, W)."""
        if self._exact is None:
            import copy

            self._exact = copy.deepcopy(self._module).double()
        exact = image[None].double()
        with torch.inference_mode():
            scores = self._exact((exact / 255 - self._centre) / self._scale)
        return bool(scores[0].argmax() != label)


def _filled(images: Tensor) -> Tensor:
    """The batch filled up with copies of its last image."""
    if not 0 < len(images) <= BATCH:
        raise ValueError(f"Expected 1 to {BATCH} images, got {len(images)}.")
    return torch.cat([images, images[-1:].expand(BATCH - len(images), *images.shape[1:])])


def margins(scores: Tensor, labels: Tensor) -> Tensor:
    """The label's score minus the largest other one, shape (n,): positive where the prediction is right."""
    label = labels[:, None]
    return scores.gather(1, label)[:, 0] - scores.scatter(1, label, -torch.inf).amax(1)


def changed(scores: Tensor, labels: Tensor) -> np.ndarray:
    """Where another class than the label leads by more than rounding, bool (n,)."""
    return (margins(scores, labels) < -TIE * scores.abs().amax(1)).numpy()
