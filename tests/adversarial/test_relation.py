"""Correlations with the smallest perturbation: planted ones, ranks, covariates, and the verdict's rule."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from stiffcore.adversarial import relation, verdict
from stiffcore.adversarial.relation import MEASURES, Material
from stiffcore.conventions import Convention

N = 300


def robust_rows(margin: np.ndarray, radius: np.ndarray, label: np.ndarray) -> pd.DataFrame:
    about = {"network": "resnet18", "weights": "w", "image": np.arange(N), "label": label, "predicted": label}
    numbers = {"correct": True, "loss": 0.1, "margin": margin, "fgsm_step": 2 * radius, "fgsm_whole": 5.0}
    return pd.DataFrame(about | numbers | {"fgsm_seen": 1, "pgd_radius": radius, "pgd_seen": 1, "reason": ""})


def sweep_rows(convention: str, blocks: dict[int, dict[str, np.ndarray]]) -> pd.DataFrame:
    frames = [
        pd.DataFrame({"image": np.arange(N), "block": block, "convention": convention, "n_eigenvalues": 100} | columns)
        for block, columns in blocks.items()
    ]
    return pd.concat(frames, ignore_index=True)


@pytest.fixture
def material():
    """P goes with the radius through the margin at block 1 and by itself at block 2; at block 3 through the live fraction."""
    rng = np.random.default_rng(0)
    margin, label, own, live = rng.normal(size=N), rng.integers(0, 10, N), rng.normal(size=N), rng.normal(size=N)
    radius = np.exp(2 * (margin + own + live + 0.3 * rng.normal(size=N)))  # heavy tails
    noise = rng.normal(size=(3, N)) * 0.3
    blocks = {
        1: {"percent_negative": np.exp(margin + noise[0]), "live_fraction": live},
        2: {"percent_negative": -np.exp(own + noise[1]), "live_fraction": live},
        3: {"percent_negative": live + noise[2], "live_fraction": live},
    }
    branch = {4: {"percent_negative": live + noise[0], "live_fraction": own, "n_zero": 50 - 3 * live}}
    rows = {Convention.SLICES: sweep_rows("slices", blocks), Convention.BRANCH: sweep_rows("branch", branch)}
    return Material(robust_rows(margin, radius, label), rows, pd.DataFrame())


def cell(table, measure, block):
    return table[(table["measure"] == measure) & (table["block"] == block)].iloc[0]


def test_raw_is_spearmans_and_partial_is_what_covariates_leave(material):
    table = relation.table(material, resamples=200)
    rows = material.rows[Convention.SLICES]
    for block in (1, 2, 3):
        one = cell(table, "percent_negative.slices", block)
        values = rows.loc[rows["block"] == block, "percent_negative"]
        assert one.r == pytest.approx(stats.spearmanr(values, material.robust["pgd_radius"]).statistic)
        assert one.low < one.r < one.high
        assert one.n == N
    assert abs(cell(table, "percent_negative.slices", 1).partial_r) < 0.2 < cell(table, "percent_negative.slices", 1).r
    assert cell(table, "percent_negative.slices", 2).partial_r < -0.8
    assert abs(cell(table, "percent_negative.slices", 3).partial_r) < 0.2 < cell(table, "percent_negative.slices", 3).r


def test_a_partial_r_is_that_of_residuals_of_ranks(material):
    points = material.points(MEASURES["percent_negative.slices"])
    points = points[points["block"] == 2]
    found = relation.relate(points, MEASURES["percent_negative.slices"], "pgd_radius", resamples=0)
    given = [stats.rankdata(points[name]) for name in ("live_fraction", "margin")]
    design = np.column_stack([*given, *(points["label"] == label for label in range(10))]).astype(float)
    left = [
        (ranked := stats.rankdata(points[name])) - design @ np.linalg.lstsq(design, ranked, rcond=None)[0]
        for name in ("value", "pgd_radius")
    ]
    assert found["partial_r"] == pytest.approx(np.corrcoef(*left)[0, 1], abs=1e-9)


def test_p_of_a_matrix_is_given_the_share_that_masks_do_not_make_zero(material):
    """Here P under branch is that share and nothing else; its outputs' live fraction is another number."""
    one = cell(relation.table(material, resamples=0), "percent_negative.branch", 4)
    assert one.r > 0.4
    assert abs(one.partial_r) < 0.2


def test_an_image_that_nothing_changes_stands_last(material):
    robust = material.robust.copy()
    largest = robust["pgd_radius"].idxmax()
    robust.loc[largest, ["pgd_radius", "fgsm_step"]] = np.inf
    same = Material(robust, material.rows, material.growth)
    pd.testing.assert_frame_equal(relation.table(same, resamples=0), relation.table(material, resamples=0))


def test_wrong_predictions_are_left_out(material):
    robust = material.robust.copy()
    robust.loc[:9, ["pgd_radius", "fgsm_step"]] = np.nan
    assert cell(relation.table(Material(robust, material.rows, material.growth)), "margin", "network").n == N - 10


def test_what_is_not_computed_says_what_computes_it(material):
    table = relation.table(material, resamples=0)
    reasons = {name: str(cell(table, name, "network").reason) for name in ("norm_block.block", "growth_from_image")}
    assert "sweep resnet18 --convention block" in reasons["norm_block.block"]
    assert "growth resnet18" in reasons["growth_from_image"]


def test_growth_joins_by_image_and_block(material):
    growth = pd.DataFrame({"image": np.arange(N), "block": 2, "growth_from_image": material.robust["pgd_radius"]})
    one = cell(relation.table(Material(material.robust, material.rows, growth)), "growth_from_image", 2)
    assert one.r == pytest.approx(1)


def test_the_family_of_the_adjusted_p_is_the_whole_table(material):
    table = relation.table(material, resamples=0)
    for name in ("p", "partial_p"):
        known = table[name].notna()
        expected = stats.false_discovery_control(table.loc[known, name].to_numpy(dtype=float))
        np.testing.assert_allclose(table.loc[known, f"{name}_adjusted"], expected)


def of_intervals(*intervals, p=0.001, n=300, measure="percent_negative.slices"):
    lines = [
        {"measure": measure, "block": at, "r": 0.5, "partial_r": (low + high) / 2, "partial_low": low, "partial_high": high,
         "partial_p_adjusted": p, "n": n}
        for at, (low, high) in enumerate(intervals, 1)
    ]  # fmt: skip
    return pd.DataFrame(lines)


@pytest.mark.parametrize(
    ("table", "word"),
    [
        (of_intervals((0.31, 0.6), (0.4, 0.7), (-0.1, 0.1)), verdict.HOLDS),  # two of three blocks
        (of_intervals((0.31, 0.6), (-0.7, -0.4), (-0.1, 0.1)), verdict.OPEN),  # on two sides
        (of_intervals((0.31, 0.6), (0.4, 0.7), (-0.1, 0.1), p=0.2), verdict.OPEN),
        (of_intervals((-0.29, 0.1), (-0.1, 0.29)), verdict.FAILS),
        (of_intervals((-0.31, 0.1), (-0.1, 0.29)), verdict.OPEN),
        (of_intervals((0.31, 0.6), n=relation.FEWEST - 1), verdict.OPEN),
        (of_intervals((0.31, 0.6), measure="norm_branch.branch"), verdict.OPEN),  # no reading of stiffness
        (
            pd.concat(
                [of_intervals((-0.1, 0.1)), of_intervals((0.4, 0.5), measure="percent_negative.branch")],
                ignore_index=True,
            ),
            verdict.HOLDS,
        ),
    ],
)
def test_the_rule(table, word):
    assert verdict.of(table).word == word


def test_few_images_keep_their_numbers_and_say_not_to_read_them(material):
    few = Material(material.robust[:5], material.rows, material.growth)
    one = cell(relation.table(few, resamples=0), "margin", "network")
    assert (one.n, one.reason) == (5, "too few: n = 5")
    assert np.isfinite(one.r)
    assert relation.too_few(relation.FEWEST - 1)
    assert not relation.too_few(relation.FEWEST)


def test_the_sentence_says_over_what_it_speaks_and_names_what_has_no_verdict():
    parts = [
        of_intervals((-0.4, 0.1)),
        of_intervals((-0.1, 0.2), measure="stiffness_index.branch"),
        of_intervals((-0.1, 0.2), measure="percent_negative.branch", n=93),
        of_intervals((-0.95, -0.85), measure="stiffness_indicator.branch", n=38),
        of_intervals((-0.95, -0.85), measure="growth_from_image"),
        pd.DataFrame([{"measure": "stiffness_index.slices", "block": "network", "n": 0}]),
    ]
    said = verdict.of(pd.concat(parts, ignore_index=True))
    assert said.head == "Not shown."
    assert said.answer == (
        "S and P (branch): does not hold (93 to 300 images). P (slices): not decided (300 images). "
        "s (branch): only 38 images, no verdict. S (slices): not computed, no verdict."
    )
    assert said.numbers.startswith(
        "Of P and S at blocks with at least 50 images, the largest partial r with the smallest PGD perturbation is −0.15 "
    )
    assert "0.90" not in said.sentence


def test_the_sentence_holds_the_numbers_that_decide(material):
    table = relation.table(material, resamples=200)
    said = verdict.of(table)
    strongest = cell(table, "percent_negative.slices", 2)
    assert verdict.signed(strongest.partial_r) in said.sentence
    assert "P (slices)" in said.sentence
    assert f"{N} images" in said.sentence
    assert said.readings["percent_negative.branch"] == verdict.FAILS
    assert verdict.signed(cell(table, "margin", "network").r) in said.sentence
