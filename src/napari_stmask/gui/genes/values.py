"""Tables and numbers that the dock shows; no Qt, for workers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ...analysis.coverage import COVERAGE
from ...analysis.enhancement import gene_values
from ...analysis.svg_scores import SvgScores
from ...core.progress import Progress, Steps
from ...core.section import Section
from ...viz.raster import SpotRaster, rasterise
from .known import GeneRun

__all__ = [
    "Loaded",
    "coverage_facts",
    "imputed_steps",
    "imputed_table",
    "load",
    "map_of",
    "module_pattern",
    "pattern_of",
    "store_scores",
]

_SCORES = ("score", "effect", "p", "q", "rank")


@dataclass(frozen=True, eq=False)
class Loaded:
    """What the dock shows of a run at once.

    Attributes
    ----------
    run
        Whose.
    genes, modules
        One row a gene, one row a module.
    names
        The genes in the order of their vectors.
    """

    run: GeneRun
    genes: pd.DataFrame
    modules: pd.DataFrame
    names: tuple[str, ...]

    @property
    def scored(self) -> bool:
        """Whether genes were compared with random pictures."""
        return "svg_rank" in self.genes

    @cached_property
    def listed(self) -> pd.DataFrame:
        """The genes with every column of scores, empty where there are none."""
        empty = {f"svg_{n}": np.nan for n in _SCORES if f"svg_{n}" not in self.genes}
        return self.genes.assign(**empty) if empty else self.genes


def load(run: GeneRun) -> Loaded:
    """Tables of genes and modules; ``probability`` of a module is the mean of its genes."""
    atlas = run.atlas
    genes, modules = atlas.table(), atlas.module_table()
    mean = genes.groupby("module")["probability"].mean()
    modules["probability"] = mean.reindex(modules["module"]).to_numpy()
    return Loaded(run, genes, modules, atlas.genes)


def map_of(run: GeneRun, kind: Literal["umap", "pca"]) -> tuple[GeneRun, str, NDArray[np.float32]]:
    """(n_genes, 2) map of the genes, with what it is of."""
    return run, kind, run.atlas.map_2d(kind)


def pattern_of(
    run: GeneRun, genes: Sequence[str]
) -> tuple[GeneRun, tuple[str, ...], NDArray[np.float32]]:
    """One number a spot: log-normalised counts of a gene, or the mean z-score of several."""
    genes = tuple(genes)
    one = len(genes) == 1
    values = gene_values(run.section, genes[0]) if one else run.atlas.mean_pattern(genes)
    return run, genes, values


def module_pattern(run: GeneRun, module: str) -> tuple[GeneRun, str, NDArray[np.float32]]:
    """The mean z-score of the members of a module, one number a spot."""
    return run, module, run.atlas.mean_pattern(run.atlas.members(module))


def store_scores(run: GeneRun, scores: SvgScores, *, draws: int, null: str) -> None:
    """Write new scores of genes over those of the run; ``uns`` says how they were made."""
    adata, place = run.section.adata, run.atlas.place
    for name in _SCORES:
        column = np.full(adata.n_vars, np.nan)
        column[place] = getattr(scores, name)
        adata.var[f"{run.key}_svg_{name}"] = column.astype(np.float32)
    adata.uns[f"{run.key}_svg_scored"] = json.dumps({"draws": draws, "null": null})


def imputed_steps(
    run: GeneRun, target: Section, engine: Literal["ridge", "gan"]
) -> Steps[tuple[Section, SpotRaster]]:
    """The target's measured genes and imputed ones as a section of its own, and its tiles."""
    from ...gene_atlas import imputed_section

    yield Progress(0, 0, "reading")
    coverage = yield from run.atlas.coverage_steps(target, engine=engine)
    yield Progress(0, 0, "writing the imputed genes")
    section = imputed_section(target, coverage, reference=run.label)
    yield Progress(0, 0, "drawing the spots")
    return section, rasterise(section.coords, section.lattice)


def coverage_facts(section: Section) -> dict[str, Any] | None:
    """How the imputed genes of a section were made; None where it has none."""
    found = section.adata.uns.get(COVERAGE)
    if not isinstance(found, str) or "imputed" not in section.adata.var:
        return None
    facts = json.loads(found)
    return facts if isinstance(facts, dict) else None


def imputed_table(section: Section) -> pd.DataFrame:
    """One row an imputed gene, the surest first: ``gene``, ``confidence``."""
    var = section.adata.var
    inside = var["imputed"].to_numpy(dtype=bool)
    table = pd.DataFrame(
        {
            "gene": section.adata.var_names[inside].astype(str),
            "confidence": var["imputation_confidence"].to_numpy(dtype=float)[inside],
        }
    )
    return table.sort_values("confidence", ascending=False, kind="stable", ignore_index=True)
