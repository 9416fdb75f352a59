"""The networks are the paper's, and only the weights that the manifest names are loaded."""

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from stiffcore.errors import CannotCompute
from stiffcore.images import cifar10
from stiffcore.jacobians import structure
from stiffcore.networks import baselines, catalogue, manifest, resnets


@pytest.fixture(scope="module")
def trained() -> dict[str, torch.Tensor]:
    return load_file(manifest.FOLDER / "resnet18.safetensors")


@pytest.fixture(scope="module")
def resnet18():
    return resnets.load("resnet18")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A weights folder that tests may damage, with ResNet18 and the manifest."""
    shutil.copy(manifest.FOLDER / "manifest.json", tmp_path)
    monkeypatch.setattr(manifest, "FOLDER", tmp_path)
    return tmp_path


@pytest.mark.parametrize("network", catalogue.SHIPPED)
def test_blocks_have_the_sizes_of_the_catalogue(network):
    """Shapes flow through the architecture on torch's meta device: nothing is computed."""
    model = resnets.template(network)
    with torch.device("meta"):
        x = model.maxpool(model.relu(model.bn1(model.conv1(torch.empty(1, 3, 32, 32)))))
    for block, geometry in zip(structure.residual_blocks(model), catalogue.blocks(network), strict=True):
        assert tuple(x.shape[1:]) == geometry.input_shape
        x = block(x)
        assert tuple(x.shape[1:]) == geometry.output_shape
    assert model.conv1.bias is None
    assert model.fc.out_features == 10


@pytest.mark.parametrize("network", ["resnet18", "resnet18-untrained", "resnet18-shuffled"])
def test_predictions_are_those_of_the_manifest(network):
    entry, indices = manifest.entry(network), cifar10.bundled()[::10]
    images, labels = np.stack([cifar10.image(i) for i in indices]), np.array([cifar10.label(i) for i in indices])
    model = resnets.load(network)
    predicted, loss = resnets.predictions(model, images, labels)
    assert resnets.weights_sha256(model) == entry.sha256
    assert np.mean(predicted == [entry.predicted[i] for i in indices]) >= 0.99  # rounding may turn a close call
    assert loss == pytest.approx([entry.loss[i] for i in indices], rel=1e-3, abs=1e-4)


def test_predictions_agree_with_single_precision_and_double(resnet18):
    images = np.stack([cifar10.image(i) for i in range(8)])
    single, _ = resnets.predictions(resnet18, images)
    state, sha256 = resnets.shipped_state("resnet18")
    double, loss = resnets.predictions(resnets.with_weights("resnet18", state, sha256).double(), images)
    assert (single == double).all()
    assert np.isnan(loss).all()  # no labels, no loss


def test_a_loaded_network_is_ready_to_use(resnet18):
    assert not any(module.training for module in resnet18.modules())
    assert {p.dtype for p in resnet18.parameters()} == {torch.float32}
    assert not any(p.requires_grad for p in resnet18.parameters())


def test_loading_leaves_the_random_numbers_alone():
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    resnets.load("resnet18-untrained")
    assert torch.equal(torch.rand(3), expected)


def test_the_hash_depends_on_names_types_shapes_and_values_not_on_order():
    a, b = torch.arange(6.0), torch.zeros(2, 3)
    digest = resnets.tensors_sha256({"a": a, "b": b})
    assert digest == resnets.tensors_sha256({"b": b, "a": a})
    changed = [
        {"a": a, "c": b},
        {"a": a.half(), "b": b},
        {"a": a, "b": b.reshape(3, 2)},
        {"a": a + 1e-6, "b": b},
        {"a": a},
    ]
    assert len({digest, *map(resnets.tensors_sha256, changed)}) == 6


def test_a_network_made_by_hand_is_named_by_its_tensors():
    model = resnets.build("resnet18")
    assert resnets.weights_sha256(model) == resnets.tensors_sha256(model.state_dict())


def spoilt(trained, how: str) -> dict[str, torch.Tensor]:
    state = dict(trained)
    if how == "NaN":
        state["layer1.0.conv1.weight"] = state["layer1.0.conv1.weight"].clone().fill_(float("nan"))
    elif how == "infinity":
        state["fc.bias"] = state["fc.bias"].clone().fill_(float("inf"))
    elif how == "missing":
        del state["layer4.1.bn2.running_var"]
    elif how == "foreign":
        state["layer5.0.conv1.weight"] = torch.zeros(1)
    elif how == "renamed":
        state["module.fc.bias"] = state.pop("fc.bias")
    elif how == "shape":
        state["fc.weight"] = torch.zeros(100, 512).half()
    elif how == "type":
        state["fc.bias"] = torch.zeros(10, dtype=torch.int64)
    elif how == "variance":
        state["bn1.running_var"] = -state["bn1.running_var"]
    elif how == "other weights":
        state["fc.bias"] = state["fc.bias"] + 1
    return state


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("NaN", r"layer1.0.conv1.weight .* finite numbers, got NaN or infinity"),
        ("infinity", r"fc.bias .* finite numbers"),
        ("missing", r"1 missing, first 'layer4.1.bn2.running_var'"),
        ("foreign", r"an unknown one, 'layer5.0.conv1.weight'"),
        ("renamed", r"1 missing, first 'fc.bias'"),
        ("shape", r"fc.weight .* shape \(10, 512\), got \(100, 512\)"),
        ("type", r"fc.bias .* type torch.float32, got torch.int64"),
        ("variance", r"variances from 0, got a negative one"),
        ("other weights", r"Expected weights \w{12} for resnet18, got \w{12}"),
    ],
)
def test_weights_that_do_not_fit_are_refused(how, said, trained, folder):
    save_file(spoilt(trained, how), folder / "resnet18.safetensors")
    with pytest.raises(CannotCompute, match=said) as refused:
        resnets.load("resnet18")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("spoil", ["missing", "empty", "truncated", "header", "bit"])
def test_a_damaged_file_is_refused(spoil, folder):
    path = folder / "resnet18.safetensors"
    if spoil != "missing":
        content = bytearray(
            (resnets.Path(manifest.__file__).parents[1] / "weights" / "resnet18.safetensors").read_bytes()
        )
        if spoil == "bit":
            content[-5] ^= 1
        elif spoil == "header":
            content[:8] = b"\xff" * 8
        path.write_bytes({"empty": b"", "truncated": content[: len(content) // 2]}.get(spoil, bytes(content)))
    with pytest.raises(CannotCompute, match=r"Expected (weights|a safetensors file)"):
        resnets.load("resnet18")


@pytest.mark.parametrize("content", [None, "", "[]", "{}", '{"images": [0], "networks": {"resnet18": {"sha256": 1}}}'])
def test_a_damaged_manifest_says_what_to_do(content, folder):
    (folder / "manifest.json").unlink()
    if content is not None:
        (folder / "manifest.json").write_text(content)
    with pytest.raises(CannotCompute, match="weights-manifest"):
        manifest.entry("resnet18")


def test_an_unknown_network_is_refused():
    for call in (manifest.entry, resnets.load, resnets.build):
        with pytest.raises(CannotCompute, match="Expected a network among resnet18"):
            call("resnet101")


def test_the_manifest_has_every_network_at_every_bundled_image():
    for network in catalogue.NETWORKS:
        entry = manifest.entry(network)
        assert tuple(entry.predicted) == tuple(entry.loss) == cifar10.bundled()
        right = np.mean([entry.predicted[i] == cifar10.label(i) for i in cifar10.bundled()])
        assert entry.accuracy_bundled == pytest.approx(right, abs=1e-9)
        assert np.isfinite(list(entry.loss.values())).all()


def test_a_manifest_comes_back_as_written(folder):
    entries = [
        manifest.Entry("resnet18", "ab", 0.5, 0.25, {"epochs": "3"}, {0: 1, 4: 2}, {0: 0.125, 4: 2.0}),
        manifest.Entry("resnet34", "cd", None, 0.0, {}, {0: 3, 4: 3}, {0: 1e-7, 4: 9.5}),
    ]
    path = manifest.write(entries)
    json.loads(path.read_text())
    assert [manifest.entry(e.network) for e in entries] == entries


def test_a_shuffled_tensor_keeps_its_values_and_batch_norm_its_scale(trained):
    shuffled = baselines.shuffled(trained)
    weight = "layer2.0.conv1.weight"
    assert not torch.equal(shuffled[weight], trained[weight])
    assert torch.equal(shuffled[weight].flatten().sort().values, trained[weight].flatten().sort().values)
    assert all(torch.equal(shuffled[name], trained[name]) for name in trained if trained[name].ndim < 2)
    again = baselines.shuffled(trained)
    assert all(torch.equal(shuffled[name], again[name]) for name in trained)


def test_untrained_weights_have_the_spread_of_their_fan_out():
    """N(0, 2 / (C_out k²)): over 2.4 million numbers the standard deviation is exact to 0.1 %."""
    state = baselines.untrained(resnets.template("resnet18").state_dict())
    weight = state["layer4.1.conv2.weight"].double()
    assert weight.std().item() == pytest.approx((2 / (512 * 9)) ** 0.5, rel=3e-3)
    assert abs(weight.mean().item()) < 1e-4
    assert (state["bn1.weight"] == 1).all()
    assert (state["bn1.bias"] == 0).all()
    assert state["fc.weight"].abs().max() <= 512**-0.5 + 1e-3


def test_estimated_statistics_standardise_what_they_were_estimated_on():
    """Behind the first batch norm every channel has mean 0 and variance v / (v + ε) over the images."""
    state = baselines.untrained(resnets.template("resnet18").state_dict())
    model = resnets.with_weights("resnet18", state, "")
    images = np.stack([cifar10.image(i) for i in cifar10.bundled()[:20]])
    statistics = baselines.estimated_statistics(model, images, batch_size=20)
    y = model.bn1(model.conv1(cifar10.normalised(images).double()))
    assert y.mean((0, 2, 3)).abs().max() < 1e-6
    variance = statistics["bn1.running_var"].double()
    assert y.var((0, 2, 3)).tolist() == pytest.approx((variance / (variance + model.bn1.eps)).tolist(), rel=1e-6)
    assert set(statistics) == {n for n in state if n.endswith(baselines.STATISTICS)}
    assert {t.dtype for t in statistics.values()} == {torch.float32}


def test_a_baseline_is_named_by_what_it_is_made_of():
    names = {baselines.name_of(*made) for made in [
        ("shuffled", "resnet18", "a", "s"), ("shuffled", "resnet18", "b", "s"), ("shuffled", "resnet18", "a", "t"),
        ("untrained", "resnet18", "", "s"), ("shuffled", "resnet34", "a", "s"), ("shuffled", "resnet18", "a", "s", 1),
    ]}  # fmt: skip
    assert len(names) == 6
