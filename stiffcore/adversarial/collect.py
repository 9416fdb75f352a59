"""Everything that is known about a network's images, brought together for ``relation``; computes nothing. Needs no torch."""

from collections.abc import Iterable

import pandas as pd

from stiffcore.adversarial import rows as robustness_rows
from stiffcore.adversarial.relation import Material
from stiffcore.conventions import Convention
from stiffcore.growth import rows as growth_rows
from stiffcore.images.image import Image
from stiffcore.networks.network import Network
from stiffcore.sweeps import shipping
from stiffcore.sweeps.stored_rows import StoredRows


def material(
    network: Network, images: Iterable[Image], robust: pd.DataFrame | None = None, stored: StoredRows | None = None
) -> Material:
    """The rows that ship, and those that this machine has stored at some images. robust: instead of its own rows."""
    images, stored = tuple(images), stored or StoredRows()
    rows = {
        convention: shipping.merged(shipping.rows(network, convention), stored.rows(network, convention, images))
        for convention in Convention
    }
    known = robustness_rows.all_rows(network, images) if robust is None else robust
    return Material(known, rows, growth_rows.all_rows(network, images))
