"""The small ResNet and the ODE-Net of the paper's Figure 2: seeded, better than a line, and converging with depth."""

import itertools

import numpy as np
import pytest
import torch

from stiffcore.errors import Cancelled, CannotCompute
from stiffcore.odes import ode_net, ode_net_fit
from stiffcore.storage import cache as result_cache

SMALL = ode_net.Settings(seed=0, points=12, depth=4, width=6, iterations=80)


@pytest.fixture(scope="module")
def fit():
    return ode_net_fit.fit(SMALL)


def test_data_are_random_seeded_and_standardised():
    first, again, other = (ode_net.random_data(seed, 100) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert (np.diff(first[0]) > 0).all()
    assert abs(first[0]).max() <= 1
    assert first[1].std() == pytest.approx(1, abs=0.1)


def test_loss_of_the_line_is_the_least_squares_residual():
    x = np.linspace(-1, 1, 9)
    assert ode_net.line_loss(np.stack([x, 3 * x - 1])) == pytest.approx(0, abs=1e-28)
    assert ode_net.line_loss(np.stack([x, x**2])) == pytest.approx(np.var(x**2), rel=1e-12)


def test_fit_is_deterministic(fit):
    again = ode_net_fit.fit(SMALL)
    for name in ("resnet_losses", "ode_losses", "resnet_curve", "ode_curve", "refined_distance"):
        np.testing.assert_array_equal(getattr(fit, name), getattr(again, name))


def test_both_fits_are_better_than_a_line(fit):
    assert fit.resnet_losses[-1] < 0.5 * fit.line_loss
    assert fit.ode_losses[-1] < 0.5 * fit.line_loss


def test_shapes_and_parameters(fit):
    assert len(fit.resnet_losses) == len(fit.ode_losses) == SMALL.iterations + 1
    assert fit.resnet_paths.shape == (SMALL.depth + 1, SMALL.points)
    assert fit.ode_paths.shape == (ode_net.DENSE, SMALL.points)
    assert fit.resnet_eigenvalues.shape == fit.ode_eigenvalues.shape == (SMALL.depth, SMALL.points, SMALL.width)
    assert (fit.ode_calls >= 0).all()
    assert fit.ode_calls.max() <= ode_net.DURATION + 1e-9
    per_block = (SMALL.width + 1) * SMALL.width + SMALL.width + SMALL.width**2 + SMALL.width
    assert fit.parameters == (SMALL.depth * per_block + SMALL.width + 1, per_block + SMALL.width + 1)


def test_paths_end_at_the_predictions(fit):
    """At the ends of the data the curve equals the read-out of the last state."""
    np.testing.assert_allclose(fit.resnet_paths[-1, [0, -1]], fit.resnet_curve[[0, -1]], atol=1e-12)
    np.testing.assert_allclose(fit.ode_paths[-1, [0, -1]], fit.ode_curve[[0, -1]], atol=1e-3)


def test_a_deeper_resnet_that_shares_f_approaches_the_ode_net_with_order_one(fit):
    assert fit.refined_distance[-1] < 0.02 * fit.refined_distance[0]
    np.testing.assert_allclose(fit.observed_orders[-3:], 1, atol=0.15)
    assert fit.refined_losses[-1] == pytest.approx(fit.ode_losses[-1], rel=0.1)


def test_jacobian_is_the_derivative_of_the_right_hand_side():
    block = ode_net_fit.RightHandSide(5, torch.Generator().manual_seed(0))
    x = torch.randn(3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    for position in range(3):
        by_autograd = torch.autograd.functional.jacobian(lambda one: block(0.3, one[None])[0], x[position])
        torch.testing.assert_close(block.jacobian(0.3, x)[position], by_autograd, rtol=1e-12, atol=1e-14)


def test_a_resnet_is_forward_euler():
    network = ode_net_fit.ResNet(3, 4, 0)
    x = torch.tensor([0.1, -0.5], dtype=torch.float64)
    state = network.start(x)
    for position, block in enumerate(network.blocks):
        state = state + block(position / 3, state) / 3
    torch.testing.assert_close(network.states(x)[-1], state)


def test_progress_counts_both_fits_and_can_stop_them():
    seen = []

    def progress(done, total, what):
        seen.append((done, total, what))
        if done > SMALL.iterations:
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        ode_net_fit.fit(SMALL, progress)
    assert seen[0] == (0, 2 * SMALL.iterations, "Fitting the ResNet")
    assert seen[-1][2] == "Fitting the ODE-Net"
    assert all(later[0] >= earlier[0] for earlier, later in itertools.pairwise(seen))


def test_a_fit_is_kept_and_comes_back_whole(fit, tmp_path, monkeypatch):
    monkeypatch.setenv("STIFFCORE_CACHE", str(tmp_path))
    assert ode_net.stored(SMALL) is None
    entry = ode_net.as_entry(fit)
    assert result_cache.default().put(ode_net.key(SMALL), entry.header, entry.arrays) is None
    back = ode_net_fit.compute(SMALL, progress=lambda *_: pytest.fail("computed again"))
    assert back.settings == SMALL
    assert back.parameters == fit.parameters
    assert back.line_loss == fit.line_loss
    np.testing.assert_array_equal(back.resnet_eigenvalues, fit.resnet_eigenvalues)


@pytest.mark.parametrize(
    "bad",
    [{"points": 3}, {"depth": 0}, {"depth": 2.5}, {"width": 1000}, {"seed": -1}, {"iterations": 10**9}, {"seed": True}],
)
def test_settings_out_of_range_are_refused_with_a_sentence(bad):
    with pytest.raises(CannotCompute, match=r"^Expected \w+ from \d+ to [\d,]+, got .*: choose one in between\.$"):
        ode_net.Settings(**bad)
