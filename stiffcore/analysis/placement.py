"""Where a request is computed: on the CPU or on a card, by its kind and its size."""

import torch

from stiffcore import device
from stiffcore.analysis.requests import Request
from stiffcore.jacobians import deflation
from stiffcore.jacobians.linearise import BlockState


def of(request: Request, state: BlockState, asked: torch.device | None) -> torch.device:
    """The device for a request, whose block is linearised. asked: the one that was asked for; None for the process's, else the quicker one."""
    work, size = _work(request, state)
    where = device.chosen(work, size, asked)
    if work == "slices" and where != device.CPU:
        from stiffcore.slices import card  # imports numba, which takes a second

        return where if card.can_scan(state, where) else device.CPU
    return where


def _work(request: Request, state: BlockState) -> tuple[device.Work, int]:
    """What takes longest, and its size: of slices, their number; of a spectrum or its counts, the core's side; else a vector's length."""
    geometry = state.geometry
    if not request.convention.has_matrix:
        return "slices", geometry.n_out * geometry.input_shape[0]
    if request.quantity not in ("spectrum", "counts"):
        return "iteration", max(geometry.n_in, geometry.n_out)
    if geometry.is_identity:
        return "spectrum", deflation.plan(state, request.convention).side
    return "spectrum", min(geometry.n_in, geometry.n_out)
