"""The speed of sweeps: images per minute, gain from a second worker and from cards, overhead per task, growth of cost and memory.

Each measurement sweeps into an empty cache of its own. The first task of every worker counts as start-up, since it
includes the import of torch and the loading of weights; the rate is that of the tasks after the last worker's first one.
"""

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass

from stiffcore import device
from stiffcore.benchmarks.timing import Answer, Comparison, Contender, Interval, Run
from stiffcore.conventions import Convention
from stiffcore.errors import CannotCompute
from stiffcore.images.registry import bundled
from stiffcore.networks import catalogue, registry as networks
from stiffcore.sweeps import local as local_sweep, tasks as sweep_tasks

QUICK = (("resnet18", Convention.SLICES, (8,), 12),)
FULL = (
    ("resnet18", Convention.SLICES, None, 12),
    ("resnet34", Convention.SLICES, None, 6),
    ("resnet50", Convention.SLICES, (16,), 8),
    ("resnet18", Convention.BLOCK, (2, 4, 6, 8), 6),
    ("resnet34", Convention.BLOCK, (14, 15, 16), 6),
    ("resnet50", Convention.BLOCK, (15, 16), 6),
    ("resnet18", Convention.BRANCH, (6, 8), 6),
    ("resnet34", Convention.BRANCH, (15, 16), 8),
    ("resnet50", Convention.BRANCH, (15, 16), 4),
)
GROWTH = ("resnet18", Convention.SLICES, (8,), (10, 100, 1000))
QUICK_GROWTH = ("resnet18", Convention.SLICES, (8,), (10, 40))


@dataclass(frozen=True)
class Measured:
    """One sweep. overhead: share of the workers' time after start-up spent waiting for a task or returning one.

    peak_memory: bytes, of the largest worker; 0 where the system does not report it.
    """

    network: str
    convention: Convention
    blocks: str
    images: int
    workers: int
    startup_seconds: float
    images_per_minute: float
    overhead: float
    peak_memory: int


def run(full: bool, say: Callable[[str], None] = lambda line: None) -> dict[str, list[dict]]:
    """Rates with one worker and with two, and growth with the number of images. The report has built-in types only."""
    rates = []
    for network, convention, blocks, images in FULL if full else QUICK:
        one, two = (_reported(measure(network, convention, blocks, images, workers), say) for workers in (1, 2))
        efficiency = two.images_per_minute / one.images_per_minute
        rates += [asdict(one), asdict(two) | {"speed_up_of_two_workers": efficiency}]
    network, convention, blocks, counts = GROWTH if full else QUICK_GROWTH
    growth = [asdict(_reported(measure(network, convention, blocks, images, 2), say)) for images in counts]
    return {"rates": rates, "growth": growth}


def measure(network: str, convention: Convention, blocks: Sequence[int] | None, images: int, workers: int) -> Measured:
    """Sweep this many bundled images. Raises CannotCompute for no more images than workers, and where a task failed."""
    return _measured(network, convention, blocks, images, workers, "cpu")[0]


def _measured(
    network: str, convention: Convention, blocks: Sequence[int] | None, images: int, workers: int, asked: str
) -> tuple[Measured, list[dict]]:
    """Also the rows. asked: a device, or "auto" for cards first; see ``local.places``."""
    if images <= workers:
        raise CannotCompute(f"Expected more images than workers, got {images} and {workers}: give more images.")
    numbers = blocks or [block.block for block in catalogue.blocks(network)]
    # The last images: spectra of the first ones ship, and would not be computed again.
    tasks = sweep_tasks.plan(networks.find(network), bundled()[-images:], numbers, convention, "counts")
    arrived: list[tuple[float, sweep_tasks.Outcome]] = []
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="stiffcore-benchmark-") as folder:
        for outcome in _in_cache(folder, tasks, workers, asked):
            arrived.append((time.perf_counter(), outcome))
            if outcome.failures:
                raise CannotCompute(f"The sweep failed at image {outcome.task.image.name}: {outcome.failures}.")
    firsts: dict[int, float] = {}
    for at, outcome in arrived:
        firsts.setdefault(outcome.worker, at)
    started, ended = max(firsts.values()), arrived[-1][0]
    behind = sum(at > started for at, _ in arrived)
    found = Measured(
        network, convention, ",".join(map(str, numbers)), images, len(firsts), started - began,
        60 * behind / max(ended - started, 1e-9), _overhead(arrived), max(outcome.peak_memory for _, outcome in arrived),
    )  # fmt: skip
    return found, [row for _, outcome in arrived for row in outcome.rows]


def with_cards(network: str, images: tuple[int, int], workers: int, blocks: Sequence[int] | None = None) -> Comparison:
    """Seconds an image under ``slices``, of sweeps by this machine's workers alone and with a worker for each card beside them.

    images: of the first sweep and of the second, which is quicker. Both end with the same ones, whose rows are compared. blocks: all, if None.
    """
    cards = device.cards()
    alone, beside = f"{workers} workers on the host", f"{workers} workers on the host, {len(cards)} on cards"
    contenders = [Contender(beside, None), Contender(alone, None)]
    facts: dict[str, object] = {
        "what": "sweep",
        "title": networks.title(network),
        "network": network,
        "images": list(images),
    }
    comparison = Comparison("5", f"sweep of {networks.title(network)}, slices", facts, contenders, [(alone, (beside,))])
    common = {image.number for image in bundled()[-min(images) :]}
    sweeps = ((alone, images[0], workers, "cpu"), (beside, images[1], workers + len(cards), "auto"))
    for name, number, together, asked in sweeps:
        found, rows = _measured(network, Convention.SLICES, blocks, number, together, asked)
        answer = _answer([row for row in rows if row["image"] in common])
        comparison.runs[name] = [Run(None, None, 60 / found.images_per_minute, answer)]
    return comparison


def _answer(rows: list[dict]) -> Answer:
    """Counts and extremes of every block at every image."""
    counts: dict[str, Interval] = {}
    extremes: dict[str, float] = {}
    for row in rows:
        of = f"of block {row['block']} at image {row['image']}"
        for name in ("negative", "positive"):
            counts[f"{name} {of}"] = (row[f"n_{name}"], row[f"n_{name}"] + row["n_undetermined"])
        extremes |= {f"{name} {of}": row[name] for name in ("max_re", "min_re", "spectral_radius")}
    return Answer(counts, extremes)


def _overhead(arrived: list[tuple[float, sweep_tasks.Outcome]]) -> float:
    """The share of the time between each worker's first and last outcome that the worker spent outside tasks."""
    busy, elapsed = 0.0, 0.0
    for worker in {outcome.worker for _, outcome in arrived}:
        own = [(at, outcome.seconds) for at, outcome in arrived if outcome.worker == worker]
        elapsed += own[-1][0] - own[0][0]
        busy += sum(seconds for _, seconds in own[1:])
    return 1 - busy / elapsed if elapsed > 0 else 0.0


def _in_cache(folder: str, tasks: list[sweep_tasks.Task], workers: int, asked: str) -> Iterator[sweep_tasks.Outcome]:
    """Sweep with the cache in a folder; the workers inherit the environment when they start."""
    with local_sweep.environment({"STIFFCORE_CACHE": folder}):
        yield from local_sweep.run(tasks, workers, asked=asked)


def _reported(measured: Measured, say: Callable[[str], None]) -> Measured:
    say(as_text(measured))
    return measured


def as_text(measured: Measured) -> str:
    return (
        f"{measured.network} {measured.convention} blocks {measured.blocks}: {measured.images} images, {measured.workers} workers: "
        f"{measured.images_per_minute:.1f} images/min, overhead {100 * measured.overhead:.1f} %, "
        f"start-up {measured.startup_seconds:.1f} s, largest worker {measured.peak_memory / 1e9:.2f} GB"
    )
