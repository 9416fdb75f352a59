"""``train``, ``fetch-data`` and, for maintainers, ``weights-manifest``: the data and the weights."""

import datetime
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from stiffcore.commands import terminal
from stiffcore.errors import CannotCompute
from stiffcore.images import cifar10
from stiffcore.networks import catalogue
from stiffcore.networks.training import recipes

if TYPE_CHECKING:
    from torch import Tensor

    from stiffcore.networks.training.files import Snapshots
    from stiffcore.networks.training.recipes import Recipe

VALUES = {  # of a recipe: option -> type, what it is
    "--epochs": (int, ""),
    "--batch-size": (int, ""),
    "--learning-rate": (float, "peak learning rate"),
    "--warmup": (float, "share of the steps before the peak learning rate"),
    "--weight-decay": (float, "of all parameters; under quick only of weights of two dimensions and more"),
    "--padding": (int, "pixels that a random crop may be shifted by"),
}


def add_parser(commands: terminal.Commands) -> None:
    _add_train(commands)
    fetch = commands.add_parser("fetch-data", help="download the full CIFAR-10 data set", description=_fetch.__doc__)
    source = fetch.add_mutually_exclusive_group()
    source.add_argument(
        "--from", dest="source", type=Path, metavar="FOLDER",
        help="use files that you have, under any name: cifar-10-python.tar.gz, cifar-10-batches-py or an .npz, or a folder with "
        "one of them",
    )  # fmt: skip
    source.add_argument("--url", default="", help="download the archive from this address instead")
    fetch.add_argument("--json", action="store_true", help="print the result as JSON")
    fetch.set_defaults(run=_fetch)
    manifest = commands.add_parser(
        "weights-manifest", help="for maintainers: rebuild weights/manifest.json", description=_manifest.__doc__
    )
    manifest.add_argument(
        "networks", nargs="*", metavar="NETWORK",
        help="networks whose weights changed, with their baselines; default all",
    )  # fmt: skip
    manifest.add_argument(
        "--data", type=Path, metavar="FILE.npz", help="measure the accuracies on its test_images and test_labels"
    )
    manifest.set_defaults(run=_manifest)


def _add_train(commands: terminal.Commands) -> None:
    train = commands.add_parser("train", help="train a network's weights", description=_train.__doc__)
    train.add_argument("network", metavar="NETWORK", help=", ".join(catalogue.ARCHITECTURES))
    train.add_argument(
        "--data", type=Path, metavar="FILE.npz",
        help="train_images, train_labels, test_images, test_labels; default the data that `fetch-data` stored",
    )  # fmt: skip
    train.add_argument(
        "--recipe", choices=recipes.RECIPES, default=recipes.DEFAULT,
        help="zoo: the one of the weights that ship; short: nearly the same in 30 epochs; quick: what shipped first. The options "
        "below take the place of its values; default zoo",
    )  # fmt: skip
    for option, (kind, what) in VALUES.items():
        train.add_argument(option, type=kind, help=f"{what}; default {_by_recipe(option)}".removeprefix("; "))
    train.add_argument("--seed", type=int, default=0, help="default 0")
    train.add_argument(
        "--start-from", type=Path, metavar="FILE", help="initial weights: any checkpoint that `analyse --weights` reads"
    )
    train.add_argument(
        "--out", type=Path, metavar="FILE", help="default NETWORK.safetensors in the folder of the CIFAR-10 data"
    )
    train.add_argument(
        "--checkpoint", type=Path, metavar="FILE", help="default beside --out; removed after the training"
    )
    train.add_argument(
        "--snapshots", type=Path, metavar="FOLDER", help="also write the weights on the way: epoch-000.safetensors …"
    )
    train.add_argument(
        "--snapshot-epochs", default="", metavar="EPOCHS",
        help="after which epochs, 0 for before the first step; default 0,1,2,3,5,8,12,16,20,24,27,30, as far as they go, and the last",
    )  # fmt: skip
    train.add_argument("--no-compile", action="store_true", help="do not compile the network")
    train.add_argument("--json", action="store_true", help="print the result as JSON")
    train.set_defaults(run=_train)


def _field(option: str) -> str:
    """``--learning-rate`` -> the field of a Recipe that it sets."""
    name = option.removeprefix("--").replace("-", "_")
    return f"peak_{name}" if name == "learning_rate" else name


def _by_recipe(option: str) -> str:
    """The value of an option in each recipe: ``0.01 (zoo), 0.02 (short), 0.1 (quick)``; one number where they agree."""
    values = {name: f"{getattr(recipes.named(name, 'resnet18'), _field(option)):g}" for name in recipes.RECIPES}
    if len(set(values.values())) == 1:
        return values[recipes.DEFAULT]
    return ", ".join(f"{value} ({name})" for name, value in values.items())


def _train(arguments: Namespace) -> None:
    """Trains a network on CIFAR-10 and writes float16 safetensors with recipe, epochs, accuracy and date. A checkpoint
    is written after every epoch: the same command continues an interrupted training."""
    if arguments.network not in catalogue.ARCHITECTURES:
        names = ", ".join(catalogue.ARCHITECTURES)
        raise CannotCompute(f"Expected a network among {names}, got {arguments.network!r}: choose one of them.")
    out = terminal.writable(arguments.out or cifar10.full_set_path().with_name(f"{arguments.network}.safetensors"))
    checkpoint = terminal.writable(arguments.checkpoint or out.with_suffix(".checkpoint.safetensors"))
    arrays = cifar10.load_arrays(arguments.data or cifar10.full_set_path())
    from stiffcore.networks import resnets
    from stiffcore.networks.training import files as trained_files, loop as training

    start = _start(arguments.start_from, arguments.network) if arguments.start_from else None
    recipe = recipes.named(
        arguments.recipe, arguments.network, seed=arguments.seed, start_from=resnets.tensors_sha256(start) if start else "",
        **{_field(option): getattr(arguments, option[2:].replace("-", "_")) for option in VALUES},
    )  # fmt: skip
    snapshots = _snapshots(arguments, recipe)
    if done := training.epochs_done(checkpoint, recipe):
        terminal.say(f"Continuing after epoch {done} of {recipe.epochs}, from {checkpoint}.")
    if snapshots:
        snapshots.check(done)
    with terminal.progress("step") as progress:
        model = training.train(recipe, arrays, checkpoint, start, progress, not arguments.no_compile, snapshots)
    accuracy = trained_files.finish(model, recipe, arrays, out, datetime.date.today().isoformat())
    checkpoint.unlink(missing_ok=True)
    if arguments.json:
        terminal.show_json({"file": out, "accuracy": accuracy, "epochs": recipe.epochs})
    else:
        terminal.show(f"{out}: test accuracy {100 * accuracy:.2f} %")


def _start(path: Path, network: str) -> "dict[str, Tensor]":
    """The tensors of a checkpoint in any form that ``analyse --weights`` reads. Raises CannotCompute for another network's."""
    from stiffcore.checkpoints import inspect as checkpoints

    state, inspection = checkpoints.read(checkpoints.content_of(path))
    if inspection.network != network:
        raise CannotCompute(
            f"{path} holds weights of {inspection.network}, not of {network}: name {inspection.network} instead, or another file."
        )
    return state


def _snapshots(arguments: Namespace, recipe: "Recipe") -> "Snapshots | None":
    from stiffcore.networks.training import files as trained_files

    if arguments.snapshots is None:
        if arguments.snapshot_epochs:
            raise CannotCompute("Expected --snapshots FOLDER with --snapshot-epochs, got no folder: name one.")
        return None
    snapshots = trained_files.Snapshots(
        arguments.snapshots, trained_files.snapshot_epochs(arguments.snapshot_epochs, recipe), recipe
    )
    terminal.writable(snapshots.path(snapshots.epochs[0]))
    return snapshots


def _fetch(arguments: Namespace) -> None:
    """Downloads the full CIFAR-10 data set, checks its hashes and converts it to .npz. Run it again to continue an
    interrupted download."""
    from stiffcore.images import fetch as cifar10_archive

    if arguments.source and not arguments.source.exists():
        raise CannotCompute(f"There is no file or folder {arguments.source}: name one that holds CIFAR-10.")
    with terminal.progress("B") as progress:
        path = cifar10_archive.fetch(cifar10_archive.official(arguments.url), arguments.source, progress)
    if arguments.json:
        terminal.show_json({"file": path, "test_images": cifar10.TEST_IMAGES})
    else:
        terminal.show(f"{path}: all {cifar10.TEST_IMAGES:,} test images are available now.")


def _manifest(arguments: Namespace) -> None:
    """Rebuilds the baselines' batch-norm statistics and manifest.json from the trained weights in stiffcore/weights.
    Results that are stored for weights with another hash are computed again."""
    from stiffcore.networks import build_manifest

    changed = [catalogue.architecture(network) for network in arguments.networks] or catalogue.SHIPPED
    terminal.show(str(build_manifest.build(arguments.data, terminal.say, changed)))
