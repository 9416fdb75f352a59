"""The Python interface to adversarial robustness. ``import stiffcore as sc`` offers all of it."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal

import numpy as np

from stiffcore import front_door
from stiffcore.errors import CannotCompute
from stiffcore.front_door import BUNDLED
from stiffcore.images import registry as images
from stiffcore.images.image import Image
from stiffcore.networks.network import Network
from stiffcore.progress import Progress

if TYPE_CHECKING:
    import pandas as pd
    from torch import nn

_images = images


def robustness(
    network: "str | Network | nn.Module",
    images: str | int | np.ndarray | Image | Iterable[int | np.ndarray | Image] = BUNDLED,
    progress: Progress | None = None,
) -> "pd.DataFrame":
    """How small a change of each image changes the network's prediction, one row each; what ships or is stored is not computed again.

    images: as of ``sweep``. progress: counts the images; may raise Cancelled.

    Columns: network, weights, image, correct, label, predicted, loss, margin (the label's score minus the next), fgsm_step (the
    smallest step k/8 in grey levels of 255 along the sign of the loss's gradient that changes the prediction), fgsm_whole (the
    smallest whole one), fgsm_seen, pgd_radius (the smallest l∞ perturbation that 20 seeded steps of projected gradient descent
    find), pgd_seen, reason … Sizes are infinite where nothing up to 32 changes the prediction, NaN where it is wrong at once.
    Raises CannotCompute for a network without a head, and without images.

    >>> rows = sc.robustness("resnet18", images="0:20")
    """
    from stiffcore.adversarial import compute, rows

    asked, chosen = front_door.network(network), front_door.images_of(images)
    if not chosen:
        raise CannotCompute('Expected one image or more, got none: name some, as in images="0:20".')
    shipped = rows.rows(asked)
    official = {image.number for image in chosen if image.is_official}
    ships = shipped[shipped["image"].isin(official)]
    known = set(ships["image"])
    rest = [image for image in chosen if not (image.is_official and image.number in known)]
    return rows.merged(ships, rows.of(compute.compute_many(asked, rest, progress)))


def explains(
    network: "str | Network | nn.Module",
    outcome: Literal["pgd_radius", "fgsm_step"] = "pgd_radius",
    rows: "pd.DataFrame | None" = None,
) -> "pd.DataFrame":
    """Spearman's r of stiffness, norms, growth and margin with the smallest perturbation, by block; and the verdict.

    rows: of ``robustness``; by default those that ship or are stored. Computes neither these nor any stiffness.

    Columns: measure, convention, block, r, low, high, p, p_adjusted, partial_r … (given live fraction, label and margin; the margin
    given the label only), n, reason: why a number is missing, or ``too few: n = 5`` where the row's numbers show nothing.
    ``attrs["verdict"]``: whether stiffness explains adversarial examples, in a sentence.

    >>> sc.explains("resnet18").attrs["verdict"]
    """
    from stiffcore.adversarial import collect, relation, verdict

    asked = front_door.network(network)
    table = relation.table(collect.material(asked, _images.bundled(), rows), outcome)
    said = verdict.of(table, outcome)
    table.attrs["verdict"] = f"{said.head} {said.sentence}"
    return table
