"""What the analyses are given, checked in one place: domains, expression, embeddings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from ..core.errors import DataError, ParameterError
from ..core.result import MAX_DOMAINS
from ..core.section import Section
from ..features.expression import log_normalise

__all__ = [
    "Groups",
    "embedding_of",
    "expression_of",
    "groups_of",
    "one_hot",
    "usable_rows",
]


@dataclass(frozen=True, eq=False)
class Groups:
    """Domains as numbers.

    Attributes
    ----------
    codes
        (n_spots,) intp, index into ``names``; -1 for spots without a domain.
    names
        Domains that occur, in the order of the categories.
    """

    codes: NDArray[np.intp]
    names: list[str]

    @property
    def sizes(self) -> NDArray[np.intp]:
        """(n_domains,) spots of each domain."""
        return np.bincount(self.codes[self.codes >= 0], minlength=len(self.names))

    def number(self, name: object) -> int:
        """Position of the domain ``name``.

        Raises
        ------
        ParameterError
            If there is none of that name.
        """
        if str(name) not in self.names:
            raise ParameterError(
                f"there is no domain '{name}'", f"use one of: {', '.join(self.names)}"
            )
        return self.names.index(str(name))


def groups_of(domains: pd.Series, spots: pd.Index | None = None, *, at_least: int = 1) -> Groups:
    """Codes of a column of domains; missing values become -1.

    Parameters
    ----------
    domains
        (n_spots,) labels. Where its index holds every name of ``spots``, rows are matched by
        name, otherwise they are taken in order.
    spots
        Names of the spots that the answer is for; None for those of ``domains``.
    at_least
        Fewest domains that the caller can work with.

    Raises
    ------
    ParameterError
        If the length is wrong or there are so many categories that they are no domains.
    DataError
        If fewer than ``at_least`` domains occur.
    """
    if spots is not None and not domains.index.equals(spots):
        if domains.index.is_unique and spots.isin(domains.index).all():
            domains = domains.loc[spots]
        elif len(domains) != len(spots):
            raise ParameterError(
                f"{len(domains)} domains were given for {len(spots)} spots",
                "give one domain for each spot",
            )
    kept = domains.astype("category").cat.remove_unused_categories().cat
    names = [str(name) for name in kept.categories]
    if len(names) > MAX_DOMAINS:
        raise ParameterError(
            f"column '{domains.name}' has {len(names)} different values, which are no domains",
            f"name a column of at most {MAX_DOMAINS} categories",
        )
    if len(names) < at_least:
        raise DataError(
            f"{len(names)} domains occur, this analysis compares at least {at_least}",
            "give a partition with more domains",
        )
    return Groups(kept.codes.to_numpy().astype(np.intp), names)


def one_hot(codes: NDArray[np.intp], k: int) -> sp.csr_matrix:
    """(n_spots, k) CSR float64 with a 1 in the column of each spot's domain; -1 stays empty."""
    rows = np.flatnonzero(codes >= 0)
    return sp.csr_matrix((np.ones(rows.size), (rows, codes[rows])), shape=(len(codes), k))


def expression_of(section: Section, layer: str | None = None) -> sp.csr_matrix:
    """Log-normalised counts, or the layer ``layer`` as it is.

    Returns
    -------
    scipy.sparse.csr_matrix
        (n_spots, n_genes) float32: ``log(1 + 10,000 x / total)`` of the counts, or the values
        of the layer.

    Raises
    ------
    ParameterError
        If there is no such layer.
    DataError
        If the layer holds values that are not finite.
    """
    if layer is None:
        counts = section.counts()
        return log_normalise(counts, np.asarray(counts.sum(axis=1)).ravel())
    if layer not in section.adata.layers:
        found = ", ".join(map(str, section.adata.layers)) or "none"
        raise ParameterError(
            f"{section.where} has no layer '{layer}'", f"name a layer that it has (found: {found})"
        )
    values = sp.csr_matrix(section.adata.layers[layer], dtype=np.float32)
    if not np.isfinite(values.data).all():
        raise DataError(
            f"{section.where}: layer '{layer}' holds values that are not finite",
            "give another layer",
        )
    return values


def embedding_of(section: Section, key: str) -> NDArray[np.floating[Any]]:
    """The embedding ``obsm["X_<key>"]``, (n_spots, width).

    Raises
    ------
    ParameterError
        If there is none.
    """
    obsm = section.adata.obsm
    if f"X_{key}" not in obsm:
        found = ", ".join(str(n)[2:] for n in obsm if str(n).startswith("X_")) or "none"
        raise ParameterError(
            f"{section.where} has no embedding obsm['X_{key}']",
            f"run a method first or name another key (found: {found})",
        )
    return np.asarray(obsm[f"X_{key}"])


def spot_number(spots: pd.Index, name: str, where: str = "") -> int:
    """Position of the spot ``name``.

    Parameters
    ----------
    spots
        Names of all spots.
    name
        Of the one that is wanted.
    where
        What should have it, for the message.

    Raises
    ------
    ParameterError
        If there is no such spot.
    """
    found = np.flatnonzero(spots == name)
    if not found.size:
        problem = f"{where} has no spot '{name}'" if where else f"there is no spot '{name}'"
        raise ParameterError(problem, f"give the name of a spot, such as '{spots[0]}'")
    return int(found[0])


def usable_rows(embedding: NDArray[Any], n_spots: int) -> NDArray[np.bool_]:
    """(n_spots,) True where the whole row of ``embedding`` is finite.

    Raises
    ------
    ParameterError
        If the embedding is no table of one row a spot.
    DataError
        If no row is finite.
    """
    if embedding.ndim != 2 or len(embedding) != n_spots or not embedding.shape[1]:
        raise ParameterError(
            f"the embedding has shape {embedding.shape}, expected {n_spots} spots x dimensions",
            "give one row for each spot",
        )
    usable = np.isfinite(embedding).all(axis=1)
    if not usable.any():
        raise DataError("the embedding holds no finite row", "run the method again")
    return np.asarray(usable)
