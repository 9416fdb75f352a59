"""Growth against dense products of whole Jacobians by automatic differentiation, and against jvp and vjp of the real network."""

import copy
import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import stiffcore as sc
from stiffcore import device
from stiffcore.growth import chain, compute, krylov, requests
from stiffcore.growth.requests import GrowthRequest
from stiffcore.jacobians import forward, operator
from stiffcore.networks.network import Network
from stiffcore.progress import silent
from stiffcore.torchvision_compat import torchvision
from tests.made_up.modules import InSequence, OptionA, PreActivated, PreActivatedBottleneck

SIDE, STD = 8, (0.2, 0.25, 0.5)


@pytest.fixture(autouse=True)
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("STIFFCORE_CACHE", str(tmp_path / "cache"))


class Net(nn.Module):
    """A stem, three blocks with something between the last two, and a head that may be missing."""

    def __init__(self, unit: type[nn.Module] = InSequence, between: nn.Module | None = None, scores: int = 3):
        super().__init__()
        self.conv1, self.pool = nn.Conv2d(3, 4, 3, 1, 1), nn.MaxPool2d(2)
        self.layer1 = nn.Sequential(unit(4, 4), unit(4, 8, 2))
        self.between = between or nn.Identity()
        self.layer2 = nn.Sequential(unit(8, 8))
        self.linear = nn.Linear(8, scores) if scores else nn.Identity()
        for norm in self.modules():
            if isinstance(norm, nn.BatchNorm2d):
                nn.init.normal_(norm.bias, 0.2, 0.5)
                norm.running_var.uniform_(0.5, 1.5)

    def features(self, x: Tensor) -> Tensor:
        return self.layer2(self.between(self.layer1(self.pool(self.conv1(x).relu()))))

    def forward(self, x: Tensor) -> Tensor:
        features = self.features(x)
        return self.linear(features.mean((2, 3))) if isinstance(self.linear, nn.Linear) else features


class LongSkip(Net):
    """The head takes the output of the second block, too: no chain."""

    def forward(self, x: Tensor) -> Tensor:
        early = self.layer1(self.pool(self.conv1(x).relu()))
        return self.linear((self.layer2(early) + early).mean((2, 3)))


class Sharpened(nn.Module):
    """A map without parts that is not the identity."""

    def forward(self, x: Tensor) -> Tensor:
        return x**2 + 0.5 * x


def made(build, side: int = SIDE, **options) -> Network:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return sc.network(build().eval(), image_size=side, std=STD, **options)


def pixels(side: int = SIDE):
    return sc.image(np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8), label=1)


def dense(network: Network, image) -> tuple[list[Tensor], list[Tensor], Tensor]:
    """d(output of block k)/d(pixels), its product from the first block's input, and d(scores)/d(pixels), whole matrices in float64."""
    double = copy.deepcopy(network.module()).double()
    x = network.normalised(image).double()
    scale = 1 / torch.tensor(STD, dtype=torch.float64)[:, None, None]
    names = list(forward.parts_of(double, network.blocks).values())

    def outputs(inside: Tensor) -> tuple[Tensor, ...]:
        caught = []
        hooks = [
            double.get_submodule(name).register_forward_hook(lambda _, __, out: caught.append(out.flatten() + 0))
            for name in names
        ]
        scores = double((inside * scale)[None]).flatten()
        for hook in hooks:
            hook.remove()
        return (*caught, scores)

    torch.backends.mha.set_fastpath_enabled(False)
    try:
        found = torch.autograd.functional.jacobian(outputs, x / scale)
    finally:
        torch.backends.mha.set_fastpath_enabled(True)
    by_depth = [matrix.reshape(len(matrix), -1) for matrix in found]
    return by_depth[:-1], by_depth[-1]


def products(network: Network, image) -> list[Tensor]:
    """J_k ⋯ J_1 as whole matrices, from the states of the blocks."""
    x = network.normalised(image)
    states = forward.block_states(network.module(), network.blocks, x, [block.block for block in network.blocks])
    found, whole = [], torch.eye(network.blocks[0].n_in, dtype=torch.float64)
    for _, state in sorted(states.items()):
        whole = operator.apply(state, chain.BLOCK, whole)
        found.append(whole.T)
    return found


def norm(matrix: Tensor) -> float:
    return float(torch.linalg.matrix_norm(matrix, 2))


@pytest.mark.parametrize("unit", [InSequence, OptionA, PreActivated, PreActivatedBottleneck])
def test_it_is_what_dense_products_give(unit):
    network, image = made(lambda: Net(unit)), pixels()
    found = sc.growth(network, image)
    by_depth, scores = dense(network, image)
    np.testing.assert_allclose(found.growth, [norm(matrix) for matrix in by_depth], rtol=1e-5)
    from_first = products(network, image)
    np.testing.assert_allclose(found.growth_from_first, [norm(matrix) for matrix in from_first], rtol=1e-5)
    values = torch.linalg.svdvals(by_depth[-1]).numpy()
    np.testing.assert_allclose(found.singular_values, values[:10], rtol=1e-5, atol=1e-9)
    np.testing.assert_allclose(found.logit_values, torch.linalg.svdvals(scores).numpy(), rtol=1e-10)
    assert found.to_logits == pytest.approx(norm(scores))
    assert found.model_error < 1e-12
    assert found.agreement.max() < 1e-3
    for at in (0, 1, 9):  # each direction is stretched by its singular value
        direction = torch.from_numpy(found.input_directions[at]).double().flatten()
        assert float((by_depth[-1] @ direction).norm()) == pytest.approx(values[at], rel=1e-5)
        assert float(direction.norm()) == pytest.approx(1, rel=1e-6)
    exponents = np.log(torch.linalg.svdvals(from_first[-1]).numpy()[:10]) / 3
    np.testing.assert_allclose(found.lyapunov[-1], exponents, atol=1e-4)
    assert found.exponent_error < 1e-10


def test_random_directions_grow_by_the_frobenius_norm_in_the_mean():
    """E ‖J v‖² = ‖J‖²_F for v of N(0, 1) entries."""
    network, image = made(Net), pixels()
    found = sc.growth(network, image)
    by_depth, _ = dense(network, image)
    expected = [float(matrix.norm()) / math.sqrt(matrix.shape[1]) for matrix in by_depth]
    np.testing.assert_allclose(found.random_growth, expected, rtol=0.15)
    assert (found.random_growth < found.growth).all()
    assert (found.random_growth_from_first < found.growth_from_first).all()


@pytest.mark.parametrize("between", [Sharpened, lambda: nn.Sequential(nn.Conv2d(8, 8, 1))])
def test_what_stands_between_two_blocks_belongs_to_the_product(between):
    network, image = made(lambda: Net(between=between())), pixels()
    found = sc.growth(network, image)
    by_depth, scores = dense(network, image)
    np.testing.assert_allclose(found.growth, [norm(matrix) for matrix in by_depth], rtol=1e-5)
    assert found.to_logits == pytest.approx(norm(scores))


def test_a_transformer_s_blocks_are_maps_of_the_same_chain():
    vit = torchvision("models.vision_transformer").VisionTransformer
    network = made(lambda: vit(8, 4, num_layers=2, num_heads=2, hidden_dim=8, mlp_dim=16, num_classes=10))
    with torch.no_grad():
        network.module().heads[0].weight.normal_(
            0, 0.5, generator=torch.Generator().manual_seed(0)
        )  # torchvision begins with 0
    found = sc.growth(network, pixels())
    by_depth, scores = dense(network, pixels())
    np.testing.assert_allclose(found.growth, [norm(matrix) for matrix in by_depth], rtol=1e-5)
    np.testing.assert_allclose(found.logit_values, torch.linalg.svdvals(scores).numpy(), rtol=1e-9, atol=1e-12)


def test_many_scores_are_a_krylov_space_of_their_own(monkeypatch):
    monkeypatch.setattr(compute, "MOST_ROWS", 2)
    network, image = made(lambda: Net(scores=12)), pixels()
    found = sc.growth(network, image)
    values = torch.linalg.svdvals(dense(network, image)[1]).numpy()
    np.testing.assert_allclose(found.logit_values, values[:10], rtol=1e-4, atol=1e-5 * values[0])


def test_without_a_head_there_are_no_logits():
    network = made(lambda: Net(scores=0))
    found = sc.growth(network, pixels())
    assert not network.classes
    assert math.isnan(found.to_logits)
    assert found.predicted is None
    assert found.correct is None
    np.testing.assert_allclose(found.growth[-1], norm(dense(network, pixels())[0][-1]), rtol=1e-5)


def test_blocks_that_do_not_follow_each_other_are_refused():
    with pytest.raises(sc.CannotCompute, match="whose blocks follow each other"):
        sc.growth(made(LongSkip), pixels())


def test_matrices_are_refused():
    with pytest.raises(sc.CannotCompute, match="matrices in place of one"):
        sc.growth(sc.matrix(np.eye(3)))


def test_a_dead_network_lets_nothing_pass():
    network = made(Net)
    with torch.no_grad():
        network.module().conv1.bias.fill_(-1e3)
    found = sc.growth(network, pixels())
    assert not found.growth.any()
    assert not found.singular_values.any()
    assert not found.logit_values.any()
    assert np.isfinite(found.residuals).all()
    assert found.growth_from_first.any()  # nothing reaches the first block, but the blocks themselves pass something


def test_both_starts_and_a_much_stricter_end_agree_on_an_untrained_network():
    """Its singular values lie close together, where Krylov spaces are slowest."""
    device.use_one_thread()
    network = sc.network("resnet18-untrained")
    with torch.no_grad():
        linear = chain.of(network, sc.image(3))
        problems = [krylov.Problem(3, True, 1), krylov.Problem(3, True, 2, settled=(1e-10, 1e-5))]
        krylov.solve(linear, problems, silent)
    first, strict = (float(problem.values[0]) ** 0.5 for problem in problems)
    assert first == pytest.approx(strict, rel=2e-5)


def test_two_starts_that_disagree_go_on_until_they_agree(monkeypatch):
    monkeypatch.setattr(krylov, "ROUGH", (math.inf, math.inf))  # the second start ends after two steps
    found = sc.growth(made(Net), pixels())
    assert found.agreement.max() < 1e-4
    monkeypatch.setattr(krylov, "reconcile", lambda *_: None)
    alone = compute.compute(found.request, again=True)
    assert alone.agreement.max() > 1e-3
    np.testing.assert_allclose(found.growth, alone.growth, rtol=1e-5)


def test_what_does_not_fit_into_memory_is_refused(monkeypatch):
    monkeypatch.setattr(device, "available_memory", lambda *_: 10_000)
    with pytest.raises(sc.CannotCompute, match="Not enough memory: the growth through Net"):
        sc.growth(made(Net), pixels())


def test_what_float32_does_not_hold_is_said():
    network = made(Net)
    with torch.no_grad():
        network.module().conv1.weight.mul_(1e30)
    with pytest.raises(sc.CannotCompute, match="float32 does not hold"):
        sc.growth(network, pixels())


def test_the_real_network_agrees_with_jvp_and_vjp_of_the_module():
    network, image = sc.network("resnet18"), sc.image(7)
    found = compute.compute(GrowthRequest(network, image))
    double = copy.deepcopy(network.module()).double()
    scale = 1 / torch.tensor(network.preprocessing.standard_deviation, dtype=torch.float64)[:, None, None]
    x = network.normalised(image).double() / scale

    def last(inside: Tensor) -> Tensor:
        y = double.maxpool(double.bn1(double.conv1((inside * scale)[None])).relu())
        return double.layer4(double.layer3(double.layer2(double.layer1(y))))[0]

    v = torch.from_numpy(found.input_directions[0]).double()
    _, pushed = torch.func.jvp(last, (x,), (v,))
    assert float(pushed.norm()) == pytest.approx(found.singular_values[0], rel=1e-6)
    assert found.growth[-1] == found.singular_values[0]
    _, pullback = torch.func.vjp(last, x)
    (back,) = pullback(pushed)
    np.testing.assert_allclose(
        back.numpy(), found.singular_values[0] ** 2 * v.numpy(), atol=1e-3 * found.singular_values[0] ** 2 / 55
    )
    assert found.residuals.max() < 5e-3
    assert found.singular_agreement.max() < 1e-4
    assert (found.predicted, found.correct) == (network.predicted[7], network.predicted[7] == image.label)
    assert found.loss == pytest.approx(network.loss[7], rel=1e-3)
    assert requests.stored(found.request).growth.tolist() == found.growth.tolist()  # and it is kept


@pytest.mark.parametrize("scores", [3, 0])
def test_weights_that_are_not_finite_are_named(scores):
    net = Net(scores=scores).eval()
    with torch.no_grad():
        net.layer2[0].get_parameter(next(name for name, _ in net.layer2[0].named_parameters()))[:] = math.nan
    network = sc.network(net, image_size=SIDE)
    with pytest.raises(sc.CannotCompute, match="Expected finite weights, got NaN or infinity"):
        sc.growth(network, np.zeros((SIDE, SIDE, 3), np.uint8))


def test_a_growth_of_zero_has_no_sign():
    net = Net().eval()
    with torch.no_grad():
        net.conv1.weight[:] = 0
    found = sc.growth(sc.network(net, image_size=SIDE), np.zeros((SIDE, SIDE, 3), np.uint8))
    for values in (found.growth, found.singular_values, found.logit_values):
        assert (values == 0).all()
        assert not np.signbit(values).any()
