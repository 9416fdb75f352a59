"""Opens the files of a run: each becomes a ``Network``, and together they are a ``Run``. Needs torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from stiffcore.checkpoints.reading.choose import Reading
from stiffcore.errors import CannotCompute
from stiffcore.images.image import Image
from stiffcore.networks.network import Network
from stiffcore.progress import Progress, silent
from stiffcore.runs import kept, run as descriptions, steps, weights
from stiffcore.runs.run import Checkpoint, Run
from stiffcore.runs.steps import Placed
from stiffcore.storage import uploads


@dataclass(frozen=True)
class Opened:
    """A run whose files were read. networks: of run.checkpoints, in their order. refused: file -> why it was left out."""

    run: Run
    networks: tuple[Network, ...]
    refused: dict[str, str]
    note: str


def opened(
    paths: Sequence[Path],
    bundled: Sequence[Image] = (),
    progress: Progress = silent,
    stem: str = "",
    normalisation: str = "",
) -> Opened:
    """The run in some files, read as its last checkpoint is read best.

    bundled: the images that ship. stem, normalisation: as for one file. Raises CannotCompute if no file can be read.
    """
    places = steps.placed(paths)
    parents = dict.fromkeys(place.path.parent for place in places.files)
    reading = _reading(places.files, stem, normalisation, progress)
    networks, found, refused = [], [], {}
    for at, place in enumerate(places.files):
        progress(at, len(places.files), f"reading {place.path.name}")
        named = f"{place.path.parent.name}/{place.path.name}" if len(parents) > 1 else place.path.name
        try:
            network = weights.network_of(place.path, uploads.clean_name(named), reading)
        except CannotCompute as error:
            refused[named] = str(error)
            continue
        networks.append(network)
        about = network.name, network.weights_sha256, uploads.clean_name(place.path.name), str(place.path)
        found.append(Checkpoint(place.step, place.seed, *about, *descriptions.measured(network, bundled)))
    title, name = ", ".join(parent.name for parent in parents), kept.name_of(parents)
    run = descriptions.of_networks(networks, found, name, title, places.unit, reading.architecture)
    return Opened(run, tuple(networks), refused, places.note)


def _reading(places: Sequence[Placed], stem: str, normalisation: str, progress: Progress) -> Reading:
    """Of the last checkpoint that can be read, of the training with the most of them."""
    seeds = [place.seed for place in places]
    why = ""
    for place in sorted(places, key=lambda one: (seeds.count(one.seed), -one.seed, one.step), reverse=True):
        try:
            return weights.reading_of(place.path, stem, normalisation, progress)
        except CannotCompute as error:
            why = why or f"First, {place.path.name}: {error}"
    raise CannotCompute(f"None of the {len(places)} files can be read. {why}")
