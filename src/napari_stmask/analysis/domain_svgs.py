"""Genes that mark one domain against its surroundings: the procedure of SpaGCN.

Hu et al., SpaGCN, Nature Methods 18, 1342 (2021). A domain is compared with the domains that it
touches rather than with the whole section, and a gene has to pass four filters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.stats import false_discovery_control

from ..core.errors import ParameterError
from ..core.progress import Progress, Steps, drain
from ..core.section import Section
from .inputs import Groups, expression_of, groups_of
from .ranksum import group_means, group_shares, rank_sum_steps

__all__ = ["DomainSVGs", "domain_svgs", "domain_svgs_steps", "search_radius"]

MIN_SPOTS = 5
"""Fewest spots on either side of a comparison."""
_COLUMNS = ("gene", "share_in", "share_out", "ratio", "fold_change", "score", "p_adjusted")


@dataclass(frozen=True, eq=False)
class DomainSVGs:
    """Spatially variable genes of one domain.

    Attributes
    ----------
    domain
        Its name.
    radius
        Of the circle in which neighbours were looked for, in coordinate units.
    mean_neighbours
        Mean number of spots within it around a spot of the domain, itself included.
    neighbours
        Domains that it was compared with, the one most in touch first.
    table
        Genes that pass the filters, most widespread first: ``gene``, ``share_in``,
        ``share_out`` (share of spots above 0 in the domain and in its neighbours), ``ratio`` of
        the two, ``fold_change`` (of the geometric means of 1 + value), ``score`` (z),
        ``p_adjusted`` (Benjamini & Hochberg over all genes).
    notes
        Why the table is empty, one sentence each.
    """

    domain: str
    radius: float
    mean_neighbours: float
    neighbours: tuple[str, ...]
    table: pd.DataFrame
    notes: tuple[str, ...] = ()


def search_radius(
    coords: NDArray[np.floating[Any]],
    inside: NDArray[np.bool_],
    *,
    lowest: float = 10.0,
    highest: float = 14.0,
) -> tuple[float, float]:
    """The radius at which spots ``inside`` have ``lowest`` to ``highest`` spots around them.

    Parameters
    ----------
    coords
        (n_spots, 2) positions of all spots.
    inside
        (n_spots,) True for the spots whose surroundings count, at least one.
    lowest, highest
        Bounds of the mean number of spots within the radius, each spot itself included.

    Returns
    -------
    radius
        In coordinate units. On a lattice the count jumps from ring to ring, so that there may be
        none within the bounds: then the one that comes nearest to them.
    mean
        The mean number there.
    """
    tree = cKDTree(coords)
    centres = coords[inside]

    def mean_within(radius: float) -> float:
        return float(tree.query_ball_point(centres, radius, return_length=True).mean())

    # The distance to the k-th spot bounds the answer from above, whatever the unit.
    reach = tree.query(centres, k=min(len(coords), int(np.ceil(highest)) + 1))[0]
    low, high = 0.0, float(np.max(reach)) * 1.01 + 1e-12
    best, best_gap = (high, mean_within(high)), np.inf
    for _ in range(60):
        middle = (low + high) / 2
        mean = mean_within(middle)
        gap = max(lowest - mean, mean - highest, 0.0)
        if gap < best_gap:
            best, best_gap = (middle, mean), gap
        if not gap or high - low < 1e-9 * high:
            break
        low, high = (middle, high) if mean < lowest else (low, middle)
    return best


def domain_svgs(section: Section, domains: pd.Series, target: str, **options: Any) -> DomainSVGs:
    """Spatially variable genes of the domain ``target``; see `domain_svgs_steps`."""
    return drain(domain_svgs_steps(section, domains, [target], **options))[0]


def domain_svgs_steps(
    section: Section,
    domains: pd.Series,
    targets: Sequence[str] | None = None,
    *,
    layer: str | None = None,
    neighbours_lowest: float = 10.0,
    neighbours_highest: float = 14.0,
    contact: float = 0.5,
    max_neighbours: int = 3,
    max_p: float = 0.05,
    min_share: float = 0.8,
    min_ratio: float = 1.0,
    min_fold: float = 1.5,
) -> Steps[list[DomainSVGs]]:
    """Compare domains with those around them.

    1. A radius at which spots of the domain have 10 to 14 spots around them, themselves
       included.
    2. Neighbouring domains: those of which more than ``contact`` times their size spots were met
       within that radius, summed over the spots of the domain; at most ``max_neighbours``.
    3. Rank-sum test of the domain against the spots of these domains, for every gene.
    4. Four filters; p-values and names are both those of the target.

    Parameters
    ----------
    section
        With raw counts and positions.
    domains
        (n_spots,) labels; spots without one take no part.
    targets
        Names of the domains to look at; None takes all.
    layer
        Layer to use as it is; None takes log-normalised counts.
    neighbours_lowest, neighbours_highest
        Bounds of the mean number of spots in the circle.
    contact, max_neighbours
        Which domains are neighbours.
    max_p
        Adjusted p-value below which a gene passes.
    min_share
        Share of the domain's spots above which the gene must be seen.
    min_ratio
        Ratio of that share to the share in the neighbours that must be exceeded.
    min_fold
        Fold change that must be exceeded: ``exp`` of the difference of the mean log values.

    Returns
    -------
    list of DomainSVGs
        One for each target, in order; the table is empty where a domain has no neighbours or
        fewer than five spots, and ``notes`` says so.

    Raises
    ------
    ParameterError
        If a target is unknown or the bounds of the circle are no range.
    DataError
        If there are fewer than two domains.
    """
    if not 1 <= neighbours_lowest <= neighbours_highest:
        raise ParameterError(
            f"the circle is to hold {neighbours_lowest} to {neighbours_highest} spots",
            "give two numbers from 1, the smaller first",
        )
    groups = groups_of(domains, section.adata.obs_names, at_least=2)
    wanted = range(len(groups.names)) if targets is None else [groups.number(t) for t in targets]
    yield Progress(0, len(wanted), "normalising")
    values = expression_of(section, layer)
    found = []
    for done, g in enumerate(wanted):
        inside = groups.codes == g
        radius, mean = search_radius(
            section.coords, inside, lowest=neighbours_lowest, highest=neighbours_highest
        )
        near = _neighbours(section.coords, groups, g, radius, contact)[:max_neighbours]
        names = tuple(groups.names[j] for j in near)
        table, notes = pd.DataFrame(columns=list(_COLUMNS)), []
        outside = np.isin(groups.codes, near)
        if not near:
            notes.append(f"No domain is in touch with more than {contact:g} of its spots.")
        elif min(inside.sum(), outside.sum()) < MIN_SPOTS:
            notes.append(f"There are fewer than {MIN_SPOTS} spots to compare.")
        else:
            table = yield from _compared(values, inside, outside, section.adata.var_names)
            passed = (table["p_adjusted"] < max_p) & (table["share_in"] > min_share)
            passed &= (table["ratio"] > min_ratio) & (table["fold_change"] > min_fold)
            table = table[passed].sort_values("share_in", ascending=False, kind="stable")
            table = table.reset_index(drop=True)
        found.append(DomainSVGs(groups.names[g], radius, mean, names, table, tuple(notes)))
        yield Progress(done + 1, len(wanted), "comparing domains")
    return found


def _neighbours(
    coords: NDArray[np.float64], groups: Groups, target: int, radius: float, contact: float
) -> list[int]:
    """Domains that ``target`` is in touch with, most spots met first."""
    inside = groups.codes == target
    around = cKDTree(coords).query_ball_point(coords[inside], radius)
    met = groups.codes[np.concatenate([np.asarray(one, dtype=np.intp) for one in around])]
    count = np.bincount(met[met >= 0], minlength=len(groups.names))
    count[target] = 0
    order = np.argsort(-count, kind="stable")
    return [int(j) for j in order if count[j] > contact * groups.sizes[j]]


def _compared(
    values: sp.csr_matrix, inside: NDArray[np.bool_], outside: NDArray[np.bool_], genes: pd.Index
) -> Steps[pd.DataFrame]:
    """Every gene of the spots ``inside`` against those ``outside``; most different first."""
    used = inside | outside
    values, codes = values[used], outside[used].astype(np.intp)
    ranks = yield from rank_sum_steps(values, codes, 2)
    score, p = ranks.against_rest(0)
    mean, _ = group_means(values, codes, 2)
    share = group_shares(values, codes, 2)
    ratio = np.divide(
        share[0], share[1], out=np.where(share[0] > 0, np.inf, 0.0), where=share[1] > 0
    )
    # On smoothed layers a difference of means can be beyond what exp can hold.
    fold = np.exp(np.clip(mean[0] - mean[1], -50, 50))
    columns = (genes, share[0], share[1], ratio, fold, score, false_discovery_control(p))
    table = pd.DataFrame(dict(zip(_COLUMNS, columns, strict=True)))
    return table.sort_values("score", ascending=False, kind="stable")
