"""Imports torchvision, with a CPU-only torch too.

torchvision's wheels are built against CUDA: with a CPU-only torch, ``import torchvision`` fails with
``operator torchvision::nms does not exist``. Declaring the two missing schemas first lets models,
datasets and transforms work; the box operators, which this project does not use, stay unavailable.
"""

import importlib
import sys
import threading
from types import ModuleType

_lock = threading.Lock()  # declaring a schema twice is an error


def torchvision(submodule: str = "") -> ModuleType:
    """Return ``torchvision`` or one of its submodules, for example ``torchvision("models.resnet")``."""
    import torch

    with _lock:
        if torch.version.cuda is None and torch.version.hip is None and "torchvision" not in sys.modules:
            schemas = _declared(torch)
            # A torch.library.Library removes its schemas when it is collected: it lives as long as torchvision does, longer than
            # this module where another version of this package takes its place (sweeps/guest.py).
            importlib.import_module("torchvision").__dict__["schemas_of_stiffcore"] = schemas
    return importlib.import_module("torchvision" + (f".{submodule}" if submodule else ""))


def _declared(torch: ModuleType) -> object:
    library = torch.library.Library("torchvision", "FRAGMENT")
    for schema in (
        "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
        "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    ):
        library.define(schema)
    return library
