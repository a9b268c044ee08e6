"""Either translator gives the same kind of answer, checked in the same way."""

import numpy as np
import pytest

from napari_stmask.analysis.correlation import pearson_columns
from napari_stmask.analysis.coverage import fit_coverage_steps
from napari_stmask.core.errors import ParameterError, ResourceError
from napari_stmask.core.progress import drain
from napari_stmask.models.spacex.coverage import enhance_coverage_steps
from napari_stmask.nn.coverage_gan import GANParams

QUICK = GANParams(epochs=15, lr=1e-3)


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(90, 5))
    full = np.maximum(4 + vectors @ rng.normal(size=(5, 40)), 0).T.astype(np.float32)
    genes = np.array([f"G{i}" for i in rng.permutation(90)])
    return vectors, genes, full


def answer(data, shown: int = 70, **options):
    vectors, genes, full = data
    return drain(enhance_coverage_steps(vectors, genes, full[:, :shown], genes[:shown], **options))


def test_ridge_is_that_of_the_analysis(data) -> None:
    vectors, genes, full = data
    a = answer(data)
    b = drain(fit_coverage_steps(vectors, genes, full[:, :70], genes[:70]))
    np.testing.assert_array_equal(a.predict(genes), b.predict(genes))
    assert a.facts["engine"] == "ridge"


def test_gan_answers_in_the_same_form(data) -> None:
    _, genes, full = data
    a = answer(data, engine="gan", gan=QUICK)
    assert a.facts["engine"] == "gan"
    same = answer(data)
    assert list(a.cv.index) == list(same.cv.index)
    np.testing.assert_array_equal(a.cv["fold"], same.cv["fold"])
    values = a.predict(genes[70:])
    assert values.shape == (40, 20)
    assert values.dtype == np.float32
    assert values.min() >= 0
    r = pearson_columns(values, full[:, 70:])
    assert r.mean() > 0.5
    assert a.facts["mean_r"] == pytest.approx(r.mean(), abs=0.15)
    assert np.isnan(a.confidence[:70]).all()
    assert np.isfinite(a.confidence[70:]).all()
    rows = np.arange(20)
    drawn = a.maps.values(rows)
    expected = np.column_stack([drawn.mean(axis=0), drawn.std(axis=0)])
    np.testing.assert_allclose(a.maps.moments(rows), expected, rtol=1e-5)


def test_gan_grows_with_names_kept(data) -> None:
    a = answer(data, engine="gan", gan=GANParams(epochs=1), rounds=2, genes_per_round=8, folds=2)
    assert a.facts["rounds"] == 2
    assert list(a.genes) == list(data[1])
    assert sorted(a.imputed) == sorted(data[1][70:])


def test_seed_reaches_the_gan(data) -> None:
    genes = data[1]
    first, again, other = (
        answer(data, engine="gan", gan=GANParams(epochs=1, seed=s), folds=2).predict(genes)
        for s in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)


def test_mistakes(data) -> None:
    vectors, genes, _ = data
    with pytest.raises(ParameterError, match="engine is 'magic'"):
        answer(data, engine="magic")
    with pytest.raises(ParameterError, match="rounds is 0"):
        answer(data, engine="gan", rounds=0)
    with pytest.raises(ParameterError, match="folds is 1"):
        answer(data, engine="gan", folds=1)
    large = np.random.default_rng(0).uniform(size=(10_001, 12)).astype(np.float32)
    with pytest.raises(ResourceError, match="use the engine 'ridge'"):
        drain(enhance_coverage_steps(vectors, genes, large, genes[:12], engine="gan"))
