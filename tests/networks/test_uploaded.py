"""Uploaded networks: registered after a self-test, found by name everywhere, limited in number, checked again on disk."""

import dataclasses
import json
import os

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save

from pages.shared.state import controls
from stiffcore.analysis import compute as analysis
from stiffcore.checkpoints import inspect as checkpoints, register
from stiffcore.checkpoints.reading import choose as readings
from stiffcore.commands import analyse_table, main as command_line
from stiffcore.conventions import Convention
from stiffcore.errors import Cancelled, CannotCompute
from stiffcore.images import cifar10, uploaded as uploaded_images
from stiffcore.networks import (
    catalogue,
    manifest,
    modules,
    registry as networks,
    resnets,
    uploaded as uploaded_networks,
)
from stiffcore.storage import uploads
from stiffcore.sweeps import shipping
from tests.made_up import readings as readings_made_up, spectra as spectra_made_up
from tests.made_up.asked import asked


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("STIFFCORE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "own" / "weights"


@pytest.fixture(scope="module")
def content() -> bytes:
    """ResNet18's shipped weights with one bias changed, so that they are new."""
    state = load_file(manifest.FOLDER / "resnet18.safetensors")
    return save(state | {"fc.bias": state["fc.bias"] + 0.01})


@pytest.fixture
def quick_test(monkeypatch):
    """A reading without a forward pass."""
    monkeypatch.setattr(readings, "best", readings_made_up.quick())


def made_up(number: int, **changes) -> uploaded_networks.UploadedWeights:
    sha256 = f"{number:064x}"[::-1]
    architecture = catalogue.ARCHITECTURES["resnet34"]
    own = uploaded_networks.UploadedWeights(
        uploaded_networks.name_of(architecture, sha256), f"net {number}", sha256, "made up", 0.1, (0, 1), (3, 8), (0.5, 0.25),
        1e9 + number, architecture, reading="Read as made up.", doubt="",
    )  # fmt: skip
    return dataclasses.replace(own, **changes)


def test_a_checkpoint_becomes_a_network_with_its_own_accuracy(content, monkeypatch):
    """From file to network, with the real self-test, on fewer images."""
    stages, images = [], cifar10.bundled()[:100]
    monkeypatch.setattr(cifar10, "bundled", lambda: images)
    made = register.register(content, "best model.pt", lambda done, total, what: stages.append((done, total, what)))
    own = made.own
    model, _ = checkpoints.load(content)
    assert own.sha256 == resnets.weights_sha256(model) != manifest.entry("resnet18").sha256
    assert own.network == f"resnet18-own-{own.sha256[:12]}"
    assert own == uploaded_networks.find(own.network)
    assert uploaded_networks.known() == (own,)
    labels, shipped = np.array([cifar10.label(image) for image in images]), manifest.entry("resnet18").predicted
    assert own.accuracy_bundled == (np.array(own.predicted) == labels).mean()
    assert np.mean([shipped[image] == seen for image, seen in zip(images, own.predicted)]) > 0.98, (
        "nearly the same network"
    )
    assert (50, 100, "self-test on the images that ship") in stages
    loaded, network = resnets.load(own.network), networks.find(own.network)
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in loaded.state_dict().items())
    assert own.reading.startswith("Read with max-pool, with CIFAR-10's normalisation: right at 9")
    assert (network.reading, network.doubt, network.architecture) == (own.reading, "", "resnet18")
    assert resnets.weights_sha256(loaded) == own.sha256
    assert (network.predicted[images[5]], network.loss[images[5]]) == (
        own.predicted[5],
        own.loss[5],
    )


def test_everything_that_takes_a_network_takes_an_uploaded_one(content, quick_test):
    network = register.register(content, "../x<b>.pt").own.network
    assert catalogue.architecture(network) == "resnet18"
    assert catalogue.blocks(network) == catalogue.blocks("resnet18")
    entry = manifest.entry(network)
    assert (entry.accuracy, entry.accuracy_bundled, len(entry.predicted)) == (None, 0.5, 1000)
    assert asked(network, 0, 8, "branch").checked().network.name == network
    assert asked(network, 0, 8, "branch").key != asked("resnet18", 0, 8, "branch").key
    assert controls.NETWORK_TITLES[network] == "ResNet18, uploaded: /x_b_.pt"
    assert list(controls.NETWORK_TITLES) == [*catalogue.NETWORKS, network]
    assert len(controls.NETWORK_TITLES) == len(catalogue.NETWORKS) + 1
    assert controls.NETWORK_TITLES["resnet18-untrained"] == "ResNet18, untrained"


def test_a_network_with_a_long_name_is_found_again(content, quick_test):
    own = register.register(content, f"{'my very best network, ' * 4}.pt").own
    assert uploaded_networks.find(own.network) == own


@pytest.mark.parametrize(
    "call",
    [catalogue.architecture, catalogue.blocks, manifest.entry, resnets.load, resnets.template, uploaded_networks.get],
)
def test_a_network_that_is_not_here_says_to_upload_it_again(call):
    with pytest.raises(CannotCompute, match="uploaded elsewhere or deleted: upload"):
        call("resnet18-own-0123456789ab")
    with pytest.raises(KeyError):
        controls.NETWORK_TITLES["resnet18-own-0123456789ab"]


@pytest.mark.parametrize("name", ["resnet18-own-0123456789AB", "resnet18-own-", "../resnet18-own-0123456789ab", "resnet18-own-0123456789ab/..", None])  # fmt: skip
def test_other_names_are_no_uploaded_networks(name):
    assert not uploaded_networks.is_name(name)
    assert uploaded_networks.find(name) is None
    uploaded_networks.remove(name)


def test_a_name_that_is_not_the_architectures_is_not_used(folder):
    own = made_up(1)
    uploaded_networks.save(dataclasses.replace(own, network=own.network.replace("resnet34", "resnet99")), b"x")
    with pytest.raises(CannotCompute, match="uploaded elsewhere or deleted"):
        catalogue.architecture(own.network.replace("resnet34", "resnet99"))


def test_a_description_from_before_there_were_other_networks_is_read(folder):
    own = made_up(1)
    uploaded_networks.save(own, b"x")
    path = folder / f"{own.network}.json"
    values = json.loads(path.read_text()) | {"hint": "It may be untrained."}
    path.write_text(
        json.dumps({k: v for k, v in values.items() if k not in ("architecture", "preprocessing", "reading", "doubt")})
    )
    os.utime(path, ns=(1, 1))  # whatever the clock's resolution
    assert uploaded_networks.find(own.network) == dataclasses.replace(own, doubt="It may be untrained.", reading="")


def test_a_network_of_another_family_is_a_network_too(quick_test, tmp_path):
    """ResNet18 without max-pool, and one of a hundred classes: never the paper's, with blocks and classes of their own."""
    torch.manual_seed(0)
    plain = dataclasses.replace(
        catalogue.ARCHITECTURES["resnet18"], stem="3x3", depths=(1, 1, 1, 1), widths=(8, 16, 32, 64), stem_channels=8
    )
    for architecture in (plain, dataclasses.replace(plain, classes=100), dataclasses.replace(plain, classes=0)):
        state = modules.build(architecture).state_dict()
        name = register.register(save(dict(state)), "a.pt", stem="none").own.network
        assert name.startswith(f"{architecture.name}-own-")
        network = networks.find(name)
        assert network.blocks == architecture.blocks()
        assert network.architecture == catalogue.architecture(name) == catalogue.paper(name) == ""
        assert len(network.classes) == architecture.classes
        assert network.weights_sha256 == resnets.key_sha256(state, architecture) != resnets.tensors_sha256(state)
        assert torch.equal(network.module().state_dict()["conv1.weight"], state["conv1.weight"])
        assert controls.NETWORK_TITLES[name].endswith("uploaded: a.pt")
        assert manifest.entry(name).sha256 == network.weights_sha256


def test_only_the_newest_are_kept_and_the_others_named(folder):
    for number in range(uploaded_networks.MOST):
        assert uploaded_networks.save(made_up(number), b"x") == []
    assert uploaded_networks.save(made_up(7), b"x") == [], "the same again"
    assert uploaded_networks.save(made_up(50), b"x") == ["net 0"]
    assert [own.title for own in uploaded_networks.known()] == ["net 50", *(f"net {n}" for n in range(7, 0, -1))]
    assert len(list(folder.iterdir())) == 2 * uploaded_networks.MOST
    uploaded_networks.remove(made_up(50).network)
    assert uploaded_networks.find(made_up(50).network) is None
    assert len(list(folder.iterdir())) == 2 * (uploaded_networks.MOST - 1)


@pytest.mark.parametrize(
    "change",
    [
        {"sha256": "0" * 64},
        {"title": "<script>"},
        {"predicted": [11, 0]},
        {"loss": [0.5]},
        {"loss": ["a", "b"]},
        {"images": 3},
        {"accuracy_bundled": None},
        {"unknown": 1},
        {"architecture": {"unit": "basic"}},
        {"architecture": None},
        {"preprocessing": {"mean": [0, 0], "standard_deviation": [1, 1, 1], "image_size": 32}},
        {"preprocessing": {"mean": [0, 0, 0], "standard_deviation": [1, 0, 1], "image_size": 32}},
        {"preprocessing": {"mean": [0, 0, 0], "standard_deviation": [1, 1, 1], "image_size": 10**6}},
        {"preprocessing": None},
        {"reading": "a\nb"},
        {"doubt": 3},
    ],
)
def test_a_description_that_somebody_changed_is_not_used(change, folder):
    own = made_up(1)
    uploaded_networks.save(own, b"x")
    path = folder / f"{own.network}.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    os.utime(path, ns=(1, 1))  # whatever the clock's resolution
    assert uploaded_networks.find(own.network) is None
    assert uploaded_networks.known() == ()


@pytest.mark.parametrize("spoil", [lambda c: c[:-100], lambda c: b"", lambda c: c[:-1] + bytes([c[-1] ^ 1])])
def test_tensors_that_somebody_changed_are_not_loaded(spoil, content, quick_test):
    network = register.register(content, "a").own.network
    path = uploaded_networks.tensors_path(network)
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(CannotCompute, match=r"are damaged .*: upload them again"):
        resnets.load(network)


def test_a_disk_that_refuses_is_said(monkeypatch, content, quick_test):
    def full(path, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(uploads, "write_replaced", full)
    with pytest.raises(CannotCompute, match=r"^Cannot write to the cache folder .* \(“No space left on device”\)"):
        register.register(content, "a")
    assert uploaded_networks.known() == ()


def test_a_cancelled_self_test_keeps_nothing(content):
    def stop(done, total, what):
        if "self-test" in what:
            raise Cancelled("planted")

    with pytest.raises(Cancelled):
        register.register(content, "a", stop)
    assert uploaded_networks.known() == ()


def test_what_was_uploaded_never_ships(content, quick_test):
    network = register.register(content, "a").own.network
    number = uploaded_images.register(np.zeros((32, 32, 3), np.uint8), {})
    rows = pd.DataFrame([{"network": network, "convention": "slices", "image": 0, "block": 1}])
    with pytest.raises(CannotCompute, match="Only results of networks and images that come with the project"):
        shipping.ship_rows(networks.find(network), Convention.SLICES, rows, "")
    with pytest.raises(CannotCompute, match="Only results of networks and images that come with the project"):
        shipping.ship_rows(
            networks.find("resnet18"), Convention.SLICES, rows.assign(network="resnet18", image=number), ""
        )
    with pytest.raises(CannotCompute, match="Only results of networks and images that come with the project"):
        shipping.ship_spectra(
            networks.find("resnet18"), Convention.SLICES, [asked("resnet18", number, 1, "slices")], ""
        )


@pytest.mark.parametrize(("said", "on"), [("off", False), ("OFF ", False), ("0", False), ("no", False), ("on", True), ("", True), (None, True)])  # fmt: skip
def test_uploads_can_be_switched_off(said, on, monkeypatch):
    monkeypatch.delenv("STIFFCORE_UPLOADS", raising=False)
    if said is not None:
        monkeypatch.setenv("STIFFCORE_UPLOADS", said)
    assert uploads.uploads_are_on() is on
    if not on:
        with pytest.raises(CannotCompute, match="uploads are switched off"):
            uploads.check_uploads()


# From the command line


def test_analyse_takes_a_checkpoint_and_a_picture(content, quick_test, tmp_path, monkeypatch, capsys):
    (tmp_path / "best.safetensors").write_bytes(content)
    Image.fromarray(np.arange(48 * 48 * 3).reshape(48, 48, 3).astype(np.uint8)).save(tmp_path / "mine.png")
    asked = []

    def compute_many(requests, progress, refused, **_):
        asked.extend(requests)
        yield from (spectra_made_up.made_up(request) for request in requests)

    monkeypatch.setattr(analysis, "compute_many", compute_many)
    shown = ["network", "image", "label", "predicted", "loss", "stiffness_index"]
    monkeypatch.setattr(analyse_table, "columns", lambda: shown)
    brought = ("--weights", str(tmp_path / "best.safetensors"), "--image-file", str(tmp_path / "mine.png"))
    assert command_line.main(["analyse", "resnet18", "--convention", "branch", "--blocks", "8", *brought]) == 0
    (request,) = asked
    assert request.network.name == "best.safetensors"
    assert request.network.architecture == "resnet18"
    assert uploaded_networks.known() == (), "a file on the command line is not stored"
    assert (request.image.name, request.image.label) == ("mine.png", None)
    printed = capsys.readouterr()
    assert "best.safetensors: Read as made up: right at 50.0 % of the images that ship." in printed.err
    assert f"mine.png is image {request.image.number}." in printed.err
    assert printed.out.splitlines()[2].split()[:4] == [
        request.network.name,
        str(request.image.number),
        "none",
        "airplane",
    ]


@pytest.mark.parametrize(
    ("brought", "said"),
    [
        (("--weights", "nowhere.pt"), "nowhere.pt, got No such file"),
        (("--weights", "best.safetensors"), "best.safetensors holds weights of resnet18, not of resnet34"),
        (("--image-file", "nowhere.png"), "Expected a picture in nowhere.png, got No such file"),
        (("--image-file", "best.safetensors"), "best.safetensors: Expected a PNG, JPEG, WebP, BMP or AVIF picture"),
    ],
)
def test_files_that_do_not_fit_are_one_line(brought, said, content, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "best.safetensors").write_bytes(content)
    assert command_line.main(["analyse", "resnet34", "--convention", "branch", "--blocks", "16", *brought]) == 2
    printed = capsys.readouterr()
    assert said in printed.err
    assert printed.err.count("\n") == 1
    assert uploaded_networks.known() == ()
