"""Spectra, extremes and proofs against planted answers, identities and the dense reference."""

import numpy as np
import pytest
import torch

from stiffcore import device
from stiffcore.conventions import Convention
from stiffcore.errors import CannotCompute
from stiffcore.images import cifar10
from stiffcore.jacobians import deflation, forward, reference
from stiffcore.networks import catalogue, resnets
from stiffcore.spectra import arnoldi, certificate, full as full_spectra, lyapunov
from tests.made_up.blocks import make, small_blocks

BLOCKS = small_blocks()
IDENTITY = [block for block in BLOCKS if block.geometry.is_identity]


@pytest.fixture(scope="module")
def states():
    """ResNet18's identity blocks at the first bundled image."""
    image = cifar10.normalised(cifar10.image(cifar10.bundled()[0])[None])[0]
    return forward.block_states(resnets.load("resnet18"), catalogue.blocks("resnet18"), image, [2, 4, 6, 8])


def _non_normal(values: np.ndarray, seed: int, strength: float = 0.3) -> torch.Tensor:
    """A real matrix with these eigenvalues (conjugate pairs as 2×2 blocks) behind a random non-normal similarity."""
    generator = np.random.default_rng(seed)
    side, matrix, at = len(values), np.zeros((len(values),) * 2), 0
    while at < side:
        if values[at].imag:
            x, y = values[at].real, values[at].imag
            matrix[at : at + 2, at : at + 2] = [[x, y], [-y, x]]
            at += 2
        else:
            matrix[at, at] = values[at].real
            at += 1
    similarity = np.eye(side) + strength * generator.standard_normal((side, side)) / np.sqrt(side)
    return torch.from_numpy(similarity @ matrix @ np.linalg.inv(similarity))


def _planted(convention=Convention.BRANCH, zeros=5, ones=0):
    pairs = np.array([0.5 + 2j, 0.5 - 2j, -1.5 + 0.25j, -1.5 - 0.25j])
    values = np.concatenate([pairs, np.array([-0.75, -0.125, 0.875, 3.0], complex)])
    shift = int(convention == "block")
    plan = deflation.Plan(("inner1",), len(values), len(values) + zeros + ones, zeros, ones, shift)
    return values, deflation.Core(plan, _non_normal(values - shift, seed=1))


@pytest.mark.parametrize("convention", [Convention.BLOCK, Convention.BRANCH])
def test_planted_spectrum_is_found(monkeypatch, convention):
    values, core = _planted(convention, ones=2 * (convention == "block"))
    monkeypatch.setattr(deflation, "plan", lambda *_: core.plan)
    found = full_spectra.full_spectrum(None, convention, core=core)
    assert reference.spectral_distance(found.eigenvalues, values) < 1e-10
    complete = found.complete()
    assert len(complete) == core.plan.n
    assert int((complete == 0).sum()) == core.plan.zeros
    assert found.health["trace_error"] < 1e-12
    assert found.health["trace_square_error"] < 1e-12
    assert found.health["conjugate_error"] < 1e-12
    assert found.health["residual"] < 1e-12


def test_residuals_tell_eigenvalues_that_are_none(monkeypatch):
    _, core = _planted()
    solver = torch.linalg.eigvals
    monkeypatch.setattr(deflation, "plan", lambda *_: core.plan)
    norm = float(core.matrix.norm())
    monkeypatch.setattr(torch.linalg, "eigvals", lambda matrix: solver(matrix) * (1 + 1e-3))
    assert full_spectra.full_spectrum(None, Convention.BRANCH, core=core).health["residual"] == pytest.approx(
        3e-3 / norm, rel=1e-6
    )


@pytest.mark.parametrize("convention", [Convention.BLOCK, Convention.BRANCH])
@pytest.mark.parametrize("block", IDENTITY, ids=repr)
def test_extremes_are_the_dense_ones(block, convention):
    expected = reference.eigenvalues(
        reference.dense_jacobian(block.state, convention).reshape(block.geometry.n_out, block.geometry.n_in)
    )
    found = full_spectra.extremes(block.state, convention)
    # 1e-6: a defective 0 or 1 of the dense reference may be its own extreme.
    assert found.max_re == pytest.approx(expected.real.max(), abs=1e-6)
    assert found.min_re == pytest.approx(expected.real.min(), abs=1e-6)
    assert found.spectral_radius == pytest.approx(np.abs(expected).max(), abs=1e-6)


@pytest.mark.parametrize("convention", [Convention.BLOCK, Convention.BRANCH])
def test_arnoldi_agrees_with_the_full_spectrum_on_real_blocks(states, monkeypatch, convention, full):
    number = 6 if full else 8
    monkeypatch.setattr(full_spectra, "FULL_BELOW", 0)
    whole = full_spectra.full_spectrum(states[number], convention).complete()
    found = full_spectra.extremes(states[number], convention)
    assert found.max_re == pytest.approx(whole.real.max(), rel=1e-9)
    assert found.min_re == pytest.approx(whole.real.min(), rel=1e-9, abs=1e-12)
    assert found.spectral_radius == pytest.approx(np.abs(whole).max(), rel=1e-9)
    assert found.health["residual"] < 1e-9
    assert found.health["seed_disagreement"] < 1e-9


@pytest.fixture(scope="module")
def dense_branch(states):
    """The Jacobian of F alone of block 8, (2048, 2048), by the slow method, once."""
    return reference.dense_jacobian(states[8], Convention.BRANCH).reshape(2048, 2048)


@pytest.mark.parametrize("convention", [Convention.BLOCK, Convention.BRANCH])
def test_real_block_8_against_the_dense_jacobian(states, dense_branch, convention):
    dense = dense_branch
    if convention == "block":  # as the reference adds the skip and masks the rows
        dense = (dense_branch + torch.eye(2048, dtype=torch.float64)) * states[8].outer_mask.reshape(-1, 1)
    expected = reference.eigenvalues(dense)
    found = full_spectra.full_spectrum(states[8], convention)
    complete = found.complete()
    away = np.abs(expected) > 1e-3  # from the cluster at 0, whose size is structural
    nearest = np.abs(expected[away][:, None] - complete[None, :]).min(1)
    assert nearest.max() < 1e-8
    assert abs(complete.sum() - float(dense.trace())) < 1e-9
    assert abs((complete**2).sum() - float((dense * dense.T).sum())) < 1e-9
    assert (np.abs(complete) ** 2).sum() <= float(dense.norm()) ** 2 * (1 + 1e-12)  # Schur's inequality
    negative = int((expected.real < -1e-6).sum())
    assert negative <= int((found.eigenvalues.real < 0).sum()) <= negative + int((np.abs(expected.real) <= 1e-6).sum())


def test_matching_distance_pairs_every_eigenvalue_once():
    a = np.array([0, 0, 1, 2 + 1j, 2 - 1j])
    assert full_spectra.matching_distance(a, a[::-1]) == 0
    assert full_spectra.matching_distance(a, a + 0.01) == pytest.approx(0.01)
    # Nearest neighbours alone would pair both zeros with the one zero and call it 0.
    assert full_spectra.matching_distance(np.array([0, 0, 5.0 + 0j]), np.array([0, 5.0, 5.0 + 0j])) == pytest.approx(5)


def test_grcars_matrix_raises_the_alarm(monkeypatch):
    """LAPACK's eigenvalues of a strongly non-normal matrix are wrong; those of its transpose reveal it."""
    side = 400
    grcar = sum(torch.diag(torch.ones(side - k, dtype=torch.float64), k) for k in range(4))
    grcar = grcar - torch.diag(torch.ones(side - 1, dtype=torch.float64), -1)
    core = deflation.Core(deflation.Plan(("inner1",), side, side, 0, 0, 0), grcar)
    monkeypatch.setattr(deflation, "plan", lambda *_: core.plan)
    found = full_spectra.full_spectrum(None, Convention.BRANCH, core=core)
    assert found.health["transpose_distance"] > 1e-3
    assert int((np.abs(found.eigenvalues.real) <= found.tolerance).sum()) > 0


def test_nan_is_refused_before_the_solver(monkeypatch):
    _, core = _planted()
    core.matrix[0, 0] = float("nan")
    monkeypatch.setattr(deflation, "plan", lambda *_: core.plan)
    with pytest.raises(CannotCompute, match="NaN"):
        full_spectra.full_spectrum(None, Convention.BRANCH, core=core)


def test_a_core_that_does_not_fit_is_refused_with_sizes(monkeypatch):
    monkeypatch.setattr(device, "available_memory", lambda: 10**9)
    with pytest.raises(CannotCompute, match=r"core of side 20000.*GB.*extremes"):
        full_spectra.check_core_memory(20_000, full_spectra.SPECTRUM_MEMORY)


# Proofs


def test_certificate_holds_on_real_blocks_and_is_true(states):
    for number in (6, 8):
        found, _ = certificate.negative_eigenvalues(states[number])
        assert found.kind == "proved"
        whole = full_spectra.full_spectrum(states[number], Convention.BLOCK)
        assert whole.eigenvalues.real.min() > 0


def _strong(module, x):
    """A branch larger than the skip: the whole block then has eigenvalues with Re λ < 0."""
    norms = [module.bn1, module.bn2, *([module.bn3] if hasattr(module, "bn3") else [])]
    with torch.no_grad():
        for norm, alive in zip(norms, (1e2, 1e4, 1e6)):  # every ReLU passes everything
            norm.bias.add_(alive)
        norms[-1].weight.mul_(20)


STRONG = [
    make("basic-strong", "basic", 4, 4, 6, change=_strong),
    make("bottleneck-strong", "bottleneck", 8, 8, 6, change=_strong),
]


@pytest.mark.parametrize("block", STRONG, ids=repr)
def test_what_is_negative_is_never_proved_not_to_be(block):
    dense = reference.dense_jacobian(block.state, Convention.BLOCK).reshape(block.geometry.n_out, block.geometry.n_in)
    expected = reference.eigenvalues(dense)
    assert expected.real.min() < -0.5
    certified = certificate.negative_eigenvalues(block.state)[0]
    assert certified.kind == "none" or certified.negative == int((expected.real < -1e-6).sum())
    found = full_spectra.extremes(block.state, Convention.BLOCK)
    assert found.min_re == pytest.approx(expected.real.min(), rel=1e-9)
    negative = int((full_spectra.full_spectrum(block.state, Convention.BLOCK).eigenvalues.real < 0).sum())
    assert negative == int((expected.real < -1e-6).sum())


def test_what_does_not_fit_into_memory_is_not_tried():
    block = next(b for b in IDENTITY if b.name == "basic-identity")
    found, core = certificate.negative_eigenvalues(block.state, room=lambda copies: False)
    assert (found.kind, core) == ("none", None)


def test_a_search_that_cannot_pay_ends_early(monkeypatch):
    """An untrained block, whose symmetric part is negative in hundreds of directions: the proof is given up before Lyapunov's
    equation is solved, after products that together read less than a tenth of what the full spectrum's reduction does."""
    image = cifar10.normalised(cifar10.image(0)[None])[0]
    model = resnets.load("resnet18-untrained")
    state = forward.block_states(model, catalogue.blocks("resnet18-untrained"), image, [8])[8]
    products = []
    quickest = deflation.quickest_product

    def counted(*arguments, **named):
        product = quickest(*arguments, **named)
        return lambda v: products.append(1) or product(v)

    monkeypatch.setattr(deflation, "quickest_product", counted)
    monkeypatch.setattr(lyapunov, "_solution", lambda *_: pytest.fail("the solution was searched for"))
    found, core = certificate.negative_eigenvalues(state)
    assert found.kind == "none"
    side = core.plan.side
    assert (
        len(products) * side**2 < 0.1 * (10 / 3) * side**3
    )  # reduction to Hessenberg form: 10/3 n³ operations, two spectra
    symmetric = core.matrix + core.matrix.T
    symmetric.diagonal().add_(2)
    assert int((torch.linalg.eigvalsh(symmetric) < 0).sum()) > certificate.MORE


def test_a_few_directions_mend_a_real_symmetric_part(states):
    """Block 4's symmetric part is indefinite at this image, yet no eigenvalue is negative: both are checked densely."""
    found, core = certificate.negative_eigenvalues(states[4])
    assert found.kind == "proved"
    assert "V of" in found.how
    assert found.negative == 0
    symmetric = core.matrix + core.matrix.T
    symmetric.diagonal().add_(2 * core.plan.shift)
    assert torch.linalg.eigvalsh(symmetric)[0] < -0.1
    assert full_spectra.extremes(states[4], Convention.BLOCK, core=core).min_re == 0.0  # the structural one
    beyond = arnoldi.outermost(full_spectra._operator(states[4], Convention.BLOCK), core.plan.side, ("left",))
    assert beyond.values["left"].real > 0.1


def _silent(module, x):
    """A branch whose last batch norm is zero, as in the initial state of some networks."""
    with torch.no_grad():
        module.bn2.weight.zero_()


def test_a_silent_branch_is_proved_to_have_nothing_negative():
    block = make("basic-silent", "basic", 4, 4, 6, change=_silent)
    found, core = certificate.negative_eigenvalues(block.state)
    assert found.kind == "proved"
    assert core is None or not core.matrix.any()


def test_the_leftmost_is_not_looked_for_where_nothing_is_negative(states, monkeypatch):
    monkeypatch.setattr(full_spectra, "FULL_BELOW", 0)
    asked = []
    outermost = arnoldi.outermost
    monkeypatch.setattr(
        arnoldi, "outermost", lambda p, side, ends, *_, **__: asked.append(ends) or outermost(p, side, ends)
    )
    by_proof = full_spectra.extremes(states[8], Convention.BLOCK, nothing_negative=True)
    assert by_proof.min_re == full_spectra.extremes(states[8], Convention.BLOCK).min_re == 0.0
    assert [("left" in ends) for ends in asked] == [False, True]


@pytest.mark.parametrize("convention", [Convention.BLOCK, Convention.BRANCH])
def test_arnoldi_on_the_convolutions_agrees_with_arnoldi_on_the_core(states, monkeypatch, convention):
    monkeypatch.setattr(full_spectra, "FULL_BELOW", 0)
    by_core = full_spectra.extremes(states[8], convention)
    monkeypatch.setattr(full_spectra, "_operator", _by_convolutions)
    by_convolutions = full_spectra.extremes(states[8], convention)
    for name in ("max_re", "min_re", "spectral_radius"):
        assert getattr(by_convolutions, name) == pytest.approx(getattr(by_core, name), rel=1e-9)


def _by_convolutions(state, convention, core=None):
    return deflation.core_product(state, convention)
