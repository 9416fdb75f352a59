"""What the shared server's cache holds, and blocks for journeys."""

import numpy as np

from stiffcore.analysis import requests as analysis
from stiffcore.storage import cache as result_cache
from tests.made_up.asked import asked
from tests.made_up.spectra import made_up

MADE_UP, CLOUDS = 7, (8, 9)  # images whose spectra do not ship
QUICK, SLOW = 8, 4  # blocks of ResNet18: a spectrum takes seconds; long enough to be cancelled


def cloud_of(image: int, count: int) -> None:
    """Stores a spectrum of many points, so that WebGL draws it."""
    request = asked("resnet18", image, QUICK, "branch", "spectrum")
    result = made_up(request)
    half = np.random.default_rng(image).normal(size=(count // 2, 2)) @ [0.3, 0.3j]
    arrays = {"eigenvalues": np.concatenate([half, half.conj()])}
    assert result_cache.default().put(analysis.key(request), analysis.header_of(result), arrays) is None
