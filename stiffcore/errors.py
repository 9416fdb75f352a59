"""Exceptions that are not bugs: what a user can repair, and a cancelled computation."""


class CannotCompute(Exception):
    """A request that cannot be met. The message, one sentence for the user, says what is wrong and what to do."""


class NotEnoughMemory(CannotCompute):
    """A request that does not fit into a device's memory; another device may have more."""


def not_finite(where: str) -> CannotCompute:
    """The refusal of NaN or infinite weights. where: what they made so, like "a block's core"."""
    return CannotCompute(f"Expected finite weights, got NaN or infinity in {where}: check the weights.")


class Cancelled(Exception):
    """A computation that was stopped between two stages: somebody cancelled it, or nobody watches it any more."""
