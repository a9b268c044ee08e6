"""The card of a method: what it does and where it was published."""

from __future__ import annotations

import html
from typing import Any

from qtpy.QtCore import QUrl
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QFrame, QPushButton, QVBoxLayout

from ..models import params_of
from .guard import slot
from .parts import plain_label

__all__ = ["SUMMARIES", "MethodCard"]

SUMMARIES = {
    "spamask": "Domains from expression and position by hiding spots and links.",
    "vimst": "Domains and denoised genes from expression and histology together.",
    "mmsrl": "Domains and enhanced genes; alike spots inform each other anywhere.",
    "spacex": "Gene modules, spatial genes and domains from pictures of genes.",
}
"""What methods do, known without importing them; else their parameters' description is shown."""


class MethodCard(QFrame):
    """Title, purpose and paper of the chosen method."""

    def __init__(self) -> None:
        super().__init__()
        self._doi = ""
        self.setFrameShape(QFrame.Shape.StyledPanel)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(8, 6, 8, 6)
        self.about = plain_label()
        self.link = QPushButton("Paper")
        self.link.setAccessibleName("Open the paper in a browser")
        self.link.clicked.connect(self._on_link)
        layout.addWidget(self.about)
        layout.addWidget(self.link)

    def show_method(self, name: str, facts: dict[str, Any] | None) -> None:
        """Show a method; ``facts`` are known once a worker has imported it."""
        self._doi = str(facts["doi"]) if facts is not None else ""
        self.link.setVisible(bool(self._doi))
        if facts is None:
            plain = str(params_of(name).__doc__ or "").split("\n", 1)[0]
            self.about.setText(SUMMARIES.get(name, plain))
            return
        text = f"{facts['title']}: {facts['summary']}"
        # Without an address the reference would be nowhere else to be read.
        self.about.setText(text if self._doi else "\n".join([text, facts["reference"]]).strip())
        self.link.setText(f"Paper: doi.org/{self._doi}")
        self.link.setToolTip(f"<qt>{html.escape(facts['reference'])}</qt>")

    @slot
    def _on_link(self) -> None:
        QDesktopServices.openUrl(QUrl(f"https://doi.org/{self._doi}"))
