"""What a section says of one gene, from every source that it carries."""

import json

import numpy as np
import pytest
import scanpy as sc
import scipy.sparse as sp
from tests.helpers import banded

import napari_stmask as stm
from napari_stmask.analysis.gene_sources import LOG, gene_sources, gene_values, has_gene
from napari_stmask.core.errors import ParameterError


@pytest.fixture
def section():
    return banded(10, 12, 60)[0]


def record(section, key, method, **params):
    section.adata.uns["stmask"] = {key: json.dumps({"method": method, "params": params})}


def test_counts_and_normalised_are_scanpys(section):
    assert [s.name for s in gene_sources(section)] == ["counts", "normalised"]
    raw = section.adata.X[:, [7]].toarray().ravel()
    np.testing.assert_array_equal(gene_values(section, "GENE7", "counts"), raw)
    copy = section.adata.copy()
    sc.pp.normalize_total(copy, target_sum=1e4)
    sc.pp.log1p(copy)
    np.testing.assert_allclose(
        stm.gene_values(section, "GENE7"), copy.X[:, [7]].toarray().ravel(), rtol=1e-6
    )
    assert gene_values(section, "GENE7").dtype == np.float32


def test_denoised_layer_names_its_method_its_unit_and_its_genes(section):
    layer = np.zeros(section.adata.shape, np.float32)
    layer[:, 3] = np.arange(section.n_spots)
    section.adata.layers["vimst_denoised"] = sp.csr_matrix(layer)
    section.adata.var["vimst_denoised"] = np.arange(60) == 3
    record(section, "vimst", "vimst", log_transform=True)
    found = {s.name: s for s in stm.gene_sources(section)}
    assert found["vimst_denoised"].unit == LOG
    assert (found["vimst_denoised"].title, found["vimst_denoised"].method) == ("denoised", "vimst")
    np.testing.assert_array_equal(gene_values(section, "GENE3", "vimst_denoised"), layer[:, 3])
    assert has_gene(section, "GENE3", "vimst_denoised")
    assert not has_gene(section, "GENE4", "vimst_denoised")
    with pytest.raises(ParameterError, match="not among those"):
        gene_values(section, "GENE4", "vimst_denoised")


@pytest.mark.parametrize(
    ("kind", "unit"), [("log1p", LOG), ("counts", "expected counts"), ("row_max", "share")]
)
def test_enhanced_layer_has_the_unit_of_the_run(section, kind, unit):
    section.adata.layers["mmsrl_denoised"] = section.adata.X.copy()
    record(section, "mmsrl", "mmsrl", enhanced_as=kind)
    found = {s.name: s for s in gene_sources(section)}["mmsrl_denoised"]
    assert found.title == "enhanced"
    assert unit in found.unit


def test_predicted_and_imputed_sections_have_no_counts(section):
    section.adata.X = sp.csr_matrix(section.adata.X * 0.37)
    assert [s.name for s in gene_sources(section)] == ["values"]
    section.adata.uns["stmask_coverage"] = json.dumps({"engine": "ridge"})
    section.adata.var["imputed"] = np.arange(60) > 50
    assert [(s.name, s.unit) for s in gene_sources(section)] == [("imputed", LOG)]
    expected = section.adata.X[:, [55]].toarray().ravel()
    np.testing.assert_array_equal(gene_values(section, "GENE55", "imputed"), expected)
    section.adata.uns["stmask_prediction"] = json.dumps(
        {"method": "spahgc", "params": {"expression": "counts"}}
    )
    section.adata.layers["spread"] = np.full(section.adata.shape, 0.5, np.float32)
    names = {s.name: s.unit for s in gene_sources(section)}
    assert names == {"predicted": "log1p counts", "spread": "standard deviation"}
    assert set(gene_values(section, "GENE5", "spread")) == {np.float32(0.5)}
    np.testing.assert_array_equal(gene_values(section, "GENE55", "predicted"), expected)


def test_what_is_not_there_is_said(section):
    with pytest.raises(ParameterError, match="no gene 'nothing'"):
        gene_values(section, "nothing")
    with pytest.raises(ParameterError, match="'counts', 'normalised'"):
        gene_values(section, "GENE1", "predicted")
