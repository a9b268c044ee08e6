"""A gene set, from a module, a list or a file, as a score of every spot."""

from __future__ import annotations

import re
from typing import Any

import pandas as pd
from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QComboBox,
    QFormLayout,
    QGridLayout,
    QLineEdit,
    QVBoxLayout,
    QWidget,
)

from ...analysis.gene_set_scores import ScoreKind, gene_set_score, stored_modules
from ...analysis.gene_sources import GeneSource
from ...analysis.signatures import MIN_GENES, SIGNATURES, Signature, read_gene_sets
from ...core.errors import ParameterError
from ..analyse.gene_sets import GeneList, missing_genes
from ..background import Background
from ..fields import ask_file, make_button
from ..formats import GENE_SETS
from ..guard import Failure, slot
from ..model import Item
from ..parts import copy_text, narrow_combo, plain_label
from ..session import Session
from .reading import Choice, Reading, reading_of
from .recipe import score_script

__all__ = ["SetsPart"]

_KINDS = {
    "scanpy": ("scanpy score_genes", "mean minus controls"),
    "mean_z": ("Mean z-score", "mean z-score"),
}


class SetsPart(QWidget):
    """``scored(Reading)`` with a score to show; ``failed(Failure)``."""

    scored = Signal(object)
    failed = Signal(object)

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self._item: Item | None = None
        self._known: frozenset[str] = frozenset()
        self._files: dict[str, tuple[str, ...]] = {}
        self._modules: dict[str, tuple[str, ...]] = {}
        self._score: tuple[Item, Signature, tuple[Any, ...]] | None = None
        self._work = Background(self)
        self._work.done.connect(self._on_done)
        self._work.failed.connect(self._on_failed)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        self.genes = GeneList("Gene set", "Genes of the set, typed or pasted, as symbols.")
        self.genes.changed.connect(self._on_changed)
        self.load = make_button(
            "Load gene sets\u2026", "Sets from a .gmt, .csv or .txt file.", self._on_load
        )
        self.kind = narrow_combo(QComboBox())
        self.kind.setAccessibleName("Score")
        self.kind.setToolTip(
            "Mean of the genes minus that of random genes as strong, or their mean z-score."
        )
        for name, (title, _) in _KINDS.items():
            self.kind.addItem(title, name)
        self.run = make_button(
            "Score the spots", "Score the set in every spot and show it like a gene.", self._on_run
        )
        self.column = QLineEdit("gene_set_score")
        self.column.setAccessibleName("Name of the column")
        self.column.setToolTip("Column of obs that the score is kept in.")
        self.keep = make_button(
            "Keep as column", "Write the shown score to obs of the section.", self._on_keep
        )
        self.python = make_button(
            "Copy as Python", "Script that repeats the score.", self._on_python
        )
        self.state = plain_label()
        form = QFormLayout()
        form.setSpacing(6)
        form.addRow("Score", self.kind)
        form.addRow("Column", self.column)
        grid = QGridLayout()
        grid.setSpacing(6)
        grid.addWidget(self.run, 0, 0, 1, 2)
        grid.addWidget(self.keep, 1, 0)
        grid.addWidget(self.python, 1, 1)
        layout.addWidget(self.load)
        layout.addWidget(self.genes)
        layout.addLayout(form)
        layout.addLayout(grid)
        layout.addWidget(self.state)
        self._offer(None)

    @property
    def busy(self) -> bool:
        """Whether a score is being made."""
        return self._work.busy

    def follow(self, item: Item | None) -> None:
        """Another section, or another run on it: its modules can be chosen."""
        if item is not self._item:
            self._work.forget()
            self._score = None
            self.state.setText("")
        self._item = item
        names = item.section.adata.var_names if item is not None else ()
        self._known = frozenset(str(name).casefold() for name in names)
        modules = stored_modules(item.section) if item is not None else {}
        if modules.keys() != self._modules.keys():
            self._modules = modules
            text = self.genes.text.toPlainText()
            self._offer(None)
            self.genes.text.setPlainText(text)
        self._on_changed()

    def load_file(self, path: str) -> None:
        """Offer the sets of a file, and take its first one.

        Raises
        ------
        StmaskError
            If it cannot be read.
        """
        loaded = read_gene_sets(path)
        self._files |= loaded
        self._offer(next(iter(loaded)))

    def _offer(self, chosen: str | None) -> None:
        emt = {f"EMT {name}": genes for name, genes in SIGNATURES["EMT"].items()}
        self.genes.offer({**self._modules, **self._files, **emt}, chosen)

    def _name(self) -> str:
        chosen = self.genes.sets.currentData()
        known = {**self._modules, **self._files}
        return chosen if chosen in known or str(chosen).startswith("EMT ") else "gene set"

    @slot
    def _on_changed(self) -> None:
        self.genes.check(self._known)
        genes = self.genes.genes()
        here = len(genes) - len(missing_genes(self._known, genes))
        self.run.setEnabled(self._item is not None and here >= MIN_GENES)
        self.run.setToolTip(
            "Score the set in every spot and show it like a gene."
            if here >= MIN_GENES
            else f"At least {MIN_GENES} genes of the section are needed, here are {here}."
        )
        self.python.setEnabled(self._item is not None and bool(genes))
        self.keep.setEnabled(self._score is not None)

    @slot
    def _on_load(self) -> None:
        path = ask_file(self, "Load gene sets", GENE_SETS)
        if path is not None:
            self.load_file(path)

    @slot
    def _on_run(self) -> None:
        assert self._item is not None
        asked = (self.genes.genes(), str(self.kind.currentData()), self._name())
        self.state.setText("Scoring \u2026")
        self._work.start(_scored, self._item, asked)

    @slot
    def _on_done(self, answer: tuple[Item, Signature, Any, Reading]) -> None:
        item, score, asked, reading = answer
        self._score = (item, score, asked)
        name = re.sub(r"\W+", "_", asked[2]).strip("_")
        self.column.setText(f"{name}_score")
        self.state.setText(f"{asked[2]}: scored with {len(score.used)} genes.")
        self._on_changed()
        self.scored.emit(reading)

    @slot
    def _on_failed(self, failure: Failure) -> None:
        self.state.setText("")
        self.failed.emit(failure)

    @slot
    def _on_keep(self) -> None:
        assert self._score is not None
        item, score, _ = self._score
        column, obs = self.column.text().strip(), item.section.adata.obs
        if not column:
            raise ParameterError("The column has no name", "type one")
        if column in obs and not pd.api.types.is_float_dtype(obs[column]):
            raise ParameterError(
                f"obs has a column '{column}' that is no score", "type another name"
            )
        obs[column] = score.values
        self.state.setText(f"Kept as obs['{column}'].")
        self._session.obs_written(item.id)

    @slot
    def _on_python(self) -> None:
        assert self._item is not None
        copy_text(
            score_script(
                self._item.section,
                self.genes.genes(),
                str(self.kind.currentData()),
                column=self.column.text().strip() or "gene_set_score",
                name=self._name(),
            )
        )
        self.state.setText("Copied.")

    def show_failure(self, failure: Failure) -> None:
        """Failures of slots go to the strip of the dock."""
        self.failed.emit(failure)


def _scored(
    item: Item, asked: tuple[tuple[str, ...], ScoreKind, str]
) -> tuple[Item, Signature, Any, Reading]:
    genes, kind, name = asked
    score = gene_set_score(item.section, genes, kind, name=name)
    source = GeneSource("score", _KINDS[kind][0], _KINDS[kind][1])
    return item, score, asked, reading_of(Choice(item, source), name, score.values)
