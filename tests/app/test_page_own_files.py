"""The page Own files: through app.py, with uploads as AppTest makes them; no weights are loaded."""

import io
import math
import re
import threading
from dataclasses import replace
from urllib.parse import parse_qsl

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file, save

from pages.shared.own_files import checkpoint as uploaded_checkpoint, image as uploaded_image
from pages.shared.state import controls, service
from pages.shared.widgets import gallery
from stiffcore.analysis import compute as analysis
from stiffcore.checkpoints.reading import choose as readings
from stiffcore.errors import CannotCompute
from stiffcore.images import cifar10, decode as image_files, uploaded as uploaded_images
from stiffcore.networks import catalogue, manifest, uploaded as uploaded_networks
from stiffcore.progress import silent
from stiffcore.runs import kept as runs_kept
from stiffcore.storage import cache as result_cache
from tests.app.visitor import finished, wait_for
from tests.made_up import readings as readings_made_up
from tests.made_up.asked import asked
from tests.made_up.spectra import store

pytestmark = pytest.mark.usefixtures("nothing_ships")
PAGE, SPECTRUM = "pages/8_Own_files.py", "pages/1_Spectrum.py"


@pytest.fixture(scope="module")
def content() -> bytes:
    state = load_file(manifest.FOLDER / "resnet18.safetensors")
    return save(state | {"fc.bias": state["fc.bias"] + 0.01})


@pytest.fixture(autouse=True)
def quick_test(monkeypatch):
    """A reading that looks at no image; its doubt can be planted."""

    def plant(doubt: str = "") -> None:
        monkeypatch.setattr(readings, "best", readings_made_up.quick(0.0625, doubt))

    plant()
    return plant


def picture(seed=0, form="PNG", size=(48, 40)) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)).save(file, form)
    return file.getvalue()


def upload(page, field: str, name: str, content: bytes, **others: bytes):
    """Brings a file, and waits for the job that looks into it. others: more pictures, by name without ending."""
    files = [(name, content, "application/octet-stream")]
    files += [(f"{other}.png", more, "image/png") for other, more in others.items()]
    page.run(page.at.file_uploader(key=field).set_value(files))
    return finished(page)


def press(page, label: str):
    (button,) = [button for button in page.at.button if button.label == label]
    return page.run(button.click())


def links(page) -> dict[str, str]:
    return {link.proto.label: link.proto.query_string for link in page.at.get("page_link") if link.proto.query_string}


def query(page, label: str) -> dict[str, str]:
    """The parameters of the link of this name."""
    return dict(parse_qsl(links(page)[label]))


# A network


def test_a_checkpoint_is_looked_into_then_loaded_tested_and_offered_everywhere(visitor, content):
    page = upload(visitor().open(PAGE), uploaded_checkpoint.FIELD, "best <b>.pt", content)
    assert "best _b_.pt: safetensors, resnet18, 11,183,582 numbers" in page.texts("markdown")
    assert "Not loaded yet" in page.texts("markdown")
    assert uploaded_networks.known() == ()
    finished(press(page, "Load and test"))
    (own,) = uploaded_networks.known()
    assert "best _b_.pt** Read as made up: right at 6.2 % of the images that ship." in page.texts("success")
    assert "Read as made up: right at 6.2 %" in page.texts("caption")
    assert "ResNet18, uploaded: best _b_.pt" in page.texts("markdown")
    assert f"network={own.network}" in links(page)["Spectrum"]
    assert f"b.network={own.network}" in links(page)["Compare"]
    spectrum = visitor().open(SPECTRUM, **query(page, "Spectrum"))
    assert not spectrum.texts("warning")
    assert "ResNet18, uploaded: best _b_.pt" in spectrum.at.selectbox(key="choice-network").options
    assert spectrum.at.selectbox(key="choice-network").value == own.network
    assert spectrum.button("compute") is not None


def made_up(architecture="resnet18", title="a.pt", digit="a", **changes) -> str:
    """The name of an uploaded network that is kept. changes: of its architecture."""
    sha256 = f"{digit}b" * 32
    structure = replace(catalogue.ARCHITECTURES[architecture], **changes)
    name = uploaded_networks.name_of(structure, sha256)
    measured = (0.1, cifar10.bundled(), (3,) * 1000, (0.5,) * 1000) if structure.classes == 10 else (None, (), (), ())
    uploaded_networks.save(
        uploaded_networks.UploadedWeights(name, title, sha256, "made up", *measured, 1e9, structure), b"x"
    )
    return name


def test_links_lead_to_two_spectra_at_the_block_and_convention_of_before(visitor):
    network, number = made_up(), uploaded_images.register(image_files.read(picture()), {"name": "mine"})
    page = visitor().open(SPECTRUM, network="resnet34", blocks="5", convention="block", images="7")
    page.at.switch_page("pages/5_Compare.py")
    page.at.query_params["compare"] = "groups"
    page.run()
    page.at.switch_page(PAGE)
    page.at.query_params.clear()
    page.run()
    to_spectrum = {"mode": "one", "blocks": "5", "convention": "block"}
    shown = [dict(parse_qsl(link.proto.query_string)) for link in page.at.get("page_link")]
    assert {"network": network, "images": "7"} | to_spectrum in shown
    assert {"network": "resnet34", "images": str(number)} | to_spectrum in shown
    assert query(page, "Compare") == {"compare": "spectra", "a.network": "resnet18", "b.network": network} | {
        f"{side}.{name}": value
        for side in "ab"
        for name, value in (("images", "7"), ("block", "5"), ("convention", "block"))
    }
    uploaded_images.remove(number)


def test_the_last_block_of_one_network_is_the_last_of_another(visitor):
    made_up("resnet50")
    page = visitor().open(PAGE)
    assert {query(page, "Compare")[f"{side}.block"] for side in "ab"} == {"16"}
    assert query(page, "Spectrum")["blocks"] == "16"


def test_a_look_overtakes_what_waits_and_says_what_it_waits_for(visitor, content):
    go, order = threading.Event(), []

    def computation(name):
        def work(progress):
            order.append(name)
            while not go.wait(0.02):
                progress(0, 1, "planted")

        return work

    for name in ("running", "waiting"):
        service.job_service().submit(name, computation(name), title=name, watcher="another")
    wait_for(lambda: order == ["running"])
    page = visitor().open(PAGE)
    field = page.at.file_uploader(key=uploaded_checkpoint.FIELD)
    page.run(field.set_value([("a.pt", content, "application/octet-stream")]))
    assert "a computation is running. The file is next in the queue" in page.texts("caption")
    jobs = service.job_service().active()
    assert [(job.title, job.status) for job in jobs] == [
        ("running", "running"), ("Inspecting a checkpoint", "queued"), ("waiting", "queued")
    ]  # fmt: skip
    go.set()
    finished(page)
    assert "a computation is running" not in page.texts("caption")
    assert "Not loaded yet" in page.texts("markdown")


def test_it_is_said_that_the_page_forgets_the_file(visitor, content):
    page = visitor().open(PAGE)
    assert uploaded_checkpoint.FORGETS not in page.texts("markdown", "caption")
    upload(page, uploaded_checkpoint.FIELD, "a.pt", content)
    assert uploaded_checkpoint.FORGETS in page.texts("markdown")
    upload(page, uploaded_image.FIELD, "a.png", picture())
    assert uploaded_checkpoint.FORGETS in page.texts("caption")
    press(page, "Use this image")
    assert uploaded_checkpoint.FORGETS not in page.texts("caption")


def test_which_of_two_networks_is_taken_is_said(visitor):
    state = load_file(manifest.FOLDER / "resnet18.safetensors")
    both = {f"{prefix}_.{k}": v.clone() for prefix in ("model", "ema") for k, v in state.items()}
    page = upload(visitor().open(PAGE), uploaded_checkpoint.FIELD, "a.pt", save(both))
    assert "of several networks “model_.” is used, not “ema_.”." in page.texts("markdown")


@pytest.mark.parametrize("off", [False, True])
def test_what_a_link_asks_for_in_vain_is_said_before_a_file_is_there(visitor, monkeypatch, off):
    if off:
        monkeypatch.setenv("STIFFCORE_UPLOADS", "off")
    asked = {"talk": "https://evil.example"} if off else {"own-label": "www.evil.example"}
    page = visitor().open(PAGE, **asked)
    assert next(iter(asked.values())) in page.texts("warning")
    assert page.url[next(iter(asked))] in ("none", "off")


TYPED = ("a_b_", "**x**", "`x`", "~x~", "<b>x</b>", "&amp;", "www.evil.example", "https://evil.example", "a@evil.example",
         ":smile:", ":red[x]", "1. x", "# x", "- x", "> x", "x -> y", "$x$", "![x](y)", "a\\*b", "x | y", "2 >= 1", "12:30")  # fmt: skip


@pytest.mark.parametrize("text", TYPED)
def test_plain_is_undone_by_the_reader(text):
    """What Markdown makes of it is seen in test_browser_own_files."""
    shown = controls.escape_markdown(text)
    assert shown.replace(controls.JOINER, "").replace("\\", "") == text.replace("\\", "")
    assert not re.search(r"https?://|www\.|@\w", shown)
    assert controls.escape_markdown(f" {text}\n\n") == shown


@pytest.mark.parametrize(
    "command",
    ["`python -m stiffcore sweep own --convention slices`", "`--from FOLDER`", "`fetch-data --from A`", "`0,3,10:20`"],
)
def test_a_command_in_backticks_stays_as_it_is(command):
    assert controls.escape_markdown(f"a: *b* `x` {command} c:d") == (
        rf"a: \*b\* \`x\` {command} c:" + controls.JOINER + "d"
    )


@pytest.mark.parametrize("text", ["`--x] :red[y`", "`--x ![x](y)`", "``--x``", "`--x | y`", "`--x <b>`", "`--x"])
def test_nothing_else_passes_as_a_command(text):
    assert "\\`" in controls.escape_markdown(text)
    assert not re.search(r"(?<!\\)[`\[\]<|]", controls.escape_markdown(text))


def test_a_hint_stands_beside_a_poor_accuracy_and_a_removed_network_can_come_again(visitor, content, quick_test):
    quick_test("It may be untrained.")
    page = upload(visitor().open(PAGE), uploaded_checkpoint.FIELD, "a.pt", content)
    finished(press(page, "Load and test"))
    assert "right at 6.2 % of the images that ship. **In doubt:** It may be untrained." in page.texts("warning")
    assert ":orange-badge[in doubt]" in "\n".join(element.value for element in page.at.markdown)
    press(page, "Remove")
    assert uploaded_networks.known() == ()
    finished(press(page, "Load and test"))
    assert len(uploaded_networks.known()) == 1


def test_several_files_come_at_once(visitor, content):
    page = visitor().open(PAGE)
    state = load_file(manifest.FOLDER / "resnet18.safetensors")
    other = save(state | {"fc.bias": state["fc.bias"] + 0.02})
    files = [
        (name, bytes, "application/octet-stream")
        for name, bytes in (("a.pt", content), ("b.pt", other), ("c.pt", b"<html>"))
    ]
    page.run(page.at.file_uploader(key=uploaded_checkpoint.FIELD).set_value(files))
    finished(page)
    assert "a.pt: safetensors, resnet18" in page.texts("markdown")
    assert "b.pt: safetensors, resnet18" in page.texts("markdown")
    assert "(c.pt)" in page.texts("error")
    buttons = [button for button in page.at.button if button.label == "Load and test"]
    assert len(buttons) == 2
    for _ in buttons:
        page.run(next(button for button in page.at.button if button.label == "Load and test").click())
        finished(page)
    assert {own.title for own in uploaded_networks.known()} == {"a.pt", "b.pt"}


def test_how_a_file_is_read_can_be_overruled(visitor, content):
    page = upload(visitor().open(PAGE), uploaded_checkpoint.FIELD, "a.pt", content)
    page.run(page.at.selectbox(key="choice-own-stem").set_value("none"))
    assert page.url["own-stem"] == "none"
    finished(press(page, "Load and test"))
    (own,) = uploaded_networks.known()
    assert own.network.startswith("resnet18-nopool-own-")
    assert "ResNet18 without max-pool, uploaded: a.pt" in page.texts("markdown")
    assert query(page, "Compare")["a.network"] == own.network, "no shipped network has its structure"
    spectrum = visitor().open(SPECTRUM, **query(page, "Spectrum"))
    assert not spectrum.texts("warning")
    assert spectrum.at.selectbox(key="choice-network").value == own.network


def test_what_had_to_go_for_a_ninth_network_is_said(visitor, content):
    for number in range(uploaded_networks.MOST):
        structure, sha256 = catalogue.ARCHITECTURES["resnet34"], f"{number:064x}"[::-1]
        name = uploaded_networks.name_of(structure, sha256)
        uploaded_networks.save(
            uploaded_networks.UploadedWeights(
                name, f"net {number}", sha256, "made up", None, (), (), (), 1e9 + number, structure
            ),
            b"x",
        )
    page = upload(visitor().open(PAGE), uploaded_checkpoint.FIELD, "a.pt", content)
    finished(press(page, "Load and test"))
    assert "Removed: net 0. Their files can be uploaded again, or named with `--weights`" in page.texts("info")


def test_a_doubt_stands_beside_every_number(visitor, content, quick_test):
    quick_test("Two readings are equally right.")
    page = upload(visitor().open(PAGE), uploaded_checkpoint.FIELD, "a.pt", content)
    finished(press(page, "Load and test"))
    (own,) = uploaded_networks.known()
    request = asked(own.network, 0, 8, "branch", "spectrum")
    assert request.network.doubt == "Two readings are equally right."
    store(request)
    spectrum = visitor().open(SPECTRUM, network=own.network, images="0", blocks="8", convention="branch")
    assert "in doubt] **ResNet18, uploaded: a.pt**: Two readings are equally right." in spectrum.texts("markdown")


def test_networks_of_one_structure_become_a_run(visitor):
    made_up(title="epoch-10.pt")
    page = visitor().open(PAGE)
    assert "Checkpoints of one training" not in page.texts("markdown"), "one is no training"
    made_up("resnet50", title="epoch-7.pt")
    made_up(title="epoch-2.pt", digit="c")
    page = visitor().open(PAGE)
    assert "read in one way: epoch 2 epoch-2.pt, epoch 10 epoch-10.pt." in page.texts("markdown")
    page.run(page.button("make-run-0").click())
    (run,) = (run for run in runs_kept.known() if runs_kept.is_own(run.name))
    assert query(page, "Over training") == {"run": run.name}
    assert [checkpoint.step for checkpoint in run.checkpoints] == [2, 10]
    assert run.can_compute
    page = visitor().open("pages/9_Over_training.py", run=run.name, lines="8", convention="branch")
    assert "2 results are not stored yet" in page.texts("markdown")
    assert not [code for code in page.at.get("code") if "--weights" in code.value], (
        "they are in no folder of the visitor's"
    )


@pytest.mark.parametrize("bad", [b"", b"<html>", b"\x80\x02cos\nsystem\n(S'x'\ntR."])
def test_a_bad_checkpoint_is_one_sentence_and_nothing_is_offered(visitor, bad):
    page = upload(visitor().open(PAGE), uploaded_checkpoint.FIELD, "a.pt", bad)
    said = page.texts("error")
    assert said.startswith("Expected a")
    assert "\n" not in said
    assert not [button for button in page.at.button if button.label == "Load and test"]


def test_what_passes_the_look_but_not_the_load_is_one_sentence(visitor, content):
    state = load_file(manifest.FOLDER / "resnet18.safetensors")
    bad = save(state | {"fc.bias": state["fc.bias"] * math.nan})
    page = upload(visitor().open(PAGE), uploaded_checkpoint.FIELD, "a.pt", bad)
    finished(press(page, "Load and test"))
    assert "Expected fc.bias of the checkpoint to have finite numbers" in page.texts("error")
    assert uploaded_networks.known() == ()


def test_a_full_queue_is_said(visitor, content):
    page = visitor().open(PAGE)
    service.job_service().capacity = 0
    upload(page, uploaded_checkpoint.FIELD, "a.pt", content)
    service.job_service().capacity = 16
    finished(press(page, "Inspect file"))
    assert "Not loaded yet" in page.texts("markdown")


def test_a_link_to_a_network_that_was_removed_falls_back_with_a_note(visitor):
    page = visitor().open(SPECTRUM, network="resnet18-own-0123456789ab")
    said = page.texts("warning")
    assert (
        "uploaded elsewhere or deleted: upload it again on the page Own files, or name its file with --weights. The default"
        in said
    )
    assert page.url["network"] == "resnet18"


@pytest.mark.parametrize("path", ["pages/2_Blocks.py", "pages/3_Labels.py", "pages/4_Correlation.py", "pages/6_Published_tables.py", "pages/7_Stiff_ODEs.py"])  # fmt: skip
def test_pages_about_many_images_show_their_empty_state_for_an_uploaded_network(visitor, path):
    name = made_up()
    shown = visitor().open(path, network=name, networks=name)
    assert not shown.texts("warning", "error")
    if path in ("pages/2_Blocks.py", "pages/3_Labels.py", "pages/4_Correlation.py"):
        assert name in shown.texts("code"), "the command that computes it"


PAGES = (
    "1_Spectrum",
    "2_Blocks",
    "3_Labels",
    "4_Correlation",
    "5_Compare",
    "6_Published_tables",
    "7_Stiff_ODEs",
    "8_Own_files",
)


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize(
    "changes",
    [
        {"architecture": "resnet18", "stem": "3x3"},
        {"architecture": "resnet20", "classes": 100},
        {"architecture": "resnet20", "classes": 0, "unit": "pre-activation", "shortcut": "convolution"},
        {"architecture": "resnet50", "classes": 1000, "stem": "7x7-pool"},
    ],
    ids=("no pool", "a hundred classes", "no head", "ImageNet"),
)
def test_every_page_takes_a_network_that_is_not_in_the_paper(visitor, page, changes):
    """Without published numbers, with another number of classes, blocks or sizes, and without a head."""
    name = made_up(**changes)
    url = {"network": name, "networks": name, "a.network": name, "b.network": "resnet18"}
    shown = visitor().open(f"pages/{page}.py", **url)
    assert not shown.texts("error")
    assert "The default is shown" not in shown.texts("warning")
    if page == "5_Compare":
        for part in ("groups", "perturbed"):
            assert not visitor().open(f"pages/{page}.py", compare=part, **url).texts("error")


# An image


def test_a_picture_is_shown_as_the_network_sees_it_then_kept_and_linked(visitor):
    content = picture()
    page = upload(visitor().open(PAGE), uploaded_image.FIELD, "my dog.png", content)
    pixels = image_files.read(content)
    assert gallery.data_uri(pixels) in page.html()
    assert "Cropped (PNG, 40 × 48)" in page.html()
    assert uploaded_images.known() == ()
    press(page, "Use this image")
    (number,) = uploaded_images.known()
    assert np.array_equal(cifar10.image(number), pixels)
    assert (cifar10.name(number), cifar10.label(number)) == ("my dog.png", None)
    assert f"images={number}" in links(page)["Its spectrum"]
    page.run(page.at.selectbox(key="choice-own-label").set_value("dog"))
    press(page, "Keep the label")
    assert cifar10.label(number) == 5
    assert page.url["own-label"] == "dog"


def test_several_pictures_are_kept_and_looked_at_together(visitor):
    one, two = picture(1), picture(2, "BMP")
    page = upload(visitor().open(PAGE), uploaded_image.FIELD, "first.png", one, second=two, bad=b"GIF89a", again=one)
    assert page.texts("error").startswith("bad.png: Expected a PNG, JPEG, WebP, BMP or AVIF picture")
    assert "\n" not in page.texts("error")
    assert "again.png has the same 32 × 32 pixels as first.png: they are one image." in page.texts("info")
    numbers = [uploaded_images.number_of(image_files.read(content)) for content in (one, two)]
    for form in ("first.png<br>PNG, 40 × 48", "second.png<br>BMP, 40 × 48"):
        assert form in page.html()
    assert uploaded_images.known() == ()
    press(page, "Use these 2 images")
    assert set(uploaded_images.known()) == set(numbers)
    assert query(page, "Their spectra")["images"] == f"{numbers[0]},{numbers[1]}"
    assert [query(page, "Compare")[f"{side}.images"] for side in "ab"] == [str(number) for number in numbers]
    page.run(page.at.selectbox(key="choice-own-label").set_value("dog"))
    press(page, "Keep the label")
    assert [cifar10.label(number) for number in numbers] == [5, 5]


def test_what_is_not_read_and_what_had_to_go_is_named(visitor, monkeypatch):
    monkeypatch.setattr(uploaded_image, "AT_ONCE", 2)
    page = visitor().open(PAGE)
    monkeypatch.setattr(uploaded_images.default(), "most", 2)
    uploaded_images.register(image_files.read(picture(8)), {"name": "the old one"})
    upload(page, uploaded_image.FIELD, "a.png", picture(1), b=picture(2), c=picture(3), d=picture(4))
    assert "2 files are read at once. Not read: c.png, d.png. Remove some of the others" in page.texts("warning")
    press(page, "Use these 2 images")
    assert {cifar10.name(number) for number in uploaded_images.known()} == {"a.png", "b.png"}
    assert "Only 2 images are kept; the least recently viewed ones were removed: the old one." in page.texts("warning")


def test_a_nearly_uniform_picture_says_so(visitor):
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 4096, (40, 40)).astype(np.uint16)).save(file, "PNG")
    page = upload(visitor().open(PAGE), uploaded_image.FIELD, "dark.png", file.getvalue())
    assert page.texts("warning").startswith("dark.png: It is nearly one colour: its 32 × 32 pixels vary by ")
    assert [button.label for button in page.at.button if button.key == "use-image"] == ["Use this image"]


def test_the_three_networks_say_what_they_see(visitor, monkeypatch):
    def all_losses(network, image):
        losses = np.full(10, 20.0)
        losses[[3, 5]] = -math.log(0.75), -math.log(0.25)
        return losses

    monkeypatch.setattr(analysis, "all_losses", all_losses)
    page = upload(visitor().open(PAGE), uploaded_image.FIELD, "a.png", picture())
    press(page, "Use this image")
    finished(press(page, "Predict"))
    for title in ("ResNet18", "ResNet34", "ResNet50"):
        assert f"| {title} | **cat 75.0 %** | dog 25.0 % |" in page.texts("markdown")
    upload(page, uploaded_image.FIELD, "a.png", picture(), b_=picture(1))
    press(page, "Use these 2 images")
    finished(press(page, "Predict"))
    assert "| Image | ResNet18 | ResNet34 | ResNet50 |" in page.texts("markdown")
    for name in ("a.png", "b_.png"):
        assert f"| {name} | cat 75.0 % | cat 75.0 % | cat 75.0 % |" in page.texts("markdown")


@pytest.mark.parametrize("bad", [b"", b"<svg/>", b"GIF89a" + bytes(20), picture()[:-900]])
def test_a_bad_picture_is_one_sentence(visitor, bad):
    page = upload(visitor().open(PAGE), uploaded_image.FIELD, "a.png", bad)
    said = page.texts("error")
    assert said.startswith("a.png: Expected a PNG, JPEG, WebP, BMP or AVIF picture")
    assert "\n" not in said
    page = upload(page, uploaded_image.FIELD, "b.png", picture())
    assert not page.texts("error")


def test_an_own_image_without_a_label_has_its_spectrum_and_its_place_in_the_gallery(visitor):
    number = uploaded_images.register(image_files.read(picture()), {"name": "mine"})
    request = asked("resnet18", number, 8, "branch", "spectrum")
    store(request)
    assert result_cache.default().get(request.key) is not None
    page = visitor().open(SPECTRUM, images=f"{number},0", show="own", overlay="label")
    assert not page.texts("warning")
    assert page.url["images"] == f"{number},0"
    assert "<b>no label</b> mine<br><span>no prediction" in page.html()
    assert "no label<br><small>mine</small>" in page.html()
    assert "1 of the uploaded images" in page.texts("caption")
    thumbnails = next(w for w in page.at.get("button_group") if w.key == "thumbnails")
    assert thumbnails.value == [number]
    assert "no label" in {trace.name for trace in page.figures[0].data}
    assert page.at.dataframe[0].value["label"].tolist() == ["no label"]
    uploaded_images.note_prediction(number, manifest.entry("resnet18").sha256, 5)
    assert "mine: no label, seen as dog" in page.run().html()


def test_the_gallery_tells_right_from_wrong_of_own_images():
    shown = [uploaded_images.register(image_files.read(picture(seed)), {"label": label}) for seed, label in ((0, 5), (1, 5), (2, None))]  # fmt: skip
    for number, seen in zip(shown, (5, 3, 3)):
        uploaded_images.note_prediction(number, manifest.entry("resnet18").sha256, seen)
    assert gallery.uploaded("resnet18", "right") == (shown[0],)
    assert gallery.uploaded("resnet18", "wrong") == (shown[1],)
    assert set(gallery.uploaded("resnet18", "any")) >= set(shown)
    assert gallery.uploaded("resnet34", "right") == ()
    for number in shown:
        uploaded_images.remove(number)


def test_a_link_to_an_image_that_was_removed_falls_back_with_a_note(visitor):
    number = uploaded_images.register(image_files.read(picture()), {"name": "mine"})
    page = visitor().open(PAGE)
    press(page, "Remove")
    assert uploaded_images.known() == ()
    spectrum = visitor().open(SPECTRUM, images=str(number))
    assert "uploaded elsewhere or deleted: upload it again on the page Own files. The default" in spectrum.texts(
        "warning"
    )


# Off


def test_uploads_that_are_switched_off_are_one_sentence(visitor, monkeypatch):
    monkeypatch.setenv("STIFFCORE_UPLOADS", "off")
    page = visitor().open(PAGE)
    assert "uploads are switched off" in page.texts("info")
    assert not page.at.get("file_uploader")


def test_uploads_are_refused_on_the_server_too(visitor, monkeypatch, content):
    """A browser that shows the fields and buttons from before they were switched off."""
    page = upload(visitor().open(PAGE), uploaded_checkpoint.FIELD, "a.pt", content)
    upload(page, uploaded_image.FIELD, "a.png", picture())
    other = visitor().open(PAGE)
    monkeypatch.setenv("STIFFCORE_UPLOADS", "off")
    press(page, "Use this image")
    assert "uploads are switched off" in page.texts("info")
    assert uploaded_images.known() == ()
    upload(other, uploaded_checkpoint.FIELD, "b.pt", content[:-1])
    monkeypatch.setenv("STIFFCORE_UPLOADS", "on")
    assert [button.label for button in other.run().at.button] == ["Inspect file"], "nothing was inspected"


def test_a_load_that_was_asked_for_in_time_is_refused_once_uploads_are_off(monkeypatch, content):
    monkeypatch.setenv("STIFFCORE_UPLOADS", "off")
    with pytest.raises(CannotCompute, match="uploads are switched off"):
        uploaded_checkpoint.load(content, "a.pt", silent)
    assert uploaded_networks.known() == ()


def test_labels_of_the_field_are_those_of_the_catalogue(visitor):
    page = upload(visitor().open(PAGE), uploaded_image.FIELD, "a.png", picture(form="JPEG"))
    assert page.at.selectbox(key="choice-own-label").options == ["No label", *cifar10.LABELS]
