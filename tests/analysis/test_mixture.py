import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture

from napari_stmask.analysis.mixture import _em, _whiten, fit_tied_mixture
from napari_stmask.core.errors import ParameterError


def tied(seed: int, n: int = 600, d: int = 6, k: int = 4) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    mix = rng.normal(size=(d, d))
    labels = rng.integers(k, size=n)
    centre = rng.normal(size=(k, d)) * 4
    return (rng.normal(size=(n, d)) + centre[labels]) @ mix, labels


def test_recovers_components() -> None:
    x, labels = tied(0)
    assert adjusted_rand_score(labels, fit_tied_mixture(x, 4).labels) > 0.95


@pytest.mark.parametrize("seed", range(4))
def test_likelihood_is_never_below_scikit_learn(seed: int) -> None:
    x, _ = tied(seed, k=5)
    reference = GaussianMixture(
        5, covariance_type="tied", n_init=10, reg_covar=1e-9, random_state=seed
    )
    best = reference.fit(x).score(x) * len(x)
    assert fit_tied_mixture(x, 5, seed=seed).log_likelihood >= best - 0.5


def test_likelihood_is_that_of_the_data() -> None:
    """One component: the closed form of a Gaussian with maximum-likelihood moments."""
    x, _ = tied(1)
    n, d = x.shape
    cov = np.cov(x.T, bias=True)
    expected = -0.5 * n * (np.linalg.slogdet(cov)[1] + d * np.log(2 * np.pi) + d)
    assert fit_tied_mixture(x, 1).log_likelihood == pytest.approx(expected, rel=1e-6)


def test_em_never_decreases() -> None:
    x, labels = tied(2)
    white = _whiten(x)[0]
    values = [_em(white, labels, 4, tol=0, max_iter=m)[1] for m in range(1, 12)]
    assert (np.diff(values) >= -1e-8).all()


def test_affine_equivariance() -> None:
    x, _ = tied(3)
    moved = x @ np.diag([1, 10, 0.1, 3, 1, 1e-3]) + 5
    first, second = fit_tied_mixture(x, 4), fit_tied_mixture(moved, 4)
    assert adjusted_rand_score(first.labels, second.labels) == 1


def test_posteriors_are_probabilities() -> None:
    fit = fit_tied_mixture(tied(4)[0], 3)
    np.testing.assert_allclose(fit.posterior.sum(axis=1), 1)
    assert (fit.posterior >= 0).all()


def test_same_seed_same_fit() -> None:
    x, _ = tied(5)
    np.testing.assert_array_equal(
        fit_tied_mixture(x, 4, seed=3).posterior, fit_tied_mixture(x, 4, seed=3).posterior
    )


def test_degenerate_inputs() -> None:
    assert set(fit_tied_mixture(np.eye(4), 4).labels) <= {0, 1, 2, 3}
    flat = np.column_stack([np.arange(30.0), np.zeros(30)])
    assert np.isfinite(fit_tied_mixture(flat, 2).log_likelihood)
    with pytest.raises(ParameterError, match="between 1 and 3"):
        fit_tied_mixture(np.zeros((3, 2)), 5)
