"""``analyse`` and ``spectrum``: results of blocks at images, as rows or as a file."""

import json
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from stiffcore import files
from stiffcore.analysis import compute as analysis, estimate, on_card
from stiffcore.analysis.requests import QUANTITIES, Request
from stiffcore.analysis.results import Result
from stiffcore.commands import analyse_table, own_networks, terminal
from stiffcore.conventions import Convention
from stiffcore.errors import CannotCompute
from stiffcore.images import forms, picture_files, registry as images
from stiffcore.images.image import NO_IMAGE, Image
from stiffcore.sweeps import local as local_sweep

IMAGE_FILE = f"a {forms.NAMES} file; its central square is resized to 32 × 32"
REFUSED = 2  # exit code, as for bad input


def add_parser(commands: terminal.Commands) -> None:
    analyse = commands.add_parser(
        "analyse", help="print the metrics of blocks at images, one row each", description=_analyse.__doc__
    )
    _what(analyse)
    images = analyse.add_mutually_exclusive_group()
    images.add_argument("--images", help="bundled, all, or 0,3,10:20 (end excluded); default 0")
    images.add_argument(
        "--image-file", nargs="+", metavar="FILE", help=f"{IMAGE_FILE}; also several, a folder, or a pattern in quotes"
    )
    analyse.add_argument(
        "--blocks", default="all", help="all, identity, or numbers from 1 as in the paper: 8 or 6,8; default all"
    )
    analyse.add_argument(
        "--level",
        choices=QUANTITIES[:-1],
        default="counts",
        help="norms: logarithmic norms, the stiffness indicator s and norms, in less than a second; extremes: also the outermost "
        "eigenvalues; counts: also the counts by sign; default counts",
    )
    form = analyse.add_mutually_exclusive_group()
    form.add_argument(
        "--wide", action="store_true",
        help="print every column, by its full name, in about 300 characters. By default a terminal shows a short table of at most "
        "120 characters; files and pipes always get every column",
    )  # fmt: skip
    form.add_argument(
        "--json", action="store_true", help="print a JSON list of objects; an undefined value is null, with a reason"
    )
    analyse.set_defaults(run=_analyse, leaves_at_once=True)
    spectrum = commands.add_parser("spectrum", help="write one spectrum to an .npz file", description=_spectrum.__doc__)
    _what(spectrum)
    image = spectrum.add_mutually_exclusive_group()
    image.add_argument("--image", help="index in the CIFAR-10 test set")
    image.add_argument("--image-file", metavar="FILE", help=IMAGE_FILE)
    spectrum.add_argument("--block", required=True, help="number from 1, as in the paper")
    spectrum.add_argument("--out", required=True, type=Path, metavar="FILE.npz", help="the file to write")
    spectrum.add_argument("--json", action="store_true", help="print the file's header as JSON")
    spectrum.set_defaults(run=_spectrum, leaves_at_once=True)


def _what(command: ArgumentParser) -> None:
    own_networks.add_options(command)
    own_networks.add_matrix(command)
    terminal.add_device(command)
    command.add_argument(
        "--convention",
        required=True,
        help="which eigenvalues: " + ", ".join(f"{c} ({c.title})" for c in Convention),
    )


def _analyse(arguments: Namespace) -> int:
    """Prints a row per image and block with the metrics of the block's spectrum under one convention. Blocks that
    cannot be computed are listed at the end with their reasons, files that are no pictures at the beginning; then the exit code is 2."""
    convention = Convention(arguments.convention)
    local_sweep.check_device(arguments.device)
    chosen, refused_files = _images(arguments)
    network = own_networks.network_of(arguments)
    blocks = terminal.parse_blocks(network, arguments.blocks)
    requests = [Request(network, image, block, convention, arguments.level) for image in chosen for block in blocks]
    if sys.stderr.isatty():
        terminal.say(estimate.of(requests).sentence)
    short = not arguments.wide and terminal.is_watched()
    show = (lambda result: None) if arguments.json else (analyse_table.short if short else analyse_table.wide)(requests)
    results, refusals = _computed(requests, show, arguments.device)
    if len(refusals) == 1 and not results:
        raise CannotCompute(*refusals)  # one reason for all blocks, for example damaged weights
    if arguments.json:
        terminal.show_json([analyse_table.row(result) | {"reasons": result.reasons} for result in results])
    else:
        columns = analyse_table.short_columns(convention).values() if short else analyse_table.columns()
        for line in analyse_table.below(results, columns):
            terminal.say(line)
    terminal.say_notices(notice for result in results for notice in result.notices)
    for reason, places in refusals.items():
        terminal.say(" ".join(f"{', '.join(places)}: {reason}".split()))
    return REFUSED if refusals or refused_files else 0


def _images(arguments: Namespace) -> tuple[list[Image], int]:
    """The images, and how many files were refused. Those of files are stored like uploads to the app."""
    if arguments.matrix is not None:
        _check_no_image(arguments.images, arguments.image_file)
        return [NO_IMAGE], 0
    if arguments.image_file is None:
        return images.listed(arguments.images or "0"), 0
    with terminal.progress("file") as progress:
        return picture_files.registered(arguments.image_file, terminal.say, progress)


def _check_no_image(*given: object) -> None:
    if any(one is not None for one in given):
        raise CannotCompute(
            "Expected --matrix FILE without images, which have no part in a matrix, got some: leave them out."
        )


def _computed(
    requests: list[Request], show: Callable[[Result], None], where: str
) -> tuple[list[Result], dict[str, list[str]]]:
    """The results without their arrays, each shown as soon as it is computed; and reason -> its blocks."""
    results: list[Result] = []
    refusals: dict[str, list[str]] = {}
    with terminal.progress("block") as progress:
        progress(0, len(requests), requests[0].network.name)

        def stage(done: int, total: int, what: str) -> None:
            progress(len(results), len(requests), what)

        def refused(request: Request, error: CannotCompute) -> None:
            refusals.setdefault(str(error), []).append(f"image {request.image.in_rows} block {request.block}")

        for result in analysis.compute_many(requests, stage, refused, where=where):
            results.append(
                replace(on_card.with_reason(result, where), arrays={})
            )  # the arrays of thousands of stored spectra would not fit in memory
            show(result)
            progress(len(results), len(requests), requests[0].network.name)
    return results, refusals


def _spectrum(arguments: Namespace) -> None:
    """Writes all eigenvalues of a block (complex128, including structural zeros and ones), or its singular values where
    it is not square, or under slices the density over the complex plane; with a JSON header."""
    convention = Convention(arguments.convention)
    local_sweep.check_device(arguments.device)
    image, *more = _one_image(arguments)
    network = own_networks.network_of(arguments)
    block, *more_blocks = terminal.parse_blocks(network, arguments.block)
    if more or more_blocks:
        raise CannotCompute(
            f"Expected one image and one block, got {1 + len(more)} and {1 + len(more_blocks)}: run the command once for each."
        )
    path = terminal.writable(arguments.out)
    with terminal.progress() as progress:
        request = Request(network, image, block, convention, "spectrum")
        result = on_card.with_reason(analysis.compute(request, progress, arguments.device), arguments.device)
    facts = {
        "network": network.name, "image": image.in_rows, "label": image.label_name, "block": block,
        "convention": convention, "metrics": result.metrics, "reasons": result.reasons, "health": result.health,
        "made": result.made,
    }  # fmt: skip
    arrays = whole_spectrum(result)
    header = terminal.plain_mapping(facts)
    _write(path, arrays | {"header": np.array(json.dumps(header, ensure_ascii=False))})
    terminal.say_notices(result.notices)
    if arguments.json:
        terminal.show_json(header | {"file": path, "arrays": {name: list(a.shape) for name, a in arrays.items()}})
    else:
        terminal.show(f"{path}: " + ", ".join(f"{name} {a.dtype} {a.shape}" for name, a in arrays.items()))


def _one_image(arguments: Namespace) -> list[Image]:
    """The image that a spectrum is of; none of a matrix. Raises CannotCompute where a network has none."""
    if arguments.matrix is not None:
        _check_no_image(arguments.image, arguments.image_file)
        return [NO_IMAGE]
    if arguments.image_file is not None:
        return picture_files.registered([arguments.image_file], terminal.say)[0]
    if arguments.image is None:
        raise CannotCompute("Expected --image NUMBER, or --image-file FILE, got neither: name an image.")
    return images.listed(arguments.image)


def whole_spectrum(result: Result) -> dict[str, np.ndarray]:
    """The arrays of a result, with the structural zeros and ones appended to the eigenvalues of its core."""
    whole = {"eigenvalues": result.eigenvalues()} if "eigenvalues" in result.arrays else {}
    return result.arrays | whole


def _write(path: Path, arrays: dict[str, np.ndarray]) -> None:
    with files.replaced(path) as partial, partial.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]  # numpy's stub: a name could be allow_pickle
