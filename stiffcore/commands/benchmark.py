"""``benchmark``, ``benchmark-app`` and ``benchmark-sweep``: the speed of our methods, the app and sweeps on this machine."""

from argparse import Namespace

from stiffcore.commands import terminal
from stiffcore.errors import CannotCompute
from stiffcore.networks import registry as networks
from stiffcore.sweeps import local as local_sweep

NOT_OF_BLOCKS = {"3": "item 3, slices", "5": "item 5, a card beside the host"}  # items that have blocks of their own


def add_parser(commands: terminal.Commands) -> None:
    _add_methods(commands)
    _add_app(commands)
    _add_sweep(commands)


def _add_methods(commands: terminal.Commands) -> None:
    benchmark = commands.add_parser(
        "benchmark", help="measure our methods against the direct ones", description=_methods.__doc__
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
        help="1 full spectrum, 2 extremes and certificates, 3 slices, 4 formation, 5 a card beside the host; default all",
    )
    benchmark.add_argument(
        "--blocks",
        metavar="NETWORK:LIST",
        help="only these identity blocks, for example resnet50:16, without the slices and item 5",
    )
    benchmark.add_argument(
        "--device",
        default="auto",
        metavar="NAME",
        help="of item 5: cuda, cuda:1, or cpu in a card's place; default the first card",
    )
    benchmark.add_argument(
        "--seconds",
        type=float,
        metavar="N",
        help="of item 5: leave out what would not end in about so many; default 130, with --full 310",
    )
    benchmark.add_argument("--json", action="store_true", help="print the measurements as JSON")
    benchmark.set_defaults(run=_methods, leaves_at_once=True)


def _methods(arguments: Namespace) -> int:
    """Compares our spectra with those of dense Jacobians and naive slices, in one process, in interleaved rounds, in
    the same precision and with the same masks; and, where there is a card, its speed with the host's. Prints median and spread, and ratios where counts and extremes agree.
    Exit code 1 where they do not."""
    from stiffcore.benchmarks import main as benchmark

    local_sweep.check_device(arguments.device)
    items = [item.strip() for item in arguments.items.split(",")]
    only = _only(arguments.blocks)
    if only is not None:
        items = _of_blocks(items)
    report = benchmark.run(
        arguments.full, terminal.say, items, only=only, where=arguments.device, seconds=arguments.seconds
    )
    if arguments.json:
        terminal.show_json(report)
    else:
        terminal.show(benchmark.as_text(report))
    return benchmark.exit_code(report)


def _of_blocks(items: list[str]) -> list[str]:
    """The items that are measured with --blocks; says which are left out. Raises CannotCompute where that is all of them."""
    left_out = [item for item in items if item in NOT_OF_BLOCKS]
    if left_out == items:
        raise CannotCompute(
            f"Expected an item among 1, 2 and 4 with --blocks, got only {', '.join(items)}: leave --blocks out, or choose another item."
        )
    if left_out:
        terminal.say(
            "Left out, since --blocks names blocks: " + "; ".join(NOT_OF_BLOCKS[item] for item in left_out) + "."
        )
    return [item for item in items if item not in NOT_OF_BLOCKS]


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


def _add_app(commands: terminal.Commands) -> None:
    benchmark = commands.add_parser(
        "benchmark-app",
        help="measure the app: first paint, stored views, many sessions",
        description=_app.__doc__,
    )
    benchmark.add_argument("--no-browser", action="store_true", help="skip the measurements that need Chromium")
    benchmark.add_argument(
        "--sessions",
        type=int,
        default=50,
        metavar="N",
        help="number of sessions that press Compute at once; default 50",
    )
    benchmark.add_argument("--json", action="store_true", help="print the measurements as JSON")
    benchmark.set_defaults(run=_app)


def _app(arguments: Namespace) -> int:
    """Starts the app in separate processes, each with an empty cache, and measures: seconds to the first paint of a
    cold server, 65,536 points in Chromium, stored views, and many sessions that compute at once. Run it on an otherwise
    idle machine. Exit code 1 if a spectrum was computed twice, or torch was imported before the first figure."""
    from stiffcore.benchmarks import app as benchmark_app

    report = benchmark_app.run(terminal.say, browser=not arguments.no_browser, n_sessions=arguments.sessions)
    if arguments.json:
        terminal.show_json(report)
    else:
        terminal.show(benchmark_app.as_text(report))
    return benchmark_app.exit_code(report)


def _add_sweep(commands: terminal.Commands) -> None:
    parser = commands.add_parser(
        "benchmark-sweep",
        help="measure the speed of sweeps",
        description="Measure images per minute with one worker and with two, overhead per task, and how cost and memory grow "
        "with the number of images. Run it on an otherwise idle machine.",
    )
    parser.add_argument("--full", action="store_true", help="every network and convention, and 1,000 images")
    parser.add_argument("--json", action="store_true", help="print the measurements as JSON")
    parser.set_defaults(run=_sweep)


def _sweep(arguments: Namespace) -> int:
    from stiffcore.benchmarks import sweep as benchmark_sweep

    report = benchmark_sweep.run(arguments.full, terminal.say if arguments.json else terminal.show)
    if arguments.json:
        terminal.show_json(report)
    else:
        for line in report["rates"]:
            if "speed_up_of_two_workers" in line:
                terminal.show(
                    f"{line['network']} {line['convention']}: two workers are {line['speed_up_of_two_workers']:.2f} × as fast as one"
                )
    return 0
