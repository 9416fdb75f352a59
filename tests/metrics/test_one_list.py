"""A metric is defined once: a metric added to the list appears in results, tables, menus, the command line and the README."""

import math

import numpy as np
import pytest

from pages.shared.correlation import table as correlation_page
from pages.shared.widgets import statistics
from stiffcore.analysis import block_metrics, distances
from stiffcore.analysis.results import Result
from stiffcore.commands import analyse_table, terminal
from stiffcore.conventions import Convention
from stiffcore.figures import wording
from stiffcore.figures.spectra import spectrum_table
from stiffcore.figures.statistics import depth
from stiffcore.metrics import definitions, facts, readme
from stiffcore.metrics.metric import EVERY, Bound, Group, Metric, Short, Unit
from stiffcore.paper import comparison
from stiffcore.statistics import correlation, tables
from stiffcore.sweeps import tasks as sweep_tasks
from tests.made_up.asked import asked
from tests.made_up.blocks import small_blocks
from tests.made_up.rows import rows
from tests.made_up.spectra import made_up

NAME = "largest_im"
REQUEST = asked("resnet18", 0, 8, "branch", "counts")


def _largest_im(known):
    return None if known.eigenvalues is None else float(np.abs(known.eigenvalues.imag).max(initial=0))


@pytest.fixture
def one_more(monkeypatch):
    """The list with one more metric at its end."""
    metric = Metric(
        NAME, "max |Im λ|", "Largest imaginary part", _largest_im, bound=Bound.AT_LEAST, correlated=True,
        phrase="oscillation", short=Short("max Im", 9, 9),
    )  # fmt: skip
    monkeypatch.setattr(definitions, "METRICS", (*definitions.METRICS, metric))


@pytest.fixture
def result(one_more):
    """A result of a small block's whole spectrum, computed."""
    block = next(one for one in small_blocks() if one.state.geometry.is_identity)
    found, *_ = block_metrics.of_matrix(block.state, Convention.BRANCH, "counts", lambda *_: None)
    metrics, reasons = definitions.of(found)
    made = made_up(REQUEST).made | {"quantity": "counts"}
    return Result(REQUEST, metrics, reasons, {}, {}, made)


def planted(**columns):
    return rows(images=20, blocks=[7, 8], convention="branch", **{NAME: np.arange(40.0), **columns})


def test_it_is_computed_and_stored(result):
    assert result.metrics[NAME] >= 0
    assert NAME not in result.reasons
    assert result.header()["metrics"][NAME] == result.metrics[NAME]
    assert sweep_tasks.row(result)[NAME] == result.metrics[NAME]


def test_where_it_is_not_known_it_says_why(one_more):
    known = facts.Facts(Convention.SLICES, 0.5, facts.NEEDS_COUNTS, n=4, max_re=1.0, min_re=-1.0)
    metrics, reasons = definitions.of(known)
    assert math.isnan(metrics[NAME])
    assert reasons[NAME] == facts.NEEDS_COUNTS


def test_it_is_in_the_command_line_s_tables(result, monkeypatch):
    lines = []
    monkeypatch.setattr(terminal, "show", lines.append)
    analyse_table.short([REQUEST])(result)
    analyse_table.wide([REQUEST])(result)
    _, meanings, head, values, _, wide_head, _ = "\n".join(lines).splitlines()
    assert f"max Im {NAME}" in meanings
    assert head.split()[-3:] == ["max", "Im", "seconds"]
    assert values.split()[-2] == f"{result.metrics[NAME]:.4g}"
    assert NAME in wide_head.split()
    assert list(analyse_table.row(result)).index(NAME) < list(analyse_table.row(result)).index("seconds")


def test_a_result_that_is_older_shows_it_as_not_computed(one_more, monkeypatch):
    lines = []
    monkeypatch.setattr(terminal, "show", lines.append)
    older = made_up(REQUEST)
    analyse_table.short([REQUEST])(older)
    analyse_table.wide([REQUEST])(older)
    assert "–" in lines[2].split()
    assert "not computed" in lines[-1]
    assert spectrum_table.cell(NAME, older) == "–"


def test_it_is_in_the_wording_and_the_tables_of_spectra(result):
    assert wording.title(NAME) == "max |Im λ|"
    assert wording.meaning(NAME) == "Largest imaginary part"
    assert wording.in_bounds(NAME, {NAME: 2.0, "n_undetermined": 1, "n_eigenvalues": 9}) == "≥ 2"
    assert NAME in spectrum_table.metrics_present([result])
    assert "max |Im λ|" in spectrum_table.metrics([result])
    assert NAME in set(distances.differences(result, result)["metric"])


def test_it_is_in_the_menus_of_the_pages(one_more):
    assert statistics.metric_titles()[NAME] == "max |Im λ|: Largest imaginary part"
    assert correlation_page.measures()[NAME] == "max |Im λ|: oscillation"


def test_it_is_in_the_tables_by_block_and_label_and_in_correlations(one_more):
    frame = planted()
    assert tables.by_block(frame, [NAME]).set_index("block").loc[8, "mean"] == frame.query("block == 8")[NAME].mean()
    assert tables.by_label(frame, [NAME], 8)["n"].tolist() == [2] * 10
    assert NAME in set(correlation.table(frame, resamples=0)["measure"])
    panels = {("resnet18", Convention.BRANCH): comparison.along_depth(REQUEST.network, frame, NAME)}
    assert depth.title(panels, NAME).startswith("Largest imaginary part, along the depth")


def test_it_is_in_the_readme_s_table(one_more):
    assert f"| `{NAME}` | max \\|Im λ\\| | Largest imaginary part | all |" in readme.table()


def test_the_readme_has_the_table_of_today():
    text = readme.README.read_text("utf-8")
    assert readme.with_table(text) == text, "the list of metrics changed: run `python -m stiffcore.metrics.readme`"


def test_a_readme_without_markers_is_refused():
    with pytest.raises(ValueError, match="Expected the markers"):
        readme.with_table("# no table")


def test_the_list_says_everything_once():
    names = [metric.name for metric in definitions.METRICS]
    assert len(set(names)) == len(names)
    for metric in definitions.METRICS:
        assert (metric.compute is None) == (metric.derived is not None)
        assert {*metric.conventions} <= {*EVERY}
        assert metric.bound is not Bound.INTERVAL or metric.unit is not Unit.NUMBER
        for other in filter(None, (metric.baseline_of, metric.derived and metric.derived.base)):
            assert definitions.named(other) in definitions.METRICS
    places = [metric.short.place for metric in definitions.METRICS if metric.short]
    assert len(set(places)) == len(places)


@pytest.mark.parametrize("convention", EVERY)
def test_menus_offer_what_is_defined_under_a_convention(convention):
    offered = statistics.metric_titles(convention)
    for metric in definitions.of_group(Group.SINGULAR):
        assert (metric.name in offered) == (convention != "slices")
    for metric in definitions.of_group(Group.STEPS):
        assert (metric.name in offered) == (convention == "branch")
    assert not {"n_zero", "expected_percent_negative", "absolute_stiffness_index"} & offered.keys()
