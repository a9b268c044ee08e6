"""Whether a method's denoised genes say more than the mean of a spot's neighbours."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import pandas as pd
from qtpy.QtWidgets import QComboBox

from ...core.params import DomainParams
from ...core.progress import Steps
from ...core.section import Section
from ...models import available, params_of
from .. import settings
from ..export import snapshot
from ..fields import fill_presets
from ..guard import slot
from ..model import TITLES, DomainSet, Item
from ..parts import narrow_combo, plain_label
from .panel import Panel
from .subject import Answer, Whole
from .table import Column, FrameTable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["DenoisingPanel"]

_SCORES = ("median", "mean", "top_median")
_COLUMNS = (
    Column("prediction", "Prediction", width=0),
    Column("median", "Median", ".3f", "Median correlation of the genes.", 60, best=True),
    Column("mean", "Mean", ".3f", "Mean correlation of the genes.", 60, best=True),
    Column(
        "top_median",
        "Top 500",
        ".3f",
        "Median of the 500 genes with most molecules.",
        66,
        best=True,
    ),
)
_CONTROL = "20 PCs of the neighbour mean"
_SHORT = {_CONTROL: "its 20 PCs"}
_SHORTEST = {"raw counts": "raw", "neighbour mean": "mean", _CONTROL: "20 PCs"}


class DenoisingPanel(Panel):
    """A method that denoises against three controls, on molecules that it has not seen."""

    TITLE = "Denoising check"
    ABOUT = (
        "Trains a method on 80 % of the molecules and correlates each denoised gene over the "
        "spots with the rest. Noise bounds the level: compare the rows; they are no accuracy."
    )
    RUN = "Check the denoising"
    NEEDS_RESULT = False

    def build(self) -> None:
        """Method and preset; table and verdict."""
        self.method = narrow_combo(QComboBox())
        self.method.setAccessibleName("Method to check")
        self.method.setToolTip("Method whose denoised genes are checked; it is trained anew.")
        for name in available():
            if "denoise" in params_of(name).model_fields:
                self.method.addItem(TITLES.get(name, name), name)
        self.method.currentIndexChanged.connect(self._on_method)
        self.preset = narrow_combo(QComboBox())
        self.preset.setAccessibleName("Preset to check")
        self.preset.setToolTip("Parameters of the run; Recommended follows the platform.")
        self.fields.addRow("Method", self.method)
        self.fields.addRow("Preset", self.preset)
        self._on_method()
        self._shown: pd.DataFrame | None = None
        self.facts = plain_label()
        self.results.addWidget(self.facts)
        self.rows = FrameTable(_COLUMNS, "Correlation with unseen molecules")
        self.results.addWidget(self.rows)
        self.results.addWidget(plain_label("\u2605 best of its column; higher is better."))

    def obstacle(self, item: Item, domains: DomainSet | None) -> str:
        """A method that denoises."""
        del item, domains
        return "" if self.method.count() else "No method that is installed denoises genes."

    def about(self, item: Item, domains: DomainSet | None) -> Whole:
        """The section; its results do not matter."""
        del domains
        return Whole(item, item.section, snapshot(item.section))

    def make(self, subject: Whole) -> Callable[[], Steps[Any]]:
        """Train and score."""
        section = subject.section
        return partial(_checked, str(self.method.currentData()), section, self.params(section))

    def params(self, section: Section) -> DomainParams:
        """The preset for the platform of a section, on the device of the plugin's settings."""
        model = params_of(str(self.method.currentData()))
        preset = str(self.preset.currentData())
        values = settings.compute() | model.preset_values(preset, section.platform)
        found = model.checked(**values)
        assert isinstance(found, DomainParams)
        return found

    def known(self, domains: DomainSet | None) -> Answer | None:
        """The last answer about the selected section, as it was read."""
        del domains
        item = self.desk.session.selected
        return self._answers.get(item.section) if item is not None else None

    def show_answer(self, found: dict[str, Any], answer: Answer) -> None:
        """Fill table and verdict."""
        del answer
        table: pd.DataFrame = found["main"]
        self.facts.setText(_verdict(table))
        if table is not self._shown:
            self._shown = table
            self.rows.show_frame(_named(table, TITLES | _SHORT))

    def table(self, answer: Answer) -> pd.DataFrame:
        """One row a prediction."""
        found: pd.DataFrame = answer.found["main"]
        return found

    def figure(self, answer: Answer) -> Figure:
        """Bars."""
        from ...viz.plots import quality_figure

        table = _named(answer.found["main"], TITLES | _SHORTEST)
        titles = dict(zip(_SCORES, ("Median r", "Mean r", "Median r of\nthe top 500"), strict=True))
        return quality_figure(table.rename(columns={"prediction": "embedding"}), titles)

    @slot
    def _on_method(self) -> None:
        if self.method.count():
            fill_presets(self.preset, params_of(str(self.method.currentData())))


def _checked(method: str, section: Section, params: DomainParams) -> Steps[pd.DataFrame]:
    # Training needs torch, which takes seconds to load.
    from ...scoring import denoising_steps

    return (yield from denoising_steps(method, section, params))


def _named(table: pd.DataFrame, titles: dict[str, str]) -> pd.DataFrame:
    return table.assign(prediction=[titles.get(str(n), str(n)) for n in table["prediction"]])


def _verdict(table: pd.DataFrame) -> str:
    """Whether the method, in the first row, beats the strongest control."""
    medians = dict(zip(table["prediction"].astype(str), table["median"], strict=True))
    method = str(table["prediction"].iloc[0])
    title, genes = TITLES.get(method, method), int(table["genes"].iloc[0])
    better = medians[method] > medians[_CONTROL]
    verdict = "better" if better else "no better"
    return (
        f"{genes:,} genes. By the median, {title} predicts the rest {verdict} than the mean of "
        "the neighbours, rebuilt from 20 principal components: a control without training."
    )
