"""A block made linear at an image -> facts, arrays, health: each convention and quantity by the cheapest way that answers."""

import numpy as np

from stiffcore.conventions import Convention
from stiffcore.errors import CannotCompute
from stiffcore.jacobians import deflation
from stiffcore.jacobians.deflation import Core
from stiffcore.jacobians.linearise import BlockState
from stiffcore.metrics import facts
from stiffcore.metrics.facts import Facts
from stiffcore.progress import Progress
from stiffcore.spectra import full as full_spectra, singular_values
from stiffcore.spectra.certificate import Certificate

# facts, and as analysis.Result holds them: arrays, health, what else was said of how it was made
Computed = tuple[Facts, dict[str, np.ndarray], dict[str, float], dict[str, object]]


def of_slices(state: BlockState, quantity: str, stage: Progress) -> Computed:
    """The facts of the published reading; the density as well where the spectrum is asked for."""
    from stiffcore.slices import spectrum as slice_spectra  # it brings numba, which takes a second to import

    made = slice_spectra.slice_spectrum(state, quantity, stage)
    live = state.live_outputs / state.geometry.n_out
    stage(1, 1, "baselines")
    expected = slice_spectra.expected_percent_negative(state)
    without_skip = made.max_re_without_skip, made.min_re_without_skip
    found = facts.of_slices(made, live, expected, without_skip, quantity != "extremes")
    arrays = {}
    if made.density is not None and made.re_edges is not None and made.im_edges is not None:
        arrays = {"density": made.density, "re_edges": made.re_edges, "im_edges": made.im_edges}
    return found, arrays, made.health, {}


def of_matrix(state: BlockState, convention: Convention, quantity: str, stage: Progress) -> Computed:
    """The facts of ``block`` or ``branch``, by the cheapest way that answers; the eigenvalues as well where they are asked for."""
    geometry = state.geometry
    live = state.live_outputs / geometry.n_out
    full = quantity == "spectrum"
    if not geometry.is_identity:
        singular = singular_values.compute(state, convention, quantity != "extremes", stage)
        found = facts.of_singular_values(singular, geometry.n_out, geometry.n_in, convention, live)
        arrays = {"singular_values": singular.values} if full else {}
        return found, arrays, singular.health, {"complete": singular.complete}
    core, certificate = None, None
    extra: dict[str, object] = {}
    if convention.counts_are_provable and not full:
        certificate, core = full_spectra.certified(state, quantity == "counts", stage)
        extra = {"certificate": {"kind": certificate.kind, "how": certificate.how}}
    by_extremes = quantity == "extremes" or (certificate and certificate.kind == "proved")
    if by_extremes and (computed := _by_extremes(state, convention, quantity, core, certificate, stage)) is not None:
        return computed
    limit = full_spectra.SPECTRUM_MEMORY if full else full_spectra.METRICS_MEMORY
    whole = full_spectra.full_spectrum(state, convention, stage, core, limit)
    found = facts.of_spectrum(whole, live)
    if found.negative and certificate and certificate.kind == "estimated":
        extra = {}  # refuted
    most = (found.negative or 0) + (found.undetermined or 0)  # a whole spectrum has both
    health = whole.health | {"percent_negative_at_most": 100 * most / whole.n}
    arrays = {"eigenvalues": whole.eigenvalues} if full else {}
    return found, arrays, health, extra | {"device": whole.device}


def _by_extremes(
    state: BlockState,
    convention: Convention,
    quantity: str,
    core: Core | None,
    certificate: Certificate | None,
    stage: Progress,
) -> Computed | None:
    """What of_matrix returns, without the whole spectrum; None where only that has the extremes."""
    proved = certificate if certificate is not None and certificate.kind == "proved" else None
    try:
        outermost = full_spectra.extremes(state, convention, stage, core, proved is not None and not proved.negative)
    except CannotCompute:
        if quantity == "extremes":
            raise
        return None
    there_is = outermost.min_re < -outermost.tolerance
    if proved and (there_is if not proved.negative else outermost.min_re > outermost.tolerance):
        raise CannotCompute(
            f"Expected {proved.negative} negative eigenvalues, as was proved ({proved.how}), got {outermost.min_re:.3g} for the "
            "leftmost, from a matrix so far from normal that rounding moves it across the axis: ask for the whole spectrum instead."
        )
    if certificate and there_is and not proved:
        certificate = None  # an eigenvalue that is negative refutes an estimate
    extra: dict[str, object] = {}
    if certificate:
        extra = {"certificate": {"kind": certificate.kind, "how": certificate.how}}
    live = state.live_outputs / state.geometry.n_out
    made = deflation.plan(state, convention)
    return facts.of_extremes(outermost, made, convention, live, certificate), {}, outermost.health, extra
