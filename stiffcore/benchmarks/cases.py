"""The comparisons of the benchmark: for one block at one image, the methods that compute the same answer."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from stiffcore import device
from stiffcore.analysis import block_metrics
from stiffcore.benchmarks.timing import Answer, Comparison, Contender, answer_of
from stiffcore.conventions import Convention
from stiffcore.images import cifar10
from stiffcore.jacobians import deflation, forward, reference, structure
from stiffcore.jacobians.linearise import BlockState
from stiffcore.networks import catalogue, resnets
from stiffcore.progress import silent
from stiffcore.spectra import full as full_spectra
from stiffcore.spectra.certificate import Certificate

ROWS_AT_ONCE = 256  # jacrev's chunk_size; the time per row was the same from 16 to 1024


@dataclass(frozen=True)
class Case:
    """A block at one image: torchvision's module in float64, and the linearised block."""

    network: str
    block: int
    image: int
    module: nn.Module
    state: BlockState

    @property
    def title(self) -> str:
        return f"{self.network} block {self.block}"

    @property
    def facts(self) -> dict[str, object]:
        geometry = self.state.geometry
        live = {"live_outputs": self.state.live_outputs, "live_inner": list(self.state.live_inner)}
        here = {"network": self.network, "block": self.block, "image": self.image}
        return here | {"n_in": geometry.n_in, "n_out": geometry.n_out} | live


def load_cases(network: str, blocks: Iterable[int], image: int) -> dict[int, Case]:
    """The blocks of a network at a test image, by one float64 forward pass."""
    model = resnets.load(network).double()
    pixels = cifar10.normalised(cifar10.image(image)[None])[0]
    states = forward.block_states(model, catalogue.blocks(network), pixels, blocks)
    modules = structure.residual_blocks(model)
    return {block: Case(network, block, image, modules[block - 1], states[block]) for block in blocks}


@torch.no_grad()
def mask_problem(case: Case) -> str:
    """A sentence if torchvision's module and the state differ in the mask of a ReLU, else ""."""
    module, x = case.module, case.state.input
    inner, before = x[None], None
    pairs = [(getattr(module, f"conv{i}"), getattr(module, f"bn{i}")) for i in range(1, len(case.state.convolutions))]
    differ = 0
    for (convolution, norm), mask in zip(pairs, case.state.inner_masks, strict=True):
        before = norm(convolution(inner))[0]
        differ += int(((before > 0) != mask).sum())
        inner = before.relu()[None]
    differ += int(((module(x[None])[0] > 0) != case.state.outer_mask).sum())
    return f"the masks of the two sides differ at {differ} units" if differ else ""


def check_dense(rows: int, columns: int, copies: int) -> None:
    device.check_memory(
        copies * 8 * rows * columns, 2**62, f"{copies} dense {rows} × {columns} matrices", "leave it out"
    )


def live_jacobian(module: nn.Module, x: Tensor, live: Tensor) -> Tensor:
    """The rows of the Jacobian of live outputs, by jacrev. shape: (a, n_in)."""
    if not len(live):  # jacrev of no outputs divides by zero
        return x.new_zeros(0, x.numel())
    rows: Tensor = torch.func.jacrev(lambda image: module(image[None])[0].flatten()[live], chunk_size=ROWS_AT_ONCE)(x)
    return rows.detach().reshape(len(live), -1)


# Item 1: the full spectrum

OURS, CHECKED = "core + eigvals", "core + eigvals, with its checks"
DENSE, LIVE = "jacrev + eigvals, all n × n", "jacrev + eigvals, live a × a"


def _dense(case: Case) -> Contender:
    """The whole Jacobian by reverse differentiation, decomposed by LAPACK."""
    module, x = case.module, case.state.input
    n = case.state.geometry.n_out

    def form() -> Tensor:
        check_dense(n, n, 4)
        return reference.jacobian_of_module(module, x, Convention.BLOCK, ROWS_AT_ONCE)

    return Contender(DENSE, _eigvals, form, lambda _, values: answer_of(values))


def _live(case: Case) -> Contender:
    """Only the rows and columns of live outputs, which LAPACK's balancing leaves of the dense matrix."""
    module, x = case.module, case.state.input
    live = case.state.outer_mask.flatten().nonzero()[:, 0]
    dead = case.state.geometry.n_out - len(live)

    def form() -> Tensor:
        check_dense(len(live), case.state.geometry.n_in, 4)
        return live_jacobian(module, x, live)[:, live].contiguous()

    return Contender(LIVE, _eigvals, form, lambda _, values: answer_of(values, dead))


def _eigvals(matrix: Tensor) -> np.ndarray:
    values: np.ndarray = torch.linalg.eigvals(matrix).numpy()
    return values


def _core(case: Case) -> Contender:
    """Ours: the core, formed and decomposed."""

    def form() -> deflation.Core:
        full_spectra.check_core_memory(deflation.plan(case.state, Convention.BLOCK).side, full_spectra.SPECTRUM_MEMORY)
        return deflation.form_core(case.state, Convention.BLOCK)

    def answer(core: deflation.Core, values: np.ndarray) -> Answer:
        return answer_of(values + core.plan.shift, core.plan.zeros, core.plan.ones)

    return Contender(OURS, lambda core: _eigvals(core.matrix), form, answer)


def _core_checked(case: Case) -> Contender:
    """Ours as the app runs it, with checks: the transpose's spectrum, matched to ours, and the outermost residuals."""

    def answer(_: deflation.Core, spectrum: full_spectra.Spectrum) -> Answer:
        return answer_of(spectrum.eigenvalues, spectrum.zeros, spectrum.ones)

    return Contender(
        CHECKED,
        lambda core: full_spectra.full_spectrum(case.state, Convention.BLOCK, core=core),
        lambda: deflation.form_core(case.state, Convention.BLOCK),
        answer,
    )


def full_spectrum(case: Case) -> Comparison:
    """Item 1: every eigenvalue of the whole block in float64."""
    plan = deflation.plan(case.state, Convention.BLOCK)
    contenders = [_dense(case), _live(case), _core(case), _core_checked(case)]
    return Comparison(
        "1",
        f"full spectrum of {case.title}, block, float64, on cpu",
        case.facts | _of_plan(plan),
        contenders,
        [(DENSE, (OURS,)), (LIVE, (OURS,)), (DENSE, (LIVE,)), (DENSE, (CHECKED,))],
        mask_problem(case),
    )


def _of_plan(plan: deflation.Plan) -> dict[str, object]:
    layers = " and ".join(plan.layers)
    return {"n": plan.n, "core_side": plan.side, "core_layers": layers, "convention": Convention.BLOCK}


# Item 2: extremes and certificates

EXTREMES, PROOF, COUNTED = "extremes", "certified count of negative ones", "level counts"


def outermost(case: Case) -> Comparison:
    """Item 2: the extremes, and the proof of how many eigenvalues are negative, against the full spectrum of the core.

    The full spectrum is timed as the eigensolver alone and with its checks (the transpose, the residuals).
    """
    plan = deflation.plan(case.state, Convention.BLOCK)
    contenders = [
        _core(case),
        _core_checked(case),
        Contender(
            EXTREMES,
            lambda _: full_spectra.extremes(case.state, Convention.BLOCK),
            answer=lambda _, extremes: outer_answer(extremes),
        ),
        Contender(
            PROOF,
            lambda _: full_spectra.certified(case.state)[0],
            answer=lambda _, certificate: proof_answer(certificate),
        ),
        Contender(COUNTED, lambda _: _counted(case.state), answer=lambda _, answer: answer),
        Contender("extremes under branch", lambda _: full_spectra.extremes(case.state, Convention.BRANCH)),
    ]
    return Comparison(
        "2",
        f"extremes and certificate of {case.title}, block, float64, full spectrum on cpu",
        case.facts | _of_plan(plan) | {"branch_core_side": deflation.plan(case.state, Convention.BRANCH).side},
        contenders,
        [(slow, (fast,)) for slow in (OURS, CHECKED) for fast in (EXTREMES, PROOF, COUNTED)],
    )


def _counted(state: BlockState) -> Answer:
    """The computation of ``analysis`` for a request of level counts under ``block``: proof and extremes, or the full spectrum."""
    known = block_metrics.of_matrix(state, Convention.BLOCK, "counts", silent)[0]
    assert known.negative is not None  # at this level both are known
    assert known.undetermined is not None
    extremes = {name: getattr(known, name) for name in ("max_re", "min_re", "spectral_radius")}
    return Answer({"negative": (known.negative, known.negative + known.undetermined)}, extremes)


def outer_answer(outer: full_spectra.Extremes) -> Answer:
    return Answer(extremes={"max_re": outer.max_re, "min_re": outer.min_re, "spectral_radius": outer.spectral_radius})


def proof_answer(certificate: Certificate) -> Answer:
    if certificate.kind == "proved":
        return Answer({"negative": (certificate.negative, certificate.negative)})
    return Answer(missing=f"no proof of how many are negative ({certificate.how})")
