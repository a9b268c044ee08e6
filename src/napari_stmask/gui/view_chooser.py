"""Which partition of a run is drawn: the joint one, or what a part of the input says alone."""

from __future__ import annotations

from qtpy.QtWidgets import QButtonGroup, QHBoxLayout, QPushButton, QWidget

from . import layers
from .guard import slot
from .model import VIEW_TITLES, DomainSet
from .session import Session

__all__ = ["ViewChooser", "show_view"]

_TIPS = {
    "": "Domains from expression and image together; these are edited and exported.",
    "gene": "Domains from expression alone, in the colours of those that they overlap.",
    "image": "Domains from the image alone, in the colours of those that they overlap.",
}


class ViewChooser(QWidget):
    """A row of buttons, of which one is down."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self._group = QButtonGroup(self)
        self.buttons: dict[str, QPushButton] = {}
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        for view, title in VIEW_TITLES.items():
            button = QPushButton(title)
            button.setCheckable(True)
            button.setMinimumWidth(40)
            button.setAccessibleName(f"Show: {title}")
            button.setToolTip(_TIPS[view])
            self._group.addButton(button)
            self.buttons[view] = button
            layout.addWidget(button, 1)
        self._group.buttonClicked.connect(self._on_click)

    def tab_stops(self) -> list[QWidget]:
        """Widgets in the order in which Tab should reach them."""
        return list(self.buttons.values())

    def refresh(self, domains: DomainSet | None) -> bool:
        """Show what is drawn; whether there is anything to choose from."""
        views = domains.views if domains is not None else {}
        for view, button in self.buttons.items():
            button.setVisible(not view or view in views)
        if domains is not None:
            self.buttons[domains.view if domains.view in views else ""].setChecked(True)
        return bool(views)

    @slot
    def _on_click(self) -> None:
        chosen = next(view for view, button in self.buttons.items() if button.isChecked())
        show_view(self._session, chosen)


def show_view(session: Session, view: str) -> None:
    """Draw a view of the selected result, or its domains; a deleted layer comes back."""
    item, domains = session.selected, session.selected_domains
    if item is None or domains is None or view == domains.view:
        return
    domains.view = view
    if session.viewer is not None:
        layers.show_domains(session.viewer, item, domains)
    session.domains_changed.emit(item.id, domains.key)
