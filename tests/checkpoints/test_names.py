"""State dicts of every family, under the names that their authors use, become the right architecture with the same outputs."""

import re
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save

from stiffcore.checkpoints import inspect as checkpoints, names as checkpoint_names
from stiffcore.errors import CannotCompute
from stiffcore.networks import catalogue, modules, resnets
from stiffcore.networks.architecture import Architecture

POOLED = catalogue.ARCHITECTURES["resnet18"]
PLAIN = replace(POOLED, stem="3x3")
RESNET20 = catalogue.ARCHITECTURES["resnet20"]
PREACT = Architecture("pre-activation", (2, 2, 2, 2), (8, 16, 32, 64), "3x3", 8)
WRN = Architecture("pre-activation", (2, 2, 2), (32, 64, 128), "3x3", 16, last_norm=True)
BOTTLENECK = Architecture("bottleneck", (1, 2, 1, 1), (8, 16, 32, 64), "3x3", 8, classes=100)


def renamed(*changes: tuple[str, str]):
    """A function of a canonical name: every (pattern, replacement) in order."""

    def change(name: str) -> str:
        for pattern, replacement in changes:
            name = re.sub(pattern, replacement, name)
        return name

    return change


def numbered(name: str) -> str:
    """weiaicunzai's numbers of the parts of a residual function."""
    parts = {"conv1": 0, "bn1": 1, "conv2": 3, "bn2": 4, "conv3": 6, "bn3": 7}
    name = re.sub(r"^conv1\.", "conv1.0.", re.sub(r"^bn1\.", "conv1.1.", name))
    name = (
        re.sub(r"\.(conv\d|bn\d)\.(?=\w+$)", lambda m: f".residual_function.{parts[m[1]]}.", name)
        if name.startswith("layer")
        else name
    )
    return re.sub(r"^layer(\d)", lambda m: f"conv{int(m[1]) + 1}_x", name).replace("downsample", "shortcut")


def of_transformers(name: str) -> str:
    if name.startswith("fc."):
        return name.replace("fc.", "classifier.1.")
    name = re.sub(
        r"^conv1\.", "embedder.embedder.convolution.", re.sub(r"^bn1\.", "embedder.embedder.normalization.", name)
    )
    name = re.sub(r"(?<=\d\.)conv(\d)\.", lambda m: f"layer.{int(m[1]) - 1}.convolution.", name)
    name = re.sub(r"(?<=\d\.)bn(\d)\.", lambda m: f"layer.{int(m[1]) - 1}.normalization.", name)
    name = name.replace("downsample.0", "shortcut.convolution").replace("downsample.1", "shortcut.normalization")
    return "resnet." + re.sub(r"^layer(\d)\.(\d)", lambda m: f"encoder.stages.{int(m[1]) - 1}.layers.{m[2]}", name)


def of_szagoruyko(name: str) -> str:
    name = re.sub(r"^norm\.", "bn.", name)
    name = re.sub(r"^conv1\.weight$", "conv0", name)
    name = re.sub(r"(?<=\d\.)downsample\.weight$", "convdim", name)
    name = re.sub(r"(?<=\d\.)conv(\d)\.weight$", lambda m: f"conv{int(m[1]) - 1}", name)
    name = re.sub(r"(?<=\d\.)bn(\d)\.", lambda m: f"bn{int(m[1]) - 1}.", name)
    return re.sub(r"^layer(\d)\.(\d)", lambda m: f"group{int(m[1]) - 1}.block{m[2]}", name)


KUANGLIU = renamed(("downsample", "shortcut"), (r"^fc\.", "linear."))
PREACT_SKIP = (r"downsample\.(weight|bias)", r"shortcut.0.\1")
DIALECTS = {  # name -> architecture, canonical name -> the author's
    "torchvision, a pool": (POOLED, str),
    "timm, no pool": (PLAIN, str),
    "kuangliu": (PLAIN, KUANGLIU),
    "kuangliu, a hundred classes": (replace(BOTTLENECK), KUANGLIU),
    "kuangliu, pre-activation": (PREACT, renamed(PREACT_SKIP, (r"^fc\.", "linear."))),
    "kuangliu, pre-activation bottlenecks": (
        replace(PREACT, unit="pre-activation bottleneck"), renamed(PREACT_SKIP, (r"^fc\.", "linear."))
    ),
    "robust overfitting, a last norm": (
        replace(PREACT, last_norm=True), renamed(PREACT_SKIP, (r"^fc\.", "linear."), (r"^norm\.", "bn."))
    ),
    "akamaster, option A": (RESNET20, renamed((r"^fc\.", "linear."))),
    "akamaster, option B": (replace(RESNET20, shortcut="convolution"), KUANGLIU),
    "chenyaofo, 56": (replace(RESNET20, shortcut="convolution", depths=(9, 9, 9)), str),
    "jkirkiii, 110": (replace(RESNET20, depths=(18, 18, 18)), renamed((r"^fc\.", "linear."))),
    "weiaicunzai": (replace(PLAIN, classes=100), numbered),
    "weiaicunzai, bottlenecks": (BOTTLENECK, numbered),
    "transformers": (replace(BOTTLENECK, stem="7x7-pool", classes=1000), of_transformers),
    "transformers, basic": (replace(POOLED, stem="7x7-pool"), of_transformers),
    "torchvision, ImageNet": (replace(POOLED, stem="7x7-pool", classes=1000), str),
    "torchvision, wide": (
        Architecture("bottleneck", (1, 1, 1, 1), (128, 256, 512, 1024), "7x7-pool", classes=1000, expansion=2), str
    ),
    "torchvision, a Sequential": (
        replace(POOLED, stem="7x7-pool", classes=0),
        renamed((r"^conv1", "0"), (r"^bn1", "1"), (r"^layer(\d)", lambda m: f"{int(m[1]) + 3}")),
    ),
    "SimCLR, a Sequential without a pool": (
        replace(PLAIN, classes=0),
        lambda name: "f." + renamed((r"^conv1", "0"), (r"^bn1", "1"), (r"^layer(\d)", lambda m: f"{int(m[1]) + 2}"))(name),
    ),
    "xternalz": (
        WRN,
        renamed((r"^layer(\d)\.", r"block\1.layer."), (r"downsample\.", "convShortcut."), (r"^norm\.", "bn1.")),
    ),
    "meliketoy": (
        replace(WRN, shortcut="convolution of x", biases=True, late_stride=True),
        renamed(PREACT_SKIP, (r"^norm\.", "bn1."), (r"^fc\.", "linear.")),
    ),
    "szagoruyko": (WRN, of_szagoruyko),
    "bearpaw, pre-activation": (
        replace(RESNET20, unit="pre-activation", shortcut="convolution of x", last_norm=True),
        renamed((r"downsample\.weight", "downsample.0.weight"), (r"^norm\.", "bn.")),
    ),
    "a head of another name": (PLAIN, renamed((r"^fc\.", "my_probe."))),
}  # fmt: skip


def model_of(architecture: Architecture) -> torch.nn.Module:
    """Random weights and batch-norm statistics, so that no two tensors can be exchanged."""
    torch.manual_seed(3)
    model = modules.build(architecture)
    for name, buffer in model.named_buffers():
        if buffer.is_floating_point():
            buffer.uniform_(0.5, 1.5) if name.endswith("var") else buffer.normal_(0, 0.1)
    return model.eval()


@pytest.mark.parametrize("dialect", DIALECTS)
@torch.no_grad()
def test_every_dialect_is_its_architecture_with_the_same_outputs(dialect):
    architecture, change = DIALECTS[dialect]
    model = model_of(architecture)
    theirs = {change(name): value.contiguous() for name, value in model.state_dict().items()}
    assert len(theirs) == len(model.state_dict())
    state, inspection = checkpoints.read(save(theirs))
    assert architecture in inspection.architectures
    if architecture not in (POOLED, PLAIN):
        assert inspection.architectures[0] == architecture
    assert not inspection.ignored
    images = torch.randn(2, 3, 40, 40)
    assert torch.equal(resnets.with_weights(architecture, state, "")(images), model(images))


def shapes_of(architecture: Architecture, change=str) -> dict[str, tuple[int, ...]]:
    return {change(k): tuple(v.shape) for k, v in resnets.template(architecture).state_dict().items()}


def test_what_no_tensor_says_is_open():
    assert set(checkpoint_names.map_keys(shapes_of(POOLED)).architectures) == {POOLED, PLAIN}
    assert checkpoint_names.map_keys(shapes_of(RESNET20)).architectures == (RESNET20,)
    skips = {
        a.shortcut
        for a in checkpoint_names.map_keys(shapes_of(PREACT, DIALECTS["kuangliu, pre-activation"][1])).architectures
    }
    assert skips == {"convolution", "convolution of x"}
    assert len(checkpoint_names.map_keys(shapes_of(WRN, DIALECTS["xternalz"][1])).architectures) == 1
    a_hundred = checkpoint_names.map_keys(shapes_of(replace(POOLED, classes=100))).architectures
    assert a_hundred[0].stem == "3x3", "nearly all networks with these names have no pool"


@pytest.mark.parametrize("where", ["layer1._orig_mod.0", "layer1.0._orig_mod", "layer1.module.0"])
def test_wrappers_inside_a_name_are_left_out(where):
    found = checkpoint_names.map_keys(shapes_of(POOLED, lambda name: name.replace("layer1.0", where)))
    assert found.network == "resnet18"
    assert found.names["layer1.0.conv1.weight"] == f"{where}.conv1.weight"


def test_a_compiled_stem_is_found():
    found = checkpoint_names.map_keys(
        shapes_of(
            POOLED,
            lambda name: (
                re.sub(r"^conv1\.", "net.conv1._orig_mod.", name) if name.startswith("conv1") else f"net.{name}"
            ),
        )
    )
    assert (found.prefix, found.names["conv1.weight"]) == ("net.", "net.conv1._orig_mod.weight")


def test_what_profilers_leave_behind_is_ignored():
    extra = {"total_ops": (1,), "conv1.total_ops": (1,), "layer1.0.total_params": (1,), "layer1.0.bn1.total_ops": (1,)}
    found = checkpoint_names.map_keys(shapes_of(POOLED) | extra)
    assert not extra.keys() & set(found.names.values())


def test_trades_unused_block_is_ignored():
    shapes = shapes_of(WRN, DIALECTS["xternalz"][1])
    extra = {name.replace("block1", "sub_block1"): shape for name, shape in shapes.items() if name.startswith("block1")}
    assert checkpoint_names.map_keys(shapes | extra).names == checkpoint_names.map_keys(shapes).names


def test_mocos_key_encoder_is_an_average():
    own = shapes_of(replace(POOLED, stem="7x7-pool", classes=0)) | {
        "fc.0.weight": (512, 512),
        "fc.2.weight": (128, 512),
    }
    found = checkpoint_names.map_keys({f"module.encoder_{x}.{k}": shape for x in "kq" for k, shape in own.items()})
    assert (found.prefix, found.others) == ("module.encoder_q.", ("module.encoder_k.",))
    assert found.architectures[0].classes == 0, "two layers are a projection, not a head"


@pytest.mark.parametrize(
    ("mean", "std"),
    [("module.normalizer.new_mean", "module.normalizer.new_std"), ("normalize.mean", "normalize.std"), ("0.mean", "0.std"), ("mu", "sigma")],
)  # fmt: skip
@pytest.mark.parametrize("shape", [(3,), (3, 1, 1), (1, 3, 1, 1)])
def test_a_normaliser_in_the_file_is_found(mean, std, shape):
    found = checkpoint_names.map_keys(
        shapes_of(POOLED, lambda name: f"module.model.{name}") | {mean: shape, std: shape}
    )
    assert found.normaliser == (mean, std)


def test_a_robust_network_and_its_attacker_are_one():
    own = shapes_of(PLAIN, KUANGLIU)
    both = {f"module.{x}model.{k}": shape for x in ("", "attacker.") for k, shape in own.items()}
    normalisers = {
        f"module.{x}.new_{y}": (3, 1, 1) for x in ("normalizer", "attacker.normalize") for y in ("mean", "std")
    }
    found = checkpoint_names.map_keys(both | normalisers)
    assert found.prefix == "module.model."
    assert found.normaliser == ("module.normalizer.new_mean", "module.normalizer.new_std")


def test_a_head_without_a_bias_has_zeros():
    state = {k: v for k, v in model_of(WRN).state_dict().items() if k != "fc.bias"}
    read, _ = checkpoints.read(save(state))
    assert not read["fc.bias"].any()


REFUSED = {
    "ResNeXt": (lambda s: s | {"layer1.0.conv2.weight": (128, 4, 3, 3), "layer1.0.conv1.weight": (128, 64, 1, 1)}, "32 groups"),
    "squeeze and excitation": (lambda s: s | {"layer1.0.se.fc1.weight": (4, 64, 1, 1)}, "'layer1.0.se.fc1.weight' does not belong to it"),
    "a convolution between stages": (lambda s: s | {"denoise.weight": (64, 64, 1, 1)}, "'denoise.weight' does not belong to it"),
    "another stem": (lambda s: s | {"conv1.weight": (64, 3, 5, 5)}, "conv1.weight has shape (64, 3, 5, 5)"),
    "grey images": (lambda s: s | {"conv1.weight": (64, 1, 3, 3)}, "conv1.weight has shape (64, 1, 3, 3)"),
    "a missing block": (lambda s: {k: v for k, v in s.items() if not k.startswith("layer2.0.")}, "layer2.0.conv1.weight is missing"),
    "a missing stage": (lambda s: {k: v for k, v in s.items() if not k.startswith("layer2.")}, "layer2.0.conv1.weight is missing"),
    "a skip of another kind": (lambda s: {k: v for k, v in s.items() if "downsample.1" not in k}, "layer2.0.downsample.1.weight is missing"),
    "two heads": (lambda s: s | {"linear.weight": (10, 512)}, "two heads, fc and linear"),
    "weights of no batch norm": (lambda s: {k: v for k, v in s.items() if "bn" not in k}, "bn1.weight is missing"),
    "an absurd width": (lambda s: s | {"layer1.0.conv1.weight": (1 << 40, 64, 3, 3)}, "its stages have sizes that no network has"),
    "no sides": (lambda s: s | {"layer1.0.conv1.weight": (), "layer1.1.conv1.weight": ()}, "layer1.0.conv1.weight has shape ()"),
    "grouped by zero": (lambda s: s | {"layer1.0.conv2.weight": (64, 0, 3, 3)}, "layer1.0.conv2.weight has shape"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_other_networks_are_refused_with_the_first_difference(name):
    change, said = REFUSED[name]
    with pytest.raises(CannotCompute) as refused:
        checkpoint_names.map_keys(change(shapes_of(POOLED)))
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 400
