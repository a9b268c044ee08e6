"""What domains are made of: another column of the spots, as shares or as distributions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import chi2_contingency, kruskal

from ..core.errors import DataError, ParameterError
from ..core.result import MAX_DOMAINS
from ..core.section import Section
from .inputs import groups_of

__all__ = ["CAUTION", "Composition", "Spread", "compose", "composition_columns", "is_numeric"]

CAUTION = (
    "Neighbouring spots are alike and count as one another's evidence: the size of the effect is "
    "given, and no p-value."
)


@dataclass(frozen=True, eq=False)
class Composition:
    """Domains against the categories of another column.

    Attributes
    ----------
    column
        Name of the other column.
    counts
        Domains x categories, spots that have both.
    cramers_v
        Cramér's V, bias-corrected (Bergsma 2013): 0 for none and 1 for a complete association.
        NaN where there is a single domain or category.
    chi_square
        Pearson's statistic without continuity correction; NaN like V.
    left_out
        Spots that lack one of the two.
    """

    column: str
    counts: pd.DataFrame
    cramers_v: float
    chi_square: float
    left_out: int

    def shares(self, *, by_category: bool = False) -> pd.DataFrame:
        """Domains x categories: shares of each domain's spots, or of each category's.

        Rows sum to 1, or columns do with ``by_category``; those without spots are NaN.
        """
        table = self.counts.to_numpy(dtype=np.float64)
        total = table.sum(axis=0 if by_category else 1, keepdims=True)
        share = np.divide(table, total, out=np.full_like(table, np.nan), where=total > 0)
        return pd.DataFrame(share, index=self.counts.index, columns=self.counts.columns)

    def table(self) -> pd.DataFrame:
        """One row a pair: domain, category, spots and both shares."""
        domains, categories = self.counts.index, self.counts.columns
        long = pd.DataFrame(
            {
                "domain": np.repeat(domains.to_numpy(dtype=object), len(categories)),
                "category": np.tile(categories.to_numpy(dtype=object), len(domains)),
                "spots": self.counts.to_numpy().ravel(),
            }
        )
        long["share_of_domain"] = self.shares().to_numpy().ravel()
        long["share_of_category"] = self.shares(by_category=True).to_numpy().ravel()
        return long


@dataclass(frozen=True, eq=False)
class Spread:
    """A column of numbers by domain.

    Attributes
    ----------
    column
        Its name.
    values
        Domain -> the finite values of its spots.
    summary
        One row a domain: ``domain``, ``spots``, ``mean``, ``sd``, ``q25``, ``median``, ``q75``.
    epsilon_squared
        Share of the variance of the ranks that domains explain, 0 to 1: ``H / (n - 1)`` of
        Kruskal and Wallis. NaN where there is a single domain or no variation.
    h
        Kruskal's and Wallis' statistic; NaN like epsilon squared.
    left_out
        Spots without a domain or without a number.
    """

    column: str
    values: dict[str, NDArray[np.float64]]
    summary: pd.DataFrame
    epsilon_squared: float
    h: float
    left_out: int

    def table(self) -> pd.DataFrame:
        """The summary."""
        return self.summary


def compose(section: Section, domains: pd.Series, column: str) -> Composition | Spread:
    """Compare domains with another column of the spots.

    Parameters
    ----------
    section
        Whose ``obs`` holds the column.
    domains
        (n_spots,) labels; missing values are spots without a domain.
    column
        Name of a column: categories, texts and truth values are counted, numbers are summed up.

    Returns
    -------
    Composition or Spread
        Of categories or of numbers.

    Raises
    ------
    ParameterError
        If there is no such column, or it has so many values that they are no categories.
    DataError
        If no spot has both.
    """
    obs = section.adata.obs
    if column not in obs:
        raise ParameterError(
            f"{section.where} has no column '{column}' in obs",
            f"use one of: {', '.join(map(str, obs.columns)) or 'none is there'}",
        )
    if is_numeric(obs[column]):
        return _spread(section, domains, column)
    rows = groups_of(domains, section.adata.obs_names)
    columns = groups_of(obs[column], at_least=0)
    both = (rows.codes >= 0) & (columns.codes >= 0)
    if not both.any():
        raise DataError(f"no spot has a domain and a value in '{column}'", "choose another column")
    counts = pd.crosstab(
        pd.Categorical.from_codes(rows.codes[both], pd.Index(rows.names)),
        pd.Categorical.from_codes(columns.codes[both], pd.Index(columns.names)),
        dropna=False,
    )
    counts.index = pd.Index(rows.names, name="domain")
    counts.columns = pd.Index(columns.names, name=column)
    v, chi = _cramers_v(counts.to_numpy())
    return Composition(column, counts, v, chi, int((~both).sum()))


def is_numeric(values: pd.Series) -> bool:
    """Whether a column holds numbers to sum up rather than categories to count."""
    return bool(pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values))


def composition_columns(section: Section) -> list[str]:
    """Columns of ``obs`` to compare domains with: numbers, or at most 1,000 categories."""
    out = []
    for name, values in section.adata.obs.items():
        if is_numeric(values):
            usable = bool(np.isfinite(values.to_numpy(dtype=np.float64, na_value=np.nan)).any())
        else:
            usable = 0 < values.nunique() <= MAX_DOMAINS
        if usable:
            out.append(str(name))
    return out


def _cramers_v(counts: NDArray[np.integer]) -> tuple[float, float]:
    """Bias-corrected V and chi-square of the rows and columns that have spots."""
    table = counts[counts.sum(axis=1) > 0][:, counts.sum(axis=0) > 0]
    r, c = table.shape
    n = int(table.sum())
    if min(r, c) < 2:
        return float("nan"), float("nan")
    chi = float(chi2_contingency(table, correction=False).statistic)
    phi = max(chi / n - (r - 1) * (c - 1) / (n - 1), 0.0)
    rows, columns = r - (r - 1) ** 2 / (n - 1), c - (c - 1) ** 2 / (n - 1)
    smaller = min(rows, columns) - 1
    return (float(min(np.sqrt(phi / smaller), 1.0)) if smaller > 0 else float("nan")), chi


def _spread(section: Section, domains: pd.Series, column: str) -> Spread:
    groups = groups_of(domains, section.adata.obs_names)
    values = section.adata.obs[column].to_numpy(dtype=np.float64, na_value=np.nan)
    usable = (groups.codes >= 0) & np.isfinite(values)
    if not usable.any():
        raise DataError(f"no spot has a domain and a number in '{column}'", "choose another column")
    parts = {
        name: values[usable & (groups.codes == g)]
        for g, name in enumerate(groups.names)
        if (usable & (groups.codes == g)).any()
    }
    rows = [
        {
            "domain": name,
            "spots": part.size,
            "mean": part.mean(),
            "sd": part.std(ddof=1) if part.size > 1 else np.nan,
            **dict(
                zip(("q25", "median", "q75"), np.quantile(part, (0.25, 0.5, 0.75)), strict=True)
            ),
        }
        for name, part in parts.items()
    ]
    h = epsilon = float("nan")
    if len(parts) > 1 and np.ptp(values[usable]) > 0:
        h = float(kruskal(*parts.values()).statistic)
        epsilon = h / (int(usable.sum()) - 1)
    left_out = int((~usable).sum())
    return Spread(column, parts, pd.DataFrame(rows), epsilon, h, left_out)
