"""The commands sweep, tables, ship and benchmark-sweep: their results and their refusals."""

import json

import pandas as pd
import pytest

from stiffcore.benchmarks import sweep as benchmark_sweep
from stiffcore.commands import main as command_line
from stiffcore.conventions import Convention
from stiffcore.images import registry as images
from stiffcore.networks import registry as networks
from stiffcore.paper import comparison
from stiffcore.storage import cache as result_cache
from stiffcore.storage.shipped import ShippedResults
from stiffcore.sweeps import local as local_sweep, shipping, tasks as sweep_tasks
from stiffcore.sweeps.stored_rows import StoredRows
from tests.made_up.rows import bundled, ship


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    """Nothing ships, nothing is stored."""
    monkeypatch.setenv("STIFFCORE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(shipping, "FOLDER", tmp_path / "shipped")
    monkeypatch.setattr(result_cache, "shipped", lambda: ShippedResults(tmp_path / "shipped"))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("sweep resnet19", "resnet18"),
        ("sweep resnet18 --images 9999", "fetch-data"),
        ("sweep resnet18 --images x", "0,3,10:20"),
        ("sweep resnet18 --blocks 9", "from 1 to 8"),
        ("sweep resnet18 --convention matrix", "slices, block, branch"),
        ("sweep resnet18 --images 0 --blocks 8 --workers 0", "at least one"),
        ("sweep resnet18 --images 0 --out /proc/none/rows.parquet", "name another file"),
        ("sweep resnet18 --images 0 --blocks 8 --scheduler tcp://127.0.0.1:9", "dask scheduler"),
        ("sweep resnet18 --quantity all", "--help"),
        ("tables resnet19", "resnet18"),
        ("tables resnet18 --rows none.parquet", "no such file"),
        ("ship resnet18", "python -m stiffcore sweep resnet18"),
        ("ship resnet18 --images 0 --blocks 8 --convention branch --quantity spectrum", "--quantity spectrum"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(arguments, says, capsys, monkeypatch):
    from stiffcore.sweeps import cluster

    monkeypatch.setattr(cluster, "CONNECT_WITHIN", 1)
    try:
        code = command_line.main(arguments.split())
    except SystemExit as stop:  # argparse's own
        code = stop.code
    error = capsys.readouterr().err
    assert code == 2
    assert says in error
    assert len(error.strip().splitlines()[-1:]) == 1
    assert "Traceback" not in error


@pytest.mark.parametrize("images", ["0:5", "0:1"])
def test_no_workers_are_refused_even_where_nothing_is_to_be_computed(images, capsys):
    ship(bundled(images=5))
    assert command_line.main(["sweep", "resnet18", "--images", images, "--workers", "0"]) == 2
    assert capsys.readouterr().err == "Expected at least one worker, got 0: give a number from 1.\n"


def test_sweep_writes_what_ships_without_computing_it(tmp_path, capsys, monkeypatch):
    frame = ship(bundled(images=5))
    first = [str(image) for image in frame["image"].unique()]
    arguments = ["sweep", "resnet18", "--images", ",".join(first), "--json", "--out", str(tmp_path / "rows.csv")]
    monkeypatch.setattr(local_sweep, "run", nothing_to_do)
    assert command_line.main(arguments) == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["there"], summary["computed"], summary["failed"]) == (40, 0, 0)
    assert len(pd.read_csv(tmp_path / "rows.csv")) == 40


def nothing_to_do(tasks, workers, stop=None):
    assert list(tasks) == []
    yield from ()


def test_failures_are_listed_by_reason_and_set_the_exit_code(capsys, monkeypatch):
    def run(tasks, workers, stop, asked):
        for task in tasks:
            yield sweep_tasks.Outcome(task, (), {8: "Expected more memory, got less: use a smaller block."})

    monkeypatch.setattr(local_sweep, "run", run)
    assert command_line.main(["sweep", "resnet18", "--images", "0:3", "--blocks", "8", "--workers", "1"]) == 1
    error = capsys.readouterr().err
    assert "3 failed" in error
    assert "Failed: image 0 block 8, image 1 block 8, image 2 block 8: Expected more memory" in error


def test_ctrl_c_keeps_what_is_there_and_says_how_to_go_on(tmp_path, capsys, monkeypatch):
    def run(tasks, workers, stop, asked):
        yield sweep_tasks.Outcome(tasks[0], (bundled(images=1).to_dict("records")[7],), {})
        raise KeyboardInterrupt

    monkeypatch.setattr(local_sweep, "run", run)
    out = tmp_path / "rows.parquet"
    arguments = f"sweep resnet18 --images 0,1 --blocks 8 --workers 1 --out {out}".split()
    assert command_line.main(arguments) == 130
    assert "again to compute what is missing" in capsys.readouterr().err
    assert len(pd.read_parquet(out)) == 1


def test_tables_print_theirs_and_ours(capsys):
    frame = ship(bundled(images=20))
    assert command_line.main(["tables", "resnet18", "--kind", "by_block"]) == 0
    text = capsys.readouterr().out
    assert "ResNet18, As published (slices), 20 images" in text
    assert "Table 2: stiffness by block, ResNet18" in text
    line = next(line.split() for line in text.splitlines() if line.split()[:1] == ["8"])
    mean = frame[frame["block"] == 8]["stiffness_index"].mean()
    assert line[1:4] == ["-12.99", f"{mean:.2f}", f"{mean + 12.99:.2f}"]
    assert command_line.main(["tables", "resnet18", "--kind", "by_block", "--markdown"]) == 0
    assert "| 8 | -12.99 |" in capsys.readouterr().out


def test_tables_in_json_are_the_comparison(capsys):
    frame = ship(bundled(images=20))
    assert command_line.main(["tables", "resnet18", "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert set(made) == {"correlation", "by_block", "by_label", "sizes", "norms_by_block", "norms_by_label"}
    assert made["norms_by_block"] == [], "slices have no norms"
    expected = comparison.side_by_side(networks.find("resnet18"), "by_block", frame)
    assert [cell["ours"] for cell in made["by_block"]] == pytest.approx(expected["ours"].tolist())


def test_tables_of_nothing_name_the_command(capsys):
    assert command_line.main(["tables", "resnet34-shuffled", "--kind", "by_label", "--convention", "branch"]) == 0
    assert (
        "sweep resnet34-shuffled --images bundled --blocks 1,2,3,5,6,7,9,10,11,12,13,15,16 --convention branch"
        in capsys.readouterr().out
    )


def test_rows_of_a_csv_file_give_the_same_tables_and_a_foreign_file_is_refused(tmp_path, capsys):
    frame, printed = bundled(images=10), []
    for name in ("rows.parquet", "rows.csv"):
        shipping.write(frame, tmp_path / name)
        assert command_line.main(f"tables resnet18 --kind by_block --rows {tmp_path / name}".split()) == 0
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1]
    frame.drop(columns="network").to_csv(tmp_path / "foreign.csv")
    assert command_line.main(f"tables resnet18 --rows {tmp_path / 'foreign.csv'}".split()) == 2
    assert "has no rows of a sweep (it has no column network)" in capsys.readouterr().err


def test_rows_of_a_file_are_printed_and_shipped(tmp_path, capsys):
    frame = bundled(images=10)
    shipping.write(frame, tmp_path / "rows.parquet")
    assert command_line.main(f"tables resnet18 --kind by_block --rows {tmp_path / 'rows.parquet'}".split()) == 0
    assert "10 images" in capsys.readouterr().out
    assert command_line.main(f"ship resnet18 --rows {tmp_path / 'rows.parquet'}".split()) == 0
    assert "rows-resnet18-slices.parquet: 80 rows, 10 images" in capsys.readouterr().out
    (command,) = shipping.about()["rows-resnet18-slices.parquet"]["commands"]
    assert str(tmp_path) not in command
    assert command.startswith("python -m stiffcore sweep resnet18 --images bundled --blocks all --convention slices")


@pytest.mark.slow
def test_benchmark_measures_rate_and_overhead():
    """A real sweep in a cache of its own."""
    found = benchmark_sweep.measure("resnet18-untrained", Convention.BRANCH, (8,), 4, 1)
    assert found.images_per_minute > 0
    assert found.startup_seconds > 0
    assert -0.5 < found.overhead < 1
    assert 1e8 < found.peak_memory < 3e9
    assert StoredRows().rows(networks.find("resnet18-untrained"), Convention.BRANCH, images.bundled()).empty
    assert "4 images, 1 workers" in benchmark_sweep.as_text(found)


@pytest.mark.slow
def test_sweeps_with_cards_and_without_are_compared_at_the_same_images():
    """Real workers; without a card both sweeps are the host's."""
    found = benchmark_sweep.with_cards("resnet18-untrained", (2, 3), 1, [8])
    ((alone, (beside,)),) = found.pairs
    assert not found.contradictions(alone, (beside,))
    assert {len(found.runs[name][0].answer.counts) for name in (alone, beside)} == {
        4
    }  # negative and positive, at two images
    (ratio,) = found.ratio(alone, (beside,))
    assert ratio > 0
