"""What can be shown of a gene, and its values, read in a worker; no Qt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ...analysis.coverage import COVERAGE
from ...analysis.gene_sources import GeneSource, gene_sources, gene_values, has_gene
from ...core.prediction import prediction_record
from ...core.section import Section
from ..limits import ordered
from ..model import TITLES, Item
from .gene_index import GeneIndex, index_of

__all__ = ["Choice", "Prepared", "Reading", "choices_of", "kin", "prepare", "read", "reading_of"]


@dataclass(frozen=True, eq=False)
class Choice:
    """A source of a section that may be ticked.

    Attributes
    ----------
    item
        The section: the selected one, or one that was predicted from it or for it.
    source
        Which of its values.
    own
        Whether it is the selected section itself.
    """

    item: Item
    source: GeneSource
    own: bool = True

    @property
    def name(self) -> str:
        """Identity among the ticks, which they keep from section to section."""
        return self.source.name if self.own else f"{self.item.id}/{self.source.name}"

    @property
    def title(self) -> str:
        """For the tick and for layers."""
        made = TITLES.get(self.source.method, self.source.method)
        title = f"{self.source.title} ({made})" if made else self.source.title
        return title if self.own else f"{title}, {self.item.label}"


@dataclass(frozen=True, eq=False)
class Reading:
    """Values of one gene, or of a score, from one source.

    Attributes
    ----------
    choice
        From where.
    gene
        What is shown.
    values
        (n_spots,) float32.
    picture
        (rows, columns) float32 of the section's index map.
    known
        Sorted values without zeros.
    """

    choice: Choice
    gene: str
    values: NDArray[np.float32]
    picture: NDArray[np.float32] = field(repr=False)
    known: NDArray[np.float64] = field(repr=False)

    @property
    def title(self) -> str:
        """Gene and source."""
        return f"{self.gene} \u00b7 {self.choice.title}"


@dataclass(frozen=True, eq=False)
class Prepared:
    """What is found out about a section once: the search over its genes, and what can be ticked."""

    item: Item
    section: Section
    index: GeneIndex
    choices: list[Choice]


def prepare(item: Item, known: GeneIndex | None, others: Sequence[Item]) -> Prepared:
    """Search and sources of a section; its index map is made on the way.

    ``others`` are the open sections, among which its predictions may be.
    """
    assert item.raster is not None
    section = item.section
    return Prepared(item, section, known or index_of(section), choices_of(item, others))


def choices_of(item: Item, others: Sequence[Item]) -> list[Choice]:
    """What can be ticked: sources of the section, then those of what belongs to it."""
    found = [Choice(item, source) for source in gene_sources(item.section)]
    for other in others:
        if other is not item and kin(item.section, other.section):
            # Only the first: the measured values, or what was predicted.
            own = gene_sources(other.section)
            wanted = [s for s in own if s.name in ("predicted", "imputed", "normalised")]
            found += [Choice(other, source, own=False) for source in wanted]
    return found


def kin(one: Section, other: Section) -> bool:
    """Whether one of two sections was predicted or imputed for the other."""
    for made, base in ((one, other), (other, one)):
        record = prediction_record(made)
        if record is not None and record.get("target") == base.name:
            return True
        if COVERAGE in made.adata.uns and COVERAGE not in base.adata.uns:
            return bool(made.adata.obs_names.equals(base.adata.obs_names))
    return False


def reading_of(choice: Choice, gene: str, values: NDArray[np.floating]) -> Reading:
    """Values with their picture and their order."""
    shown = np.asarray(values, dtype=np.float32)
    return Reading(choice, gene, shown, choice.item.raster.values(shown), ordered(shown))


def read(choices: Sequence[Choice], gene: str) -> tuple[str, list[Reading], list[Choice]]:
    """The gene from each source that knows it, and the sources that do not."""
    found, without = [], []
    for choice in choices:
        section = choice.item.section
        if has_gene(section, gene, choice.source.name):
            values = gene_values(section, gene, choice.source.name)
            found.append(reading_of(choice, gene, values))
        else:
            without.append(choice)
    return gene, found, without
