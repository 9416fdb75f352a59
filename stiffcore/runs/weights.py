"""The weights in one file of a run. Needs torch."""

from pathlib import Path

from torch import nn

from stiffcore.checkpoints import inspect as checkpoints
from stiffcore.errors import CannotCompute
from stiffcore.networks.network import Network


def network_of(path: Path, name: str) -> Network:
    """The network in one file. Raises CannotCompute for a refused file."""
    return checkpoints.network_in(path, name)


def load(path: str, weights: str) -> nn.Module:
    """The module in a checkpoint's file. Raises CannotCompute if the file is gone or holds other weights than it did."""
    network = network_of(Path(path), "")
    if network.weights_sha256 != weights:
        raise CannotCompute(
            f"The weights in {path} have changed since the run was swept: sweep its checkpoints with --weights again."
        )
    return network.module()
