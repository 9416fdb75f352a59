"""``benchmark-app``: the speed of the app, in a browser and with many sessions, measured on this machine."""

from argparse import Namespace

from stiffcore.commands import terminal


def add_parser(commands: terminal.Commands) -> None:
    benchmark = commands.add_parser(
        "benchmark-app",
        help="measure the app: first paint, stored views, many sessions",
        description=_benchmark.__doc__,
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
    benchmark.set_defaults(run=_benchmark)


def _benchmark(arguments: Namespace) -> int:
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
