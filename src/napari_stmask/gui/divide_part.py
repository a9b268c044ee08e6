"""Other partitions of a finished run: divide domains or chosen spots, or another number."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFormLayout,
    QGridLayout,
    QLineEdit,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from ..core.errors import ParameterError
from ..core.result import Domains, Result
from ..recipes import command_of, python_of
from ..reclustering import divided_steps, recluster_steps, subcluster_steps
from .analyse.run_row import RunRow
from .analyse.work import StepWorker
from .export import snapshot
from .fields import NoWheel, make_button
from .genes.regions import as_column
from .guard import Failure, slot
from .model import TITLES, DomainSet, Item
from .parts import copy_text, narrow_combo
from .session import Session

__all__ = ["DividePart"]

_WHOLE, _DOMAINS, _SPOTS = "All spots", "Selected domains", "Chosen spots"
_COLUMN = "chosen_spots"
"""Column of ``obs`` that chosen spots are kept in, so that a script can name them."""
_CLUSTERINGS = {
    "": "As the run",
    "mixture": "Gaussian mixture",
    "kmeans": "k-means",
    "leiden": "Leiden",
}


class DividePart(QWidget):
    """Clusters the stored embedding again; nothing is trained.

    Parameters
    ----------
    session
        Whose selected result is divided.
    rows
        Gives the domains that are selected in the legend.
    """

    failed = Signal(object)

    def __init__(self, session: Session, rows: Callable[[], list[int]]) -> None:
        super().__init__()
        self.session, self._rows = session, rows
        self._asked: tuple[Item, DomainSet, Any, list[int]] | None = None
        self._worker = StepWorker(self, "Division of domains")
        self._worker.progressed.connect(self._on_progress)
        self._worker.done.connect(self._on_done)
        self._worker.failed.connect(self._on_failed)
        self._worker.ended.connect(self.refresh)
        self._build()
        session.spots_selected.connect(self.refresh)

    def _build(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        form = QFormLayout()
        form.setSpacing(6)
        self.of = narrow_combo(QComboBox())
        self.of.addItems([_WHOLE, _DOMAINS, _SPOTS])
        self.of.setToolTip("What is divided by the embedding of the run; nothing is trained.")
        self.of.currentIndexChanged.connect(self.refresh)
        self.count = QSpinBox()
        self.count.setRange(2, 100)
        self.count.setToolTip("Number of domains, or of parts.")
        self.auto = QCheckBox("Choose the most stable number")
        self.auto.setToolTip("Try 2 to 15 and take the number that other starts reproduce best.")
        self.auto.toggled.connect(self.refresh)
        self.clustering = narrow_combo(QComboBox())
        for name, title in _CLUSTERINGS.items():
            self.clustering.addItem(title, name)
        self.clustering.setToolTip("How the embedding is split.")
        self.key = QLineEdit()
        self.key.setPlaceholderText("chosen by itself")
        self.key.setToolTip("Name of the new result, first part of the columns that are written.")
        for title, field in (
            ("Divide", self.of), ("Number", self.count), ("", self.auto),
            ("Clustering", self.clustering), ("New name", self.key),
        ):  # fmt: skip
            field.setAccessibleName(title or field.text())
            form.addRow(title, field)
        self._still = NoWheel(self)
        for field in (self.of, self.count, self.clustering):
            field.installEventFilter(self._still)
        layout.addLayout(form)
        self.row = RunRow()
        self.run, self.cancel = self.row.run, self.row.cancel
        self.run.clicked.connect(self._on_run)
        self.cancel.clicked.connect(self._worker.cancel)
        layout.addWidget(self.row)
        grid = QGridLayout()
        self.split = make_button(
            "Split here", "Divide the selected domain in this result; Undo takes it back.",
            self._on_split,
        )  # fmt: skip
        self.python = make_button(
            "Copy as Python", "Script that makes the new result.", self._on_python
        )
        self.command = make_button(
            "Copy as command", "Commands that make the new result.", self._on_command
        )
        grid.addWidget(self.split, 0, 0, 1, 2)
        grid.addWidget(self.python, 1, 0)
        grid.addWidget(self.command, 1, 1)
        layout.addLayout(grid)
        self.refresh()

    @slot
    def refresh(self) -> None:
        """Enable what can be done, or say why not."""
        reason, busy = self._reason(), self._worker.busy
        self.row.allow("New result", reason, busy=busy)
        self.count.setEnabled(not self.auto.isChecked())
        one = self.of.currentText() == _DOMAINS and len(self._rows()) == 1
        self.split.setEnabled(not reason and not busy and one)
        for button in (self.python, self.command):
            button.setEnabled(not reason)

    def _reason(self) -> str:
        item, domains = self.session.selected, self.session.selected_domains
        if item is None or domains is None:
            return "Find domains first."
        if f"X_{domains.key}" not in item.section.adata.obsm or "method" not in domains.record:
            return "This result has no embedding: it was not found by a run."
        if self.of.currentText() == _DOMAINS and not self._rows():
            return "Select domains in the legend."
        if self.of.currentText() == _SPOTS and not item.chosen.size:
            return "Choose spots first: with the button Spots, or a lasso in Plots."
        return ""

    def _question(self) -> tuple[str, dict[str, Any]]:
        """The function of the package, and what it is called with, for the present form."""
        item, domains = self.session.selected, self.session.selected_domains
        if item is None or domains is None:
            raise ParameterError("There is nothing to divide", "find domains first")
        options: dict[str, Any] = {
            "n_domains": None if self.auto.isChecked() else self.count.value(),
            "clustering": self.clustering.currentData() or None,
            "key_added": self.key.text().strip() or None,
        }
        if self.of.currentText() == _WHOLE:
            return "recluster", options
        if self.of.currentText() == _DOMAINS:
            return "subcluster", {
                "within": [domains.state.names[r] for r in self._rows()],
                **options,
            }
        return "subcluster", {"within": ["chosen"], "column": _COLUMN, **options}

    @slot
    def _on_run(self) -> None:
        call, options = self._question()
        item, domains = self.session.selected, self.session.selected_domains
        assert item is not None
        assert domains is not None
        if options.get("column") == _COLUMN:
            self._keep_chosen(item)
        # Of a copy: what the stream writes reaches the section through the session.
        section = snapshot(item.section)
        if call == "recluster":
            make = partial(recluster_steps, section, domains.key, **options)
        else:
            make = partial(subcluster_steps, section, domains.key, **options)
        self._begin(item, domains, make)

    @slot
    def _on_split(self) -> None:
        item, domains = self.session.selected, self.session.selected_domains
        rows = self._rows()
        if item is None or domains is None or len(rows) != 1:
            return
        inside = np.flatnonzero(domains.state.codes == rows[0])
        number = None if self.auto.isChecked() else self.count.value()
        make = partial(
            divided_steps, snapshot(item.section), domains.key, inside, number,
            clustering=self.clustering.currentData() or None,
        )  # fmt: skip
        self._begin(item, domains, make)

    def _begin(self, item: Item, domains: DomainSet, make: Any) -> None:
        self._asked = (item, domains, domains.state, self._rows())
        self.row.begin()
        self._worker.start(make)
        self.refresh()

    def _keep_chosen(self, item: Item) -> None:
        codes = np.full(item.section.n_spots, -1)
        codes[item.chosen] = 0
        item.section.adata.obs[_COLUMN] = as_column(codes, ("chosen",))
        self.session.obs_written(item.id)

    @slot
    def _on_progress(self, progress: Any) -> None:
        self.row.progress("Dividing", progress)

    @slot
    def _on_done(self, found: Domains | Result) -> None:
        if self._asked is None:
            return
        item, domains, state, rows = self._asked
        self._asked = None
        self.row.say("")
        if item.id not in self.session.items:
            return
        if isinstance(found, Result):
            method = str(found.record["method"])
            self.session.add_result(item.id, found, TITLES.get(method, method))
            self.row.say(f"New result: {found.key}")
            return
        if self.session.selected_domains is not domains or domains.state is not state:
            self.row.strip.show_warning("The domains were edited meanwhile; nothing was split.")
            return
        parts: NDArray[np.intp] = np.full(len(state.codes), -1, dtype=np.intp)
        inside = state.codes == rows[0]
        # Spots that the run left out go with the largest part.
        parts[inside] = np.maximum(found.codes, 0)
        self.session.edit(state.split(rows[0], parts))

    @slot
    def _on_failed(self, failure: Failure) -> None:
        self._asked = None
        self.row.say("")
        self.row.strip.show_failure(failure)

    def show_failure(self, failure: Failure) -> None:
        """Show what went wrong."""
        self.failed.emit(failure)

    def _copied(self, write: Callable[..., str]) -> None:
        item, domains = self.session.selected, self.session.selected_domains
        if item is None or domains is None:
            return
        call, options = self._question()
        said = {k: v for k, v in options.items() if v is not None or k == "n_domains"}
        then = {"call": call, "key": domains.key, **said}
        # What was named, joined or chosen by hand is in the exported file only.
        numbers = tuple(str(i + 1) for i in range(len(domains.state.names)))
        by_hand = "column" in options or ("within" in options and domains.state.names != numbers)
        copy_text(write(item.section, domains.key, then=then, saved=by_hand))
        self.row.say(
            "On the clipboard; export the section as result.h5ad first." if by_hand
            else "On the clipboard."
        )  # fmt: skip

    @slot
    def _on_python(self) -> None:
        self._copied(python_of)

    @slot
    def _on_command(self) -> None:
        self._copied(command_of)
