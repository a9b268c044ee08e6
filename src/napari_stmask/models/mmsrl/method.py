"""MMSRL on one section: inputs, graph, training, embedding, enhanced genes."""

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
from ...features.graph import gaussian_graph, random_walk, shared_weight, within_groups
from ...nn.device import choose_device
from ..base import Estimate, Needs
from ..expression_input import Prepared, prepare
from ..image_input import (
    SECTIONS,
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
from ..network_method import NetworkMethod
from ..trained_state import Build, TrainedState
from .answer import embeddings, enhanced_layer
from .objective import Counts
from .params import MMSRLParams
from .training import MMSRLTraining, model_from

__all__ = ["MMSRL", "graph_of"]

_LEAST, _MOST = 0.05, 0.99
"""Share of the neighbours in a spot's average outside of which a note is given."""
_IMAGE_LENGTH = 3.0
"""Mean length of the image branch's input rows, beside expression whose first component has
unit variance."""


class MMSRL(NetworkMethod):
    """Domains and enhanced genes from expression and histology, with attention over the section."""

    name: ClassVar[str] = "mmsrl"
    title: ClassVar[str] = "MMSRL"
    summary: ClassVar[str] = "Domains and enhanced genes; alike spots inform each other anywhere."
    reference: ClassVar[str] = (
        "MMSRL: multi-modal spatial representation learning, as released by its authors; it "
        "builds on stMMR (GigaScience 13, giae089, 2024) and PRAGA (AAAI 2025)"
    )
    doi: ClassVar[str] = "10.1093/gigascience/giae089"
    tasks: ClassVar[tuple[str, ...]] = ("domains", "denoise")
    needs: ClassVar[Needs] = Needs(counts=True)
    Params: ClassVar[type[MMSRLParams]] = MMSRLParams
    build: ClassVar[Build] = staticmethod(model_from)

    def extras(
        self, section: Section, params: MMSRLParams, model: str | Path | None = None
    ) -> Mapping[str, NDArray[Any]]:
        """Precomputed patch features, and which section a spot of a joined one is of."""
        if model is not None:
            params = MMSRLParams(**self.load(model).params.model_dump())
        return drain(carried(section, params))

    def estimate(self, sections: Sequence[Section], params: MMSRLParams) -> Estimate:
        """Expected CPU seconds on one thread and bytes on top of the section."""
        with_image = all(has_image(s, params) for s in sections)
        return _estimate(sections, params, with_image=with_image)

    def _fit(self, section: Section, params: MMSRLParams) -> Steps[Fit]:
        yield Progress(0, 3, "preparing", message="Selecting genes.")
        prepared = yield from prepare(section, params, batches=_batches(section))
        image = None
        if is_wanted(section, params):
            features = yield from encoded(section, params)
            image = image_input(features, section, params)
        run = _training(section, prepared, image, params)
        for i in range(params.replicates):
            yield from run.replicate(i)
        if params.denoise:
            for i in range(params.replicates):
                yield from run.finish_decoder(i)
        return (yield from self._finish(run, section, prepared, image, params))

    def _answer(self, state: TrainedState, section: Section, settings: MMSRLParams) -> Steps[Fit]:
        prepared = state.prepare(section)
        image = None
        if "components" in state.arrays:
            wanted = settings.model_copy(update={"use_image": "yes"})
            is_wanted(section, wanted)  # or an error says so
            features = yield from encoded(section, settings)
            image = projected(features, state.arrays, section, settings)
        run = _training(section, prepared, image, settings, state.arrays["scales"])
        for model in state.nets:
            run.add(model.to(run.device))
            yield Progress(len(run.models), len(state.nets), "embedding")
        return (yield from self._finish(run, section, prepared, image, settings))

    def _finish(
        self,
        run: MMSRLTraining,
        section: Section,
        prepared: Prepared,
        image: ImageInput | None,
        params: MMSRLParams,
    ) -> Steps[Fit]:
        """The answer of all replicates."""
        answer = embeddings(run, params)
        notes = [*prepared.notes(params), *_graph_notes(run.walk, params)]
        if image is None:
            notes += filter(None, [coarse_image(section, params)])
        fit = Fit(
            embedding=answer.joint,
            replicates=answer.replicates,
            views=answer.views,
            obsm=answer.obsm,
            graph=run.graph,
            params=params,
            weight=min(1.0, params.granularity * run.weight),
            history=run.history,
            details={
                "n_genes": len(prepared.genes),
                "n_inputs": int(prepared.x.shape[1]),
                "n_links": int(run.graph.nnz // 2),
                "device": str(run.device),
                "attention": run.form,
                "spots_averaged": round(1 / run.weight, 2),
                "with_image": image is not None,
                "notes": notes,
            },
        )
        if run.numbers:
            fit.details["numbers_of_domains"] = run.numbers
        if params.denoise:
            yield Progress(0, 1, "enhancing genes")
            layer, flag = enhanced_layer(run, prepared.genes, section.n_genes, params)
            fit.layers, fit.var = {"denoised": layer}, {"denoised": flag}
        arrays = {"scales": run.scales}
        if image is not None:
            arrays |= {"components": image.components, "centre": image.centre}
        fit.state = TrainedState.of(self.name, params, run.models, prepared, section, arrays)
        return fit


def _batches(section: Section) -> NDArray[np.intp]:
    """(n_spots,) which of the joined sections each spot is of."""
    if SECTIONS not in section.adata.obsm:
        return np.zeros(section.n_spots, dtype=np.intp)
    own = np.asarray(section.adata.obsm[SECTIONS]).ravel()
    return np.unique(own, return_inverse=True)[1]


def graph_of(section: Section, params: MMSRLParams) -> sp.csr_matrix:
    """Links of the spots, (n_spots, n_spots) CSR; none between joined sections.

    Raises
    ------
    ParameterError
        If no two spots lie within reach.
    """
    width = params.kernel_width * section.lattice.pitch
    graph = gaussian_graph(section.coords, width, cut=params.kernel_cut)
    if not graph.nnz and section.n_spots > 1:
        raise ParameterError(
            f"no two spots of {section.where} lie within {params.kernel_cut:g} widths of "
            f"{params.kernel_width:g} distances between spots",
            "give a larger kernel_width",
        )
    return within_groups(graph, _batches(section))


def _graph_notes(walk: sp.csr_matrix, params: MMSRLParams) -> list[str]:
    """Where averaging over the neighbourhood does nothing, or leaves nothing of the spot."""
    around = 1 - float(walk.diagonal().mean())
    if _LEAST <= around <= _MOST:
        return []
    what = "hardly any of its neighbours" if around < _LEAST else "hardly anything of itself"
    return [f"With a neighbourhood width of {params.kernel_width:g} a spot's average holds {what}."]


def _training(
    section: Section,
    prepared: Prepared,
    image: ImageInput | None,
    params: MMSRLParams,
    scales: NDArray[np.float32] | None = None,
) -> MMSRLTraining:
    """The pieces of a run; ``scales`` of the inputs are those of a saved model, if any."""
    graph = graph_of(section, params)
    walk = random_walk(graph)
    counts = section.counts()
    totals = np.asarray(counts.sum(axis=1), dtype=np.float32).ravel()
    median = float(np.median(totals))
    inputs = [prepared.x] if image is None else [prepared.x, image.x]
    if scales is None:
        scales = _scales(inputs)
    return MMSRLTraining(
        [x * scale for x, scale in zip(inputs, scales, strict=True)],
        scales,
        walk,
        graph,
        Counts(counts[:, prepared.genes].tocsr(), totals / np.float32(median), median),
        _batches(section),
        shared_weight(walk),
        params,
        choose_device(params.device),
    )


def _scales(inputs: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Factors: expression's first component to unit variance, image rows to a mean length."""
    first, *images = inputs
    lengths = [float(np.sqrt((x**2).sum(axis=1).mean())) or 1.0 for x in images]
    first_sd = float(first[:, 0].std()) or 1.0
    return np.array([1 / first_sd, *(_IMAGE_LENGTH / x for x in lengths)], dtype=np.float32)


def _estimate(sections: Sequence[Section], params: MMSRLParams, *, with_image: bool) -> Estimate:
    """Time of the parts of an epoch, at the rates of one core."""
    n = sum(s.n_spots for s in sections)
    nnz = sum(s.counts().nnz for s in sections)
    branches = 1 + with_image
    around = np.pi * (params.kernel_width * params.kernel_cut) ** 2
    exact = params.attention == "exact" or (params.attention == "auto" and n <= params.exact_up_to)
    keys = 0 if params.attention == "none" else n if exact else params.landmarks
    width = params.latent
    # Rates of one core: products 60 GFLOP/s, exponentials 0.25 G/s, sparse traffic 4 G numbers/s.
    attention = 14.0 * n * keys * width / 6e10 + n * keys / 5e8
    encoder = 12.0 * n * (params.n_pcs_in * params.hidden + params.hidden * width) / 6e10
    sparse = 2 * n * around * params.n_pcs_in / 4e9
    decoder = min(n, params.decoded_spots) * params.n_hvg * (18 * 128 / 6e10 + 6e-8)
    epoch = branches * (attention + encoder + sparse) + decoder + 3e-3
    seconds = 5 + n / 2000 + params.replicates * (params.epochs * epoch + n * 8e-4)
    if params.denoise:
        seconds += (
            params.replicates * params.decoder_epochs * decoder * max(1, n / params.decoded_spots)
        )
    if with_image:
        extra, held = encoding_cost(sections, params)
        seconds += extra
    else:
        held = 0.0
    peak = 4.0 * n * branches * (10 * params.hidden + 20 * width + 3 * params.n_pcs_in)
    peak += 16.0 * n * around + 60.0 * min(n, params.decoded_spots) * params.n_hvg
    layer = 24.0 * n * params.n_hvg if params.denoise else 0.0
    return Estimate(seconds, peak + 16.0 * nnz + layer + held)
