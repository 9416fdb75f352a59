"""The architecture of a residual network from its tensors' names and shapes, as far as they say it.

No tensor says whether there is a max-pool, and of a pre-activation network to what a skip's convolution is applied and which
convolution has the stride. So there may be several architectures; ``readings`` chooses among them.
"""

import re
from collections.abc import Mapping
from dataclasses import replace

from stiffcore.networks import architecture as architectures
from stiffcore.networks.architecture import EXPANSION, Architecture

Shapes = Mapping[str, tuple[int, ...]]
MOST_GROUPS = 1024
HEADS = ("fc", "linear", "classifier", "head")
_BLOCK = re.compile(r"layer(\d{1,2})\.(\d{1,4})\.conv1\.weight")
_BLOCK_PART = re.compile(r"layer\d")
_NORM = re.compile(r"([^.]+)\.running_mean")


class Misfit(Exception):
    """The first difference from a residual network, in a few words."""


def inferred(shapes: Shapes, skip_word: str) -> tuple[tuple[Architecture, ...], dict[str, str]]:
    """The architectures that tensors of these names and shapes may have, the likeliest first; and our name -> theirs where
    they differ.

    shapes: by the names that ``dialects`` gives. skip_word: the file's word for a skip with a convolution. Raises Misfit.
    """
    kernel = _stem(shapes)
    depths = _depths(shapes)
    firsts = [f"layer{stage}.0." for stage in range(1, len(depths) + 1)]
    is_bottleneck = f"{firsts[0]}conv3.weight" in shapes
    widths = tuple(_side(shapes, f"{first}conv1.weight") for first in firsts)
    out = tuple(_side(shapes, f"{first}conv{3 if is_bottleneck else 2}.weight") for first in firsts)
    _check_groups(shapes, firsts[0], widths[0])
    is_pre = _is_preactivated(shapes, depths)
    names = _names(shapes, is_pre, out[-1])
    head = names.get("fc.weight", "fc.weight")
    unit = ("pre-activation" if is_pre else "") + (" bottleneck" if is_bottleneck else "" if is_pre else "basic")
    one = Architecture(
        unit.strip(),
        depths,
        widths,
        stem=f"{kernel}x{kernel}",
        stem_channels=shapes["conv1.weight"][0],
        shortcut="convolution" if any(".downsample." in name for name in shapes) else "padding",
        classes=shapes[head][0] if head in shapes else 0,
        last_norm=is_pre and any(name.startswith("norm.") for name in (*names, *shapes)),
        biases=f"{firsts[0]}conv1.bias" in shapes,
        expansion=out[0] // widths[0] if is_bottleneck else EXPANSION,
    )
    try:
        architectures.check(one)
    except ValueError:
        raise Misfit("its stages have sizes that no network has") from None
    return _open(one, skip_word), names


def _stem(shapes: Shapes) -> int:
    """The side of the first convolution."""
    if "conv1.weight" not in shapes:
        raise Misfit("conv1.weight is missing")
    stem = shapes["conv1.weight"]
    if len(stem) != 4 or stem[1] != 3 or stem[2:] not in ((3, 3), (7, 7)):
        raise Misfit(f"conv1.weight has shape {stem}, not one of a 3×3 or 7×7 convolution of three channels")
    return stem[2]


def _depths(shapes: Shapes) -> tuple[int, ...]:
    """The blocks of each stage."""
    found: dict[int, set[int]] = {}
    for match in filter(None, map(_BLOCK.fullmatch, shapes)):
        found.setdefault(int(match[1]), set()).add(int(match[2]))
    for stage in range(1, max(found, default=0) + 2):
        blocks = found.get(stage, set())
        missing = next((number for number in range(len(blocks)) if number not in blocks), None)
        if missing is not None or (not blocks and stage <= max(found, default=1)):
            raise Misfit(f"layer{stage}.{missing or 0}.conv1.weight is missing")
    return tuple(len(found[stage]) for stage in sorted(found))


def _side(shapes: Shapes, name: str) -> int:
    """The output channels of a convolution."""
    if len(shapes.get(name, ())) != 4:
        raise Misfit(f"{name} has shape {shapes[name]}" if name in shapes else f"{name} is missing")
    return shapes[name][0]


def _check_groups(shapes: Shapes, first: str, narrow: int) -> None:
    second = shapes.get(f"{first}conv2.weight", ())
    groups = narrow // second[1] if len(second) == 4 and second[1] and narrow % second[1] == 0 else 1
    if 1 < groups <= MOST_GROUPS:
        raise Misfit(f"its convolutions are in {groups} groups: {first}conv2.weight has shape {second}")


def _is_preactivated(shapes: Shapes, depths: tuple[int, ...]) -> bool:
    """Whether a block's first batch norm has the channels of the block's input, where they differ from the convolution's output."""
    for stage, depth in enumerate(depths, 1):
        for block in range(depth):
            convolution = shapes[f"layer{stage}.{block}.conv1.weight"]
            if len(convolution) == 4 and convolution[0] != convolution[1]:
                return shapes.get(f"layer{stage}.{block}.bn1.weight") == (convolution[1],)
    return "bn1.weight" not in shapes


def _names(shapes: Shapes, is_pre: bool, channels: int) -> dict[str, str]:
    """Our name -> theirs, of what has a name of its own in many networks: the head, the last norm, a skip without a norm."""
    names = {}
    for name in shapes:
        if is_pre and re.search(r"\.downsample\.0\.(weight|bias)$", name):
            names[name.replace(".downsample.0.", ".downsample.")] = name
    if is_pre:
        norms = [match[1] for match in map(_NORM.fullmatch, shapes) if match and shapes[match[0]] == (channels,)]
        for name in shapes if len(norms) == 1 and norms[0] != "norm" else ():
            if name.startswith(f"{norms[0]}."):
                names["norm." + name.removeprefix(f"{norms[0]}.")] = name
    if head := _head(shapes, channels):
        names |= {f"fc.{of}": f"{head}.{of}" for of in ("weight", "bias") if f"{head}.{of}" in shapes}
    return names


def _head(shapes: Shapes, channels: int) -> str:
    """The one linear layer that takes the last stage's channels; "" without one, or behind several layers."""
    fits = [
        name.removesuffix(".weight")
        for name, shape in shapes.items()
        if len(shape) == 2
        and shape[1] == channels
        and shape[0] > 1
        and name.endswith(".weight")
        and not _BLOCK_PART.match(name)
    ]
    linear = sum(len(shape) == 2 and name.endswith(".weight") for name, shape in shapes.items())
    usual = [name for name in fits if name in HEADS]
    if len(usual) > 1:
        raise Misfit(f"it has two heads, {usual[0]} and {usual[1]}")
    return usual[0] if usual else fits[0] if len(fits) == linear == 1 else ""


def _open(one: Architecture, skip_word: str) -> tuple[Architecture, ...]:
    """The same with what no tensor says: the max-pool, and the skips and strides of pre-activation networks."""
    if not one.is_preactivated:
        if one.stem == "7x7":
            return replace(one, stem="7x7-pool"), one
        if len(one.depths) < 4:  # for CIFAR, without a max-pool
            return (one,)
        pooled = replace(one, stem="3x3-pool")
        return (pooled, one) if skip_word == "downsample" and one.classes == 10 else (one, pooled)
    if one.stem == "7x7":
        one = replace(one, stem="7x7-pool")
    of_x = replace(one, shortcut="convolution of x")
    if one.shortcut == "padding" or skip_word in ("convShortcut", "convdim"):
        return (one,)
    if one.biases and not one.is_bottleneck:
        return replace(of_x, late_stride=True), one, of_x
    return (of_x, one) if skip_word == "downsample" else (one, of_x)
