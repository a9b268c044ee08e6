"""Tables of an integration: shares of domains, scores of mixing, agreement with an annotation."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pandas as pd
from qtpy.QtCore import QSignalBlocker
from qtpy.QtWidgets import QComboBox, QFormLayout, QVBoxLayout, QWidget

from ...viz.palette import UNASSIGNED_COLOUR
from ...viz.plots import composition_figure
from ..analyse.charts import BarChart, titled
from ..analyse.exporting import ExportRow
from ..analyse.table import Column, FrameTable
from ..guard import Failure, slot
from ..parts import narrow_combo, plain_label
from .known import Known, Look

__all__ = ["CompositionPart", "ScoresPart", "TruthPart"]

_SHORT = {
    "expression as measured": "Measured",
    "input": "Input",
    "neighbour mean within sections": "Within",
    "neighbour mean with links across": "Across",
}
"""Names of the controls that fit into the table."""
_SCORES = (
    Column("short", "Embedding", width=0, tip="Controls first, the method last."),
    Column(
        "iLISI", "iLISI", ".2f", width=38,
        tip="How many sections are around a spot, 1 to their number. It counts only above the row "
        "'Across' (neighbour mean with links across): links mix whatever is averaged.",
    ),
    Column("cLISI", "cLISI", ".2f", width=38,
           tip="How many domains are around a spot; 1 is apart, lower is better."),
    Column("F1-LISI", "F1", ".2f", width=38,
           tip="F1-LISI, 0 to 1: sections mixed and domains apart at once."),
    Column("batch ASW", "ASW", ".2f", width=38,
           tip="Batch ASW, 0 to 1: 1 where sections cannot be told apart within a domain."),
    Column("kBET", "kBET", ".2f", width=38,
           tip="Share of spots around which sections are mixed as they are over all, 0 to 1."),
    Column("biology kept", "Kept", ".2f", width=38,
           tip="Biology kept, 0 to 1: what of the expression can still be told. To be held against "
           "the row 'Within' (neighbour mean within sections)."),
)  # fmt: skip
_SAID = (
    "Mixing counts only above 'Across' (neighbour mean with links across), what is kept "
    "against 'Within' (neighbour mean within sections)."
)
_TRUTH = (
    Column("section", "Section", width=0),
    Column("ARI", "ARI", ".3f", width=56, tip="Adjusted Rand index; 1 is the same partition."),
    Column("NMI", "NMI", ".3f", width=56, tip="Normalised mutual information, 0 to 1."),
    Column("spots", "Spots", ",d", width=60, tip="Spots that have both labels."),
)


class _Tables(QWidget):
    """A part of the answer with its export row."""

    def __init__(self, fail: Callable[[Failure], None], say: Callable[[str], None]) -> None:
        super().__init__()
        self._fail, self._say = fail, say
        self.known: Known | None = None
        self.body = QVBoxLayout(self)
        self.body.setContentsMargins(0, 0, 0, 0)
        self.body.setSpacing(6)

    def add_export(self, *, figures: bool) -> ExportRow:
        """Place the buttons that write the table."""
        row = ExportRow(figures=figures)
        row.failed.connect(self.show_failure)
        row.written.connect(self._on_written)
        self.body.addWidget(row)
        return row

    def show_failure(self, failure: Failure) -> None:
        """Show what went wrong in the strip of the dock."""
        self._fail(failure)

    @slot
    def _on_written(self, path: object) -> None:
        self._say(f"Written: {path}")


class CompositionPart(_Tables):
    """Share of each domain in each section, as bars and numbers."""

    def __init__(self, fail: Callable[[Failure], None], say: Callable[[str], None]) -> None:
        super().__init__(fail, say)
        self.body.addWidget(titled("Share of each domain in each section"))
        self.bars = BarChart("Shares of the domains, one bar a section")
        self.body.addWidget(self.bars)
        self._look: Look | None = None
        self.place = QVBoxLayout()
        self.body.addLayout(self.place)
        self.table: FrameTable | None = None
        self.export = self.add_export(figures=True)

    def show_known(self, known: Known, look: Look) -> None:
        """Another integration, or other names and colours of its domains."""
        if known is self.known and look == self._look:
            return
        self.known, self._look = known, look
        shown = dict(zip(known.names, zip(*look, strict=True), strict=True))
        shares = known.composition
        pairs = [shown.get(name, (name, UNASSIGNED_COLOUR)) for name in map(str, shares.columns)]
        names, used = [name for name, _ in pairs], [color for _, color in pairs]
        labels = [str(name) for name in shares.index]
        self.bars.show_shares(shares.to_numpy(), labels, names, used, "share of the spots")
        if self.table is not None:
            self.table.setParent(None)
            self.table.deleteLater()
        # Beside the name there is a square of its colour; the rest is for the sections.
        widest = max(map(self.fontMetrics().horizontalAdvance, names), default=0)
        columns = [Column("domain", "Domain", width=min(max(64, widest + 40), 160))]
        columns += [Column(name, name, ".1%", width=0, tip=name) for name in labels]
        self.table = FrameTable(columns, "Share of each domain in each section")
        self.place.addWidget(self.table)
        frame = shares.T.rename_axis("domain").reset_index()
        frame.columns = pd.Index(["domain", *labels])
        frame["domain"] = names
        self.table.show_frame(frame, dict(pairs))
        figure = partial(
            composition_figure, shares.to_numpy(), labels, names, used,
            label="Share of the spots", rows_label="Section",
        )  # fmt: skip
        self.export.offer((lambda: frame, figure), known.any_section, f"{known.key}_composition")


class ScoresPart(_Tables):
    """Scores of the method beside those of the controls."""

    def __init__(self, fail: Callable[[Failure], None], say: Callable[[str], None]) -> None:
        super().__init__(fail, say)
        self.body.addWidget(titled("How the sections mix, and what is kept"))
        self.table = FrameTable(_SCORES, "Scores of the integration")
        self.body.addWidget(self.table)
        self.body.addWidget(plain_label(_SAID))
        self.export = self.add_export(figures=False)

    def show_known(self, known: Known) -> None:
        """Another integration."""
        if known is not self.known:
            self.known = known
            frame = known.table.rename_axis("numbers").reset_index()
            frame.insert(0, "short", [_SHORT.get(n, n) for n in frame["numbers"]])
            self.table.show_frame(frame)
            table = frame.drop(columns="short")
            self.export.offer((lambda: table,), known.any_section, f"{known.key}_integration")
        self.setVisible(len(known.table) > 0)


class TruthPart(_Tables):
    """Agreement with a column that all sections have."""

    def __init__(self, fail: Callable[[Failure], None], say: Callable[[str], None]) -> None:
        super().__init__(fail, say)
        self.body.addWidget(titled("Agreement with an annotation"))
        self.choice = narrow_combo(QComboBox())
        self.choice.setAccessibleName("Annotation")
        self.choice.setToolTip("A column of classes that all sections have.")
        self.choice.currentIndexChanged.connect(self._on_choice)
        form = QFormLayout()
        form.addRow("Annotation", self.choice)
        self.body.addLayout(form)
        self.table = FrameTable(_TRUTH, "Agreement with the annotation")
        self.body.addWidget(self.table)
        self.export = self.add_export(figures=False)

    def show_known(self, known: Known) -> None:
        """Another integration."""
        if known is not self.known:
            self.known = known
            with QSignalBlocker(self.choice):
                self.choice.clear()
                self.choice.addItems(list(known.truths))
            self._on_choice()
        self.setVisible(bool(known.truths))

    @slot
    def _on_choice(self) -> None:
        known, name = self.known, self.choice.currentText()
        if known is None or name not in known.truths:
            self.export.offer(None, None)
            return
        frame = known.truths[name].reset_index()
        self.table.show_frame(frame)
        self.export.offer((lambda: frame,), known.any_section, f"{known.key}_{name}")
