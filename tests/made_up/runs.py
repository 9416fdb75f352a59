"""Runs with planted rows: checkpoints that differ by their weights' hash alone, and whose files are nowhere."""

import pandas as pd

from stiffcore.networks import catalogue, registry as networks
from stiffcore.runs import run as descriptions
from stiffcore.runs.rows import columns, with_accuracy
from stiffcore.runs.run import Checkpoint, Run
from tests.made_up.rows import bundled


def weights(step: int, seed: int = 0) -> str:
    return f"{seed:x}{step:x}".rjust(64, "a")


def made_up(steps=(0, 2, 10), seeds=1, name="own-0123456789ab", network="resnet18", path="") -> Run:
    """Of seed 0 all steps, of the others the last."""
    base = networks.find(network)
    places = [(seed, step) for seed in range(seeds) for step in (steps if seed == 0 else steps[-1:])]
    made = [
        Checkpoint(step, seed, f"{seed}/epoch-{step}", weights(step, seed), f"epoch-{step}.pt", path, min(0.1 + step / 20, 1.0), max(2.0 - step / 10, 0.0))
        for seed, step in places
    ]  # fmt: skip
    return descriptions.of_networks(
        [base] * len(made), made, name, "made up", "epoch", catalogue.architecture_of(network)
    )


def rows(run: Run, convention="slices", images=4, **planted) -> pd.DataFrame:
    """S is −block − step − seed / 10 + image's position / 100; planted columns replace whole ones."""
    frames = []
    for checkpoint in run.checkpoints:
        frame = bundled(networks.find("resnet18").name, convention, images)
        position = frame["image"].rank(method="dense") - 1
        value = (-frame["block"] - checkpoint.step - checkpoint.seed / 10 + position / 100).where(
            frame["stiffness_index"].notna()
        )
        values = {"stiffness_index": value} | planted
        frame = frame.assign(network=checkpoint.network, weights=checkpoint.weights, **values)
        frames.append(frame.assign(**columns(run, checkpoint)))
    return with_accuracy(pd.concat(frames, ignore_index=True))
