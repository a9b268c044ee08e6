"""One prediction, from a request to a predicted section."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray

from . import models
from .core.errors import DataError, ParameterError, ResourceError
from .core.memory import DENSE_BUDGET, available_bytes, human, peak_rss_bytes
from .core.params import Params
from .core.prediction import RECORD, Prediction
from .core.progress import Progress, Steps, drain
from .core.provenance import input_hash, run_record
from .core.section import Section
from .features.encoders import is_finished
from .features.regions import with_guard
from .features.tissue_grid import tissue_grid
from .models.base import Estimate, Predicted, Predictor, PredictorState
from .models.spahgc.inputs import at_positions, blind, finished_features
from .pipeline import Data, as_section
from .prediction_checks import codes_of, warnings_of
from .prediction_overlap import check_distinct, learnt_before
from .prediction_scoring import Scored, score_steps

__all__ = ["estimate", "iter_predict", "predict", "predict_params"]

NOVEL = 0.99
"""Novelty from which a spot has no similar tissue among the references."""


def predict_params(
    method: str, references: Sequence[Section], preset: str = "recommended", **values: Any
) -> Params:
    """Parameters of a prediction: a preset for the references' platform, with single values.

    Raises
    ------
    ParameterError
        If the method, the preset or a value is unknown or out of bounds.
    """
    platform = references[0].platform if references else "unknown"
    return models.params_of(method).preset(preset, platform, **values)


def estimate(
    target: Section, references: Sequence[Section], params: Params, *, method: str = "spahgc"
) -> Estimate:
    """Expected cost of training on ``references`` and predicting ``target``; a rough figure."""
    return models.predictor(method).estimate(target, references, params)


def iter_predict(
    target: Data,
    references: Sequence[Data] = (),
    *,
    method: str = "spahgc",
    params: Params | None = None,
    preset: str = "recommended",
    model: str | Path | PredictorState | None = None,
    groups: Sequence[Any] | None = None,
    pitch: float | None = None,
    learn: NDArray[np.bool_] | None = None,
    gap: float = 2.0,
    baselines: bool = True,
    **values: Any,
) -> Steps[Prediction]:
    """Predict genes of a section from its histology, as a stream of `Progress`.

    Counts of the target never reach the method, which is given a section without them; before,
    they only tell that no reference is the target itself. Where it has counts the prediction is
    scored at last, with baselines.

    Parameters
    ----------
    target
        Section, AnnData, path or layer with a histology image or finished features.
    references
        Measured sections to learn from, likewise.
    method
        ``"spahgc"``.
    params
        Complete parameters; then ``preset`` and ``values`` must not be given.
    preset
        ``"recommended"`` (by the platform of the references), ``"paper"``, ``"defaults"`` or a
        platform's name.
    model
        Trained state, or its file, to use instead of references. Of its settings ``values`` may
        change those that need no training (`models.spahgc.params.FREE`).
    groups
        One label for each reference: those of one label never learn from each other. By default
        ``obs["patient"]``, see `prediction_checks.codes_of`.
    pitch
        Micrometres between points of a grid over the tissue to predict at; None predicts at the
        target's spots.
    learn
        (n_spots,) True for the spots of the target to learn from, with no ``references``: the
        others are predicted. Features are standardised over both parts together, also where
        ``params`` say otherwise, unless ``values`` do.
    gap
        Width of what is left out between the two, in distances between spots.
    baselines
        Also score predictors that need no training.
    **values
        Single parameters by name.

    Returns
    -------
    Prediction

    Raises
    ------
    StmaskError
        With one sentence about what is wrong and what to do.
    """
    started, cpu = time.monotonic(), time.process_time()
    yield Progress(0, 0, "reading")
    asked = as_section(target)
    given = references if isinstance(references, list | tuple) else [references]
    sections = [as_section(one) for one in given]
    predictor = models.predictor(method)
    goal = asked
    if learn is not None:
        if sections or model is not None:
            raise ParameterError(
                "a region to learn from and references or a model were given", "give one of them"
            )
        values = {"standardise": "references"} | values
    elif bool(sections) == (model is not None):
        raise ParameterError(
            "there is nothing to learn from" if model is None else "a model and references",
            "give either reference sections or a saved model",
        )
    if groups is not None and not sections:
        raise ParameterError("groups were given without references", "leave them out")
    state = predictor.load(model) if isinstance(model, str | Path) else model
    params = _settings(predictor, params, preset, values, sections or [asked], state)
    if learn is not None:
        goal, sections = _regions(asked, learn, gap, params)
        notes = []
    else:
        check_distinct(sections, goal if pitch is None else None)
        notes = warnings_of(goal, sections, params, groups=groups)
    if state is not None and pitch is None and learnt_before(goal, state.reference_table()):
        notes.append(f"The model was trained on {goal.name}: its scores say nothing.")
    place = _place(goal, pitch, params)
    _check(predictor, place, sections, params)
    for note in notes:
        yield Progress(0, 0, "checking", message=note)
    if state is None:
        codes = codes_of(None if learn is not None else goal, sections, groups)
        state = yield from predictor.fit([_bare(s, params) for s in sections], codes, params)
    size = 4 * place.n_spots * len(state.genes)
    if size > DENSE_BUDGET:
        raise ResourceError(
            f"{len(state.genes)} genes at {place.n_spots} places would take {human(size)}",
            "predict fewer genes, or on a wider grid",
        )
    predicted = yield from predictor.predict(state, place, params)
    scored = None
    if pitch is None:
        measured, why = _measured(goal, state.genes)
        if measured:
            try:
                scored = yield from score_steps(
                    predictor.title, state, predicted, goal, baselines=baselines
                )
            except DataError as error:
                # Too few spots, or genes that do not vary: no reason to lose the prediction.
                why = f"Not scored: {error.problem}."
        if why:
            notes.append(why)
    known = state.reference_table()
    record = run_record(
        method=method,
        key=method,
        params=state.settings(params),
        section_sources={s.name: s.source for s in [asked, *sections]},
        hashes={s.name: input_hash(s) for s in sections},
        extra={
            "target": asked.name,
            "references": sorted(set(known["section"])),
            "model": str(model) if isinstance(model, str | Path) else None,
            "pitch_um": pitch,
            "gap": gap if learn is not None else None,
            "expression": state.params.expression,
            "losses": {k: [round(x, 6) for x in v] for k, v in state.history.items()},
            "scores": None if scored is None else _plain(scored.table),
            "notes": [*notes, *state.notes],
            "seconds": round(time.monotonic() - started, 3),
            "cpu_seconds": round(time.process_time() - cpu, 3),
            "peak_rss_bytes": peak_rss_bytes(),
        },
    )
    answer = _section(method, asked, place, state, predicted, scored, record, pitch)
    table = None if scored is None else scored.table
    yield Progress(1, 1, "writing")
    return Prediction(method, asked, answer, known, table, record, state)


def predict(target: Data, references: Sequence[Data] = (), **options: Any) -> Prediction:
    """Predict to the end; see `iter_predict` for the parameters."""
    return drain(iter_predict(target, references, **options))


def _settings(
    predictor: Predictor,
    params: Params | None,
    preset: str,
    values: dict[str, Any],
    sections: Sequence[Section],
    state: PredictorState | None,
) -> Any:
    if state is not None:
        if params is None and preset not in ("recommended", "defaults"):
            raise ParameterError(
                f"the preset '{preset}' says nothing of a trained model", "leave it out"
            )
        own = state.params
        asked = type(own).checked(**(own.model_dump() | values)) if params is None else params
        state.check(asked)
        return asked
    if params is None:
        return predict_params(predictor.name, sections, preset, **values)
    if not isinstance(params, predictor.Params):
        raise ParameterError(
            f"params is a {type(params).__name__}, expected {predictor.Params.__name__}",
            f"make them with napari_stmask.params('{predictor.name}', ...)",
        )
    given = {k: v for k, v in values.items() if getattr(params, k, None) != v}
    if preset != "recommended" or given.keys() - {"standardise"}:
        raise ParameterError(
            "params and a preset or single parameters were mixed",
            "pass either params= or a preset with single values",
        )
    return params.model_copy(update=given)


def _check(
    predictor: Predictor, target: Section, references: Sequence[Section], params: Any
) -> None:
    for section in references:
        if section.counts().nnz == 0:
            raise DataError(f"{section.where}: no spot has any counts", "give measured references")
    expected, free = predictor.estimate(target, references, params).peak_bytes, available_bytes()
    if expected > free:
        raise ResourceError(
            f"the prediction would take about {human(expected)} of memory, {human(free)} are free",
            "lower batch_spots or n_genes, or close other programs",
        )


def _place(target: Section, pitch: float | None, params: Any) -> Section:
    """Where to predict, without counts: the target's spots, or a grid over its tissue."""
    if pitch is None:
        return blind(target, params.image_encoder)
    if is_finished(params.image_encoder):
        raise ParameterError(
            f"{params.image_encoder} has features of spots, not of the points of a grid",
            "use an encoder that reads the image, or leave out the grid",
        )
    return at_positions(target, tissue_grid(target, pitch))


def _bare(section: Section, params: Any) -> Section:
    """Counts, positions, image and finished features, no labels; spots without counts left out."""
    arrays = finished_features(section, params.image_encoder)
    filled = np.diff(section.counts().indptr) > 0
    return section.bare(None if filled.all() else filled, arrays)


def _regions(
    section: Section, learn: NDArray[np.bool_], gap: float, params: Any
) -> tuple[Section, list[Section]]:
    """The part of a section to predict, and the one to learn from."""
    inside = np.asarray(learn, dtype=bool)
    if inside.shape != (section.n_spots,):
        raise ParameterError(
            f"{section.where} has {section.n_spots} spots, the region to learn from "
            f"{inside.shape} values",
            "give one True or False for each spot",
        )
    known, rest = with_guard(section.coords, inside, gap * section.lattice.pitch)
    arrays = finished_features(section, params.image_encoder)
    return section.bare(rest, arrays), [section.bare(known, arrays)]


def _measured(section: Section, genes: Sequence[str]) -> tuple[bool, str]:
    """Whether there is something to score against, and why not where one might expect it."""
    try:
        counts = section.counts()
    except DataError as error:
        return False, f"Not scored: {error.problem}."
    if counts.nnz == 0:
        return False, ""
    shared = int((section.adata.var_names.get_indexer(list(genes)) >= 0).sum())
    if not shared:
        return False, f"Not scored: {section.name} measured none of the predicted genes."
    return True, ""


def _section(
    key: str,
    asked: Section,
    place: Section,
    state: PredictorState,
    predicted: Predicted,
    scored: Scored | None,
    record: dict[str, Any],
    pitch: float | None,
) -> Section:
    """The predicted section; nothing of the measured one is in it but its positions."""
    var = pd.DataFrame(index=pd.Index(state.genes))
    var["expected_pcc"], var["expected_error"] = predicted.expected_pcc, predicted.expected_error
    if scored is not None:
        var = var.join(scored.genes)
    obs = pd.DataFrame(index=place.adata.obs_names)
    obs["novelty"] = predicted.novelty
    obs["novel"] = predicted.novelty >= NOVEL
    adata = AnnData(predicted.values, obs=obs, var=var)
    adata.obsm["spatial"] = place.coords
    adata.obsm[f"X_{key}"] = predicted.embedding
    adata.obsm[f"{key}_references"] = predicted.references
    adata.obsm[f"{key}_weights"] = predicted.weights
    if predicted.spread is not None:
        adata.layers["spread"] = predicted.spread
    adata.uns[RECORD] = json.dumps(record, allow_nan=False)
    grid = pitch is not None and asked.um_per_px is not None
    return Section(
        adata,
        name=f"{asked.name} · predicted",
        image=asked.image,
        um_per_px=asked.um_per_px,
        platform="unknown" if grid else asked.platform,
        spot_diameter=pitch / asked.um_per_px if grid else asked.spot_diameter,  # type: ignore[operator]
        notes=list(record["notes"]),
    )


def _plain(table: pd.DataFrame) -> dict[str, dict[str, float | None]]:
    """Row -> column -> number, None where there is none; JSON-able."""
    return {
        str(row): {str(c): None if np.isnan(v) else float(v) for c, v in values.items()}
        for row, values in table.to_dict(orient="index").items()
    }
