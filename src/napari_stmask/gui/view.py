"""Show a section in napari, from a script or from napari's console."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from anndata import AnnData

from ..core.section import Section
from ..pipeline import as_section
from .session import session_of

if TYPE_CHECKING:
    import napari

__all__ = ["view"]


def view(
    section: Section | AnnData | str | Path, viewer: napari.Viewer | None = None
) -> napari.Viewer:
    """Show image, spots and all results that the section carries.

    Parameters
    ----------
    section
        Section, AnnData or path. Shown again, it is brought up to date, not added twice.
    viewer
        An open viewer; a new one by default.

    Returns
    -------
    napari.Viewer

    Raises
    ------
    StmaskError
        If the path cannot be read or the data are unusable.
    """
    known = None if viewer is None else _shown(viewer, section)
    found = known or as_section(section)
    if viewer is None:
        import napari

        viewer = napari.Viewer()
    session = session_of(viewer)
    session.add(found)
    return viewer


def _shown(viewer: napari.Viewer, data: object) -> Section | None:
    """The open section around an AnnData, so that the same object is not added twice."""
    for item in session_of(viewer).items.values():
        if item.section.adata is data:
            return item.section
    return None
