"""What is known of a block at an image, however it was computed; metrics are computed from it.

λ are the block's eigenvalues, structural zeros and ones included.
"""

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from stiffcore.conventions import Convention
from stiffcore.metrics.missing import Missing, not_computed, not_square, undefined
from stiffcore.odes import spectrum_stability

if TYPE_CHECKING:  # they import torch
    from stiffcore.jacobians.deflation import Plan
    from stiffcore.slices.spectrum import SliceSpectrum
    from stiffcore.spectra.certificate import Certificate
    from stiffcore.spectra.full import Extremes, Spectrum
    from stiffcore.spectra.singular_values import SingularValues
    from stiffcore.spectra.symmetric_part import Norms

# These texts are part of stored and shipped results: keep them.
NOTHING_NEGATIVE = undefined("no eigenvalue has a negative real part")
INDISTINGUISHABLE = undefined("no eigenvalue's negative real part is distinguishable from zero")
NEEDS_COUNTS = not_computed("needs the full spectrum (level counts)")
NEEDS_SPECTRUM = not_computed("needs every eigenvalue, of which the smallest are next to zero (level spectrum)")
NEEDS_NEGATIVE = not_computed("needs every negative eigenvalue, and only their number is proved (level spectrum)")
NO_LIVE_OUTPUT, NO_LIVE_INNER = undefined("no live output"), undefined("no live inner unit")
ZERO = undefined("the smallest singular value is 0")
UNREACHED = not_computed("Lanczos' iteration did not reach it")
NEEDS_EXTREMES = not_computed("needs eigenvalues, of which level norms computes none (level extremes)")
NEEDS_COUNTS_OF_SINGULAR = not_computed("level norms computes only the largest one (level counts)")
NEEDS_NORMS = not_computed("needs Lanczos' iteration on (J + Jᵀ)/2 and JᵀJ (level norms)")
UNSETTLED = not_computed("Lanczos' iteration did not settle, or its two starts did not agree")
ONLY_LARGEST = not_computed("only the largest one is, for a block of this size")


@dataclass(frozen=True)
class Facts:
    """What is known of a block's spectrum under one convention; None where it is not known.

    missing: why a metric has no value if it needs something that is None here. nothing_negative: why it has none if it needs
    an eigenvalue with Re λ < 0. tolerance: an eigenvalue with |Re λ| up to this is undetermined.
    """

    convention: Convention
    live_fraction: float  # share of the outputs that the outer ReLU lets through, 1 without one
    missing: Missing
    nothing_negative: Missing = NOTHING_NEGATIVE
    n: int = 0  # eigenvalues; 0 where the block is not square
    zeros: int = 0  # structural eigenvalues 0, or structural singular values 0
    ones: int | None = None  # structural eigenvalues 1
    tolerance: float = 0.0
    eigenvalues: np.ndarray | None = None  # complex128, shape: (m,), of the core: all but the structural ones
    max_re: float | None = None
    min_re: float | None = None
    spectral_radius: float | None = None
    negative: int | None = None
    positive: int | None = None
    undetermined: int | None = None
    ratio: float | Missing | None = None  # max |Re λ| / min |Re λ| over Re λ < 0, where the eigenvalues are not kept
    expected_percent_negative: float | None = None  # of random entries on the same receptive field
    without_skip: tuple[float, float] | None = None  # max Re λ, min Re λ of the slices without the skip's 1
    singular_values: tuple[float, float] | None = None  # the largest and the smallest; NaN where no_singular_value
    no_singular_value: Missing | None = None
    log_norms: tuple[float, float] | None = None  # the lower and the upper one: the ends of the spectrum of (J + Jᵀ)/2
    norm: float | None = None  # ‖J‖₂
    no_norm: Missing = NEEDS_NORMS  # why there are none of a matrix that could have them

    @property
    def is_square(self) -> bool:
        """Whether the block has eigenvalues under its convention."""
        return self.singular_values is None

    @cached_property
    def forward_euler(self) -> dict[str, float] | None:
        """``spectrum_stability.of_method`` at step 1; None without the eigenvalues."""
        if self.eigenvalues is None:
            return None
        return spectrum_stability.of_method(self.eigenvalues, self.zeros, self.ones or 0, self.tolerance)


def of_spectrum(spectrum: "Spectrum", live_fraction: float) -> Facts:
    """Facts from all eigenvalues."""
    values, tolerance = spectrum.eigenvalues, spectrum.tolerance
    negative = int((values.real < -tolerance).sum())
    undetermined = int((np.abs(values.real) <= tolerance).sum())
    structural = [0.0] * (spectrum.zeros > 0) + [1.0] * (spectrum.ones > 0)
    reals = np.concatenate([values.real, structural])
    missing = INDISTINGUISHABLE if undetermined else NOTHING_NEGATIVE
    return Facts(
        spectrum.convention,
        live_fraction,
        missing,
        missing,
        n=spectrum.n,
        zeros=spectrum.zeros,
        ones=spectrum.ones,
        tolerance=tolerance,
        eigenvalues=values,
        max_re=float(reals.max()),
        min_re=float(reals.min()),
        spectral_radius=float(np.abs(np.concatenate([values, structural])).max()),
        negative=negative,
        positive=spectrum.n - negative - spectrum.zeros - undetermined,
        undetermined=undetermined,
    )


def of_extremes(
    extremes: "Extremes",
    plan: "Plan",
    convention: Convention,
    live_fraction: float,
    certificate: "Certificate | None" = None,
) -> Facts:
    """Facts from the outermost eigenvalues; also the counts, where a certificate proves them."""
    missing, negative = NEEDS_COUNTS, None
    ratio: Missing | None = None
    if certificate is not None and certificate.kind == "proved":
        negative = certificate.negative
        ratio = NEEDS_NEGATIVE if negative else NOTHING_NEGATIVE
    return Facts(
        convention,
        live_fraction,
        missing,
        NOTHING_NEGATIVE if extremes.min_re >= 0 else INDISTINGUISHABLE,
        n=plan.n,
        zeros=plan.zeros,
        ones=plan.ones,
        tolerance=extremes.tolerance,
        max_re=extremes.max_re,
        min_re=extremes.min_re,
        spectral_radius=extremes.spectral_radius,
        ratio=ratio,
        negative=negative,
        positive=None if negative is None else plan.n - plan.zeros - negative,
        undetermined=None if negative is None else 0,
    )


def of_slices(
    slices: "SliceSpectrum",
    live_fraction: float,
    expected_percent_negative: float,
    counted: bool,
) -> Facts:
    """Facts from the slices: the extremes, the two baselines and, where counted, the signs of all eigenvalues."""
    ratio = slices.stiffness_ratio
    return Facts(
        Convention.SLICES,
        live_fraction,
        NEEDS_COUNTS,
        n=slices.n_eigenvalues,
        zeros=slices.n_zero,
        ones=0,
        max_re=slices.max_re,
        min_re=slices.min_re,
        spectral_radius=slices.spectral_radius,
        ratio=NEEDS_SPECTRUM if ratio is None else NOTHING_NEGATIVE if math.isnan(ratio) else ratio,
        expected_percent_negative=expected_percent_negative,
        without_skip=(slices.max_re_without_skip, slices.min_re_without_skip),
        negative=slices.n_negative if counted else None,
        positive=slices.n_positive if counted else None,
        undetermined=slices.n_undetermined if counted else None,
    )


def of_singular_values(
    singular: "SingularValues", n_out: int, n_in: int, convention: Convention, live_fraction: float
) -> Facts:
    """Facts of a block that is not square: it has singular values, and no metric of eigenvalues is defined.

    A smallest one that is 0, by structure or within rounding, is undefined, and so is the condition number.
    """
    values = singular.values
    is_zero = len(values) > 0 and values[-1] == 0
    why = ZERO if is_zero else UNREACHED if convention.masks_outputs else ONLY_LARGEST
    smallest = math.nan if is_zero or not len(values) else float(values[-1])
    return Facts(
        convention,
        live_fraction,
        not_square(n_out, n_in),
        zeros=singular.structural_zeros,
        singular_values=(float(values[0]) if len(values) else math.nan, smallest),
        no_singular_value=why if len(values) else NO_LIVE_OUTPUT if convention.masks_outputs else NO_LIVE_INNER,
    )


def of_norms(
    norms: "Norms", convention: Convention, live_fraction: float, n_out: int, n_in: int, plan: "Plan | None", zeros: int
) -> Facts:
    """Facts of level norms. plan: None for a block that is not square; zeros: its structural zeros, or singular values 0."""
    if plan is None:
        largest = math.nan if norms.norm is None else norms.norm
        known = Facts(
            convention,
            live_fraction,
            not_square(n_out, n_in),
            zeros=zeros,
            singular_values=(largest, math.nan),
            no_singular_value=NEEDS_COUNTS_OF_SINGULAR,
        )
    else:
        known = Facts(
            convention, live_fraction, NEEDS_EXTREMES, NEEDS_EXTREMES, n=plan.n, zeros=plan.zeros, ones=plan.ones
        )
    return with_norms(known, norms)


def with_norms(facts: Facts, norms: "Norms") -> Facts:
    """The same facts with m, M and ‖J‖₂."""
    ends = None if norms.lower is None or norms.upper is None else (norms.lower, norms.upper)
    return replace(facts, log_norms=ends, norm=norms.norm, no_norm=UNSETTLED)
