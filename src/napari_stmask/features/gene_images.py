"""Pictures of genes: expression drawn on a canvas, made comparable and free of dropout."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ..core.memory import densify
from ..core.progress import Progress, Steps
from ..core.section import Section
from .expression import log_normalise
from .gene_canvas import Canvas

__all__ = ["ImageMaker", "median_library", "picture_values"]

_ENTRIES = 4_000_000
"""Values that are drawn at once."""


@dataclass(frozen=True, eq=False)
class ImageMaker:
    """Turns columns of expression into pictures, always in the same way.

    Attributes
    ----------
    canvas
        Where spots lie.
    smoothing
        (n_occupied, n_occupied) mean over near elements, or None.
    standardise
        Bring every picture to mean 0 and variance 1 over the occupied elements before it is
        smoothed, so that patterns are compared and not abundance. Smoothing afterwards leaves
        genes without a pattern faint.
    """

    canvas: Canvas
    smoothing: sp.csr_matrix | None
    standardise: bool

    @classmethod
    def of(cls, canvas: Canvas, *, sigma: float, standardise: bool) -> ImageMaker:
        """A maker that smooths by ``sigma`` picture elements."""
        return cls(canvas, canvas.blur(sigma), standardise)

    @property
    def n_pixels(self) -> int:
        """Number of occupied elements."""
        return len(self.canvas.occupied)

    def draw(self, values: Any) -> NDArray[np.float32]:
        """Pictures of genes at the occupied elements.

        Parameters
        ----------
        values
            (n_spots, m) log-normalised expression, sparse or dense; not modified.

        Returns
        -------
        numpy.ndarray
            (m, n_occupied) float32, C-contiguous; 0 for a gene without variance.
        """
        pooled = self.canvas.pooling @ values
        drawn = densify(pooled, what="a block of gene pictures") if sp.issparse(pooled) else pooled
        drawn = np.asarray(drawn, dtype=np.float32)
        if self.standardise:
            drawn = drawn - drawn.mean(axis=0)
            sd = np.sqrt(np.square(drawn, dtype=np.float64).mean(axis=0)).astype(np.float32)
            drawn /= np.where(sd > 1e-6, sd, np.inf)
        if self.smoothing is not None:
            drawn = self.smoothing @ drawn
        return np.ascontiguousarray(drawn.T)

    def draw_steps(self, values: sp.csc_matrix) -> Steps[NDArray[np.float32]]:
        """`draw` for many genes, a block at a time; (n_genes, n_occupied) float32."""
        n = values.shape[1]
        out = np.empty((n, self.n_pixels), dtype=np.float32)
        width = max(1, _ENTRIES // max(self.n_pixels, values.shape[0]))
        for start in range(0, n, width):
            out[start : start + width] = self.draw(values[:, start : start + width])
            yield Progress(min(start + width, n), n, "drawing")
        return out


def picture_values(section: Section, genes: NDArray[np.intp]) -> sp.csc_matrix:
    """(n_spots, n_genes) float32 CSC: counts brought to the median library, ``log(1 + x)``.

    Library sizes are those over all genes of the section.
    """
    counts = section.counts()
    totals = np.asarray(counts.sum(axis=1)).ravel()
    return log_normalise(counts[:, genes], totals, target=median_library(totals)).tocsc()


def median_library(totals: NDArray[Any]) -> float:
    """Median of the (n_spots,) library sizes above 0; 1 where there are none."""
    seen = totals[totals > 0]
    return float(np.median(seen)) if seen.size else 1.0
