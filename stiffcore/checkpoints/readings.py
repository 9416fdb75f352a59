"""Reads a checkpoint rightly: which of the architectures that its tensors allow, and which normalisation of its images.

A max-pool and the normalisation are in no tensor, but two things tell them. A network of ten classes classifies most of CIFAR-10's
images rightly only if it is read as it was trained; and the statistics that its first batch norms stored are those of its training
images, so that they differ from those of the images that ship unless stem and normalisation are right. Where neither decides,
the network carries a doubt.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from torch import Tensor

from stiffcore.checkpoints import kept_readings, measuring
from stiffcore.checkpoints.normalisations import NORMALISATIONS, Normalisation, of_classes
from stiffcore.errors import CannotCompute
from stiffcore.images import cifar10
from stiffcore.networks.architecture import STEMS as ALL_STEMS, Architecture
from stiffcore.networks.network import Preprocessing
from stiffcore.progress import Progress, silent

STEMS = ("pool", "none")
FIRST, THEN = 50, 200  # images of the first rounds
FAR_BEHIND, BEHIND = 0.25, 0.10  # of accuracy: readings that leave after the first and the second round
NEAR = 0.02  # two readings within this accuracy could both be right
LEAST = 0.5  # accuracy below which a network of ten classes is in doubt
FITS, CLEARLY = 0.15, 1.6  # a misfit that is small, and the factor to the next that decides
LARGE = 224  # pixels; images of networks with a 7×7 stem


@dataclass(frozen=True)
class Candidate:
    """One way to read a file."""

    architecture: Architecture
    normalisation: Normalisation
    image_size: int

    @property
    def preprocessing(self) -> Preprocessing:
        return Preprocessing(self.normalisation.mean, self.normalisation.standard_deviation, self.image_size)

    @property
    def words(self) -> str:
        """``without max-pool, with CIFAR-10's normalisation``."""
        a = self.architecture
        words = [f"with {self.normalisation.title}"]
        if a.is_preactivated and a.shortcut == "convolution of x":
            words.insert(0, "with skips of the input" + (" and late strides" if a.late_stride else ""))
        if not a.is_preactivated and len(a.depths) > 3:
            words.insert(0, "with max-pool" if ALL_STEMS[a.stem][2] else "without max-pool")
        size = f", for images of {self.image_size} × {self.image_size} pixels" if self.image_size != cifar10.SHAPE[0] else ""
        return ", ".join(words) + size


@dataclass(frozen=True)
class Reading:
    """How a file is read. sentence: in words, with what was measured; doubt: why it may be wrong, or "". accuracy: 0 to 1, on the
    images that ship, None if their labels are not its classes; predicted, loss: by the number of each of these images."""

    architecture: Architecture
    preprocessing: Preprocessing
    sentence: str
    doubt: str = ""
    accuracy: float | None = None
    predicted: dict[int, int] = field(default_factory=dict)
    loss: dict[int, float] = field(default_factory=dict)


def in_file(mean: Tensor, standard_deviation: Tensor) -> Normalisation | None:
    """The normalisation that a file holds; None if these numbers are none."""
    values = [tuple(map(float, tensor.flatten())) for tensor in (mean, standard_deviation)]
    scale = 255.0 if max(values[0]) > 1 else 1.0  # of images from 0 to 255
    means, deviations = (tuple(round(value / scale, 6) for value in three) for three in values)
    good = all(map(math.isfinite, (*means, *deviations))) and min(deviations) > 0
    return Normalisation("file", "the file's own normalisation", means, deviations) if good else None


def best(
    state: dict[str, Tensor],
    architectures: Sequence[Architecture],
    normaliser: Normalisation | None = None,
    stem: str = "",
    normalisation: str = "",
    progress: Progress = silent,
) -> Reading:
    """The reading that fits the tensors best.

    stem: of STEMS, normalisation: of NORMALISATIONS; "" for what fits best. normaliser: the file's own. Raises CannotCompute for an
    unknown name.
    """
    candidates = _candidates(architectures, normaliser, stem, normalisation)
    key = kept_readings.key(state, [repr(candidate) for candidate in candidates])
    if (kept := kept_readings.find(key, len(candidates))) is not None:
        return _reading(candidates[kept.chosen], kept)
    with measuring.several_threads():
        examiner = measuring.Examiner(state, progress)
        made = _measured(examiner, candidates) if _is_cifar10(candidates) else _unmeasured(examiner, candidates)
    kept_readings.keep(key, made)
    return _reading(candidates[made.chosen], made)


def _reading(candidate: Candidate, kept: kept_readings.Kept) -> Reading:
    images = cifar10.bundled() if kept.predicted else ()
    return Reading(
        candidate.architecture,
        candidate.preprocessing,
        kept.sentence,
        kept.doubt,
        kept.accuracy,
        dict(zip(images, kept.predicted, strict=True)),
        dict(zip(images, kept.loss, strict=True)),
    )


def _candidates(
    architectures: Sequence[Architecture], normaliser: Normalisation | None, stem: str, normalisation: str
) -> list[Candidate]:
    """The ways to read a file, the likeliest first."""
    if stem and stem not in STEMS:
        raise CannotCompute(f"Expected a stem among {', '.join(STEMS)}, got {stem!r}: choose one of them.")
    if normalisation and normalisation not in NORMALISATIONS:
        names = ", ".join(NORMALISATIONS)
        raise CannotCompute(f"Expected a normalisation among {names}, got {normalisation!r}: choose one of them.")
    if stem:
        with_stem = [replace(a, stem=a.stem.removesuffix("-pool") + ("-pool" if stem == "pool" else "")) for a in architectures]
        architectures = list(dict.fromkeys(with_stem))
    first = architectures[0]
    is_large = first.stem.startswith("7x7") and first.classes != len(cifar10.LABELS)
    if normalisation:
        normalisations = [NORMALISATIONS[normalisation]]
    elif normaliser:
        normalisations = [normaliser]
    else:
        normalisations = [NORMALISATIONS["imagenet"]] if is_large else of_classes(first.classes)
    size = LARGE if is_large else cifar10.SHAPE[0]
    return [Candidate(a, n, size) for a in (architectures[:1] if is_large else architectures) for n in normalisations]


def _is_cifar10(candidates: list[Candidate]) -> bool:
    return candidates[0].architecture.classes == len(cifar10.LABELS)


def _misfits(examiner: measuring.Examiner, candidates: list[Candidate]) -> np.ndarray:
    if len(candidates) == 1:
        return np.zeros(1)
    return np.array([examiner.misfit(c.architecture, c.preprocessing) for c in candidates])


def _favourite(misfits: np.ndarray) -> int | None:
    """The one that clearly fits best, if one does."""
    if len(misfits) == 1:
        return 0
    first, second = np.argsort(misfits)[:2]
    return int(first) if misfits[first] <= FITS and misfits[second] >= CLEARLY * misfits[first] else None


def _measured(examiner: measuring.Examiner, candidates: list[Candidate]) -> kept_readings.Kept:
    """By accuracy; where two are within two points, by the statistics of the batch norms."""
    misfits = _misfits(examiner, candidates)
    favourite = _favourite(misfits)
    right, images = _accuracies(examiner, candidates, favourite)
    order = sorted(right, key=lambda at: (-right[at], misfits[at]))
    near = [at for at in order if right[at] >= right[order[0]] - NEAR]
    chosen = favourite if favourite in near else order[0]
    seen = examiner.seen(candidates[chosen].architecture, candidates[chosen].preprocessing)
    accuracy = float(seen.right.mean())
    next_best = next((at for at in order if at != chosen), None)
    sentence = f"Read {candidates[chosen].words}: right at {100 * accuracy:.1f} % of the images that ship"
    doubt = ""
    if next_best is not None:
        of = "" if images == len(examiner.images) else f" of {images}"
        sentence += f"; next best, {candidates[next_best].words}, {100 * right[next_best]:.1f} %{of}"
        if len(near) > 1 and chosen == favourite:
            sentence += ", which does not fit the statistics of its batch norms"
        elif len(near) > 1:
            doubt = (
                f"Read {candidates[next_best].words}, it is right at {100 * right[next_best]:.1f} %, nearly the same, and its "
                "eigenvalues are others: name its stem and normalisation if you know them."
            )
    if accuracy < LEAST:
        doubt = (
            f"It is right at only {100 * accuracy:.1f} % of the images that ship: it may be untrained, or trained on other images or "
            "with another order of the labels, so that its stem and normalisation are not certain."
        )
    if not np.isfinite(seen.loss).all():
        doubt = "Its scores at some of the images that ship are not finite: it may be damaged."
        return kept_readings.Kept(int(chosen), f"{sentence}.", doubt, accuracy, (), ())
    predicted, loss = tuple(seen.predicted.tolist()), tuple(seen.loss.tolist())
    return kept_readings.Kept(int(chosen), f"{sentence}.", doubt, accuracy, predicted, loss)


def _accuracies(
    examiner: measuring.Examiner, candidates: list[Candidate], favourite: int | None
) -> tuple[dict[int, float], int]:
    """The accuracy of each candidate that is not far behind, and on how many images it was measured.

    All on 50 images, those not far behind on 200; the best three on all, unless the statistics have a favourite among them.
    """
    if len(candidates) == 1:
        return {0: math.nan}, 0
    right: dict[int, np.ndarray] = {at: np.zeros(0, bool) for at in range(len(candidates))}
    end = 0
    for begin, end, margin in ((0, FIRST, FAR_BEHIND), (FIRST, THEN, BEHIND)):
        for at in right:
            candidate = candidates[at]
            more = examiner.right(candidate.architecture, candidate.preprocessing, begin, end)
            right[at] = np.concatenate([right[at], more])
        least = sorted((found.mean() for found in right.values()), reverse=True)
        limit = min(least[0] - margin, least[min(1, len(least) - 1)])  # the two best always stay
        right = {at: found for at, found in right.items() if found.mean() >= limit or at == favourite}
    best_three = sorted(right, key=lambda at: -right[at].mean())[:3]
    top = right[best_three[0]].mean()
    decided = favourite in best_three and right[favourite].mean() >= top - NEAR  # type: ignore[index]  # it is in the list
    alone = len(best_three) == 1 or right[best_three[1]].mean() < top - BEHIND
    if not decided and not alone:
        right = {at: right[at] for at in best_three}
        for at in right:
            candidate = candidates[at]
            more = examiner.right(candidate.architecture, candidate.preprocessing, end, len(examiner.images))
            right[at] = np.concatenate([right[at], more])
        end = len(examiner.images)
    return {at: float(found.mean()) for at, found in right.items()}, end


def _unmeasured(examiner: measuring.Examiner, candidates: list[Candidate]) -> kept_readings.Kept:
    """By the statistics of the batch norms alone, since the images' labels are not the network's classes."""
    classes = candidates[0].architecture.classes
    why = f"its {classes} classes are not those of the images that ship" if classes else "it has no head"
    if candidates[0].image_size != cifar10.SHAPE[0]:
        sentence = f"Read {candidates[0].words}, as is usual with a 7×7 stem; {why}, so that nothing was measured."
        return kept_readings.Kept(0, sentence, "", None, (), ())
    misfits = _misfits(examiner, candidates)
    chosen, open_words = _by_statistics(candidates, misfits)
    measured = "chosen by the statistics of its batch norms" if len(candidates) > 1 else "as asked for"
    sentence = f"Read {candidates[chosen].words}, {measured}; {why}, so that no accuracy was measured."
    doubt = ""
    if open_words:
        doubt = (
            f"Its {' and '.join(open_words)} could not be measured, because {why} and its batch norms' statistics do not decide: "
            "name them if you know them."
        )
    return kept_readings.Kept(chosen, sentence, doubt, None, (), ())


def _by_statistics(candidates: list[Candidate], misfits: np.ndarray) -> tuple[int, list[str]]:
    """The candidate to take, and what remains open."""
    architectures = list(dict.fromkeys(candidate.architecture for candidate in candidates))
    least = np.array([min(m for m, c in zip(misfits, candidates, strict=True) if c.architecture == a) for a in architectures])
    order = np.argsort(least, kind="stable")
    is_clear = len(order) == 1 or least[order[1]] >= CLEARLY * max(least[order[0]], 1e-3)
    architecture = architectures[order[0] if is_clear else 0]
    inside = [at for at, candidate in enumerate(candidates) if candidate.architecture == architecture]
    known = _favourite(misfits[inside])
    best_fit = misfits[inside].min()
    usual = next(at for at in inside if misfits[at] <= CLEARLY * best_fit)
    open_words = ([] if is_clear else ["stem"]) + ([] if known is not None else ["normalisation"])
    return inside[known] if known is not None else usual, open_words
