"""One part of a block's slices: the compiled kernels scan its patches, and LAPACK solves those that they leave open."""

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from stiffcore.slices import kernels
from stiffcore.slices.patches import Patches
from stiffcore.slices.solver import ERRORS, Solved, peeled, solve

SAMPLE_STEP = 8  # of each part, LAPACK also counts every 8th output with one channel
HEALTH = ("n_slices", "n_lapack", "n_uncertain", "n_sampled", "n_sample_disagreements")


def _no_extremes() -> np.ndarray:
    return np.array([-np.inf, np.inf, 0.0, -np.inf, np.inf])


@dataclass
class Tally:
    """Counts and extremes of some slices, indexed as in ``kernels``, and how they were obtained."""

    counts: np.ndarray = field(default_factory=lambda: np.zeros(4, np.int64))
    extremes: np.ndarray = field(default_factory=_no_extremes)
    health: dict[str, float] = field(default_factory=lambda: dict.fromkeys(HEALTH, 0) | dict.fromkeys(ERRORS, 0.0))

    def add(self, other: "Tally") -> None:
        self.counts += other.counts
        self.raise_extremes(other.extremes)
        for name in HEALTH:
            self.health[name] += other.health[name]
        for name in ERRORS:
            self.health[name] = max(self.health[name], other.health[name])

    def raise_extremes(self, candidates: np.ndarray) -> None:
        highest, lowest = (kernels.HIGH, kernels.RADIUS, kernels.OTHER_HIGH), (kernels.LOW, kernels.OTHER_LOW)
        for which, better in ((highest, np.maximum), (lowest, np.minimum)):
            self.extremes[list(which)] = better(self.extremes[list(which)], candidates[list(which)])

    def add_solved(self, solved: Solved, own: Tensor) -> None:
        """Extremes and errors of what LAPACK solved; own: bool (M,), whether a slice carries the skip's 1."""
        real = solved.eigenvalues.real
        candidates = _no_extremes()
        candidates[:3] = float(real.max()), float(real.min()), float(solved.eigenvalues.abs().max())
        if not own.all():
            candidates[3:] = float(real[~own].max()), float(real[~own].min())
        self.raise_extremes(candidates)
        for name, error in zip(ERRORS, solved.errors()):
            self.health[name] = max(self.health[name], error)

    def add_counts(self, solved: Solved) -> None:
        self.counts += np.array([solved.negative, solved.positive, solved.undetermined, solved.number])


def scan(values: Tensor, own: np.ndarray, counting: bool, limits: np.ndarray, sparse: bool = False) -> Tally:
    """Counts and extremes of the matrices values[o, :, :, c] of ``values`` (N, n, n, C).

    own: int64 (N,), the channel whose slice carries the skip's 1, or −1. limits: the extremes of other slices; a matrix
    whose bounds stay within them cannot exceed any of them, and is not solved for its extremes. sparse: as in ``scan_lanes``.
    """
    n, tally = values.shape[1], Tally()
    array, flags = values.numpy(), np.zeros((values.shape[0], values.shape[3]), np.int8)
    tally.extremes = limits.copy()
    if n == 1:
        kernels.scan_1(array, own, tally.extremes, tally.counts)
    elif n == 2:
        kernels.scan_2(array, own, tally.extremes, tally.counts, flags)
    elif n <= kernels.LARGEST_ROUTH:
        kernels.scan_lanes(n, array, own, counting, sparse, tally.extremes, tally.counts, flags)
    else:
        flags[:] = kernels.COUNT
    tally.health["n_slices"] = flags.size
    _solve_flagged(values, own, flags, counting, sparse, tally)
    return tally


def _solve_flagged(
    values: Tensor, own: np.ndarray, flags: np.ndarray, counting: bool, sparse: bool, tally: Tally
) -> None:
    for flag in (kernels.COUNT, kernels.EXTREME):
        o, c = (torch.from_numpy(index) for index in (flags == flag).nonzero())
        if len(o):
            add_flagged(values[o, :, :, c], torch.from_numpy(own)[o] == c, flag, counting, sparse, tally)


def add_flagged(matrices: Tensor, is_own: Tensor, flag: int, counting: bool, sparse: bool, tally: Tally) -> None:
    """Solves matrices (M, n, n) with this flag and adds them to the tally. is_own: bool (M,), which carry the skip's 1."""
    for chosen, kept in peeled(matrices):
        solved = solve(kept, counting and flag == kernels.COUNT, sparse)
        tally.add_solved(solved, is_own[chosen])
        tally.health["n_lapack"] += len(kept)
        if flag == kernels.COUNT:
            tally.add_counts(solved)
            tally.health["n_uncertain"] += len(kept)


def _check_sample(patches: Patches, tally: Tally) -> None:
    """Also counts a few slices by LAPACK; only those that it calls undetermined may differ."""
    channel = (7 * patches.position.y + 13 * patches.position.x) % patches.values.shape[3]
    values = patches.values[::SAMPLE_STEP, :, :, channel : channel + 1].contiguous()
    nowhere = np.array([np.inf, -np.inf, np.inf, np.inf, -np.inf])
    ours = scan(values, np.full(len(values), -1), True, nowhere, patches.is_sparse).counts
    compare_sample(values[:, :, :, 0], ours, patches.is_sparse, tally)
    tally.health["n_sampled"] += len(values)


def compare_sample(matrices: Tensor, ours: np.ndarray, sparse: bool, tally: Tally) -> None:
    """Counts matrices (M, n, n) by LAPACK, and compares with our counts of negative and positive real parts."""
    theirs = Tally()
    for _, kept in peeled(matrices):
        solved = solve(kept, True, sparse)
        theirs.add_counts(solved)
        theirs.add_solved(solved, torch.zeros(len(kept), dtype=torch.bool))
    differing = int(np.abs(ours - theirs.counts[: len(ours)])[: kernels.UNDETERMINED].max())
    tally.health["n_sample_disagreements"] += max(0, differing - int(theirs.counts[kernels.UNDETERMINED]))
    for name in ERRORS:
        tally.health[name] = max(tally.health[name], theirs.health[name])


def scan_patches(patches: Patches, identity_skip: bool, counting: bool, limits: np.ndarray) -> Tally:
    """The tally of some outputs' slices at one position."""
    values, tally = patches.values, Tally()
    own = patches.outputs.numpy() if identity_skip else np.full(len(values), -1)
    begin, step = 0, len(values) if np.isfinite(limits).all() else 1
    while begin < len(values):  # without limits all matrices would be solved, so growing parts find some limits first
        chosen = slice(begin, begin + step)
        part = scan(values[chosen], own[chosen], counting, limits, patches.is_sparse)
        tally.add(part)
        limits, begin, step = tally.extremes, begin + step, 2 * step
    if counting and values.shape[1] > 1:
        _check_sample(patches, tally)
    return tally
