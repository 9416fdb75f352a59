"""Bootstrap over images: how often each is drawn, and percentile intervals. Needs no torch."""

from functools import lru_cache

import numpy as np

RESAMPLES = 2000  # of the bootstrap; its 2.5 % tails then rest on 50 values
TAILS = (0.025, 0.975)
FEWEST_USABLE = 0.9  # part of the resamples that must have a value


@lru_cache(maxsize=4)
def weights(n: int, seed: int = 0, resamples: int = RESAMPLES) -> np.ndarray:
    """How often each of n images is drawn in each resample; shape: (resamples, n)."""
    drawn = np.random.default_rng(seed).integers(n, size=(resamples, n))
    drawn += n * np.arange(resamples)[:, None]
    return np.bincount(drawn.ravel(), minlength=resamples * n).reshape(resamples, n).astype(float)


def percentiles(values: np.ndarray) -> tuple[float, float]:
    """The 95 % interval of a statistic's resamples, shape (resamples,): NaN where it has none; both ends are NaN where
    that is more than a tenth of them."""
    usable = np.isfinite(values)
    if usable.mean() < FEWEST_USABLE:
        return np.nan, np.nan
    low, high = np.quantile(values[usable], TAILS)
    return float(low), float(high)


def interval(xy: np.ndarray, xx: np.ndarray, yy: np.ndarray) -> tuple[float, float]:
    """The 95 % interval of r = Σxy / √(Σxx Σyy) over the resamples, each sum of shape (resamples,) and of centred
    values. A resample in which one of the two does not vary (all images right, for example) has no r."""
    varies = (xx > 1e-12 * xx.mean()) & (yy > 1e-12 * yy.mean())
    r = np.full(len(xy), np.nan)
    r[varies] = np.clip(xy[varies] / np.sqrt(xx[varies] * yy[varies]), -1, 1)
    return percentiles(r)
