"""The paper's tables, for the tests that take each of them."""

from stiffcore.paper import published


def kinds_and_networks() -> list[tuple[int, str, str]]:
    """(number, kind, network) of every table of the paper, in its order."""
    found = [
        (published.number(network, kind), kind, network) for network in published.NETWORKS for kind in published.KINDS
    ]
    return sorted(entry for entry in found if entry[0] is not None)
