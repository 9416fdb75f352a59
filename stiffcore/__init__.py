"""stiffcore: do residual networks behave like stiff ODEs?

    import stiffcore as sc

    result = sc.analyse("resnet18", image=0, block=8, convention="branch", level="spectrum")
    result.metrics["percent_negative"], result.eigenvalues(), result.plot()

See README.md, "From Python". Attributes are imported at first use, so this module imports neither torch nor pandas.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stiffcore.errors import Cancelled, CannotCompute
    from stiffcore.front_door import (
        Analysis,
        analyse,
        by_block,
        by_label,
        correlate,
        image,
        jacobian,
        linearise,
        load_checkpoint,
        matrix,
        network,
        request,
        rows,
        sweep,
    )
    from stiffcore.front_door_growth import growth
    from stiffcore.front_door_robustness import explains, robustness
    from stiffcore.front_door_runs import between_seeds, over_training, run_rows, sweep_run

_RUNS = ("between_seeds", "over_training", "run_rows", "sweep_run")
_WHERE = {"CannotCompute": "errors", "Cancelled": "errors"} | dict.fromkeys(_RUNS, "front_door_runs")
_WHERE |= dict.fromkeys(("explains", "robustness"), "front_door_robustness")
_WHERE |= {"growth": "front_door_growth"}
__all__ = [
    "Analysis",
    "Cancelled",
    "CannotCompute",
    "analyse",
    "between_seeds",
    "by_block",
    "by_label",
    "correlate",
    "explains",
    "growth",
    "image",
    "jacobian",
    "linearise",
    "load_checkpoint",
    "matrix",
    "network",
    "over_training",
    "request",
    "robustness",
    "rows",
    "run_rows",
    "sweep",
    "sweep_run",
]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"stiffcore.{_WHERE.get(name, 'front_door')}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class _Package(ModuleType):
    """Importing a folder of a function's name, such as growth/, sets no attribute: ``sc.growth`` stays the function."""

    def __setattr__(self, name: str, value: object) -> None:
        if not (isinstance(value, ModuleType) and name in __all__):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
