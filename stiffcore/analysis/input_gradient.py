"""The gradient of a network's cross-entropy at its input, also where the network is sure of the label."""

import torch
from torch import Tensor


def loss_gradient(scores: Tensor, labels: Tensor) -> Tensor:
    """(p − e_label) / (1 − p_label), float64 (n, classes): the loss's gradient at the scores, up to a positive factor.

    Backpropagated, it gives ∇L = Σ_j p_j ∇z_j − ∇z_label in the same direction however sure the network is. Autograd's own float32
    cross-entropy rounds p_label to 1 there, and −∇z_label is lost: at a loss of 2e-10 most signs of the gradient were wrong.
    """
    label = labels[:, None]
    others = torch.softmax(
        scores.double().scatter(1, label, -torch.inf), 1
    )  # p_j / (1 − p_label), j other than the label
    return others.scatter(1, label, -1.0)
