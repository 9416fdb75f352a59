"""Scores and gradients in batches of one size: independent of the neighbours, and right where the network is sure."""

import copy

import numpy as np
import pytest
import torch

from stiffcore.adversarial.scores import BATCH, Scores, changed, margins
from stiffcore.errors import CannotCompute
from stiffcore.images import registry as images
from stiffcore.networks import registry as networks
from tests.made_up import attacked


@pytest.fixture(scope="module")
def resnet():
    return networks.find("resnet18")


def pixels(numbers):
    return torch.stack([torch.from_numpy(images.find(n).pixels.transpose(2, 0, 1).astype(np.float32)) for n in numbers])


@pytest.mark.parametrize("places", [range(BATCH), [5, 9], [5]])
def test_an_images_numbers_do_not_depend_on_the_batch(resnet, places):
    """Bit by bit: the sign of a gradient turns a difference in the last digit into another image."""
    scores, of_image = Scores(resnet), list(places).index(5)
    x = pixels(places)
    labels = torch.tensor([images.find(n).label for n in places])
    alone, signs = scores.with_gradient(x[of_image : of_image + 1], labels[of_image : of_image + 1])
    among, others = scores.with_gradient(x, labels)
    assert torch.equal(among[of_image], alone[0])
    assert torch.equal(others[of_image], signs[0])
    assert torch.equal(scores.of(x)[of_image], alone[0])


def test_scores_are_those_of_the_normalised_image(resnet):
    x = pixels([0, 1])
    expected = resnet.module()(torch.stack([resnet.normalised(images.find(n)) for n in (0, 1)]))
    torch.testing.assert_close(Scores(resnet).of(x), expected.double(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("margin", [0.5, 8.0, 22.0])
def test_the_gradient_is_that_of_the_loss_however_sure_the_network_is(margin):
    """float32 cross-entropy loses −∇z_label from a margin of about 17 on; float64 autograd is the reference."""
    module = attacked.convolutional()
    network = attacked.network(module, name=f"margin {margin}")
    x = torch.from_numpy(attacked.image(2).pixels.transpose(2, 0, 1)[None].astype(np.float32))
    with torch.no_grad():
        module[-1].bias.mul_(0)
        scores = module(x / 255)[0]
        label = int(scores.argmax())
        module[-1].weight.mul_(margin / float(margins(scores[None], torch.tensor([label]))[0]))
    _, signs = Scores(network).with_gradient(x, torch.tensor([label]))
    exact = x.double().requires_grad_()
    loss = torch.nn.functional.cross_entropy(copy.deepcopy(module).double()(exact / 255), torch.tensor([label]))
    (gradient,) = torch.autograd.grad(loss, exact)
    large = gradient.abs() > 1e-4 * gradient.abs().max()
    assert large.float().mean() > 0.5
    assert torch.equal(signs.double()[large], gradient.sign()[large])


def test_margins_and_changes():
    scores = torch.tensor([[3.0, 1.0, 2.5], [1.0, 4.0, 0.0], [2.0, 2.0, 0.0]], dtype=torch.float64)
    labels = torch.tensor([0, 0, 0])
    assert margins(scores, labels).tolist() == [0.5, -3.0, 0.0]
    assert changed(scores, labels).tolist() == [False, True, False]  # a tie is no change
    assert changed(scores, torch.tensor([2, 1, 2])).tolist() == [True, False, True]


def test_a_batch_is_never_larger_than_the_one_size():
    with pytest.raises(ValueError, match="1 to"):
        Scores(attacked.network(attacked.convolutional())).of(torch.zeros(BATCH + 1, 3, 8, 8))


def test_scores_that_are_not_finite_are_refused():
    module = attacked.convolutional()
    with torch.no_grad():
        next(module.parameters())[:] = float("nan")
    scores = Scores(attacked.network(module, name="not finite"))
    pixels, labels = torch.zeros(1, 3, attacked.SIDE, attacked.SIDE), torch.zeros(1, dtype=torch.int64)
    for scored in (lambda: scores.of(pixels), lambda: scores.with_gradient(pixels, labels)):
        with pytest.raises(CannotCompute, match="Expected finite weights, got NaN or infinity in the network's scores"):
            scored()
