"""Which lines the page draws: networks at one image, or images of one network."""

from collections.abc import Sequence

import streamlit as st

from pages.shared.state import ask, choices, controls
from pages.shared.widgets import gallery
from stiffcore.figures.theme import Style
from stiffcore.growth.requests import Growth, GrowthRequest
from stiffcore.images import cifar10
from stiffcore.networks import catalogue

SIDES = {"networks": "Networks", "images": "Images"}
MOST = 6  # lines
WITH_DIRECTIONS = (0, 22, 12)  # images whose whole results ship


def lines(style: Style) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """The networks and the images: one of the two is single."""
    width = (
        295 if style.talk else 330
    )  # all controls in one row at 1280 pixels; talk mode has smaller controls in a smaller page
    side = controls.select("Compare", "between", SIDES, "networks")
    if side == "networks":
        networks = controls.several_of(
            "Networks", "through", controls.NETWORK_TITLES, _pair(), MOST, st.multiselect, width=width
        )
        return networks, gallery.choose(networks[0], WITH_DIRECTIONS[:1], at_most=1)
    network = controls.network(width=220)
    return (network,), gallery.choose(network, WITH_DIRECTIONS, at_most=MOST)


def _pair() -> tuple[str, ...]:
    """The network that the visitor looked at before, trained and untrained."""
    before = choices.asked_for("network") or "resnet18"
    source = before.partition("-")[0] if before in catalogue.NETWORKS else before
    untrained = f"{source}-untrained"
    there = [name for name in (source, untrained) if name in controls.NETWORK_TITLES]
    return tuple(there) or ("resnet18", "resnet18-untrained")


def requests(networks: Sequence[str], images: Sequence[int]) -> list[GrowthRequest]:
    return [GrowthRequest(ask.find_network(name), ask.find_image(image)) for name in networks for image in images]


def names(found: Sequence[Growth]) -> list[str]:
    """Of each line: the network where there are several, else the image."""
    several = len({growth.request.network for growth in found}) > 1
    return [_network(growth) if several else _image(growth) for growth in found]


def _network(growth: Growth) -> str:
    return growth.request.network.title or growth.request.network.name


def _image(growth: Growth) -> str:
    image, network = growth.request.image, growth.request.network
    label = image.label_among(network.classes)
    wrong = (
        f", seen as {network.class_name(growth.predicted)}"
        if growth.correct is False and growth.predicted is not None
        else ""
    )
    return f"image {image.name} · {label}{wrong}"


def line(found: Sequence[Growth], titles: Sequence[str]) -> Growth:
    """The line whose directions are drawn."""
    by_text = {_text(growth): (growth, title) for growth, title in zip(found, titles, strict=True)}
    shown = {text: title for text, (_, title) in by_text.items()}
    if choices.asked_for("direction") not in shown:
        choices.forget("direction")
    text = controls.select("Of", "direction", shown, next(iter(shown)), draw=st.selectbox, width=300)
    return by_text[text][0]


def _text(growth: Growth) -> str:
    return f"{growth.request.network.name}.{growth.request.image.in_rows}"


def label(growth: Growth) -> str:
    """``ResNet18 at image 0, a cat``."""
    image = growth.request.image
    name = image.label_among(growth.request.network.classes)
    return (
        f"{_network(growth)} at image {cifar10.name(image.number) if image.number is not None else image.name} ({name})"
    )
