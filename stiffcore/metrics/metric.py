"""A metric: how it is called, where it is defined, how it computes itself. `definitions` lists them."""

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

Found = float | Missing | None  # None: it takes something that was not found, and facts.missing says why
EVERY = tuple(Convention)


class Unit(Enum):
    """What a number counts or measures."""

    NUMBER = "number"
    PER_CENT = "%"  # from 0 to 100
    SHARE = "share"  # from 0 to 1, shown in per cent
    COUNT = "count"


class Bound(Enum):
    """What k undetermined eigenvalues, counted as not negative, leave open."""

    NONE = ""  # nothing, or nothing that is known
    AT_LEAST = "≥ "  # it is what is shown or more
    AT_MOST = "≤ "
    INTERVAL = "…"  # it is what is shown, or up to k eigenvalues more


class Group(Enum):
    """What a metric is about, in the order in which tables show it."""

    SPECTRUM = 1
    STEPS = 2  # of forward Euler
    SINGULAR = 3  # of blocks that are not square
    BASELINES = 4
    MASKS = 5
    COUNTS = 6
    STRUCTURE = 7
    UNDETERMINED = 8


OF_EVERY_BLOCK = (Group.SINGULAR, Group.MASKS)  # square or not
CHOSEN = (Group.SPECTRUM, Group.STEPS, Group.SINGULAR, Group.MASKS)  # the others stand beside what is chosen


@dataclass(frozen=True)
class Derived:
    """A metric that no result holds: it is computed from other columns of a table of rows.

    base: the metric without which there is none; of: takes a function from a name to that column.
    """

    base: str
    of: Callable[[Callable[[str], "pd.Series"]], "pd.Series"]


@dataclass(frozen=True)
class Short:
    """Its column of the command line's short table. place: from the left; explained: the name says too little."""

    name: str
    width: int
    place: int
    explained: bool = True


@dataclass(frozen=True)
class Metric:
    """One number of a block at an image.

    compute: from what was found; None where the metric is ``derived``.
    conventions: where it is defined. elsewhere: why there is none under the others; None: results there do not list it.
    needs_spectrum: the conventions under which it takes the level ``spectrum``.
    baseline_of: the metric that it stands beside.
    """

    name: str  # in results, rows and files
    symbol: str  # at the head of a column, without its unit
    title: str  # what it is, in a line
    compute: Callable[[Facts], Found] | None = None
    unit: Unit = Unit.NUMBER
    group: Group = Group.SPECTRUM
    conventions: tuple[Convention, ...] = EVERY
    elsewhere: Missing | None = None
    needs_spectrum: tuple[Convention, ...] = ()
    bound: Bound = Bound.NONE
    derived: Derived | None = None
    baseline_of: str = ""
    phrase: str = ""  # behind the symbol in a menu of a few; of a baseline, its name in a legend
    source: str = ""
    main: bool = False  # shown by default: the paper's S and P
    correlated: bool = False  # with accuracy and loss
    wide: bool = True  # a column of the command line's wide table
    short: Short | None = None

    @property
    def heading(self) -> str:
        """The symbol with its unit: ``P, %``."""
        return f"{self.symbol}, %" if self.unit in (Unit.PER_CENT, Unit.SHARE) else self.symbol

    @property
    def factor(self) -> int:
        """From the value to what is shown: 100 for a share."""
        return 100 if self.unit is Unit.SHARE else 1

    @property
    def is_of_every_block(self) -> bool:
        """Whether a block that is not square can have it."""
        return self.group in OF_EVERY_BLOCK

    @property
    def is_chosen(self) -> bool:
        """Whether menus of the statistics pages offer it."""
        return self.derived is None and self.group in CHOSEN

    def is_of(self, convention: Convention) -> bool:
        """Whether it is defined under a convention."""
        return convention in self.conventions

    def is_in(self, facts: Facts) -> bool:
        """Whether a result lists it, with a value or with the reason why it has none."""
        if self.compute is None or (self.group is Group.SINGULAR and facts.is_square):
            return False
        return self.is_of(facts.convention) or self.elsewhere is not None

    def value(self, facts: Facts) -> float | Missing:
        """The number, never NaN, or why there is none."""
        if self.compute is None:
            raise ValueError(f"Expected a metric that is computed from facts, got {self.name}, derived from rows.")
        if not self.is_of(facts.convention) and self.elsewhere is not None and facts.is_square:
            return self.elsewhere
        found = self.compute(facts)
        if found is None or (isinstance(found, float) and math.isnan(found)):
            return facts.missing
        return found

    def most(self, value: float, undetermined: float, n: float) -> float:
        """What it can be at most, of a metric whose bound is an interval: all undetermined eigenvalues of n counted in."""
        whole = {Unit.PER_CENT: 100.0, Unit.SHARE: 1.0}.get(self.unit)
        return value + undetermined * (1 if whole is None else whole / n)
