"""Area, certainty and top markers of the shown domains, found in the background."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal

from ..analysis.domain_facts import domain_facts, top_markers
from ..core.errors import DataError
from ..core.section import Section
from .background import Background
from .guard import Failure, slot
from .model import DomainSet, Item

__all__ = ["DomainNumbers", "NumbersReader"]


@dataclass(frozen=True, eq=False)
class DomainNumbers:
    """What the legend says of each domain beside its spots.

    Attributes
    ----------
    codes
        The partition that they are of.
    area
        (k,) mm\u00b2, NaN where unknown.
    confidence
        (k,) mean certainty, NaN where unknown.
    markers
        Up to three genes a domain.
    """

    codes: NDArray[np.intp]
    area: NDArray[np.float64]
    confidence: NDArray[np.float64]
    markers: tuple[tuple[str, ...], ...]


class NumbersReader(QObject):
    """``found(DomainNumbers)`` once they are known; a newer question makes an older one void."""

    found = Signal(object)
    failed = Signal(object)

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._known: DomainNumbers | None = None
        self._worker = Background(self)
        self._worker.done.connect(self._on_done)
        self._worker.failed.connect(self._on_failed)

    def ask(self, item: Item | None, domains: DomainSet | None) -> DomainNumbers | None:
        """What is known at once; else it is looked for, and told by ``found``."""
        if item is None or domains is None:
            self._worker.forget()
            return None
        state = domains.drawn
        if self._known is not None and self._known.codes is state.codes:
            return self._known
        self._worker.start(_numbers, item.section, state.codes, len(state.names), domains.key)
        return None

    @slot
    def _on_done(self, numbers: DomainNumbers) -> None:
        self._known = numbers
        self.found.emit(numbers)

    @slot
    def _on_failed(self, failure: Failure) -> None:
        self.failed.emit(failure)


def _numbers(section: Section, codes: NDArray[np.intp], k: int, key: str) -> DomainNumbers:
    facts = domain_facts(section, codes, k, key=key)
    names = [str(i) for i in range(k)]
    markers: dict[str, list[str]] = {name: [] for name in names}
    try:
        table: Any = top_markers(section, codes, names)
    except DataError:
        # No counts, no markers; area and certainty are still known.
        table = None
    if table is not None:
        for domain, gene in zip(table["domain"], table["gene"], strict=True):
            markers[str(domain)].append(str(gene))
    return DomainNumbers(
        codes,
        facts["area_mm2"].to_numpy(dtype=float),
        facts["confidence"].to_numpy(dtype=float),
        tuple(tuple(markers[name]) for name in names),
    )
