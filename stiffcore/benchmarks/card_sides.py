"""What a side of item 5 does where a block's state is: all by the same code, on a card and on the host."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torch.utils.flop_counter import FlopCounterMode

from stiffcore.benchmarks.cases import outer_answer, proof_answer
from stiffcore.benchmarks.slices import WARM_UP_OUTPUTS, sampled
from stiffcore.benchmarks.timing import Answer, answer_of, clocked
from stiffcore.conventions import Convention
from stiffcore.jacobians import deflation
from stiffcore.jacobians.linearise import BlockState
from stiffcore.slices import spectrum as slice_spectra
from stiffcore.spectra import full as full_spectra

FORMING, EIGENVALUES, CHECKED = "forming", "all eigenvalues", "full spectrum with its checks"
EXTREMES, PROOF, SLICES = "extremes", "proved count", "slices"
RATE_SIDES = {
    "cpu": 2048,
    "cuda": 8192,
}  # of the product that measures a device's rate: 0.3 s on a host, 20 ms on an H100

# What a side does, and the answer from what that returns.
Side = tuple[Callable[[], Any], Callable[[Any], Answer]]


def on_threads(threads: int, work: Callable[[], Any]) -> Any:
    """With so many threads for torch and for BLAS."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with threadpool_limits(threads, user_api="blas"):
            return work()
    finally:
        torch.set_num_threads(before)


def product_rate(where: torch.device) -> float:
    """Gflop/s of a large float64 matrix product there, the quicker of two."""
    side = RATE_SIDES[where.type]
    square = torch.rand(side, side, dtype=torch.float64, device=where)  # a card is quicker on ones
    seconds = min(clocked(lambda: square @ square)[1] for _ in range(2))
    return 2 * side**3 / seconds / 1e9


def of_core(state: BlockState, what: str, place: torch.device, threads: int) -> Side:
    """FORMING, EIGENVALUES, CHECKED, EXTREMES or PROOF."""
    solve, answer = _OF_CORES[what](state.to(place))
    return partial(on_threads, threads, solve), answer


def gflop(state: BlockState) -> float:
    """10⁹ operations, 2·m·n·k each, of all matrix products with which the core is formed where the state is."""
    with FlopCounterMode(display=False) as counter:
        deflation.form_core(state, Convention.BLOCK)
    return float(counter.get_total_flops()) / 1e9


def _forming(state: BlockState) -> Side:
    def answer(core: deflation.Core) -> Answer:
        """‖K‖_F and uᵀKv for two fixed vectors, which depends on every entry."""
        generator = torch.Generator().manual_seed(0)
        u, v = torch.randn(2, core.plan.side, dtype=torch.float64, generator=generator).to(core.matrix.device)
        return Answer(extremes={"norm": float(core.matrix.norm()), "form": float(u @ (core.matrix @ v))})

    return lambda: deflation.form_core(state, Convention.BLOCK), answer


def _eigenvalues(state: BlockState) -> Side:
    core = deflation.form_core(state, Convention.BLOCK)

    def answer(values: np.ndarray) -> Answer:
        return answer_of(values + core.plan.shift, core.plan.zeros, core.plan.ones)

    return lambda: torch.linalg.eigvals(core.matrix).cpu().numpy(), answer


def _checked(state: BlockState) -> Side:
    def answer(spectrum: full_spectra.Spectrum) -> Answer:
        return answer_of(spectrum.eigenvalues, spectrum.zeros, spectrum.ones)

    return lambda: full_spectra.full_spectrum(state, Convention.BLOCK), answer


def _extremes(state: BlockState) -> Side:
    return lambda: full_spectra.extremes(state, Convention.BLOCK), outer_answer


def _proof(state: BlockState) -> Side:
    return lambda: full_spectra.certified(state)[0], proof_answer


_OF_CORES = {FORMING: _forming, EIGENVALUES: _eigenvalues, CHECKED: _checked, EXTREMES: _extremes, PROOF: _proof}


def all_slices(states: list[BlockState], place: torch.device, threads: int) -> Side:
    """Counts and extremes of the slices of each block; threads: of the slices' own, torch keeps one."""
    for state in states:  # compiles the kernels of all sizes
        slice_spectra.slice_spectrum(sampled(state, WARM_UP_OUTPUTS).to(place))
    there = [state.to(place) for state in states]

    def answer(spectra: list[slice_spectra.SliceSpectrum]) -> Answer:
        counts, extremes = {}, {}
        for state, spectrum in zip(states, spectra, strict=True):
            of = f"in block {state.geometry.block}"
            for name in ("negative", "positive"):
                low = getattr(spectrum, f"n_{name}")
                counts[f"{name} {of}"] = (low, low + (spectrum.n_undetermined or 0))
            for name in ("max_re", "min_re", "spectral_radius"):
                extremes[f"{name} {of}"] = getattr(spectrum, name)
        return Answer(counts, extremes)

    return lambda: [slice_spectra.slice_spectrum(state, "counts", threads=threads) for state in there], answer
