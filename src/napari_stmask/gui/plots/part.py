"""What every plot of the dock shares."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

from ..analyse.exporting import ExportRow
from ..export import snapshot
from ..guard import Failure, slot
from ..model import DomainSet, Item
from ..parts import plain_label
from ..session import Session

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

__all__ = ["PlotPart"]


class PlotPart(QWidget):
    """A page of the dock; ``failed(Failure)`` and ``said(str)`` reach its strip and its line."""

    TITLE = ""
    failed = Signal(object)
    said = Signal(str)

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self.item: Item | None = None
        self.domains: DomainSet | None = None
        self.body = QVBoxLayout(self)
        self.body.setContentsMargins(0, 0, 0, 0)
        self.body.setSpacing(6)
        self.none = plain_label()
        self.body.addWidget(self.none)
        self.build()
        self.export = ExportRow()
        self.export.failed.connect(self.show_failure)
        self.export.written.connect(self._on_written)
        self.body.addWidget(self.export)

    def build(self) -> None:
        """Fill ``body``."""
        raise NotImplementedError

    def follow(self, item: Item | None, domains: DomainSet | None) -> None:
        """Show the plot of a result, or why there is none."""
        raise NotImplementedError

    def left(self) -> None:
        """The dock goes away."""

    def table(self, taken: Any) -> pd.DataFrame:
        """What *Export CSV* writes; called in a worker with what `taken` gave."""
        raise NotImplementedError

    def figure(self, taken: Any) -> Figure:
        """What *Export figure* draws; called in a worker with what `taken` gave."""
        raise NotImplementedError

    def offer(self, taken: Any) -> None:
        """Let ``taken`` be exported, nothing where it is None."""
        item, domains = self.item, self.domains
        if taken is None or item is None:
            self.export.offer(None, None)
            return
        name = f"{item.section.name}_{domains.key if domains else ''}_{self.TITLE}".lower()
        make = (partial(self.table, taken), partial(self.figure, taken))
        self.export.offer(make, snapshot(item.section), name.replace("/", "_").replace(" ", "_"))

    def explain(self, text: str) -> None:
        """Say why nothing is shown; nothing for an empty text."""
        self.none.setText(text)
        self.none.setVisible(bool(text))
        self.export.setVisible(not text)

    def show_failure(self, failure: Failure) -> None:
        """Show what went wrong in the strip of the dock."""
        self.failed.emit(failure)

    @slot
    def _on_written(self, path: object) -> None:
        self.said.emit(f"Written: {path}")
