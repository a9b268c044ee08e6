"""How well genes are predicted of sections, or patients, that were not learnt from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from .compute import fan_out
from .core.errors import ParameterError
from .core.params import Params
from .core.progress import Progress, Steps, drain
from .core.section import Section
from .models.spahgc.inputs import finished_features
from .pipeline import Data, as_section
from .prediction import iter_predict, predict_params
from .prediction_checks import PATIENT, UNKNOWN, patient_warnings, patients_of
from .prediction_overlap import check_distinct

__all__ = ["Evaluation", "Fold", "evaluate", "evaluate_steps"]


@dataclass(frozen=True, eq=False)
class Fold:
    """What is predicted from the others.

    Attributes
    ----------
    targets
        Sections of one group, or a single one.
    references
        What is learnt from; none of the targets' group.
    groups
        Label of each reference.
    label
        What the targets are called together.
    seed
        Of the training.
    """

    targets: Sequence[Section]
    references: Sequence[Section]
    groups: Sequence[str]
    label: str
    seed: int


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Scores of all folds.

    Attributes
    ----------
    folds
        One row for each target, seed and prediction: ``target``, ``seed``,
        ``prediction``, and the scores of `analysis.prediction_scores.summary`.
    genes
        One row for each target, seed and gene: ``pcc``, ``spearman``, ``rmse``, ``mae``,
        ``split_half``, ``ceiling``, ``expected_pcc``.
    notes
        What to know of the numbers, plain sentences.
    """

    folds: pd.DataFrame
    genes: pd.DataFrame
    notes: list[str]

    def summary(self) -> pd.DataFrame:
        """One row for each prediction: means over all targets and seeds.

        ``pcc_sd_seed`` is the standard deviation between seeds of the mean over targets, NaN
        with a single one; ``margin`` is how far the first row's correlation is above this one's.
        """
        scores = ["pcc_mean", "pcc_median", "spearman_mean", "rmse", "mae"]
        grouped = self.folds.groupby("prediction", sort=False)
        out = grouped[scores].mean()
        by_seed = self.folds.groupby(["prediction", "seed"], sort=False)["pcc_mean"].mean()
        out["pcc_sd_seed"] = by_seed.groupby("prediction", sort=False).std()
        out["margin"] = out["pcc_mean"].iloc[0] - out["pcc_mean"]
        return out


def evaluate_steps(
    sections: Sequence[Data],
    *,
    method: str = "spahgc",
    leave_out: str = "section",
    groups: Sequence[Any] | None = None,
    seeds: Sequence[int] = (0,),
    params: Params | None = None,
    preset: str = "recommended",
    baselines: bool = True,
    on: str | None = None,
    **values: Any,
) -> Steps[Evaluation]:
    """Leave one section, or one patient, out at a time, and score what is predicted of it.

    Everything is learnt on the other sections: panel, scales, networks, their weights. The
    target's counts are read for the scores only.

    Parameters
    ----------
    sections
        Two or more measured sections.
    method
        ``"spahgc"``.
    leave_out
        ``"section"``, which for sections of one block tells how well they repeat each other, or
        ``"patient"``.
    groups
        Patient of each section; None reads ``obs["patient"]``.
    seeds
        Trainings of every fold.
    params, preset, **values
        As for `prediction.iter_predict`; the seed is taken from ``seeds``.
    baselines
        Also score the predictors without training.
    on
        Where the folds compute: None for here, one by one, or ``"dask://HOST:PORT"``.

    Returns
    -------
    Evaluation

    Raises
    ------
    ParameterError
        If there are too few sections or patients, or these are unknown.
    StmaskError
        What a prediction may raise.
    """
    yield Progress(0, 0, "reading")
    every = [as_section(one) for one in sections]
    if not seeds:
        raise ParameterError("there is no seed", "give at least one")
    if "seed" in values:
        raise ParameterError("a single seed was given", "use seeds, such as seeds=(0, 1, 2)")
    chosen = params or predict_params(method, every, preset, **values)
    if params is not None and (values or preset != "recommended"):
        raise ParameterError(
            "params and a preset or single parameters were mixed",
            "pass either params= or a preset with single values",
        )
    folds, notes = _folds(every, leave_out, groups, seeds, chosen)
    known = chosen.model_dump()
    jobs = [
        (fold, method, type(chosen).checked(**(known | {"seed": fold.seed})), baselines)
        for fold in folds
    ]
    labels = [f"{fold.label}, seed {fold.seed}" for fold in folds]
    found = yield from fan_out(_fold_steps, jobs, labels=labels, on=on)
    return Evaluation(
        pd.concat([table for table, _, _ in found], ignore_index=True),
        pd.concat([genes for _, genes, _ in found], ignore_index=True),
        list(dict.fromkeys([*notes, *(note for *_, own in found for note in own)])),
    )


def evaluate(sections: Sequence[Data], **options: Any) -> Evaluation:
    """Evaluate to the end; see `evaluate_steps` for the parameters."""
    return drain(evaluate_steps(sections, **options))


def _folds(
    sections: Sequence[Section],
    leave_out: str,
    groups: Sequence[Any] | None,
    seeds: Sequence[int],
    params: Any,
) -> tuple[list[Fold], list[str]]:
    if leave_out not in ("section", "patient"):
        raise ParameterError(f"'{leave_out}' cannot be left out", "use 'section' or 'patient'")
    check_distinct(sections)
    patients = patients_of(sections, groups)
    notes = []
    if leave_out == "section":
        labels = [s.name for s in sections]
        if "" in patients:
            notes.append(UNKNOWN)
        if len(named := [name for name in patients if name]) > len(set(named)):
            notes.append(
                "Sections of one patient inform each other: the scores tell how well sections "
                "repeat each other, not how well a new patient is predicted."
            )
    else:
        labels = patients
        if "" in labels:
            unknown = [s.name for s, label in zip(sections, labels, strict=True) if not label]
            raise ParameterError(
                f"the patient of {', '.join(unknown[:3])} is not known",
                "give groups, or a column 'patient' in obs with one value",
            )
    if len(set(labels)) < 2:
        raise ParameterError(
            f"{len(sections)} sections of {len(set(labels))} {leave_out} leave nothing to learn "
            "from",
            f"give sections of at least two {leave_out}s",
        )
    bare = [_bare(s, own, params) for s, own in zip(sections, patients, strict=True)]
    folds = []
    for seed in seeds:
        for label in dict.fromkeys(labels):
            held = [one for one, own in zip(bare, labels, strict=True) if own == label]
            others = [(one, own) for one, own in zip(bare, labels, strict=True) if own != label]
            references, names = zip(*others, strict=True)
            folds.append(Fold(held, references, names, label, int(seed)))
    return folds, notes


def _bare(section: Section, patient: str, params: Any) -> Section:
    """What a fold needs of a section: no labels but the patient's."""
    out = section.bare(obsm=finished_features(section, params.image_encoder))
    if patient:
        out.adata.obs[PATIENT] = patient
    return out


def _fold_steps(
    fold: Fold, method: str, params: Params, baselines: bool
) -> Steps[tuple[pd.DataFrame, pd.DataFrame, list[str]]]:
    """Scores of one fold, per prediction and per gene; runs where the fold computes."""
    several = len(set(fold.groups)) > 1
    state = None
    tables, genes, notes = [], [], []
    for target in fold.targets:
        prediction = yield from iter_predict(
            target,
            fold.references if state is None else (),
            method=method,
            params=params,
            model=state,
            groups=fold.groups if several and state is None else None,
            baselines=baselines,
        )
        state = prediction.state
        if prediction.scores is None:
            raise ParameterError(
                f"{target.where} cannot be scored: it has no counts of the predicted genes",
                "give measured sections only",
            )
        about = {"target": target.name, "seed": fold.seed}
        tables.append(_told(prediction.scores, "prediction", about))
        genes.append(_told(prediction.section.adata.var, "gene", about))
        # Of patients the evaluation says once what holds for all folds.
        told = patient_warnings(target, fold.references)
        notes += [note for note in prediction.record["notes"] if note not in told]
    return pd.concat(tables), pd.concat(genes), notes


def _told(table: pd.DataFrame, index: str, about: dict[str, Any]) -> pd.DataFrame:
    """The table with what it is about in its first columns."""
    out = table.rename_axis(index).reset_index()
    for i, (name, value) in enumerate(about.items()):
        out.insert(i, name, value)
    return out
