"""Where a request is computed: on the CPU or on a card, by its kind and its size."""

import torch

from stiffcore import device
from stiffcore.analysis.requests import Request, work_of
from stiffcore.jacobians import deflation
from stiffcore.jacobians.linearise import BlockState


def of(request: Request, state: BlockState, asked: torch.device | None) -> torch.device:
    """The device for a request, whose block is linearised. asked: the one that was asked for; None for the process's, else the quicker one."""
    work, size = work_of(request, lambda: deflation.plan(state, request.convention).side)
    where = device.chosen(work, int(size), asked)
    if work == "patches" and where != device.CPU:
        from stiffcore.slices import card  # imports numba, which takes a second

        return where if card.can_scan(state, where) else device.CPU
    return where
