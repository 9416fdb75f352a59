"""The weights in the files of a run. Needs torch.

A run is read in one way: that of its last checkpoint, which is the best trained. Read by itself, an untrained one could take any.
"""

from dataclasses import replace
from pathlib import Path

from torch import nn

from stiffcore.checkpoints import inspect as checkpoints
from stiffcore.checkpoints.reading import choose as readings
from stiffcore.checkpoints.reading.choose import Reading
from stiffcore.checkpoints.reading.normalisations import Normalisation
from stiffcore.errors import CannotCompute
from stiffcore.networks.architecture import Architecture
from stiffcore.networks.network import Network
from stiffcore.progress import Progress, silent


def reading_of(path: Path, stem: str = "", normalisation: str = "", progress: Progress = silent) -> Reading:
    """The reading that fits one file best. Raises CannotCompute for a refused file."""
    found = checkpoints.read_all(checkpoints.content_of(path), progress)
    return readings.best(found.state, found.inspection.architectures, found.normaliser, stem, normalisation, progress)


def network_of(path: Path, name: str, reading: Reading, progress: Progress = silent) -> Network:
    """The network in one file, read as its run is. Raises CannotCompute for a refused file, and for one of another structure."""
    found = checkpoints.read_all(checkpoints.content_of(path), progress)
    wanted, got = reading.architecture, found.inspection.architectures[0]
    if (wanted.family, wanted.classes) != (got.family, got.classes):
        raise CannotCompute(f"Expected {wanted.title}, as in the last checkpoint, got {got.title}: leave it out.")
    of_the_run = Normalisation("run", "the run's", reading.preprocessing.mean, reading.preprocessing.standard_deviation)
    own = readings.best(found.state, [reading.architecture], of_the_run, progress=progress)
    own = replace(own, preprocessing=reading.preprocessing, sentence=reading.sentence, doubt=reading.doubt)
    return checkpoints.as_network(found, own, path, name)


def load(path: str, weights: str, architecture: Architecture) -> nn.Module:
    """The module in a checkpoint's file. Raises CannotCompute if the file is gone or holds other weights than it did."""
    try:
        return checkpoints.load_again(Path(path), weights, architecture)
    except CannotCompute as error:
        raise CannotCompute(f"{error} Then sweep the run's checkpoints with --weights again.") from error
