"""Composition, entropy and contacts where they can be counted by hand."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata import AnnData
from tests.helpers import hexagons

from napari_stmask.analysis import heterogeneity as module
from napari_stmask.analysis.heterogeneity import area_per_spot, heterogeneity, heterogeneity_steps
from napari_stmask.core.errors import DataError, ParameterError, ResourceError
from napari_stmask.core.section import Section


def section_of(coords: np.ndarray, **facts: object) -> Section:
    adata = AnnData(sp.csr_matrix(np.ones((len(coords), 2), dtype=np.float32)))
    adata.obs_names = [f"s{i}" for i in range(len(coords))]
    adata.obsm["spatial"] = coords
    return Section(adata, **facts)


def labels_of(section: Section, values: object) -> pd.Series:
    return pd.Series(values, index=section.adata.obs_names)


def grid(rows: int, columns: int) -> np.ndarray:
    y, x = np.mgrid[:rows, :columns].reshape(2, -1).astype(float)
    return np.column_stack([x, y])


def test_pure_and_even_surroundings() -> None:
    # Four spots around the middle of a square are each other's neighbours: one of each domain.
    section = section_of(np.array([[0.0, 0], [0, 1], [1, 0], [1, 1]]))
    even = heterogeneity(section, labels_of(section, list("abcd")), n_neighbors=3)
    np.testing.assert_allclose(even.composition, 0.25)
    np.testing.assert_allclose(even.entropy, 1, atol=1e-6)
    np.testing.assert_array_equal(even.boundary, 1)
    pure = heterogeneity(section, labels_of(section, list("aaaa")), n_neighbors=3)
    np.testing.assert_array_equal(pure.entropy, 0)
    np.testing.assert_array_equal(pure.boundary, 0)
    np.testing.assert_array_equal(pure.composition, 1)


def test_entropy_by_hand() -> None:
    section = section_of(grid(1, 8))
    found = heterogeneity(section, labels_of(section, list("aaaabbbb")), n_neighbors=2)
    expected = np.zeros(8)
    share = np.array([2 / 3, 1 / 3])
    expected[3:5] = -(share * np.log(share)).sum() / np.log(2)
    np.testing.assert_allclose(found.entropy[1:-1], expected[1:-1], atol=1e-6)
    np.testing.assert_allclose(found.boundary, [0, 0, 0, 0.5, 0.5, 0, 0, 0])


def test_checkerboard_on_a_square_lattice() -> None:
    section = section_of(grid(12, 12), platform="st")
    board = grid(12, 12).sum(axis=1) % 2
    found = heterogeneity(section, labels_of(section, board.astype(int)))
    inner = ((grid(12, 12) > 0) & (grid(12, 12) < 11)).all(axis=1)
    np.testing.assert_array_equal(found.boundary[inner], 1)
    np.testing.assert_allclose(found.composition[inner][board[inner] == 0], [[0.2, 0.8]] * 50)
    assert found.enrichment.loc["0", "1"] > 5
    assert found.enrichment.loc["0", "0"] < -5


def test_contacts_and_summary() -> None:
    section = section_of(hexagons(20, 20, 138.0), platform="visium")
    half = np.where(section.coords[:, 0] < section.coords[:, 0].mean(), "left", "right")
    found = heterogeneity(section, labels_of(section, half))
    np.testing.assert_allclose(found.contacts.sum(axis=1), 1)
    assert found.contacts.loc["left", "left"] > 0.85
    assert found.summary["spots"].sum() == 400
    # A hexagon of pitch 100 µm.
    assert area_per_spot(section) == pytest.approx(100**2 * np.sqrt(3) / 2)
    area = found.summary["area_um2"].to_numpy()
    np.testing.assert_allclose(area, found.summary["spots"] * 100**2 * np.sqrt(3) / 2)
    mean = found.entropy[half == "left"].mean()
    assert found.summary["mean_entropy"][0] == pytest.approx(mean, rel=1e-5)


def test_z_scores_agree_with_the_exact_expectation() -> None:
    """Over all permutations E[links a-b] = links n_a n_b / (n (n - 1)): tests mean and sign."""
    section = section_of(hexagons(15, 15))
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 3, 225)
    codes[section.coords[:, 0] < 4] = 0
    found = heterogeneity(section, labels_of(section, codes), n_permutations=2000, seed=1)
    links = module._links(section, None, None).tocoo()
    size = np.bincount(codes)
    count = np.zeros((3, 3))
    np.add.at(count, (codes[links.row], codes[links.col]), 1)
    expected = links.nnz * (np.outer(size, size) - np.diag(size)) / (225 * 224)
    spread = (count - expected) / found.enrichment.to_numpy()
    assert (spread > 0).all()  # the same sign, wherever the difference is real
    drawn = [rng.permutation(codes) for _ in range(500)]
    again = [np.bincount(d[links.row] * 3 + d[links.col], minlength=9) for d in drawn]
    np.testing.assert_allclose(spread, np.std(again, axis=0).reshape(3, 3), rtol=0.2)


def test_z_scores_of_two_shuffles_by_hand() -> None:
    section = section_of(grid(6, 6))
    codes = np.arange(36) // 18
    found = heterogeneity(section, labels_of(section, codes), n_permutations=2, seed=4)
    links = module._links(section, None, None).tocoo()
    rng = np.random.default_rng(4)
    counts = []
    for now in (codes, rng.permutation(codes), rng.permutation(codes)):
        table = np.zeros((2, 2))
        np.add.at(table, (now[links.row], now[links.col]), 1)
        counts.append(table)
    real, one, two = counts
    expected = (real - (one + two) / 2) / (np.abs(one - two) / np.sqrt(2))
    np.testing.assert_allclose(found.enrichment, expected)


def test_random_labels_are_not_enriched() -> None:
    section = section_of(hexagons(30, 30))
    codes = np.random.default_rng(3).integers(0, 4, 900)
    found = heterogeneity(section, labels_of(section, codes), n_permutations=200)
    assert np.abs(found.enrichment.to_numpy()).max() < 4


def test_radius_in_micrometres() -> None:
    section = section_of(grid(9, 9), um_per_px=50.0)
    board = labels_of(section, (grid(9, 9).sum(axis=1) % 2).astype(int))
    near = heterogeneity(section, board, radius_um=60, n_permutations=0)
    assert near.enrichment is None
    np.testing.assert_array_equal(near.boundary, 1)  # the four at 50 µm
    wide = heterogeneity(section, board, radius_um=75, n_permutations=0)
    assert wide.boundary[40] == 0.5  # four more at 71 µm
    brute = np.linalg.norm(section.coords[:, None] - section.coords, axis=2) * 50 <= 75
    assert module._links(section, None, 75).nnz == brute.sum() - 81


def test_spots_without_a_domain() -> None:
    section = section_of(grid(1, 6))
    labels = labels_of(section, ["a", None, None, None, "b", "b"]).astype("category")
    found = heterogeneity(section, labels, n_neighbors=1, n_permutations=10)
    assert np.isnan(found.composition[2]).all()
    assert np.isnan(found.entropy[2])
    assert np.isnan(found.boundary[:4]).all()
    assert found.boundary[5] == 0
    assert found.contacts.loc["a"].isna().all()
    assert found.summary["spots"].tolist() == [1, 2]


def test_one_spot_and_one_domain() -> None:
    section = section_of(np.zeros((1, 2)))
    found = heterogeneity(section, labels_of(section, ["a"]))
    assert found.entropy[0] == 0
    assert np.isnan(found.boundary[0])


def test_mistakes(monkeypatch) -> None:
    section = section_of(grid(5, 5))
    labels = labels_of(section, list("ab" * 12 + "a"))
    for options, said in (
        ({"n_neighbors": 4, "radius_um": 5}, "both given"),
        ({"n_neighbors": 0}, "neighbours is 0"),
        ({"radius_um": 100.0}, "scale of section 'section' is unknown"),
        ({"radius_um": -1.0}, "positive number"),
        ({"n_permutations": -1}, "n_permutations is -1"),
        ({"n_permutations": 1}, "n_permutations is 1"),
    ):
        with pytest.raises(ParameterError, match=said):
            heterogeneity(section, labels, **options)
    with pytest.raises(DataError, match="0 domains occur"):
        heterogeneity(section, labels_of(section, [None] * 25).astype("category"))
    monkeypatch.setattr(module, "MAX_LINKS", 100)
    scaled = section_of(grid(5, 5), um_per_px=1.0)
    with pytest.raises(ResourceError, match="smaller radius"):
        heterogeneity(scaled, labels, radius_um=9.0)


def test_same_seed_same_answer_and_cancel() -> None:
    section = section_of(grid(6, 6))
    labels = labels_of(section, np.arange(36) % 3)
    one, two = (heterogeneity(section, labels, seed=5).enrichment for _ in range(2))
    pd.testing.assert_frame_equal(one, two)
    assert not one.equals(heterogeneity(section, labels, seed=6).enrichment)
    steps = heterogeneity_steps(section, labels)
    assert next(steps).total == 100
    steps.close()
