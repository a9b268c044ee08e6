"""What napari's menus and command palette call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import napari

__all__ = ["open_dock", "redo", "save_desk", "undo"]

PLUGIN = "napari-stmask"
DOCKS = {
    "Open tissue": ("open_tissue", "OpenTissue"),
    "Find domains": ("find_domains", "FindDomains"),
    "Domains": ("legend", "DomainsDock"),
    "Analyse": ("analyse.dock", "AnalyseDock"),
    "Explore genes": ("explore.dock", "ExploreDock"),
    "Predict genes": ("predict.dock", "PredictDock"),
    "Gene modules": ("genes.dock", "GenesDock"),
    "Integrate sections": ("integrate.dock", "IntegrateDock"),
    "Plots": ("plots.dock", "PlotsDock"),
    "Compare": ("compare.dock", "CompareDock"),
    "Annotate": ("annotate.dock", "AnnotateDock"),
    "Jobs": ("jobs", "JobsDock"),
}


def open_dock(viewer: napari.viewer.Viewer, name: str) -> Any:
    """Open a dock of this package, or bring the open one to the front; returns its page."""
    title = f"{name} ({PLUGIN})"
    present = viewer.window.dock_widgets
    for known in (title, name):
        if known in present:
            page = present[known]
            _raise(page)
            return page
    # As a tab beside our other docks: three pages on top of each other would be cut short.
    tabify = any(f"{other} ({PLUGIN})" in present or other in present for other in DOCKS)
    try:
        _, page = viewer.window.add_plugin_dock_widget(PLUGIN, name, tabify=tabify)
    except (KeyError, ValueError):
        # A checkout that is not installed: napari does not know the manifest.
        page = _make(name)(viewer)
        viewer.window.add_dock_widget(page, name=name, area="right", tabify=tabify)
    _raise(page)
    return page


def save_desk(viewer: napari.viewer.Viewer) -> None:
    """Ask where to keep the selected section with its results and its desk."""
    page = open_dock(viewer, "Domains")
    if page.save.isEnabled():
        page.save.click()


def undo(viewer: napari.viewer.Viewer) -> None:
    """Take the last edit of the selected domains back."""
    from .session import session_of

    session_of(viewer).undo()


def redo(viewer: napari.viewer.Viewer) -> None:
    """Make the edit of the domains again that was taken back last."""
    from .session import session_of

    session_of(viewer).redo()


def _make(name: str) -> Any:
    from importlib import import_module

    module, attribute = DOCKS[name]
    return getattr(import_module(f".{module}", __package__), attribute)


def _raise(page: Any) -> None:
    dock = page.parent()
    while dock is not None and not hasattr(dock, "toggleViewAction"):
        dock = dock.parent()
    if dock is not None:
        dock.show()
        dock.raise_()
