"""Where expression counted, and where the image: the shares of a run over the tissue."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from qtpy.QtWidgets import QComboBox

from ...analysis.fusion import BRANCHES, fusion_by_domain, fusion_shares, why_no_fusion
from ...core.progress import Progress, Steps
from ...core.section import Section
from ..fields import make_button
from ..guard import slot
from ..model import DomainSet, Item
from ..parts import narrow_combo, plain_label
from .charts import ViolinChart, titled
from .panel import Panel
from .subject import Answer, Subject, labels_of
from .table import Column, FrameTable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["FusionPanel"]

_LEAST = 0.1
"""Narrowest range of the colours: shares that are all alike must not show their last decimals."""
_COLUMNS = (
    Column("domain", "Domain", width=0),
    Column("spots", "Spots", ",d", width=50),
    Column("expression", "Expression", ".1%", "Mean share of the expression.", 74),
    Column("image", "Image", ".1%", "Mean share of the image.", 52),
    Column("interaction", "Interaction", ".1%", "Mean share of what both say together.", 78),
)


class FusionPanel(Panel):
    """Shares of expression, image and interaction: over the tissue and by domain."""

    TITLE = "Expression and image"
    ABOUT = (
        "How much expression, the image and their interaction count in the embedding of each "
        "spot (fusion weights of MMSRL, mean of its replicates). They say what the network "
        "averaged, not what was right."
    )
    RUN = "Compare the shares"
    NEEDS_DOMAINS = 1

    def build(self) -> None:
        """Which share; bars and table."""
        self.part = narrow_combo(QComboBox())
        for name in BRANCHES:
            self.part.addItem(name.capitalize(), name)
        self.part.setCurrentIndex(BRANCHES.index("image"))
        self.part.setAccessibleName("Share of")
        self.part.setToolTip("Whose share is shown on the tissue; the three sum to 1.")
        self.part.currentIndexChanged.connect(self._on_part)
        self.fields.addRow("Share of", self.part)
        self.heading = titled("")
        self.results.addWidget(self.heading)
        self.violins = ViolinChart("Share by domain")
        self.results.addWidget(self.violins)
        self.rows = FrameTable(_COLUMNS, "Mean shares of the domains")
        self.results.addWidget(self.rows)
        self.legend = plain_label()
        self.legend.setAccessibleName("What the colours mean")
        self.results.addWidget(self.legend)
        self.show_layer = make_button(
            "Show on the tissue", "Bring the layer of the share to the front.", self._on_layer
        )
        self.results.addWidget(self.show_layer)

    def obstacle(self, item: Item, domains: DomainSet | None) -> str:
        """A result with shares."""
        return "" if domains is None else why_no_fusion(item.section, domains.key)

    def make(self, subject: Subject) -> Callable[[], Steps[Any]]:
        """Read the shares."""
        return partial(_steps, subject.section, subject.domains.key)

    def arrived(self, kind: str, found: Any, subject: Subject) -> None:
        """Show the chosen share."""
        del kind
        self._show(subject.item, subject.domains.key, found)

    def show_answer(self, found: dict[str, Any], answer: Answer) -> None:
        """Violins, table and what the colours mean."""
        shares: pd.DataFrame = found["main"]
        part = str(self.part.currentData())
        table = _by_domain(shares, answer)
        colors = self.colors(answer, table["domain"].tolist())
        self.heading.setText(f"Share of the {part} by domain")
        percent = _values(100 * shares[part], answer)
        self.violins.show_violins(percent, colors, "share (%)", least=100 * _LEAST)
        self.rows.show_frame(table, dict(zip(table["domain"], colors, strict=True)))
        low, high = _limits(shares[part].to_numpy())
        self.legend.setText(
            f"Colours: share of the {part} from {low:.0%} to {high:.0%} (1st to 99th "
            f"percentile, but a range of {_LEAST:.0%} at least)."
        )

    def table(self, answer: Answer) -> pd.DataFrame:
        """One row a spot."""
        assert answer.state is not None
        shares: pd.DataFrame = answer.found["main"]
        columns = {"spot": answer.spots, "domain": labels_of(answer.state)}
        return pd.DataFrame(columns).join(shares.reset_index(drop=True))

    def figure(self, answer: Answer) -> Figure:
        """The chosen share by domain."""
        from ...viz.plots import violin_figure

        part = str(self.part.currentData())
        values = _values(100 * answer.found["main"][part], answer)
        colors = self.colors(answer, list(values))
        return violin_figure(values, colors, label=f"Share of the {part} (%)")

    @slot
    def _on_part(self) -> None:
        if self.built and self.known(self.desk.session.selected_domains) is not None:
            self.show_again(self._show)
            self.desk.refresh()

    @slot
    def _on_layer(self) -> None:
        self.show_again(self._show)

    def _show(self, item: Item, key: str, found: pd.DataFrame) -> None:
        part = str(self.part.currentData())
        values = found[part].to_numpy()
        self.desk.show_values(
            item, "share", f"share of {part}", values, key=key, limits=_limits(values),
            colormap="viridis",
        )  # fmt: skip


def _steps(section: Section, key: str) -> Steps[pd.DataFrame]:
    yield Progress(0, 1, "reading shares")
    return fusion_shares(section, key)


def _labels(shares: pd.DataFrame, answer: Answer) -> pd.Series:
    assert answer.state is not None
    return labels_of(answer.state).set_axis(shares.index)


def _by_domain(shares: pd.DataFrame, answer: Answer) -> pd.DataFrame:
    return fusion_by_domain(shares, _labels(shares, answer))


def _values(share: pd.Series, answer: Answer) -> dict[str, NDArray[np.float64]]:
    """Finite values of each domain that has any, in the order of the table."""
    parts = share.dropna().groupby(_labels(share.to_frame(), answer), observed=True)
    return {str(name): part.to_numpy() for name, part in parts}


def _limits(values: NDArray[np.float64]) -> tuple[float, float]:
    """1st and 99th percentile, further apart where they are close."""
    known = values[np.isfinite(values)]
    low, high = np.percentile(known, (1, 99)) if known.size else (0.0, 1.0)
    missing = max(_LEAST - (high - low), 0.0)
    low = min(max(low - missing / 2, 0.0), 1 - _LEAST)
    return float(low), float(max(high + missing / 2, low + _LEAST))
