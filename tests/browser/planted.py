"""What the cache of the journeys' shared server holds, and blocks for journeys."""

import dataclasses

import numpy as np

from pages.shared.widgets import gallery
from stiffcore.analysis import modes
from stiffcore.analysis.requests import Request
from stiffcore.analysis.results import Result
from stiffcore.conventions import Convention
from stiffcore.images import cifar10, registry as images
from stiffcore.networks import catalogue
from stiffcore.runs import kept
from stiffcore.storage import cache as result_cache
from tests.made_up.asked import asked
from tests.made_up.runs import made_up as made_up_run
from tests.made_up.spectra import made_up, store

QUICK, SLOW = 8, 4  # blocks of ResNet18: a spectrum takes seconds; long enough to be cancelled

MADE_UP, CLOUDS = 7, (8, 9)  # images whose spectra do not ship
BLOCKS_MADE_UP = (4, 7, 8)  # of MADE_UP; the other blocks are not computed
VALUE = 0.25 + 0.5j  # an eigenvalue of the made-up spectrum, whose mode is stored
A, B, C = gallery.first_of_each_label()[:3]  # to compare

NETWORK = "resnet34-untrained"  # no rows of it ship
IMAGES = cifar10.bundled()[:24]
ALONE = IMAGES[5]  # its value lies far from the others', so that a click meets no other point
RUN = made_up_run(path="/nowhere/epoch.pt")
CAT = gallery.first_of_each_label()[3]
VIEW = f"network={NETWORK}&convention=slices"


def plant() -> None:
    """Into $STIFFCORE_CACHE."""
    store(*(asked("resnet18", MADE_UP, block, "branch", "spectrum") for block in BLOCKS_MADE_UP))
    store(*(asked("resnet18", image, QUICK, "branch", "spectrum") for image in (A, B, C)))
    for image in CLOUDS:
        _cloud(image, 3000)
    _mode()
    _rows()
    _run()


def _cloud(image: int, count: int) -> None:
    """A spectrum of many points, so that WebGL draws it."""
    request = asked("resnet18", image, QUICK, "branch", "spectrum")
    half = np.random.default_rng(image).normal(size=(count // 2, 2)) @ [0.3, 0.3j]
    _put(made_up(request), {"eigenvalues": np.concatenate([half, half.conj()])})


def _mode() -> None:
    arrays = {f"{side}_map": np.full((2, 2), 0.5) for side in ("right", "left")}
    arrays |= {f"{side}_channels": np.full(512, 512**-0.5) for side in ("right", "left")}
    header = {"residual": 1e-15, "left_residual": 1e-15, "condition": 8.19, "seconds": 0.5, "weights": "ab"}
    request = asked("resnet18", MADE_UP, QUICK, "branch", "spectrum")
    assert result_cache.default().put(modes.key(request, VALUE), header, arrays) is None


def _rows() -> None:
    """A row for every block at every image; P grows with the image's position, S with the block."""
    for block in (block.block for block in catalogue.blocks(NETWORK)):
        for at, image in enumerate(IMAGES):
            result = made_up(asked(NETWORK, image, block, "slices", "counts"))
            values = {
                "percent_negative": 90.0 if image == ALONE else 10 + 0.1 * at,
                "stiffness_index": -1.0 - block - at,
            }
            made = result.made | {"loss": 0.1 + 0.05 * at, "predicted": result.made["predicted"] if at % 5 else 0}
            _put(dataclasses.replace(result, metrics=result.metrics | values, made=made), {})


def _run() -> None:
    """A training: one block's spectrum at every step, the outermost eigenvalue further out at each, and a row of each."""
    kept.save(RUN)
    for at, checkpoint in enumerate(RUN.drawn):
        request = Request(RUN.network(checkpoint), images.find(CAT), QUICK, Convention.BRANCH, "spectrum")
        _put(made_up(request), {"eigenvalues": np.array([-1.0 - at, 0.5 + 1j, 0.5 - 1j])})
        store(Request(RUN.network(checkpoint), images.find(CAT), QUICK, Convention.SLICES, "counts"))


def _put(result: Result, arrays: dict) -> None:
    assert result_cache.default().put(result.request.key, result.header(), arrays) is None
