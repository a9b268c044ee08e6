"""Write a section, its table or a figure; no Qt, runs in a worker."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np

from ..core.errors import ParameterError
from ..core.section import Section, shallow_copy
from .model import DomainState

__all__ = ["export", "shown_only", "snapshot"]

FIGURES = (".png", ".pdf", ".svg", ".tif", ".tiff", ".jpg", ".jpeg")


def export(section: Section, state: DomainState, path: str | Path) -> Path:
    """Write by suffix: ``.h5ad`` and ``.csv`` the section, else a figure of the domains.

    Raises
    ------
    ParameterError
        If a figure is asked for and every domain is hidden.
    OutputError
        If the suffix is unknown or the path cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() in FIGURES:
        from ..viz.figure import save_domains_figure

        state = shown_only(state)
        return save_domains_figure(section, state.codes, state.names, state.colors, path)
    from ..io.write import write

    return write(section, path)


def shown_only(state: DomainState) -> DomainState:
    """Without the hidden domains; their spots are unassigned."""
    keep = [i for i, shown in enumerate(state.shown) if shown]
    if not keep:
        raise ParameterError("Every domain is hidden", "show one at least, then export the figure")
    # The last entry is hit by the code -1.
    table = np.full(len(state.names) + 1, -1, dtype=np.intp)
    table[keep] = np.arange(len(keep))
    names, colors = [state.names[i] for i in keep], [state.colors[i] for i in keep]
    return DomainState.of(table[state.codes], names, colors)


def snapshot(section: Section) -> Section:
    """The section as it is now, over the same arrays: later edits do not reach it."""
    taken = copy.copy(section)
    taken.adata = shallow_copy(section.adata)
    return taken
