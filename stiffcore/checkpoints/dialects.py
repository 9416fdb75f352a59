"""The names that authors give to a residual network's tensors, turned into the names of ``networks.modules``.

Known are the names of torchvision and timm; of kuangliu's, akamaster's, chenyaofo's, bearpaw's and weiaicunzai's networks for CIFAR;
of transformers; of the WideResNets of xternalz (TRADES, RobustBench), meliketoy and szagoruyko; and of a ``Sequential`` of
torchvision's parts. What a name does not say, such as what a skip's convolution is applied to, ``infer`` takes from the shapes.
"""

import re
from collections.abc import Callable, Iterable

MOST_PARTS = 6  # of a prefix: state_dict.model._orig_mod.module. has four
WRAPPER = r"(?:(?:_orig_mod|module)\.)*"
# Parts that belong to a network, and so to no prefix.
_INSIDE = r"(?:(?:sub_)?(?:layer|block|group|stage|conv)s?_?\d|stages\.|embedder\.|\d+\.\d+\.)"
# A network's first tensors. What precedes them is a prefix, unless it is a part that has such tensors too.
FIRST = re.compile(
    rf"((?:(?!{_INSIDE})[^.]+\.){{0,{MOST_PARTS}}}?)"
    rf"(?:conv1\.{WRAPPER}(?:0\.)?weight|bn1\.{WRAPPER}running_mean|embedder\.embedder\.convolution\.weight|conv0)"
)
FIRST_OF_SEQUENTIAL = re.compile(r"((?:[^.]+\.){0,6}?)(\d+)\.0\.conv1\.weight")
_WRAPPERS = re.compile(rf"(?:^|(?<=\.)){WRAPPER.rstrip('*')}+")
_RESIDUAL = {"0": "conv1", "1": "bn1", "3": "conv2", "4": "bn2", "6": "conv3", "7": "bn3"}
_OF_GROUP = {"conv0": "conv1.weight", "conv1": "conv2.weight", "convdim": "downsample.weight"}

Change = str | Callable[[re.Match], str]
_CHANGES: tuple[tuple[re.Pattern, Change], ...] = tuple(
    (re.compile(pattern), change)
    for pattern, change in (
        # weiaicunzai
        (r"^conv1\.0\.", "conv1."),
        (r"^conv1\.1\.", "bn1."),
        (r"^conv([2-9])_x\.", lambda m: f"layer{int(m[1]) - 1}."),
        (r"(?<=\.)residual_function\.([013467])\.", lambda m: f"{_RESIDUAL[m[1]]}."),
        # transformers
        (r"^embedder\.embedder\.convolution\.", "conv1."),
        (r"^embedder\.embedder\.normalization\.", "bn1."),
        (r"^encoder\.stages\.(\d{1,2})\.layers\.", lambda m: f"layer{int(m[1]) + 1}."),
        (r"(?<=\d\.)layer\.([0-2])\.convolution\.", lambda m: f"conv{int(m[1]) + 1}."),
        (r"(?<=\d\.)layer\.([0-2])\.normalization\.", lambda m: f"bn{int(m[1]) + 1}."),
        (r"(?<=\.)shortcut\.convolution\.", "downsample.0."),
        (r"(?<=\.)shortcut\.normalization\.", "downsample.1."),
        # szagoruyko: tensors of a block without .weight
        (r"^conv0(?:\.weight)?$", "conv1.weight"),
        (r"^(group\d+\.block\d+\.)(conv0|conv1|convdim)(?:\.weight)?$", lambda m: f"{m[1]}{_OF_GROUP[m[2]]}"),
        (r"^(group\d+\.block\d+\.)bn([01])\.", lambda m: f"{m[1]}bn{int(m[2]) + 1}."),
        (r"^group(\d{1,2})\.block(\d{1,4})\.", lambda m: f"layer{int(m[1]) + 1}.{m[2]}."),
        # xternalz
        (r"^block(\d{1,2})\.layer\.", r"layer\1."),
        (r"(?<=\.)convShortcut\.", "downsample."),
        # kuangliu, akamaster, meliketoy
        (r"(?<=\.)shortcut\.", "downsample."),
        # TensorFlow's words
        (r"(?<=\.)gamma$", "weight"),
        (r"(?<=\.)beta$", "bias"),
    )
)
_LEFT_BEHIND = re.compile(r"(?:^|\.)(?:total_ops|total_params|sub_block1\..*)$")  # of profilers; of TRADES, unused


def renamed(name: str) -> str:
    """A file's name without its prefix -> our name; "" for what is known to have no part in a network."""
    name = _WRAPPERS.sub("", name)
    if _LEFT_BEHIND.search(name):
        return ""
    for pattern, change in _CHANGES:
        name = pattern.sub(change, name)
    return name


def of_sequential(names: Iterable[str], prefix: str) -> dict[str, str]:
    """``0.``, ``1.``, ``4.`` … -> ``conv1.``, ``bn1.``, ``layer1.`` …: the parts of a Sequential of torchvision's parts."""
    stages = sorted(
        {int(m[2]) for m in map(FIRST_OF_SEQUENTIAL.fullmatch, names) if m and m[1] == prefix and len(m[2]) < 3}
    )
    parts = {"0.": "conv1.", "1.": "bn1."} | {f"{at}.": f"layer{stage}." for stage, at in enumerate(stages, 1)}
    return parts if stages and stages[0] > 1 else {}
