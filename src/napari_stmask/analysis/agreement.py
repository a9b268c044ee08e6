"""How far two labelings of the same spots agree: scores, partners, and where they differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics.cluster import contingency_matrix

from ..core.errors import DataError, ParameterError
from ..core.section import Section
from .inputs import groups_of
from .match import partners
from .scores import against_truth

__all__ = ["Agreement", "agreement", "compare", "one_against_rest"]


@dataclass(frozen=True, eq=False)
class Agreement:
    """Two labelings of the same spots, compared.

    Attributes
    ----------
    titles
        What the first and the second are called.
    codes
        (n_spots,) intp of the first and of the second, indices into ``names``; -1 for none.
    names
        Names of the domains of the first and of the second.
    scores
        ``ARI``, ``NMI``, ``AMI``, ``homogeneity`` (no domain of the second mixes domains of the
        first), ``completeness`` (no domain of the first is divided by the second),
        ``agreeing`` (share of spots that lie in partners), ``spots`` (compared) and
        ``left_out``.
    counts
        Domains of the first x domains of the second: spots that have both.
    partner
        Code of the second -> code of the first; one to one, with the largest total overlap.
        Domains that share no spot are never partners.
    """

    titles: tuple[str, str]
    codes: tuple[NDArray[np.intp], NDArray[np.intp]]
    names: tuple[list[str], list[str]]
    scores: Mapping[str, float]
    counts: pd.DataFrame
    partner: Mapping[int, int]

    @property
    def known(self) -> NDArray[np.bool_]:
        """(n_spots,) True for spots that have a domain in both."""
        return (self.codes[0] >= 0) & (self.codes[1] >= 0)

    @cached_property
    def matched(self) -> NDArray[np.intp]:
        """(n_spots,) the second in numbers of the first; domains without a partner follow."""
        number = len(self.names[0])
        table = np.full(len(self.names[1]) + 1, -1, dtype=np.intp)
        for code in range(len(self.names[1])):
            table[code] = self.partner.get(code, number)
            number += code not in self.partner
        # The last entry is hit by the code -1.
        return np.asarray(table[self.codes[1]])

    @cached_property
    def disagree(self) -> NDArray[np.bool_]:
        """(n_spots,) True where a spot has both and they are no partners."""
        return np.asarray(self.known & (self.matched != self.codes[0]))

    @property
    def order(self) -> tuple[list[int], list[int]]:
        """Codes of both, so that partners have the same place, those without one last."""
        of_first = {first: second for second, first in self.partner.items()}
        paired = [code for code in range(len(self.names[0])) if code in of_first]
        rows = [*paired, *(c for c in range(len(self.names[0])) if c not in of_first)]
        columns = [of_first[code] for code in paired]
        return rows, [*columns, *(c for c in range(len(self.names[1])) if c not in self.partner)]

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row a domain of the first, then those of the second without a partner.

        Columns ``domain``, ``spots``, ``partner``, ``partner_spots``, ``shared``,
        ``precision`` (share of the partner's spots that are the domain's), ``recall`` (share of
        the domain's spots that are the partner's), ``f1``, ``jaccard``, and ``ari``: that of the
        domain against the rest with the partner against the rest. Spots of both count; without
        a partner the scores are 0, and those of an empty domain NaN.
        """
        counts = self.counts.to_numpy()
        rows, columns, total = counts.sum(axis=1), counts.sum(axis=0), int(counts.sum())
        of_first = {first: second for second, first in self.partner.items()}
        out = []
        for code, name in enumerate(self.names[0]):
            second = of_first.get(code)
            shared, other = (
                (0, 0) if second is None else (int(counts[code, second]), int(columns[second]))
            )
            out.append(
                {
                    "domain": name,
                    "spots": int(rows[code]),
                    "partner": None if second is None else self.names[1][second],
                    "partner_spots": other,
                    "shared": shared,
                    **_overlap(shared, int(rows[code]), other, total),
                }
            )
        for code, name in enumerate(self.names[1]):
            if code not in self.partner:
                spots = int(columns[code])
                facts = {"domain": None, "spots": 0, "partner": name, "partner_spots": spots}
                out.append({**facts, "shared": 0, **_overlap(0, 0, spots, total)})
        return pd.DataFrame(out)

    def spots_of(self, first: int, second: int) -> NDArray[np.intp]:
        """Rows of the spots that have the code ``first`` and the code ``second``."""
        return np.flatnonzero((self.codes[0] == first) & (self.codes[1] == second))


def agreement(
    first: pd.Series, second: pd.Series, *, titles: tuple[str, str] | None = None
) -> Agreement:
    """Compare two categorical labelings of the same spots.

    Parameters
    ----------
    first, second
        (n_spots,) labels; missing values are spots without a label, which are left out and
        counted. Where the second's index holds every name of the first's, spots are matched
        by name, otherwise they are taken in order.
    titles
        What the two are called; by default the names of the columns.

    Raises
    ------
    ParameterError
        If the lengths differ, or one has so many values that they are no domains.
    DataError
        If no spot has both.
    """
    one, two = groups_of(first), groups_of(second, first.index)
    both = (one.codes >= 0) & (two.codes >= 0)
    if not both.any():
        raise DataError("no spot has a label in both", "choose another labeling")
    counts = np.zeros((len(one.names), len(two.names)), dtype=np.intp)
    a, b = one.codes[both], two.codes[both]
    counts[np.ix_(np.unique(a), np.unique(b))] = contingency_matrix(a, b)
    called = titles or (str(first.name), str(second.name))
    partner = partners(two.codes, one.codes)
    scores = against_truth(pd.Series(a), pd.Series(b))
    shared = sum(int(counts[i, j]) for j, i in partner.items())
    kept = ("ARI", "NMI", "AMI", "homogeneity", "completeness")
    return Agreement(
        titles=called,
        codes=(one.codes, two.codes),
        names=(one.names, two.names),
        scores={name: scores[name] for name in kept}
        | {"agreeing": shared / a.size, "spots": float(a.size), "left_out": float((~both).sum())},
        counts=pd.DataFrame(
            counts,
            index=pd.Index(one.names, name="first"),
            columns=pd.Index(two.names, name="second"),
        ),
        partner=partner,
    )


def compare(
    section: Section, first: str, second: str, *, other: Section | None = None
) -> Agreement:
    """Compare two columns of a section: results, annotations, or one of each.

    Parameters
    ----------
    section
        With the column ``first`` in ``obs``.
    first, second
        Columns of text or categories.
    other
        Where ``second`` is, if in another file of the same spots; they are joined by barcode,
        and spots that it lacks are left out.

    Returns
    -------
    Agreement
        With ``scores``, ``counts``, ``table``, ``partner`` and ``disagree``.

    Raises
    ------
    ParameterError
        If a column is not there, or holds numbers.
    DataError
        If no spot has both labels, or barcodes of ``other`` are not unique.
    """
    one = _column(section, first)
    two = _column(section if other is None else other, second)
    if other is not None:
        if not two.index.is_unique:
            raise DataError(f"{other.where}: barcodes occur twice", "give unique names to spots")
        if not one.index.isin(two.index).any():
            raise DataError(
                f"{section.where} and {other.where} share no barcode", "give files of one section"
            )
        two = two.reindex(one.index)
    return agreement(one, two, titles=(first, second))


def one_against_rest(shared: int, first: int, second: int, total: int) -> float:
    """Adjusted Rand index of one domain against the rest with another against the rest.

    Parameters
    ----------
    shared
        Spots of both domains.
    first, second
        Spots of each.
    total
        All spots.

    Returns
    -------
    float
        1 for the same spots, around 0 for chance; 1 where neither divides the spots.
    """
    cells = np.array([shared, first - shared, second - shared, total - first - second + shared])
    pairs = float(_pairs(cells).sum())
    rows = float(_pairs(np.array([first, total - first])).sum())
    columns = float(_pairs(np.array([second, total - second])).sum())
    every = float(_pairs(np.array([total]))[0])
    expected = rows * columns / every if every else 0.0
    most = (rows + columns) / 2
    return 1.0 if most == expected else (pairs - expected) / (most - expected)


def _pairs(sizes: NDArray[np.integer]) -> NDArray[np.float64]:
    """Pairs among so many spots."""
    known = sizes.astype(np.float64)
    return np.asarray(known * (known - 1) / 2)


def _overlap(shared: int, first: int, second: int, total: int) -> dict[str, float]:
    """Scores of a domain of ``first`` spots and its partner of ``second`` spots."""
    union = first + second - shared
    if not union:
        return dict.fromkeys(("precision", "recall", "f1", "jaccard", "ari"), float("nan"))
    return {
        "precision": shared / second if second else 0.0,
        "recall": shared / first if first else 0.0,
        "f1": 2 * shared / (first + second),
        "jaccard": shared / union,
        "ari": one_against_rest(shared, first, second, total) if first and second else 0.0,
    }


def _column(section: Section, name: str) -> pd.Series:
    obs = section.adata.obs
    if name not in obs:
        found = ", ".join(str(c) for c in obs.columns if obs[c].dtype.kind not in "fc") or "none"
        raise ParameterError(
            f"{section.where}: there is no '{name}' in obs", f"name a column (found: {found})"
        )
    values: pd.Series = obs[name]
    if values.dtype.kind in "fc":
        raise ParameterError(
            f"{section.where}: obs['{name}'] holds numbers, which are no domains",
            "name a column of categories",
        )
    return values
