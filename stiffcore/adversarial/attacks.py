"""The smallest FGSM step and the smallest PGD perturbation that change a prediction; ``requests`` defines both.

``reference`` is the slow version, one image and one step at a time.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from stiffcore.adversarial.requests import LIMIT, PARTS, PER_LEVEL, PGD_MOVE, PGD_STEPS, SEED
from stiffcore.adversarial.scores import BATCH, Scores, changed, margins
from stiffcore.images.image import Image
from stiffcore.networks.network import Network

Tick = Callable[[], None]  # called between two batches; may raise Cancelled
GRID = LIMIT * PER_LEVEL  # steps of the grid


@dataclass(frozen=True)
class Found:
    """A perturbed image that is predicted otherwise. step: its size in steps of the grid; pixels: float32 (3, H, W)."""

    step: int
    pixels: Tensor = field(repr=False)
    seen: int  # the class that is predicted


@dataclass
class Attacked:
    """An image under attack. pixels: float32 (3, H, W), grey levels; signs: of the gradient, likewise."""

    at: int  # its place among the images asked for
    image: Image
    label: int
    pixels: Tensor = field(repr=False)
    signs: Tensor = field(repr=False)
    fgsm: Found | None = None
    whole: Found | None = None
    pgd: Found | None = None


def moved(pixels: Tensor, signs: Tensor, step: int) -> Tensor:
    """The image after a step of the grid along the signs, within 0 … 255; float32 does not round."""
    return (pixels + step / PER_LEVEL * signs).clamp(0, 255)


def start(image: Image, shape: torch.Size, seed: int = SEED) -> Tensor:
    """The random start of an image, uniform over whole parts from −PARTS to PARTS; the same at every ε."""
    digest = hashlib.sha256(f"{seed} {image.sha256}".encode()).digest()
    drawn = np.random.RandomState(int.from_bytes(digest[:4], "little"))  # its streams never change between versions
    return torch.from_numpy(drawn.randint(-PARTS, PARTS + 1, size=tuple(shape)).astype(np.float32))


def fgsm(scores: Scores, one: Attacked, tick: Tick = lambda: None) -> None:
    """Sets the smallest step, and the smallest whole step, of every one from below, a batch at a time."""
    one.fgsm = _first(scores, one, range(1, GRID + 1), tick)
    if one.fgsm is not None:
        first_whole = -(-one.fgsm.step // PER_LEVEL) * PER_LEVEL
        is_whole = first_whole == one.fgsm.step
        one.whole = one.fgsm if is_whole else _first(scores, one, range(first_whole, GRID + 1, PER_LEVEL), tick)


def _first(scores: Scores, one: Attacked, steps: range, tick: Tick) -> Found | None:
    """The first of the steps that changes the prediction."""
    for begin in range(0, len(steps), BATCH):
        tick()
        tried = steps[begin : begin + BATCH]
        images = torch.stack([moved(one.pixels, one.signs, step) for step in tried])
        of_steps = scores.of(images)
        hits = np.flatnonzero(changed(of_steps, torch.full((len(tried),), one.label)))
        if len(hits):
            at = int(hits[0])
            return Found(tried[at], images[at], int(of_steps[at].argmax()))
    return None


class _Bisection:
    """The bisection of one image's ε, in steps of the grid, and the attack that is running."""

    def __init__(self, one: Attacked) -> None:
        self.one, self.begin = one, start(one.image, one.pixels.shape)
        self.low = 0
        self.best = one.fgsm
        self._next()

    def _next(self) -> None:
        high = GRID + 1 if self.best is None else self.best.step
        self.trying = GRID if self.best is None else (self.low + high) // 2  # the limit is tried first
        self.is_over = high - self.low <= 1
        self.step = 0
        self.change = self.begin * (self.trying / PER_LEVEL / PARTS)

    @property
    def pixels(self) -> Tensor:
        return (self.one.pixels + self.change).clamp(0, 255)

    def take(self, pixels: Tensor, signs: Tensor, seen: int | None) -> None:
        """The outcome of a batch at ``pixels``: seen is the class if the prediction changed, and signs point uphill."""
        if seen is not None:
            self.best = Found(self.trying, pixels.clone(), seen)
            self._next()
        elif self.step == PGD_STEPS:
            self.low = self.trying
            self._next()
        else:
            self.step += 1
            radius = self.trying / PER_LEVEL
            change = pixels - self.one.pixels + radius * PGD_MOVE / PARTS * signs
            self.change = change.clamp(-radius, radius)


def pgd(scores: Scores, attacked: Iterable[Attacked], tick: Tick = lambda: None) -> Iterator[Attacked]:
    """Sets the smallest PGD perturbation found, and yields each image when it is done; FGSM comes before.

    A batch holds BATCH images, each at an ε and a step of its own; the next image takes the place of one that is done.
    """
    waiting, running = iter(attacked), list[_Bisection]()
    while True:
        while len(running) < BATCH and (one := next(waiting, None)) is not None:
            running.append(_Bisection(one))
        over = [bisection for bisection in running if bisection.is_over]
        running = [bisection for bisection in running if not bisection.is_over]
        for bisection in over:
            bisection.one.pgd = bisection.best
            yield bisection.one
        if over:  # their places are free
            continue
        if not running:
            return
        tick()
        images = torch.stack([bisection.pixels for bisection in running])
        labels = torch.tensor([bisection.one.label for bisection in running])
        of_images, signs = scores.with_gradient(images, labels)
        hit, seen = changed(of_images, labels), of_images.argmax(1)
        for at, bisection in enumerate(running):
            bisection.take(images[at], signs[at], int(seen[at]) if hit[at] else None)


def clean(scores: Scores, network: Network, images: Sequence[tuple[int, Image]]) -> Iterator[tuple[Attacked, dict]]:
    """The images of a batch, each with its place, ready to be attacked; and predicted, loss and margin of the unchanged image."""
    pixels = torch.stack([_as_tensor(network, image) for _, image in images])
    before = scores.of(pixels)
    known = [network.label_of(image) for _, image in images]
    labels = torch.tensor([int(before[at].argmax()) if label is None else label for at, label in enumerate(known)])
    _, signs = scores.with_gradient(pixels, labels)
    losses = torch.nn.functional.cross_entropy(before, labels, reduction="none")
    apart = margins(before, labels)
    for at, (place, image) in enumerate(images):
        facts = {"predicted": int(before[at].argmax()), "loss": float(losses[at]), "margin": float(apart[at])}
        yield Attacked(place, image, int(labels[at]), pixels[at], signs[at]), facts


def _as_tensor(network: Network, image: Image) -> Tensor:
    """The pixels in grey levels: float32 (3, H, W). Raises CannotCompute for an image of another size."""
    network.normalised(image)
    return torch.from_numpy(image.pixels.transpose(2, 0, 1).astype(np.float32))
