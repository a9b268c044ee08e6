"""From a section to the input of the network, and the way back to genes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.decomposition import PCA

from ..core.errors import DataError
from ..core.memory import densify
from ..core.progress import Progress, Steps
from ..core.section import Section
from ..features.expression import (
    Expression,
    log_normalise,
    min_cells_for,
    pca_scores,
    select_genes,
    standardise,
)
from .trained_params import TrainedParams

__all__ = ["MIN_SPOTS", "Prepared", "check_size", "gene_layer", "normalised", "prepare"]

MIN_SPOTS = 10
_PUBLISHED_TARGET = 1e6
_TARGET = 1e4
_CLIP = 10.0


@dataclass(frozen=True)
class Prepared:
    """Input of the network.

    Attributes
    ----------
    x
        (n_spots, d) float32.
    genes
        (n_selected,) positions of the selected genes in ``var``.
    scale, ceiling
        (n_selected,) float32 by which the genes were divided, and the largest value then kept.
    components, centre
        (d, n_selected) and (n_selected,) float32 of the PCA; None where genes go in directly.
    """

    x: NDArray[np.float32]
    genes: NDArray[np.intp]
    scale: NDArray[np.float32]
    ceiling: NDArray[np.float32]
    components: NDArray[np.float32] | None
    centre: NDArray[np.float32] | None

    def to_genes(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Values of the selected genes, (m, n_selected) >= 0, from (m, d) network units."""
        return np.asarray(np.maximum(self.to_scaled(rows) * self.scale, 0), dtype=np.float32)

    def to_scaled(
        self, rows: NDArray[np.float32], part: slice = slice(None)
    ) -> NDArray[np.float32]:
        """Values of ``part`` of the selected genes, (m, n) and scaled, from (m, d) inputs."""
        if self.components is None or self.centre is None:
            return rows[:, part]
        return np.asarray(rows @ self.components[:, part] + self.centre[part], dtype=np.float32)

    def notes(self, params: TrainedParams) -> list[str]:
        """Where the section is too small for what was asked."""
        d = self.x.shape[1]
        if self.components is None or d >= params.n_pcs_in:
            return []
        return [f"Only {d} principal components, not {params.n_pcs_in}: few spots or genes."]


def normalised(section: Section, genes: NDArray[np.intp], params: TrainedParams) -> sp.csr_matrix:
    """(n_spots, n_selected) normalised values of ``genes``, library size over all genes."""
    counts = section.counts()
    totals = np.asarray(counts.sum(axis=1)).ravel()
    target = _TARGET if params.takes_log else _PUBLISHED_TARGET
    return log_normalise(counts[:, genes], totals, target=target, log=params.takes_log)


def check_size(section: Section) -> None:
    """Refuse sections of fewer spots than statistics can be taken over.

    Raises
    ------
    DataError
        With fewer than ten spots.
    """
    if section.n_spots < MIN_SPOTS:
        raise DataError(
            f"{section.where}: {section.n_spots} spots are too few to learn from",
            f"give a section with at least {MIN_SPOTS} spots under tissue",
        )


def prepare(
    section: Section, params: TrainedParams, *, batches: NDArray[np.intp] | None = None
) -> Steps[Prepared]:
    """Select genes, normalise, scale and project; counts stay sparse throughout.

    Genes are ranked within each of the ``batches`` where (n_spots,) codes of them are given.

    Raises
    ------
    DataError
        With fewer than ten spots or two usable genes, or without raw counts.
    """
    check_size(section)
    n = section.n_spots
    counts = section.counts()
    genes = select_genes(
        counts,
        n_top=params.n_hvg,
        min_cells=min_cells_for(n),
        where=section.where,
        batches=batches,
    )
    yield Progress(1, 3, "preparing", message=f"{len(genes)} genes selected.")
    # The published input is centred and scaled but not clipped; with log1p tails are cut.
    expression = Expression(normalised(section, genes, params), genes)
    expression = standardise(
        expression, clip=_CLIP if params.takes_log else None, scale=params.scale_genes
    )
    assert expression.sd is not None
    assert expression.ceiling is not None
    yield Progress(2, 3, "preparing", message="Projecting.")
    if not params.projects:
        x = densify(expression.matrix, what="the table of variable genes")
        return Prepared(x, genes, expression.sd, expression.ceiling, None, None)
    scores, pca = pca_scores(expression.matrix, params.n_pcs_in, seed=params.seed)
    yield Progress(3, 3, "preparing")
    return Prepared(scores, genes, expression.sd, expression.ceiling, *_loadings(pca))


def _loadings(pca: PCA) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    return pca.components_.astype(np.float32), np.asarray(pca.mean_, dtype=np.float32).ravel()


def gene_layer(
    blocks: Iterable[NDArray[np.float32]], genes: NDArray[np.intp], n_genes: int
) -> tuple[sp.csr_matrix, NDArray[np.bool_]]:
    """A layer over all genes from blocks of rows of the selected ones.

    Returns
    -------
    layer
        (n_spots, n_genes) CSR float32; columns of genes that were not selected are empty.
    selected
        (n_genes,) True for the genes that have values.
    """
    parts = []
    for rows in blocks:
        block = sp.coo_matrix(rows)
        shape = (block.shape[0], n_genes)
        parts.append(sp.csr_matrix((block.data, (block.row, genes[block.col])), shape))
    flag = np.zeros(n_genes, dtype=bool)
    flag[genes] = True
    return sp.vstack(parts, format="csr", dtype=np.float32), flag
