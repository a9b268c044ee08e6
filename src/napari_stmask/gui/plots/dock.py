"""The dock *Plots*: what follows the selected result, one plot at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QFormLayout, QTabBar

from ..desk_page import DeskPage
from ..guard import slot
from ..parts import SectionCombo, plain_label
from ..remember import recall, remember
from .losses_part import LossesPart
from .paga_part import PagaPart
from .umap_part import UmapPart
from .violin_part import ViolinPart

if TYPE_CHECKING:
    import napari

    from .part import PlotPart

__all__ = ["PlotsDock"]


class PlotsDock(DeskPage):
    """UMAP, violins, losses and PAGA of the result that all docks are about."""

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__(napari_viewer)
        self.viewer = napari_viewer
        form = QFormLayout()
        self.combo = SectionCombo(self.session)
        form.addRow("Section", self.combo)
        self.body.addLayout(form)
        self.result = plain_label()
        self.result.setAccessibleName("Result")
        self.body.addWidget(self.result)
        self.tabs = QTabBar()
        self.tabs.setAccessibleName("Plot")
        self.tabs.setDrawBase(False)
        self.body.addWidget(self.tabs)
        self.umap, self.violins = UmapPart(self.session), ViolinPart(self.session)
        self.losses, self.paga = LossesPart(self.session), PagaPart(self.session)
        self.parts: tuple[PlotPart, ...] = (self.umap, self.violins, self.losses, self.paga)
        for part in self.parts:
            self.tabs.addTab(part.TITLE)
            part.failed.connect(self.show_failure)
            part.said.connect(self.say)
            self.body.addWidget(part)
        self.state.setAccessibleName("State of the plots")
        self.body.addWidget(self.strip)
        self.body.addWidget(self.state)
        self.body.addStretch(1)
        self._built = True
        self.tabs.setCurrentIndex(recall("plots/tab", 0))
        self.tabs.currentChanged.connect(self._on_tab)
        for signal in (
            self.session.section_selected,
            self.session.section_changed,
            self.session.domains_selected,
            self.session.domains_changed,
            self.session.gene_selected,
            self.session.obs_changed,
        ):
            signal.connect(self.refresh)
        self.session.spots_selected.connect(self._on_spots)
        self.refresh()

    @slot
    def refresh(self) -> None:
        """Show the chosen plot of the selected result."""
        item, domains = self.session.selected, self.session.selected_domains
        self.strip.clear()
        self.say("")
        self.result.setText(f"{domains.title} ({domains.key})" if domains is not None else "")
        self.result.setVisible(domains is not None)
        for place, part in enumerate(self.parts):
            shown = place == self.tabs.currentIndex()
            part.setVisible(shown)
            if shown:
                part.follow(item, domains)

    @slot
    def _on_tab(self) -> None:
        remember("plots/tab", self.tabs.currentIndex())
        self.refresh()

    @slot
    def _on_spots(self) -> None:
        self.umap.show_chosen()

    def left(self) -> None:
        """Cancel what goes on: napari took the dock away."""
        for part in self.parts:
            part.left()
