"""``benchmark``: our methods against the direct ones, measured on this machine."""

from argparse import Namespace

from stiffcore.commands import terminal
from stiffcore.errors import CannotCompute
from stiffcore.networks import registry as networks


def add_parser(commands: terminal.Commands) -> None:
    benchmark = commands.add_parser(
        "benchmark", help="measure our methods against the direct ones", description=_benchmark.__doc__
    )
    extent = benchmark.add_mutually_exclusive_group()
    extent.add_argument(
        "--quick",
        action="store_true",
        help="one round: ResNet18's blocks 6 and 8, the extremes of block 4, and the slices; the default",
    )
    extent.add_argument("--full", action="store_true", help="five rounds of everything; takes hours")
    benchmark.add_argument(
        "--items",
        default="1,2,3,4,5",
        help="1 full spectrum, 2 extremes and certificates, 3 slices, 4 formation, 5 GPU; default all",
    )
    benchmark.add_argument(
        "--blocks",
        metavar="NETWORK:LIST",
        help="only these identity blocks, for example resnet50:16, without the slices",
    )
    benchmark.add_argument("--json", action="store_true", help="print the measurements as JSON")
    benchmark.set_defaults(run=_benchmark, leaves_at_once=True)


def _benchmark(arguments: Namespace) -> int:
    """Compares our spectra with those of dense Jacobians and naive slices, in one process, in interleaved rounds, in
    the same precision and with the same masks. Prints median and spread, and ratios where counts and extremes agree.
    Exit code 1 where they do not."""
    from stiffcore.benchmarks import main as benchmark

    items = [item.strip() for item in arguments.items.split(",")]
    report = benchmark.run(full=arguments.full, say=terminal.say, items=items, only=_only(arguments.blocks))
    if arguments.json:
        terminal.show_json(report)
    else:
        terminal.show(benchmark.as_text(report))
    return benchmark.exit_code(report)


def _only(text: str | None) -> tuple[str, list[int]] | None:
    """``resnet50:15,16`` -> a network and its blocks. Raises CannotCompute for a block without eigenvalues."""
    if text is None:
        return None
    name, _, numbers = text.partition(":")
    network = networks.find(name)
    blocks = terminal.parse_blocks(network, numbers)
    if changing := [number for number in blocks if not network.block(number).is_identity]:
        raise CannotCompute(
            f"Block {changing[0]} of {name} is not an identity block, so it has no eigenvalues: leave it out."
        )
    return name, blocks
