"""The card itself: float64 as exact as the host's."""

import pytest
import torch


@pytest.mark.cuda
def test_a_card_multiplies_in_float64():
    """TensorFloat-32, or a product in float32, would be off by 1e-4 or more."""
    generator = torch.Generator().manual_seed(0)
    here = torch.randn(64, 64, dtype=torch.float64, generator=generator)
    there = here.to(torch.device("cuda"))
    torch.testing.assert_close((there @ there).cpu(), here @ here, rtol=1e-12, atol=1e-12)
