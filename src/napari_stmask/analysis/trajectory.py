"""Which domains pass into one another, and how far along each spot is.

Graph of domains: PAGA (Wolf et al., Genome Biology 20, 59, 2019). Order of the spots: diffusion
pseudotime (Haghverdi et al., Nature Methods 13, 845, 2016). Both rest on the neighbour graph of
the embedding that scanpy builds. PAGA is computed here because scanpy's needs a package that is
not installed with it. So is the pseudotime, because scanpy takes every eigenvalue from 0.9994 for
the stationary one: along a path of a few thousand spots that leaves out the path itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from ..core.errors import DataError, ParameterError
from ..core.progress import Progress, Steps, drain
from ..core.section import Section
from .diffusion import diffusion_map, diffusion_pseudotime
from .enhancement import enhanced_genes, enhanced_layer, gene_values
from .inputs import Groups, embedding_of, groups_of, spot_number, usable_rows
from .layout import umap_positions
from .paga import paga_connectivities, paga_layout

__all__ = [
    "Trajectory",
    "trajectory",
    "trajectory_steps",
]

N_COMPONENTS = 15


@dataclass(frozen=True, eq=False)
class Trajectory:
    """Graph of the domains and order of the spots.

    Attributes
    ----------
    domains
        Names, the order of all rows.
    connectivities
        (n_domains, n_domains) float64 symmetric, 0 to 1: links between two domains over those
        expected if links were drawn at random.
    positions
        (n_domains, 2) float64 for drawing, distances follow paths along strong connectivities.
    pseudotime
        (n_spots,) float64, 0 at the root, 1 at the spot farthest from it; the other way round
        where it was inverted. NaN where no path leads to, where the embedding is not finite, and
        everywhere without a root.
    root
        Position of the root spot, or None.
    components
        (n_spots, n_components) float32 diffusion components, the first is component 1; NaN like
        the pseudotime. None without a root.
    umap
        (n_spots, 2) float32, or None; NaN where the embedding is not finite.
    notes
        What was left out, one sentence each.
    inverted
        Whether time ends at the root instead of beginning there.
    """

    domains: tuple[str, ...]
    connectivities: NDArray[np.float64]
    positions: NDArray[np.float64]
    pseudotime: NDArray[np.float64]
    root: int | None
    components: NDArray[np.float32] | None
    umap: NDArray[np.float32] | None
    notes: tuple[str, ...] = ()
    inverted: bool = False


def trajectory(
    data: Section | NDArray[np.floating[Any]],
    domains: pd.Series,
    *,
    key: str | None = None,
    root: int | str | None = None,
    root_domain: str | None = None,
    root_gene: str | None = None,
    invert: bool = False,
    n_neighbors: int = 15,
    umap: bool = False,
    seed: int = 0,
) -> Trajectory:
    """Graph of domains and pseudotime from an embedding.

    Parameters
    ----------
    data
        Section with ``obsm["X_<key>"]``, or an embedding (n_spots, width).
    domains
        (n_spots,) labels whose index holds the names of the spots; spots without one take part
        in the pseudotime but not in the graph of domains.
    key
        Which embedding of a section.
    root
        Spot at which time begins: its position or its name.
    root_domain
        Domain in which it begins, instead of ``root``: the most extreme of its spots on diffusion
        component 1 is the root, at the end that the domain lies nearer to.
    root_gene
        Gene of a section, instead of both: the root is the spot where it is highest, averaged
        over the spot and its neighbours in the embedding, so that one noisy count does not
        decide. Enhanced values are taken where the result has them for the gene, else the
        log-normalised counts. Without any of the three there is no pseudotime.
    invert
        Let time end at the root: one minus the pseudotime.
    n_neighbors
        Nearest rows of the embedding that a spot is linked to.
    umap
        Compute a UMAP of the embedding too.
    seed
        Of the eigenvalue solver and of UMAP.

    Raises
    ------
    ParameterError
        If there is no such embedding, spot, domain or gene, two roots are given, or
        ``n_neighbors`` is out of range.
    DataError
        If fewer than two domains occur, the root's row of the embedding is not finite, or no spot
        shows the gene.
    """
    return drain(
        trajectory_steps(
            data,
            domains,
            key=key,
            root=root,
            root_domain=root_domain,
            root_gene=root_gene,
            invert=invert,
            n_neighbors=n_neighbors,
            umap=umap,
            seed=seed,
        )
    )


def trajectory_steps(
    data: Section | NDArray[np.floating[Any]],
    domains: pd.Series,
    *,
    key: str | None = None,
    root: int | str | None = None,
    root_domain: str | None = None,
    root_gene: str | None = None,
    invert: bool = False,
    n_neighbors: int = 15,
    umap: bool = False,
    seed: int = 0,
) -> Steps[Trajectory]:
    """`trajectory` as a stream: one event a stage; UMAP, the longest, cannot be interrupted."""
    if isinstance(data, Section):
        if key is None:
            raise ParameterError("no embedding was named", "give the key of a run")
        embedding, spots = embedding_of(data, key), data.adata.obs_names
    else:
        embedding, spots = np.asarray(data), domains.index
    groups = groups_of(domains, spots, at_least=2)
    usable = usable_rows(embedding, len(groups.codes))
    rooted = _rooted(root, root_domain, root_gene, invert=invert)
    start = _root_spot(root, root_domain, groups, spots, usable)
    gene = None if root_gene is None else _gene_of(data, key, root_gene)
    rows = np.flatnonzero(usable)
    if not 2 <= n_neighbors < len(rows):
        raise ParameterError(
            f"n_neighbors is {n_neighbors} for {len(rows)} spots", "use 2 to the number of spots"
        )
    notes = []
    if len(rows) < len(usable):
        notes.append(f"{len(usable) - len(rows)} spots have no finite embedding.")
    yield Progress(0, 4, "finding neighbours")
    graph = _neighbour_graph(embedding[rows], n_neighbors, seed)
    codes = groups.codes[rows]
    yield Progress(1, 4, "linking domains")
    links = paga_connectivities(graph.obsp["distances"], codes, len(groups.names))
    time = np.full(len(usable), np.nan)
    components = None
    yield Progress(2, 4, "ordering spots")
    if rooted:
        if gene is not None:
            start = int(rows[_highest(graph.obsp["connectivities"], gene[rows])])
        inside = None if root_domain is None else codes == groups.number(root_domain)
        at = None if start is None else int(np.flatnonzero(rows == start)[0])
        found = _ordered(graph.obsp["connectivities"], at, inside, seed)
        start = int(rows[found.root])
        time[rows[found.members]] = 1 - found.time if invert else found.time
        components = np.full((len(usable), found.components.shape[1]), np.nan, dtype=np.float32)
        components[rows[found.members]] = found.components
        unreached = len(rows) - len(found.members)
        if unreached:
            notes.append(f"No path leads from the root to {unreached} spots.")
    picture = None
    if umap:
        yield Progress(3, 4, "computing UMAP")
        picture = np.full((len(usable), 2), np.nan, dtype=np.float32)
        picture[rows] = umap_positions(embedding[rows], n_neighbors=n_neighbors, seed=seed)
    yield Progress(4, 4, "ordering spots")
    return Trajectory(
        tuple(groups.names), links, paga_layout(links), time, start, components, picture,
        tuple(notes), invert,
    )  # fmt: skip


def _rooted(
    root: int | str | None, root_domain: str | None, root_gene: str | None, *, invert: bool
) -> bool:
    """Whether time begins anywhere; more than one place is refused."""
    given = {"root": root, "root_domain": root_domain, "root_gene": root_gene}
    named = [name for name, value in given.items() if value is not None]
    if len(named) > 1:
        what = "both given" if len(named) == 2 else "all given"
        raise ParameterError(f"{' and '.join(named)} were {what}", "give one of them")
    if invert and not named:
        raise ParameterError("without a root there is no time to invert", "give a root")
    return bool(named)


def _gene_of(data: Section | NDArray[Any], key: str | None, gene: str) -> NDArray[np.float32]:
    """(n_spots,) values of the gene whose maximum is the root."""
    if not isinstance(data, Section):
        raise ParameterError("an embedding has no genes", "give the section, or a spot as the root")
    layer = None
    if f"{key}_denoised" in data.adata.layers and gene in data.adata.var_names:
        known = enhanced_genes(data, str(key))[int(data.adata.var_names.get_loc(gene))]
        layer = enhanced_layer(data, str(key)) if known else None
    values = gene_values(data, gene, layer)
    if not (values > 0).any():
        raise DataError(f"no spot shows the gene '{gene}'", "choose another gene")
    return values


def _highest(weights: sp.csr_matrix, values: NDArray[np.float32]) -> int:
    """The spot with the highest mean over itself and its neighbours, who weigh less than it."""
    links = sp.csr_matrix(weights, dtype=np.float64, copy=True)
    links.setdiag(1.0)
    near = np.asarray(links.sum(axis=1)).ravel()
    return int((links @ values.astype(np.float64) / near).argmax())


def _root_spot(
    root: int | str | None,
    root_domain: str | None,
    groups: Groups,
    spots: pd.Index,
    usable: NDArray[np.bool_],
) -> int | None:
    """Position of the root where a spot was named; checks a domain that was named."""
    if root_domain is not None:
        if not (usable & (groups.codes == groups.number(root_domain))).any():
            raise DataError(
                f"no spot of domain '{root_domain}' has a finite embedding", "choose another"
            )
        return None
    if root is None:
        return None
    if isinstance(root, str):
        root = spot_number(spots, root)
    if not 0 <= root < len(usable):
        raise ParameterError(
            f"root is {root} for {len(usable)} spots", f"use 0 to {len(usable) - 1}"
        )
    if not usable[root]:
        raise DataError(f"spot {root} has no finite embedding", "choose another root")
    return int(root)


def _neighbour_graph(embedding: NDArray[Any], n_neighbors: int, seed: int) -> AnnData:
    """The neighbour graph of scanpy with the kernel of diffusion pseudotime."""
    import scanpy as sc

    n = len(embedding)
    table = AnnData(sp.csr_matrix((n, 1), dtype=np.float32))
    table.obsm["X"] = np.asarray(embedding, dtype=np.float32)
    sc.pp.neighbors(
        table,
        n_neighbors,
        use_rep="X",
        method="gauss",
        transformer="sklearn",  # exact, so that the answer depends on no order
        random_state=seed,
    )
    return table


@dataclass(frozen=True, eq=False)
class _Ordered:
    members: NDArray[np.intp]
    root: int
    time: NDArray[np.float64]
    components: NDArray[np.float64]


def _ordered(
    weights: sp.csr_matrix, root: int | None, inside: NDArray[np.bool_] | None, seed: int
) -> _Ordered:
    """Pseudotime within the part of the graph that the root, or most of its domain, lies in."""
    _, part = connected_components(weights, directed=False)
    if root is not None:
        own = part[root]
    else:
        assert inside is not None
        own = np.bincount(part[inside]).argmax()
    members = np.flatnonzero(part == own)
    value, vector = diffusion_map(weights[members][:, members], N_COMPONENTS, seed=seed)
    if root is None:
        assert inside is not None
        root = int(members[_extreme(vector, inside[members])])
    at = int(np.flatnonzero(members == root)[0])
    return _Ordered(members, root, diffusion_pseudotime(value, vector, at), vector)


def _extreme(vector: NDArray[np.float64], inside: NDArray[np.bool_]) -> int:
    """The spot ``inside`` that is farthest out on component 1, at the end it lies nearer to."""
    if not vector.shape[1]:
        return int(np.flatnonzero(inside)[0])
    first = vector[:, 0]
    side = 1.0 if np.median(first[inside]) >= np.median(first) else -1.0
    return int(np.where(inside, side * first, -np.inf).argmax())
