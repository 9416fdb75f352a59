"""Each kind of request about a matrix, computed on a device and compared with the CPU."""

import numpy as np
import pytest
import torch

from stiffcore.analysis import block_metrics
from stiffcore.conventions import Convention
from stiffcore.jacobians.linearise import BlockState
from stiffcore.metrics import definitions
from stiffcore.progress import silent
from stiffcore.spectra.full import matching_distance

AGREE = 1e-10  # relative to the size of a metric, or of the spectrum
QUANTITIES = ("norms", "extremes", "counts", "spectrum")


def computed(state: BlockState, convention: Convention, quantity: str) -> block_metrics.Computed:
    return block_metrics.of_matrix(state, convention, quantity, silent)


def check_agreement(here: block_metrics.Computed, there: block_metrics.Computed) -> None:
    """Both have the same metrics, reasons, arrays and, if any, proof."""
    (metrics, reasons), (others, other_reasons) = (definitions.of(side[0]) for side in (here, there))
    assert reasons == other_reasons
    assert others == pytest.approx(metrics, rel=AGREE, abs=AGREE, nan_ok=True)
    assert there[1].keys() == here[1].keys()
    if "singular_values" in here[1]:
        np.testing.assert_allclose(there[1]["singular_values"], here[1]["singular_values"], rtol=AGREE, atol=AGREE)
    if "eigenvalues" in here[1]:
        size = max(1.0, float(np.abs(here[1]["eigenvalues"]).max(initial=0.0)))
        # What rounding does to an eigenvalue of a matrix that is far from normal, either side says itself.
        allowed = max(AGREE * size, here[2]["tolerance"])
        assert matching_distance(here[1]["eigenvalues"], there[1]["eigenvalues"]) <= allowed
    proofs = [side[3].get("certificate", {}).get("kind") for side in (here, there)]
    assert proofs[0] == proofs[1]


def on(state: BlockState, where: torch.device, convention: Convention, quantity: str) -> block_metrics.Computed:
    """What is computed where the state is moved to."""
    return computed(state.to(where), convention, quantity)
