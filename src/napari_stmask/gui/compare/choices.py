"""What can be compared: results of a section with their variants, and its annotations; no Qt."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from ..model import VIEW_TITLES, DomainSet, Item

__all__ = ["Choice", "choices_of", "two_newest"]

_MOST = 100
"""Most categories of a column that is taken for domains."""


@dataclass(frozen=True)
class Choice:
    """A labeling of a section.

    Attributes
    ----------
    column
        Of ``obs``.
    title
        For lists and axes.
    key
        Result that it belongs to; empty for an annotation.
    """

    column: str
    title: str
    key: str = ""


def choices_of(item: Item) -> list[Choice]:
    """Results, the newest first, each with its variants; then other columns of categories."""
    obs = item.section.adata.obs
    found = [c for d in reversed(item.domains.values()) for c in _of_result(d) if c.column in obs]
    taken = {choice.column for choice in found}
    return [
        *found,
        *(Choice(str(c), str(c)) for c in obs.columns if c not in taken and _usable(obs[c])),
    ]


def two_newest(choices: list[Choice]) -> tuple[str, str]:
    """Columns of the two newest results; what is left of the list where there are fewer."""
    keys = list(dict.fromkeys(choice.key for choice in choices if choice.key))
    heads = [next(c.column for c in choices if c.key == key) for key in keys]
    notes = [choice.column for choice in choices if not choice.key]
    columns = [*dict.fromkeys([*heads, *notes, *(choice.column for choice in choices)]), "", ""]
    return columns[0], columns[1]


def _of_result(domains: DomainSet) -> Iterator[Choice]:
    """The shown partition, that before smoothing, and what parts of the input say alone."""
    key = domains.key
    seed = domains.record.get("params", {}).get("seed")
    title = domains.title + ("" if seed is None else f", seed {seed}")
    title += "" if domains.title.lower().startswith(f"{key} k") else f" ({key})"
    smooth = " \u00b7 smoothed" if domains.raw is not None else ""
    yield Choice(domains.column, title + smooth, key)
    if domains.raw is not None:
        yield Choice(key, f"{title} \u00b7 not smoothed", key)
    for view in domains.views:
        shown = VIEW_TITLES.get(view, view).lower()
        yield Choice(f"{key}_{view}", f"{title} \u00b7 {shown}", key)


def _usable(values: pd.Series) -> bool:
    if isinstance(values.dtype, pd.CategoricalDtype):
        if values.cat.categories.dtype.kind in "fc":
            return False
        if len(values.cat.categories) <= _MOST:
            # Counting which of them occur takes longer.
            return bool(values.notna().any())
    elif values.dtype.kind not in "bOUST":
        return False
    return bool(0 < values.nunique() <= _MOST)
