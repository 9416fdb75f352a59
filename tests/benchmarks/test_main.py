"""The benchmark: its gate, its arithmetic, its text, and small real runs of each comparison."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from stiffcore import device
from stiffcore.benchmarks import cases, formation, main as benchmark, slices as slice_cases, text as benchmark_text
from stiffcore.benchmarks.timing import Answer, Comparison, Contender, Run, answer_of, run_rounds
from stiffcore.commands import main as command_line, terminal
from stiffcore.conventions import Convention
from stiffcore.errors import CannotCompute
from stiffcore.jacobians import deflation, reference
from stiffcore.networks import catalogue
from stiffcore.spectra import full as full_spectra
from stiffcore.spectra.certificate import Certificate
from tests.made_up import blocks as small_blocks

# The benchmark is about the paper's networks, whose blocks are torchvision's.
TABLE = {block.name: block for block in small_blocks.small_blocks() if block.name.startswith(("basic", "bottleneck"))}
SQUARE = [name for name, block in TABLE.items() if block.geometry.is_identity]


@pytest.fixture(autouse=True)
def one_thread():
    device.use_one_thread()


def case_of(name: str) -> cases.Case:
    block = TABLE[name]
    return cases.Case("resnet18", 8, 0, block.module, block.state)


def fixed(name: str, answer: Answer) -> Contender:
    return Contender(name, lambda _: None, lambda: None, lambda *_: answer)


def compared(slow: Answer, fast: Answer, rounds: int = 2, **more) -> Comparison:
    """Two contenders that return planted answers, run."""
    comparison = Comparison(
        "1", "planted", {"network": "resnet18", "block": 8}, [fixed("slow", slow), fixed("fast", fast)],
        [("slow", ("fast",))], **more,
    )  # fmt: skip
    run_rounds([comparison], rounds, lambda line: None)
    return comparison


RIGHT = Answer({"negative": (3, 3), "positive": (5, 5)}, {"max_re": 1.0, "min_re": -0.5, "spectral_radius": 1.0})
WRONG = {
    "a count": replace(RIGHT, counts={"negative": (4, 4), "positive": (5, 5)}),
    "an interval beside it": replace(RIGHT, counts={"negative": (0, 2), "positive": (5, 5)}),
    "an extreme": replace(RIGHT, extremes=RIGHT.extremes | {"min_re": -0.5 + 3e-6}),
    "an extreme that is NaN": replace(RIGHT, extremes=RIGHT.extremes | {"max_re": float("nan")}),
    "an infinite extreme": replace(RIGHT, extremes=RIGHT.extremes | {"max_re": float("inf")}),
    "no proof": Answer(missing="no proof"),
    "nothing to compare": Answer(),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_no_ratio_where_an_answer_is_wrong(wrong):
    for pair in ((RIGHT, wrong), (wrong, RIGHT)):
        comparison = compared(*pair)
        assert comparison.ratio("slow", ("fast",)) is None
        report = reported([comparison])
        (ratio,) = report["comparisons"][0]["ratios"]
        assert ratio["ratio"] is None
        assert ratio["eigensolver_alone"] is None
        assert ratio["disagreement"]
        assert benchmark.exit_code(report) == 1
        text = benchmark.as_text(report)
        assert "×" not in text
        assert f"no ratio of slow / fast: {'; '.join(ratio['disagreement'])}" in text


@pytest.mark.parametrize(
    "close",
    [RIGHT, replace(RIGHT, counts={"negative": (2, 4)}), replace(RIGHT, extremes={"min_re": -0.5 + 1e-7})],
    ids=["the same", "an interval that holds the count", "the same extreme to 1e-7"],
)
def test_a_ratio_where_answers_agree(close):
    comparison = compared(RIGHT, close)
    assert len(comparison.ratio("slow", ("fast",))) == 2
    report = reported([comparison])
    assert benchmark.exit_code(report) == 0
    assert "×" in benchmark.as_text(report)


def test_one_wrong_round_is_enough():
    comparison = compared(RIGHT, RIGHT, rounds=3)
    comparison.runs["fast"][1] = replace(comparison.runs["fast"][1], answer=WRONG["a count"])
    assert comparison.ratio("slow", ("fast",)) is None
    assert comparison.contradictions("slow", ("fast",)) == ["negative 3 against 4"]


def test_no_ratio_where_masks_differ_or_a_side_did_not_run():
    assert compared(RIGHT, RIGHT, problem="the masks differ").contradictions("slow", ("fast",)) == ["the masks differ"]

    def refuse(_):
        raise CannotCompute("Expected more memory, got less: leave it out.")

    comparison = Comparison("1", "t", {}, [fixed("slow", RIGHT), Contender("fast", refuse)], [("slow", ("fast",))])
    run_rounds([comparison], 2, lambda line: None)
    assert comparison.ratio("slow", ("fast",)) is None
    assert "Expected more memory" in comparison.contradictions("slow", ("fast",))[0]
    assert "fast did not run: Expected more memory" in benchmark.as_text(reported([comparison]))


def reported(comparisons: list[Comparison], memory: tuple = ()) -> dict:
    """As ``benchmark.run`` does after its rounds; through JSON, as a program would read it."""
    report = {
        "environment": {"torch": torch.__version__, "torch_threads": torch.get_num_threads()},
        "comparisons": [benchmark.described(comparison) for comparison in comparisons],
        "totals": benchmark.totals(comparisons),
        "card": {},
        "memory": list(memory),
        "notes": ["a note"],
    }
    return json.loads(json.dumps(terminal.plain(report), allow_nan=False))


def test_rounds_interleave_and_turn_round():
    order = []
    parts = [
        Comparison("1", title, {}, [Contender(name, lambda _, n=title + name: order.append(n)) for name in "ab"], [])
        for title in "XY"
    ]
    parts[1].rounds = 1
    lines = []
    run_rounds(parts, 2, lines.append)
    assert order == ["Xa", "Xb", "Ya", "Yb", "Xb", "Xa"]
    assert lines[0] == "round 1 of 2, X: a ..."


def planted(seconds: dict[str, list[tuple[float | None, float | None]]], pairs, item="3", block=8) -> Comparison:
    """Contenders with planted seconds of formation and eigensolver, all of one mind."""
    comparison = Comparison(
        item, f"planted block {block}", {"network": "resnet18", "block": block}, [fixed(name, RIGHT) for name in seconds], pairs
    )  # fmt: skip
    for name, stages in seconds.items():
        comparison.runs[name] = [
            Run(formation, eigensolver, (formation or 0) + (eigensolver or 0), RIGHT)
            for formation, eigensolver in stages
        ]
    return comparison


def test_medians_spreads_and_ratios_by_hand():
    comparison = planted({"slow": [(6, 4), (16, 4), (26, 4)], "fast": [(1, 1), (1, 1), (2, 2)]}, [("slow", ("fast",))])
    found = benchmark.described(comparison)
    assert found["contenders"][0]["together"] == {"median": 20, "min": 10, "max": 30, "rounds": [10, 20, 30]}
    assert found["ratios"][0]["ratio"]["rounds"] == [5, 10, 7.5]  # of the same round
    assert found["ratios"][0]["ratio"]["median"] == 7.5
    assert found["ratios"][0]["eigensolver_alone"]["rounds"] == [2, 2, 1]
    lines = benchmark_text.comparison_lines(found)
    assert lines[0] == "planted block 8"
    assert lines[2].split() == ["formation", "eigensolver", "together"]
    assert "20 s (10 s … 30 s)" in lines[3]
    assert lines[-1] == "  slow / fast: 7.5× (5× … 10×); its eigensolver alone: 2× (1× … 2×)"


def test_several_fast_contenders_are_added_up():
    both = planted({"slow": [(0, 12)], "a": [(None, 1)], "b": [(None, 2)]}, [("slow", ("a", "b"))])
    assert both.ratio("slow", ("a", "b")) == [4]


def test_totals_over_blocks():
    pair = [("slow", ("fast",))]
    parts = [
        planted({"slow": [(6, 4)], "fast": [(1, 1)]}, pair, block=6),
        planted({"slow": [(5, 5)], "fast": [(1, 2)]}, pair),
    ]
    (total,) = benchmark.totals(parts)
    assert total["title"].endswith("blocks 6, 8 together")
    assert total["ratios"][0]["ratio"]["rounds"] == [4]
    assert total["ratios"][0]["eigensolver_alone"]["median"] == pytest.approx(9 / 5)
    parts[0].problem = "the masks differ"
    (total,) = benchmark.totals(parts)
    assert total["ratios"][0]["ratio"] is None
    assert total["ratios"][0]["disagreement"] == ["planted block 6: the masks differ"]


def test_memory_only_where_both_sides_agree():
    sides = [{"name": "naive", "blocks": [6], "bytes": 2e8}, {"name": "slices", "blocks": [6, 8], "bytes": 1e7}]
    agreed = {"item": "3", "title": "memory", "sides": sides, "share": 0.05, "disagreement": []}
    text = benchmark.as_text(reported([], (agreed,)))
    assert "slices, blocks 6 and 8: 10.0 MB" in text
    assert "ours / naive: 0.05" in text
    refused = agreed | {"share": None, "disagreement": ["negative 3 against 4"]}
    report = reported([], (refused,))
    assert "  no ratio: negative 3 against 4" in benchmark.as_text(report)
    assert benchmark.exit_code(report) == 1


def test_text_names_versions_threads_and_notes():
    lines = benchmark.as_text(reported([compared(RIGHT, RIGHT)])).splitlines()
    assert lines[0].split() == ["torch", torch.__version__]
    assert lines[1].split() == ["torch_threads", "1"]
    assert lines[-1] == "a note"
    assert "1. Full spectrum" in lines


@pytest.mark.parametrize(("zeros", "ones"), [(0, 0), (2, 0), (0, 3), (2, 3)])
def test_structural_values_count_like_computed_ones(zeros, ones):
    values = np.array([-0.5, 1e-9, -1e-9, 0.3 + 0.4j, 0.3 - 0.4j])
    appended = np.concatenate([values, np.zeros(zeros), np.ones(ones)])
    assert answer_of(values, zeros, ones) == answer_of(appended)
    assert answer_of(values, zeros, ones).counts["near_axis"] == (2 + zeros, 2 + zeros)


def test_all_structural():
    assert answer_of(np.zeros(0, complex), zeros=4).extremes == {"max_re": 0, "min_re": 0, "spectral_radius": 0}


@pytest.mark.parametrize("name", SQUARE)
def test_full_spectrum_of_a_small_block(name):
    comparison = cases.full_spectrum(case_of(name))
    run_rounds([comparison], 1, lambda line: None)
    report = reported([comparison])
    assert benchmark.exit_code(report) == 0, report["comparisons"][0]["ratios"]
    (found,) = report["comparisons"]
    assert [contender["name"] for contender in found["contenders"]] == [
        cases.DENSE,
        cases.LIVE,
        cases.OURS,
        cases.CHECKED,
    ]
    for contender in found["contenders"]:
        assert contender["together"]["median"] == pytest.approx(
            contender["formation"]["median"] + contender["eigensolver"]["median"]
        )
    complete = reference.eigenvalues(reference.dense_jacobian(TABLE[name].state, Convention.BLOCK))
    assert found["contenders"][2]["answer"]["extremes"]["max_re"] == pytest.approx(complete.real.max(), abs=1e-6)


def test_a_wrong_core_is_caught(monkeypatch):
    """A core off by a thousandth: the ratio is refused, the exit code says so."""
    form = deflation.form_core

    def wrong(*arguments):
        core = form(*arguments)
        return replace(core, matrix=core.matrix * 1.001)

    monkeypatch.setattr(deflation, "form_core", wrong)
    comparison = cases.full_spectrum(case_of("basic-identity"))
    run_rounds([comparison], 1, lambda line: None)
    assert comparison.ratio(cases.DENSE, (cases.LIVE,)) is not None
    assert comparison.ratio(cases.DENSE, (cases.OURS,)) is None
    assert benchmark.exit_code(reported([comparison])) == 1


def test_masks_that_differ_are_caught():
    case = case_of("basic-identity")
    assert cases.mask_problem(case) == ""
    outer = case.state.outer_mask.clone()
    outer[0, 0, :2] = ~outer[0, 0, :2]
    flipped = replace(case, state=replace(case.state, outer_mask=outer))
    assert cases.mask_problem(flipped) == "the masks of the two sides differ at 2 units"
    assert cases.full_spectrum(flipped).problem


@pytest.mark.parametrize("name", ["basic-identity", "bottleneck-identity", "basic-a<b"])
def test_extremes_and_certificate_of_a_small_block(name):
    comparison = cases.outermost(case_of(name))
    run_rounds([comparison], 1, lambda line: None)
    assert comparison.ratio(cases.OURS, (cases.EXTREMES,)) is not None
    assert comparison.ratio(cases.CHECKED, (cases.COUNTED,)) is not None  # by proof, or by the full spectrum


def test_a_false_proof_is_caught(monkeypatch):
    """Weights ten times as large make eigenvalues negative; a certificate that denies them is contradicted."""
    monkeypatch.setattr(full_spectra, "certified", lambda state, *_: (Certificate("proved", "planted"), None))
    case = case_of("basic-identity")
    first, second = case.state.layers
    larger = replace(case.state, layers=(replace(first, weight=10 * first.weight), second))
    comparison = cases.outermost(replace(case, state=larger))
    run_rounds([comparison], 1, lambda line: None)
    negative = comparison.runs[cases.OURS][0].answer.counts["negative"][0]
    assert negative > 0
    assert comparison.contradictions(cases.OURS, (cases.PROOF,)) == [f"negative {negative} against 0"]
    assert comparison.ratio(cases.OURS, (cases.EXTREMES,)) is not None


def test_formation_beside_its_products():
    case = case_of("basic-all-alive")
    comparison = formation.comparison_of(case)
    run_rounds([comparison], 1, lambda line: None)
    (share,) = formation.product_shares(comparison)
    assert share > 0
    # With everything alive: at each pixel, (live units of its window)² · channels, twice.
    channels, side, _ = case.state.geometry.input_shape
    reach = np.array([min(i + 1, side - 1) - max(i - 1, 0) + 1 for i in range(side)])
    windows = np.outer(reach, reach) * channels
    assert comparison.facts["flops"] == 2 * channels * int((windows**2).sum())
    text = benchmark.as_text(reported([comparison]))
    assert "its matrix products" in text


SLICED = [
    "basic-identity",
    "basic-side-5",
    "basic-side-2",
    "basic-downsampling",
    "bottleneck-identity",
    "bottleneck-downsampling",
]


@pytest.mark.parametrize("name", SLICED)
@pytest.mark.parametrize("sample", [None, 7])
def test_slices_of_a_small_block(name, sample):
    comparison = slice_cases.all_slices(case_of(name), sample=sample)
    run_rounds([comparison], 1, lambda line: None)
    report = reported([comparison])
    assert benchmark.exit_code(report) == 0, report["comparisons"][0]["ratios"]
    names = {contender.name for contender in comparison.contenders}
    assert {slice_cases.NAIVE, slice_cases.PEELED, slice_cases.SLICES, slice_cases.FORMED} <= names
    if sample is None:
        answer = comparison.runs[slice_cases.NAIVE][0].answer
        values = reference.naive_slices(reference.dense_jacobian(TABLE[name].state, Convention.SLICES))
        assert answer.extremes["max_re"] == pytest.approx(values.real.max(), rel=1e-9)
        low, high = answer.counts["negative"]
        assert low <= int((values.real < -1e-12).sum()) <= high


def test_wrong_slices_are_caught(monkeypatch):
    solve = slice_cases.slice_spectra.slice_spectrum

    def wrong(*arguments, **more):
        found = solve(*arguments, **more)
        return replace(found, n_negative=found.n_negative + 1)

    monkeypatch.setattr(slice_cases.slice_spectra, "slice_spectrum", wrong)
    comparison = slice_cases.all_slices(case_of("basic-identity"))
    run_rounds([comparison], 1, lambda line: None)
    assert comparison.ratio(slice_cases.NAIVE, (slice_cases.PEELED,)) is not None
    assert comparison.ratio(slice_cases.NAIVE, (slice_cases.SLICES,)) is None


def test_a_sample_keeps_so_many_live_outputs():
    state = TABLE["basic-identity"].state
    few = slice_cases.sampled(state, 7)
    assert few.live_outputs == 7
    assert bool((state.outer_mask | ~few.outer_mask).all())
    assert slice_cases.sampled(state, 10**6).live_outputs == state.live_outputs


def test_slices_of_planted_matrices():
    """Two with known signs, one on the axis, one zero."""
    matrices = torch.tensor([[[1.0, 0], [0, -2]], [[-1, 0], [0, -3]], [[0, 1], [-1, 0]], [[0, 0], [0, 0]]]).double()
    answer = slice_cases.answer_of_slices([(torch.linalg.eigvals(matrices), matrices)], 20)
    assert answer.counts == {"negative": (3, 5), "positive": (1, 3)}  # the pair ±i is undetermined
    assert answer.extremes == {"max_re": 1, "min_re": -3, "spectral_radius": 3}


def test_peak_is_what_a_part_needs():
    """100 MB that are touched, above what is resident before; the peak restarts."""
    for size in (100, 20, 5, 20):  # MiB; the allocator keeps small ones when they are freed
        before = slice_cases._restarted_peak()
        block = np.ones(size * 2**20, np.uint8)
        needed = slice_cases._peak_resident() - before
        assert needed >= 0.95 * block.nbytes
        del block


def test_what_quick_and_full_consist_of():
    """Quick: ResNet18's blocks 6 and 8. Full: the cores that the targets name; all blocks have eigenvalues."""
    assert benchmark.QUICK["full_spectrum"] == {"resnet18": (6, 8)}
    assert benchmark.FULL["all_slices"] == tuple(range(1, 9))
    for extent in (benchmark.QUICK, benchmark.FULL):
        for part in ("full_spectrum", "outermost"):
            for network, blocks in extent[part].items():
                assert all(catalogue.block(network, block).is_identity for block in blocks)


def test_quick_run_of_the_formation(capsys, monkeypatch):
    """The command itself, on the real block 8, through its cheapest item; the GPU's absence is said."""
    only_8 = {"full_spectrum": {"resnet18": (8,)}, "outermost": {"resnet18": (8,)}, "all_slices": (8,)}
    monkeypatch.setattr(benchmark, "QUICK", benchmark.QUICK | only_8)
    arguments = ("benchmark", "--items", "4,5", "--json")
    code = command_line.main(arguments)
    captured = capsys.readouterr()
    report = json.loads(captured.out)
    assert code == 0
    assert report["environment"]["extent"] == "quick"
    assert report["environment"]["torch_threads"] == 1
    on_cpu = [found for found in report["comparisons"] if found["item"] == "4"]
    assert [found["facts"]["block"] for found in on_cpu] == [8]
    assert all(found["times_of_its_products"]["median"] > 0 for found in on_cpu)
    assert any("no CUDA device" in note for note in report["notes"]) != torch.cuda.is_available()
    assert "round 1 of 1" in captured.err


def test_an_unknown_item_is_refused(capsys):
    assert command_line.main(("benchmark", "--items", "1,7")) == command_line.BAD_INPUT
    assert "Expected items among 1, 2, 3, 4, 5, got '7'" in capsys.readouterr().err


@pytest.mark.parametrize("item", ["1", "4", "5"])
@pytest.mark.parametrize("asked", ["nonsense", "cuda:999"])
def test_a_device_that_is_not_there_is_refused_for_every_item(item, asked, capsys, monkeypatch):
    monkeypatch.setattr(benchmark, "run", lambda *_, **__: pytest.fail("measured"))
    assert command_line.main(("benchmark", "--items", item, "--device", asked)) == command_line.BAD_INPUT
    assert f"{asked!r}" in capsys.readouterr().err


def test_blocks_leave_out_the_items_that_have_their_own(capsys, monkeypatch):
    measured = []

    def run(full, say, items, **_):
        measured.append(items)
        return {}

    monkeypatch.setattr(benchmark, "run", run)
    monkeypatch.setattr(benchmark, "exit_code", lambda report: 0)
    only_8 = ("--blocks", "resnet18:8", "--json")
    assert command_line.main(("benchmark", "--items", "1,3,5", *only_8)) == 0
    said = capsys.readouterr().err
    assert said == "Left out, since --blocks names blocks: item 3, slices; item 5, a card beside the host.\n"
    assert command_line.main(("benchmark", "--items", "1", *only_8)) == 0
    assert capsys.readouterr().err == ""
    assert measured == [["1"], ["1"]]
    assert command_line.main(("benchmark", "--items", "5", *only_8)) == command_line.BAD_INPUT
    assert "got only 5: leave --blocks out" in capsys.readouterr().err
