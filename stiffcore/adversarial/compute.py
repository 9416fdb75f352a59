"""A network and images -> how small a change of each changes its prediction, through the cache. Imports torch only to compute.

Every image is stored as soon as it is done: what was interrupted computes only what is missing when it runs again.
"""

import datetime
import math
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from stiffcore.adversarial.requests import ALGORITHM, LIMIT, PER_LEVEL, check, key
from stiffcore.images.image import Image
from stiffcore.metrics.missing import Missing, not_computed, undefined
from stiffcore.networks.network import Network
from stiffcore.progress import Progress, silent
from stiffcore.storage import cache as result_cache, kept

if TYPE_CHECKING:
    from stiffcore.adversarial.attacks import Attacked, Found
    from stiffcore.adversarial.scores import Scores

WRONG = undefined("the network predicts it wrongly without any change")
UNCONFIRMED = not_computed("in float64 the perturbed image is predicted as before")
SIZES = ("fgsm_step", "fgsm_whole", "pgd_radius")  # grey levels; infinite: none up to LIMIT
NUMBERS = ("loss", "margin", *SIZES)
CLASSES = ("label", "predicted", "fgsm_seen", "pgd_seen")


@dataclass(frozen=True)
class Robustness:
    """How small a change of an image makes a network change its prediction; ``requests`` defines the sizes, in grey levels.

    label: the image's, or if it is unlabelled, the prediction. margin: the label's score (logit) minus the largest other one.
    sizes: infinite where nothing up to LIMIT changes the prediction, NaN where ``reason`` says why. fgsm_seen, pgd_seen: the
    predicted class afterwards, −1 without one; fgsm_seen is that at the whole step. signs: of the gradient, packed bits of 32·32·3
    values (row, column, channel), 1 uphill. notice: for the user, if the result could not be stored.
    """

    network: Network
    image: Image
    label: int
    predicted: int
    loss: float
    margin: float
    fgsm_step: float
    fgsm_whole: float
    fgsm_seen: int
    pgd_radius: float
    pgd_seen: int
    signs: np.ndarray = field(compare=False, repr=False)
    reason: Missing | None = None
    date: str = ""
    notice: str = ""

    @property
    def correct(self) -> bool:
        return self.predicted == self.label

    def row(self) -> dict[str, object]:
        """The row of a table; ``rows`` lists the columns."""
        about: dict[str, object] = {"network": self.network.name, "weights": self.network.weights_sha256}
        about |= {"image": self.image.in_rows, "correct": self.correct}
        about |= {name: getattr(self, name) for name in (*CLASSES, *NUMBERS)}
        about |= {"reason": "" if self.reason is None else str(self.reason), "algorithm": ALGORITHM, "date": self.date}
        return about | {"signs": self.signs.tobytes()}


def stored(network: Network, image: Image) -> Robustness | None:
    """The stored result; None where there is none. What ships is in ``rows``."""

    def read(entry: result_cache.Entry) -> Robustness:
        header, signs = entry.header, entry.arrays["signs"]
        if signs.dtype != np.uint8 or signs.shape != (-(-image.pixels.size // 8),):
            raise ValueError(f"signs of shape {signs.shape}")
        fields: dict[str, Any] = {name: int(header["classes"][name]) for name in CLASSES}
        fields |= result_cache.numbers_from_json({name: header["numbers"][name] for name in NUMBERS})
        if math.isnan(fields["margin"]):
            raise ValueError("a margin of NaN")  # of scores that were not finite
        fields["reason"] = Missing.read(header["reason"]) if header["reason"] else None
        return Robustness(network, image, signs=signs, date=str(header["date"]), **fields)

    return kept.find(key(network, image), read)


def compute_many(
    network: Network, images: Iterable[Image], progress: Progress | None = None, again: bool = False
) -> Iterator[Robustness]:
    """Results in the order in which they are done, stored ones first. progress counts the images and may raise Cancelled.

    again: compute also what is stored; a new result replaces the stored one when it is done. Raises CannotCompute for a network
    without a head or one that resizes its images, and for images of another size.
    """
    check(network)
    images, report = list(images), progress or silent
    known = {} if again else {at: one for at, image in enumerate(images) if (one := stored(network, image)) is not None}
    yield from known.values()
    rest = [(at, image) for at, image in enumerate(images) if at not in known]
    for done, one in enumerate(_fresh(network, rest, len(known), len(images), report), start=len(known) + 1):
        yield one
        report(done, len(images), network.name)


def _fresh(
    network: Network, images: Sequence[tuple[int, Image]], done: int, total: int, report: Progress
) -> Iterator[Robustness]:
    if not images:
        return
    from stiffcore.adversarial import attacks
    from stiffcore.adversarial.scores import Scores

    began, finished, scores = time.perf_counter(), 0, Scores(network)

    def tick() -> None:
        seconds = time.perf_counter() - began
        each = f", {seconds / finished:.2g} s an image" if finished else ""
        report(done + finished, total, f"{network.name}: smallest changes of images{each}")

    wrong: list[Robustness] = []

    def prepared() -> Iterator["attacks.Attacked"]:
        for at in range(0, len(images), attacks.BATCH):
            tick()
            for one, clean in attacks.clean(scores, network, images[at : at + attacks.BATCH]):
                if clean["predicted"] != one.label:
                    wrong.append(_kept(network, one, clean, (math.nan,) * 3, WRONG))
                    continue
                facts[one.at] = clean
                attacks.fgsm(scores, one, tick)
                yield one

    facts: dict[int, dict] = {}
    for one in attacks.pgd(scores, prepared(), tick):
        finished += 1 + len(wrong)
        yield from wrong
        wrong.clear()
        sizes, reason = _confirmed(scores, one)
        yield _kept(network, one, facts.pop(one.at), sizes, reason)
    yield from wrong


def _confirmed(scores: "Scores", one: "Attacked") -> tuple[tuple[float, ...], Missing | None]:
    """The sizes in grey levels, as far as float64 confirms that the prediction changes."""
    sizes, reason = [], None
    for found in (one.fgsm, one.whole, one.pgd):
        if found is not None and not scores.confirms(found.pixels, one.label):
            reason = UNCONFIRMED
            sizes.append(math.nan)
        else:
            sizes.append(math.inf if found is None else found.step / PER_LEVEL)
    return tuple(sizes), reason


def _kept(
    network: Network, one: "Attacked", clean: dict, sizes: tuple[float, ...], reason: Missing | None
) -> Robustness:
    """The result, stored."""

    def seen(found: "Found | None") -> int:
        return -1 if found is None else found.seen

    uphill = (one.signs > 0).permute(1, 2, 0).numpy()
    date = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d")
    classes = {
        "label": one.label,
        "predicted": clean["predicted"],
        "fgsm_seen": seen(one.whole),
        "pgd_seen": seen(one.pgd),
    }
    numbers = dict(zip(SIZES, sizes, strict=True)) | {name: clean[name] for name in ("loss", "margin")}
    fields: dict[str, Any] = classes | numbers
    result = Robustness(network, one.image, signs=np.packbits(uphill), reason=reason, date=date, **fields)
    header = {
        "request": {"network": network.name, "image": one.image.in_rows, "limit": LIMIT},
        "classes": classes,
        "numbers": result_cache.numbers_to_json(numbers),
        "reason": "" if reason is None else str(reason),
        "date": date,
    }
    notice = result_cache.default().put(key(network, one.image), header, {"signs": result.signs})
    return replace(result, notice=notice or "")
