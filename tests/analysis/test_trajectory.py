"""PAGA by hand and against its formula, pseudotime along a planted path."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from scipy.stats import spearmanr
from tests.helpers import banded

from napari_stmask.analysis.diffusion import diffusion_map, diffusion_pseudotime
from napari_stmask.analysis.paga import paga_connectivities, paga_layout
from napari_stmask.analysis.trajectory import trajectory, trajectory_steps
from napari_stmask.core.errors import DataError, ParameterError


def path(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, pd.Series]:
    """A curve in space, the place of each spot on it and five domains along it."""
    rng = np.random.default_rng(seed)
    t = rng.uniform(0, 1, n)
    curve = np.column_stack([10 * t, np.sin(6 * t), np.cos(6 * t)])
    labels = pd.Series(
        np.array(list("abcde"))[np.minimum((5 * t).astype(int), 4)],
        index=[f"s{i}" for i in range(n)],
    )
    return curve + rng.normal(0, 0.02, curve.shape), t, labels


@pytest.mark.parametrize("n", [300, 3000])
def test_pseudotime_follows_a_planted_path(n: int) -> None:
    points, t, labels = path(n)
    found = trajectory(points, labels, root=int(t.argmin()))
    assert spearmanr(found.pseudotime, t).statistic > 0.99
    assert found.pseudotime.min() == found.pseudotime[t.argmin()] == 0
    assert found.pseudotime.max() == 1
    back = trajectory(points, labels, root=f"s{t.argmax()}")
    assert back.root == t.argmax()
    assert spearmanr(back.pseudotime, t).statistic < -0.99


@pytest.mark.parametrize(("name", "end"), [("a", 0.0), ("e", 1.0)])
def test_a_root_domain_begins_at_its_end(name: str, end: float) -> None:
    points, t, labels = path(500)
    found = trajectory(points, labels, root_domain=name)
    assert abs(t[found.root] - end) < 0.02
    assert spearmanr(found.pseudotime, np.abs(t - end)).statistic > 0.99


def test_domains_along_a_path_are_a_chain() -> None:
    points, _, labels = path(1000)
    found = trajectory(points, labels)
    assert found.domains == tuple("abcde")
    neighbours = np.abs(np.subtract.outer(np.arange(5), np.arange(5))) == 1
    assert (found.connectivities[neighbours] > 0).all()
    assert (found.connectivities[~neighbours] == 0).all()
    # The layout keeps the chain: ends are farthest apart, the order is kept.
    first = found.positions[:, 0]
    assert (np.diff(first) > 0).all() or (np.diff(first) < 0).all()
    assert found.root is None
    assert np.isnan(found.pseudotime).all()
    assert found.components is None


def test_paga_by_hand() -> None:
    # 0, 1 in a; 2, 3 in b; 4 nowhere. Links 0->1, 1->0, 1->2, 2->3, 3->2, 3->4.
    row, col = [0, 1, 1, 2, 3, 3], [1, 0, 2, 3, 2, 4]
    links = sp.csr_matrix((np.full(6, 0.3), (row, col)), shape=(5, 5))
    # e_a = 3, e_b = 2 (3->4 is not counted), n = 4: expected (3 * 2 + 2 * 2) / 3 = 10 / 3.
    got = paga_connectivities(links, np.array([0, 0, 1, 1, -1]), 2)
    np.testing.assert_allclose(got, [[0, 0.3], [0.3, 0]])
    assert links.data[0] == 0.3


def test_paga_of_random_links_is_about_one() -> None:
    rng = np.random.default_rng(0)
    links = sp.csr_matrix((rng.random((600, 600)) < 0.03).astype(float))
    got = paga_connectivities(links, rng.integers(0, 3, 600), 3)
    assert (got[~np.eye(3, dtype=bool)] > 0.95).all()
    assert got.max() <= 1
    np.testing.assert_array_equal(np.diag(got), 0)


def test_layout_of_odd_graphs() -> None:
    assert paga_layout(np.zeros((1, 1))).tolist() == [[0, 0]]
    apart = paga_layout(np.zeros((3, 3)))
    assert np.isfinite(apart).all()
    assert np.linalg.norm(apart[0] - apart[1]) > 0.5
    two = paga_layout(np.array([[0, 0.25], [0.25, 0]]))
    assert np.linalg.norm(two[0] - two[1]) == pytest.approx(2)  # root of 1 / 0.25


def test_diffusion_map_of_a_ring() -> None:
    """On a ring of n spots the walk has the eigenvalues cos(2 pi j / n), each but 1 twice."""
    n = 40
    ring = sp.diags([1.0, 1.0, 1.0, 1.0], [1, -1, n - 1, 1 - n], shape=(n, n)).tocsr()
    value, vector = diffusion_map(ring, 4, seed=0)
    np.testing.assert_allclose(value, np.cos(2 * np.pi * np.array([1, 1, 2, 2]) / n), atol=1e-10)
    np.testing.assert_allclose(vector.T @ vector, np.eye(4), atol=1e-8)
    np.testing.assert_allclose(vector.sum(axis=0), 0, atol=1e-8)  # no stationary part
    time = diffusion_pseudotime(value, vector, 0)
    assert time.argmax() == n // 2
    np.testing.assert_allclose(time[1:], time[:0:-1], atol=1e-8)


def test_spots_that_no_path_leads_to() -> None:
    points, t, labels = path(400)
    away = points + np.where(t > 0.6, 100, 0)[:, None]
    found = trajectory(away, labels, root=int(t.argmin()))
    np.testing.assert_array_equal(np.isnan(found.pseudotime), t > 0.6)
    assert np.nanmax(found.pseudotime) == 1
    assert found.notes == (f"No path leads from the root to {(t > 0.6).sum()} spots.",)
    inside = t < 0.6
    assert spearmanr(found.pseudotime[inside], t[inside]).statistic > 0.99
    assert found.connectivities[2, 3] == 0


def test_rows_that_are_not_finite_are_left_out() -> None:
    points, t, labels = path(400)
    points[5] = np.nan
    points[9, 1] = np.inf
    found = trajectory(points, labels, root=int(t[20:].argmin()) + 20, umap=True)
    assert np.flatnonzero(np.isnan(found.pseudotime)).tolist() == [5, 9]
    assert np.flatnonzero(np.isnan(found.umap).any(axis=1)).tolist() == [5, 9]
    assert np.isnan(found.components[5]).all()
    assert found.umap.shape == (400, 2)
    assert "2 spots have no finite embedding." in found.notes
    with pytest.raises(DataError, match="spot 5 has no finite embedding"):
        trajectory(points, labels, root=5)


def test_spots_without_a_domain_keep_their_time() -> None:
    points, t, labels = path(400)
    masked = labels.where(labels != "c").astype("category")
    found = trajectory(points, masked, root_domain="a")
    assert found.domains == tuple("abde")
    assert np.isfinite(found.pseudotime).all()
    assert spearmanr(found.pseudotime, t).statistic > 0.99


def test_same_seed_same_answer() -> None:
    points, _, labels = path(300)
    one, two = (trajectory(points, labels, root=0, seed=3) for _ in range(2))
    np.testing.assert_array_equal(one.pseudotime, two.pseudotime)
    other = trajectory(points, labels, root=0, seed=4)
    np.testing.assert_allclose(one.pseudotime, other.pseudotime, atol=1e-6)


def test_of_a_section() -> None:
    section, band = banded(20, 20, 60)
    labels = pd.Series(band.astype(str), index=section.adata.obs_names)
    rng = np.random.default_rng(0)
    section.adata.obsm["X_mine"] = band[:, None] + rng.normal(0, 0.5, (400, 3))
    found = trajectory(section, labels, key="mine", root="spot7")
    assert found.root == 7
    with pytest.raises(ParameterError, match=r"no embedding obsm\['X_other'\].*mine"):
        trajectory(section, labels, key="other")
    with pytest.raises(ParameterError, match="no embedding was named"):
        trajectory(section, labels)


def test_mistakes() -> None:
    points, _, labels = path(100)
    for options, error, said in (
        ({"root": 100}, ParameterError, "use 0 to 99"),
        ({"root": -1}, ParameterError, "use 0 to 99"),
        ({"root": "nobody"}, ParameterError, "no spot 'nobody'"),
        ({"root_domain": "z"}, ParameterError, "no domain 'z'"),
        ({"root": 1, "root_domain": "a"}, ParameterError, "both given"),
        ({"n_neighbors": 100}, ParameterError, "n_neighbors is 100 for 100"),
        ({"n_neighbors": 1}, ParameterError, "n_neighbors is 1"),
    ):
        with pytest.raises(error, match=said):
            trajectory(points, labels, **options)
    with pytest.raises(DataError, match="1 domains occur"):
        trajectory(points, pd.Series("a", index=labels.index))
    with pytest.raises(ParameterError, match="expected 100 spots"):
        trajectory(points[:50], labels)


def test_it_reports_and_can_be_closed() -> None:
    points, _, labels = path(100)
    steps = trajectory_steps(points, labels, root=0)
    assert next(steps).phase == "finding neighbours"
    steps.close()


def test_inverted_time_ends_at_the_root() -> None:
    points, t, labels = path(300)
    plain = trajectory(points, labels, root=int(t.argmin()))
    back = trajectory(points, labels, root=int(t.argmin()), invert=True)
    assert back.pseudotime[back.root] == 1
    assert back.pseudotime.min() == 0
    assert (plain.inverted, back.inverted) == (False, True)
    np.testing.assert_allclose(back.pseudotime, 1 - plain.pseudotime)
    np.testing.assert_allclose(back.components, plain.components)


def line(n: int = 60, noise: float = 0.0):
    """A section whose embedding is a line, on which the second gene rises with the spots."""
    section, _ = banded(10, n // 10, 5)
    place = np.linspace(0, 1, n)
    counts = np.ones((n, 5), np.float32)
    counts[:, 0] = 40
    counts[:, 1] = np.round(30 * place)
    section.adata.X = sp.csr_matrix(counts)
    rng = np.random.default_rng(0)
    section.adata.obsm["X_mine"] = np.column_stack([10 * place, noise * rng.normal(size=n)])
    labels = pd.Series(np.where(place < 0.5, "a", "b"), index=section.adata.obs_names)
    return section, labels


def test_a_gene_roots_a_line_at_the_end_where_it_is_high() -> None:
    section, labels = line()
    gene = section.adata.var_names[1]
    found = trajectory(section, labels, key="mine", root_gene=gene, n_neighbors=5)
    assert found.root == 59
    assert found.pseudotime[59] == 0
    assert spearmanr(found.pseudotime, np.arange(60)).statistic < -0.99
    back = trajectory(
        section, labels, key="mine", root_gene=gene, n_neighbors=5, invert=True
    )  # fmt: skip
    assert back.pseudotime[59] == 1
    np.testing.assert_allclose(back.pseudotime, 1 - found.pseudotime)


def test_one_noisy_count_does_not_make_the_root() -> None:
    section, labels = line()
    counts = section.adata.X.toarray()
    counts[3, 1] = 60  # twice what any other spot shows, among spots that show next to nothing
    section.adata.X = sp.csr_matrix(counts)
    gene = section.adata.var_names[1]
    found = trajectory(section, labels, key="mine", root_gene=gene, n_neighbors=8)
    assert found.root >= 57


def test_enhanced_values_of_the_gene_are_preferred() -> None:
    section, labels = line()
    gene = section.adata.var_names[1]
    layer = np.zeros((60, 5), np.float32)
    layer[:, 1] = np.linspace(1, 0, 60)  # the other way round, so that it shows which was taken
    section.adata.layers["mine_denoised"] = sp.csr_matrix(layer)
    options = {"key": "mine", "root_gene": gene, "n_neighbors": 5}
    assert trajectory(section, labels, **options).root == 0
    section.adata.var["mine_denoised"] = [True, False, True, True, True]
    assert trajectory(section, labels, **options).root == 59


def test_a_gene_in_one_of_two_pieces() -> None:
    section, labels = line(noise=0.01)
    section.adata.obsm["X_mine"][:30] += 1000
    gene = section.adata.var_names[1]
    found = trajectory(section, labels, key="mine", root_gene=gene, n_neighbors=5, invert=True)
    assert found.root >= 57
    np.testing.assert_array_equal(np.isnan(found.pseudotime), np.arange(60) < 30)
    assert found.pseudotime[found.root] == 1
    assert found.notes == ("No path leads from the root to 30 spots.",)


def test_mistakes_about_roots() -> None:
    section, labels = line()
    section.adata.X[:, 2] = 0
    gene, silent = section.adata.var_names[1], section.adata.var_names[2]
    for options, error, said in (
        ({"root_gene": "nothing"}, ParameterError, "no gene 'nothing'"),
        ({"root_gene": silent}, DataError, f"no spot shows the gene '{silent}'"),
        ({"root_gene": gene, "root": 1}, ParameterError, "root and root_gene were both given"),
        (
            {"root_gene": gene, "root": 1, "root_domain": "a"},
            ParameterError,
            "root and root_domain and root_gene were all given",
        ),
        ({"invert": True}, ParameterError, "without a root"),
    ):
        with pytest.raises(error, match=said):
            trajectory(section, labels, key="mine", **options)
    with pytest.raises(ParameterError, match="an embedding has no genes"):
        trajectory(section.adata.obsm["X_mine"], labels, root_gene=gene)
