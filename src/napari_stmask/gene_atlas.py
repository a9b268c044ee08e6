"""The genes of a finished SpaCEX run: every question that can be asked of them."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from .analysis.coverage import COVERAGE, Coverage
from .analysis.gene_network import Network, gene_network_steps
from .analysis.gene_relations import FamilyTree, family_tree, partners
from .analysis.gene_rewiring import Rewiring, compare_relations_steps
from .analysis.inputs import expression_of
from .analysis.layout import umap_positions
from .analysis.module_scores import module_enrichment_steps, module_table
from .analysis.pattern import simulate_pattern, template, template_correlation
from .analysis.svg_scores import SvgScores
from .core.errors import DataError, ParameterError
from .core.progress import Progress, Steps
from .core.provenance import records
from .core.section import Section
from .features.expression import log_normalise
from .features.gene_images import median_library, picture_values
from .features.graph import knn_graph
from .models.spacex.coverage import enhance_coverage_steps
from .models.spacex.nulls import Null, null_vectors_steps
from .models.spacex.spatial import spatial_genes_steps
from .pipeline import Data, as_section
from .stored_genes import StoredGenes

__all__ = ["GeneAtlas", "genes_of", "imputed_section"]


def genes_of(data: Data, key: str = "spacex") -> GeneAtlas:
    """The genes that a SpaCEX run under ``key`` left on a section.

    Parameters
    ----------
    data
        Section, AnnData, path or layer that holds the answers of `run`.
    key
        Name of the run.

    Raises
    ------
    ParameterError
        If there is no such run, or it made no gene modules.
    """
    section = as_section(data)
    vectors = section.adata.varm.get(f"X_{key}")
    if vectors is None or f"{key}_module" not in section.adata.var:
        have = [k for k in records(section.adata) if f"X_{k}" in section.adata.varm]
        raise ParameterError(
            f"{section.where} has no gene modules of a run '{key}'",
            f"use one of: {', '.join(have)}" if have else "run SpaCEX on the section",
        )
    return GeneAtlas(section, key)


def imputed_section(target: Section, coverage: Coverage, *, reference: str = "") -> Section:
    """The measured and the imputed genes of ``target`` as a section of their own.

    ``var["imputed"]`` flags the imputed genes; ``target`` stays as it is. Its values are
    log-normalised, so that methods that need counts refuse it. ``uns["stmask_coverage"]`` says
    how they were made and from which section, ``reference``.
    """
    made = target.over(coverage.to_adata(target.adata))
    facts = {
        "engine": coverage.facts["engine"],
        "reference": reference,
        "mean_r": float(coverage.cv["r"].mean()),
        "shared": len(coverage.cv),
        "ranking": float(coverage.ranking),
        "imputed": len(coverage.imputed),
    }
    made.adata.uns[COVERAGE] = json.dumps(facts)
    note = f"{len(coverage.imputed)} genes are imputed (var['imputed']), not measured."
    return replace(made, name=f"{target.name}, imputed", source=None, notes=[*made.notes, note])


@dataclass(frozen=True, eq=False)
class GeneAtlas(StoredGenes):
    """Questions to the genes of a run; those that take time are streams of `Progress`."""

    _kept: dict[str, Any] = field(default_factory=dict, repr=False)

    def module_table(self, *, n_top: int = 10) -> pd.DataFrame:
        """One row a module: its size, leading genes and Moran's I of its score."""
        section = self.section
        there = np.isfinite(self.scores).all(axis=1)
        graph = knn_graph(section.coords[there], section.lattice.ring)
        probability = section.adata.var[f"{self.key}_module_prob"].to_numpy()[self.place]
        table = module_table(
            self.vectors,
            self.genes,
            self.codes,
            self.scores[there],
            graph,
            probability=probability,
            n_top=n_top,
        )
        return table.assign(module=[self.modules[code] for code in table["module"]])

    def map_2d(self, kind: Literal["umap", "pca"] = "umap") -> NDArray[np.float32]:
        """(n_genes, 2) float32 map of the genes, alike ones near each other.

        UMAP (McInnes et al., 2018), or the first two principal components.
        """
        from sklearn.decomposition import PCA

        if kind == "pca":
            return np.asarray(PCA(2, random_state=0).fit_transform(self.vectors), np.float32)
        return umap_positions(self.vectors)

    def partners(self, gene: str, *, k: int = 10) -> pd.DataFrame:
        """The ``k`` genes most alike to ``gene``: ``gene``, ``similarity``, ``module``."""
        table = partners(self.vectors, self.genes, gene, k=k)
        where = pd.Index(self.genes).get_indexer(pd.Index(table["gene"]))
        return table.assign(module=np.asarray(self.modules, dtype=object)[self.codes[where]])

    def family(self, genes: Sequence[str]) -> FamilyTree:
        """Average-linkage tree of some genes by their vectors."""
        where = pd.Index(self.genes).get_indexer(pd.Index(list(genes)))
        if (where < 0).any():
            raise ParameterError(
                f"the run '{self.key}' did not learn from '{genes[int(np.argmin(where))]}'",
                "name genes of its table, or run it again with keep_genes",
            )
        return family_tree(self.vectors[where], list(genes))

    def null_steps(
        self, *, draws: int = 20, null: Null = "permutation", seed: int = 0
    ) -> Steps[NDArray[np.float32]]:
        """(draws, n_genes, width) vectors of random pictures; kept for the same request."""
        wanted = ("null", draws, null, seed)
        if self._kept.get("null_of") != wanted:
            section, maker = self.drawing
            values = picture_values(section, self.place)
            found = yield from null_vectors_steps(
                self.model, maker, values, draws=draws, null=null, seed=seed
            )
            self._kept.update(null=found, null_of=wanted)
        kept: NDArray[np.float32] = self._kept["null"]
        return kept

    def svg_steps(
        self, *, draws: int = 100, null: Null = "permutation", seed: int = 0
    ) -> Steps[SvgScores]:
        """Score again how spatial genes are, with more random pictures or another null law."""
        section, maker = self.drawing
        values = picture_values(section, self.place)
        pictures = yield from maker.draw_steps(values)
        return (
            yield from spatial_genes_steps(
                self.model, maker, values, pictures, self.vectors, draws=draws, null=null, seed=seed
            )
        )

    def network_steps(
        self, *, k: int = 10, q: float = 0.05, draws: int = 10, seed: int = 0
    ) -> Steps[Network]:
        """Pairs of genes in each other's ``k`` most alike, beyond what random pictures reach."""
        null = yield from self.null_steps(draws=draws, seed=seed)
        # What all random pictures have in common is no likeness of two genes.
        middle = null.mean(axis=(0, 1))
        return (
            yield from gene_network_steps(
                self.vectors - middle, self.genes, null - middle, k=k, q=q
            )
        )

    def compare_steps(self, other: GeneAtlas, *, q: float = 0.05) -> Steps[Rewiring]:
        """Relations of genes that differ in ``other``, a run on another section.

        Spaces of two runs cannot be compared, relations within them can.
        """
        return (
            yield from compare_relations_steps(
                self.vectors, self.genes, other.vectors, other.genes, q=q
            )
        )

    def enrichment_steps(self, sets: Mapping[str, Collection[str]]) -> Steps[pd.DataFrame]:
        """Gene sets that are enriched in the modules, among the genes learned from."""
        by_module = {m: self.members(m) for m in self.modules}
        return (yield from module_enrichment_steps(by_module, sets, self.genes))

    def query_steps(
        self,
        regions: NDArray[np.integer[Any]],
        levels: Mapping[int, float],
        *,
        background: float = 95.0,
        draws: int = 20,
        seed: int = 0,
    ) -> Steps[pd.DataFrame]:
        """Genes that follow a pattern that somebody has drawn.

        Artificial genes with the wanted level in every region are simulated, drawn and encoded;
        genes are ranked by the distance of their vector to the mean of theirs. Beside it stands
        the plain correlation with the drawn levels.

        Parameters
        ----------
        regions
            (n_spots,) region of each spot, -1 for none.
        levels
            Region -> level: 5 is as high as the top 5 % of the genes there.
        background
            Level of the spots of no region.
        draws
            Artificial genes.
        seed
            Of the simulation.

        Returns
        -------
        pandas.DataFrame
            ``gene``, ``module``, ``distance``, ``similarity`` (Pearson correlation of the
            vectors), ``correlation`` (of expression and drawn levels); the nearest first.

        Raises
        ------
        ParameterError
            If regions or levels do not fit the section.
        """
        if np.shape(regions) != (self.section.n_spots,):
            raise ParameterError(
                f"{np.size(regions)} regions were given for {self.section.n_spots} spots",
                "give one for each spot, -1 for none",
            )
        yield Progress(0, 3, "simulating the pattern")
        pattern = template(regions, levels, background=background)
        section, maker = self.drawing
        there = np.diff(self.section.counts().indptr) > 0
        if set(levels) - set(np.asarray(regions)[there].tolist()):
            raise ParameterError(
                "a region covers no spot with counts", "draw it over spots with counts"
            )
        counts = section.counts()
        made = simulate_pattern(
            counts,
            np.asarray(regions)[there],
            levels,
            rng=np.random.default_rng([seed, 11]),
            background=background,
            n=draws,
        )
        yield Progress(1, 3, "simulating the pattern")
        totals = np.asarray(counts.sum(axis=1)).ravel()
        drawn = log_normalise(sp.csr_matrix(made), totals, target=median_library(totals))
        query = yield from self.model.encode_steps(maker, drawn.tocsc())
        wanted = query.mean(axis=0)
        yield Progress(2, 3, "comparing genes")
        values = picture_values(section, self.place)
        away = np.linalg.norm(self.vectors - wanted, axis=1)
        centred = self.vectors - self.vectors.mean(axis=1, keepdims=True)
        towards = wanted - wanted.mean()
        size = np.linalg.norm(centred, axis=1) * np.linalg.norm(towards)
        out = pd.DataFrame(
            {
                "gene": self.genes,
                "module": np.asarray(self.modules, dtype=object)[self.codes],
                "distance": away,
                "similarity": centred @ towards / np.maximum(size, 1e-12),
                "correlation": template_correlation(values, pattern[there]),
            }
        )
        return out.sort_values("distance", ignore_index=True)

    def coverage_steps(
        self,
        target: Data,
        *,
        engine: Literal["ridge", "gan"] = "ridge",
        seed: int = 0,
        **options: Any,
    ) -> Steps[Coverage]:
        """Predict in ``target`` the genes that it did not measure and this section did.

        Every gene of this section that is seen often enough is encoded and can be predicted.

        Parameters
        ----------
        target
            Section, AnnData or path with a panel of genes and raw counts.
        engine
            ``"ridge"``: closed form; ``"gan"``: as published.
        seed
            Of the folds and the training.
        **options
            Of `models.spacex.coverage.enhance_coverage_steps`: ``rank``, ``folds``, ``rounds``,
            ``genes_per_round``, ``gan``, ``device``.

        Raises
        ------
        DataError
            If too few genes are shared, or none is left to predict.
        """
        panel = as_section(target)
        names, vectors, levels = yield from self.encode_all_steps()
        if panel.adata.var_names.isin(names).sum() == len(names):
            raise DataError(
                f"{panel.where} measured all {len(names):,} genes that {self.section.where} has",
                "give a target with fewer genes",
            )
        return (
            yield from enhance_coverage_steps(
                vectors,
                names,
                expression_of(panel),
                list(panel.adata.var_names),
                engine=engine,
                levels=levels,
                seed=seed,
                **options,
            )
        )
