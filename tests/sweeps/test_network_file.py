"""Any network comes back from its file with all its fields, and its module computes the same."""

import dataclasses
import hashlib

import pytest
import torch
from torch import nn

import stiffcore as sc
from stiffcore.errors import CannotCompute
from stiffcore.networks import registry as networks
from stiffcore.networks.matrices import Matrices
from stiffcore.networks.network import Network
from stiffcore.sweeps import network_file
from stiffcore.torchvision_compat import torchvision


def in_memory(model: nn.Module) -> Network:
    """As a network that is not analysed here; a field that it has is one that travels."""
    return Network(
        type(model).__name__, "0" * 64, (), lambda: model, reading="how it was read", doubt="why", predicted={3: 1}
    )


def vision_transformer() -> nn.Module:
    return torchvision("models.vision_transformer").VisionTransformer(
        image_size=32, patch_size=16, num_layers=1, num_heads=2, hidden_dim=8, mlp_dim=8
    )


def convnext() -> nn.Module:
    models = torchvision("models.convnext")
    return models.ConvNeXt([models.CNBlockConfig(8, None, 2)], num_classes=10)


@pytest.mark.parametrize(
    "network",
    [
        networks.find("resnet18-untrained"),
        networks.find("resnet50-shuffled"),
        sc.network(networks.find("resnet18").module(), name="mine", classes=list("abcdefghij")),
        in_memory(vision_transformer().eval()),
        in_memory(convnext().eval()),
        in_memory(Matrices([torch.eye(3), torch.ones(2, 2)])),
    ],
    ids=["shipped", "bottleneck", "in memory", "attention", "convnext", "matrices"],
)
def test_a_network_comes_back_whole(network, tmp_path):
    content = network_file.content(network)
    path = tmp_path / "network"
    path.write_bytes(content)
    back = network_file.read(path, hashlib.sha256(content).hexdigest())
    for field in dataclasses.fields(Network):
        assert field.name == "load" or getattr(back, field.name) == getattr(network, field.name)
    ours, theirs = network.module(), back.load()  # equal networks share one module in memory
    assert ours is not theirs
    assert type(ours) is type(theirs)
    assert not theirs.training or isinstance(ours, Matrices)
    for (name, tensor), (other, arrived) in zip(ours.state_dict().items(), theirs.state_dict().items(), strict=True):
        assert name == other
        assert torch.equal(tensor, arrived)
    if not isinstance(ours, Matrices):
        image = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            assert torch.equal(ours(image), theirs(image))


def test_another_file_or_none_is_refused(tmp_path):
    path = tmp_path / "network"
    with pytest.raises(CannotCompute, match="has lost the network"):
        network_file.read(path, "0" * 64)
    path.write_bytes(b"something else")
    with pytest.raises(CannotCompute, match="has another network than the one that was sent"):
        network_file.read(path, "0" * 64)


def test_a_class_of_the_script_is_named(monkeypatch):
    """__main__ is another module in every process."""
    model = Matrices([torch.eye(2)])
    monkeypatch.setattr(type(model), "__module__", "__main__")
    monkeypatch.setattr("__main__.Matrices", Matrices, raising=False)
    with pytest.raises(CannotCompute, match="Matrices is defined in this script or notebook"):
        network_file.content(in_memory(model))
