"""What a prediction is asked for once it is there."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import QSignalBlocker
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QVBoxLayout, QWidget

from ..background import Background
from ..fields import ask_target, make_button
from ..guard import slot
from ..parts import Fold, narrow_combo
from .attention_part import AttentionPart
from .enrichment_part import EnrichmentPart
from .genes_part import GenesPart
from .known import Known, known_predictions
from .part import Desk
from .region_part import RegionPart

__all__ = ["Results"]

_MODEL = ".safetensors"


class Results(QWidget):
    """Chooses one of the predictions that are open and shows its parts."""

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self.desk = desk
        self.choice = narrow_combo(QComboBox())
        self.choice.setAccessibleName("Prediction")
        self.choice.setToolTip("Predicted section that is shown below.")
        self.choice.currentIndexChanged.connect(self._on_choice)
        self.save = make_button(
            "Save model\u2026",
            "Write what was trained to a file that predicts other sections without training.",
            self._on_save,
        )
        self.genes = GenesPart(desk)
        self.attention = AttentionPart(desk)
        self.region = RegionPart(desk)
        self.enrichment = EnrichmentPart(desk)
        self.genes.chosen.connect(self.attention.follow_gene)
        self.region.found.connect(self._on_region)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(8)
        row = QHBoxLayout()
        row.addWidget(self.choice, 1)
        row.addWidget(self.save)
        layout.addLayout(row)
        layout.addWidget(self.genes)
        self.folds = {
            "attention": Fold("Which references a spot was read from", self.attention),
            "region": Fold("Tumour region", self.region),
            "enrichment": Fold("Gene sets", self.enrichment),
        }
        for fold in self.folds.values():
            layout.addWidget(fold)
        self.folds["attention"].toggled.connect(self._on_fold)
        self._writer = Background(self)
        self._writer.done.connect(self._on_written)
        self._writer.failed.connect(desk.show_failure)
        self.refresh()

    @property
    def known(self) -> Known | None:
        """The prediction that is shown."""
        found = {k.item_id: k for k in known_predictions(self.desk.session)}
        return found.get(str(self.choice.currentData()))

    def refresh(self, newest: str | None = None) -> None:
        """List the predictions that are open; ``newest`` is the one to show."""
        session = self.desk.session
        kept = newest or self.choice.currentData()
        with QSignalBlocker(self.choice):
            self.choice.clear()
            for known in known_predictions(session):
                self.choice.addItem(session.items[known.item_id].label, known.item_id)
            row = self.choice.findData(kept)
            self.choice.setCurrentIndex(row if row >= 0 else self.choice.count() - 1)
        self._show()

    def left(self) -> None:
        """The dock goes away."""
        self.attention.left()
        for part in (self.region, self.enrichment):
            part.worker.cancel()

    def _show(self) -> None:
        known = self.known
        self.setVisible(known is not None)
        self.save.setEnabled(known is not None and not self._writer.busy)
        for part in (self.genes, self.attention, self.region, self.enrichment):
            part.show_known(known)

    @slot
    def _on_choice(self) -> None:
        self._show()

    @slot
    def _on_fold(self) -> None:
        if self.folds["attention"].isExpanded():
            self.attention.back()
        else:
            self.attention.left()

    @slot
    def _on_region(self) -> None:
        self.enrichment.use_region(self.region.inside)

    @slot
    def _on_save(self) -> None:
        known = self.known
        if known is None:
            return
        name = known.section.name.replace("/", "_").replace(" \u00b7 predicted", "")
        target = ask_target(
            self, "Save the model", f"{name}_spahgc{_MODEL}", f"Models (*{_MODEL})", _complete
        )
        if target is not None:
            self.save_to(str(target))

    def save_to(self, path: str) -> None:
        """Write the trained model of the prediction in the background."""
        known = self.known
        if known is not None:
            self.desk.clear_failure()
            self._writer.start(_save, known, Path(path))
            self.save.setEnabled(False)

    @slot
    def _on_written(self, path: Path) -> None:
        self.save.setEnabled(self.known is not None)
        self.desk.say(f"Written: {path}")


def _complete(path: str, chosen: str) -> Path:
    del chosen
    target = Path(path)
    return target if target.suffix == _MODEL else target.with_name(target.name + _MODEL)


def _save(known: Known, path: Path) -> Path:
    from ...api import save_model

    return save_model(known.prediction, path)
