"""The ``slices`` convention: the eigenvalues of every trailing H × W slice of a block's Jacobian tensor.

In float64, without forming the tensor: a slice is restricted to the indices that can carry a non-zero eigenvalue
(``patches``); all further eigenvalues are structural zeros. Closed forms and Routh's criterion count signs (``kernels``);
LAPACK (``solver``) solves the matrices whose signs these leave open, and those that may hold an extreme.
"""

from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol, Self, TypeVar

import numpy as np
import torch
from torch import Tensor

from stiffcore.conventions import Convention
from stiffcore.device import CPU
from stiffcore.errors import CannotCompute
from stiffcore.jacobians.linearise import BlockState
from stiffcore.networks.geometry import MOST_SLICE_OUTPUTS
from stiffcore.progress import Progress
from stiffcore.slices.patches import PatchFormer, Position, positions, skip_of

if TYPE_CHECKING:  # it imports numba
    from stiffcore.slices.scan import Tally

LEVELS = ("extremes", "counts", "spectrum")

Part = tuple[Position, Tensor]  # outputs at a position


class Sum(Protocol):
    """A running sum of the results of parts."""

    def add(self, other: Self) -> None: ...


Whole = TypeVar("Whole", bound=Sum)


@dataclass(frozen=True)
class SliceSpectrum:
    """The spectrum of all slices of a block at an image; None: not computed at this level.

    Extremes are over all eigenvalues, structural zeros included. n_negative and n_positive count certain signs;
    n_undetermined counts the others. ``without_skip``: over the slices whose output and input channel differ, or over all
    slices where the skip is not the identity.
    health: n_slices (not zero by structure), n_lapack (solved by LAPACK), n_uncertain (signs decided by LAPACK),
    n_sampled and n_sample_disagreements (counted both ways), trace_error, trace_square_error, conjugate_error
    (the largest over LAPACK's solutions, relative to ‖K‖_F or its square), n_undetermined.
    """

    n_eigenvalues: int
    n_zero: int  # by structure
    n_negative: int | None
    n_positive: int | None
    n_undetermined: int | None
    max_re: float
    min_re: float
    spectral_radius: float
    max_re_without_skip: float
    min_re_without_skip: float
    stiffness_ratio: float | None = None  # max |Re λ| / min |Re λ| over Re λ < 0; NaN where there are none
    density: np.ndarray | None = None  # int64, shape: (len(im_edges) − 1, len(re_edges) − 1)
    re_edges: np.ndarray | None = None
    im_edges: np.ndarray | None = None
    health: dict[str, float] = field(default_factory=dict)

    @property
    def expected_percent_negative(self) -> float:
        """Expected P, in per cent, for random entries where J has entries: half of the eigenvalues that are not zero by structure."""
        return 50.0 * (1 - self.n_zero / self.n_eigenvalues)


def slice_spectrum(
    state: BlockState, level: str = "counts", progress: Progress | None = None, threads: int = 1
) -> SliceSpectrum:
    """The slices' spectrum of a block at one image, in float64, where the state stands; the density always on the CPU.

    level: ``extremes``, ``counts``, or ``spectrum`` (counts, and the density in the complex plane).
    threads: how many parts are processed at a time; each may use torch's threads in addition, so keep those at 1.
    Raises ValueError for an unknown level, CannotCompute for weights that are not finite.
    """
    if level not in LEVELS:
        raise ValueError(f"Expected a level among {', '.join(LEVELS)}, got {level!r}.")
    convolutions = state.convolutions
    if not state.geometry.has_slices:
        raise CannotCompute(
            f"Expected a block of fewer than {MOST_SLICE_OUTPUTS:,} outputs for its slices, got {state.geometry.n_out:,} in block "
            f"{state.geometry.block}: choose block or branch."
        )
    skips = () if state.skip is None else (skip_of(state),)
    if not all(torch.isfinite(convolution.weight).all() for convolution in (*convolutions, *skips)):
        raise CannotCompute(
            f"The weights of block {state.geometry.block} contain NaN or infinity: check the weights file."
        )
    tally, state = _on_card(state, level, progress) if state.device.type != "cpu" else (None, state)
    if tally is not None and level != "spectrum":
        return _summary(state, tally, level)
    former = PatchFormer(state)
    parts = [(position, outputs) for position in _largest_first(state) for outputs in former.chunks(position)]
    total = len(parts) * (2 if level == "spectrum" and tally is None else 1)

    def report(done: int, what: str = "slices") -> None:
        if progress is not None:
            progress(done, total, what)

    before = total - len(parts)
    tally = tally or _tallied(former, parts, level != "extremes", threads, report)
    spectrum = _summary(state, tally, level)
    if level == "spectrum":
        spectrum = _with_density(spectrum, former, parts, threads, lambda done: report(before + done, "density"))
    return spectrum


def _on_card(state: BlockState, level: str, progress: Progress | None) -> "tuple[Tally | None, BlockState]":
    """The tally by the card that the state stands on, None where it has no kernels for it; and the state for what is left to do."""
    from stiffcore.slices import card
    from stiffcore.slices.card_patches import BatchFormer

    if not card.can_scan(state, state.device):
        return None, state.to(CPU)
    former = BatchFormer(state)
    total = len(former.parts())

    def report(done: int) -> None:
        if progress is not None:
            progress(done, total, "slices")

    tally = card.tallied(former, level != "extremes", report)
    return tally, state.to(CPU) if level == "spectrum" else state


def _largest_first(state: BlockState) -> list[Position]:
    """Large patches first: they hold the extremes, which spare LAPACK most other patches, and threads end together."""
    return sorted(positions(state), key=lambda position: -position.size)


def _finished(work: Callable[..., Whole], parts: list[Part], threads: int) -> Generator[Whole, None, None]:
    """work(position, outputs) for each part in order, several at a time. Closing it cancels parts that have not started."""
    if threads <= 1:
        yield from (work(*part) for part in parts)
        return
    with ThreadPoolExecutor(threads, "slices") as pool:
        waiting = deque(pool.submit(work, *part) for part in parts)
        try:
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def _gathered(
    whole: Whole, work: Callable[..., Whole], parts: list[Part], threads: int, report: Callable[[int], None]
) -> Whole:
    """Adds the result of each part to ``whole``, and returns it."""
    with closing(_finished(work, parts, threads)) as finished:
        for done, result in enumerate(finished, 1):
            whole.add(result)
            report(done)
    return whole


def _tallied(
    former: PatchFormer, parts: list[Part], counting: bool, threads: int, report: Callable[[int], None]
) -> "Tally":
    from stiffcore.slices.scan import Tally, scan_patches  # numba: a second to import

    whole, identity = Tally(), former.state.geometry.is_identity

    def work(position: Position, outputs: Tensor) -> Tally:
        # If another thread changes the limits meanwhile, old limits cost some work and give the same result.
        return scan_patches(former.form(position, outputs), identity, counting, whole.extremes.copy())

    return _gathered(whole, work, parts, threads, report)


def _summary(state: BlockState, tally: "Tally", level: str) -> SliceSpectrum:
    """The spectrum of a tally. The structural zeros are appended, not computed."""
    n_eigenvalues = state.geometry.n_eigenvalues(Convention.SLICES)
    negative, positive, undetermined, non_zero = (int(count) for count in tally.counts)
    extremes = [float(value) for value in tally.extremes]
    n_zero = n_eigenvalues - non_zero
    if n_zero:
        extremes = [max(value, 0.0) if i in (0, 2, 3) else min(value, 0.0) for i, value in enumerate(extremes)]
    max_re, min_re, radius, other_max, other_min = extremes
    counted = level != "extremes"
    health = dict(tally.health)
    if counted:
        health["n_undetermined"] = undetermined
    return SliceSpectrum(
        n_eigenvalues,
        n_zero,
        negative if counted else None,
        positive if counted else None,
        undetermined if counted else None,
        max_re,
        min_re,
        radius,
        other_max,
        other_min,
        health=health,
    )


def _with_density(
    spectrum: SliceSpectrum, former: PatchFormer, parts: list[Part], threads: int, report: Callable[[int], None]
) -> SliceSpectrum:
    """A second pass, which solves every slice and places its eigenvalues."""
    from stiffcore.slices import density as slice_density

    bulk = max(abs(spectrum.max_re_without_skip), abs(spectrum.min_re_without_skip))
    re_edges, im_edges = slice_density.edges(spectrum.max_re, spectrum.min_re, spectrum.spectral_radius, bulk)

    def work(position: Position, outputs: Tensor) -> slice_density.Placed:
        patches = former.form(position, outputs)
        return slice_density.place(patches.values, re_edges, im_edges, patches.is_sparse)

    whole = _gathered(slice_density.Placed(re_edges, im_edges), work, parts, threads, report)
    whole.add_zeros(spectrum.n_zero)
    density, im_edges = slice_density.trimmed(whole.density, im_edges)
    has_negative = np.isfinite(whole.smallest_negative)
    return replace(
        spectrum,
        stiffness_ratio=-spectrum.min_re / whole.smallest_negative if has_negative else float("nan"),
        density=density,
        re_edges=re_edges,
        im_edges=im_edges,
        health=spectrum.health | whole.health,
    )
