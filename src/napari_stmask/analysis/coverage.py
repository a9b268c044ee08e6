"""A targeted panel extended by genes that only another section measured.

The coverage enhancement of SpaCEX and SIGEL (Genome Biology 26, 287, 2025): a translator from
the vectors of genes, learnt on a section with the whole transcriptome, to their maps in a
section with a panel. Sections need not be registered; only the vectors are shared.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from numpy.typing import NDArray

from ..core.errors import ParameterError, ResourceError
from ..core.memory import DENSE_BUDGET, densify, human
from ..core.progress import Progress, Steps
from .correlation import pearson_columns
from .coverage_confidence import evidence, fit_confidence
from .coverage_data import Engine, Exact, Float, Maps, Panel, Rows, check_numbers, panel_of
from .coverage_ridge import RidgeEngine

__all__ = ["COVERAGE", "Coverage", "coverage_steps", "fit_coverage_steps"]

COVERAGE = "stmask_coverage"
"""Entry of ``uns`` of a section with imputed genes: how they were made, as JSON text."""
_BLOCK_BYTES = 64 * 1024**2
_PHASE = "checking genes left out"


@dataclass(frozen=True, eq=False)
class Coverage:
    """Predicted values of the reference's genes in a target.

    Attributes
    ----------
    genes
        (n_genes,) names of the reference's genes.
    maps
        Their predicted values.
    panel_genes, measured
        (n_panel,) names and (n_cells, n_panel) CSR values that were measured.
    cv
        Table of the shared genes, by name: ``r``, Pearson correlation of the prediction with
        the measured values when the gene is left out; ``fold``.
    confidence
        (n_genes,) float64 expected Pearson correlation of genes that were not measured; NaN for
        the others.
    ranking
        Spearman correlation of expected and achieved ``r`` over shared genes, each expected by
        a model without it.
    facts
        What was chosen and how it went: engine, kernel, alpha, rank, mean r.
    """

    genes: NDArray[np.str_]
    maps: Maps
    panel_genes: NDArray[np.str_]
    measured: sp.csr_matrix
    cv: pd.DataFrame
    confidence: Exact
    ranking: float
    facts: Mapping[str, Any]

    @property
    def n_cells(self) -> int:
        """Cells or spots of the target."""
        return int(self.measured.shape[0])

    @property
    def imputed(self) -> NDArray[np.str_]:
        """Names of the genes that the target did not measure, in the reference's order."""
        return self.genes[~np.isin(self.genes, self.panel_genes)]

    def predict(self, genes: Sequence[str]) -> Float:
        """Predicted values, measured genes included: (n_cells, n) float32, >= 0.

        Raises
        ------
        ParameterError
            If the reference does not have a gene.
        ResourceError
            If the table would take more than 2 GB; then use `blocks`.
        """
        out = self._empty(len(genes))
        for start, values in self.blocks(genes):
            out[:, start : start + values.shape[1]] = values
        return out

    def blocks(self, genes: Sequence[str]) -> Iterator[tuple[int, Float]]:
        """The columns of `predict` bit by bit: position of the first one and its block."""
        rows = self._rows(genes)
        width = max(1, _BLOCK_BYTES // (4 * self.n_cells))
        for start in range(0, rows.size, width):
            yield start, self.maps.values(rows[start : start + width])

    def to_adata(
        self, target: AnnData, *, genes: Sequence[str] | None = None, include_panel: bool = True
    ) -> AnnData:
        """A table of its own with imputed genes behind the measured ones; ``target`` is kept.

        Parameters
        ----------
        target
            The section's table: ``obs`` and ``obsm["spatial"]`` are taken over.
        genes
            Imputed genes wanted; None for all that were not measured. Measured genes among
            them are never replaced.
        include_panel
            Put the measured values in front.

        Returns
        -------
        anndata.AnnData
            ``X`` float32; ``var["imputed"]``, ``var["imputation_r"]`` (of shared genes when
            left out, NaN elsewhere) and ``var["imputation_confidence"]`` (expected r of imputed
            genes, NaN elsewhere).

        Raises
        ------
        ParameterError
            If ``target`` has another number of cells.
        ResourceError
            If the table would take more than 2 GB.
        """
        if target.n_obs != self.n_cells:
            raise ParameterError(
                f"the table has {target.n_obs} cells, the panel was measured in {self.n_cells}",
                "give the section that the translator was fitted to",
            )
        wanted = self.imputed if genes is None else np.asarray(list(genes), dtype=np.str_)
        wanted = pd.unique(wanted[~np.isin(wanted, self.panel_genes)])
        front = self.panel_genes if include_panel else self.panel_genes[:0]
        names = np.concatenate([front, wanted])
        x = self._empty(names.size)
        x[:, : front.size] = densify(self.measured[:, : front.size], what="the measured genes")
        for start, values in self.blocks(list(wanted)):
            x[:, front.size + start : front.size + start + values.shape[1]] = values
        var = pd.DataFrame(index=pd.Index(names.astype(object)))
        var["imputed"] = ~np.isin(names, self.panel_genes)
        var["imputation_r"] = self.cv["r"].reindex(var.index).to_numpy()
        known = pd.Series(self.confidence, index=self.genes.astype(object))
        var["imputation_confidence"] = known.reindex(var.index).to_numpy()
        out = AnnData(x, obs=target.obs.copy(), var=var)
        if "spatial" in target.obsm:
            out.obsm["spatial"] = np.array(target.obsm["spatial"])
        return out

    def _empty(self, n_genes: int) -> Float:
        size = self.n_cells * n_genes * 4
        if size > DENSE_BUDGET:
            raise ResourceError(
                f"{n_genes} genes of {self.n_cells} cells would take {human(size)}",
                f"ask for at most {DENSE_BUDGET // (4 * self.n_cells)} genes at a time",
            )
        return np.empty((self.n_cells, n_genes), dtype=np.float32)

    def _rows(self, genes: Sequence[str]) -> Rows:
        rows = pd.Index(self.genes).get_indexer(pd.Index(np.asarray(list(genes), dtype=np.str_)))
        if (rows < 0).any():
            raise ParameterError(
                f"the reference has no gene '{list(genes)[int(np.argmin(rows))]}'",
                "ask for genes that it has a vector of",
            )
        return np.asarray(rows, dtype=np.intp)


def fit_coverage_steps(
    vectors: NDArray[Any],
    genes: Sequence[str],
    target_values: Any,
    panel_genes: Sequence[str],
    *,
    levels: NDArray[Any] | None = None,
    rank: int = 50,
    folds: int = 5,
    rounds: int = 1,
    genes_per_round: int = 110,
    seed: int = 0,
) -> Steps[Coverage]:
    """Learn to predict genes of the reference in the target, in closed form.

    Kernel, penalty and rank are those that predict genes left out best. Genes without a
    measurement are extrapolations: ``Coverage.confidence`` says what to expect of each.

    Parameters
    ----------
    vectors
        (n_genes, width) gene vectors that were learnt on the reference.
    genes
        (n_genes,) their names.
    target_values
        (n_cells, n_panel) log-normalised values of the target, sparse or dense, >= 0.
    panel_genes
        (n_panel,) names of its columns. Genes are matched by name, in any order.
    levels
        (n_genes, 2) mean and standard deviation of each gene in the reference, from which those
        in the target are predicted; None to predict them from the vectors.
    rank
        Most spatial patterns that maps are composed of.
    folds
        Parts in which shared genes are left out.
    rounds
        Rounds of growth; 1 learns from measured genes only. Before each further round,
        ``genes_per_round`` genes join with their predicted maps.
    genes_per_round
        Genes that join: those most correlated with a gene of the panel by their vectors.
    seed
        Of folds, decompositions and landmarks.

    Raises
    ------
    DataError
        If names occur twice, values are unusable or fewer than ten genes are shared.
    ParameterError
        If shapes do not fit or a number is out of range.
    """
    check_numbers(rank=rank, rounds=rounds, genes_per_round=genes_per_round)
    panel = panel_of(vectors, genes, target_values, panel_genes, levels=levels)
    engine = RidgeEngine(
        panel, rank=rank, seed=seed, rounds=rounds, genes_per_round=genes_per_round
    )
    values = sp.csr_matrix(target_values, dtype=np.float32)
    done = yield from coverage_steps(panel, engine, values, panel_genes, folds=folds, seed=seed)
    return done


def coverage_steps(
    panel: Panel,
    engine: Engine,
    measured: sp.csr_matrix,
    panel_genes: Sequence[str],
    *,
    folds: int,
    seed: int,
) -> Steps[Coverage]:
    """Check ``engine`` on shared genes left out, fit it to all, and say what to expect.

    The engine's choices are made on the same parts as the check: a few numbers for all genes
    together, so that their ``r`` is only a little too good.

    Parameters
    ----------
    panel
        Shared genes.
    engine
        Learns maps from some of them.
    measured, panel_genes
        (n_cells, n_panel) values and names of all genes of the target.
    folds, seed
        Parts in which genes are left out, and how they are drawn.

    Raises
    ------
    ParameterError
        If ``folds`` is below 2.
    """
    if folds < 2:
        raise ParameterError(f"folds is {folds}", "use a whole number of at least 2")
    parts = panel.parts(folds, seed)
    yield from engine.choose(parts)
    r, fold = np.full(len(panel.names), np.nan), np.zeros(len(panel.names), dtype=np.intp)
    known: list[Exact] = []
    for done, (train, test) in enumerate(parts):
        maps = yield from engine.fit(train)
        known.append(evidence(panel, maps, train, panel.rows[test]))
        width = max(1, _BLOCK_BYTES // (4 * panel.n_cells))
        for start in range(0, test.size, width):
            yield Progress(done, len(parts), _PHASE)
            part = test[start : start + width]
            r[part] = pearson_columns(maps.values(panel.rows[part]), panel.measured(part))
        fold[test] = done
    every = np.arange(len(panel.names))
    maps = yield from engine.fit(every)
    order = np.concatenate([test for _, test in parts])
    model, ranking = fit_confidence(np.vstack(known), r[order], seed=seed)
    names = np.asarray(list(map(str, panel_genes)), dtype=np.str_)
    unknown = np.flatnonzero(~np.isin(panel.genes, names))
    confidence = np.full(len(panel.genes), np.nan)
    if unknown.size:
        yield Progress(len(parts), len(parts), _PHASE)
        confidence[unknown] = model.expected(evidence(panel, maps, every, unknown))
    facts = {"mean_r": float(r.mean()), "n_shared": len(r), **engine.facts}
    return Coverage(
        panel.genes, maps, names, measured, pd.DataFrame({"r": r, "fold": fold}, index=panel.names),
        confidence, ranking, facts,
    )  # fmt: skip
