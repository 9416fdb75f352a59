"""The smallest perturbations: known ones, and the batched attack against the plain loop."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from stiffcore.adversarial import attacks, compute, reference, requests
from stiffcore.adversarial.scores import BATCH, Scores, changed
from stiffcore.errors import CannotCompute
from stiffcore.images.image import Image
from tests.made_up import attacked

UP = requests.PER_LEVEL


def on_grid(levels: float) -> float:
    """The next step of the grid."""
    return math.ceil(levels * UP) / UP


@pytest.fixture
def results():
    def of(network, images):
        return {one.image.name: one for one in compute.compute_many(network, images, again=True)}

    return of


def test_of_a_linear_model_both_are_margin_over_the_sum_of_the_weights(results):
    """The smallest l∞ change of a linear score is |score| / ‖w‖₁, in pixels from 0 to 1; FGSM and PGD both find it."""
    rng = np.random.default_rng(0)
    weights, seen = rng.normal(size=(3, attacked.SIDE, attacked.SIDE)), attacked.image(1)
    score = float((weights * seen.pixels.transpose(2, 0, 1) / 255).sum())
    for wanted in (0.3, 1.9, 7.7):  # grey levels
        offset = wanted / 255 * np.abs(weights).sum() - score
        network = attacked.network(attacked.Linear(weights, offset), ("no", "yes"), f"linear {wanted}")
        (one,) = results(network, [seen]).values()
        assert one.margin == pytest.approx(wanted / 255 * np.abs(weights).sum(), rel=1e-4)
        assert (one.label, one.predicted, one.fgsm_seen, one.pgd_seen) == (1, 1, 0, 0)
        assert one.fgsm_step == one.pgd_radius == on_grid(wanted)
        assert one.fgsm_whole == math.ceil(wanted)


def test_pixels_at_the_edge_of_the_range_cannot_move_out_of_it(results):
    """Half of the values stand at 255 where uphill is up: the other half must move twice as far."""
    weights = -np.ones((3, attacked.SIDE, attacked.SIDE))
    pixels = np.full((attacked.SIDE, attacked.SIDE, 3), 100, np.uint8)
    pixels[: attacked.SIDE // 2] = 255
    score = float((weights * pixels.transpose(2, 0, 1) / 255).sum())
    network = attacked.network(attacked.Linear(weights, 2.3 / 255 * weights.size / 2 - score), ("no", "yes"), "edge")
    (one,) = results(network, [Image.of(pixels)]).values()
    assert one.fgsm_step == one.pgd_radius == on_grid(2.3)


def test_nothing_smaller_than_the_step_succeeds_though_something_larger_fails(results):
    """Success is not monotone in the step: here the prediction changes at 1 grey level and comes back at 2."""
    network = attacked.network(attacked.Wave(), ("in", "out"), "wave")
    pixels = np.full((attacked.SIDE, attacked.SIDE, 3), 128, np.uint8)
    (one,) = results(network, [Image.of(pixels)]).values()
    scores = Scores(network)
    signs = torch.ones(3, attacked.SIDE, attacked.SIDE) * (-1) ** int(one.signs[0] == 0)
    x = torch.from_numpy(pixels.transpose(2, 0, 1).astype(np.float32))
    hits = [
        bool(changed(scores.of(attacks.moved(x, signs, step)[None]), torch.tensor([one.label]))[0])
        for step in range(1, 3 * UP)
    ]
    first = hits.index(True) + 1
    assert False in hits[first:]
    assert one.fgsm_step == first / UP


@pytest.fixture(scope="module")
def conv():
    return attacked.network(attacked.convolutional())


@pytest.fixture(scope="module")
def images():
    return [attacked.image(seed) for seed in range(BATCH + 5)]  # a full batch and a part of one


def stand_ins(network, label: int):
    """The network as the reference asks for it: one image at a time, in a filled batch like everything else."""
    scores = Scores(network)

    def changes(pixels):
        return bool(changed(scores.of(torch.from_numpy(pixels)[None].float()), torch.tensor([label]))[0])

    def uphill(pixels):
        return scores.with_gradient(torch.from_numpy(pixels)[None].float(), torch.tensor([label]))[1][0].numpy()

    return changes, uphill


def test_the_batched_attack_equals_the_plain_loop(conv, images, results):
    found = results(conv, images)
    assert len(found) == len(images)
    for image in images[::5]:
        one = found[image.name]
        x = image.pixels.transpose(2, 0, 1).astype(np.float32)
        changes, uphill = stand_ins(conv, one.label)
        assert one.fgsm_step == reference.fgsm_step(x, changes, uphill)
        assert one.fgsm_whole == reference.fgsm_step(x, changes, uphill, whole=True)
        begin = attacks.start(image, x.shape).numpy() / requests.PARTS
        assert one.pgd_radius == reference.pgd_radius(x, begin, one.fgsm_step, changes, uphill)
    assert len({one.fgsm_step for one in found.values()}) > 4  # they differ


def test_the_radius_changes_the_prediction_and_an_eighth_less_does_not(conv, images, results):
    found = results(conv, images)
    finite = [one for one in found.values() if math.isfinite(one.pgd_radius)]
    assert len(finite) > len(images) / 2
    for one in finite[::5]:
        x = one.image.pixels.transpose(2, 0, 1).astype(np.float32)
        begin = attacks.start(one.image, x.shape).numpy() / requests.PARTS
        about = stand_ins(conv, one.label)
        assert one.pgd_radius <= one.fgsm_step
        if one.pgd_radius < one.fgsm_step:
            assert reference.pgd_succeeds(x, begin, one.pgd_radius, *about)
        if one.pgd_radius > 1 / UP:
            assert not reference.pgd_succeeds(x, begin, one.pgd_radius - 1 / UP, *about)


def test_the_perturbed_image_keeps_to_the_ball_and_the_range_and_float64_agrees(conv, images):
    scores = Scores(conv)
    prepared = []
    for at in range(0, BATCH):
        for one, _ in attacks.clean(scores, conv, [(at, images[at])]):
            attacks.fgsm(scores, one)
            prepared.append(one)
    for one in attacks.pgd(scores, prepared):
        for found in filter(None, (one.fgsm, one.whole, one.pgd)):
            assert (found.pixels - one.pixels).abs().max() <= found.step / UP
            assert 0 <= found.pixels.min() <= found.pixels.max() <= 255
            assert scores.confirms(found.pixels, one.label)
        assert not scores.confirms(one.pixels, one.label)


def test_an_image_alone_and_among_others_gives_the_same_numbers(conv, images, results):
    together, backwards = results(conv, images), results(conv, images[::-1])
    alone = results(conv, images[7:8])
    assert together == backwards
    assert together[images[7].name] == alone[images[7].name]


def test_another_seed_may_give_another_radius(images):
    drawn = attacks.start(images[0], (3, 8, 8)), attacks.start(images[0], (3, 8, 8), seed=1)
    assert not torch.equal(*drawn)
    assert torch.equal(drawn[0], attacks.start(images[0], (3, 8, 8)))
    assert drawn[0].abs().max() <= requests.PARTS


def test_a_wrong_prediction_has_no_radius_and_says_why(conv, images, results):
    predicted = results(conv, images[:1])[images[0].name].predicted
    wrong = Image.of(images[0].pixels, "wrong", (predicted + 1) % len(attacked.CLASSES))
    one = results(conv, [wrong, images[1]])["wrong"]
    assert np.isnan([one.fgsm_step, one.fgsm_whole, one.pgd_radius]).all()
    assert one.reason == compute.WRONG
    assert one.margin < 0
    assert not one.correct


def test_what_nothing_changes_is_infinite_and_not_missing(results):
    weights = np.full((3, attacked.SIDE, attacked.SIDE), 1e-3)
    network = attacked.network(attacked.Linear(weights, 5.0), ("no", "yes"), "sure")
    (one,) = results(network, [attacked.image(4)]).values()
    assert one.fgsm_step == one.fgsm_whole == one.pgd_radius == math.inf
    assert one.reason is None
    assert one.pgd_seen == one.fgsm_seen == -1


def test_networks_without_a_head_and_resized_images_are_refused(conv):
    with pytest.raises(CannotCompute, match="without one"):
        requests.check(replace(conv, classes=()))
    with pytest.raises(CannotCompute, match="not resized"):
        requests.check(replace(conv, preprocessing=replace(conv.preprocessing, resizes=True)))
    with pytest.raises(CannotCompute, match="8 × 8"):
        list(compute.compute_many(conv, [Image.of(np.zeros((32, 32, 3), np.uint8))]))
