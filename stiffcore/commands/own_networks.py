"""Options of commands that take a network by its name, or from files of weights: ``--weights``, ``--stem``, ``--normalisation``.

Networks from files are not stored, and do not count towards the eight of the page Own files: the file is read again when the
module is needed, in the workers of a sweep, too.
"""

import glob
import re
from argparse import ArgumentParser, Namespace
from dataclasses import dataclass
from pathlib import Path

from stiffcore.commands import terminal
from stiffcore.errors import CannotCompute
from stiffcore.networks import catalogue, registry as networks
from stiffcore.networks.network import Network
from stiffcore.storage import uploads

_LAST_NUMBER = re.compile(r"(\d{1,15})(?!.*\d)")
MOST_FILES = 1000


@dataclass(frozen=True)
class OwnNetwork:
    """A network that a command is about. step: the last number in its file's name, None for a network without a file."""

    network: Network
    step: int | None = None


def add_options(parser: ArgumentParser, several: bool = False) -> None:
    """NETWORK, optional beside --weights, and the options of own files. several: whether --weights may be a pattern."""
    parser.add_argument(
        "network",
        metavar="NETWORK",
        nargs="?",
        default="",
        help=f"{', '.join(catalogue.NETWORKS)}, or the name of an uploaded network; beside --weights it is checked against the file",
    )
    files = "a file of weights, or a pattern in quotes like 'run/epoch-*.pt'" if several else "a file of weights"
    parser.add_argument("--weights", metavar="FILE", default="", help=f"{files}, instead of a network's name")
    parser.add_argument(
        "--stem",
        default="",
        metavar="NAME",
        help="read the file with max-pool (pool) or without (none); by default as it fits the images that ship best",
    )
    parser.add_argument(
        "--normalisation",
        default="",
        metavar="NAME",
        help="of the images: cifar10, std-0.2023, half, imagenet, mean-only, 0-to-1, 0-to-255 or cifar100; by default the best",
    )


def add_matrix(parser: ArgumentParser) -> None:
    """``--matrix`` in place of a network."""
    parser.add_argument(
        "--matrix",
        type=Path,
        metavar="FILE",
        help="square matrices in place of a network's blocks: .npy, .npz, .safetensors, or a tensor of torch.save",
    )


def network_of(arguments: Namespace) -> Network:
    """The one network of a command, or the matrices; a reading and a doubt are printed. Raises CannotCompute."""
    if (matrix := getattr(arguments, "matrix", None)) is not None:
        if arguments.network or arguments.weights:
            raise CannotCompute("Expected --matrix FILE alone, got a network beside it: name one of the two.")
        from stiffcore.matrices import as_network  # torch

        return as_network.of_file(matrix)
    found = networks_of(arguments)
    if len(found) > 1:
        raise CannotCompute(
            f"Expected one file of weights, got {len(found)} for {arguments.weights!r}: name one of them."
        )
    return found[0].network


def networks_of(arguments: Namespace) -> list[OwnNetwork]:
    """The networks of a command, in the natural order of their files; their readings and doubts are printed.

    Raises CannotCompute for an unknown name, a file that is refused, and a file that does not hold the network named beside it.
    """
    if not arguments.weights:
        if arguments.stem or arguments.normalisation:
            raise CannotCompute("Expected --stem and --normalisation beside --weights FILE, got no file: name one.")
        if not arguments.network:
            raise CannotCompute(
                f"Expected a network among {', '.join(catalogue.NETWORKS)}, or --weights FILE, got neither: name one of them."
            )
        return [OwnNetwork(networks.find(arguments.network))]
    if arguments.network:
        catalogue.architecture_of(arguments.network)  # an unknown name is said before a file is read
    return [_read(path, arguments) for path in files(arguments.weights)]


def files(pattern: str) -> list[Path]:
    """The file of this name, or the files of a pattern in natural order. Raises CannotCompute if there is none."""
    path = Path(pattern).expanduser()
    if path.exists() or not glob.has_magic(pattern):
        return [path]
    found = [Path(name) for name in glob.iglob(str(path)) if Path(name).is_file()]
    if not found or len(found) > MOST_FILES:
        got = f"{len(found):,}, more than {MOST_FILES:,}" if found else "none"
        raise CannotCompute(f"Expected files of weights that fit {pattern!r}, got {got}: check the pattern.")
    return sorted(found, key=lambda path: natural(str(path)))


def natural(text: str) -> list[tuple[int, str]]:
    """A key that sorts epoch-9 before epoch-10."""
    parts = re.split(r"(\d{1,15})", text)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]


def step_of(path: Path) -> int | None:
    """The last number in the file's name: 30 of run-2/epoch-030.pt."""
    match = _LAST_NUMBER.search(path.stem)
    return int(match[1]) if match else None


def _read(path: Path, arguments: Namespace) -> OwnNetwork:
    from stiffcore.checkpoints import inspect as checkpoints  # torch

    if arguments.network:
        _check(path, arguments.network)
    with terminal.progress("image") as progress:
        network = checkpoints.network_in(
            path, stem=arguments.stem, normalisation=arguments.normalisation, progress=progress
        )
    terminal.say(f"{uploads.clean_name(path.name)}: {network.reading}")
    if network.doubt:
        terminal.say(f"In doubt: {network.doubt}")
    return OwnNetwork(network, step_of(path))


def _check(path: Path, name: str) -> None:
    """Refuse a file of another family than the named network's."""
    from stiffcore.checkpoints import inspect as checkpoints  # torch

    wanted = catalogue.architecture_of(name).family
    actual = checkpoints.inspect(path).network
    if actual != wanted:
        raise CannotCompute(
            f"{path} holds weights of {actual}, not of {wanted}: leave {name} out, or name another file."
        )
