"""The Spectrum page through depth: the blocks of one network at one image, one after the other on locked axes."""

from collections.abc import Sequence

import streamlit as st

from pages.shared.jobs import computing
from pages.shared.shell import scenes
from pages.shared.state import ask, choices, controls
from pages.shared.widgets import gallery, panels, plane, player, stability_overlay
from stiffcore.analysis.results import Result
from stiffcore.conventions import Convention
from stiffcore.errors import CannotCompute
from stiffcore.figures.spectra import spectrum, spectrum_table, through_depth
from stiffcore.figures.spectra.played import Look
from stiffcore.figures.theme import Style

SECONDS_A_BLOCK = 1.2  # while it plays


def show(network: str, convention: Convention, style: Style) -> None:
    """Choose an image and a look; see the stored blocks; offers to compute the missing ones."""
    asked = ask.find_network(network)
    numbers = [block.block for block in asked.blocks]
    first, others = panels.looks(panels.row(), style)
    with first:
        axes, marks = plane.axes_and_marks(convention)
        fit = plane.fit("depth-player", convention)
    of_eigenvalues = [block.block for block in asked.blocks if block.is_identity]
    with others:
        overlay = stability_overlay.choose(network, of_eigenvalues, convention)
    image = 0
    if asked.takes_images:
        with panels.row():
            (image,) = gallery.choose(network, gallery.first_of_each_label()[3:4], at_most=1)
            gallery.strip(network, [image], {image: style.colour(0)})
    at = _at(network)
    controls.notes()
    requests = [ask.request(network, image, number, convention) for number in numbers]
    title = f"{asked.title}, all {asked.nouns} ({convention})"
    with panels.error_boundary():
        by_block = {result.request.block: result for result in computing.results(requests, title)}
        blocks = {number: by_block.get(number) for number in numbers}
        if not any("singular_values" not in result.arrays for result in by_block.values()):
            st.info(f"No {asked.noun} is stored yet: compute all {asked.nouns}, then play.", icon=":material/info:")
            controls.copy_link()
            return
        _draw(blocks, convention, style, Look(fit, axes, marks, overlay.regions, overlay.step), at, title)


def _at(network: str) -> int:
    """The block that is shown first: from the figure's report or from a link."""
    asked = ask.find_network(network)
    numbers = [block.block for block in asked.blocks]

    def parse(text: str) -> int:
        if not text.isdecimal() or int(text) not in numbers:
            raise CannotCompute(f"Expected a {asked.noun} of {network} from 1 to {numbers[-1]}, got {text[:80]!r}.")
        return int(text)

    if choices.changed("depth of", network):
        choices.forget("at")
    return choices.current("at", numbers[0], parse)


def _draw(blocks: through_depth.Blocks, convention: Convention, style: Style, look: Look, at: int, title: str) -> None:
    results = [result for result in blocks.values() if result is not None]
    request = results[0].request
    figure = through_depth.figure(blocks, convention, style, look, at)
    labels = [str(number) for number in blocks]
    # Page Down and Page Up belong to the scenes where one is on.
    player.buttons("depth-player", "Through depth", labels, "at", SECONDS_A_BLOCK, scenes.is_on())
    panels.chart(figure, "depth-player", through_depth.alt_text(blocks, request.network))
    _thinned(results, look.marks)
    missing = [str(number) for number, result in blocks.items() if result is None]
    if missing:
        st.caption(
            f"Not computed: {request.network.noun} {', '.join(missing)}. Their frames say so; the axes fit the others."
        )
    computing.badge(results, title)
    name = f"depth-{request.network.name}-{convention}" + (
        f"-{request.image.in_rows}" if request.network.takes_images else ""
    )
    panels.downloads(
        figure, spectrum_table.points(results), name, title, spectrum_table.python([r.request for r in results])
    )
    panels.equivalent_table(
        spectrum_table.metrics(results), f"Every metric of every {request.network.noun} that is stored."
    )


def _thinned(results: Sequence[Result], marks: str) -> None:
    """Says which blocks show only some of their eigenvalues, and which are drawn as a density."""
    for result in results:
        count, total = spectrum.drawn_and_all([result], marks)
        if count < total:
            st.caption(
                f"{result.request.geometry.title}: showing {count:,} of {total:,} eigenvalues, including the extremes."
            )
    dense = [str(r.request.block) for r in results if spectrum.is_density([r], marks)]
    if dense:
        network = results[0].request.network
        blocks = f"{network.noun if len(dense) == 1 else network.nouns} {', '.join(dense)}"
        st.caption(f"Drawn as a density of all eigenvalues: {blocks}. The outlined extremes are single eigenvalues.")
