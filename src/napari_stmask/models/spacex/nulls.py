"""Random pictures of genes: what their vectors would be without a pattern on the tissue."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ...analysis.zinb_null import ZINB, column_moments, simulate, zinb_moments
from ...core.progress import Progress, Steps
from ...features.gene_images import ImageMaker
from .state import GeneModel

__all__ = ["Null", "null_vectors_steps", "random_values", "shuffled"]

Null = Literal["permutation", "zinb"]
_PHASE = "null pictures"
_BLOCK = 256
"""Genes that are drawn and encoded at once."""


def null_vectors_steps(
    model: GeneModel,
    maker: ImageMaker,
    values: sp.csc_matrix,
    *,
    draws: int,
    null: Null = "permutation",
    seed: int = 0,
) -> Steps[NDArray[np.float32]]:
    """Vectors of random pictures of the same genes.

    ``"permutation"`` gives each gene's own values to other spots, each gene by itself, which
    keeps what a gene looks like but for its place. ``"zinb"`` draws zero-inflated negative
    binomial counts with the moments of the normalised ones, as the paper does.

    Parameters
    ----------
    model, maker
        Encodes and draws.
    values
        (n_spots, n_genes) float32 log-normalised; not modified.
    draws
        Pictures of each gene.
    null
        Which law.
    seed
        Of the draws.

    Returns
    -------
    numpy.ndarray
        (draws, n_genes, width) float32.
    """
    n = values.shape[1]
    out = np.empty((draws, n, model.encoder.width), dtype=np.float32)
    for draw, part, made, done in random_values(values, draws, null, seed):
        out[draw, part] = model.encode(maker.draw(made))
        yield Progress(done, n * draws, _PHASE)
    return out


def random_values(
    values: sp.csc_matrix, draws: int, null: Null, seed: int
) -> Iterator[tuple[int, slice, sp.csc_matrix, int]]:
    """Every draw of every block of genes: number of the draw, genes, their random values, and
    how many pictures of all ``draws * n_genes`` there are with these.
    """
    rng = np.random.default_rng([seed, 7])
    n = values.shape[1]
    law = zinb_moments(*column_moments(_counts(values))) if null == "zinb" else None
    for start in range(0, n, _BLOCK):
        part = slice(start, min(start + _BLOCK, n))
        block = values[:, part]
        for draw in range(draws):
            made = shuffled(block, rng) if law is None else _simulated(law, part, block, rng)
            yield draw, part, made, start * draws + (draw + 1) * block.shape[1]


def shuffled(values: sp.csc_matrix, rng: np.random.Generator) -> sp.csc_matrix:
    """Each column's values at other rows, each column by itself; all permutations are equal."""
    n = values.shape[0]
    out = sp.csc_matrix(values, copy=True)
    for start, stop in zip(out.indptr[:-1], out.indptr[1:], strict=True):
        out.indices[start:stop] = rng.permutation(n)[: stop - start]
        rng.shuffle(out.data[start:stop])
    out.has_sorted_indices = False
    return out


def _counts(values: sp.csc_matrix) -> sp.csc_matrix:
    out = sp.csc_matrix(values, dtype=np.float64, copy=True)
    np.expm1(out.data, out=out.data)
    return out


def _simulated(
    law: ZINB, part: slice, block: sp.csc_matrix, rng: np.random.Generator
) -> sp.csc_matrix:
    own = ZINB(law.m[part], law.s[part], law.omega[part])
    drawn = simulate(own, block.shape[0], rng)
    np.log1p(drawn.data, out=drawn.data)
    return drawn.astype(np.float32)
