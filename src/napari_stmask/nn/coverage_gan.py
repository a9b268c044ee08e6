"""From the vector of a gene to its map in another section: the adversarial translator of SpaCEX.

Li et al., Genome Biology 26, 287 (2025). A generator with a memory of earlier genes draws the
values of a gene in all cells; a critic (Arjovsky et al., Wasserstein GAN, 2017) tells drawn from
measured genes. Otherwise than in the release, the terms have fixed weights: learned ones run to
infinity where an adversarial term is negative. Vectors are given, so that no encoder is trained.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..core.errors import DataError, ParameterError, ResourceError
from ..core.progress import Progress, Steps
from .layers import linear

__all__ = ["MOST_CELLS", "Critic", "GANParams", "Generator", "Translator", "train_gan"]

MOST_CELLS = 10_000
"""Most values of a map; each costs the two networks 2,304 weights."""
SLOTS, WIDTH, HIDDEN = 256, 512, 1024
TEMPERATURE, SHRINK = 0.5, 0.005
CRITIC_BOUND = 0.01
_SILENCE = 0.4
_ROWS = 256


@dataclass(frozen=True)
class GANParams:
    """How to train.

    Attributes
    ----------
    epochs
        Passes over the shared genes.
    batch
        Genes of a step.
    adversarial
        Weight of the critic's verdict beside the mean absolute error.
    lr, lr_critic
        Learning rates (RMSprop) of generator and critic.
    seed
        Of weights, memory and order of the genes.
    """

    epochs: int = 100
    batch: int = 64
    adversarial: float = 1.0
    lr: float = 1e-4
    lr_critic: float = 1e-3
    seed: int = 0


class Generator(nn.Module):
    """Vectors to maps, by way of a memory of what earlier genes looked like.

    Parameters
    ----------
    width
        Of a gene vector.
    n_out
        Values of a map.
    generator
        Of weights and memory.
    """

    memory: Tensor

    def __init__(self, width: int, n_out: int, generator: torch.Generator) -> None:
        super().__init__()
        self.encode = nn.Sequential(
            _dense(width, SLOTS, generator), linear(SLOTS, WIDTH, generator, random_bias=True)
        )
        self.skip = linear(width, WIDTH, generator, random_bias=True)
        self.decode = nn.Sequential(
            _dense(WIDTH, HIDDEN, generator), linear(HIDDEN, n_out, generator, random_bias=True)
        )
        bound = WIDTH**-0.5
        memory = torch.empty(SLOTS, WIDTH).uniform_(-bound, bound, generator=generator)
        self.register_buffer("memory", memory)

    def recall(self, code: Tensor) -> Tensor:
        """(n, 512) mix of the memory's slots that resemble ``code``, faint ones left out."""
        share = torch.softmax(code @ self.memory.T / TEMPERATURE, dim=1)
        over = share - SHRINK
        share = over.relu() * share / (over.abs() + 1e-12)
        share = share / share.sum(dim=1, keepdim=True).clamp_min(1e-12)
        return share @ self.memory

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Maps (n, n_out) and codes (n, 512) of vectors (n, width)."""
        code = self.encode(z)
        return self.decode(self.recall(code) + self.skip(z)), code

    def remember(self, code: Tensor) -> None:
        """Put codes in place of the oldest ones."""
        new = code.detach()[-SLOTS:]
        self.memory = torch.cat([self.memory[len(new) :], new])


class Critic(nn.Module):
    """A map to one number: the mean of 64 verdicts out of a deep and a shallow look."""

    def __init__(self, n_out: int, generator: torch.Generator) -> None:
        super().__init__()
        self.deep = nn.Sequential(
            _dense(n_out, HIDDEN, generator), linear(HIDDEN, 256, generator, random_bias=True)
        )
        self.shallow = _dense(n_out, 256, generator)
        self.judge = nn.Sequential(
            _dense(256, 128, generator), linear(128, 64, generator, random_bias=True)
        )

    def forward(self, y: Tensor) -> Tensor:
        """(n,) verdicts on maps (n, n_out)."""
        return cast("Tensor", self.judge(self.deep(y) + self.shallow(y)).mean(dim=1))


@dataclass(frozen=True, eq=False)
class Translator:
    """A trained generator.

    Attributes
    ----------
    generator
        The network.
    centre, scale
        (width,) and one number that vectors are brought to the network's unit with.
    losses
        Term -> mean of each epoch: ``error``, ``verdict``, ``critic``.
    """

    generator: Generator
    centre: NDArray[np.float32]
    scale: float
    losses: dict[str, list[float]]

    def predict(self, vectors: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """Maps (n, n_out) float32, >= 0, of vectors (n, width).

        Raises
        ------
        ParameterError
            If vectors have another width.
        """
        if vectors.ndim != 2 or vectors.shape[1] != self.centre.size:
            raise ParameterError(
                f"vectors have shape {vectors.shape}, "
                f"the translator takes {self.centre.size} columns",
                "give vectors of the network that it was trained with",
            )
        z = _in_unit(vectors, self.centre, self.scale).to(self.generator.memory.device)
        with torch.no_grad():
            maps = [self.generator(part)[0].clamp_min(0).cpu() for part in torch.split(z, _ROWS)]
        return np.asarray(torch.cat(maps).numpy())


def train_gan(
    vectors_shared: NDArray[np.floating[Any]],
    targets: NDArray[np.floating[Any]],
    params: GANParams | None = None,
    *,
    device: torch.device | str = "cpu",
) -> Steps[Translator]:
    """Train generator and critic in turn.

    Parameters
    ----------
    vectors_shared
        (n_shared, width) vectors of genes that both sections know.
    targets
        (n_shared, n_out) their log-normalised values in the cells of the target.
    params
        How to train; None for the published numbers.
    device
        Where to compute.

    Raises
    ------
    ParameterError
        If shapes do not fit or a number is out of range.
    ResourceError
        If a map has more than 10,000 values.
    DataError
        If an input or a loss is not finite.
    """
    params = params or GANParams()
    _check(vectors_shared, targets, params)
    centre = np.asarray(vectors_shared.mean(axis=0), dtype=np.float32)
    scale = max(float(np.sqrt(((vectors_shared - centre) ** 2).mean())), 1e-12)
    z = _in_unit(vectors_shared, centre, scale).to(device)
    y = torch.from_numpy(np.ascontiguousarray(targets, dtype=np.float32)).to(device)
    rng = torch.Generator().manual_seed(params.seed)
    generator = Generator(z.shape[1], y.shape[1], rng).to(device)
    game = _Game(generator, Critic(y.shape[1], rng).to(device), params)
    history: dict[str, list[float]] = {"error": [], "verdict": [], "critic": []}
    said = time.monotonic()
    for epoch in range(params.epochs):
        sums, steps = dict.fromkeys(history, 0.0), 0
        for rows in _batches(len(z), params.batch, rng):
            for name, value in game.play(z[rows.to(device)], y[rows.to(device)]).items():
                sums[name] += value
            steps += 1
            if time.monotonic() - said > _SILENCE:
                said = time.monotonic()
                yield Progress(epoch, params.epochs, "training the translator")
        means = {name: value / steps for name, value in sums.items()}
        if not all(map(math.isfinite, means.values())):
            raise DataError(
                f"the loss is no longer finite in epoch {epoch + 1}", "lower the learning rates"
            )
        for name, value in means.items():
            history[name].append(value)
        yield Progress(epoch + 1, params.epochs, "training the translator", means)
    return Translator(generator.eval(), centre, scale, history)


class _Game:
    """One step of the critic, then one of the generator."""

    def __init__(self, generator: Generator, critic: Critic, params: GANParams) -> None:
        self.generator, self.critic, self.weight = generator, critic, params.adversarial
        self.draw = torch.optim.RMSprop(generator.parameters(), lr=params.lr)
        self.judge = torch.optim.RMSprop(critic.parameters(), lr=params.lr_critic)

    def play(self, z: Tensor, y: Tensor) -> dict[str, float]:
        with torch.no_grad():
            fake, _ = self.generator(z)
        gap = self.critic(fake).mean() - self.critic(y).mean()
        self.judge.zero_grad(set_to_none=True)
        gap.backward()
        self.judge.step()
        with torch.no_grad():
            for weight in self.critic.parameters():
                weight.clamp_(-CRITIC_BOUND, CRITIC_BOUND)
        fake, code = self.generator(z)
        error, verdict = (fake - y).abs().mean(), -self.critic(fake).mean()
        self.draw.zero_grad(set_to_none=True)
        (error + self.weight * verdict).backward()
        self.draw.step()
        self.generator.remember(code)
        return {
            "error": float(error.detach()),
            "verdict": float(verdict.detach()),
            "critic": float(gap.detach()),
        }


def _dense(d_in: int, d_out: int, generator: torch.Generator) -> nn.Sequential:
    return nn.Sequential(
        linear(d_in, d_out, generator, random_bias=True), nn.LeakyReLU(), nn.LayerNorm(d_out)
    )


def _batches(n: int, size: int, rng: torch.Generator) -> Iterator[Tensor]:
    yield from torch.split(torch.randperm(n, generator=rng), size)


def _in_unit(vectors: NDArray[Any], centre: NDArray[np.float32], scale: float) -> Tensor:
    return torch.from_numpy(np.asarray((vectors - centre) / scale, dtype=np.float32))


def _check(vectors: NDArray[Any], targets: NDArray[Any], params: GANParams) -> None:
    if vectors.ndim != 2 or targets.ndim != 2 or len(vectors) != len(targets) or len(vectors) < 2:
        raise ParameterError(
            f"vectors have shape {vectors.shape}, maps {targets.shape}",
            "give one row of each for every shared gene, two at least",
        )
    if targets.shape[1] > MOST_CELLS:
        raise ResourceError(
            f"the target has {targets.shape[1]} cells, the adversarial translator takes at most "
            f"{MOST_CELLS}",
            "use the engine 'ridge', or a part of the section",
        )
    if not (np.isfinite(vectors).all() and np.isfinite(targets).all()):
        raise DataError("vectors or values are not finite", "leave those genes out")
    if not (params.epochs >= 1 and params.batch >= 1 and params.lr > 0 and params.lr_critic > 0):
        raise ParameterError(f"the settings are {params}", "use positive numbers")
    if not params.adversarial >= 0:
        raise ParameterError(f"adversarial is {params.adversarial}", "use 0 or more")
