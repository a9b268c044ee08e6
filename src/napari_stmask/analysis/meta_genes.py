"""A sum and difference of genes that marks a domain better than any one of them.

Hu et al., SpaGCN, Nature Methods 18, 1342 (2021).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from ..core.errors import DataError, ParameterError
from ..core.memory import densify
from ..core.progress import Progress, Steps, drain
from ..core.section import Section
from .domain_svgs import MIN_SPOTS, domain_svgs_steps
from .inputs import expression_of, groups_of
from .ranksum import rank_sum_steps

__all__ = ["MetaGene", "meta_gene", "meta_gene_steps"]


@dataclass(frozen=True, eq=False)
class MetaGene:
    """A meta-gene and how it was found.

    Attributes
    ----------
    domain
        Domain that it marks.
    formula
        Its terms in order, such as ``("+PCP4", "+TRABD2A", "-MOBP")``.
    values
        (n_spots,) float64, smallest value 0, in log-normalised units.
    gaps
        Difference between the means inside and outside the domain: of the start gene, then
        after each round that was kept.
    false_spots
        Spots outside the domain above its mean, in the same rounds.
    stopped
        Why it ended, one sentence.
    """

    domain: str
    formula: tuple[str, ...]
    values: NDArray[np.float64]
    gaps: tuple[float, ...]
    false_spots: tuple[int, ...]
    stopped: str


def meta_gene(
    section: Section,
    domains: pd.Series,
    target: str,
    *,
    start: str | None = None,
    max_rounds: int = 5,
    layer: str | None = None,
) -> MetaGene:
    """Find the meta-gene of the domain ``target``.

    Each round looks at the spots of the domain and at the false spots, those outside whose value
    is above the domain's mean. The gene that is most raised in the domain among them is added,
    the one most raised in the false spots subtracted, and the smallest value set to 0. The
    search ends where a round leaves more false spots or a smaller gap between the means, and
    that round is not kept.

    Parameters
    ----------
    section
        With raw counts and positions.
    domains
        (n_spots,) labels; spots without one count as outside.
    target
        Name of the domain.
    start
        Gene to begin with; None takes the first of `domain_svgs`.
    max_rounds
        Most rounds, from 1.
    layer
        Layer to use as it is; None takes log-normalised counts.

    Raises
    ------
    ParameterError
        If the domain or the gene is unknown or ``max_rounds`` is below 1.
    DataError
        If there are fewer than two domains, or no gene to begin with.
    """
    return drain(
        meta_gene_steps(section, domains, target, start=start, max_rounds=max_rounds, layer=layer)
    )


def meta_gene_steps(
    section: Section,
    domains: pd.Series,
    target: str,
    *,
    start: str | None = None,
    max_rounds: int = 5,
    layer: str | None = None,
) -> Steps[MetaGene]:
    """`meta_gene` as a stream: one event for each block of genes and round."""
    if max_rounds < 1:
        raise ParameterError(f"max_rounds is {max_rounds}", "use at least 1")
    groups = groups_of(domains, section.adata.obs_names, at_least=2)
    inside = groups.codes == groups.number(target)
    if start is None:
        found = yield from domain_svgs_steps(section, domains, [target], layer=layer)
        if found[0].table.empty:
            raise DataError(
                f"domain '{target}' has no gene that marks it against its neighbours",
                "name the gene to begin with",
            )
        start = str(found[0].table["gene"].iloc[0])
    names = section.adata.var_names
    if start not in names:
        raise ParameterError(f"{section.where} has no gene '{start}'", "name a gene of the section")
    values = expression_of(section, layer)
    meta = _column(values, names.get_loc(start))
    meta -= meta.min()
    formula, gaps, wrong = [f"+{start}"], [_gap(meta, inside)], [int(_false(meta, inside).sum())]
    stopped = f"It ended after {max_rounds} rounds."
    for done in range(max_rounds):
        yield Progress(done, max_rounds, "building the meta-gene")
        false = _false(meta, inside)
        if min(false.sum(), inside.sum()) < MIN_SPOTS:
            stopped = f"Fewer than {MIN_SPOTS} false spots are left."
            break
        used = inside | false
        ranks = yield from rank_sum_steps(values[used], false[used].astype(np.intp), 2)
        score, _ = ranks.against_rest(0)
        up, down = int(score.argmax()), int(score.argmin())
        new = meta + _column(values, up) - _column(values, down)
        new -= new.min()
        gap, left = _gap(new, inside), int(_false(new, inside).sum())
        if left > wrong[-1] or gap < gaps[-1]:
            stopped = (
                f"Another round would leave {left} false spots after {wrong[-1]} "
                f"and a gap of {gap:.3f} after {gaps[-1]:.3f}."
            )
            break
        meta = new
        formula += [f"+{names[up]}", f"-{names[down]}"]
        gaps.append(gap)
        wrong.append(left)
    return MetaGene(str(target), tuple(formula), meta, tuple(gaps), tuple(wrong), stopped)


def _column(values: sp.csr_matrix, gene: int) -> NDArray[np.float64]:
    return densify(values[:, [gene]], what="one gene")[:, 0].astype(np.float64)


def _false(meta: NDArray[np.float64], inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(n_spots,) True outside the domain where the value is above the domain's mean."""
    return np.asarray(~inside & (meta > meta[inside].mean()))


def _gap(meta: NDArray[np.float64], inside: NDArray[np.bool_]) -> float:
    return float(meta[inside].mean() - meta[~inside].mean())
