"""Scores of a gene set: scanpy's, and what it must not touch."""

import json

import numpy as np
import pytest
import scanpy as sc
from tests.helpers import banded

from napari_stmask.analysis.gene_set_scores import gene_set_score, stored_modules
from napari_stmask.analysis.signatures import signature_score
from napari_stmask.core.errors import DataError, ParameterError


@pytest.fixture(scope="module")
def made():
    return banded(10, 20, 300, fold=3.0)


GENES = [f"GENE{i}" for i in range(40, 60)]


def test_scanpy_score_is_scanpys_and_leaves_the_generator_alone(made):
    section, band = made
    before = np.random.get_state()  # noqa: NPY002
    score = gene_set_score(section, [g.lower() for g in GENES] + ["absent"])
    after = np.random.get_state()  # noqa: NPY002
    np.testing.assert_array_equal(after[1], before[1])
    assert after[2:] == before[2:]
    copy = section.adata.copy()
    sc.pp.normalize_total(copy, target_sum=1e4)
    sc.pp.log1p(copy)
    sc.tl.score_genes(copy, GENES, random_state=0)
    np.testing.assert_allclose(score.values, copy.obs["score"], atol=1e-5)
    assert score.used == tuple(GENES)
    assert score.missing == ("absent",)
    assert score.values[band == 1].mean() > score.values[band != 1].mean() + 0.2


def test_mean_z_is_the_signature(made):
    section, _ = made
    found = gene_set_score(section, GENES, "mean_z")
    np.testing.assert_array_equal(found.values, signature_score(section, GENES).values)


def test_bad_sets_and_methods_are_refused(made):
    section, _ = made
    with pytest.raises(DataError, match="has 2 genes of the mine"):
        gene_set_score(section, ["GENE1", "GENE2", "x"], name="mine")
    with pytest.raises(ParameterError, match="no score 'sum'"):
        gene_set_score(section, GENES, "sum")


def test_stored_modules_are_those_of_spacex_runs_surest_first():
    section, _ = banded(5, 6, 10)
    var = section.adata.var
    var["spacex_module"] = ["1", "1", "2", None, "1", "2", None, None, None, None]
    var["spacex_module_prob"] = [0.2, 0.9, 0.5, np.nan, 0.4, 0.8, *[np.nan] * 4]
    section.adata.uns["stmask"] = {"spacex": json.dumps({"method": "spacex"})}
    assert stored_modules(section) == {
        "spacex module 1": ("GENE1", "GENE4", "GENE0"),
        "spacex module 2": ("GENE5", "GENE2"),
    }
    section.adata.uns["stmask"] = {"spacex": json.dumps({"method": "spamask"})}
    assert stored_modules(section) == {}
