"""Two groups of images, over shipped and computed rows: label against label, trained against untrained."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import streamlit as st

from pages.shared.state import choices, controls
from pages.shared.widgets import grid, labels as network_labels, panels, statistics
from stiffcore.conventions import Convention
from stiffcore.figures import wording
from stiffcore.figures.spectra import compare
from stiffcore.figures.statistics import groups, labels
from stiffcore.figures.theme import Style
from stiffcore.images import cifar10
from stiffcore.metrics.missing import NOT_COMPUTED
from stiffcore.networks import catalogue
from stiffcore.statistics import correlation, group_tests, tables
from stiffcore.statistics.row_values import as_texts

LABELS = {"a": "cat", "b": "dog"}  # the page's defaults
CHOICES = ("network", "label", "convention")


@dataclass(frozen=True)
class Group:
    """The images of one label, or of all, as one network sees them, under one convention."""

    network: str
    label: str
    convention: Convention

    @property
    def title(self) -> str:
        return f"{controls.NETWORK_TITLES[self.network]}, {'all labels' if self.label == tables.ALL else self.label}"

    @property
    def rows(self) -> pd.DataFrame:
        return statistics.rows(self.network, self.convention)


def show(style: Style) -> None:
    """The part "Groups of images" of the page."""
    chosen = {}
    for column, side in zip(st.columns(2), ("a", "b"), strict=True):
        with column:
            chosen[side] = _choose(side, style)
    a, b = chosen["a"], chosen["b"]
    with panels.row():
        st.button("Swap", key="swap", icon=":material/swap_horiz:", on_click=_swap)
        source = catalogue.architecture(a.network)
        for baseline in catalogue.BASELINES if source else ():
            st.button(
                f"B: the same, {baseline}", key=f"against-{baseline}", on_click=_against, args=(a, baseline),
                disabled=f"{source}-{baseline}" == a.network,
            )  # fmt: skip
    with panels.row():
        metric = controls.select(
            "Metric", "metric", statistics.metric_titles(), "percent_negative", st.selectbox, width=330
        )
        kind = controls.select("Drawn as", "kind", labels.KINDS, "box")
    blocks = _blocks(a, b)
    controls.notes()
    statistics.caveat(metric)
    with panels.error_boundary():
        _compare(a, b, metric, blocks, kind, style)


def _choose(side: str, style: Style) -> Group:
    look = compare.looks(style)[side.upper()]
    titles = {tables.ALL: "All labels"} | {label: label for label in cifar10.LABELS}
    with st.container(border=True):
        st.html(f'<b><span style="color:{look.colour}">{"●" if side == "a" else "■"}</span> {side.upper()}</b>')
        with st.container(horizontal=True, gap="xsmall", vertical_alignment="bottom"):
            (default,) = statistics.networks_before()
            network = controls.network(name=f"{side}.network", default=default, width=155)
            label = controls.select("Label", f"{side}.label", titles, LABELS[side], st.selectbox, width=125)
            before = controls.convention_before(Convention.SLICES)
            convention = controls.convention(before, f"{side}.convention", draw=st.selectbox, width=240)
    return Group(network, label, convention)


def _swap() -> None:
    """Callback: A and B change places."""
    texts = {side: [choices.shown(f"{side}.{name}") for name in CHOICES] for side in ("a", "b")}
    for side, other in (("a", "b"), ("b", "a")):
        for name, text in zip(CHOICES, texts[other], strict=True):
            choices.choose(f"{side}.{name}", text)


def _against(a: Group, baseline: str) -> None:
    """Callback: B becomes A's images under a baseline of A's network."""
    choices.choose("b.network", f"{catalogue.architecture(a.network)}-{baseline}")
    choices.choose("b.label", a.label)
    choices.choose("b.convention", a.convention.value)


def _blocks(a: Group, b: Group) -> list[int]:
    """The chosen blocks among those that both networks have; all of them by default."""
    first, second = catalogue.blocks(a.network), catalogue.blocks(b.network)
    titles = {x.block: f"{x.block}" if x.is_identity else f"{x.block} ↘" for x, _ in zip(first, second, strict=False)}
    chosen = st.session_state.get("chosen", {}).get("among", "")
    if any(part not in map(str, titles) for part in chosen.split(",") if part):
        choices.forget("among")
    blocks = controls.several_of("Blocks", "among", titles, tuple(titles), wrap=True)
    if catalogue.architecture_of(a.network).family != catalogue.architecture_of(b.network).family:
        st.caption(
            "Blocks are paired by number. In two architectures, the same number is a different place in the network."
        )
    st.caption(
        "Each block is compared with itself. Different blocks always differ, if only by their shapes; the page Blocks shows how much."
    )
    return list(blocks)


def _rows(a: Group, b: Group) -> dict[Group, pd.DataFrame]:
    """The rows of both groups. Reports missing rows, once if both groups lack the same."""
    rows = {group: group.rows for group in (a, b)}
    shown = {(group.network, group.convention): group for group in (a, b)}
    for (network, convention), group in shown.items():
        statistics.about(rows[group], network, convention, paper=network == a.network)
    return rows


def _compare(a: Group, b: Group, metric: str, blocks: list[int], kind: str, style: Style) -> None:
    if a == b:
        st.info(
            "Both groups are the same images of the same network: choose another label, network or convention.",
            icon=":material/compare:",
        )
        controls.copy_link()
        return
    if a.convention != b.convention:
        st.info(
            "The two groups use different conventions, which give different eigenvalues for the same blocks: a difference does "
            "not show that images or networks differ.",
            icon=":material/call_split:",
        )
    rows = _rows(a, b)
    labelled = [group for group in (a, b) if group.label != tables.ALL]
    if not all([network_labels.are_known(network) for network in dict.fromkeys(group.network for group in labelled)]):
        controls.copy_link()
        return
    if any(of_group.empty for of_group in rows.values()):
        controls.copy_link()
        return
    titles = [
        f"{group.title} ({group.convention})" if a.convention != b.convention else group.title for group in (a, b)
    ]
    sides = {
        f"A: {titles[0]}": group_tests.of_label(rows[a], a.label, b.label),
        f"B: {titles[1]}": group_tests.of_label(rows[b], b.label, a.label),
    }
    paired = a.label == b.label
    tested = group_tests.by_block(*sides.values(), metric, blocks, paired)
    drawn = {name: group_tests.values(part, metric, blocks) for name, part in sides.items()}
    if not any(len(values) for values in drawn.values()):
        why = next(
            (reason for part in sides.values() for reason in tables.reasons(part, metric) if reason), NOT_COMPUTED
        )
        st.info(f"{wording.title(metric)} has no value at these blocks ({why}).", icon=":material/block:")
    figure = groups.figure(drawn, metric, blocks, style, kind)
    panels.chart(figure, "groups", groups.alt_text(drawn, metric))
    points = pd.concat([values.assign(group=name) for name, values in drawn.items()], ignore_index=True)
    name = f"groups-{metric}-{'-'.join(dict.fromkeys((a.convention, b.convention)))}"
    panels.downloads(figure, points, name, " and ".join(sides), _python(a, b, metric, blocks, paired))
    _table(tested, metric, style, f"{name}-table")


def _table(tested: pd.DataFrame, metric: str, style: Style, name: str) -> None:
    """The figure as a table, with the tests."""
    factor, paired = wording.factor(metric), (tested["test"] == "paired").all()
    body = []
    for row in tested.to_dict("records"):
        sure, reason = row["p_adjusted"] < correlation.SIGNIFICANT, row["reason"]
        word, why = ("–", "") if reason is None else (reason.word, str(reason))
        cells = [grid.number(factor * row[f"{of}_{side}"], 3) for of in ("mean", "median") for side in ("a", "b")]
        cells.append(grid.number(factor * row["difference"], 3, missing=word, strong=sure, title=why))
        cells.append(grid.Cell(_interval(row, factor), word=bool(why), title=why))
        cells += [grid.p_value(row[p], missing=word, title=why) for p in ("p_adjusted", "p_ranks")]
        counts = ["n_a", "n_b", *(["n_pairs"] if paired else []), "n_undefined_a", "n_undefined_b"]
        cells += [grid.number(row[name], 0) for name in counts]
        body.append((str(row["block"]), cells))
    columns = ["A", "B", "A", "B", "B − A", "95 % interval", "p, adjusted", "p, ranks", "A", "B"]
    columns += [*(["both"] if paired else []), "A", "B"]
    difference = f"{wording.title(metric)}: {'mean difference' if paired else 'difference of means'}"
    top = [("mean", 2), ("median", 2), (difference, 4), ("images", 3 if paired else 2), ("undefined", 2)]
    grid.draw(body, columns, style, "Block", top)
    tests = (
        "The same images under two networks or conventions, paired; only images that both have count. Paired t-test with a 95 % "
        "confidence interval; Wilcoxon signed-rank test."
        if paired
        else "Different images. Welch's t-test (unequal variances) with a 95 % confidence interval; Mann–Whitney rank test. If one "
        "side is all labels and the other a single label, the first leaves that label out."
    )
    st.caption(
        f"{tests} The t-test's p is adjusted over the blocks (Benjamini–Hochberg); bold: below {correlation.SIGNIFICANT}. With hundreds of "
        "images even small differences are significant, so look at their size."
    )
    for why in tested["reason"].dropna().unique():
        blocks = ", ".join(map(str, tested.loc[tested["reason"] == why, "block"]))
        st.caption(f"Block {blocks}: {why}")
    grid.download(as_texts(tested), name)


def _interval(row: dict, factor: float) -> str:
    if np.isnan(row["low"]):
        return "–"
    return f"{factor * row['low']:+.3g} to {factor * row['high']:+.3g}".replace("-", "−")


def _python(a: Group, b: Group, metric: str, blocks: list[int], paired: bool) -> str:
    """Python that reproduces the table."""
    return f"""import stiffcore as sc
from stiffcore.statistics import group_tests

rows = [
    sc.rows({a.network!r}, {a.convention!r}), sc.rows({b.network!r}, {b.convention!r}),
]
a = group_tests.of_label(rows[0], {a.label!r}, {b.label!r})
b = group_tests.of_label(rows[1], {b.label!r}, {a.label!r})
print(group_tests.by_block(a, b, {metric!r}, {blocks}, paired={paired}).to_string())
"""
