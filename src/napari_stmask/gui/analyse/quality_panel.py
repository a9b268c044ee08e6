"""How compact the domains are in the embedding, for each view of a result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import pandas as pd

from ...analysis.quality import embedding_quality
from ...core.progress import Progress, Steps
from ...core.result import VIEWS
from ..parts import plain_label
from .panel import Panel
from .subject import Answer, Subject
from .table import Column, FrameTable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["QualityPanel"]


@dataclass(frozen=True)
class _Index:
    full: str
    short: str
    form: str
    better: str
    tip: str


_INDICES = {
    "silhouette": _Index(
        "Silhouette", "Silh.", ".3f", "higher",
        "Nearness to the own domain against the next one, -1 to 1",
    ),
    "davies_bouldin": _Index(
        "Davies-Bouldin", "DB", ".3f", "lower",
        "Width of domains over the distance between them, from 0",
    ),
    "calinski_harabasz": _Index(
        "Calinski-Harabasz", "CH", ",.0f", "higher",
        "Spread between domains over that within, from 0",
    ),
    "s_dbw": _Index(
        "S_Dbw", "S_Dbw", ".3f", "lower",
        "Spread within domains plus density between them, from 0",
    ),
}  # fmt: skip
_TITLES = {"gene": "expression", "image": "image"}


class QualityPanel(Panel):
    """Four indices, one row for the result and for each of its views."""

    TITLE = "Quality without labels"
    ABOUT = (
        "How compact and separate the domains are in the embedding. Compare partitions of one "
        "embedding only; they say nothing about the tissue."
    )
    RUN = "Compute the indices"
    NEEDS_DOMAINS = 1
    NEEDS_EMBEDDING = True

    def build(self) -> None:
        """Table and what it means."""
        columns = [
            Column(
                "embedding", "View", tip="Part of the input that the embedding is made of.", width=0
            )
        ]
        columns += [
            Column(n, i.short, i.form, f"{i.full}: {i.tip}; {i.better} is better.", 52)
            for n, i in _INDICES.items()
        ]
        self.rows = FrameTable(columns, "Indices of the domains")
        self.results.addWidget(self.rows)
        lines = []
        for i in _INDICES.values():
            name = i.full if i.full == i.short else f"{i.full} ({i.short})"
            lines.append(f"{name}: {i.tip}. {i.better.capitalize()} is better.")
        self.results.addWidget(plain_label("\n".join(lines)))
        self.warning = plain_label(
            "\u26a0 Do not choose the size of the embedding by these numbers: with fewer "
            "dimensions the silhouette of any partition rises."
        )
        self.results.addWidget(self.warning)
        self.notes = plain_label()
        self.results.addWidget(self.notes)

    def make(self, subject: Subject) -> Callable[[], Steps[Any]]:
        """All four indices of every view."""
        return partial(_measured, subject)

    def show_answer(self, found: dict[str, Any], answer: Answer) -> None:
        """Fill the table."""
        del answer
        table: pd.DataFrame = found["main"]
        self.rows.show_frame(table)
        notes = dict.fromkeys(n for row in table["notes"] for n in row)
        self.notes.setText(" ".join(notes))
        self.notes.setVisible(bool(notes))

    def table(self, answer: Answer) -> pd.DataFrame:
        """The indices, the number of spots and domains, the notes."""
        table: pd.DataFrame = answer.found["main"]
        return table.assign(notes=[" ".join(n) for n in table["notes"]])

    def figure(self, answer: Answer) -> Figure:
        """Bars."""
        from ...viz.plots import quality_figure

        titles = {n: f"{i.full}\n({i.better} is better)" for n, i in _INDICES.items()}
        return quality_figure(answer.found["main"], titles)


def _measured(subject: Subject) -> Steps[pd.DataFrame]:
    adata, key = subject.section.adata, subject.domains.key
    views = [v for v in VIEWS if f"{key}_{v}" in adata.obs and f"X_{key}_{v}" in adata.obsm]
    rows = []
    for i, view in enumerate(("", *views)):
        name = _TITLES[view] if view else "joint" if views else "result"
        yield Progress(i, 1 + len(views), f"measuring {name}")
        column = f"{key}_{view}" if view else key
        labels = adata.obs[column] if view else subject.labels
        found = embedding_quality(adata.obsm[f"X_{column}"], labels)
        rows.append({"embedding": name, **asdict(found)})
    return pd.DataFrame(rows)
