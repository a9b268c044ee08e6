"""What a method returns, and the one place that writes it onto an AnnData."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from numpy.typing import NDArray

from .params import DomainParams
from .provenance import records

__all__ = [
    "MAX_DOMAINS",
    "UNASSIGNED_COLOUR",
    "VIEWS",
    "Domains",
    "Fit",
    "Result",
    "key_problem",
]

MAX_DOMAINS = 1000
"""Most categories that are taken for domains; a column of barcodes has more."""
UNASSIGNED_COLOUR = "#9E9E9E"
VIEWS = ("gene", "image")
"""Parts of the input whose own answer a method may give beside the joint one."""
_OF_SPOTS = ("fusion_weights", "attention", "attention_image", "modules")
"""Arrays of the spots that a method may give beside its embedding."""
_OF_GENES = (
    "denoised",
    "image_r2",
    "module",
    "module_prob",
    "svg_score",
    "svg_effect",
    "svg_p",
    "svg_q",
    "svg_rank",
)
"""Columns of the genes that a method may give."""


@dataclass
class Domains:
    """A partition of the spots.

    Attributes
    ----------
    codes
        (n_spots,) int, 0 .. n_domains - 1.
    confidence
        (n_spots,) float32 in [0, 1]: how firmly a spot belongs to its domain.
    method
        ``"mixture"``, ``"kmeans"`` or ``"leiden"``.
    details
        JSON-able facts about the clustering (starts, BIC, resolution, curve over k ...).
    """

    codes: NDArray[np.intp]
    confidence: NDArray[np.float32]
    method: str
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def n_domains(self) -> int:
        """Number of domains that occur."""
        return int(np.unique(self.codes[self.codes >= 0]).size)


@dataclass
class Fit:
    """What a method's ``fit`` hands to the run: representations, no clustering yet.

    Attributes
    ----------
    embedding
        (n_spots, width) float32, rows in the order of the sections' spots.
    replicates
        Further embeddings of the same spots (other seeds or checkpoints) that a consensus
        clustering uses; empty where there is one.
    views
        What parts of the input say alone (expression, image): name -> embeddings, one or, for
        a consensus, several. Each is clustered as the embedding is, for comparison.
    obsm
        Further arrays of the spots: name -> (n_spots, width) float32.
    curve
        Number of domains -> how well the input supports it, where the method chooses the number
        itself: the largest value wins.
    graph
        (n_spots, n_spots) CSR that the method used, or None.
    inputs
        (n_spots, width) float32 expression that the network saw, or None; not written.
    layers
        Gene-space answers: name -> (n_spots, n_genes) CSR float32 in the order of ``var``.
    var
        Gene-wise answers: name -> (n_genes,) array or categorical.
    varm
        Vectors of the genes: (n_genes, width) float32, NaN for genes without one; None where the
        method makes none.
    model
        What is needed to ask the method on after the run, as arrays and texts that an AnnData
        can hold; empty where there is nothing.
    params
        The parameters that were really used: of a saved model, those of its training.
    history
        Loss curves: term -> (n_epochs,) list.
    details
        JSON-able facts (epochs run, genes used, explained variance ...).
    state
        What `Method.save_model` writes.
    """

    embedding: NDArray[np.float32]
    replicates: list[NDArray[np.float32]] = field(default_factory=list)
    views: dict[str, list[NDArray[np.float32]]] = field(default_factory=dict)
    obsm: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    curve: dict[int, float] = field(default_factory=dict)
    graph: sp.csr_matrix | None = None
    inputs: NDArray[np.float32] | None = None
    layers: dict[str, sp.csr_matrix] = field(default_factory=dict)
    var: dict[str, Any] = field(default_factory=dict)
    varm: NDArray[np.float32] | None = None
    model: dict[str, Any] = field(default_factory=dict)
    params: DomainParams | None = None
    history: dict[str, list[float]] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)
    state: Any = None


@dataclass
class Result:
    """A finished run: the fit, its domains, scores and the record of how it was made.

    Attributes
    ----------
    key
        Prefix of everything that the run writes (``"spamask"`` unless ``key_added`` says else).
    fit
        Embedding, layers, history.
    domains
        The partition.
    refined
        Codes after label smoothing, or None.
    baselines
        Codes of the training-free controls by name, for comparison; not written.
    views
        Codes of the fit's views by name, numbered like the domains that they overlap.
    colors
        One hex colour per domain.
    names
        One name per domain; their numbers, from 1, where none are given.
    scores
        Label-free scores of the method and of both baselines: name -> score -> value.
    record
        Provenance, JSON-able.
    """

    key: str
    fit: Fit
    domains: Domains
    colors: list[str]
    scores: dict[str, dict[str, float]]
    record: dict[str, Any]
    refined: NDArray[np.intp] | None = None
    baselines: dict[str, NDArray[np.intp]] = field(default_factory=dict)
    views: dict[str, NDArray[np.intp]] = field(default_factory=dict)
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.names = self.names or tuple(str(i + 1) for i in range(len(self.colors)))

    @property
    def embedding(self) -> NDArray[np.float32]:
        """(n_spots, width) float32."""
        return self.fit.embedding

    @property
    def history(self) -> Mapping[str, list[float]]:
        """Loss curves by term."""
        return self.fit.history

    def __repr__(self) -> str:
        n, width = self.embedding.shape
        return (
            f"Result('{self.key}': {n} spots, {self.domains.n_domains} domains, {width} dimensions)"
        )

    def apply(self, adata: AnnData, rows: slice = slice(None)) -> None:
        """Write the answers for the spots ``rows`` onto ``adata`` under ``key``.

        What an earlier run of the same key wrote is taken away first, so that no answer of it
        is left beside the new ones. Touches ``obs[key]``, ``obs[key_confidence]``,
        ``obs[key_refined]``, ``uns[key_colors]``, ``obsm[X_key]``, ``obsm[key_*]``,
        ``obsp[key_graph]``, ``layers[key_*]``, ``var[key_*]``, ``varm[X_key]``,
        ``uns[key_model]``, ``uns["stmask"]`` and nothing else; of views ``obs[key_VIEW]``,
        ``uns[key_VIEW_colors]`` and ``obsm[X_key_VIEW]``.
        """
        slots = self._slots(rows)
        old = records(adata)
        written = [[slot, name] for slot, name in slots]
        record = json.dumps({**self.record, "slots": written}, allow_nan=False)
        for slot, name in _slots_of_run(old, self.key):
            holder = getattr(adata, slot)
            if name in holder:
                del holder[name]
        for (slot, name), value in slots.items():
            getattr(adata, slot)[name] = value
        # Assigned as a new dictionary, so that a copy of the AnnData never shares it.
        adata.uns["stmask"] = {**old, self.key: record}

    def _slots(self, rows: slice) -> dict[tuple[str, str], Any]:
        """Everything that is written, by slot and name."""
        key, fit = self.key, self.fit
        names = list(self.names)
        out: dict[tuple[str, str], Any] = {
            ("obs", key): _categories(self.domains.codes[rows], names),
            ("obs", f"{key}_confidence"): self.domains.confidence[rows].astype(np.float32),
            ("uns", f"{key}_colors"): list(self.colors),
            ("obsm", f"X_{key}"): np.asarray(fit.embedding[rows], dtype=np.float32),
        }
        if self.refined is not None:
            out["obs", f"{key}_refined"] = _categories(self.refined[rows], names)
            out["uns", f"{key}_refined_colors"] = list(self.colors)
        for view, codes in self.views.items():
            # A view may hold a domain that the joint answer lost in smoothing, never more.
            out["obs", f"{key}_{view}"] = _categories(codes[rows], names)
            out["uns", f"{key}_{view}_colors"] = list(self.colors)
            joint = np.concatenate(fit.views[view], axis=1)
            out["obsm", f"X_{key}_{view}"] = np.asarray(joint[rows], dtype=np.float32)
        for name, values in fit.obsm.items():
            out["obsm", f"{key}_{name}"] = np.asarray(values[rows], dtype=np.float32)
        if fit.graph is not None:
            out["obsp", f"{key}_graph"] = fit.graph[rows, rows]
        out |= {("layers", f"{key}_{name}"): layer[rows] for name, layer in fit.layers.items()}
        out |= {("var", f"{key}_{name}"): values for name, values in fit.var.items()}
        if fit.varm is not None:
            out["varm", f"X_{key}"] = fit.varm
        if fit.model:
            out["uns", f"{key}_model"] = dict(fit.model)
        return out


def key_problem(adata: AnnData, key: str) -> str | None:
    """Why a run cannot write its answers to ``adata`` under ``key``, or None if it can.

    A key must be one that files can hold, and what it would replace must be an earlier run's.
    """
    if not key.strip() or not key.isprintable() or "/" in key:
        return f"The name {key!r} cannot be stored: use letters, digits, spaces, '_', '-' or '.'"
    if not isinstance(adata.uns.get("stmask", {}), Mapping):
        return "uns['stmask'] holds something that is not this package's: rename it"
    own = {(slot, name) for slot, name in _slots_of_run(records(adata), key)}
    for slot, name in _possible_slots(key):
        if name in getattr(adata, slot) and (slot, name) not in own:
            return f"{slot}['{name}'] holds something that no run wrote: choose another name"
    return None


def _possible_slots(key: str) -> list[tuple[str, str]]:
    """Everything that a run of ``key`` may write."""
    return [
        ("obs", key),
        ("obs", f"{key}_confidence"),
        *(("obs", f"{key}_{part}") for part in ("refined", *VIEWS)),
        ("uns", f"{key}_colors"),
        *(("uns", f"{key}_{part}_colors") for part in ("refined", *VIEWS)),
        *(("obsm", f"X_{key}_{view}") for view in VIEWS),
        ("obsm", f"X_{key}"),
        *(("obsm", f"{key}_{part}") for part in _OF_SPOTS),
        ("obsp", f"{key}_graph"),
        ("layers", f"{key}_denoised"),
        *(("var", f"{key}_{part}") for part in _OF_GENES),
        ("varm", f"X_{key}"),
        ("uns", f"{key}_model"),
    ]


def _slots_of_run(old: Mapping[str, str], key: str) -> list[tuple[str, str]]:
    """What the run ``key`` wrote, as its record says."""
    slots = json.loads(old[key]).get("slots", []) if key in old else []
    return [(str(slot), str(name)) for slot, name in slots]


def _categories(codes: NDArray[np.intp], names: list[str]) -> pd.Categorical:
    """Negative codes become missing values."""
    return pd.Categorical.from_codes(codes.tolist(), categories=names)  # type: ignore[call-overload, no-any-return]
