"""Item 4 of the benchmark: the formation of the core."""

from typing import cast

import torch
from torch.utils.flop_counter import FlopCounterMode

from stiffcore.benchmarks.cases import Case
from stiffcore.benchmarks.timing import Comparison, Contender
from stiffcore.conventions import Convention
from stiffcore.jacobians import deflation
from stiffcore.jacobians.linearise import BlockState

RATE_SIDE = 2048  # side of the float64 matrix product that measures the machine's rate; takes about half a second
FORMATION, PRODUCT = "core formation", f"float64 product of side {RATE_SIDE:,}"


def comparison_of(case: Case) -> Comparison:
    """Forming the core, and a plain matrix product that measures the rate of the machine."""
    plan = deflation.plan(case.state, Convention.BLOCK)
    generator = torch.Generator().manual_seed(0)
    square = torch.randn(RATE_SIDE, RATE_SIDE, dtype=torch.float64, generator=generator)
    contenders = [
        Contender(FORMATION, None, lambda: deflation.form_core(case.state, Convention.BLOCK)),
        Contender(PRODUCT, lambda _: square @ square),
    ]
    facts = {
        "core_side": plan.side,
        "core_layers": list(plan.layers),
        "convention": Convention.BLOCK,
        "flops": flops(case.state),
    }
    return Comparison(
        "4", f"formation of {case.title}'s core, block, float64, on cpu", case.facts | facts, contenders, []
    )


def flops(state: BlockState) -> int:
    """Floating-point operations, 2·m·n·k each, of all matrix products in form_core."""
    with FlopCounterMode(display=False) as counter:
        deflation.form_core(state, Convention.BLOCK)
    total: int = counter.get_total_flops()
    return total


def product_shares(comparison: Comparison) -> list[float]:
    """Per round: the seconds of the formation divided by those of its products at the rate of the plain product."""
    flops_of_product = 2 * RATE_SIDE**3
    return [
        formed / (needed * product / flops_of_product)
        for formed, product in zip(comparison.seconds([FORMATION]), comparison.seconds([PRODUCT]))
        if (needed := cast(int, comparison.facts["flops"]))  # of this type in comparison_of
    ]
