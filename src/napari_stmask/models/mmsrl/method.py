"""MMSRL on one section: inputs, graph, training, embedding, enhanced genes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from torch import Tensor, nn

from ...core.errors import ParameterError
from ...core.joint import JointParams
from ...core.lattice import detect_lattice
from ...core.progress import Progress, Steps, drain
from ...core.result import Fit
from ...core.section import Section
from ...features.graph import gaussian_graph, random_walk, shared_weight
from ...features.joint_graph import block_graph
from ...nn.device import choose_device
from ..base import Estimate, Needs
from ..expression_input import Prepared, prepare, scaling_notes
from ..image_input import (
    ImageInput,
    carried,
    coarse_image,
    encoded,
    has_image,
    image_input,
    is_wanted,
    projected,
)
from ..joint_input import linked, relinking, section_codes
from ..network_method import NetworkMethod
from ..trained_state import Build, TrainedState
from .answer import embeddings, enhanced_layer
from .common import Training
from .cost import estimate
from .objective import Counts
from .params import MMSRLParams
from .reference import ReferenceTraining, log_values, notes_of, reference_model_from
from .training import MMSRLTraining, model_from

__all__ = ["MMSRL", "graph_of"]

_LEAST, _MOST = 0.05, 0.99
"""Share of the neighbours in a spot's average outside of which a note is given."""
_IMAGE_LENGTH = 3.0
"""Mean length of the image branch's input rows, beside expression whose first component has
unit variance."""


def _model_from(tensors: Mapping[str, Tensor], params: MMSRLParams, n_genes: int) -> nn.Module:
    """A network of either form from its tensors."""
    if params.mode == "reference":
        return reference_model_from(tensors, n_genes)
    return model_from(tensors, params, n_genes)


class MMSRL(NetworkMethod):
    """Domains and enhanced genes from expression and histology, with attention over the section."""

    name: ClassVar[str] = "mmsrl"
    title: ClassVar[str] = "MMSRL"
    summary: ClassVar[str] = "Domains and enhanced genes; alike spots inform each other anywhere."
    reference: ClassVar[str] = (
        "MMSRL: multi-modal spatial representation learning, as released by its authors; it "
        "builds on stMMR (GigaScience 13, giae089, 2024) and PRAGA (AAAI 2025)"
    )
    doi: ClassVar[str] = ""
    tasks: ClassVar[tuple[str, ...]] = ("domains", "denoise")
    needs: ClassVar[Needs] = Needs(counts=True, integrates=True)
    Params: ClassVar[type[MMSRLParams]] = MMSRLParams
    build: ClassVar[Build] = staticmethod(_model_from)

    def extras(
        self, section: Section, params: MMSRLParams, model: str | Path | None = None
    ) -> Mapping[str, NDArray[Any]]:
        """Precomputed patch features."""
        if model is not None:
            params = MMSRLParams(**self.load(model).params.model_dump())
        return drain(carried(section, params))

    def check_joint(self, joint: JointParams, params: MMSRLParams) -> None:
        """Refuse to correct an input that the released form does not take.

        Raises
        ------
        ParameterError
            If Harmony is to correct the input of the released mathematics.
        """
        if params.mode == "reference" and joint.correction == "harmony_input":
            raise ParameterError(
                "the released mathematics of MMSRL take genes, which Harmony cannot correct",
                "use correction harmony_embedding or none, or mode default",
            )

    def estimate(self, sections: Sequence[Section], params: MMSRLParams) -> Estimate:
        """Expected CPU seconds on one thread and bytes on top of the section."""
        with_image = all(has_image(s, params) for s in sections)
        return estimate(sections, params, with_image=with_image)

    def _fit(self, section: Section, params: MMSRLParams) -> Steps[Fit]:
        if params.denoise:
            _check_decoder(params)
        yield Progress(0, 3, "preparing", message="Selecting genes.")
        prepared = yield from prepare(section, params, rank_within=True)
        median = float(np.median(_totals(section)))
        if params.mode == "reference":
            prepared = _as_released(prepared, section, median)
        image = None
        if is_wanted(section, params):
            features = yield from encoded(section, params)
            image = image_input(features, section, params)
        run = _training(section, prepared, image, params, median)
        if params.auto_domains:
            yield from run.choose_number()
        for i in range(params.replicates):
            yield from run.replicate(i)
        if params.denoise:
            for i in range(params.replicates):
                yield from run.finish_decoder(i)
        return (yield from self._finish(run, section, prepared, image, params))

    def _answer(self, state: TrainedState, section: Section, settings: MMSRLParams) -> Steps[Fit]:
        if settings.denoise:
            _check_decoder(state.params, trained=True)
        prepared = state.prepare(section)
        # The decoder's rates, and log values, are of the depth that the network was trained at.
        median = float(state.arrays["median"][0])
        if settings.mode == "reference":
            prepared = _as_released(prepared, section, median)
        image = None
        if "components" in state.arrays:
            wanted = settings.model_copy(update={"use_image": "yes"})
            is_wanted(section, wanted)  # or an error says so
            features = yield from encoded(section, settings)
            image = projected(features, state.arrays, section, settings)
        # The groups of the attention are part of the network, and so is their seed.
        trained = settings.model_copy(update={"seed": state.params.seed})
        run = _training(section, prepared, image, trained, median, state.arrays["scales"])
        yield from run.answer(state.nets)
        if settings.auto_domains:
            yield from run.choose_number()
        fit = yield from self._finish(run, section, prepared, image, settings)
        # What was trained stays what it is, whatever this answer was asked for.
        fit.state = state
        return fit

    def _finish(
        self,
        run: Training,
        section: Section,
        prepared: Prepared,
        image: ImageInput | None,
        params: MMSRLParams,
    ) -> Steps[Fit]:
        """The answer of all replicates."""
        answer = embeddings(run, params)
        notes = [*prepared.notes(params), *_graph_notes(run.walk, params)]
        if params.mode == "reference":
            notes += notes_of(params, len(prepared.genes), section.joint)
        else:
            notes += scaling_notes(section, prepared)
        if image is None:
            notes += filter(None, [coarse_image(section, params)])
        fit = Fit(
            embedding=answer.joint,
            replicates=answer.replicates,
            views=answer.views,
            obsm=answer.obsm,
            graph=run.graph,
            inputs=prepared.x,
            params=params,
            curve=run.curve,
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
            yield Progress(1, 1, "enhancing genes")
            layer, flag = enhanced_layer(run, prepared.genes, section.n_genes)
            fit.layers, fit.var = {"denoised": layer}, {"denoised": flag}
        arrays = {"scales": run.scales, "median": np.array([run.counts.median], dtype=np.float32)}
        if image is not None:
            arrays |= {"components": image.components, "centre": image.centre}
        fit.state = TrainedState.of(self.name, params, run.models, prepared, section, arrays)
        return fit


def _check_decoder(params: Any, *, trained: bool = False) -> None:
    """Refuse enhanced genes of a decoder that did not, or will not, learn to its end.

    The corrected form trains it further where ``denoise`` is on; the released one only with the
    rest of the network.
    """
    if params.mode == "reference":
        if not params.loss_zinb:
            raise ParameterError(
                "with loss_zinb = 0 the released mathematics do not train the gene decoder",
                "switch denoise off, or give loss_zinb a value above 0",
            )
    elif trained and not params.denoise:
        raise ParameterError(
            "the model was trained without denoise, so that its gene decoder is unfinished",
            "switch denoise off, or train a model with denoise",
        )


def graph_of(
    section: Section, params: MMSRLParams, values: NDArray[np.float32] | None = None
) -> sp.csr_matrix:
    """Links of the spots, (n_spots, n_spots) CSR.

    Distances count in those between the spots of the own section. Sections that were only put
    side by side are not linked; ``values`` (n_spots, d) are needed for links by expression.

    Raises
    ------
    ParameterError
        If no two spots lie within reach.
    """
    width, joint = params.kernel_width, section.joint

    def build(coords: NDArray[np.float64], _: int | None) -> sp.csr_matrix:
        own = section.lattice.pitch if coords.shape[1] > 2 else detect_lattice(coords).pitch
        return gaussian_graph(coords, width * own, cut=params.kernel_cut)

    if joint is not None and joint.settings is None:
        graph = block_graph(section.coords, joint.codes, build)
    else:
        graph = linked(section, build, n_near=section.lattice.ring, values=values)
    if not graph.nnz and section.n_spots > 1:
        raise ParameterError(
            f"no two spots of {section.where} lie within {params.kernel_cut:g} widths of "
            f"{params.kernel_width:g} distances between spots",
            "give a larger kernel_width",
        )
    return graph


def _graph_notes(walk: sp.csr_matrix, params: MMSRLParams) -> list[str]:
    """Where averaging over the neighbourhood does nothing, or leaves nothing of the spot."""
    around = 1 - float(walk.diagonal().mean())
    if _LEAST <= around <= _MOST:
        return []
    what = "hardly any of its neighbours" if around < _LEAST else "hardly anything of itself"
    return [f"With a neighbourhood width of {params.kernel_width:g} a spot's average holds {what}."]


def _totals(section: Section) -> NDArray[np.float32]:
    """(n_spots,) molecules of each spot, over all genes."""
    return np.asarray(section.counts().sum(axis=1), dtype=np.float32).ravel()


def _as_released(prepared: Prepared, section: Section, median: float) -> Prepared:
    """Log values of the selected genes themselves, not scaled."""
    n = len(prepared.genes)
    return Prepared(
        log_values(section, prepared.genes, median),
        prepared.genes,
        np.ones(n, dtype=np.float32),
        np.full(n, np.inf, dtype=np.float32),
        None,
        None,
    )


def _training(
    section: Section,
    prepared: Prepared,
    image: ImageInput | None,
    params: MMSRLParams,
    median: float,
    scales: NDArray[np.float32] | None = None,
) -> Training:
    """The pieces of a run; ``scales`` of the inputs are those of a saved model, if any."""
    foreign = scales is not None
    graph = graph_of(section, params, prepared.x)
    walk = random_walk(graph)
    inputs = [prepared.x] if image is None else [prepared.x, image.x]
    released = params.mode == "reference"
    if scales is None:
        scales = np.ones(len(inputs), dtype=np.float32) if released else _scales(inputs)
    form = ReferenceTraining if released else MMSRLTraining
    return form(
        [x * scale for x, scale in zip(inputs, scales, strict=True)],
        scales,
        walk,
        graph,
        Counts(
            section.counts()[:, prepared.genes].tocsr(),
            _totals(section) / np.float32(median),
            median,
        ),
        section_codes(section),
        shared_weight(walk),
        params,
        choose_device(params.device),
        foreign=foreign,
        relinking=None if released else relinking(section),
    )


def _scales(inputs: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Factors: expression's first component to unit variance, image rows to a mean length."""
    first, *images = inputs
    lengths = [float(np.sqrt((x**2).sum(axis=1).mean())) or 1.0 for x in images]
    first_sd = float(first[:, 0].std()) or 1.0
    return np.array([1 / first_sd, *(_IMAGE_LENGTH / x for x in lengths)], dtype=np.float32)
