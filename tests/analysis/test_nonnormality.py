"""Non-normality against known matrices and against the dense Jacobian of small blocks."""

import dataclasses

import numpy as np
import pytest
import torch
from scipy.linalg import expm

import stiffcore as sc
from stiffcore.analysis import compute as analysis, nonnormality
from stiffcore.conventions import Convention
from stiffcore.errors import CannotCompute
from stiffcore.jacobians import deflation, maps, reference
from stiffcore.progress import silent
from stiffcore.spectra import schur_form
from stiffcore.spectra.schur_form import Triangle, of_matrix
from tests.made_up.asked import asked
from tests.made_up.blocks import make, small_blocks

IDENTITY = [block for block in small_blocks() if block.geometry.is_identity and block.geometry.n_out <= 200]
POINTS = (0.3 + 0.2j, -0.7 + 0.01j, 1.4 + 0.0j, 0.9 + 1.1j)


def grcar(n: int) -> np.ndarray:
    """Grcar's matrix: -1 below the diagonal, 1 on it and on three above; its pseudospectra extend far."""
    return np.diag(-np.ones(n - 1), -1) + sum(np.diag(np.ones(n - k), k) for k in range(4))


def dense(block, convention) -> np.ndarray:
    return reference.dense_jacobian(block.state, convention).reshape(block.geometry.n_out, -1).numpy()


def smallest(matrix: np.ndarray, z: complex) -> float:
    return np.linalg.svd(z * np.eye(len(matrix)) - matrix, compute_uv=False)[-1]


def test_a_normal_matrix_has_no_departure_and_round_pseudospectra():
    rotation, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(12, 12)))
    pairs = np.kron(np.diag([1.0, 2, 3]), [[0.1, 1], [-1, 0.1]])
    matrix = rotation @ np.block([[pairs, np.zeros((6, 6))], [np.zeros((6, 6)), np.diag(np.arange(6.0))]]) @ rotation.T
    triangle = of_matrix(matrix)
    assert triangle.departure < 1e-13
    values = np.linalg.eigvals(matrix)
    for z in POINTS:
        assert 1 / schur_form.resolvent_norm(triangle, z) == pytest.approx(np.abs(z - values).min(), rel=1e-3)


def test_a_jordan_block_departs_by_its_ones_and_its_resolvent_is_a_power():
    triangle = of_matrix(np.diag(np.ones(7), 1))
    assert triangle.departure == pytest.approx(np.sqrt(7))
    norms = [schur_form.resolvent_norm(triangle, z) for z in (1e-2, 1e-3)]
    assert norms[1] / norms[0] == pytest.approx(1e8, rel=0.05), "|z|⁻⁸, an eigenvalue of multiplicity 8"


@pytest.mark.parametrize(
    "matrix",
    [np.eye(100, k=1), np.triu(np.random.default_rng(3).standard_normal((40, 40)), 1) * 2 - 0.5 * np.eye(40)],
    ids=["Jordan", "random"],
)
@pytest.mark.filterwarnings("error")
def test_a_resolvent_beyond_float64_is_infinite_without_a_warning(matrix):
    state = sc.linearise(sc.matrix(matrix), image=0, block=1)
    found = nonnormality.of_state(state, Convention.BRANCH, silent)
    logs = found["log_resolvent"]
    assert not np.isnan(logs).any()
    assert logs[np.isfinite(logs)].max() < 155
    assert np.isinf(logs).any()


def test_a_matrix_whose_resolvent_is_nowhere_finite_is_refused():
    state = sc.linearise(sc.matrix(1e4 * np.eye(100, k=1)), image=0, block=1)
    with pytest.raises(CannotCompute, match="scale the matrix"):
        nonnormality.of_state(state, Convention.BRANCH, silent)


@pytest.mark.parametrize("radius", [0.04, 0.06, 0.2, 0.6])
def test_the_resolvent_of_a_long_jordan_block_is_a_geometric_sum(radius):
    """‖(zI − J)⁻¹‖ lies between |z|⁻¹⁰⁰, its corner entry, and the sum of its diagonals' norms."""
    norm = schur_form.resolvent_norm(of_matrix(np.eye(100, k=1)), complex(radius))
    diagonals = radius ** -np.arange(1.0, 101)
    assert diagonals[-1] <= norm * (1 + 1e-3)
    assert norm <= diagonals.sum() * (1 + 1e-9)


@pytest.mark.parametrize("z", POINTS)
def test_grcars_matrix_against_all_singular_values(z):
    matrix = grcar(60)
    triangle = of_matrix(matrix)
    norm = np.linalg.norm(matrix)
    assert triangle.departure == pytest.approx(
        np.sqrt(norm**2 - (np.abs(triangle.upper.diagonal()) ** 2).sum()), rel=1e-9
    )
    assert 1 / schur_form.resolvent_norm(triangle, z) == pytest.approx(smallest(matrix, z), rel=2e-2)


def test_couplings_to_structural_eigenvalues_count():
    """[[2, 3], [0, 0]] as a triangle of one row and a coupling to 0."""
    triangle = Triangle(np.array([[2.0 + 0j]]), ((0.0, np.array([[3.0 + 0j]])),))
    assert triangle.departure == 3
    whole = np.array([[2.0, 3], [0, 0]])
    for z in POINTS:
        assert 1 / schur_form.resolvent_norm(triangle, z) == pytest.approx(smallest(whole, z), rel=1e-3)
    assert schur_form.resolvent_norm(triangle, 0j) == schur_form.resolvent_norm(triangle, 2 + 0j) == np.inf


@pytest.mark.parametrize("convention", [Convention.BRANCH, Convention.BLOCK])
@pytest.mark.parametrize("block", IDENTITY, ids=repr)
def test_the_triangle_of_a_block_is_its_dense_jacobian(block, convention):
    matrix, triangle = dense(block, convention), schur_form.triangular_form(block.state, convention)
    size = np.linalg.norm(matrix)
    found = np.hypot(np.sqrt(schur_form.sum_of_squares(block.state, convention, triangle)), triangle.departure)
    assert found == pytest.approx(size, rel=1e-10, abs=1e-12)
    for z in POINTS:
        expected = smallest(matrix, z)
        assert 1 / schur_form.resolvent_norm(triangle, z) == pytest.approx(expected, rel=1e-2, abs=1e-12)


@pytest.mark.parametrize("convention", [Convention.BRANCH, Convention.BLOCK])
@pytest.mark.parametrize("block", IDENTITY[:4], ids=repr)
def test_numerical_abscissa_and_norm_are_the_dense_ones(block, convention):
    matrix = dense(block, convention)
    abscissa, norm = nonnormality.outermost(block.state, convention)
    assert abscissa == pytest.approx(np.linalg.eigvalsh((matrix + matrix.T) / 2)[-1], rel=1e-8)
    assert norm == pytest.approx(np.linalg.norm(matrix, 2), rel=1e-8)
    assert abscissa >= np.linalg.eigvals(matrix).real.max() - 1e-10


def test_the_grid_holds_every_eigenvalue_and_can_be_cancelled():
    values = np.append(np.random.default_rng(0).normal(size=500) * 0.01, [-0.9, 0.2 + 0.3j, 0.2 - 0.3j])
    x, y = nonnormality.grid(values)
    assert x[0] < -1
    assert x[-1] > 0.3
    assert y[0] == 0
    assert y[-1] > 0.35
    assert (np.diff(x) > 0).all()
    assert (np.diff(y) > 0).all()
    assert ((x > -0.03) & (x < 0.03)).sum() > nonnormality.COLUMNS / 2, "more closely where the eigenvalues are"
    seen = []

    def stop(done, total, what):
        seen.append((done, total))
        if done == 3:
            raise CannotCompute("stopped")

    with pytest.raises(CannotCompute):
        nonnormality.log_resolvent_norms(of_matrix(grcar(8)), x, y, stop)
    assert seen[-1] == (3, len(x) * len(y))


def test_what_has_no_matrix_or_too_large_a_core_is_refused():
    with pytest.raises(CannotCompute, match="choose block or branch"):
        nonnormality.check(Convention.SLICES, 10)
    with pytest.raises(CannotCompute, match="1,500 at most"):
        nonnormality.check(Convention.BRANCH, 6419)


def test_everything_of_a_state_is_finite_and_right(monkeypatch):
    monkeypatch.setattr(nonnormality, "COLUMNS", 4)
    monkeypatch.setattr(nonnormality, "ROWS", 3)
    block = IDENTITY[0]
    made = nonnormality.of_state(block.state, Convention.BRANCH, lambda *stage: None)
    matrix = dense(block, Convention.BRANCH)
    assert made["frobenius"] == pytest.approx(np.linalg.norm(matrix))
    row, column = len(made["y"]) // 2, len(made["x"]) // 3
    z = complex(made["x"][column], made["y"][row])
    assert made["log_resolvent"].shape == (len(made["y"]), len(made["x"]))
    assert made["log_resolvent"][row, column] == pytest.approx(-np.log10(smallest(matrix, z)), abs=5e-3)
    assert torch.get_default_dtype() == torch.float32, "nothing global was changed"


def _no_branch(module, x):
    """A zero-initialised residual: F = 0."""
    with torch.no_grad():
        module.bn2.weight.zero_()
        module.bn2.bias.zero_()


def _dead(module, x):
    with torch.no_grad():
        module.bn2.bias.sub_(1e3)


@pytest.mark.parametrize(
    ("change", "convention", "expected"),
    [
        (_no_branch, Convention.BRANCH, 0.0),
        (_dead, Convention.BLOCK, 0.0),
        (_no_branch, Convention.BLOCK, 1.0),  # J = D_out, a projection
    ],
)
def test_a_jacobian_of_zeros_and_a_projection_have_sensible_answers(monkeypatch, change, convention, expected):
    monkeypatch.setattr(nonnormality, "COLUMNS", 5)
    monkeypatch.setattr(nonnormality, "ROWS", 4)
    block = make("zero", "basic", 3, 3, 4, change=change)
    matrix = dense(block, convention)
    assert np.abs(matrix).max() == expected
    made = nonnormality.of_state(block.state, convention, lambda *stage: None)
    assert made["numerical_abscissa"] == pytest.approx(expected)
    assert made["norm"] == pytest.approx(expected)
    assert made["frobenius"] == pytest.approx(np.linalg.norm(matrix))
    assert made["departure"] == 0
    distance = np.abs(made["x"][None, :] + 1j * made["y"][:, None])
    if expected:
        distance = np.minimum(distance, np.abs(made["x"][None, :] - 1 + 1j * made["y"][:, None]))
    away = distance > 1e-6
    assert np.isinf(made["log_resolvent"][distance == 0]).all()
    np.testing.assert_allclose(made["log_resolvent"][away], -np.log10(distance[away]), atol=1e-3)


def test_a_skew_matrix_has_the_abscissa_zero():
    rotation = np.array([[0.0, 2.0], [-2.0, 0.0]])
    state = analysis.block_state(asked(sc.matrix(np.kron(np.eye(3), rotation)), sc.image(0), 1, "branch"))
    assert nonnormality.outermost(state, Convention.BRANCH) == pytest.approx((0.0, 2.0))
    alone = analysis.block_state(asked(sc.matrix(np.array([[-3.0]])), sc.image(0), 1, "branch"))
    assert nonnormality.outermost(alone, Convention.BRANCH) == pytest.approx((-3.0, 3.0))


@pytest.mark.parametrize("convention", [Convention.BRANCH, Convention.BLOCK])
@pytest.mark.parametrize("name", ["bottleneck-a<b", "bottleneck-a>b", "pre-activation-bottleneck-identity"])
def test_what_structure_makes_zero_is_exact_in_the_triangle(name, convention):
    """Their cores are smaller than the narrowest layer: the other eigenvalues are those of K = 0, and not rounding."""
    block = next(block for block in small_blocks() if block.name == name)
    triangle = schur_form.triangular_form(block.state, convention)
    values = triangle.upper.diagonal() - float(convention.has_skip)
    side = deflation.plan(block.state, convention).side
    assert int((values != 0).sum()) == side
    assert np.abs(values[values != 0]).min() > 1e-9
    core = np.linalg.eigvals(deflation.form_core(block.state, convention).matrix.numpy())
    assert reference.spectral_distance(values[values != 0], core) < 1e-9


def measured(matrix: np.ndarray) -> nonnormality.NonNormality:
    """The non-normality of a matrix, as the page computes it."""
    state = maps.of_matrix(torch.from_numpy(matrix), 1)
    numbers = nonnormality.of_state(state, Convention.BRANCH, silent)
    return nonnormality.NonNormality(asked("resnet18", 0, 8, "branch", "spectrum"), **numbers, seconds=0.0, weights="")


def test_kreiss_constant_of_a_normal_matrix_is_1_and_of_a_planted_one_is_below_its_transient_growth():
    normal = measured(np.diag([-3.0, -1.0, -0.5, 0.25]))
    assert nonnormality.kreiss_constant(normal, 0.25) == pytest.approx(1, rel=1e-3)
    matrix = np.array(
        [[-1.0, 50.0], [0.0, -2.0]]
    )  # hand-worked: exp(tJ)[0, 1] = 50 (e^-t - e^-2t), at most 12.5 at t = log 2
    found = measured(matrix)
    peak = max(np.linalg.norm(expm(t * (matrix + np.eye(2))), 2) for t in np.linspace(0, 20, 401))
    bound = nonnormality.kreiss_constant(found, -1.0)
    assert 5 < bound <= peak * (1 + 1e-3)
    z = found.x[found.x > -1]
    brute = max((x + 1) / smallest(matrix, complex(x, y)) for x in z for y in found.y)
    assert bound == pytest.approx(max(1, brute), rel=1e-2)


def test_growth_within_a_blocks_time_is_the_dense_one_and_is_stored():
    matrix = np.array([[-1.0, 50.0], [0.0, -2.0]])
    found = measured(matrix)
    dense_norms = [np.linalg.norm(expm(t * matrix), 2) for t in nonnormality.TIMES]
    np.testing.assert_allclose(found.growth, dense_norms, rtol=1e-9)
    assert max(dense_norms) == pytest.approx(12.5, rel=0.02)
    assert np.all(found.growth <= np.exp(np.array(nonnormality.TIMES) * found.numerical_abscissa) + 1e-12)
    entry = nonnormality.as_entry(found)
    np.testing.assert_array_equal(entry.arrays["growth"], found.growth)
    before = nonnormality.as_entry(dataclasses.replace(found, growth=None))
    assert set(before.arrays) == {"x", "y", "log_resolvent"}, "results that were stored before have none"
