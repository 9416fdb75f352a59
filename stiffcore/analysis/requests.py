"""What is asked for: a network, an image, a block, a convention and a level. Imports no torch."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from stiffcore.conventions import Convention
from stiffcore.errors import CannotCompute
from stiffcore.images.image import Image
from stiffcore.networks.geometry import BlockGeometry
from stiffcore.networks.network import Network
from stiffcore.storage import cache as result_cache

if TYPE_CHECKING:
    from stiffcore import device

FORMAT = 1  # of stored results: raise it when the stored fields change
# Raise it when a number can change; stored and shipped results are then computed again. 2: deflation pixel by pixel, dead inner
# pixels in the random baseline of P, numerical zeros among singular values.
ALGORITHM = 2
PRECISION = "float64"
QUANTITIES = ("norms", "extremes", "counts", "spectrum")  # each holds what the ones before it hold


@dataclass(frozen=True)
class Request:
    """What to compute. ``block`` counts from 1."""

    network: Network
    image: Image
    block: int
    convention: Convention
    quantity: str = "counts"

    @property
    def geometry(self) -> BlockGeometry:
        """The block's sizes. Raises CannotCompute for a block that the network does not have."""
        return self.network.block(self.block)

    @property
    def part(self) -> str:
        """``block 8``, or ``matrix 3``."""
        return f"{self.network.noun} {self.block}"

    @property
    def where(self) -> str:
        """``block 8 at image 0``, or ``matrix 3``."""
        return f"{self.part} at image {self.image.name}" if self.network.takes_images else self.part

    @property
    def convention_title(self) -> str:
        """The convention as it is shown, of a matrix ``A (branch)``."""
        return self.convention.title if self.network.takes_images else self.convention.of_a_matrix

    def in_header(self) -> dict[str, object]:
        """The request in a stored result's header: names in place of the objects."""
        image = self.image.in_rows
        return vars(self) | {"network": self.network.name, "image": image, "convention": str(self.convention)}

    @property
    def key(self) -> str:
        """The key of a result in the cache: a hash of everything that determines it."""
        fields = self.network.key_fields(self.image) | {
            "block": self.block,
            "convention": self.convention,
            "quantity": self.quantity,
        }
        return result_cache.key(fields | {"format": FORMAT, "algorithm": ALGORITHM, "precision": PRECISION})

    def checked(self) -> Self:
        """The request itself. Raises CannotCompute for a block, quantity or label that does not exist."""
        self.network.block(self.block)
        label, classes = self.image.label, self.network.classes
        # An image with a number has CIFAR-10's label; `label_of` says whether it counts for this network.
        if classes and self.image.number is None and label is not None and not 0 <= label < len(classes):
            raise CannotCompute(
                f"Expected a label of {self.network.name} from 0 to {len(classes) - 1}, got {label} for image "
                f"{self.image.name}: give the image one of them, or none."
            )
        check_quantity(self.quantity, self.convention)
        return self


def check_quantity(quantity: str, convention: Convention) -> None:
    """Raises CannotCompute for a quantity that does not exist, or not under this convention."""
    if quantity not in QUANTITIES:
        raise CannotCompute(f"Expected a level among {', '.join(QUANTITIES)}, got {quantity!r}: choose one of them.")
    if quantity == QUANTITIES[0] and not convention.has_matrix:
        others = " or ".join(other for other in Convention if other.has_matrix)
        raise CannotCompute(
            f"Level {quantity} computes norms of one matrix, and {convention} are many: choose {others}, or another level."
        )


def work_of(request: Request, core_side: Callable[[], float]) -> "tuple[device.Work, float]":
    """What takes longest, and its size: of slices, their number; of a spectrum or its counts, the core's side; else a vector's length."""
    geometry = request.geometry
    if not request.convention.has_matrix:
        return "patches", geometry.n_out * geometry.input_shape[0]
    if request.quantity not in ("spectrum", "counts"):
        return "iteration", max(geometry.n_in, geometry.n_out)
    return "spectrum", core_side() if geometry.is_identity else min(geometry.n_in, geometry.n_out)
