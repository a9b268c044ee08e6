"""How mixed the tissue is: which domains lie around each spot, and which touch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from ..core.errors import ParameterError, ResourceError
from ..core.memory import densify
from ..core.progress import Progress, Steps, drain
from ..core.section import Section
from ..features.graph import nearest
from .inputs import Groups, groups_of, one_hot

__all__ = ["Heterogeneity", "area_per_spot", "heterogeneity", "heterogeneity_steps"]

MAX_LINKS = 50_000_000
"""Most pairs of spots within a radius, 12 bytes each."""


@dataclass(frozen=True, eq=False)
class Heterogeneity:
    """Composition of the surroundings of every spot, and of every domain.

    Attributes
    ----------
    domains
        Names, the order of all columns.
    composition
        (n_spots, n_domains) float32, rows sum to 1: shares of the domains among the spot and
        its neighbours. NaN where none of them has a domain.
    entropy
        (n_spots,) float32 in [0, 1]: Shannon entropy of that row over the logarithm of the
        number of domains. 0 in the interior of a domain, 1 where all domains are equally
        frequent.
    boundary
        (n_spots,) float32 in [0, 1]: share of the neighbours that belong to another domain. NaN
        for spots without a domain or without assigned neighbours.
    summary
        One row a domain: ``spots``, ``area_um2`` (NaN where the scale is unknown or spots lie
        irregularly), ``mean_entropy``, ``mean_boundary``.
    contacts
        (n_domains, n_domains) table; row a: shares of the domains among the neighbours of the
        spots of a. Rows sum to 1; NaN without neighbours.
    enrichment
        (n_domains, n_domains) table of z-scores: links between two domains against those after
        shuffling the domains over the spots. None without permutations.
    """

    domains: tuple[str, ...]
    composition: NDArray[np.float32]
    entropy: NDArray[np.float32]
    boundary: NDArray[np.float32]
    summary: pd.DataFrame
    contacts: pd.DataFrame
    enrichment: pd.DataFrame | None


def heterogeneity(
    section: Section,
    domains: pd.Series,
    *,
    n_neighbors: int | None = None,
    radius_um: float | None = None,
    n_permutations: int = 100,
    seed: int = 0,
) -> Heterogeneity:
    """Describe the surroundings of each spot by the domains in it.

    Parameters
    ----------
    section
        With positions.
    domains
        (n_spots,) labels; spots without one are not counted.
    n_neighbors
        Nearest spots that are the surroundings, and all that are as near as the last of them;
        None takes the first ring of the lattice (6 on hexagons, 4 on squares).
    radius_um
        All spots within this many micrometres instead.
    n_permutations
        Shuffles for the z-scores, 0 for none. Shuffling ignores that domains are contiguous, so
        that any domain touches itself far more than expected: compare pairs, not significance.
    seed
        Of the shuffles.

    Raises
    ------
    ParameterError
        If both surroundings are given, a number is out of range, or the radius cannot be
        converted because the scale of the section is unknown.
    ResourceError
        If the radius takes in more than 50 million pairs.
    DataError
        If no spot has a domain.
    """
    return drain(
        heterogeneity_steps(
            section,
            domains,
            n_neighbors=n_neighbors,
            radius_um=radius_um,
            n_permutations=n_permutations,
            seed=seed,
        )
    )


def heterogeneity_steps(
    section: Section,
    domains: pd.Series,
    *,
    n_neighbors: int | None = None,
    radius_um: float | None = None,
    n_permutations: int = 100,
    seed: int = 0,
) -> Steps[Heterogeneity]:
    """`heterogeneity` as a stream: one event for each permutation."""
    if n_permutations < 0 or n_permutations == 1:
        raise ParameterError(f"n_permutations is {n_permutations}", "use 0, or at least 2")
    groups = groups_of(domains, section.adata.obs_names)
    yield Progress(0, n_permutations, "finding neighbours")
    links = _links(section, n_neighbors, radius_um)
    k = len(groups.names)
    member = one_hot(groups.codes, k)
    around = (links @ member).tocsr()
    whole = densify(around + member, what="the composition")
    total = whole.sum(axis=1, keepdims=True)
    share = np.divide(whole, total, out=np.full_like(whole, np.nan), where=total > 0)
    entropy = _entropy(share)
    boundary = _boundary(densify(around, what="the neighbours"), groups.codes)
    pairs = links.tocoo()
    known = (groups.codes[pairs.row] >= 0) & (groups.codes[pairs.col] >= 0)
    i, j = pairs.row[known], pairs.col[known]
    count = _pair_counts(groups.codes, i, j, k)
    degree = count.sum(axis=1, keepdims=True)
    contacts = np.divide(count, degree, out=np.full_like(count, np.nan), where=degree > 0)
    enrichment = None
    if n_permutations:
        z = yield from _shuffled(groups.codes, i, j, k, count, n_permutations, seed)
        enrichment = _square(z, groups.names)
    return Heterogeneity(
        tuple(groups.names),
        share,
        entropy,
        boundary,
        _summary(groups, area_per_spot(section), entropy, boundary),
        _square(contacts, groups.names),
        enrichment,
    )


def _links(section: Section, n_neighbors: int | None, radius_um: float | None) -> sp.csr_matrix:
    """(n_spots, n_spots) with 1 from each spot to its neighbours, not to itself."""
    n, coords = section.n_spots, section.coords
    if n_neighbors is not None and radius_um is not None:
        raise ParameterError("n_neighbors and radius_um were both given", "give one of them")
    if radius_um is None:
        if n < 2:
            return sp.csr_matrix((n, n))
        pairs = nearest(coords, section.lattice.ring if n_neighbors is None else n_neighbors)
        return sp.csr_matrix((np.ones(pairs.nnz), (pairs.row, pairs.col)), shape=(n, n))
    if not (np.isfinite(radius_um) and radius_um > 0):
        raise ParameterError(f"radius_um is {radius_um}", "give a positive number of micrometres")
    if section.um_per_px is None:
        raise ParameterError(
            f"the scale of {section.where} is unknown, so that {radius_um:g} µm mean nothing",
            "give n_neighbors, or the scale when the section is read",
        )
    tree, radius = cKDTree(coords), radius_um / section.um_per_px
    size = int(tree.count_neighbors(tree, radius)) - n
    if size > MAX_LINKS:
        raise ResourceError(
            f"{size:,} pairs of spots lie within {radius_um:g} µm, the limit is {MAX_LINKS:,}",
            "give a smaller radius",
        )
    found = tree.query_pairs(radius, output_type="ndarray")
    row, col = np.r_[found[:, 0], found[:, 1]], np.r_[found[:, 1], found[:, 0]]
    return sp.csr_matrix((np.ones(row.size), (row, col)), shape=(n, n))


def _entropy(share: NDArray[np.float32]) -> NDArray[np.float32]:
    """Entropy of each row over its largest value, ``log`` of the number of columns."""
    k = share.shape[1]
    logs = np.zeros_like(share)
    np.log(share, out=logs, where=share > 0)
    # max: a pure row must not come out as -0.
    entropy = np.maximum(-(share * logs).sum(axis=1) / np.log(max(k, 2)), 0)
    return np.asarray(entropy, dtype=np.float32)


def _boundary(around: NDArray[np.float32], codes: NDArray[np.intp]) -> NDArray[np.float32]:
    total = around.sum(axis=1)
    own = around[np.arange(len(codes)), np.maximum(codes, 0)]
    usable = (total > 0) & (codes >= 0)
    return np.asarray(np.divide(total - own, total, out=np.full_like(total, np.nan), where=usable))


def _pair_counts(
    codes: NDArray[np.intp], i: NDArray[np.intp], j: NDArray[np.intp], k: int
) -> NDArray[np.float64]:
    """(k, k) links from spots of one domain to spots of another."""
    return np.bincount(codes[i] * k + codes[j], minlength=k * k).reshape(k, k).astype(np.float64)


def _shuffled(
    codes: NDArray[np.intp],
    i: NDArray[np.intp],
    j: NDArray[np.intp],
    k: int,
    count: NDArray[np.float64],
    times: int,
    seed: int,
) -> Steps[NDArray[np.float64]]:
    """z-scores of ``count``; domains are shuffled over the spots that have one."""
    rng = np.random.default_rng(seed)
    known = codes >= 0
    now = codes.copy()
    # Running mean and squares (Welford): the tables of all shuffles are never held together.
    mean, squares = np.zeros((k, k)), np.zeros((k, k))
    for t in range(times):
        now[known] = rng.permutation(codes[known])
        step = _pair_counts(now, i, j, k) - mean
        mean += step / (t + 1)
        squares += step**2 * (t / (t + 1))
        yield Progress(t + 1, times, "shuffling domains")
    spread = np.sqrt(squares / (times - 1))
    distance = count - mean
    return np.asarray(
        np.divide(distance, spread, out=np.full_like(distance, np.nan), where=spread > 0)
    )


def area_per_spot(section: Section) -> float:
    """Area of the lattice cell of one spot in µm²; NaN for irregular spots or unknown scale."""
    lattice = section.lattice
    if section.um_per_px is None or lattice.kind == "irregular":
        return float("nan")
    pitch = lattice.pitch * section.um_per_px
    return pitch**2 * (np.sqrt(3) / 2 if lattice.kind == "hexagonal" else 1.0)


def _summary(
    groups: Groups, area: float, entropy: NDArray[np.float32], boundary: NDArray[np.float32]
) -> pd.DataFrame:
    known = groups.codes >= 0
    by_spot = pd.DataFrame({"mean_entropy": entropy[known], "mean_boundary": boundary[known]})
    means = by_spot.groupby(groups.codes[known]).mean()  # NaN is left out
    table = pd.DataFrame(
        {"domain": groups.names, "spots": groups.sizes, "area_um2": groups.sizes * area}
    )
    return table.join(means)


def _square(values: NDArray[np.float64], names: list[str]) -> pd.DataFrame:
    return pd.DataFrame(values, index=pd.Index(names, name="domain"), columns=names)
