"""Where a spot looks: the spots that a clicked one attends to, over the tissue."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from qtpy.QtCore import QSignalBlocker
from qtpy.QtWidgets import QComboBox

from ...analysis.attention import (
    Attention,
    attention_from,
    attention_parts,
    spread,
    why_no_attention,
)
from ..fields import make_button
from ..guard import slot
from ..layer_tuples import our_meta
from ..layers import layers_of
from ..model import DomainSet, Item
from ..parts import narrow_combo, plain_label
from .charts import BarChart, titled
from .panel import Panel
from .picking import PickButton, SpotMark
from .spot_values import ROLE
from .subject import Answer, labels_of
from .table import Column, FrameTable

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from napari.layers import Layer

__all__ = ["AttentionPanel"]

_NAME = "attention"
"""Of the layer."""
_ROWS = ("weight", "spots")
_LEAST = 1.0
"""Lowest upper end of the colours: twice the weight of looking everywhere alike. Without it a
spot that does so would show its last decimals."""
_COLUMNS = (
    Column("domain", "Domain", width=0),
    Column("spots", "Spots", ",d"),
    Column("weight", "Weight", ".1%", "Share of the weight that goes to the domain.", 70),
    Column(
        "relative",
        "Against all",
        ".2f",
        "That share over the domain's share of the spots; 1 is looking everywhere alike.",
        86,
    ),
)


class AttentionPanel(Panel):
    """Weights of the long-range attention of one spot; a click shows them at once."""

    TITLE = "Attention"
    ABOUT = (
        "Which spots anywhere on the section inform a spot (long-range attention of MMSRL, of "
        "its first replicate)."
    )
    RUN = ""
    NEEDS_DOMAINS = 1

    def build(self) -> None:
        """Spot and part of the input; facts, bars and table."""
        self._of: weakref.ref[DomainSet] | None = None
        self._hidden: list[weakref.ref[Layer]] = []
        self._away = False
        self._mark = SpotMark(self.desk.session, "looks from here")
        self.part = narrow_combo(QComboBox())
        self.part.setAccessibleName("Attention of")
        self.part.setToolTip("Whether the spots attend to one another by expression or by image.")
        self.part.currentIndexChanged.connect(self._on_part)
        self.fields.addRow("Attention of", self.part)
        self.pick = PickButton(
            self.desk.session,
            "Click spots",
            "Every click on the tissue shows where that spot looks; Escape, or this button "
            "again, ends it.",
            "Click a spot; the next click looks from another one. Escape ends it.",
            stays=True,
        )
        self.pick.began.connect(self._on_began)
        self.pick.picked.connect(self._on_picked)
        self.picker, self.said = self.pick.picker, self.pick.said
        self.fields.addRow(self.pick)
        self.fields.addRow(self.said)
        self.facts = plain_label()
        self.results.addWidget(self.facts)
        self.results.addWidget(titled("Domains that it looks at"))
        self.bars = BarChart("Domains in the weight and among the spots")
        self.results.addWidget(self.bars)
        self.rows = FrameTable(_COLUMNS, "Weight of the domains")
        self.results.addWidget(self.rows)
        self.legend = plain_label()
        self.legend.setAccessibleName("What the colours mean")
        self.results.addWidget(self.legend)
        self.show_layer = make_button(
            "Show on the tissue", "Bring the layer of the attention to the front.", self._on_layer
        )
        self.results.addWidget(self.show_layer)

    def obstacle(self, item: Item, domains: DomainSet | None) -> str:
        """A result with attention."""
        return "" if domains is None else why_no_attention(item.section, domains.key)

    def follow(self, item: Item | None, domains: DomainSet | None) -> None:
        """Another section or result ends the clicking; edited domains are summed anew."""
        section = item.section if item is not None else None
        usable = item is not None and domains is not None and not self.reason(item, domains)
        if not usable or domains is not (self._of() if self._of is not None else None):
            self.picker.stop()
            self._retire()
            self._of = weakref.ref(domains) if domains is not None else None
        parts = attention_parts(section, domains.key) if usable and section and domains else []
        with QSignalBlocker(self.part):
            kept = self.part.currentData()
            self.part.clear()
            for part in parts:
                self.part.addItem(part.capitalize(), part)
            self.part.setCurrentIndex(max(self.part.findData(kept), 0))
        self.part.setEnabled(len(parts) > 1)
        self.pick.setEnabled(usable)
        answer = self.known(domains)
        if usable and answer is not None and not answer.fits(domains):
            self._look(answer.found["main"].spot)
        elif usable and answer is not None and self._away and self.desk.present(self):
            self.show_again(self._show)
        self._away = self._away and not self.desk.present(self)
        self._draw()

    def left(self) -> None:
        """Nobody sees any more that clicks are awaited."""
        self.picker.stop()
        self._mark.remove()
        self._retire()
        self._away = True

    def show_answer(self, found: dict[str, Any], answer: Answer) -> None:
        """Facts, bars and table."""
        main: Attention = found["main"]
        assert answer.spots is not None
        assert answer.state is not None
        code = int(answer.state.codes[main.spot])
        where = f"domain {answer.state.names[code]}" if code >= 0 else "no domain"
        first = f"From spot {answer.spots[main.spot]} ({where}), by {main.part}."
        self.facts.setText("\n".join([first, *spread(main)]))
        names = main.table["domain"].tolist()
        colors = self.colors(answer, names)
        self.bars.show_shares(main.shares, _ROWS, names, colors, "share")
        self.rows.show_frame(main.table, dict(zip(names, colors, strict=True)))
        top = _shown(main, clear=True)[1]
        self.legend.setText(
            "Colours: log2 of the weight over that of looking at all spots alike, from 0 (as "
            f"much) to {top:.1f} ({2**top:,.0f} times as much; 99th percentile). Less than 0: "
            "clear over an image, else the lowest colour."
        )

    def table(self, answer: Answer) -> pd.DataFrame:
        """One row a spot."""
        assert answer.state is not None
        main: Attention = answer.found["main"]
        columns = {
            "spot": answer.spots,
            "domain": labels_of(answer.state),
            "weight": main.weights,
            "log2_relative": main.log2_relative,
        }
        return pd.DataFrame(columns)

    def figure(self, answer: Answer) -> Figure:
        """Bars of the domains."""
        from ...viz.plots import composition_figure

        main: Attention = answer.found["main"]
        names = main.table["domain"].tolist()
        return composition_figure(
            main.shares, _ROWS, names, self.colors(answer, names), label="Share", rows_label=""
        )

    def _look(self, spot: int) -> None:
        """Compute, which takes one product of a matrix and a vector, and show."""
        item, domains = self.desk.session.selected, self.desk.session.selected_domains
        if item is None or domains is None:
            return
        found = attention_from(
            item.section,
            domains.key,
            spot,
            part=str(self.part.currentData()),
            domains=labels_of(domains.state),
        )
        names = item.section.adata.obs_names
        self._answers[domains] = Answer({"main": found}, domains.state, names)
        self._show(item, domains.key, found)

    def _draw(self) -> None:
        """Mark the spot on the canvas while the panel is there."""
        item, answer = self.desk.session.selected, self.known(self.desk.session.selected_domains)
        if item is not None and answer is not None and self.desk.present(self):
            main: Attention = answer.found["main"]
            self._mark.ring(item, main.spot)
        else:
            self._mark.remove()

    def _cover(self, item: Item) -> None:
        """Hide the domains over an image, whose colours would mix with those of the weights."""
        viewer = self.desk.session.viewer
        if viewer is None or item.section.image is None:
            return
        for layer in layers_of(viewer, item.id, "domains"):
            if layer.visible:
                layer.visible = False
                self._hidden.append(weakref.ref(layer))

    def _uncover(self) -> None:
        """Show the domains again that were hidden."""
        hidden, self._hidden = self._hidden, []
        for layer in (one() for one in hidden):
            if layer is not None:
                layer.visible = True

    def _retire(self) -> None:
        """The domains instead of the attention, whose clear parts would let them through."""
        viewer = self.desk.session.viewer
        if viewer is not None and self._hidden:
            for layer in viewer.layers:
                meta = our_meta(layer)
                if meta.get("role") == ROLE and meta.get("value") == _NAME:
                    layer.visible = False
        self._uncover()

    @slot
    def _on_part(self) -> None:
        answer = self.known(self.desk.session.selected_domains)
        if answer is not None and self.part.count():
            self._look(answer.found["main"].spot)
            self.desk.refresh()

    @slot
    def _on_began(self) -> None:
        if self.desk.session.selected is not None:
            self._cover(self.desk.session.selected)

    @slot
    def _on_picked(self, spot: int) -> None:
        self.desk.clear_failure()
        self._look(spot)
        self._draw()
        self.desk.refresh()

    @slot
    def _on_layer(self) -> None:
        self.show_again(self._show)

    def _show(self, item: Item, key: str, found: Attention) -> None:
        self._cover(item)
        values, top = _shown(found, clear=item.section.image is not None)
        self.desk.show_values(
            item, _NAME, "attention (log2)", values, key=key, limits=(0.0, top),
            colormap="viridis",
        )  # fmt: skip


def _shown(found: Attention, *, clear: bool) -> tuple[NDArray[np.float64], float]:
    """Values of the layer and their upper end.

    The weights themselves span so many powers of ten that a few spots would be all that is seen.
    What is below looking everywhere alike is NaN where it is to be ``clear``, else 0.
    """
    values = found.log2_relative
    above = values[values > 0]
    top = float(np.percentile(above, 99)) if above.size else _LEAST
    return np.where(values > 0, values, np.nan if clear else 0.0), max(top, _LEAST)
