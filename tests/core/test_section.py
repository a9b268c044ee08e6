import numpy as np
import pytest
import scipy.sparse as sp
from anndata import AnnData
from tests.helpers import banded

from napari_stmask.core.errors import DataError, ResourceError, StmaskError
from napari_stmask.core.histology import Histology
from napari_stmask.core.memory import densify
from napari_stmask.core.section import Section, count_problem


def table(n: int = 12, genes: int = 4) -> AnnData:
    adata = AnnData(sp.csr_matrix(np.ones((n, genes), np.float32)))
    adata.obsm["spatial"] = np.random.default_rng(0).random((n, 2))
    return adata


def without_positions(adata: AnnData) -> None:
    del adata.obsm["spatial"]


def with_nan(adata: AnnData) -> None:
    adata.obsm["spatial"][3] = np.nan


def with_words(adata: AnnData) -> None:
    adata.obsm["spatial"] = np.array([["a", "b"]] * adata.n_obs)


def with_one_axis(adata: AnnData) -> None:
    adata.obsm["spatial"] = np.zeros((adata.n_obs, 1))


def with_double_spots(adata: AnnData) -> None:
    adata.obs_names = ["s"] * adata.n_obs


def with_double_genes(adata: AnnData) -> None:
    adata.var_names = ["g"] * adata.n_vars


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (without_positions, "no 'spatial' coordinates"),
        (with_nan, "1 of 12 spots have no finite coordinates"),
        (with_words, "not numbers"),
        (with_one_axis, "expected spots x 2 or 3"),
        (with_double_spots, "names of spots are not unique"),
        (with_double_genes, "names of genes are not unique"),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_each_violation_has_its_own_sentence(spoil, words: str) -> None:
    adata = table()
    spoil(adata)
    with pytest.raises(DataError, match=words) as caught:
        Section(adata, source="/data/a b/slide.h5ad")
    text = str(caught.value)
    assert "/data/a b/slide.h5ad" in text
    assert text.endswith(".")
    assert "\n" not in text


def test_empty_tables_and_odd_arguments() -> None:
    with pytest.raises(DataError, match="no spot lies under tissue"):
        Section(table()[:0].copy())
    with pytest.raises(DataError, match="no genes"):
        Section(table()[:, :0].copy())
    with pytest.raises(DataError, match="platform is 'slide'"):
        Section(table(), platform="slide")
    with pytest.raises(DataError, match="no layer 'counts'"):
        Section(table(), counts_layer="counts")


def test_visium_pitch_gives_the_pixel_size() -> None:
    section, _ = banded(10, 10, 30)
    assert section.um_per_px == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        (np.array([0, 1, 5], np.uint8), None),
        (np.array([0.0, 2.0]), None),
        (np.array([True]), None),
        (np.array([1, -1]), "negative"),
        (np.array([1.0, -1.0]), "negative"),
        (np.array([0.5]), "not whole numbers"),
        (np.array([np.inf]), "not finite"),
        (np.r_[np.ones(1 << 20), 0.25], "not whole numbers"),
    ],
)
def test_counts_are_recognised(values: np.ndarray, problem: str | None) -> None:
    found = count_problem(values)
    assert (found is None) if problem is None else (problem in found)


def test_counts_share_memory_with_the_table() -> None:
    section = Section(table())
    assert np.shares_memory(section.counts().data, section.adata.X.data)


def test_bare_copy_carries_no_annotation() -> None:
    section, _ = banded(10, 10, 30)
    section.adata.obs["ground_truth"] = "x"
    keep = np.arange(100) % 2 == 0
    bare = section.bare(keep)
    assert list(bare.adata.obs.columns) == []
    assert bare.n_spots == 50
    np.testing.assert_array_equal(bare.coords, section.coords[keep])
    assert abs(bare.counts() - section.counts()[keep]).nnz == 0


def test_densify_keeps_to_its_budget() -> None:
    matrix = sp.csr_matrix((1000, 1000))
    assert densify(matrix, what="it").dtype == np.float32
    with pytest.raises(ResourceError, match="4 MB as a dense table"):
        densify(matrix, what="the table", budget=10**6)


def test_histology() -> None:
    image = Histology([np.zeros((20, 40, 3), np.uint8), np.zeros((10, 20, 3), np.uint8)], scale=0.5)
    assert image.shape == (20, 40)
    inside = image.contains(np.array([[0, 0], [79, 39], [80, 0], [0, 40], [-1, 0]]))
    assert inside.tolist() == [True, True, False, False, False]
    level, scale = image.level_for(25)
    assert level.shape == (10, 20, 3)
    assert scale == 0.25
    level, scale = image.level_for(8)
    assert max(level.shape) <= 8
    for levels, factor in (([], 1.0), ([np.zeros((2, 2))], 1.0), (image.levels, np.nan)):
        with pytest.raises(DataError):
            Histology(levels, scale=factor)


def test_errors_survive_a_process_border() -> None:
    error = DataError("a.h5: broken", "copy it again")
    build, arguments = error.__reduce__()[:2]
    assert str(build(*arguments)) == str(error) == "a.h5: broken; copy it again."
    assert isinstance(error, StmaskError)
