"""Largest singular values of many products of a chain at a time, by block Krylov spaces in lockstep.

For A = J_k ⋯ J_1 (J_stem) a space is spanned by V, AᵀA V, (AᵀA)² V, …, kept orthonormal by two passes of Gram and Schmidt against all of
it (Golub and Van Loan, section 10.3.6); the eigenvalues of the projected AᵀA are the Ritz values, σ² from below. Each product is a
``Problem``; all of them, at every depth and from several starts, advance together, so that a block is applied once to the vectors of all
that reach it: batches are what convolutions are quick at. A problem that has converged leaves the batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from stiffcore.errors import CannotCompute
from stiffcore.growth.chain import Chain, Derived
from stiffcore.progress import Progress

CLOSE = (1e-6, 2e-3)  # change of a Ritz value θ in one step, and residual ‖AᵀA v − θ v‖, both over the largest θ
ROUGH = (1e-5, 1e-2)  # of a second start, which has to show only that the first one missed nothing
STRICT = (1e-9, 1e-4)  # of two starts that disagree
AGREES = 1e-4  # difference of two starts' θ over the largest θ
INVARIANT = 1e-5  # share of a product outside the space, below which it is rounding in float32
MOST_COLUMNS = 200  # of a space


@dataclass
class Problem:
    """The leading singular values of one product, from one start.

    depth: k; of_image: whether J_stem belongs to it, else it starts at the input of the first block; to_scores: whether J_head does.
    wanted: singular values; width: of the block. settled: when to stop: CLOSE, ROUGH or STRICT. is_whole: the space
    cannot grow.
    """

    depth: int
    of_image: bool
    seed: int
    to_scores: bool = False
    wanted: int = 1
    width: int = 1
    settled: tuple[float, float] = CLOSE
    basis: Tensor = field(default_factory=lambda: torch.empty(0, 0))  # rows: orthonormal, (columns of the space, n)
    projected: Tensor = field(default_factory=lambda: torch.zeros(0, 0, dtype=torch.float64))
    newest: Tensor = field(default_factory=lambda: torch.empty(0, 0))  # the last rows of the basis
    values: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.float64))  # Ritz values θ, descending
    vectors: Tensor = field(default_factory=lambda: torch.empty(0, 0))  # Ritz vectors as rows, (wanted, n)
    done: bool = False
    is_whole: bool = False

    def start(self, n: int) -> None:
        generator = torch.Generator().manual_seed(self.seed)
        drawn = torch.randn(min(self.width, n), n, generator=generator)
        self.newest = torch.linalg.qr(drawn.T).Q.T.contiguous()
        self.basis = self.newest
        self.wanted = min(self.wanted, n)

    def take(self, product: Tensor) -> None:
        """product: AᵀA of the newest rows. Extends the space, and says whether the wanted values have settled."""
        old, new = len(self.projected), len(self.basis)
        corner = (product.double() @ self.basis.T.double()).T  # (new, width): V AᵀA v
        grown = torch.zeros(new, new, dtype=torch.float64)
        grown[:old, :old] = self.projected
        grown[:, old:], grown[old:, :] = corner, corner.T
        self.projected = (grown + grown.T) / 2
        values, vectors = torch.linalg.eigh(self.projected)
        before, self.values = self.values, values.flip(0)[: self.wanted].clamp(min=0)
        left = product
        for _ in range(2):
            left = left - (left @ self.basis.T) @ self.basis
        q, r = torch.linalg.qr(left.T)
        residuals = (r.double() @ vectors.flip(1)[old:, : self.wanted]).norm(dim=0)
        is_full = new + len(self.newest) > min(MOST_COLUMNS, self.basis.shape[1])
        is_invariant = bool(left.norm() <= INVARIANT * self.values[0])  # what is left of the product is rounding
        self.is_whole = is_full or is_invariant or not self.values[0] > 0  # the zero map: dead blocks
        self.done = self.is_whole or self._has_settled(before, residuals)
        self.vectors = vectors.flip(1)[:, : self.wanted].T.float() @ self.basis
        if not self.is_whole:
            self.newest = q.T.contiguous()
            self.basis = torch.cat([self.basis, self.newest])

    def _has_settled(self, before: Tensor, residuals: Tensor) -> bool:
        if len(before) < self.wanted or len(self.values) < self.wanted:
            return False
        change, residual = (limit * self.values[0] for limit in self.settled)
        return bool(((self.values - before).abs() <= change).all() and (residuals <= residual).all())


def solve(chain: Chain, problems: Sequence[Problem], report: Progress) -> None:
    """Advances all problems that are not done until each is. report: called in every step; may raise Cancelled.

    Raises CannotCompute for a product that float32 does not hold.
    """
    for problem in problems:
        if not len(problem.basis):
            problem.start(chain.n_image if problem.of_image else chain.n_first)
    active = [problem for problem in problems if not problem.done]
    while active:
        report(len(problems) - len(active), len(problems), "leading directions, in float32")
        for problem, product in zip(
            active, normal_products(chain, active, [one.newest for one in active]), strict=True
        ):
            if not torch.isfinite(product).all():
                raise CannotCompute(
                    f"The network stretches changes so much that float32 does not hold them at block {problem.depth}: check its weights."
                )
            problem.take(product)
        active = [problem for problem in active if not problem.done]


def reconcile(chain: Chain, pairs: Sequence[tuple[Problem, Problem]], report: Progress) -> None:
    """Goes on where two starts disagree by more than AGREES: one of them may have settled on a smaller value."""
    for first, second in pairs:
        count = min(len(first.values), len(second.values))
        apart = (first.values[:count] - second.values[:count]).abs().max()
        if apart > AGREES * first.values[0]:
            for problem in (first, second):
                problem.settled, problem.done = STRICT, problem.is_whole
    solve(chain, [problem for pair in pairs for problem in pair], report)


def normal_products(chain: Chain, problems: Sequence[Problem], vectors: Sequence[Tensor]) -> list[Tensor]:
    """AᵀA v of the vectors of each problem, of shape (width, n) in their own precision, with one pass through the chain."""
    return backward(chain, problems, forward(chain, problems, vectors))


def forward(chain: Chain, problems: Sequence[Problem], vectors: Sequence[Tensor]) -> list[Tensor]:
    """A v, (width, n_k), of the vectors of each problem."""
    entered = _entered(chain, problems, vectors)
    outputs: list[Tensor] = [torch.empty(0)] * len(problems)
    order = sorted(range(len(problems)), key=lambda at: -problems[at].depth)  # those that go on stand in front
    flow = torch.cat([entered[at] for at in order])
    for number in range(1, problems[order[0]].depth + 1):
        flow = chain.step(number, flow)
        while order and problems[order[-1]].depth == number:
            at = order.pop()
            flow, outputs[at] = flow[: len(flow) - len(entered[at])], flow[len(flow) - len(entered[at]) :]
            if problems[at].to_scores:
                outputs[at] = _head(chain)(outputs[at])
    return outputs


def _entered(chain: Chain, problems: Sequence[Problem], vectors: Sequence[Tensor]) -> list[Tensor]:
    """The vectors at the input of the first block."""
    entered = list(vectors)
    at_image = [at for at, problem in enumerate(problems) if problem.of_image]
    if at_image:
        through = chain.enter(torch.cat([vectors[at] for at in at_image]))
        for at, part in zip(at_image, through.split([len(vectors[at]) for at in at_image]), strict=True):
            entered[at] = part
    return entered


def backward(chain: Chain, problems: Sequence[Problem], outputs: Sequence[Tensor]) -> list[Tensor]:
    """Aᵀ w, (width, n), of vectors at the last block of each problem."""
    order = sorted(range(len(problems)), key=lambda at: -problems[at].depth)
    waiting, flow = list(order), None
    for number in range(problems[order[0]].depth, 0, -1):
        arriving = [] if flow is None else [flow]
        while waiting and problems[waiting[0]].depth == number:
            at = waiting.pop(0)
            arriving.append(_head(chain).transpose(outputs[at]) if problems[at].to_scores else outputs[at])
        flow = chain.step_back(number, torch.cat(arriving))
    assert flow is not None  # a chain has a block
    parts = dict(zip(order, flow.split([len(outputs[at]) for at in order]), strict=True))
    back = [parts[at] for at in range(len(problems))]
    at_image = [at for at, problem in enumerate(problems) if problem.of_image]
    if at_image:
        through = chain.leave(torch.cat([back[at] for at in at_image]))
        for at, part in zip(at_image, through.split([len(back[at]) for at in at_image]), strict=True):
            back[at] = part
    return back


def _head(chain: Chain) -> Derived:
    assert chain.head is not None  # only a network with a head has scores
    return chain.head
