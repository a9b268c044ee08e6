"""A region that is annotated on reference sections, found in predicted expression of another."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..core.errors import DataError, ParameterError
from ..core.memory import densify
from ..core.progress import Progress, Steps
from ..core.section import Section
from ..features.gene_scale import ScaleKind, log_expression
from .tumour_region import probability, region_classifier, region_scores

__all__ = ["FoundRegion", "find_region", "predicted_values", "region_labels"]


@dataclass(frozen=True, eq=False)
class FoundRegion:
    """Where a region lies.

    Attributes
    ----------
    probability
        (n,) float32 of each predicted spot.
    scores
        ``auroc``, ``ari`` and ``labelled`` spots against the target's own labels; None where it
        has none that say the region.
    learnt_from
        Labelled reference spots.
    """

    probability: NDArray[np.float32]
    scores: dict[str, float] | None
    learnt_from: int

    @property
    def inside(self) -> NDArray[np.bool_]:
        """(n,) spots that are rather in the region than not."""
        return np.asarray(self.probability > 0.5)


def region_labels(sections: Sequence[Section]) -> dict[str, list[str]]:
    """Columns of ``obs`` that name regions in at least one section, with their values, sorted.

    Text, categories and yes or no with two to fifty values count.
    """
    found: dict[str, set[str]] = {}
    for section in sections:
        for column, values in section.adata.obs.items():
            series = pd.Series(values)
            if pd.api.types.is_float_dtype(series) or series.nunique() > 50:
                continue
            found.setdefault(str(column), set()).update(map(str, series.dropna().unique()))
    return {name: sorted(values) for name, values in found.items() if 2 <= len(values) <= 50}


def predicted_values(section: Section) -> NDArray[np.float32]:
    """(n, n_genes) float32 predicted logarithms."""
    matrix = section.adata.X
    if isinstance(matrix, np.ndarray):
        return np.asarray(matrix, dtype=np.float32)
    return densify(matrix, what=f"the prediction of {section.where}")


def find_region(
    predicted: Section,
    references: Sequence[Section],
    spots: pd.DataFrame,
    *,
    column: str,
    positive: Collection[str],
    kind: ScaleKind = "normalised",
    target: Section | None = None,
) -> Steps[FoundRegion]:
    """Learn a region from measured expression of references, find it in a predicted section.

    Parameters
    ----------
    predicted
        (n, n_genes) logarithms in ``X``.
    references
        Measured sections, some of which have ``column`` in ``obs``.
    spots
        Columns section and spot: the reference spots that may be learnt from.
    column, positive
        Labels, and those that make up the region.
    kind
        What the logarithms are of, see `features.gene_scale.log_expression`.
    target
        Scored against its labels, where it has them, over spots of the same name.

    Raises
    ------
    ParameterError
        If no reference has the column.
    StmaskError
        What `region_classifier` and `log_expression` raise.
    """
    genes = list(predicted.adata.var_names)
    tables, labels = [], []
    allowed = {str(name): set(part["spot"]) for name, part in spots.groupby("section")}
    for number, section in enumerate(references):
        yield Progress(number, len(references) + 1, "reading the references")
        rows = section.adata.obs_names.isin(list(allowed.get(section.name, ())))
        if column not in section.adata.obs or not rows.any():
            continue
        labels.append(_as_text(section.adata.obs[column])[rows])
        tables.append(log_expression(section, genes, kind)[rows])
    if not tables:
        raise ParameterError(
            f"no open reference section has the column '{column}'",
            "open an annotated reference, or part the spots into groups without labels",
        )
    yield Progress(len(references), len(references) + 1, "finding the region")
    known = pd.concat(labels, ignore_index=True)
    model = region_classifier(np.concatenate(tables), known, positive=positive)
    found = probability(model, predicted_values(predicted))
    scores = None
    if target is not None and column in target.adata.obs:
        truth = _as_text(target.adata.obs[column]).reindex(predicted.adata.obs_names)
        scores = _scores(found, truth, positive)
    return FoundRegion(found, scores, int(known.notna().sum()))


def _scores(
    found: NDArray[np.float32], truth: pd.Series, positive: Collection[str]
) -> dict[str, float] | None:
    """None where the target's labels do not say both inside and outside of the region."""
    try:
        return region_scores(found, truth, positive=positive)
    except (DataError, ParameterError):
        return None


def _as_text(values: Any) -> pd.Series:
    """Labels as text, missing ones kept."""
    series = pd.Series(values)
    return series.astype(object).where(series.isna(), series.astype(str)).where(series.notna())
