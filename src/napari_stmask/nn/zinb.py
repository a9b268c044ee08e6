"""Zero-inflated negative binomial: likelihood, and a decoder whose mean is a rate per molecule."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .layers import linear

__all__ = ["ZINBDecoder", "bounded_exp", "zinb_loss", "zinb_parameters"]

_EPS = 1e-10


def zinb_loss(
    x: Tensor, mean: Tensor, dispersion: Tensor, dropout: Tensor, *, ridge: float = 0.0
) -> Tensor:
    """Mean negative log-likelihood of ``x`` under the ZINB, plus ``ridge * mean(dropout^2)``.

    With ``pi`` the dropout probability, ``theta`` the inverse dispersion and ``mu`` the mean
    (Eraslan et al., DCA, Nature Communications 10, 390, 2019): zeros have probability
    ``pi + (1 - pi) (theta / (theta + mu))^theta``, other values ``(1 - pi) NB(x; mu, theta)``.
    The gamma functions are evaluated only where ``x`` is not 0.

    Parameters
    ----------
    x
        (n, g) counts or other non-negative values.
    mean, dispersion, dropout
        (n, g): mu > 0, theta > 0, pi in (0, 1).
    ridge
        Weight of the penalty on pi.
    """
    own = torch.log(dispersion + _EPS)
    gap = torch.log(dispersion + mean + _EPS) - own
    zero = -torch.log(dropout + (1 - dropout) * torch.exp(-dispersion * gap) + _EPS)
    at = (x >= 1e-8).nonzero(as_tuple=True)
    v, mu, theta, pi = x[at], mean[at], dispersion[at], dropout[at]
    seen = (
        torch.lgamma(theta + _EPS)
        + torch.lgamma(v + 1)
        - torch.lgamma(v + theta + _EPS)
        + (theta + v) * gap[at]
        + v * (own[at] - torch.log(mu + _EPS))
        - torch.log(1 - pi + _EPS)
    )
    total = (zero.sum() - zero[at].sum() + seen.sum()) / x.numel()
    return total + ridge * dropout.square().mean() if ridge else total


def bounded_exp(x: Tensor, low: float, high: float) -> Tensor:
    """``exp(x)`` clipped to [low, high].

    Clipped first: past the largest float the gradient of the exponential would be 0 * infinity.
    """
    return torch.exp(x.clamp(math.log(low), math.log(high)))


def zinb_parameters(raw: Tensor, *, least: float) -> tuple[Tensor, Tensor, Tensor]:
    """The ZINB of each gene from the three outputs of a linear layer.

    Parameters
    ----------
    raw
        (n, 3 n_genes).
    least
        Smallest mean.

    Returns
    -------
    mean, dispersion, dropout
        (n, n_genes) each: ``exp`` within [least, 1e6], softplus within [1e-4, 1e4], sigmoid.
    """
    mean, dispersion, dropout = raw.chunk(3, dim=1)
    return (
        bounded_exp(mean, least, 1e6),
        F.softplus(dispersion).clamp(1e-4, 1e4),
        torch.sigmoid(dropout),
    )


class ZINBDecoder(nn.Module):
    """From an embedding to the ZINB of each gene.

    ``R = ReLU(BatchNorm(Z P + p))``; three linear heads on R give ``logit pi``, ``theta`` through
    a softplus and ``log`` of the rate; the mean is the rate times the spot's size factor.

    Parameters
    ----------
    width, hidden, n_genes
        Widths of Z, R and the output.
    rates
        (n_genes,) mean rates, from which the training starts.
    generator
        Of the initial weights.
    """

    def __init__(
        self, width: int, hidden: int, n_genes: int, rates: Tensor, *, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.lift = linear(width, hidden, generator)
        self.norm = nn.BatchNorm1d(hidden)
        self.heads = linear(hidden, 3 * n_genes, generator)
        with torch.no_grad():
            # Without a random start: of rare genes too little is known to unlearn it.
            self.heads.weight.zero_()
            self.heads.bias.zero_()
            self.heads.bias[:n_genes] = torch.log(rates.clamp_min(1e-8))
            self.heads.bias[2 * n_genes :] = -2.0

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(n, n_genes) each: rate, inverse dispersion, dropout probability."""
        hidden = F.relu(self.norm(self.lift(z)))
        return zinb_parameters(self.heads(hidden), least=1e-8)
