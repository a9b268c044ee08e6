"""From a section to the input of the network, and the way back to genes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

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
from ..features.section_scaling import pca_within, standardise_within
from .trained_params import TrainedParams

__all__ = [
    "MIN_SPOTS",
    "Prepared",
    "check_size",
    "corrected",
    "gene_layer",
    "normalised",
    "prepare",
    "scaling_notes",
    "standardised_within",
]

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
    codes
        (n_spots,) section of each spot, where genes were standardised within each: ``scale``,
        ``ceiling`` and ``centre``, which is never None then, are (n_sections, n_selected).
    """

    x: NDArray[np.float32]
    genes: NDArray[np.intp]
    scale: NDArray[np.float32]
    ceiling: NDArray[np.float32]
    components: NDArray[np.float32] | None
    centre: NDArray[np.float32] | None
    codes: NDArray[np.int64] | None = None

    def to_genes(
        self, rows: NDArray[np.float32], spots: slice = slice(None)
    ) -> NDArray[np.float32]:
        """Values of the selected genes, (m, n_selected) >= 0, from (m, d) of ``spots``."""
        scale = self.scale if self.codes is None else self.scale[self.codes[spots]]
        return np.asarray(np.maximum(self.to_scaled(rows, spots=spots) * scale, 0), np.float32)

    def to_scaled(
        self,
        rows: NDArray[np.float32],
        part: slice = slice(None),
        *,
        spots: slice = slice(None),
    ) -> NDArray[np.float32]:
        """Values of ``part`` of the selected genes, (m, n) and scaled, from (m, d) of ``spots``."""
        values = rows[:, part] if self.components is None else rows @ self.components[:, part]
        if self.centre is None:
            return values
        centre = self.centre[..., part]
        centre = centre if self.codes is None else centre[self.codes[spots]]
        return np.asarray(values + centre, dtype=np.float32)

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
    section: Section, params: TrainedParams, *, rank_within: bool = False
) -> Steps[Prepared]:
    """Select genes, normalise, scale and project; counts stay sparse throughout.

    Of integrated sections, and with ``rank_within`` of those only joined too, genes are ranked
    within each and their median rank counts. Where the settings say so, genes are standardised
    within each, and components corrected by Harmony.

    Raises
    ------
    DataError
        With fewer than ten spots or two usable genes, or without raw counts.
    ResourceError
        If Harmony is asked for and not installed.
    """
    check_size(section)
    joint, n = section.joint, section.n_spots
    within = joint is not None and (rank_within or joint.settings is not None)
    genes = select_genes(
        section.counts(),
        n_top=params.n_hvg,
        min_cells=min_cells_for(n),
        where=section.where,
        batches=joint.codes if joint is not None and within else None,
    )
    yield Progress(1, 3, "preparing", message=f"{len(genes)} genes selected.")
    values = normalised(section, genes, params)
    if joint is not None and joint.per_section:
        yield Progress(2, 3, "preparing", message="Projecting.")
        prepared = standardised_within(values, genes, joint.codes, params)
    else:
        prepared = yield from _prepare(values, genes, params)
    yield Progress(3, 3, "preparing")
    return corrected(prepared, section, params)


def corrected(prepared: Prepared, section: Section, params: TrainedParams) -> Prepared:
    """The input after Harmony, where the settings of a joined section ask for it."""
    joint = section.joint
    if joint is None or joint.settings is None or joint.settings.correction != "harmony_input":
        return prepared
    from ..features.harmony import harmonise

    return replace(prepared, x=harmonise(prepared.x, joint.codes, seed=params.seed))


def _prepare(
    values: sp.csr_matrix, genes: NDArray[np.intp], params: TrainedParams
) -> Steps[Prepared]:
    # The published input is centred and scaled but not clipped; with log1p tails are cut.
    expression = standardise(
        Expression(values, genes), clip=_clip(params), scale=params.scale_genes
    )
    assert expression.sd is not None
    assert expression.ceiling is not None
    yield Progress(2, 3, "preparing", message="Projecting.")
    moments = genes, expression.sd, expression.ceiling
    if not params.projects:
        x = densify(expression.matrix, what="the table of variable genes")
        return Prepared(x, *moments, None, None)
    scores, pca = pca_scores(expression.matrix, params.n_pcs_in, seed=params.seed)
    return Prepared(scores, *moments, *_loadings(pca))


def standardised_within(
    values: sp.csr_matrix,
    genes: NDArray[np.intp],
    codes: NDArray[np.int64],
    params: TrainedParams,
    components: NDArray[np.float32] | None = None,
) -> Prepared:
    """Input whose genes are standardised within each section and projected together.

    Parameters
    ----------
    values
        (n_spots, n_selected) normalised.
    genes
        (n_selected,) their positions.
    codes
        (n_spots,) section of each spot.
    params
        Of the training.
    components
        (d, n_selected) to project on; None finds them.
    """
    matrix, sd, ceiling, mean = standardise_within(
        values, codes, clip=_clip(params), scale=params.scale_genes
    )
    if not params.projects:
        # Only what the sections differ in is taken off, so that genes stay on their scale.
        share = np.bincount(codes, minlength=len(mean)) / len(codes)
        centre = (mean - share @ mean).astype(np.float32)
        x = densify(matrix, what="the table of variable genes") - centre[codes]
        return Prepared(x, genes, sd, ceiling, None, centre, codes)
    if components is None:
        x, components = pca_within(matrix, codes, mean, params.n_pcs_in, seed=params.seed)
    else:
        x = np.asarray(matrix @ components.T - (mean @ components.T)[codes], dtype=np.float32)
    return Prepared(x, genes, sd, ceiling, components, mean, codes)


def scaling_notes(section: Section, prepared: Prepared) -> list[str]:
    """Where a saved model standardises joined sections otherwise than their settings say."""
    joint, within = section.joint, prepared.codes is not None
    if joint is None or joint.settings is None or joint.per_section == within:
        return []
    how = "within each section" if within else "over all sections"
    return [f"Genes are standardised {how}, as the saved model was trained."]


def _clip(params: TrainedParams) -> float | None:
    return _CLIP if params.takes_log else None


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
