"""Our rows as evidence for the paper's claims: every number with the same at resampled images. Needs no torch."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd

from stiffcore.conventions import Convention
from stiffcore.networks.network import Network
from stiffcore.paper import estimate, published
from stiffcore.paper.estimate import NOT_COMPUTED, UNDEFINED, Estimate, signed
from stiffcore.paper.evidence import Evidence
from stiffcore.statistics import correlation, label_spread, resampling, tables
from stiffcore.statistics.row_values import column, convention_of, is_undefined, reasons
from stiffcore.statistics.tables import ALL


@dataclass(frozen=True, eq=False)
class Resampled(Evidence):
    """Our rows, of one network, weights and convention. Images are drawn ``resampling.RESAMPLES`` times; an image keeps
    all its blocks together. Any metric of the rows can be asked for."""

    rows: pd.DataFrame = field(default_factory=pd.DataFrame)

    @cached_property
    def _drawn(self) -> np.ndarray:
        """How often each image is drawn: first each once, then the resamples; shape: (1 + resamples, images)."""
        images = len(self._images)
        seed = published.NETWORKS.index(self.network) if self.network in published.NETWORKS else 0
        drawn = resampling.weights(images, seed)  # networks are drawn independently
        return np.concatenate([np.ones((1, images)), drawn if images > 2 else np.full(drawn.shape, np.nan)])

    @cached_property
    def _images(self) -> np.ndarray:
        return np.unique(self.rows["image"]) if len(self.rows) else np.zeros(0)

    def _values(self, metric: str, blocks: Iterable[int]) -> np.ndarray:
        """A metric by image and block, NaN where there is none; shape: (images, blocks)."""
        wide = self.rows.assign(value=column(self.rows, metric)).pivot(index="image", columns="block", values="value")
        return wide.reindex(index=self._images, columns=list(blocks)).to_numpy(dtype=float)

    def lacking(self, metric: str, block: int) -> str:
        part = self.rows[self.rows["block"] == block] if len(self.rows) else self.rows
        if len(part) and np.isfinite(column(part, metric)).any():
            return ""
        return UNDEFINED if len(part) and is_undefined(reasons(part, metric)).any() else NOT_COMPUTED

    def counts(self, metric: str, blocks: Iterable[int]) -> dict[int, int]:
        blocks = list(blocks)
        return dict(zip(blocks, np.isfinite(self._values(metric, blocks)).sum(axis=0).tolist(), strict=True))

    def means(self, metric: str, blocks: Iterable[int]) -> np.ndarray:
        values = self._values(metric, blocks)
        known = np.isfinite(values)
        with np.errstate(invalid="ignore", divide="ignore"):  # a resample without a value has no mean
            means: np.ndarray = (self._drawn @ np.where(known, values, 0.0)) / (self._drawn @ known.astype(float))
        return means

    def label_ratio(self, metric: str) -> Estimate:
        pool = self.pools[metric]
        of_pool = np.isin(self._images, list(pool.images))
        values = self._values(metric, pool.blocks)[of_pool]
        labels = self.rows.drop_duplicates("image").set_index("image")["label"][self._images[of_pool]].to_numpy()
        drawn = self._drawn[:, of_pool]
        indicator = (labels[:, None] == np.unique(labels)).astype(float)
        with np.errstate(invalid="ignore", divide="ignore"):  # a label that is not drawn has no mean
            of_labels = (drawn @ (indicator * values.mean(axis=1, keepdims=True))) / (drawn @ indicator)
            of_blocks = drawn @ values / drawn.sum(axis=1, keepdims=True)
        return estimate.basic(label_spread.ratio(of_labels, of_blocks))

    def r(self, block: int | str, measure: str, outcome: str) -> Estimate | None:
        rows = self.rows if block == ALL else self.rows[self.rows["block"] == block]
        if rows.empty:
            return None
        if block == ALL:
            found = correlation.pooled(rows, measure, outcome, permutations=0)
        else:
            found = correlation.correlate(column(rows, measure), column(rows, correlation.OUTCOMES[outcome]))
        if found.reason is not None:
            return None
        left = correlation.given(rows, measure, outcome, permutations=0)
        note = (
            ""
            if left.reason
            else (f"given live fraction and label {signed(left.r)}, {signed(left.low)} to {signed(left.high)}")
        )
        return Estimate(found.r, found.low, found.high, note)

    @cached_property
    def pools(self) -> dict[str, tables.Pool]:
        return {metric: tables.pool(self.rows, metric) for metric in tables.SHOWN} if len(self.rows) else {}


def of_rows(rows: pd.DataFrame | None, network: Network, convention: Convention = published.CONVENTION) -> Resampled:
    """Our rows, of one network, weights and convention, as evidence. convention: used where there are no rows."""
    if rows is None or rows.empty:
        return Resampled(network.architecture, network.blocks, convention, 0)
    return Resampled(network.architecture, network.blocks, convention_of(rows), int(rows["image"].nunique()), rows)
