"""Every metric, once. Results, tables, menus, the command line and the README read this list.

Sources: the paper's Eq. 10 (S) and Eq. 11 (P, read as its text says: Re λ < 0); Lambert, "Numerical Methods for Ordinary
Differential Systems" (1991), ch. 6, over the eigenvalues with Re λ < 0 only; forward Euler at step 1; Söderlind, Jay and Calvo, "Stiffness
1952-2012: Sixty years in search of a definition", BIT 55 (2015), pp. 531-558 (m, M and s = (m + M)/2).
"""

import math
from collections.abc import Callable

from stiffcore.conventions import Convention
from stiffcore.metrics import within
from stiffcore.metrics.facts import Facts
from stiffcore.metrics.metric import Bound, Derived, Found, Group, Metric, Short, Unit
from stiffcore.metrics.missing import Missing, undefined

ONLY_BRANCH = undefined("forward Euler's step concerns the ODE right-hand side (branch)")
ONLY_SLICES = undefined("geometry's P belongs to slices")
NO_MATRIX = undefined("slices are not one matrix, which logarithmic norms and norms need (block, branch)")
OF_BLOCK, OF_BRANCH = undefined("‖J_block‖ belongs to block"), undefined("‖J_F‖ belongs to branch")
BLOCK = (Convention.BLOCK,)
BESIDE_THE_AXIS = (
    "Of a cloud that crosses the imaginary axis it depends on whichever eigenvalue lies next to the axis, and says nothing about "
    "the others."
)
BRANCH, SLICES = (Convention.BRANCH,), (Convention.SLICES,)
MATRIX = tuple(convention for convention in Convention if convention.has_matrix)


def stiffness_index(max_re: float, min_re: float, tolerance: float = 0.0) -> float:
    """max Re λ / min Re λ (paper, Eq. 10); NaN where min Re λ ≥ 0, or is within the tolerance of 0."""
    return max_re / min_re if min_re < -tolerance else math.nan


def _stiffness_index(facts: Facts) -> Found:
    if facts.max_re is None or facts.min_re is None:
        return None
    index = stiffness_index(facts.max_re, facts.min_re, facts.tolerance)
    return facts.nothing_negative if math.isnan(index) else index


def _without_skip(facts: Facts) -> Found:
    if facts.without_skip is None:
        return None
    index = stiffness_index(*facts.without_skip)
    return facts.nothing_negative if math.isnan(index) else index


def _percent_negative(facts: Facts) -> Found:
    return None if facts.negative is None else 100 * facts.negative / facts.n


def _stiffness_ratio(facts: Facts) -> Found:
    if facts.eigenvalues is None:
        return facts.ratio
    sizes = -facts.eigenvalues.real[facts.eigenvalues.real < -facts.tolerance]
    return float(sizes.max() / sizes.min()) if len(sizes) else facts.nothing_negative


def _of_forward_euler(facts: Facts, name: str) -> Found:
    return None if facts.forward_euler is None else facts.forward_euler[name]


def _singular(facts: Facts, which: int) -> Found:
    """The largest (0) or the smallest (1) singular value."""
    if facts.singular_values is None:
        return None
    value = facts.singular_values[which]
    return facts.no_singular_value if math.isnan(value) else value


def _condition_number(facts: Facts) -> Found:
    if facts.singular_values is None:
        return None
    largest, smallest = facts.singular_values
    number = largest / smallest if smallest > 0 else math.nan
    return facts.no_singular_value if math.isnan(number) else number


def _log_norm(facts: Facts, of: Callable[[float, float], float]) -> Found:
    """A function of the lower and the upper logarithmic norm; facts.missing says that a block is not square."""
    if not facts.is_square:
        return None
    return facts.no_norm if facts.log_norms is None else of(*facts.log_norms)


def _norm(facts: Facts, convention: Convention, elsewhere: Missing) -> Found:
    if facts.convention != convention:
        return elsewhere
    return facts.no_norm if facts.norm is None else facts.norm


METRICS: tuple[Metric, ...] = (
    Metric(
        "stiffness_index", "S", "Stiffness index: max Re λ / min Re λ", _stiffness_index, source="paper, Eq. 10",
        phrase="stiffness index", main=True, correlated=True, short=Short("S", 9, 2),
    ),
    Metric(
        "percent_negative", "P", "Percentage of eigenvalues with Re λ < 0", _percent_negative, Unit.PER_CENT,
        bound=Bound.INTERVAL, source="paper, Eq. 11, read as its text says", phrase="percentage negative",
        main=True, correlated=True, short=Short("P", 7, 3),
    ),
    Metric(
        "stiffness_ratio", "Ratio", "Stiffness ratio: max |Re λ| / min |Re λ| over Re λ < 0", _stiffness_ratio,
        bound=Bound.AT_LEAST, needs_spectrum=SLICES, source="after Lambert 1991, ch. 6", caveat=BESIDE_THE_AXIS,
    ),
    Metric(
        "max_re", "max Re λ", "Largest real part", lambda facts: facts.max_re,
        short=Short("max Re", 9, 5, explained=False),
    ),
    Metric(
        "min_re", "min Re λ", "Smallest real part", lambda facts: facts.min_re,
        short=Short("min Re", 9, 4, explained=False),
    ),
    Metric(
        "stiffness_indicator", "s", "Stiffness indicator: mean of the lower and the upper logarithmic norm",
        lambda facts: _log_norm(facts, lambda low, high: (low + high) / 2), group=Group.GROWTH, conventions=MATRIX,
        elsewhere=NO_MATRIX, source="Söderlind, Jay and Calvo 2015", phrase="stiffness indicator", correlated=True,
        short=Short("s", 8, 6),
    ),
    Metric(
        "log_norm_lower", "m", "Lower logarithmic norm: smallest eigenvalue of (J + Jᵀ)/2",
        lambda facts: _log_norm(facts, min), group=Group.GROWTH, conventions=MATRIX, elsewhere=NO_MATRIX,
        source="Dahlquist 1958", phrase="lower logarithmic norm",
    ),
    Metric(
        "log_norm_upper", "M", "Upper logarithmic norm: largest eigenvalue of (J + Jᵀ)/2",
        lambda facts: _log_norm(facts, max), group=Group.GROWTH, conventions=MATRIX, elsewhere=NO_MATRIX,
        source="Dahlquist 1958", phrase="upper logarithmic norm",
    ),
    Metric(
        "norm_branch", "‖J_F‖", "Spectral norm of the branch's Jacobian: most that F stretches a small change of its input",
        lambda facts: _norm(facts, Convention.BRANCH, OF_BRANCH), group=Group.GROWTH, conventions=BRANCH,
        elsewhere=OF_BRANCH, every_block=True, phrase="norm of the branch",
    ),
    Metric(
        "norm_block", "‖J_block‖", "Spectral norm of the block's Jacobian: most that the block stretches a small change of its input",
        lambda facts: _norm(facts, Convention.BLOCK, OF_BLOCK), group=Group.GROWTH, conventions=BLOCK,
        elsewhere=OF_BLOCK, every_block=True, phrase="norm of the block",
    ),
    Metric("spectral_radius", "max |λ|", "Spectral radius", lambda facts: facts.spectral_radius),
    Metric(
        "live_fraction", "Live outputs", "Share of the block's outputs that its outer ReLU lets through; all of them without one",
        lambda facts: facts.live_fraction, Unit.SHARE, Group.MASKS,
    ),
    Metric(
        "outside_euler", "Outside disc", "Share of eigenvalues with |1 + λ| > 1, outside forward Euler's disc",
        lambda facts: _of_forward_euler(facts, "share_outside"), Unit.SHARE, Group.STEPS, BRANCH, ONLY_BRANCH,
    ),
    Metric(
        "largest_stable_step", "Largest step",
        "Largest step at which forward Euler damps every eigenvalue with Re λ < 0",
        lambda facts: _of_forward_euler(facts, "largest_stable_step"), Unit.NUMBER, Group.STEPS, BRANCH, ONLY_BRANCH,
        bound=Bound.AT_MOST, source="min −2 Re λ / |λ|² over Re λ < 0",
        caveat=BESIDE_THE_AXIS,
    ),
    Metric(
        "share_positive", "Re λ > 0",
        "Share of eigenvalues with Re λ > 0, which no step of forward Euler stabilises",
        lambda facts: _of_forward_euler(facts, "share_positive"), Unit.SHARE, Group.STEPS, BRANCH, ONLY_BRANCH,
        bound=Bound.INTERVAL, wide=False,
    ),
    Metric(
        "n_eigenvalues", "Eigenvalues", "Number of eigenvalues, structural ones included", lambda facts: facts.n,
        Unit.COUNT, Group.COUNTS, short=Short("n", 8, 1),
    ),
    Metric(
        "n_negative", "Re λ < 0", "Number of eigenvalues with a negative real part", lambda facts: facts.negative,
        Unit.COUNT, Group.COUNTS, bound=Bound.INTERVAL,
    ),
    Metric(
        "n_zero", "Structural 0", "Eigenvalues that the masks make zero: appended, not computed",
        lambda facts: facts.zeros, Unit.COUNT, Group.STRUCTURE,
    ),
    Metric(
        "n_one", "Structural 1", "Eigenvalues that the masks make one: appended, not computed",
        lambda facts: facts.ones, Unit.COUNT, Group.STRUCTURE, wide=False,
    ),
    Metric(
        "n_positive", "Re λ > 0", "Number of eigenvalues with a positive real part", lambda facts: facts.positive,
        Unit.COUNT, Group.COUNTS, bound=Bound.INTERVAL, wide=False,
    ),
    Metric(
        "n_undetermined", "Undetermined", "Eigenvalues so close to the imaginary axis that rounding decides their sign",
        lambda facts: facts.undetermined, Unit.COUNT, Group.UNDETERMINED,
    ),
    Metric(
        "expected_percent_negative", "P if random", "Expected P for random entries on the same receptive field",
        lambda facts: facts.expected_percent_negative, Unit.PER_CENT, Group.BASELINES, SLICES, wide=False,
        baseline_of="percent_negative", phrase="P for random entries",
    ),
    Metric(
        "stiffness_index_without_skip", "S without skip", "S without the slices that carry the skip's 1",
        _without_skip, Unit.NUMBER, Group.BASELINES, SLICES, wide=False,
        baseline_of="stiffness_index", phrase="S without the skip's 1",
    ),
    Metric(
        "largest_singular_value", "σ max", "Largest singular value", lambda facts: _singular(facts, 0),
        Unit.NUMBER, Group.SINGULAR, MATRIX,
    ),
    Metric(
        "smallest_singular_value", "σ min", "Smallest singular value that the masks do not make zero",
        lambda facts: _singular(facts, 1), Unit.NUMBER, Group.SINGULAR, MATRIX,
    ),
    Metric(
        "condition_number", "σ max / σ min", "Largest singular value over the smallest that the masks do not make zero",
        _condition_number, Unit.NUMBER, Group.SINGULAR, MATRIX,
    ),
    Metric(
        "absolute_stiffness_index", "|S|", "Absolute value of S", correlated=True,
        derived=Derived("stiffness_index", lambda column: column("stiffness_index").abs()),
    ),
    Metric(
        "percent_negative_beyond_geometry", "P beyond geometry",
        "Residual of P in its regression, within each block, on the expected P for random entries", unit=Unit.PER_CENT,
        conventions=SLICES, elsewhere=ONLY_SLICES, correlated=True,
        derived=Derived(
            "percent_negative",
            lambda column: within.residual(
                column("percent_negative"), column("expected_percent_negative"), column("block")
            ),
        ),
    ),
)  # fmt: skip


def named(name: str) -> Metric:
    """The metric of this name; for a name that is not in the list, a plain number of that name."""
    return next((metric for metric in METRICS if metric.name == name), Metric(name, name, name))


def in_table_order() -> list[Metric]:
    """All metrics, ordered by group, as tables show them."""
    return sorted(METRICS, key=lambda metric: metric.group.value)


def of_group(*groups: Group) -> list[Metric]:
    """The metrics of these groups that results hold, in the order of the list."""
    return [metric for metric in METRICS if metric.group in groups and metric.derived is None]


def of(facts: Facts) -> tuple[dict[str, float], dict[str, Missing]]:
    """Every metric that a result lists, in the list's order, NaN where it is missing; and the reason for each NaN."""
    values = {metric.name: metric.value(facts) for metric in METRICS if metric.is_in(facts)}
    reasons = {name: value for name, value in values.items() if isinstance(value, Missing)}
    return {name: math.nan if isinstance(value, Missing) else value for name, value in values.items()}, reasons
