"""Which run is shown, its rows, and how to get one."""

from dataclasses import replace

import pandas as pd
import streamlit as st

from pages.shared.state import ask, choices, controls
from pages.shared.widgets import statistics
from stiffcore.conventions import Convention
from stiffcore.networks import catalogue
from stiffcore.runs import kept, rows as run_rows
from stiffcore.runs.run import Run
from stiffcore.storage import cache as result_cache
from stiffcore.sweeps import shipping

MOST_BLOCKS = 10  # lines in one figure, each with a colour of its own
HOW = "python -m stiffcore sweep --weights 'run/epoch-*.pt' --images 0:20 --convention slices"


def known() -> dict[str, Run]:
    """The runs by name: those that ship, then this machine's, the newest first."""
    return {run.name: run for run in kept.known()}


def none() -> None:
    """No run is known: how to get one."""
    controls.notes()
    with st.container(border=True):
        st.markdown(
            ":material/pending: **No run is known yet.** A run is several checkpoints of one training. This command, in a "
            "terminal, computes its rows, and can be stopped and resumed; the run is then offered here:"
        )
        st.code(HOW, language="bash", wrap_lines=True)


def choose(known: dict[str, Run]) -> Run:
    """One of them."""
    titles = [run.title for run in known.values()]
    named = {
        name: run.title if titles.count(run.title) == 1 else f"{run.title} ({name[-4:]})" for name, run in known.items()
    }
    name = controls.select("Run", "run", named, next(iter(known)), st.selectbox, width=170)
    if choices.changed("run", name):
        for of_the_other in ("lines", "played", "step"):
            choices.forget(of_the_other)
    return known[name]


def caveats(run: Run) -> None:
    """How its files were read, and why its numbers may be other networks'."""
    controls.doubts([replace(run.network(run.drawn[-1]), title=run.title)])
    if run.reading:
        st.caption(controls.escape_markdown(run.reading))


def identity_blocks(run: Run) -> list[int]:
    """Its square blocks with an identity skip."""
    return [block.block for block in run.blocks if block.is_identity]


def last_of_each_stage(run: Run) -> tuple[int, ...]:
    """The last block before each change of the shape, and the last one."""
    changes = [block.block for block in run.blocks if not block.is_identity and block.block > 1]
    return tuple(dict.fromkeys([*(number - 1 for number in changes), len(run.blocks)]))[-MOST_BLOCKS:]


def order(run: Run) -> list[int]:
    """Its blocks by colour: those that are drawn first have the colours that differ most."""
    first = last_of_each_stage(run)
    return [*first, *(block.block for block in run.blocks if block.block not in first)]


def titles(run: Run) -> dict[int, str]:
    """Block -> how a control shows it; an arrow marks a change of the shape."""
    return {block.block: f"{block.block}" if block.is_identity else f"{block.block} ↘" for block in run.blocks}


def rows(run: Run, convention: Convention) -> pd.DataFrame:
    """Its shipped and stored rows; do not write to them."""
    return _rows(run.name, convention, _stamp(run, convention))


def _stamp(run: Run, convention: Convention) -> tuple:
    """A value that changes when the rows may have changed."""
    health = result_cache.default().health()
    files = [statistics.changed(shipping.FOLDER / "manifest.json"), hash(run), str(shipping.FOLDER)]
    return (*files, health["folder"], health["entries"], health["bytes"])


@st.cache_resource(max_entries=8, show_spinner="Reading computed rows …")
def _rows(name: str, convention: Convention, stamp: tuple) -> pd.DataFrame:
    named = [ask.find_network(network) for network in catalogue.NETWORKS]
    return run_rows.of_run(kept.get(name), convention, ask.bundled(), named, statistics.stored_rows())
