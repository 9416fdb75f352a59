"""Blocks, Labels, Correlation and Published tables through app.py: planted rows, and with nothing computed."""

import re
import subprocess
import sys

import numpy as np
import pytest
import streamlit as st
from scipy import stats

from pages.shared.jobs import ode_jobs
from pages.shared.state import service
from pages.shared.widgets import gallery, selection, statistics
from stiffcore.conventions import Convention
from stiffcore.images import cifar10
from stiffcore.metrics import definitions
from stiffcore.networks import registry as networks
from stiffcore.paper import earlier, published
from stiffcore.statistics import label_spread, tables
from stiffcore.statistics.partial import partial
from stiffcore.sweeps import shipping
from tests.app.visitor import ROOT, Visitor, cells
from tests.made_up.paper_tables import kinds_and_networks
from tests.made_up.rows import bundled, ship

BLOCKS, LABELS = "pages/2_Blocks.py", "pages/3_Labels.py"
CORRELATION, PUBLISHED = "pages/4_Correlation.py", "pages/6_Published_tables.py"


@pytest.fixture
def visit(tmp_path, monkeypatch):
    """Opens a page with URL parameters; what ships is in an empty folder. ``visit.event``: what a chart returns."""
    monkeypatch.setenv("STIFFCORE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(shipping, "FOLDER", tmp_path)
    st.cache_resource.clear()
    figures, draw = [], st.plotly_chart

    def drawn(figure, **look):
        figures.append(figure)
        event = draw(figure, **look)
        return visit.event or event

    def visit(page: str, **url: str) -> Visitor:
        return Visitor(figures).open(page, **url)

    visit.event = None
    monkeypatch.setattr(st, "plotly_chart", drawn)
    yield visit
    st.cache_resource.clear()


def traces(figure) -> dict:
    return {trace.name: trace for trace in figure.data}


def minus(text: str) -> str:
    return text.replace("-", "−")


def test_blocks_with_nothing_computed_shows_the_paper_and_the_command(visit):
    page = visit(BLOCKS, images=",".join(map(str, cifar10.bundled()[100:103])))
    (figure,) = page.figures
    assert [note.text for note in figure.layout.annotations].count("not computed") == 8
    paper = published.table("resnet18", "by_block").query("metric == 'percent_negative' and block != 'all'")
    assert traces(figure)["the paper's mean (slices)"].y.tolist() == pytest.approx(paper["published"].tolist())
    assert "sweep resnet18 --images bundled --blocks all --convention slices" in page.texts("code")
    assert "24 results are not stored yet" in page.texts("markdown")  # three images, eight blocks


def test_blocks_draws_means_hatches_images_and_baselines(visit):
    frame = ship(bundled(images=30))
    image = cifar10.bundled()[4]
    page = visit(BLOCKS, images=str(image), metric="percent_negative")
    drawn = traces(page.figures[0])
    means = frame.groupby("block")["percent_negative"].mean()
    keeps, changes = drawn["mean over images"], drawn["mean, block changes the shape"]
    assert list(changes.x) == [3, 5, 7]
    assert changes.marker.pattern.shape == "/"
    assert dict(zip([*keeps.x, *changes.x], [*keeps.y, *changes.y])) == pytest.approx(means.to_dict(), rel=1e-6)
    assert drawn["P for random entries"].y.tolist() == pytest.approx([2.0 * block for block in range(1, 9)])
    assert drawn["live outputs, % (right axis)"].y.tolist() == pytest.approx([50.0] * 8)
    mine = next(trace for name, trace in drawn.items() if name.startswith(str(image)))
    assert mine.y.tolist() == pytest.approx(frame[frame["image"] == image]["percent_negative"].tolist())
    assert page.button("compute") is None
    assert "30 images" in page.texts("markdown")
    left_over = cells(page.html())["8"][2]
    assert (
        left_over
        == f"{(frame['percent_negative'] - frame['expected_percent_negative'])[frame['block'] == 8].mean():.2f}"
    )


def test_blocks_keeps_the_images_of_a_link_and_computes_them_at_every_block(visit, monkeypatch):
    asked = []
    monkeypatch.setattr(service, "work", lambda wanted, where: wanted)
    monkeypatch.setattr(ode_jobs, "submit", lambda key, wanted, title, **_: asked.extend(wanted))
    page = visit(BLOCKS, images="31", conventions="slices,branch")
    assert page.run().url["images"] == "31"
    page.run(page.button("compute").click())
    assert page.url["images"] == "31"
    wanted = {(request.image.number, request.block, request.convention, request.quantity) for request in asked}
    blocks = {Convention.SLICES: range(1, 9), Convention.BRANCH: (1, 2, 4, 6, 8)}  # those that can have P
    assert wanted == {(31, block, c, "counts") for c, of in blocks.items() for block in of}


def test_blocks_says_undefined_where_a_block_is_not_square(visit):
    ship(bundled(convention="block", images=10))
    page = visit(BLOCKS, conventions="block", metric="stiffness_index", images=str(cifar10.bundled()[0]))
    notes = [(note.x, note.text) for note in page.figures[0].layout.annotations if note.text.startswith("undefined")]
    assert notes == [(block, "undefined: not square") for block in (3, 5, 7)]


@pytest.mark.parametrize("convention", ["block", "branch"])
def test_the_condition_number_of_blocks_that_are_not_square_is_shown(visit, convention):
    frame = bundled(convention=convention, images=10)
    frame["condition_number"] = np.where(
        frame["block"].isin([3, 5, 7]), 10.0 * frame["block"] + frame["image"] % 5, np.nan
    )
    ship(frame)
    page = visit(BLOCKS, conventions=convention, metric="condition_number", images=str(cifar10.bundled()[0]))
    bars = [trace for trace in page.figures[0].data if trace.type == "bar"]
    drawn = {block: mean for bar in bars for block, mean in zip(bar.x, bar.y) if np.isfinite(mean)}
    means = frame.groupby("block")["condition_number"].mean().dropna()
    assert drawn == pytest.approx(means.to_dict())
    labels = visit(LABELS, convention=convention, of="7", metric="condition_number")
    assert sum(trace.type == "box" for trace in labels.figures[0].data) == frame["label"].nunique()
    assert "σ max / σ min" in labels.figures[0].layout.title.text


def test_rows_of_level_norms_show_s_and_say_what_computes_the_rest(visit):
    """Branch: 6 images with s alone, 4 with everything but s."""
    frame = bundled(convention="branch", images=10)
    few = frame["image"].isin(sorted(set(frame["image"]))[:6]) & (frame["n_in"] == frame["n_out"])
    why = '{"percent_negative": "not computed: needs eigenvalues (level extremes)", "norm_block": "undefined: ‖J_block‖ belongs to block"}'
    norms = {"quantity": "norms", "percent_negative": np.nan, "stiffness_index": np.nan, "reasons": why}
    growth = {"stiffness_indicator": 0.25, "log_norm_lower": -1.0, "log_norm_upper": 1.5, "norm_branch": 2.0}
    frame = frame.assign(quantity="counts", norm_block=np.nan, **dict.fromkeys(growth, np.nan))
    for name, value in (norms | growth).items():
        frame.loc[few, name] = value
    ship(frame)
    page = visit(BLOCKS, conventions="branch", metric="stiffness_indicator", yours="off")
    (figure,) = page.figures
    bars = next(trace for trace in figure.data if trace.type == "bar")
    assert [value for value in bars.y if np.isfinite(value)] == [0.25] * 5
    assert "resnet18 --images 0:6 --blocks 1,2,4,6,8 --convention branch --quantity counts" in page.texts("code")
    assert "--convention branch --quantity norms" in page.texts("code")
    (figure,) = visit(BLOCKS, conventions="branch", metric="percent_negative", yours="off").figures
    bars = next(trace for trace in figure.data if trace.type == "bar")
    assert max(value for value in bars.y if np.isfinite(value)) > 20  # of the other four
    page = visit(LABELS, convention="branch", metric="stiffness_indicator", of="8")
    (figure,) = page.figures
    assert sum(len(trace.y) for trace in figure.data if trace.type == "box") == 6


def test_images_at_which_s_is_known_need_nothing_to_be_computed_for_it(visit):
    frame = bundled(convention="branch", images=4).assign(
        quantity="norms",
        stiffness_indicator=0.25,
        log_norm_lower=-1.0,
        log_norm_upper=1.5,
        norm_branch=2.0,
        norm_block=3.0,
    )
    ship(frame)
    image = int(frame["image"].iloc[0])
    assert statistics.not_shipped("resnet18", Convention.BRANCH, [image], "stiffness_indicator") == []
    asked = statistics.not_shipped("resnet18", Convention.BRANCH, [image], "percent_negative")
    assert {request.quantity for request in asked} == {"counts"}
    other = cifar10.bundled()[30]
    asked = statistics.not_shipped("resnet18", Convention.BRANCH, [other], "norm_branch")
    assert [request.quantity for request in asked] == ["norms"] * 8
    asked = statistics.not_shipped("resnet18", Convention.BRANCH, [other], "stiffness_indicator")
    assert [request.block for request in asked] == [1, 2, 4, 6, 8], "s needs a square block"
    assert statistics.not_shipped("resnet18", Convention.SLICES, [other], "norm_branch")[0].quantity == "counts"


def test_live_outputs_leave_a_gap_at_a_missing_block(visit):
    frame = bundled(convention="branch", images=4)
    ship(frame[~frame["block"].isin([3, 5, 7])])
    (figure,) = visit(BLOCKS, conventions="branch", yours="off").figures
    line = next(trace for trace in figure.data if (trace.name or "").startswith("live outputs"))
    assert not line.connectgaps
    assert np.flatnonzero(np.isnan(line.y)).tolist() == [2, 4, 6]
    assert "markers" in line.mode, "block 4 has no neighbour"


@pytest.mark.parametrize("page", [BLOCKS, LABELS])
@pytest.mark.parametrize("metric", ["stiffness_ratio", "largest_stable_step"])
def test_a_metric_that_hangs_on_one_eigenvalue_says_so(visit, page, metric):
    ship(bundled(convention="branch", images=4))
    found = visit(page, metric=metric, conventions="branch", convention="branch", yours="off")
    assert definitions.named(metric).caveat in found.texts("caption")


def test_blocks_knows_what_is_not_square_with_nothing_computed(visit):
    page = visit(BLOCKS, conventions="branch", yours="off")
    texts = [note.text for note in page.figures[0].layout.annotations]
    assert (texts.count("undefined: not square"), texts.count("not computed")) == (3, 5)
    code = page.texts("code")
    assert "--blocks 1,2,4,6,8 --convention branch" in code  # none that cannot have eigenvalues
    assert "bundled" not in code


def test_blocks_side_by_side_has_a_panel_per_network_and_convention(visit):
    ship(bundled(images=10))
    ship(bundled("resnet34", images=10))
    page = visit(BLOCKS, networks="resnet18,resnet34", conventions="slices,branch", paper="off", live="off")
    titles = [note.text for note in page.figures[0].layout.annotations if "·" in note.text]
    assert titles == [
        f"{network} · {Convention(c).title}" for network in ("ResNet18", "ResNet34") for c in ("slices", "branch")
    ]
    assert "the paper's mean (slices)" not in traces(page.figures[0])
    assert page.url["networks"] == "resnet18,resnet34"


def test_labels_draws_every_image_and_says_what_labels_explain(visit):
    frame = ship(bundled(images=60))
    page = visit(LABELS, of="8", metric="percent_negative")
    values = tables.per_image(frame, "percent_negative", 8).set_index("image")["value"]
    points = [trace for trace in page.figures[0].data if trace.customdata is not None]
    shown = {int(image): y for trace in points for (image,), y in zip(trace.customdata, trace.y)}
    assert shown == pytest.approx(values.to_dict(), rel=1e-6)
    found = label_spread.spread(frame, "percent_negative", 8)
    assert page.at.metric[0].value == f"{100 * found.ratio:.3g} %"
    assert f"explains {100 * found.label_share:.1f} % of the variance over 60 images" in page.texts("caption")
    cat = tables.by_label(frame, ("percent_negative",), 8).query("name == 'cat'").iloc[0]
    assert cells(page.html())["cat"][:3] == [f"{cat[name]:.2f}" for name in ("mean", "median", "std")]


def test_labels_over_all_blocks_stand_beside_the_papers_means(visit):
    ship(bundled(images=30))
    drawn = traces(visit(LABELS, metric="stiffness_index").figures[0])
    paper = published.table("resnet18", "by_label").query("metric == 'stiffness_index'")
    assert list(drawn["the paper's mean"].y) == paper["published"].tolist()
    assert "the paper's mean" not in traces(visit(LABELS, metric="stiffness_index", of="3").figures[0])


def unbalanced(**columns):
    """ResNet50 as it ships: 40 images at block 16, twelve of them at every block."""
    frame = bundled("resnet50", images=40, **columns)
    return frame[(frame["block"] == 16) | frame["image"].isin(cifar10.bundled()[:12])]


def test_labels_open_on_the_last_block_where_all_would_be_thin(visit):
    ship(unbalanced())
    page = visit(LABELS, network="resnet50")
    assert page.url["of"] == "16"
    assert page.at.selectbox(key="choice-of").value == "16"
    assert "block 16" in page.figures[0].layout.title.text
    page = visit(LABELS, network="resnet50", of="all")
    points = [trace for trace in page.figures[0].data if trace.customdata is not None]
    assert sum(len(trace.x) for trace in points) == 12
    assert "the 12 images that have a value at all 16 blocks" in page.texts("caption")
    assert "average over the blocks" in page.texts("caption")


def test_some_blocks_are_called_partial(visit):
    frame = bundled(convention="branch", images=40)
    ship(frame[frame["block"].isin([4, 6, 8])])
    page = visit(LABELS, convention="branch", of="all")
    assert ":orange-badge[partial]" in page.texts("caption")
    assert "blocks 4, 6, 8, of the 5 blocks that can have one" in page.texts("caption")
    assert visit(LABELS, convention="branch").url["of"] == "8"
    assert "all, partial: 3 of 5 blocks" in cells(visit(CORRELATION, convention="branch").html())
    assert cells(visit(PUBLISHED, convention="branch").html())["all"][1].startswith("◐ ")


@pytest.mark.parametrize("page", [LABELS, CORRELATION])
def test_figure_titles_carry_network_and_convention(visit, page):
    ship(bundled(convention="branch", images=40))
    title = visit(page, convention="branch", of="8").figures[0].layout.title.text
    assert "ResNet18 · ODE right-hand side (branch) · block 8" in title


def test_exports_carry_network_and_convention(visit):
    frame = ship(bundled(images=4))
    named = statistics.named(tables.by_label(frame), "resnet18", Convention.SLICES, block="all")
    assert list(named)[:4] == ["network", "convention", "block", "label"]
    assert set(named["convention"]) == {"slices"}
    assert list(statistics.named(frame, "resnet18", Convention.SLICES)).count("network") == 1


def test_the_command_asks_for_the_same_images_and_no_impossible_block(visit):
    frame = bundled(convention="branch", images=12)
    kept = frame[frame["block"].isin([4, 8]) & ((frame["block"] == 8) | (frame["image"] == frame["image"].min()))]
    ship(kept)
    code = visit(LABELS, convention="branch").texts("code")
    images = cifar10.as_list(kept["image"])
    assert f"--images {images} --blocks 1,2,4,6 --convention branch" in code
    assert cifar10.parse_images(images) == sorted(set(kept["image"]))


def test_undetermined_counts_are_mentioned(visit):
    frame = bundled(images=10, percent_negative=10.0, n_undetermined=0)
    frame["n_undetermined"] = np.where(frame["block"] == 8, frame["n_eigenvalues"] // 50, 0)
    ship(frame)
    assert "block 8 (10 images; P 10 to 12 %)" in visit(PUBLISHED).texts("caption")


def test_labels_without_a_value_says_why(visit):
    ship(bundled(convention="block", images=10))
    page = visit(LABELS, convention="block", of="3")
    assert "undefined: not square" in page.texts("info")
    assert page.figures == []


def test_correlation_is_scipys_and_bold_where_significant(visit):
    frame = bundled(images=80)
    frame["percent_negative"] = (
        10 + frame["loss"] * (frame["block"] == 8) + np.random.default_rng(0).normal(size=len(frame))
    )
    ship(frame)
    page = visit(CORRELATION, of="8", measure="percent_negative")
    last = frame[frame["block"] == 8]
    r = stats.pearsonr(last["percent_negative"], last["loss"]).statistic
    assert page.at.metric[1].value == minus(f"{r:+.3f}")
    left = partial(last["percent_negative"], last["loss"], [last["live_fraction"]], last["label"])
    assert cells(page.html())["8"][1] == minus(f"{r:.2f}{left.r:+.2f}*"), (
        "the partial r stands below r, significant by its star"
    )
    assert minus(f"Given live fraction and label: {left.r:+.2f} (95 % interval {left.low:+.2f}") in page.texts(
        "caption"
    )
    said = minus(f"r with loss {r:+.2f}; given live fraction and label {left.r:+.2f}")
    assert said in page.figures[0].layout.title.text
    above = [trace for trace in page.figures[0].data if trace.xaxis == "x" and trace.type == "scatter"]
    assert sum(len(trace.x) for trace in above) == 80
    pooled = visit(CORRELATION, of="all", measure="percent_negative")
    assert "n = 640" in pooled.texts("caption")
    assert "by permuting images; Spearman" in pooled.texts("caption")


def test_every_number_of_a_correlation_is_on_the_page(visit):
    frame = ship(bundled(images=80))
    line = cells(visit(CORRELATION, measure="percent_negative").html())["8"][8:]  # of the table in full
    last = frame[frame["block"] == 8]
    spearman = stats.spearmanr(last["percent_negative"], last["correct"])
    pearson = stats.pearsonr(last["percent_negative"], last["correct"])
    assert line[0] == minus(f"{pearson.statistic:.2f}")
    left = partial(last["percent_negative"], last["correct"], [last["live_fraction"]], last["label"])
    assert line[2] == f"{pearson.pvalue:.3f}"
    assert (line[4], line[6]) == (minus(f"{left.r:.2f}"), f"{left.p:.3f}")
    assert line[5] == minus(f"{left.low:+.2f} to {left.high:+.2f}")
    assert line[8:10] == [minus(f"{spearman.statistic:.2f}"), f"{spearman.pvalue:.3f}"]
    assert line[10:13] == ["80", "80", "0"]


def test_correlation_of_what_is_constant_is_undefined_with_its_reason(visit):
    ship(bundled(images=30, stiffness_index=-2.0))
    page = visit(CORRELATION, measure="stiffness_index", of="1")
    assert page.at.metric[0].value == "undefined"
    assert "the stiffness is the same at every image" in page.texts("caption")


def test_p_beyond_geometry_belongs_to_slices(visit):
    ship(bundled(convention="branch", images=30, expected_percent_negative=np.nan))
    page = visit(CORRELATION, convention="branch", measure="percent_negative_beyond_geometry")
    assert "under slices only" in page.texts("info")


def test_a_chosen_point_shows_its_image_and_leads_to_its_spectrum(visit):
    frame = ship(bundled(images=30))
    image = cifar10.bundled()[7]
    visit.event = {"selection": {"points": [{"customdata": [image, 6]}]}}
    page = visit(CORRELATION, of="6")
    assert gallery.thumbnail(image) in page.html()
    first = frame[frame["image"] == image].iloc[0]
    assert f"**Image {image}: {cifar10.LABELS[first['label']]}**" in page.texts("markdown")
    (link,) = [link.proto for link in page.at.get("page_link") if link.proto.label.startswith("Its spectrum")]
    assert link.label == "Its spectrum at block 6"
    assert f"images={image}" in link.query_string
    chosen = page.at.session_state["chosen"]
    shared = {"network": "resnet18", "convention": "slices", "images": str(image), "blocks": "6", "of": "6"}
    assert {name: chosen[name] for name in shared} == shared


def test_a_point_of_all_blocks_carries_its_block_and_the_page_stays_at_all(visit):
    ship(bundled(images=30))
    visit.event = {"selection": {"points": [{"customdata": [cifar10.bundled()[7], 3]}]}}
    page = visit(CORRELATION, of="all")
    page.run()
    assert page.at.session_state["chosen"]["blocks"] == "3"
    assert page.url["of"] == "all"


def test_a_bar_chosen_on_blocks_is_the_block_of_the_other_pages(visit):
    frame = ship(bundled(images=30))
    visit.event = {"selection": {"points": [{"customdata": [1.0, 1.0, 1.0, 30, 0, 5, "resnet18", "slices"]}]}}
    page = visit(BLOCKS, images="0,3", yours="off")
    bars = next(trace for trace in page.figures[0].data if trace.type == "bar")
    assert [list(ids[-3:]) for ids in bars.customdata] == [[block, "resnet18", "slices"] for block in bars.x], (
        "a bar says which it is"
    )
    assert len(frame)
    assert "ResNet18, block 5, As published (slices)" in page.texts("markdown")
    (link,) = [link.proto for link in page.at.get("page_link") if link.proto.label == "Its spectrum"]
    assert "blocks=5" in link.query_string
    assert page.at.session_state["chosen"]["blocks"] == "5"
    assert page.at.session_state["chosen"]["of"] == "5"
    page.run()
    assert page.url["images"] == "0,3"


@pytest.mark.parametrize("data", [[], [5], [5, "resnet18"], [99, "resnet18", "slices"], [5, "<b>", "slices"], [None, "resnet18", "slices"], [[5], "resnet18", "slices"], [5, ["resnet18"], "slices"]])  # fmt: skip
def test_bars_that_the_browser_makes_up_are_ignored(visit, data):
    ship(bundled(images=30))
    visit.event = {"selection": {"points": [{"customdata": data}]}}
    page = visit(BLOCKS, yours="off")
    assert "blocks" not in page.at.session_state["chosen"]
    assert "Click a bar" in page.texts("caption")


@pytest.mark.parametrize(
    ("measure", "title"),
    [("absolute_stiffness_index", "|S|"), ("percent_negative_beyond_geometry", "P beyond geometry (slices)")],
)
def test_a_chosen_point_names_its_measure(visit, measure, title):
    ship(bundled(images=30))
    visit.event = {"selection": {"points": [{"customdata": [cifar10.bundled()[7], 6]}]}}
    page = visit(CORRELATION, of="6", measure=measure)
    assert f"  \n{title} " in page.texts("markdown")
    assert measure not in page.texts("markdown")


@pytest.mark.parametrize("data", [[], ["<script>"], [10**9], [None], {"0": -1}, "text", None])
def test_points_that_the_browser_makes_up_are_ignored(data):
    event = {"selection": {"points": [{"customdata": data}]}}
    assert selection.chosen(event, {1, 2, 3}) is None
    assert selection.chosen({}, {1}) is None


@pytest.mark.parametrize(("number", "kind", "network"), kinds_and_networks())
def test_every_published_number_is_on_its_page_with_nothing_computed(visit, number, kind, network):
    page = visit(PUBLISHED, network=network, table=kind)
    assert f"Table {number}:" in page.texts("subheader")
    shown = cells(page.html())
    if kind == "sizes":
        assert shown["8"][4] == f"{published.table(network, kind).set_index('block').loc[8, 'eigenvalues']:,}"
        return
    for cell in published.table(network, kind).to_dict("records"):
        name = str(cell["block"]) if "block" in cell else cifar10.LABELS[cell["label"]]
        assert any(text.startswith(minus(f"{cell['published']:.2f}")) for text in shown[name])
    assert any("not computed" in line for line in shown.values())
    assert "sweep" in page.texts("code")


def test_ours_stand_beside_theirs_with_difference_and_agreement(visit):
    frame = ship(bundled(images=20, stiffness_index=-5.0))
    page = visit(PUBLISHED, table="by_block")
    theirs, ours, difference, *_ = cells(page.html())["2"]
    assert (theirs, ours, difference) == ("−5.12", "≈ −5.00", "0.12")
    assert cells(page.html())["7"][:2] == ["−1.283", "≠ −5.00"]  # with the mark of slip 3
    assert "block 7's S is −1.28" in page.texts("markdown")
    assert cells(page.html())["8"][-2] == str(frame["image"].nunique())


def test_correlations_stand_beside_theirs_with_difference_and_both_p(visit):
    frame = ship(bundled(images=80))
    line = cells(visit(PUBLISHED, table="correlation").html())["8"]
    last = frame[frame["block"] == 8]
    found = stats.pearsonr(last["stiffness_index"], last["correct"])
    assert line[:2] == ["−0.23", "0.00"]
    assert line[2].endswith(minus(f"{found.statistic:.2f}"))
    assert line[3] == f"{found.pvalue:.3f}"
    left = partial(last["stiffness_index"], last["correct"], [last["live_fraction"]], last["label"])
    assert line[5] == minus(f"{left.r:.2f}")
    assert line[6] == minus(f"{found.statistic + 0.23:.2f}")


def test_what_is_constant_or_not_square_reads_undefined(visit):
    frame = bundled("resnet50", images=12)
    ship(frame.assign(correct=True)[frame["block"] < 16])
    assert cells(visit(PUBLISHED, network="resnet50", table="correlation").html())["3"][2] == "undefined"
    shown = cells(visit(PUBLISHED, convention="branch").html())
    assert [shown[name][1] for name in ("1", "3", "5")] == ["not computed", "undefined", "undefined"]


def test_another_readings_likeness_is_not_coloured(visit):
    ship(bundled(convention="branch", images=12, stiffness_index=-12.99))
    page = visit(PUBLISHED, convention="branch")
    assert cells(page.html())["8"][1] == "−12.99"
    assert "any agreement here is a coincidence" in page.texts("caption")


def test_verdicts_stand_per_reading_with_their_sentences(visit):
    ship(bundled(images=40))
    page = visit(PUBLISHED)
    line = next(line for name, line in cells(page.html()).items() if name.startswith("The last block is the stiffest"))
    assert line[0] == "✓ holds2.54"
    assert re.fullmatch(r"✓ holds1\.\d+ \(1\.\d+ to 1\.\d+\)", line[1]), "the number that decides, with its interval"
    assert line[2:] == ["not computed"] * 4
    spikes = next(line for name, line in cells(page.html()).items() if name.startswith("S spikes"))
    assert (spikes[0], spikes[1][:7]) == ("✗ does not hold0.456", "✓ holds")
    assert "“Spikes”: in each of the last three blocks" in page.html()
    sentence = "|S| of block 8 (12.99) divided by the largest of the others (block 2, 5.12): 2.54, as printed."
    assert sentence in page.texts("markdown")


def test_rows_of_other_weights_are_never_shown(visit, monkeypatch):
    from stiffcore.networks import manifest

    ship(bundled(images=10))
    entry = manifest.entry("resnet18")
    other = manifest.Entry("resnet18", "0" * 64, None, 0.0, {}, entry.predicted, entry.loss)
    real = manifest.entry
    monkeypatch.setattr(manifest, "entry", lambda network: other if network == "resnet18" else real(network))
    page = visit(PUBLISHED)
    assert cells(page.html())["8"][1] == "not computed"


@pytest.mark.parametrize("page", [BLOCKS, LABELS, CORRELATION, PUBLISHED])
def test_a_hostile_link_falls_back_with_a_note(visit, page):
    hostile = {"network": "../etc", "networks": "x", "of": "999", "metric": "<b>", "measure": "1", "table": "13"}
    opened = visit(page, **hostile, convention="none", conventions="none", images="-1")
    assert "Expected" in opened.texts("warning")
    assert not opened.at.exception


def test_another_networks_block_is_forgotten_without_a_note(visit):
    page = visit(LABELS, network="resnet34", of="16")
    page.run(page.at.selectbox(key="choice-network").set_value("resnet18"))
    assert page.url["of"] == "all"
    assert page.texts("warning") == ""


@pytest.mark.parametrize("page", [BLOCKS, LABELS, CORRELATION])
def test_the_python_lines_of_a_page_run(visit, page, capsys):
    ship(bundled(images=30))
    (lines,) = visit(page).snippets()
    exec(lines, {})
    assert len(capsys.readouterr().out.splitlines()) > 8


@pytest.mark.slow
def test_no_page_imports_torch():
    program = (
        "import sys\nfrom streamlit.testing.v1 import AppTest\nfrom pages.shared.state import service\n"
        "service.WARM_UP_AFTER = 1e6\n"  # torch in the background, which is not what a page waits for
        "at = AppTest.from_file('app.py', default_timeout=60).run()\n"
        f"for page in {[BLOCKS, LABELS, CORRELATION, PUBLISHED]!r}:\n"
        "    at.switch_page(page).run()\n    assert not at.exception, page\n"
        "    assert 'torch' not in sys.modules, page\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr[-2000:]


def test_what_the_recipe_changed_is_told_once_other_weights_ship(visit, monkeypatch):
    ship(bundled("resnet18", images=20))
    page = visit(PUBLISHED, network="resnet18")
    assert "What the training recipe changed" not in page.texts("subheader")
    known = {network: about | {"weights": "0" * 64} for network, about in earlier.earlier().items()}
    monkeypatch.setattr(earlier, "earlier", lambda: known)
    page = visit(PUBLISHED, network="resnet18")
    assert "What the training recipe changed" in page.texts("subheader")
    said = page.texts("caption")
    rows = shipping.rows(networks.find("resnet18"), Convention.SLICES)
    far = earlier.distances(earlier.side_by_side(networks.find("resnet18"), rows)).set_index("metric")["ours"]
    assert f"of log |S| from 0.33 to {far['stiffness_index']:.2f}" in said
    assert f"of log P from 0.32 to {far['percent_negative']:.2f}" in said
    assert "What the training recipe changed" not in visit(PUBLISHED, network="resnet18-untrained").texts("subheader")
