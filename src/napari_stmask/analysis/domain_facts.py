"""What a list of domains says of each: size, area, outline, certainty, depth, first markers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from ..core.errors import DataError, ParameterError
from ..core.section import Section
from ..features.graph import knn_graph, radius_graph, within_groups
from .heterogeneity import area_per_spot
from .inputs import expression_of

__all__ = ["FACTS", "domain_facts", "spot_links", "top_markers"]

FACTS = (
    "spots",
    "share",
    "area_mm2",
    "perimeter_mm",
    "pieces",
    "largest_piece",
    "confidence",
    "counts",
    "genes",
)
_REACH = 1.2
"""Farthest neighbour of the first ring, in pitches."""
_IRREGULAR = 6
"""Neighbours of a spot that lies on no lattice."""


def spot_links(section: Section) -> sp.csr_matrix:
    """(n_spots, n_spots) CSR with 1 between neighbours: the first ring, else the 6 nearest."""
    lattice = section.lattice
    if lattice.kind == "irregular":
        return knn_graph(section.coords, _IRREGULAR)
    return radius_graph(section.coords, _REACH * lattice.pitch)


def domain_facts(
    section: Section,
    codes: NDArray[np.integer[Any]],
    k: int,
    *,
    key: str | None = None,
    links: sp.csr_matrix | None = None,
) -> pd.DataFrame:
    """Numbers of each domain; reads counts and positions once, so call it in a worker.

    Parameters
    ----------
    section
        Positions, scale and counts.
    codes
        (n_spots,) int, 0 .. k - 1; negative where unassigned.
    k
        Number of domains; a domain without spots keeps its row.
    key
        Run that left ``obs["KEY_confidence"]``; None leaves the certainty out.
    links
        (n_spots, n_spots) neighbours, `spot_links` where they are not known yet.

    Returns
    -------
    pandas.DataFrame
        k rows in the order of the codes. ``spots``; ``share`` of all spots of the section;
        ``area_mm2``, spots times the lattice cell of one; ``perimeter_mm``, sides of these cells
        that face another domain or no spot; ``pieces``, connected parts, and ``largest_piece``,
        the share of the spots in the largest one; ``confidence``, mean certainty of the
        assignment; ``counts`` and ``genes``, means a spot. NaN where unknown: area and perimeter
        without a scale or a lattice, certainty where the run left none, counts and genes where
        the matrix holds none.

    Raises
    ------
    ParameterError
        If there is not one code below k for each spot.
    """
    codes = _checked(section, codes, k)
    known = codes >= 0
    own = codes[known]
    spots = np.bincount(own, minlength=k)
    links = spot_links(section) if links is None else links
    pieces, largest, inner = _pieces(links, codes, k)
    facts = pd.DataFrame({"spots": spots, "share": spots / section.n_spots})
    facts["area_mm2"] = spots * area_per_spot(section) / 1e6
    open_sides = section.lattice.ring * spots - inner
    facts["perimeter_mm"] = open_sides * _side_um(section) / 1000
    facts["pieces"] = pieces
    facts["largest_piece"] = np.divide(largest, spots, out=np.full(k, np.nan), where=spots > 0)
    values = {"confidence": _confidence(section, key), **_depth(section)}
    for name, of_spots in values.items():
        facts[name] = _mean(of_spots, codes, k)
    facts.index.name = "domain"
    return facts[list(FACTS)]


def top_markers(
    section: Section, codes: NDArray[np.integer[Any]], names: Sequence[str], n: int = 3
) -> pd.DataFrame:
    """The genes that stand out most in each domain, without a test.

    Ranked by the difference of the mean log-normalised values inside and outside. One pass over
    the counts; for p-values take `markers.marker_table`.

    Parameters
    ----------
    section
        With raw counts.
    codes
        (n_spots,) int, index into ``names``; negative where unassigned.
    names
        Of the domains.
    n
        Most genes a domain; only those that are higher inside than outside.

    Returns
    -------
    pandas.DataFrame
        Columns ``domain``, ``gene``, ``log2_fold_change`` (difference of the means of the log
        values, to base 2), ``mean_in`` and ``mean_out`` (natural log); best first within a
        domain. Domains without spots, or with all of them, have no rows.

    Raises
    ------
    ParameterError
        If there is not one code for each spot.
    DataError
        If the section holds no counts.
    """
    codes, k = _checked(section, codes, len(names)), len(names)
    values = expression_of(section)
    # Spots that no domain has count for none, as in the table of markers.
    member = np.zeros((section.n_spots, k), dtype=np.float32)
    rows = np.flatnonzero(codes >= 0)
    member[rows, codes[rows]] = 1.0
    sums = np.asarray(values.T @ member, dtype=np.float64)
    sizes = np.bincount(codes[rows], minlength=k)
    every = sums.sum(axis=1)
    genes = section.adata.var_names
    tables = []
    for g in range(k):
        outside = rows.size - sizes[g]
        if not (sizes[g] and outside):
            continue
        inner, outer = sums[:, g] / sizes[g], (every - sums[:, g]) / outside
        gap = inner - outer
        best = np.argsort(-gap, kind="stable")[:n]
        best = best[gap[best] > 0]
        tables.append(
            pd.DataFrame(
                {
                    "domain": str(names[g]),
                    "gene": genes[best].astype(str),
                    "log2_fold_change": gap[best] / np.log(2),
                    "mean_in": inner[best],
                    "mean_out": outer[best],
                }
            )
        )
    if not tables:
        return pd.DataFrame(columns=["domain", "gene", "log2_fold_change", "mean_in", "mean_out"])
    return pd.concat(tables, ignore_index=True)


def _checked(section: Section, codes: NDArray[np.integer[Any]], k: int) -> NDArray[np.intp]:
    found = np.asarray(codes, dtype=np.intp)
    if found.shape != (section.n_spots,):
        raise ParameterError(
            f"{found.size} domains were given for {section.n_spots} spots",
            "give one domain for each spot",
        )
    if found.max(initial=-1) >= k:
        raise ParameterError(
            f"a spot has domain {found.max()} and there are {k}", "give every domain a name"
        )
    return found


def _pieces(
    links: sp.csr_matrix, codes: NDArray[np.intp], k: int
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """Connected parts of each domain, spots of its largest one, directed links within it."""
    inside = within_groups(links, codes)
    known = codes >= 0
    _, part = connected_components(inside, directed=False)
    size = np.bincount(part[known], minlength=part.max(initial=0) + 1)
    # A part lies in one domain; spots of none are parts of their own.
    domain = np.full(size.size, -1, dtype=np.intp)
    domain[part[known]] = codes[known]
    real = domain >= 0
    largest = np.zeros(k, dtype=np.intp)
    np.maximum.at(largest, domain[real], size[real])
    degree = np.diff(inside.indptr)
    inner = np.bincount(codes[known], weights=degree[known], minlength=k).astype(np.intp)
    return np.bincount(domain[real], minlength=k), largest, inner


def _side_um(section: Section) -> float:
    """Length of one side of a spot's lattice cell in µm; NaN where unknown."""
    lattice = section.lattice
    if section.um_per_px is None or lattice.kind == "irregular":
        return float("nan")
    pitch = lattice.pitch * section.um_per_px
    return float(pitch / np.sqrt(3)) if lattice.kind == "hexagonal" else float(pitch)


def _confidence(section: Section, key: str | None) -> NDArray[np.float64]:
    """(n_spots,) certainty of the assignment, NaN where the run left none."""
    column = f"{key}_confidence"
    if key is None or column not in section.adata.obs:
        return np.full(section.n_spots, np.nan)
    found = pd.to_numeric(section.adata.obs[column], errors="coerce")
    return np.asarray(found, dtype=np.float64)


def _depth(section: Section) -> dict[str, NDArray[np.float64]]:
    """Molecules and genes of each spot, NaN where the section holds no counts."""
    try:
        counts = section.counts()
    except DataError:
        unknown = np.full(section.n_spots, np.nan)
        return {"counts": unknown, "genes": unknown}
    total = np.asarray(counts.sum(axis=1), dtype=np.float64).ravel()
    return {"counts": total, "genes": np.diff(counts.indptr).astype(np.float64)}


def _mean(values: NDArray[np.float64], codes: NDArray[np.intp], k: int) -> NDArray[np.float64]:
    """(k,) mean over the spots of each domain whose value is known."""
    usable = (codes >= 0) & np.isfinite(values)
    total = np.bincount(codes[usable], weights=values[usable], minlength=k)
    n = np.bincount(codes[usable], minlength=k)
    return np.asarray(np.divide(total, n, out=np.full(k, np.nan), where=n > 0))
