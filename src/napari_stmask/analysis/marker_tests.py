"""Tests of all genes between two sets of spots, and which spots a domain is compared with."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.stats import ttest_ind_from_stats

from ..core.errors import DataError
from ..core.progress import Progress, Steps
from .inputs import Groups
from .ranksum import group_means, group_shares, rank_sum_steps

__all__ = ["AGAINST", "TESTS", "Against", "Compared", "Test", "compare_steps", "reference_of"]

Test = Literal["wilcoxon", "t-test", "t-test_overestim_var", "logreg"]
TESTS: tuple[Test, ...] = ("wilcoxon", "t-test", "t-test_overestim_var", "logreg")
Against = Literal["rest", "touching", "adjacent"]
AGAINST: tuple[Against, ...] = ("rest", "touching", "adjacent")
MIN_CONTACT = 0.05
"""Share of a domain's links to other domains from which on another one counts as touched."""
_ROUNDS = 200
"""Most rounds of the logistic regression."""


@dataclass(frozen=True, eq=False)
class Compared:
    """One set of spots against another, gene by gene.

    Attributes
    ----------
    score, p
        (n_genes,) z, t or coefficient, and two-sided p-value; p is NaN for a regression.
    fold
        (n_genes,) difference of the mean values, to base 2.
    share_in, share_out
        (n_genes,) share of the spots above 0.
    n_in, n_out
        Spots on either side.
    """

    score: NDArray[np.float64]
    p: NDArray[np.float64]
    fold: NDArray[np.float64]
    share_in: NDArray[np.float64]
    share_out: NDArray[np.float64]
    n_in: int
    n_out: int


def reference_of(
    groups: Groups, group: int, against: Against, links: sp.csr_matrix | None
) -> NDArray[np.bool_]:
    """(n_spots,) True for the spots that a domain is compared with.

    Parameters
    ----------
    groups
        Domains of the spots.
    group
        The one that is compared.
    against
        ``"rest"``, all other spots; ``"touching"``, all spots of the domains that have at least
        5 % of its links to others; ``"adjacent"``, spots of other domains that are its
        neighbours.
    links
        (n_spots, n_spots) neighbours; needed unless it is the rest.
    """
    codes = groups.codes
    others = (codes >= 0) & (codes != group)
    if against == "rest":
        return np.asarray(others)
    assert links is not None
    around = np.asarray(links @ (codes == group).astype(np.float64)).ravel()
    near = others & (around > 0)
    if against == "adjacent":
        return np.asarray(near)
    contacts = np.bincount(codes[near], weights=around[near], minlength=len(groups.names))
    touched = contacts >= MIN_CONTACT * max(contacts.sum(), 1.0)
    return np.asarray(others & touched[np.maximum(codes, 0)])


def compare_steps(
    values: sp.csr_matrix, groups: Groups, references: dict[int, NDArray[np.bool_]], test: Test
) -> Steps[tuple[dict[int, Compared], list[str]]]:
    """Compare each domain with its reference.

    Parameters
    ----------
    values
        (n_spots, n_genes) sparse.
    groups
        Domains of the spots.
    references
        Domain -> (n_spots,) True for the spots that it is compared with; where all of them are
        all other spots, one ranking serves all domains.
    test
        One of `TESTS`.

    Returns
    -------
    compared
        Domain -> answer.
    notes
        What else there is to say, one sentence each.
    """
    known = groups.codes >= 0
    rest = all(
        np.array_equal(rows, known & (groups.codes != g)) for g, rows in references.items()
    )  # fmt: skip
    if rest and test in ("wilcoxon", "logreg"):
        return (yield from _together(values[known], groups, list(references), test))
    out, notes = {}, []
    for done, (g, rows) in enumerate(references.items()):
        inside = groups.codes == g
        both = inside | rows
        code = np.where(inside[both], 0, 1).astype(np.intp)
        part = values[both]
        yield Progress(done, len(references), "testing domains")
        if test == "wilcoxon":
            ranks = yield from rank_sum_steps(part, code, 2)
            score, p = ranks.against_rest(0)
        elif test == "logreg":
            weights, note = _regression(part, code)
            score, p = weights[0], np.full(part.shape[1], np.nan)
            notes += note
        else:
            score, p = _t_test(part, code == 0, pooled=test == "t-test_overestim_var")
        out[g] = _compared(part, code, score, p)
        yield Progress(done + 1, len(references), "testing domains")
    return out, list(dict.fromkeys(notes))


def _together(
    values: sp.csr_matrix, groups: Groups, targets: list[int], test: Test
) -> Steps[tuple[dict[int, Compared], list[str]]]:
    """Every domain against all other spots, from one ranking or one regression."""
    codes, k = groups.codes[groups.codes >= 0], len(groups.names)
    notes: list[str] = []
    if test == "wilcoxon":
        ranks = yield from rank_sum_steps(values, codes, k)
        found = {g: ranks.against_rest(g) for g in targets}
    else:
        yield Progress(0, 1, "fitting the regression")
        weights, notes = _regression(values, codes)
        unknown = np.full(values.shape[1], np.nan)
        found = {g: (weights[g], unknown) for g in targets}
    mean, _ = group_means(values, codes, k)
    share, sizes = group_shares(values, codes, k), groups.sizes
    out = {}
    for g, (score, p) in found.items():
        fold = (mean[g] - rest_of(mean, sizes[:, None], g)) / np.log(2)
        outside = rest_of(share, sizes[:, None], g)
        n = int(sizes[g])
        out[g] = Compared(score, p, fold, share[g], outside, n, int(sizes.sum()) - n)
    return out, notes


def _compared(
    values: sp.csr_matrix,
    code: NDArray[np.intp],
    score: NDArray[np.float64],
    p: NDArray[np.float64],
) -> Compared:
    """Folds and shares of spots 0 against spots 1."""
    mean, _ = group_means(values, code, 2)
    share, n = group_shares(values, code, 2), np.bincount(code, minlength=2)
    fold = (mean[0] - mean[1]) / np.log(2)
    return Compared(score, p, fold, share[0], share[1], int(n[0]), int(n[1]))


def _t_test(
    values: sp.csr_matrix, inside: NDArray[np.bool_], *, pooled: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Welch's t of the spots ``inside`` against the others; t = 0 and p = 1 where undefined.

    ``pooled`` takes the size of the inside for both sides, which is scanpy's careful variant: a
    large reference does not make small differences certain.
    """
    mean, variance = group_means(values, (~inside).astype(np.intp), 2)
    n = int(inside.sum()), int(inside.sum() if pooled else (~inside).sum())
    t, p = np.zeros(values.shape[1]), np.ones(values.shape[1])
    usable = variance[0] / n[0] + variance[1] / n[1] > 1e-20
    if usable.any():
        t[usable], p[usable] = ttest_ind_from_stats(
            mean[0][usable], np.sqrt(variance[0][usable]), n[0],
            mean[1][usable], np.sqrt(variance[1][usable]), n[1], equal_var=False,
        )  # fmt: skip
    return t, p


def _regression(
    values: sp.csr_matrix, codes: NDArray[np.intp]
) -> tuple[NDArray[np.float64], list[str]]:
    """(k, n_genes) coefficients of a logistic regression of the domains on all genes."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    if np.unique(codes).size < 2:
        raise DataError("there is a single domain to regress on", "compare at least two")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        fit = LogisticRegression(max_iter=_ROUNDS).fit(values, codes)
    notes = ["A regression weighs genes that go together against one another: it has no p-values."]
    if any(issubclass(one.category, ConvergenceWarning) for one in caught):
        notes.append(f"The regression was stopped after {_ROUNDS} rounds.")
    coefficients = np.asarray(fit.coef_, dtype=np.float64)
    if len(coefficients) == 1:
        # Of two domains the weights of the second are given, those of the first mirror them.
        coefficients = np.concatenate([-coefficients, coefficients])
    out = np.zeros((int(codes.max()) + 1, values.shape[1]))
    out[np.asarray(fit.classes_, dtype=np.intp)] = coefficients
    return out, notes


def rest_of(
    per_group: NDArray[np.float64], sizes: NDArray[np.intp], group: int
) -> NDArray[np.float64]:
    """Mean over all spots outside ``group``, from the means of the groups.

    Parameters
    ----------
    per_group
        (n_groups, n_genes) means or shares.
    sizes
        (n_groups, 1) spots.
    group
        The one that is left out.
    """
    others = np.arange(len(per_group)) != group
    return np.asarray((per_group * sizes)[others].sum(axis=0) / max(sizes[others].sum(), 1))
