"""SpaMask on one section: features, graph, training, embedding, denoised genes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from ...core.progress import Progress, Steps
from ...core.result import Fit
from ...core.section import Section
from ...features.graph import knn_graph, normalised_adjacency
from ...nn.device import choose_device
from ...nn.dual_mask import Masking
from ..base import Estimate, Needs
from ..dual_estimate import input_width, training_estimate
from ..dual_inference import beside, denoised_layer, net_from
from ..dual_neighbours import possible_neighbours, small_section_notes
from ..dual_training import DualMaskTraining
from ..expression_input import Prepared, prepare
from ..joint_input import linked, relinking, tile_spots, tiled_coords
from ..network_method import NetworkMethod
from ..trained_state import Build, TrainedState
from .params import SpaMaskParams

__all__ = ["SpaMask", "masking_of"]


class SpaMask(NetworkMethod):
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
    needs: ClassVar[Needs] = Needs(counts=True, integrates=True)
    Params: ClassVar[type[SpaMaskParams]] = SpaMaskParams
    build: ClassVar[Build] = staticmethod(net_from)

    def estimate(self, sections: Sequence[Section], params: SpaMaskParams) -> Estimate:
        """Expected CPU seconds on one thread and bytes on top of the section."""
        return training_estimate(sections, params, [input_width(params)])

    def _fit(self, section: Section, params: SpaMaskParams) -> Steps[Fit]:
        yield Progress(0, 3, "preparing", message="Selecting genes.")
        prepared = yield from prepare(section, params)
        run = _training(section, prepared, params)
        for i in range(params.replicates):
            yield from run.replicate(i)
        return (yield from self._finish(run, section, prepared, params))

    def _answer(self, state: TrainedState, section: Section, settings: SpaMaskParams) -> Steps[Fit]:
        prepared = state.prepare(section)
        run = _training(section, prepared, settings)
        yield from run.answer(state.nets)
        return (yield from self._finish(run, section, prepared, settings))

    def _finish(
        self, run: DualMaskTraining, section: Section, prepared: Prepared, params: SpaMaskParams
    ) -> Steps[Fit]:
        """The answer of all replicates."""
        own, latents = params.own_weight, [latent for (latent,) in run.latents]
        fit = Fit(
            embedding=beside(np.concatenate(latents, axis=1), prepared.x, own),
            graph=run.graph,
            inputs=prepared.x,
            params=params,
            history=run.history,
            details={
                "n_genes": len(prepared.genes),
                "n_inputs": int(prepared.x.shape[1]),
                "n_links": int(run.graph.nnz // 2),
                "device": str(run.device),
                "notes": small_section_notes(section, prepared, params),
            },
        )
        if params.consensus == "vote" and len(latents) > 1:
            fit.replicates = [beside(latent, prepared.x, own) for latent in latents]
        if params.denoise:
            yield Progress(0, 1, "denoising")
            layer, flag = denoised_layer(
                run.nets, latents, prepared, run.adjacency, section.n_genes, run.device
            )
            fit.layers, fit.var = {"denoised": layer}, {"denoised": flag}
        fit.state = TrainedState.of(self.name, params, run.nets, prepared, section)
        return fit


def _training(section: Section, prepared: Prepared, params: SpaMaskParams) -> DualMaskTraining:
    k = possible_neighbours(section, params)
    graph = linked(
        section, lambda coords, more: knn_graph(coords, more or k), n_near=k, values=prepared.x
    )
    return DualMaskTraining(
        [prepared.x],
        tiled_coords(section),
        graph,
        normalised_adjacency(graph),
        masking_of(params),
        params,
        choose_device(params.device),
        tile_spots=tile_spots(section, params.tile_spots),
        relinking=relinking(section),
    )


def masking_of(params: SpaMaskParams) -> Masking:
    """What SpaMask hides in a step."""
    return Masking(
        ("reconstruction",),
        (params.node_mask_rate,),
        (1.0,),
        params.edge_mask_rate,
        params.link_weight,
        params.alpha,
        params.scored_pairs,
        params.mask_mode,
    )
