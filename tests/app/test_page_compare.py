"""The Compare page as visitors meet it: through app.py, with planted spectra, rows and perturbations."""

import subprocess
import sys

import numpy as np
import plotly.graph_objects as go
import pytest

from pages.shared.state import service
from pages.shared.widgets import gallery, sides as compare_sides
from stiffcore.analysis import compute as analysis, perturbation
from stiffcore.analysis.requests import Request
from stiffcore.conventions import Convention
from stiffcore.images import cifar10
from stiffcore.sweeps import shipping
from tests.app.visitor import IMAGES, ROOT, cells, wait_for
from tests.made_up.asked import asked, asked_perturbation
from tests.made_up.rows import bundled, ship, undefined
from tests.made_up.spectra import store

pytestmark = pytest.mark.usefixtures("nothing_ships")
PAGE = "pages/5_Compare.py"
A, B = IMAGES[3], IMAGES[4]


@pytest.fixture
def visit(visitor, tmp_path, monkeypatch):
    """Opens the page with URL parameters; names with a dot as a__network."""
    monkeypatch.setattr(shipping, "FOLDER", tmp_path)
    return lambda **url: visitor().open(PAGE, **{name.replace("__", "."): value for name, value in url.items()})


@pytest.fixture
def losses(monkeypatch):
    """What every network sees: label 3 in CIFAR-10's images, 5 in own ones."""

    def all_losses(network, image):
        found = np.full(10, 9.0)
        found[3 if image.is_official else 5] = 0.25
        return found

    monkeypatch.setattr(analysis, "all_losses", all_losses)


def spectrum(image, block=8, convention=Convention.BRANCH, network="resnet18") -> Request:
    return asked(network, image, block, convention, "spectrum")


def lines(page) -> dict[str, list[str]]:
    return cells(page.html())


def side(page, letter: str) -> list[str]:
    return [page.url[f"{letter}.{name}"] for name in compare_sides.CHOICES]


# Two spectra


def test_opens_on_two_images_of_one_block_with_their_differences(visit):
    store(spectrum(A), spectrum(B))
    page = visit()
    assert page.at.title[0].value == "Compare"
    (figure,) = page.figures
    assert figure.layout.xaxis2.matches == "x"
    outermost = -1 - A / 1000, -1 - B / 1000
    table = lines(page)
    minus = [f"{value:.4g}".replace("-", "−") for value in outermost]
    assert table["min Re λ"] == [*minus, f"{outermost[1] - outermost[0]:+.4g}".replace("-", "−")]
    assert not {"Ratio", "Largest step"} & table.keys(), "the clouds cross the imaginary axis"
    assert table["Eigenvalues"] == ["2,048", "2,048", "0"]
    n = 800 + 3
    assert table["W₁ of Re λ"][2] == f"{abs(outermost[1] - outermost[0]) / n:.4g}".replace("-", "−")
    assert table["W₁ in the plane"][2] == table["W₁ of Re λ"][2]
    assert "green-badge[stored]" in page.texts("markdown")
    for image in (A, B):
        assert f"{cifar10.label_name(image)} · {image}<br>" in page.html()


def test_a_link_reproduces_both_sides_and_their_look(visit):
    wanted = {
        "a__network": "resnet34", "a__images": "1", "a__block": "16", "a__convention": "block", "b__network": "resnet50-shuffled",
        "b__images": "2", "b__block": "3", "b__convention": "slices", "view": "overlay", "axes": "linear", "fit": "bulk",
        "marks": "points",
    }  # fmt: skip
    page = visit(**wanted)
    assert {name: page.url[name.replace("__", ".")] for name in wanted} == wanted
    assert not page.texts("warning")
    link = next(code.value for code in page.at.get("code") if "?" in code.value)
    for name, value in wanted.items():
        assert f"{name.replace('__', '.')}={value}" in link


def test_pin_copies_and_swap_exchanges(visit):
    page = visit(b__block="6", b__convention="block", b__images="1", b__network="resnet34")
    before = side(page, "a")
    page.run(page.button("swap").click())
    assert side(page, "b") == before
    assert side(page, "a") == ["resnet34", "1", "6", "block"]
    page.run(page.button("pin").click())
    assert side(page, "a") == side(page, "b") == before
    assert not page.texts("warning")


def test_both_sides_the_same_is_one_result_and_no_difference(visit):
    store(spectrum(A))
    page = visit(b__images=str(A))
    assert lines(page)["max Re λ"] == ["0.25", "0.25", "0"]
    assert lines(page)["W₁ in the plane"][2] == "0"


def test_different_conventions_are_said_to_be_different_questions(visit):
    store(spectrum(A), spectrum(A, convention="slices"))
    page = visit(a__convention="slices", b__images=str(A))
    said = page.texts("info")
    assert "answer different questions" in said
    for name in ("slices", "branch"):
        assert Convention(name).question in said
    assert page.url["axes"] == "arcsinh"
    assert lines(page)["W₁ in the plane"][2] == "not computed"
    assert float(lines(page)["W₁ of Re λ"][2]) > 0


def test_a_block_that_is_not_square_has_singular_values_and_words(visit):
    store(spectrum(A, block=7), spectrum(B, block=7), spectrum(B))
    page = visit(a__block="7", b__block="7")
    assert lines(page)["W₁ of σ"][2] == "0"
    mixed = visit(a__block="7", b__block="8", view="overlay")
    assert "No overlay" in mixed.texts("caption")
    assert lines(mixed)["W₁ of Re λ"][2] == "undefined"
    assert "one block is not square" in mixed.texts("caption")


def test_what_is_missing_is_offered_once_and_the_rest_is_drawn(visit, engine):
    store(spectrum(A))
    page = visit()
    assert "B is not computed" in [note.text for note in page.figures[0].layout.annotations]
    assert "1 result is not stored yet" in page.texts("markdown")
    assert "once both sides are computed" in page.texts("caption")
    page.run(page.button("compute").click())
    wait_for(lambda: engine.asked)
    assert engine.asked == [(spectrum(B),)]
    engine.go.set()
    wait_for(lambda: service.find([spectrum(A), spectrum(B)]).status == "done")
    page.run()
    assert lines(page)["max Re λ"][2] == "0"


def test_nothing_computed_keeps_the_link_and_offers_both(visit):
    page = visit()
    assert not page.figures
    assert "2 results are not stored yet" in page.texts("markdown")
    assert "a.network=resnet18" in page.texts("code")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("a__network", "resnet999"),
        ("a__network", "resnet18-own-000000000000"),
        ("b__images", "<img src=http://198.51.100.1/x>"),
        ("b__images", "99999999"),
        ("a__block", "9"),
        ("a__block", "-1"),
        ("b__convention", "../x"),
        ("view", "three"),
        ("compare", "everything"),
    ],
)
def test_a_hostile_or_stale_value_falls_back_with_a_note(visit, name, value):
    page = visit(**{name: value})
    assert "default is shown" in page.texts("warning")
    assert page.url[name.replace("__", ".")] != value
    page.run()
    assert not page.texts("warning"), "said once"


def test_another_network_without_the_block_takes_its_last_one(visit):
    page = visit(b__network="resnet50", b__block="16")
    page.run(page.at.selectbox(key="choice-b.network").set_value("resnet18"))
    assert page.url["b.block"] == "8"
    assert not page.texts("warning")


def test_sides_begin_with_what_was_chosen_on_the_spectrum_page(visitor):
    page = visitor().open("pages/1_Spectrum.py", network="resnet34", images="5,7", blocks="2,4", convention="block")
    page.at.switch_page(PAGE)
    page.run()
    assert side(page, "a") == ["resnet34", "5", "4", "block"]
    assert side(page, "b") == ["resnet34", "7", "4", "block"]


def test_the_gallery_of_a_side_holds_one_image(visit):
    page = visit()
    thumbnails = next(w for w in page.at.get("button_group") if w.key == "thumbnails-b.images")
    page.run(thumbnails.set_value([B, 1]))
    assert page.url["b.images"] == "1"
    assert page.url["a.images"] == str(A)


def test_the_python_lines_run(visit, capsys, monkeypatch):
    store(spectrum(A), spectrum(B))
    (code,) = visit().snippets()
    monkeypatch.setattr(go.Figure, "show", lambda figure: print(len(figure.data)))
    exec(code, {})
    assert "real_parts" in capsys.readouterr().out


# Groups of images


def test_label_against_label_in_numbers(visit):
    frame = ship(undefined(bundled(images=60), [8], "percent_negative"))
    page = visit(compare="groups", a__label="frog", b__label="ship", among="2,8")
    names = {trace.name: trace for trace in page.figures[0].data}
    assert set(names) == {"A: ResNet18, frog", "B: ResNet18, ship"}
    parts = [frame[(frame["label"] == label) & (frame["block"] == 8)]["percent_negative"].dropna() for label in (6, 8)]
    row = lines(page)["8"]
    assert row[:2] == [f"{part.mean():.3f}" for part in parts]
    assert row[4] == f"{parts[1].mean() - parts[0].mean():.3f}".replace("-", "−")
    assert row[8:10] == [str(len(part)) for part in parts]
    assert set(lines(page)) == {"2", "8"}
    assert "Welch" in page.texts("caption")


def test_trained_against_untrained_is_a_button_and_pairs(visit):
    ship(bundled(images=60))
    shifted = bundled("resnet18-untrained", images=50)
    ship(shifted.assign(percent_negative=shifted["percent_negative"] + 2 + shifted["image"] % 7 / 10))
    page = visit(compare="groups", a__label="all")
    page.run(page.button("against-untrained").click())
    assert (page.url["b.network"], page.url["b.label"]) == ("resnet18-untrained", "all")
    assert "Paired t" in page.texts("caption")
    assert lines(page)["8"][8:11] == ["60", "50", "50"], "pairs are of the images that both have"
    assert all(line[6] == "&lt; 0.001" for name, line in lines(page).items() if name in "12345678")
    page.run(page.button("swap").click())
    assert (page.url["a.network"], page.url["b.network"]) == ("resnet18-untrained", "resnet18")
    assert lines(page)["8"][4].startswith("−2.")


def test_two_conventions_of_the_same_images_are_pairs_and_said_to_be_different_questions(visit):
    ship(bundled(images=60))
    ship(bundled(convention="branch", images=60))
    page = visit(compare="groups", a__label="all", b__label="all", b__convention="branch")
    assert "different eigenvalues for the same blocks" in page.texts("info")
    assert {trace.name for trace in page.figures[0].data} == {
        "A: ResNet18, all labels (slices)",
        "B: ResNet18, all labels (branch)",
    }
    assert lines(page)["8"][8:11] == ["60", "60", "60"]
    page.run(page.button("swap").click())
    assert (page.url["a.convention"], page.url["b.convention"]) == ("branch", "slices")
    page.run(page.button("against-untrained").click())
    assert page.url["b.convention"] == "branch"


def test_groups_without_rows_say_what_to_run(visit):
    page = visit(compare="groups", b__network="resnet34")
    assert not page.figures
    for network in ("resnet18", "resnet34"):
        assert f"sweep {network} --images bundled --blocks all --convention slices" in page.texts("code")


def test_the_same_group_twice_is_no_comparison(visit):
    page = visit(compare="groups", a__label="cat", b__label="cat")
    assert "same images of the same network" in page.texts("info")


def test_undefined_metrics_of_groups_are_words(visit):
    ship(bundled(convention="block", images=60))
    page = visit(compare="groups", a__convention="block", b__convention="block", metric="stiffness_index", among="7")
    assert "no value at these blocks (undefined: not square)" in page.texts("info")
    assert lines(page)["7"][4] == "undefined"


def test_the_python_lines_of_groups_run(visit, capsys):
    ship(bundled(images=40))
    (code,) = visit(compare="groups").snippets()
    exec(code, {})
    assert len(capsys.readouterr().out.splitlines()) == 9


# Perturbation


def test_noise_is_seen_before_any_network_has_looked(visit):
    page = visit(compare="perturbation", perturb="noise", strength="16", seed="3")
    assert "The perturbed image is not computed yet" in page.texts("markdown")
    assert "no prediction" in page.html()
    assert f"{A} + noise 16/255, seed 3" in page.html()
    assert not page.figures


def test_fgsm_is_made_by_its_button_and_compared(visit, losses, monkeypatch):
    monkeypatch.setattr(perturbation, "fgsm", lambda network, image, k: 255 - image.pixels)
    store(spectrum(A))
    page = visit(compare="perturbation", strength="4")
    (button,) = [button for button in page.at.button if button.label == "Perturb"]
    page.run(button.click())
    asked = asked_perturbation("resnet18", A, "fgsm", 4)
    wait_for(lambda: perturbation.stored(asked))
    page.run()
    made = perturbation.stored(asked)
    assert "seen as dog</span>, loss 9" in page.html()
    assert '<span class="wrong">seen as dog' in page.html()
    assert "1 result is not stored yet" in page.texts("markdown")
    store(spectrum(made.image.number))
    page.run()
    assert lines(page)["min Re λ"][1] == f"{-1 - made.image.number / 1000:.4g}".replace("-", "−")
    assert any("+ FGSM 4/255" in trace.name for trace in page.figures[0].data if trace.showlegend)
    (code,) = page.snippets()
    assert "twin = perturbation.compute(perturbation.PerturbationRequest(sc.network('resnet18'), " in code
    drawn = []
    monkeypatch.setattr(go.Figure, "show", lambda figure: drawn.append(figure))
    exec(code, {})
    assert any("+ FGSM 4/255" in trace.name for trace in drawn[0].data if trace.showlegend)


def test_a_sweep_that_is_stored_is_drawn(visit, losses, capsys):
    asked = asked_perturbation("resnet18", A, "noise", 2, 1)
    for one in perturbation.sweep_requests(asked):
        store(spectrum(perturbation.compute(one).image.number))
    page = visit(compare="perturbation", perturb="noise", strength="2", seed="1")
    figure = page.figures[-1]
    loss = next(trace for trace in figure.data if trace.name == "loss")
    assert loss.x.tolist() == list(perturbation.SWEEP)
    assert len(page.figures) == 2
    assert not [button for button in page.at.button if button.label in ("Perturb", "Sweep ε")]
    badges = [text.value for text in page.at.markdown if text.value.startswith(":green-badge[stored]")]
    swept = next(badge for badge in badges if "Gaussian noise" in badge and "branch" in badge)
    assert ":gray-badge[cpu]" in swept
    assert "10 s to compute" in swept, "five spectra of 2 s"
    assert len([button for button in page.at.button if button.label == "Compute again"]) == 3
    _, of_sweep = page.snippets()
    exec(of_sweep, {})
    swept = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in swept[1:6]] == [str(strength) for strength in perturbation.SWEEP]


def test_a_sweep_computed_again_is_fresh_and_says_whether_it_moved(visit, losses, monkeypatch):
    asked = asked_perturbation("resnet18", A, "noise", 2, 1)
    for one in perturbation.sweep_requests(asked):
        store(spectrum(perturbation.compute(one).image.number))

    def compute_many(requests, progress=None, **options):
        requests = list(requests)
        computed_again.extend(request.image.number for request in requests)
        return [analysis.stored(request) for request in requests]

    computed_again: list[int] = []
    monkeypatch.setattr(analysis, "compute_many", compute_many)
    page = visit(compare="perturbation", perturb="noise", strength="2", seed="1")
    page.run([button for button in page.at.button if button.label == "Compute again"][-1].click())
    wait_for(lambda: len(computed_again) == len(perturbation.SWEEP))
    wait_for(lambda: not [job for job in page.at.session_state["jobs"] if service.job_service().find(job).active])
    page.run()
    assert "no number changed by more than a relative 0" in page.texts("success")
    assert ":blue-badge[fresh]" in page.texts("markdown")


def test_a_note_is_said_once_on_a_page_with_two_parts_of_choices(visit):
    store(spectrum(A))
    page = visit(compare="perturbation", perturb="noise", strength="999")
    assert page.texts("warning").count("Expected strength") == 1


@pytest.mark.parametrize(("label", "wrong"), [(None, False), (3, False), (7, True)])
def test_only_an_image_with_a_label_can_be_seen_wrong(visit, label, wrong, monkeypatch):
    from stiffcore.images import uploaded as uploaded_images

    pixels = cifar10.image(A) // 2
    monkeypatch.setattr(gallery, "predicted", lambda network, image: 3)
    visit()  # the cache folder of this test
    number = uploaded_images.register(pixels, {"name": "mine", "kind": "upload", "label": label})
    page = visit(a__images=str(number), b__images=str(A))
    own = page.html().split("mine<br>")[1].split("</figure>")[0]
    assert "seen as cat" in own
    assert ('class="wrong"' in own) is wrong


def test_a_sweep_that_is_not_stored_is_offered(visit, losses):
    made = perturbation.compute(asked_perturbation("resnet18", A, "noise", 2, 1))
    store(spectrum(A), spectrum(made.image.number))
    page = visit(compare="perturbation", perturb="noise", strength="2", seed="1")
    assert [button.label for button in page.at.button if button.label == "Sweep ε"]
    assert len(page.figures) == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("strength", "0"),
        ("strength", "1e9"),
        ("strength", "nan"),
        ("strength", "inf"),
        ("seed", "-1"),
        ("perturb", "x"),
    ],
)
def test_a_hostile_perturbation_falls_back_with_a_note(visit, name, value):
    page = visit(**{"compare": "perturbation", "perturb": "noise", name: value})
    assert "Expected" in page.texts("warning")
    assert page.url[name] != value


def test_no_part_imports_torch():
    program = (
        "import sys\nfrom streamlit.testing.v1 import AppTest\nfrom pages.shared.state import service\n"
        "service.WARM_UP_AFTER = 1e6\n"  # torch in the background, which is not what a first paint waits for
        "at = AppTest.from_file('app.py', default_timeout=60).run()\n"
        f"at.switch_page({PAGE!r})\n"
        "for part in ('spectra', 'groups', 'perturbation'):\n"
        "    at.query_params['compare'] = part\n    at.run()\n    assert not at.exception, part\n"
        "    assert 'torch' not in sys.modules, part\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr[-2000:]
