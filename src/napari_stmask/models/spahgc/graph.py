"""The heterogeneous graph of SpaHGC: target spots, reference spots, three kinds of links."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from sklearn.decomposition import PCA

from ...analysis.prediction_baselines import knn_mean
from ...core.errors import DataError
from ...core.progress import Progress, Steps
from ...features.graph import knn_graph, radius_graph
from ...features.retrieval import retrieve
from ...nn.heterogeneous import Linked
from ...nn.linked import Links
from ...nn.sparse import Operator
from .inputs import Side
from .params import SpaHGCParams

if TYPE_CHECKING:
    from torch_geometric.data import HeteroData

__all__ = [
    "CLOSE",
    "MANY",
    "NEAR",
    "REFERS",
    "Found",
    "Pool",
    "Surroundings",
    "find_references",
    "graph_of",
    "linked",
    "look_around",
    "near_graph",
]

NEAR = ("target", "near", "target")
REFERS = ("reference", "refers", "target")
CLOSE = ("reference", "close", "reference")
Float = NDArray[np.float32]
MANY = 50
"""Near references whose mean stands beside ridge regression and network."""
_REACH = 1.6
"""Distance, in pitches, beyond which spots are no neighbours, as across a hole in the tissue."""
_MANY, _WIDTH = 4000, 64
"""References from which on close ones are looked for in that many components."""
_PATCH = 224
"""Pixels of a cell of the grid on which the release looks for neighbours."""


@dataclass(frozen=True, eq=False)
class Pool:
    """All reference spots one below the other.

    Attributes
    ----------
    sides
        The references.
    features, expression
        (m, d) and (m, n_genes) float32.
    section, group
        (m,) codes.
    """

    sides: Sequence[Side]
    features: Float
    expression: Float
    section: NDArray[np.intp]
    group: NDArray[np.intp]

    @classmethod
    def of(cls, sides: Sequence[Side], expression: Sequence[Float]) -> Pool:
        """The references with their expression in the units of the network."""
        lengths = [len(side) for side in sides]
        return cls(
            sides,
            np.concatenate([side.features for side in sides]),
            np.concatenate(expression),
            np.repeat([side.section for side in sides], lengths),
            np.repeat([side.group for side in sides], lengths),
        )


def near_graph(side: Side, params: SpaHGCParams) -> sp.csr_matrix:
    """(n, n) symmetric links between neighbours in space, float32 ones.

    The release rounds positions down to cells of 224 pixels and takes at most five spots in
    adjoining cells, the first that it finds.
    """
    n = len(side)
    if params.mode == "release":
        return _released_grid(side.coords, params.n_neighbors)
    k = min(params.n_neighbors, n - 1)
    if k < 1:
        return sp.csr_matrix((n, n), dtype=np.float32)
    graph = knn_graph(side.coords, k).tocoo()
    length = np.linalg.norm(side.coords[graph.row] - side.coords[graph.col], axis=1)
    short = length <= _REACH * side.pitch
    return sp.csr_matrix((graph.data[short], (graph.row[short], graph.col[short])), graph.shape)


def _released_grid(coords: NDArray[np.float64], most: int) -> sp.csr_matrix:
    """Links on whole cells: squared distance below 2, so the own cell and four around it."""
    graph = radius_graph(np.floor(coords / _PATCH), 1.0)
    graph.sort_indices()
    rows = np.repeat(np.arange(len(coords)), np.diff(graph.indptr))
    kept = np.arange(graph.nnz) - graph.indptr[rows] < most
    return sp.csr_matrix((graph.data[kept], (rows[kept], graph.indices[kept])), graph.shape)


@dataclass(frozen=True, eq=False)
class Found:
    """The references of each target, best first.

    Attributes
    ----------
    index
        (n, k) rows of the pool; the first ``n_references`` become links.
    similarity
        (n, k) float32.
    """

    index: NDArray[np.intp]
    similarity: Float


def find_references(
    side: Side,
    pool: Pool,
    params: SpaHGCParams,
    *,
    target_group: int | None = None,
    without: int | None = None,
    more: int = 0,
) -> Steps[Found]:
    """Most similar references of every spot of ``side``.

    Parameters
    ----------
    side, pool
        Targets and references, features on one scale.
    params
        Number, similarity, balance.
    target_group
        Group of the pool that is left out: the target's own.
    without
        Section of the pool that is left out.
    more
        References found in all where more than are linked, and the pool has them; with balanced
        sections no more than are linked.

    Raises
    ------
    DataError
        If there are fewer references than links.
    """
    kept = np.ones(len(pool.features), dtype=bool)
    if target_group is not None:
        kept &= pool.group != target_group
    if without is not None:
        kept &= pool.section != without
    rows = np.flatnonzero(kept)
    if len(rows) < params.n_references:
        raise DataError(
            f"only {len(rows)} reference spots remain for {params.n_references} links of each spot",
            "give more reference sections or lower n_references",
        )
    k = min(max(params.n_references, more), len(rows))
    sections = pool.section[rows]
    balanced = params.balance and params.mode == "improved" and np.unique(sections).size > 1
    found = yield from retrieve(
        side.features,
        pool.features[rows],
        params.n_references if balanced else k,
        metric=params.similarity,
        pool_groups=sections if balanced else None,
        quota=_share(sections, params.n_references) if balanced else None,
    )
    return Found(rows[found.index], found.similarity)


def _share(sections: NDArray[np.intp], k: int) -> int:
    """The least that each section may give so that ``k`` are found: small ones give all."""
    sizes = np.unique(sections, return_counts=True)[1]
    quota = -(-k // sizes.size)
    while np.minimum(sizes, quota).sum() < k:
        quota += 1
    return quota


def graph_of(
    side: Side, pool: Pool, index: NDArray[np.intp], params: SpaHGCParams
) -> Steps[HeteroData]:
    """The graph of one target section.

    Parameters
    ----------
    side, pool
        Targets and references.
    index
        (n, k) rows of the pool that each target is linked to.
    params
        Of the other links.

    Returns
    -------
    torch_geometric.data.HeteroData
        Nodes ``target`` (``x``: features) and ``reference`` (``x``: features, ``y``: expression,
        ``row``: place in the pool), the references that some target is linked to. Links
        ``(target, near, target)``, ``(reference, refers, target)`` and ``(reference, close,
        reference)``, each from the neighbour to the node that listens.
    """
    # Seconds to import, and nobody who asks which methods there are should wait for it.
    from torch_geometric.data import HeteroData

    used, local = np.unique(index, return_inverse=True)
    close = yield from _close(pool.features[used], pool.expression[used], params)
    near = near_graph(side, params).tocoo()
    data = HeteroData()
    data["target"].x = torch.from_numpy(side.features)
    data["reference"].x = torch.from_numpy(pool.features[used])
    data["reference"].y = torch.from_numpy(pool.expression[used])
    data["reference"].row = torch.from_numpy(used.astype(np.int64))
    data[NEAR].edge_index = _edges(near.col, near.row)
    targets = np.repeat(np.arange(len(side)), index.shape[1])
    data[REFERS].edge_index = _edges(local.reshape(-1), targets)
    listeners = np.repeat(np.arange(len(used)), close.shape[1])
    data[CLOSE].edge_index = _edges(close.reshape(-1), listeners)
    return data


@dataclass(frozen=True, eq=False)
class Surroundings:
    """What the references say of the spots of one side before any training.

    Attributes
    ----------
    index
        (n, n_references) rows of the pool that each spot is linked to.
    last
        (n,) float32 similarity to the last of them.
    near
        (n, n_genes) float32 mean expression of the `MANY` most similar references.
    data
        The graph, see `graph_of`.
    """

    index: NDArray[np.intp]
    last: Float
    near: Float
    data: HeteroData


def look_around(
    side: Side,
    pool: Pool,
    params: SpaHGCParams,
    *,
    target_group: int | None = None,
    without: int | None = None,
) -> Steps[Surroundings]:
    """Find the references of ``side`` and link it to them; see `find_references`."""
    found = yield from find_references(
        side, pool, params, target_group=target_group, without=without, more=MANY
    )
    index = found.index[:, : params.n_references]
    data = yield from graph_of(side, pool, index, params)
    last = found.similarity[:, params.n_references - 1]
    return Surroundings(index, last, knn_mean(found.index, pool.expression), data)


def _edges(source: NDArray[Any], target: NDArray[Any]) -> torch.Tensor:
    return torch.from_numpy(np.stack([source, target]).astype(np.int64))


def _close(features: Float, expression: Float, params: SpaHGCParams) -> Steps[NDArray[np.intp]]:
    """(m, n_close) nearest other references by image and expression together."""
    m = len(features)
    k = min(params.n_close, m - 1)
    if k < 1:
        return np.empty((m, 0), dtype=np.intp)
    if params.mode == "release":
        joint = np.hstack([features, expression])
    else:
        # Each part with rows of length 1 on average, or the one of more columns would decide.
        parts = [
            v / max(float(np.linalg.norm(v, axis=1).mean()), 1e-9) for v in (features, expression)
        ]
        joint = np.hstack(parts).astype(np.float32)
        if m > _MANY and joint.shape[1] > _WIDTH:
            yield Progress(0, 0, "preparing", message="")
            joint = PCA(_WIDTH, svd_solver="covariance_eigh").fit_transform(joint)
    found = yield from retrieve(joint, joint, k + 1, metric="l2")
    other = found.index != np.arange(m)[:, None]
    # Among more than k equal ones a reference need not find itself.
    other[other.all(axis=1), -1] = False
    return np.asarray(found.index[other].reshape(m, k))


def linked(data: HeteroData, device: torch.device | str = "cpu") -> Linked:
    """The graph as the network takes it.

    Raises
    ------
    ValueError
        If targets have different numbers of references.
    """
    n, m = data["target"].num_nodes, data["reference"].num_nodes
    source, target = data[REFERS].edge_index.numpy()
    k, rest = divmod(len(target), n)
    order = np.argsort(target, kind="stable")
    if rest or not np.array_equal(target[order], np.repeat(np.arange(n), k)):
        raise ValueError("targets have different numbers of references")
    return Linked(
        Operator.of(_mean(data[NEAR].edge_index.numpy(), n), device),
        Operator.of(_mean(data[CLOSE].edge_index.numpy(), m), device),
        Links.of(source[order].reshape(n, k), m, device),
    )


def _mean(edges: NDArray[np.int64], n: int) -> sp.csr_matrix:
    """(n, n) mean over the sources of each node's links; a row of zeros without any."""
    source, target = edges
    degree = np.bincount(target, minlength=n)
    weight = (1 / np.maximum(degree, 1)).astype(np.float32)
    return sp.csr_matrix((weight[target], (target, source)), shape=(n, n))
