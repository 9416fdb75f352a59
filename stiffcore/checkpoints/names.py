"""Recognises a network by its tensors' names and shapes, and maps the names to torchvision's.

Knows the names of torchvision and of the public CIFAR-10 zoos, with the prefixes that training scripts and wrappers add.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

from stiffcore.errors import CannotCompute
from stiffcore.networks import catalogue, resnets

LONGEST_NAME = 200  # characters; a network's own have up to 40
MOST_TENSORS = 5000  # ResNet50 has 320
MOST_PARTS = 6  # of a prefix: state_dict.model._orig_mod.module. has four
MOST_SETS = 8  # sets of weights in one file that are examined
RENAMED = (  # pattern -> torchvision's name
    (r"\bshortcut\.", "downsample."),
    (r"^(linear|classifier|head)\.(weight|bias)$", r"fc.\2"),
    (r"\bgamma$", "weight"),
    (r"\bbeta$", "bias"),
)
# A network's first tensors. What precedes them is a prefix, unless it is a layer that has such tensors too.
_FIRST = re.compile(rf"((?:(?!layer\d)[^.]+\.){{0,{MOST_PARTS}}})(?:conv1\.weight|bn1\.running_mean)")
_AVERAGED = re.compile(r"(?:^|[._])(?:ema|avg|averaged?|swa|shadow|teacher|momentum|target)(?:[._]|$)", re.IGNORECASE)


@dataclass(frozen=True)
class Mapped:
    """names: the network's tensor -> the file's. prefix: of the file's names; others: prefixes of equally complete networks
    that are not used."""

    network: str
    names: dict[str, str]
    prefix: str
    others: tuple[str, ...]


def map_keys(shapes: Mapping[str, tuple[int, ...]]) -> Mapped:
    """The network that has tensors of these names and shapes.

    Of several complete ones, those that are no average over the training come first, then shorter prefixes, then the
    alphabetical order. Raises CannotCompute with the first difference from the nearest network.
    """
    _check_listing(shapes)
    templates = {network: _shapes(network) for network in catalogue.ARCHITECTURES}
    complete, misfits = [], []
    for prefix in _prefixes(shapes):
        renamed, twice = _renamed(shapes, prefix)
        got = {ours: shapes[theirs] for ours, theirs in renamed.items()}
        for network, expected in templates.items():
            misfit = f"it has {twice} twice" if twice else _first_misfit(expected, got)
            if misfit:
                misfits.append((len(expected.keys() ^ got.keys()), f"nearest is {network}: {misfit}"))
            else:
                complete.append((network, {name: renamed[name] for name in expected if name in renamed}, prefix))
    if complete:
        return Mapped(*complete[0], others=tuple(prefix for _, _, prefix in complete[1:]))
    raise CannotCompute(
        "Expected the tensors of ResNet18, 34 or 50 for CIFAR-10, got others "
        f"({min(misfits, key=lambda misfit: misfit[0])[1]}): use a checkpoint of one of these networks."
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


@cache  # the architecture's, whatever the weights; building it takes 30 ms
def _shapes(network: str) -> Mapping[str, tuple[int, ...]]:
    shapes = {name: tuple(tensor.shape) for name, tensor in resnets.template(network).state_dict().items()}
    return MappingProxyType(shapes)


def _prefixes(names: Iterable[str]) -> list[str]:
    """Possible prefixes of a network in order of preference; the empty one if there is none."""
    prefixes = {match[1] for match in map(_FIRST.fullmatch, names) if match}
    order = sorted(prefixes, key=lambda prefix: (bool(_AVERAGED.search(prefix)), prefix.count("."), prefix))
    return order[:MOST_SETS] or [""]


def _renamed(names: Iterable[str], prefix: str) -> tuple[dict[str, str], str]:
    """Our name -> the file's, for names with a prefix; and a name that two of them would share, or ""."""
    renamed: dict[str, str] = {}
    twice = ""
    for theirs in names:
        if theirs.startswith(prefix):
            ours = theirs.removeprefix(prefix)
            for pattern, replacement in RENAMED:
                ours = re.sub(pattern, replacement, ours)
            twice = twice or (ours[:60] if ours in renamed else "")
            renamed[ours] = theirs
    return renamed, twice


def _first_misfit(expected: Mapping[str, tuple], got: dict[str, tuple]) -> str:
    """Empty if every tensor is present in its shape. Counters of batches may be missing; no network's tensor may be left
    over."""
    for name, shape in expected.items():
        if name not in got and not name.endswith("num_batches_tracked"):
            return f"{name} is missing"
        if name in got and got[name] != shape:
            if name == "conv1.weight" and got[name][-2:] == (7, 7):
                return "its first convolution is ImageNet's, 7×7"
            return f"{name} has shape {got[name]}, not {shape}"
    foreign = [name for name in got if name not in expected and re.match(r"(conv|bn|layer|fc)", name)]
    return f"{foreign[0][:60]!r} does not belong to it" if foreign else ""
