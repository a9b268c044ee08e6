"""Ridge regression against scikit-learn and brute force."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge as SklearnRidge
from sklearn.linear_model import RidgeCV

from napari_stmask.analysis import ridge as module
from napari_stmask.analysis.ridge import ALPHAS, fit_ridge, ridge_steps
from napari_stmask.core.errors import DataError, ParameterError


def data(n: int, d: int, *, groups: int = 4, noise: float = 3.0, seed: int = 0):
    """Standardised features, five genes of very different scale, codes of sections."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d)) @ np.diag(np.linspace(0.2, 2, d))
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    y = x @ rng.normal(size=(d, 5)) + noise * rng.normal(size=(n, 5))
    y = y * np.array([1, 10, 0.1, 1, 1]) + 4
    return x, y, np.arange(n) % groups


@pytest.mark.parametrize(("n", "d"), [(80, 12), (40, 90), (60, 60)])
def test_the_fit_is_that_of_scikit_learn(n: int, d: int, monkeypatch) -> None:
    monkeypatch.setattr(module, "_WORK", 1.0)  # the smallest blocks
    x, y, groups = data(n, d)
    new = np.random.default_rng(9).normal(size=(20, d))
    for alpha in (1.0, 300.0):
        ours = fit_ridge(x, y, groups, alphas=(alpha,))
        theirs = SklearnRidge(alpha).fit(x, y)
        np.testing.assert_allclose(ours.predict(new), theirs.predict(new), rtol=1e-4, atol=1e-3)
        assert ours.alpha == alpha
        assert ours.predict(new).dtype == np.float32


@pytest.mark.parametrize(("n", "d"), [(80, 12), (48, 90)])
def test_the_penalty_is_that_of_brute_force(n: int, d: int) -> None:
    chosen = set()
    for noise in (0.1, 3.0, 100.0):
        x, y, groups = data(n, d, noise=noise)
        standard = y / y.std(axis=0)
        error = np.zeros(len(ALPHAS))
        for g in range(4):
            train, test = groups != g, groups == g
            mean = x[train].mean(axis=0)
            unit = ((x[train] - mean) ** 2).mean()
            for i, alpha in enumerate(ALPHAS):
                model = SklearnRidge(alpha * unit).fit(x[train], standard[train])
                error[i] += ((model.predict(x[test]) - standard[test]) ** 2).sum()
        best = fit_ridge(x, y, groups).alpha
        assert best == ALPHAS[int(np.argmin(error))]
        chosen.add(best)
    assert len(chosen) > 1  # the noise decides


@pytest.mark.parametrize(("n", "d"), [(80, 12), (48, 90)])
def test_one_group_leaves_out_single_spots(n: int, d: int) -> None:
    for noise in (0.1, 3.0, 100.0):
        x, y, _ = data(n, d, noise=noise)
        theirs = RidgeCV(ALPHAS).fit(x, y / y.std(axis=0))
        assert fit_ridge(x, y, np.zeros(n)).alpha == theirs.alpha_


def test_leave_one_out_error_is_that_of_refitting() -> None:
    from napari_stmask.core.progress import drain

    x, y, _ = data(25, 6)
    whole = drain(module._solved(x, y, np.arange(25)))
    got = module._leave_one_out(whole, x - whole.centre, y - whole.intercept, 5.0, 25)
    # The penalty in its absolute size, as it was for all spots together.
    expected = 0.0
    for i in range(25):
        others = np.arange(25) != i
        # Leaving a spot out of a fit with an unpenalised intercept, refitted from scratch.
        model = SklearnRidge(5.0 * whole.unit).fit(x[others], y[others])
        expected += float(((model.predict(x[[i]]) - y[i]) ** 2).sum())
    assert got == pytest.approx(expected, rel=1e-9)


def test_units_do_not_matter() -> None:
    x, y, groups = data(60, 10)
    one = fit_ridge(x, y, groups)
    other = fit_ridge(1000 * x + 7, 0.01 * y - 3, groups)
    assert one.alpha == other.alpha
    np.testing.assert_allclose(0.01 * one.predict(x) - 3, other.predict(1000 * x + 7), atol=1e-4)


def test_a_section_that_differs_asks_for_a_larger_penalty() -> None:
    """Spots of a section share what its features say only there: folds by section see that."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(4), 50)
    common = rng.normal(size=(200, 1))
    own = rng.normal(size=(200, 30))
    y = common + sum(own[:, [g]] * (groups == g)[:, None] * 3 for g in range(4))
    x = np.hstack([common, own])
    by_section = fit_ridge(x, y, groups).alpha
    by_spot = fit_ridge(x, y, rng.permutation(groups)).alpha
    assert by_section > by_spot


def test_many_groups_are_left_out_in_eight_parts() -> None:
    x, y, _ = data(60, 4)
    folds = {event.step for event in ridge_steps(x, y, np.arange(60))}
    assert folds == set(range(9))


def test_constant_genes_and_columns() -> None:
    x, y, groups = data(40, 6)
    y[:, 1], x[:, 2] = 7.0, 0.0
    fitted = fit_ridge(x, y, groups)
    np.testing.assert_allclose(fitted.predict(x)[:, 1], 7, rtol=1e-6)
    assert np.isfinite(fitted.weights).all()
    np.testing.assert_allclose(fitted.weights[2], 0, atol=1e-6)


def test_mistakes() -> None:
    x, y, groups = data(20, 3)
    with pytest.raises(ParameterError, match="one row"):
        fit_ridge(x[1:], y, groups)
    for alphas in ((), (1.0, 0.0), (-1.0,)):
        with pytest.raises(ParameterError, match="penalties"):
            fit_ridge(x, y, groups, alphas=alphas)
    with pytest.raises(DataError, match="too few"):
        fit_ridge(x[:1], y[:1], groups[:1])
    with pytest.raises(DataError, match="same in all spots"):
        fit_ridge(np.full((20, 3), 0.1), y, groups)
    x[2, 1] = np.inf
    with pytest.raises(DataError, match="not finite"):
        fit_ridge(x, y, groups)
    with pytest.raises(ParameterError, match="takes 3 columns"):
        fit_ridge(*data(20, 3)).predict(np.ones((4, 5)))
