"""What every analysis of the dock has: a form, a reason not to run, an answer."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from qtpy.QtCore import QObject
from qtpy.QtWidgets import QFormLayout, QVBoxLayout, QWidget

from ...core.progress import Steps
from ..guard import Failure
from ..model import DomainSet, Item
from .subject import About, Answer, Subject, Whole, colors_of, count_domains

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .dock import AnalyseDock

__all__ = ["Panel"]


class Panel(QObject):
    """One analysis: ``form`` above the button, ``answer`` below it.

    Attributes
    ----------
    TITLE, ABOUT, RUN
        Name in the list, one sentence on what it answers, text of the button; without a text
        there is no button, and the panel answers by itself.
    NEEDS_RESULT, NEEDS_DOMAINS, NEEDS_EMBEDDING
        What a result must have for it.
    built
        Whether it is complete; signals may come before.
    """

    TITLE = ""
    ABOUT = ""
    RUN = "Run"
    NEEDS_RESULT = True
    NEEDS_DOMAINS = 2
    NEEDS_EMBEDDING = False

    def __init__(self, desk: AnalyseDock) -> None:
        super().__init__(desk)
        self.desk = desk
        self.form, self.answer = QWidget(), QWidget()
        self.fields = QFormLayout(self.form)
        self.fields.setContentsMargins(0, 0, 0, 0)
        self.fields.setSpacing(6)
        self.results = QVBoxLayout(self.answer)
        self.results.setContentsMargins(0, 0, 0, 0)
        self.results.setSpacing(6)
        # Answers leave with the result that they are about.
        self._answers: weakref.WeakKeyDictionary[Any, Answer] = weakref.WeakKeyDictionary()
        self.built = False
        self.build()
        self.built = True

    def build(self) -> None:
        """Fill ``fields`` and ``results``."""
        raise NotImplementedError

    def follow(self, item: Item | None, domains: DomainSet | None) -> None:
        """Another section or result is selected, or its domains were edited."""

    def left(self) -> None:
        """Another analysis is chosen, or the dock goes away."""

    def obstacle(self, item: Item, domains: DomainSet | None) -> str:
        """What else stands in the way of a run, one sentence; empty where nothing does."""
        del item, domains
        return ""

    def about(self, item: Item, domains: DomainSet | None) -> About:
        """What a run is about."""
        assert domains is not None
        return Subject.of(item, domains)

    def make(self, subject: Any) -> Callable[[], Steps[Any]]:
        """Read the form; the function that is given makes the stream, in a worker."""
        raise NotImplementedError

    def values(self, kind: str, found: Any) -> dict[str, NDArray[np.floating[Any]]]:
        """What is written on the section, by name."""
        del kind, found
        return {}

    def arrived(self, kind: str, found: Any, subject: Any) -> None:
        """The answer is known and written: show it on the tissue."""

    def show_answer(self, found: dict[str, Any], answer: Answer) -> None:
        """Fill ``answer``."""
        raise NotImplementedError

    def table(self, answer: Answer) -> pd.DataFrame:
        """What *Export CSV* writes; called in a worker."""
        raise NotImplementedError

    def figure(self, answer: Answer) -> Figure:
        """What *Export figure* draws; called in a worker."""
        raise NotImplementedError

    def show_failure(self, failure: Failure) -> None:
        """Show what went wrong."""
        self.desk.show_failure(failure)

    def reason(self, item: Item | None, domains: DomainSet | None) -> str:
        """Why it cannot run; empty where it can."""
        if item is None:
            return "No section is open: open one in the dock Open tissue."
        if not self.NEEDS_RESULT:
            return self.obstacle(item, domains)
        if domains is None:
            return "The section has no domains yet: run a method in the dock Find domains."
        if count_domains(domains.state) < self.NEEDS_DOMAINS:
            return "The result has a single domain: there is nothing to compare it with."
        if self.NEEDS_EMBEDDING and f"X_{domains.key}" not in item.section.adata.obsm:
            return f"The result has no embedding (obsm has no 'X_{domains.key}'): run a method."
        return self.obstacle(item, domains)

    def anchor(self, domains: DomainSet | None) -> Any:
        """What an answer belongs to."""
        return domains if self.NEEDS_RESULT else self.desk.session

    def known(self, domains: DomainSet | None) -> Answer | None:
        """The last answer about a result."""
        anchor = self.anchor(domains)
        return None if anchor is None else self._answers.get(anchor)

    def keep(self, kind: str, found: Any, subject: Any) -> None:
        """Remember an answer; those to further questions go with the main one."""
        if isinstance(subject, Subject):
            old, before = self._answers.get(subject.domains), {}
            if kind != "main" and old is not None and old.state is subject.state:
                before = old.found
            self._answers[subject.domains] = Answer(
                {**before, kind: found}, subject.state, subject.section.adata.obs_names
            )
        else:
            anchor = subject.origin if isinstance(subject, Whole) else self.desk.session
            self._answers[anchor] = Answer({kind: found})

    def show_again(self, show: Callable[[Item, str, Any], None], kind: str = "main") -> None:
        """Call ``show`` with the selected section, the key of its result and what is known."""
        session = self.desk.session
        answer = self.known(session.selected_domains)
        if session.selected is not None and answer is not None and kind in answer.found:
            show(session.selected, session.selected_key or "", answer.found[kind])

    def colors(self, answer: Answer, names: list[str] | tuple[str, ...]) -> list[str]:
        """Colours of domains as the legend shows them now."""
        domains = self.desk.session.selected_domains
        state = domains.state if answer.fits(domains) and domains is not None else answer.state
        assert state is not None
        return colors_of(state, names)
