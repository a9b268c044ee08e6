"""How alike genes are: Pearson correlation of their vectors, and what is read off it.

The relations of SIGEL (Genome Biology 26, 287, 2025). All is done in blocks of genes; nothing
has the size genes x genes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.cluster.hierarchy import leaves_list, linkage
from sklearn.metrics import average_precision_score, roc_auc_score

from ..core.errors import DataError, ParameterError, ResourceError
from .signatures import gene_places

__all__ = [
    "FamilyTree",
    "PairScores",
    "check_names",
    "family_tree",
    "pair_list_scores",
    "partners",
    "unit_vectors",
]

MAX_FAMILY = 5000
"""Most genes whose pairs are all looked at one by one."""


def unit_vectors(vectors: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Each row centred over its own dimensions and of length 1.

    The inner product of two rows is the Pearson correlation of the vectors. Rows without any
    variation become 0, alike to nobody.

    Parameters
    ----------
    vectors
        (..., width) float.

    Raises
    ------
    DataError
        If a value is not finite.
    """
    centred = np.asarray(vectors, dtype=np.float64)
    if not np.isfinite(centred).all():
        raise DataError("the gene vectors hold values that are not finite", "train again")
    size = np.linalg.norm(centred, axis=-1, keepdims=True)
    centred = centred - centred.mean(axis=-1, keepdims=True)
    norm = np.linalg.norm(centred, axis=-1, keepdims=True)
    # Of a constant row the mean leaves rounding errors.
    some = norm > 1e-6 * size
    out = np.divide(centred, norm, out=np.zeros_like(centred), where=some)
    return np.asarray(out, dtype=np.float32)


def partners(
    vectors: NDArray[np.floating[Any]], genes: Sequence[str], gene: str, *, k: int = 10
) -> pd.DataFrame:
    """The ``k`` genes that are most alike to ``gene``.

    Parameters
    ----------
    vectors
        (n_genes, width) vectors.
    genes
        (n_genes,) names.
    gene
        As written, or without regard to case.
    k
        Rows, as far as there are so many other genes.

    Returns
    -------
    pandas.DataFrame
        ``gene``, ``similarity`` (Pearson correlation, -1 to 1), the highest first.

    Raises
    ------
    ParameterError
        If the gene is unknown, lengths differ or ``k`` is below 1.
    """
    names = check_names(vectors, genes)
    if k < 1:
        raise ParameterError(f"k is {k}", "use at least 1")
    place = gene_places(names, [gene]).get(gene)
    if place is None:
        raise ParameterError(f"there is no gene '{gene}' among {len(names)}", "name one of them")
    unit = unit_vectors(vectors)
    alike = np.clip(unit @ unit[place], -1, 1)
    order = np.argsort(-alike, kind="stable")
    order = order[order != place][:k]
    return pd.DataFrame({"gene": names[order], "similarity": alike[order]})


@dataclass(frozen=True)
class PairScores:
    """How well similarity tells listed pairs from others.

    Attributes
    ----------
    auroc, aupr
        Area under the ROC curve; average precision, which chance brings to ``share``.
    share
        Listed pairs among all pairs of the listed genes.
    n_pairs, n_genes
        Listed pairs, and their genes.
    left_out
        Listed pairs with a gene that has no vector.
    """

    auroc: float
    aupr: float
    share: float
    n_pairs: int
    n_genes: int
    left_out: int


def pair_list_scores(
    vectors: NDArray[np.floating[Any]], genes: Sequence[str], pairs: Iterable[tuple[str, str]]
) -> PairScores:
    """Compare listed pairs with all other pairs of the same genes.

    Pairs that are not listed are taken for unrelated, so that a gap in the list lowers the
    scores. The direction of a pair and repeats do not count.

    Parameters
    ----------
    vectors, genes
        As in `partners`.
    pairs
        Two symbols each, for example of a database of interactions.

    Raises
    ------
    ParameterError
        If lengths differ, or a pair is one gene twice.
    DataError
        If no listed pair has vectors, or none of the other pairs remains.
    ResourceError
        If the list names more than 5,000 genes.
    """
    names = check_names(vectors, genes)
    listed = [(str(a), str(b)) for a, b in pairs]
    places = gene_places(names, sorted({g for pair in listed for g in pair}))
    known, left_out = set(), 0
    for a, b in listed:
        if a == b:
            raise ParameterError(f"the list pairs '{a}' with itself", "list pairs of two genes")
        if a in places and b in places and places[a] != places[b]:
            known.add((min(places[a], places[b]), max(places[a], places[b])))
        else:
            left_out += 1
    members = np.array(sorted({g for pair in known for g in pair}), dtype=np.intp)
    total = members.size * (members.size - 1) // 2
    if members.size > MAX_FAMILY:
        raise ResourceError(f"the list names {members.size} genes", f"list at most {MAX_FAMILY}")
    if not known or total == len(known):
        problem = "is every pair of its genes" if known else "has no pair of genes with vectors"
        raise DataError(f"the list of {len(listed)} pairs {problem}", "give another list")
    unit = unit_vectors(np.asarray(vectors)[members])
    row, column = np.triu_indices(members.size, 1)
    truth = np.zeros((members.size, members.size), dtype=bool)
    truth[tuple(np.searchsorted(members, np.array(sorted(known)).T))] = True
    alike = (unit @ unit.T)[row, column]
    hit = truth[row, column]
    return PairScores(
        float(roc_auc_score(hit, alike)), float(average_precision_score(hit, alike)),
        len(known) / total, len(known), members.size, left_out,
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class FamilyTree:
    """Hierarchical clustering of a family of genes.

    Attributes
    ----------
    genes
        (n,) names in the order of the rows.
    scaled
        (n, width) float64, each vector from 0 to 1 over its dimensions.
    linkage
        (n - 1, 4) as of `scipy.cluster.hierarchy.linkage`.
    order
        (n,) rows from one end of the tree to the other.
    """

    genes: tuple[str, ...]
    scaled: NDArray[np.float64]
    linkage: NDArray[np.float64]
    order: NDArray[np.intp]


def family_tree(vectors: NDArray[np.floating[Any]], genes: Sequence[str]) -> FamilyTree:
    """Average-linkage tree of chosen genes, by Euclidean distance of their scaled vectors.

    Each vector is brought to 0-1 over its dimensions first, a constant one to 0, as in the
    heat maps of SIGEL.

    Parameters
    ----------
    vectors
        (n, width) vectors of the family only.
    genes
        (n,) names.

    Raises
    ------
    ParameterError
        If lengths differ or there are fewer than two genes.
    DataError
        If a value is not finite.
    ResourceError
        If there are more than 5,000 genes.
    """
    names = check_names(vectors, genes)
    if len(names) < 2:
        raise ParameterError(f"the family has {len(names)} genes", "choose at least two")
    if len(names) > MAX_FAMILY:
        raise ResourceError(f"the family has {len(names)} genes", f"choose at most {MAX_FAMILY}")
    exact = np.asarray(vectors, dtype=np.float64)
    if not np.isfinite(exact).all():
        raise DataError("the gene vectors hold values that are not finite", "train again")
    low = exact.min(axis=1, keepdims=True)
    span = np.ptp(exact, axis=1, keepdims=True)
    scaled = np.divide(exact - low, span, out=np.zeros_like(exact), where=span > 0)
    tree = linkage(scaled, method="average")
    return FamilyTree(tuple(names), scaled, tree, leaves_list(tree).astype(np.intp))


def check_names(vectors: NDArray[Any], genes: Sequence[str]) -> pd.Index:
    """Names of the genes, one for each vector.

    Raises
    ------
    ParameterError
        If the vectors are no table, or lengths differ.
    """
    if np.ndim(vectors) != 2 or len(vectors) != len(genes) or np.shape(vectors)[1] < 2:
        raise ParameterError(
            f"vectors have shape {np.shape(vectors)} for {len(genes)} genes",
            "give one row of two or more values for each gene",
        )
    return pd.Index([str(g) for g in genes])
