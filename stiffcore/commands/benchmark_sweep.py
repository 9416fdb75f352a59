"""``benchmark-sweep``: the speed of sweeps on this machine."""

import argparse

from stiffcore.commands import terminal


def add_parser(subparsers: terminal.Commands) -> None:
    parser = subparsers.add_parser(
        "benchmark-sweep",
        help="measure the speed of sweeps",
        description="Measure images per minute with one worker and with two, overhead per task, and how cost and memory grow "
        "with the number of images. Run it on an otherwise idle machine.",
    )
    parser.add_argument("--full", action="store_true", help="every network and convention, and 1,000 images")
    parser.add_argument("--json", action="store_true", help="print the measurements as JSON")
    parser.set_defaults(run=_benchmark)


def _benchmark(arguments: argparse.Namespace) -> int:
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
