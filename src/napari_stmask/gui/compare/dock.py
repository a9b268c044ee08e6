"""The dock *Compare*: how far two labelings of a section agree, and where they do not."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from qtpy.QtCore import QSignalBlocker
from qtpy.QtWidgets import QCheckBox, QComboBox, QFormLayout, QGridLayout

from ...analysis.agreement import Agreement, agreement
from ...core.section import Section
from ...io.domains_of import Partition, domains_of
from ...viz.agreement_figures import confusion_figure, matched_colors, sankey_figure
from ..analyse.charts import titled
from ..analyse.exporting import ExportRow
from ..analyse.table import Column, FrameTable
from ..background import Background
from ..desk_page import DeskPage
from ..fields import make_button
from ..guard import Failure, slot
from ..model import Item
from ..parts import SectionCombo, copy_text, narrow_combo, plain_label
from .choices import Choice, choices_of, two_newest
from .confusion_chart import ConfusionChart
from .pair_chart import Shown
from .recipe import command, python
from .sankey_chart import SankeyChart
from .tissue_part import TissuePart

if TYPE_CHECKING:
    import napari

__all__ = ["CompareDock"]

_EMPTY = "Open a section with two results, or a result and an annotation, to compare them."
_COLUMNS = (
    Column("domain", "Domain", tip="Of the first; \u2013 where the second has one more.", width=0),
    Column("partner", "Partner", tip="Domain of the second, one to one.", width=50),
    Column("precision", "Prec.", ".2f", "Share of the partner that lies in the domain.", 37),
    Column("recall", "Rec.", ".2f", "Share of the domain that lies in the partner.", 37),
    Column("f1", "F1", ".2f", "Harmonic mean of both shares.", 37),
    Column("jaccard", "Jacc.", ".2f", "Common spots over spots of either.", 37),
    Column("ari", "ARI", ".2f", "Adjusted Rand index of this pair against the rest.", 37),
)
_FIGURES = {"Table of spots": "confusion", "Ribbons": "sankey"}


@dataclass(frozen=True, eq=False)
class _Asked:
    """What a worker is given: copies, so that an edit meanwhile changes nothing."""

    item: Item
    section: Section
    choices: tuple[Choice, Choice]
    sides: tuple[Partition, Partition]


def _compared(asked: _Asked) -> tuple[_Asked, Agreement]:
    """Compare; the index map of the section is made on the way."""
    assert asked.item.raster is not None
    columns = [
        pd.Series(pd.Categorical.from_codes(side.codes, pd.Index(side.names)), name=side.column)
        for side in asked.sides
    ]
    titles = asked.choices[0].title, asked.choices[1].title
    found = agreement(*columns, titles=titles)
    # Made here, because they are asked for at once.
    assert len(found.table) >= 0
    assert found.disagree.size == found.matched.size
    return asked, found


class CompareDock(DeskPage):
    """Two labelings of the selected section."""

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__(napari_viewer)
        self._item: Item | None = None
        self._choices: list[Choice] = []
        self._by_hand = False
        self._answer: tuple[_Asked, Agreement] | None = None
        self.shown: Shown | None = None
        self._work = Background(self)
        self._work.done.connect(self._on_done)
        self._work.failed.connect(self._on_failed)
        self._build()
        for signal in (
            self.session.section_selected,
            self.session.section_added,
            self.session.section_changed,
            self.session.domains_changed,
            self.session.obs_changed,
        ):
            signal.connect(self.refresh)
        self.refresh()

    def _build(self) -> None:
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.ExpandingFieldsGrow)
        self.combo = SectionCombo(self.session)
        form.addRow("Section", self.combo)
        self.first, self.second = narrow_combo(QComboBox()), narrow_combo(QComboBox())
        for name, combo in (("First", self.first), ("Second", self.second)):
            combo.setAccessibleName(f"{name} labeling")
            combo.setToolTip(f"{name} labeling: a result, a variant of it, or an annotation.")
            combo.activated.connect(self._on_chosen)
            form.addRow(name, combo)
        self.body.addLayout(form)
        self.empty = plain_label(_EMPTY)
        self.body.addWidget(self.empty)
        self.body.addWidget(self.strip)
        self.scores = plain_label()
        self.scores.setAccessibleName("Scores of the comparison")
        self.body.addWidget(self.scores)
        self.matched = QCheckBox("Matched colours")
        self.matched.setChecked(True)
        self.matched.setToolTip(
            "Draw the second in the colours of its partners, here and side by side; its own "
            "colours stay."
        )
        self.matched.toggled.connect(self._on_matched)
        self.take = make_button(
            "Take these colours",
            "Give the second result the colours of its partners; Undo in Domains takes it back.",
            self._on_take,
        )
        row = QGridLayout()
        row.addWidget(self.matched, 0, 0)
        row.addWidget(self.take, 0, 1)
        self.body.addLayout(row)
        self.tissue = TissuePart(self.session)
        self.tissue.failed.connect(self.show_failure)
        self.body.addWidget(self.tissue)
        self.table = FrameTable(_COLUMNS, "Domains and their partners")
        self.table.setToolTip(
            "Click a row, or press Return, to choose the spots on which a domain and its partner "
            "differ."
        )
        self.table.clicked.connect(self._on_row)
        self.table.activated.connect(self._on_row)
        self.body.addWidget(titled("Domains and their partners"))
        self.body.addWidget(self.table)
        self.confusion, self.sankey = ConfusionChart(), SankeyChart()
        for title, chart in (
            ("Spots of each pair (click to choose them)", self.confusion),
            ("Where spots go (click to choose them)", self.sankey),
        ):
            chart.chosen.connect(self._on_pair)
            self.body.addWidget(titled(title))
            self.body.addWidget(chart)
        self._build_exports()
        self.body.addStretch(1)

    def _build_exports(self) -> None:
        self.figure = narrow_combo(QComboBox())
        self.figure.addItems(list(_FIGURES))
        self.figure.setAccessibleName("Figure to export")
        self.figure.setToolTip("Which of the two charts Export figure draws.")
        self.figure.currentIndexChanged.connect(self._offer)
        form = QFormLayout()
        form.addRow("Figure", self.figure)
        self.body.addLayout(form)
        self.export = ExportRow()
        self.export.written.connect(self._on_written)
        self.export.failed.connect(self.show_failure)
        self.body.addWidget(self.export)
        self.python = make_button("Copy as Python", "Script that compares.", self._on_python)
        self.command = make_button("Copy as command", "Command that compares.", self._on_command)
        row = QGridLayout()
        row.addWidget(self.python, 0, 0)
        row.addWidget(self.command, 0, 1)
        self.body.addLayout(row)
        self.body.addWidget(self.state)

    @property
    def busy(self) -> bool:
        """Whether something is compared, drawn or written."""
        return self._work.busy or self.tissue.busy or self.export.busy

    @slot
    def refresh(self) -> None:
        """Offer what the selected section has, and compare again."""
        item = self.session.selected
        if item is not self._item:
            self._item, self._by_hand = item, False
            self._show(None)
        self._choices = choices_of(item) if item is not None else []
        columns = {choice.column for choice in self._choices}
        kept = str(self.first.currentData()), str(self.second.currentData())
        if not self._by_hand or not columns.issuperset(kept):
            kept, self._by_hand = two_newest(self._choices), False
        for combo, column in zip((self.first, self.second), kept, strict=True):
            with QSignalBlocker(combo):
                combo.clear()
                for choice in self._choices:
                    combo.addItem(choice.title, choice.column)
                combo.setCurrentIndex(combo.findData(column))
            combo.setEnabled(len(self._choices) > 1)
        self.empty.setVisible(len(self._choices) < 2)
        self._compare()

    @slot
    def _on_chosen(self) -> None:
        self._by_hand = True
        self._compare()

    def _compare(self) -> None:
        item = self._item
        places = self.first.currentIndex(), self.second.currentIndex()
        if item is None or min(places) < 0:
            self._work.forget()
            self._show(None)
            return
        choices = self._choices[places[0]], self._choices[places[1]]
        self.clear_failure()
        self.say("")
        sides = [domains_of(item.section, choice.column) for choice in choices]
        self._work.start(_compared, _Asked(item, item.section, choices, (sides[0], sides[1])))

    @slot
    def _on_done(self, answer: tuple[_Asked, Agreement]) -> None:
        asked = answer[0]
        if asked.item is self._item and asked.section is asked.item.section:
            self._show(answer)

    @slot
    def _on_failed(self, failure: Failure) -> None:
        self._show(None)
        self.show_failure(failure)

    def _show(self, answer: tuple[_Asked, Agreement] | None) -> None:
        """Show an answer in all parts, or nothing."""
        self._answer = answer
        if answer is None:
            self.scores.clear()
            self.table.show_frame(pd.DataFrame({column.name: [] for column in _COLUMNS}))
        else:
            scores = answer[1].scores
            self.scores.setText(
                f"ARI {scores['ARI']:.3f} \u00b7 NMI {scores['NMI']:.3f} \u00b7 "
                f"AMI {scores['AMI']:.3f}\n{scores['agreeing']:.1%} of {scores['spots']:,.0f} "
                f"spots lie in partners; {scores['left_out']:,.0f} lack a domain and are left out."
            )
            colors = dict(zip(answer[1].names[0], answer[0].sides[0].colors, strict=True))
            self.table.show_frame(answer[1].table, colors)
        self._colour()
        self._offer()

    def _colour(self) -> None:
        """Draw the charts and what is over the tissue in the colours that are wanted."""
        self.shown = None
        if self._answer is not None:
            asked, found = self._answer
            own = asked.sides[0].colors, asked.sides[1].colors
            second = self._partners_colors() if self.matched.isChecked() else own[1]
            self.shown = Shown(found, (own[0], second))
        self.confusion.show_pairs(self.shown)
        self.sankey.show_pairs(self.shown)
        self.tissue.follow(self._item, self.shown)
        known = self._answer is not None
        self.matched.setEnabled(known)
        self.take.setEnabled(bool(self._answer and self._answer[0].choices[1].key))
        self.python.setEnabled(known)
        self.command.setEnabled(known)

    def _partners_colors(self) -> list[str]:
        assert self._answer is not None
        asked, found = self._answer
        return matched_colors(asked.sides[0].colors, found.partner, len(found.names[1]))

    @slot
    def _on_matched(self) -> None:
        self._colour()

    @slot
    def _on_take(self) -> None:
        """An edit of the second result, which is selected for it."""
        if self._answer is None:
            return
        asked, found = self._answer
        key = asked.choices[1].key
        domains = asked.item.domains.get(key)
        if domains is None:
            return
        state = domains.state
        wanted = dict(zip(found.names[1], self._partners_colors(), strict=True))
        for row, name in enumerate(state.names):
            state = state.recoloured(row, wanted.get(name, state.colors[row]))
        self.session.select(asked.item.id, key)
        self.session.edit(state)
        self.say(f"{asked.choices[1].title} has these colours; Undo is in Domains.")

    @slot
    def _on_pair(self, first: int, second: int) -> None:
        if self._answer is not None:
            asked, found = self._answer
            self.session.choose_spots(asked.item.id, found.spots_of(first, second))

    @slot
    def _on_row(self, index: Any) -> None:
        """Choose the spots of a domain or its partner that are not of both."""
        if self._answer is None:
            return
        asked, found = self._answer
        place = int(self.table.frames.rows[index.row()])
        partner: Any = found.table["partner"].iat[place]
        mine = found.codes[0] == (place if place < len(found.names[0]) else -2)
        theirs = found.codes[1] == (found.names[1].index(partner) if partner is not None else -2)
        rows = np.flatnonzero((mine ^ theirs) & found.known)
        self.session.choose_spots(asked.item.id, rows)

    @slot
    def _offer(self) -> None:
        """What can be written."""
        if self._answer is None or self.shown is None:
            self.export.offer(None, None)
            return
        found, shown = self._answer[1], self.shown
        kind = _FIGURES[self.figure.currentText()]
        about = (shown.counts, found.names)
        more: dict[str, Any] = {"titles": found.titles}
        if kind == "confusion":
            draw = partial(confusion_figure, *about, shown.colors[0], shown.order, **more)
        else:
            draw = partial(sankey_figure, *about, shown.colors, shown.order, **more)
        table = found.table
        self.export.offer((lambda: table, draw), self._answer[0].section, f"compare-{kind}")

    @slot
    def _on_written(self, path: Any) -> None:
        self.strip.clear()
        self.say(f"Written to {path}.")

    @slot
    def _on_python(self) -> None:
        if self._answer is not None:
            copy_text(python(self._answer[0].item, *self._answer[0].choices))
            self.say("The script is on the clipboard.")

    @slot
    def _on_command(self) -> None:
        if self._answer is not None:
            copy_text(command(self._answer[0].item, *self._answer[0].choices))
            self.say("The command is on the clipboard.")
