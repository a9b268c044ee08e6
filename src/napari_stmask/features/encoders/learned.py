"""An encoder with weights: prepares patches, sizes batches, pools tokens."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ...core.errors import FileFormatError, ResourceError
from ...core.memory import available_bytes
from ...io.guard import guarded
from .base import EncoderCard, Triple
from .known import Pooling

__all__ = ["LARGEST_BATCH", "Forward", "Learned", "pooled"]

Float = NDArray[np.float32]
Forward = Callable[[Float], Float]
"""From (n, 3, height, width) normalised patches to (n, dim), (n, tokens, dim) or
(n, dim, rows, columns); raises MemoryError where a batch is too large."""

LARGEST_BATCH = 64
"""Patches that go through the network together, at most."""
_PATCH_BYTES = 64 * 1024**2
"""Working memory that one patch of 224 pixels may need in the largest networks."""


class Learned:
    """A `PatchEncoder` whose weights are loaded when the first patch is encoded.

    Parameters
    ----------
    card
        What is known of it.
    ident
        Its `id`: names the content of the weights.
    load
        Loads the weights and returns the network.
    where
        File or folder of the weights, for messages.
    pooling, prefix
        How tokens become one vector, see `pooled`.
    """

    def __init__(
        self,
        card: EncoderCard,
        ident: str,
        load: Callable[[], Forward],
        where: str,
        *,
        pooling: Pooling = "pooled",
        prefix: int = 1,
    ) -> None:
        self.card, self.id = card, ident
        self._load, self._where = load, where
        self._pooling, self._prefix = pooling, prefix
        self._batch = LARGEST_BATCH

    @property
    def input_px(self) -> int:
        """Side of the network's input in pixels."""
        return self.card.input_px or 224

    @property
    def um_per_px(self) -> float | None:
        """Micrometres per pixel that it was trained at, or None."""
        return self.card.um_per_px

    @property
    def mean(self) -> Triple:
        """Mean of colours that is subtracted."""
        return self.card.mean

    @property
    def std(self) -> Triple:
        """Standard deviation that colours are divided by."""
        return self.card.std

    @property
    def licence(self) -> str:
        """Licence as its publisher states it."""
        return self.card.licence

    @property
    def gated(self) -> bool:
        """Whether only registered users get the weights."""
        return self.card.gated

    @cached_property
    def _forward(self) -> Forward:
        with guarded(self._where, "an encoder of patches", "give another encoder"):
            return self._load()

    @cached_property
    def dim(self) -> int:
        """Length of a vector; tried out on one patch."""
        blank = np.full((1, self.input_px, self.input_px, 3), 200, np.uint8)
        return int(self._run(blank).shape[1])

    def encode(self, patches: NDArray[np.uint8]) -> Float:
        """(n, dim) float32 from (n, height, width, 3) uint8 patches of any size.

        Raises
        ------
        FileFormatError
            If the weights cannot be loaded or do not take patches.
        ResourceError
            If a package is missing, or not even one patch fits into memory.
        """
        if not len(patches):
            return np.empty((0, self.dim), dtype=np.float32)
        share = _PATCH_BYTES * (self.input_px / 224) ** 2
        fits = max(1, int(available_bytes() / 4 / share))
        found, start = [], 0
        while start < len(patches):
            size = min(self._batch, fits, len(patches) - start)
            try:
                found.append(self._run(patches[start : start + size]))
            except MemoryError as error:
                if size == 1:
                    raise ResourceError(
                        f"{self._where}: there is not enough memory for one patch",
                        "use device='cpu' or a smaller encoder",
                    ) from error
                self._batch = size // 2
                continue
            start += size
        return np.concatenate(found)

    def _run(self, patches: NDArray[np.uint8]) -> Float:
        forward = self._forward
        prepared = self._prepared(patches)
        try:
            with guarded(self._where, "an encoder of patches", "give another encoder"):
                return pooled(forward(prepared), len(patches), self._pooling, self._prefix)
        except ResourceError as error:
            if isinstance(error.__cause__, MemoryError):
                raise MemoryError from error
            raise

    def _prepared(self, patches: NDArray[np.uint8]) -> Float:
        """(n, 3, input_px, input_px) float32, normalised."""
        side = self.input_px
        if patches.shape[1:3] != (side, side):
            small = [
                np.asarray(Image.fromarray(patch).resize((side, side), Image.Resampling.BILINEAR))
                for patch in patches
            ]
            patches = np.stack(small)
        mean, std = (
            np.array(values, np.float32)[:, None, None] for values in (self.mean, self.std)
        )
        planes = np.moveaxis(patches, 3, 1).astype(np.float32)
        planes *= 1 / (255 * std)
        planes -= mean / std
        return planes


def pooled(output: Any, n: int, pooling: Pooling = "pooled", prefix: int = 1) -> Float:
    """One vector for each patch.

    Parameters
    ----------
    output
        (n, dim), (n, tokens, dim) or (n, dim, rows, columns).
    n
        Number of patches that went in.
    pooling
        For tokens: the first one (``"cls"``, ``"pooled"``), or the first one followed by the
        mean of the patch tokens (``"cls+mean"``). Maps are averaged.
    prefix
        Tokens before the first patch token.

    Raises
    ------
    FileFormatError
        If the shape is another one, or there are values that are not finite.
    """
    found = np.asarray(output, dtype=np.float32)
    if found.ndim == 4:
        found = found.mean(axis=(2, 3))
    elif found.ndim == 3:
        first = found[:, 0]
        if pooling == "cls+mean" and found.shape[1] > prefix:
            first = np.concatenate([first, found[:, prefix:].mean(axis=1)], axis=1)
        found = first
    if found.ndim != 2 or len(found) != n or not found.shape[1]:
        raise FileFormatError(
            f"the encoder made an answer of shape {np.shape(output)} from {n} patches",
            "give a network that turns each patch into a vector",
        )
    if not np.isfinite(found).all():
        raise FileFormatError(
            "the encoder made values that are not finite", "check its weights and normalisation"
        )
    return found
