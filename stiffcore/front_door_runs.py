"""The Python interface to runs, several checkpoints of one training. ``import stiffcore as sc`` offers all of it."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from stiffcore import front_door
from stiffcore.conventions import Convention
from stiffcore.device_names import AUTO
from stiffcore.front_door import ALL, BUNDLED, Level
from stiffcore.images import registry as images
from stiffcore.images.image import Image
from stiffcore.networks import catalogue, registry as networks
from stiffcore.networks.network import Network
from stiffcore.progress import Progress

if TYPE_CHECKING:
    import pandas as pd
    from torch import nn

    from stiffcore.runs.run import Checkpoint, Run


def sweep_run(
    checkpoints: "str | Path | Iterable[str | Path] | Mapping[int, str | Network | nn.Module]",
    images: str | int | np.ndarray | Image | Iterable[int | np.ndarray | Image] = BUNDLED,
    blocks: str | int | Iterable[int] = ALL,
    convention: str = "slices",
    level: Level = "counts",
    workers: int | None = None,
    progress: Progress | None = None,
    device: str = AUTO,
) -> "pd.DataFrame":
    """Every block at every image for every checkpoint of a training, one row each.

    checkpoints: a pattern, several files, or step -> network or module. Files are remembered as a run, which the page Over
    training draws. The other arguments are those of ``sweep``.

    Columns in addition to ``sweep``'s: run, checkpoint (the file), step, seed (files in several folders are several seeds),
    accuracy (of a checkpoint's images with rows, the share that is classified correctly), accuracy_bundled and loss_bundled (over
    the images that ship; NaN if they were not measured). Raises CannotCompute for a file that is no checkpoint, and as ``sweep``.

    >>> rows = sc.sweep_run("run/epoch-*.pt", images="0:10", blocks=[8], convention="branch", workers=2)
    """
    import pandas as pd

    from stiffcore.runs import rows as run_rows

    run, opened = _opened(checkpoints, progress)
    frames = []
    for checkpoint, network in zip(run.checkpoints, opened, strict=True):
        frame = front_door.sweep(network, images, blocks, convention, level, workers, progress, device)
        frames.append(frame.assign(**run_rows.columns(run, checkpoint)))
    return run_rows.with_accuracy(pd.concat(frames, ignore_index=True))


def _opened(
    checkpoints: "str | Path | Iterable[str | Path] | Mapping[int, str | Network | nn.Module]",
    progress: Progress | None,
) -> "tuple[Run, tuple[Network, ...]]":
    """The run and its networks. A run of files is remembered."""
    from stiffcore.errors import CannotCompute
    from stiffcore.progress import silent
    from stiffcore.runs import kept, opening, run as descriptions, steps

    if isinstance(checkpoints, Mapping):
        by_step = {step: front_door.network(one) for step, one in sorted(checkpoints.items())}
        made = [_in_memory(step, network) for step, network in by_step.items()]
        return descriptions.of_networks([*by_step.values()], made, "memory", "run"), tuple(by_step.values())
    paths = [checkpoints] if isinstance(checkpoints, str | Path) else list(checkpoints)
    opened = opening.opened(steps.listed(paths), images.bundled(), progress or silent)
    if opened.refused:
        file, why = next(iter(opened.refused.items()))
        raise CannotCompute(f"{len(opened.refused)} of the files cannot be read. First, {file}: {why}")
    kept.save(opened.run)
    return opened.run, opened.networks


def _in_memory(step: int, network: Network) -> "Checkpoint":
    from stiffcore.runs.run import Checkpoint

    if isinstance(step, bool) or not isinstance(step, int) or step < 0:
        raise ValueError(f"Expected steps as whole numbers from 0, got {step!r}: give step -> network.")
    return Checkpoint(step, 0, network.name, network.weights_sha256, network.name)


def run_rows(run: str, convention: str = "slices") -> "pd.DataFrame":
    """A run's rows that ship or that this machine has computed, at the images that ship; computes nothing.

    run: its name, as the page Over training and the column ``run`` have it. Columns as of ``sweep_run``; empty where there
    are none. Raises CannotCompute for an unknown run.
    """
    from stiffcore.runs import kept, rows

    named = [networks.find(name) for name in catalogue.NETWORKS]
    return rows.of_run(kept.get(run), Convention(convention), images.bundled(), named)


def over_training(rows: "pd.DataFrame", metric: str) -> "pd.DataFrame":
    """A metric over a training, by seed, step and block.

    rows: of ``sweep_run`` or ``run_rows``. Columns: seed, step, checkpoint, block, mean, median, std, low and high (5 and 95 %
    of the images), n, n_undefined, n_not_computed, state and reason (where there is no value).

    >>> sc.over_training(rows, "stiffness_index")
    """
    from stiffcore.statistics import over_training

    return over_training.table(rows, front_door.metric_of(rows, metric))


def between_seeds(rows: "pd.DataFrame", metric: str) -> "pd.DataFrame":
    """How far seeds differ at their last checkpoints, beside how far images differ, by block.

    rows: of several seeds, of ``sweep_run`` or ``run_rows``. Columns: block, mean, std_seeds (sample standard deviation of the
    seeds' means), std_images (between images within a seed), n_seeds, n_images, reason (where there is no value).

    >>> sc.between_seeds(rows, "stiffness_index")
    """
    from stiffcore.statistics import over_training

    return over_training.between_seeds(rows, front_door.metric_of(rows, metric))
