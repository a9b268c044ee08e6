"""Correlations of columns against numpy, and the rule for columns that do not vary."""

import numpy as np
import pytest

from napari_stmask.analysis.correlation import pearson_columns, varying_columns


def test_same_as_numpy() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 40, 12))
    b += 0.7 * a
    expected = [np.corrcoef(a[:, j], b[:, j])[0, 1] for j in range(12)]
    np.testing.assert_allclose(pearson_columns(a, b), expected, atol=1e-12)
    np.testing.assert_allclose(pearson_columns(3 * a + 5, -b), [-r for r in expected], atol=1e-12)
    np.testing.assert_allclose(pearson_columns(a, a), 1)


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
def test_no_unit_is_too_small(scale: float) -> None:
    a, b = np.random.default_rng(1).normal(size=(2, 30, 3))
    np.testing.assert_allclose(pearson_columns(scale * a, b), pearson_columns(a, b), atol=1e-12)
    np.testing.assert_allclose(pearson_columns(a, scale * b), pearson_columns(a, b), atol=1e-12)


@pytest.mark.parametrize("value", [0.0, 0.1, 1e6, 1e-9])
def test_constant_columns(value: float) -> None:
    varying = np.random.default_rng(2).normal(size=(50, 1))
    constant = np.full((50, 1), value)
    assert np.isnan(pearson_columns(varying, constant))
    assert np.isnan(pearson_columns(constant, constant))
    assert pearson_columns(constant, varying) == 0
    assert not varying_columns(constant)
    assert varying_columns(varying)


def test_rounding_in_single_precision_is_no_variation() -> None:
    rng = np.random.default_rng(3)
    noisy = (8 * (1 + 1e-7 * rng.normal(size=(60, 1)))).astype(np.float32)
    assert np.ptp(noisy) > 0
    assert pearson_columns(noisy, rng.normal(size=(60, 1))) == 0
