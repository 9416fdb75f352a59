"""How much x' = Jx can grow within a block's time: ‖exp(tJ)‖₂, without forming J or its exponential.

    exp(tJ) v = Σ (t/s J)ᵏ/k! v, s times;      ‖exp(tJ)‖₂² = largest eigenvalue of exp(tJ)ᵀ exp(tJ), by Lanczos' method

All times in lockstep: one batch through the convolutions serves all of them. Source: Al-Mohy and Higham 2011, SIAM J. Sci. Comput. 33 (the
action of the exponential by Taylor's series).
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from stiffcore.conventions import Convention
from stiffcore.jacobians import products
from stiffcore.jacobians.linearise import BlockState
from stiffcore.jacobians.products import Product
from stiffcore.progress import Progress, silent
from stiffcore.spectra import lanczos
from stiffcore.spectra.lanczos import Iteration

LONGEST_STEP = 4.0  # times ‖J‖₂, of one series: e^(2·4) = 3,000 roundings are lost to cancellation
NEGLIGIBLE = 2.0**-53  # a term relative to the sum
MOST_TERMS = 60  # 4^60/60! = 2e-46


def norms_of_exponential(
    state: BlockState, convention: Convention, times: np.ndarray, norm: float, progress: Progress = silent
) -> np.ndarray:
    """‖exp(tJ)‖₂ of a square J at each time, NaN where Lanczos' method does not settle; float64, shape of times.

    norm: ‖J‖₂, or an upper bound.
    """
    of_block = products.of_block(state, convention)
    steps = max(1, int(np.ceil(norm * float(np.abs(times).max(initial=0.0)) / LONGEST_STEP)))
    at = {repr(time): time for time in times.tolist()}

    def product(vectors: Tensor, kinds: Sequence[str]) -> Tensor:
        scale = torch.tensor([[at[kind] / steps] for kind in kinds], dtype=torch.float64)
        return exponential(of_block.backward, scale, exponential(of_block.forward, scale, vectors, steps), steps)

    found = lanczos.outermost(product, of_block.shape[1], [Iteration(kind, (-1,), 0) for kind in at], progress)
    squares = {at[kind]: one.values[0] if one.settled else np.nan for kind, one in zip(at, found, strict=True)}
    return np.sqrt([squares[time] for time in times.tolist()])


def exponential(product: Product, scale: Tensor, vectors: Tensor, steps: int = 1) -> Tensor:
    """exp(steps · scale · J) v for rows v; scale: (rows, 1)."""
    for _ in range(steps):
        total = term = vectors
        for k in range(1, MOST_TERMS):
            term = product(term) * (scale / k)
            total = total + term
            if float(torch.linalg.norm(term)) <= NEGLIGIBLE * float(torch.linalg.norm(total)):
                break
        vectors = total
    return vectors
