"""Our tables beside the published ones as text."""

import numpy as np
import pytest

from stiffcore.networks import registry as networks
from stiffcore.paper import comparison, tables_text
from tests.made_up.rows import rows, undefined


def test_wide_is_the_papers_form():
    table = tables_text.wide(
        comparison.side_by_side(networks.find("resnet18"), "by_block", rows(images=4, stiffness_index=-5.0))
    )
    assert table["block"].tolist() == [*range(1, 9), "all"]
    assert table["S, theirs"].tolist()[:2] == [-2.28, -5.12]
    assert table["S, difference"].tolist()[:2] == pytest.approx([-2.72, 0.12])
    assert table["S, n"].tolist() == table["P, n"].tolist() == [4] * 9
    labels = tables_text.wide(comparison.side_by_side(networks.find("resnet18"), "by_label", None))
    assert labels["label"].tolist()[3] == "cat"
    r = tables_text.wide(comparison.side_by_side(networks.find("resnet34"), "correlation", None))
    assert r.shape == (17, 1 + 4 * 8 + 2)
    assert r["P with loss, theirs"].tolist()[-2:] == [0.35, 0.05]
    assert r["P with loss, p theirs"].notna().all()


def test_s_and_p_have_counts_of_their_own():
    """block: S is undefined where nothing is negative, and P is 0 there."""
    frame = undefined(rows(images=4, blocks=[6, 8], convention="block"), slice(0, 5))
    table = tables_text.wide(comparison.side_by_side(networks.find("resnet18"), "by_block", frame)).set_index("block")
    assert table.loc[6, ["S, n", "S, undefined", "P, n", "P, undefined"]].tolist() == [1, 3, 4, 0]


def test_every_absence_has_its_word():
    frame = undefined(rows(images=4, blocks=[6, 8], convention="branch"), slice(None))
    text = tables_text.text(comparison.side_by_side(networks.find("resnet18"), "by_block", frame))
    lines = {line.split()[0]: " ".join(line.split()[1:]) for line in text.splitlines() if line.split()}
    assert lines["2"].startswith("-5.12 not computed – 0 0")
    assert lines["3"].startswith("-1.28 undefined – 0 0")
    assert lines["8"].startswith("-12.99 undefined – 0 4")
    assert "(partial: 2 of 5 blocks)" in lines["all"]
    text = tables_text.text(
        comparison.side_by_side(networks.find("resnet50"), "by_block", rows("resnet50", images=3, blocks=[15]))
    )
    assert "not published" in text


def test_correlations_print_both_p_and_what_all_rests_on():
    rng = np.random.default_rng(0)
    frame = rows(images=40, blocks=[7, 8], live_fraction=rng.random(80), correct=(rng.random(40) > 0.4).repeat(2))
    table = comparison.side_by_side(networks.find("resnet18"), "correlation", frame)
    text = tables_text.text(table)
    assert "All, S and P: 80 pairs, of the 40 images that have a value at 2 of 8 blocks." in text
    line = next(line.split() for line in text.splitlines() if line.split()[:1] == ["8"])
    cell = table.query("block == 8 and measure == 'stiffness_index' and outcome == 'accuracy'").iloc[0]
    assert line[1:4] == ["-0.23", "<0.001", f"{cell.ours:.2f}"]
    partial = [f"{cell.partial_r:.2f}", f"{cell.partial_p:.3f}"]
    assert line[4:9] == [f"{cell.p:.3f}", f"{cell.p_adjusted:.3f}", *partial, f"{cell.ours + 0.23:.2f}"]
    assert "Partial: r given live fraction and label" in text
    assert "–" in next(
        line.split() for line in text.splitlines() if line.split()[:1] == ["all"]
    )  # its p is not adjusted


def test_sizes_have_titles_and_say_not_square():
    lines = tables_text.markdown(comparison.side_by_side(networks.find("resnet50"), "sizes", None)).splitlines()
    assert lines[0].startswith("| block | n in | n out | Jacobian, theirs |")
    assert (
        lines[2]
        == "| 1 | 16,384 | 65,536 | not published | 1,073,741,824 | not published | 67,108,864 | not square | not published |"
    )
    assert "| 65,536 | not published |" in lines[3]


def test_intervals_of_p_are_a_sentence():
    frame = rows(images=4, blocks=[8], percent_negative=10.0, n_undetermined=[0, 8, 0, 0], n_eigenvalues=100)
    assert "block 8 (1 image; P 10 to 12 %)" in tables_text.undetermined(frame)
    assert tables_text.undetermined(frame.assign(n_undetermined=0)) == ""


def norms_of(frame, kind="by_block"):
    return tables_text.norms(
        frame.assign(stiffness_indicator=0.25, log_norm_lower=-1.5, norm_branch=frame["block"] / 2), kind
    )


def test_norms_stand_by_block_and_by_label():
    frame = rows("resnet18", "branch", 20, [6, 8])
    table = norms_of(frame)
    assert table["block"].tolist() == [6, 8, "all"]
    assert table["norm_branch"].tolist() == [3.0, 4.0, 3.5]
    assert table["n"].tolist() == [20, 20, 20]
    assert table["log_norm_upper"].isna().all()
    labels = norms_of(frame, "by_label")
    assert labels["label"].tolist()[3] == "cat"
    assert labels["stiffness_indicator"].tolist() == [0.25] * 10
    words = tables_text.norms_in_words(table)
    assert words.iloc[0].tolist() == ["6", "0.25", "-1.50", "–", "3.00", "20"]
    assert list(words) == ["block", "s", "m", "M", "‖J_F‖", "n"]


def test_slices_have_no_norms_and_rows_of_before_have_none():
    assert norms_of(rows(images=4)).empty
    assert tables_text.norms(rows("resnet18", "branch", 4, [8]), "by_block").empty
