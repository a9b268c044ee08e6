"""Expected cost of training dual-masking autoencoders, before any work is done."""

from __future__ import annotations

from collections.abc import Sequence

from ..core.section import Section
from .base import Estimate
from .dual_params import DualMaskParams

__all__ = ["input_width", "training_estimate"]


def input_width(params: DualMaskParams) -> int:
    """Numbers per spot that the expression branch sees."""
    return params.n_pcs_in if params.features == "pca" else params.n_hvg


def training_estimate(
    sections: Sequence[Section], params: DualMaskParams, widths: Sequence[int]
) -> Estimate:
    """CPU seconds on one thread and bytes on top of the section, for branches of ``widths``."""
    n = sum(s.n_spots for s in sections)
    h, width = params.hidden, params.latent
    pairs = min(params.scored_pairs, n * params.neighbours * params.edge_mask_rate)
    epoch, peak = 12 * pairs * width**2 / 6e10 + 1.5e-3, 24.0 * n * params.neighbours
    batch = min(n, 2 * params.tile_spots)
    for d in widths:
        flops = 6 * n * (2 * (d * h + h * width) + width * (width + d))
        traffic = n * params.neighbours * (h + 3 * d + 2 * width)
        # Rates of one core: products 60 GFLOP/s, sparse traffic 4 G numbers/s.
        epoch += flops / 6e10 + traffic / 4e9
        peak += 4 * (batch * (6 * h + 8 * width + 6 * d) + 3 * n * d)
    seconds = 5 + n / 2000 + params.replicates * (params.epochs * epoch + n * 4e-4)
    nnz = sum(s.counts().nnz for s in sections)
    # The layer is built in blocks and then joined, so it is there about three times.
    layer = 24 * n * params.n_hvg if params.denoise else 0
    return Estimate(seconds, peak + 12 * nnz + layer)
