"""Agreement with an annotation, per section and over all sections of a joint run."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..core.errors import DataError
from .scores import against_truth

__all__ = ["per_section_scores"]

_COLUMNS = ["ARI", "NMI", "spots"]


def per_section_scores(truth: pd.Series, predicted: pd.Series, sections: pd.Series) -> pd.DataFrame:
    """ARI and NMI of each section by itself and of all spots together.

    Parameters
    ----------
    truth, predicted
        (n_spots,) labels in the same order; spots without either are left out.
    sections
        (n_spots,) names or codes of the sections.

    Returns
    -------
    pandas.DataFrame
        One row per section (in order of its categories, else of appearance) and a last one
        ``"all"``; columns ``ARI``, ``NMI`` and ``spots``, the number of spots that count. Scores
        are NaN where no spot counts. All together can score lower than each section does: only
        there must the same tissue have the same domain in every section.

    Raises
    ------
    DataError
        If the three differ in length.
    """
    if not len(truth) == len(predicted) == len(sections):
        raise DataError(
            f"there are {len(truth)} annotated, {len(predicted)} predicted labels and "
            f"{len(sections)} spots with a section",
            "give all three for the same spots",
        )
    kinds = isinstance(sections.dtype, pd.CategoricalDtype)
    names = list(sections.cat.categories if kinds else sections.dropna().unique())
    rows = {
        str(name): _scores(truth, predicted, (sections == name).to_numpy(dtype=bool))
        for name in names
        if (sections == name).any()
    }
    rows["all"] = _scores(truth, predicted, np.ones(len(truth), dtype=bool))
    table = pd.DataFrame.from_dict(rows, orient="index", columns=_COLUMNS)
    return table.astype({"spots": int}).rename_axis("section")


def _scores(truth: pd.Series, predicted: pd.Series, inside: np.ndarray) -> list[float]:
    found = against_truth(truth[inside], predicted[inside])
    if not found["spots"]:
        return [float("nan"), float("nan"), 0.0]
    return [found[column] for column in _COLUMNS]
