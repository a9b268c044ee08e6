"""Show a section in napari, from a script or from napari's console."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from anndata import AnnData

from ..core.errors import OutputError, ParameterError
from ..core.section import Section
from ..io.write import write
from ..pipeline import as_section
from .keeping import with_desk
from .session import session_of

if TYPE_CHECKING:
    import napari

__all__ = ["save_desk", "view"]


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


def save_desk(viewer: napari.Viewer, path: str | Path) -> Path:
    """Write the selected section of a viewer with its results and its desk.

    The desk are the layers of the section with their looks and order, what was drawn over it,
    names, colours and visibility of its domains, chosen spots and gene. `view`, *Open tissue* and
    dropping the file on napari put it up again.

    Parameters
    ----------
    viewer
        With a section that this package shows.
    path
        ``.h5ad`` or ``.anndata.zarr``; appears complete or not at all.

    Returns
    -------
    Path
        ``path``.

    Raises
    ------
    ParameterError
        If the viewer shows no section.
    OutputError
        If the path cannot be written, or its format cannot hold a desk.
    """
    item = session_of(viewer).selected
    if item is None:
        raise ParameterError("The viewer shows no section", "open one first, for example by view")
    if not str(path).lower().endswith((".h5ad", ".anndata.zarr")):
        raise OutputError(f"{path} cannot hold a desk", "give the suffix .h5ad or .anndata.zarr")
    return write(with_desk(session_of(viewer).viewer, item), path)


def _shown(viewer: napari.Viewer, data: object) -> Section | None:
    """The open section around an AnnData, so that the same object is not added twice."""
    for item in session_of(viewer).items.values():
        if item.section.adata is data:
            return item.section
    return None
