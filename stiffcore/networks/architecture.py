"""What a residual network is apart from its weights: units, depths, widths, stem, shortcuts. Imports no torch."""

from dataclasses import dataclass

from stiffcore.networks.geometry import BlockGeometry

EXPANSION = 4  # a bottleneck's output channels per narrow channel
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


@dataclass(frozen=True)
class Architecture:
    """A residual network apart from its weights.

    unit: of UNITS. depths: blocks of each stage; widths: channels of each stage's ReLUs, a bottleneck's narrow ones. stem: of
    STEMS. stem_channels: of its output. shortcut: of SHORTCUTS. classes: scores of the head, 0 without a head. last_norm: a batch
    norm and a ReLU behind the last block (pre-activation). biases: whether convolutions have biases.
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

    @property
    def is_bottleneck(self) -> bool:
        return "bottleneck" in self.unit

    @property
    def is_preactivated(self) -> bool:
        return self.unit.startswith("pre-activation")

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
        for stage, (depth, narrow) in enumerate(zip(self.depths, self.widths, strict=True)):
            wide = narrow * (EXPANSION if self.is_bottleneck else 1)
            for position in range(depth):
                stride = 2 if stage > 0 and position == 0 else 1
                out_side = (side - 1) // stride + 1
                last = (narrow, out_side, out_side)
                inner = ((narrow, side, side), last) if self.is_bottleneck else (last,)
                shapes = (channels, side, side), inner, (wide, out_side, out_side)
                number = len(geometries) + 1
                geometries.append(BlockGeometry(number, self.unit, stride, *shapes, not self.is_preactivated))
                channels, side = wide, out_side
        return tuple(geometries)
