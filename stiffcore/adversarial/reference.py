"""The slow, direct version of ``attacks``: one image, one step, one forward pass at a time. Tests compare the two.

``changes`` and ``uphill`` stand for the network: whether a perturbed image is predicted otherwise, and the sign of the loss's
gradient there; both take float32 pixels of shape (3, H, W), in grey levels.
"""

from collections.abc import Callable

import numpy as np

from stiffcore.adversarial.requests import LIMIT, PER_LEVEL, PGD_STEPS

Changes = Callable[[np.ndarray], bool]
Uphill = Callable[[np.ndarray], np.ndarray]


def fgsm_step(pixels: np.ndarray, changes: Changes, uphill: Uphill, whole: bool = False) -> float:
    """The smallest step k/8 (k whole: the smallest whole step), in grey levels; infinite if none up to LIMIT."""
    signs = uphill(pixels)
    for step in range(1, LIMIT * PER_LEVEL + 1):
        if whole and step % PER_LEVEL:
            continue
        if changes(np.clip(pixels + step / PER_LEVEL * signs, 0, 255)):
            return step / PER_LEVEL
    return np.inf


def pgd_succeeds(pixels: np.ndarray, begin: np.ndarray, radius: float, changes: Changes, uphill: Uphill) -> bool:
    """Whether 20 steps of ε/8 from x + ε·begin, begin of −1 … 1, change the prediction on their way."""
    x = np.clip(pixels + radius * begin, 0, 255)
    for _ in range(PGD_STEPS):
        if changes(x):
            return True
        x = np.clip(np.clip(x + radius / 8 * uphill(x), pixels - radius, pixels + radius), 0, 255)
    return changes(x)


def pgd_radius(pixels: np.ndarray, begin: np.ndarray, step: float, changes: Changes, uphill: Uphill) -> float:
    """ε bisected on the grid between 0 and the smallest FGSM step; from LIMIT where there is no such step."""
    low, high = 0.0, step
    if np.isinf(step):
        if not pgd_succeeds(pixels, begin, LIMIT, changes, uphill):
            return np.inf
        high = float(LIMIT)
    while high - low > 1 / PER_LEVEL:
        middle = np.floor((low + high) / 2 * PER_LEVEL) / PER_LEVEL
        low, high = (low, middle) if pgd_succeeds(pixels, begin, middle, changes, uphill) else (middle, high)
    return high
