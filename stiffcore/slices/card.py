"""The slices of a block that stands on a card: formed and scanned there; LAPACK on the host solves the few that are left open.

A batch is scanned as a whole, so that limits are known before a matrix is flagged for its extremes: the few matrices with the
largest bounds are solved first. Where a bound exceeds a limit, Routh's criterion for K less the limit decides on the card, and LAPACK
gets what that leaves open, a few dozen matrices a block. Two copies to the host a batch: these first few with the tally and the
sample, and what is left. The density (level ``spectrum``) needs every eigenvalue, which LAPACK computes on the host.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from stiffcore.jacobians.linearise import BlockState
from stiffcore.slices import kernels
from stiffcore.slices.card_lanes import Lanes, beyond, reason, scan_lanes
from stiffcore.slices.card_patches import Batch, BatchFormer
from stiffcore.slices.patches import positions
from stiffcore.slices.scan import Tally, add_flagged, compare_sample

FIRST = 8  # matrices for each extreme, those with the largest bounds, that LAPACK solves to find limits
MARGIN = 1e-10  # of a limit; far above LAPACK's rounding, and a matrix so close below is only solved in vain
SAMPLE_STEP = 32  # LAPACK also counts a slice of every 32nd row of one size; more would take longer than all the rest


def can_scan(state: BlockState, where: torch.device) -> bool:
    """Whether there are kernels for all of the state's slices on a device: larger ones need LAPACK, one by one."""
    if where.type == "cpu" or reason():
        return False
    return max((position.size for position in positions(state)), default=0) <= kernels.LARGEST_ROUTH


def tallied(former: BatchFormer, counting: bool, report: Callable[[int], None]) -> Tally:
    """The tally of all slices of a block. report: takes how many of ``former.parts()`` are done."""
    whole = Tally()
    for done, part in enumerate(former.parts(), 1):
        whole.add(_Scanned(former, former.form_all(part), counting).tallied(whole.extremes))
        report(done)
    return whole


class _Scanned:
    """A batch behind its kernels. Matrix k is that of row k // C and channel k % C."""

    def __init__(self, former: BatchFormer, batch: Batch, counting: bool):
        self.batch, self.channels, self.counting, self.sparse = batch, former.channels, counting, former.is_sparse
        self.block = former.state.geometry.block
        self.lanes = Lanes.empty(len(batch.size) * self.channels, batch.values.device)
        for group in batch.groups:
            n, part = group.size, self.lanes.part(group.first * self.channels, group.last * self.channels)
            each, values = n * n * self.channels, batch.values[group.start :]
            scan_lanes(values, n, self.channels, each, self.channels, counting, part, self.sparse)
        self.rows = torch.from_numpy(np.stack([batch.start, batch.size])).to(batch.values.device)
        self.high, self.low, self.size = (
            bound.view(-1, self.channels) for bound in (self.lanes.high, self.lanes.low, self.lanes.size)
        )
        self.own: Tensor | None = None
        if former.state.geometry.is_identity:  # from here on, high and low are of the other slices
            self.own = batch.outputs[:, None]
            self.own_high, self.own_low = self.high.gather(1, self.own), self.low.gather(1, self.own)
            self.high.scatter_(1, self.own, -torch.inf)
            self.low.scatter_(1, self.own, torch.inf)
        self.closed = int(np.searchsorted(batch.size, 3))  # rows of matrices with closed forms, whose bounds are exact

    def tallied(self, limits: np.ndarray) -> Tally:
        """limits: the extremes of other batches."""
        tally = Tally()
        tally.extremes = limits.copy()
        tally.health["n_slices"] = len(self.lanes.flags)
        self._add_left(tally, self._add_first(tally))
        return tally

    def _add_first(self, tally: Tally) -> np.ndarray:
        """Counts, extremes of closed forms, and the sample; and limits, from the matrices with the largest bounds. One copy to the host."""
        ids, sampled = self._largest(), self._sampled()
        there, lanes = sampled.to(ids.device), self.lanes
        found = lanes.tally, self._exact(), ids, self._is_own(ids), self._entries(ids)
        checked = lanes.flags[there], lanes.positives[there], lanes.degrees[there], self._entries(there)
        counts, exact, ids, is_own, first, *sample = _to_host(*found, *checked)
        negative, positive, _, non_zero = counts.tolist()
        tally.counts += np.array([negative, positive, 0, non_zero], np.int64)
        tally.raise_extremes(exact.numpy())
        limits = tally.extremes.copy()
        self._raise_limits(limits, self._size_of(ids.long()), first, is_own > 0)
        tally.health["n_lapack"] += len(ids)
        if self.counting:
            self._compare(self._size_of(sampled), sample, tally)
        return limits

    def _raise_limits(self, limits: np.ndarray, sizes: Tensor, matrices: Tensor, is_own: Tensor) -> None:
        """By what these matrices reach, less the rounding of LAPACK, so that those which reach it are solved with the others."""
        found = Tally()
        for n in sizes.unique().tolist():
            chosen = sizes == n
            values, own = np.linalg.eigvals(matrices[chosen, :n, :n].numpy()), is_own[chosen].numpy()
            others = values.real[~own].max(initial=-np.inf), values.real[~own].min(initial=np.inf)
            ours = values.real.max(), values.real.min(), np.abs(values).max()
            found.raise_extremes(np.array([*ours, *others]))
        bounds = Tally()
        bounds.extremes = limits
        bounds.raise_extremes(found.extremes - MARGIN * np.abs(found.extremes) * np.array([1, -1, 1, 1, -1]))

    def _add_left(self, tally: Tally, limits: np.ndarray) -> None:
        """What LAPACK has to decide, in one copy to the host."""
        there = torch.from_numpy(limits).to(self.size.device)
        pending = self.lanes.flags.view(-1, self.channels)
        if self.closed < len(pending):
            pending[self.closed :].masked_fill_(self._over(there)[self.closed :], kernels.EXTREME)
        ids = self.lanes.flags.nonzero()[:, 0]
        if not len(ids):
            return
        flags, is_own, entries = self.lanes.flags[ids], self._is_own(ids), self._entries(ids)
        if entries.shape[-1] > 2:
            kept = (flags == kernels.COUNT) | beyond(entries, is_own, there)
            ids, flags, is_own, entries = (values[kept] for values in (ids, flags, is_own, entries))
        ids, flags, is_own, entries = _to_host(ids, flags, is_own, entries)
        for flag in (kernels.COUNT, kernels.EXTREME):
            chosen = flags == flag
            self._solve(ids[chosen].long(), entries[chosen], is_own[chosen] > 0, flag, tally)

    def _over(self, limits: Tensor) -> Tensor:
        """Whose bounds exceed a limit. bool, shape: (rows, C)."""
        high, low, radius, other_high, other_low = limits
        over = (self.high > other_high) | (self.low < other_low) | (self.size > radius)
        if self.own is not None:
            ours = (self.own_high > high) | (self.own_low < low) | over.gather(1, self.own)
            over.scatter_(1, self.own, ours)
        return over

    def _exact(self) -> Tensor:
        """The extremes of the matrices with closed forms, in the order of ``kernels``."""
        high, low, size = (bound[: self.closed] for bound in (self.high, self.low, self.size))
        if not self.closed:
            return torch.tensor([-torch.inf, torch.inf, 0.0, -torch.inf, torch.inf], device=size.device).double()
        others = high.max(), low.min()
        whole = others
        if self.own is not None:
            ours, lowest = self.own_high[: self.closed].max(), self.own_low[: self.closed].min()
            whole = torch.maximum(others[0], ours), torch.minimum(others[1], lowest)
        return torch.stack([*whole, size.max(), *others])

    def _largest(self) -> Tensor:
        """Matrices with the largest bounds, FIRST for each extreme, of as many rows. int64."""
        first, number = self.closed, min(FIRST, len(self.size) - self.closed)
        if not number:
            return torch.empty(0, dtype=torch.int64, device=self.size.device)
        found = []
        for bound in (self.high, -self.low, self.size):
            best, channel = bound[first:].max(1)
            rows = best.topk(number).indices
            found.append((first + rows) * self.channels + channel[rows])
        if self.own is not None:
            for bound in (self.own_high, -self.own_low):
                rows = first + bound[first:, 0].topk(number).indices
                found.append(rows * self.channels + self.own[rows, 0])
        return torch.cat(found)

    def _sampled(self) -> Tensor:
        """A channel of every SAMPLE_STEP-th row of one size, another one from block to block; none of 1×1. int64, on the host."""
        groups = [group for group in self.batch.groups if group.size > 1] if self.counting else []
        if not groups:
            return torch.empty(0, dtype=torch.int64)
        group = groups[self.block % len(groups)]
        rows = np.arange(group.first, group.last, SAMPLE_STEP)
        return torch.from_numpy(
            rows * self.channels + (7 * self.batch.y[rows] + 13 * self.batch.x[rows]) % self.channels
        )

    def _is_own(self, ids: Tensor) -> Tensor:
        if self.own is None:
            return torch.zeros_like(ids, dtype=torch.bool)
        return self.own[ids // self.channels, 0] == ids % self.channels

    def _entries(self, ids: Tensor) -> Tensor:
        """These matrices, filled up with zeros to the largest size. float64, shape: (M, n, n)."""
        inside = torch.arange(self.batch.groups[-1].size, device=ids.device)
        start, size = self.rows[:, ids // self.channels, None, None]
        down, right = inside[:, None], inside
        place = start + (down * size + right) * self.channels + (ids % self.channels)[:, None, None]
        within = (down < size) & (right < size)
        return torch.where(within, self.batch.values[torch.where(within, place, start)], 0.0)

    def _size_of(self, ids: Tensor) -> Tensor:
        return torch.from_numpy(self.batch.size[ids.numpy() // self.channels])

    def _solve(self, ids: Tensor, entries: Tensor, is_own: Tensor, flag: int, tally: Tally) -> None:
        sizes = self._size_of(ids)
        for n in sizes.unique().tolist():
            chosen = sizes == n
            add_flagged(entries[chosen, :n, :n], is_own[chosen], flag, self.counting, self.sparse, tally)

    def _compare(self, sizes: Tensor, sample: list[Tensor], tally: Tally) -> None:
        """LAPACK's counts of the sample beside the kernels'; matrices that these leave open are no test. sample: as in ``_add_first``."""
        flags, positives, degrees, entries = sample
        for n in sizes.unique().tolist():
            chosen = (sizes == n) & (flags == 0)
            matrices, degree = entries[chosen, :n, :n], degrees[chosen] if self.sparse and n > 2 else n
            degree = torch.where(matrices.flatten(1).any(1), degree, 0)
            positive = int(positives[chosen].sum())
            ours = np.array([int(degree.sum()) - positive, positive])
            compare_sample(matrices, ours, self.sparse, tally)
        tally.health["n_sampled"] += len(sizes)


def _to_host(*tensors: Tensor) -> list[Tensor]:
    """The tensors on the host as float64, by one copy. Integers below 2⁵³ stay exact."""
    joined = torch.cat([tensor.flatten().double() for tensor in tensors]).cpu()
    parts = joined.split([tensor.numel() for tensor in tensors])
    return [part.view(tensor.shape) for part, tensor in zip(parts, tensors, strict=True)]
