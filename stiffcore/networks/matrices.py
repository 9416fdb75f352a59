"""Square matrices in place of a network: its blocks are the matrices of a stack, and no image has a part in them."""

import torch
from torch import Tensor, nn


class Matrices(nn.Module):
    """One or several square matrices, float64; block k is the k-th, counted from 1."""

    def __init__(self, matrices: list[Tensor]):
        super().__init__()
        for number, matrix in enumerate(matrices, 1):
            self.register_buffer(f"matrix{number}", matrix.to(torch.float64))

    def matrix(self, number: int) -> Tensor:
        """float64, shape: (n, n)."""
        return self.get_buffer(f"matrix{number}")
