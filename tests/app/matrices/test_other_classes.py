"""Networks whose classes are not CIFAR-10's labels, or that have none: no page shows an invented label."""

from dataclasses import replace

import numpy as np
import pytest

from pages.shared.state import ask
from pages.shared.widgets import gallery, sides
from stiffcore.images import uploaded as uploaded_images
from stiffcore.networks import architecture, uploaded
from tests.app.visitor import SPECTRUM
from tests.made_up.asked import asked
from tests.made_up.spectra import store

pytestmark = pytest.mark.usefixtures("nothing_ships")
COMPARE, LABELS, CORRELATION = "pages/5_Compare.py", "pages/3_Labels.py", "pages/4_Correlation.py"


@pytest.fixture
def other(visitor, request):
    """The name of an uploaded ResNet18 of this many classes. Needs the visitor's cache folder."""
    count, sha256 = request.param, "ab" * 32
    structure = replace(architecture.CATALOGUE["resnet18"], classes=count)
    name = uploaded.name_of(structure, sha256)
    about = uploaded.UploadedWeights(name, "a.pt", sha256, "made up", None, (), (), (), 1e9, structure)
    uploaded.save(about, b"x")
    return name


@pytest.fixture
def cat(visitor, other, request):
    """The number of an uploaded cat, in which the network sees class 57 if it has classes."""
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    number = uploaded_images.register(pixels, {"name": "mine", "kind": "upload", "label": 3})
    if ask.find_network(other).classes:
        uploaded_images.note_prediction(number, "ab" * 32, 57)
    return number


SAID = {100: "seen as class 57", 0: "no prediction"}
counts = pytest.mark.parametrize("other", [100, 0], indirect=True)


@counts
def test_the_spectrum_page_names_the_network_s_own_classes(visitor, other, cat):
    said = SAID[len(ask.find_network(other).classes)]
    store(asked(other, cat, 8, "branch", "spectrum"))
    page = visitor().open(SPECTRUM, network=other, images=str(cat), blocks="8", convention="branch")
    assert said in page.html()
    assert 'class="wrong"' not in page.html()
    assert "seen as cat" not in page.html()
    assert {trace.name for trace in page.figures[0].data if trace.showlegend} == {"mine"}
    assert not page.texts("error", "warning")


@counts
def test_compare_and_the_gallery_do_so_too(visitor, other, cat):
    said = SAID[len(ask.find_network(other).classes)]
    page = visitor().open(COMPARE, **{"a.network": other, "a.images": str(cat), "b.network": "resnet18"})
    assert said in page.html()
    network = ask.find_network(other)
    card = sides.card("A", other, cat, "red")
    assert said in card
    assert 'class="wrong"' not in card
    assert gallery.matching(other, "any", "wrong") == gallery.matching(other, "any", "right") == ()
    assert len(gallery.matching(other, "cat", "any")) == 100
    assert gallery.uploaded(other, "wrong") == ()
    assert gallery.caption(network, cat) == ("mine: cat" if said == "no prediction" else f"mine: cat, {said}")


@counts
@pytest.mark.parametrize("page", [LABELS, CORRELATION])
def test_pages_about_labels_say_in_one_sentence_that_they_have_nothing(visitor, other, page):
    shown = visitor().open(page, network=other)
    assert "there is nothing to show here" in shown.texts("info")
    assert shown.figures == []
    assert not shown.texts("error", "warning")
