"""Write a section, its table or a figure; no Qt, runs in a worker."""

from __future__ import annotations

from pathlib import Path

from ..core.section import Section
from .model import DomainState

__all__ = ["export"]

FIGURES = (".png", ".pdf", ".svg", ".tif", ".tiff", ".jpg", ".jpeg")


def export(section: Section, state: DomainState, path: str | Path) -> Path:
    """Write by suffix: ``.h5ad`` and ``.csv`` the section, else a figure of the domains.

    Raises
    ------
    OutputError
        If the suffix is unknown or the path cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() in FIGURES:
        from ..viz.figure import save_domains_figure

        return save_domains_figure(section, state.codes, state.names, state.colors, path)
    from ..io.write import write

    return write(section, path)
