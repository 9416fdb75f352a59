"""A metric: its name, where it is defined, how it is computed. `definitions` lists all of them."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from stiffcore.conventions import Convention
from stiffcore.metrics.facts import Facts
from stiffcore.metrics.missing import Missing

if TYPE_CHECKING:  # it would delay the first paint
    import pandas as pd

Found = float | Missing | None  # None: the metric needs something that is not known; facts.missing says why
EVERY = tuple(Convention)


class Unit(Enum):
    """What a number counts or measures."""

    NUMBER = "number"
    PER_CENT = "%"  # from 0 to 100
    SHARE = "share"  # from 0 to 1, shown in per cent
    COUNT = "count"


class Bound(Enum):
    """How far a value is uncertain because of k undetermined eigenvalues, which count as not negative."""

    NONE = ""  # certain, or by an unknown amount
    AT_LEAST = "≥ "  # the value shown is a lower bound
    AT_MOST = "≤ "  # the value shown is an upper bound
    INTERVAL = "…"  # from the value shown up to k eigenvalues more


class Group(Enum):
    """The subject of a metric, in the order of tables."""

    SPECTRUM = 1
    GROWTH = 2  # logarithmic norms and norms: how fast solutions can grow or decay
    STEPS = 3  # of forward Euler
    SINGULAR = 4  # of blocks that are not square
    BASELINES = 5
    MASKS = 6
    COUNTS = 7
    STRUCTURE = 8
    UNDETERMINED = 9


OF_EVERY_BLOCK = (Group.SINGULAR, Group.MASKS)  # square or not
CHOSEN = (
    Group.SPECTRUM,
    Group.GROWTH,
    Group.STEPS,
    Group.SINGULAR,
    Group.MASKS,
)  # in menus; the others accompany a chosen metric


@dataclass(frozen=True)
class Derived:
    """A metric that no result holds: it is computed from other columns of a table of rows.

    base: the metric that it requires; of: computes the column, given a function from a name to that column.
    """

    base: str
    of: Callable[[Callable[[str], "pd.Series"]], "pd.Series"]


@dataclass(frozen=True)
class Short:
    """A metric's column in the command line's short table.

    place: position from the left; explained: whether a line below the table explains the name.
    """

    name: str
    width: int
    place: int
    explained: bool = True


@dataclass(frozen=True)
class Metric:
    """One number of a block at an image.

    compute: the value from the facts; None where the metric is ``derived``.
    conventions: where it is defined. elsewhere: why it is missing under the others; None: results there do not list it.
    needs_spectrum: the conventions under which it needs the level ``spectrum``.
    every_block: whether blocks that are not square have it, too, in a group whose other metrics need a square one.
    baseline_of: the metric that it accompanies.
    """

    name: str  # in results, rows and files
    symbol: str  # the heading of a column, without the unit
    title: str  # what it is, in one line
    compute: Callable[[Facts], Found] | None = None
    unit: Unit = Unit.NUMBER
    group: Group = Group.SPECTRUM
    conventions: tuple[Convention, ...] = EVERY
    elsewhere: Missing | None = None
    needs_spectrum: tuple[Convention, ...] = ()
    every_block: bool = False
    bound: Bound = Bound.NONE
    derived: Derived | None = None
    baseline_of: str = ""
    phrase: str = ""  # follows the symbol in a short menu; for a baseline, its name in a legend
    source: str = ""
    main: bool = False  # shown by default: the paper's S and P
    correlated: bool = False  # is correlated with accuracy and loss
    wide: bool = True  # a column of the command line's wide table
    short: Short | None = None
    caveat: str = (
        ""  # one sentence that stands beside the number; of a cloud that crosses the axis, main tables leave it out
    )

    @property
    def heading(self) -> str:
        """The symbol with its unit: ``P, %``."""
        return f"{self.symbol}, %" if self.unit in (Unit.PER_CENT, Unit.SHARE) else self.symbol

    @property
    def factor(self) -> int:
        """The factor from the value to the number shown: 100 for a share."""
        return 100 if self.unit is Unit.SHARE else 1

    @property
    def is_of_every_block(self) -> bool:
        """Whether a block that is not square can have it."""
        return self.every_block or self.group in OF_EVERY_BLOCK

    @property
    def is_chosen(self) -> bool:
        """Whether menus of the statistics pages offer it."""
        return self.derived is None and self.group in CHOSEN

    def is_of(self, convention: Convention) -> bool:
        """Whether the metric is defined under a convention."""
        return convention in self.conventions

    def is_in(self, facts: Facts) -> bool:
        """Whether a result lists the metric, with a value or with the reason why it has none."""
        if self.compute is None or (self.group is Group.SINGULAR and facts.is_square):
            return False
        return self.is_of(facts.convention) or self.elsewhere is not None

    def value(self, facts: Facts) -> float | Missing:
        """The number, never NaN, or the reason why there is none. Raises ValueError for a derived metric."""
        if self.compute is None:
            raise ValueError(f"Expected a metric that is computed from facts, got {self.name}, derived from rows.")
        if not self.is_of(facts.convention) and self.elsewhere is not None and facts.is_square:
            return self.elsewhere
        value = self.compute(facts)
        if value is None or (isinstance(value, float) and math.isnan(value)):
            return facts.missing
        return value

    def most(self, value: float, undetermined: float, n: float) -> float:
        """The upper end of an interval: the value if all undetermined ones of n eigenvalues are counted."""
        whole = {Unit.PER_CENT: 100.0, Unit.SHARE: 1.0}.get(self.unit)
        return value + undetermined * (1 if whole is None else whole / n)
