"""The app as visitors meet it: through app.py, then from page to page. Planted results, real cache, real job service."""

import math
import subprocess
import sys
import threading

import numpy as np
import plotly.graph_objects as go
import pytest
import streamlit as st

from pages.shared.shell import navigation
from pages.shared.state import controls, service, zoom
from pages.shared.widgets import gallery
from stiffcore.analysis import compute as analysis
from stiffcore.analysis.results import Result
from stiffcore.conventions import Convention
from stiffcore.errors import CannotCompute
from stiffcore.images import cifar10
from stiffcore.networks import catalogue, manifest
from stiffcore.storage import cache as result_cache, shipped as shipped_results
from stiffcore.sweeps import shipping
from tests.app.visitor import IMAGES, ROOT, SPECTRUM, Visitor, spectrum_of, wait_for
from tests.made_up import rows as planted_rows
from tests.made_up.asked import asked
from tests.made_up.spectra import made_up, store

pytestmark = pytest.mark.usefixtures("nothing_ships")


def outermost(figure) -> set[float]:
    """The made-up eigenvalue of each image that a figure draws."""
    clouds = [trace for trace in figure.data if trace.customdata is not None and len(trace.x) == 3]
    return {round(float(min(trace.x)), 3) for trace in clouds}


# First paint


def test_no_page_imports_torch_on_its_first_run():
    code = """
import sys
from streamlit.testing.v1 import AppTest
from pages.shared.state import service
service.WARM_UP_AFTER = 1e6  # torch in the background is not what a first paint waits for
at = AppTest.from_file("app.py", default_timeout=60).run()
assert not at.exception and at.title[0].value
for page in sys.argv[1:]:
    at.switch_page(page).run()
    assert not at.exception, page
loaded = [name for name in ("torch", "torchvision", "numba", "scipy.sparse.linalg") if name in sys.modules]
assert not loaded, loaded
"""
    run = [sys.executable, "-c", code, SPECTRUM]
    done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def test_torch_is_imported_in_the_background_after_the_first_page(monkeypatch):
    started = []
    monkeypatch.setattr(st.runtime, "exists", lambda: True)
    monkeypatch.setattr(threading.Timer, "start", lambda timer: started.append((timer.interval, timer.function)))
    st.cache_resource.clear()
    service.warm_up()
    service.warm_up()
    assert started == [(service.WARM_UP_AFTER, service._import_torch)], "once for the server"
    st.cache_resource.clear()


# Home


def the_cloud(home) -> go.Figure:
    """Home's figure of eigenvalues; the figures beside it have lines over the depth."""
    (figure,) = (figure for figure in home.figures if figure.layout.xaxis.title.text == "Re λ")
    return figure


def plant(folder, monkeypatch, networks=catalogue.PAPER, **columns) -> None:
    """Rows that ship: under slices, and with ``columns`` under branch, of the networks and their untrained baselines."""
    monkeypatch.setattr(shipping, "FOLDER", folder)
    made = [(name, Convention.SLICES, {}) for name in networks]
    made += [(f"{name}{end}", Convention.BRANCH, columns) for name in networks for end in ("", "-untrained")]
    for name, convention, more in made:
        path = shipping.rows_path(name, convention)
        shipping.write(planted_rows.bundled(name, convention, 4, **more), path)
        shipping.note(path, {"kind": "rows"}, "a test")


def test_home_draws_the_stored_spectra_of_ten_labels(visitor):
    store(*spectrum_of(*IMAGES))
    home = visitor().run()
    assert home.at.title[0].value == "How stiff is a residual network?"
    assert "at 10 images" in home.texts("caption")
    figure = the_cloud(home)
    assert outermost(figure) == {round(-1 - image / 1000, 3) for image in IMAGES}
    assert {label for trace in figure.data if trace.name for label in [trace.name]} >= set(cifar10.LABELS)
    assert "0 × 800" in [note.text for note in figure.layout.annotations]


def test_home_has_what_ships_in_a_fresh_checkout(visitor, monkeypatch):
    monkeypatch.setattr(result_cache, "shipped", shipped_results.shipped)
    home = visitor().run()
    figure = the_cloud(home)
    assert {image for trace in figure.data if trace.customdata is not None for image in trace.customdata} == set(IMAGES)
    assert min(min(trace.x) for trace in figure.data) < -0.1, "an eigenvalue far out to the left"
    assert len(home.figures) == 3
    assert "by the field's definition" in home.texts("markdown")


def test_home_answers_from_the_rows_that_ship(visitor, monkeypatch, tmp_path):
    plant(tmp_path, monkeypatch, stiffness_indicator=-0.25, outside_euler=0.5)
    home = visitor().run()
    said = home.texts("markdown")
    assert "No, by the field's definition" in said
    assert "at most 0.25" in said
    assert "lie outside forward Euler's disc" in said
    assert "−0.25 in ResNet18, −0.25 in ResNet34" in said
    indicator, published = (figure for figure in home.figures if figure.layout.xaxis.title.text == "relative depth")
    assert [list(trace.y) for trace in indicator.data if trace.name == "ResNet18"] == [[-0.25] * 8]
    assert [trace.name for trace in published.data if trace.showlegend] == ["the paper's"]


def test_home_in_talk_mode_has_the_answer_first_and_the_rest_below(visitor, monkeypatch, tmp_path):
    plant(tmp_path, monkeypatch, stiffness_indicator=-0.25)
    home = visitor(talk="on").run()
    answer, rest = (text.value for text in home.at.markdown if "definition" in text.value or "training" in text.value)
    assert "after training" not in answer
    assert "after training" in rest


def test_home_without_rows_says_what_computes_them(visitor, monkeypatch, tmp_path):
    monkeypatch.setattr(shipping, "FOLDER", tmp_path)
    home = visitor().run()
    assert not home.figures
    assert "--convention branch --quantity norms" in home.texts("info")
    assert "--convention slices --quantity counts" in home.texts("info")


def test_home_says_what_a_link_asks_for_in_vain(visitor):
    home = visitor(scene="nope", talk="<b>").run()
    said = home.texts("warning")
    assert "Expected a scene among" in said
    assert "Expected talk among" in said
    home.run()
    assert not home.texts("warning")


def test_homes_figure_has_its_badge_data_and_code(visitor):
    store(*spectrum_of(*IMAGES))
    home = visitor().run()
    assert "green-badge[stored]" in home.texts("markdown")
    assert [button.label for button in home.at.button if button.label == "Compute again"]
    labels = [button.proto.label for button in home.at.get("download_button")]
    assert labels == ["Figure (HTML)", "Data (CSV)"] * len(home.figures)
    code = next(code.value for code in home.at.get("code") if "sc.analyse" in code.value)
    assert str(IMAGES) in code


def test_home_without_a_stored_spectrum_says_what_to_do(visitor, monkeypatch):
    monkeypatch.setattr(analysis, "stored", lambda request: None)
    home = visitor().run()
    assert not [figure for figure in home.figures if figure.layout.xaxis.title.text == "Re λ"]
    assert "Spectrum page" in home.texts("info")


def test_the_ten_images_of_home_have_ten_labels():
    assert [cifar10.label(image) for image in IMAGES] == list(range(10))


def test_menu_lists_every_page_that_there_is_and_no_other():
    listed = {path for entries in navigation.MENU.values() for path, *_ in entries}
    there = {"app.py"} | {f"pages/{path.name}" for path in (ROOT / "pages").glob("*.py")}
    assert there <= listed


@pytest.mark.parametrize("icon", [":material/home:", "https://example.org/icon.png"])
def test_no_page_icon_is_fetched_from_the_internet(icon):
    with pytest.raises(ValueError, match="would be fetched"):
        navigation.page("Title", icon)


# Spectrum


def group(page: Visitor, choice: str):
    """The buttons of a choice, whatever stands before them."""
    return next(w for w in page.at.get("button_group") if w.key == f"choice-{choice}")


def test_opens_on_branch_and_draws_what_is_stored(visitor):
    store(*spectrum_of(*IMAGES[3:6]))
    page = visitor().open(SPECTRUM)
    assert page.at.title[0].value == "Spectrum"
    assert group(page, "convention").value in ("branch", ["branch"])
    (figure,) = page.figures
    assert outermost(figure) == {round(-1 - image / 1000, 3) for image in IMAGES[3:6]}
    assert page.button("compute") is None, "nothing is missing"
    assert Convention.BRANCH.question in page.texts("caption")
    badge = page.texts("markdown")
    for part in ("green-badge[stored]", "cpu", "float64", "6 s", manifest.entry("resnet18").sha256[:8], "branch"):
        assert part in badge


def test_metrics_stand_beside_the_figure_with_words_for_what_is_missing(visitor):
    store(*spectrum_of(IMAGES[0]))
    page = visitor().open(SPECTRUM, images=str(IMAGES[0]))
    table = page.html()
    s = 0.25 / (-1 - IMAGES[0] / 1000)
    assert f"{s:.4g}".replace("-", "−") in table
    assert '<td class="word" title="not computed: it is made up">not computed</td>' in table
    assert "M: not computed: it is made up" in page.texts("caption")
    assert "Ratio" not in table, "the cloud crosses the axis"


def test_what_is_missing_is_offered_with_an_estimate_and_asked_of_the_engine_once(visitor, engine):
    store(*spectrum_of(0))
    page = visitor().open(SPECTRUM, images="0,1")
    assert outermost(page.figures[0]) == {-1.0}, "what there is, is drawn"
    assert "1 result is not stored yet: about" in page.texts("markdown")
    assert engine.asked == []
    page.run(page.button("compute").click())
    assert "green-badge[stored]" in page.texts("markdown")
    wait_for(lambda: engine.asked)
    assert engine.asked == [tuple(spectrum_of(1))]
    wait_for(lambda: service.find(spectrum_of(0, 1)).what)
    page.run()
    assert "planted stage" in page.at.get("progress")[0].proto.text
    assert page.button("compute") is None
    engine.go.set()
    wait_for(lambda: service.find(spectrum_of(0, 1)).status == "done")
    page.run()
    assert outermost(page.figures[0]) == {-1.0, -1.001}
    assert len(engine.asked) == 1


def test_cancel_stops_and_nothing_is_submitted_again(visitor, engine):
    page = visitor().open(SPECTRUM, images="1")
    page.run(page.button("compute").click())
    wait_for(lambda: engine.asked)
    page.run(page.button("cancel").click())
    wait_for(lambda: service.find(spectrum_of(1)).status == "cancelled")
    for _ in range(3):
        page.run()
    assert "Cancelled" in page.texts("info")
    assert len(engine.asked) == 1
    assert page.button("compute") is not None


def test_a_second_window_and_a_reload_find_the_running_job(visitor, engine):
    first = visitor().open(SPECTRUM, images="1,2")
    first.run(first.button("compute").click())
    wait_for(lambda: engine.asked)
    second = visitor().open(SPECTRUM, images="1,2")
    assert second.button("cancel") is not None
    assert second.button("compute") is None
    assert "ResNet18, block 8 (branch)" in second.at.get("progress")[0].proto.text
    assert len(engine.asked) == 1


def test_other_pages_stay_usable_and_show_the_job(visitor, engine):
    page = visitor().open(SPECTRUM, images="1")
    page.run(page.button("compute").click())
    wait_for(lambda: engine.asked)
    page.at.switch_page("app.py")
    page.run()
    assert page.at.title[0].value == "How stiff is a residual network?"
    assert "ResNet18, block 8 (branch)" in "\n".join(str(c.value) for c in page.at.sidebar.caption)


def test_a_result_that_could_not_be_stored_is_shown_all_the_same(visitor, monkeypatch):
    def compute_many(requests, progress=None, refused=None, **_):
        for request in requests:
            fresh = made_up(request)
            yield Result(**{**vars(fresh), "notices": ("The disk is full: this result is not kept.",)})

    monkeypatch.setattr(analysis, "compute_many", compute_many)
    page = visitor().open(SPECTRUM, images="1")
    page.run(page.button("compute").click())
    wait_for(lambda: service.find(spectrum_of(1)).status == "done")
    page.run()
    assert outermost(page.figures[0]) == {-1.001}
    assert "The disk is full" in page.texts("warning")
    assert "blue-badge[fresh]" in page.texts("markdown")


def test_what_the_engine_refuses_is_one_sentence(visitor, monkeypatch):
    def refuse(requests, progress=None, refused=None, **_):
        raise CannotCompute("Expected at most 8 GB, got 17 GB: choose a later block.")
        yield

    monkeypatch.setattr(analysis, "compute_many", refuse)
    page = visitor().open(SPECTRUM, images="1")
    page.run(page.button("compute").click())
    wait_for(lambda: service.find(spectrum_of(1)).status == "failed")
    page.run()
    assert page.texts("error") == "Expected at most 8 GB, got 17 GB: choose a later block."


def test_what_does_not_fit_is_refused_and_the_rest_computed(visitor, monkeypatch):
    """The engine itself, with too little memory for block 6's core and enough for block 8's."""
    from stiffcore.spectra import full as full_spectra

    limit = full_spectra.needed_memory(1500)
    monkeypatch.setattr(full_spectra, "SPECTRUM_MEMORY", limit)
    image = cifar10.bundled()[-1]
    page = visitor().open(SPECTRUM, images=str(image), blocks="6,8")
    page.run(page.button("compute").click())
    requests = [asked("resnet18", image, block, "branch", "spectrum") for block in (6, 8)]
    wait_for(lambda: service.find(requests).status == "done", 120)
    page.run()
    assert page.texts("error").startswith(f"Not computed, block 6 at image {image}: Not enough memory: a core of side")
    assert [result.request.block for result in service.results(requests) if result] == [8]
    assert page.button("compute") is None


def test_a_full_queue_is_said_in_a_sentence(visitor, engine):
    service.job_service().capacity = 0
    page = visitor().open(SPECTRUM, images="1")
    page.run(page.button("compute").click())
    assert "Queue full (0 waiting)" in page.texts("error")


def test_a_bug_shows_no_traceback(visitor, monkeypatch):
    def fail(requests, progress=None, refused=None, **_):
        raise ZeroDivisionError("secret details")
        yield

    monkeypatch.setattr(analysis, "compute_many", fail)
    page = visitor().open(SPECTRUM, images="1")
    page.run(page.button("compute").click())
    wait_for(lambda: service.find(spectrum_of(1)).status == "failed")
    page.run()
    assert "secret" not in page.texts("error")
    assert "an error in the program" in page.texts("error")


def test_small_multiples_of_up_to_four_blocks_with_singular_values(visitor):
    for block in (5, 6, 7, 8):
        store(*spectrum_of(0, block=block))
    page = visitor().open(SPECTRUM, images="0", blocks="5,6,7,8")
    (figure,) = page.figures
    titles = [note.text for note in figure.layout.annotations if "Block" in (note.text or "")]
    assert [title.split(" · ")[0] for title in titles] == ["Block 5", "Block 6", "Block 7", "Block 8"]
    assert sum("not square" in title for title in titles) == 2
    assert any(np.array_equal(trace.y, [3, 2, 1]) for trace in figure.data)


# Choices, across pages and in the URL


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("network", "resnet34-shuffled"),
        ("convention", "slices"),
        ("blocks", "2,4"),
        ("images", "3,1"),
        ("overlay", "label"),
        ("fit", "bulk"),
        ("axes", "arcsinh"),
        ("mode", "depth"),
        ("eigenvalue", "8.0.17"),
        ("marks", "density"),
        ("stable", "forward-euler,rk4"),
        ("stable", "none"),
        ("blockstep", "0.35"),
        ("talk", "on"),
        ("show", "cat"),
        ("seen", "right"),
    ],
)
def test_every_choice_comes_from_the_url_and_stays_in_it(visitor, name, value):
    page = visitor().open(SPECTRUM, **{name: value})
    assert page.url[name] == value
    assert not page.texts("warning")
    page.run()
    assert page.url[name] == value
    assert f"{name}={value}" in page.texts("code"), "in the link to copy"


def test_the_link_to_copy_holds_every_value_defaults_too(visitor):
    page = visitor().open(SPECTRUM)
    names = {"network", "convention", "blocks", "images", "overlay", "fit", "axes", "talk", "show", "seen", "page"}
    names |= {"mode", "marks", "stable", "blockstep", "eigenvalue"}
    assert set(page.url) == names
    link = next(code.value for code in page.at.get("code") if "?" in code.value)
    assert {part.split("=")[0] for part in link.split("?")[1].split("&")} == names


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("network", "resnet999"),
        ("network", "<script>alert(1)</script>"),
        ("convention", "../../etc"),
        ("blocks", "9"),
        ("blocks", "-1"),
        ("blocks", "1;2"),
        ("blocks", "8,8," * 1000),
        ("images", "999999999999"),
        ("images", "abc"),
        ("images", "0:100000"),
        ("images", ""),
        ("images", "10"),
        ("fit", "nowhere"),
        ("axes", "log"),
        ("mode", "sideways"),
        ("eigenvalue", "8.0"),
        ("marks", "dots"),
        ("stable", "rk4,none"),
        ("blockstep", "0"),
        ("blockstep", "nan"),
        ("blockstep", "abc" * 100),
        ("overlay", "\x00"),
        ("page", "1e9"),
        ("talk", "maybe"),
    ],
)
def test_a_hostile_or_stale_value_falls_back_with_a_note(visitor, name, value):
    if name == "images" and value == "10":
        value = str(next(image for image in range(10_000) if image not in cifar10.bundled()))
    page = visitor().open(SPECTRUM, **{name: value})
    assert "default is shown" in page.texts("warning")
    assert "convert string" not in page.texts("warning"), "in our words"
    assert "abc" * 40 not in page.texts("warning"), "cut"
    assert page.url[name] != value
    page.run()
    assert not page.texts("warning"), "said once"


def test_more_images_or_blocks_than_a_view_holds_are_cut(visitor):
    page = visitor().open(SPECTRUM, images="0:20", blocks="1,2,3,4,5,6,7,8")
    assert len(page.url["images"].split(",")) == controls.MAX_IMAGES
    assert page.url["blocks"] == "1,2,3,4"


def test_choices_follow_to_other_pages_and_back(visitor):
    page = visitor().open(SPECTRUM, network="resnet34", images="1")
    page.at.switch_page("app.py")
    page.run()
    page.at.switch_page(SPECTRUM)
    page.run()
    assert page.url["network"] == "resnet34"
    assert page.url["images"] == "1"


def test_widgets_change_the_view_and_the_url(visitor):
    for block in (6, 8):
        store(*spectrum_of(0, block=block), *spectrum_of(0, block=block, convention="block"))
    page = visitor().open(SPECTRUM, images="0")
    page.run(group(page, "blocks").set_value([6, 8]))
    assert page.url["blocks"] == "6,8"
    page.run(next(w for w in page.at.get("button_group") if w.key == "choice-convention").set_value("block"))
    assert page.url["convention"] == "block"
    assert page.figures[0].layout.shapes[1].x0 == -1, "the unit circle"
    page.run(page.at.selectbox(key="choice-network").set_value("resnet50"))
    assert page.url["network"] == "resnet50"
    assert page.url["blocks"] == "6,8", "blocks that the other network has are kept"
    assert not page.texts("warning")


def test_blocks_that_the_next_network_lacks_are_dropped_without_a_fuss(visitor):
    page = visitor().open(SPECTRUM, network="resnet50", blocks="3,16")
    page.run(page.at.selectbox(key="choice-network").set_value("resnet18"))
    assert page.url["blocks"] == "3"
    assert not page.texts("warning")


def test_an_empty_selection_keeps_the_choice(visitor):
    page = visitor().open(SPECTRUM, blocks="8")
    page.run(group(page, "blocks").set_value([]))
    assert page.url["blocks"] == "8"


def test_gallery_adds_and_drops_images(visitor):
    page = visitor().open(SPECTRUM, images="0")
    thumbnails = next(w for w in page.at.get("button_group") if w.key == "thumbnails")
    page.run(thumbnails.set_value([0, 1]))
    assert page.url["images"] == "0,1"
    thumbnails = next(w for w in page.at.get("button_group") if w.key == "thumbnails")
    page.run(thumbnails.set_value([1]))
    assert page.url["images"] == "1"


def test_gallery_keeps_the_newest_eight(visitor):
    page = visitor().open(SPECTRUM, images="0:8")
    thumbnails = next(w for w in page.at.get("button_group") if w.key == "thumbnails")
    page.run(thumbnails.set_value([*range(8), 20]))
    assert page.url["images"] == "1,2,3,4,5,6,7,20"


@pytest.mark.parametrize("network", ["resnet18", "resnet18-untrained"])
def test_gallery_filters_by_label_and_by_prediction(network):
    predicted = manifest.entry(network).predicted
    right = gallery.matching(network, "cat", "right")
    wrong = gallery.matching(network, "cat", "wrong")
    assert {cifar10.label(image) for image in right + wrong} == {3}
    assert all(predicted[image] == 3 for image in right)
    assert all(predicted[image] != 3 for image in wrong)
    assert sorted(right + wrong) == sorted(gallery.matching(network, "cat", "any"))
    assert len(gallery.matching(network, "any", "any")) == 1000


def test_another_filter_turns_back_to_the_first_page(visitor):
    page = visitor().open(SPECTRUM, page="30")
    assert page.url["page"] == "30"
    page.run(page.at.selectbox(key="choice-show").set_value("cat"))
    assert page.url["page"] == "1"
    assert not page.texts("warning")


def test_a_link_within_the_session_replaces_every_choice(visitor):
    page = visitor().open(SPECTRUM, network="resnet50", blocks="15,16")
    page.at.switch_page("app.py")
    page.run()
    page.at.switch_page(SPECTRUM)
    page.at.query_params["network"], page.at.query_params["blocks"] = "resnet18", "7"
    page.run()
    assert page.url["network"] == "resnet18"
    assert page.url["blocks"] == "7"
    assert not page.texts("warning")


def test_a_link_counts_also_where_its_value_was_in_the_url_before(visitor):
    page = visitor().open(SPECTRUM, images="0")
    page.go("pages/5_Compare.py")
    page.at.session_state["chosen"] = dict(page.at.session_state["chosen"]) | {"images": "22"}  # as a click elsewhere
    page.go(SPECTRUM)
    assert page.url["images"] == "22"
    page.at.session_state["chosen"] = dict(page.at.session_state["chosen"]) | {"images": "7"}
    page.go(SPECTRUM, images="22")
    assert page.url["images"] == "7", "the same page: only a rerun, whose URL is what the page wrote itself"
    page.go("app.py")
    page.go(SPECTRUM, images="22")
    assert page.url["images"] == "22"


def test_back_to_an_older_address_of_the_page_brings_its_values(visitor):
    page = visitor().open(SPECTRUM, blocks="6")
    page.run(group(page, "blocks").set_value([7]))
    page.at.query_params["blocks"] = "6"
    page.run()
    assert page.url["blocks"] == "6"


def test_a_second_click_with_the_address_of_before_the_first_keeps_both(visitor):
    page = visitor().open(SPECTRUM, blocks="6", fit="all")
    page.run(group(page, "blocks").set_value([7]))
    page.at.query_params["blocks"] = "6"  # the browser has not heard of it yet
    page.run(group(page, "fit").set_value("bulk"))
    assert (page.url["blocks"], page.url["fit"]) == ("7", "bulk")


BLOCKS, LABELS, CORRELATION = "pages/2_Blocks.py", "pages/3_Labels.py", "pages/4_Correlation.py"


@pytest.mark.parametrize(
    ("first", "chosen", "then", "found"),
    [
        (BLOCKS, {"networks": "resnet50", "conventions": "branch"}, LABELS, {"network": "resnet50", "convention": "branch"}),
        (LABELS, {"network": "resnet34", "convention": "branch"}, BLOCKS, {"networks": "resnet34", "conventions": "branch"}),
        (LABELS, {"of": "4"}, SPECTRUM, {"blocks": "4"}),
        (SPECTRUM, {"blocks": "2,4"}, CORRELATION, {"of": "4"}),
        (SPECTRUM, {"blocks": "2,4"}, LABELS, {"of": "4"}),
        (SPECTRUM, {"mode": "depth", "at": "5"}, CORRELATION, {"of": "5"}),
        (SPECTRUM, {"mode": "depth", "at": "5"}, "pages/5_Compare.py", {"a.block": "5", "b.block": "5"}),
        (CORRELATION, {"network": "resnet50", "of": "16"}, SPECTRUM, {"network": "resnet50", "blocks": "16"}),
        (CORRELATION, {"of": "all"}, SPECTRUM, {"blocks": "8"}),
    ],
)  # fmt: skip
def test_a_choice_holds_in_its_other_forms(visitor, first, chosen, then, found):
    page = visitor().open(first, **chosen)
    page.go(then)
    assert {name: page.url[name] for name in found} == found
    assert not page.texts("warning")


def test_kin_keep_what_holds_the_newest_answer_already(visitor):
    page = visitor().open(BLOCKS, networks="resnet18,resnet34")
    page.go(LABELS)
    page.run(page.at.selectbox(key="choice-network").set_value("resnet34"))
    page.go(BLOCKS)
    assert page.url["networks"] == "resnet18,resnet34"
    page.go(CORRELATION, of="all")
    page.go(SPECTRUM, blocks="3")
    page.go(CORRELATION)
    assert page.url["of"] == "all", "a question of its own"


def test_a_block_of_one_network_is_dropped_by_the_next_without_a_note(visitor):
    page = visitor().open(SPECTRUM)
    page.go(LABELS, network="resnet50", of="16")
    page.go(BLOCKS, networks="resnet18")
    page.go(SPECTRUM)
    assert (page.url["network"], page.url["blocks"]) == ("resnet18", "8")
    assert not page.texts("warning")


@pytest.mark.parametrize(("name", "value"), [("of", "<script>"), ("network", "resnet999"), ("conventions", "x")])
def test_a_hostile_value_is_not_passed_on_to_its_kin(visitor, name, value):
    page = visitor().open(BLOCKS if name == "conventions" else LABELS, **{name: value})
    assert "default is shown" in page.texts("warning")
    page.go(SPECTRUM)
    assert not page.texts("warning")
    page.go(BLOCKS)
    assert not page.texts("warning")


def test_a_filter_that_leaves_nothing_says_so(visitor, monkeypatch):
    monkeypatch.setattr(gallery, "matching", lambda *filters: ())
    page = visitor().open(SPECTRUM, images="0")
    assert "No image matches" in page.texts("info")


def test_zoom_is_kept_for_the_same_question_and_checked_like_a_url(visitor):
    store(*spectrum_of(0, 1))
    page = visitor().open(SPECTRUM, images="0")
    revision = page.figures[0].layout.uirevision
    ranges = {"xaxis": [-1, 0.5], "yaxis": [-math.inf, 1], "xaxis99": [0, 1], "font": [0, 1], "yaxis2": "x"}
    page.at.session_state["zoom of spectrum"] = {"revision": revision, "ranges": ranges}
    page.at.query_params["images"] = "1"
    page.run()
    assert page.figures[0].layout.xaxis.range == (-1, 0.5)
    assert page.figures[0].layout.yaxis.range[0] > -math.inf
    page.run(next(w for w in page.at.get("button_group") if w.key == "choice-fit").set_value("bulk"))
    page.run(next(w for w in page.at.get("button_group") if w.key == "choice-fit").set_value("all"))
    assert page.figures[0].layout.xaxis.range != (-1, 0.5), "a fit ends it"


@pytest.mark.parametrize("zoomed", [None, [], "x", {"revision": "r"}, {"revision": "r", "ranges": [1]}, {"revision": "r", "ranges": {"xaxis": [True, "<"]}}])  # fmt: skip
def test_zoom_of_a_hostile_browser_changes_nothing(zoomed, monkeypatch):
    monkeypatch.setattr(st, "session_state", {"zoom of spectrum": zoomed})
    figure = go.Figure(layout={"uirevision": "r", "xaxis": {"range": [0, 1]}})
    assert zoom.keep(figure, "spectrum").layout.xaxis.range == (0, 1)


def test_pressing_the_same_fit_again_ends_the_zoom(visitor):
    store(*spectrum_of(0))
    page = visitor().open(SPECTRUM, images="0")
    revision = page.figures[0].layout.uirevision
    page.at.session_state["zoom of spectrum"] = {"revision": revision, "ranges": {"xaxis": [-1, 0.5]}}
    page.run()
    assert page.figures[0].layout.xaxis.range == (-1, 0.5)
    page.run(next(w for w in page.at.get("button_group") if w.key == "choice-fit").set_value(None))
    assert page.figures[0].layout.xaxis.range != (-1, 0.5)
    assert page.url["fit"] == "all"


def test_talk_mode_enlarges_the_figure(visitor):
    store(*spectrum_of(0))
    page = visitor().open(SPECTRUM, images="0", talk="on")
    assert page.figures[0].layout.template.layout.font.size == 20


@pytest.mark.parametrize("convention", list(Convention))
@pytest.mark.parametrize(("images", "lines"), [("0", 3), ("0,1", 10)])
def test_the_python_lines_draw_what_the_page_draws(visitor, monkeypatch, convention, images, lines):
    store(*spectrum_of(0, 1, convention=convention))
    page, shown = visitor().open(SPECTRUM, images=images, convention=convention), []
    (code,) = page.snippets()
    assert len(code.splitlines()) == lines
    monkeypatch.setattr(go.Figure, "show", lambda figure: shown.append(figure))
    exec(code, {})
    for drawn, expected in zip(shown[0].data, page.figures[0].data, strict=True):
        assert (drawn.type, drawn.name) == (expected.type, expected.name)
        np.testing.assert_array_equal(drawn.x, expected.x)
        np.testing.assert_array_equal(drawn.y, expected.y)
    assert len(shown) == 1
    assert shown[0].layout.annotations == page.figures[0].layout.annotations


def test_downloads_hold_the_figure_and_its_data(visitor):
    store(*spectrum_of(0))
    page = visitor().open(SPECTRUM, images="0")
    labels = [button.proto.label for button in page.at.get("download_button")]
    assert labels == ["Figure (HTML)", "Data (CSV)"]
    assert "sc.analyse('resnet18', 0, 8, 'branch', \"spectrum\").plot()" in page.texts("code")
    assert len(page.at.dataframe) == 1, "the equivalent table"
    assert page.at.dataframe[0].value["S"][0] == "−0.25"
