"""The command line: results as rows, JSON and files; one line and exit code 2 for what a user can repair."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from stiffcore.analysis import compute as analysis
from stiffcore.analysis.results import Result
from stiffcore.commands import (
    analyse as analyse_command,
    analyse_table,
    doctor as doctor_command,
    main as command_line,
    terminal,
)
from stiffcore.conventions import Convention
from stiffcore.errors import CannotCompute
from stiffcore.images import cifar10
from stiffcore.metrics import definitions
from stiffcore.metrics.facts import Facts
from stiffcore.metrics.missing import NOT_SQUARE, not_computed, not_square
from stiffcore.networks import catalogue, manifest, network
from tests.made_up.asked import asked


def run(capsys, *arguments: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command, in this process."""
    try:
        code = command_line.main(arguments)
    except SystemExit as ended:  # argparse's own
        code = ended.code
    captured = capsys.readouterr()
    return code, captured.out, captured.err


BRANCH8 = ("resnet18", "--convention", "branch", "--blocks", "8")


def singular_block7() -> Result:
    """A planted result of a block that is not square."""
    facts = Facts("branch", 0.25, not_square(2048, 4096), zeros=1300, singular_values=(2.5, 0.025))
    metrics, reasons = definitions.of(facts)
    made = {
        "weights": "a" * 64,
        "predicted": 3,
        "loss": 0.5,
        "seconds": 1.0,
        "device": "cpu",
        "precision": "float64",
        "threads": 1,
    }
    return Result(asked("resnet18", 0, 7, "branch"), metrics, reasons, {}, {}, made)


def test_a_row_per_image_and_block(capsys, monkeypatch):
    """Block 7 downsamples: its eigenvalues are undefined, and the reason is told."""
    compute_many = analysis.compute_many

    def block7_planted(requests, progress, refused, **_):
        yield singular_block7()
        yield from compute_many(requests[1:], progress, refused)

    monkeypatch.setattr(analysis, "compute_many", block7_planted)
    arguments = (
        "analyse",
        "resnet18",
        "--convention",
        "branch",
        "--blocks",
        "7,8",
        "--level",
        "extremes",
        "--images",
        "8",
    )
    code, out, err = run(capsys, *arguments)
    assert code == 0
    title, header, block7, block8 = out.splitlines()
    assert title == "ODE right-hand side (branch); level extremes"
    assert header.split() == [*analyse_table.columns(), *analyse_table.singular()]
    row7, row8 = (
        dict(zip(header.split(), line.replace("not computed", "not_computed").split())) for line in (block7, block8)
    )
    assert (row7["block"], row7["n_in"], row7["n_out"], row7["min_re"]) == ("7", "4096", "2048", "undefined")
    assert (row7["largest_singular_value"], row7["condition_number"]) == ("2.5", "100")
    assert (row8["block"], row8["label"], row8["n_negative"]) == ("8", "cat", "not_computed")
    assert float(row8["min_re"]) < 0 < float(row8["max_re"])
    line7 = next(line for line in err.splitlines() if line.startswith("block 7: "))
    assert line7.endswith("undefined: not square (2048 × 4096)")
    assert "min_re" in line7
    assert "n_zero" not in line7


def planted_branch8(image: int = 8, **more) -> Result:
    """A planted result of block 8, of level counts; more: fields of the result, metrics among them."""
    metrics = singular_block7().metrics | dict.fromkeys(("n_zero", "n_one", "n_undetermined"), 0)
    metrics |= {"n_eigenvalues": 2048, "n_negative": 512, "percent_negative": 25.0, "min_re": -1.25, "max_re": 0.0625}
    metrics |= {
        "stiffness_index": -0.05,
        "stiffness_indicator": 0.51081391,
        "stiffness_ratio": 20.0,
        "largest_stable_step": 1.6,
    } | more.pop("metrics", {})
    metrics = {name: value for name, value in metrics.items() if name not in analyse_table.singular()}
    quantity = more.pop("quantity", "counts")
    request, made = (
        asked("resnet18", image, 8, "branch", quantity),
        singular_block7().made | {"quantity": "counts"},
    )
    return Result(request, metrics, more.pop("reasons", {}), {}, {}, made, **more)


def test_a_terminal_gets_a_table_that_fits(capsys, monkeypatch):
    """Singular values stand in the place of what a block that is not square has not."""
    results = [singular_block7(), planted_branch8(stored=True)]
    monkeypatch.setattr(analysis, "compute_many", lambda *_, **__: iter(results))
    monkeypatch.setattr(terminal, "is_watched", lambda: True)
    arguments = ("analyse", "resnet18", "--convention", "branch", "--blocks", "7,8", "--images", "8")
    code, out, err = run(capsys, *arguments)
    title, meanings, header, block7, block8 = out.splitlines()
    assert code == 0
    assert title == "ODE right-hand side (branch); level counts"
    assert "S stiffness_index" in meanings
    assert "--wide" in meanings
    assert len({len(header), len(block7), len(block8)}) == 1
    assert len(header) <= 120
    said = "0 cat cat 7 singular values 0.025 to 2.5, condition number 100 1"
    assert block7.split() == said.split()
    said = "8 cat cat 8 2048 -0.05 25 -1.25 0.0625 0.5108 stored"
    assert block8.split() == said.split()
    assert "condition_number" not in err
    assert "imaginary axis" not in err
    code, out, err = run(capsys, *arguments, "--wide")
    assert out.splitlines()[1].split() == [*analyse_table.columns(), *analyse_table.singular()]
    assert "stiffness_ratio, largest_stable_step: Of a cloud that crosses the imaginary axis" in err


@pytest.mark.parametrize("convention", Convention)
def test_the_short_table_fits_120_characters(convention, capsys, monkeypatch):
    show = analyse_table.short([asked("resnet18", 0, 8, convention)])
    show(planted_branch8())
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 120


def test_what_is_not_computed_is_a_dash_that_a_line_explains(capsys, monkeypatch):
    missing = dict.fromkeys(("percent_negative", "stiffness_index", "outside_euler"), float("nan"))
    reasons = dict.fromkeys(missing, not_computed("needs the full spectrum (level counts)"))
    monkeypatch.setattr(
        analysis, "compute_many", lambda *_, **__: iter([planted_branch8(metrics=missing, reasons=reasons)])
    )
    monkeypatch.setattr(terminal, "is_watched", lambda: True)
    _, out, err = run(capsys, "analyse", *BRANCH8, "--images", "8")
    assert out.splitlines()[3].split().count("–") == 2
    assert "block 8: stiffness_index, percent_negative not computed: needs the full spectrum (level counts)" in err
    assert "outside_euler" not in err  # which the table does not show


def test_of_a_large_block_only_the_largest_singular_value_is_known():
    missing = dict.fromkeys(("smallest_singular_value", "condition_number"), not_computed("only the largest one is"))
    cells = {"largest_singular_value": "2.7"} | dict.fromkeys(missing, "–")
    assert analyse_table._singular_values(cells, missing) == "largest singular value 2.7, smallest not computed"


@pytest.mark.parametrize(("quantity", "said"), [("norms", True), ("extremes", True), ("counts", False)])
def test_levels_that_stored_counts_serve_say_so(quantity, said, capsys, monkeypatch):
    monkeypatch.setattr(
        analysis, "compute_many", lambda *_, **__: iter([planted_branch8(quantity=quantity, stored=True)])
    )
    _, _, err = run(capsys, "analyse", *BRANCH8, "--images", "8", "--level", quantity)
    assert ("block 8: a result of a higher level was stored, and all of it is shown" in err) == said


def test_no_table_is_begun_before_a_refusal(capsys, tmp_path, monkeypatch):
    """The full set is there, but of ten images: only the computation finds out."""
    monkeypatch.setenv("STIFFCORE_DATA", str(tmp_path))
    images = np.zeros((10, 32, 32, 3), np.uint8)
    np.savez(tmp_path / "cifar10.npz", test_images=images, test_labels=np.zeros(10, np.uint8))
    code, out, err = run(capsys, "analyse", *BRANCH8, "--images", "9999")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("Expected all 10,000 test images of CIFAR-10 in ")


def test_json_has_the_same_names_and_null_with_a_reason(capsys):
    code, out, _ = run(capsys, "analyse", *BRANCH8, "--images", "8,10", "--json", "--level", "extremes")
    rows = json.loads(out)
    assert code == 0
    assert [(row["image"], row["block"], row["convention"]) for row in rows] == [(8, 8, "branch"), (10, 8, "branch")]
    for row in rows:
        assert list(row)[: len(analyse_table.columns())] == analyse_table.columns()
        assert row["percent_negative"] is None
        assert row["reasons"]["percent_negative"].startswith("not computed")
        assert row["weights"] == manifest.entry("resnet18").sha256
        assert row["n_eigenvalues"] == 2048
        entry = manifest.entry("resnet18")
        assert (row["predicted"], row["loss"]) == (entry.predicted[row["image"]], entry.loss[row["image"]])
        assert row["correct"] == (entry.predicted[row["image"]] == cifar10.label(row["image"]))


def test_what_was_computed_is_stored(capsys):
    arguments = ("analyse", *BRANCH8, "--images", "8", "--json", "--level", "extremes")
    run(capsys, *arguments)
    (row,) = json.loads(run(capsys, *arguments)[1])
    assert row["stored"] is True


def test_a_spectrum_has_every_eigenvalue_and_says_how_it_was_made(capsys, tmp_path):
    out = tmp_path / "deep" / "spectrum.npz"
    arguments = ("resnet18", "--image", "0", "--block", "8", "--convention", "branch", "--out", str(out))
    code, said, _ = run(capsys, "spectrum", *arguments)
    assert code == 0
    assert "eigenvalues complex128 (2048,)" in said
    with np.load(out, allow_pickle=False) as file:
        eigenvalues, header = file["eigenvalues"], json.loads(str(file["header"]))
    assert eigenvalues.dtype == np.complex128
    assert len(eigenvalues) == header["metrics"]["n_eigenvalues"]
    assert (eigenvalues == 0).sum() == header["metrics"]["n_zero"]
    assert eigenvalues.real.min() == pytest.approx(header["metrics"]["min_re"])
    assert (eigenvalues.real < 0).sum() >= header["metrics"]["n_negative"] > 0
    assert (header["network"], header["block"], header["convention"]) == ("resnet18", 8, "branch")
    assert header["made"]["weights"] == manifest.entry("resnet18").sha256
    assert list(tmp_path.rglob("*.partial")) == []


def test_structural_zeros_and_ones_are_part_of_a_spectrum():
    request = asked("resnet18", 0, 8, "block", "spectrum")
    result = Result(request, {"n_zero": 2, "n_one": 3}, {}, {"eigenvalues": np.array([5j])}, {}, {})
    assert analyse_command.whole_spectrum(result)["eigenvalues"].tolist() == [5j, 0, 0, 1, 1, 1]


ANALYSE = "analyse resnet18 --convention branch"


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("", "the following arguments are required: COMMAND"),
        ("analyze resnet18", "invalid choice: 'analyze'"),
        ("analyse", "the following arguments are required: --convention"),
        ("analyse --convention block", "or --weights FILE, got neither: name one of them"),
        (f"{ANALYSE} --stem none", "beside --weights FILE, got no file: name one"),
        ("analyse resnet18", "required: --convention"),
        ("analyse resnet101 --convention block", "Expected a network among resnet18"),
        ("analyse resnet18 --convention blocks", "Expected a convention among slices, block, branch, got 'blocks'"),
        (f"{ANALYSE} --blocks 0", "Expected a block of resnet18 from 1 to 8, got 0"),
        (f"{ANALYSE} --blocks 9", "Expected a block of resnet18 from 1 to 8, got 9"),
        (f"{ANALYSE} --blocks 6,x", "Expected blocks as all, identity, or numbers from 1 to 8 like 6,8, got '6,x'"),
        (f"{ANALYSE} --images 20:10", "Expected images as bundled, all, or indices"),
        (f"{ANALYSE} --images 10000", "got '10000' in '10000', which is out of range"),
        (f"{ANALYSE} --images 9999", "Test image 9999 is not among the 1,000 that ship"),
        (f"{ANALYSE} --images all", "run `python -m stiffcore fetch-data`"),
        (f"{ANALYSE} --level all", "invalid choice: 'all'"),
        ("spectrum resnet18 --convention branch --image 0 --block 8", "required: --out"),
        ("spectrum resnet18 --convention branch --image 0,1 --block 8 --out x.npz", "Expected one image and one block, got 2 and 1"),
        ("spectrum resnet18 --convention branch --image 0 --block 8 --out /dev/null/x.npz", "/dev/null/x.npz cannot be written"),
        ("benchmark --blocks resnet50:1", "Block 1 of resnet50 is not an identity block"),
        ("benchmark --blocks resnet18", "Expected blocks as all, identity, or numbers from 1 to 8"),
        ("benchmark --items 6", "Expected items among 1, 2, 3, 4, 5, got '6'"),
        ("train resnet18-shuffled", "Expected a network among resnet18, resnet34, resnet50, resnet20, got"),
        ("train resnet18 --data nowhere.npz --out {folder}/w.safetensors", "got no such file: run `python -m stiffcore fetch-data`"),
        ("train resnet18 --data {folder} --out {folder}/w.safetensors", "which cannot be read (Is a directory)"),
        ("train resnet18 --epochs many", "invalid int value: 'many'"),
        ("fetch-data --from nowhere", "There is no file or folder nowhere"),
        ("fetch-data --from {folder}", "Expected cifar-10-python.tar.gz"),
        ("fetch-data --url http://127.0.0.1:1/closed", "--from FOLDER"),
        ("fetch-data --url x --from y", "not allowed with argument"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line_and_exit_code_2(command, said, capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("STIFFCORE_DATA", str(tmp_path / "data"))
    code, out, err = run(capsys, *command.format(folder=tmp_path).split())
    assert (code, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1
    assert list(tmp_path.glob("*.safetensors")) == []


def test_a_fresh_process_refuses_bad_input_without_importing_torch():
    program = (
        "import sys; from stiffcore.commands import main\n"
        "code = main.main(['analyse', 'resnet18', '--convention', 'branch', '--images', '9999'])\n"
        "assert not {'torch', 'torchvision', 'numba', 'streamlit'} & set(sys.modules)\n"
        "sys.exit(code)"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("Test image 9999 is not among the 1,000 that ship")
    assert done.stderr.count("\n") == 1


def test_every_command_has_help(capsys):
    commands = next(a for a in command_line.parser()._actions if a.dest == "COMMAND" or a.choices).choices
    assert {"analyse", "spectrum", "train", "fetch-data", "doctor", "sweep", "tables"} <= set(commands)
    for name in commands:
        code, out, _ = run(capsys, name, "--help")
        assert code == 0
        assert out.startswith(f"usage: python -m stiffcore {name}")


def test_ctrl_c_ends_with_130_and_says_how_to_go_on(capsys, monkeypatch):
    def interrupted(requests, progress, refused, **_):
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr(analysis, "compute_many", interrupted)
    code, _, err = run(capsys, *ANALYSE.split())
    assert code == 130
    assert err.splitlines()[-1].startswith("Interrupted")


IN_LAPACK = """
import signal
import sys
import time
import torch
from stiffcore.analysis import compute as analysis
from stiffcore.commands import analyse_table, main as cli, terminal

def compute_many(requests, stage, refused, **_):
    time.sleep(0.2)  # a bar is not drawn more often than ten times a second
    stage(0, 1, "for long")
    matrix = torch.randn(7000, 7000, dtype=torch.float64)
    print("in LAPACK", flush=True)
    torch.linalg.eigvals(matrix)  # minutes
    yield

analysis.compute_many = compute_many
signal.signal(signal.SIGINT, signal.default_int_handler)  # in a shell's background job it is ignored, and that is inherited
sys.exit(cli.main("analyse resnet18 --convention branch --blocks 8 --images 0".split()))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_ctrl_c_ends_a_decomposition_at_once():
    """Python's own handler waits for LAPACK to come back. stderr is a terminal, with a bar that has to go."""
    import pty
    import termios

    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 100))
    process = subprocess.Popen(
        [sys.executable, "-c", IN_LAPACK],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        stderr=theirs,
        text=True,
    )
    os.close(theirs)
    assert process.stdout.readline() == "in LAPACK\n"
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    try:
        assert process.wait(20) == 130  # a busy machine takes its time; LAPACK would take minutes
    finally:
        process.kill()
    said = ""
    with (
        suppress(OSError),
        open(ours, "rb", buffering=0) as screen,
    ):  # a terminal that nobody holds any more ends with an error
        while some := screen.read(4096):
            said += some.decode()
    assert "for long" in said
    assert said.endswith(f"\r\x1b[K{terminal.SAID_WHEN_INTERRUPTED}\r\n")
    assert said.count("Interrupted") == 1
    assert "Traceback" not in said


def test_what_computes_in_this_process_leaves_at_once():
    """A sweep stops its workers and writes what there is, a training goes on from its last epoch: they see to it themselves."""
    for command, leaves in {
        "analyse resnet18 --convention block": True,
        "spectrum resnet18 --convention block --block 8 --image 0 --out x.npz": True,
        "perturb resnet18": True,
        "flow resnet18": True,
        "benchmark": True,
        "sweep resnet18": False,
        "train resnet18": False,
    }.items():
        assert getattr(command_line.parser().parse_args(command.split()), "leaves_at_once", False) == leaves


def test_a_command_that_ends_leaves_signals_as_they_were():
    before = signal.set_wakeup_fd(-1)
    with terminal.leaving_at_once():
        assert signal.set_wakeup_fd(signal.set_wakeup_fd(-1)) >= -1
    assert signal.set_wakeup_fd(before) == -1


def test_a_mistake_of_the_program_stays_loud(monkeypatch):
    def mistaken(requests, progress, refused, **_):
        raise ZeroDivisionError
        yield

    monkeypatch.setattr(analysis, "compute_many", mistaken)
    with pytest.raises(ZeroDivisionError):
        command_line.main(ANALYSE.split())


def test_what_cannot_be_computed_is_named_and_the_others_are_shown(capsys, monkeypatch):
    compute_one = analysis._one

    def too_large_at_0(request, *more):
        if request.image.number == 0:
            raise CannotCompute("Expected this to fit,\ngot too much: use another block.")
        return compute_one(request, *more)

    monkeypatch.setattr(analysis, "_one", too_large_at_0)
    code, out, err = run(capsys, "analyse", *BRANCH8, "--level", "extremes", "--images", "0,1")
    assert code == 2
    assert [line.split()[2] for line in out.splitlines()[2:]] == ["1"]
    assert " ".join(err.split()).endswith("image 0 block 8: Expected this to fit, got too much: use another block.")
    code, _, err = run(capsys, "analyse", *BRANCH8, "--level", "extremes", "--images", "0")
    assert (code, err.splitlines()[-1]) == (2, "Expected this to fit, got too much: use another block.")


@pytest.mark.parametrize("damage", ["missing", "truncated", "NaN"])
def test_damaged_weights_are_one_line_and_exit_code_2(damage, capsys, tmp_path, monkeypatch):
    """ResNet34's, which no other test here loads for an analysis."""
    from safetensors.torch import load_file, save_file

    shipped, path = manifest.FOLDER / "resnet34.safetensors", tmp_path / "resnet34.safetensors"
    (tmp_path / "manifest.json").symlink_to(manifest.FOLDER / "manifest.json")
    if damage == "truncated":
        path.write_bytes(shipped.read_bytes()[:10_000_000])
    elif damage == "NaN":
        state = load_file(shipped)
        state["fc.bias"][3] = float("nan")
        save_file(state, path)
    monkeypatch.setattr(manifest, "FOLDER", tmp_path)
    monkeypatch.setenv("STIFFCORE_CACHE", str(tmp_path / "empty"))
    network._module.cache_clear()  # another test of this process may have loaded it
    image = str(cifar10.bundled()[-1])  # whose results do not ship
    code, out, err = run(
        capsys, "analyse", "resnet34", "--images", image, "--convention", "block", "--blocks", "16", "--json"
    )
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert {"missing": "no such file", "truncated": "a damaged one", "NaN": "finite numbers, got NaN"}[damage] in err
    assert damage == "NaN" or err.endswith(": restore it from the project.\n")
    assert "stiffcore train" not in err  # newly trained weights would not be those of the manifest


def test_a_cache_that_cannot_be_written_costs_a_notice_not_the_result(capsys, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("STIFFCORE_CACHE", str(tmp_path / "file"))
    code, out, err = run(capsys, "analyse", *BRANCH8, "--level", "extremes", "--images", "2", "--json")
    assert code == 0
    assert json.loads(out)[0]["min_re"] < 0
    assert "Cannot write to the cache folder " in err


@pytest.mark.parametrize(
    "command",
    [
        "analyse resnet18 --convention branch --blocks 8 --level extremes --images 2",
        "sweep resnet18 --images 0 --blocks 8 --convention branch",
    ],
)
def test_a_cache_that_cannot_be_written_is_told_in_one_sentence(command, tmp_path):
    """In a process of its own, whose log goes to the same place."""
    (tmp_path / "file").write_text("in the way")
    done = in_a_process(*command.split(), STIFFCORE_CACHE=str(tmp_path / "file"))
    assert done.returncode == 0
    told = [line for line in done.stderr.splitlines() if "cache" in line or str(tmp_path) in line]
    assert len(told) == 1
    assert told[0].startswith("Cannot write to the cache folder ")
    assert not re.search("[0-9a-f]{64}", done.stderr)


def in_a_process(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "stiffcore", *arguments], cwd=Path(__file__).parents[2], env=os.environ | environment,
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip


def test_doctor_says_what_to_do_about_a_cache_that_cannot_be_used(capsys, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("STIFFCORE_CACHE", str(tmp_path / "file"))
    monkeypatch.setattr(doctor_command.catalogue, "NETWORKS", ("resnet18",))  # the next test looks at all of them
    code, out, _ = run(capsys, "doctor", "--quick")
    assert code == 1
    (problem,) = [line for line in out.splitlines() if line.startswith("PROBLEM")]
    assert "cache: Cannot write to the cache folder " in problem
    assert problem.endswith("set STIFFCORE_CACHE to another folder.")
    assert "GB free" not in out  # of which disk?


def test_train_writes_weights_with_their_accuracy(capsys, tmp_path, monkeypatch):
    """Interrupted in its second epoch and run again; the checkpoint goes when the weights are there."""
    import torch

    from stiffcore.networks.resnets import read_tensors
    from stiffcore.networks.training import loop as training, recipes

    monkeypatch.setattr(training.device, "training_device", lambda: torch.device("cpu"))
    images, labels = np.zeros((4, 32, 32, 3), np.uint8), np.arange(4)
    np.savez(tmp_path / "data.npz", train_images=images, train_labels=labels, test_images=images, test_labels=labels)
    arguments = f"train resnet18 --data {tmp_path}/data.npz --epochs 2 --batch-size 4 --out {tmp_path}/w.safetensors --no-compile"

    def stop_in_the_second_epoch(*_):
        if (
            training.epochs_done(
                tmp_path / "w.checkpoint.safetensors", recipes.named("zoo", "resnet18", epochs=2, batch_size=4)
            )
            == 1
        ):
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(training, "learning_rate", lambda *_: stop_in_the_second_epoch() or 0.01)
        assert run(capsys, *arguments.split())[0] == 130
    assert not (tmp_path / "w.safetensors").exists()
    code, out, err = run(capsys, *arguments.split(), "--json")
    assert code == 0
    assert "Continuing after epoch 1 of 2" in err
    made = json.loads(out)
    assert made["accuracy"] in (0, 0.25, 0.5, 0.75, 1)
    assert len(read_tensors(Path(made["file"]))) == 122
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data.npz", "w.safetensors"]


def test_doctor_finds_nothing_wrong(capsys):
    code, out, _ = run(capsys, "doctor", "--quick", "--json")
    found = json.loads(out)
    assert (code, found["problems"]) == (0, [])
    assert set(found["weights"]) == set(catalogue.NETWORKS)
    assert found["versions"]["torch"].startswith("2.")
    assert found["device"]["threads"] == 1
    assert found["cache"]["free_disk"] > 0


def test_doctor_measures_the_accuracy_and_names_a_damaged_file(capsys, tmp_path, monkeypatch):
    """Only ResNet18's weights are in this folder: its accuracy is as listed, the others are missed by name."""
    for name in ("manifest.json", "resnet18.safetensors"):
        (tmp_path / name).symlink_to(manifest.FOLDER / name)
    listed = manifest.entry("resnet18").accuracy_bundled
    monkeypatch.setattr(manifest, "FOLDER", tmp_path)
    code, out, _ = run(capsys, "doctor")
    assert code == doctor_command.PROBLEMS == 1
    measured = re.search(r"resnet18 .*bundled images .*\(here ([\d.]+) %\)", out)
    assert float(measured[1]) == pytest.approx(100 * listed, abs=0.5)
    assert "PROBLEM    resnet34: Expected weights in" in out
    assert "PROBLEM    resnet18:" not in out


def test_numbers_that_json_does_not_know_become_null_or_a_word():
    assert terminal.plain({"a": np.float64("nan"), "b": (np.int64(3), float("inf")), "c": np.bool_(True), "d": Path("x")}) == {
        "a": None, "b": [3, "Infinity"], "c": True, "d": "x",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("value", "reason", "text"),
    [
        (float("nan"), NOT_SQUARE, "undefined"),
        (float("nan"), not_computed("needs counts"), "not computed"),
        (None, None, "unknown"),
        (True, None, "yes"),
        (np.bool_(False), None, "no"),
        (16_777_216, None, "16777216"),
        (np.float64(-0.123456789), None, "-0.123457"),
        ("a" * 64, None, "a" * 12),
    ],
)
def test_values_as_text(value, reason, text):
    assert terminal.as_text(value, reason) == text
