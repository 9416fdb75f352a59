"""Training on a few synthetic images: reproducible, resumable, written in the form that ships."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors import safe_open

from stiffcore.errors import CannotCompute
from stiffcore.images import cifar10
from stiffcore.networks import resnets, training
from stiffcore.networks.training import Recipe

RECIPE = Recipe("resnet18", epochs=2, batch_size=4, peak_learning_rate=0.02)


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    """Training uses all cores; later tests use one."""
    monkeypatch.setattr(training.device, "training_device", lambda: torch.device("cpu"))


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
    torch.set_num_threads(1)
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
    accuracy = training.finish(uninterrupted, RECIPE, arrays, tmp_path / "w.safetensors", "2026-01-31")
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


def test_augmentation_crops_and_mirrors_only():
    """Every 32×32 result is a window of the image padded by reflection, or of its mirror image."""
    random = np.random.default_rng(1)
    image = cifar10.normalised(random.integers(0, 256, (1, 32, 32, 3), dtype=np.uint8))
    made = training.augmented(image.expand(40, -1, -1, -1), torch.Generator().manual_seed(0))
    padded = torch.nn.functional.pad(image, (4,) * 4, mode="reflect")[0]
    windows = [w[:, y : y + 32, x : x + 32] for w in (padded, padded.flip(-1)) for y in range(9) for x in range(9)]
    found = [next((at for at, window in enumerate(windows) if torch.equal(window, m)), None) for m in made]
    assert None not in found
    assert 10 < sum(at >= 81 for at in found) < 30
    assert len(set(found)) > 30
