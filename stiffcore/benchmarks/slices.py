"""Item 3: the ``slices`` convention by the naive method, by LAPACK on our patches, and by ours; seconds and memory."""

import contextlib
import ctypes
import gc
import resource
import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from stiffcore import device
from stiffcore.benchmarks.cases import ROWS_AT_ONCE, Case, check_dense, live_jacobian, load_cases, mask_problem
from stiffcore.benchmarks.timing import Answer, Comparison, Contender, Pair, disagreements
from stiffcore.conventions import Convention
from stiffcore.errors import CannotCompute
from stiffcore.jacobians import reference
from stiffcore.jacobians.linearise import BlockState
from stiffcore.networks import catalogue
from stiffcore.slices import patches as slice_patches, spectrum as slice_spectra

SLICES_AT_ONCE = 2**14  # evaluated together after the clock has stopped; bounds the memory
WARM_UP_OUTPUTS = 256  # enough for patches of every size

NAIVE, PEELED, SLICES = "jacrev + eigvals, every H × W slice", "patches + eigvals (LAPACK)", "slices"
FORMED = "patches formed, not decomposed"


def all_slices(case: Case, sample: int | None = None) -> Comparison:
    """Item 3: S and P under ``slices``. sample: use only this many live outputs, the same ones for every contender."""
    problem = mask_problem(case)
    if sample is not None:
        case = replace(case, state=sampled(case.state, sample))
    slice_spectra.slice_spectrum(
        sampled(case.state, WARM_UP_OUTPUTS)
    )  # compiles the kernels of all sizes, once per machine
    contenders = [_naive(case, sample is not None), _peeled(case), _ours(case), _formed(case)]
    pairs: list[Pair] = [(NAIVE, (SLICES,)), (PEELED, (SLICES,)), (NAIVE, (PEELED,))]
    if (
        cores := device.usable_cpus()
    ) > 1:  # for ours only: torch.linalg.eigvals takes the matrices of a batch one by one
        contenders.append(_ours(case, cores))
        pairs.append((SLICES, (contenders[-1].name,)))
    of_what = "" if sample is None else f", a sample of {case.state.live_outputs} outputs"
    here = {
        "n_eigenvalues": case.state.geometry.n_eigenvalues(Convention.SLICES),
        "convention": Convention.SLICES,
        "sample": sample,
    }
    return Comparison(
        "3",
        f"slices of {case.title}{of_what}, S and P, float64",
        case.facts | here,
        contenders,
        pairs,
        problem,
    )


def sampled(state: BlockState, outputs: int) -> BlockState:
    """The block with only ``outputs`` of its live outputs, evenly spaced; the others are treated as dead."""
    live = state.outer_mask.flatten().nonzero()[:, 0]
    chosen = live[torch.linspace(0, len(live) - 1, min(outputs, len(live))).round().long()]
    mask = torch.zeros(state.outer_mask.numel(), dtype=torch.bool)
    mask[chosen] = True
    return replace(state, outer_mask=mask.reshape(state.outer_mask.shape))


def _naive(case: Case, only_live: bool) -> Contender:
    """As published: the Jacobian tensor, and torch.linalg.eigvals on all its trailing slices at once."""
    module, x = case.module, case.state.input
    geometry = case.state.geometry
    live = case.state.outer_mask.flatten().nonzero()[:, 0]

    def form() -> Tensor:
        if only_live:
            return live_jacobian(module, x, live).reshape(len(live), *geometry.input_shape)
        check_dense(geometry.n_out, geometry.n_in, 4)
        return reference.jacobian_of_module(module, x, Convention.SLICES, ROWS_AT_ONCE)

    def answer(jacobian: Tensor, values: Tensor) -> Answer:
        size = geometry.input_shape[1]
        batches = zip(
            values.reshape(-1, size).split(SLICES_AT_ONCE), jacobian.reshape(-1, size, size).split(SLICES_AT_ONCE)
        )
        return answer_of_slices(batches, geometry.n_eigenvalues(Convention.SLICES))

    return Contender(NAIVE, torch.linalg.eigvals, form, answer)


def _patches(case: Case) -> Iterator[Tensor]:
    """Every slice that can have a nonzero eigenvalue, on its nonzero rows and columns. shape: (batch, size, size)."""
    former = slice_patches.PatchFormer(case.state)
    for position in slice_patches.positions(case.state):
        for outputs in former.chunks(position):
            values = former.form(position, outputs).values
            yield values.permute(0, 3, 1, 2).reshape(-1, position.size, position.size)


def _peeled(case: Case) -> Contender:
    """LAPACK's eigenvalues of our patches: the gain from peeling without the compiled counts."""

    def answer(patches: list[Tensor], values: list[Tensor]) -> Answer:
        return answer_of_slices(zip(values, patches), case.state.geometry.n_eigenvalues(Convention.SLICES))

    return Contender(
        PEELED, lambda patches: [torch.linalg.eigvals(some) for some in patches], lambda: list(_patches(case)), answer
    )


def _formed(case: Case) -> Contender:
    """Only the formation of the patches, each chunk freed at once, as in ``slices``."""

    def form() -> None:
        former = slice_patches.PatchFormer(case.state)
        for position in slice_patches.positions(case.state):
            for outputs in former.chunks(position):
                former.form(position, outputs)

    return Contender(FORMED, None, form)


def _ours(case: Case, threads: int = 1) -> Contender:
    def answer(_: None, spectrum: slice_spectra.SliceSpectrum) -> Answer:
        # All three are there: the level is counts.
        assert spectrum.n_negative is not None
        assert spectrum.n_positive is not None
        assert spectrum.n_undetermined is not None
        undetermined = spectrum.n_undetermined
        counts = {"negative": spectrum.n_negative, "positive": spectrum.n_positive}
        extremes = {"max_re": spectrum.max_re, "min_re": spectrum.min_re, "spectral_radius": spectrum.spectral_radius}
        return Answer({name: (n, n + undetermined) for name, n in counts.items()}, extremes)

    name = SLICES if threads == 1 else f"{SLICES}, {threads} threads"
    return Contender(name, lambda _: slice_spectra.slice_spectrum(case.state, "counts", threads=threads), answer=answer)


def answer_of_slices(batches: Iterable[tuple[Tensor, Tensor]], n_eigenvalues: int) -> Answer:
    """The answer from the eigenvalues (batch, m) of matrices (batch, m, m), batch by batch; all others are 0.

    Undetermined: λ is not exactly 0, and |Re λ| ≤ 10·m·u·‖K‖_F of its matrix K.
    """
    negative = positive = undetermined = seen = 0
    high, low, radius = -np.inf, np.inf, 0.0
    for values, matrices in batches:
        if not values.numel():
            continue
        axis = 10 * matrices.shape[-1] * device.UNIT_ROUNDOFF * torch.linalg.matrix_norm(matrices)[:, None]
        real = values.real
        negative += int((real < -axis).sum())
        positive += int((real > axis).sum())
        undetermined += int(((real.abs() <= axis) & (values != 0)).sum())
        high, low = max(high, float(real.max())), min(low, float(real.min()))
        radius, seen = max(radius, float(values.abs().max())), seen + values.numel()
    if seen < n_eigenvalues:
        high, low = max(high, 0.0), min(low, 0.0)
    counts = {"negative": (negative, negative + undetermined), "positive": (positive, positive + undetermined)}
    return Answer(counts, {"max_re": high, "min_re": low, "spectral_radius": radius})


# Memory


@dataclass(frozen=True)
class Peak:
    """The increase of resident memory that a side needed, in bytes, measured in a process of its own."""

    name: str
    blocks: tuple[int, ...]
    bytes: int
    answer: Answer


def peaks(network: str, blocks: Sequence[int], image: int) -> tuple[list[Peak], list[str]]:
    """The peaks of ours over all blocks, and of the naive side over the block with the largest tensor alone, which
    favours the naive side; and why they cannot be compared (empty if they agree on that block)."""
    sizes = {block: catalogue.block(network, block) for block in blocks}
    largest = max(blocks, key=lambda block: sizes[block].n_out * sizes[block].n_in)
    others = [block for block in blocks if block != largest]
    measured, problems = [], []
    for name, wanted in ((NAIVE, [largest]), (SLICES, [largest, *others])):
        # A new process for each: the peak of a process never decreases.
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            try:
                measured.append(pool.submit(peak, name, network, wanted, image).result())
            except (BrokenProcessPool, CannotCompute) as problem:
                problems.append(f"{name} did not run: {problem}")
    return measured, problems or disagreements(measured[0].answer, measured[1].answer)


def peak(name: str, network: str, blocks: Sequence[int], image: int) -> Peak:
    """Runs one side in this process, block by block: the largest peak, and the answer for the first block.

    A run on a few outputs loads and compiles everything before.
    """
    device.use_one_thread()
    cases, needed, answers = load_cases(network, blocks, image), 0, []
    for block in blocks:
        few = replace(cases[block], state=sampled(cases[block].state, WARM_UP_OUTPUTS))
        _needed(name, few, True)
        bytes_of_block, answer = _needed(name, cases[block], False)
        needed = max(needed, bytes_of_block)
        answers.append(answer)
    return Peak(name, tuple(blocks), needed, answers[0])


def _needed(name: str, case: Case, only_live: bool) -> tuple[int, Answer]:
    before = _restarted_peak()
    contender = _naive(case, only_live) if name == NAIVE else _ours(case)
    formed = contender.form() if contender.form is not None else None
    assert contender.solve is not None  # only _formed has none
    solved = contender.solve(formed) if contender.solve is not None else None
    needed = _peak_resident() - before  # before the answer is evaluated, which takes memory of its own
    return needed, contender.answer(formed, solved)


def _restarted_peak() -> int:
    """Resets the peak to the current resident size, where the system can, and returns it.

    Freed memory goes back to the system first: memory that the allocator keeps and reuses would not count.
    """
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # glibc only
        ctypes.CDLL(None).malloc_trim(0)
    with contextlib.suppress(OSError):  # otherwise the peak so far is the baseline
        Path("/proc/self/clear_refs").write_text("5")
    return _peak_resident()


def _peak_resident() -> int:
    """The largest resident size so far, in bytes.

    Not ru_maxrss on Linux, where a new process inherits that of its parent.
    """
    try:
        status = Path("/proc/self/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) * 1024
    except (OSError, IndexError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
