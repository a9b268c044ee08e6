"""Another reading of an open section: what may be lost is asked about first."""

from __future__ import annotations

from qtpy.QtWidgets import QMessageBox, QWidget

from ..core.section import Section
from .loading import Loaded
from .model import Item
from .session import Session

__all__ = ["BESIDE", "REPLACE", "ask_about_results", "put_in_place"]

REPLACE, BESIDE = "replace", "beside"


def ask_about_results(parent: QWidget, item: Item) -> str | None:
    """Whether a new reading takes the section's place or lies beside it; None to leave it.

    Asks only where results would leave with the section.
    """
    if not item.domains:
        return REPLACE
    names = ", ".join(item.domains)
    box = QMessageBox(parent)
    box.setIcon(QMessageBox.Icon.Question)
    box.setWindowTitle("Read again")
    box.setText(f"'{item.label}' has results ({names}) that do not fit another reading.")
    box.setInformativeText("Replacing the section drops them; opened beside it, both stay.")
    roles = QMessageBox.ButtonRole
    beside = box.addButton("Open beside", roles.AcceptRole)
    replace = box.addButton("Replace", roles.DestructiveRole)
    box.addButton(QMessageBox.StandardButton.Cancel)
    box.setDefaultButton(beside)
    box.exec()
    if box.clickedButton() is beside:
        return BESIDE
    return REPLACE if box.clickedButton() is replace else None


def put_in_place(
    session: Session, loaded: Loaded, section_id: str, results: frozenset[str]
) -> None:
    """Put what was read in the place of a section, or beside it where something would be lost.

    Parameters
    ----------
    session
        Of the viewer.
    loaded
        What was read; of several sections the one of the same name is taken.
    section_id
        Section to replace.
    results
        Results that the user agreed to lose: one that has come since keeps its section.
    """
    item = session.items.get(section_id)
    known = item is not None and set(item.domains) <= results
    for section, raster in loaded:
        fits = len(loaded) == 1 or (item is not None and section.name == item.section.name)
        if item is not None and known and fits and not session.is_running(section_id):
            by_hand = _keep_image(item, section)
            session.replace(section_id, section, raster).by_hand = by_hand
            return
    for section, raster in loaded:
        session.add(section, raster=raster)


def _keep_image(item: Item, section: Section) -> bool:
    """Keep an image that was placed in the viewer, which no file could bring back; if it was."""
    if item.by_hand:
        section.image = item.section.image
        section.notes = [*section.notes, "The image is the one that was there before."]
    return item.by_hand
