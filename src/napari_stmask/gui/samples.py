"""File > Open Sample."""

from __future__ import annotations

from .layer_tuples import LayerTuple
from .reader import section_to_layers

__all__ = ["layered_tissue"]


def layered_tissue() -> list[LayerTuple]:
    """Image and spots of the generated section."""
    from ..io.sample import sample_section

    return section_to_layers(sample_section())
