"""A transformer whose tokens are spots: what their patches say about expression.

After the vision transformer over spots of HisToGene (Pang, Su & Li, 2021), which ViMST takes
over; every part is trained here, and patches enter as they are.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["PATCH_PIXELS", "SpotTransformer"]

PATCH_PIXELS = 32
"""Side of the patches that it takes."""


class _Block(nn.Module):
    """Pre-norm attention between spots, then a two-layer perceptron for each of them."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(n, width) to (n, width)."""
        n, width = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(n, 3, self.heads, -1).permute(1, 2, 0, 3)
        # The scores of all pairs are never held: the kernel works on blocks of them.
        mixed = F.scaled_dot_product_attention(q[None], k[None], v[None])[0]
        x = x + self.out(mixed.transpose(0, 1).reshape(n, width))
        return x + self.mlp(self.norm2(x))  # type: ignore[no-any-return]


class SpotTransformer(nn.Module):
    """Patches of neighbouring spots in, predicted expression out.

    Parameters
    ----------
    n_outputs
        Numbers that are predicted for each spot.
    width, depth, heads
        Size of a token, number of blocks and of attention heads.
    seed
        Of the initial weights.
    """

    def __init__(
        self,
        n_outputs: int,
        *,
        width: int = 128,
        depth: int = 2,
        heads: int = 4,
        seed: int = 0,
    ) -> None:
        super().__init__()
        # Layers draw from torch's own generator, which is as it was afterwards.
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            self._build(n_outputs, width, depth, heads)

    def _build(self, n_outputs: int, width: int, depth: int, heads: int) -> None:
        steps: list[nn.Module] = []
        channels = 3
        for size in (16, 32, 64):
            steps += [nn.Conv2d(channels, size, 3, stride=2, padding=1), nn.GELU()]
            channels = size
        # The mean keeps what a patch is made of, the maximum what occurs in it at all.
        self.stem = nn.Sequential(*steps)
        self.embed = nn.Linear(2 * channels, width)
        self.blocks = nn.Sequential(*(_Block(width, heads) for _ in range(depth)))
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, n_outputs))

    def forward(self, patches: Tensor) -> Tensor:
        """(n, n_outputs) from (n, 3, 32, 32) standardised patches of one group of spots."""
        maps = self.stem(patches)
        pooled = torch.cat([maps.mean(dim=(2, 3)), maps.amax(dim=(2, 3))], dim=1)
        return self.head(self.blocks(self.embed(pooled)))  # type: ignore[no-any-return]
