"""The three modules of SpaCEX: pictures are learned, then modules, then both sharpen each other."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from threadpoolctl import threadpool_limits
from torch import Tensor, nn

from ...core.progress import Progress, Steps
from ...nn.gene_autoencoder import GeneAutoencoder, kept_tokens, squared_error
from ...nn.train import Optimisation, train
from .inputs import GenePictures
from .modules import Modules
from .params import SpaCEXParams
from .sharpening import Sharpening
from .state import architecture, encode_steps

__all__ = ["Learned", "learn_steps"]

_PICTURES = "learning pictures"
_DRAWN = "drawing genes again"
_MODULES = "learning modules"
_BLOCK = 256
_TINY = 1e-12


@dataclass(frozen=True, eq=False)
class Learned:
    """What training found.

    Attributes
    ----------
    net
        Encoder and decoder, on the device of the training.
    modules
        On the CPU.
    vectors
        (n_genes, width) float32.
    history
        Term -> one value an epoch.
    facts
        JSON-able: epochs, steps, whether the labels settled.
    """

    net: GeneAutoencoder
    modules: Modules
    vectors: NDArray[np.float32]
    history: Mapping[str, list[float]]
    facts: dict[str, float | int | bool] = field(default_factory=dict)


def learn_steps(
    drawn: GenePictures, n_modules: int, params: SpaCEXParams, device: torch.device
) -> Steps[Learned]:
    """Train the network and the modules on (n_genes, n_occupied) pictures.

    Raises
    ------
    DataError
        If the loss stops being finite.
    """
    draws = torch.Generator().manual_seed(params.seed)
    net = GeneAutoencoder(drawn.tiles, architecture(params), draws).to(device)
    pictures = torch.from_numpy(drawn.pictures)
    n, epochs = len(pictures), _epochs(len(pictures), params)
    yield Progress(0, epochs, _PICTURES)

    def redraw(batch: Tensor) -> Tensor:
        kept = kept_tokens(len(batch), drawn.tiles.n_tokens, params.mask_ratio, draws)
        again, hidden = net(batch, kept.to(device))
        counted = hidden if params.loss_on == "hidden" else torch.ones_like(hidden)
        return squared_error(batch, again, counted)

    def redrawn(index: Tensor) -> tuple[Tensor, Mapping[str, Tensor]]:
        loss = redraw(pictures[index].to(device))
        return loss, {"reconstruction": loss}

    history = yield from train(
        net,
        lambda _: _batches(n, params.batch, draws),
        redrawn,
        Optimisation(epochs, params.learning_rate, fused=True),
        label=_PICTURES,
    )
    yield from _finish_encoder(net, drawn.pictures, params, device)
    vectors = yield from encode_steps(net.encoder, drawn.pictures, device)
    sharp = Sharpening(drawn.pictures, net.encoder, vectors, n_modules, params, device)
    yield from sharp.prepare()
    more: dict[str, list[float]] = {}
    if params.epochs_cluster:
        yield Progress(0, params.epochs_cluster, _MODULES)
        both = nn.ModuleDict({"net": net, "beside": sharp.trained})
        more = yield from train(
            both,
            lambda _: _batches(n, params.batch_cluster, draws),
            lambda index: sharp.losses(index, redraw),
            Optimisation(params.epochs_cluster, params.learning_rate, fused=True),
            after_epoch=sharp.renew,
            stop=lambda: sharp.settled,
            label=_MODULES,
        )
    facts: dict[str, float | int | bool] = {
        "epochs_pictures": epochs,
        "steps_pictures": epochs * math.ceil(n / params.batch),
        "epochs_modules": len(next(iter(more.values()), [])),
        "settled": sharp.settled,
    }
    curves = {**history, **{f"modules, {name}": values for name, values in more.items()}}
    modules = yield from sharp.finished()
    return Learned(net.cpu(), modules, sharp.vectors, curves, facts)


def _finish_encoder(
    net: GeneAutoencoder, pictures: NDArray[np.float32], params: SpaCEXParams, device: torch.device
) -> Steps[None]:
    """Fix the linear parts of the vector, each of mean square length 1 times its weight."""
    if params.n_linear:
        components, offset = _principal(pictures, params.n_linear, 1.0, params.seed)
        net.encoder.projection.copy_(components)
        net.encoder.projection_offset.copy_(offset)
    if params.head == "pictures":
        again = np.empty_like(pictures)
        for start in range(0, len(pictures), _BLOCK):
            with torch.no_grad():
                batch = torch.from_numpy(pictures[start : start + _BLOCK]).to(device)
                again[start : start + _BLOCK] = net.drawn(batch).cpu().numpy()
            yield Progress(start, len(pictures), _DRAWN)
        weight = params.network_weight
        components, offset = _principal(again, params.embed_dim, weight, params.seed)
        net.read_out(components.to(device), offset.to(device))
    elif params.n_linear:
        own = (yield from encode_steps(net.encoder, pictures, device))[:, : -params.n_linear]
        size = math.sqrt(float(own.var(axis=0, dtype=np.float64).sum()))
        net.encoder.network_scale.fill_(params.network_weight / max(size, _TINY))


def _epochs(n: int, params: SpaCEXParams) -> int:
    return max(params.epochs_pretrain, math.ceil(params.min_steps / math.ceil(n / params.batch)))


def _batches(n: int, size: int, draws: torch.Generator) -> Iterator[Tensor]:
    """Shuffled; the last one may be smaller, none is empty."""
    return iter(torch.split(torch.randperm(n, generator=draws), size))


def _principal(
    pictures: NDArray[np.float32], n: int, weight: float, seed: int
) -> tuple[Tensor, Tensor]:
    """``n`` principal components as rows of a projection whose scores have that mean length."""
    k = min(n, *pictures.shape)
    with threadpool_limits(1):
        pca = PCA(k, svd_solver="randomized", random_state=seed).fit(pictures)
    size = max(math.sqrt(float(pca.explained_variance_.sum())), _TINY)
    components = np.zeros((n, pictures.shape[1]))
    components[:k] = pca.components_ * (weight / size)
    offset = -components @ pca.mean_
    return torch.from_numpy(components).float(), torch.from_numpy(offset).float()
