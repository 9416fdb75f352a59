"""A block's own ODE against planted linear flows and against the block itself."""

import numpy as np
import pytest
import torch
from scipy.linalg import expm

from stiffcore.errors import Cancelled, CannotCompute
from stiffcore.images import cifar10
from stiffcore.jacobians import recognise
from stiffcore.networks import catalogue, registry as networks
from stiffcore.networks.geometry import BlockGeometry
from stiffcore.odes import block_flow, block_flow_integration, one_step
from stiffcore.storage import cache as result_cache
from stiffcore.storage.shipped import ShippedResults
from stiffcore.torchvision_compat import torchvision
from tests.made_up.asked import asked_flow


def planted(n=6, seed=0):
    draw = np.random.default_rng(seed)
    return draw.normal(size=(n, n)) / np.sqrt(n), draw.normal(size=n)


def test_distances_from_a_linear_flow_are_those_of_the_matrix_exponential():
    matrix, start = planted()
    distance, of_travel, growth, converged_to, n_evaluations = block_flow_integration.follow(
        lambda x: matrix @ x, start
    )
    exact = expm(matrix) @ start
    for found, step in zip(distance, block_flow.STEPS):
        n = round(1 / step)
        ours = np.linalg.matrix_power(np.eye(len(start)) + matrix / n, n) @ start
        assert found == pytest.approx(np.linalg.norm(ours - exact) / np.linalg.norm(exact), rel=1e-4)
    ratio = np.linalg.norm(exact) / np.linalg.norm(exact - start)
    np.testing.assert_allclose(of_travel / distance, ratio, rtol=1e-6)
    assert growth == pytest.approx(np.linalg.norm(exact) / np.linalg.norm(start), rel=1e-6)
    assert converged_to < 1e-5
    assert n_evaluations > 10


def test_distance_shrinks_with_order_one():
    matrix, start = planted(seed=1)
    distance = block_flow_integration.follow(lambda x: np.maximum(matrix @ x, 0) - x, start)[0]
    np.testing.assert_allclose(one_step.observed_orders(distance)[-3:], 1, atol=0.1)


@pytest.mark.parametrize("kind", ["BasicBlock", "Bottleneck"])
def test_one_step_and_the_outer_relu_are_the_block(kind):
    torch.manual_seed(0)
    resnet = torchvision("models.resnet")
    block = getattr(resnet, kind)(16, 16 if kind == "BasicBlock" else 4).double().eval()
    for module in block.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
            torch.nn.init.normal_(module.weight)
            torch.nn.init.normal_(module.bias)
    x = torch.randn(16, 5, 5, dtype=torch.float64)
    found = recognise.structure(block, BlockGeometry(1, "", 1, tuple(x.shape), (), tuple(x.shape)))
    slope = block_flow_integration.right_hand_side(found)
    with torch.no_grad():
        torch.testing.assert_close((x + slope(x)).relu(), block(x[None])[0], rtol=1e-12, atol=1e-12)


def test_last_stage_blocks_are_the_identity_blocks_of_the_last_stage():
    assert block_flow.last_stage_blocks(networks.find("resnet18")) == [8]
    assert block_flow.last_stage_blocks(networks.find("resnet34")) == [15, 16]
    assert block_flow.last_stage_blocks(networks.find("resnet50-shuffled")) == [15, 16]


def test_a_real_block_is_followed_kept_and_found_again(tmp_path, monkeypatch):
    monkeypatch.setenv("STIFFCORE_CACHE", str(tmp_path))
    monkeypatch.setattr(block_flow, "stored", lambda request: None)
    request = asked_flow("resnet18", cifar10.bundled()[0], 8)
    stages = []
    flow = block_flow_integration.compute(request, lambda done, total, what: stages.append((done, total)))
    assert 0 < flow.distance[-1] < flow.distance[0] < 1
    np.testing.assert_allclose(flow.observed_orders[-2:], 1, atol=0.05)
    assert flow.converged_to < 0.05 * flow.distance[-1]
    assert stages[-1] == (8, 9)
    monkeypatch.undo()
    monkeypatch.setenv("STIFFCORE_CACHE", str(tmp_path))
    monkeypatch.setattr(result_cache, "shipped", lambda: ShippedResults(tmp_path))  # nothing
    back = block_flow.stored(request)
    np.testing.assert_array_equal(back.distance, flow.distance)
    assert (back.growth, back.n_evaluations, back.weights) == (flow.growth, flow.n_evaluations, flow.weights)


def test_following_stops_where_progress_says_so():
    def stop(done, total, what):
        raise Cancelled(what)

    with pytest.raises(Cancelled, match="Exact flow"):
        block_flow_integration.follow(lambda x: -x, np.ones(3), stop)


def test_a_flow_beyond_the_budget_is_refused(monkeypatch):
    monkeypatch.setattr(block_flow_integration, "MOST_EVALUATIONS", 50)
    with pytest.raises(CannotCompute, match=r"^The flow needs more than 50 evaluations of F: choose"):
        block_flow_integration.follow(lambda x: 1e4 * np.sin(x), np.arange(4.0))


@pytest.mark.parametrize(
    ("block", "why"), [(7, "Expected an identity block"), (1, "Expected a block of at most 8,192")]
)
def test_blocks_without_a_flow_are_refused(block, why):
    with pytest.raises(CannotCompute, match=why):
        block_flow.check(asked_flow("resnet18", 0, block))


def test_a_block_that_is_not_there_is_refused():
    with pytest.raises(CannotCompute, match="Expected a block of resnet18 from 1 to 8, got 99"):
        block_flow.check(asked_flow("resnet18", 0, 99))
    assert catalogue.block("resnet18", 8).is_identity
