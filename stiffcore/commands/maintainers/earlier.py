"""Takes data/earlier_weights.json from the rows that ship: once, before other weights take their place."""

import json

from stiffcore.conventions import Convention
from stiffcore.errors import CannotCompute
from stiffcore.files import write_replaced
from stiffcore.networks import catalogue, manifest, registry as networks
from stiffcore.paper import earlier
from stiffcore.sweeps import shipping


def take() -> None:
    """Raises CannotCompute where rows are missing, and where the weights that ship are not those of the file any more."""
    rows = {network: shipping.rows(network, Convention.SLICES) for network in map(networks.find, catalogue.PAPER)}
    if lacking := [network.name for network, frame in rows.items() if frame.empty]:
        raise CannotCompute(f"There are no rows of {', '.join(lacking)}: run `python -m stiffcore rebuild` first.")
    if earlier.PATH.exists() and any(map(earlier.is_superseded, rows)):
        raise CannotCompute("Other weights ship already than those of earlier_weights.json: restore them first.")
    about = {
        network.name: {
            "accuracy": manifest.entry(network.name).accuracy,
            "epochs": manifest.entry(network.name).recipe.get("epochs"),
        }
        for network in rows
    }
    content = earlier.taken(rows, about)
    write_replaced(earlier.PATH, (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode())


if __name__ == "__main__":
    take()
