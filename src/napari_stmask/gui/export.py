"""Write a section, its domains or a figure; no Qt, runs in a worker."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np

from ..core.errors import ParameterError
from ..core.section import Section, shallow_copy
from .formats import is_figure
from .model import DomainState

__all__ = ["export", "shown_only", "snapshot"]


def export(
    section: Section, state: DomainState | None, path: str | Path, column: str | None = None
) -> Path:
    """Write by suffix: a figure of the domains, or what `io.write.write` writes.

    Parameters
    ----------
    section
        With the shown state of its domains in ``obs``.
    state
        The domains of a figure, or None where there are none.
    path
        File or folder to write.
    column
        Column of ``obs`` with the domains that are shown.

    Raises
    ------
    ParameterError
        If there are no domains to draw or to write, or every one is hidden in a figure.
    OutputError
        If the suffix is unknown, the path cannot be written, an original would be lost or a
        package is not installed.
    """
    path = Path(path)
    if is_figure(path):
        from ..io.originals import check_originals
        from ..viz.figure import save_domains_figure

        if state is None:
            raise ParameterError("There are no domains to draw", "find domains first")
        check_originals(section, path)
        state = shown_only(state)
        return save_domains_figure(section, state.codes, state.names, state.colors, path)
    from ..io.write import write, writer_of

    # Other formats hold every column.
    taken = column if "column" in writer_of(path).options else None
    return write(section, path, column=taken)


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
