"""Expected time and memory of a run of MMSRL."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...core.section import Section
from ..base import Estimate
from ..image_input import encoding_cost
from .params import MMSRLParams
from .training import DECODER_WIDTH

__all__ = ["estimate"]

_PRODUCTS = 6e10
_EXPONENTIALS = 2.5e8
_NUMBERS = 4e9
"""What one core does in a second: operations of products, exponentials, numbers moved."""
_BUFFERS = 1.5e8
"""Bytes that the libraries hold whatever the section."""


def estimate(sections: Sequence[Section], params: MMSRLParams, *, with_image: bool) -> Estimate:
    """CPU seconds on one thread and bytes on top of the sections."""
    n = sum(s.n_spots for s in sections)
    nnz = sum(s.counts().nnz for s in sections)
    form = _reference if params.mode == "reference" else _corrected
    genes = min(params.n_hvg, min(s.n_genes for s in sections)) if sections else params.n_hvg
    epoch, peak, finish = form(n, genes, params, 1 + with_image)
    seconds = 5 + n / 2000 + params.replicates * (params.epochs * epoch + n * 8e-4)
    layer = 0.0
    if params.denoise:
        seconds += params.replicates * finish
        layer = 24.0 * n * genes
    extra, held = encoding_cost(sections, params) if with_image else (0.0, 0.0)
    return Estimate(seconds + extra, _BUFFERS + peak + 16.0 * nnz + layer + held)


def _around(params: MMSRLParams) -> float:
    """Spots within reach of a spot."""
    return float(np.pi * (params.kernel_width * params.kernel_cut) ** 2)


def _corrected(
    n: int, genes: int, params: MMSRLParams, branches: int
) -> tuple[float, float, float]:
    """Seconds an epoch, bytes, and seconds of the decoder's own training."""
    around, width = _around(params), params.latent
    keys = params.keys(n)
    attention = 14.0 * n * keys * width / _PRODUCTS + n * keys / (2 * _EXPONENTIALS)
    encoder = 12.0 * n * (params.n_pcs_in * params.hidden + params.hidden * width) / _PRODUCTS
    sparse = 2 * n * around * params.n_pcs_in / _NUMBERS
    decoder = min(n, params.decoded_spots) * genes * (18 * DECODER_WIDTH / _PRODUCTS + 6e-8)
    epoch = branches * (attention + encoder + sparse) + decoder + 3e-3
    peak = 4.0 * n * branches * (10 * params.hidden + 20 * width + 3 * params.n_pcs_in)
    peak += 16.0 * n * around + 60.0 * min(n, params.decoded_spots) * genes
    finish = params.decoder_epochs * decoder * max(1, n / params.decoded_spots)
    return epoch, peak, finish


def _reference(
    n: int, genes: int, params: MMSRLParams, branches: int
) -> tuple[float, float, float]:
    """Seconds an epoch, and bytes; the decoder has no training of its own."""
    hidden = min(params.hidden, genes)
    # Products of a forward pass: encoders, shared layer, its join, four layers of the decoder,
    # and the Gram matrices of the consistency; the gradient costs twice as much again.
    wide = branches * (2 * genes * hidden + 2 * genes**2) + 4 * genes**2
    if branches > 1:
        wide += 3 * min(n, genes) * genes
    # Attention takes two products of all pairs, the regularisation one; rows come twice.
    pairs = (2 * branches + 1) * n * genes
    epoch = n * (6.0 * wide + 8.0 * pairs) / _PRODUCTS
    epoch += (branches + 1) * n * n / _EXPONENTIALS * 2 + n * genes * 6e-8
    numbers = (30.0 + 6 * branches) * n * genes
    weights = 4.0 * (2 * branches * genes * hidden + (5 + branches) * genes**2)
    blocks = 8.0 * 1024 * n + 8.0 * n * _around(params)
    # Weights, their gradient and Adam's two moments.
    return epoch, 4.0 * (numbers + weights + blocks), 0.0
