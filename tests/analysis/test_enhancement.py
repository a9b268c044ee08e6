"""Area under the ROC curve by hand and by counting pairs; tables of domains before and after."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from tests.helpers import banded

from napari_stmask.analysis import enhancement
from napari_stmask.analysis.enhancement import (
    contrast,
    contrasts,
    enhanced_genes,
    gene_values,
)
from napari_stmask.analysis.inputs import expression_of
from napari_stmask.core.errors import DataError, ParameterError


def by_pairs(values, inside):
    """Share of pairs in which the spot inside shows more, ties half."""
    difference = np.subtract.outer(values[inside], values[~inside])
    return float(((difference > 0) + 0.5 * (difference == 0)).mean())


def test_contrast_by_hand() -> None:
    inside = np.array([True, True, False, False])
    columns = {
        1.0: [3, 2, 1, 0],
        0.0: [0, 1, 2, 3],
        0.5: [7, 7, 7, 7],
        0.75: [1, 1, 1, 0],  # two of four pairs are ties
        0.625: [2, 0, 1, 0],
    }
    got = contrast(sp.csr_matrix(np.array(list(columns.values()), float).T), inside)
    np.testing.assert_allclose(got, list(columns))


@pytest.mark.parametrize("form", [sp.csr_matrix, sp.csc_matrix, np.asarray])
def test_contrast_counts_pairs(form) -> None:
    rng = np.random.default_rng(0)
    values = rng.poisson(0.7, (60, 12)).astype(np.float32)
    values[:, 5] = 0
    values[:, 6] -= 1  # negative values stand below the zeros that are not stored
    inside = rng.random(60) < 0.3
    given = form(values)
    expected = [by_pairs(column, inside) for column in values.T]
    np.testing.assert_allclose(contrast(given, inside), expected, atol=1e-12)
    np.testing.assert_array_equal(given if form is np.asarray else given.toarray(), values)


def test_contrast_needs_both_sides() -> None:
    for inside in (np.ones(3, bool), np.zeros(3, bool)):
        with pytest.raises(ParameterError, match="one side holds no spot"):
            contrast(np.ones((3, 2)), inside)


@pytest.fixture
def enhanced():
    """Bands whose genes, without the last four, were replaced by the mean of their band."""
    section, band = banded(15, 12, 24, fold=2.0)
    adata = section.adata
    adata.obs["mine"] = pd.Categorical([f"d{b}" for b in band])
    raw = expression_of(section).toarray()
    means = pd.DataFrame(raw).groupby(band).transform("mean").to_numpy(np.float32)
    means[:, -4:] = 0
    adata.layers["mine_denoised"] = sp.csr_matrix(means)
    adata.var["mine_denoised"] = np.arange(24) < 20
    return section


def test_contrasts_before_and_after(enhanced) -> None:
    labels = enhanced.adata.obs["mine"]
    table = contrasts(enhanced, labels, key="mine")
    domains = labels.cat.categories
    assert len(table) == 20 * len(domains)
    raw = expression_of(enhanced).toarray()
    for row in table.sample(15, random_state=0).itertuples():
        inside = (labels == row.domain).to_numpy()
        j = enhanced.adata.var_names.get_loc(row.gene)
        assert row.raw == pytest.approx(by_pairs(raw[:, j], inside))
        layer = enhanced.adata.layers["mine_denoised"].toarray()[:, j]
        assert row.enhanced == pytest.approx(by_pairs(layer, inside))
        assert row.gain == pytest.approx(row.enhanced - row.raw)
    for domain, part in table.groupby("domain"):
        assert part["raw"].is_monotonic_decreasing
        assert part["enhanced"].max() == pytest.approx(1), domain
    genes = enhanced.adata.var_names[[3, 1]]
    few = contrasts(enhanced, labels, key="mine", genes=list(genes))
    both = table.merge(few, on=["domain", "gene"])
    assert len(few) == len(both) == 2 * len(domains)
    np.testing.assert_allclose(both["raw_x"], both["raw_y"])


@pytest.mark.parametrize("form", [sp.csr_matrix, sp.csc_matrix, sp.csr_matrix.toarray])
def test_blocks_of_genes_change_nothing(enhanced, monkeypatch, form) -> None:
    labels = enhanced.adata.obs["mine"]
    whole = contrasts(enhanced, labels, key="mine")
    layer = enhanced.adata.layers["mine_denoised"]
    enhanced.adata.layers["mine_denoised"] = form(layer)
    monkeypatch.setattr(enhancement, "_BLOCK", 3 * enhanced.n_spots)
    steps = enhancement.contrast_steps(enhanced, labels, key="mine")
    events = []
    while True:
        try:
            events.append(next(steps))
        except StopIteration as stop:
            pd.testing.assert_frame_equal(stop.value, whole)
            break
    for kind in ("raw", "enhanced"):
        own = [event.step for event in events if kind in event.phase]
        assert own == sorted(own)
        assert own[-1] == 20
        assert len(set(own)) >= 7
    assert {event.total for event in events} == {20}


def test_values_that_are_not_finite_are_named(enhanced) -> None:
    layer = enhanced.adata.layers["mine_denoised"].copy()
    layer.data[5] = np.nan
    enhanced.adata.layers["mine_denoised"] = layer
    with pytest.raises(DataError, match="layer 'mine_denoised' holds values"):
        contrasts(enhanced, enhanced.adata.obs["mine"], key="mine")


def test_spots_without_a_domain_are_left_out(enhanced) -> None:
    labels = enhanced.adata.obs["mine"].astype(object)
    labels.iloc[:30] = None
    gene = enhanced.adata.var_names[2]
    (row, *_) = contrasts(enhanced, labels, key="mine", genes=[gene]).itertuples()
    values = gene_values(enhanced, gene)[30:]
    assert row.raw == pytest.approx(by_pairs(values, (labels == row.domain).to_numpy()[30:]))


def test_values_of_one_gene(enhanced) -> None:
    raw = expression_of(enhanced).toarray()
    name = enhanced.adata.var_names[5]
    np.testing.assert_allclose(gene_values(enhanced, name), raw[:, 5], rtol=1e-6)
    layer = gene_values(enhanced, name, "mine_denoised")
    np.testing.assert_array_equal(layer, enhanced.adata.layers["mine_denoised"].toarray()[:, 5])
    with pytest.raises(ParameterError, match="no layer 'x'"):
        gene_values(enhanced, name, "x")
    with pytest.raises(ParameterError, match="no gene 'x'"):
        gene_values(enhanced, "x")


def test_genes_that_have_values(enhanced) -> None:
    flag = enhanced_genes(enhanced, "mine")
    assert flag.sum() == 20
    del enhanced.adata.var["mine_denoised"]
    np.testing.assert_array_equal(enhanced_genes(enhanced, "mine"), flag)


def test_mistakes(enhanced) -> None:
    labels = enhanced.adata.obs["mine"]
    last = enhanced.adata.var_names[-1]
    for options, said in (
        ({"key": "other"}, "no enhanced genes.*'other_denoised'"),
        ({"key": "mine", "genes": ["nothing"]}, "no gene 'nothing'"),
        ({"key": "mine", "genes": [last]}, f"'{last}' was not among those"),
    ):
        with pytest.raises(ParameterError, match=said):
            contrasts(enhanced, labels, **options)
    with pytest.raises(DataError, match="1 domains occur"):
        contrasts(enhanced, pd.Series("a", index=labels.index), key="mine")
    enhanced.adata.var["mine_denoised"] = False
    with pytest.raises(DataError, match="is empty"):
        contrasts(enhanced, labels, key="mine")
