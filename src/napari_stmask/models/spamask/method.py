"""SpaMask on one section: features, graph, training, embedding, denoised genes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray

from ...core.errors import ParameterError
from ...core.params import DomainParams
from ...core.progress import Progress, Steps
from ...core.result import Fit
from ...core.section import Section
from ...features.graph import knn_graph, normalised_adjacency
from ...nn.device import choose_device, in_threads
from ...nn.tiles import split_into_tiles
from ...nn.train import Optimisation, retry_smaller, train
from ..base import Estimate, Needs
from .infer import beside, denoised_layer, embed
from .losses import DualMaskObjective
from .model import SpaMaskNet
from .params import SpaMaskParams
from .prepare import Prepared, check_size, prepare
from .state import SpaMaskState

__all__ = ["SpaMask"]

_HALO = 3  # two propagation steps of the encoder and one of the decoder
_HELD_OUT = 0.05


class SpaMask:
    """Tissue domains by a dual-masking graph autoencoder (Min, Fang et al., 2025)."""

    name: ClassVar[str] = "spamask"
    title: ClassVar[str] = "SpaMask"
    summary: ClassVar[str] = "Domains from expression and position by hiding spots and links."
    reference: ClassVar[str] = (
        "Min W., Fang D., Chen J., Zhang S. SpaMask: Dual masking graph autoencoder with "
        "contrastive learning for spatial transcriptomics. "
        "PLOS Computational Biology 21(4), e1012881 (2025)"
    )
    doi: ClassVar[str] = "10.1371/journal.pcbi.1012881"
    tasks: ClassVar[tuple[str, ...]] = ("domains", "denoise")
    needs: ClassVar[Needs] = Needs(counts=True)
    Params: ClassVar[type[SpaMaskParams]] = SpaMaskParams

    def estimate(self, sections: Sequence[Section], params: SpaMaskParams) -> Estimate:
        """Expected CPU seconds on one thread and bytes on top of the section."""
        n = sum(s.n_spots for s in sections)
        d = params.n_pcs_in if params.features == "pca" else params.n_hvg
        h, width = params.hidden, params.latent
        pairs = min(params.scored_pairs, n * params.neighbours * params.edge_mask_rate)
        flops = 6 * n * (2 * (d * h + h * width) + width * (width + d)) + 12 * pairs * width**2
        traffic = n * params.neighbours * (h + 3 * d + 2 * width)
        # Rates of one core: products 60 GFLOP/s, sparse traffic 4 G numbers/s, fixed cost a step.
        epoch = flops / 6e10 + traffic / 4e9 + 1.5e-3
        seconds = 5 + n / 2000 + params.replicates * (params.epochs * epoch + n * 4e-4)
        batch = min(n, 2 * params.tile_spots)
        nnz = sum(s.counts().nnz for s in sections)
        # The layer is built in blocks and then joined, so it is there about three times.
        layer = 24 * n * params.n_hvg if params.denoise else 0
        peak = 4 * (batch * (6 * h + 8 * width + 6 * d) + 3 * n * d) + 24 * n * params.neighbours
        return Estimate(seconds, peak + 12 * nnz + layer)

    def fit(self, sections: Sequence[Section], params: SpaMaskParams) -> Steps[Fit]:
        """Train on one section.

        Raises
        ------
        DataError
            If the section has too few spots or genes, or its matrix holds no counts.
        ParameterError
            If more than one section is given.
        """
        return (yield from in_threads(self._fit(_only(sections), params), params.threads))

    def _fit(self, section: Section, params: SpaMaskParams) -> Steps[Fit]:
        device = choose_device(params.device)
        yield Progress(0, 3, "preparing", message="Selecting genes.")
        prepared = yield from prepare(section, params)
        run = _Training(section, prepared, params, device)
        for i in range(params.replicates):
            yield from run.replicate(i)
        return run.finish((yield from _denoise(run)))

    def apply(
        self, model: str | Path, sections: Sequence[Section], params: SpaMaskParams
    ) -> Steps[Fit]:
        """Embed a section with the networks of a saved ``model``; nothing is trained.

        Raises
        ------
        DataError
            If the section lacks genes of the model.
        """
        return (yield from in_threads(self._apply(model, _only(sections), params), params.threads))

    def _apply(self, model: str | Path, section: Section, params: SpaMaskParams) -> Steps[Fit]:
        check_size(section)
        state = SpaMaskState.load(model)
        yield Progress(0, 1, "preparing", message="Reading the model.")
        # The network is the model's; how its answer is split and where it runs is the caller's.
        asked = params.model_dump(include={*DomainParams.model_fields, "denoise"})
        settings = state.params.model_copy(update=asked)
        run = _Training(section, state.prepare(section), settings, choose_device(params.device))
        for net in state.nets:
            run.add(net.to(run.device))
            yield Progress(len(run.nets), len(state.nets), "embedding")
        return run.finish((yield from _denoise(run)))

    def save_model(self, fit: Fit, path: str | Path) -> None:
        """Write the trained networks and their preprocessing to ``path`` (safetensors)."""
        fit.state.save(path)


def _only(sections: Sequence[Section]) -> Section:
    if len(sections) != 1:
        raise ParameterError(
            f"SpaMask was given {len(sections)} sections", "run it on one section at a time"
        )
    return sections[0]


@dataclass
class _Training:
    """The pieces that all replicates share, and what they have produced so far."""

    section: Section
    prepared: Prepared
    params: SpaMaskParams
    device: torch.device
    nets: list[SpaMaskNet] = field(default_factory=list)
    latents: list[NDArray[np.float32]] = field(default_factory=list)
    history: dict[str, list[float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # Half of the section at most: a spot that averages over everything is like every other.
        k = min(self.params.neighbours, max(1, (self.section.n_spots - 1) // 2))
        self.graph: sp.csr_matrix = knn_graph(self.section.coords, k)
        self.adjacency = normalised_adjacency(self.graph)

    def add(self, net: SpaMaskNet) -> None:
        """Keep a trained network and its embedding."""
        self.nets.append(net)
        self.latents.append(embed(net, self.prepared.x, self.adjacency, self.device))

    def replicate(self, i: int) -> Steps[None]:
        """Train network ``i``, with smaller tiles where the device's memory is short."""

        def attempt(tile_spots: int) -> Steps[tuple[SpaMaskNet, dict[str, list[float]]]]:
            return (yield from self._train(i, tile_spots))

        net, curves = yield from retry_smaller(
            attempt, min(self.params.tile_spots, self.section.n_spots), device=self.device
        )
        self.history |= {(k if i == 0 else f"{k} ({i + 1})"): v for k, v in curves.items()}
        self.add(net)

    def _train(self, i: int, tile_spots: int) -> Steps[tuple[SpaMaskNet, dict[str, list[float]]]]:
        p, n = self.params, self.section.n_spots
        rng = np.random.default_rng([p.seed, i])
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        net = SpaMaskNet(
            self.prepared.x.shape[1],
            p.hidden,
            p.latent,
            generator=generator,
            dropout=p.link_dropout,
        ).to(self.device)
        held_out = np.sort(rng.permutation(n)[: max(1, int(_HELD_OUT * n)) if p.patience else 0])
        tiles = [
            DualMaskObjective(
                self.prepared.x,
                self.graph,
                self.adjacency,
                tile,
                p,
                held_out=held_out,
                device=self.device,
            )
            for tile in split_into_tiles(
                self.section.coords, self.graph, size=tile_spots, hops=_HALO
            )
        ]

        def batches(_: int) -> Iterator[DualMaskObjective]:
            return (tiles[j] for j in rng.permutation(len(tiles)))

        def monitor() -> float:
            errors = [tile.held_out_error(net) for tile in tiles]
            return sum(e for e, _ in errors) / max(1, sum(count for _, count in errors))

        curves = yield from train(
            net,
            batches,
            lambda tile: tile.losses(net, rng),
            Optimisation(p.epochs, p.learning_rate, p.weight_decay, p.clip, p.patience),
            monitor=monitor,
            offset=i * p.epochs,
            total=p.replicates * p.epochs,
        )
        return net, curves

    def _notes(self) -> list[str]:
        """Where the section is too small for what was asked."""
        notes, p, d = [], self.params, self.prepared.x.shape[1]
        if p.features == "pca" and d < p.n_pcs_in:
            notes.append(f"Only {d} principal components, not {p.n_pcs_in}: few spots or genes.")
        if p.neighbours > max(1, (self.section.n_spots - 1) // 2):
            notes.append(f"Fewer than {p.neighbours} neighbours: the section is too small.")
        return notes

    def finish(self, denoised: tuple[sp.csr_matrix, NDArray[np.bool_]] | None) -> Fit:
        """The answer of all replicates."""
        own = self.params.own_weight
        voters = self.latents if self.params.consensus == "vote" and len(self.latents) > 1 else []
        joint = beside(np.concatenate(self.latents, axis=1), self.prepared.x, own)
        return Fit(
            embedding=joint,
            replicates=[beside(latent, self.prepared.x, own) for latent in voters],
            graph=self.graph,
            layers={"denoised": denoised[0]} if denoised else {},
            var={"denoised": denoised[1]} if denoised else {},
            params=self.params,
            history=self.history,
            details={
                "n_genes": len(self.prepared.genes),
                "n_inputs": int(self.prepared.x.shape[1]),
                "n_links": int(self.graph.nnz // 2),
                "device": str(self.device),
                "notes": self._notes(),
            },
            state=SpaMaskState.of(
                [net.cpu() for net in self.nets], self.prepared, self.section, self.params
            ),
        )


def _denoise(run: _Training) -> Steps[tuple[sp.csr_matrix, NDArray[np.bool_]] | None]:
    if not run.params.denoise:
        return None
    yield Progress(0, 1, "denoising")
    return denoised_layer(
        run.nets, run.latents, run.prepared, run.adjacency, run.section.n_genes, run.device
    )
