"""The command line: finds the commands, turns errors into one line and an exit code.

Every module ``stiffcore/cli_*.py`` has ``add_parser(commands)``, which adds its commands to an argparse sub-parser
object; each sets ``run``, a function of the parsed arguments that returns an exit code or None.
"""

import argparse
import importlib
import logging
import os
import pkgutil
import sys
from collections.abc import Sequence
from typing import NoReturn

import stiffcore
from stiffcore.errors import Cancelled, CannotCompute

BAD_INPUT = 2
INTERRUPTED = 130  # 128 + SIGINT, as shells have it


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the usage before it."""

    def error(self, message: str) -> NoReturn:
        self.exit(BAD_INPUT, f"{self.prog}: {message}; {self.prog} --help says more.\n")


def parser() -> argparse.ArgumentParser:
    """The parser with all commands; imports no torch."""
    top = _Parser(prog="python -m stiffcore", description="Block-level stiffness of residual networks.")
    commands = top.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for module in sorted(info.name for info in pkgutil.iter_modules(stiffcore.__path__)):
        if module.startswith("cli_"):
            importlib.import_module(f"stiffcore.{module}").add_parser(commands)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code: 0, 2 for bad input, 130 for Ctrl-C."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    parsed = parser().parse_args(arguments)
    try:
        code = parsed.run(parsed)
        sys.stdout.flush()
    except CannotCompute as error:
        sys.stderr.write(" ".join(str(error).split()) + "\n")
        return BAD_INPUT
    except (KeyboardInterrupt, Cancelled):
        sys.stderr.write("Interrupted: what was finished is stored, run the command again to go on.\n")
        return INTERRUPTED
    except BrokenPipeError:  # the reader, head for example, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return code or 0
