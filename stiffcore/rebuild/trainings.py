"""What ships of a training's checkpoints: ``run-<name>.json``, ``rows-run-<name>-<convention>.parquet``, ``spectra-run-<name>.parquet``.

The checkpoints are no part of the project. Where they are not in ``cache/runs/<name>/``, a folder for each seed, what ships of them stays.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import pandas as pd

from stiffcore.analysis.requests import ALGORITHM, QUANTITIES, Request
from stiffcore.conventions import Convention
from stiffcore.errors import CannotCompute
from stiffcore.images import registry as images
from stiffcore.networks.network import Network
from stiffcore.rebuild import seconds
from stiffcore.rebuild.target import Need, Target, Workers, refuse_failures
from stiffcore.runs import rows as run_rows, shipping as run_shipping, steps
from stiffcore.runs.run import Run
from stiffcore.storage import cache as result_cache, shipped
from stiffcore.sweeps import shipping, tasks as sweep_tasks

FOLDER = Path(__file__).resolve().parents[2] / "cache" / "runs"  # not tracked


@dataclass(frozen=True)
class Training(Target):
    """One convention and level of a run; at the level ``spectrum`` whole spectra of the training with the most checkpoints."""

    run: str
    title: str
    convention: Convention
    images: int
    blocks: tuple[int, ...] | None = None  # all
    quantity: str = "counts"

    @property
    def networks(self) -> tuple[str, ...]:
        return ()  # its checkpoints are its own

    @property
    def folder(self) -> Path:
        return FOLDER / self.run

    def _opened(self, measured: bool = False) -> Run | None:
        """The run in its folder, it and its networks under their shipped names; None without the files. measured: with the accuracies."""
        found = tuple(sorted(self.folder.glob("*/*.safetensors")))
        changed = tuple(path.stat().st_mtime_ns for path in found)
        return _opened(found, self.run, self.title, changed, measured) if found else None

    def _blocks(self, network: Network) -> list[int]:
        """Those that can have eigenvalues."""
        able = [block.block for block in network.blocks if block.n_eigenvalues(self.convention)]
        return list(self.blocks) if self.blocks else able

    def _requests(self, run: Run) -> list[Request]:
        checkpoints = run.drawn if self.quantity == "spectrum" else run.checkpoints
        of = [run.network(one) for one in checkpoints]
        chosen = images.balanced(self.images)
        return [
            Request(network, image, block, self.convention, self.quantity)
            for network in of
            for image in chosen
            for block in self._blocks(network)
        ]

    def _lacking(self, run: Run) -> list[Request]:
        """What does not ship."""
        wanted = self._requests(run)
        if self.quantity == "spectrum":
            path = shipping.FOLDER / f"spectra-run-{self.run}.parquet"
            there = shipped.keys_in(path) if shipping.is_whole(path) else frozenset()
            return [one for one in wanted if one.key not in there]
        frame = run_shipping.rows(run, self.convention)
        frame = frame[frame["algorithm"] == ALGORITHM] if len(frame) else frame
        order = QUANTITIES.index
        places = zip(frame["weights"], frame["image"], frame["block"], strict=True) if len(frame) else ()
        levels = dict(zip(places, frame["quantity"], strict=True)) if len(frame) else {}
        return [
            one
            for one in wanted
            if (level := levels.get((one.network.weights_sha256, one.image.in_rows, one.block))) is None
            or order(level) < order(one.quantity)
        ]

    def need(self) -> Need:
        run = self._opened()
        lacking = self._lacking(run) if run else []
        if run is None or not lacking:
            return Need()
        keys = result_cache.default().keys()
        to_do = [one for one in lacking if one.key not in keys]
        wanted, files = len(self._requests(run)), len(run.checkpoints)
        return Need(
            (f"{len(lacking):,} of {wanted:,} results of {files} checkpoints are missing",),
            len(to_do),
            seconds.of(to_do),
        )

    def everything(self) -> Need:
        run = self._opened()
        wanted = self._requests(run) if run else []
        return Need(("",), len(wanted), seconds.of(wanted))

    def make(self, workers: Workers) -> None:
        run = self._opened(measured=True)
        if run is None:
            raise CannotCompute(f"There are no checkpoints in {self.folder}: put them there, a folder for each seed.")
        of = [run.network(one) for one in run.checkpoints]
        asked = (images.balanced(self.images), self._blocks(of[0]), self.convention, self.quantity)
        if self.quantity == "spectrum":
            tasks = [task for one in run.drawn for task in sweep_tasks.plan(run.network(one), *asked)]
            refuse_failures(list(workers.outcomes(sweep_tasks.split(tasks)[1], self.name)))
            run_shipping.ship_spectra(run_shipping.ship(run, self.run, self.title), self._requests(run), self.command)
            return
        rows, remaining, columns = run_rows.plan(run, of, *asked)
        outcomes = list(workers.outcomes(remaining, self.name))
        refuse_failures(outcomes)
        rows += [row | columns[one.task.network] for one in outcomes for row in one.rows]
        shipped_run = run_shipping.ship(run, self.run, self.title)
        run_shipping.ship_rows(shipped_run, self.convention, pd.DataFrame(rows), self.command)


@lru_cache(maxsize=4)
def _opened(paths: tuple[Path, ...], name: str, title: str, changed: tuple[int, ...], measured: bool) -> Run:
    """changed: the files' modification times, so that other files are read again."""
    from stiffcore.runs import opening  # torch

    found = opening.opened(steps.listed(paths), images.bundled() if measured else ())
    if found.refused:
        file, why = next(iter(found.refused.items()))
        raise CannotCompute(f"{len(found.refused)} checkpoints of {name} cannot be read. First, {file}: {why}")
    return run_shipping.named(found.run, name, title)
