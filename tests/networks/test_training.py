"""Training on a few synthetic images: reproducible, resumable, written in the form that ships."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from stiffcore.errors import CannotCompute
from stiffcore.images import cifar10
from stiffcore.networks import resnets
from stiffcore.networks.training import files as trained_files, loop as training
from stiffcore.networks.training.files import Snapshots
from stiffcore.networks.training.recipes import Recipe

RECIPE = Recipe("resnet18", epochs=2, batch_size=4, peak_learning_rate=0.02)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Training uses all cores; these tests and later ones use one. The accuracy of a snapshot is of 20 images."""
    few = cifar10.bundled()[:20]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training.device, "training_device", lambda: torch.device("cpu"))
        patch.setattr(cifar10, "bundled", lambda: few)
        torch.set_num_threads(1)
        yield


@pytest.fixture(scope="module")
def arrays() -> dict[str, np.ndarray]:
    """Two classes that differ in brightness, 8 training and 20 test images."""
    random = np.random.default_rng(0)

    def images(labels):
        return (random.integers(0, 128, (len(labels), 32, 32, 3)) + 127 * labels[:, None, None, None]).astype(np.uint8)

    train, test = np.arange(8) % 2, np.arange(20) % 2
    return {"train_images": images(train), "train_labels": train, "test_images": images(test), "test_labels": test}


def same(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    return resnets.tensors_sha256(a.state_dict()) == resnets.tensors_sha256(b.state_dict())


@pytest.fixture(scope="module")
def uninterrupted(arrays, tmp_path_factory):
    checkpoint = tmp_path_factory.mktemp("training") / "c.safetensors"
    return training.train(RECIPE, arrays, checkpoint, compiled=False)


def test_an_interrupted_run_that_goes_on_ends_with_the_same_weights(arrays, uninterrupted, tmp_path):
    seen = []

    def stops_in_the_second_epoch(done, total, what):
        seen.append((done, total))
        if done == 3:
            raise KeyboardInterrupt

    checkpoint = tmp_path / "c.safetensors"
    with pytest.raises(KeyboardInterrupt):
        training.train(RECIPE, arrays, checkpoint, progress=stops_in_the_second_epoch, compiled=False)
    assert seen == [(0, 4), (1, 4), (2, 4), (2, 4), (3, 4)]
    assert training.epochs_done(checkpoint, RECIPE) == 1
    resumed = training.train(RECIPE, arrays, checkpoint, compiled=False)
    assert same(resumed, uninterrupted)


def test_the_seed_decides(arrays, uninterrupted, tmp_path):
    other = training.train(replace(RECIPE, seed=1), arrays, tmp_path / "c.safetensors", compiled=False)
    assert not same(other, uninterrupted)


def test_what_is_written_is_what_was_measured(arrays, uninterrupted, tmp_path):
    accuracy = trained_files.finish(uninterrupted, RECIPE, arrays, tmp_path / "w.safetensors", "2026-01-31")
    tensors = resnets.read_tensors(tmp_path / "w.safetensors")
    resnets.check_state(tensors, uninterrupted.state_dict(), "what was written")
    assert {t.dtype for t in tensors.values()} == {torch.float16, torch.int64}
    model = resnets.with_weights("resnet18", tensors, "")
    assert accuracy == np.mean(resnets.predictions(model, arrays["test_images"])[0] == arrays["test_labels"])
    with safe_open(tmp_path / "w.safetensors", "pt") as file:
        metadata = file.metadata()
    assert Recipe(**json.loads(metadata["recipe"])) == RECIPE
    assert (metadata["epochs"], metadata["date"], float(metadata["accuracy"])) == ("2", "2026-01-31", accuracy)


def test_it_goes_on_from_given_weights(arrays, uninterrupted, tmp_path):
    """At a tiny learning rate the parameters do not change."""
    recipe = replace(RECIPE, epochs=1, peak_learning_rate=1e-12, start_from="given")
    model = training.train(recipe, arrays, tmp_path / "c.safetensors", uninterrupted.state_dict(), compiled=False)
    for name, parameter in uninterrupted.named_parameters():
        assert torch.allclose(model.get_parameter(name), parameter, atol=1e-7)


def test_a_checkpoint_of_another_recipe_is_refused(arrays, uninterrupted, tmp_path):
    checkpoint = tmp_path / "c.safetensors"
    training._save_checkpoint(uninterrupted, training._optimiser(uninterrupted, RECIPE), checkpoint, RECIPE, 1)
    with pytest.raises(CannotCompute, match="got epochs 2 in place of 3: name another checkpoint file"):
        training.train(replace(RECIPE, epochs=3), arrays, checkpoint, compiled=False)


def rewritten(checkpoint, change) -> None:
    """A checkpoint whose recipe's fields are changed."""
    with safe_open(checkpoint, "pt") as file:
        tensors, metadata = {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118
    recipe = json.loads(metadata["recipe"])
    change(recipe)
    save_file(tensors, checkpoint, metadata | {"recipe": json.dumps(recipe)})


def test_a_checkpoint_from_before_the_padding_could_be_chosen_goes_on(uninterrupted, tmp_path):
    checkpoint = tmp_path / "c.safetensors"
    training._save_checkpoint(uninterrupted, training._optimiser(uninterrupted, RECIPE), checkpoint, RECIPE, 1)
    rewritten(checkpoint, lambda recipe: recipe.pop("padding"))
    assert training.epochs_done(checkpoint, RECIPE) == 1
    with pytest.raises(CannotCompute, match="got padding 4 in place of 2: name another checkpoint file"):
        training.epochs_done(checkpoint, replace(RECIPE, padding=2))
    rewritten(checkpoint, lambda recipe: recipe.update(mixup=0.2))
    with pytest.raises(CannotCompute, match=r"got mixup 0.2 in place of None: name another"):
        training.epochs_done(checkpoint, RECIPE)
    rewritten(checkpoint, lambda recipe: recipe.pop("momentum"))
    with pytest.raises(CannotCompute, match=r"got momentum None in place of 0.9"):
        training.epochs_done(checkpoint, RECIPE)


@pytest.fixture(scope="module")
def snapshots(arrays, tmp_path_factory):
    """Of an uninterrupted run: the weights at its end are compared with those of a run without snapshots."""
    made = Snapshots(tmp_path_factory.mktemp("run"), (0, 1, 2), RECIPE)
    model = training.train(RECIPE, arrays, made.folder / "c.safetensors", compiled=False, after=made)
    return made, model


def read(path) -> tuple[dict, dict]:
    with safe_open(path, "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118


def test_snapshots_do_not_change_the_training(snapshots, uninterrupted):
    made, model = snapshots
    assert same(model, uninterrupted)
    assert sorted(path.name for path in made.folder.glob("epoch*")) == [f"epoch-00{at}.safetensors" for at in range(3)]


def test_a_snapshot_is_the_state_in_float16_with_its_accuracy(snapshots, uninterrupted):
    made, _ = snapshots
    tensors, metadata = read(made.path(2))
    expected = trained_files.float16_state(uninterrupted)
    assert resnets.tensors_sha256(tensors) == resnets.tensors_sha256(expected)
    torch.manual_seed(RECIPE.seed)
    first = trained_files.float16_state(resnets.build("resnet18"))
    assert resnets.tensors_sha256(read(made.path(0))[0]) == resnets.tensors_sha256(first)
    assert Recipe(**json.loads(metadata["recipe"])) == RECIPE
    assert (metadata["network"], metadata["epoch"]) == ("resnet18", "2")
    images = np.stack([cifar10.image(index) for index in cifar10.bundled()])
    labels = np.array([cifar10.label(index) for index in cifar10.bundled()])
    seen, _ = resnets.predictions(resnets.with_weights("resnet18", expected, ""), images)
    assert float(metadata["accuracy_bundled"]) == (seen == labels).mean()


@pytest.mark.parametrize("when", ["in the second epoch", "between the snapshot and the checkpoint"])
def test_an_interrupted_run_ends_with_the_same_snapshots(when, snapshots, arrays, tmp_path, monkeypatch):
    made = Snapshots(tmp_path / "run", (0, 1, 2), RECIPE)
    save = training._save_checkpoint

    def interrupted(model, optimiser, path, recipe, done):
        if when.startswith("between") and done == 2:
            raise KeyboardInterrupt
        save(model, optimiser, path, recipe, done)

    def stops(done, total, what):
        if when.startswith("in the second") and done == 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(training, "_save_checkpoint", interrupted)
        with pytest.raises(KeyboardInterrupt):
            training.train(RECIPE, arrays, tmp_path / "c.safetensors", progress=stops, compiled=False, after=made)
    made.check(training.epochs_done(tmp_path / "c.safetensors", RECIPE))
    training.train(RECIPE, arrays, tmp_path / "c.safetensors", compiled=False, after=made)
    for epoch in made.epochs:
        (tensors, metadata), (expected, as_before) = read(made.path(epoch)), read(snapshots[0].path(epoch))
        assert metadata == as_before
        assert resnets.tensors_sha256(tensors) == resnets.tensors_sha256(expected)


def test_snapshots_that_cannot_be_made_again_are_named(tmp_path):
    made = Snapshots(tmp_path, (0, 1, 2), RECIPE)
    made.check(0)
    with pytest.raises(
        CannotCompute, match=r"snapshots of epochs 0, 1 from before the interruption .*: leave these epochs out"
    ):
        made.check(1)


def test_snapshots_of_another_training_are_not_replaced(snapshots, tmp_path):
    made, _ = snapshots
    with pytest.raises(
        CannotCompute, match=r"Expected snapshots of this recipe in .*, got seed 0 in place of 1: name another"
    ):
        Snapshots(made.folder, (2,), replace(RECIPE, seed=1)).check(0)
    for content in (b"", b"mine", b"\xff" * 100):
        other = Snapshots(tmp_path, (2,), RECIPE)
        other.path(2).write_bytes(content)
        with pytest.raises(CannotCompute, match="got another file: move it away"):
            other.check(0)
        assert other.path(2).read_bytes() == content


def test_a_snapshot_that_cannot_be_written_is_one_sentence(uninterrupted, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CannotCompute, match=r"cannot be written .*: make room, and run the command again to continue"):
        Snapshots(tmp_path / "file", (0,), RECIPE)(uninterrupted, 0)


@pytest.mark.parametrize(
    ("text", "epochs", "expected"),
    [
        ("", 30, (0, 1, 2, 3, 5, 8, 12, 16, 20, 24, 27, 30)),
        ("", 4, (0, 1, 2, 3, 4)),
        ("", 60, (0, 1, 2, 3, 5, 8, 12, 16, 20, 24, 27, 30, 60)),
        (" 5,0 ,5", 30, (0, 5)),
    ],
)
def test_epochs_of_snapshots(text, epochs, expected):
    assert trained_files.snapshot_epochs(text, Recipe("resnet18", epochs=epochs)) == expected


@pytest.mark.parametrize("text", ["31", "-1", "1.5", "0,,1", "x", "9" * 5000, "\u0661"])
def test_epochs_that_a_training_does_not_reach_are_refused(text):
    with pytest.raises(CannotCompute, match="Expected epochs of the snapshots from 0 to 30 like 0,1,5, got"):
        trained_files.snapshot_epochs(text, Recipe("resnet18"))


@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"\xff" * 100])
def test_a_damaged_checkpoint_is_refused(content, tmp_path):
    (tmp_path / "c.safetensors").write_bytes(content)
    with pytest.raises(CannotCompute, match=r"Expected a training checkpoint .* remove it to start again"):
        training.epochs_done(tmp_path / "c.safetensors", RECIPE)


def test_a_loss_that_leaves_the_numbers_stops_the_run(arrays, uninterrupted, tmp_path):
    start = uninterrupted.state_dict() | {"fc.bias": torch.full((10,), math.nan)}
    with pytest.raises(CannotCompute, match="The training loss in epoch 1 is nan: lower the learning rate"):
        training.train(RECIPE, arrays, tmp_path / "c.safetensors", start, compiled=False)
    assert not (tmp_path / "c.safetensors").exists()


@pytest.mark.parametrize(
    "bad",
    [
        {"epochs": 0},
        {"batch_size": 1},
        {"peak_learning_rate": 0.0},
        {"peak_learning_rate": math.nan},
        {"warmup": math.nan},
        {"warmup": -0.1},
        {"warmup": 5.0},
        {"weight_decay": -1e-4},
        {"weight_decay": math.nan},
        {"padding": -1},
        {"padding": 32},
    ],
)
def test_a_recipe_that_cannot_train_is_refused(bad):
    with pytest.raises(CannotCompute, match=f"Expected {next(iter(bad))} "):
        Recipe("resnet18", **bad)


def test_fewer_images_than_a_batch_are_refused(arrays, tmp_path):
    with pytest.raises(CannotCompute, match="Expected at least 128 training images"):
        training.train(Recipe("resnet18"), arrays, tmp_path / "c.safetensors", compiled=False)


@pytest.mark.parametrize("warmup", [0.0, 1.0])
def test_no_warm_up_and_nothing_but_warm_up_are_recipes(warmup):
    rates = [training.learning_rate(Recipe("resnet18", warmup=warmup), step, 10) for step in range(10)]
    assert max(rates) == (rates[-1] if warmup else rates[0]) == 0.1


def test_the_learning_rate_rises_to_its_peak_and_falls_to_nothing():
    rates = [training.learning_rate(Recipe("resnet18"), step, 100) for step in range(100)]
    assert rates.index(max(rates)) in (19, 20)
    assert max(rates) == 0.1
    assert rates[0] == pytest.approx(0.1 / 20)
    assert rates[59 + 1] == pytest.approx(0.05)  # halfway down the cosine
    assert rates[-1] < 1e-4
    assert rates == sorted(rates[:20]) + sorted(rates[20:], reverse=True)


@pytest.mark.parametrize("padding", [0, 1, 4])
def test_augmentation_crops_and_mirrors_only(padding):
    """Every 32×32 result is a window of the image padded by reflection, or of its mirror image."""
    random = np.random.default_rng(1)
    image = cifar10.normalised(random.integers(0, 256, (1, 32, 32, 3), dtype=np.uint8))
    made = training.augmented(image.expand(40, -1, -1, -1), torch.Generator().manual_seed(0), padding)
    padded = torch.nn.functional.pad(image, (padding,) * 4, mode="reflect")[0]
    places = range(2 * padding + 1)
    windows = [w[:, y : y + 32, x : x + 32] for w in (padded, padded.flip(-1)) for y in places for x in places]
    found = [next((at for at, window in enumerate(windows) if torch.equal(window, m)), None) for m in made]
    assert None not in found
    assert 10 < sum(at >= len(windows) // 2 for at in found) < 30
    assert len(set(found)) > {0: 1, 1: 12, 4: 30}[padding]


def test_the_weight_decay_of_the_recipe_is_used(uninterrupted):
    optimiser = training._optimiser(uninterrupted, replace(RECIPE, weight_decay=0.02))
    assert [group["weight_decay"] for group in optimiser.param_groups] == [0.02, 0.0]


def test_the_padding_of_the_recipe_is_used(arrays, tmp_path, monkeypatch):
    used = []
    augmented = training.augmented
    monkeypatch.setattr(training, "augmented", lambda x, g, *how: used.append(how) or augmented(x, g, *how))
    training.train(replace(RECIPE, epochs=1, padding=2), arrays, tmp_path / "c.safetensors", compiled=False)
    assert used == [(2, "reflection")] * 2
