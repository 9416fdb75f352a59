"""Weights that a file holds in factors, put together: pruned (times a mask), weight norm and spectral norm.

pruning         weight = weight_orig · weight_mask
weight norm     weight = weight_g · weight_v / ‖weight_v‖, the norm of each output's weights
spectral norm   weight = weight_orig / uᵀ W v, with W its matrix of a row for each output
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from stiffcore.checkpoints.opened import Opened
from stiffcore.errors import CannotCompute

Shape = tuple[int, ...]
REMOVE = (
    'remove it with torch.nn.utils.parametrize.remove_parametrizations(module, "weight") and save the weights again'
)


def _masked(weight: Tensor, mask: Tensor) -> Tensor:
    return weight * mask


def _normed(direction: Tensor, length: Tensor) -> Tensor:
    return torch._weight_norm(direction, length, 0)


def _spectral(weight: Tensor, u: Tensor, v: Tensor) -> Tensor:
    return weight / torch.dot(u, torch.mv(weight.flatten(1), v))


@dataclass(frozen=True)
class _Way:
    """A way to write a weight in factors. Their names, around the weight's; the first has the weight's shape and type."""

    title: str
    factors: tuple[str, ...]
    fit: Callable[..., bool]  # of the factors' shapes
    made: Callable[..., Tensor]


def _fits_mask(weight: Shape, mask: Shape) -> bool:
    return weight == mask


def _fits_norm(direction: Shape, length: Shape) -> bool:
    """One length for each output, along the first axis."""
    return bool(direction) and length == (direction[0],) + (1,) * (len(direction) - 1)


def _fits_spectral(weight: Shape, u: Shape, v: Shape) -> bool:
    return len(weight) > 1 and u == weight[:1] and v == (math.prod(weight[1:]),)


NEW = "{0}parametrizations.{1}."
WAYS = (
    _Way("pruned", ("{0}{1}_orig", "{0}{1}_mask"), _fits_mask, _masked),
    _Way("with weight norm", ("{0}{1}_v", "{0}{1}_g"), _fits_norm, _normed),
    _Way("with weight norm", (f"{NEW}original1", f"{NEW}original0"), _fits_norm, _normed),
    _Way("with spectral norm", ("{0}{1}_orig", "{0}{1}_u", "{0}{1}_v"), _fits_spectral, _spectral),
    _Way("with spectral norm", (f"{NEW}original", f"{NEW}0._u", f"{NEW}0._v"), _fits_spectral, _spectral),
)
FACTOR = re.compile(r"((?:.*\.)?)(?:parametrizations\.([^.]+)\.original1?|([^.]+)_(?:orig|v))")


def put_together(file: Opened) -> Opened:
    """The file with each weight that it holds in factors in their place. One that is parametrised in another way is listed,
    too, but cannot be read."""
    made = _found(file.shapes)
    used = {factor for _, factors in made.values() for factor in factors}
    whole = {name: factors[0] for name, (_, factors) in made.items()}  # name -> the factor with its shape and type

    def tensor(name: str) -> Tensor:
        if name not in made:
            return file.tensor(name)
        way, factors = made[name]
        if way is None:
            raise CannotCompute(f"Expected plain weights, got {name} parametrised in an unknown way: {REMOVE}.")
        read = [file.tensor(factor) for factor in factors]
        exact = torch.promote_types(read[0].dtype, torch.float32)
        return way.made(*(factor.to(exact) for factor in read)).to(read[0].dtype)

    return Opened(
        ", ".join(dict.fromkeys([file.form, *(way.title for way, _ in made.values() if way)])),
        {k: v for k, v in file.shapes.items() if k not in used} | {k: file.shapes[of] for k, of in whole.items()},
        {k: v for k, v in file.types.items() if k not in used} | {k: file.types[of] for k, of in whole.items()},
        tensor,
    )


def _found(shapes: Mapping[str, Shape]) -> dict[str, tuple[_Way | None, list[str]]]:
    """The name of each weight in factors -> how, and its factors' names. A weight that is there as well is left alone."""
    found: dict[str, tuple[_Way | None, list[str]]] = {}
    for name in shapes:
        if not (match := FACTOR.fullmatch(name)) or match[1] + (match[2] or match[3]) in shapes:
            continue
        place = (match[1], match[2] or match[3])
        for way in WAYS:
            factors = [factor.format(*place) for factor in way.factors]
            if factors[0] == name and shapes.keys() >= set(factors) and way.fit(*(shapes[f] for f in factors)):
                found["".join(place)] = (way, factors)
                break
        else:
            if match[2]:
                found["".join(place)] = (None, [name])
    return found
