"""Modules in memory: residual blocks as their authors write them, and maps of any other kind."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

import stiffcore as sc
from stiffcore.conventions import Convention
from stiffcore.images.image import Image
from stiffcore.jacobians import operator, reference
from stiffcore.torchvision_compat import torchvision
from tests.made_up.modules import InSequence, OptionA, PreActivated, PreActivatedBottleneck, PreActivatedFromInput

SIDE = 8


def pixels(seed: int = 0, side: int = SIDE) -> Image:
    return sc.image(np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8), label=1)


class Net(nn.Module):
    """A stem, three blocks, a head."""

    def __init__(self, unit: type[nn.Module]):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.conv1 = nn.Conv2d(3, 4, 3, 1, 1)
            self.layer1 = nn.Sequential(unit(4, 4), unit(4, 8, 2))
            self.layer2 = nn.Sequential(unit(8, 8))
            self.linear = nn.Linear(8, 3)
            for norm in self.modules():
                if isinstance(norm, nn.BatchNorm2d):
                    nn.init.normal_(norm.bias, 0.2, 0.5)
                    norm.running_var.uniform_(0.5, 1.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(self.layer2(self.layer1(self.conv1(x))).mean((2, 3)))


@pytest.mark.parametrize("unit", [PreActivated, PreActivatedBottleneck, PreActivatedFromInput, OptionA, InSequence])
@pytest.mark.parametrize("convention", ["block", "branch", "slices"])
def test_every_family_is_recognised_and_equals_automatic_differentiation(unit, convention):
    module = Net(unit).eval()
    network = sc.network(module, image_size=SIDE)
    assert [block.is_identity for block in network.blocks] == [True, False, True]
    assert network.classes == ("0", "1", "2")
    found = sc.analyse(network, pixels(), 3, convention)
    state = sc.linearise(network, pixels(), 3)
    jacobian = reference.jacobian_of_module(
        copy.deepcopy(module.layer2[0]).double(), state.input, Convention(convention)
    )
    spectrum = reference.naive_slices(jacobian) if convention == "slices" else reference.eigenvalues(jacobian)
    assert found.metrics["max_re"] == pytest.approx(spectrum.real.max(), rel=1e-10)
    assert found.metrics["min_re"] == pytest.approx(spectrum.real.min(), rel=1e-8, abs=1e-12)


def test_of_a_pre_activation_block_the_whole_is_one_plus_the_branch():
    network = sc.network(Net(PreActivated).eval(), image_size=SIDE)
    whole, branch = (sc.analyse(network, pixels(), 1, convention, "spectrum") for convention in ("block", "branch"))
    assert reference.spectral_distance(whole.eigenvalues(), 1 + branch.eigenvalues()) < 1e-10
    assert not network.blocks[0].has_outer_relu


class Transformer(nn.Module):
    """torchvision's vision transformer, small."""

    def __init__(self) -> None:
        super().__init__()
        vit = torchvision("models.vision_transformer")
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.net = vit.VisionTransformer(SIDE, 4, 2, 2, 12, 24, num_classes=10)
            for tensor in self.net.heads.parameters():
                nn.init.normal_(tensor)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(x)


def convnext() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        setting = torchvision("models.convnext").CNBlockConfig
        net = torchvision("models.convnext").ConvNeXt([setting(4, None, 2)], layer_scale=1.0, num_classes=10)
    return net.eval()


@pytest.mark.parametrize(("made", "class_name"), [(Transformer, "EncoderBlock"), (convnext, "CNBlock")])
@pytest.mark.parametrize("convention", ["block", "branch"])
def test_blocks_of_other_kinds_are_maps(made, class_name, convention):
    module = made().eval()
    side = SIDE if made is Transformer else 16
    network = sc.network(module, image_size=side)
    assert {type(module.get_submodule(block.path)).__name__ for block in network.blocks} == {class_name}
    assert len(network.blocks) == 2
    found = sc.analyse(network, pixels(side=side), 2, convention, "spectrum")
    state = sc.linearise(network, pixels(side=side), 2)
    n = state.geometry.n_in
    part = copy.deepcopy(module.get_submodule(network.blocks[1].path)).double()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        whole = torch.autograd.functional.jacobian(lambda x: part(x[None])[0], state.input).reshape(n, n)
    finally:
        torch.backends.mha.set_fastpath_enabled(True)
    expected = whole if convention == "block" else whole - torch.eye(n)
    assert reference.spectral_distance(found.eigenvalues(), reference.eigenvalues(expected)) < 1e-8
    units = torch.eye(n, dtype=torch.float64)[:5]
    torch.testing.assert_close(operator.apply(state, Convention(convention), units), expected.T[:5])
    torch.testing.assert_close(operator.apply_transpose(state, Convention(convention), units), expected[:5])


def test_what_is_read_as_a_map_is_said():
    reading = sc.network(convnext(), image_size=16).reading
    assert reading.startswith("Read as maps x + F(x)")
    assert sc.network(Net(OptionA).eval(), image_size=SIDE).reading == ""


def test_a_singular_value_that_dead_inputs_make_zero_is_undefined():
    """Of a pre-activation block that changes the shape, dead inputs make rows dependent where the skip reads none of them."""
    net = Net(PreActivated).eval()
    network = sc.network(net, image_size=SIDE)
    found = sc.analyse(network, pixels(), 2, "block", "spectrum")
    state = sc.linearise(network, pixels(), 2)
    expected = np.linalg.svd(reference.dense_jacobian(state, Convention.BLOCK).numpy(), compute_uv=False)
    values = found.arrays["singular_values"]
    rank = int((expected > 1e-12 * expected[0]).sum())
    assert int((values > 0).sum()) == rank < state.geometry.n_out
    np.testing.assert_allclose(values[:rank], expected[:rank], rtol=1e-10)
    if len(values) > rank:
        assert str(found.reasons["smallest_singular_value"]) == "undefined: the smallest singular value is 0"
        assert str(found.reasons["condition_number"]) == "undefined: the smallest singular value is 0"


def test_the_extremes_of_a_map_need_no_matrix():
    network = sc.network(Transformer().eval(), image_size=SIDE)
    whole = sc.analyse(network, pixels(), 1, "branch", "spectrum").metrics
    extremes = sc.analyse(network, pixels(1), 1, "branch", "extremes").metrics
    assert whole["n_eigenvalues"] == extremes["n_eigenvalues"] == 5 * 12


def test_parts_can_be_named():
    network = sc.network(Net(OptionA).eval(), image_size=SIDE, blocks="layer2.*")
    assert [block.path for block in network.blocks] == ["layer2.0"]
    with pytest.raises(sc.CannotCompute, match="Expected names of the module's parts, got nothing"):
        sc.network(Net(OptionA).eval(), image_size=SIDE, blocks="nothing")


class Headless(Net):
    """Without a head."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer2(self.layer1(self.conv1(x)))


def test_a_network_without_a_head_has_no_labels():
    network = sc.network(Headless(OptionA).eval(), image_size=SIDE)
    assert network.classes == ()
    row = sc.analyse(network, pixels(), 1, "branch").row()  # a label that has no meaning here
    assert (row["label"], row["predicted"], row["correct"]) == (None, None, None)
    assert np.isnan(row["loss"])
