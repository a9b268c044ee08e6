"""Small pieces that all docks share: page, failure strip, section chooser, dialogs' parent."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping

from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QGuiApplication, QIcon, QShowEvent
from qtpy.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QDockWidget,
    QFrame,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QTableView,
    QVBoxLayout,
    QWidget,
)
from superqt import QCollapsible

from .guard import Failure, slot
from .session import Session

__all__ = [
    "Fold",
    "MessageStrip",
    "Page",
    "SectionCombo",
    "color_key",
    "copy_text",
    "dock_of",
    "lay_out_rows",
    "narrow_combo",
    "plain_label",
    "plain_tip",
]

PLUGIN = "napari-stmask"
_UNLIMITED = (1 << 24) - 1
"""Qt's largest height of a widget."""


def plain_label(text: str = "") -> QLabel:
    """A label that wraps and never takes file content for markup."""
    label = QLabel(text)
    label.setTextFormat(Qt.TextFormat.PlainText)
    label.setWordWrap(True)
    # Long paths must not widen the dock.
    policy = QSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
    policy.setHeightForWidth(True)
    label.setSizePolicy(policy)
    label.setMinimumWidth(120)
    return label


def plain_tip(text: str) -> str:
    """A tooltip that shows names from files as they are, not as markup."""
    return f"<qt>{html.escape(text)}</qt>" if "<" in text else text


def color_key(names: Iterable[str], colors: Iterable[str], most: int | None = None) -> str:
    """Markup of names, each beside a square of its colour; those beyond ``most`` are counted.

    Names are shown as they are, and none is parted from its square.
    """
    entries = [
        f'<span style="color:{color}">\u25a0</span>&nbsp;{html.escape(name).replace(" ", "&nbsp;")}'
        for name, color in zip(names, colors, strict=False)
    ]
    more = len(entries[most:]) if most is not None else 0
    return " &nbsp; ".join(entries[:most]) + (f" and {more} more" if more else "")


def lay_out_rows(table: QTableView, widths: Mapping[int, int], height: int) -> None:
    """Have whole rows selected, without a grid or titles of rows.

    Parameters
    ----------
    table
        It has its model.
    widths
        Column -> its width in pixels; one of width 0 takes what is left.
    height
        Of a row, in pixels.
    """
    table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
    table.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    table.setShowGrid(False)
    table.verticalHeader().hide()
    table.verticalHeader().setDefaultSectionSize(height)
    header = table.horizontalHeader()
    header.setMinimumSectionSize(30)
    for column, width in widths.items():
        how = QHeaderView.ResizeMode.Fixed if width else QHeaderView.ResizeMode.Stretch
        header.setSectionResizeMode(column, how)
        if width:
            header.resizeSection(column, width)


class _Scroll(QScrollArea):
    """Scrolls vertically, and is never narrower than what it shows."""

    def minimumSizeHint(self) -> QSize:
        """Wide enough for the page beside the scroll bar."""
        page = self.widget()
        width = page.minimumSizeHint().width() if page is not None else 0
        return QSize(max(300, width + self.verticalScrollBar().sizeHint().width()), 160)

    def sizeHint(self) -> QSize:
        """A usual dock."""
        return QSize(max(340, self.minimumSizeHint().width()), 600)


class _Inner(QWidget):
    """As high as its content at the present width: wrapped labels alone would ask for the
    height that they have where they are narrowest, and leave the rest of the page empty.
    """

    def minimumSizeHint(self) -> QSize:
        """Width of the content, and its height at the width that there is."""
        found = super().minimumSizeHint()
        place, layout = self.parentWidget(), self.layout()
        if place is None or layout is None or not layout.hasHeightForWidth():
            return found
        width = max(place.width(), found.width())
        return QSize(found.width(), layout.totalHeightForWidth(width))


class Page(QWidget):
    """A dock's page: scrolls vertically only."""

    def __init__(self) -> None:
        super().__init__()
        self.setMinimumWidth(320)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        self.scroller = _Scroll()
        self.scroller.setWidgetResizable(True)
        self.scroller.setFrameShape(QFrame.Shape.NoFrame)
        self.scroller.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        outer.addWidget(self.scroller)
        inner = _Inner()
        self.body = QVBoxLayout(inner)
        self.body.setContentsMargins(8, 8, 8, 8)
        self.body.setSpacing(8)
        self.scroller.setWidget(inner)

    def showEvent(self, event: QShowEvent) -> None:
        """Shorten the dock's title, so that the tabs of several docks can be read."""
        super().showEvent(event)
        dock = dock_of(self)
        if dock is not None:
            dock.setWindowTitle(dock.windowTitle().removesuffix(f" ({PLUGIN})"))


class Fold(QCollapsible):
    """A folded part, with an arrow in the colour of the text."""

    def __init__(self, title: str, content: QWidget) -> None:
        super().__init__("", expandedIcon=QIcon(), collapsedIcon=QIcon())
        self._title = title
        # Folding sets the height of the content, which must not have a fixed one of its own.
        holder = QWidget()
        layout = QVBoxLayout(holder)
        layout.setContentsMargins(0, 4, 0, 0)
        layout.addWidget(content)
        self.setContent(holder)
        self.layout().setContentsMargins(0, 0, 0, 0)
        self.toggled.connect(self._on_toggled)
        self._animation.finished.connect(self._on_unfolded)
        self.collapse(animate=False)
        self._on_toggled()

    def expand(self, animate: bool = True) -> None:
        """Unfold; shown first, because only what is shown knows its height."""
        self.content().show()
        super().expand(animate)
        if not animate:
            self._on_unfolded()

    @slot
    def _on_unfolded(self) -> None:
        # What is unfolded may grow later: a text gets longer, a button appears.
        if self.isExpanded():
            self.content().setMaximumHeight(_UNLIMITED)

    @slot
    def _on_toggled(self) -> None:
        arrow = "\u25be" if self.isExpanded() else "\u25b8"
        self.setText(f"{arrow}  {self._title}")
        # Without height the content would still be reached with Tab.
        self.content().setVisible(self.isExpanded())


class MessageStrip(QFrame):
    """One sentence about what went wrong or needs attention, with details to copy."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._details = ""
        layout = QHBoxLayout(self)
        layout.setContentsMargins(8, 6, 6, 6)
        self.text = plain_label()
        self.text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.copy = QPushButton("Copy details")
        self.copy.setToolTip("Put the full report on the clipboard.")
        self.copy.clicked.connect(self._on_copy)
        layout.addWidget(self.text, 1)
        layout.addWidget(self.copy, 0, Qt.AlignmentFlag.AlignTop)
        self.hide()

    def show_failure(self, failure: Failure) -> None:
        """Show an error."""
        self._details = failure.details
        self._show("\u2716 " + failure.text, "#c0392b", details=True)

    def show_warning(self, text: str) -> None:
        """Show a warning."""
        self._show("\u26a0 " + text, "#d68910", details=False)

    def clear(self) -> None:
        """Show nothing."""
        self.text.clear()
        self.hide()

    def _show(self, text: str, color: str, *, details: bool) -> None:
        self.setStyleSheet(f"MessageStrip {{ border: 1px solid {color}; border-radius: 4px; }}")
        self.text.setText(text)
        self.text.setAccessibleName(text)
        self.copy.setVisible(details)
        self.show()

    @slot
    def _on_copy(self) -> None:
        copy_text(f"{self.text.text()}\n\n{self._details}")


def dock_of(widget: QWidget) -> QDockWidget | None:
    """The dock that a widget lies in."""
    found: QWidget | None = widget
    while found is not None and not isinstance(found, QDockWidget):
        found = found.parentWidget()
    return found


def narrow_combo(combo: QComboBox) -> QComboBox:
    """Let a combo box be narrower than its longest entry."""
    combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    combo.setMinimumContentsLength(6)
    combo.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    return combo


def copy_text(text: str) -> None:
    """Put ``text`` on the clipboard."""
    QGuiApplication.clipboard().setText(text)


class SectionCombo(QComboBox):
    """Chooses the section that all docks are about."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self.setAccessibleName("Section")
        self.setToolTip("Section that the docks are about.")
        narrow_combo(self)
        session.section_added.connect(self._refill)
        session.section_selected.connect(self._refill)
        self.activated.connect(self._on_activated)
        self._refill()

    @slot
    def _refill(self) -> None:
        self.blockSignals(True)
        self.clear()
        for item in self._session.items.values():
            self.addItem(item.label, item.id)
        self.setCurrentIndex(self.findData(self._session.selected_id))
        self.blockSignals(False)
        self.setEnabled(self.count() > 0)

    @slot
    def _on_activated(self) -> None:
        section_id = self.currentData()
        if section_id is not None:
            self._session.select(section_id)
