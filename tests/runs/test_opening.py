"""Files become a run: in order, measured once, what cannot be read left out with its reason. No file is a real network's."""

import math
from dataclasses import replace

import numpy as np
import pytest

from stiffcore.checkpoints.reading.choose import Reading
from stiffcore.errors import CannotCompute
from stiffcore.images import registry as images
from stiffcore.networks import catalogue, registry as networks
from stiffcore.networks.network import CIFAR10
from stiffcore.runs import kept, opening, steps, weights
from tests.made_up.runs import weights as hash_of

STRUCTURE = catalogue.architecture_of("resnet18")


@pytest.fixture(autouse=True)
def files(tmp_path, monkeypatch):
    """Files epoch-<n>.pt in tmp_path/run; the file of epoch 3 is none."""
    monkeypatch.setenv("STIFFCORE_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "run"
    folder.mkdir()
    for step in (10, 9, 3):
        (folder / f"epoch-{step}.pt").write_bytes(b"")
    monkeypatch.setattr(weights, "network_of", network_of)
    monkeypatch.setattr(weights, "reading_of", reading_of)
    return folder


def reading_of(path, stem="", normalisation="", progress=None):
    if path.stem == "epoch-3":
        raise CannotCompute("Expected a checkpoint, got none: use another file.")
    return Reading(STRUCTURE, CIFAR10, f"Read as {path.stem} is{stem}.", "It may be another.")


def network_of(path, name, reading):
    step = int(path.stem.split("-")[1])
    if step == 3:
        raise CannotCompute("Expected a checkpoint, got none: use another file.")
    said = {"reading": reading.sentence, "doubt": reading.doubt}
    return replace(networks.find("resnet18"), name=name, weights_sha256=hash_of(step), **said)


def test_the_files_are_a_run_in_the_order_of_their_steps(files):
    opened = opening.opened(steps.listed([files / "*.pt"]), images.bundled())
    assert [(one.step, one.file, one.weights) for one in opened.run.checkpoints] == [
        (9, "epoch-9.pt", hash_of(9)), (10, "epoch-10.pt", hash_of(10)),
    ]  # fmt: skip
    assert [network.name for network in opened.networks] == ["epoch-9.pt", "epoch-10.pt"]
    assert opened.refused == {"epoch-3.pt": "Expected a checkpoint, got none: use another file."}
    assert (opened.run.title, opened.run.unit, opened.run.can_compute) == ("run", "epoch", True)
    listed = networks.find("resnet18")
    labels = {image.number: image.label for image in images.bundled()}
    right = [listed.predicted[number] == label for number, label in labels.items()]
    assert opened.run.checkpoints[0].accuracy_bundled == pytest.approx(np.mean(right))
    assert opened.run.checkpoints[0].loss_bundled == pytest.approx(np.mean([listed.loss[number] for number in labels]))


def test_all_of_them_are_read_as_the_last_one_is_read_best(files):
    run = opening.opened(steps.listed([files / "*.pt"])).run
    assert (run.reading, run.doubt, run.architecture) == ("Read as epoch-10 is.", "It may be another.", STRUCTURE)
    assert run.network(run.checkpoints[0]).reading == "Read as epoch-10 is."
    assert math.isnan(run.checkpoints[0].accuracy_bundled), "nothing was measured"


def test_the_last_one_that_can_be_read_decides(files):
    (files / "epoch-10.pt").rename(files / "epoch-2.pt")
    assert opening.opened(steps.listed([files / "*.pt"])).run.reading == "Read as epoch-9 is."
    (files / "epoch-3.pt").rename(files / "epoch-30.pt")

    def refused(path, *options):
        if path.stem == "epoch-30":
            raise CannotCompute("Expected a checkpoint, got none.")
        return reading_of(path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(weights, "reading_of", refused)
        assert opening.opened(steps.listed([files / "*.pt"])).run.reading == "Read as epoch-9 is."


def test_no_file_that_can_be_read_is_one_sentence(files):
    with pytest.raises(
        CannotCompute, match=r"None of the 1 files can be read\. First, epoch-3\.pt: Expected a checkpoint"
    ):
        opening.opened([files / "epoch-3.pt"])


def test_a_file_that_is_gone_is_one_sentence(files):
    opened = opening.opened(steps.listed([files / "epoch-9.pt"]))
    (files / "epoch-9.pt").unlink()
    with pytest.raises(CannotCompute, match="Then sweep the run's checkpoints with --weights again"):
        opened.run.network(opened.run.checkpoints[0]).module()


def test_a_run_s_name_belongs_to_its_folders(files, tmp_path):
    assert kept.name_of([files]) == kept.name_of([files, files]) != kept.name_of([tmp_path])
    assert kept.is_own(kept.name_of([files]))
