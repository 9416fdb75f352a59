"""Matrices from files: uploaded on the page Own files, shown on the page Spectrum, and nowhere else."""

import io

import numpy as np
import pytest

from pages.shared.own_files import matrix as uploaded_matrix
from stiffcore.analysis import compute as analysis
from stiffcore.images.image import NO_IMAGE
from stiffcore.matrices import own
from tests.app.visitor import SPECTRUM, cells, finished
from tests.made_up.asked import asked

pytestmark = pytest.mark.usefixtures("nothing_ships")
PAGE, LABELS, COMPARE, BLOCKS = "pages/8_Own_files.py", "pages/3_Labels.py", "pages/5_Compare.py", "pages/2_Blocks.py"
STACK = np.random.default_rng(0).standard_normal((3, 12, 12)) - 2 * np.eye(12)


def npy(array) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def upload(page, **files: bytes):
    """Files by name, with __ for a dot."""
    given = [(name.replace("__", "."), content, "application/octet-stream") for name, content in files.items()]
    page.run(page.at.file_uploader(key=uploaded_matrix.FIELD).set_value(given))
    return finished(page)


def press(page, label: str):
    (button,) = [button for button in page.at.button if button.label == label]
    return page.run(button.click())


def test_files_are_read_on_arrival_and_each_refusal_names_its_file(visitor):
    page = upload(visitor().open(PAGE), a__npy=npy(STACK), b__npy=npy(np.zeros((2, 3))), c__npy=b"<html>")
    (kept,) = own.known()
    assert "**a.npy** · 3 of 12 × 12" in page.texts("markdown")
    refused = page.texts("error").splitlines()
    assert refused[0].startswith("b.npy: Expected a square matrix")
    assert refused[1].startswith("c.npy: ")
    assert len(refused) == 2
    assert not page.texts("success", "warning")
    links = {link.proto.label: link.proto.query_string for link in page.at.get("page_link") if link.proto.query_string}
    assert f"network={kept.network}" in links["Spectrum"]
    press(page, "Remove")
    assert own.known() == ()
    finished(page)
    assert own.known() == (), "a file in the field is not read again"


def test_nothing_is_kept_where_uploads_are_switched_off(visitor, monkeypatch):
    page = visitor().open(PAGE)
    monkeypatch.setenv("STIFFCORE_UPLOADS", "off")
    upload_field = page.at.file_uploader(key=uploaded_matrix.FIELD)
    page.run(upload_field.set_value([("a.npy", npy(STACK), "application/octet-stream")]))
    finished(page)
    assert own.known() == ()


@pytest.fixture
def matrix(visitor):
    """The name of an uploaded stack of three. Needs the visitor's cache folder."""
    return own.save(npy(STACK), "a.npy").own.network


def computed(visitor, matrix, **url):
    page = visitor().open(SPECTRUM, network=matrix, **url)
    return finished(page.run(page.button("compute").click()))


def test_the_spectrum_page_shows_matrices_without_images(visitor, matrix):
    page = computed(visitor, matrix, blocks="1,3", convention="branch")
    assert not page.texts("warning", "error")
    assert "Matrix: a.npy, 3 of 12 × 12" in page.at.selectbox(key="choice-network").options
    assert not {"images", "overlay"} & set(page.url)
    figure = page.figures[0]
    assert [note.text for note in figure.layout.annotations[:2]] == ["Matrix 1 · n = 12", "Matrix 3 · n = 12"]
    assert figure.layout.showlegend is False
    shown = np.sort(np.concatenate([trace.x for trace in figure.data if len(trace.x) == 12]))
    expected = np.sort(np.concatenate([np.linalg.eigvals(STACK[at]).real for at in (0, 2)]))
    np.testing.assert_allclose(shown, expected, atol=1e-5)
    table = cells(page.html())
    assert float(table["max Re λ"][1].replace("−", "-")) == pytest.approx(
        np.linalg.eigvals(STACK[2]).real.max(), rel=1e-3
    )
    assert "Live outputs, %" not in table
    assert any("matrices = sc.matrix('a.npy')\n" in code for code in page.snippets())
    assert "x′ = A x" in page.texts("caption")
    assert "image" not in page.texts("caption", "markdown").lower()


def test_under_block_the_unit_circle_is_eulers_disc_moved_by_one(visitor, matrix):
    page = computed(visitor, matrix, blocks="2", convention="block")
    texts = [note.text for note in page.figures[0].layout.annotations]
    assert "dashed: |λ| = 1:<br>forward Euler’s disc of A<br>moved by 1" in texts
    assert "multiplies by I + A: the unit circle is forward Euler’s disc of A, moved by 1." in page.texts("caption")


def test_modes_and_pseudospectra_of_a_matrix(visitor, matrix):
    page = computed(visitor, matrix, blocks="2", convention="branch")
    listed = page.at.selectbox(key="choice-eigenvalue")
    assert listed.options[0].startswith("Matrix 2: rightmost, λ = ")
    values, vectors = np.linalg.eig(STACK[1])
    rightmost = values[values.real.argmax()]
    stored = analysis.stored(asked(own.find(matrix), NO_IMAGE, 2, "branch", "spectrum")).arrays["eigenvalues"]
    finished(page.run(listed.set_value(f"2.0.{np.abs(stored - rightmost).argmin()}")))
    finished(press(page, "Compute pseudospectra"))
    assert len(page.figures) == 3
    right = next(trace for trace in page.figures[1].data if "right" in (trace.hovertemplate or ""))
    np.testing.assert_allclose(right.y, np.abs(vectors[:, values.real.argmax()]), atol=1e-6)
    assert "Components with half of it, right" in [metric.label for metric in page.at.metric]
    assert not page.texts("error", "warning")


def test_a_stack_plays_through_depth(visitor, matrix):
    page = computed(visitor, matrix, mode="depth", convention="branch")
    assert len(page.figures[0].frames) == 3
    assert page.figures[0].layout.sliders[0].currentvalue.prefix == "Matrix "
    assert "<b>Matrix 1</b> · n = 12" in page.figures[0].layout.annotations[-1].text


def test_slices_are_not_offered_and_hold_again_for_networks(visitor, matrix):
    page = visitor().open(SPECTRUM, network="resnet18", convention="slices")
    page.run(page.at.selectbox(key="choice-network").set_value(matrix))
    assert page.url["convention"] == "branch"
    assert not page.texts("warning")
    page.run(page.at.selectbox(key="choice-network").set_value("resnet18"))
    assert page.url["convention"] == "slices"
    linked = visitor().open(SPECTRUM, network=matrix, convention="slices")
    assert "which is not made of convolutions" in linked.texts("warning")


def test_other_pages_take_their_default_and_coming_back_keeps_the_matrix(visitor, matrix):
    page = visitor().open(SPECTRUM, network=matrix, blocks="2")
    for other in (LABELS, COMPARE, BLOCKS):
        page.go(other)
        assert not page.texts("warning", "error")
        assert "resnet18" in page.url.values()
        assert matrix not in page.url.values()
    page.go(SPECTRUM)
    assert (page.url["network"], page.url["blocks"]) == (matrix, "2")
    assert not page.texts("warning")


def test_a_link_with_a_matrix_from_elsewhere_is_one_sentence(visitor):
    page = visitor().open(SPECTRUM, network="matrix-0123456789ab")
    (note,) = page.texts("warning").splitlines()
    assert note.startswith("The matrices matrix-0123456789ab were uploaded elsewhere or removed")
    assert page.url["network"] == "resnet18"


def test_a_link_with_a_matrix_to_another_page_says_where_matrices_are_shown(visitor, matrix):
    page = visitor().open(LABELS, network=matrix)
    assert "Matrices are shown on the page Spectrum" in page.texts("warning")
