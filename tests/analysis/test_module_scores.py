"""Module scores against the dense formula; tables and gene sets of modules."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from scipy.stats import false_discovery_control
from tests.helpers import banded

from napari_stmask.analysis.enrichment import over_representation
from napari_stmask.analysis.inputs import expression_of
from napari_stmask.analysis.module_scores import (
    module_enrichment_steps,
    module_scores_steps,
    module_table,
)
from napari_stmask.analysis.signatures import signature_score
from napari_stmask.core.errors import DataError, ParameterError
from napari_stmask.core.progress import drain
from napari_stmask.features.graph import knn_graph, morans_i


@pytest.fixture(scope="module")
def section():
    return banded(20, 25, genes=200)[0]


MODULES = {
    "one": [f"GENE{i}" for i in range(40)],
    "two": [f"GENE{i}" for i in range(40, 80)],
    "rest": ["GENE150", "gene151", "ABSENT", "GENE150"],
}


def dense_z(section) -> np.ndarray:
    x = np.asarray(expression_of(section).todense(), dtype=float)
    sd = x.std(axis=0)
    return (x - x.mean(axis=0)) / np.where(sd > 0, sd, np.inf)


def test_score_is_the_mean_z(section) -> None:
    found = drain(module_scores_steps(section, MODULES))
    assert found.shape == (500, 3)
    assert found.dtype == np.float32
    z = dense_z(section)
    for k, columns in enumerate((range(40), range(40, 80), (150, 151))):
        np.testing.assert_allclose(found[:, k], z[:, list(columns)].mean(axis=1), atol=1e-5)
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=1e-6)
    known = signature_score(section, MODULES["one"]).values
    np.testing.assert_allclose(found[:, 0], known, atol=1e-5)


def test_weights(section) -> None:
    rng = np.random.default_rng(0)
    weight = {name: rng.random(len(genes)) for name, genes in MODULES.items()}
    weight["one"][:5] = 0
    found = drain(module_scores_steps(section, MODULES, weights=weight))
    z = dense_z(section)
    np.testing.assert_allclose(
        found[:, 0], z[:, :40] @ weight["one"] / weight["one"].sum(), atol=1e-5
    )
    scaled = {name: w * 7 for name, w in weight.items()}
    np.testing.assert_allclose(
        drain(module_scores_steps(section, MODULES, weights=scaled)), found, atol=1e-6
    )


def test_blocks_and_constant_genes(section, monkeypatch) -> None:
    one = drain(module_scores_steps(section, MODULES))
    monkeypatch.setattr("napari_stmask.analysis.module_scores._ENTRIES", 60)
    events = list(module_scores_steps(section, MODULES))
    assert len(events) == 26
    np.testing.assert_array_equal(drain(module_scores_steps(section, MODULES)), one)
    silent, _ = banded(20, 25, genes=200)
    silent.adata.X.data[silent.adata.X.indices == 3] = 0
    z = dense_z(silent)[:, np.delete(np.arange(40), 3)]
    found = drain(module_scores_steps(silent, {"one": MODULES["one"]}))
    np.testing.assert_allclose(found[:, 0], z.mean(axis=1), atol=1e-5)


def test_table_of_modules(section) -> None:
    rng = np.random.default_rng(0)
    codes = np.r_[np.zeros(40), np.ones(40), np.full(20, -1)].astype(int)
    genes = [f"GENE{i}" for i in range(100)]
    vectors = rng.normal(size=(2, 8))[codes] + rng.normal(size=(100, 8))
    probability = rng.random(100)
    scores = drain(module_scores_steps(section, MODULES))
    graph = knn_graph(section.coords, 6)
    table = module_table(vectors, genes, codes, scores, graph, probability=probability, n_top=4)
    assert list(table.columns) == ["module", "genes", "top_genes", "morans_i"]
    assert table["genes"].tolist() == [40, 40, 0]
    np.testing.assert_allclose(table["morans_i"], morans_i(graph, scores))
    assert table["morans_i"][0] > table["morans_i"][2]
    for k in (0, 1):
        inside = np.flatnonzero(codes == k)
        r = [np.corrcoef(vectors[g], vectors[inside].mean(axis=0))[0, 1] for g in inside]
        best = inside[np.argsort(-probability[inside] * r)[:4]]
        assert table["top_genes"][k] == ", ".join(genes[g] for g in best)
    assert table["top_genes"][2] == ""


def test_gene_sets_of_modules() -> None:
    panel = [f"G{i}" for i in range(120)]
    modules = {"a": panel[:20], "b": panel[20:60], "c": panel[60:]}
    rng = np.random.default_rng(0)
    sets = {f"S{s}": list(rng.choice(panel, 12, replace=False)) for s in range(10)}
    sets["A"] = panel[3:15]
    sets["small"] = panel[:2]
    events, steps = 0, module_enrichment_steps(modules, sets, panel)
    while True:
        try:
            next(steps)
            events += 1
        except StopIteration as stop:
            table = stop.value
            break
    assert events == 3
    assert len(table) == 33
    assert (table.loc[0, "module"], table.loc[0, "set"]) == ("a", "A")
    np.testing.assert_allclose(table["q"], false_discovery_control(table["p"]))
    assert (table["q"] < 0.05).sum() == 1
    assert table.attrs["left_out"] == 1
    for name, members in modules.items():
        part = table[table["module"] == name].drop(columns=["module", "q"])
        known = over_representation(members, sets, panel).drop(columns="q")
        pd.testing.assert_frame_equal(part.reset_index(drop=True), known)


def test_mistakes(section) -> None:
    def score(modules, **options):
        return drain(module_scores_steps(section, modules, **options))

    with pytest.raises(ParameterError, match="no module was given"):
        score({})
    with pytest.raises(DataError, match="no usable gene of module 'odd' \\(2 genes\\)"):
        score({"one": ["GENE1"], "odd": ["X", "Y"]})
    for bad in ({"one": [1.0]}, {}, {"one": [1.0, -1.0]}, {"one": [1.0, np.nan]},
                {"one": [1.0, np.inf]}):  # fmt: skip
        with pytest.raises(ParameterError, match="module 'one' has 2 genes and"):
            score({"one": ["GENE1", "GENE2"]}, weights=bad)
    with pytest.raises(DataError, match="no usable gene"):
        score({"one": ["GENE1"]}, weights={"one": [0.0]})
    with pytest.raises(ParameterError, match="no module was given"):
        drain(module_enrichment_steps({}, {"s": ["G1"]}, ["G1"]))
    vectors, codes, scores = np.eye(4), np.array([0, 0, 1, -1]), np.zeros((9, 2))
    graph = sp.csr_matrix((9, 9))
    for arguments, options, message in (
        ((vectors, list("abc"), codes, scores, graph), {}, "3 names"),
        ((vectors, list("abcd"), codes + 1, scores, graph), {}, "numbered 0 to 2 for 2 scores"),
        ((vectors, list("abcd"), codes, scores, graph[:8, :8]), {}, "for 9 spots"),
        ((vectors, list("abcd"), codes, scores, graph), {"n_top": 0}, "n_top is 0"),
        ((vectors, list("abcd"), codes, scores, graph), {"probability": np.ones(3)}, "3 prob"),
    ):
        with pytest.raises(ParameterError, match=message):
            module_table(*arguments, **options)
