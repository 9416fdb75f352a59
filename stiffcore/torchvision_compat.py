"""Imports torchvision, with a CPU-only torch too.

torchvision's wheels are built against CUDA: with a CPU-only torch, ``import torchvision`` fails with
``operator torchvision::nms does not exist``. Declaring the two missing schemas first lets models,
datasets and transforms work; the box operators, which this project does not use, stay unavailable.
"""

import importlib
import threading
from types import ModuleType

_lock = threading.Lock()  # declaring a schema twice is an error
_kept_alive: list[object] = []  # a torch.library.Library removes its schemas when it is collected


def torchvision(submodule: str = "") -> ModuleType:
    """Return ``torchvision`` or one of its submodules, for example ``torchvision("models.resnet")``."""
    import torch

    with _lock:
        if torch.version.cuda is None and torch.version.hip is None and not _kept_alive:
            _declare(torch)
    return importlib.import_module("torchvision" + (f".{submodule}" if submodule else ""))


def _declare(torch: ModuleType) -> None:
    library = torch.library.Library("torchvision", "FRAGMENT")
    for schema in (
        "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
        "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    ):
        library.define(schema)
    _kept_alive.append(library)
