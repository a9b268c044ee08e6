"""The masked autoencoder over pictures of genes: Module I of SpaCEX (SIGEL).

Li et al., Genome Biology 26, 287 (2025). A transformer of five blocks and width 16 to 64 reads
the tiles of one gene that are not hidden; their mean has to be enough to draw the hidden ones.
Two things are computed otherwise than in the release, with the same result: attention is fused,
and as the release averages over all tokens before it decodes, tokens are never put back in order.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..features.gene_tiles import Tiles
from .layers import linear

__all__ = [
    "Architecture",
    "GeneAutoencoder",
    "GeneEncoder",
    "kept_tokens",
    "position_table",
    "squared_error",
]

Head = Literal["pictures", "none", "mlp"]
_HEADS = 4
_HEAD_WIDTH = 4
_HEAD_HIDDEN = 32
_TRUNK = 1024


@dataclass(frozen=True)
class Architecture:
    """Widths of the network.

    Attributes
    ----------
    token_dim
        Width of a token.
    embed_dim
        Width of the network's part of a gene vector where it has a head.
    depth
        Blocks of the encoder.
    expansion
        Hidden width of a block's second half, in token widths.
    head
        What the network's part is. ``"pictures"``: principal components of the picture that the
        decoder draws, so that distances are those of pictures freed of noise; ``"none"``: the
        pooled tokens; ``"mlp"``: the release's projection of them, which nothing but the
        clustering trains.
    n_linear
        Width of a fixed projection of the picture itself beside the network's part; 0 is the
        published network.
    positions
        ``"sincos"``: tokens start with their place on the tissue; ``"zero"``: as released.
    """

    token_dim: int = 32
    embed_dim: int = 8
    depth: int = 5
    expansion: int = 5
    head: Head = "pictures"
    n_linear: int = 8
    positions: Literal["sincos", "zero"] = "sincos"


def position_table(tiles: Tiles, width: int) -> Tensor:
    """(n_tokens, width) sines and cosines of the row and the column of each tile.

    Vaswani et al. (2017), equation of section 3.5, half of the width for each direction. The
    table of a grid of any shape; the release's assumed a square and was never used.
    """
    quarter = -(-width // 4)
    rate = torch.tensor(10000.0) ** (-torch.arange(quarter) / max(quarter, 1))
    parts = []
    for place in (tiles.row, tiles.column):
        angle = torch.from_numpy(np.ascontiguousarray(place)).float()[:, None] * rate
        parts += [angle.sin(), angle.cos()]
    return torch.cat(parts, dim=1)[:, :width]


def kept_tokens(n: int, n_tokens: int, hidden: float, generator: torch.Generator) -> Tensor:
    """(n, k) int64 tokens of each picture that stay visible, ``k = floor((1 - hidden) tokens)``.

    At least one stays and at least one is hidden.
    """
    k = min(max(1, math.floor((1 - hidden) * n_tokens + 1e-9)), max(1, n_tokens - 1))
    draws = torch.rand((n, n_tokens), generator=generator)
    return draws.argsort(dim=1)[:, :k]


class Block(nn.Module):
    """Attention and a perceptron over tokens, both behind one layer norm as released."""

    def __init__(self, width: int, expansion: int, generator: torch.Generator) -> None:
        super().__init__()
        inner = _HEADS * _HEAD_WIDTH
        self.norm = nn.LayerNorm(width)
        self.qkv = _xavier(width, 3 * inner, generator)
        self.out = _xavier(inner, width, generator)
        self.up = _xavier(width, expansion * width, generator)
        self.down = _xavier(expansion * width, width, generator)

    def forward(self, t: Tensor) -> Tensor:
        n, length, _ = t.shape
        qkv = self.qkv(self.norm(t)).view(n, length, 3, _HEADS, _HEAD_WIDTH)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(query, key, value)
        t = t + self.out(mixed.transpose(1, 2).reshape(n, length, -1))
        return cast("Tensor", t + self.down(F.gelu(self.up(self.norm(t)))))


class GeneEncoder(nn.Module):
    """From a picture of a gene to its vector.

    Parameters
    ----------
    tiles
        How pictures are cut.
    architecture
        Widths.
    generator
        Of the initial weights.
    """

    slot: Tensor
    token: Tensor
    loudness: Tensor
    readout: Tensor
    readout_offset: Tensor
    projection: Tensor
    projection_offset: Tensor
    network_scale: Tensor

    def __init__(
        self, tiles: Tiles, architecture: Architecture, generator: torch.Generator
    ) -> None:
        super().__init__()
        a, area, n_pixels = architecture, tiles.side**2, len(tiles.slot)
        self.architecture, self.area, self.n_tokens = a, area, tiles.n_tokens
        self.register_buffer("slot", torch.from_numpy(tiles.slot), persistent=False)
        self.register_buffer("token", torch.from_numpy(tiles.token), persistent=False)
        # A tile at the border of the tissue is as loud as a whole one.
        filled = torch.from_numpy(tiles.filled.astype(np.float32))
        self.register_buffer("loudness", (area / filled)[:, None], persistent=False)
        self.patch = _xavier(area, a.token_dim, generator)
        start = position_table(tiles, a.token_dim)
        self.positions = nn.Parameter(start if a.positions == "sincos" else torch.zeros_like(start))
        self.blocks = nn.ModuleList(
            Block(a.token_dim, a.expansion, generator) for _ in range(a.depth)
        )
        self.pool = nn.Parameter(torch.full((tiles.n_tokens,), 1.0 / tiles.n_tokens))
        self.trunk = _Trunk(a.token_dim, generator)
        self.head = _head(a, generator) if a.head == "mlp" else None
        k = a.embed_dim if a.head == "pictures" else 0
        for name, width in (("readout", _TRUNK), ("projection", n_pixels)):
            rows = k if name == "readout" else a.n_linear
            self.register_buffer(name, torch.zeros(rows, width))
            self.register_buffer(f"{name}_offset", torch.zeros(rows))
        self.register_buffer("network_scale", torch.ones(()))

    @property
    def network_width(self) -> int:
        """Width of the network's part of a vector."""
        a = self.architecture
        return a.token_dim if a.head == "none" else a.embed_dim

    @property
    def width(self) -> int:
        """Width of a gene vector."""
        return self.network_width + self.architecture.n_linear

    def tokens(self, pictures: Tensor) -> Tensor:
        """(n, n_tokens, token_dim) from (n, n_occupied) pictures, before any block."""
        n = len(pictures)
        flat = pictures.new_zeros((n, self.n_tokens * self.area))
        flat[:, self.slot] = pictures
        tiles = flat.view(n, self.n_tokens, self.area) * self.loudness
        return cast("Tensor", self.patch(tiles)) + self.positions

    def transform(self, tokens: Tensor) -> Tensor:
        """(n, k, token_dim) after all blocks."""
        for block in self.blocks:
            tokens = block(tokens)
        return tokens

    def pooled(self, pictures: Tensor) -> Tensor:
        """(n, token_dim) weighted mean over the tokens of whole pictures."""
        share = self.pool / self.pool.sum()
        return torch.einsum("l,nld->nd", share, self.transform(self.tokens(pictures)))

    def forward(self, pictures: Tensor) -> Tensor:
        """(n, width) gene vectors of whole (n, n_occupied) pictures."""
        said = self.pooled(pictures)
        if self.head is not None:
            said = self.head(said)
        elif self.architecture.head == "pictures":
            said = self.trunk(said) @ self.readout.T + self.readout_offset
        said = said * self.network_scale
        if not self.architecture.n_linear:
            return said
        return torch.cat([said, pictures @ self.projection.T + self.projection_offset], dim=1)


class GeneAutoencoder(nn.Module):
    """The encoder and the decoder that trains it; parameters as of `GeneEncoder`."""

    def __init__(
        self, tiles: Tiles, architecture: Architecture, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.encoder = GeneEncoder(tiles, architecture, generator)
        width = architecture.token_dim
        self.hidden_token = nn.Parameter(0.02 * torch.randn(width, generator=generator))
        self.paint = _xavier(_TRUNK, len(tiles.slot), generator)

    def forward(self, pictures: Tensor, kept: Tensor) -> tuple[Tensor, Tensor]:
        """Draw pictures from their ``kept`` (n, k) tokens.

        The decoder sees the mean over all tokens, ``(sum visible + (L - k) m) / L`` with ``m``
        the learned token of what is hidden.

        Returns
        -------
        drawn
            (n, n_occupied).
        hidden
            (n, n_occupied) bool: elements of hidden tokens.
        """
        net = self.encoder
        t = net.tokens(pictures)
        visible = net.transform(t.gather(1, kept[:, :, None].expand(-1, -1, t.shape[2])))
        missing = net.n_tokens - kept.shape[1]
        g = (visible.sum(dim=1) + missing * self.hidden_token) / net.n_tokens
        seen = torch.zeros((len(pictures), net.n_tokens), dtype=torch.bool, device=t.device)
        seen.scatter_(1, kept, value=True)
        return self.paint(net.trunk(g)), ~seen[:, net.token]

    def drawn(self, pictures: Tensor) -> Tensor:
        """(n, n_occupied) whole pictures as the decoder draws them, freed of noise."""
        return cast("Tensor", self.paint(self.encoder.trunk(self.encoder.pooled(pictures))))

    def read_out(self, components: Tensor, offset: Tensor) -> None:
        """Let the head say ``components @ drawn + offset`` without drawing.

        Parameters
        ----------
        components
            (embed_dim, n_occupied).
        offset
            (embed_dim,).
        """
        with torch.no_grad():
            self.encoder.readout.copy_(components @ self.paint.weight)
            self.encoder.readout_offset.copy_(offset + components @ self.paint.bias)


def squared_error(pictures: Tensor, drawn: Tensor, counted: Tensor) -> Tensor:
    """Mean squared error over the (n, n_occupied) elements that are ``counted``."""
    return ((drawn - pictures).square() * counted).sum() / counted.sum()


class _Trunk(nn.Module):
    """The decoder up to its last layer."""

    def __init__(self, width: int, generator: torch.Generator) -> None:
        super().__init__()
        self.deep = nn.Sequential()
        for a, b in ((width, 128), (128, 256)):
            self.deep.extend([_xavier(a, b, generator), nn.LayerNorm(b), nn.LeakyReLU()])
        self.deep.append(_xavier(256, 512, generator))
        self.shortcut = _xavier(width, 512, generator)
        self.last = nn.Sequential(
            _xavier(512, _TRUNK, generator), nn.LayerNorm(_TRUNK), nn.LeakyReLU()
        )

    def forward(self, g: Tensor) -> Tensor:
        return cast("Tensor", self.last(self.deep(g) + self.shortcut(g)))


def _head(a: Architecture, generator: torch.Generator) -> nn.Sequential:
    return nn.Sequential(
        linear(a.token_dim, _HEAD_HIDDEN, generator, random_bias=True),
        nn.LayerNorm(_HEAD_HIDDEN),
        nn.LeakyReLU(),
        linear(_HEAD_HIDDEN, a.embed_dim, generator, random_bias=True),
    )


def _xavier(d_in: int, d_out: int, generator: torch.Generator) -> nn.Linear:
    layer = linear(d_in, d_out, generator)
    bound = math.sqrt(6 / (d_in + d_out))
    with torch.no_grad():
        layer.weight.uniform_(-bound, bound, generator=generator)
    return layer
