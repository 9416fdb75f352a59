"""Through the network through app.py: planted growth, what is missing, and links."""

import pandas as pd
import pytest

from pages.shared.state import service
from stiffcore.figures.network import directions
from stiffcore.growth import compute
from tests.app.visitor import finished, trace, wait_for
from tests.made_up.growth import made_up, store

PAGE = "pages/10_Through_the_network.py"
pytestmark = pytest.mark.usefixtures("nothing_ships")


@pytest.fixture
def fresh(monkeypatch):
    """Growth by a formula; the networks that were computed."""
    computed = []

    def planted(request, report):
        computed.append(request.network.name)
        report(0, 1, "planted stage")
        return made_up(request.network.name, request.image.number)

    monkeypatch.setattr(compute, "_fresh", planted)
    return computed


def test_trained_beside_untrained_at_one_image(visitor):
    store(made_up("resnet18", factor=1.5))
    store(made_up("resnet18-untrained", factor=2))
    page = visitor().open(PAGE)
    assert page.at.title[0].value == "How far does a small change grow?"
    growth, pictures = page.figures
    trained, untrained = (trace(growth, name) for name in ("ResNet18", "ResNet18, untrained"))
    assert trained.y.tolist() == pytest.approx([10 * 1.5**k for k in range(1, 9)])
    assert untrained.y[-1] == pytest.approx(2560)
    assert trace(growth, "ResNet18, random directions").y.tolist() == pytest.approx([1.5**k for k in range(1, 9)])
    assert growth.layout.yaxis.type == "log"
    assert "with respect to the image" in page.texts("markdown")
    assert "ResNet18 256 (a random change: 26 times)" in page.texts("markdown")
    assert len(pictures.data) == 11  # the image and ten directions
    assert "σ₁ = 256" in [note.text for note in pictures.layout.annotations]
    (python,) = page.snippets()
    assert "('resnet18-untrained', 0)" in python
    assert "sc.growth(network, image)" in python
    assert page.button("submit-") is None
    frames = [frame.value for frame in page.at.dataframe]
    assert frames[0].groupby("network")["growth_from_image"].count().to_dict() == {
        "resnet18": 8,
        "resnet18-untrained": 8,
    }


def test_images_of_one_network_from_the_first_block(visitor):
    for image in (0, 3):
        store(made_up(image=image))
    page = visitor().open(
        PAGE, between="images", network="resnet18", images="0,3", start="first", target="logits", direction="resnet18.3"
    )
    growth, pictures = page.figures
    names = list(dict.fromkeys(line.name for line in growth.data if "random" not in line.name))
    assert names == ["image 0 · cat", "image 3 · airplane, seen as cat"]
    assert trace(growth, "image 0 · cat").y[0] == pytest.approx(4)
    assert "with respect to the input of the first block" in page.texts("markdown")
    assert "σ₁ = 3" in [note.text for note in pictures.layout.annotations]
    assert (page.url["target"], page.url["direction"], page.url["start"]) == ("logits", "resnet18.3", "first")


def test_what_is_missing_is_offered_computed_and_drawn(visitor, fresh):
    store(made_up("resnet18"))
    page = visitor().open(PAGE)
    assert "Not stored yet: ResNet18, untrained at image 0. About" in page.texts("markdown").replace("*", "")
    assert len(page.figures) == 2  # of the network that is there
    assert fresh == []
    (button,) = [button for button in page.at.button if (button.key or "").startswith("submit-")]
    page.run(button.click())
    page = finished(page)
    assert fresh == ["resnet18-untrained"]
    assert {line.name for line in page.figures[0].data} >= {"ResNet18", "ResNet18, untrained"}
    assert "Not stored yet" not in page.texts("markdown")


def test_a_job_that_was_cancelled_is_not_submitted_again(visitor, monkeypatch):
    def endless(request, report):
        while True:
            report(0, 1, "planted stage")

    monkeypatch.setattr(compute, "_fresh", endless)
    page = visitor().open(PAGE, through="resnet18")
    (button,) = [button for button in page.at.button if (button.key or "").startswith("submit-")]
    page.run(button.click())
    (key,) = page.at.session_state["jobs"]
    service.cancel(key)
    wait_for(lambda: not service.job_service().find(key).active)
    page.run()
    assert service.job_service().find(key).status == "cancelled"
    assert "Cancelled" in page.texts("info")
    assert not page.figures


def test_choices_are_checked_on_the_server(visitor):
    store(made_up("resnet18"))
    store(made_up("resnet18-untrained"))
    page = visitor().open(PAGE, between="nothing", through="resnet18,vgg", start="end", target="x", direction="x")
    for name in ("between", "through", "start", "target", "direction"):
        assert f"Expected {name} among" in page.texts("warning")
    assert page.url["through"] == "resnet18,resnet18-untrained"


def test_the_network_chosen_elsewhere_comes_first(visitor):
    store(made_up("resnet34"))
    store(made_up("resnet34-untrained"))
    page = visitor().open("pages/3_Labels.py", network="resnet34").go(PAGE)
    assert page.url["through"] == "resnet34,resnet34-untrained"
    assert isinstance(page.at.dataframe[0].value, pd.DataFrame)


def test_pictures_are_grey_where_nothing_changes():
    shown = directions.pictures(made_up().input_directions * 0)
    assert set(shown.ravel()) == {128}
