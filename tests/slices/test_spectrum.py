"""The ``slices`` convention against LAPACK on the naive slices, against planted spectra, and against published values."""

import itertools
from dataclasses import replace

import numba
import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment

from stiffcore.analysis import compute as analysis
from stiffcore.conventions import Convention
from stiffcore.errors import Cancelled, CannotCompute
from stiffcore.images import cifar10
from stiffcore.images.image import Image
from stiffcore.jacobians import reference
from stiffcore.jacobians.forward import block_states
from stiffcore.jacobians.layers import ScaledConvolution
from stiffcore.jacobians.linearise import BlockState
from stiffcore.networks import catalogue, resnets
from stiffcore.slices import kernels as slice_kernels, scan as slice_scan, spectrum as slice_spectra
from stiffcore.slices.patches import CHUNK_BYTES, PatchFormer, positions
from tests.made_up.asked import asked
from tests.made_up.blocks import make, small_blocks

SMALL = small_blocks()
NOWHERE = np.array([np.inf, -np.inf, np.inf, np.inf, -np.inf])  # limits that nothing exceeds


def assert_agree(found: slice_spectra.SliceSpectrum, spectrum: np.ndarray) -> None:
    """Counts as intervals, extremes to rounding."""
    expected = reference.metrics(spectrum)
    assert found.n_eigenvalues == expected["n_eigenvalues"]
    assert found.n_zero + found.n_negative + found.n_positive + found.n_undetermined == found.n_eigenvalues
    for name in ("n_negative", "n_positive"):
        assert 0 <= expected[name] - getattr(found, name) <= found.n_undetermined
    for name in ("max_re", "min_re", "spectral_radius"):
        assert getattr(found, name) == pytest.approx(expected[name], abs=1e-13)
    assert found.health["n_sample_disagreements"] == 0
    assert max(found.health[name] for name in ("trace_error", "trace_square_error", "conjugate_error")) < 1e-13


def structural_zeros(jacobian: np.ndarray) -> np.ndarray:
    """Of each slice: as many indices as no set of disjoint cycles through entries that are not zero can cover."""
    found = []
    for matrix in jacobian.reshape(-1, *jacobian.shape[-2:]) != 0:
        rows, columns = linear_sum_assignment(
            matrix + 0.0 - np.where(matrix | np.eye(len(matrix), dtype=bool), 0, 1e3), True
        )
        found.append(len(matrix) - int(matrix[rows, columns].sum()))
    return np.array(found)


def naive_spectrum(jacobian: torch.Tensor) -> np.ndarray:
    """The naive slices' eigenvalues; those that structure makes zero are 0, since LAPACK's scatter around it."""
    naive = reference.naive_slices(jacobian).reshape(-1, jacobian.shape[-1])
    naive[np.abs(naive).argsort(1).argsort(1) < structural_zeros(jacobian.numpy())[:, None]] = 0
    return naive.reshape(-1)


@pytest.mark.parametrize("small", SMALL, ids=repr)
def test_counts_and_extremes_are_those_of_the_naive_slices(small):
    jacobian = reference.jacobian_of_module(small.module, small.x, Convention.SLICES, chunk_size=64)
    found = slice_spectra.slice_spectrum(small.state, "counts")
    assert_agree(found, naive_spectrum(jacobian))
    assert found.n_zero == structural_zeros(jacobian.numpy()).sum()
    assert found.n_eigenvalues == small.geometry.n_eigenvalues(Convention.SLICES)


@pytest.mark.parametrize("small", SMALL, ids=repr)
def test_extremes_alone_are_the_same_and_count_nothing(small):
    counted, found = (
        slice_spectra.slice_spectrum(small.state, "counts"),
        slice_spectra.slice_spectrum(small.state, "extremes"),
    )
    assert (found.n_negative, found.n_positive, found.n_undetermined, found.density) == (None,) * 4
    for name in ("n_zero", "max_re", "min_re", "spectral_radius", "max_re_without_skip", "min_re_without_skip"):
        # In another order the same matrix may go to LAPACK or to a closed form.
        assert getattr(found, name) == pytest.approx(getattr(counted, name), abs=1e-13)


@pytest.mark.parametrize("small", SMALL, ids=repr)
def test_density_places_every_eigenvalue(small):
    found = slice_spectra.slice_spectrum(small.state, "spectrum")
    naive = naive_spectrum(reference.dense_jacobian(small.state, Convention.SLICES))
    assert found.density.dtype == np.int64
    assert found.density.shape == (len(found.im_edges) - 1, len(found.re_edges) - 1)
    assert found.density.sum() == found.n_eigenvalues
    assert 0.0 in found.re_edges
    left = found.density[:, : int(np.searchsorted(found.re_edges, 0.0))].sum()
    assert 0 <= left - found.n_negative <= found.n_undetermined
    assert found.re_edges[0] < naive.real.min()
    assert naive.real.max() < found.re_edges[-1]
    np.testing.assert_allclose(found.im_edges, -found.im_edges[::-1], rtol=1e-12)
    # A value on an edge, 0 included, may fall on the other side with another rounding.
    histogram, _, _ = np.histogram2d(naive.imag, naive.real, [found.im_edges, found.re_edges])
    assert np.abs(histogram - found.density).sum() <= 2 * (found.n_undetermined + 4)


@pytest.mark.parametrize(
    "small", [s for s in SMALL if s.name in ("basic-identity", "bottleneck-downsampling")], ids=repr
)
def test_full_spectrum_gives_the_ratio(small):
    found = slice_spectra.slice_spectrum(small.state, "spectrum")
    expected = reference.metrics(reference.naive_slices(reference.dense_jacobian(small.state, Convention.SLICES)))
    assert found.stiffness_ratio == pytest.approx(expected["stiffness_ratio"], rel=1e-10)


@pytest.mark.parametrize("small", SMALL, ids=repr)
def test_patches_hold_all_that_can_carry_an_eigenvalue(small):
    jacobian, former = reference.dense_jacobian(small.state, Convention.SLICES), PatchFormer(small.state)
    for position in positions(small.state):
        inside = slice(position.first, position.first + position.size)
        at = jacobian[:, position.y, position.x]
        for outputs in former.chunks(position):
            values = former.form(position, outputs).values
            torch.testing.assert_close(
                values.permute(0, 3, 1, 2), at[outputs][:, :, inside, inside], rtol=0, atol=1e-14
            )
        outside = torch.ones(at.shape[-1], dtype=torch.bool)
        outside[inside] = False
        rows, columns = (at != 0).any(3).any(1).any(0), (at != 0).any(2).any(1).any(0)
        assert not (rows & columns & outside).any()


def matrices_with(spectra: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Real matrices (M, n, n) with the planted real spectra (M, n), behind a random non-normal similarity."""
    n = spectra.shape[1]
    basis = np.eye(n) + 0.4 * generator.normal(size=(len(spectra), n, n))
    return basis @ (np.eye(n) * spectra[:, None, :]) @ np.linalg.inv(basis)


def with_pairs(matrices: np.ndarray, real: float, imaginary: float) -> np.ndarray:
    """Appends a 2×2 block with eigenvalues real ± i·imaginary, hidden by a random rotation."""
    count, n = len(matrices), matrices.shape[1]
    made = np.zeros((count, n + 2, n + 2))
    made[:, :n, :n] = matrices
    made[:, n:, n:] = [[real, imaginary], [-imaginary, real]]
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=made.shape)).Q
    return rotation @ made @ rotation.mT


def tallied(matrices: np.ndarray) -> np.ndarray:
    """(negative, positive, undetermined, not structurally zero) of matrices (M, n, n), in lanes of 50."""
    values = torch.from_numpy(np.ascontiguousarray(matrices.reshape(-1, 50, *matrices.shape[1:]).transpose(0, 2, 3, 1)))
    return slice_scan.scan(values, np.full(len(values), -1), True, NOWHERE).counts


@pytest.mark.parametrize("n", range(1, 10))
def test_planted_signs_are_counted(n):
    """Above LARGEST_ROUTH, LAPACK counts."""
    generator = np.random.default_rng(n)
    spectra = generator.uniform(0.05, 1, (500, n)) * generator.choice([-1, 1], (500, n))
    negative, positive = (spectra < 0).sum(), (spectra > 0).sum()
    assert tuple(tallied(matrices_with(spectra, generator))) == (negative, positive, 0, 500 * n)


@pytest.mark.parametrize("n", range(1, 6))
@pytest.mark.parametrize("sign", [-1, 1])
def test_planted_pairs_close_to_the_axis_are_counted_where_double_precision_can_tell(n, sign):
    generator = np.random.default_rng(n)
    rest = matrices_with(generator.uniform(0.2, 1, (200, n)), generator)
    assert tuple(tallied(with_pairs(rest, sign * 1e-9, 0.5))) == (
        400 * (sign < 0),
        200 * n + 400 * (sign > 0),
        0,
        200 * (n + 2),
    )


@pytest.mark.parametrize("n", range(1, 6))
def test_planted_pairs_on_the_axis_are_undetermined(n):
    generator = np.random.default_rng(n)
    rest = matrices_with(-generator.uniform(0.2, 1, (200, n)), generator)
    assert tuple(tallied(with_pairs(rest, 0.0, 0.5))) == (200 * n, 0, 400, 200 * (n + 2))


@pytest.mark.parametrize("n", range(2, 8))
def test_planted_singular_matrices_without_a_zero_entry_are_undetermined(n):
    generator = np.random.default_rng(n)
    spectra = generator.uniform(0.2, 1, (200, n))
    spectra[:, 0] = 0
    assert tuple(tallied(matrices_with(spectra, generator))) == (0, 200 * (n - 1), 200, 200 * n)


@pytest.mark.parametrize("n", range(2, 8))
def test_graded_matrices_are_counted_as_by_lapack(n, full):
    """Rows and columns of unequal size, as at the border of a receptive field: hard for characteristic polynomials."""
    generator = np.random.default_rng(n)
    matrices = generator.normal(size=(200_000 if full else 10_000, n, n))
    grades = 10.0 ** generator.uniform(-3, 0, (len(matrices), n))
    matrices = matrices * grades[:, :, None] * grades[:, generator.permutation(n)][:, None, :]
    negative, positive, undetermined, _ = tallied(matrices)
    real = torch.linalg.eigvals(torch.from_numpy(matrices)).real
    assert 0 <= int((real < 0).sum()) - negative <= undetermined
    assert 0 <= int((real > 0).sum()) - positive <= undetermined
    assert undetermined < 1e-3 * real.numel()


def test_zeros_come_from_structure_and_not_from_numerics():
    """A nilpotent matrix and a repeated index, behind permutations: LAPACK's zeros scatter, so ours must not come from LAPACK."""
    generator = np.random.default_rng(0)
    nilpotent = np.triu(generator.normal(size=(100, 5, 5)), 1)
    nilpotent[:, 2, 2] = -0.3  # one eigenvalue that is not zero
    shuffled = np.stack([matrix[np.ix_(p, p)] for matrix in nilpotent for p in [generator.permutation(5)]])
    assert tuple(tallied(shuffled)) == (100, 0, 0, 100)
    assert tuple(tallied(np.zeros((50, 4, 4)))) == (0, 0, 0, 0)


def overlap_share(state: BlockState) -> float:
    """50 · the mean size of R(y) ∩ R(x) over all outputs, a dead one counting as 0, divided by H: geometry alone."""
    live = state.outer_mask.sum(0)
    sizes = sum(int(live[position.y, position.x]) * position.size for position in positions(state))
    return 50 * sizes / state.geometry.n_out / state.geometry.input_shape[1]


@pytest.mark.parametrize("kind", ["basic", "bottleneck"])
@pytest.mark.parametrize(("side", "stride"), [(8, 1), (2, 1), (8, 2)])
def test_expected_percentage_is_geometry_where_every_inner_pixel_lives(kind, side, stride):
    def alive(module, x):
        for name, shift in (("bn1", 1e2), ("bn2", 1e4 if kind == "bottleneck" else 0.0)):
            getattr(module, name).bias.add_(shift)

    small = make("inner units live", kind, 8, 8 if stride == 1 else 16, side, stride, change=alive)
    found = slice_spectra.slice_spectrum(small.state)
    assert found.expected_percent_negative == pytest.approx(overlap_share(small.state), rel=1e-12)
    if (kind, side) == ("basic", 2):
        assert found.expected_percent_negative == pytest.approx(50 * float(small.state.outer_mask.double().mean()))


def test_expected_percentage_counts_dead_inner_pixels():
    """A white image at ResNet50's last block: its second inner layer is dead at one of four pixels, and nearly at another."""
    white = Image.of(np.full((32, 32, 3), 255, np.uint8))
    state = analysis.block_state(asked("resnet50", white, 16, "slices"))
    assert [int(mask.sum()) for mask in state.inner_masks[1].flatten(1).T] == [0, 213, 3, 314]
    assert overlap_share(state) == pytest.approx(20.75, abs=0.01)
    assert slice_spectra.slice_spectrum(state, "extremes").expected_percent_negative == pytest.approx(11.25, abs=0.01)


def test_expected_percentage_without_live_outputs_is_zero():
    small = make("dead outputs", "basic", 3, 3, 4, change=lambda module, x: module.bn2.bias.sub_(1e3))
    assert slice_spectra.slice_spectrum(small.state).expected_percent_negative == 0


def test_expected_percentage_holds_for_random_weights():
    small = make("all alive", "basic", 12, 12, 8, change=lambda module, x: module.bn2.bias.add_(1e3))
    found = slice_spectra.slice_spectrum(small.state)
    percent = 100 * found.n_negative / found.n_eigenvalues
    assert percent == pytest.approx(found.expected_percent_negative, rel=0.03)


@pytest.mark.parametrize("small", [s for s in SMALL if s.state.live_outputs][::3], ids=repr)
def test_extremes_without_the_slices_that_carry_the_skip(small):
    jacobian = reference.dense_jacobian(small.state, Convention.SLICES)
    if small.geometry.is_identity:
        for channel in range(jacobian.shape[0]):
            jacobian[channel, :, :, channel] = 0
    real = reference.naive_slices(jacobian).real
    found = slice_spectra.slice_spectrum(small.state, "extremes")
    assert found.max_re_without_skip == pytest.approx(real.max(), abs=1e-13)
    assert found.min_re_without_skip == pytest.approx(real.min(), abs=1e-13)


@pytest.fixture(scope="module")
def states():
    image = cifar10.normalised(cifar10.image(0)[None])[0]
    return block_states(resnets.load("resnet18"), catalogue.blocks("resnet18"), image, (2, 3, 4, 6, 8))


def sampled(state: BlockState, outputs: int) -> BlockState:
    """The state with only some of its live outputs, chosen at random."""
    live = state.outer_mask.flatten().nonzero()[:, 0]
    chosen = live[torch.randperm(len(live), generator=torch.Generator().manual_seed(0))[:outputs]]
    mask = torch.zeros_like(state.outer_mask)
    mask.view(-1)[chosen] = True
    return replace(state, outer_mask=mask)


def jacobian_of_live_rows(state: BlockState) -> torch.Tensor:
    """(live outputs, C, H, W), by the adjoint of each linear map on unit vectors."""
    live = state.outer_mask.flatten().nonzero()[:, 0]
    rows = torch.zeros(len(live), state.geometry.n_out, dtype=torch.float64)
    rows[torch.arange(len(live)), live] = 1
    rows = unit = rows.reshape(-1, *state.geometry.output_shape)
    for convolution, mask in zip(reversed(state.layers), reversed(state.masks), strict=True):
        rows = convolution.transpose(rows, tuple(mask.shape)) * mask
    return rows + state.transpose_skip(unit)


@pytest.mark.parametrize("block", [2, 3, 4, 6])
def test_sampled_outputs_of_real_blocks_agree_with_lapack(states, block, full):
    channels = catalogue.block("resnet18", block).input_shape[0]
    state = sampled(states[block], (50_000 if full else 5_000) // channels)
    jacobian = jacobian_of_live_rows(state)
    spectrum = torch.linalg.eigvals(jacobian).reshape(-1).numpy()
    zeros = np.zeros(state.geometry.n_eigenvalues(Convention.SLICES) - spectrum.size, np.complex128)
    found = slice_spectra.slice_spectrum(state)
    assert_agree(found, np.concatenate([spectrum, zeros]))
    assert found.n_undetermined == 0


def dense(convolution: ScaledConvolution, side: int) -> torch.Tensor:
    """A 3×3 convolution that keeps the side as a matrix, entry by entry; shape: (C_out · side², C_in · side²)."""
    weight = convolution.weight
    matrix = torch.zeros(weight.shape[0], side, side, weight.shape[1], side, side, dtype=torch.float64)
    for y, x, i, j in itertools.product(range(side), repeat=4):
        if abs(i - y) <= 1 and abs(j - x) <= 1:
            matrix[:, y, x, :, i, j] = weight[:, :, i - y + 1, j - x + 1]
    return matrix.reshape(weight.shape[0] * side**2, -1)


def test_real_block_8_agrees_with_lapack_on_all_of_its_slices(states):
    state, found = states[8], slice_spectra.slice_spectrum(states[8])
    first, second = (dense(convolution, 2) for convolution in state.convolutions)
    jacobian = second @ (state.inner_masks[0].flatten()[:, None] * first) + torch.eye(2048, dtype=torch.float64)
    jacobian = jacobian[state.outer_mask.flatten()].reshape(-1, *state.geometry.input_shape)
    spectrum = torch.linalg.eigvals(jacobian).reshape(-1).numpy()
    zeros = np.zeros(found.n_eigenvalues - spectrum.size, np.complex128)
    assert_agree(found, np.concatenate([spectrum, zeros]))
    assert found.n_undetermined == 0
    assert found.n_eigenvalues == 2_097_152  # Table 10
    # The skip's slices hold the extremes: without them the extremes are far smaller.
    assert found.max_re > 0.5
    assert found.max_re_without_skip < 0.2


@pytest.mark.parametrize("level", slice_spectra.LEVELS)
def test_two_threads_find_what_one_finds(level):
    small = SMALL[0]
    one, two = (slice_spectra.slice_spectrum(small.state, level, threads=threads) for threads in (1, 2))
    assert (one.n_zero, one.n_negative, one.n_undetermined) == (two.n_zero, two.n_negative, two.n_undetermined)
    assert (one.max_re, one.min_re) == pytest.approx((two.max_re, two.min_re), abs=1e-14)
    if level == "spectrum":
        np.testing.assert_array_equal(one.density, two.density)


@pytest.mark.parametrize("threads", [1, 2])
def test_progress_is_reported_and_cancels(threads):
    small, seen = SMALL[0], []
    slice_spectra.slice_spectrum(small.state, "spectrum", lambda *said: seen.append(said), threads)
    assert [done for done, _, _ in seen] == list(range(1, len(seen) + 1))
    assert {total for _, total, _ in seen} == {len(seen)}

    def cancel(done: int, total: int, what: str) -> None:
        seen.append(done)
        raise Cancelled("enough")

    seen.clear()
    with pytest.raises(Cancelled):
        slice_spectra.slice_spectrum(small.state, "counts", cancel, threads)
    assert seen == [1]


def test_parts_stay_small(states):
    former = PatchFormer(states[2])
    for position in positions(states[2]):
        for outputs in former.chunks(position):
            assert former.form(position, outputs).values.numel() * 8 <= CHUNK_BYTES


def test_refusals():
    small = SMALL[0]
    with pytest.raises(ValueError, match="Expected a level among"):
        slice_spectra.slice_spectrum(small.state, "everything")
    first = small.state.convolutions[0]
    broken = replace(first, weight=torch.full_like(first.weight, torch.nan))
    with pytest.raises(CannotCompute, match="weights of block 1 contain NaN"):
        slice_spectra.slice_spectrum(replace(small.state, layers=(broken, *small.state.layers[1:])))
    oblong = replace(small.geometry, input_shape=(3, 8, 7))
    with pytest.raises(ValueError, match="square slices"):
        slice_spectra.slice_spectrum(replace(small.state, geometry=oblong))


def test_kernels_compile_where_no_folder_can_be_written(monkeypatch):
    real = numba.njit

    def njit(*arguments, cache=False, **options):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return real(*arguments, **options)

    monkeypatch.setattr(numba, "njit", njit)
    assert slice_kernels.compiled(lambda x: x + 1)(1) == 2


def test_full_disk_does_not_stop_the_kernels(caplog):
    def save(*arguments):
        raise OSError(28, "No space left on device")

    slice_kernels._best_effort(save)("signature", "code")
    assert "could not be cached" in caplog.text
