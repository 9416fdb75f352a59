"""A file is read as its network was trained: with or without max-pool, under the right normalisation, or in doubt."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from stiffcore.checkpoints import inspect as checkpoints
from stiffcore.checkpoints.reading import choose as readings, kept as kept_readings, measuring
from stiffcore.checkpoints.reading.candidates import in_file
from stiffcore.checkpoints.reading.normalisations import NORMALISATIONS
from stiffcore.errors import Cancelled, CannotCompute
from stiffcore.images import cifar10
from stiffcore.networks import baselines, catalogue, manifest, modules, resnets
from stiffcore.progress import silent

POOLED = catalogue.ARCHITECTURES["resnet18"]
PLAIN = replace(POOLED, stem="3x3")
IMAGES = 60  # of those that ship
RESNET20 = catalogue.ARCHITECTURES["resnet20"]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Readings are kept in a folder of their own, and made on fewer images."""
    images = cifar10.bundled()[:IMAGES]
    monkeypatch.setattr(cifar10, "bundled", lambda: images)
    monkeypatch.setattr(readings, "FIRST", 20)
    monkeypatch.setattr(readings, "THEN", IMAGES)
    monkeypatch.setenv("STIFFCORE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "own" / "readings"


@pytest.fixture(scope="module")
def zoo() -> dict[str, torch.Tensor]:
    """Trained with max-pool, CIFAR-10's normalisation and random crops from a black border."""
    return load_file(manifest.FOLDER / "zoo" / "resnet18.safetensors")


def folded(state, normalisation) -> dict[str, torch.Tensor]:
    """The same network for images under another normalisation: away from the border, where padding is 0, not the mean."""
    ours = NORMALISATIONS["cifar10"]
    scale = torch.tensor(normalisation.standard_deviation).double() / torch.tensor(ours.standard_deviation).double()
    mean = (torch.tensor(normalisation.mean).double() - torch.tensor(ours.mean).double()) / torch.tensor(
        normalisation.standard_deviation
    ).double()
    weight = state["conv1.weight"].double() * scale[:, None, None]
    shift = (weight * mean[:, None, None]).sum((1, 2, 3))
    return dict(state) | {
        "conv1.weight": weight.float(),
        "bn1.running_mean": (state["bn1.running_mean"].double() - shift).float(),
    }


def test_a_network_with_max_pool_is_read_with_it_and_the_others_are_named(zoo):
    reading = readings.best(zoo, (PLAIN, POOLED))
    assert reading.architecture == POOLED
    assert reading.preprocessing.mean == cifar10.MEAN
    assert reading.preprocessing.standard_deviation == cifar10.STANDARD_DEVIATION
    assert reading.accuracy > 0.9
    assert reading.doubt == ""
    assert reading.sentence.startswith("Read with max-pool, with CIFAR-10's normalisation: right at 9")
    assert "; next best, with max-pool, with " in reading.sentence
    model = resnets.with_weights(POOLED, zoo, "")
    images = np.stack([cifar10.image(index) for index in cifar10.bundled()])
    labels = np.array([cifar10.label(index) for index in cifar10.bundled()])
    predicted, loss = resnets.predictions(model, images, labels)
    assert list(reading.predicted) == list(cifar10.bundled())
    assert np.mean(np.array(list(reading.predicted.values())) == predicted) > 0.99
    assert list(reading.loss.values()) == pytest.approx(list(loss), rel=1e-3, abs=1e-4)


@pytest.mark.parametrize("name", ["std-0.2023", "0-to-255"])
def test_the_normalisation_of_training_is_found(name, zoo):
    state = folded(zoo, NORMALISATIONS[name])
    reading = readings.best(state, (POOLED, PLAIN))
    assert (reading.architecture, reading.preprocessing.mean) == (POOLED, NORMALISATIONS[name].mean)
    assert reading.preprocessing.standard_deviation == NORMALISATIONS[name].standard_deviation
    assert reading.accuracy > 0.85
    assert reading.doubt == ""


def test_where_only_the_stem_is_open_the_statistics_of_one_without_pool_decide():
    """An untrained network with the statistics of its own images: no accuracy tells, but the statistics do."""
    torch.manual_seed(0)
    images = np.stack([cifar10.image(index) for index in cifar10.bundled()])
    headless = replace(PLAIN, depths=(1, 1, 1, 1), widths=(8, 16, 32, 64), stem_channels=8, classes=0)
    model = modules.build(headless)
    statistics = baselines.estimated_statistics(model, images)
    state = {
        name: value.float() if value.is_floating_point() else value
        for name, value in (model.state_dict() | statistics).items()
    }
    reading = readings.best(state, (replace(headless, stem="3x3-pool"), headless))
    assert reading.architecture == headless
    assert reading.preprocessing.standard_deviation == cifar10.STANDARD_DEVIATION
    assert (reading.accuracy, reading.predicted, reading.doubt) == (None, {}, "")
    assert reading.sentence == (
        "Read without max-pool, with CIFAR-10's normalisation, chosen by the statistics of its batch norms; it has no head, so that no "
        "accuracy was measured."
    )


def test_what_nothing_decides_is_in_doubt():
    """Statistics that no images have, and no head."""
    torch.manual_seed(0)
    headless = replace(PLAIN, depths=(1, 1, 1, 1), widths=(8, 16, 32, 64), stem_channels=8, classes=0)
    state = modules.build(headless).state_dict()
    reading = readings.best(state, (headless, replace(headless, stem="3x3-pool")))
    assert "could not be measured, because it has no head" in reading.doubt
    assert "normalisation" in reading.doubt


def test_an_untrained_network_is_in_doubt():
    torch.manual_seed(0)
    reading = readings.best(modules.build(RESNET20).state_dict(), (RESNET20,))
    assert reading.accuracy < 0.3
    assert reading.doubt.startswith("It is right at only ")


def test_two_readings_that_are_equally_right_are_in_doubt(monkeypatch, zoo):
    """Where the statistics do not decide."""
    monkeypatch.setattr(measuring.Examiner, "misfit", lambda self, architecture, preprocessing: 0.5)
    reading = readings.best(zoo, (POOLED, PLAIN))
    assert reading.architecture == POOLED
    assert reading.accuracy > 0.9
    assert reading.doubt.startswith("Read with max-pool, with ")
    assert "nearly the same, and its eigenvalues are others" in reading.doubt


def test_statistics_never_overrule_accuracy(monkeypatch, zoo):
    monkeypatch.setattr(measuring.Examiner, "misfit", lambda self, architecture, preprocessing: 0.01 if architecture == PLAIN and preprocessing.mean == cifar10.MEAN and preprocessing.standard_deviation == cifar10.STANDARD_DEVIATION else 2.0)  # fmt: skip
    assert readings.best(zoo, (POOLED, PLAIN)).architecture == POOLED


def test_stem_and_normalisation_can_be_overruled(zoo):
    reading = readings.best(zoo, (POOLED, PLAIN), stem="none", normalisation="half")
    assert reading.architecture == PLAIN
    assert reading.preprocessing.mean == (0.5, 0.5, 0.5)
    assert reading.accuracy < 0.5
    assert "right at only" in reading.doubt
    for wrong in ({"stem": "x"}, {"normalisation": "x"}):
        with pytest.raises(CannotCompute, match="got 'x': choose one of them"):
            readings.best(zoo, (POOLED,), **wrong)


def test_the_files_own_normalisation_is_used(tmp_path, zoo):
    half = NORMALISATIONS["half"]
    own = {
        "normalizer.new_mean": torch.tensor(half.mean).view(3, 1, 1),
        "normalizer.new_std": torch.tensor(half.standard_deviation).view(3, 1, 1),
    }
    save_file({f"model.{k}": v for k, v in folded(zoo, half).items()} | own, tmp_path / "a.safetensors")
    network = checkpoints.network_in(tmp_path / "a.safetensors")
    assert network.preprocessing.mean == half.mean
    assert "with the file's own normalisation" in network.reading
    assert network.architecture == "resnet18"


@pytest.mark.parametrize(
    ("mean", "std", "found"),
    [
        ((0.5, 0.5, 0.5), (0.25, 0.25, 0.25), (0.5, 0.5, 0.5)),
        ((127.5, 127.5, 127.5), (63.75, 63.75, 63.75), (0.5, 0.5, 0.5)),
        ((0.5, 0.5, 0.5), (0.25, 0.0, 0.25), None),
        ((float("nan"), 0.5, 0.5), (0.25, 0.25, 0.25), None),
    ],
)
def test_numbers_that_are_no_normalisation_are_not_used(mean, std, found):
    normaliser = in_file(torch.tensor(mean), torch.tensor(std))
    assert (normaliser.mean if normaliser else None) == found


def test_a_file_is_tested_once(monkeypatch, zoo, folder):
    first = readings.best(zoo, (POOLED,), stem="pool", normalisation="cifar10")
    monkeypatch.setattr(measuring, "Examiner", None)  # a second test would fail
    assert readings.best(zoo, (POOLED,), stem="pool", normalisation="cifar10") == first
    with pytest.raises(TypeError):
        readings.best(zoo, (POOLED,), stem="pool", normalisation="half")
    assert len(list(folder.iterdir())) == 1


@pytest.mark.parametrize(
    "change",
    [{"chosen": 7}, {"chosen": True}, {"sentence": "x" * 700}, {"doubt": "a\nb"}, {"accuracy": "1"}, {"predicted": [3]},
     {"predicted": [11] * IMAGES}, {"loss": [None] * IMAGES}, {"more": 1}, {"loss": 3}],
)  # fmt: skip
def test_a_kept_reading_that_somebody_changed_is_not_used(change, folder):
    kept_readings.keep("a", kept_readings.Kept(0, "Read.", "", 0.5, (3,) * IMAGES, (0.5,) * IMAGES))
    path = folder / "a.json"
    assert kept_readings.find("a", 1) is not None
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    assert kept_readings.find("a", 1) is None


@pytest.mark.parametrize("content", [b"", b"[" * 100_000, b"\xff", b"[]", b"null"])
def test_a_damaged_kept_reading_is_not_used(content, folder):
    folder.mkdir(parents=True)
    (folder / "a.json").write_bytes(content)
    assert kept_readings.find("a", 1) is None


def test_only_so_many_readings_are_kept(monkeypatch, folder):
    monkeypatch.setattr(kept_readings, "MOST", 3)
    for number in range(5):
        kept_readings.keep(str(number), kept_readings.Kept(0, "Read.", "", None, (), ()))
    assert len(list(folder.iterdir())) == 3


@pytest.mark.parametrize("stage", ["comparing batch-norm statistics", "trying ways", "self-test"])
def test_each_stage_can_be_cancelled(stage, zoo, folder):
    def progress(done, total, what):
        if what.startswith(stage):
            raise Cancelled(stage)

    before = torch.get_num_threads()
    with pytest.raises(Cancelled):
        readings.best(zoo, (POOLED, PLAIN), progress=progress)
    assert torch.get_num_threads() == before
    assert not folder.exists()


def test_imagenets_networks_are_read_as_usual_and_nothing_is_measured():
    imagenet = replace(POOLED, stem="7x7-pool", classes=1000)
    state = resnets.template(imagenet).state_dict()
    state = {name: torch.ones(value.shape, dtype=value.dtype) for name, value in state.items()}
    reading = readings.best(state, (imagenet, replace(imagenet, stem="7x7")))
    assert reading.architecture == imagenet
    assert reading.preprocessing.image_size == 224
    assert reading.preprocessing.mean == NORMALISATIONS["imagenet"].mean
    assert "nothing was measured" in reading.sentence
    assert reading.doubt == ""


def test_scores_that_are_not_finite_are_in_doubt():
    torch.manual_seed(0)
    state = modules.build(RESNET20).state_dict()
    state["fc.weight"] *= 1e38
    reading = readings.best(state, (RESNET20,), normalisation="cifar10", progress=silent)
    assert "not finite" in reading.doubt
    assert not reading.predicted
