"""Names of networks -> ``Network`` objects: those that ship, their baselines, and uploaded ones.

Only the command line, the URL, uploads and ``import stiffcore`` call it; all other code takes ``Network`` objects. No torch.
"""

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from stiffcore.networks import catalogue, manifest, uploaded
from stiffcore.networks.network import Network

if TYPE_CHECKING:
    from torch import nn


def find(name: str) -> Network:
    """The network of a name. Raises CannotCompute for an unknown name, and if the list of shipped weights is damaged."""
    entry = manifest.entry(name)
    network = Network(
        name,
        entry.sha256,
        catalogue.blocks(name),
        partial(_load, name),
        title=title(name),
        architecture=catalogue.paper(name),
        predicted=entry.predicted,
        loss=entry.loss,
    )
    if not uploaded.is_name(name):
        return network
    own = uploaded.get(name)
    return replace(network, preprocessing=own.preprocessing, classes=own.classes, reading=own.reading, doubt=own.doubt)


def title(name: str) -> str:
    """``resnet18-untrained`` -> ``ResNet18, untrained``; of an uploaded network with its file's name."""
    if uploaded.is_name(name):
        own = uploaded.get(name)
        return f"{own.architecture.title}, uploaded: {own.title}"
    source, _, baseline = name.partition("-")
    return catalogue.architecture_of(source).title + (f", {baseline}" if baseline else "")


def _load(name: str) -> "nn.Module":
    """A function, not a lambda, so that a network can be sent to another process."""
    from stiffcore.networks import resnets

    return resnets.load(name)
