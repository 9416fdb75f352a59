"""Item 5: a card beside the host, in one process and one run: forming, eigenvalues, extremes, proofs, slices, and sweeps.

Both sides run the same code on the same states. The host has ``HOST_THREADS`` threads, in a sweep as many workers. On the card
everything runs once before the clock, which loads libraries and compiles kernels, except for the largest cores. What the time does
not suffice for is left out, and a note says so; nothing is extrapolated.
"""

import functools
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeVar

import torch

from stiffcore import device
from stiffcore.benchmarks import card_sides as sides, sweep
from stiffcore.benchmarks.card_sides import CHECKED, EIGENVALUES, EXTREMES, FORMING, PROOF, SLICES, Side
from stiffcore.benchmarks.timing import Comparison, Contender, Pair, Say, run_rounds
from stiffcore.conventions import Convention
from stiffcore.device_names import AUTO, CUDA
from stiffcore.errors import CannotCompute
from stiffcore.images import cifar10
from stiffcore.jacobians import deflation, forward
from stiffcore.jacobians.linearise import BlockState
from stiffcore.networks import catalogue, registry as networks, resnets

_log = logging.getLogger(__name__)
_T = TypeVar("_T")
IMAGE = 0  # official test index
HOST_THREADS = 2
WARMED_TO = 9000  # side; beyond it the eigenvalues take more than five seconds on a card, and a first call costs little


@dataclass(frozen=True)
class Row:
    """A block whose core is measured under ``block``. parts: of what; on_host: those that the host does, too. stem: another one than
    the network's. seconds: what a part of it may take, where that is long; without them it is left out."""

    network: str
    block: int
    parts: tuple[str, ...]
    on_host: tuple[str, ...]
    stem: str = ""
    seconds: float = 0


@dataclass(frozen=True)
class Extent:
    """What is measured, in this order. images: of sweeps, by the host's workers alone and with the card."""

    sliced: tuple[str, ...]
    rows: tuple[Row, ...]
    images: tuple[int, int]
    large: tuple[Row, ...]
    seconds: float  # every comparison ends in about these, or is left out


ALL = (FORMING, EIGENVALUES, CHECKED, EXTREMES, PROOF)
NO_PROOF = (FORMING, EIGENVALUES, CHECKED, EXTREMES)  # half of an untrained block's directions are negative
SWEPT = "resnet18"
SMALL = (
    Row("resnet18", 8, ALL, ALL),
    Row("resnet50", 16, ALL, ALL),
    Row("resnet18", 6, ALL, ALL),
    Row("resnet18-untrained", 4, NO_PROOF, (FORMING, EIGENVALUES)),  # Arnoldi takes long where the spectrum is a disc
)
LARGE = (  # all eigenvalues of a side of 8,000 take the host minutes
    Row("resnet18-untrained", 2, (FORMING, EIGENVALUES), (FORMING, EIGENVALUES), seconds=130),
    Row("resnet18-untrained", 4, (FORMING, EIGENVALUES), (FORMING,), stem="3x3", seconds=40),
    Row("resnet18", 4, ALL, (FORMING, EXTREMES, PROOF)),
    Row("resnet18", 2, ALL, (FORMING, EXTREMES, PROOF)),
)
SHORT = Extent(("resnet18",), SMALL, (12, 60), (), 130)
WHOLE = Extent(("resnet18", "resnet50"), SMALL, (12, 120), LARGE, 310)


@dataclass
class Table:
    """What was measured, left out, and what went wrong."""

    comparisons: list[Comparison] = field(default_factory=list)
    rates: dict[str, float] = field(default_factory=dict)  # Gflop/s of a float64 product, on "card" and "host"
    notes: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


class _Failed(CannotCompute):
    """A mistake in one part, which must not cost the rest of the table."""


def run(
    full: bool, where: str, say: Say, notes: list[str], seconds: float | None = None
) -> tuple[dict, list[Comparison]]:
    """What is to be known of the card and the host, and the comparisons; nothing, and a note, without a card.

    where: a device, "auto" for the first card. seconds: in place of the extent's. Raises CannotCompute for a device that is not there.
    """
    if where == AUTO and not device.cards():
        notes.append("Item 5, a card beside the host, is left out: there is no CUDA device.")
        return {}, []
    place = device.parsed(CUDA if where == AUTO else where) or device.CPU
    extent = WHOLE if full else SHORT
    table = measured(extent if seconds is None else replace(extent, seconds=seconds), place, say)
    on_card = place.type == "cuda"
    memory = torch.cuda.get_device_properties(place).total_memory if on_card else device.available_memory()
    about = {
        "name": device.name(place),
        "memory_gb": round(memory / 1e9, 1),
        "host_threads": HOST_THREADS,
        "gflop_per_second": table.rates,
        "left_out": table.notes,
        "failures": table.failures,
        "notes": [],  # of who ran it, for example that a part is of a second run
    }
    return about, table.comparisons


def measured(extent: Extent, where: torch.device, say: Say) -> Table:
    """Everything of an extent; where: the card, or the CPU in a card's place."""
    table, began = Table(), time.perf_counter()
    rate = partial(sides.product_rate, device.CPU)
    table.rates = {"card": sides.product_rate(where), "host": sides.on_threads(HOST_THREADS, rate)}
    for title, seconds, make in _planned(extent, where, table.notes):
        if (spent := time.perf_counter() - began) + seconds > extent.seconds:
            table.notes.append(f"Left out, because {spent:.0f} of {extent.seconds:.0f} s were used up: {title}.")
            continue
        try:
            done = _done(make(), where, say)
            table.comparisons.append(done)
            table.failures += [f"{done.title}, {name}: {why}" for name, why in done.refused.items()]
        except _Failed as error:
            table.failures.append(f"{title}: {error}")
        except CannotCompute as error:
            table.notes.append(f"Left out: {title}: {error}")
        device.forget_unused(where)
    return table


def _planned(
    extent: Extent, where: torch.device, notes: list[str]
) -> Iterator[tuple[str, float, Callable[[], Comparison]]]:
    """A title, the seconds that it may take, and what makes its comparison. What the goals name comes first."""
    states = functools.cache(_states)
    for network in extent.sliced:
        yield f"{SLICES} of {networks.title(network)}", 0, partial(_slices, network, states, where, notes)
    for rows in (extent.rows, extent.large):
        for row in rows:
            for what in row.parts:
                title = f"{what} of block {row.block} of {networks.title(row.network)}{_unpooled(row)}"
                yield title, row.seconds, partial(_core, row, what, states, where)
        if rows is extent.rows:
            yield f"sweep of {networks.title(SWEPT)}", 0, partial(_sweep, extent.images)


def _unpooled(row: Row) -> str:
    return " without max-pool" if row.stem else ""


def _sweep(images: tuple[int, int]) -> Comparison:
    return _guarded(lambda: sweep.with_cards(SWEPT, images, HOST_THREADS))


def _done(comparison: Comparison, where: torch.device, say: Say) -> Comparison:
    """The comparison, run, without what it ran on. One that has run already stays as it is."""
    if comparison.runs:
        return comparison
    side = comparison.facts.get("core_side", 0)
    if isinstance(side, int) and side <= WARMED_TO and (solve := comparison.contenders[0].solve):
        say(f"{comparison.title}: once on {device.name(where)} before the clock")
        with suppress(CannotCompute):  # said when it is timed
            solve(None)
    run_rounds([comparison], 1, say)
    return replace(comparison, contenders=[Contender(contender.name, None) for contender in comparison.contenders])


def _guarded(work: Callable[[], _T]) -> _T:
    try:
        return work()
    except CannotCompute:
        raise
    except Exception as error:
        _log.exception("a part of the table failed")
        raise _Failed(f"{type(error).__name__}: {str(error)[:300]}: see the log.") from error


def _states(network: str, stem: str = "") -> dict[int, BlockState]:
    """All blocks at the image, on the host. Raises CannotCompute where the weights are not there."""
    architecture = catalogue.architecture_of(network)
    architecture = replace(architecture, stem=stem) if stem else architecture
    model = resnets.with_weights(architecture, *resnets.shipped_state(network))
    pixels = cifar10.normalised(cifar10.image(IMAGE)[None])[0]
    blocks = architecture.blocks()
    return forward.block_states(model, blocks, pixels, [block.block for block in blocks])


_States = Callable[..., dict[int, BlockState]]


def _core(row: Row, what: str, states: _States, where: torch.device) -> Comparison:
    state = states(row.network, row.stem)[row.block]
    side = deflation.plan(state, Convention.BLOCK).side
    title = f"{networks.title(row.network)}{_unpooled(row)}, block {row.block}"
    facts: dict[str, object] = {"network": row.network, "block": row.block, "core_side": side}
    if what == FORMING:
        facts["gflop"] = _guarded(lambda: sides.gflop(state.to(where)))
    of = partial(sides.of_core, state, what)
    return _compared(what, title, facts, where, of, what in row.on_host)


def _slices(network: str, states: _States, where: torch.device, notes: list[str]) -> Comparison:
    """Of all blocks at the image; of the untrained network, which takes about as long, where the weights are missing."""
    try:
        found = states(network)
    except CannotCompute as error:
        notes.append(f"Slices of {networks.title(network)} are those of the untrained network: {error}")
        network = f"{network}-untrained"
        found = states(network)
    title = f"{networks.title(network)}, all {len(found)} blocks"
    facts: dict[str, object] = {"network": network, "blocks": len(found)}
    return _compared(SLICES, title, facts, where, partial(sides.all_slices, list(found.values())), True)


def _compared(
    what: str,
    title: str,
    facts: dict[str, object],
    where: torch.device,
    of: Callable[[torch.device, int], Side],
    with_host: bool,
) -> Comparison:
    """of: what a side does on a device with so many threads of the host."""
    card, host = f"on {device.name(where)}", f"on the host, {HOST_THREADS} threads"

    def contender(name: str, place: torch.device, threads: int) -> Contender:
        solve, answer = _guarded(lambda: of(place, threads))
        return Contender(name, lambda _: _guarded(solve), answer=lambda _, found: answer(found))

    contenders, pairs = [contender(card, where, 1)], list[Pair]()
    if with_host:
        contenders.append(contender(host, device.CPU, HOST_THREADS))
        pairs.append((host, (card,)))
    return Comparison("5", f"{what} of {title}", {"what": what, "title": title} | facts, contenders, pairs)
