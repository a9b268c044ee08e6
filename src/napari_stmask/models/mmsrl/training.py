"""Training of MMSRL on one section: graph, replicates, pseudo-labels, decoder."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...analysis.domains import reduce
from ...analysis.mixture import tied_mixture_steps
from ...analysis.split_merge import split_merge_steps
from ...core.progress import Progress, Steps
from ...features.graph import coherence
from ...nn.attention import Landmarks, landmarks_of
from ...nn.masking import EdgeMasker
from ...nn.multimodal import Encoded, MultimodalNet
from ...nn.pair_losses import unit_rows
from ...nn.train import Optimisation, train
from ...nn.zinb import ZINBDecoder, zinb_loss
from .common import Training
from .objective import MMSRLModel, Objective, PseudoLabels, Shares
from .params import MMSRLParams

__all__ = ["DECODER_WIDTH", "MMSRLTraining", "model_from"]

DECODER_WIDTH = 128
_DECODER_RATE = 2e-3
_SURE = 0.7
"""Posterior below which a spot takes no part in the contrast: wrong pseudo-labels lock in."""
_LEAST = 1e-3
_SPLIT_DIMS = 8
_FEWEST = 20
_TARGET = 1e4


@dataclass
class MMSRLTraining(Training):
    """Training of the corrected form: pseudo-labels, landmarks, a decoder of counts."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.landmarks = self._landmarks()

    @functools.cached_property
    def links(self) -> EdgeMasker:
        """Links for the edge task; a network that is only applied needs none."""
        return EdgeMasker(self.graph)

    @functools.cached_property
    def handicap(self) -> float:
        """What the gate of image and interaction starts with on top, 0 at most.

        How far to trust what takes the image: noise in its place is as rough as noise is.
        """
        own, *image = (coherence(self.graph, x) for x in self.inputs)
        trust = max(image[0], _LEAST) / max(own, _LEAST) if image else 1.0
        return math.log(min(1.0, trust))

    def _landmarks(self) -> Landmarks | None:
        p, n = self.params, len(self.inputs[0])
        if p.keys(n) in (0, n):
            return None
        return landmarks_of(self.smoothed(), p.landmarks, seed=p.seed, device=self.device)

    @property
    def form(self) -> str:
        """How spots attend to one another: ``exact``, ``landmarks`` or ``none``."""
        if self.params.attention == "none":
            return "none"
        return "exact" if self.landmarks is None else "landmarks"

    @torch.no_grad()
    def encode(self, model: MMSRLModel) -> Encoded:
        """What ``model`` says of all spots in evaluation mode, nothing hidden."""
        return model.eval().net(self.operator, self.tensors, self.landmarks)  # type: ignore[no-any-return]

    def attention_features(self) -> list[Tensor]:
        """Unit vectors times the root of the learned scale, (n_spots, latent) per modality."""
        scale = self.models[0].net.log_scale
        if scale is None:
            return []
        return [
            unit_rows(e) * (0.5 * own).exp()
            for e, own in zip(self.encoded[0].encoded, scale, strict=True)
        ]

    def mean(self, model: MMSRLModel, z: Tensor, rows: NDArray[np.intp]) -> Tensor:
        """Rates per unit of size factor, (m, n_selected)."""
        columns = self.batch_columns(rows)
        if self.foreign:
            # Of no section that the decoder knows: it is told the average of those.
            n = model.decoder.lift.in_features - z.shape[1]
            columns = z.new_full((len(z), n), 1 / max(n, 1))
        rate, _, dropout = model.decoder(torch.cat([z, columns], dim=1))
        return rate * (1 - dropout) if self.params.enhanced_zeros else rate  # type: ignore[no-any-return]

    def in_unit(self, mean: NDArray[np.float32], rows: NDArray[np.intp]) -> NDArray[np.float32]:
        """Counts of the spot's own depth, or log1p of 10,000 molecules per spot."""
        if self.params.enhanced_as == "counts":
            return np.asarray(mean * self.counts.size[rows, None])
        return np.asarray(np.log1p(mean * np.float32(_TARGET / self.counts.median)))

    def replicate(self, i: int) -> Steps[None]:
        """Train network ``i``."""
        p = self.params
        rng = np.random.default_rng([p.seed, i])
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        model = _new_model(
            [x.shape[1] for x in self.inputs],
            self.counts.rates(),
            int(self.batches.max()) + 1,
            p,
            generator,
        ).to(self.device)
        with torch.no_grad():
            model.net.gate_bias[1:] += self.handicap
        objective = Objective(
            self.tensors,
            self.operator,
            self.landmarks,
            self.links,
            self.counts,
            self.batch_columns(np.arange(len(self.batches))),
            Shares(p.loss_zinb, p.loss_consistency, p.loss_mask, p.loss_edge, p.loss_contrast),
            p.node_mask_rate,
            p.contrast_temperature,
            p.decoded_spots,
        )
        # There is nothing to find domains in before the first epoch.
        start = max(1, int(p.contrast_from * p.epochs))

        def refresh(done: int) -> Steps[None]:
            if i == 0 and self.relinking is not None and self.relinking.due(done, p.epochs):
                self.relink(model, self.relinking)
                objective.walk, objective.links = self.operator, self.links
            late = p.loss_contrast and start <= done < p.epochs
            if late and (done - start) % p.contrast_every == 0:
                objective.labels = yield from self._pseudo_labels(model, rng)

        curves = yield from train(
            model,
            lambda _: (None,),
            lambda _: objective.losses(model, rng, generator),
            Optimisation(p.epochs, p.learning_rate, p.weight_decay, p.clip),
            after_epoch=refresh,
            offset=i * p.epochs,
            total=p.replicates * p.epochs,
        )
        self.keep_curves(i, curves)
        self.add(model)

    def _pseudo_labels(self, model: MMSRLModel, rng: np.random.Generator) -> Steps[PseudoLabels]:
        """Domains in the present embedding, and how sure each spot is of its own."""
        p = self.params
        z = self.encode(model).embedding.cpu().numpy()
        points = reduce(z, p.n_pcs_out, seed=p.seed)
        seed = int(rng.integers(2**31))
        k = p.n_domains
        if p.auto_domains:
            # Splits and merges stay around one number, or they would drift.
            k = max(self.curve, key=self.curve.__getitem__)
            moved = yield from self._split_and_merged(points, k, seed)
            k = int(moved.max()) + 1
            self.numbers.append(k)
        fit = yield from tied_mixture_steps(points, k, seed=seed, max_starts=6, min_starts=3)
        codes, sure = fit.labels, fit.posterior.max(axis=1)
        yield Progress(0, 0, "training")
        weights = np.where(sure < _SURE, 0, sure).astype(np.float32)
        return PseudoLabels(
            torch.from_numpy(codes.astype(np.int64)).to(self.device),
            torch.from_numpy(weights).to(self.device),
        )

    def _split_and_merged(
        self, points: NDArray[np.float32], k: int, seed: int
    ) -> Steps[NDArray[np.intp]]:
        """Codes of the clusters that Gaussians explain best, between k / 2 and 2 k of them."""
        start = yield from tied_mixture_steps(points, k, seed=seed, max_starts=6, min_starts=3)
        return (
            yield from split_merge_steps(
                points[:, :_SPLIT_DIMS],
                start.labels,
                # Groups of a few dimensions need twice the weight that the BIC does.
                min(1.0, 2 * self.params.granularity * self.weight),
                at_least=max(1, k // 2),
                at_most=2 * k,
                min_size=min(_FEWEST, max(2, len(points) // 50)),
                seed=seed,
            )
        )

    def batch_columns(self, rows: NDArray[np.integer]) -> Tensor:
        """(m, n_batches) one column for each joined section, or (m, 0) where there is one."""
        n = int(self.batches.max()) + 1
        wide = (
            np.eye(n, dtype=np.float32)[self.batches[rows]] if n > 1 else np.zeros((len(rows), 0))
        )
        return torch.from_numpy(wide.astype(np.float32)).to(self.device)

    def finish_decoder(self, i: int) -> Steps[None]:
        """Train the decoder of network ``i`` to its end on the finished embedding.

        The steps of the encoder are too few for thousands of genes; the embedding stays.
        """
        p, decoder = self.params, self.models[i].decoder
        z = self.encoded[i].embedding
        rng = np.random.default_rng([p.seed, i, 1])

        def batches(_: int) -> Iterator[NDArray[np.intp]]:
            order = rng.permutation(len(z))
            parts = max(1, len(z) // p.decoded_spots)
            return (np.sort(part) for part in np.array_split(order, parts))

        def losses(rows: NDArray[np.intp]) -> tuple[Tensor, Mapping[str, Tensor]]:
            x, size = self.counts.block(rows, self.device)
            own = z[torch.from_numpy(rows).to(self.device)]
            rate, dispersion, dropout = decoder(torch.cat([own, self.batch_columns(rows)], dim=1))
            loss = zinb_loss(x, rate * size, dispersion, dropout)
            return loss, {"decoder": loss}

        curves = yield from train(
            decoder,
            batches,
            losses,
            Optimisation(p.decoder_epochs, _DECODER_RATE, p.weight_decay, p.clip),
            label="enhancing genes",
            offset=i * p.decoder_epochs,
            total=len(self.models) * p.decoder_epochs,
        )
        self.keep_curves(i, curves)
        decoder.eval()


def _new_model(
    widths: Sequence[int],
    rates: Tensor,
    n_batches: int,
    params: MMSRLParams,
    generator: torch.Generator,
) -> MMSRLModel:
    net = MultimodalNet(
        widths,
        params.hidden,
        params.latent,
        prelu=params.activation == "prelu",
        attention=params.attention != "none",
        generator=generator,
    )
    width = params.latent + (n_batches if n_batches > 1 else 0)
    return MMSRLModel(
        net, ZINBDecoder(width, DECODER_WIDTH, len(rates), rates, generator=generator)
    )


def model_from(tensors: Mapping[str, Tensor], params: MMSRLParams, n_genes: int) -> MMSRLModel:
    """A network from its tensors, in evaluation mode."""
    n = len(tensors["net.gate_bias"]) - 1
    widths = [tensors[f"net.encoders.{i}.w1"].shape[0] for i in range(n)]
    n_batches = tensors["decoder.lift.weight"].shape[1] - params.latent
    model = _new_model(widths, torch.ones(n_genes), n_batches, params, torch.Generator())
    model.load_state_dict(dict(tensors))
    return model.eval()
