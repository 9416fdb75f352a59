"""What is stale and why, and in which order it is made. Imports no torch, but where files of weights are read."""

from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, replace

from stiffcore.errors import CannotCompute
from stiffcore.rebuild.target import Need, Target, Workers
from stiffcore.rebuild.weights import Weights
from stiffcore.storage import shipped


@dataclass(frozen=True)
class Step:
    """A target, and what it lacks."""

    target: Target
    need: Need


def chosen(targets: Sequence[Target], only: Iterable[str]) -> list[Target]:
    """The targets of some names, in the order of the list: ``resnet18/slices``, ``resnet18`` (all of it), or a kind such as ``slices``.
    Without names, all. Raises CannotCompute for a name that fits none."""
    only = list(only)
    if not only:
        return list(targets)
    for name in only:
        if not any(_fits(target, name) for target in targets):
            names = ", ".join(target.name for target in targets)
            raise CannotCompute(
                f"Expected something that ships, got {name!r}: choose a network, a kind, or among {names}."
            )
    return [target for target in targets if any(_fits(target, name) for name in only)]


def _fits(target: Target, name: str) -> bool:
    return name == target.name or name in target.name.split("/")


def steps(targets: Sequence[Target]) -> list[Step]:
    """Every target with what it lacks, in their order. A target whose weights, or whose sources, are about to change lacks everything."""
    renewed: dict[str, str] = {}  # networks whose weights are about to change -> why
    stale: set[str] = set()
    found = []
    for target in targets:
        if isinstance(target, Weights):
            renewed |= target.changed()
        changed = [name for name in target.networks if name in renewed]
        sources = [name for name in target.follows if name in stale]
        if changed:
            need = replace(target.everything(), reasons=(f"new weights of {', '.join(changed)}",))
        else:
            need = target.need()
            if sources and not need.is_stale:
                more = f" and {len(sources) - 2} more" if len(sources) > 2 else ""
                need = replace(target.everything(), reasons=(f"made from {', '.join(sources[:2])}{more}",))
        if need.is_stale:
            stale.add(target.name)
        found.append(Step(target, need))
    return found


def carry_out(targets: Sequence[Target], workers: Workers) -> Generator[tuple[Target, str], None, None]:
    """Makes what is stale, in order; yields each target that was made, with the reason if it failed, else "".

    First everything that is not current is put away. What a target lacks is looked up again when its turn comes, since the ones before
    it change it; so an interrupted rebuild goes on where it stopped.
    """
    for step in steps(targets):
        if step.need.is_stale and not isinstance(step.target, Weights):
            step.target.put_away()
    for target in targets:
        shipped.shipped.cache_clear()  # files were replaced
        (step,) = steps([target])
        if not step.need.is_stale:
            continue
        try:
            target.make(workers)
        except CannotCompute as error:
            yield target, str(error)
            continue
        yield target, ""
    shipped.shipped.cache_clear()
