"""The comparisons of the benchmark: for one block at one image, the methods that compute the same answer."""

import copy
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from stiffcore import device
from stiffcore.analysis import block_metrics
from stiffcore.benchmarks.timing import Answer, Comparison, Contender, Pair, answer_of
from stiffcore.conventions import Convention
from stiffcore.images import cifar10
from stiffcore.jacobians import deflation, forward, reference, structure
from stiffcore.jacobians.linearise import BlockState
from stiffcore.networks import catalogue, resnets
from stiffcore.progress import silent
from stiffcore.spectra import full as full_spectra
from stiffcore.spectra.certificate import Certificate

ROWS_AT_ONCE = 256  # jacrev's chunk_size; the time per row was the same from 16 to 1024
CPU = torch.device("cpu")


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

    def on(self, where: torch.device) -> tuple[nn.Module, Tensor]:
        """The module and its input on a device; on the CPU, without a copy."""
        if where.type == "cpu":
            return self.module, self.state.input
        return copy.deepcopy(self.module).to(where), self.state.input.to(where)


def load_cases(network: str, blocks: Iterable[int], image: int) -> dict[int, Case]:
    """The blocks of a network at a test image, by one float64 forward pass."""
    model = resnets.load(network).double()
    pixels = cifar10.normalised(cifar10.image(image)[None])[0]
    states = forward.block_states(model, catalogue.blocks(network), pixels, blocks)
    modules = structure.residual_blocks(model)
    return {block: Case(network, block, image, modules[block - 1], states[block]) for block in blocks}


@torch.no_grad()
def mask_problem(case: Case, where: torch.device = CPU) -> str:
    """A sentence if torchvision's module and the state differ in the mask of a ReLU, else ""."""
    module, x = case.on(where)
    inner, before = x[None], None
    pairs = [(getattr(module, f"conv{i}"), getattr(module, f"bn{i}")) for i in range(1, len(case.state.convolutions))]
    differ = 0
    for (convolution, norm), mask in zip(pairs, case.state.inner_masks, strict=True):
        before = norm(convolution(inner))[0]
        differ += int(((before > 0).cpu() != mask).sum())
        inner = before.relu()[None]
    differ += int(((module(x[None])[0] > 0).cpu() != case.state.outer_mask).sum())
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


# Items 1 and 5: the full spectrum

OURS, CHECKED = "core + eigvals", "core + eigvals, with its checks"
DENSE, LIVE = "jacrev + eigvals, all n × n", "jacrev + eigvals, live a × a"


def _dense(case: Case, where: torch.device) -> Contender:
    """The whole Jacobian by reverse differentiation, decomposed by LAPACK or cuSOLVER."""
    module, x = case.on(where)
    n = case.state.geometry.n_out

    def form() -> Tensor:
        check_dense(n, n, 4)
        return reference.jacobian_of_module(module, x, Convention.BLOCK, ROWS_AT_ONCE)

    return Contender(DENSE, _eigvals, form, lambda _, values: answer_of(values))


def _live(case: Case, where: torch.device) -> Contender:
    """Only the rows and columns of live outputs, which LAPACK's balancing leaves of the dense matrix."""
    module, x = case.on(where)
    live = case.state.outer_mask.flatten().nonzero()[:, 0].to(where)
    dead = case.state.geometry.n_out - len(live)

    def form() -> Tensor:
        check_dense(len(live), case.state.geometry.n_in, 4)
        return live_jacobian(module, x, live)[:, live].contiguous()

    return Contender(LIVE, _eigvals, form, lambda _, values: answer_of(values, dead))


def _eigvals(matrix: Tensor) -> np.ndarray:
    values: np.ndarray = torch.linalg.eigvals(matrix).cpu().numpy()
    return values


def _core(case: Case, where: torch.device, name: str) -> Contender:
    """Ours: the core, formed on the CPU and decomposed on ``where``."""

    def form() -> deflation.Core:
        full_spectra.check_core_memory(deflation.plan(case.state, Convention.BLOCK).side, full_spectra.SPECTRUM_MEMORY)
        return deflation.form_core(case.state, Convention.BLOCK)

    def answer(core: deflation.Core, values: np.ndarray) -> Answer:
        return answer_of(values + core.plan.shift, core.plan.zeros, core.plan.ones)

    return Contender(name, lambda core: _eigvals(core.matrix.to(where)), form, answer)


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


def full_spectrum(case: Case, where: torch.device = CPU) -> Comparison:
    """Item 1: every eigenvalue of the whole block in float64. Item 5, on a GPU: also against ours on the CPU."""
    plan = deflation.plan(case.state, Convention.BLOCK)
    contenders = [_dense(case, where), _live(case, where), _core(case, where, OURS)]
    pairs: list[Pair] = [(DENSE, (OURS,)), (LIVE, (OURS,)), (DENSE, (LIVE,))]
    if device.eigensolver_device(plan.side).type == where.type:
        contenders.append(_core_checked(case))
        pairs.append((DENSE, (CHECKED,)))
    if where.type != "cpu":
        contenders.append(_core(case, CPU, f"{OURS}, on the CPU"))
        pairs.append((f"{OURS}, on the CPU", (OURS,)))
    return Comparison(
        "1" if where.type == "cpu" else "5",
        f"full spectrum of {case.title}, block, float64, on {device.name(where)}",
        case.facts
        | {"n": plan.n, "core_side": plan.side, "core_layers": list(plan.layers), "convention": Convention.BLOCK},
        contenders,
        pairs,
        mask_problem(case, where),
    )


# Item 2: extremes and certificates

EXTREMES, PROOF, COUNTED = "extremes", "certified count of negative ones", "level counts"


def outermost(case: Case, where: torch.device = CPU) -> Comparison:
    """Item 2: the extremes, and the proof of how many eigenvalues are negative, against the full spectrum of the core.

    The full spectrum is timed as the eigensolver alone and, on the device that the app would use, with its checks (the
    transpose, the residuals).
    """
    plan = deflation.plan(case.state, Convention.BLOCK)
    contenders, full = [_core(case, where, OURS)], [OURS]
    if device.eigensolver_device(plan.side).type == where.type:
        contenders.append(_core_checked(case))
        full.append(CHECKED)
    contenders += [
        Contender(
            EXTREMES,
            lambda _: full_spectra.extremes(case.state, Convention.BLOCK),
            answer=lambda _, extremes: _outer(extremes),
        ),
        Contender(
            PROOF,
            lambda _: full_spectra.certified(case.state)[0],
            answer=lambda _, certificate: _proved(certificate),
        ),
        Contender(COUNTED, lambda _: _counted(case.state), answer=lambda _, answer: answer),
        Contender("extremes under branch", lambda _: full_spectra.extremes(case.state, Convention.BRANCH)),
    ]
    return Comparison(
        "2" if where.type == "cpu" else "5",
        f"extremes and certificate of {case.title}, block, float64, full spectrum on {device.name(where)}",
        case.facts | {"n": plan.n, "core_side": plan.side, "core_layers": list(plan.layers), "convention": Convention.BLOCK}
        | {"branch_core_side": deflation.plan(case.state, Convention.BRANCH).side},
        contenders,
        [(slow, (fast,)) for slow in full for fast in (EXTREMES, PROOF, COUNTED)],
    )  # fmt: skip


def _counted(state: BlockState) -> Answer:
    """The computation of ``analysis`` for a request of level counts under ``block``: proof and extremes, or the full spectrum."""
    known = block_metrics.of_matrix(state, Convention.BLOCK, "counts", silent)[0]
    assert known.negative is not None  # at this level both are known
    assert known.undetermined is not None
    extremes = {name: getattr(known, name) for name in ("max_re", "min_re", "spectral_radius")}
    return Answer({"negative": (known.negative, known.negative + known.undetermined)}, extremes)


def _outer(outer: full_spectra.Extremes) -> Answer:
    return Answer(extremes={"max_re": outer.max_re, "min_re": outer.min_re, "spectral_radius": outer.spectral_radius})


def _proved(certificate: Certificate) -> Answer:
    if certificate.kind == "proved":
        return Answer({"negative": (certificate.negative, certificate.negative)})
    return Answer(missing=f"no proof of how many are negative ({certificate.how})")
