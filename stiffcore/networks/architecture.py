"""What a residual network is apart from its weights: units, depths, widths, stem, shortcuts. Imports no torch."""

import json
from dataclasses import asdict, dataclass, fields

from stiffcore.networks.geometry import BlockGeometry

EXPANSION = 4  # a bottleneck's output channels per narrow channel, but in wide networks
UNITS = ("basic", "bottleneck", "pre-activation", "pre-activation bottleneck")
STEMS = {  # convolution's side, its stride, max-pool
    "3x3-pool": (3, 1, True),
    "3x3": (3, 1, False),
    "7x7-pool": (7, 2, True),
    "7x7": (7, 2, False),
}
SHORTCUTS = (  # where a block changes the shape
    "convolution",  # 1×1 (He et al. 2015, option B); of a pre-activation block: of the activated input
    "padding",  # every second pixel, channels padded with zeros (option A)
    "convolution of x",  # of a pre-activation block: of the input itself
)
IMAGENET = (64, 128, 256, 512)  # widths of He et al.'s four stages, and of their variants for CIFAR-10
CIFAR = (16, 32, 64)  # and of their three stages for CIFAR-10
# More of them has no residual network; a file could claim any number.
MOST_STAGES, MOST_BLOCKS, MOST_CHANNELS, MOST_CLASSES = 6, 700, 1 << 14, 1 << 16


@dataclass(frozen=True)
class Architecture:
    """A residual network apart from its weights.

    unit: of UNITS. depths: blocks of each stage; widths: channels of each stage's ReLUs, a bottleneck's narrow ones. stem: of
    STEMS. stem_channels: of its output. shortcut: of SHORTCUTS. classes: scores of the head, 0 without a head. last_norm: a batch
    norm and a ReLU behind the last block (pre-activation). biases: whether convolutions have biases. expansion: a bottleneck's
    output channels per narrow one. late_stride: the stride is that of a basic unit's second convolution (meliketoy's WideResNet).
    """

    unit: str
    depths: tuple[int, ...]
    widths: tuple[int, ...]
    stem: str = "3x3-pool"
    stem_channels: int = 64
    shortcut: str = "convolution"
    classes: int = 10
    last_norm: bool = False
    biases: bool = False
    expansion: int = EXPANSION
    late_stride: bool = False

    @property
    def is_bottleneck(self) -> bool:
        return "bottleneck" in self.unit

    @property
    def is_preactivated(self) -> bool:
        return self.unit.startswith("pre-activation")

    @property
    def out_channels(self) -> tuple[int, ...]:
        """Of each stage's blocks."""
        return tuple(narrow * (self.expansion if self.is_bottleneck else 1) for narrow in self.widths)

    @property
    def text(self) -> str:
        """The architecture in one line: what differs from the defaults, in the order of the names. Part of keys of results."""
        values = {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}
        return json.dumps(values, sort_keys=True)

    @property
    def family(self) -> str:
        """``resnet18``, ``preact-resnet18``, ``wrn-28-10``: by its blocks, whatever the stem and the head are."""
        convolutions = sum(self.depths) * (3 if self.is_bottleneck else 2)
        first = self.widths[0] // CIFAR[0]
        if (
            self.is_preactivated
            and len(self.widths) == 3
            and first > 1
            and self.widths == tuple(first * w for w in CIFAR)
        ):
            return f"wrn-{convolutions + 4}-{first}"  # its shortcuts are counted
        usual = {4: IMAGENET, 3: CIFAR}.get(len(self.widths))
        name = f"{'preact-' if self.is_preactivated else ''}resnet{convolutions + 2}"
        wide = f"-wide{self.widths[0]}" if self.widths != usual or self.expansion != EXPANSION else ""
        option_b = len(self.widths) == 3 and self.shortcut == "convolution" and not self.is_preactivated
        return name + wide + ("-b" if option_b else "")

    @property
    def name(self) -> str:
        """The family with what differs from its usual stem and head: ``resnet18-nopool``, ``resnet20-100-classes``."""
        stem = {"3x3": "-nopool", "7x7": "-7x7-nopool", "7x7-pool": "-7x7"}.get(self.stem, "")
        if self.stem == "3x3" and (self.is_preactivated or len(self.widths) == 3):
            stem = ""  # these never have a max-pool
        head = "" if self.classes == 10 else f"-{self.classes}-classes" if self.classes else "-no-head"
        return self.family + stem + head

    @property
    def title(self) -> str:
        """For menus: ``ResNet18 without max-pool``, ``WRN-28-10``, ``ResNet20, 100 classes``."""
        title = self.family.replace("preact-resnet", "pre-activation ResNet").replace("resnet", "ResNet")
        title = title.replace("wrn", "WRN").removesuffix("-b").replace("-wide", ", width ")
        title = title[0].upper() + title[1:]
        if "-nopool" in self.name:
            title += " without max-pool"
        if self.stem.startswith("7x7"):
            title += ", 7×7 stem"
        return title if self.classes == 10 else f"{title}, {self.classes or 'no'} classes"

    def stem_shape(self, image_size: int) -> tuple[int, int, int]:
        """Of the first block's input."""
        kernel, stride, pool = STEMS[self.stem]
        side = (image_size + 2 * (kernel // 2) - kernel) // stride + 1
        side = (side - 1) // 2 + 1 if pool else side
        return self.stem_channels, side, side

    def blocks(self, image_size: int = 32) -> tuple[BlockGeometry, ...]:
        """The residual blocks in order. A stage but the first begins with stride 2."""
        channels, side, _ = self.stem_shape(image_size)
        geometries: list[BlockGeometry] = []
        for stage, (depth, narrow, wide) in enumerate(zip(self.depths, self.widths, self.out_channels, strict=True)):
            for position in range(depth):
                stride = 2 if stage > 0 and position == 0 else 1
                out_side = (side - 1) // stride + 1
                inner_side = side if self.late_stride else out_side
                last = (narrow, inner_side, inner_side)
                inner = ((narrow, side, side), last) if self.is_bottleneck else (last,)
                shapes = (channels, side, side), inner, (wide, out_side, out_side)
                number = len(geometries) + 1
                geometries.append(BlockGeometry(number, self.unit, stride, *shapes, not self.is_preactivated))
                channels, side = wide, out_side
        return tuple(geometries)

    def as_json(self) -> dict[str, object]:
        return asdict(self)


def from_json(values: dict) -> Architecture:
    """The architecture that ``as_json`` described. Raises ValueError, TypeError or KeyError for anything else."""
    tuples = {name: tuple(values[name]) for name in ("depths", "widths")}
    architecture = Architecture(**values | tuples)
    check(architecture)
    return architecture


def check(architecture: Architecture) -> None:
    """Raises ValueError for values that no residual network has."""
    a = architecture
    sizes = (*a.depths, *a.widths, a.stem_channels, a.expansion)
    flags = (a.last_norm, a.biases, a.late_stride)
    good = (
        a.unit in UNITS
        and a.stem in STEMS
        and a.shortcut in SHORTCUTS
        and 0 < len(a.depths) == len(a.widths) <= MOST_STAGES
        and all(type(size) is int and 0 < size <= MOST_CHANNELS for size in sizes)
        and sum(a.depths) <= MOST_BLOCKS
        and type(a.classes) is int
        and 0 <= a.classes <= MOST_CLASSES
        and all(type(flag) is bool for flag in flags)
    )
    if not good:
        raise ValueError("it describes no residual network")


CATALOGUE = {  # the networks that can be trained here
    "resnet18": Architecture("basic", (2, 2, 2, 2), IMAGENET),
    "resnet34": Architecture("basic", (3, 4, 6, 3), IMAGENET),
    "resnet50": Architecture("bottleneck", (3, 4, 6, 3), IMAGENET),
    "resnet20": Architecture("basic", (3, 3, 3), CIFAR, stem="3x3", stem_channels=16, shortcut="padding"),
}
