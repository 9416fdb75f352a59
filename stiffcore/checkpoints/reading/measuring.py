"""What the images that ship say about a reading: how many are classified rightly, and whether the batch norms' statistics fit."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor, nn

from stiffcore import device
from stiffcore.images import cifar10
from stiffcore.networks import resnets
from stiffcore.networks.architecture import Architecture
from stiffcore.networks.network import Preprocessing
from stiffcore.progress import Progress

BATCH = 50  # images between two checks for cancellation
THREADS = 2
STATISTICS_OF = 64  # images, of all labels
HOPELESS = 1.0  # misfit behind the stem from which the first block is not looked at
NORMS = 2  # batch norms whose statistics are compared: behind the stem, and in the first block
BORDER = 4  # pixels, of the usual random crops
LARGEST_DISTANCE = 5.0  # of one channel, so that no dead one decides


@contextmanager
def several_threads() -> Iterator[None]:
    """Two threads, if there are two processors: the self-test is one computation, and somebody waits for it."""
    before = torch.get_num_threads()
    torch.set_num_threads(min(THREADS, device.usable_cpus()))
    try:
        yield
    finally:
        torch.set_num_threads(before)


@dataclass(frozen=True)
class Seen:
    """predicted: int64 (N,); loss: float64 (N,), cross-entropy; right: bool (N,)."""

    predicted: np.ndarray
    loss: np.ndarray
    right: np.ndarray


class Examiner:
    """Examines the tensors of one file under several architectures and normalisations."""

    def __init__(self, state: dict[str, Tensor], progress: Progress):
        indices = cifar10.bundled()
        self.images = np.stack([cifar10.image(index) for index in indices])
        self.labels = np.array([cifar10.label(index) for index in indices])
        self._progress = progress
        self.models = lru_cache(maxsize=2)(lambda architecture: resnets.with_weights(architecture, state, ""))
        self.quick_models = lru_cache(maxsize=4)(self._quick_model)

    def _quick_model(self, architecture: Architecture) -> nn.Module:
        """In bfloat16 where that is quicker: it misclassifies about one image of a thousand otherwise than float32."""
        kind = torch.bfloat16 if device.has_bfloat16(torch.device("cpu")) else torch.float32
        model = resnets.with_weights(architecture, self.models(architecture).state_dict(), "")
        return model.to(kind).to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub

    def right(self, architecture: Architecture, preprocessing: Preprocessing, begin: int, end: int) -> np.ndarray:
        """Whether each of these images is classified rightly: bool (end − begin,). Quick."""
        model, found = self.quick_models(architecture), []
        for at in range(begin, end, BATCH):
            self._progress(0, 0, "trying ways to read the file on images that ship")
            losses = resnets.all_losses(model, self.images[at : min(at + BATCH, end)], BATCH, preprocessing)
            found.append(losses.argmin(1))
        return np.concatenate(found) == self.labels[begin:end]

    def seen(self, architecture: Architecture, preprocessing: Preprocessing) -> Seen:
        """All images that ship, in float32."""
        model = self.models(architecture).to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub
        total = len(self.images)
        losses = []
        for at in range(0, total, BATCH):
            self._progress(at, total, "self-test on the images that ship")
            losses.append(resnets.all_losses(model, self.images[at : at + BATCH], BATCH, preprocessing))
        all_losses = np.concatenate(losses)
        predicted = all_losses.argmin(1)
        return Seen(predicted, all_losses[np.arange(total), self.labels], predicted == self.labels)

    def misfit(self, architecture: Architecture, preprocessing: Preprocessing) -> float:
        """How far the first batch norms' stored statistics are from those of the images that ship: the mean over channels of
        |difference of means| / σ + |log ratio of variances|. About 0.05 for the normalisation that the network was trained with.

        Training usually crops images from a border of black pixels, or of zeros after normalisation: the nearest of the three counts.
        """
        self._progress(0, 0, "comparing batch-norm statistics with images that ship")
        images = self.images[:: max(1, len(self.images) // STATISTICS_OF)][:STATISTICS_OF]
        plain = preprocessing(images)
        border = nn.functional.pad(plain, (BORDER,) * 4)
        black = preprocessing(np.zeros_like(images[:1]))[:, :, :1, :1]
        in_black = nn.functional.pad(plain - black, (BORDER,) * 4) + black
        return min(
            _misfit(self.quick_models(architecture), batch) for batch in (plain, _cropped(border), _cropped(in_black))
        )


def _cropped(images: Tensor) -> Tensor:
    """Each image's part at another place of its border: every offset about equally often."""
    side, places = images.shape[2] - 2 * BORDER, 2 * BORDER + 1
    parts = []
    for number, image in enumerate(images):
        down, right = number % places, (number // places + 4 * number) % places
        parts.append(image[:, down : down + side, right : right + side])
    return torch.stack(parts)


class _Enough(Exception):
    """The statistics are known: the rest of the network need not be computed."""


@torch.no_grad()
def _misfit(model: nn.Module, batch: Tensor) -> float:
    distances: list[float] = []

    def compare(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        distances.append(_distance(norm, inputs[0].float()))
        if len(distances) == NORMS or distances[0] > HOPELESS:
            raise _Enough

    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    handles = [norm.register_forward_pre_hook(compare) for norm in norms[:NORMS]]
    try:
        model(batch.to(next(model.parameters())))
    except _Enough:
        pass
    finally:
        for handle in handles:
            handle.remove()
    return float(np.mean(distances))


def _distance(norm: nn.Module, x: Tensor) -> float:
    stored_mean, stored = norm.get_buffer("running_mean").float(), norm.get_buffer("running_var").float()
    live = stored > 1e-3 * stored.median()
    if not live.any():
        return LARGEST_DISTANCE
    stored, here = stored.clamp(min=1e-12), x.var((0, 2, 3)).clamp(min=1e-12)
    apart = (x.mean((0, 2, 3)) - stored_mean).abs() / stored.sqrt() + (here / stored).log().abs()
    mean = apart[live].nan_to_num(LARGEST_DISTANCE).clamp(max=LARGEST_DISTANCE).mean()
    return float(mean)
