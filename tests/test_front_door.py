"""A network that is in no registry, at an array that is in no data set, goes all the way: request, result, cache, figure."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import stiffcore as sc
from stiffcore.analysis import compute
from stiffcore.conventions import Convention
from stiffcore.figures.spectra import spectrum_table
from stiffcore.images import cifar10, registry as images, uploaded as uploaded_images
from stiffcore.images.image import Image
from stiffcore.jacobians import reference
from stiffcore.networks import manifest, registry as networks, uploaded as uploaded_networks
from stiffcore.networks.network import Network, Preprocessing
from stiffcore.storage import cache as result_cache
from stiffcore.torchvision_compat import torchvision

SIDE, MEAN, STD = 16, (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)
IDENTITY, DOWNSAMPLING = 1, 2  # blocks


def small_module() -> nn.Module:
    """torchvision's ResNet with a 3 × 3 stem, 4 to 8 channels, a block a stage, and batch norms as after training."""
    resnet = torchvision("models.resnet")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = resnet.ResNet(resnet.BasicBlock, [1, 1, 1, 1], num_classes=3)
        module.conv1, module.bn1 = nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)
        module.layer1 = nn.Sequential(resnet.BasicBlock(4, 4))
        for stage, (narrow, wide) in enumerate(((4, 5), (5, 6), (6, 8)), 2):
            skip = nn.Sequential(nn.Conv2d(narrow, wide, 1, stride=2, bias=False), nn.BatchNorm2d(wide))
            setattr(module, f"layer{stage}", nn.Sequential(resnet.BasicBlock(narrow, wide, 2, skip)))
        module.fc = nn.Linear(8, 3)
        for norm in module.modules():
            if isinstance(norm, nn.BatchNorm2d):
                nn.init.uniform_(norm.weight, 0.5, 1.5)
                nn.init.normal_(norm.bias, 0.2, 0.5)
                norm.running_mean.normal_(0, 0.3)
                norm.running_var.uniform_(0.5, 1.5)
    return module.eval()


@pytest.fixture(scope="module")
def module():
    return small_module()


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)


@pytest.fixture
def network(module):
    return sc.network(module, name="mine", image_size=SIDE, mean=MEAN, std=STD, classes=("cat", "dog", "axolotl"))


@pytest.fixture
def image(pixels):
    return sc.image(pixels, name="noise", label=2)


@pytest.fixture(autouse=True)
def nothing_stored(tmp_path, monkeypatch):
    monkeypatch.setenv("STIFFCORE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def closed_registries(monkeypatch):
    """Whatever turns a name or a number into something, for the package's own networks and images and for uploads."""

    def refuse(*wanted):
        raise AssertionError(f"a look-up of {wanted}")

    for place, names in {
        networks: ("find",),
        images: ("find", "bundled"),
        manifest: ("entry",),
        cifar10: ("bundled", "index", "image", "label", "image_sha256", "is_available"),
        uploaded_networks: ("get",),
        uploaded_images: ("get",),
    }.items():
        for name in names:
            monkeypatch.setattr(place, name, refuse)


def jacobian(module: nn.Module, pixels: np.ndarray, block: int, convention: Convention) -> torch.Tensor:
    """By differentiation of the module's own block at what reaches it in the module's own forward pass, in float64."""
    double, seen = copy.deepcopy(module).double().requires_grad_(False), []
    stage = getattr(double, f"layer{block}")[0]
    hook = stage.register_forward_pre_hook(lambda _, given: seen.append(given[0][0]))
    x = (torch.from_numpy(pixels.copy()).float() / 255 - torch.tensor(MEAN)) / torch.tensor(STD)
    double(x.permute(2, 0, 1)[None].double())
    hook.remove()
    return reference.jacobian_of_module(stage, seen[0], convention)


def test_it_is_in_no_registry(network, image):
    with pytest.raises(sc.CannotCompute, match="Expected a network among"):
        networks.find(network.name)
    assert (image.number, image.is_official) == (None, False)


@pytest.mark.parametrize("convention", Convention)
def test_it_is_analysed_stored_and_drawn(network, image, module, pixels, convention, closed_registries):
    first = sc.analyse(network, image, IDENTITY, convention, "spectrum")
    again = sc.analyse(network, image, IDENTITY, convention, "spectrum")
    assert (first.stored, again.stored) == (False, True)
    assert first.metrics == pytest.approx(again.metrics, nan_ok=True)
    assert sc.analyse(network, image, IDENTITY, convention, "counts").stored, "the richer result serves"

    found = jacobian(module, pixels, IDENTITY, convention)
    expected = reference.eigenvalues(found) if convention.has_matrix else reference.peeled_lapack(found)
    assert first.metrics["n_eigenvalues"] == len(expected) == network.block(IDENTITY).n_eigenvalues(convention)
    by_definition = reference.metrics(expected)
    for name in ("max_re", "min_re", "spectral_radius", "stiffness_index"):
        assert again.metrics[name] == pytest.approx(by_definition[name], rel=1e-9, abs=1e-9, nan_ok=True), name
    assert again.metrics["n_negative"] == (expected.real < -1e-9).sum()
    figure = again.plot()
    titles = [note.text for note in figure.layout.annotations]
    if convention.has_matrix:
        assert reference.spectral_distance(again.eigenvalues(), expected) < 1e-9
        assert "Block 1 · n = 256" in titles
        cloud = figure.data[0]
        np.testing.assert_allclose(np.sort(cloud.x), np.sort(again.arrays["eigenvalues"].real), atol=1e-6)
    else:
        assert again.arrays["density"].sum() == len(expected)
        assert f"Block 1 · {len(expected):,} eigenvalues" in titles
        assert any(trace.type == "heatmap" for trace in figure.data)
    assert {trace.name for trace in figure.data if trace.showlegend} == {"noise · axolotl"}


@pytest.mark.parametrize("convention", [one for one in Convention if one.has_matrix])
def test_a_block_that_is_not_square_has_its_singular_values(
    network, image, module, pixels, convention, closed_registries
):
    result = sc.analyse(network, image, DOWNSAMPLING, convention, "spectrum")
    expected = torch.linalg.svdvals(jacobian(module, pixels, DOWNSAMPLING, convention)).numpy()
    found = np.sort(result.arrays["singular_values"])[::-1]
    np.testing.assert_allclose(found, expected[: len(found)], atol=1e-9)
    assert result.metrics["largest_singular_value"] == pytest.approx(expected[0])
    np.testing.assert_allclose(result.plot().data[0].y, found)
    assert sc.analyse(network, image, DOWNSAMPLING, convention, "spectrum").stored


def test_another_array_module_or_preprocessing_is_another_result(network, image, module, pixels):
    assert not sc.analyse(network, image, IDENTITY, "branch").stored
    same = sc.network(copy.deepcopy(module), name="the same", image_size=SIDE, mean=MEAN, std=STD)
    assert sc.analyse(same, pixels.copy(), IDENTITY, "branch").stored, "weights and pixels decide, not names"
    others = (
        (network, sc.image(pixels[::-1], name=image.name)),
        (sc.network(module, name="mine", image_size=SIDE, mean=MEAN, std=MEAN), image),
        (sc.network(changed(module), name="mine", image_size=SIDE, mean=MEAN, std=STD), image),
    )
    assert [sc.analyse(*other, IDENTITY, "branch").stored for other in others] == [False] * 3


def changed(module: nn.Module) -> nn.Module:
    other = copy.deepcopy(module)
    with torch.no_grad():
        other.fc.bias += 1
    return other


class SoftStem(torchvision("models.resnet").ResNet):
    """Another activation before the first block: every block is torchvision's, and what reaches them is not."""

    def forward(self, x):
        x = self.maxpool(nn.functional.silu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(self.avgpool(x).flatten(1))


class Scaled(torchvision("models.resnet").BasicBlock):
    """A block whose skip is half of x."""

    def forward(self, x):
        return self.relu(self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x))))) + x / 2)


@pytest.mark.parametrize("convention", ["block", "branch"])
def test_a_block_of_another_kind_is_analysed_as_a_map(module, image, convention):
    other = copy.deepcopy(module)
    other.layer1[0].__class__ = Scaled
    network = sc.network(other, image_size=SIDE, mean=MEAN, std=STD)
    assert [block.kind for block in network.blocks] == ["map", "basic", "basic", "basic"]
    found = sc.analyse(network, image, IDENTITY, convention, "spectrum")
    x = input_of(network, other, image, other.layer1[0])
    part = other.layer1[0]
    whole = torch.autograd.functional.jacobian(lambda x: part(x[None])[0], x).reshape(x.numel(), -1)
    expected = whole if convention == "block" else whole - torch.eye(len(whole))
    assert reference.spectral_distance(found.eigenvalues(), reference.eigenvalues(expected)) < 1e-10
    with pytest.raises(sc.CannotCompute, match="has no slices"):
        sc.analyse(network, image, IDENTITY, "slices")


def test_what_stands_before_the_blocks_may_be_anything(module, image):
    other = copy.deepcopy(module)
    other.__class__ = SoftStem
    network = sc.network(other, image_size=SIDE, mean=MEAN, std=STD)
    state = sc.linearise(network, image, IDENTITY)
    torch.testing.assert_close(state.input, input_of(network, other, image, other.layer1[0]), rtol=1e-12, atol=1e-12)


def input_of(network: Network, module: nn.Module, image: Image, part: nn.Module) -> torch.Tensor:
    """float64, as the part is called in a forward pass of the module, which becomes float64."""
    seen = []
    hook = part.register_forward_pre_hook(lambda _, given: seen.append(given[0][0].clone()))
    with torch.no_grad():
        module.double()(network.normalised(image).double()[None])
    hook.remove()
    return seen[0]


def test_images_are_resized_where_a_network_says_so():
    pixels = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
    made = Preprocessing(image_size=16, resizes=True)(pixels)
    assert made.shape == (2, 3, 16, 16)
    torch.testing.assert_close(made.mean((2, 3)), Preprocessing(image_size=8)(pixels).mean((2, 3)), atol=0.05, rtol=0)
    with pytest.raises(sc.CannotCompute, match="Expected an image of 16 × 16 pixels"):
        Preprocessing(image_size=16)(pixels)


def test_what_takes_no_image_is_refused():
    with pytest.raises(sc.CannotCompute, match="takes RGB images of 16 × 16 pixels"):
        sc.network(nn.Linear(2, 2), image_size=SIDE)
    with pytest.raises(sc.CannotCompute, match="Expected residual blocks, or parts"):
        sc.network(nn.Conv2d(3, 3, 1), image_size=SIDE)


def test_the_module_may_change_afterwards(module, image):
    other = copy.deepcopy(module)
    network = sc.network(other, image_size=SIDE, mean=MEAN, std=STD)
    before = sc.analyse(network, image, IDENTITY, "branch").metrics
    with torch.no_grad():
        other.layer1[0].conv1.weight.mul_(2)
    assert module.training is False
    result_cache.default().clear()
    again = sc.analyse(network, image, IDENTITY, "branch")
    assert not again.stored
    assert again.metrics == before


def test_what_does_not_fit_the_network_is_refused(network, image, pixels):
    with pytest.raises(sc.CannotCompute, match="Expected an image of 16 × 16 pixels"):
        sc.analyse(network, pixels[:8, :8], IDENTITY)
    with pytest.raises(sc.CannotCompute, match="Expected a label of mine from 0 to 2, got 3 for image noise"):
        sc.analyse(network, replace(image, label=3), IDENTITY)
    with pytest.raises(sc.CannotCompute, match="Expected a block of mine from 1 to 4, got 5"):
        sc.analyse(network, image, 5)
    with pytest.raises(ValueError, match="Expected uint8 pixels"):
        sc.image(pixels / 255)


# What is refused, in one sentence each


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda rows: sc.image(np.zeros((32, 32, 3), np.uint8), name=5), "name as a text"),
        (lambda rows: sc.image(np.zeros((32, 32, 3), np.uint8), label="cat"), "label as a number from 0"),
        (lambda rows: sc.network(torch.nn.Linear(1, 1), image_size="32"), "image_size in pixels"),
        (lambda rows: sc.network(torch.nn.Linear(1, 1), mean=(0, 0)), "mean as three numbers"),
        (lambda rows: sc.network(torch.nn.Linear(1, 1), std=(1, 0, 1)), "std as three numbers above 0"),
        (lambda rows: sc.network(torch.nn.Linear(1, 1), classes=10), "names of the classes"),
        (lambda rows: sc.by_block(rows, ["nope"]), "Expected metrics like"),
        (lambda rows: sc.by_label(rows, block=99), "a block of the rows"),
        (lambda rows: sc.correlate(rows, "nope"), "Expected metrics like"),
        (lambda rows: sc.correlate(rows, "percent_negative", "los"), "an outcome among accuracy, loss"),
        (lambda rows: sc.correlate(rows, ["percent_negative"]), "the name of one metric"),
    ],
)
def test_a_wrong_argument_is_refused_before_anything_is_computed(call, says):
    with pytest.raises(ValueError, match=says):
        call(sc.rows("resnet18", "slices"))


def test_rows_that_there_are_none_of_give_empty_tables():
    rows = sc.rows("resnet50-shuffled", "branch")
    assert [len(rows), len(sc.by_block(rows)), len(sc.by_label(rows)), len(sc.correlate(rows, "max_re"))] == [0] * 4


def test_one_metric_may_be_given_without_a_list_and_blocks_as_numpy_numbers():
    rows = sc.rows("resnet18", "slices")
    assert sc.by_block(rows, "live_fraction")["metric"].unique().tolist() == ["live_fraction"]
    assert sc.request("resnet18", 0, np.int64(8), "branch").geometry.block == 8


@pytest.mark.parametrize("workers", [0, -1, 1.5, "two"])
def test_workers_are_checked_where_nothing_is_to_be_computed_too(workers):
    with pytest.raises(sc.CannotCompute, match="at least one worker"):
        sc.sweep("resnet18", [0], [8], "slices", workers=workers)


def test_a_module_that_takes_other_images_is_refused():
    module = small_module()
    module.conv1 = torch.nn.Conv2d(1, module.conv1.out_channels, 3, padding=1, bias=False)
    with pytest.raises(sc.CannotCompute, match="takes RGB images of 32 × 32 pixels"):
        sc.network(module)


def test_one_module_under_two_normalisations_gives_two_results_in_one_call(module, image):
    """They were equal as keys of a dictionary once, and the second took the first's forward pass."""
    networks = [
        sc.network(module, name="mine", image_size=SIDE, mean=mean, std=STD) for mean in (MEAN, (0.1, 0.9, 0.1))
    ]
    asked = [sc.request(network, image, IDENTITY, "branch", "spectrum") for network in networks]
    together = [result.metrics["max_re"] for result in compute.compute_many(asked, again=True)]
    alone = [next(compute.compute_many([request], again=True)).metrics["max_re"] for request in asked]
    assert together == alone
    assert together[0] != together[1]


@pytest.mark.parametrize("kind", [list, np.array])
def test_a_normalisation_is_compared_by_its_numbers(module, image, kind):
    given = sc.network(module, image_size=SIDE, mean=kind(MEAN), std=kind(STD))
    same = sc.network(module, image_size=SIDE, mean=MEAN, std=STD)
    assert given == same
    assert given.key_fields(image) == same.key_fields(image)


def test_cifar10s_labels_do_not_count_for_other_classes(module):
    network = sc.network(module, image_size=32, classes=("cat", "dog", "axolotl"))
    of_dog_or_more = next(number for number in cifar10.bundled() if cifar10.label(number) > 2)
    result = sc.analyse(network, of_dog_or_more, IDENTITY, "branch", "spectrum")
    assert np.isnan(result.loss)
    assert result.row()["label"] is None
    assert spectrum_table._identity(result)["label"] == "no label"
    assert not any("axolotl" in (trace.name or "") for trace in result.plot().data)
    small = sc.network(module, image_size=32)
    of_cat_or_less = next(number for number in cifar10.bundled() if cifar10.label(number) < 3)
    assert (
        sc.analyse(small, of_cat_or_less, IDENTITY, "branch", "spectrum").request.image.label_among(small.classes)
        == "no label"
    )


def test_one_image_one_block_and_its_losses_are_computed_once(network, image, monkeypatch):
    calls, all_losses = [], compute.all_losses
    monkeypatch.setattr(compute, "all_losses", lambda *given: calls.append(given) or all_losses(*given))
    rows = sc.sweep(network, image, [IDENTITY, DOWNSAMPLING], "branch", "extremes", workers=1)
    assert len(rows) == 2
    assert len(calls) == 1
    assert sc.sweep(network, image, IDENTITY, "branch", "extremes", workers=1)["stored"].all()


def test_labels_have_the_names_that_are_given(network, pixels):
    images = [sc.image(pixels, label=2), sc.image(255 - pixels, label=0)]
    rows = sc.sweep(network, images, IDENTITY, "branch", "counts", workers=1)
    by_label = sc.by_label(rows, ["max_re"], IDENTITY, network.classes)
    assert by_label["name"].tolist() == ["cat", "axolotl"]
    assert sc.by_label(rows.assign(label=12), ["max_re"], IDENTITY)["name"].tolist() == ["12"]


@pytest.mark.parametrize("metric", ["device", "network"])
def test_a_column_of_texts_is_no_metric(metric):
    with pytest.raises(ValueError, match="Expected metrics like"):
        sc.by_block(sc.rows("resnet18", "slices"), [metric])


def test_a_block_that_cannot_be_analysed_is_left_out_and_named(module):
    other = copy.deepcopy(module)
    other.layer2[0].downsample = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(4, 5, 1, bias=False), nn.BatchNorm2d(5))
    network = sc.network(other, image_size=SIDE)
    assert len(network.blocks) == 3
    assert network.reading.endswith("its parts: layer2.0.")


# Runs


@pytest.fixture
def planted_sweeps(monkeypatch, tmp_path):
    """Rows instead of computations: one per network, image 0 and block 8."""
    from stiffcore.sweeps import together
    from tests.made_up.rows import bundled

    def rows(network, images, blocks, convention, *options):
        frame = bundled(images=1)
        return frame[frame["block"] == 8].assign(network=network.name, weights=network.weights_sha256)

    monkeypatch.setenv("STIFFCORE_CACHE", str(tmp_path))
    monkeypatch.setattr(together, "rows", rows)


def test_a_training_in_memory_is_swept_step_by_step(planted_sweeps):
    rows = sc.sweep_run({7: "resnet18", 0: "resnet18-untrained"}, images=[0], blocks=[8])
    assert rows[["step", "checkpoint"]].to_numpy().tolist() == [[0, "resnet18-untrained"], [7, "resnet18"]]
    table = sc.over_training(rows, "stiffness_index")
    assert table[["step", "block", "n"]].to_numpy().tolist() == [[0, 8, 1], [7, 8, 1]]
    assert sc.between_seeds(rows, "stiffness_index")["n_seeds"].tolist() == [1]


def test_files_are_a_run_that_is_remembered(planted_sweeps, tmp_path, monkeypatch):
    from dataclasses import replace

    from stiffcore.checkpoints.reading.choose import Reading
    from stiffcore.networks import catalogue
    from stiffcore.networks.network import CIFAR10
    from stiffcore.runs import kept, weights
    from tests.made_up.runs import weights as hash_of

    for step in (1, 2):
        (tmp_path / f"epoch-{step}.pt").write_bytes(b"")
    base = sc.network("resnet18")
    named = {f"epoch-{step}.pt": hash_of(step) for step in (1, 2)}
    reading = Reading(catalogue.architecture_of("resnet18"), CIFAR10, "Read in one way.")
    monkeypatch.setattr(weights, "reading_of", lambda path, *options: reading)
    monkeypatch.setattr(
        weights, "network_of", lambda path, name, reading: replace(base, name=name, weights_sha256=named[name])
    )
    rows = sc.sweep_run(tmp_path / "epoch-*.pt", images=[0], blocks=[8])
    assert rows["step"].tolist() == [1, 2]
    (run,) = (run for run in kept.known() if kept.is_own(run.name))
    assert set(rows["run"]) == {run.name}
    assert sc.run_rows(run.name).empty, "the planted rows were not stored"


@pytest.mark.parametrize("step", [-1, 0.5, True, "0"])
def test_a_step_that_is_none_is_refused(step):
    with pytest.raises(ValueError, match="steps as whole numbers from 0"):
        sc.sweep_run({step: "resnet18"})


def test_a_run_and_a_metric_that_are_none_are_refused(planted_sweeps):
    with pytest.raises(sc.CannotCompute, match="sweep its checkpoints with --weights first"):
        sc.run_rows("nothing")
    rows = sc.sweep_run({0: "resnet18"}, images=[0], blocks=[8])
    with pytest.raises(ValueError, match="got 'speed'"):
        sc.over_training(rows, "speed")
