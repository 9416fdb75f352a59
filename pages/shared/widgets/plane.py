"""How the complex plane is drawn: the axes' scale, points or density, and what the axes show."""

from pages.shared.state import controls, zoom
from stiffcore.figures.spectra import spectrum

MARKS_HELP = "Auto: points, and above 5,000 of them their density. So many points do not answer to the mouse."


def axes_and_marks(convention: str) -> tuple[str, str]:
    """Linear or arcsinh axes; points or their density."""
    # The slices' eigenvalues lie within hundredths of 0, their extremes at 1.
    axes = controls.one_of("Axes", "axes", spectrum.AXES, "arcsinh" if convention == "slices" else "linear")
    return axes, controls.one_of("Draw", "marks", spectrum.MARKS, "auto", help=MARKS_HELP)


def fit(convention: str, chart: str) -> str:
    """What the axes show; pressed once more, it ends the visitor's zoom of that chart."""
    fits = {name: title for name, title in spectrum.FITS.items() if name != "disc" or convention in spectrum.REGIONS}
    return controls.one_of("Fit", "fit", fits, "all", again=lambda: zoom.forget(chart))
