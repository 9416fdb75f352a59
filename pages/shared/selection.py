"""A point chosen in a scatter: its image, what the network makes of it, and the way to its spectrum."""

import pandas as pd
import streamlit as st

from pages.shared import controls, gallery
from stiffcore import catalogue, tables
from stiffcore.figures import wording
from stiffcore.row_values import main_reason


def chosen(event, known: set[int]) -> tuple[int, int | None] | None:
    """(image, block or None) of the first chosen point; checked, since it comes from the browser."""
    points = (event or {}).get("selection", {}).get("points", [])
    for point in points:
        data = point.get("customdata") or []
        data = list(data.values()) if isinstance(data, dict) else list(data)
        if data and isinstance(data[0], (int, float)) and int(data[0]) in known:
            return int(data[0]), int(data[1]) if len(data) > 1 else None
    return None


def one_point(
    event, rows: pd.DataFrame, metric: str, title: str, network: str, convention: str, block: int | str
) -> None:
    """The chosen image, or how to choose one. It becomes the image of the other pages. title: the metric's."""
    if rows.empty:
        return
    found = chosen(event, set(rows["image"]))
    if found is None:
        st.caption(":material/touch_app: Click a point to see its image.")
        return
    image, of_point = found
    block = of_point or block
    one = rows[rows["image"] == image]
    first = one.iloc[0]
    label, seen = (catalogue.LABELS[int(first[name])] for name in ("label", "predicted"))
    with st.container(border=True):
        picture, text = st.columns([1, 2], vertical_alignment="center")
        picture.html(
            f'<img src="{gallery.thumbnail(image)}" alt="{label}" style="width:84px;image-rendering:pixelated;border-radius:.3rem">'
        )
        value = _value(one, metric, tables.pool(rows, metric).blocks if block == tables.ALL else (block,))
        sign = "right" if first["correct"] else f"wrong: seen as {seen}"
        text.markdown(f"**Image {image}: {label}**  \n{sign}, loss {first['loss']:.3g}  \n{title} {value}")
        last = len(catalogue.blocks(network))
        of_block = last if block == tables.ALL else int(block)
        to = {"network": network, "images": str(image), "blocks": str(of_block), "convention": convention}
        label = f"Its spectrum at block {of_block}"
        st.page_link("pages/1_Spectrum.py", label=label, icon=":material/arrow_forward:", query_params=to)
    controls.choose("images", str(image))


def _value(one: pd.DataFrame, metric: str, blocks: tuple[int, ...]) -> str:
    """At a block, or the average over several."""
    kept = one[one["block"].isin(blocks)]
    values = tables.column(kept, metric).dropna()
    if not len(values):
        return main_reason(kept, metric)
    name = metric if metric in wording.METRIC_TITLES else "max_re"
    return wording.in_words(name, float(values.mean()))
