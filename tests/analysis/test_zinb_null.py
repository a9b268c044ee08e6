"""Moments of zero-inflated counts against closed forms, and draws against their law."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import nbinom

from napari_stmask.analysis.zinb_null import (
    MAX_OMEGA,
    POISSON_SIZE,
    ZINB,
    column_moments,
    simulate,
    zinb_moments,
)
from napari_stmask.core.errors import DataError, ParameterError


def law(m: float, s: float, omega: float) -> ZINB:
    return ZINB(np.array([m]), np.array([s]), np.array([omega]))


def test_moments_by_hand() -> None:
    known = law(2, 4, 0.3)
    assert known.mean[0] == pytest.approx(1.4)
    assert known.variance[0] == pytest.approx(2.94)
    assert known.zero_share[0] == pytest.approx(0.43827, abs=1e-5)


def test_moments_are_those_of_the_probabilities() -> None:
    m, s, omega = 3.5, 0.7, 0.25
    x = np.arange(2000)
    mass = (1 - omega) * nbinom.pmf(x, s, s / (s + m))
    mass[0] += omega
    mean = (x * mass).sum()
    known = law(m, s, omega)
    assert known.mean[0] == pytest.approx(mean)
    assert known.variance[0] == pytest.approx((x**2 * mass).sum() - mean**2)
    assert known.zero_share[0] == pytest.approx(mass[0])


@given(m=st.floats(0.05, 200), s=st.floats(0.1, 500), omega=st.floats(0.0, 0.95))
@settings(max_examples=200, deadline=None)
def test_the_law_is_found_again(m: float, s: float, omega: float) -> None:
    known = law(m, s, omega)
    found = zinb_moments(known.mean, known.variance, known.zero_share)
    assert 0 <= found.omega[0] <= MAX_OMEGA
    # What the three moments hardly tell (rare genes) may differ, the moments may not.
    np.testing.assert_allclose(found.mean, known.mean, rtol=1e-9)
    np.testing.assert_allclose(found.variance, known.variance, rtol=1e-5)
    np.testing.assert_allclose(found.zero_share, known.zero_share, atol=1e-7)
    if m > 1 and s < 50:
        np.testing.assert_allclose([found.m[0], found.omega[0]], [m, omega], rtol=1e-4, atol=1e-4)
        assert found.s[0] == pytest.approx(s, rel=1e-3)


def test_reference_point_to_four_digits() -> None:
    known = law(2, 4, 0.3)
    found = zinb_moments(known.mean, known.variance, known.zero_share)
    np.testing.assert_allclose([found.m[0], found.s[0], found.omega[0]], [2, 4, 0.3], rtol=1e-4)


def test_zeros_rise_with_the_added_share() -> None:
    """Why there is one answer: the share of zeros is monotone at fixed mean and variance."""
    omega = np.linspace(0, 0.98, 400)
    for mean, variance in ((0.02, 0.05), (1.0, 1.5), (1.0, 30.0), (40.0, 4000.0), (5.0, 2.0)):
        m = mean / (1 - omega)
        v = variance / (1 - omega) - omega * m**2
        s = np.where(v > m, m**2 / np.maximum(v - m, 1e-12), POISSON_SIZE)
        zeros = ZINB(m, np.minimum(s, POISSON_SIZE), omega).zero_share
        assert (np.diff(zeros) > 0).all()


def test_corrections() -> None:
    # Fewer zeros than the negative binomial has: no negative share.
    few = zinb_moments(np.array([5.0]), np.array([30.0]), np.array([0.0]))
    assert few.omega[0] == 0
    np.testing.assert_allclose([few.m[0], few.s[0]], [5, 1])
    # Variance below the mean: Poisson, not size 1.
    under = zinb_moments(np.array([5.0]), np.array([2.0]), np.array([0.0]))
    assert under.s[0] == pytest.approx(POISSON_SIZE)
    assert under.variance[0] == pytest.approx(5, rel=1e-4)
    # A Poisson with added zeros.
    added = zinb_moments(np.array([4.0]), np.array([4.0]), np.array([0.5]))
    assert added.s[0] == pytest.approx(POISSON_SIZE)
    assert added.zero_share[0] == pytest.approx(0.5)
    # A gene that is seen in one of a million spots, one that never is.
    rare = zinb_moments(np.array([1e-3, 0.0]), np.array([1.0, 0.0]), np.array([1 - 1e-6, 1.0]))
    np.testing.assert_allclose(rare.omega, [MAX_OMEGA, 0])
    np.testing.assert_allclose(rare.mean, [1e-3, 0])


def test_draws_within_three_standard_errors() -> None:
    n = 100_000
    laws = zinb_moments(
        np.array([1.4, 0.1, 6.0, 3.0, 0.0]),
        np.array([2.94, 0.3, 6.0, 12.0, 0.0]),
        np.array([0.43827, 0.95, 0.1, 0.2, 1.0]),
    )
    x = np.asarray(simulate(laws, n, np.random.default_rng(0)).todense(), dtype=float)
    assert (x == np.round(x)).all()
    assert (x >= 0).all()
    error = np.sqrt(laws.variance / n)
    assert (np.abs(x.mean(axis=0) - laws.mean) <= 3 * error).all()
    p = laws.zero_share
    assert (np.abs((x == 0).mean(axis=0) - p) <= 3 * np.sqrt(p * (1 - p) / n)).all()
    fourth = ((x - x.mean(axis=0)) ** 4).mean(axis=0)
    spread = np.sqrt((fourth - x.var(axis=0) ** 2) / n)
    assert (np.abs(x.var(axis=0) - laws.variance) <= 3 * spread).all()


def test_draws_are_seeded_and_independent_of_blocks(monkeypatch) -> None:
    laws = zinb_moments(np.full(7, 1.4), np.full(7, 2.94), np.full(7, 0.438))
    one = simulate(laws, 50, np.random.default_rng(1))
    assert one.shape == (50, 7)
    assert one.dtype == np.float32
    assert (one != simulate(laws, 50, np.random.default_rng(1))).nnz == 0
    assert (one != simulate(laws, 50, np.random.default_rng(2))).nnz > 0
    monkeypatch.setattr("napari_stmask.analysis.zinb_null._ENTRIES", 100)
    parts = simulate(laws, 5000, np.random.default_rng(1))
    assert parts.shape == (5000, 7)
    assert abs(parts.mean() - 1.4) < 0.05


def test_moments_of_a_sparse_matrix() -> None:
    x = np.random.default_rng(0).poisson(0.7, (60, 9)).astype(np.float32)
    x[:, [0, 8]] = 0
    for make in (sp.csr_matrix, sp.csc_matrix):
        matrix = make(x)
        if make is sp.csr_matrix:
            matrix.data[3] = 0  # a stored zero
        before = matrix.copy()
        dense = np.asarray(matrix.todense(), dtype=float)
        mean, variance, zeros = column_moments(matrix)
        np.testing.assert_allclose(mean, dense.mean(axis=0))
        np.testing.assert_allclose(variance, dense.var(axis=0))
        np.testing.assert_allclose(zeros, (dense == 0).mean(axis=0))
        assert matrix.nnz == before.nnz
        assert (matrix.data == before.data).all()


def test_mistakes() -> None:
    one = np.ones(3)
    with pytest.raises(ParameterError, match="moments have shapes"):
        zinb_moments(one, one, np.ones(2))
    for bad in (-1.0, np.nan, np.inf):
        with pytest.raises(ParameterError, match="mean or variance is negative or not finite"):
            zinb_moments(one, one * bad, one)
    for bad in (-0.1, 1.1, np.nan):
        with pytest.raises(ParameterError, match="share of zeros is outside"):
            zinb_moments(one, one, one * bad)
    with pytest.raises(ParameterError, match="n is 0"):
        simulate(law(1, 1, 0), 0, np.random.default_rng(0))
    with pytest.raises(DataError, match="no spots"):
        column_moments(sp.csr_matrix((0, 3)))
    for bad in (-1.0, np.nan):
        with pytest.raises(DataError, match="negative or not finite"):
            column_moments(sp.csr_matrix([[1.0, bad]]))
