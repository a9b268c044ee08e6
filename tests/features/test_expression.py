import subprocess
import sys
import textwrap

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.decomposition import PCA

from napari_stmask.core.errors import DataError
from napari_stmask.features.expression import (
    Expression,
    log_normalise,
    min_cells_for,
    pca_scores,
    select_genes,
    standardise,
)


@pytest.fixture
def counts() -> sp.csr_matrix:
    rng = np.random.default_rng(0)
    rate = (0.1 + rng.gamma(0.6, 2, size=90)) * rng.gamma(2, 0.5, size=(150, 1))
    return sp.csr_matrix(rng.poisson(rate).astype(np.float32))


def test_log_normalise_equals_dense(counts: sp.csr_matrix) -> None:
    dense = counts.toarray()
    totals = dense.sum(axis=1)
    expected = np.log1p(dense / totals[:, None] * 1e4)
    np.testing.assert_allclose(log_normalise(counts, totals).toarray(), expected, rtol=1e-5)


def test_log_normalise_equals_scanpy(counts: sp.csr_matrix) -> None:
    import scanpy as sc
    from anndata import AnnData

    table = AnnData(counts.copy())
    sc.pp.normalize_total(table, target_sum=1e4)
    sc.pp.log1p(table)
    ours = log_normalise(counts, np.asarray(counts.sum(axis=1)).ravel())
    np.testing.assert_allclose(ours.toarray(), table.X.toarray(), rtol=1e-5)


def test_empty_spots_stay_empty() -> None:
    out = log_normalise(sp.csr_matrix([[0, 0], [1, 1]], dtype=np.float32), np.array([0, 2]))
    assert np.isfinite(out.data).all()
    assert out[0].nnz == 0


def test_input_is_not_changed(counts: sp.csr_matrix) -> None:
    before = counts.copy()
    expression = Expression(log_normalise(counts, np.ones(150)), np.arange(90))
    standardise(expression)
    assert abs(before - counts).nnz == 0


def test_standardise_equals_dense(counts: sp.csr_matrix) -> None:
    x = log_normalise(counts, np.asarray(counts.sum(axis=1)).ravel())
    out = standardise(Expression(x, np.arange(90)), clip=2.0)
    dense = x.toarray().astype(np.float64)
    mean, sd = dense.mean(axis=0), dense.std(axis=0, ddof=1)
    expected = np.minimum((dense - mean) / sd, 2.0)
    np.testing.assert_allclose(out.matrix.toarray() - mean / sd, expected, atol=1e-4)


def test_constant_gene_stays_finite() -> None:
    x = sp.csr_matrix(np.ones((20, 2), np.float32))
    assert np.isfinite(standardise(Expression(x, np.arange(2))).matrix.data).all()


def test_pca_equals_dense(counts: sp.csr_matrix) -> None:
    x = log_normalise(counts, np.asarray(counts.sum(axis=1)).ravel())
    scores, model = pca_scores(x, 5, seed=0)
    reference = PCA(5, svd_solver="full").fit(x.toarray())
    np.testing.assert_allclose(model.explained_variance_, reference.explained_variance_, rtol=1e-4)
    np.testing.assert_allclose(np.abs(scores), np.abs(reference.transform(x.toarray())), atol=1e-3)
    again, _ = pca_scores(x, 5, seed=0)
    np.testing.assert_array_equal(scores, again)


def test_pca_takes_what_there_is() -> None:
    scores, _ = pca_scores(sp.csr_matrix(np.random.default_rng(0).random((12, 4))), 200, seed=0)
    assert scores.shape == (12, 3)


@pytest.mark.parametrize(("n", "expected"), [(60, 3), (500, 5), (3639, 36), (100_000, 50)])
def test_min_cells(n: int, expected: int) -> None:
    assert min_cells_for(n) == expected


def test_panels_keep_every_gene(counts: sp.csr_matrix) -> None:
    assert len(select_genes(counts, n_top=200, min_cells=1, min_counts=1)) <= 90
    assert len(select_genes(counts, n_top=30, min_cells=1, min_counts=1)) == 30


def test_too_few_genes_is_said() -> None:
    with pytest.raises(DataError, match="only 0 of 4 genes"):
        select_genes(sp.csr_matrix((50, 4)), n_top=10, min_cells=3)


MEMORY = """
import numpy as np, scipy.sparse as sp
from napari_stmask.core.memory import peak_rss_bytes
from anndata import AnnData
from napari_stmask.core.progress import drain
from napari_stmask.core.section import Section
from napari_stmask.models.spamask.params import SpaMaskParams
from napari_stmask.models.expression_input import prepare
spots, genes, per_spot = 20_000, 60_000, 1_500
rng = np.random.default_rng(0)
column = (rng.random((spots, per_spot), dtype=np.float32) ** 2 * genes).astype(np.int32)
column.sort(axis=1)
counts = sp.csr_matrix(
    (np.ones(column.size, np.float32), column.ravel(), np.arange(0, column.size + 1, per_spot)),
    shape=(spots, genes),
)
del column
counts.sum_duplicates()
adata = AnnData(counts)
adata.obsm["spatial"] = rng.random((spots, 2))
out = drain(prepare(Section(adata), SpaMaskParams()))
assert out.x.shape == (spots, 50)
print(peak_rss_bytes())
"""


@pytest.mark.slow
def test_60000_genes_by_20000_spots_within_2_gb() -> None:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(MEMORY)], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 2e9, f"peak {int(done.stdout) / 1e9:.2f} GB"


def test_genes_of_small_bins_share_their_means() -> None:
    """Few molecules, so that thousands of genes have the same mean: scanpy's own span fails."""
    rng = np.random.default_rng(0)
    counts = sp.csr_matrix(rng.poisson(0.02, (200, 4000)).astype(np.float32))
    counts[:100, :20] = 3
    genes = select_genes(counts.tocsr(), n_top=300, min_cells=1, min_counts=1)
    assert len(genes) == 300
    same = sp.csr_matrix(np.tile(np.eye(50, 200, dtype=np.float32), (1, 3)))
    with pytest.raises(DataError, match="too many of them are counted equally often"):
        select_genes(same, n_top=20, min_cells=1, min_counts=1)
