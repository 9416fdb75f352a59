"""The slices of a block that stands on a card: formed and scanned there; LAPACK on the host solves the few that are left open.

A batch is scanned as a whole, so that its limits are known before a matrix is flagged for its extremes: a few matrices with the largest
bounds are solved first. Where a bound exceeds a limit, Routh's criterion for K less the limit decides on the card, and LAPACK gets what it
leaves open, a few dozen matrices a block. Three copies to the host a batch: the first few, and the sample; how many are left; these.
"""

import functools
import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from stiffcore.jacobians.linearise import BlockState
from stiffcore.slices import kernels
from stiffcore.slices.card_patches import Batch, BatchFormer
from stiffcore.slices.patches import positions
from stiffcore.slices.scan import Tally, add_flagged
from stiffcore.slices.solver import ERRORS, peeled, solve

FIRST = 8  # matrices with the largest bounds, for each extreme, that LAPACK solves to find limits
SAMPLE_STEP = 128  # LAPACK also counts a slice of every 128th output; the host, whose cores solve as they go, takes every 8th


@functools.cache
def reason() -> str:
    """Why the slices of a state on a card are computed on the host; "" where nothing prevents the card."""
    if importlib.util.find_spec("triton") is None:
        system = "there are no wheels of it for this system" if sys.platform != "linux" else "pip install triton"
        return f"Slices are computed on the CPU: Triton, which compiles their kernels for a card, is not installed ({system})."
    return ""


def can_scan(state: BlockState) -> bool:
    """Whether the kernels take all of the state's slices: LAPACK would have to solve larger ones one by one."""
    return not reason() and max((position.size for position in positions(state)), default=0) <= kernels.LARGEST_ROUTH
