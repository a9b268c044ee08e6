"""ViMST on one section: two inputs, two masked autoencoders, one joint embedding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ...core.errors import ParameterError
from ...core.progress import Progress, Steps, drain
from ...core.result import Fit
from ...core.section import Section
from ...features.graph import knn_graph, normalised_adjacency, radius_graph, within_groups
from ...nn.device import choose_device
from ...nn.dual_mask import Masking
from ..base import Estimate, Needs
from ..dual_estimate import input_width, training_estimate
from ..dual_inference import denoised_layer, net_from
from ..dual_neighbours import possible_neighbours, small_section_notes
from ..dual_training import DualMaskTraining
from ..expression_input import Prepared, prepare
from ..image_input import (
    ImageInput,
    carried,
    coarse_image,
    encoded,
    encoding_cost,
    has_image,
    image_input,
    is_wanted,
    projected,
)
from ..joint_input import linked, relinking, section_codes, tile_spots, tiled_coords
from ..network_method import NetworkMethod
from ..trained_state import Build, TrainedState
from .fusion import fused
from .params import TRANSFORMER, ViMSTParams
from .position import with_position
from .transformer import FOLDS, add_nets, gene_r2, predict_expression, predict_with

__all__ = ["ViMST", "graph_of", "masking_of"]


_LITTLE = 0.02
"""R2 out of fold, of the best twentieth of the genes, below which a note says so."""


class ViMST(NetworkMethod):
    """Domains and denoised genes from expression and histology, by two masked autoencoders."""

    name: ClassVar[str] = "vimst"
    title: ClassVar[str] = "ViMST"
    summary: ClassVar[str] = "Domains and denoised genes from expression and histology together."
    reference: ClassVar[str] = (
        "ViMST: vision-transformer-based dual-modality masked graph autoencoder, as released by "
        "its authors in 2025; it builds on STMask and TransformerST"
    )
    doi: ClassVar[str] = ""
    tasks: ClassVar[tuple[str, ...]] = ("domains", "denoise")
    needs: ClassVar[Needs] = Needs(counts=True, integrates=True)
    Params: ClassVar[type[ViMSTParams]] = ViMSTParams
    build: ClassVar[Build] = staticmethod(net_from)

    def extras(
        self, section: Section, params: ViMSTParams, model: str | Path | None = None
    ) -> Mapping[str, NDArray[Any]]:
        """Precomputed patch features."""
        if model is not None:
            own = self.load(model).params
            params = ViMSTParams(**own.model_dump())
        return drain(carried(section, params))

    def estimate(self, sections: Sequence[Section], params: ViMSTParams) -> Estimate:
        """Expected CPU seconds on one thread and bytes on top of the section.

        Encoding is counted as if nothing were in the cache; of the user's own networks, whose
        cost is unknown, as that of the built-in descriptor.
        """
        with_image = all(has_image(s, params) for s in sections)
        if params.graph_mode == "radius":
            # Spots of a square lattice within the radius; a hexagonal one has 15 % more.
            around = max(1, round(np.pi * params.radius**2))
            params = params.model_copy(update={"neighbours": around})
        widths = [input_width(params)] + [params.n_pcs_image] * with_image
        training = training_estimate(sections, params, widths)
        if not with_image:
            return training
        n = sum(s.n_spots for s in sections)
        if params.image_encoder == TRANSFORMER:
            # 0.2 ms for a forward and a backward pass of one spot; a fold trains on all spots.
            folds = FOLDS if params.cross_fit else 1
            seconds, peak = n * 2e-4 * folds * params.transformer_epochs, 3 * 32 * 32 * n * 2.0
        else:
            seconds, peak = encoding_cost(sections, params)
        if params.compare_views:
            seconds += 2 * params.replicates * n * 4e-4
        return Estimate(training.seconds + seconds, training.peak_bytes + peak)

    def _fit(self, section: Section, params: ViMSTParams) -> Steps[Fit]:
        yield Progress(0, 3, "preparing", message="Selecting genes.")
        prepared = yield from prepare(section, params)
        image = predicted = None
        if is_wanted(section, params):
            if params.image_encoder == TRANSFORMER:
                device = choose_device(params.device)
                predicted = yield from predict_expression(section, prepared.x, params, device)
                weights = predicted.weights(params.cross_fit)
                features = weights * predicted.values
            else:
                features = yield from encoded(section, params)
            # Only a prediction may be empty; features that are, are an error that is said.
            if params.image_encoder != TRANSFORMER or features.any():
                image = image_input(with_position(features, section, params), section, params)
        run = _training(section, prepared, image, params)
        for i in range(params.replicates):
            yield from run.replicate(i)
        fit = yield from self._finish(run, section, prepared, image, params)
        if predicted is not None:
            found = gene_r2(section, prepared, predicted.values, params)
            fit.var["image_r2"] = found
            fit.details["image_r2_median"] = float(np.nanmedian(found))
            best = float(np.nanquantile(found, 0.95))
            if best < _LITTLE:
                so = "expression was taken alone" if image is None else "another may serve better"
                fit.details["notes"].append(
                    f"The transformer tells next to nothing of expression from the patches (R2 of "
                    f"the best genes {best:.2f}): {so}."
                )
            fit.state = add_nets(fit.state, predicted, weights, section.coords)
        return fit

    def _answer(self, state: TrainedState, section: Section, settings: ViMSTParams) -> Steps[Fit]:
        prepared = state.prepare(section)
        image = None
        if "components" in state.arrays:
            image = yield from _image_of_model(state, section, settings)
        run = _training(section, prepared, image, settings)
        yield from run.answer(state.nets)
        return (yield from self._finish(run, section, prepared, image, settings))

    def _finish(
        self,
        run: DualMaskTraining,
        section: Section,
        prepared: Prepared,
        image: ImageInput | None,
        params: ViMSTParams,
    ) -> Steps[Fit]:
        """The answer of all replicates."""
        inputs = [prepared.x] if image is None else [prepared.x, image.x]
        answer = fused(run.latents, inputs, params)
        fit = Fit(
            embedding=answer.joint,
            replicates=answer.replicates,
            views=answer.views,
            graph=run.graph,
            inputs=prepared.x,
            params=params,
            history=run.history,
            details={
                "n_genes": len(prepared.genes),
                "n_inputs": int(prepared.x.shape[1]),
                "n_links": int(run.graph.nnz // 2),
                "device": str(run.device),
                "notes": [
                    *small_section_notes(section, prepared, params),
                    *filter(None, [coarse_image(section, params) if image is None else ""]),
                ],
                "with_image": image is not None,
            },
        )
        if params.denoise:
            yield Progress(0, 1, "denoising")
            latents = [parts[0] for parts in run.latents]
            layer, flag = denoised_layer(
                run.nets, latents, prepared, run.adjacency, section.n_genes, run.device
            )
            fit.layers, fit.var = {"denoised": layer}, {"denoised": flag}
        arrays = {} if image is None else {"components": image.components, "centre": image.centre}
        fit.state = TrainedState.of(self.name, params, run.nets, prepared, section, arrays)
        return fit


def _image_of_model(
    state: TrainedState, section: Section, params: ViMSTParams
) -> Steps[ImageInput]:
    """The image branch's input for another section, projected as in the training."""
    is_wanted(section, params.model_copy(update={"use_image": "yes"}))  # or an error says so
    if params.image_encoder == TRANSFORMER:
        features = yield from predict_with(state, section, params)
    else:
        features = yield from encoded(section, params)
    return projected(with_position(features, section, params), state.arrays, section, params)


def graph_of(
    section: Section, params: ViMSTParams, values: NDArray[np.float32] | None = None
) -> sp.csr_matrix:
    """Links of the spots as the parameters say, (n_spots, n_spots) CSR.

    ``values`` (n_spots, d) are needed where joined sections are linked by expression.

    Raises
    ------
    ParameterError
        If no two spots lie within the radius.
    """
    k, pitch = possible_neighbours(section, params), section.lattice.pitch

    def build(coords: NDArray[np.float64], more: int | None) -> sp.csr_matrix:
        if params.graph_mode == "radius":
            return radius_graph(coords, params.radius * pitch)
        return knn_graph(coords, more or k)

    graph = linked(section, build, n_near=k, values=values)
    if params.graph_mode == "radius" and not graph.nnz:
        raise ParameterError(
            f"no two spots of {section.where} lie within {params.radius:g} distances between spots",
            "give a larger radius",
        )
    return graph if params.link_sections else within_groups(graph, section_codes(section))


def _training(
    section: Section, prepared: Prepared, image: ImageInput | None, params: ViMSTParams
) -> DualMaskTraining:
    graph = graph_of(section, params, prepared.x)
    return DualMaskTraining(
        [prepared.x] if image is None else [prepared.x, image.x],
        tiled_coords(section),
        graph,
        normalised_adjacency(graph),
        masking_of(params, with_image=image is not None),
        params,
        choose_device(params.device),
        mix=None if image is None else (1.0, params.link_mix_image),
        learn_mix=params.learn_mix and image is not None,
        tile_spots=tile_spots(section, params.tile_spots),
        relinking=relinking(section) if params.link_sections else None,
    )


def masking_of(params: ViMSTParams, *, with_image: bool) -> Masking:
    """What ViMST hides in a step."""
    n = 2 if with_image else 1
    return Masking(
        ("expression", "image")[:n],
        (params.node_mask_rate, params.image_mask_rate)[:n],
        (params.loss_gene, params.loss_image)[:n],
        params.edge_mask_rate,
        params.link_weight,
        params.alpha,
        params.scored_pairs,
        params.mask_mode,
        params.edge_mode,
    )
