"""A mixture of Student's t distributions fitted by MAP-EM: Module II of SpaCEX (SIGEL).

Li et al., Genome Biology 26, 287 (2025): gene vectors follow a mixture of multivariate t
distributions with diagonal scales, a Dirichlet prior on the weights and a normal-inverse-Wishart
prior on locations and scales. Peel & McLachlan, Statistics and Computing 10, 339 (2000), give the
EM steps. Everything stays in logarithms, and the posterior passes gradients to the vectors, which
the release's does not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ..core.errors import ParameterError
from ..core.progress import Progress, Steps, drain

__all__ = [
    "Prior",
    "TMixture",
    "em_step",
    "fit_mixture",
    "fit_mixture_steps",
    "initial_mixture",
    "update_freedom",
]

_LOWEST, _HIGHEST = 2.01, 200.0
_FIRST_FREEDOM = 3.0
_BISECTIONS = 40
_TINY = 1e-12


@dataclass(frozen=True)
class Prior:
    """What is believed of a component before a gene is seen.

    Attributes
    ----------
    weight
        Dirichlet concentration of every component (``alpha_0``).
    strength
        Pseudo-observations behind the location (``kappa_0``); 0 leaves it free.
    location
        (d,) float64 (``m_0``).
    scale
        (d,) float64 (``S_0``).
    degrees
        Degrees of freedom of the inverse-Wishart (``rho_0``).
    """

    weight: float
    strength: float
    location: Tensor
    scale: Tensor
    degrees: float

    @classmethod
    def of(cls, z: Tensor, n_components: int) -> Prior:
        """The prior of the paper's code for (n, d) vectors.

        ``alpha_0 = 1``, ``kappa_0 = 0``, ``S_0 = K^(-1/d) var(z)`` and ``rho_0 = d + 2``.
        """
        z = z.double()
        d = z.shape[1]
        spread = z.var(dim=0, correction=0)
        floor = max(1e-6 * float(spread.max()), _TINY)
        scale = n_components ** (-1 / d) * spread.clamp_min(floor)
        return cls(1.0, 0.0, z.mean(dim=0), scale, d + 2.0)


@dataclass(frozen=True)
class TMixture:
    """Parameters of K components, float64.

    Attributes
    ----------
    weight
        (K,) positive, sums to 1.
    location, scale
        (K, d); scales are the diagonals of the scale matrices, positive.
    freedom
        (K,) degrees of freedom in [2.01, 200].
    """

    weight: Tensor
    location: Tensor
    scale: Tensor
    freedom: Tensor

    def distance(self, z: Tensor) -> Tensor:
        """(n, K) squared Mahalanobis distances of (n, d) vectors; gradients reach ``z``."""
        z = z.double()
        inverse = 1 / self.scale
        # Centred first: the three products cancel where vectors lie far from the origin.
        middle = self.location.mean(dim=0)
        z, location = z - middle, self.location - middle
        square = z.square() @ inverse.T - 2 * z @ (location * inverse).T
        return (square + (location.square() * inverse).sum(dim=1)).clamp_min(0)

    def log_joint(self, z: Tensor) -> Tensor:
        """(n, K) ``ln pi_k + ln t(z_i; mu_k, Sigma_k, nu_k)``."""
        d, nu = z.shape[1], self.freedom
        constant = (
            self.weight.log()
            + torch.lgamma((nu + d) / 2)
            - torch.lgamma(nu / 2)
            - 0.5 * self.scale.log().sum(dim=1)
            - d / 2 * (math.pi * nu).log()
        )
        return constant - (nu + d) / 2 * torch.log1p(self.distance(z) / nu)

    def log_posterior(self, z: Tensor) -> Tensor:
        """(n, K) ``ln xi``; ``exp`` of its rows sums to 1."""
        return torch.log_softmax(self.log_joint(z), dim=1)

    def log_likelihood(self, z: Tensor) -> Tensor:
        """``sum_i ln p(z_i)``."""
        return torch.logsumexp(self.log_joint(z), dim=1).sum()

    def log_prior(self, prior: Prior) -> Tensor:
        """Logarithm of the prior density, up to a constant."""
        d = self.location.shape[1]
        away = (self.location - prior.location).square()
        return (
            (prior.weight - 1) * self.weight.log().sum()
            - 0.5 * (prior.degrees + d + 2) * self.scale.log().sum()
            - 0.5 * ((prior.scale + prior.strength * away) / self.scale).sum()
        )


def initial_mixture(z: Tensor, labels: Tensor, n_components: int, prior: Prior) -> TMixture:
    """Components at the means of (n,) hard ``labels``, equal weights, 3 degrees of freedom.

    A component with fewer than two members starts with the scale of the prior.

    Raises
    ------
    ParameterError
        If there are fewer vectors than components, or fewer than two components.
    """
    n = len(z)
    if n_components < 2 or n < n_components:
        raise ParameterError(
            f"{n_components} gene modules were asked of {n} genes",
            f"ask for 2 to {n} modules" if n >= 2 else "give more genes",
        )
    z = z.double()
    hard = torch.nn.functional.one_hot(labels, n_components).double()
    count = hard.sum(dim=0)
    location = (hard.T @ z) / count.clamp_min(1)[:, None]
    location[count == 0] = prior.location
    spread = (hard.T @ z.square()) / count.clamp_min(1)[:, None] - location.square()
    start = prior.scale / (prior.degrees + z.shape[1] + 2)
    scale = torch.where((count >= 2)[:, None], spread.clamp_min(0) + start, prior.scale)
    ones = torch.ones(n_components, dtype=torch.float64, device=z.device)
    return TMixture(ones / n_components, location, scale, _FIRST_FREEDOM * ones)


def em_step(mixture: TMixture, z: Tensor, prior: Prior) -> TMixture:
    """One step of expectation conditional maximisation; the penalised likelihood never falls.

    ``xi`` are posteriors, ``zeta = (nu + d) / (nu + delta)`` the weights that tame outliers.
    """
    z = z.double()
    xi = mixture.log_posterior(z).exp()
    nu, d = mixture.freedom, z.shape[1]
    delta = mixture.distance(z)
    zeta = (nu + d) / (nu + delta)
    new = maximise(mixture, z, xi, zeta, prior)
    return replace(new, freedom=update_freedom(xi, zeta, nu, d))


def maximise(mixture: TMixture, z: Tensor, xi: Tensor, zeta: Tensor, prior: Prior) -> TMixture:
    """Closed-form maximum of weights, locations and scales for fixed ``xi`` and ``zeta``.

    ``mu = (kappa m + N zbar) / (kappa + N)`` with ``N = sum xi zeta``, and ``Sigma = S / (rho +
    sum xi + d + 2)``; a component that nothing belongs to keeps its place and takes the scale of
    the prior.
    """
    n, d = z.shape
    k = len(mixture.weight)
    both, mass = xi * zeta, xi.sum(dim=0)
    weight = both.sum(dim=0)
    here = (weight > _TINY)[:, None]
    mean = torch.where(here, (both.T @ z) / weight.clamp_min(_TINY)[:, None], mixture.location)
    kappa = prior.strength
    location = (kappa * prior.location + weight[:, None] * mean) / (
        kappa + weight.clamp_min(_TINY)[:, None]
    )
    location = torch.where(here | torch.tensor(kappa > 0, device=z.device), location, mean)
    middle = z.mean(dim=0)
    z, centred = z - middle, mean - middle
    scatter = both.T @ z.square() - 2 * centred * (both.T @ z) + weight[:, None] * centred.square()
    pull = kappa * weight / (kappa + weight.clamp_min(_TINY))
    scatter = scatter.clamp_min(0) + pull[:, None] * (mean - prior.location).square()
    scale = (prior.scale + scatter) / (prior.degrees + mass + d + 2)[:, None]
    share = (prior.weight - 1 + mass).clamp_min(_TINY)
    share = share / (k * prior.weight - k + n)
    return TMixture(share / share.sum(), location, scale, mixture.freedom)


def update_freedom(xi: Tensor, zeta: Tensor, before: Tensor, d: int) -> Tensor:
    """(K,) degrees of freedom, the root in [2.01, 200] of the equation of Peel & McLachlan.

    ``ln(nu/2) + 1 - psi(nu/2) + sum xi (ln zeta - zeta) / sum xi + psi((nu' + d)/2)
    - ln((nu' + d)/2) = 0`` with ``nu'`` those before; the left side falls with ``nu``. Without a
    root the nearer bound is taken, a component without members keeps its own.
    """
    mass = xi.sum(dim=0)
    mean = (xi * (zeta.clamp_min(1e-300).log() - zeta)).sum(dim=0) / mass.clamp_min(_TINY)
    half = (before + d) / 2
    fixed = 1 + mean + torch.digamma(half) - half.log()
    low, high = torch.full_like(before, _LOWEST), torch.full_like(before, _HIGHEST)
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        above = (middle / 2).log() - torch.digamma(middle / 2) + fixed > 0
        low, high = torch.where(above, middle, low), torch.where(above, high, middle)
    return torch.where(mass > _TINY, (low + high) / 2, before)


def fit_mixture_steps(
    mixture: TMixture, z: Tensor, prior: Prior, *, steps: int, tolerance: float = 1e-6
) -> Steps[TMixture]:
    """Up to ``steps`` EM steps; ends when the gain is below ``tolerance`` of the objective."""
    z = z.detach().double()
    last = -math.inf
    for step in range(steps):
        yield Progress(step, steps, "fitting modules")
        mixture = em_step(mixture, z, prior)
        now = float(mixture.log_likelihood(z) + mixture.log_prior(prior))
        if now - last < tolerance * abs(now):
            break
        last = now
    return mixture


def fit_mixture(mixture: TMixture, z: Tensor, prior: Prior, **options: Any) -> TMixture:
    """`fit_mixture_steps` to its end."""
    return drain(fit_mixture_steps(mixture, z, prior, **options))
