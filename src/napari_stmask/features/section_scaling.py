"""Standardising genes within each of several sections, sparse throughout."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.linalg import LinearOperator, svds

from .expression import Expression, peak_signs, standardise

__all__ = ["pca_within", "standardise_within"]

Float = NDArray[np.float32]
Codes = NDArray[np.integer[Any]]


def standardise_within(
    matrix: sp.csr_matrix, codes: Codes, *, clip: float | None = 10.0, scale: bool = True
) -> tuple[sp.csr_matrix, Float, Float, Float]:
    """Divide each gene by its standard deviation within each section.

    What makes the levels of a gene differ between sections, in mean or in spread, is taken off:
    the batch correction of SpaMask (Min, Fang et al., 2025), whose sections are z-scored one by
    one. It is right where sections hold the same tissue in about the same shares.

    Parameters
    ----------
    matrix
        (n_spots, n_genes) CSR, normalised.
    codes
        (n_spots,) section of each spot, from 0.
    clip, scale
        As of `standardise`.

    Returns
    -------
    matrix
        (n_spots, n_genes) CSR float32, scaled, not centred.
    sd, ceiling, mean
        (n_sections, n_genes) float32 divisors, largest values kept, and means of the scaled
        values; 1, infinite and 0 for a section without spots.
    """
    n, genes = int(codes.max()) + 1, matrix.shape[1]
    sd = np.ones((n, genes), dtype=np.float32)
    ceiling = np.full((n, genes), np.inf, dtype=np.float32)
    mean = np.zeros((n, genes), dtype=np.float32)
    parts, order = [], []
    for code in np.unique(codes):
        rows = np.flatnonzero(codes == code)
        own = standardise(Expression(matrix[rows], np.arange(genes)), clip=clip, scale=scale)
        assert own.sd is not None
        assert own.ceiling is not None
        sd[code], ceiling[code] = own.sd, own.ceiling
        mean[code] = np.asarray(own.matrix.mean(axis=0)).ravel()
        parts.append(own.matrix)
        order.append(rows)
    back = np.argsort(np.concatenate(order), kind="stable")
    return sp.vstack(parts, format="csr")[back], sd, ceiling, mean


def pca_within(
    matrix: sp.csr_matrix, codes: Codes, mean: Float, n_comps: int, *, seed: int
) -> tuple[Float, Float]:
    """Joint principal components of values centred within each section; nothing is densified.

    Parameters
    ----------
    matrix
        (n_spots, n_genes) CSR.
    codes
        (n_spots,) section of each spot.
    mean
        (n_sections, n_genes) taken off the spots of each section.
    n_comps
        Components wanted; lowered to ``min(n_spots, n_genes) - 1`` where there are fewer.
    seed
        Start vector of the iterative solver.

    Returns
    -------
    scores
        (n_spots, n_comps) float32; the largest loading of each component is positive.
    components
        (n_comps, n_genes) float32.
    """
    n_comps = max(1, min(n_comps, min(matrix.shape) - 1))
    centre = mean.astype(np.float64)
    member = sp.csr_matrix(
        (np.ones(len(codes)), (np.arange(len(codes)), codes)), shape=(len(codes), len(centre))
    )

    def forward(v: NDArray[Any]) -> NDArray[Any]:
        return np.asarray(matrix @ v - member @ (centre @ v))

    def backward(u: NDArray[Any]) -> NDArray[Any]:
        return np.asarray(matrix.T @ u - centre.T @ (member.T @ u))

    centred = LinearOperator(
        matrix.shape, matvec=forward, rmatvec=backward, matmat=forward, dtype=np.float64
    )
    start = np.random.default_rng(seed).standard_normal(min(matrix.shape))
    _, strength, components = svds(centred, k=n_comps, v0=start)
    components = components[np.argsort(-strength, kind="stable")]
    components = components * peak_signs(components)[:, None]
    return forward(components.T).astype(np.float32), components.astype(np.float32)
