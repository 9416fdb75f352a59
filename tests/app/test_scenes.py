"""Demo scenes: every link is a view of its page, the bar leads from one to the next, and nothing leaks from before."""

import re

import numpy as np
import pytest

from pages.shared.shell import scenes
from stiffcore.analysis import compute as analysis, perturbation
from stiffcore.conventions import Convention
from stiffcore.networks import catalogue, registry as networks
from stiffcore.odes import block_flow
from stiffcore.rebuild import twins
from stiffcore.statistics import tables
from stiffcore.storage import cache as result_cache, shipped as shipped_results
from stiffcore.sweeps import shipping
from tests.made_up.asked import asked, asked_flow
from tests.made_up.rows import bundled, ship
from tests.made_up.spectra import store

pytestmark = pytest.mark.usefixtures("nothing_ships")
NAMES = list(scenes.SCENES)


@pytest.fixture
def at(visitor, tmp_path, monkeypatch):
    """Opens a scene by its name, as its link does; what ships is what a test plants."""
    monkeypatch.setattr(shipping, "FOLDER", tmp_path)
    return lambda name, **other: visitor().open(scenes.SCENES[name].page, **scenes.query(name) | other)


@pytest.fixture
def everything_ships(tmp_path, monkeypatch):
    """What scenes.requests names, rows of the networks, the twin and the flows; all made up."""
    monkeypatch.setenv("STIFFCORE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(shipping, "FOLDER", tmp_path)
    monkeypatch.setattr(perturbation, "fgsm", lambda network, image, k: image.pixels // 2 + np.uint8(k))
    monkeypatch.setattr(analysis, "all_losses", lambda network, image: np.arange(10.0))
    store(*scenes.requests())
    for one in perturbation.sweep_requests(twins.twin()):
        image = perturbation.compute(one).image.number
        store(asked("resnet18", image, 8, "branch", "spectrum"))
    for network in catalogue.PAPER:
        ship(bundled(network, images=20))
    for image in (0, 22, 12):
        request = asked_flow("resnet18", image, 8)
        steps = np.array(block_flow.STEPS)
        flow = block_flow.BlockFlow(request, steps, steps, 1.5, 1e-6, 300, 2.0, "f" * 64)
        entry = block_flow.as_entry(flow)
        assert result_cache.default().put(block_flow.key(request), entry.header, entry.arrays) is None


def test_what_the_scenes_draw_ships(tmp_path, monkeypatch):
    monkeypatch.setattr(result_cache, "shipped", shipped_results.shipped)
    monkeypatch.setenv("STIFFCORE_CACHE", str(tmp_path / "a fresh checkout"))
    assert [request for request in scenes.requests() if analysis.stored(request) is None] == []
    twin = perturbation.stored(twins.twin())
    assert analysis.stored(asked("resnet18", twin.image.number, 8, "branch", "spectrum")) is not None
    assert perturbation.stored_sweep(twins.twin(), 8, Convention.BRANCH) is not None
    assert twin.seen[0] != twin.seen[1], "as the story says"
    if "through-training" in scenes.SCENES:
        through = [
            analysis.stored(request)
            for request in scenes.requests()
            if request.network.name.startswith("resnet20-seed")
        ]
        first, last = through[0].metrics, through[-1].metrics
        assert last["max_re"] > 2 * first["max_re"] > 0, "far to the right, as the story says"
        assert last["max_re"] > 2 * abs(last["min_re"]), "and not to the left"
    for image in (0, 22, 12):
        assert block_flow.stored(asked_flow("resnet18", image, 8)) is not None
    for network in catalogue.PAPER:
        means = tables.by_block(
            shipping.rows(networks.find(network), Convention.SLICES), ("stiffness_index",)
        ).set_index("block")["mean"]
        changes = [block.block for block in catalogue.blocks(network) if not block.is_identity]
        assert set(means.drop("all").nlargest(len(changes)).index) == set(changes), "nearest to 0, as the story says"
        if network == "resnet18":
            assert means.drop("all").idxmin() == 8, "as the story says"


def bar(page) -> str:
    return next((m.value for m in page.at.markdown if re.match(r"\*\*\d+/\d+ · ", m.value)), "")


@pytest.mark.parametrize("name", NAMES)
def test_a_scenes_link_is_a_view_that_draws_what_ships(everything_ships, at, name):
    page, scene = at(name), scenes.SCENES[name]
    assert bar(page) == f"**{NAMES.index(name) + 1}/{len(NAMES)} · {scene.title}**  \n{scene.story}"
    assert not page.texts("warning"), "every value is one of its page"
    assert not page.texts("error")
    choices = dict(page.at.session_state["on this page"])
    assert {choice: choices.get(choice) for choice in scene.link} == scene.link, "and a choice of its page"
    assert page.figures
    offered = [
        button.label
        for button in page.at.button
        if button.label in ("Compute", "Perturb", "Sweep ε", "Compute the flow")
    ]
    assert offered == []
    assert "scene=" + name in page.texts("code"), "the link to copy leads back into the scene"


@pytest.mark.parametrize("name", NAMES)
def test_a_story_is_two_sentences(name):
    story = scenes.SCENES[name].story
    assert story.endswith((".", "?"))
    assert story.count(". ") == 1
    assert len(story) < 300


def press(page, key: str, to: str):
    """A button of the bar. AppTest has to be told of the page that it leads to."""
    page.run(page.button(f"scene-{key}").click())
    page.at.switch_page(to)
    return page


def test_next_and_previous_take_every_choice_along(at):
    page = press(at(NAMES[0]), "next", scenes.SPECTRUM)
    second = scenes.SCENES[NAMES[1]]
    assert bar(page).startswith(f"**2/{len(NAMES)} · {second.title}")
    assert {name: page.url[name] for name in second.link} == second.link
    page.run(next(w for w in page.at.get("button_group") if w.key == "choice-fit").set_value("bulk"))
    assert page.url["fit"] == "bulk", "usable in between"
    assert bar(page).startswith("**2/")
    press(press(page, "next", scenes.ODES), "previous", scenes.SPECTRUM)
    assert page.url["fit"] == second.link["fit"], "as prepared, not as it was left"
    assert page.at.title[0].value == "Spectrum"


def test_what_was_chosen_before_does_not_leak_into_a_scene(visitor):
    page = visitor().open(scenes.SPECTRUM, fit="bulk", axes="arcsinh", images="7", network="resnet50", blocks="16")
    page.at.switch_page(scenes.COMPARE)
    for name, text in scenes.query("trained-and-untrained").items():
        page.at.query_params[name] = text
    page.run()
    link = scenes.SCENES["trained-and-untrained"].link
    assert {name: page.url[name] for name in link} == link


def test_a_copied_link_keeps_what_was_changed_within_the_scene(at):
    page = at("two-readings", view="overlay", **{"b.block": "6"})
    assert (page.url["view"], page.url["b.block"]) == ("overlay", "6")
    assert page.url["a.convention"] == "slices"


DIRTY = {  # another value of every choice that a page of the scenes draws by
    "network": "resnet34", "networks": "resnet50", "convention": "block", "conventions": "block,branch", "images": "7,1",
    "blocks": "3,4", "axes": "arcsinh", "marks": "density", "fit": "bulk", "overlay": "label", "mode": "depth", "at": "3",
    "stable": "rk4", "circle": "none", "blockstep": "1.7", "eigenvalue": "8.0.1", "metric": "max_re", "paper": "off",
    "baseline": "off", "live": "off", "yours": "on", "same": "on", "of": "2", "kind": "violin", "compare": "groups",
    "view": "overlay", "perturb": "noise", "strength": "9", "seed": "5", "among": "2", "part": "regions", "method": "rk4",
    "h": "0.01", "until": "0.5", "euler": "rk4", "planefit": "points", "show": "dog", "seen": "wrong", "page": "2",
    "a.show": "dog", "a.seen": "wrong", "a.page": "2", "b.show": "dog", "b.seen": "wrong", "b.page": "2",
    "run": "own-0123456789ab", "training": "metric", "played": "1", "step": "5", "lines": "1", "vertical": "arcsinh",
    "a.network": "resnet34", "a.images": "1", "a.block": "3", "a.convention": "block", "a.label": "frog",
    "b.network": "resnet50", "b.images": "2", "b.block": "4", "b.convention": "block", "b.label": "ship",
}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_scene_draws_the_same_whatever_was_chosen_before(everything_ships, at, name):
    clean = dict(at(name).at.session_state["on this page"])
    assert not set(clean) - set(DIRTY) - {"scene", "talk"}, "a choice of the page that this test does not know"
    page = at("labels" if name != "labels" else "last-block")
    page.at.session_state["chosen"] = DIRTY | {"scene": page.at.session_state["in scene"]}
    page.go(scenes.SCENES[name].page, **scenes.query(name))
    assert dict(page.at.session_state["on this page"]) == clean
    assert not page.texts("warning")


def test_previous_from_the_step_of_2_shows_the_networks_own_step(at):
    page = press(at("beyond-the-disc"), "previous", scenes.SPECTRUM)
    assert page.url["blockstep"] == "1"


def test_end_then_the_same_scene_again(at):
    page = at("labels")
    page.run(page.button("scene-end").click())
    page.at.switch_page("app.py")
    page.run()
    assert bar(page) == ""
    page.go(scenes.LABELS, **scenes.query("labels"))
    assert "Does it matter" in bar(page)
    assert page.url["scene"] == "labels"


def test_the_bar_stays_on_other_pages_until_its_end(at):
    page = at("labels")
    page.at.switch_page(scenes.SPECTRUM)
    page.run()
    assert "Does it matter" in bar(page)
    page.run(page.button("scene-end").click())
    assert page.at.title[0].value == "How stiff is a residual network?"
    assert bar(page) == ""
    assert "scene" not in page.url


def test_the_first_has_no_previous_and_the_last_no_next(at):
    assert at(NAMES[0]).button("scene-previous").disabled
    last = at(NAMES[-1])
    assert last.button("scene-next").disabled
    assert not last.button("scene-previous").disabled


def test_a_presenters_remote_is_understood(at):
    page = at(NAMES[1])
    keys = {key: page.button(f"scene-{key}").proto.shortcut for key in ("previous", "next", "end")}
    assert keys == {"previous": "pageup", "next": "pagedown", "end": ""}


@pytest.mark.parametrize("value", ["no-such-scene", "", "<img src=x>", "../.."])
def test_a_scene_that_there_is_not_is_said_and_dropped(visitor, value):
    page = visitor().open(scenes.SPECTRUM, scene=value)
    assert bar(page) == ""
    assert "scene" not in page.url
    assert "Expected a scene among" in page.texts("warning")


def test_home_lists_the_scenes_as_links(visitor):
    home = visitor().run()
    links = {link.proto.label: link.proto for link in home.at.get("page_link")}
    for number, (name, scene) in enumerate(scenes.SCENES.items(), 1):
        link = links[f"**{number} · {scene.title}**"]
        assert f"scene={name}" in link.query_string
        assert scene.story in home.texts("caption")
    assert bar(home) == ""
