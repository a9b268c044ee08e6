"""Predicted genes: a section of its own, never over measured values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from .section import Section

__all__ = ["RECORD", "Prediction", "prediction_record"]

RECORD = "stmask_prediction"
"""Entry of ``uns`` that marks a section as predicted and says how."""


@dataclass(eq=False)
class Prediction:
    """Genes predicted for a section, and what is known of how good they are.

    Attributes
    ----------
    key
        Prefix of what the predicted section carries: the method's name.
    target
        The section that was asked about, as the caller has it.
    section
        The predicted section: ``X`` (n, n_genes) float32 in log units over spots or points of a
        grid, ``layers["spread"]`` their standard deviation over random draws,
        ``obs["novelty"]`` and ``obs["novel"]``, ``obsm["X_key"]`` states,
        ``obsm["key_references"]`` (n, k) rows of ``references`` and ``obsm["key_weights"]``,
        ``var["expected_pcc"]``, ``var["expected_error"]``, and where the target is measured
        ``pcc``, ``spearman``, ``rmse``, ``mae``, ``split_half`` and ``ceiling`` in ``var``.
    references
        Columns section, spot, x, y: one row for each reference spot.
    scores
        Prediction and baselines against the measurement; None where there is none.
    record
        Provenance, JSON-able; ``uns`` of the predicted section has it too.
    state
        What was trained.
    """

    key: str
    target: Section
    section: Section
    references: pd.DataFrame
    scores: pd.DataFrame | None
    record: dict[str, Any]
    state: Any

    def __repr__(self) -> str:
        n, genes = self.section.n_spots, self.section.n_genes
        return f"Prediction('{self.section.name}': {n} spots, {genes} genes)"


def prediction_record(section: Section) -> dict[str, Any] | None:
    """How a predicted section came about, or None where it is a measured one."""
    text = section.adata.uns.get(RECORD)
    if not isinstance(text, str):
        return None
    record = json.loads(text)
    return dict(record) if isinstance(record, Mapping) else None
