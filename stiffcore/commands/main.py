"""The command line: parses a command, runs it, and turns errors into one line and an exit code.

Every module of COMMANDS has ``add_parser(commands)``, which adds its commands to an argparse sub-parser object. Each
command sets ``run``, a function of the parsed arguments that returns an exit code or None. Commands that compute in
this process and have nothing to clean up after Ctrl-C also set ``leaves_at_once``.
"""

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from typing import NoReturn

from stiffcore.commands import (
    analyse,
    benchmark,
    doctor,
    growth,
    ode,
    perturb,
    robustness,
    sweep,
    tables,
    terminal,
    train,
)
from stiffcore.commands.maintainers import rebuild
from stiffcore.errors import Cancelled, CannotCompute

BAD_INPUT = 2
COMMANDS = (analyse, benchmark, doctor, growth, ode, perturb, rebuild, robustness, sweep, tables, train)


class _Parser(argparse.ArgumentParser):
    """Reports an error in one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(BAD_INPUT, f"{self.prog}: {message}; see {self.prog} --help.\n")


def parser() -> argparse.ArgumentParser:
    """The parser with all commands; imports no torch."""
    top = _Parser(prog="python -m stiffcore", description="Block-level stiffness of residual networks.")
    commands = top.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for module in COMMANDS:
        module.add_parser(commands)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code: 0, 2 for bad input, 130 for Ctrl-C."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    parsed = parser().parse_args(arguments)
    try:
        with terminal.leaving_at_once() if getattr(parsed, "leaves_at_once", False) else nullcontext():
            code = parsed.run(parsed)
            sys.stdout.flush()
    except CannotCompute as error:
        sys.stderr.write(" ".join(str(error).split()) + "\n")
        return BAD_INPUT
    except (KeyboardInterrupt, Cancelled):
        sys.stderr.write(f"{terminal.SAID_WHEN_INTERRUPTED}\n")
        return terminal.INTERRUPTED
    except BrokenPipeError:  # the reader, for example head, has closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return code or 0
