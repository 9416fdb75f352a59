"""What is left of a column of rows after a regression on another, within groups of rows. Needs no torch."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:  # pandas would delay the first paint
    import pandas as pd

ROUNDING = 1e-10  # a residual below this part of its variable is rounding: the regression explains everything


def residual(y: "pd.Series", x: "pd.Series", groups: "pd.Series") -> "pd.Series":
    """y less its least-squares line in x, a line for each group: y − ȳ − b (x − x̄) with b = Σ (x − x̄)(y − ȳ) / Σ (x − x̄)².

    Its mean and its correlation with x are 0 in every group. NaN where y or x is not finite; exactly 0 where the line
    explains a group to rounding.
    """
    known = np.isfinite(y) & np.isfinite(x)
    y, x, groups = y[known], x[known], groups[known]

    def sums(values: "pd.Series") -> "pd.Series":
        return values.groupby(groups).transform("sum")

    def centred(values: "pd.Series") -> "pd.Series":
        return values - values.groupby(groups).transform("mean")

    size = (1e-13 * x.abs()).pow(2)  # of what rounding makes of a constant x
    x, left = centred(x), centred(y)
    squares = sums(x**2)
    whole = sums(left**2)
    for _ in range(2):  # the second time takes away what rounding left
        left = centred(left - (sums(x * left) / squares).where(squares > sums(size), 0.0) * x)
    left = left.where(sums(left**2) > ROUNDING**2 * whole, 0.0)
    return left.reindex(known.index)
