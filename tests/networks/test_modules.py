"""Every architecture is a module with the sizes, names and formulas that it says."""

import hashlib
import json

import numpy as np
import pytest
import torch
from torch import nn

from stiffcore.networks import architecture as architectures, catalogue, modules, resnets
from stiffcore.networks.architecture import CIFAR, IMAGENET, Architecture
from stiffcore.torchvision_compat import torchvision

FAMILIES = {
    "resnet18": catalogue.ARCHITECTURES["resnet18"],
    "resnet50": catalogue.ARCHITECTURES["resnet50"],
    "resnet20": catalogue.ARCHITECTURES["resnet20"],
    "resnet18-nopool": Architecture("basic", (2, 2, 2, 2), IMAGENET, "3x3"),
    "resnet20-b-100-classes": Architecture("basic", (3, 3, 3), CIFAR, "3x3", 16, classes=100),
    "resnet50-7x7-no-head": Architecture("bottleneck", (3, 4, 6, 3), IMAGENET, "7x7-pool", classes=0),
    "resnet50-wide128-7x7-1000-classes": Architecture(
        "bottleneck", (3, 4, 6, 3), (128, 256, 512, 1024), "7x7-pool", classes=1000, expansion=2
    ),
    "preact-resnet18": Architecture("pre-activation", (2, 2, 2, 2), IMAGENET, "3x3"),
    "preact-resnet50": Architecture("pre-activation bottleneck", (3, 4, 6, 3), IMAGENET, "3x3", last_norm=True),
    "wrn-16-2": Architecture("pre-activation", (2, 2, 2), (32, 64, 128), "3x3", 16, last_norm=True),
    "wrn-10-4": Architecture(
        "pre-activation", (1, 1, 1), (64, 128, 256), "3x3", 16, "convolution of x", last_norm=True, biases=True,
        late_stride=True,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FAMILIES)
def test_blocks_have_the_sizes_of_the_architecture(name):
    """Shapes flow through the modules on torch's meta device: nothing is computed."""
    architecture = FAMILIES[name]
    assert architecture.name == name
    model = resnets.template(architecture)
    size = 224 if "7x7" in name else 32
    seen = []

    def note(block, inputs, output):
        seen.append((tuple(inputs[0].shape[1:]), tuple(output.shape[1:])))

    for stage in range(len(architecture.depths)):
        for block in model.get_submodule(f"layer{stage + 1}"):
            block.register_forward_hook(note)
    with torch.device("meta"):
        out = model(torch.empty(2, 3, size, size))
    assert seen == [(b.input_shape, b.output_shape) for b in architecture.blocks(size)]
    assert tuple(out.shape) == (2, architecture.classes or architecture.out_channels[-1])


@pytest.mark.parametrize("name", ["preact-resnet18", "preact-resnet50", "wrn-10-4"])
def test_inner_sizes_are_those_of_the_second_batch_norm(name):
    architecture, seen = FAMILIES[name], []
    model = resnets.template(architecture)
    for stage in range(len(architecture.depths)):
        for block in model.get_submodule(f"layer{stage + 1}"):
            for norm in ("bn2", "bn3") if architecture.is_bottleneck else ("bn2",):
                block.get_submodule(norm).register_forward_hook(lambda m, i, out: seen.append(tuple(out.shape[1:])))
    with torch.device("meta"):
        model(torch.empty(2, 3, 32, 32))
    assert seen == [inner for block in architecture.blocks() for inner in block.inner_shapes]


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_the_papers_networks_have_the_initial_weights_that_they_always_had(name):
    """torchvision's ResNet with another stem, in this order of random numbers: stored results hang on it."""
    resnet = torchvision("models.resnet")
    torch.manual_seed(5)
    unit = resnet.Bottleneck if name == "resnet50" else resnet.BasicBlock
    expected = resnet.ResNet(unit, list(FAMILIES[name].depths), num_classes=10)
    expected.conv1 = nn.Conv2d(3, 64, 3, stride=1, padding=1, bias=False)
    torch.manual_seed(5)
    made = resnets.build(name)
    assert list(made.state_dict()) == list(expected.state_dict())
    assert resnets.tensors_sha256(made.state_dict()) == resnets.tensors_sha256(expected.state_dict())


def test_the_same_network_without_its_pool_has_the_same_names_and_other_outputs():
    torch.manual_seed(0)
    pooled, plain = resnets.build("resnet18").eval(), modules.build(FAMILIES["resnet18-nopool"]).eval()
    assert list(pooled.state_dict()) == list(plain.state_dict())
    plain.load_state_dict(pooled.state_dict())
    images = torch.randn(2, 3, 32, 32)
    assert not torch.allclose(pooled(images), plain(images))
    pooled.maxpool = nn.Identity()
    assert torch.equal(pooled(images), plain(images))


def test_initial_weights_are_he_et_als():
    torch.manual_seed(0)
    model = modules.build(FAMILIES["resnet20"])
    for weight in (model.layer3[1].conv1.weight, model.fc.weight):
        assert weight.std().item() == pytest.approx((2 / weight[0].numel()) ** 0.5, rel=0.1)


def test_a_padded_skip_takes_every_second_pixel_and_adds_channels_of_zeros_on_both_sides():
    x = torch.arange(2 * 4 * 4, dtype=torch.float32).reshape(1, 2, 4, 4)
    out = modules.PaddedSkip(2, 4)(x)
    assert torch.equal(out[:, 1:3], x[:, :, ::2, ::2])
    assert not out[:, [0, 3]].any()


@pytest.mark.parametrize("shortcut", ["convolution", "convolution of x"])
def test_a_pre_activation_block_is_its_formula(shortcut):
    torch.manual_seed(0)
    architecture = Architecture("pre-activation", (1, 1), (4, 8), "3x3", 4, shortcut, last_norm=True)
    block = modules.build(architecture).layer2[0].eval()
    for norm in (block.bn1, block.bn2):
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2)
    x = torch.randn(1, 4, 6, 6)
    activated = torch.relu(block.bn1(x))
    branch = block.conv2(torch.relu(block.bn2(block.conv1(activated))))
    skip = block.downsample(activated if shortcut == "convolution" else x)
    assert torch.allclose(block(x), branch + skip)


@pytest.mark.parametrize("name", FAMILIES)
def test_an_architecture_survives_json(name):
    made = architectures.from_json(json.loads(json.dumps(FAMILIES[name].as_json())))
    assert made == FAMILIES[name]
    assert made.text == FAMILIES[name].text


@pytest.mark.parametrize(
    "change",
    [{"unit": "x"}, {"depths": []}, {"depths": [2, 2]}, {"widths": [0] * 4}, {"stem": "5x5"}, {"classes": -1},
     {"classes": True}, {"biases": 1}, {"depths": [10**6] * 4}, {"unknown": 1}, {"widths": None}],
)  # fmt: skip
def test_json_that_describes_no_network_is_refused(change):
    with pytest.raises((ValueError, TypeError, KeyError)):
        architectures.from_json(FAMILIES["resnet18"].as_json() | change)


def test_what_no_tensor_says_changes_the_key():
    state = {"a": torch.ones(3)}
    pooled, plain = FAMILIES["resnet18"], FAMILIES["resnet18-nopool"]
    assert resnets.key_sha256(state, pooled) == resnets.tensors_sha256(state) != resnets.key_sha256(state, plain)
    text = f"{resnets.tensors_sha256(state)} {plain.text}"
    assert resnets.key_sha256(state, plain) == hashlib.sha256(text.encode()).hexdigest()


def test_resnet20_can_be_built_before_its_weights_ship():
    assert len(resnets.template("resnet20").state_dict()) == 19 * 6 + 2
    assert sum(np.prod(p.shape) for p in resnets.template("resnet20").parameters()) == 269_722
    assert [block.n_out for block in catalogue.architecture_of("resnet20").blocks()] == [16_384] * 3 + [8_192] * 3 + [
        4_096
    ] * 3
