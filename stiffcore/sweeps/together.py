"""A whole sweep as one table: what is stored, what ships and what is computed now. For ``import stiffcore``."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing

import pandas as pd

from stiffcore.conventions import Convention
from stiffcore.errors import CannotCompute
from stiffcore.images.image import Image
from stiffcore.networks.network import Network
from stiffcore.progress import Progress, silent
from stiffcore.sweeps import local, shipping


def rows(
    network: Network,
    images: Sequence[Image],
    blocks: Iterable[int],
    convention: Convention,
    quantity: str,
    workers: int | None = None,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """A row per image and block. workers: None for the default; 1 computes in this process.

    Raises CannotCompute with the first reason where something could not be computed; the rest is computed and stored first.
    """
    tasks = local.plan(network, images, blocks, convention, quantity)
    found, remaining = local.split(tasks, shipping.rows(network, convention))
    report, failed = progress or silent, []
    done = len(tasks) - len(remaining)
    report(done, len(tasks), network.name)
    with closing(_outcomes(remaining, workers)) as outcomes:
        for outcome in outcomes:
            found += outcome.rows
            failed += [(outcome.task.image.name, block, why) for block, why in outcome.failures.items()]
            done += 1
            report(done, len(tasks), network.name)
    if failed:
        image, block, why = failed[0]
        raise CannotCompute(
            f"{len(failed)} of the blocks could not be computed; the first, block {block} at image {image}: {why}"
        )
    return shipping.merged(pd.DataFrame(found))


def _outcomes(tasks: list[local.Task], workers: int | None) -> Iterator[local.Outcome]:
    if workers == 1 or not tasks:
        yield from map(local.compute, tasks)
    else:
        yield from local.run(tasks, local.default_workers() if workers is None else workers)
