"""What a SpaCEX run left on a section, read back: vectors, modules, scores and the network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.utils.sparsefuncs import mean_variance_axis

from .analysis.inputs import expression_of
from .core.errors import ParameterError
from .core.progress import Steps
from .core.section import Section
from .features.expression import min_cells_for
from .features.gene_images import ImageMaker, picture_values
from .models.spacex.state import GeneModel

__all__ = ["SVG_COLUMNS", "StoredGenes"]

SVG_COLUMNS = ("svg_score", "svg_effect", "svg_p", "svg_q", "svg_rank")


@dataclass(frozen=True, eq=False)
class StoredGenes:
    """Vectors and modules of genes as they stand on a section.

    Attributes
    ----------
    section
        Where the run left its answers.
    key
        Name of the run.
    """

    section: Section
    key: str

    @cached_property
    def place(self) -> NDArray[np.intp]:
        """(n_genes,) places in ``var`` of the genes that were learned from."""
        vectors = np.asarray(self.section.adata.varm[f"X_{self.key}"])
        return np.flatnonzero(np.isfinite(vectors).all(axis=1))

    @cached_property
    def genes(self) -> tuple[str, ...]:
        """Their names, in the order of the section."""
        return tuple(map(str, self.section.adata.var_names[self.place]))

    @cached_property
    def vectors(self) -> NDArray[np.float32]:
        """(n_genes, width) float32."""
        return np.asarray(self.section.adata.varm[f"X_{self.key}"], np.float32)[self.place]

    @cached_property
    def modules(self) -> tuple[str, ...]:
        """Names of the modules, the one with the clearest picture first."""
        return tuple(map(str, self.section.adata.var[f"{self.key}_module"].cat.categories))

    @cached_property
    def codes(self) -> NDArray[np.intp]:
        """(n_genes,) module of each gene, a position in `modules`."""
        column = self.section.adata.var[f"{self.key}_module"]
        return np.asarray(column.cat.codes)[self.place].astype(np.intp)

    @cached_property
    def scores(self) -> NDArray[np.float32]:
        """(n_spots, n_modules) float32 scores of the modules; NaN for spots without counts."""
        return np.asarray(self.section.adata.obsm[f"{self.key}_modules"], dtype=np.float32)

    @cached_property
    def model(self) -> GeneModel:
        """The trained network, from what the run left on the AnnData.

        Raises
        ------
        FileFormatError
            If it is missing or of another version.
        """
        arrays = self.section.adata.uns.get(f"{self.key}_model", {})
        return GeneModel.from_arrays(arrays, self.section.where)

    @cached_property
    def drawing(self) -> tuple[Section, ImageMaker]:
        """The spots with counts, as the run saw them, and how their genes are drawn."""
        filled = np.diff(self.section.counts().indptr) > 0
        bare = self.section.bare(None if filled.all() else filled)
        return bare, self.model.maker(bare)

    def members(self, module: str) -> list[str]:
        """Genes of a module, the surest first.

        Raises
        ------
        ParameterError
            If there is no such module.
        """
        if module not in self.modules:
            raise ParameterError(f"there is no module '{module}'", f"use 1 to {len(self.modules)}")
        table = self.table()
        table = table[table["module"] == module].sort_values("probability", ascending=False)
        return list(table["gene"])

    def table(self) -> pd.DataFrame:
        """One row a gene: ``gene``, ``module``, ``probability`` and, where genes were scored,
        ``svg_score``, ``svg_effect``, ``svg_p``, ``svg_q``, ``svg_rank``; most spatial first.
        """
        var = self.section.adata.var.iloc[self.place]
        out = pd.DataFrame(
            {
                "gene": self.genes,
                "module": np.asarray(self.modules, dtype=object)[self.codes],
                "probability": var[f"{self.key}_module_prob"].to_numpy(),
            }
        )
        for name in SVG_COLUMNS:
            if f"{self.key}_{name}" in var:
                out[name] = var[f"{self.key}_{name}"].to_numpy()
        if "svg_rank" in out:
            return out.sort_values("svg_rank", ignore_index=True)
        return out

    def mean_pattern(self, genes: Sequence[str]) -> NDArray[np.float32]:
        """(n_spots,) float32 mean z-score of some genes in every spot.

        Raises
        ------
        ParameterError
            If there are none, or one is unknown.
        """
        places = self._places(genes)
        values = expression_of(self.section)[:, places]
        mean, variance = mean_variance_axis(values.astype(np.float64), axis=0)
        sd = np.sqrt(variance)
        scale = np.divide(1.0, sd, out=np.zeros_like(sd), where=sd > 1e-6) / len(places)
        return np.asarray(values @ scale - mean @ scale, dtype=np.float32)

    def encode_all_steps(
        self,
    ) -> Steps[tuple[list[str], NDArray[np.float32], NDArray[np.float64]]]:
        """Names, vectors and levels of every gene that is seen often enough, learned from or not.

        Returns
        -------
        genes
            n names.
        vectors
            (n, width) float32.
        levels
            (n, 2) float64 mean and standard deviation of log-normalised expression.
        """
        section, maker = self.drawing
        seen = section.counts().getnnz(axis=0) >= min_cells_for(section.n_spots)
        values = picture_values(section, np.flatnonzero(seen))
        vectors = yield from self.model.encode_steps(maker, values)
        mean, variance = mean_variance_axis(values.astype(np.float64), axis=0)
        levels = np.column_stack([mean, np.sqrt(variance)])
        return list(map(str, section.adata.var_names[seen])), vectors, levels

    def _places(self, genes: Sequence[str]) -> NDArray[np.intp]:
        found = self.section.adata.var_names.get_indexer(list(genes))
        if not len(found) or (found < 0).any():
            what = f"'{genes[int(np.argmin(found))]}'" if len(found) else "none"
            raise ParameterError(
                f"{self.section.where} has no gene {what}", "name genes of the section"
            )
        return np.asarray(found)
