"""Finished predictions of a viewer, found by their section; they leave with it."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from ...core.prediction import Prediction
from ...core.section import Section
from ..model import Item

if TYPE_CHECKING:
    from ..session import Session

__all__ = ["Known", "known_predictions", "remember"]


@dataclass(frozen=True, eq=False)
class Known:
    """A prediction and where its sections are in the window.

    Attributes
    ----------
    prediction
        What the run returned.
    item_id, target_id
        The predicted section, and the one whose image it was made from.
    reference_ids
        Name of a reference section -> its id; the section may have been closed.
    """

    prediction: Prediction
    item_id: str
    target_id: str
    reference_ids: dict[str, str]

    @property
    def section(self) -> Section:
        """The predicted genes."""
        return self.prediction.section

    @property
    def genes(self) -> pd.Index:
        """The panel."""
        found: pd.Index = self.section.adata.var_names
        return found

    @property
    def params(self) -> dict[str, Any]:
        """Parameters of the run."""
        return dict(self.prediction.record.get("params", {}))

    @property
    def measured(self) -> bool:
        """Whether the prediction could be compared with a measurement."""
        return "pcc" in self.section.adata.var

    def reference(self, session: Session, name: str) -> Item | None:
        """The open section that rows of ``references`` name, or None."""
        known = session.items.get(self.reference_ids.get(name, ""))
        if known is not None:
            return known
        if name in self.reference_ids:
            return None
        # A model from a file knows its references by name only.
        alike = [item for item in session.items.values() if item.section.name == name]
        return alike[0] if len(alike) == 1 else None


_KNOWN: weakref.WeakKeyDictionary[Item, Known] = weakref.WeakKeyDictionary()


def remember(item: Item, known: Known) -> None:
    """Keep a prediction as long as its section."""
    _KNOWN[item] = known


def known_predictions(session: Session) -> list[Known]:
    """Predictions whose sections are open, oldest first."""
    return [_KNOWN[item] for item in session.items.values() if item in _KNOWN]
