"""Recipes of a training: everything that, with the data, determines it. Imports no torch.

``zoo``    the public zoo's whose sizes the paper's networks match, and of the weights that ship: SGD with Nesterov momentum 0.9, batch
           256, linear warm-up over 30 % of the steps to 0.01, then a cosine to 0, weight decay 0.01 on every parameter, batch norm's
           scales and shifts included, crops of images padded by 4 black pixels, flips, 100 epochs
``short``  the same in 30 epochs at twice the peak rate: near it in a third of the time
``quick``  a high rate and little decay: peak 0.1 at batch 128, weight decay 5e-4 on weights of two dimensions and more, crops of
           images padded in reflection. What shipped first was trained by it, and files of it can be continued
"""

import json
import math
from dataclasses import asdict, dataclass, fields

from stiffcore.errors import CannotCompute

# Fields of a recipe that older files lack; what their defaults say was done before, too.
ADDED = ("padding", "padded", "decayed", "start")
CHOICES = {"padded": ("reflection", "black"), "decayed": ("weights", "all"), "start": ("torch", "untrained")}


@dataclass(frozen=True)
class Recipe:
    """Everything that, with the data, determines a training run."""

    network: str
    epochs: int = 30
    batch_size: int = 128
    peak_learning_rate: float = 0.1
    warmup: float = 0.2  # share of all steps
    momentum: float = 0.9
    weight_decay: float = 5e-4
    seed: int = 0
    start_from: str = ""  # sha256 of the weights that it continues from; empty for a fresh start
    padding: int = 4  # pixels that a crop may be shifted by
    padded: str = "reflection"  # or "black": with what an image is padded
    decayed: str = "weights"  # those of two dimensions and more; or "all" parameters
    start: str = (
        "torch"  # torch's generator draws the first weights; or "untrained": those of the baseline, for this seed
    )

    def __post_init__(self) -> None:
        """Raises CannotCompute for values that cannot train."""
        for name, good, wanted in (
            ("epochs", self.epochs >= 1, "at least 1"),
            ("batch_size", self.batch_size >= 2, "at least 2"),  # batch norm needs two
            ("peak_learning_rate", 0 < self.peak_learning_rate < math.inf, "above 0"),
            ("warmup", 0 <= self.warmup <= 1, "from 0 to 1, a share of the steps"),
            ("weight_decay", 0 <= self.weight_decay < math.inf, "from 0"),
            ("padding", 0 <= self.padding < 32, "from 0 to 31 pixels"),  # reflection needs less than the image
            *((name, getattr(self, name) in these, f"among {', '.join(these)}") for name, these in CHOICES.items()),
        ):
            if not good:
                raise CannotCompute(f"Expected {name} {wanted}, got {getattr(self, name)}: choose another.")


_ZOO: dict[str, object] = {
    "epochs": 100,
    "batch_size": 256,
    "peak_learning_rate": 0.01,
    "warmup": 0.3,
    "weight_decay": 0.01,
    "padded": "black",
    "decayed": "all",
    "start": "untrained",
}
RECIPES: dict[str, dict[str, object]] = {
    "zoo": _ZOO,
    "short": _ZOO | {"epochs": 30, "peak_learning_rate": 0.02},
    "quick": {},
}
DEFAULT = "zoo"


def named(name: str, network: str, **changed: object) -> Recipe:
    """A recipe by its name for a network; ``changed`` takes the place of its own values, None leaves them.

    Raises CannotCompute for an unknown name, and for values that cannot train.
    """
    if name not in RECIPES:
        raise CannotCompute(f"Expected a recipe among {', '.join(RECIPES)}, got {name!r}: choose one of them.")
    given = {field: value for field, value in changed.items() if value is not None}
    return Recipe(network, **RECIPES[name] | given)  # type: ignore[arg-type]  # of many types


def learning_rate(recipe: Recipe, step: int, steps: int) -> float:
    """Linear warm-up to the peak, then half a cosine to zero."""
    warm = max(1, round(recipe.warmup * steps))
    if step < warm:
        return recipe.peak_learning_rate * (step + 1) / warm
    return recipe.peak_learning_rate * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


def recipe_in(text: str) -> dict[str, object]:
    """A recipe's fields from its JSON: one that is younger than the file has its default. Raises ValueError for other JSON."""
    given = json.loads(text)
    if not isinstance(given, dict):
        raise ValueError("its recipe is no object")
    return {field.name: field.default for field in fields(Recipe) if field.name in ADDED} | given


def differences(of: dict[str, object], recipe: Recipe) -> str:
    """What is otherwise in a file's recipe: ``epochs 2 in place of 3``."""
    wanted = asdict(recipe)
    differing = [name for name in {**wanted, **of} if name not in of or name not in wanted or of[name] != wanted[name]]
    return ", ".join(f"{name!s:.40} {of.get(name)!r:.80} in place of {wanted.get(name)!r}" for name in differing[:4])
