"""A run's description: it comes back as it was, and a damaged or hostile one is not used."""

import json
import logging
from dataclasses import replace

import pytest

from stiffcore.errors import CannotCompute
from stiffcore.networks import catalogue, registry as networks
from stiffcore.networks.network import Preprocessing
from stiffcore.runs import kept, run as descriptions
from stiffcore.runs.run import Checkpoint
from tests.made_up.runs import made_up, weights


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    monkeypatch.setenv("STIFFCORE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(kept, "SHIPPED", tmp_path / "shipped")


def of_one(network):
    checkpoint = Checkpoint(1, 0, "a", weights(1), "a.pt")
    structure = catalogue.architecture_of("resnet18")
    return descriptions.of_networks([network], [checkpoint], "own-0123456789ab", "run", architecture=structure)


def test_a_run_comes_back_as_it_was():
    run = made_up(seeds=3, path="/somewhere/epoch.pt")
    kept.save(run)
    assert kept.find(run.name) == run
    assert kept.known() == (run,)
    assert kept.get(run.name).network(run.checkpoints[1]).block(8).n_out == 2048
    kept.remove(run.name)
    assert kept.known() == ()


def test_the_drawn_training_has_the_most_checkpoints_and_every_seed_has_a_last():
    run = made_up(steps=(0, 5, 9), seeds=3)
    assert [checkpoint.step for checkpoint in run.drawn] == [0, 5, 9]
    assert [(checkpoint.seed, checkpoint.step) for checkpoint in run.last] == [(0, 9), (1, 9), (2, 9)]
    assert not run.can_compute
    with pytest.raises(CannotCompute, match="do not ship, only its results"):
        run.network(run.checkpoints[0]).module()


def test_accuracies_that_were_not_measured_stay_unknown():
    base = networks.find("resnet18")
    run = of_one(base)
    kept.save(run)
    assert "accuracy_bundled" not in json.loads((kept.folder() / f"{run.name}.json").read_text())["checkpoints"][0]
    assert str(kept.find(run.name).checkpoints[0].accuracy_bundled) == "nan"


@pytest.mark.parametrize(
    "change",
    [
        lambda v: v.update(format=99),
        lambda v: v.update(title="<script>alert(1)</script>"),
        lambda v: v.update(name="../../etc"),
        lambda v: v.update(unit="fortnight"),
        lambda v: v.update(more=1),
        lambda v: v.update(checkpoints=[]),
        lambda v: v.update(checkpoints=v["checkpoints"] * 500),
        lambda v: v.update(checkpoints=v["checkpoints"][::-1]),
        lambda v: v["checkpoints"][0].update(step=-1),
        lambda v: v["checkpoints"][0].update(step=True),
        lambda v: v["checkpoints"][0].update(weights="a"),
        lambda v: v["checkpoints"][0].update(network="[x](http://a.b)"),
        lambda v: v["checkpoints"][0].update(accuracy_bundled=7),
        lambda v: v["checkpoints"][0].update(path=["/etc/passwd"]),
        lambda v: v["architecture"].update(depths=[10**9, 2]),
        lambda v: v["architecture"].update(unit="perceptron"),
        lambda v: v["architecture"].update(more=1),
        lambda v: v["preprocessing"].update(standard_deviation=[0, 1, 1]),
        lambda v: v["preprocessing"].update(image_size=10**9),
        lambda v: v.update(reading=["a"]),
        lambda v: v.update(doubt="x" * 601),
        lambda v: v.pop("architecture"),
    ],
)  # fmt: skip
def test_a_description_with_a_wrong_value_is_not_used(change, caplog):
    run = made_up()
    kept.save(run)
    path = kept.folder() / f"{run.name}.json"
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))
    with caplog.at_level(logging.WARNING):
        assert kept.find(run.name) is None
    assert "is not used" in caplog.text


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"[" * 100_000, b"\xff\xfe", b"1" * (kept.LARGEST + 1)])
def test_a_damaged_file_is_not_used(content):
    kept.folder().mkdir(parents=True)
    (kept.folder() / "own-0123456789ab.json").write_bytes(content)
    assert kept.known() == ()


@pytest.mark.parametrize("name", ["", "own-", "../own-0123456789ab", "own-0123456789ab/..", "nothing", 7, None])
def test_a_name_that_is_none_is_one_sentence(name):
    kept.save(made_up())
    assert kept.find(name) is None
    with pytest.raises(CannotCompute, match=r"own-0123456789ab.*sweep its checkpoints with --weights"):
        kept.get(name)


def test_a_file_under_another_run_s_name_is_not_used():
    run = made_up()
    kept.save(run)
    (kept.folder() / f"{run.name}.json").rename(kept.folder() / "own-ffffffffffff.json")
    assert kept.find("own-ffffffffffff") is None


def test_checkpoints_of_two_structures_are_refused():
    pair = [networks.find("resnet18"), networks.find("resnet34")]
    made = [Checkpoint(at, 0, str(at), weights(at), f"{at}.pt") for at in range(2)]
    with pytest.raises(CannotCompute, match=r"another structure or normalisation in 1\.pt than in 0\.pt"):
        descriptions.of_networks(pair, made, "own-0123456789ab", "run")


def test_the_reading_and_its_doubt_stay_with_the_run():
    read = {
        "preprocessing": Preprocessing((0, 0, 0), (1, 1, 1), 32),
        "reading": "Read in one way.",
        "doubt": "Or another.",
    }
    base = replace(networks.find("resnet18"), **read)
    run = of_one(base)
    kept.save(run)
    found = kept.find(run.name).network(run.checkpoints[0])
    assert (found.preprocessing, found.reading, found.doubt) == (base.preprocessing, base.reading, base.doubt)
    assert found.architecture == "resnet18"


def test_a_run_of_modules_in_memory_is_not_stored():
    run = descriptions.of_networks(
        [networks.find("resnet18")], [Checkpoint(1, 0, "a", weights(1), "a")], "own-0123456789ab", "run"
    )
    with pytest.raises(ValueError, match="cannot be read again"):
        kept.save(run)
