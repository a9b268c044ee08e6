"""Every gene in every domain as two numbers: how many spots show it, and how much of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..core.errors import DataError
from ..core.section import Section
from .inputs import expression_of, groups_of
from .ranksum import group_means, group_shares

__all__ = ["DomainExpression", "domain_expression"]


@dataclass(frozen=True, eq=False)
class DomainExpression:
    """Means and shares of all genes.

    Attributes
    ----------
    domains
        Names.
    genes
        Names of the genes.
    means
        (n_domains, n_genes) mean of the values over all spots of the domain.
    shares
        (n_domains, n_genes) share of the spots above 0.
    """

    domains: tuple[str, ...]
    genes: pd.Index
    means: NDArray[np.float64]
    shares: NDArray[np.float64]

    def of(
        self, genes: Sequence[str], *, standardise: bool = False
    ) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Two tables, domains x ``genes``: the shares and the means.

        ``standardise`` takes the smallest mean of each gene off and divides by the largest that
        is left, so that 0 and 1 are its lowest and its highest domain.

        Raises
        ------
        DataError
            If there is no gene, or one of them is unknown.
        """
        place = self.genes.get_indexer(pd.Index(genes))
        if not len(place):
            raise DataError("there is no gene to draw", "loosen the thresholds")
        if (place < 0).any():
            raise DataError(
                f"there is no gene '{genes[int(np.argmin(place))]}'", "name a gene of the section"
            )
        means = self.means[:, place]
        if standardise:
            means = means - means.min(axis=0)
            top = means.max(axis=0)
            means = np.divide(means, top, out=np.zeros_like(means), where=top > 0)
        rows, columns = pd.Index(self.domains, name="domain"), pd.Index(genes)
        shares = pd.DataFrame(self.shares[:, place], index=rows, columns=columns)
        return shares, pd.DataFrame(means, index=rows, columns=columns)


def domain_expression(
    section: Section, domains: pd.Series, *, layer: str | None = None
) -> DomainExpression:
    """Mean and share of every gene in every domain.

    Parameters
    ----------
    section
        With raw counts.
    domains
        (n_spots,) labels; missing values are spots without a domain.
    layer
        Layer to use as it is; None takes log-normalised counts (natural log).

    Raises
    ------
    ParameterError
        If there is no such layer.
    DataError
        If no spot has a domain.
    """
    groups = groups_of(domains, section.adata.obs_names, at_least=1)
    known, k = groups.codes >= 0, len(groups.names)
    values, codes = expression_of(section, layer)[known], groups.codes[known]
    means, _ = group_means(values, codes, k)
    genes = section.adata.var_names
    return DomainExpression(tuple(groups.names), genes, means, group_shares(values, codes, k))
