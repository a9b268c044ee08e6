"""The dock *Integrate sections*: choose, align, run, look."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QWidget

from ...features.alignment import Alignment
from ..desk_page import DeskPage, tab_bar
from ..guard import Failure, slot
from ..model import Item
from ..parts import plain_label
from ..run_card import RunCard
from ..runner import Job
from .align_part import AlignPart
from .job import IntegrateJob
from .known import known_of
from .result_part import ResultPart
from .run_part import RunPart
from .sections_part import SectionsPart

if TYPE_CHECKING:
    import napari

__all__ = ["IntegrateDock"]

_ABOUT = (
    "Run one method over several sections as one: domains mean the same in each of them, and "
    "carry the same colours."
)
_TABS = ("Sections", "Alignment", "Run", "Result")


class IntegrateDock(DeskPage):
    """Several open sections in one run."""

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__(napari_viewer)
        self.viewer = napari_viewer
        self._build()
        self._built = True
        self.follow(self._on_session)
        self.session.runner.ended.connect(self._on_run_ended)
        self._follow()
        self.result.show_known(known_of(self.session))
        self._on_tab()

    def _build(self) -> None:
        self.body.addWidget(plain_label(_ABOUT))
        self.tabs = tab_bar("Steps of an integration")
        self.body.addWidget(self.tabs)
        self.sections = SectionsPart(self.session)
        self.sections.changed.connect(self._on_sections)
        self.align = AlignPart(self.session, self.show_failure)
        self.align.changed.connect(self._on_align)
        self.run_part = RunPart(self, self.show_failure)
        self.run_part.started.connect(self._on_started)
        self.result = ResultPart(self.session, self.show_failure, self.say)
        self.result.arranged.connect(self._on_arranged)
        parts = (self.sections, self.align, self.run_part, self.result)
        self.pages: dict[str, QWidget] = dict(zip(_TABS, parts, strict=True))
        for title, page in self.pages.items():
            self.tabs.addTab(title)
            self.body.addWidget(page)
            self.leave_wheel(page)
        self.tabs.currentChanged.connect(self._on_tab)
        self.body.addWidget(self.strip)
        self.card = RunCard(self.session.runner)
        self.body.addWidget(self.card)
        self.state.hide()
        self.body.addWidget(self.state)
        self.body.addStretch(1)

    @property
    def busy(self) -> bool:
        """Whether something is being worked out besides a run."""
        return self.align.busy or self.run_part.busy or self.result.umap.worker.busy

    def open_tab(self, title: str) -> None:
        """Show one of the pages."""
        self.tabs.setCurrentIndex(_TABS.index(title))

    def items(self) -> list[Item]:
        """Sections in their order."""
        return self.sections.items()

    def joint_values(self) -> dict[str, Any]:
        """How they go together, as the first two pages say it."""
        values: dict[str, Any] = {
            "arrangement": self.sections.arrangement,
            "spacing_um": self.sections.spacing.value(),
        }
        return values | self.align.values()

    def alignments(self) -> list[Alignment] | None:
        """Where they lie, if that is known."""
        return self.align.alignments()

    def by_hand(self) -> bool:
        """Whether it was set by hand."""
        return self.align.chain is not None and self.align.chain.by_hand

    def gaps(self) -> list[float] | None:
        """Distances between them, if not the usual ones."""
        return self.sections.gaps()

    def accepted(self) -> bool:
        """Whether a doubtful alignment is used."""
        return self.align.accepted and self.sections.arrangement != "separate"

    def problem(self) -> str:
        """Why there can be no run, as far as the first two pages say it."""
        return self.sections.problem() or self.align.problem()

    def show_failure(self, failure: Failure | None) -> None:
        """Show what went wrong; None: nothing is wrong any more."""
        if failure is None:
            self.clear_failure()
            return
        super().show_failure(failure)
        self.bring(self.strip)

    def left(self) -> None:
        """Clean up: napari took the dock away."""
        self._built = False
        self.run_part.left()
        self.align.left()
        self.result.left()

    def _follow(self) -> None:
        """The chosen sections, their order or arrangement may be others."""
        ids = [item.id for item in self.sections.items()]
        self.align.follow(ids, self.sections.arrangement)
        self.run_part.follow()

    @slot
    def _on_session(self) -> None:
        if not self._built:
            return
        self.sections.refresh()
        self._follow()
        self.result.show_known(known_of(self.session))

    @slot
    def _on_sections(self) -> None:
        self._follow()

    @slot
    def _on_align(self) -> None:
        self.run_part.check()

    @slot
    def _on_arranged(self) -> None:
        self.align.adjust.follow()
        self.align.landmarks.follow()

    @slot
    def _on_tab(self) -> None:
        for place, page in enumerate(self.pages.values()):
            page.setVisible(place == self.tabs.currentIndex())
        # Nobody reads the estimate of a hidden page, so that it may be missing.
        self.run_part.check()

    @slot
    def _on_started(self) -> None:
        self.strip.clear()
        self.bring(self.card)

    @slot
    def _on_run_ended(self, job: Job) -> None:
        if not self._built or not isinstance(job, IntegrateJob) or job.known is None:
            return
        self.result.show_known(job.known)
        if not job.lost:
            self.align.adopt(job.ids, job.joint, job.known.alignments)
        else:
            self.say(f"Closed or read again in between: {', '.join(job.lost)}; not written there.")
        if job.watched:
            self.open_tab("Result")
            QTimer.singleShot(0, self._to_top)

    @slot
    def _to_top(self) -> None:
        self.scroller.verticalScrollBar().setValue(0)
