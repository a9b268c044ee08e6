"""The input for an image encoder: what it is, where its files lie, and its licence."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from qtpy.QtCore import Qt, QTimer, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFormLayout,
    QFrame,
    QLabel,
    QLineEdit,
    QVBoxLayout,
    QWidget,
)

from ..core.section import Section
from ..features.encoders import FINISHED
from ..features.encoders.base import EncoderCard
from ..features.encoders.known import KNOWN
from .background import Background
from .fields import PathField
from .guard import Failure, slot
from .parts import narrow_combo, plain_label

__all__ = ["CONSENT", "PRECOMPUTED", "EncoderField", "card_text", "numeric_tables"]

CONSENT = "accept_licence"
"""The parameter that the consent box of the encoder sets."""
PRECOMPUTED = FINISHED
"""Kinds that need no image: the features are there already."""
_TRANSFORMER = EncoderCard(
    "transformer",
    "Spot transformer, trained on this section to predict expression from its image; offline",
    licence="part of napari-stmask",
)
_MODEL = ("onnx", "torchscript")
_KINDS = (
    ("descriptor", "Descriptor"),
    ("transformer", "Spot transformer"),
    ("obsm", "Features in obsm"),
    ("file", "Features from file…"),
    ("model", "Model file (ONNX, TorchScript)…"),
    ("transformers", "transformers folder…"),
    ("timm", "timm weights…"),
)
_ASKED = {
    "file": ("Features of the spots", "Features (*.npy *.h5 *.hdf5)", False),
    "model": ("Model file", "Models (*.onnx *.pt *.pth *.ts *.torchscript)", False),
    "transformers": ("Folder of a transformers model", "", True),
    "timm": ("Weights for timm", "Weights (*.safetensors)", False),
}
_WIDTH = 38
"""Letters in a line of the consent box, whose text cannot wrap by itself."""
_NEEDS_IMAGE = "The section has no image; features in obsm or in a file need none."


class EncoderField(QComboBox):
    """Chooses an encoder; ``details`` is the part below it, ``changed`` is said on every edit.

    The value is the text by which `features.encoders` knows the encoder.

    Parameters
    ----------
    own
        Encoders that the method has beside those that all methods have.
    """

    changed = Signal()

    def __init__(self, own: Sequence[str] = ()) -> None:
        super().__init__()
        narrow_combo(self)
        self._own = tuple(own)
        for kind, title in _KINDS:
            if kind != _TRANSFORMER.spec or kind in self._own:
                self.addItem(title, kind)
        for name, entry in KNOWN.items():
            self.addItem(f"{entry.title} (download)", f"hub:{name}")
        self._model = "onnx"
        self._section: Section | None = None
        self._known: tuple[str, EncoderCard | Failure] | None = None
        self._build()
        self._reader = Background(self)
        self._reader.done.connect(self._on_described)
        self._reader.failed.connect(self._on_failed)
        self._later = QTimer(self)
        self._later.setSingleShot(True)
        self._later.setInterval(150)
        self._later.timeout.connect(self._describe)
        self.activated.connect(self._on_kind)
        self.keys.activated.connect(self._on_edit)
        self.path.changed.connect(self._on_path)
        self.architecture.textChanged.connect(self._on_edit)
        self.consent.toggled.connect(self._on_consent)
        self._show()

    def _build(self) -> None:
        """Everything below the list."""
        self.keys = narrow_combo(QComboBox())
        self.keys.setAccessibleName("Table of obsm")
        self.keys.setToolTip("Table of numbers in obsm, one row for each spot.")
        self.path = PathField("Encoder", "", "File or folder that the encoder is read from.")
        self.path.line.setPlaceholderText("choose or type a path")
        self.architecture = QLineEdit()
        self.architecture.setPlaceholderText("such as vit_large_patch16_224")
        self.architecture.setAccessibleName("Architecture in timm")
        self.architecture.setToolTip("Name of the architecture in timm that the weights are of.")
        self.consent = QCheckBox()
        self.card = plain_label()
        self.card.setAccessibleName("About the encoder")
        self.card.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.details = QFrame()
        self.details.setFrameShape(QFrame.Shape.StyledPanel)
        layout = QVBoxLayout(self.details)
        layout.setContentsMargins(8, 6, 8, 6)
        layout.setSpacing(6)
        self._rows = QFormLayout()
        self._rows.setSpacing(6)
        self._titles: dict[QWidget, QLabel] = {}
        for title, widget in (
            ("Table", self.keys),
            ("Path", self.path),
            ("Architecture", self.architecture),
        ):
            self._titles[widget] = QLabel(title)
            self._rows.addRow(self._titles[widget], widget)
        layout.addLayout(self._rows)
        layout.addWidget(self.card)
        layout.addWidget(self.consent)

    @property
    def kind(self) -> str:
        """What is chosen: a kind of encoder, or ``"hub:ID"``."""
        return str(self.currentData())

    @property
    def precomputed(self) -> bool:
        """Whether the features are there already, so that no image is looked at."""
        return self.kind in PRECOMPUTED

    def tab_stops(self) -> list[QWidget]:
        """Widgets in the order in which Tab should reach them."""
        inner = (self.keys, self.path.line, self.path.browse, self.architecture, self.consent)
        return [self, *inner]

    def value(self) -> str:
        """The encoder as a text; incomplete where `problem` says so."""
        kind = self.kind
        if kind == "obsm":
            return f"obsm:{self.keys.currentData() or ''}"
        if kind == "model":
            kind = self._model
        elif kind not in _ASKED:
            return kind
        path = self.path.value() or ""
        return (
            f"timm:{self.architecture.text().strip()}@{path}"
            if kind == "timm"
            else f"{kind}:{path}"
        )

    def set_value(self, spec: Any) -> None:
        """Show an encoder; another one than before takes the consent back."""
        spec = str(spec)
        if spec == self.value():
            return
        kind, _, rest = spec.partition(":")
        if kind in _MODEL:
            self._model, kind = kind, "model"
        row = max(self.findData(spec), self.findData(kind))
        if row < 0:
            # Kept as it was asked for, so that what is said about it names it.
            self.addItem(spec, spec)
            row = self.count() - 1
        self.setCurrentIndex(row)
        if kind == "obsm":
            self._offer_keys(rest)
        elif kind == "timm":
            self.architecture.blockSignals(True)
            self.architecture.setText(rest.partition("@")[0])
            self.architecture.blockSignals(False)
            rest = rest.partition("@")[2]
        if kind in _ASKED:
            self.path.set_value(rest)
        self._begin()

    def show_section(self, section: Section | None) -> None:
        """Offer what the section has: its tables, and encoders of images only with an image."""
        self._section = section
        self._offer_keys(str(self.keys.currentData() or ""))
        here = section is None or section.image is not None
        for row in range(self.count()):
            entry = self.model().item(row)
            allowed = here or self.itemData(row) in PRECOMPUTED
            entry.setEnabled(allowed)
            entry.setToolTip("" if allowed else _NEEDS_IMAGE)
        self._show()

    def problem(self) -> str:
        """Why no run can use the encoder; empty where one can, as far as is known."""
        kind = self.kind
        if kind == "obsm" and not self.keys.currentData():
            return "Image encoder: the section has no table of numbers in obsm; choose another."
        if kind == "obsm" and self._section is not None:
            key = str(self.keys.currentData())
            if key not in numeric_tables(self._section):
                return f"Image encoder: obsm has no table of numbers '{key}'; choose another."
        if kind in _ASKED and not self.path.value():
            return f"Image encoder: choose {'a folder' if _ASKED[kind][2] else 'a file'}."
        if kind == "timm" and not self.architecture.text().strip():
            return "Image encoder: name the architecture in timm that the weights are of."
        if self._known is not None and self._known[0] == self.value():
            found = self._known[1]
            if isinstance(found, Failure):
                return f"Image encoder: {found.text}"
        if kind.startswith("hub:") and not self.consent.isChecked():
            return "Image encoder: it would be downloaded; accept its licence below it first."
        return ""

    def _offer_keys(self, key: str) -> None:
        """List the section's tables; ``key`` stays chosen, also where the section lacks it."""
        tables = numeric_tables(self._section) if self._section is not None else {}
        self.keys.clear()
        for name, width in tables.items():
            self.keys.addItem(f"{name} ({width} numbers)", name)
        if key and key not in tables:
            self.keys.addItem(f"{key} (missing)" if self._section is not None else key, key)
        self.keys.setCurrentIndex(max(0, self.keys.findData(key)))

    @slot
    def _on_kind(self) -> None:
        self._begin()
        self.changed.emit()

    @slot
    def _on_path(self) -> None:
        if self.kind == "model":
            suffix = Path(self.path.value() or "").suffix.lower()
            self._model = "onnx" if suffix in ("", ".onnx") else "torchscript"
        self._on_kind()

    @slot
    def _on_edit(self) -> None:
        self._on_kind()

    @slot
    def _on_consent(self) -> None:
        self.changed.emit()

    def _begin(self) -> None:
        """Another encoder: nothing is agreed to yet, and it has to be described."""
        self.consent.blockSignals(True)
        self.consent.setChecked(False)
        self.consent.blockSignals(False)
        self._show()

    def _show(self) -> None:
        """Bring the part below up to date; files are looked at a moment later, in a worker."""
        kind, spec = self.kind, self.value()
        for widget, shown in (
            (self.keys, kind == "obsm"),
            (self.path, kind in _ASKED),
            (self.architecture, kind == "timm"),
        ):
            widget.setVisible(shown)
            self._titles[widget].setVisible(shown)
        if kind in _ASKED:
            title, filters, folder = _ASKED[kind]
            self.path.ask_for(title, filters, folder=folder)
        self.consent.setVisible(kind.startswith("hub:"))
        self._reader.forget()
        self._later.stop()
        if kind in self._own:
            self._known = (spec, _TRANSFORMER)
        elif self._known is None or self._known[0] != spec:
            self._known = None
            if kind not in _ASKED or self.path.value():
                self._later.start()
        self._show_card()

    @slot
    def _describe(self) -> None:
        spec = self.value()
        self._reader.start(_describe, spec)

    @slot
    def _on_described(self, card: EncoderCard) -> None:
        if card.spec != self.value():
            return
        self._known = (card.spec, card)
        self._show_card()
        self.changed.emit()

    @slot
    def _on_failed(self, failure: Failure) -> None:
        self._known = (self.value(), failure)
        self._show_card()
        self.changed.emit()

    def _show_card(self) -> None:
        known = self._known[1] if self._known is not None else None
        if known is None or isinstance(known, Failure):
            # What is wrong is said by `problem`, in the line that says why nothing can run.
            waits = known is None and (self._later.isActive() or self._reader.busy)
            self.card.setText("Looking at the encoder …" if waits else "")
            self.card.setVisible(waits)
            return
        self.card.show()
        width = None
        if self.kind == "obsm" and self._section is not None:
            width = numeric_tables(self._section).get(str(self.keys.currentData()))
        self.card.setText(card_text(known, width))
        if self.kind.startswith("hub:"):
            text = f"I accept the licence ({known.licence}) and allow the download."
            self.consent.setText("\n".join(textwrap.wrap(text, _WIDTH)).replace("&", "&&"))


def card_text(card: EncoderCard, width: int | None = None) -> str:
    """What is known of an encoder, as plain lines; ``width`` is the number of finished features."""
    found = card.dim or width
    facts = [f"{found:,} numbers per spot"] if found else []
    if card.input_px:
        facts.append(f"patches of {card.input_px} px")
    if card.um_per_px:
        facts.append(f"trained at {card.um_per_px:g} µm per px")
    lines = [card.title, ", ".join(facts)]
    if card.licence:
        lines.append(f"Licence: {card.licence}")
    if card.gated:
        lines.append("Access has to be granted by the publisher; log in with: hf auth login")
    if card.needs_download:
        lines.append("Nothing is downloaded before a run that you start.")
    return "\n".join(line for line in lines if line)


def numeric_tables(section: Section) -> dict[str, int]:
    """Keys of ``obsm`` that hold tables of numbers, with their columns; positions are left out."""
    found = {}
    for key, table in section.adata.obsm.items():
        shape = getattr(table, "shape", ())
        kinds = getattr(table, "dtypes", None)
        types = [table.dtype] if kinds is None else list(kinds)
        if key != "spatial" and len(shape) == 2 and shape[1] and all(_is_number(t) for t in types):
            found[str(key)] = int(shape[1])
    return found


def _is_number(dtype: Any) -> bool:
    return isinstance(dtype, np.dtype) and dtype.kind in "fiub"


def _describe(spec: str) -> EncoderCard:
    from ..features.encoders import describe_encoder

    return describe_encoder(spec)
