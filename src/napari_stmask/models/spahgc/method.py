"""SpaHGC behind the interface of methods that predict genes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from ...core.errors import ParameterError
from ...core.progress import Progress, Steps
from ...core.section import Section
from ...features.encoders import is_finished
from ...features.graph import neighbour_mean
from ...nn.device import choose_device, in_threads
from ..base import Estimate, Needs, Predicted
from ..image_input import encoding_cost
from .fitting import fit_state
from .graph import look_around, near_graph
from .inputs import Side, raw_features, side_of
from .params import SpaHGCParams
from .spread import spread_steps
from .state import SpaHGCState
from .training import Tensors, predict_steps, whole_batch

__all__ = ["SpaHGC"]

Float = NDArray[np.float32]


class SpaHGC:
    """Predicts genes of a section from its histology and from measured sections.

    Every spot is linked to the spots of reference sections whose patches look most alike; a
    network over this graph predicts its expression. The improved form adds ridge regression and
    the mean of near references, weighted by how well each does on reference spots left out.
    """

    name: ClassVar[str] = "spahgc"
    title: ClassVar[str] = "SpaHGC"
    summary: ClassVar[str] = (
        "Gene expression predicted from H&E by a graph across sections, with what to trust of it."
    )
    reference: ClassVar[str] = "SpaHGC, CVPR 2026, arXiv:2603.22821"
    doi: ClassVar[str] = ""
    tasks: ClassVar[tuple[str, ...]] = ("predict",)
    needs: ClassVar[Needs] = Needs(image=True, max_sections=1000)
    Params: ClassVar[type[SpaHGCParams]] = SpaHGCParams

    def estimate(
        self, target: Section | None, references: Sequence[Section], params: Any
    ) -> Estimate:
        """Expected CPU seconds on one thread and peak memory of training and prediction."""
        every = [*references, *([] if target is None else [target])]
        seconds, n_bytes = encoding_cost(every, params)
        scales = 1 if is_finished(params.image_encoder) else params.n_scales
        n_refs, n = sum(s.n_spots for s in references), sum(s.n_spots for s in every)
        nets = 1 if params.mode == "release" else params.replicates
        width = 118 * scales * 2 + params.n_genes
        # Products of one spot: three of a reference's joint state for each layer, and the input.
        work = params.layers * 14 * params.hidden**2 + 3 * params.hidden * width
        halo = 1.6 if n_refs > params.batch_spots else 1.0
        steps = nets * params.epochs * n_refs * halo
        seconds = seconds * scales + steps * work * 1.2e-10 + 2e-9 * n * n_refs
        links = min(n_refs, 2 * params.batch_spots) * params.n_references
        train = 4.0 * links * params.hidden * params.layers * 8 + 20.0 * n * width
        return Estimate(seconds, n_bytes + train)

    def fit(
        self, references: Sequence[Section], groups: Sequence[int], params: Any
    ) -> Steps[SpaHGCState]:
        """Train on measured ``references``; ``groups`` are codes of their patients.

        Raises
        ------
        ParameterError
            If there are no references.
        DataError
            If they share no genes, hold no counts, or have no image.
        """
        if not references:
            raise ParameterError("SpaHGC was given no reference", "give at least one")
        return (yield from in_threads(fit_state(references, groups, params), params.threads))

    def predict(self, state: SpaHGCState, target: Section, params: Any) -> Steps[Predicted]:
        """Answer for the spots of ``target``, of which counts are never read.

        ``params`` say where to compute, how many draws to make and whether to smooth (`FREE`);
        the rest is the state's.

        Raises
        ------
        DataError
            If the target has no image, or features of another encoder.
        """
        settings = state.settings(params)
        return (yield from in_threads(_predict(state, target, settings), settings.threads))

    def load(self, path: str | Path) -> SpaHGCState:
        """What `SpaHGCState.save` wrote; raises what `SpaHGCState.load` raises."""
        return SpaHGCState.load(path)


def _predict(state: SpaHGCState, target: Section, params: SpaHGCParams) -> Steps[Predicted]:
    device = choose_device(params.device)
    raw = yield from raw_features(target, params)
    state.check_width(raw.shape[1], target.where)
    unmeasured = np.empty((len(raw), 0), dtype=np.float32)
    side = yield from side_of(target, state.standard(raw), unmeasured, params)
    pool = state.pool()
    around = yield from look_around(side, pool, params)
    tensors = Tensors(
        *(torch.from_numpy(v).to(device) for v in (side.features, pool.features, pool.expression))
    )
    batch = whole_batch(around.data, device)
    nets = [net.to(device) for net in state.nets]
    yield Progress(0, 1, "predicting")
    answers = []
    for i, net in enumerate(nets):
        answer = yield from predict_steps(net, tensors, batch)
        answers.append(answer)
        yield Progress(i + 1, len(nets), "predicting")
    network, pooled, weights = (np.mean([a[j] for a in answers], axis=0) for j in range(3))
    linear = state.ridges[0].predict(side.features) if state.ridges else around.near
    value = _smoothed(state.head((linear, around.near, network)), side, params)
    spread = None
    if params.uncertainty:
        scatter = yield from spread_steps(
            state, side, pool, tensors, params.uncertainty, params.seed
        )
        spread = np.asarray(scatter * state.scale.span, dtype=np.float32)
    order = np.argsort(-weights, axis=1, kind="stable")
    return Predicted(
        values=state.scale.unscaled(value),
        spread=spread,
        features=state.own_features(side.features),
        embedding=np.asarray(pooled, dtype=np.float32),
        references=np.take_along_axis(around.index, order, axis=1).astype(np.int64),
        weights=np.take_along_axis(weights, order, axis=1).astype(np.float32),
        novelty=_novelty(around.last, state.familiar),
        expected_pcc=state.head.expected_pcc,
        expected_error=state.head.expected_error * state.scale.span,
    )


def _smoothed(values: Float, side: Side, params: SpaHGCParams) -> Float:
    """A share of each value replaced by the mean over its neighbours."""
    if not params.smoothing:
        return values
    around = neighbour_mean(near_graph(side, params), values)
    share = np.float32(params.smoothing)
    return np.asarray((1 - share) * values + share * around, dtype=np.float32)


def _novelty(last: Float, familiar: Float) -> Float:
    """(n,) share of the reference spots that have more alike references than the target spot."""
    at = np.searchsorted(familiar, last, side="right") - 1
    return np.asarray(1 - np.clip(at, 0, 100) / 100, dtype=np.float32)
