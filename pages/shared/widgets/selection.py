"""A point chosen in a scatter: its image, the network's prediction, and a link to its spectrum."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from pages.shared.state import ask, choices, controls
from pages.shared.widgets import gallery
from stiffcore.conventions import Convention
from stiffcore.figures import wording
from stiffcore.figures.statistics import depth
from stiffcore.images import cifar10
from stiffcore.networks import catalogue
from stiffcore.statistics import tables
from stiffcore.statistics.row_values import filled, main_reason


def _points(event) -> list[dict]:
    return (event or {}).get("selection", {}).get("points", [])


def _customdata(point: dict) -> list:
    data = point.get("customdata") or []
    return list(data.values()) if isinstance(data, dict) else list(data)


def chosen(event, known: set[int]) -> tuple[int, int | None] | None:
    """(image, block or None) of the first chosen point; checked, since it comes from the browser."""
    for point in _points(event):
        data = _customdata(point)
        if data and isinstance(data[0], (int, float)) and int(data[0]) in known:
            return int(data[0]), int(data[1]) if len(data) > 1 else None
    return None


def one_point(
    event, rows: pd.DataFrame, metric: str, title: str, network: str, convention: Convention, block: int | str
) -> None:
    """The chosen image, or how to choose one. It becomes the image of the other pages. title: the metric's."""
    if rows.empty:
        return
    picked = chosen(event, set(rows["image"]))
    if picked is None:
        st.caption(":material/touch_app: Click a point to see its image.")
        return
    image, of_point = picked
    block = of_point or block
    of_image = filled(rows, [metric])[rows["image"] == image]
    first = of_image.iloc[0]
    asked = ask.find_network(network)
    label, seen = (gallery.class_name(asked, int(first[name])) for name in ("label", "predicted"))
    with st.container(border=True):
        picture, text = st.columns([1, 2], vertical_alignment="center")
        picture.html(
            f'<img src="{gallery.thumbnail(image)}" alt="{label}" style="width:84px;image-rendering:pixelated;border-radius:.3rem">'
        )
        value = _value(of_image, metric, tables.pool(rows, metric).blocks if block == tables.ALL else (block,))
        sign = "right" if first["correct"] else f"wrong: seen as {seen}"
        text.markdown(f"**Image {image}: {label}**  \n{sign}, loss {first['loss']:.3g}  \n{title} {value}")
        last = len(catalogue.blocks(network))
        of_block = last if block == tables.ALL else int(block)
        to = {"network": network, "images": str(image), "blocks": str(of_block), "convention": convention.value}
        label = f"Its spectrum at block {of_block}"
        st.page_link("pages/1_Spectrum.py", label=label, icon=":material/arrow_forward:", query_params=to)
    shared = {"network": network, "convention": convention.value, "images": str(image)}
    if block != tables.ALL:
        shared["blocks"] = str(block)
    for name, text in shared.items():  # of the other pages
        choices.choose(name, text)


def one_block(event, panels: depth.Panels, images: Sequence[int]) -> None:
    """A clicked bar or image's mark of the figure along the depth: its block becomes the block of the other pages."""
    picked = next((mark for point in _points(event) if (mark := _block(point, panels, images))), None)
    if picked is None:
        st.caption(":material/touch_app: Click a bar to choose its block for the other pages.")
        return
    block, network, convention, image = picked
    to = {"network": network, "convention": convention.value, "blocks": str(block)}
    to["images"] = ",".join(map(str, images)) if image is None else str(image)
    for name in ("network", "convention", "blocks"):  # not the image: the figure itself shows several
        choices.choose(name, to[name])
    where = f"{controls.NETWORK_TITLES[network]}, block {block}, {convention.title}"
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        st.markdown(f"**{controls.escape_markdown(where)}** is chosen.", width="content")
        label = (
            "Its spectrum"
            if image is None
            else f"Its spectrum at image {controls.escape_markdown(cifar10.name(image))}"
        )
        st.page_link("pages/1_Spectrum.py", label=label, icon=":material/arrow_forward:", query_params=to)


def _block(point: dict, panels: depth.Panels, images: Sequence[int]) -> tuple[int, str, Convention, int | None] | None:
    """(block, network, convention, image or None) of a chosen mark; checked, since it comes from the browser."""
    data = _customdata(point)
    if len(data) < len(depth.IDS):
        return None
    *others, block, network, convention = data
    if not all(isinstance(name, str) for name in (network, convention)) or (network, convention) not in panels:
        return None
    if not isinstance(block, int | float) or block not in set(panels[network, convention]["block"]):
        return None
    image = others[0] if len(others) == 1 and others[0] in images else None
    return int(block), network, Convention(convention), image if image is None else int(image)


def _value(of_image: pd.DataFrame, metric: str, blocks: tuple[int, ...]) -> str:
    """At a block, or the average over several."""
    kept = of_image[of_image["block"].isin(blocks)]
    values = tables.column(kept, metric).dropna()
    if not len(values):
        return str(main_reason(kept, metric))
    return wording.in_words(metric, float(values.mean()))
