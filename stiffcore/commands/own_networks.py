"""Options of commands that take a network by its name, or from files of weights: ``--weights``, ``--stem``, ``--normalisation``.

Networks from files are not stored, and do not count towards the eight of the page Own files: the file is read again when the
module is needed, in the workers of a sweep, too.
"""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from stiffcore.commands import terminal
from stiffcore.errors import CannotCompute
from stiffcore.networks import catalogue, registry as networks
from stiffcore.networks.network import Network
from stiffcore.storage import uploads


def add_options(parser: ArgumentParser) -> None:
    """NETWORK, optional beside --weights, and the options of an own file."""
    parser.add_argument(
        "network",
        metavar="NETWORK",
        nargs="?",
        default="",
        help=f"{', '.join(catalogue.NETWORKS)}, or the name of an uploaded network; beside --weights it is checked against the file",
    )
    parser.add_argument("--weights", metavar="FILE", default="", help="a file of weights, instead of a network's name")
    add_reading(parser)


def add_reading(parser: ArgumentParser) -> None:
    """How files are read."""
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
    """The network of a command, or its matrices; the reading and the doubt of a file are printed.

    Raises CannotCompute for an unknown name, a file that is refused, and a file that does not hold the network named beside it.
    """
    if (matrix := getattr(arguments, "matrix", None)) is not None:
        if arguments.network or arguments.weights:
            raise CannotCompute("Expected --matrix FILE alone, got a network beside it: name one of the two.")
        from stiffcore.matrices import as_network  # torch

        return as_network.of_file(matrix)
    if not arguments.weights:
        if arguments.stem or arguments.normalisation:
            raise CannotCompute("Expected --stem and --normalisation beside --weights FILE, got no file: name one.")
        if not arguments.network:
            raise CannotCompute(
                f"Expected a network among {', '.join(catalogue.NETWORKS)}, or --weights FILE, got neither: name one of them."
            )
        return networks.find(arguments.network)
    if arguments.network:
        catalogue.architecture_of(arguments.network)  # an unknown name is said before a file is read
    return _read(Path(arguments.weights).expanduser(), arguments)


def _read(path: Path, arguments: Namespace) -> Network:
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
    return network


def _check(path: Path, name: str) -> None:
    """Refuse a file of another family than the named network's."""
    from stiffcore.checkpoints import inspect as checkpoints  # torch

    wanted = catalogue.architecture_of(name).family
    actual = checkpoints.inspect(path).network
    if actual != wanted:
        raise CannotCompute(
            f"{path} holds weights of {actual}, not of {wanted}: leave {name} out, or name another file."
        )
