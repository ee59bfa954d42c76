"""Loss terms, unweighted: each function names its terms, the recipe holds the weights."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def relativistic(winner: Tensor, loser: Tensor) -> Tensor:
    """RpGAN (Jolicoeur-Martineau 2018): mean softplus of loser - winner; both (N,) logits, paired."""
    return F.softplus(loser - winner).mean()


def gradient_norms(logits: Tensor, picture: Tensor) -> Tensor:
    """Squared norms (N,) of the discriminator's gradient at `picture` (N, C, H, W): R1 on reals, R2 on fakes.

    Mescheder et al. 2018; the pictures must require gradients before the logits (N,) are computed.
    """
    (gradient,) = torch.autograd.grad(logits.sum(), picture, create_graph=True)
    return gradient.float().square().sum((1, 2, 3))


def gradient_penalty(logits: Tensor, picture: Tensor) -> Tensor:
    """The mean of `gradient_norms`."""
    return gradient_norms(logits, picture).mean()


def non_saturating(real: Tensor, fake: Tensor) -> Tensor:
    """Binary cross-entropy of the discriminator (Goodfellow et al. 2014) on (N,) logits."""
    return F.softplus(-real).mean() + F.softplus(fake).mean()
