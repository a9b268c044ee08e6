"""Scores of gene sets, such as epithelial-mesenchymal transition, and their comparison."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import kruskal
from sklearn.utils.sparsefuncs import mean_variance_axis

from ..core.errors import (
    DataError,
    FileFormatError,
    MissingFileError,
    ParameterError,
    describe_os_error,
)
from ..core.section import Section
from .inputs import expression_of, groups_of

__all__ = [
    "SIGNATURES",
    "DomainComparison",
    "Signature",
    "by_domain",
    "emt_score",
    "gene_places",
    "read_gene_sets",
    "signature_score",
]

SIGNATURES: dict[str, dict[str, tuple[str, ...]]] = {
    "EMT": {
        "epithelial": (
            "CDH1", "EPCAM", "KRT8", "KRT18", "KRT19", "CLDN4", "CLDN7", "OCLN", "DSP", "MUC1",
        ),
        "mesenchymal": (
            "VIM", "CDH2", "FN1", "SNAI1", "SNAI2", "ZEB1", "ZEB2", "TWIST1", "MMP2", "MMP9",
            "SPARC", "COL1A1", "COL1A2", "COL3A1", "ACTA2", "S100A4",
        ),
    }
}  # fmt: skip
"""Gene sets that are known by name: a choice of well-known markers, meant to be edited."""
MIN_GENES = 3
MAX_FILE_BYTES = 50_000_000


@dataclass(frozen=True, eq=False)
class Signature:
    """Score of a gene set, or the difference of two.

    Attributes
    ----------
    values
        (n_spots,) float64: mean z-score, in standard deviations of a gene over the section.
    used
        Genes of the section that the score is made of.
    missing
        Genes asked for that the section does not have or that no spot shows.
    """

    values: NDArray[np.float64]
    used: tuple[str, ...]
    missing: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class DomainComparison:
    """One value a spot, compared between domains.

    Attributes
    ----------
    values
        Domain -> (n,) its finite values, for violins.
    summary
        One row a domain: ``domain``, ``spots``, ``mean``, ``q25``, ``median``, ``q75``.
    h, p
        Kruskal-Wallis statistic and p-value; None for one domain or without any variation.
        Spots beside one another are alike, so that p is too small.
    median_differences
        (n_domains, n_domains) table, median of the row minus median of the column.
    """

    values: dict[str, NDArray[np.float64]]
    summary: pd.DataFrame
    h: float | None
    p: float | None
    median_differences: pd.DataFrame


def read_gene_sets(path: str | Path) -> dict[str, tuple[str, ...]]:
    """Gene sets from a file, by name.

    Parameters
    ----------
    path
        ``.gmt``: a line is a name, a description and genes, separated by tabs. ``.csv``: a column
        is a set, the first row holds the names. ``.txt``: one gene a line, one set named like
        the file. Lines that begin with ``#`` are skipped in all of them.

    Raises
    ------
    MissingFileError
        If the file cannot be opened.
    FileFormatError
        If the suffix is another one, the file is no text, too large, or holds no genes.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in (".gmt", ".csv", ".txt"):
        raise FileFormatError(f"{path} is no file of gene sets", "give a .gmt, .csv or .txt")
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise FileFormatError(
                f"{path} is larger than {MAX_FILE_BYTES // 1_000_000} MB", "give fewer gene sets"
            )
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise MissingFileError(describe_os_error(error, path), "give a readable file") from None
    except UnicodeDecodeError:
        raise FileFormatError(f"{path} is no text", "save it as UTF-8 text") from None
    lines = [line for line in lines if line.strip() and not line.startswith("#")]
    if suffix == ".txt":
        named = [(path.stem, lines)]
    elif suffix == ".gmt":
        cells = [line.split("\t") for line in lines]
        named = [(row[0], row[2:]) for row in cells]
    else:
        table = list(csv.reader(lines))
        header = table[0] if table else []
        named = [
            (name, [row[i] for row in table[1:] if i < len(row)]) for i, name in enumerate(header)
        ]
    sets: dict[str, tuple[str, ...]] = {}
    for name, genes in named:
        kept = tuple(dict.fromkeys(g.strip() for g in genes if g.strip()))
        if name.strip() and kept:
            sets[name.strip()] = kept
    if not sets:
        raise FileFormatError(f"{path} holds no gene set", "give a name and genes for each set")
    return sets


def signature_score(
    section: Section, genes: Sequence[str], *, layer: str | None = None, name: str = "gene set"
) -> Signature:
    """Mean z-score of ``genes`` in every spot.

    Each gene is centred and divided by its standard deviation over the section, so that strongly
    expressed genes do not decide alone. Symbols are matched as written, then without regard to
    case, so that human sets fit mouse sections.

    Parameters
    ----------
    section
        With raw counts.
    genes
        Symbols; doubles count once.
    layer
        Layer to use as it is, for example denoised values; None takes log-normalised counts.
    name
        What the set is called in messages.

    Raises
    ------
    ParameterError
        If there is no such layer.
    DataError
        If fewer than three of the genes can be used.
    """
    values = expression_of(section, layer)
    place = gene_places(section.adata.var_names, genes)
    columns = np.array(list(dict.fromkeys(place.values())), dtype=np.intp)
    chosen = values[:, columns].tocsr()
    mean, variance = mean_variance_axis(chosen.astype(np.float64), axis=0)
    varies = variance > 1e-12
    used = [str(section.adata.var_names[c]) for c in columns[varies]]
    missing = tuple(g for g in dict.fromkeys(genes) if g not in place or
                    str(section.adata.var_names[place[g]]) not in used)  # fmt: skip
    if len(used) < MIN_GENES:
        raise DataError(
            f"{section.where} has {len(used)} usable genes of the {name} "
            f"({len(missing)} are missing: {', '.join(missing[:8])})",
            f"give a set with at least {MIN_GENES} genes of the section, as symbols",
        )
    weight = 1 / np.sqrt(variance[varies]) / len(used)
    score = chosen[:, np.flatnonzero(varies)] @ weight - (mean[varies] * weight).sum()
    return Signature(np.asarray(score, dtype=np.float64), tuple(used), missing)


def gene_places(names: pd.Index, genes: Sequence[str]) -> dict[str, int]:
    """Position of each gene that is there; as written first, then without regard to case.

    Parameters
    ----------
    names
        Genes of the section or the panel.
    genes
        Symbols that are looked up.

    Returns
    -------
    dict
        Symbol -> position in ``names``; symbols without one are left out.
    """
    exact = {str(name): i for i, name in reversed(list(enumerate(names)))}
    folded = {str(name).casefold(): i for i, name in reversed(list(enumerate(names)))}
    place = {}
    for gene in genes:
        found = exact.get(gene, folded.get(gene.strip().casefold()))
        if found is not None:
            place[gene] = found
    return place


def emt_score(
    section: Section,
    *,
    epithelial: Sequence[str] | None = None,
    mesenchymal: Sequence[str] | None = None,
    layer: str | None = None,
) -> Signature:
    """Mesenchymal minus epithelial score of every spot; higher is more mesenchymal.

    In tumours the score also counts stroma: a spot between the two may hold both kinds of cells
    and none in transition.

    Parameters
    ----------
    section
        With raw counts.
    epithelial, mesenchymal
        Symbols; None takes ``SIGNATURES["EMT"]``.
    layer
        Layer to use as it is; None takes log-normalised counts.

    Raises
    ------
    DataError
        If fewer than three genes of either set can be used.
    """
    sets = SIGNATURES["EMT"]
    up = signature_score(
        section,
        sets["mesenchymal"] if mesenchymal is None else mesenchymal,
        layer=layer,
        name="mesenchymal set",
    )
    down = signature_score(
        section,
        sets["epithelial"] if epithelial is None else epithelial,
        layer=layer,
        name="epithelial set",
    )
    return Signature(up.values - down.values, up.used + down.used, up.missing + down.missing)


def by_domain(values: NDArray[np.floating[Any]], domains: pd.Series) -> DomainComparison:
    """Compare one value a spot between domains.

    Parameters
    ----------
    values
        (n_spots,) float; values that are not finite are left out.
    domains
        (n_spots,) labels in the same order; spots without one are left out.

    Raises
    ------
    ParameterError
        If lengths differ.
    DataError
        If no spot has both a domain and a value.
    """
    values = np.asarray(values, dtype=np.float64)
    groups = groups_of(domains)
    if values.shape != groups.codes.shape:
        raise ParameterError(
            f"{values.size} values were given for {groups.codes.size} spots",
            "give one value for each spot",
        )
    finite = np.isfinite(values)
    parts = {name: values[finite & (groups.codes == g)] for g, name in enumerate(groups.names)}
    parts = {name: part for name, part in parts.items() if part.size}
    if not parts:
        raise DataError("no spot has both a domain and a value", "check the values")
    rows = [
        (name, part.size, part.mean(), *np.quantile(part, (0.25, 0.5, 0.75)))
        for name, part in parts.items()
    ]
    summary = pd.DataFrame(rows, columns=["domain", "spots", "mean", "q25", "median", "q75"])
    median = summary["median"].to_numpy()
    h, p = None, None
    if len(parts) > 1 and np.ptp(np.concatenate(list(parts.values()))) > 0:
        h, p = (float(v) for v in kruskal(*parts.values()))
    return DomainComparison(
        parts, summary, h, p,
        pd.DataFrame(median[:, None] - median, index=pd.Index(list(parts)), columns=list(parts)),
    )  # fmt: skip
