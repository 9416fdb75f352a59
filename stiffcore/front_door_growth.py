"""The Python interface to whole networks. ``import stiffcore as sc`` offers all of it."""

from typing import TYPE_CHECKING

import numpy as np

from stiffcore import front_door
from stiffcore.growth import compute
from stiffcore.growth.requests import Growth, GrowthRequest
from stiffcore.images.image import Image
from stiffcore.networks.network import Network
from stiffcore.progress import Progress

if TYPE_CHECKING:
    from torch import nn


def growth(
    network: "str | Network | nn.Module", image: int | np.ndarray | Image = 0, progress: Progress | None = None
) -> Growth:
    """How a whole network stretches small changes of an image, from the cache or newly computed; some seconds on one core.

    ``growth``: ‖J_k ⋯ J_1 J_stem‖₂ by depth, shape (blocks,), of changes in pixels from 0 to 1; ``growth_from_first``: ‖J_k ⋯ J_1‖₂;
    ``random_growth``: the mean of random directions. ``singular_values`` and ``input_directions``: the ten largest of image → last
    block, the directions as images of shape (10, 3, H, W); ``logit_values`` and ``logit_directions``: of image → logits, with
    ``to_logits`` the largest. ``lyapunov``: finite-depth exponents, shape (blocks, 10). ``residuals``, ``agreement``: of float64 and
    of two random starts.

    progress: called as progress(done, total, what); may raise Cancelled. Raises CannotCompute for matrices in place of a network,
    and for a module whose blocks do not follow each other.

    >>> sc.growth("resnet18", image=0).growth.shape
    (8,)
    """
    return compute.compute(GrowthRequest(front_door.network(network), front_door.image(image)), progress)
