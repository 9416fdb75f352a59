"""An image with Gaussian noise or an adversarial step added, at a strength of k grey levels of 255 (ε = k / 255).

    noise   x + k z             z from N(0, 1), independent for each of the 3,072 values, seeded
    fgsm    x + k sign(∇ₓ L)    L: the network's cross-entropy at the image's label, or at the predicted label if the image
                                is unlabelled; the fast gradient sign method (Goodfellow, Shlens and Szegedy, "Explaining
                                and Harnessing Adversarial Examples", ICLR 2015, section 4)

x in grey levels. Both are rounded and clipped to 0 … 255: the result is an ordinary image, and ``images.uploaded`` gives it a
number. FGSM changes no value by more than k. Before clipping, the Euclidean norm of its step is k √3072, which is also the root
mean square norm of the noise: equal k are equally long steps, one in an adversarial and one in a random direction.
Imports torch only to compute.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from stiffcore.analysis import compute as analysis
from stiffcore.analysis.requests import Request
from stiffcore.analysis.results import Result
from stiffcore.conventions import Convention
from stiffcore.device_names import AUTO
from stiffcore.errors import CannotCompute
from stiffcore.images import uploaded as uploaded_images
from stiffcore.images.image import Image, pixels_sha256
from stiffcore.networks.network import Network
from stiffcore.progress import Progress, silent
from stiffcore.storage import cache as result_cache, kept

if TYPE_CHECKING:  # pandas would delay the commands that need none
    import pandas as pd

ALGORITHM = 2  # raise it when equal requests would give other pixels
KINDS = {"fgsm": "Adversarial step (FGSM)", "noise": "Gaussian noise"}
STRONGEST = 64  # grey levels
SEEDS = 1000
SWEEP = (0, 1, 2, 4, 8)  # grey levels
SWEPT = ("stiffness_index", "percent_negative", "max_re")  # metrics


@dataclass(frozen=True)
class PerturbationRequest:
    """kind: of KINDS; strength: k, in grey levels; seed: of the noise, 0 under fgsm."""

    network: Network
    image: Image
    kind: str
    strength: int
    seed: int = 0

    def in_header(self) -> dict[str, object]:
        """The request in a stored result's header: names in place of the objects."""
        return vars(self) | {"network": self.network.name, "image": self.image.in_rows}


@dataclass(frozen=True)
class Perturbed:
    """A perturbed image, and the network's losses before and after.

    pixels: uint8 (32, 32, 3). image: the pixels as an Image. losses_before, losses: the cross-entropy for each of the
    network's classes, float64 (classes,). notice: shown to the user if the result could not be stored.
    """

    request: PerturbationRequest
    pixels: np.ndarray
    image: Image
    losses_before: np.ndarray
    losses: np.ndarray
    notice: str = ""
    seconds: float | None = None  # of the computation; None if not measured

    @property
    def label(self) -> int:
        """The label whose loss counts: the image's, or if it is unlabelled, the one predicted before."""
        known = self.request.network.label_of(self.request.image)
        return int(self.losses_before.argmin()) if known is None else known

    @property
    def seen(self) -> tuple[int, int]:
        """The predicted labels before and after."""
        return int(self.losses_before.argmin()), int(self.losses.argmin())

    @property
    def loss(self) -> tuple[float, float]:
        return float(self.losses_before[self.label]), float(self.losses[self.label])


def check(request: PerturbationRequest) -> PerturbationRequest:
    """The request itself. Raises CannotCompute for an unknown kind, for a strength or seed out of range, and without a head."""
    if not request.network.classes:
        raise CannotCompute(
            f"Expected a network with a head, whose loss is compared, got {request.network.title or request.network.name} "
            "without one: choose another network."
        )
    if request.kind == "fgsm" and request.image.pixels.shape[0] != request.network.preprocessing.image_size:
        raise CannotCompute(
            "Expected a network whose images are not resized, since an FGSM step is one of its input's pixels, got "
            f"{request.network.title or request.network.name}: choose noise, or another network."
        )
    if request.kind not in KINDS:
        raise CannotCompute(
            f"Expected a perturbation among {', '.join(KINDS)}, got {request.kind!r}: choose one of them."
        )
    for name, value, most in (("strength", request.strength, STRONGEST), ("seed", request.seed, SEEDS - 1)):
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
            raise CannotCompute(f"Expected a {name} from 0 to {most}, got {value!r}: choose a whole number in between.")
    return request


def key(request: PerturbationRequest) -> str:
    return result_cache.key(
        {
            "what": "perturbation",
            "algorithm": ALGORITHM,
            **request.network.key_fields(request.image),
            "label": request.network.label_of(request.image),
            "kind": request.kind,
            "strength": request.strength,
            "seed": request.seed if request.kind == "noise" else 0,
        }
    )


def noise(image: Image, strength: int, seed: int) -> np.ndarray:
    """The image with noise: uint8 (32, 32, 3). A seed gives the same direction at every strength and on every image."""
    drawn = np.random.RandomState(seed).standard_normal(image.pixels.shape)  # its streams never change between versions
    return _moved(image, strength * drawn)


def fgsm(network: Network, image: Image, strength: int) -> np.ndarray:
    """The image after an FGSM step: uint8 (32, 32, 3), no value changed by more than ``strength``."""
    return _moved(image, strength * _signs(network, image))


def _moved(image: Image, step: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(image.pixels + step), 0, 255).astype(np.uint8)


@lru_cache(maxsize=64)
def _signs(network: Network, image: Image) -> np.ndarray:
    """sign ∇ₓ L, float64 (32, 32, 3): of −1, 0 and 1.

    The gradient is taken with respect to the normalised input, (x / 255 − mean) / standard deviation, which increases with x:
    its sign is that of the gradient in grey levels.
    """
    import torch

    from stiffcore import device
    from stiffcore.analysis.input_gradient import loss_gradient

    device.use_one_thread()
    x = network.normalised(image)[None].requires_grad_()
    scores = network.module()(x)
    label = network.label_of(image)
    aim = scores.argmax(1) if label is None else torch.tensor([label])
    (gradient,) = torch.autograd.grad(scores, x, loss_gradient(scores.detach(), aim).to(scores))
    signs = gradient[0].sign().permute(1, 2, 0).double().numpy()
    signs.flags.writeable = False  # shared by every caller
    return signs


def stored(request: PerturbationRequest) -> Perturbed | None:
    """The stored or shipped perturbed image, put back among the uploaded images; None where there is none. Imports no torch."""

    def read(entry: result_cache.Entry) -> Perturbed:
        pixels, (before, after) = entry.arrays["pixels"], entry.arrays["losses"]
        return Perturbed(request, pixels, _kept(request, pixels), before, after, "", entry.header.get("seconds"))

    return kept.find(key(check(request)), read)


def compute(request: PerturbationRequest, progress: Progress | None = None, again: bool = False) -> Perturbed:
    """The perturbed image and the network's losses at both, stored or computed and then stored.

    again: compute them even if they are stored.
    """
    report = progress or silent

    def fresh() -> tuple[Perturbed, result_cache.Entry]:
        began = time.perf_counter()
        report(0, 3, "the image's gradient" if request.kind == "fgsm" else "noise")
        made_of = (request.network, request.image, request.strength)
        pixels = fgsm(*made_of) if request.kind == "fgsm" else noise(*made_of[1:], request.seed)
        among_uploaded = _kept(request, pixels)
        report(1, 3, "predictions")
        losses = np.stack([analysis.all_losses(request.network, image) for image in (request.image, among_uploaded)])
        seconds = round(time.perf_counter() - began, 3)
        header = {"request": request.in_header(), "seconds": seconds}
        computed = Perturbed(request, pixels, among_uploaded, losses[0], losses[1], seconds=seconds)
        return computed, result_cache.Entry(header, {"pixels": pixels, "losses": losses})

    name = key(check(request))
    perturbed, notice = kept.computed_once(name, lambda: stored(request), fresh, report, again)
    report(3, 3, "done")
    return replace(perturbed, notice=notice)


def name_of(request: PerturbationRequest) -> str:
    """The name of the perturbed image: ``0 + FGSM 4/255``; for noise, with the seed."""
    what = f"FGSM {request.strength}/255" if request.kind == "fgsm" else f"noise {request.strength}/255"
    seed = f", seed {request.seed}" if request.kind == "noise" else ""
    return f"{request.image.name} + {what}{seed}"


def _kept(request: PerturbationRequest, pixels: np.ndarray) -> Image:
    """The pixels as an uploaded image; the image itself if no pixel changed."""
    if np.array_equal(pixels, request.image.pixels):
        return request.image
    known = uploaded_images.default().find(uploaded_images.number_of(pixels))
    if known is None or known.sha256 != pixels_sha256(pixels):
        about: dict[str, object] = {
            "name": name_of(request),
            "label": request.network.label_of(request.image),
            "source": request.image.in_rows,
        }
        about |= {name: value for name, value in request.in_header().items() if name != "image"}
        known = uploaded_images.get(uploaded_images.register(pixels, about))
    return known.as_image()


def sweep_requests(request: PerturbationRequest) -> list[PerturbationRequest]:
    """The same request at every strength of SWEEP."""
    return [replace(request, strength=strength) for strength in SWEEP]


def stored_sweep(request: PerturbationRequest, block: int, convention: Convention) -> "pd.DataFrame | None":
    """The table of ``sweep`` if all of it is stored, else None. Imports no torch."""
    requests = sweep_requests(request)
    perturbed = [image for step in requests if (image := stored(step)) is not None]
    if len(perturbed) < len(requests):
        return None
    of_block = [_of_block(image, block, convention) for image in perturbed]
    results = [result for step in of_block if (result := analysis.stored(step)) is not None]
    return None if len(results) < len(requests) else _table(perturbed, results)


def sweep(
    request: PerturbationRequest,
    block: int,
    convention: Convention,
    progress: Progress | None = None,
    again: bool = False,
    where: str = AUTO,
) -> "pd.DataFrame":
    """Loss and metrics against ε, a row per strength of SWEEP: strength, epsilon, image, seen, correct, loss, the metrics of
    SWEPT, and ``reasons`` (metric -> why it is NaN). again: compute results even if they are stored. where: the spectra's device, see
    ``analysis.compute.compute_many``; the images are perturbed on the CPU."""
    requests = sweep_requests(request)
    perturbed: list[Perturbed] = []
    results: list[Result] = []
    for at, step in enumerate(requests):
        report = _stage(progress, at, len(requests), name_of(step))
        perturbed.append(compute(step, report, again))
        of_block = _of_block(perturbed[-1], block, convention)
        results += (
            analysis.compute_many([of_block], report, again=True, where=where)
            if again
            else [analysis.compute(of_block, report, where)]
        )
    return _table(perturbed, results)


def _stage(progress: Progress | None, done: int, total: int, name: str) -> Progress | None:
    return None if progress is None else lambda part, parts, what: progress(done, total, f"{name}: {what}")


def sweep_made(request: PerturbationRequest, block: int, convention: Convention) -> list[dict]:
    """``made`` of the block's stored results of a sweep: device, precision, seconds ..."""
    perturbed = [image for step in sweep_requests(request) if (image := stored(step)) is not None]
    results = [analysis.stored(_of_block(image, block, convention)) for image in perturbed]
    return [result.made for result in results if result is not None]


def _of_block(perturbed: Perturbed, block: int, convention: Convention) -> Request:
    return Request(perturbed.request.network, perturbed.image, block, convention, "counts")


def _table(perturbed: Sequence[Perturbed], results: Sequence[Result]) -> "pd.DataFrame":
    import pandas as pd

    rows = []
    for one, result in zip(perturbed, results, strict=True):
        row = {"strength": one.request.strength, "epsilon": one.request.strength / 255, "image": one.image.in_rows}
        row |= {
            "seen": one.request.network.class_name(one.seen[1]),
            "correct": one.seen[1] == one.label,
            "loss": one.loss[1],
        }
        row |= {name: result.metrics.get(name, np.nan) for name in SWEPT}
        rows.append(row | {"reasons": {name: result.reasons[name] for name in SWEPT if name in result.reasons}})
    return pd.DataFrame(rows)
