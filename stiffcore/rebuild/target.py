"""What can be rebuilt: a target says what it lacks, and why, and makes it. Imports no torch."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field

from stiffcore.device_names import AUTO, CPU
from stiffcore.errors import Cancelled, CannotCompute
from stiffcore.networks.network import Network
from stiffcore.progress import Progress, silent
from stiffcore.sweeps import local
from stiffcore.sweeps.tasks import Errand, Outcome, Task

COMMAND = "python -m stiffcore rebuild"


@dataclass(frozen=True)
class Need:
    """What a target lacks. reasons: why it is not current, none if it is; missing: pieces to compute; seconds: of one core."""

    reasons: tuple[str, ...] = ()
    missing: int = 0
    seconds: float = 0.0

    @property
    def is_stale(self) -> bool:
        return bool(self.reasons)


@dataclass(frozen=True)
class Workers:
    """Where a rebuild computes: processes of one thread each, this process if it is one, or a Dask cluster; errands always on this machine.

    stop: asked several times a second; once it is true, KeyboardInterrupt is raised.
    """

    count: int = 1
    scheduler: str = ""
    stop: Callable[[], bool] = lambda: False
    report: Progress = silent
    where: str = AUTO  # devices, see ``local.places``
    notices: dict[str, None] = field(default_factory=dict)  # of the results so far, each once

    def outcomes(self, tasks: Sequence[Task], what: str) -> Generator[Outcome, None, None]:
        """The tasks' outcomes as they arrive. Everything is stored before it is told."""
        self.report(0, len(tasks), what)
        with closing(self._run(tasks)) as outcomes:
            for done, outcome in enumerate(outcomes, 1):
                self.notices.update(dict.fromkeys(outcome.notices))
                self.report(done, len(tasks), what)
                yield outcome

    @property
    def here(self) -> str:
        """The device of what is computed on this machine: a cluster's workers have others, which may not be here."""
        return CPU if self.scheduler else self.where

    def _run(self, tasks: Sequence[Task]) -> Generator[Outcome, None, None]:
        errands = any(isinstance(task, Errand) for task in tasks)
        if self.scheduler and not errands:
            from stiffcore.sweeps import cluster

            return cluster.run(tasks, self.scheduler, self.where)
        return (
            self._here(tasks)
            if self.count == 1
            else local.run(tasks, self.count, self.stop, CPU if errands else self.here)
        )

    def _here(self, tasks: Sequence[Task]) -> Generator[Outcome, None, None]:
        for task in tasks:
            if self.stop():
                raise KeyboardInterrupt
            yield task.carried_out(self.here)

    def carry_out(self, errands: Iterable[Errand], what: str) -> None:
        """Does the errands. Raises CannotCompute with the first reason if any failed, after the others are done."""
        refuse_failures(list(self.outcomes(list(errands), what)))

    def step(self, done: int, total: int, what: str) -> None:
        """The progress of what is computed in this process. Raises Cancelled once ``stop`` is true."""
        self.report(done, total, what)
        if self.stop():
            raise Cancelled


def refuse_failures(outcomes: Iterable[Outcome]) -> None:
    """Raises CannotCompute with the first reason where a block failed."""
    failed = [(one.task, block, why) for one in outcomes for block, why in one.failures.items()]
    if failed:
        task, block, why = failed[0]
        where = f"image {task.image.name}" + (f", block {block}" if block else "")
        raise CannotCompute(
            f"{len(failed)} {'result' if len(failed) == 1 else 'results'} could not be computed. First, {where}: {why}"
        )


@dataclass(frozen=True)
class Target(ABC):
    """One thing that ships. name: ``network/kind``, as ``--only`` takes it; follows: the targets that it is made from, beside its
    networks' weights."""

    name: str
    follows: tuple[str, ...] = field(default=(), kw_only=True)

    @property
    def command(self) -> str:
        """As the manifest notes it."""
        return f"{COMMAND} --only {self.name}"

    @property
    @abstractmethod
    def networks(self) -> tuple[str, ...]:
        """The names of the networks and baselines whose weights it depends on."""

    @abstractmethod
    def need(self) -> Need:
        """What it lacks now, for the weights that the manifest of weights names."""

    @abstractmethod
    def everything(self) -> Need:
        """The same as if nothing of it were there; its reasons do not count."""

    @abstractmethod
    def make(self, workers: Workers) -> None:
        """Makes it from what is stored, and computes the rest. Raises CannotCompute for what a user can repair."""

    def put_away(self) -> None:  # noqa: B027  # most have nothing to do: what is not current has other keys
        """Removes what is not current from what ships, so that nobody is shown it meanwhile. What is current stays."""


def same_weights(name: str, noted: object, network: Network) -> str:
    """Why results noted for some weights are not those of a network, "" if they are."""
    if noted == network.weights_sha256:
        return ""
    return f"other weights of {name}: {str(noted)[:8]}, now {network.weights_sha256[:8]}"
