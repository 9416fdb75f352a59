"""The rows of a run: those of its networks, with the step of each. Needs no torch."""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import pandas as pd

from stiffcore.conventions import Convention
from stiffcore.images.image import Image
from stiffcore.networks.network import Network
from stiffcore.runs import shipping as run_shipping
from stiffcore.runs.run import Checkpoint, Run
from stiffcore.sweeps import shipping, tasks as sweep_tasks
from stiffcore.sweeps.stored_rows import StoredRows


def columns(run: Run, checkpoint: Checkpoint) -> dict[str, object]:
    """What a row of a run has in addition to that of a network.

    run, step, seed, checkpoint (its file), accuracy_bundled and loss_bundled (on the images that ship; NaN if not measured).
    """
    facts = {name: getattr(checkpoint, name) for name in ("step", "seed", "accuracy_bundled", "loss_bundled")}
    return {"run": run.name, "checkpoint": checkpoint.file} | facts


def with_accuracy(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with ``accuracy``: the share of correct predictions among a checkpoint's images that have rows; NaN
    without labels. Ordered by seed, step, image and block."""
    if rows.empty:
        return rows.assign(accuracy=pd.Series(dtype=float))
    of_images = rows.drop_duplicates(["seed", "step", "image"])
    right = of_images.assign(right=of_images["correct"].map({True: 1.0, False: 0.0}).astype(float))
    shares = right.groupby(["seed", "step"])["right"].mean().rename("accuracy")
    ordered = rows.drop(columns="accuracy", errors="ignore").join(shares, on=["seed", "step"])
    texts = ordered["image"].map(str)  # numbers, and names of arrays
    places = [ordered["seed"], ordered["step"], texts.str.len(), texts, ordered["block"]]
    order = np.lexsort([place.to_numpy() for place in reversed(places)])
    return ordered.iloc[order].reset_index(drop=True)


def of_run(
    run: Run,
    convention: Convention,
    images: Iterable[Image],
    named: Iterable[Network] = (),
    stored: StoredRows | None = None,
) -> pd.DataFrame:
    """The rows that ship or that this machine has computed, at some images; computes nothing. Empty without any.

    named: networks whose rows ship under a name; a checkpoint with the weights of one has its rows, too.
    """
    stored, images, ships = stored or StoredRows(), tuple(images), shipped(run, convention, named)
    frames = []
    for checkpoint in run.checkpoints:
        network = run.network(checkpoint)
        both = shipping.merged(ships(network), stored.rows(network, convention, images))
        if len(both):
            frames.append(both.assign(**columns(run, checkpoint)))
    return with_accuracy(pd.concat(frames, ignore_index=True)) if frames else pd.DataFrame()


def shipped(run: Run, convention: Convention, named: Iterable[Network] = ()) -> Callable[[Network], pd.DataFrame]:
    """A function from a network of the run to its shipped rows, as ``sweeps.shipping.rows`` gives those of a network."""
    of_run_itself = run_shipping.rows(run, convention)
    by_weights = {(other.weights_sha256, other.preprocessing): other for other in named}

    def of_network(network: Network) -> pd.DataFrame:
        same = by_weights.get((network.weights_sha256, network.preprocessing))
        if same is not None and len(rows := shipping.rows(same, convention)):
            return rows.assign(network=network.name)
        if of_run_itself.empty:
            return of_run_itself
        mine = of_run_itself[of_run_itself["weights"] == network.weights_sha256]
        mine = mine[mine["network"] == network.name].reset_index(drop=True)
        said = {"reading": run.reading, "doubt": run.doubt}
        caveats = {name: text for name, text in said.items() if text}
        return mine.assign(**sweep_tasks.geometry_columns(network), **caveats)

    return of_network


def plan(
    run: Run,
    networks: Sequence[Network],
    images: Sequence[Image],
    blocks: Sequence[int],
    convention: Convention,
    quantity: str,
    named: Iterable[Network] = (),
) -> tuple[list[dict], list[sweep_tasks.Task], dict[Network, dict[str, object]]]:
    """The rows that exist, the tasks that remain, and the columns of each network's rows."""
    ships = shipped(run, convention, named)
    rows: list[dict] = []
    remaining: list[sweep_tasks.Task] = []
    more: dict[Network, dict[str, object]] = {}
    for network, checkpoint in zip(networks, run.checkpoints, strict=True):
        more[network] = columns(run, checkpoint)
        tasks = sweep_tasks.plan(network, images, blocks, convention, quantity)
        here, lacking = sweep_tasks.split(tasks, ships(network))
        rows += [row | more[network] for row in here]
        remaining += lacking
    return rows, remaining, more
