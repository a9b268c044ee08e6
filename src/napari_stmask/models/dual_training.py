"""Training of dual-masking autoencoders on one section: graph, replicates, embeddings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray

from ..core.loss_curves import Curves, of_network
from ..core.progress import Progress, Steps
from ..features.graph import normalised_adjacency
from ..nn.dual_mask import DualMaskObjective, Masking
from ..nn.graph_autoencoder import DualMaskNet
from ..nn.tiles import split_into_tiles
from ..nn.train import Optimisation, retry_smaller, train
from .dual_inference import embed
from .dual_params import DualMaskParams
from .joint_input import Relinking

__all__ = ["DualMaskTraining"]

_HALO = 3  # two propagation steps of the encoder and one of the decoder
_HELD_OUT = 0.05


@dataclass
class DualMaskTraining:
    """The pieces that all replicates share, and what they have produced so far.

    Attributes
    ----------
    inputs
        (n_spots, d_q) float32 of each modality.
    coords
        (n_spots, 2) positions, which cut large sections into tiles.
    graph, adjacency
        (n_spots, n_spots) CSR links and their normalised form.
    masking
        What is hidden.
    params
        Network and optimiser.
    device
        Where to compute.
    mix, learn_mix
        As of `DualMaskNet`.
    tile_spots
        Spots that are trained at once.
    relinking
        When links across sections are found anew; later networks keep what the first one found.
    nets, latents
        Trained networks, and their latents (one per modality).
    history
        Loss curves; of the second replicate on, names end in its number.
    """

    inputs: Sequence[NDArray[np.float32]]
    coords: NDArray[np.float64]
    graph: sp.csr_matrix
    adjacency: sp.csr_matrix
    masking: Masking
    params: DualMaskParams
    device: torch.device
    mix: Sequence[float] | None = None
    learn_mix: bool = False
    tile_spots: int = 20_000
    relinking: Relinking | None = None
    nets: list[DualMaskNet] = field(default_factory=list)
    latents: list[list[NDArray[np.float32]]] = field(default_factory=list)
    history: Curves = field(default_factory=dict)

    def answer(self, nets: Sequence[DualMaskNet]) -> Steps[None]:
        """Embed with networks that were trained before.

        Links by expression follow the first network, if they did while it was trained.
        """
        for done, net in enumerate(nets):
            there = net.to(self.device)
            how = self.relinking
            if not done and how is not None and how.happens(self.params.epochs):
                self._relink(there, how)
            self.add(there)
            yield Progress(done + 1, len(nets), "embedding")

    def add(self, net: DualMaskNet) -> None:
        """Keep a trained network and its embeddings."""
        self.nets.append(net)
        self.latents.append(embed(net, self.inputs, self.adjacency, self.device))

    def replicate(self, i: int) -> Steps[None]:
        """Train network ``i``, with smaller tiles where the device's memory is short."""

        def attempt(tile_spots: int) -> Steps[tuple[DualMaskNet, Curves]]:
            return (yield from self._train(i, tile_spots))

        net, curves = yield from retry_smaller(
            attempt, min(self.tile_spots, len(self.coords)), device=self.device
        )
        self.history |= of_network(curves, i)
        self.add(net)

    def _train(self, i: int, tile_spots: int) -> Steps[tuple[DualMaskNet, Curves]]:
        p, n = self.params, len(self.coords)
        rng = np.random.default_rng([p.seed, i])
        net = DualMaskNet(
            [x.shape[1] for x in self.inputs],
            p.hidden,
            p.latent,
            generator=torch.Generator().manual_seed(int(rng.integers(2**62))),
            dropout=p.link_dropout,
            mix=self.mix,
            learn_mix=self.learn_mix,
        ).to(self.device)
        held_out = np.sort(rng.permutation(n)[: max(1, int(_HELD_OUT * n)) if p.patience else 0])
        tiles = self._tiles(tile_spots, held_out)

        def batches(_: int) -> Iterator[DualMaskObjective]:
            return (tiles[j] for j in rng.permutation(len(tiles)))

        def monitor() -> float:
            errors = [tile.held_out_error(net) for tile in tiles]
            return sum(e for e, _ in errors) / max(1, sum(count for _, count in errors))

        def relink(done: int) -> Steps[None]:
            if i == 0 and self.relinking is not None and self.relinking.due(done, p.epochs):
                yield Progress(done, p.replicates * p.epochs, "training")
                self._relink(net, self.relinking)
                tiles[:] = self._tiles(tile_spots, held_out)

        curves = yield from train(
            net,
            batches,
            lambda tile: tile.losses(net, rng),
            Optimisation(p.epochs, p.learning_rate, p.weight_decay, p.clip, p.patience),
            monitor=monitor,
            after_epoch=relink,
            offset=i * p.epochs,
            total=p.replicates * p.epochs,
        )
        return net, curves

    def _relink(self, net: DualMaskNet, how: Relinking) -> None:
        """Links across sections from what ``net`` says now."""
        latent = np.concatenate(embed(net, self.inputs, self.adjacency, self.device), axis=1)
        self.graph = how.make(self.graph, latent)
        self.adjacency = normalised_adjacency(self.graph)

    def _tiles(self, size: int, held_out: NDArray[np.int64]) -> list[DualMaskObjective]:
        """The losses of each tile of the present graph."""
        return [
            DualMaskObjective(
                self.inputs,
                self.graph,
                self.adjacency,
                tile,
                self.masking,
                held_out=held_out,
                device=self.device,
            )
            for tile in split_into_tiles(self.coords, self.graph, size=size, hops=_HALO)
        ]
