"""Recognises residual networks among tensors by their names and shapes, and maps the names to those of ``networks.modules``."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from types import MappingProxyType

from stiffcore.checkpoints import dialects, infer
from stiffcore.errors import CannotCompute
from stiffcore.networks import catalogue, resnets
from stiffcore.networks.architecture import Architecture

LONGEST_NAME = 200  # characters; a network's own have up to 40
MOST_TENSORS = 5000  # ResNet50 has 320
MOST_SETS = 8  # sets of weights in one file that are examined
NOT_NEEDED = ("num_batches_tracked", "fc.bias")  # zeros are as good
_AVERAGED = re.compile(
    r"(?:^|[._])(?:ema|avg|averaged?|swa|shadow|teacher|momentum|target|k|key)(?:[._]|$)", re.IGNORECASE
)
_SKIP = re.compile(r"\.(convShortcut|convdim|shortcut|downsample)\b")
_NORMALISER = re.compile(r"(.*(?:^|\.)(?:new_)?)(mean|mu)")
_TRUNK = re.compile(r"(?:conv|bn|layer)\d*\.")  # what has such a name belongs to the network


@dataclass(frozen=True)
class Mapped:
    """architectures: those that the tensors may have, the likeliest first. names: our name -> the file's.
    prefix: of the file's names; others: prefixes of equally complete networks that are not used. normaliser: the file's names of a
    mean and a standard deviation by channel, or empty."""

    architectures: tuple[Architecture, ...]
    names: dict[str, str]
    prefix: str
    others: tuple[str, ...] = ()
    normaliser: tuple[str, ...] = ()

    @property
    def network(self) -> str:
        """The family: ``resnet18``."""
        return self.architectures[0].family


def map_keys(shapes: Mapping[str, tuple[int, ...]]) -> Mapped:
    """The residual network that has tensors of these names and shapes.

    Of several complete ones, those that are no average over the training come first, then shorter prefixes, then the
    alphabetical order. Raises CannotCompute with the first difference from the nearest network.
    """
    _check_listing(shapes)
    complete: list[Mapped] = []
    misfits: list[tuple[int, str]] = []
    prefixes = _prefixes(shapes)
    for prefix in prefixes[:MOST_SETS]:
        outcome = _mapped(shapes, prefix, frozenset(prefixes))
        if isinstance(outcome, Mapped):
            complete.append(outcome)
        else:
            misfits.append(outcome)
    if complete:
        others = tuple(mapped.prefix for mapped in complete[1:])
        return replace(complete[0], others=others, normaliser=_normaliser(shapes))
    raise CannotCompute(
        f"Expected the tensors of a residual network, got others ({min(misfits)[1]}): use a checkpoint of one, or give its module to "
        "stiffcore.network in Python."
    )


def _check_listing(shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Refuse names that cannot be displayed, or are slow to search, such as a megabyte of dots."""
    got = ""
    if len(shapes) > MOST_TENSORS:
        got = f"{len(shapes):,} tensors, more than {MOST_TENSORS:,}"
    elif longest := max((len(name) for name in shapes if len(name) > LONGEST_NAME), default=0):
        got = f"a tensor whose name has {longest:,} characters, more than {LONGEST_NAME}"
    elif not all(name.isprintable() for name in shapes):
        got = "a tensor whose name cannot be printed"
    if got:
        raise CannotCompute(
            f"Expected a checkpoint of a network's tensors, got {got}: save the network's weights alone."
        )


def _prefixes(names: Iterable[str]) -> list[str]:
    """Possible prefixes of a network in order of preference; the empty one if there is none."""
    names = list(names)
    prefixes = {match[1] for match in map(dialects.FIRST.fullmatch, names) if match}
    if not prefixes:
        prefixes = {match[1] for match in map(dialects.FIRST_OF_SEQUENTIAL.fullmatch, names) if match}
    order = sorted(prefixes, key=lambda prefix: (bool(_AVERAGED.search(prefix)), prefix.count("."), prefix))
    return order or [""]


def _mapped(shapes: Mapping[str, tuple[int, ...]], prefix: str, prefixes: frozenset[str]) -> Mapped | tuple[int, str]:
    """The network with a prefix; or how many tensors are missing or too many, and the first of them in words."""
    names, twice = _renamed(_inside(shapes, prefix, prefixes), prefix)
    got = {ours: shapes[theirs] for ours, theirs in names.items()}
    try:
        if twice:
            raise infer.Misfit(f"it has {twice} twice")
        skip = next((match[1] for match in map(_SKIP.search, names.values()) if match), "")
        found, others = infer.inferred(_with_head_outside(got, names, shapes, prefixes), skip)
    except infer.Misfit as misfit:
        nearest = _shapes(catalogue.ARCHITECTURES["resnet18"])
        return len(nearest.keys() ^ got.keys()), f"nearest is resnet18: {misfit}"
    for ours, theirs in others.items():
        names[ours] = names.pop(theirs)
    got = {ours: shapes[theirs] for ours, theirs in names.items()}
    expected = _shapes(found[0])
    if difference := _first_misfit(expected, got):
        return len(expected.keys() ^ got.keys()), f"nearest is {found[0].family}: {difference}"
    used = {name: names[name] for name in expected if name in names}
    return Mapped(found, used, prefix)


def _inside(names: Iterable[str], prefix: str, prefixes: frozenset[str]) -> list[str]:
    """The names with a prefix that are not another network's, whose prefix is longer."""
    others = {other for other in prefixes if len(other) > len(prefix)}
    return [
        name
        for name in names
        if name.startswith(prefix)
        and not any(name[: at + 1] in others for at, letter in enumerate(name) if others and letter == ".")
    ]


def _renamed(names: Iterable[str], prefix: str) -> tuple[dict[str, str], str]:
    """Our name -> the file's, for names with a prefix; and a name that two of them would share, or ""."""
    renamed: dict[str, str] = {}
    twice = ""
    inside = list(names)
    parts = {} if any(map(dialects.FIRST.fullmatch, inside)) else dialects.of_sequential(inside, prefix)
    for theirs in inside:
        ours = theirs.removeprefix(prefix)
        part = re.match(r"\d+\.", ours)
        if part and part[0] in parts:
            ours = parts[part[0]] + ours.removeprefix(part[0])
        ours = dialects.renamed(ours)
        if ours:
            twice = twice or (ours[:60] if ours in renamed else "")
            renamed[ours] = theirs
    return renamed, twice


def _with_head_outside(
    got: dict[str, tuple[int, ...]],
    names: dict[str, str],
    shapes: Mapping[str, tuple[int, ...]],
    prefixes: frozenset[str],
) -> dict[str, tuple[int, ...]]:
    """The shapes with a head beside the prefix (``classifier.1.weight`` beside ``resnet.``), if there is none behind it."""
    if any(len(shape) == 2 for shape in got.values()):
        return got
    outside = _inside(shapes, "", prefixes)
    heads = [name for name in outside if len(shapes[name]) == 2 and name.endswith(".weight")]
    if len(heads) != 1 or "" in prefixes:
        return got
    stem = heads[0].removesuffix("weight")
    found = {f"fc.{of}": f"{stem}{of}" for of in ("weight", "bias") if f"{stem}{of}" in shapes}
    names |= found
    return got | {ours: shapes[theirs] for ours, theirs in found.items()}


@lru_cache(maxsize=16)  # the architecture's, whatever the weights; building it takes 30 ms
def _shapes(architecture: Architecture) -> Mapping[str, tuple[int, ...]]:
    shapes = {name: tuple(tensor.shape) for name, tensor in resnets.template(architecture).state_dict().items()}
    return MappingProxyType(shapes)


def _first_misfit(expected: Mapping[str, tuple[int, ...]], got: dict[str, tuple[int, ...]]) -> str:
    """Empty if every tensor is present in its shape. Counters of batches and a head's bias may be missing; no tensor of the trunk
    may be left over, nor a convolution."""
    for name, shape in expected.items():
        if name not in got and not name.endswith(NOT_NEEDED):
            return f"{name} is missing"
        if name in got and got[name] != shape:
            return f"{name} has shape {got[name]}, not {shape}"
    foreign = [name for name in got if name not in expected and (_TRUNK.match(name) or len(got[name]) == 4)]
    foreign = [name for name in foreign if not name.endswith("num_batches_tracked")]
    return f"{foreign[0][:60]!r} does not belong to it" if foreign else ""


def _normaliser(shapes: Mapping[str, tuple[int, ...]]) -> tuple[str, ...]:
    """The names of a mean and a standard deviation of three channels, as buffers of a layer that normalises; the shortest pair."""
    pairs = []
    for name, shape in shapes.items():
        match = _NORMALISER.fullmatch(name)
        for word in ("std", "sigma") if match and sorted(shape)[-1:] == [3] and sum(n != 1 for n in shape) == 1 else ():
            other = f"{match[1]}{word}"  # type: ignore[index]
            if shapes.get(other) == shape:
                pairs.append((len(name), name, other))
    return min(pairs)[1:] if pairs else ()
