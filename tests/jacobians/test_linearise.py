"""A block linearised at an image equals the block: values, masks and sizes."""

import numpy as np
import pytest
import torch

from stiffcore.conventions import Convention
from stiffcore.errors import CannotCompute
from stiffcore.images import cifar10
from stiffcore.images.image import Image
from stiffcore.jacobians import forward, linearise, recognise, structure
from stiffcore.networks import catalogue, registry as networks, resnets
from tests.made_up.blocks import small_blocks


@pytest.mark.parametrize("block", small_blocks(), ids=repr)
def test_linearise_returns_the_modules_output(block):
    found = recognise.structure(block.module, block.geometry)
    _, output = linearise.linearise(found, block.geometry, block.x)
    torch.testing.assert_close(output, block.module(block.x[None])[0], rtol=1e-12, atol=1e-12)


def test_derivative_at_exactly_zero_is_zero():
    block = next(b for b in small_blocks() if b.name == "basic-zero-pre-activations")
    assert not block.state.inner_masks[0][0].any()


@pytest.mark.parametrize("network", catalogue.SHIPPED)
def test_geometry_is_the_networks(network):
    model, seen = resnets.load(network), []
    hooks = [
        block.register_forward_hook(lambda _, x, y: seen.append((tuple(x[0].shape[1:]), tuple(y.shape[1:]))))
        for block in structure.residual_blocks(model)
    ]
    model(torch.zeros(1, 3, 32, 32))
    for hook in hooks:
        hook.remove()
    assert [(g.input_shape, g.output_shape) for g in catalogue.blocks(network)] == seen


def test_states_follow_the_network_in_float64():
    model = resnets.load("resnet18")
    image = cifar10.normalised(cifar10.image(cifar10.bundled()[0])[None])[0]
    geometries = catalogue.blocks("resnet18")
    states = forward.block_states(model, geometries, image, [3, 8])
    assert sorted(states) == [3, 8]
    double = resnets.load("resnet18").double()
    x = double.maxpool(double.relu(double.bn1(double.conv1(image.double()[None]))))
    x = double.layer1(x)
    torch.testing.assert_close(states[3].input, x[0], rtol=1e-10, atol=1e-10)
    final = double.layer4(double.layer3(double.layer2(x)))
    assert torch.equal(states[8].outer_mask, (final > 0)[0])


def test_nan_in_weights_is_refused():
    model = resnets.load("resnet18")
    with torch.no_grad():
        model.layer1[0].conv1.weight[0, 0, 0, 0] = float("nan")
    with pytest.raises(CannotCompute, match="Block 1 has NaN or infinite activations"):
        forward.block_states(model, catalogue.blocks("resnet18"), torch.zeros(3, 32, 32), [1])


def test_wrong_image_shape_is_refused():
    """At the network's door by its image size, and before a block is made linear by the block's own."""
    with pytest.raises(CannotCompute, match=r"Expected an image of 32 × 32 pixels, .* got 28 × 30"):
        networks.find("resnet18").normalised(Image.of(np.zeros((30, 28, 3), np.uint8)))
    with pytest.raises(ValueError, match=r"block 1 of shape \(64, 16, 16\), got \(64, 14, 14\)"):
        forward.block_states(resnets.load("resnet18"), catalogue.blocks("resnet18"), torch.zeros(3, 28, 28), [1])
    with pytest.raises(ValueError, match=r"\(3, H, W\), got \(1, 32, 32\)"):
        forward.block_states(resnets.load("resnet18"), catalogue.blocks("resnet18"), torch.zeros(1, 32, 32), [1])


# Tables 10 and 11 of the paper: dimensions and number of eigenvalues of each block.
def test_counts_of_tables_10_and_11():
    resnet18 = [catalogue.block("resnet18", i).n_eigenvalues(Convention.SLICES) for i in range(1, 9)]
    assert resnet18 == [16_777_216] * 2 + [8_388_608] * 2 + [4_194_304] * 2 + [2_097_152] * 2
    resnet34 = [catalogue.block("resnet34", i).n_eigenvalues(Convention.SLICES) for i in range(1, 17)]
    assert resnet34 == [16_777_216] * 3 + [8_388_608] * 4 + [4_194_304] * 6 + [2_097_152] * 3
