"""Perturbed images: their bounds, their direction on a planted network, and the effect of FGSM on the shipped networks."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from stiffcore.analysis import compute as analysis, perturbation
from stiffcore.conventions import Convention
from stiffcore.errors import CannotCompute
from stiffcore.images import cifar10, registry as images, uploaded as uploaded_images
from stiffcore.images.image import Image
from stiffcore.networks import manifest, registry as networks, resnets
from stiffcore.networks.network import Network
from stiffcore.storage import cache as result_cache
from tests.made_up.asked import asked_perturbation
from tests.made_up.spectra import made_up

IMAGE, OTHER = images.bundled()[:2]
RESNET18 = networks.find("resnet18")


@pytest.fixture(autouse=True)
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("STIFFCORE_CACHE", str(tmp_path / "cache"))
    perturbation._signs.cache_clear()
    yield
    perturbation._signs.cache_clear()


@pytest.fixture
def planted_losses(monkeypatch):
    """The network predicts label 3 for every image, and the loss is the mean grey level."""

    def all_losses(network, image):
        losses = np.full(10, 9.0)
        losses[3] = image.pixels.mean() / 1000
        return losses

    monkeypatch.setattr(analysis, "all_losses", all_losses)


class Linear(torch.nn.Module):
    """Scores that are linear in the input: the gradient of the loss is known."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.randn(10, 3 * 32 * 32, generator=torch.Generator().manual_seed(0)))

    def forward(self, x):
        return x.flatten(1) @ self.weight.T


def linear_signs(model: Linear, label: int | None) -> np.ndarray:
    """sign of Wᵀ (softmax(W x) − e_label), by numpy."""
    weight = model.weight.detach().double().numpy()
    x = RESNET18.normalised(IMAGE).double().numpy().ravel()
    scores = weight @ x
    shares = np.exp(scores - scores.max())
    shares /= shares.sum()
    shares[int(scores.argmax()) if label is None else label] -= 1
    return np.sign(weight.T @ shares).reshape(3, 32, 32).transpose(1, 2, 0)


@pytest.mark.parametrize("label_is_known", [True, False])
def test_fgsm_goes_up_the_gradient_of_a_network_that_is_known(label_is_known):
    model = Linear()
    network = Network("linear", "0" * 64, (), lambda: model)
    image = IMAGE if label_is_known else replace(IMAGE, label=None)
    clean = IMAGE.pixels.astype(int)
    moved = perturbation.fgsm(network, image, 3)
    assert np.mean(moved == np.clip(clean + 3 * linear_signs(model, image.label), 0, 255)) > 0.999  # float32 at a sign


def test_fgsm_raises_the_loss_of_what_ships_and_keeps_its_bound():
    first, k = images.bundled()[:6], 4
    clean = np.stack([image.pixels for image in first])
    moved = np.stack([perturbation.fgsm(RESNET18, image, k) for image in first])
    change = moved.astype(int) - clean
    assert np.abs(change).max() == k
    inside = (clean >= k) & (clean <= 255 - k)
    assert set(np.unique(np.abs(change)[inside])) <= {0, k}, "no value goes part of the way"
    labels = np.array([image.label for image in first])
    model = RESNET18.module()
    before, after = (resnets.predictions(model, x, labels)[1] for x in (clean, moved))
    assert np.sum(after > before) >= 5
    perturbation._signs.cache_clear()
    assert np.array_equal(perturbation.fgsm(RESNET18, first[0], k), moved[0]), "the same again"


def test_noise_is_seeded_and_as_large_as_asked_for():
    grey = Image.of(np.full((32, 32, 3), 128, np.uint8))
    first, again, other = (perturbation.noise(grey, 8, seed).astype(int) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert np.sqrt(np.mean((first - 128) ** 2)) == pytest.approx(8, rel=0.05)
    double = perturbation.noise(grey, 16, 1).astype(int)
    assert np.abs((double - 128) - 2 * (first - 128)).max() <= 2, "the same direction at every strength"


def test_noise_is_clipped_and_rounded():
    pixels = perturbation.noise(IMAGE, 64, 0)
    assert pixels.dtype == np.uint8
    assert pixels.shape == (32, 32, 3)
    assert {0, 255} <= set(np.unique(pixels))


def test_a_perturbed_image_is_an_own_image_that_is_found_again(planted_losses):
    request = asked_perturbation("resnet18", IMAGE.number, "noise", 4, 7)
    assert perturbation.stored(request) is None
    made = perturbation.compute(request)
    assert np.array_equal(made.image.pixels, perturbation.noise(IMAGE, 4, 7))
    assert made.image.label == IMAGE.label
    assert made.image.name == f"{IMAGE.name} + noise 4/255, seed 7"
    assert made.seen == (3, 3)
    assert images.find(made.image.number) == made.image
    uploaded_images.remove(made.image.number)
    again = perturbation.stored(request)
    assert (again.image, again.loss) == (made.image, made.loss)
    assert cifar10.is_available(again.image.number), "registered again"


def test_strength_nought_is_the_image_itself(planted_losses):
    made = perturbation.compute(asked_perturbation("resnet18", IMAGE.number, "noise", 0))
    assert made.image == IMAGE
    assert uploaded_images.known() == ()


def test_the_key_holds_what_determines_the_pixels():
    def key(**changed):
        return perturbation.key(
            asked_perturbation(
                **{"network": "resnet18", "image": IMAGE.number, "kind": "fgsm", "strength": 4} | changed
            )
        )

    assert key() == key(seed=5), "FGSM has no seed"
    others = [
        key(strength=5),
        key(kind="noise"),
        key(kind="noise", seed=1),
        key(network="resnet34"),
        key(image=OTHER.number),
    ]
    assert len({key(), *others}) == 6


@pytest.mark.parametrize(
    "changed", [{"kind": "jpeg"}, {"strength": -1}, {"strength": 65}, {"strength": 1.5}, {"seed": 1000}, {"image": -1}, {"network": "x"}]
)  # fmt: skip
def test_what_is_no_perturbation_is_refused(changed):
    with pytest.raises(CannotCompute, match="Expected"):
        perturbation.check(
            asked_perturbation(
                **{"network": "resnet18", "image": IMAGE.number, "kind": "fgsm", "strength": 1} | changed
            )
        )


def test_a_sweep_has_loss_and_metrics_at_every_strength(planted_losses, monkeypatch):
    computed, places = [], []

    def compute(request, progress=None, where="auto"):
        computed.append(request)
        places.append(where)
        progress(0, 1, "planted stage")
        result = made_up(request)
        notice = result_cache.default().put(request.key, result.header(), result.arrays)
        assert notice is None
        return result

    monkeypatch.setattr(analysis, "compute", compute)
    asked, stages = asked_perturbation("resnet18", IMAGE.number, "noise", 4), []
    assert perturbation.stored_sweep(asked, 8, Convention.BRANCH) is None
    table = perturbation.sweep(
        asked, 8, Convention.BRANCH, lambda done, total, what: stages.append((done, total)), where="cpu"
    )
    assert places == ["cpu"] * len(perturbation.SWEEP)
    assert table["strength"].tolist() == list(perturbation.SWEEP)
    assert table["image"].iloc[0] == IMAGE.number
    assert [request.image.number for request in computed] == table["image"].tolist()
    assert {request.block for request in computed} == {8}
    assert table["loss"].iloc[0] == pytest.approx(IMAGE.pixels.mean() / 1000)
    assert table["correct"].tolist() == [IMAGE.label == 3] * 5
    assert table["max_re"].tolist() == [0.25] * 5
    assert (max(done for done, _ in stages), {total for _, total in stages}) == (4, {5})
    assert perturbation.stored_sweep(asked, 8, Convention.BRANCH).equals(table)
    assert perturbation.stored_sweep(asked, 7, Convention.BRANCH) is None


def test_other_weights_are_another_perturbation(monkeypatch):
    def key():
        return perturbation.key(asked_perturbation("resnet18", IMAGE.number, "fgsm", 4))

    before, entry = key(), manifest.entry("resnet18")
    monkeypatch.setattr(manifest, "entry", lambda network: manifest.Entry(**vars(entry) | {"sha256": "0" * 64}))
    assert key() != before


def test_fgsm_climbs_the_loss_where_the_network_is_sure():
    """At image 131 the loss is 2e-10: float32 cross-entropy loses the gradient of the label's score, and 64 % of the signs."""
    network, image = networks.find("resnet18"), images.find(131)
    module = copy.deepcopy(network.module()).double()
    x = network.normalised(image)[None].double().requires_grad_()
    loss = torch.nn.functional.cross_entropy(module(x), torch.tensor([image.label]))
    (exact,) = torch.autograd.grad(loss, x)
    signs = torch.from_numpy(perturbation._signs(network, image).copy()).permute(2, 0, 1)
    assert loss.item() < 1e-9
    assert (signs == exact[0].sign()).double().mean() > 0.99
