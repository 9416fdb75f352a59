"""The README's sections between markers are what ships: ``python -m stiffcore rebuild --only readme`` writes them."""

import pytest

from stiffcore.networks import registry as networks
from stiffcore.paper import earlier
from stiffcore.rebuild import readme
from stiffcore.rebuild.target import Workers

SECTIONS = [
    (path, name, content) for path, sections in readme.Readme("readme").files for name, content in sections.items()
]


@pytest.mark.parametrize(("path", "name", "content"), SECTIONS, ids=[name for _, name, _ in SECTIONS])
def test_a_section_is_current(path, name, content):
    assert f"<!-- {name} -->\n{content()}<!-- /{name} -->" in path.read_text("utf-8"), (
        "run `python -m stiffcore rebuild --only readme`"
    )


def test_the_first_weights_need_no_comparison_and_others_have_one(monkeypatch):
    first = {
        network: about | {"weights": networks.find(network).weights_sha256}
        for network, about in earlier.earlier().items()
    }
    monkeypatch.setattr(earlier, "earlier", lambda: first)
    assert readme.recipe() == ""
    others = {network: about | {"weights": "0" * 64} for network, about in first.items()}
    monkeypatch.setattr(earlier, "earlier", lambda: others)
    said = readme.recipe()
    assert "| block | S, published | S, first weights | S, these |" in said
    assert "| ResNet50 |" in said
    assert "| The last block is the stiffest by S. (Tables 2 and 5) | ResNet18 | holds |" in said
    assert "| log \\|S\\|, first weights |" in said  # a bar would end the cell


def test_what_is_not_current_is_written(tmp_path):
    path = tmp_path / "README.md"
    text = readme.PATH.read_text("utf-8")
    path.write_text(text.replace("| 8 | −12.99 |", "| 8 | −13.00 |"), "utf-8")
    target = readme.Readme("readme", path, readme.BENCHMARKS)
    assert target.need().reasons == ("not current: table-2",)
    target.make(Workers())
    assert path.read_text("utf-8") == text
    assert not target.need().is_stale
    path.write_text(text.replace("<!-- /table-2 -->", ""), "utf-8")
    with pytest.raises(ValueError, match="Expected the markers <!-- table-2 -->"):
        target.need()


def test_a_card_s_table_is_written_beside_the_benchmarks(tmp_path, monkeypatch):
    paths = tmp_path / "README.md", tmp_path / "benchmarks.md"
    for path, shipped in zip(paths, (readme.PATH, readme.BENCHMARKS), strict=True):
        path.write_text(shipped.read_text("utf-8"), "utf-8")
    target = readme.Readme("readme", *paths)
    monkeypatch.setitem(readme.OF_BENCHMARKS, "gpu", lambda: "| a card | 20× |\n")
    assert target.need().reasons == ("not current: gpu",)
    target.make(Workers())
    assert "<!-- gpu -->\n| a card | 20× |\n<!-- /gpu -->" in paths[1].read_text("utf-8")
    assert paths[0].read_text("utf-8") == readme.PATH.read_text("utf-8")
    assert not target.need().is_stale
