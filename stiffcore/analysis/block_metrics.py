"""A block linearised at an image -> facts, arrays, health: each convention and quantity by the cheapest sufficient method."""

import numpy as np

from stiffcore.conventions import Convention
from stiffcore.errors import CannotCompute
from stiffcore.jacobians import deflation
from stiffcore.jacobians.deflation import Core
from stiffcore.jacobians.linearise import BlockState
from stiffcore.metrics import facts
from stiffcore.metrics.facts import Facts
from stiffcore.progress import Progress
from stiffcore.spectra import arnoldi, full as full_spectra, singular_values, symmetric_part
from stiffcore.spectra.certificate import Certificate

LEAST_VECTORS = 200  # of Arnoldi's iteration: trained blocks of side 800 need 60 to 194 (measured)

# facts; arrays and health as in requests.Result; what else its `made` records
Computed = tuple[Facts, dict[str, np.ndarray], dict[str, float], dict[str, object]]


def of_slices(state: BlockState, quantity: str, stage: Progress) -> Computed:
    """The facts of the published reading; also the density, if the quantity is the spectrum."""
    from stiffcore.slices import spectrum as slice_spectra  # imports numba, which takes a second

    spectrum = slice_spectra.slice_spectrum(state, quantity, stage)
    live = state.live_outputs / state.geometry.n_out
    known = facts.of_slices(spectrum, live, spectrum.expected_percent_negative, quantity != "extremes")
    arrays = {}
    if spectrum.density is not None and spectrum.re_edges is not None and spectrum.im_edges is not None:
        arrays = {"density": spectrum.density, "re_edges": spectrum.re_edges, "im_edges": spectrum.im_edges}
    return known, arrays, spectrum.health, {}


def of_matrix(state: BlockState, convention: Convention, quantity: str, stage: Progress) -> Computed:
    """The facts of ``block`` or ``branch`` by the cheapest sufficient method, with m, M and ‖J‖₂ at every level; also the
    eigenvalues or singular values, if the quantity is the spectrum."""
    if quantity == "norms":
        return _norms_alone(state, convention, stage)
    if not state.geometry.is_identity:
        return _of_singular_values(state, convention, quantity, stage)
    known, arrays, health, extra = _of_eigenvalues(state, convention, quantity, stage)
    norms = symmetric_part.compute(state, convention, stage)
    return facts.with_norms(known, norms), arrays, health | norms.health, extra


def _norms_alone(state: BlockState, convention: Convention, stage: Progress) -> Computed:
    geometry = state.geometry
    norms = symmetric_part.compute(state, convention, stage)
    plan = deflation.plan(state, convention) if geometry.is_identity else None
    zeros = 0 if plan else singular_values.structural_zeros(state, convention)
    live = state.live_outputs / geometry.n_out
    known = facts.of_norms(norms, convention, live, geometry.n_out, geometry.n_in, plan, zeros)
    return known, {}, norms.health, {}


def _of_singular_values(state: BlockState, convention: Convention, quantity: str, stage: Progress) -> Computed:
    """Of a block that is not square: the largest singular value is its norm."""
    geometry = state.geometry
    singular = singular_values.compute(state, convention, quantity != "extremes", stage)
    live = state.live_outputs / geometry.n_out
    known = facts.of_singular_values(singular, geometry.n_out, geometry.n_in, convention, live)
    arrays = {"singular_values": singular.values} if quantity == "spectrum" else {}
    largest = symmetric_part.Norms(None, None, float(singular.values[0]) if len(singular.values) else 0.0, {})
    return facts.with_norms(known, largest), arrays, singular.health, {"complete": singular.complete}


def _of_eigenvalues(state: BlockState, convention: Convention, quantity: str, stage: Progress) -> Computed:
    live = state.live_outputs / state.geometry.n_out
    full = quantity == "spectrum"
    core, certificate = None, None
    extra: dict[str, object] = {}
    if convention.counts_are_provable and not full:
        certificate, core = full_spectra.certified(state, stage)
        extra = {"certificate": {"kind": certificate.kind, "how": certificate.how}}
    by_extremes = quantity == "extremes" or (certificate and certificate.kind == "proved")
    if by_extremes and (computed := _by_extremes(state, convention, quantity, core, certificate, stage)) is not None:
        return computed
    limit = full_spectra.SPECTRUM_MEMORY if full else full_spectra.METRICS_MEMORY
    spectrum = full_spectra.full_spectrum(state, convention, stage, core, limit)
    known = facts.of_spectrum(spectrum, live)
    most = (known.negative or 0) + (known.undetermined or 0)  # a full spectrum has both
    health = spectrum.health | {"percent_negative_at_most": 100 * most / spectrum.n}
    arrays = {"eigenvalues": spectrum.eigenvalues} if full else {}
    return known, arrays, health, extra | {"device": spectrum.device}


def _by_extremes(
    state: BlockState,
    convention: Convention,
    quantity: str,
    core: Core | None,
    certificate: Certificate | None,
    stage: Progress,
) -> Computed | None:
    """What of_matrix returns, without the full spectrum; None where the extremes need the full spectrum."""
    proved = certificate if certificate is not None and certificate.kind == "proved" else None
    try:
        outermost = full_spectra.extremes(
            state,
            convention,
            stage,
            core,
            proved is not None and not proved.negative,
            _most_vectors(state, convention, quantity),
        )
    except CannotCompute:
        if quantity == "extremes":
            raise
        return None
    is_negative = outermost.min_re < -outermost.tolerance
    if proved and (is_negative if not proved.negative else outermost.min_re > outermost.tolerance):
        raise CannotCompute(
            f"The proof ({proved.how}) gives {proved.negative} eigenvalues with Re λ < 0, but the leftmost one was computed as "
            f"{outermost.min_re:.3g}: the matrix is so far from normal that rounding moves it across the axis. Ask for the full "
            "spectrum instead."
        )
    extra: dict[str, object] = {}
    if certificate:
        extra = {"certificate": {"kind": certificate.kind, "how": certificate.how}}
    live = state.live_outputs / state.geometry.n_out
    plan = deflation.plan(state, convention)
    return facts.of_extremes(outermost, plan, convention, live, certificate), {}, outermost.health, extra


def _most_vectors(state: BlockState, convention: Convention, quantity: str) -> int | None:
    """Of Arnoldi's iteration; None: as many as it takes. Where the full spectrum is what follows if it does not converge, it ends before it costs a tenth of that."""
    if quantity == "extremes":
        return None
    return min(arnoldi.MOST_VECTORS, max(LEAST_VECTORS, deflation.plan(state, convention).side // 4))
