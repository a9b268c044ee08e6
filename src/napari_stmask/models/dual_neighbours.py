"""How many neighbours a section of dual-masking autoencoders can give a spot."""

from __future__ import annotations

from ..core.section import Section
from .dual_params import DualMaskParams
from .expression_input import Prepared, scaling_notes

__all__ = ["possible_neighbours", "small_section_notes"]


def possible_neighbours(section: Section, params: DualMaskParams) -> int:
    """Neighbours that are linked: those asked for, or half of the section at most.

    A spot that averages over everything is like every other.
    """
    return min(params.neighbours, max(1, (section.n_spots - 1) // 2))


def small_section_notes(section: Section, prepared: Prepared, params: DualMaskParams) -> list[str]:
    """Where the section is too small for what was asked."""
    notes = prepared.notes(params) + scaling_notes(section, prepared)
    if possible_neighbours(section, params) < params.neighbours:
        notes.append(f"Fewer than {params.neighbours} neighbours: the section is too small.")
    return notes
