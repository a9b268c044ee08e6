"""Finished runs with gene modules that are open in a viewer; no Qt, and no torch before use."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ...core.provenance import records
from ..model import Item

if TYPE_CHECKING:
    from ...gene_atlas import GeneAtlas
    from ..session import Session

__all__ = ["GeneRun", "gene_runs"]


@dataclass(frozen=True, eq=False)
class GeneRun:
    """One run with gene modules on one section.

    Attributes
    ----------
    item_id, label
        The section in the window.
    key
        Name of the run.
    section
        As it was read; another reading is another run.
    vectors
        The array that the run wrote: a new run under the same name writes another one.
    """

    item_id: str
    label: str
    key: str
    section: Any
    vectors: Any

    @property
    def title(self) -> str:
        """For lists of runs."""
        return f"{self.label} \u00b7 {self.key}"

    @cached_property
    def atlas(self) -> GeneAtlas:
        """Its genes; the first call imports torch, so that it belongs into a worker."""
        from ...gene_atlas import genes_of

        return genes_of(self.section, self.key)

    def item(self, session: Session) -> Item | None:
        """The section, as long as it is open and was not read again."""
        found = session.items.get(self.item_id)
        return found if found is not None and found.section is self.section else None

    def unsaved(self, session: Session) -> bool:
        """Whether it was made in this window: the file of the section has no answers of it."""
        item = self.item(session)
        domains = item.domains.get(self.key) if item is not None else None
        return domains is not None and domains.result is not None


_KNOWN: weakref.WeakKeyDictionary[Item, dict[str, GeneRun]] = weakref.WeakKeyDictionary()


def gene_runs(session: Session) -> list[GeneRun]:
    """Runs with gene modules on open sections, in their order; the same objects as before."""
    found = []
    for item in session.items.values():
        adata, known = item.section.adata, _KNOWN.setdefault(item, {})
        for key in records(adata):
            vectors = adata.varm.get(f"X_{key}")
            if vectors is None or f"{key}_module" not in adata.var:
                continue
            run = known.get(key)
            if run is None or run.vectors is not vectors or run.section is not item.section:
                run = GeneRun(item.id, item.label, key, item.section, vectors)
                known[key] = run
            found.append(run)
    return found
