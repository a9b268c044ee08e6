"""Genes standardised within sections: a dense reference, one section, and the way back."""

import numpy as np
import pytest
import scipy.sparse as sp

from napari_stmask.features.expression import Expression, pca_scores, standardise
from napari_stmask.features.section_scaling import pca_within, standardise_within


def sections(sizes: tuple[int, ...] = (50, 30, 40), genes: int = 25) -> tuple:
    """Counts whose genes differ between sections by a factor each; spots in no order."""
    rng = np.random.default_rng(0)
    codes = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    level = rng.lognormal(0, 0.5, (len(sizes), genes))
    dense = np.log1p(rng.poisson(2 * level[codes])).astype(np.float32)
    dense[codes == 0, 0] = 0  # not seen in one section
    dense[0, 1] = 60  # far out
    return sp.csr_matrix(dense), codes


def reference(dense: np.ndarray, codes: np.ndarray, clip: float | None, scale: bool) -> np.ndarray:
    """(n_spots, n_genes) z-scores of each section by itself, cut above; not scaled: centred."""
    out = np.empty(dense.shape)
    for code in np.unique(codes):
        rows = dense[codes == code].astype(np.float64)
        sd = rows.std(axis=0, ddof=1)
        sd[sd < 1e-8] = 1
        if clip is not None:
            rows = np.minimum(rows, rows.mean(axis=0) + clip * sd)
        if scale:
            rows = rows / sd
        out[codes == code] = rows - rows.mean(axis=0)
    return out


@pytest.mark.parametrize("clip", [None, 10.0, 2.0])
@pytest.mark.parametrize("scale", [True, False])
def test_against_a_dense_reference(clip: float | None, scale: bool) -> None:
    matrix, codes = sections()
    found, sd, ceiling, mean = standardise_within(matrix, codes, clip=clip, scale=scale)
    assert sd.shape == ceiling.shape == mean.shape == (3, 25)
    assert {a.dtype for a in (found, sd, ceiling, mean)} == {np.dtype(np.float32)}
    expected = reference(matrix.toarray(), codes, clip, scale)
    np.testing.assert_allclose(found.toarray() - mean[codes], expected, atol=2e-5)
    if not scale:
        assert (sd == 1).all()
    # The way back, save for what was cut.
    free = np.minimum(matrix.toarray(), (ceiling * sd)[codes])
    np.testing.assert_allclose(found.toarray() * sd[codes], free, rtol=1e-5, atol=1e-6)


def test_levels_and_spreads_of_sections_are_gone() -> None:
    matrix, codes = sections()
    found, _, _, mean = standardise_within(matrix, codes, clip=None)
    z = found.toarray() - mean[codes]
    for code in range(3):
        np.testing.assert_allclose(z[codes == code].mean(axis=0), 0, atol=1e-5)
        spread = z[codes == code].std(axis=0, ddof=1)
        np.testing.assert_allclose(spread[1:], 1, atol=1e-5)
    assert not z[codes == 0, 0].any()


def test_is_the_same_for_each_section_alone_and_stays_sparse() -> None:
    matrix, codes = sections()
    kept = matrix.copy()
    found, *moments = standardise_within(matrix, codes)
    assert found.nnz == matrix.nnz
    assert (matrix != kept).nnz == 0
    for code in range(3):
        own = standardise(Expression(matrix[codes == code], np.arange(25)))
        assert abs(found[codes == code] - own.matrix).max() == 0
        np.testing.assert_array_equal(moments[0][code], own.sd)
        np.testing.assert_array_equal(moments[1][code], own.ceiling)


def test_a_section_without_spots_has_neutral_moments() -> None:
    matrix, codes = sections()
    kept = codes != 1
    found, sd, ceiling, mean = standardise_within(matrix[kept], codes[kept])
    assert found.shape[0] == kept.sum()
    assert (sd[1] == 1).all()
    assert np.isinf(ceiling[1]).all()
    assert not mean[1].any()


def test_components_against_a_dense_decomposition() -> None:
    matrix, codes = sections()
    found, _, _, mean = standardise_within(matrix, codes)
    scores, components = pca_within(found, codes, mean, 6, seed=0)
    dense = found.toarray().astype(np.float64) - mean[codes]
    u, s, vt = np.linalg.svd(dense, full_matrices=False)
    sign = np.sign((components * vt[:6]).sum(axis=1))
    np.testing.assert_allclose(components, vt[:6] * sign[:, None], atol=1e-4)
    np.testing.assert_allclose(scores, u[:, :6] * s[:6] * sign, atol=2e-3)
    np.testing.assert_allclose(components @ components.T, np.eye(6), atol=1e-5)
    largest = np.abs(components).argmax(axis=1)
    assert (components[np.arange(6), largest] > 0).all()
    # No component tells the sections apart by level.
    for code in range(3):
        np.testing.assert_allclose(scores[codes == code].mean(axis=0), 0, atol=1e-3)


def test_one_section_is_the_usual_standardising_and_projection() -> None:
    matrix, _ = sections()
    codes = np.zeros(matrix.shape[0], dtype=int)
    found, sd, ceiling, mean = standardise_within(matrix, codes)
    usual = standardise(Expression(matrix, np.arange(25)))
    assert abs(found - usual.matrix).max() == 0
    np.testing.assert_array_equal(sd[0], usual.sd)
    np.testing.assert_array_equal(ceiling[0], usual.ceiling)
    scores, components = pca_within(found, codes, mean, 5, seed=0)
    expected, pca = pca_scores(usual.matrix, 5, seed=0)
    np.testing.assert_allclose(mean[0], pca.mean_, atol=1e-5)
    np.testing.assert_allclose(components, pca.components_, atol=1e-4)
    np.testing.assert_allclose(scores, expected, atol=2e-3)


def test_the_seed_and_too_many_components() -> None:
    matrix, codes = sections()
    found, _, _, mean = standardise_within(matrix, codes)
    first, second = (pca_within(found, codes, mean, 4, seed=3)[0] for _ in range(2))
    np.testing.assert_array_equal(first, second)
    np.testing.assert_allclose(first, pca_within(found, codes, mean, 4, seed=4)[0], atol=2e-3)
    scores, components = pca_within(found, codes, mean, 300, seed=0)
    assert scores.shape == (120, 24)
    assert components.shape == (24, 25)
