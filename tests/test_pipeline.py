"""One run, end to end, on generated sections."""

import json
import time

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.metrics import adjusted_rand_score
from tests.helpers import banded

import napari_stmask as stm
from napari_stmask.core.errors import DataError, ParameterError, ResourceError
from napari_stmask.core.progress import Progress, drain
from napari_stmask.core.provenance import read_record
from napari_stmask.pipeline import baseline_codes, iter_run, run
from napari_stmask.scoring import score_section

SMALL = {"epochs": 4, "replicates": 2, "threads": 1, "n_domains": 4}


@pytest.fixture
def section() -> stm.Section:
    return banded(10, 12, 80)[0]


def test_answers_land_where_scanpy_looks(section) -> None:
    result = run("spamask", section, denoise=True, smooth_labels=True, **SMALL)
    adata = section.adata
    assert adata.obs["spamask"].dtype == "category"
    assert list(adata.obs["spamask"].cat.categories) == ["1", "2", "3", "4"]
    np.testing.assert_array_equal(adata.obs["spamask"].cat.codes, result.domains.codes)
    assert adata.obs["spamask_confidence"].between(0, 1).all()
    assert len(adata.uns["spamask_colors"]) == 4
    assert adata.obsm["X_spamask"].shape == (120, 64)
    assert adata.obsp["spamask_graph"].shape == (120, 120)
    assert adata.layers["spamask_denoised"].shape == adata.shape
    assert adata.var["spamask_denoised"].any()
    assert {"spamask_refined"} <= set(adata.obs)
    record = read_record(adata, "spamask")
    assert json.loads(json.dumps(record)) == record
    assert record["params"]["n_domains"] == 4
    assert record["losses"]["links"]
    assert len(record["input_sha256"]["banded"]) == 64
    assert {"spamask", "pca", "neighbour_pca"} == set(record["scores"])
    assert record["peak_rss_bytes"] > 0


def test_running_twice_gives_identical_labels_and_no_second_copy(section) -> None:
    run("spamask", section, **SMALL)
    first, slots = section.adata.obs["spamask"].copy(), set(section.adata.obs)
    run("spamask", section, **SMALL)
    assert section.adata.obs["spamask"].equals(first)
    assert set(section.adata.obs) == slots


def test_a_second_key_keeps_the_first(section) -> None:
    run("spamask", section, **SMALL)
    run("spamask", section, key_added="other", **(SMALL | {"seed": 5}))
    assert {"spamask", "other", "other_confidence"} <= set(section.adata.obs)
    assert {"spamask", "other"} == set(section.adata.uns["stmask"])


def test_what_the_user_had_is_untouched(section) -> None:
    section.adata.obs["mine"] = np.arange(120)
    section.adata.uns["mine"] = {"a": 1}
    counts = section.adata.X.copy()
    run("spamask", section, **SMALL)
    assert (section.adata.obs["mine"] == np.arange(120)).all()
    assert section.adata.uns["mine"] == {"a": 1}
    assert abs(section.adata.X - counts).nnz == 0


def test_an_anndata_gets_the_columns(section) -> None:
    adata = section.adata
    result = stm.run("spamask", adata, **SMALL)
    assert "spamask" in adata.obs
    assert result.domains.n_domains == 4


def test_spots_without_counts_are_left_out_and_said(section) -> None:
    dense = section.adata.X.toarray()
    dense[[3, 77]] = 0
    section.adata.X = sp.csr_matrix(dense)
    result = run("spamask", section, denoise=True, smooth_labels=True, **SMALL)
    domains = section.adata.obs["spamask"]
    assert domains.isna().to_numpy().nonzero()[0].tolist() == [3, 77]
    assert section.adata.obs["spamask_refined"].isna().sum() == 2
    assert np.isnan(section.adata.obsm["X_spamask"][3]).all()
    assert section.adata.obsp["spamask_graph"][3].nnz == 0
    assert section.adata.layers["spamask_denoised"][77].nnz == 0
    assert "2 spots without any counts" in " ".join(result.record["notes"])


def test_every_stage_can_be_cancelled(section) -> None:
    """Closing the stream after any event leaves no trace on the section."""
    before = set(section.adata.obs) | set(section.adata.obsm) | set(section.adata.uns)
    total = sum(1 for _ in iter_run("spamask", banded(10, 12, 80)[0], **SMALL))
    for stop in range(1, total, max(1, total // 12)):
        steps = iter_run("spamask", section, **SMALL)
        for _ in range(stop):
            last = next(steps)
        started = time.perf_counter()
        steps.close()
        assert time.perf_counter() - started < 1
        assert isinstance(last, Progress)
    after = set(section.adata.obs) | set(section.adata.obsm) | set(section.adata.uns)
    assert after == before


def test_automatic_number_of_domains() -> None:
    section, band = banded(20, 25, 200, fold=3)
    result = run("spamask", section, auto_domains=True, epochs=60, replicates=2, threads=1)
    assert result.domains.n_domains == 5
    assert adjusted_rand_score(band, result.domains.codes) > 0.9
    assert set(result.record["clustering"]["stability"]) == {str(k) for k in range(2, 16)}


@pytest.mark.parametrize("clustering", ["kmeans", "leiden", "mixture"])
def test_each_clustering_gives_the_number_asked_for(section, clustering: str) -> None:
    result = run("spamask", section, clustering=clustering, **SMALL)
    assert result.domains.n_domains == 4
    assert result.domains.method == clustering


def test_model_is_saved_and_applied(section, tmp_path) -> None:
    result = run("spamask", section, **SMALL)
    path = stm.save_model(result, tmp_path / "m.safetensors")
    again = stm.apply_model(path, section, key_added="again", n_domains=4)
    np.testing.assert_array_equal(again.domains.codes, result.domains.codes)
    assert again.history == {}
    fewer = stm.apply_model(path, section, key_added="fewer", n_domains=2)
    assert fewer.domains.n_domains == 2


def test_baselines_can_be_left_out(section) -> None:
    assert set(run("spamask", section, baselines=False, **SMALL).scores) == {"spamask"}


def test_colours_differ_and_follow_the_domains(section) -> None:
    colors = run("spamask", section, **SMALL).colors
    assert len(set(colors)) == 4


@pytest.mark.parametrize(
    ("values", "error", "words"),
    [
        ({"n_domains": 99}, ParameterError, "99 domains were asked of 60 spots"),
        ({"n_pcs_in": 1}, ParameterError, "n_pcs_in = 1"),
        ({"preset": "quick"}, ParameterError, "no preset 'quick'"),
        ({"device": "cuda"}, ResourceError, "cannot be used"),
    ],
)
def test_mistakes_are_refused_before_any_work(values: dict, error: type, words: str) -> None:
    import torch

    if values.get("device") == "cuda" and torch.cuda.is_available():
        pytest.skip("this computer has CUDA")
    section, _ = banded(5, 12, 80)
    with pytest.raises(error, match=words):
        run("spamask", section, **(SMALL | values))
    assert "spamask" not in section.adata.obs


def test_sections_and_parameters_in_excess(section) -> None:
    with pytest.raises(ParameterError, match="2 sections"):
        run("spamask", [section, section], **SMALL)
    with pytest.raises(ParameterError, match="were mixed"):
        run("spamask", section, params=stm.params("spamask"), epochs=3)
    assert run("spamask", section, params=stm.params("spamask", **SMALL)).domains.n_domains == 4


def test_short_memory_is_refused_before_the_work(section, monkeypatch) -> None:
    monkeypatch.setattr("napari_stmask.pipeline.available_bytes", lambda: 1000)
    with pytest.raises(ResourceError, match="are free"):
        run("spamask", section, **SMALL)


def test_scores_against_an_annotation(section) -> None:
    run("spamask", section, **SMALL)
    section.adata.obs["truth"] = section.adata.obs["spamask"].astype(object)
    section.adata.obs.loc[section.adata.obs_names[:20], "truth"] = None
    table = score_section(section, truth="truth")
    assert set(table) == {"spamask", "pca", "neighbour_pca"}
    assert table["spamask"]["ARI"] == 1
    assert table["spamask"]["spots"] == 100
    with pytest.raises(ParameterError, match="no column 'layer'"):
        score_section(section, truth="layer")
    section.adata.obs["none"] = pd.Series(pd.NA, index=section.adata.obs_names)
    with pytest.raises(DataError, match="'none' is empty"):
        score_section(section, truth="none")


def test_the_controls_are_what_they_say() -> None:
    section, band = banded(20, 25, 200, fold=1.6)
    codes = drain(baseline_codes(section, 5, 0))
    plain, smooth = (adjusted_rand_score(band, codes[n]) for n in ("pca", "neighbour_pca"))
    assert smooth > plain + 0.1


def test_a_layer_of_this_plugin_stands_for_its_section(section) -> None:
    import weakref

    class Layer:
        name = "spots"

        def __init__(self, reference) -> None:
            self.metadata = {"stmask": {"section": reference}}

    run("spamask", Layer(weakref.ref(section)), **SMALL)
    assert "spamask" in section.adata.obs
    with pytest.raises(ParameterError, match="'spots' is no section"):
        run("spamask", Layer(lambda: None), **SMALL)
    with pytest.raises(ParameterError, match="'int' is no section"):
        run("spamask", 3, **SMALL)


def test_no_answer_of_an_earlier_run_is_left_beside_the_new_ones(section) -> None:
    run("spamask", section, smooth_labels=True, denoise=True, **SMALL)
    assert "spamask_denoised" in section.adata.layers
    run("spamask", section, **(SMALL | {"n_domains": 3}))
    adata = section.adata
    assert "spamask_refined" not in adata.obs
    assert "spamask_refined_colors" not in adata.uns
    assert "spamask_denoised" not in adata.layers
    assert "spamask_denoised" not in adata.var
    assert adata.obs["spamask"].nunique() == 3


@pytest.mark.parametrize("key", ["a/b", "", "  ", "a\nb", "\0k"])
def test_names_that_files_cannot_hold(section, key: str) -> None:
    with pytest.raises(ParameterError, match="cannot be stored"):
        run("spamask", section, key_added=key, **SMALL)


def test_a_column_of_the_user_s_is_never_replaced(section) -> None:
    section.adata.obs["truth"] = 1
    section.adata.obs["zone_confidence"] = 2
    section.adata.obsm["X_pca"] = np.ones((120, 3))
    for key, slot in (
        ("truth", "obs\\['truth'\\]"),
        ("zone", "obs\\['zone_confidence'\\]"),
        ("pca", "obsm\\['X_pca'\\]"),
    ):
        with pytest.raises(ParameterError, match=f"{slot} holds something that no run wrote"):
            run("spamask", section, key_added=key, **SMALL)
    assert (section.adata.obs["truth"] == 1).all()


@pytest.mark.parametrize("foreign", ["text", 5, [1]])
def test_a_foreign_record_is_refused_before_the_run(section, foreign) -> None:
    section.adata.uns["stmask"] = foreign
    with pytest.raises(ParameterError, match="not this package's"):
        run("spamask", section, **SMALL)
    assert "spamask" not in section.adata.obs


def test_counts_in_any_layout_give_the_same_answer(section) -> None:
    """Unsorted, with stored zeros, with double entries: equal data, equal hash, equal domains."""
    plain = run("spamask", section, **SMALL)
    counts = section.adata.X.tocsr()
    row = np.repeat(np.arange(120), np.diff(counts.indptr))
    order = np.lexsort((-counts.indices, row))
    odd = sp.csr_matrix((120, 80), dtype=np.float32)
    odd.indptr, odd.indices, odd.data = counts.indptr, counts.indices[order], counts.data[order]
    twice = sp.csr_matrix((120, 80), dtype=np.float32)
    twice.indptr = counts.indptr * 2
    twice.indices = np.repeat(counts.indices, 2)
    twice.data = np.stack([counts.data, 0 * counts.data], axis=1).ravel()
    for matrix in (odd, twice, counts.tocsc(), counts.toarray(), counts.astype(np.int64)):
        other, _ = banded(10, 12, 80)
        other.adata.X = matrix
        again = run("spamask", other, **SMALL)
        assert again.record["input_sha256"] == plain.record["input_sha256"]
        np.testing.assert_array_equal(again.domains.codes, plain.domains.codes)


def test_a_small_section_with_many_neighbours_is_said(section) -> None:
    small = stm.Section(section.adata[:12].copy(), platform="visium")
    result = run("spamask", small, **(SMALL | {"n_domains": 2, "neighbours": 30}))
    assert any("30 neighbours" in note for note in result.record["notes"])
    assert any("principal components" in note for note in result.record["notes"])
    automatic = run("spamask", small, auto_domains=True, epochs=2, replicates=1, threads=1)
    assert automatic.domains.n_domains >= 1


def test_number_that_is_chosen_is_not_held_against_the_spots_with_counts(section) -> None:
    counts = section.counts()[:20].tolil()
    counts[3] = 0
    small = stm.Section(section.adata[:20].copy(), platform="visium")
    small.adata.X = counts.tocsr()
    values = {"epochs": 2, "replicates": 1, "threads": 1, "n_domains": 20}
    with pytest.raises(DataError, match="only 19 spots have counts"):
        run("spamask", small, **values)
    assert run("spamask", small, auto_domains=True, **values).domains.n_domains < 19


def test_a_model_is_not_retrained_in_silence(section, tmp_path) -> None:
    path = stm.save_model(run("spamask", section, **SMALL), tmp_path / "m.safetensors")
    with pytest.raises(ParameterError, match="epochs, neighbours belong to the saved model"):
        stm.apply_model(path, section, key_added="again", neighbours=30, epochs=5000)
    few = stm.Section(section.adata[:5].copy())
    with pytest.raises(DataError, match="5 spots are too few"):
        stm.apply_model(path, few, key_added="few", n_domains=1)


def test_nothing_to_compare(section) -> None:
    run("spamask", section, **SMALL)
    adata = section.adata
    adata.obs["truth"] = pd.Series(pd.NA, index=adata.obs_names, dtype="string")
    adata.obs.loc[adata.obs_names[:10], "truth"] = "a"
    adata.obs["mine"] = pd.Categorical([None] * 10 + ["1"] * 110)
    with pytest.raises(DataError, match="no spot has both 'truth' and 'mine'"):
        score_section(section, truth="truth", pred="mine")


def test_suspended_runs_leave_the_caller_s_threads_alone(section) -> None:
    import torch

    before = torch.get_num_threads()
    first, second = (iter_run("spamask", section, **(SMALL | {"epochs": 50})) for _ in range(2))
    for _ in range(8):
        next(first)
        next(second)
        assert torch.get_num_threads() == before
    first.close()
    second.close()
    assert torch.get_num_threads() == before
