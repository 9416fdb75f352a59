"""A checkpoint's tensors by name and shape -> which network they make up, under which prefix, and each one's own name.

The names of torchvision and of the public CIFAR-10 zoos, behind whatever training scripts and wrappers put before them.
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
MOST_SETS = 8  # of weights side by side that are looked at
RENAMED = (  # pattern -> torchvision's name
    (r"\bshortcut\.", "downsample."),
    (r"^(linear|classifier|head)\.(weight|bias)$", r"fc.\2"),
    (r"\bgamma$", "weight"),
    (r"\bbeta$", "bias"),
)
# A network's first tensors; what stands before them is a prefix, unless it is a layer that has such tensors, too.
_FIRST = re.compile(rf"((?:(?!layer\d)[^.]+\.){{0,{MOST_PARTS}}})(?:conv1\.weight|bn1\.running_mean)")
_AVERAGED = re.compile(r"(?:^|[._])(?:ema|avg|averaged?|swa|shadow|teacher|momentum|target)(?:[._]|$)", re.IGNORECASE)


@dataclass(frozen=True)
class Mapped:
    """names: the network's tensor -> the file's. prefix: what the file's begin with; others: prefixes of further networks
    that are as complete, and were not taken."""

    network: str
    names: dict[str, str]
    prefix: str
    others: tuple[str, ...]


def map_keys(shapes: Mapping[str, tuple[int, ...]]) -> Mapped:
    """The network that tensors of these names and shapes make up.

    Where several are complete, side by side, the one is taken that is no average over the training, then that of the
    shortest prefix, then the first by its letters. Raises CannotCompute with the first misfit against what is nearest.
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
        f"({min(misfits, key=lambda one: one[0])[1]}): use a checkpoint of one of these networks."
    )


def _check_listing(shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Names are shown, and searched: a megabyte of dots would keep the search busy."""
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
    """Where a network may begin, in the order in which they are preferred; where none does, at the names' beginning."""
    found = {match[1] for match in map(_FIRST.fullmatch, names) if match}
    order = sorted(found, key=lambda prefix: (bool(_AVERAGED.search(prefix)), prefix.count("."), prefix))
    return order[:MOST_SETS] or [""]


def _renamed(names: Iterable[str], prefix: str) -> tuple[dict[str, str], str]:
    """Our name -> the file's, of what begins with a prefix; and a name that two of them would have, if there is one."""
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
    """Empty where every tensor is there in its shape; counters of batches may be missing, nothing of a network may be
    left over."""
    for name, shape in expected.items():
        if name not in got and not name.endswith("num_batches_tracked"):
            return f"{name} is missing"
        if name in got and got[name] != shape:
            if name == "conv1.weight" and got[name][-2:] == (7, 7):
                return "its first convolution is ImageNet's, 7×7"
            return f"{name} has shape {got[name]}, not {shape}"
    foreign = [name for name in got if name not in expected and re.match(r"(conv|bn|layer|fc)", name)]
    return f"there is no place for {foreign[0][:60]!r}" if foreign else ""
