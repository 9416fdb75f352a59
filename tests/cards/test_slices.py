"""Slices on a card: patches formed by class, the kernels in Triton's interpreter and compiled for cards, and on a card where there is one."""

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from stiffcore.images import cifar10
from stiffcore.jacobians.forward import block_states
from stiffcore.networks import catalogue, resnets
from stiffcore.slices import card as slices_on_card, card_lanes, kernels, spectrum as slice_spectra
from stiffcore.slices.card_patches import BatchFormer
from stiffcore.slices.patches import PatchFormer, positions
from tests.cards.fake_card import fake_card
from tests.made_up.blocks import small_blocks

ROOT = Path(__file__).parents[2]
EXTREMES = ("max_re", "min_re", "spectral_radius", "max_re_without_skip", "min_re_without_skip")
COUNTS = ("n_zero", "n_negative", "n_positive", "n_undetermined")
linux = pytest.mark.skipif(sys.platform != "linux", reason="Triton has wheels for Linux only")


def states_of(network, blocks):
    image = cifar10.normalised(cifar10.image(0)[None])[0]
    return block_states(resnets.load(network), catalogue.blocks(network), image, blocks)


def assert_formed(state, most):
    """Every live output's patches once, as ``PatchFormer`` forms them, with the same zeros, in parts of at most ``most`` bytes."""
    slow, former = PatchFormer(state), BatchFormer(state)
    expected = {
        (position.y, position.x, int(o)): patch
        for position in positions(state)
        for outputs in slow.chunks(position)
        for o, patch in zip(outputs, slow.form(position, outputs).values, strict=True)
    }
    for part in former.parts(most):
        batch = former.form_all(part)
        assert 8 * batch.values.numel() <= most or len(batch.size) == 1
        assert batch.groups[-1].last == len(batch.size)
        for k, (y, x, o) in enumerate(zip(batch.y, batch.x, batch.outputs.tolist(), strict=True)):
            patch, n, begin = expected.pop((y, x, o)), int(batch.size[k]), int(batch.start[k])
            formed = batch.values[begin : begin + n * n * former.channels].view(n, n, -1)
            torch.testing.assert_close(formed, patch, rtol=0, atol=1e-14 * max(1.0, float(patch.abs().max())))
            assert torch.equal(formed == 0, patch == 0)
    assert not expected


@pytest.mark.parametrize("most", [2**30, 3000])
@pytest.mark.parametrize("small", small_blocks(), ids=repr)
def test_patches_by_class_are_those_formed_position_by_position(small, most):
    assert_formed(small.state, most)


@pytest.mark.parametrize(("network", "block"), [("resnet18", 3), ("resnet18", 6), ("resnet50", 4)])
def test_real_patches_by_class_are_those_formed_position_by_position(network, block):
    assert_formed(states_of(network, (block,))[block], 2**30)


@pytest.fixture(scope="module")
def interpreted(pytestconfig):
    slices = 600_000 if pytestconfig.getoption("full") else 36_000  # of each of six blocks, some of which have fewer
    command = [sys.executable, "-W", "ignore", "-m", "tests.cards.interpreted", str(slices)]
    said = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert said.returncode == 0, said.stderr[-2000:]
    return json.loads(said.stdout)


@linux
@pytest.mark.slow
def test_kernels_flag_and_count_adversarial_matrices_as_the_hosts(interpreted):
    """The interpreter contracts nothing, as NumPy: a flag differs only where the host's contraction moves an entry of Routh's array over
    its bound. Of 140,000 matrices none did; a bound stays a bound."""
    differing = total = 0
    for name, lanes in interpreted["lanes"].items():
        ours, theirs = np.array(lanes["tally"])
        assert np.abs(ours - theirs).max() <= kernels.LARGEST_ROUTH * sum(lanes["flags"]), name
        assert lanes["outside"] < 1e-13, name
        differing, total = differing + sum(lanes["flags"]), total + 2_000
    assert differing <= 1e-4 * total
    assert sum(lanes["open"][0] for lanes in interpreted["lanes"].values()) > 0.1 * total  # they are hard


def assert_same(ours, theirs):
    assert [ours[name] for name in COUNTS] == [theirs[name] for name in COUNTS]
    for name in EXTREMES:
        assert ours[name] == pytest.approx(theirs[name], abs=1e-12)
    assert ours["health"]["n_sample_disagreements"] == 0
    assert ours["health"]["n_slices"] == theirs["health"]["n_slices"]


@linux
@pytest.mark.slow
def test_slices_of_every_kind_of_block_are_the_hosts(interpreted):
    for ours, theirs in interpreted["small"].values():
        assert_same(ours, theirs)


@linux
@pytest.mark.slow
def test_real_slices_are_the_hosts_and_few_are_left_to_lapack(interpreted):
    for ours, theirs in interpreted["real"].values():
        assert_same(ours, theirs)
        assert ours["health"]["n_lapack"] < max(0.01 * ours["health"]["n_slices"], 100)
    assert sum(ours["health"]["n_slices"] for ours, _ in interpreted["real"].values()) >= 150_000


def signature(kernel: str, n: int, counting: bool):
    """Types of the arguments in order, and the ones that are known when it is compiled."""
    known = {"n": n, "lanes": 128} | ({"root": math.sqrt(n), "counting": counting} if kernel == "scan" else {})
    pointers = {name: "*fp64" for name in ("values", "high", "low", "size")} | {"tally": "*i64"}
    pointers |= dict.fromkeys(("degrees", "flags", "positives"), "*i8")
    return lambda name: "constexpr" if name in known else pointers.get(name, "i32"), known


@linux
@pytest.mark.slow
@pytest.mark.parametrize("capability", [80, 90])
def test_kernels_compile_for_cards(capability, full, tmp_path, monkeypatch):
    """To machine code, by Triton's own assembler. In float64 throughout: no number is made in single precision."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from stiffcore.slices import card_kernels

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("TRITON_DEFAULT_FP_FUSION", "0")  # ours decide, whatever the default
    sizes = range(1, kernels.LARGEST_ROUTH + 1) if full else (1, 2, 3, 5)  # side 7 takes some 15 s
    cases = [("scan", n, counting) for n in sizes for counting in (False, True)]
    cases += [("scan", kernels.LARGEST_ROUTH, False), ("degree", kernels.LARGEST_ROUTH, True)]
    for kernel, n, counting in cases:
        function = getattr(card_kernels, kernel)
        kind, known = signature(kernel, n, counting)
        source = ASTSource(function, {name: kind(name) for name in function.arg_names}, constexprs=known)
        compiled = triton.compile(source, target=GPUTarget("cuda", capability, 32), options=card_kernels.OPTIONS)
        assert compiled.asm["cubin"]
        assert ".f32" not in compiled.asm["ptx"]
        assert kernel != "scan" or ".f64" in compiled.asm["ptx"]
        assert kernel != "scan" or n == 1 or "fma.rn.f64" in compiled.asm["ptx"]


@linux
def test_every_launch_says_what_the_compiler_may_contract(monkeypatch):
    """As it is compiled above, and not as Triton's default is, which differs between versions."""
    from stiffcore.slices import card_kernels

    class Recorded(dict):
        def __getitem__(self, grid):
            return lambda *_, **options: self.update(options)

    launches = {name: Recorded() for name in ("degree", "scan")}
    for name, recorded in launches.items():
        monkeypatch.setattr(card_kernels, name, recorded)
    lanes = card_lanes.Lanes.empty(1, torch.device("cpu"))
    card_lanes.scan_lanes(torch.ones(9, dtype=torch.float64), 3, 1, 9, 1, True, lanes, sparse=True)
    assert list(launches.values()) == [card_kernels.OPTIONS] * 2
    assert "enable_fp_fusion" in card_kernels.OPTIONS


def test_why_slices_stay_on_the_cpu_is_said(monkeypatch):
    """Whatever is missing, in a sentence; the last one is a launch that fails here, since there is no driver."""
    has_card = torch.cuda.is_available()
    for available, spec, said in ((False, None, "no CUDA device"), (True, None, "pip install triton")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda available=available: available)
        monkeypatch.setattr(card_lanes.importlib.util, "find_spec", lambda name, spec=spec: spec)
        assert said in card_lanes.reason()
    if not has_card:
        monkeypatch.setattr(card_lanes.importlib.util, "find_spec", lambda name: "found")
        assert "cannot compile their kernels here" in card_lanes.reason()


def test_without_kernels_a_state_on_a_card_has_the_hosts_slices():
    state = small_blocks()[0].state
    with fake_card() as card:
        there = slice_spectra.slice_spectrum(state.to(card.device), "spectrum")
    assert vars(there).keys() == vars(slice_spectra.slice_spectrum(state, "spectrum")).keys()
    assert_same(vars(there), vars(slice_spectra.slice_spectrum(state, "spectrum")))


def test_forming_and_scanning_leave_a_card_three_times(monkeypatch):
    """How many rows a position has; the first matrices, with the tally and the sample; and what is left to LAPACK. Kernels are planted:
    closed forms are left open, bounds of the others exceed any limit, and so does Routh's criterion."""

    def planted(values, n, channels, row_stride, apart, counting, lanes, sparse=False):
        bound, flag = (9.0, 0) if n > 2 else (0.0, kernels.COUNT)
        for name in ("high", "size"):
            getattr(lanes, name).fill_(bound)
        lanes.low.fill_(-bound)
        lanes.flags.fill_(flag)

    monkeypatch.setattr(slices_on_card, "scan_lanes", planted)
    monkeypatch.setattr(slices_on_card, "beyond", lambda entries, is_own, limits: torch.ones_like(is_own))
    state = small_blocks()[0].state
    with fake_card() as card:
        there = state.to(card.device)
        card.forget()
        former = BatchFormer(there)
        assert len(former.parts()) == 1
        assert [len(shape) for shape in card.to_host] == [1]
        found = slices_on_card.tallied(former, False, lambda done: None)
        assert len(card.to_host) == 3
        assert card.scalars <= 5
    assert found.extremes[:3] == pytest.approx(
        [getattr(slice_spectra.slice_spectrum(state), name) for name in EXTREMES[:3]], abs=1e-13
    )


@pytest.mark.cuda
@pytest.mark.parametrize(("network", "blocks"), [("resnet18", range(1, 9)), ("resnet50", (1, 4, 16))])
def test_slices_on_a_card_are_the_hosts(network, blocks):
    assert card_lanes.reason() == ""
    for state in states_of(network, tuple(blocks)).values():
        for level in slice_spectra.LEVELS if state.geometry.block == 8 else ("counts", "extremes"):
            ours, theirs = (
                slice_spectra.slice_spectrum(there, level) for there in (state.to(torch.device("cuda")), state)
            )
            assert_same(vars(ours), vars(theirs))
            if level == "spectrum":
                np.testing.assert_array_equal(ours.density, theirs.density)


def by_the_host(matrices):
    """Which of (M, n, n) the host's kernels decide, and how many eigenvalues of those are positive."""
    n, tally = matrices.shape[1], np.zeros(4, np.int64)
    values = np.ascontiguousarray(matrices.transpose(1, 2, 0))[None]
    flags, own = np.zeros((1, len(matrices)), np.int8), np.array([-1])
    everything = np.array([np.inf, -np.inf, np.inf, np.inf, -np.inf])  # no matrix exceeds these
    if n == 1:
        kernels.scan_1(values, own, everything, tally)
    elif n == 2:
        kernels.scan_2(values, own, everything, tally, flags)
    else:
        kernels.scan_lanes(n, values, own, True, False, everything, tally, flags)
    return flags[0] == 0, int(tally[kernels.POSITIVE])


@pytest.mark.cuda
def test_graded_matrices_on_a_card_are_counted_as_on_the_host():
    """Where the compiler contracts products and sums, a few flags may differ; counts with them."""
    generator = np.random.default_rng(0)
    for n in range(1, kernels.LARGEST_ROUTH + 1):
        matrices = generator.normal(size=(20_000, n, n)) * 10.0 ** generator.uniform(-3, 0, (20_000, n, 1))
        values = torch.from_numpy(matrices).cuda()
        lanes = card_lanes.Lanes.empty(len(values), values.device)
        card_lanes.scan_lanes(values.flatten(), n, 1, n * n, 1, True, lanes)
        done, (decided, positive) = (lanes.flags == 0).cpu().numpy(), by_the_host(matrices)
        differing = int((done != decided).sum())
        assert differing <= 20
        assert abs(int(lanes.tally[kernels.POSITIVE]) - positive) <= n * differing
        real = np.linalg.eigvals(matrices[done]).real
        assert abs(int(lanes.tally[kernels.POSITIVE]) - int((real > 0).sum())) <= 2
        assert (lanes.high.cpu().numpy()[done] >= real.max(1) - 1e-12).all()
