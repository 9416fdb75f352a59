"""A whole sweep as one table: stored results, shipped results, and the rest computed now. For ``import stiffcore``."""

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing

import pandas as pd

from stiffcore.conventions import Convention
from stiffcore.device_names import AUTO
from stiffcore.errors import CannotCompute
from stiffcore.images.image import Image
from stiffcore.networks.network import Network
from stiffcore.progress import Progress, silent
from stiffcore.sweeps import local, shipping, tasks as sweep_tasks


def rows(
    network: Network,
    images: Sequence[Image],
    blocks: Iterable[int],
    convention: Convention,
    quantity: str,
    workers: int | None = None,
    progress: Progress | None = None,
    where: str = AUTO,
    tell: Callable[[Iterable[str]], None] = lambda notices: None,
) -> pd.DataFrame:
    """A row per image and block. workers: None for the default; 1 computes in this process. where: the devices, see ``local.places``.
    tell: called at the end with the results' notices.

    Raises CannotCompute with the first reason if any block failed, after the other blocks are computed and stored; and
    for two images of one name, which a table could not tell apart.
    """
    if workers is not None:
        local.check_workers(workers)
    local.check_device(where)
    _check_names(images)
    tasks = sweep_tasks.plan(network, images, blocks, convention, quantity)
    table, remaining = sweep_tasks.split(tasks, shipping.rows(network, convention))
    report, failed = progress or silent, []
    notices: dict[str, None] = {}
    done = len(tasks) - len(remaining)
    report(done, len(tasks), network.name)
    with closing(_outcomes(remaining, workers, where)) as outcomes:
        for outcome in outcomes:
            table += outcome.rows
            notices |= dict.fromkeys(outcome.notices)
            failed += [(outcome.task.image.name, block, why) for block, why in outcome.failures.items()]
            done += 1
            report(done, len(tasks), network.name)
    tell(notices)
    if failed:
        image, block, why = failed[0]
        raise CannotCompute(
            f"{len(failed)} {'block' if len(failed) == 1 else 'blocks'} could not be computed. "
            f"First, block {block} at image {image}: {why}"
        )
    return shipping.merged(pd.DataFrame(table))


def _check_names(images: Iterable[Image]) -> None:
    named: dict[int | str, Image] = {}
    for image in images:
        if named.setdefault(image.in_rows, image).sha256 != image.sha256:
            raise CannotCompute(
                f"Expected images of different names, got two called {image.name!r}: name one otherwise."
            )


def _outcomes(
    tasks: list[sweep_tasks.Task], workers: int | None, where: str
) -> Generator[sweep_tasks.Outcome, None, None]:
    if workers == 1 or not tasks:
        yield from (sweep_tasks.compute(task, where) for task in tasks)
    else:
        yield from local.run(tasks, local.default_workers(where) if workers is None else workers, asked=where)
