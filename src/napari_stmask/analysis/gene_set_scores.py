"""Scores of a gene set in every spot: scanpy's, against control genes, or the mean z-score."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
import pandas as pd
from anndata import AnnData

from ..core.errors import DataError, ParameterError
from ..core.provenance import read_record, records
from ..core.section import Section
from .inputs import expression_of
from .signatures import MIN_GENES, Signature, gene_places, signature_score

__all__ = ["ScoreKind", "gene_set_score", "stored_modules"]

ScoreKind = Literal["scanpy", "mean_z"]


def gene_set_score(
    section: Section,
    genes: Sequence[str],
    method: ScoreKind = "scanpy",
    *,
    seed: int = 0,
    name: str = "gene set",
) -> Signature:
    """Score of ``genes`` in every spot, from log-normalised counts.

    Parameters
    ----------
    section
        With raw counts.
    genes
        Symbols, matched as written and then without regard to case; doubles count once.
    method
        ``"scanpy"``: mean of the genes minus that of random genes as strong as they are
        (``scanpy.tl.score_genes``). ``"mean_z"``: mean z-score (`signature_score`).
    seed
        Of the choice of control genes.
    name
        What the set is called in messages.

    Raises
    ------
    ParameterError
        If the method is unknown.
    DataError
        If fewer than three of the genes can be used, or no gene is left for a control.
    """
    if method not in get_args(ScoreKind):
        raise ParameterError(
            f"there is no score '{method}'", f"use one of {', '.join(get_args(ScoreKind))}"
        )
    if method == "mean_z":
        return signature_score(section, genes, name=name)
    place = gene_places(section.adata.var_names, genes)
    used = tuple(dict.fromkeys(str(section.adata.var_names[p]) for p in place.values()))
    missing = tuple(g for g in dict.fromkeys(genes) if g not in place)
    if len(used) < MIN_GENES:
        raise DataError(
            f"{section.where} has {len(used)} genes of the {name} "
            f"({len(missing)} are missing: {', '.join(missing[:8])})",
            f"give a set with at least {MIN_GENES} genes of the section, as symbols",
        )
    values = expression_of(section)
    table = AnnData(values, var=pd.DataFrame(index=section.adata.var_names))
    return Signature(_scanpy(table, used, seed, section.where), used, missing)


def _scanpy(table: AnnData, genes: Sequence[str], seed: int, where: str) -> np.ndarray:
    import scanpy as sc

    # scanpy seeds the global generator, which belongs to the caller.
    before = np.random.get_state()  # noqa: NPY002
    try:
        sc.tl.score_genes(table, list(genes), score_name="score", random_state=seed, use_raw=False)
    except (RuntimeError, ValueError) as error:
        raise DataError(
            f"{where}: the gene set could not be scored ({error})",
            "use the mean z-score, or a smaller set",
        ) from None
    finally:
        np.random.set_state(before)  # noqa: NPY002
    return np.asarray(table.obs["score"], dtype=np.float64)


def stored_modules(section: Section) -> dict[str, tuple[str, ...]]:
    """Gene modules that runs have left on a section: title -> genes, the surest first."""
    var, found = section.adata.var, {}
    for key in records(section.adata):
        column, sure = f"{key}_module", f"{key}_module_prob"
        if column not in var or str(read_record(section.adata, key).get("method")) != "spacex":
            continue
        table = pd.DataFrame({"module": var[column].astype("category")})
        table["sure"] = var[sure].to_numpy(dtype=float) if sure in var else 0.0
        for module in table["module"].cat.categories:
            own = table[table["module"] == module].sort_values(
                "sure", ascending=False, kind="stable"
            )
            if len(own):
                found[f"{key} module {module}"] = tuple(map(str, own.index))
    return found
