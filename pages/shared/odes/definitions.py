"""The definitions box of the Stiff ODEs page: each notion of stiffness with its source, and why signs matter."""

import streamlit as st

TEXT = r"""
| | Definition | Source |
|---|---|---|
| **Stiffness index** S | $\max \mathrm{Re}\,\lambda \;/\; \min \mathrm{Re}\,\lambda$ | the paper, Eq. 10. It is signed, and it is inverted in the textbook case: 0.001 for λ = −1 and −1000, and 1 for Eq. 8 alone |
| **Share of negative real parts** P | $100\cdot\#\{\mathrm{Re}\,\lambda < 0\}\;/\;\#\lambda$ | the paper, Eq. 11, read as its text and tables say; the equation as printed counts $\mathrm{Re}\,\lambda > 0$ |
| **Stiffness ratio** | $\max \lvert\mathrm{Re}\,\lambda\rvert \;/\; \min \lvert\mathrm{Re}\,\lambda\rvert$ over $\mathrm{Re}\,\lambda < 0$ | adapted from Lambert 1991, ch. 6, who assumes that all $\mathrm{Re}\,\lambda < 0$; undefined if none is |
| **Stability function** R(z) | $y_{n+1} = R(h\lambda)\,y_n$ on $y' = \lambda y$; stable where $\lvert R\rvert \le 1$ | Dahlquist 1963; Hairer and Wanner 1996, IV.2–3 |
| **Largest stable step** | $\min\, -2\,\mathrm{Re}\,\lambda / \lvert\lambda\rvert^2$ over $\mathrm{Re}\,\lambda < 0$ | forward Euler's disc $\lvert 1 + h\lambda\rvert \le 1$, solved for h |
| **Decay limit** | $2 / \max \lvert\mathrm{Re}\,\lambda\rvert$ over $\mathrm{Re}\,\lambda < 0$ | the same for the fastest decay alone, as if it did not oscillate; for another method, 2 becomes its real interval |

**Why signs matter.** An eigenvalue with $\mathrm{Re}\,\lambda < 0$ is a change that dies out. The equation forgets it; an
explicit method forgets it only if the step is small enough. That mismatch is stiffness. An eigenvalue with
$\mathrm{Re}\,\lambda > 0$ is a change that grows in the equation, and it is not stiffness. No *small* step makes it stable,
and with forward Euler no step at all; a large implicit step may damp it, but is then wrong about a solution that grows. A
count of large |λ| that ignores the sign mixes the two.

**What sets the largest stable step.** With $\varphi$, the angle between λ and the negative real axis, one eigenvalue allows forward
Euler the step $(2/\lvert\mathrm{Re}\,\lambda\rvert)\cos^2\varphi$. *A fast decay* (λ real) makes it small by $\lvert\mathrm{Re}\,\lambda\rvert$:
that is stiffness. *An oscillation that hardly decays* ($\varphi$ near 90°) makes it small by $\cos^2\varphi$, about $2\lvert\mathrm{Re}\,\lambda\rvert /
(\mathrm{Im}\,\lambda)^2$, however slow everything is. That is not stiffness: forward Euler's region contains no piece of the
imaginary axis. RK4's region does, up to 2.83, and allows a step of about $2.83 / \lvert\mathrm{Im}\,\lambda\rvert$ there. On this page a limit counts as set by decay where
$\lvert\mathrm{Im}\,\lambda\rvert \le \lvert\mathrm{Re}\,\lambda\rvert$, by oscillation elsewhere.

**What eigenvalues do not say.** They describe a linear equation as t → ∞. For a non-normal Jacobian and a single step
they can mislead (Higham and Trefethen 1993). Part 5 therefore computes the flow itself.

*Sources.* "Block-Level Stiffness Analysis of Residual Networks" (anonymous); J. D. Lambert, *Numerical Methods for Ordinary
Differential Systems*, 1991; E. Hairer and G. Wanner, *Solving Ordinary Differential Equations II*, 2nd ed. 1996;
S. C. Chapra and R. P. Canale, *Numerical Methods for Engineers*, Example 26.1; D. J. Higham and L. N. Trefethen, *Stiffness
of ODEs*, BIT 33, 1993; G. Dahlquist, *A special stability problem for linear multistep methods*, BIT 3, 1963.
"""


def show() -> None:
    """An expander below every part."""
    with st.expander("Definitions and sources", icon=":material/menu_book:"):
        st.markdown(TEXT)
