"""Tables by step and block, and between seeds, on planted rows."""

import json

import numpy as np
import pandas as pd
import pytest

from stiffcore.metrics.missing import Status
from stiffcore.statistics import over_training
from tests.made_up.runs import made_up, rows

RUN = made_up(steps=(0, 2, 10), seeds=3)


def test_means_and_bands_by_step_and_block():
    table = over_training.table(rows(RUN), "stiffness_index")
    assert list(table.columns) == over_training.COLUMNS
    at = table[(table["seed"] == 0) & (table["step"] == 2) & (table["block"] == 8)].iloc[0]
    values = -10 + np.arange(4) / 100
    assert at["mean"] == pytest.approx(values.mean())
    assert (at["low"], at["high"]) == pytest.approx(np.quantile(values, (0.05, 0.95)))
    assert (at["n"], at["checkpoint"], at["state"], at["reason"]) == (4, "epoch-2.pt", "", None)
    assert len(table) == 8 * (3 + 1 + 1)


def test_undefined_and_not_computed_are_told_apart_and_never_zero():
    frame = rows(RUN)
    here = (frame["step"] == 2) & (frame["block"] == 8) & (frame["seed"] == 0)
    frame.loc[here, "stiffness_index"] = np.nan
    frame.loc[here, "reasons"] = json.dumps({"stiffness_index": "undefined: min Re λ = 0"})
    table = over_training.table(frame, "stiffness_index")
    gap = table[(table["step"] == 2) & (table["block"] == 8)].iloc[0]
    assert np.isnan(gap["mean"])
    assert (gap["state"], str(gap["reason"]), gap["n_undefined"]) == ("undefined", "undefined: min Re λ = 0", 4)
    lacking = over_training.table(frame, "largest_singular_value")
    assert set(lacking["state"]) == {"not computed"}


def test_a_block_that_is_not_square_says_so():
    table = over_training.table(rows(RUN, "branch"), "stiffness_index")
    not_square = table[table["block"].isin([3, 5, 7])]
    assert len(not_square)
    assert {reason.status for reason in not_square["reason"]} == {Status.NOT_SQUARE}


def test_accuracy_and_loss_by_step():
    frame = rows(RUN, images=5)
    steps = over_training.by_step(frame)
    first = frame[(frame["seed"] == 0) & (frame["step"] == 0)].drop_duplicates("image")
    at = steps[(steps["seed"] == 0) & (steps["step"] == 0)].iloc[0]
    assert at["accuracy"] == pytest.approx(first["correct"].mean())
    assert at["loss"] == pytest.approx(first["loss"].mean())
    assert (at["images"], at["accuracy_bundled"], at["loss_bundled"]) == (5, 0.1, 2.0)


def test_between_seeds_beside_between_images():
    table = over_training.between_seeds(rows(RUN), "stiffness_index").set_index("block")
    means = -8 - 10 - np.arange(3) / 10 + np.mean(np.arange(4) / 100)
    assert table.loc[8, "mean"] == pytest.approx(means.mean())
    assert table.loc[8, "std_seeds"] == pytest.approx(means.std(ddof=1))
    assert table.loc[8, "std_images"] == pytest.approx(np.std(np.arange(4) / 100, ddof=1))
    assert (table.loc[8, "n_seeds"], table.loc[8, "n_images"]) == (3, 4)


def test_between_seeds_uses_the_images_that_all_of_them_have():
    frame = rows(RUN)
    extra = (frame["seed"] == 1) & (frame["image"] == frame["image"].max())
    table = over_training.between_seeds(frame[~extra], "stiffness_index").set_index("block")
    assert set(table["n_images"]) == {3}
    without = frame[~((frame["seed"] == 2) & (frame["block"] == 8))]
    table = over_training.between_seeds(without, "stiffness_index").set_index("block")
    assert np.isnan(table.loc[8, "std_seeds"])
    assert table.loc[8, "reason"] is not None
    assert np.isfinite(table.loc[7, "std_seeds"])


def test_one_seed_has_no_spread_between_seeds():
    table = over_training.between_seeds(rows(made_up()), "stiffness_index")
    assert table["std_seeds"].isna().all()
    assert table["std_images"].notna().all()


def test_no_rows_are_empty_tables_and_other_rows_are_refused():
    nothing = pd.DataFrame()
    assert list(over_training.table(nothing, "stiffness_index").columns) == over_training.COLUMNS
    assert over_training.between_seeds(nothing, "stiffness_index").empty
    assert over_training.by_step(nothing).empty
    frame = rows(RUN)
    with pytest.raises(ValueError, match="rows without seed, step, checkpoint"):
        over_training.table(frame.drop(columns=["seed", "step", "checkpoint"]), "stiffness_index")
    with pytest.raises(ValueError, match="one convention"):
        over_training.table(pd.concat([frame, frame.assign(convention="block")]), "stiffness_index")
    with pytest.raises(ValueError, match="some of them twice"):
        over_training.by_step(pd.concat([frame, frame]))
