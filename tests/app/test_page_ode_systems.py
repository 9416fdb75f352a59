"""Part 3 of the Stiff ODEs page: two stiff systems, and numbers that do not depend on the solver."""

import numpy as np
import pytest

from pages.shared.odes import systems as ode_systems
from pages.shared.widgets import ode_table
from stiffcore.odes import stiff_systems
from tests.app.stiff_odes import metrics, trace


def test_robertson_shows_its_ratio_and_what_explicit_steps_would_cost(open_part):
    page = open_part("systems")
    portrait = stiff_systems.portrait("robertson")
    reached = f"{portrait.costs[0].times[-1]:.3g}"
    assert metrics(page)["Stiffness ratio at the end"] == ode_table.number(portrait.ratio[-1]) == "2·10¹⁴"
    assert metrics(page)["Fastest decay |Re λ| × T"] == "4·10¹⁴"
    assert metrics(page)["of the time it is undefined"] == "none"
    assert "0 by structure; it is left out" in page.texts("markdown")
    assert f"The explicit solver stops at t = {reached} of 4·10¹⁰" in page.texts("caption")
    figure, costs = page.figures
    np.testing.assert_array_equal(trace(figure, "both decay").y, portrait.ratio[1:])
    assert trace(costs, "RK45, explicit").y[-1] == portrait.costs[0].n_evaluations
    assert f"{reached} ✕" in page.html()


def test_van_der_pol_shows_where_the_ratio_is_undefined(open_part):
    page = open_part("systems", system="van_der_pol", mu="100")
    figure = page.figures[0]
    assert trace(figure, "undefined: nothing decays") is not None
    bands = [shape for shape in figure.layout.shapes if shape.type == "rect"]
    assert len(bands) == len(figure_stretches("van_der_pol", 100))
    shown = metrics(page)
    assert "Stiffness ratio at the end" not in shown
    assert shown["Largest stiffness ratio"] == "unbounded"
    assert shown["of the time, just one decays"] == "99.9 %"
    assert shown["of the time it is undefined"] == "0.0096 %"
    assert "an eigenvalue passes through 0 while the other one decays" in page.texts("caption")
    assert trace(figure, "grows (Re λ > 0)") is not None


@pytest.mark.parametrize(("name", "mu"), [("robertson", 1000), *(("van_der_pol", mu) for mu in (10, 100, 1000))])
def test_numbers_shown_describe_the_system_and_not_the_solvers_steps(name, mu):
    shown, tighter = (stiff_systems.portrait(name, mu, reference_rtol=rtol) for rtol in (1e-6, 3e-7))
    assert tighter.reference.finished
    assert tighter.reference.n_steps > 1.2 * shown.reference.n_steps
    assert ode_systems.numbers(shown) == ode_systems.numbers(tighter)


def figure_stretches(name: str, mu: int) -> list:
    from stiffcore.figures.odes import example as figures

    return figures.stretches(stiff_systems.portrait(name, mu).n_decaying == 0)
