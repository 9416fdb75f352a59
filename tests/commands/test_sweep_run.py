"""sweep --weights and ship-run: rows with steps, failures by file, resumed; nothing is computed here."""

import json
from dataclasses import replace

import pandas as pd
import pytest

from stiffcore.analysis import compute as analysis
from stiffcore.checkpoints.reading.choose import Reading
from stiffcore.commands import main as command_line
from stiffcore.conventions import Convention
from stiffcore.errors import CannotCompute
from stiffcore.images import registry as images
from stiffcore.networks import catalogue, registry as networks
from stiffcore.networks.network import CIFAR10
from stiffcore.runs import kept, rows as run_rows, weights
from stiffcore.storage import cache as result_cache
from stiffcore.storage.shipped import ShippedResults
from stiffcore.sweeps import local as local_sweep, shipping, tasks as sweep_tasks
from tests.made_up.runs import weights as hash_of
from tests.made_up.spectra import store


@pytest.fixture(autouse=True)
def run(tmp_path, monkeypatch):
    """A folder of three checkpoints; what is computed is planted and noted."""
    monkeypatch.setenv("STIFFCORE_CACHE", str(tmp_path / "cache"))
    for module, name in ((shipping, "FOLDER"), (kept, "SHIPPED")):
        monkeypatch.setattr(module, name, tmp_path / "shipped")
    monkeypatch.setattr(result_cache, "shipped", lambda: ShippedResults(tmp_path / "shipped"))
    folder = tmp_path / "run"
    folder.mkdir()
    for step in (0, 2, 10):
        (folder / f"epoch-{step}.pt").write_bytes(b"")

    def reading_of(path, *options):
        return Reading(catalogue.architecture_of("resnet18"), CIFAR10, "Read in one way.")

    def network_of(path, name, reading):
        if path.read_bytes():
            raise CannotCompute("Expected a checkpoint, got none: use another file.")
        return replace(networks.find("resnet18"), name=name, weights_sha256=hash_of(int(path.stem.split("-")[1])))

    def compute(tasks, workers, stop, asked):
        for task in tasks:
            computed.append(task)
            store(*task.requests)
            found = [analysis.stored(request) for request in task.requests]
            yield sweep_tasks.Outcome(task, tuple(map(sweep_tasks.row, found)), {})

    computed: list = []
    monkeypatch.setattr(weights, "network_of", network_of)
    monkeypatch.setattr(weights, "reading_of", reading_of)
    monkeypatch.setattr(local_sweep, "run", compute)
    return folder, computed


def sweep(folder, *more: str, command=("sweep",)) -> int:
    chosen = ["--weights", f"{folder}/epoch-*.pt", "--images", "0,3", "--blocks", "7,8", "--workers", "1"]
    return command_line.main([*command, *chosen, *more])


def test_rows_have_a_step_and_the_run_is_remembered(run, tmp_path, capsys):
    folder, computed = run
    assert sweep(folder, "--out", str(tmp_path / "rows.parquet"), "--json") == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["wanted"], summary["computed"], summary["left_out"]) == (12, 12, [])
    assert [(one["step"], one["checkpoint"]) for one in summary["checkpoints"]] == [
        (s, f"epoch-{s}.pt") for s in (0, 2, 10)
    ]
    frame = pd.read_parquet(tmp_path / "rows.parquet")
    assert frame[["step", "image", "block"]].to_numpy().tolist() == [
        [s, i, b] for s in (0, 2, 10) for i in (0, 3) for b in (7, 8)
    ]
    assert {"checkpoint", "seed", "accuracy", "accuracy_bundled", "loss_bundled", "run"} <= set(frame)
    (known,) = kept.known()
    found = run_rows.of_run(known, Convention.SLICES, images.bundled())
    assert found[["step", "image", "block"]].equals(frame[["step", "image", "block"]])
    assert len(computed) == 6


def test_a_second_sweep_computes_only_what_is_missing(run, capsys):
    folder, computed = run
    sweep(folder)
    computed.clear()
    (folder / "epoch-20.pt").write_bytes(b"")
    assert sweep(folder) == 0
    assert {task.network.name for task in computed} == {"epoch-20.pt"}
    assert (
        "4 computed in 0 s, 12 existed before, 0 failed, of 16 blocks × images × checkpoints" in capsys.readouterr().err
    )


def test_a_file_that_is_no_checkpoint_is_left_out_with_its_reason(run, capsys):
    folder, _ = run
    (folder / "epoch-5.pt").write_bytes(b"text")
    assert sweep(folder) == 1
    error = capsys.readouterr().err
    assert "Left out, epoch-5.pt: Expected a checkpoint, got none: use another file." in error
    assert "12 computed" in error
    assert [checkpoint.step for checkpoint in kept.known()[0].checkpoints] == [0, 2, 10]


def test_failed_blocks_are_listed_with_their_checkpoint(run, capsys, monkeypatch):
    folder, _ = run

    def fail(tasks, workers, stop, asked):
        yield from (sweep_tasks.Outcome(task, (), {8: "Not enough memory."}) for task in tasks)

    monkeypatch.setattr(local_sweep, "run", fail)
    assert sweep(folder, "--json") == 1
    failures = json.loads(capsys.readouterr().out)["failures"]
    assert failures[0] == {"checkpoint": "epoch-0.pt", "image": 0, "block": 8, "reason": "Not enough memory."}
    assert sweep(folder) == 1
    assert "Failed: epoch-0.pt image 0 block 8, epoch-0.pt image 3 block 8" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("sweep", "or --weights FILES: name one"),
        ("sweep --weights none/epoch-*.pt", "names no file: write a pattern"),
        ("sweep resnet34 --weights {run}/epoch-*.pt", "hold weights of resnet18, not of resnet34"),
        ("sweep --weights {run}/epoch-*.pt --blocks 9", "from 1 to 8"),
        ("ship-run own-0123456789ab --title x --weights {run}/epoch-*.pt", "without own-"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(run, arguments, says, capsys):
    assert command_line.main(arguments.format(run=run[0]).split()) == 2
    error = capsys.readouterr().err
    assert says in error
    assert "Traceback" not in error


def test_ship_run_computes_and_ships_rows_then_spectra(run, capsys, tmp_path):
    folder, _ = run
    command = ("ship-run", "made-up", "--title", "Made up")
    assert sweep(folder, command=command) == 0
    assert "rows-run-made-up-slices.parquet: 12 rows, 2 images" in capsys.readouterr().out
    assert sweep(folder, "--convention", "branch", "--quantity", "spectrum", command=command) == 0
    assert "spectra-run-made-up.parquet: 12 rows, 2 images" in capsys.readouterr().out
    ships = kept.known()[0]
    assert (ships.name, ships.title, ships.can_compute) == ("made-up", "Made up", False)
    commands = [said for facts in shipping.about().values() for said in facts["commands"]]
    assert str(tmp_path) not in " ".join(commands)
    assert any(
        said.startswith("python -m stiffcore ship-run made-up --weights 'run/*.pt' --images 0,3") for said in commands
    )
