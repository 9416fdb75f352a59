"""Products with derivatives, in threads: a Dask worker and the app's jobs have several."""

from concurrent.futures import ThreadPoolExecutor

import torch
from torch import nn

from stiffcore.jacobians import layers

THREADS, TIMES = 4, 100


def test_forward_differentiation_in_threads_gives_each_its_own_product():
    """torch.func.jvp alone fails in nearly every one of these calls, or is silently wrong."""
    random = torch.Generator().manual_seed(0)
    module = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1)).double()
    module.requires_grad_(False)
    pairs = [torch.randn(2, 1, 8, 8, 8, generator=random, dtype=torch.float64) for _ in range(THREADS)]
    expected = [layers.jvp(module, x, v)[1] for x, v in pairs]

    def product(number: int) -> bool:
        x, v = pairs[number]
        return all(torch.equal(layers.jvp(module, x, v)[1], expected[number]) for _ in range(TIMES))

    with ThreadPoolExecutor(THREADS) as pool:
        assert list(pool.map(product, range(THREADS))) == [True] * THREADS
    assert not torch.equal(expected[0], expected[1])
