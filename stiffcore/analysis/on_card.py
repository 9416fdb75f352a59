"""What is said about a card: whether it may compute a request, and why it did not where it was told to. Imports torch only for that."""

import sys
from dataclasses import replace
from importlib.util import find_spec

from stiffcore.analysis import estimate, requests
from stiffcore.analysis.requests import Request
from stiffcore.analysis.results import Result
from stiffcore.device_names import AUTO, CPU, CUDA

LARGE = "Slices are computed on the CPU: those of block {block} of {network} are larger than what the kernels for a card take."


def may_compute(request: Request, asked: str) -> bool:
    """Whether ``placement`` may take a card for a request, on a machine that has one. asked: the device's name.

    Cores have the side that ``estimate`` expects; whether the card is quicker is measured later.
    """
    from stiffcore import device

    if asked == CPU or not (request.convention.has_matrix or _may_scan()):
        return False
    work, size = requests.work_of(request, lambda: estimate.core_side(request))
    return asked != AUTO or size >= device.STEPS[work][0]


def _may_scan() -> bool:
    """Whether there may be kernels for slices: as was found out where slices were computed, else whether Triton is installed."""
    lanes = sys.modules.get("stiffcore.slices.card_lanes")
    return not lanes.reason() if lanes else find_spec("triton") is not None


def with_reason(result: Result, asked: str) -> Result:
    """The result, with a notice why slices that a card was asked for were computed on the CPU. asked: the device's name."""
    request = result.request
    if result.stored or request.convention.has_matrix or not asked.startswith(CUDA) or result.made["device"] != CPU:
        return result
    from stiffcore.slices import card_lanes

    large = LARGE.format(block=request.block, network=request.network.name)
    why = card_lanes.reason() or ("" if result.notices else large)  # a notice says that its memory was too small
    return replace(result, notices=(*result.notices, why)) if why else result
