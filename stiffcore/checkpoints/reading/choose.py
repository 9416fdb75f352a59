"""Reads a checkpoint rightly: which of the architectures that its tensors allow, and which normalisation of its images.

A max-pool and the normalisation are in no tensor, but two things tell them. A network of ten classes classifies most of CIFAR-10's
images rightly only if it is read as it was trained; and the statistics that its first batch norms stored are those of its training
images, so that they differ from those of the images that ship unless stem and normalisation are right. Where neither decides,
the network carries a doubt.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from torch import Tensor

from stiffcore.checkpoints.reading import kept, measuring
from stiffcore.checkpoints.reading.candidates import Candidate, candidates
from stiffcore.checkpoints.reading.normalisations import Normalisation
from stiffcore.images import cifar10
from stiffcore.networks.architecture import Architecture
from stiffcore.networks.network import Preprocessing
from stiffcore.progress import Progress, silent

FIRST, THEN = 50, 200  # images of the first rounds
FAR_BEHIND, BEHIND = 0.25, 0.10  # of accuracy: readings that leave after the first and the second round
NEAR = 0.02  # two readings within this accuracy could both be right
LEAST = 0.5  # accuracy below which a network of ten classes is in doubt
FITS, CLEARLY = 0.15, 1.6  # a misfit that is small, and the factor to the next that decides


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


def best(
    state: dict[str, Tensor],
    architectures: Sequence[Architecture],
    normaliser: Normalisation | None = None,
    stem: str = "",
    normalisation: str = "",
    progress: Progress = silent,
) -> Reading:
    """The reading that fits the tensors best.

    stem: of ``candidates.STEMS``, normalisation: of ``normalisations.NORMALISATIONS``; "" for what fits best. normaliser: the file's own. Raises CannotCompute for an
    unknown name.
    """
    ways = candidates(architectures, normaliser, stem, normalisation)
    key = kept.key(state, [repr(way) for way in ways])
    if (known := kept.find(key, len(ways))) is not None:
        return _reading(ways[known.chosen], known)
    with measuring.several_threads():
        examiner = measuring.Examiner(state, progress)
        made = _measured(examiner, ways) if _is_cifar10(ways) else _unmeasured(examiner, ways)
    kept.keep(key, made)
    return _reading(ways[made.chosen], made)


def _reading(candidate: Candidate, made: kept.Kept) -> Reading:
    images = cifar10.bundled() if made.predicted else ()
    return Reading(
        candidate.architecture,
        candidate.preprocessing,
        made.sentence,
        made.doubt,
        made.accuracy,
        dict(zip(images, made.predicted, strict=True)),
        dict(zip(images, made.loss, strict=True)),
    )


def _is_cifar10(ways: list[Candidate]) -> bool:
    return ways[0].architecture.classes == len(cifar10.LABELS)


def _misfits(examiner: measuring.Examiner, ways: list[Candidate]) -> np.ndarray:
    if len(ways) == 1:
        return np.zeros(1)
    return np.array([examiner.misfit(c.architecture, c.preprocessing) for c in ways])


def _favourite(misfits: np.ndarray) -> int | None:
    """The one that clearly fits best, if one does."""
    if len(misfits) == 1:
        return 0
    first, second = np.argsort(misfits)[:2]
    return int(first) if misfits[first] <= FITS and misfits[second] >= CLEARLY * misfits[first] else None


def _measured(examiner: measuring.Examiner, ways: list[Candidate]) -> kept.Kept:
    """By accuracy; where two are within two points, by the statistics of the batch norms."""
    misfits = _misfits(examiner, ways)
    favourite = _favourite(misfits)
    right, images = _accuracies(examiner, ways, misfits, favourite)
    order = sorted(right, key=lambda at: (-right[at], misfits[at]))
    near = [at for at in order if right[at] >= right[order[0]] - NEAR]
    chosen = favourite if favourite in near else order[0]
    seen = examiner.seen(ways[chosen].architecture, ways[chosen].preprocessing)
    accuracy = float(seen.right.mean())
    next_best = next((at for at in order if at != chosen), None)
    sentence = f"Read {ways[chosen].words}: right at {100 * accuracy:.1f} % of the images that ship"
    doubt = ""
    if next_best is not None:
        same = f" of the first {images} (it: {100 * right[chosen]:.1f} %)"  # both on the same images
        of = "" if images == len(examiner.images) else same
        sentence += f"; next best, {ways[next_best].words}, {100 * right[next_best]:.1f} %{of}"
        if len(near) > 1 and chosen == favourite:
            sentence += ", which does not fit the statistics of its batch norms"
        elif len(near) > 1:
            doubt = (
                f"Read {ways[next_best].words}, it is right at {100 * right[next_best]:.1f} %, nearly the same, and its "
                "eigenvalues are others: name its stem and normalisation if you know them."
            )
    if accuracy < LEAST:
        doubt = (
            f"It is right at only {100 * accuracy:.1f} % of the images that ship: it may be untrained, or trained on other images or "
            "with another order of the labels, so that how to read it is not certain."
        )
    if not np.isfinite(seen.loss).all():
        doubt = "Its scores at some of the images that ship are not finite: it may be damaged."
        return kept.Kept(int(chosen), f"{sentence}.", doubt, accuracy, (), ())
    predicted, loss = tuple(seen.predicted.tolist()), tuple(seen.loss.tolist())
    return kept.Kept(int(chosen), f"{sentence}.", doubt, accuracy, predicted, loss)


def _accuracies(
    examiner: measuring.Examiner, ways: list[Candidate], misfits: np.ndarray, favourite: int | None
) -> tuple[dict[int, float], int]:
    """The accuracy of each candidate that is not far behind, and on how many images it was measured.

    Beside a favourite of the statistics, those are left out that fit them hopelessly, unless all others are wrong, too. Then all on
    50 images, those not far behind on 200; the best three on all, unless the favourite is among the best.
    """
    if len(ways) == 1:
        return {0: math.nan}, 0
    at_first = [at for at, misfit in enumerate(misfits) if favourite is None or misfit < measuring.HOPELESS]
    right = _rounds(examiner, ways, at_first, favourite)
    if len(at_first) < len(ways) and max(found.mean() for found in right.values()) < LEAST:
        right = _rounds(examiner, ways, list(range(len(ways))), favourite)
    best_three = sorted(right, key=lambda at: -right[at].mean())[:3]
    top = right[best_three[0]].mean()
    is_decided = favourite in best_three and right[favourite].mean() >= top - NEAR
    is_alone = len(best_three) == 1 or right[best_three[1]].mean() < top - BEHIND
    end = len(right[best_three[0]])
    if not is_decided and not is_alone and end < len(examiner.images):
        more = {at: _right(examiner, ways[at], end, len(examiner.images)) for at in best_three}
        right = {at: np.concatenate([right[at], more[at]]) for at in best_three}
        end = len(examiner.images)
    return {at: float(found.mean()) for at, found in right.items()}, end


def _right(examiner: measuring.Examiner, candidate: Candidate, begin: int, end: int) -> np.ndarray:
    return examiner.right(candidate.architecture, candidate.preprocessing, begin, end)


def _rounds(
    examiner: measuring.Examiner, ways: list[Candidate], chosen: list[int], favourite: int | None
) -> dict[int, np.ndarray]:
    """Whether each image was classified rightly, by the chosen ways that are not far behind; the two best always stay."""
    right: dict[int, np.ndarray] = {at: np.zeros(0, bool) for at in chosen}
    first, then = (min(images, len(examiner.images)) for images in (FIRST, THEN))
    for begin, end, margin in ((0, first, FAR_BEHIND), (first, then, BEHIND)):
        right = {at: np.concatenate([found, _right(examiner, ways[at], begin, end)]) for at, found in right.items()}
        best = sorted((found.mean() for found in right.values()), reverse=True)
        limit = min(best[0] - margin, best[min(1, len(best) - 1)])
        right = {at: found for at, found in right.items() if found.mean() >= limit or at == favourite}
    return right


def _unmeasured(examiner: measuring.Examiner, ways: list[Candidate]) -> kept.Kept:
    """By the statistics of the batch norms alone, since the images' labels are not the network's classes."""
    classes = ways[0].architecture.classes
    why = f"its {classes} classes are not those of the images that ship" if classes else "it has no head"
    if ways[0].image_size != cifar10.SHAPE[0]:
        sentence = f"Read {ways[0].words}, as is usual with a 7×7 stem; {why}, so that nothing was measured."
        return kept.Kept(0, sentence, "", None, (), ())
    misfits = _misfits(examiner, ways)
    chosen, open_words = _by_statistics(ways, misfits)
    measured = "chosen by the statistics of its batch norms" if len(ways) > 1 else "as asked for"
    measured = "as is usual for its classes" if open_words else measured
    sentence = f"Read {ways[chosen].words}, {measured}; {why}, so that no accuracy was measured."
    doubt = ""
    if open_words:
        doubt = (
            f"Its {' and '.join(open_words)} could not be measured, because {why} and its batch norms' statistics do not decide: "
            "name them if you know them."
        )
    return kept.Kept(chosen, sentence, doubt, None, (), ())


def _by_statistics(ways: list[Candidate], misfits: np.ndarray) -> tuple[int, list[str]]:
    """The candidate to take, and what remains open."""
    architectures = list(dict.fromkeys(candidate.architecture for candidate in ways))
    least = np.array([min(m for m, c in zip(misfits, ways, strict=True) if c.architecture == a) for a in architectures])
    order = np.argsort(least, kind="stable")
    is_clear = len(order) == 1 or least[order[1]] >= CLEARLY * max(least[order[0]], 1e-3)
    architecture = architectures[order[0] if is_clear else 0]
    inside = [at for at, candidate in enumerate(ways) if candidate.architecture == architecture]
    known = _favourite(misfits[inside])
    best_fit = misfits[inside].min()
    usual = next(at for at in inside if misfits[at] <= CLEARLY * best_fit)
    open_words = ([] if is_clear else ["stem"]) + ([] if known is not None else ["normalisation"])
    return inside[known] if known is not None else usual, open_words
