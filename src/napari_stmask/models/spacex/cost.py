"""What a run of SpaCEX costs, before it starts."""

from __future__ import annotations

import math

from ...core.section import Section
from ..base import Estimate
from .params import SpaCEXParams

__all__ = ["estimate"]

_MAX_TOKENS = 256


def estimate(section: Section, params: SpaCEXParams) -> Estimate:
    """CPU seconds on one thread and bytes, from counts of operations and a measured speed.

    The canvas is not made for this: its elements are at most the spots and the largest side.
    """
    genes = min(params.n_genes, section.n_genes)
    pixels = min(section.n_spots, params.max_side**2)
    tokens = 80 if params.tile is None else min(_MAX_TOKENS * 4, pixels / params.tile**2 + 1)
    d = params.token_dim
    # Products of one block and token, and what every token costs beside them.
    block = 12 * d * d + 32 * tokens + 60 * d
    encode = tokens * 5 * block + 1024 * 700
    paint = 1024 * pixels
    epochs = max(params.epochs_pretrain, math.ceil(params.min_steps * params.batch / genes))
    learn = epochs * genes * 3 * (encode * (1 - params.mask_ratio) + paint)
    sharpen = params.epochs_cluster * genes * (7 * encode + 3 * paint)
    null = params.svg_draws * genes * encode
    seconds = 5 + (learn + sharpen + null) * 1.1e-10
    own = 4 * genes * pixels * (2 if params.head == "pictures" else 1)
    batch = 4 * max(params.batch, 256) * tokens * d * 60
    network = 16 * 1024 * pixels + 3e7
    nulls = 4 * params.svg_draws * genes * (params.embed_dim + params.n_linear)
    return Estimate(seconds, own + batch + network + nulls + 2e8)
