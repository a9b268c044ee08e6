"""Gene sets among predicted genes: those of a region, or those that are predicted best."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..core.errors import DataError
from ..core.progress import Progress, Steps
from ..core.section import Section
from .enrichment import over_representation, region_genes_steps, top_genes
from .region_transfer import predicted_values

__all__ = ["Enriched", "enriched_steps"]


@dataclass(frozen=True, eq=False)
class Enriched:
    """Which sets are over-represented.

    Attributes
    ----------
    table
        See `enrichment.over_representation`.
    chosen
        Genes that were looked for in the sets.
    """

    table: pd.DataFrame
    chosen: tuple[str, ...]


def enriched_steps(
    section: Section,
    sets: Mapping[str, tuple[str, ...]],
    *,
    inside: NDArray[np.bool_] | None = None,
    most: int = 50,
) -> Steps[Enriched]:
    """Test sets for genes of a predicted section, its panel being the background.

    Parameters
    ----------
    section
        (n, n_genes) predicted logarithms in ``X``.
    sets
        Name -> symbols.
    inside
        (n,) True in a region: genes that are higher there than outside are chosen (Wilcoxon,
        Benjamini-Hochberg). None chooses those of the best correlation, measured or expected.
    most
        Genes chosen at most.

    Raises
    ------
    DataError
        If no gene is raised in the region, no correlation is known, or no set has enough genes
        of the panel.
    """
    genes = [str(gene) for gene in section.adata.var_names]
    if inside is not None:
        ranked = yield from region_genes_steps(predicted_values(section), inside, genes)
        chosen = top_genes(ranked, n=most)
        if not chosen:
            raise DataError(
                "no gene is raised in the region", "find another region, or take the best genes"
            )
    else:
        yield Progress(0, 1, "choosing genes")
        var = section.adata.var
        by = var["pcc"] if "pcc" in var else var["expected_pcc"]
        order = by.sort_values(ascending=False, kind="stable").dropna()
        chosen = [str(gene) for gene in order.index[:most]]
        if not chosen:
            raise DataError(
                "of no predicted gene a correlation is known", "take the genes of a region"
            )
    yield Progress(1, 2, "testing gene sets")
    return Enriched(over_representation(chosen, sets, genes), tuple(chosen))
