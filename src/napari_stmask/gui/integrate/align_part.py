"""How the sections lie on one another: found, shown, corrected, accepted."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFormLayout,
    QHBoxLayout,
    QProgressBar,
    QVBoxLayout,
    QWidget,
)

from ...core.joint import JointParams
from ...core.progress import Progress
from ...core.section import Section
from ...features.alignment import Alignment, align_sections
from ...integration import alignment_facts
from ...io.atomic import atomic_path
from ..analyse.table import Column, FrameTable
from ..analyse.work import StepWorker
from ..export import snapshot
from ..fields import ask_target, make_button
from ..guard import Failure, slot
from ..model import Item
from ..parts import Fold, narrow_combo, plain_label
from ..session import Session
from .adjust_part import AdjustPart
from .answers import Answers, Question
from .job import named
from .landmarks_part import LandmarksPart
from .poses import Chain

__all__ = ["AlignPart"]

_COLUMNS = (
    Column("section", "Section", width=0, tip="Each is laid on the one above it."),
    Column("residual", "Residual", ".1f", width=58, tip="Distance of the outlines, in \u00b5m; in "
           "units of the coordinates where no scale is known."),
    Column("pitches", "Pitches", ".2f", width=50, tip="The same in distances between spots."),
    Column("overlap", "Overlap", ".0%", width=52, tip="Share of its spots on the one above it."),
    Column("mirrored", "Mirror", width=42, tip="Whether it is turned over."),
    Column("fit", "Fit", width=56, tip="Whether the fit can be trusted."),
)  # fmt: skip
_METHODS = {
    "outline": "Outline and expression",
    "histology": "Histology",
    "none": "Not at all",
}
_SEPARATE = "Separate pieces are not laid on one another: there is nothing to align."


class AlignPart(QWidget):
    """``changed`` when sections lie elsewhere, or a doubtful fit is accepted."""

    changed = Signal()

    def __init__(self, session: Session, fail: Callable[[Failure | None], None]) -> None:
        super().__init__()
        self.session = session
        self._fail = fail
        self._ids: tuple[str, ...] = ()
        self._kind = "separate"
        self.chain: Chain | None = None
        self._answers = Answers(session)
        self._asked: tuple[Question, list[Section]] | None = None
        self.worker = StepWorker(self, "Alignment")
        self.worker.progressed.connect(self._on_progress)
        self.worker.done.connect(self._on_done)
        self.worker.failed.connect(self.show_failure)
        self.worker.ended.connect(self._on_ended)
        self._build()
        self.follow((), "separate")

    def _build(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(6)
        self.about = plain_label()
        layout.addWidget(self.about)
        info = JointParams.model_fields["align_by"]
        self.method = narrow_combo(QComboBox())
        for name, title in _METHODS.items():
            self.method.addItem(title, name)
        self.method.setAccessibleName(str(info.title))
        self.method.setToolTip(str(info.description))
        self.flip = QCheckBox("Sections may be mirrored")
        self.flip.setChecked(True)
        self.flip.setToolTip(str(JointParams.model_fields["flip"].description))
        self.method.currentIndexChanged.connect(self._on_setting)
        self.flip.toggled.connect(self._on_setting)
        form = QFormLayout()
        form.setSpacing(6)
        form.addRow("Align by", self.method)
        form.addRow(self.flip)
        layout.addLayout(form)
        self.run = make_button("Align", "", self._on_run)
        layout.addWidget(self.run)
        self.progress = QWidget()
        row = QHBoxLayout(self.progress)
        row.setContentsMargins(0, 0, 0, 0)
        self.bar = QProgressBar()
        self.bar.setAccessibleName("Progress of the alignment")
        self.cancel = make_button("Cancel", "Stop; nothing is changed.", self._on_cancel)
        row.addWidget(self.bar, 1)
        row.addWidget(self.cancel)
        self.progress.hide()
        layout.addWidget(self.progress)
        self._build_found(layout)

    def _build_found(self, layout: QVBoxLayout) -> None:
        """What was found, whether it can be trusted, and how it is corrected."""
        self.table = FrameTable(_COLUMNS, "Alignment; Return chooses a section", chooses="section")
        self.table.setSortingEnabled(False)
        self.table.chosen.connect(self._on_row)
        layout.addWidget(self.table)
        self.doubts = plain_label()
        self.doubts.setObjectName("stmask_doubts")
        self.doubts.setStyleSheet("color: #e74c3c;")
        layout.addWidget(self.doubts)
        self.accept = QCheckBox("Use it anyway")
        self.accept.setToolTip("Run with an alignment that should not be trusted.")
        self.accept.toggled.connect(self._on_accept)
        layout.addWidget(self.accept)
        self.adjust = AdjustPart(self.session, self._fail)
        self.adjust.moved.connect(self._on_moved)
        self.adjust.choice.currentIndexChanged.connect(self._on_choice)
        self.adjust_fold = Fold("Look and correct", self.adjust)
        layout.addWidget(self.adjust_fold)
        self.landmarks = LandmarksPart(self.session, self._fail)
        self.landmarks.found.connect(self._on_landmarks)
        self.landmarks_fold = Fold("Landmarks", self.landmarks)
        layout.addWidget(self.landmarks_fold)
        self.save = make_button(
            "Save poses\u2026",
            "Write the poses to a file that the command line takes (--transforms).",
            self._on_save,
        )
        layout.addWidget(self.save)

    @property
    def busy(self) -> bool:
        """Whether sections are being aligned."""
        return self.worker.busy

    def values(self) -> dict[str, str]:
        """How a run would align."""
        return {
            "align_by": str(self.method.currentData()),
            "flip": "auto" if self.flip.isChecked() else "never",
        }

    def follow(self, ids: Sequence[str], kind: str) -> None:
        """Other sections, another order or another arrangement are chosen."""
        self._ids, self._kind = tuple(ids), kind
        self._answers.forget()
        if self._asked is not None:
            question, sections = self._asked
            if question != self._question() or not self._answers.holds(question, sections):
                self.worker.cancel()
        self._look_up()
        self._show()

    def adopt(
        self, ids: Sequence[str], joint: JointParams, alignments: Sequence[Alignment]
    ) -> None:
        """Take what a run over these sections found, where nothing was found here before."""
        same = Question.of_run(ids, joint) == self._question()
        if same and self.chain is None and len(alignments) == len(ids):
            self._use(Chain(self._sections(), alignments))
            self._show()

    def alignments(self) -> list[Alignment] | None:
        """Where the sections lie; None where a run has to find it."""
        if self.chain is None or self._kind == "separate":
            return None
        return list(self.chain.now)

    @property
    def accepted(self) -> bool:
        """Whether a doubtful fit is to be used."""
        return self.accept.isChecked()

    def problem(self) -> str:
        """Why a run has to wait; empty where it has not."""
        if self.worker.busy:
            return "The sections are being aligned."
        doubts = self.chain.doubts if self.chain is not None and self._kind != "separate" else []
        if doubts and not self.accepted:
            return f"{doubts[0]} Correct it in Alignment, or tick Use it anyway there."
        return ""

    def show_failure(self, failure: Failure) -> None:
        """Show what went wrong in the strip of the dock."""
        self._fail(failure)

    def left(self) -> None:
        """The dock goes away."""
        self.worker.cancel()
        self._answers.forget(all_of_them=True)
        self.adjust.left()
        self.landmarks.left()

    def _items(self) -> list[Item]:
        items = self.session.items
        return [items[key] for key in self._ids if key in items]

    def _sections(self) -> list[Section]:
        """The chosen sections, under the names that the window shows."""
        return [named(item.section, item.label) for item in self._items()]

    def _question(self) -> Question:
        return Question.of(self._ids, self._kind, **self.values())

    def _look_up(self) -> None:
        """Show what is known of the present choice; a doubtful fit is to be accepted anew."""
        chain = self._answers.get(self._question())
        if chain is not self.chain:
            self._use(chain)

    def _use(self, chain: Chain | None) -> None:
        self.chain = chain
        if chain is not None:
            self._answers.keep(self._question(), chain)
        with QSignalBlocker(self.accept):
            self.accept.setChecked(False)
        items = self._items()
        self.adjust.show_chain(chain, items[0] if items else None)
        self._on_choice()

    def _show(self) -> None:
        chain, serial = self.chain, self._kind == "serial"
        several = len(self._ids) > 1
        self.about.setText(
            _SEPARATE
            if self._kind == "separate"
            else "Each section is laid on the one before it; the first one stays."
            if serial
            else "Adjoining parts lie where their coordinates put them; correct them here."
        )
        self.method.setEnabled(serial and not self.busy)
        self.flip.setEnabled(serial and not self.busy and self.method.currentData() != "none")
        self.run.setText("Align" if serial else "Show how they lie")
        self.run.setEnabled(several and self._kind != "separate" and not self.busy)
        for widget in (self.table, self.adjust_fold, self.landmarks_fold, self.save):
            widget.setVisible(chain is not None)
        doubts = chain.doubts if chain is not None else []
        self.doubts.setText("\n".join(f"\u26a0 {doubt}" for doubt in doubts))
        self.doubts.setVisible(bool(doubts))
        self.accept.setVisible(bool(doubts))
        if chain is not None:
            self.table.show_frame(chain.frame())

    @slot
    def _on_setting(self) -> None:
        self._look_up()
        self._show()
        self.changed.emit()

    @slot
    def _on_run(self) -> None:
        self._fail(None)
        question, sections = self._question(), self._sections()
        self._asked = question, sections
        self.bar.setRange(0, 1)
        self.bar.setValue(0)
        self.progress.show()
        self.worker.start(
            partial(
                align_sections,
                [snapshot(one) for one in sections],
                method=question.align_by,  # type: ignore[arg-type]
                flip=question.flip,  # type: ignore[arg-type]
            )
        )
        self._show()
        self.changed.emit()

    @slot
    def _on_progress(self, progress: Progress) -> None:
        self.bar.setRange(0, max(1, progress.total))
        self.bar.setValue(progress.step if progress.total else 0)
        self.bar.setToolTip(progress.message or progress.phase)

    @slot
    def _on_done(self, found: list[Alignment]) -> None:
        if self._asked is None:
            return
        self._use(Chain(self._asked[1], found))
        self.adjust_fold.expand(animate=False)

    @slot
    def _on_ended(self) -> None:
        self._asked = None
        self.progress.hide()
        self._show()
        self.changed.emit()

    @slot
    def _on_cancel(self) -> None:
        self.worker.cancel()

    @slot
    def _on_row(self, label: str) -> None:
        if self.chain is not None and label in self.chain.labels[1:]:
            self.adjust.choose(self.chain.labels.index(label))
            self.adjust_fold.expand(animate=False)

    @slot
    def _on_choice(self) -> None:
        items, i = self._items(), self.adjust.index
        pair = (items[i], items[i - 1]) if self.chain is not None and i else (None, None)
        self.landmarks.show_pair(*pair)

    @slot
    def _on_moved(self) -> None:
        # What was accepted was another pose.
        with QSignalBlocker(self.accept):
            self.accept.setChecked(False)
        self._show()
        self.changed.emit()

    @slot
    def _on_accept(self) -> None:
        self.changed.emit()

    @slot
    def _on_landmarks(self, found: Alignment) -> None:
        if self.chain is None:
            return
        base = self.chain.now[self.adjust.index - 1].matrix
        self.adjust.put(base @ found.matrix, method="landmarks")
        self.adjust.shown.setChecked(True)

    @slot
    def _on_save(self) -> None:
        if self.chain is None:
            return
        path = ask_target(self, "Save poses", "poses.json", "JSON (*.json)", _as_json)
        if path is not None:
            facts = {
                "alignments": alignment_facts(self.chain.now),
                "sections": self.chain.labels,
            }
            with atomic_path(path) as temporary:
                temporary.write_text(json.dumps(facts, indent=2), encoding="utf-8")


def _as_json(path: str, chosen: str) -> Path:
    del chosen
    target = Path(path)
    return target if target.suffix.lower() == ".json" else target.with_name(target.name + ".json")
