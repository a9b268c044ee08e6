"""Links between the spots of several sections.

Within a section a method links spots as it always does. Across sections there are four ways:
the nearest spots of the neighbouring section (serial sections, superimposed), nearest spots in
three dimensions (as SpaMask was published for several sections: Min, Fang et al., PLOS
Computational Biology 21(4), e1012881, 2025), nearest spots in a common plane (adjoining parts),
and mutual nearest neighbours in expression, which need no common frame (Haghverdi et al.,
Nature Biotechnology 36, 421, 2018).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from sklearn.neighbors import NearestNeighbors

from ..core.errors import ParameterError
from ..core.joint import Joint
from .graph import from_pairs, neighbour_mean, within_groups

__all__ = ["Build", "block_graph", "expression_links", "joint_graph", "quota_links", "relinked"]

Build = Callable[[NDArray[np.float64], int | None], sp.csr_matrix]
"""Makes a graph of (n, 2 or 3) positions; an int asks for so many neighbours."""
_PARTNERS = 2
"""Sections after its own, in the order given, that a section without depth is compared with."""
_MUTUAL = 10
"""Nearest spots among which links by expression are mutual."""
_STEPS = 2


def joint_graph(
    coords: NDArray[np.float64],
    joint: Joint,
    build: Build,
    *,
    pitch: float,
    n_near: int,
    values: NDArray[np.float32] | None = None,
) -> sp.csr_matrix:
    """Links within and across sections, as the settings say.

    Parameters
    ----------
    coords
        (n_spots, 2) positions, sections side by side.
    joint
        With settings.
    build
        The method's own way to link spots by position.
    pitch
        Distance between spots, in units of ``coords``.
    n_near
        Neighbours within a section that the method takes.
    values
        (n_spots, d) expression, which links by expression are found in.

    Returns
    -------
    scipy.sparse.csr_matrix
        (n_spots, n_spots) float32, symmetric, zero diagonal; links across sections carry
        ``cross_weight``, save those by depth or in the plane.

    Raises
    ------
    ParameterError
        If links need positions in one frame and the sections have none.
    """
    settings = joint.settings
    assert settings is not None
    by = settings.linked_by
    if settings.in_space and joint.positions is None:
        raise ParameterError(
            f"links are '{by}', but the sections have no common frame",
            "choose arrangement serial or adjoining, or links expression or none",
        )
    if by == "plane":
        assert joint.positions is not None
        return build(joint.positions[:, :2], None)
    if by == "depth":
        assert joint.positions is not None
        across = settings.cross_neighbours * min(2, joint.n_sections - 1)
        return build(joint.positions, settings.depth_neighbours or n_near + across)
    within = block_graph(coords, joint.codes, build)
    if by == "none":
        return within
    if by == "quota":
        gap = settings.max_gap_um
        cross = quota_links(
            joint, k=settings.cross_neighbours, reach=settings.cross_reach * pitch, max_gap=gap
        )
    else:
        assert values is not None
        around = values
        for _ in range(_STEPS):
            around = neighbour_mean(within, around)
        cross = expression_links(around, joint.codes, k=settings.cross_neighbours)
    return _joined(within, cross, settings.cross_weight)


def relinked(joint: Joint, graph: sp.csr_matrix, latent: NDArray[np.float32]) -> sp.csr_matrix:
    """``graph`` with its links across sections found anew, in an embedding (n_spots, width)."""
    settings = joint.settings
    assert settings is not None
    cross = expression_links(latent, joint.codes, k=settings.cross_neighbours)
    return _joined(within_groups(graph, joint.codes), cross, settings.cross_weight)


def _joined(within: sp.csr_matrix, cross: sp.csr_matrix, weight: float) -> sp.csr_matrix:
    graph = (within + cross * np.float32(weight)).tocsr().astype(np.float32)
    graph.sort_indices()
    return graph


def block_graph(
    coords: NDArray[np.float64], codes: NDArray[np.integer[Any]], build: Build
) -> sp.csr_matrix:
    """The graphs of all sections, each built of its own spots alone, as one."""
    n = len(coords)
    graph = sp.csr_matrix((n, n), dtype=np.float32)
    for code in np.unique(codes):
        rows = np.flatnonzero(codes == code)
        own = build(coords[rows], None).tocoo()
        place = (own.data, (rows[own.row], rows[own.col]))
        graph = graph + sp.csr_matrix(place, shape=(n, n))
    graph.sort_indices()
    return graph.astype(np.float32)


def quota_links(joint: Joint, *, k: int, reach: float, max_gap: float | None) -> sp.csr_matrix:
    """Each spot and the ``k`` nearest spots, in the plane, of every section next to its own.

    Parameters
    ----------
    joint
        With positions; the third coordinate tells the order of the sections.
    k
        Spots of another section.
    reach
        Farthest a link goes in the plane.
    max_gap
        Sections so far apart in depth at most are linked; None links those next to each other,
        and those of equal depth.

    Returns
    -------
    scipy.sparse.csr_matrix
        (n_spots, n_spots) float32, symmetric, entries 1, none within a section.
    """
    assert joint.positions is not None
    plane, codes = joint.positions[:, :2], joint.codes
    present = np.unique(codes)
    rows = [np.flatnonzero(codes == code) for code in present]
    depth = np.array([joint.positions[own, 2].mean() for own in rows])
    level = np.unique(depth.round(6), return_inverse=True)[1]
    found = []
    for a in range(len(rows)):
        for b in range(len(rows)):
            gap = abs(depth[a] - depth[b])
            near = abs(level[a] - level[b]) <= 1 if max_gap is None else gap <= max_gap
            if a == b or not near:
                continue
            tree = cKDTree(plane[rows[b]])
            distance, index = tree.query(
                plane[rows[a]], k=np.arange(1, min(k, len(rows[b])) + 1), distance_upper_bound=reach
            )
            i, j = np.nonzero(np.isfinite(distance))
            found.append((rows[a][i], rows[b][index[i, j]]))
    return _symmetric(found, len(codes))


def expression_links(
    values: NDArray[np.float32], codes: NDArray[np.integer[Any]], *, k: int
) -> sp.csr_matrix:
    """Spots of different sections that are mutually among each other's most alike ones.

    Likeness is the cosine. Each section is compared with the next two in the order given, the
    last with the first, so that the number of links grows with that of the spots.

    Parameters
    ----------
    values
        (n_spots, d) expression of a spot and its surroundings, or an embedding.
    codes
        (n_spots,) section of each spot.
    k
        The best so many of a spot's mutual neighbours in another section are kept.

    Returns
    -------
    scipy.sparse.csr_matrix
        (n_spots, n_spots) float32, symmetric, entries 1, none within a section.
    """
    length = np.linalg.norm(values, axis=1, keepdims=True)
    unit = (values / np.maximum(length, 1e-12)).astype(np.float32)
    found = []
    for a, b in _pairs(np.unique(codes)):
        first, second = np.flatnonzero(codes == a), np.flatnonzero(codes == b)
        there = _nearest(unit[first], unit[second])
        back = _nearest(unit[second], unit[first]).T
        mutual = there.multiply(back > 0).tocsr()
        best = _best(mutual, k).maximum(_best(mutual.T.tocsr(), k).T).tocoo()
        found.append((first[best.row], second[best.col]))
    return _symmetric(found, len(codes))


def _pairs(codes: NDArray[Any]) -> Iterator[tuple[int, int]]:
    """Each section with the next ones, in a ring; every pair once."""
    n = len(codes)
    seen = set()
    for step in range(1, _PARTNERS + 1):
        for i in range(n):
            pair = frozenset((i, (i + step) % n))
            if len(pair) == 2 and pair not in seen:
                seen.add(pair)
                a, b = sorted(pair)
                yield int(codes[a]), int(codes[b])


def _nearest(values: NDArray[np.float32], among: NDArray[np.float32]) -> sp.csr_matrix:
    """(n, m) likeness, in (0, 1], of each row to the rows of ``among`` that are most like it."""
    k = min(_MUTUAL, len(among))
    search = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(among)
    distance, index = search.kneighbors(values)
    alike = 1.0 / (1.0 + distance)
    indptr = np.arange(0, k * len(values) + 1, k)
    return sp.csr_matrix((alike.ravel(), index.ravel(), indptr), shape=(len(values), len(among)))


def _best(links: sp.csr_matrix, k: int) -> sp.csr_matrix:
    """The ``k`` largest entries of each row."""
    row = np.repeat(np.arange(links.shape[0]), np.diff(links.indptr))
    order = np.lexsort((links.indices, -links.data, row))
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order)) - links.indptr[row[order]]
    keep = rank < k
    return sp.csr_matrix((links.data[keep], (row[keep], links.indices[keep])), shape=links.shape)


def _symmetric(found: list[tuple[NDArray[Any], NDArray[Any]]], n: int) -> sp.csr_matrix:
    i = np.concatenate([pair[0] for pair in found] or [np.empty(0, dtype=np.intp)])
    j = np.concatenate([pair[1] for pair in found] or [np.empty(0, dtype=np.intp)])
    return from_pairs(i, j, n)
