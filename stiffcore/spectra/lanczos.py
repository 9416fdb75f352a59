"""The outermost eigenvalues of symmetric operators by Lanczos' method, several iterations in lockstep.

    A V_j = V_j T_j + β v_{j+1} e_jᵀ,    T_j u = θ u   =>   ‖A V_j u − θ V_j u‖ = β |u_j|

One basis has both ends of the spectrum. Every vector is orthogonalised against the whole basis; where that would be too large, or gains
nothing, it restarts from the Ritz vectors of both ends (thick restart: Wu and Simon 2000, SIAM J. Matrix Anal. Appl. 22). All iterations
that have not ended take their next vector through the operator as one batch. A Ritz value is never outside the spectrum, and some
eigenvalue lies within its residual: where the starts differ, the outermost is the better one.
Source: Parlett, The Symmetric Eigenvalue Problem (1998), ch. 11 and 13.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from stiffcore.device import CPU
from stiffcore.progress import Progress, silent

TOLERANCE = 1e-6  # of a residual, relative to the largest |θ|; an eigenvalue's error is its square over a gap
MOST_PRODUCTS = 800  # of one iteration
BREAKDOWN = 100 * np.finfo(float).eps  # of β, relative to the operator's size: the basis then is invariant
FIRST_LOOK, LOOK_EVERY = 8, 5  # vectors between two solutions of the projected problem
CANCELLED = 0.1  # a vector that orthogonalisation shortens by more is orthogonalised again
LARGEST_BASIS, SMALLEST_BASIS = 240, 24  # vectors
BASES_MEMORY = 10**9  # bytes of all bases together

# rows (batch, side), and the kind of each; the rows of a kind stand together -> (batch, side)
Product = Callable[[Tensor, Sequence[str]], Tensor]


@dataclass(frozen=True)
class Iteration:
    """What to iterate: an operator by its kind, eigenvalues at the ends of its spectrum (0, 1, … from the lowest, -1, -2, … from the
    highest), a random start, and the residual, relative to the largest |θ|, at which they count as settled; None: ``TOLERANCE``."""

    kind: str
    ends: tuple[int, ...]
    seed: int
    tolerance: float | None = None


@dataclass(frozen=True)
class Found:
    """What one iteration found at each of its ends, in their order.

    values: Rayleigh quotients vᵀAv, ‖v‖ = 1; residuals: ‖Av − θv‖, recomputed; settled: whether all are within the tolerance.
    """

    values: tuple[float, ...]
    residuals: tuple[float, ...]
    settled: bool
    products: int


def outermost(
    product: Product,
    side: int,
    iterations: Sequence[Iteration],
    progress: Progress = silent,
    where: torch.device = CPU,
) -> list[Found]:
    """What each iteration finds. side: of every operator, 1 or more. Iterations of a kind stand together. where: the device of their vectors."""
    room = int(np.clip(BASES_MEMORY // (8 * side * len(iterations)), SMALLEST_BASIS, LARGEST_BASIS))
    running = [_Running(one, side, min(room, side), where) for one in iterations]
    while active := [one for one in running if not one.ended]:
        progress(0, 0, f"logarithmic norms and norms by Lanczos, {active[0].products + 1} vectors")
        images = product(torch.stack([one.last for one in active]), [one.iteration.kind for one in active])
        for one, image in zip(active, images, strict=True):
            one.extend(image)
    vectors = torch.cat([one.vectors for one in running])
    images = product(vectors, [one.iteration.kind for one in running for _ in one.iteration.ends])
    values = (vectors * images).sum(1)
    residuals = torch.linalg.norm(images - values[:, None] * vectors, dim=1)
    found, at = [], 0
    for one in running:
        here = slice(at, at := at + len(one.vectors))
        found.append(Found(tuple(values[here].tolist()), tuple(residuals[here].tolist()), one.settled, one.products))
    return found


def lowest(
    product: Callable[[Tensor], Tensor],  # float64 (side,) -> (side,)
    side: int,
    wanted: int,
    tolerance: float,
    most: int,
    where: torch.device = CPU,
) -> tuple[np.ndarray, Tensor]:
    """The lowest eigenvalues of a symmetric operator, ``wanted`` of them or those that settled in ``most`` products, and their vectors.

    float64, shapes (found,) and (found, side); wanted < side. The values come to the host, the vectors stay on the device. A Krylov space
    holds one vector of each eigenspace: where it closes, a random vector orthogonal to it begins another one, until one brings no lower
    value. Raises LinAlgError for an operator that is not finite.
    """
    room = int(np.clip(BASES_MEMORY // (8 * side), SMALLEST_BASIS, LARGEST_BASIS))
    iteration = Iteration("", tuple(range(wanted)), 0, tolerance)
    one = _Running(iteration, side, min(max(room, 4 * wanted), side), where, most)
    while not one.ended:
        one.extend(product(one.last))
    values, weights = one._ritz()
    small = one.left_over * np.abs(weights[-1, :wanted]) <= tolerance * np.abs(values).max()
    chosen = np.flatnonzero(small)
    vectors = torch.from_numpy(np.ascontiguousarray(weights[:, chosen].T)).to(where) @ one.basis[: one.size]
    return values[chosen], vectors


class _Running:
    """One iteration: its basis, and the operator projected on it."""

    def __init__(self, iteration: Iteration, side: int, room: int, where: torch.device, most: int | None = None):
        """most: products; it is given where eigenvalues count as often as they occur, and None for ``MOST_PRODUCTS``."""
        self.iteration, self.room, self.whole = iteration, room, side
        self.tolerance = TOLERANCE if iteration.tolerance is None else iteration.tolerance
        self.most, self.repeated = MOST_PRODUCTS if most is None else most, most is not None
        self.closed: np.ndarray | None = None  # the values at the ends when the space was closed before
        self.basis = torch.empty(min(room + 1, side), side, dtype=torch.float64, device=where)  # a vector a row
        self.projected = self.basis.new_zeros(room, room)  # its upper triangle; comes to the host at the looks only
        start = np.random.default_rng(iteration.seed).standard_normal(side)
        self.basis[0] = torch.from_numpy(start / np.linalg.norm(start)).to(where)
        self.size, self.look, self.products, self.restarted = 0, FIRST_LOOK, 0, 0
        self.ended = self.settled = False
        self.left_over = 0.0

    @property
    def last(self) -> Tensor:
        return self.basis[self.size]

    @property
    def vectors(self) -> Tensor:
        """A Ritz vector for each end, as rows of length 1."""
        _, weights = self._ritz()
        rows = self._combined(weights[:, list(self.iteration.ends)])
        return rows / torch.linalg.norm(rows, dim=1, keepdim=True)

    def _combined(self, weights: np.ndarray) -> Tensor:
        """The basis times a few columns of weights, as rows."""
        few = torch.from_numpy(np.ascontiguousarray(weights.T)).to(self.basis.device)
        return few @ self.basis[: self.size]

    def extend(self, image: Tensor) -> None:
        """Takes the operator's image of the last vector, and ends or has a next one."""
        # Its components along the last two vectors are large, those along others rounding, but for the first one after a restart.
        image = self._without(image, max(0, self.size - 1) if self.size != self.restarted else 0)
        before = float(torch.linalg.norm(image))
        image = self._without(image)
        length = float(torch.linalg.norm(image))
        if length < CANCELLED * before:
            image = self._without(image)
            length = float(torch.linalg.norm(image))
        self.size, self.products = self.size + 1, self.products + 1
        invariant = length <= BREAKDOWN * float(self.projected.abs().max()) or self.size == self.whole
        full = self.size == self.room or self.products == self.most
        if invariant or full or self.size >= self.look:
            self._look(0.0 if invariant else length, full)
        if not self.ended:
            self.basis[self.size] = self._fresh() if invariant else image / length

    def _fresh(self) -> Tensor:
        """A random vector orthogonal to the basis, which is invariant."""
        basis = self.basis[: self.size]
        random = np.random.default_rng([self.iteration.seed, self.products]).standard_normal(self.whole)
        vector = torch.from_numpy(random / np.linalg.norm(random)).to(basis.device)
        for _ in range(2):
            vector = torch.addmv(vector, basis.T, basis @ vector, alpha=-1)
            vector = vector / torch.linalg.norm(vector)
        return vector

    def _without(self, image: Tensor, first: int = 0) -> Tensor:
        """The image without its components along the basis from a vector on, which the projection takes up."""
        basis = self.basis[first : self.size + 1]
        components = basis @ image
        self.projected[first : self.size + 1, self.size] += components
        return torch.addmv(image, basis.T, components, alpha=-1)

    def _ritz(self) -> tuple[np.ndarray, np.ndarray]:
        projected = self.projected[: self.size, : self.size].cpu().numpy()
        if not np.isfinite(projected).all():
            raise np.linalg.LinAlgError("Expected a finite operator.")
        return np.linalg.eigh(projected, UPLO="U")

    def _look(self, length: float, full: bool) -> None:
        values, weights = self._ritz()
        self.left_over = length
        ends = [end for end in self.iteration.ends if -self.size <= end < self.size]
        allowed = self.tolerance * np.abs(values).max()
        few = len(ends) < len(self.iteration.ends)
        self.settled = not few and bool((length * np.abs(weights[-1, ends]) <= allowed).all())
        if self.repeated and length == 0 and self.size < self.whole:
            before, self.closed = self.closed, None if few else values[ends]
            self.settled = (
                self.settled and before is not None and bool((np.abs(before - values[ends]) <= allowed).all())
            )
        self.ended = self.settled or self.products >= self.most
        self.look = self.size + LOOK_EVERY
        if full and not self.ended:
            self._restart(values, weights)

    def _restart(self, values: np.ndarray, weights: np.ndarray) -> None:
        """Keeps the Ritz vectors next to each end; the next column of the projection couples them to the next vector."""
        ends = {end >= 0 for end in self.iteration.ends}
        kept = self.room // (4 * len(ends))
        low, high = (range(kept) if True in ends else range(0)), range(self.room - kept, self.room)
        chosen = [*low, *(high if False in ends else ())]
        self.basis[: len(chosen)] = self._combined(weights[:, chosen])
        self.projected.zero_()
        self.projected.diagonal()[: len(chosen)] = torch.from_numpy(values[chosen]).to(self.basis.device)
        self.size = self.restarted = len(chosen)
        self.look = self.size + LOOK_EVERY
