"""Which genes of a predicted section are looked for in gene sets."""

import numpy as np
import pytest
from anndata import AnnData

from napari_stmask.analysis.predicted_sets import enriched_steps
from napari_stmask.core.errors import DataError
from napari_stmask.core.progress import drain
from napari_stmask.core.section import Section

GENES = [f"G{i:02d}" for i in range(20)]
SETS = {"first": tuple(GENES[:5]), "last": tuple(GENES[-5:])}


def predicted(**columns: np.ndarray) -> Section:
    """Genes 0 to 4 are raised in the first half of the spots."""
    values = np.random.default_rng(0).normal(size=(40, 20)).astype(np.float32)
    values[:20, :5] += 4
    adata = AnnData(values)
    adata.var_names = GENES
    adata.obsm["spatial"] = np.random.default_rng(1).uniform(size=(40, 2))
    for name, column in columns.items():
        adata.var[name] = column
    return Section(adata, name="predicted")


def test_genes_of_a_region() -> None:
    inside = np.arange(40) < 20
    found = drain(enriched_steps(predicted(), SETS, inside=inside))
    assert set(found.chosen) == set(GENES[:5])
    assert found.table["set"][0] == "first"
    assert found.table["overlap"].tolist() == [5, 0]


def test_the_best_genes_by_the_measured_correlation_where_there_is_one() -> None:
    ranks = np.arange(20.0)
    expected = drain(enriched_steps(predicted(expected_pcc=ranks), SETS, most=5))
    assert list(expected.chosen) == GENES[:-6:-1]
    both = predicted(expected_pcc=ranks, pcc=np.where(ranks < 2, np.nan, -ranks))
    assert list(drain(enriched_steps(both, SETS, most=3)).chosen) == GENES[2:5]


def test_nothing_to_choose() -> None:
    flat = predicted()
    flat.adata.X[:] = 1
    with pytest.raises(DataError, match="no gene is raised"):
        drain(enriched_steps(flat, SETS, inside=np.arange(40) < 20))
    with pytest.raises(DataError, match="of no predicted gene a correlation is known"):
        drain(enriched_steps(predicted(expected_pcc=np.full(20, np.nan)), SETS))
