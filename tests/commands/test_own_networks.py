"""Networks from files on the command line: named, read, checked, never stored; uploaded ones by their names."""

import json
import pickle
from argparse import ArgumentParser

import pytest
import torch
from safetensors.torch import load_file, save_file

from stiffcore.analysis import perturbation
from stiffcore.checkpoints import inspect as checkpoints, register
from stiffcore.checkpoints.reading import choose as readings
from stiffcore.commands import main as command_line, own_networks
from stiffcore.errors import CannotCompute
from stiffcore.networks import catalogue, manifest, modules, registry as networks, uploaded as uploaded_networks
from tests.made_up import readings as readings_made_up

RESNET20 = catalogue.ARCHITECTURES["resnet20"]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A folder of three checkpoints of a small ResNet, and one of ResNet18; nothing is measured."""
    monkeypatch.setenv("STIFFCORE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(readings, "best", readings_made_up.quick(0.5, "Two readings are equally right."))
    torch.manual_seed(0)
    state = modules.build(RESNET20).state_dict()
    (tmp_path / "run").mkdir()
    for step in (9, 10, 100):
        save_file(
            {k: v + step if k == "fc.bias" else v for k, v in state.items()},
            tmp_path / "run" / f"epoch-{step}.safetensors",
        )
    state = load_file(manifest.FOLDER / "resnet18.safetensors")
    save_file(state, tmp_path / "best.safetensors")
    return tmp_path


def parsed(*words: str):
    parser = ArgumentParser()
    own_networks.add_options(parser)
    return parser.parse_args(words)


def test_a_file_is_a_network_that_is_not_stored(folder, capsys):
    found = own_networks.network_of(parsed("--weights", str(folder / "run" / "epoch-9.safetensors")))
    assert (found.name, len(found.blocks)) == ("epoch-9.safetensors", 9)
    said = capsys.readouterr().err
    assert "epoch-9.safetensors: Read as made up: right at 50.0 % of the images that ship." in said
    assert "In doubt: Two readings are equally right." in said
    assert uploaded_networks.known() == ()
    assert own_networks.network_of(parsed("resnet18-shuffled")) == networks.find("resnet18-shuffled")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "or --weights FILE, got neither"),
        (("resnet19",), "Expected a network among resnet18"),
        (("--stem", "none"), "beside --weights FILE"),
        (
            ("resnet18", "--weights", "{0}/run/epoch-9.safetensors"),
            "holds weights of resnet20, not of resnet18: leave resnet18 out",
        ),
        (("resnet19", "--weights", "{0}/best.safetensors"), "Expected a network among resnet18"),
        (("--weights", "{0}/nowhere.pt"), "No such file"),
        (("--weights", "{0}"), "Expected a checkpoint in"),
    ],
)
def test_what_does_not_fit_is_one_sentence(words, said, folder):
    with pytest.raises(CannotCompute) as refused:
        own_networks.network_of(parsed(*(word.format(folder) for word in words)))
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_the_family_beside_a_file_is_a_check(folder):
    own = own_networks.network_of(parsed("resnet18", "--weights", str(folder / "best.safetensors")))
    assert own.architecture == "resnet18"
    plain = own_networks.network_of(parsed("resnet18", "--weights", str(folder / "best.safetensors"), "--stem", "none"))
    assert plain.architecture == "", "without max-pool it is none of the paper's"
    assert plain.blocks[0].n_out == 65_536
    assert plain.weights_sha256 != own.weights_sha256


def test_a_network_from_a_file_travels_to_a_worker_and_is_read_again_there(folder):
    own = own_networks.network_of(parsed("--weights", str(folder / "run" / "epoch-9.safetensors")))
    assert b"epoch-9" in pickle.dumps(own), "it can be sent to a worker"
    assert torch.equal(own.module().fc.bias, load_file(folder / "run" / "epoch-9.safetensors")["fc.bias"])
    (folder / "run" / "epoch-9.safetensors").unlink()
    with pytest.raises(CannotCompute, match="No such file"):
        checkpoints.network_in(folder / "run" / "epoch-9.safetensors")


def test_perturb_takes_a_file_and_the_name_of_an_uploaded_network(folder, monkeypatch, capsys):
    asked = []

    def compute(request):
        asked.append(request.network)
        raise CannotCompute("Planted: nothing is computed here.")

    monkeypatch.setattr(perturbation, "compute", compute)
    name = register.register(folder / "best.safetensors", "best").own.network
    for words in ((name,), ("--weights", str(folder / "best.safetensors"))):
        assert command_line.main(["perturb", *words, "--images", "0"]) == 2
        assert "Planted" in capsys.readouterr().err
    assert [network.name for network in asked] == [name, "best.safetensors"]


def test_json_rows_carry_the_doubt_and_the_reading(folder, capsys):
    of = ["--weights", str(folder / "run" / "epoch-9.safetensors"), "--blocks", "9"]
    assert not command_line.main(["analyse", *of, "--convention", "branch", "--level", "extremes", "--json"])
    (row,) = json.loads(capsys.readouterr().out)
    assert row["doubt"] == "Two readings are equally right."
    assert row["reading"].startswith("Read as made up")
    assert row["network"] == "epoch-9.safetensors"
