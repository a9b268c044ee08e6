"""SpaMask on one section: features, graph, training, embedding, denoised genes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ...core.params import DomainParams
from ...core.progress import Progress, Steps
from ...core.result import Fit
from ...core.section import Section
from ...features.graph import knn_graph, normalised_adjacency
from ...nn.device import choose_device, in_threads
from ...nn.dual_mask import Masking
from ..base import Estimate, Needs, only_section
from ..dual_estimate import input_width, training_estimate
from ..dual_inference import beside, denoised_layer
from ..dual_state import DualMaskState
from ..dual_training import DualMaskTraining
from ..expression_input import Prepared, check_size, possible_neighbours, prepare
from .params import SpaMaskParams

__all__ = ["SpaMask", "masking_of"]


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

    def extras(
        self,
        section: Section,  # noqa: ARG002
        params: SpaMaskParams,  # noqa: ARG002
        model: str | Path | None = None,  # noqa: ARG002
    ) -> dict[str, NDArray[Any]]:
        """Counts and positions are all that SpaMask reads."""
        return {}

    def estimate(self, sections: Sequence[Section], params: SpaMaskParams) -> Estimate:
        """Expected CPU seconds on one thread and bytes on top of the section."""
        return training_estimate(sections, params, [input_width(params)])

    def fit(self, sections: Sequence[Section], params: SpaMaskParams) -> Steps[Fit]:
        """Train on one section.

        Raises
        ------
        DataError
            If the section has too few spots or genes, or its matrix holds no counts.
        ParameterError
            If more than one section is given.
        """
        section = only_section(sections, self.title)
        return (yield from in_threads(self._fit(section, params), params.threads))

    def _fit(self, section: Section, params: SpaMaskParams) -> Steps[Fit]:
        yield Progress(0, 3, "preparing", message="Selecting genes.")
        prepared = yield from prepare(section, params)
        run = _training(section, prepared, params)
        for i in range(params.replicates):
            yield from run.replicate(i)
        return (yield from self._finish(run, section, prepared, params))

    def apply(
        self, model: str | Path, sections: Sequence[Section], params: SpaMaskParams
    ) -> Steps[Fit]:
        """Embed a section with the networks of a saved ``model``; nothing is trained.

        Raises
        ------
        DataError
            If the section lacks genes of the model.
        """
        section = only_section(sections, self.title)
        return (yield from in_threads(self._apply(model, section, params), params.threads))

    def _apply(self, model: str | Path, section: Section, params: SpaMaskParams) -> Steps[Fit]:
        check_size(section)
        state = DualMaskState.load(model, self.name, self.Params, title=self.title)
        yield Progress(0, 1, "preparing", message="Reading the model.")
        # The network is the model's; how its answer is split and where it runs is the caller's.
        asked = params.model_dump(include={*DomainParams.model_fields, "denoise"})
        settings = SpaMaskParams(**(state.params.model_dump() | asked))
        prepared = state.prepare(section)
        run = _training(section, prepared, settings)
        for net in state.nets:
            run.add(net.to(run.device))
            yield Progress(len(run.nets), len(state.nets), "embedding")
        return (yield from self._finish(run, section, prepared, settings))

    def save_model(self, fit: Fit, path: str | Path) -> None:
        """Write the trained networks and their preprocessing to ``path`` (safetensors)."""
        fit.state.save(path)

    def _finish(
        self, run: DualMaskTraining, section: Section, prepared: Prepared, params: SpaMaskParams
    ) -> Steps[Fit]:
        """The answer of all replicates."""
        own, latents = params.own_weight, [latent for (latent,) in run.latents]
        fit = Fit(
            embedding=beside(np.concatenate(latents, axis=1), prepared.x, own),
            graph=run.graph,
            params=params,
            history=run.history,
            details={
                "n_genes": len(prepared.genes),
                "n_inputs": int(prepared.x.shape[1]),
                "n_links": int(run.graph.nnz // 2),
                "device": str(run.device),
                "notes": prepared.notes(section, params),
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
        fit.state = DualMaskState.of(self.name, params, run.nets, prepared, section)
        return fit


def _training(section: Section, prepared: Prepared, params: SpaMaskParams) -> DualMaskTraining:
    graph = knn_graph(section.coords, possible_neighbours(section, params))
    return DualMaskTraining(
        [prepared.x],
        section.coords,
        graph,
        normalised_adjacency(graph),
        masking_of(params),
        params,
        choose_device(params.device),
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
