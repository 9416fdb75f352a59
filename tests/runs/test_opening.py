"""Files become a run: in order, measured once, what cannot be read left out with its reason. No file is a real network's."""

from dataclasses import replace

import pytest

from stiffcore.errors import CannotCompute
from stiffcore.images import registry as images
from stiffcore.networks import registry as networks, resnets
from stiffcore.runs import kept, opening, steps, weights
from tests.made_up.runs import weights as hash_of


@pytest.fixture(autouse=True)
def files(tmp_path, monkeypatch):
    """Files epoch-<n>.pt in tmp_path/run; the file of epoch 3 is none."""
    monkeypatch.setenv("STIFFCORE_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "run"
    folder.mkdir()
    for step in (10, 9, 3):
        (folder / f"epoch-{step}.pt").write_bytes(b"")
    monkeypatch.setattr(weights, "network_of", network_of)
    return folder


def network_of(path, name):
    step = int(path.stem.split("-")[1])
    if step == 3:
        raise CannotCompute("Expected a checkpoint, got none: use another file.")
    return replace(networks.find("resnet18"), name=name, weights_sha256=hash_of(step))


def test_the_files_are_a_run_in_the_order_of_their_steps(files):
    opened = opening.opened(steps.listed([files / "*.pt"]), images.bundled())
    assert [(one.step, one.file, one.weights) for one in opened.run.checkpoints] == [
        (9, "epoch-9.pt", hash_of(9)), (10, "epoch-10.pt", hash_of(10)),
    ]  # fmt: skip
    assert [network.name for network in opened.networks] == ["epoch-9.pt", "epoch-10.pt"]
    assert opened.refused == {"epoch-3.pt": "Expected a checkpoint, got none: use another file."}
    assert (opened.run.title, opened.run.unit, opened.run.can_compute) == ("run", "epoch", True)
    right = networks.find("resnet18").predicted
    labels = {image.number: image.label for image in images.bundled()}
    share = sum(right[number] == label for number, label in labels.items()) / len(labels)
    assert opened.run.checkpoints[0].accuracy_bundled == pytest.approx(share)


def test_what_was_measured_before_is_not_measured_again(files, monkeypatch):
    def without_list(path, name):
        return replace(network_of(path, name), predicted={}, loss={})

    monkeypatch.setattr(weights, "network_of", without_list)
    asked = []

    def all_losses(model, pixels, **options):
        import numpy as np

        asked.append(len(pixels))
        return np.tile(np.arange(10.0), (len(pixels), 1))

    monkeypatch.setattr(resnets, "all_losses", all_losses)
    some = images.bundled()[:20]
    first = opening.opened(steps.listed([files / "*.pt"]), some)
    assert asked == [20, 20]
    labels = [image.label for image in some]
    assert first.run.checkpoints[0].accuracy_bundled == pytest.approx(labels.count(0) / 20)
    assert first.run.checkpoints[0].loss_bundled == pytest.approx(sum(labels) / 20)
    kept.save(first.run)
    again = opening.opened(steps.listed([files / "*.pt"]), some)
    assert asked == [20, 20]
    assert again.run == first.run


def test_no_file_that_can_be_read_is_one_sentence(files):
    with pytest.raises(
        CannotCompute, match=r"None of the 1 files can be read\. First, epoch-3\.pt: Expected a checkpoint"
    ):
        opening.opened([files / "epoch-3.pt"])


def test_a_file_that_changed_since_is_not_taken_for_the_checkpoint(files):
    opened = opening.opened(steps.listed([files / "epoch-9.pt"]))
    network = opened.run.network(replace(opened.run.checkpoints[0], weights=hash_of(1)))
    with pytest.raises(CannotCompute, match="have changed since the run was swept"):
        network.module()


def test_a_run_s_name_belongs_to_its_folders(files, tmp_path):
    assert kept.name_of([files]) == kept.name_of([files, files]) != kept.name_of([tmp_path])
    assert kept.is_own(kept.name_of([files]))
