"""Similarity of gene vectors, partners, listed pairs and trees, against numpy and scipy."""

import numpy as np
import pytest
from scipy.cluster.hierarchy import fcluster
from scipy.spatial.distance import pdist
from sklearn.metrics import average_precision_score, roc_auc_score

from napari_stmask.analysis.gene_relations import (
    family_tree,
    pair_list_scores,
    partners,
    unit_vectors,
)
from napari_stmask.core.errors import DataError, ParameterError, ResourceError

GENES = [f"G{i}" for i in range(30)]


@pytest.fixture
def vectors() -> np.ndarray:
    rng = np.random.default_rng(0)
    return (rng.normal(size=(5, 8))[np.arange(30) % 5] + rng.normal(size=(30, 8)) * 0.4).astype(
        np.float32
    )


def test_inner_products_are_pearson(vectors: np.ndarray) -> None:
    unit = unit_vectors(vectors * 50 + 7)
    similarity = unit @ unit.T
    np.testing.assert_allclose(similarity, np.corrcoef(vectors), atol=1e-5)
    np.testing.assert_array_equal(similarity, similarity.T)
    np.testing.assert_allclose(np.diag(similarity), 1, atol=1e-6)
    np.testing.assert_allclose(unit_vectors(np.stack([vectors] * 2))[1], unit_vectors(vectors))


def test_constant_vectors_are_alike_to_nobody() -> None:
    unit = unit_vectors(np.array([[0.1, 0.1, 0.1], [1e6, 1e6, 1e6], [1, 2, 4.0]]))
    assert not unit[:2].any()
    assert np.linalg.norm(unit[2]) == pytest.approx(1)


def test_partners(vectors: np.ndarray) -> None:
    table = partners(vectors, GENES, "g3", k=7)
    r = np.corrcoef(vectors)[3]
    order = [i for i in np.argsort(-r) if i != 3][:7]
    assert list(table["gene"]) == [GENES[i] for i in order]
    np.testing.assert_allclose(table["similarity"], r[order], atol=1e-5)
    assert {int(g[1:]) % 5 for g in table["gene"][:5]} == {3}
    assert len(partners(vectors, GENES, "G0", k=100)) == 29


def test_listed_pairs(vectors: np.ndarray) -> None:
    listed = [("G0", "G5"), ("G5", "G0"), ("G1", "G6"), ("G2", "G3"), ("G0", "ABSENT")]
    found = pair_list_scores(vectors, GENES, listed)
    r = np.corrcoef(vectors)
    members = [0, 1, 2, 3, 5, 6]
    truth, value = [], []
    for i, a in enumerate(members):
        for b in members[i + 1 :]:
            truth.append((a, b) in {(0, 5), (1, 6), (2, 3)})
            value.append(r[a, b])
    assert found.auroc == pytest.approx(roc_auc_score(truth, value))
    assert found.aupr == pytest.approx(average_precision_score(truth, value))
    assert (found.n_pairs, found.n_genes, found.left_out) == (3, 6, 1)
    assert found.share == pytest.approx(3 / 15)


def test_true_pairs_beat_chance_and_random_ones_do_not() -> None:
    rng = np.random.default_rng(1)
    genes = [f"G{i}" for i in range(200)]
    z = rng.normal(size=(20, 16))[np.arange(200) % 20] + rng.normal(size=(200, 16)) * 0.8
    good = [(f"G{i}", f"G{i + 20}") for i in range(180)]
    found = pair_list_scores(z, genes, good)
    assert found.auroc > 0.9
    assert found.aupr > 3 * found.share
    bad = pair_list_scores(rng.normal(size=(200, 16)), genes, good)
    assert abs(bad.auroc - 0.5) < 0.08


def test_tree_of_a_family(vectors: np.ndarray) -> None:
    family = family_tree(vectors[:20] * 3 + 1, GENES[:20])
    scaled = vectors[:20].astype(float)
    scaled -= scaled.min(axis=1, keepdims=True)
    scaled /= scaled.max(axis=1, keepdims=True)
    np.testing.assert_allclose(family.scaled, scaled, atol=1e-6)
    # The first merge joins the nearest two, the last distance is a mean over two groups.
    distance = pdist(scaled)
    assert family.linkage[0, 2] == pytest.approx(distance.min(), rel=1e-5)
    halves = fcluster(family.linkage, 2, "maxclust")
    a, b = scaled[halves == 1], scaled[halves == 2]
    between = np.linalg.norm(a[:, None] - b, axis=2).mean()
    assert family.linkage[-1, 2] == pytest.approx(between, rel=1e-5)
    assert sorted(family.order) == list(range(20))
    near = np.random.default_rng(0).normal(size=(5, 8))[np.arange(20) % 5] + scaled * 0.1
    groups = fcluster(family_tree(near, GENES[:20]).linkage, 5, "maxclust")
    for residue in range(5):
        assert len(set(groups[residue::5])) == 1
    assert family.genes == tuple(GENES[:20])


def test_constant_member_of_a_family() -> None:
    family = family_tree(np.array([[3.0, 3, 3], [0, 1, 2], [0, 2, 4]]), ["a", "b", "c"])
    assert not family.scaled[0].any()
    assert family.linkage[0, 2] == 0  # b and c have the same form


def test_mistakes(vectors: np.ndarray) -> None:
    with pytest.raises(ParameterError, match=r"shape \(30, 8\) for 29 genes"):
        partners(vectors, GENES[1:], "G1")
    with pytest.raises(ParameterError, match="shape"):
        family_tree(vectors[0], GENES)
    with pytest.raises(ParameterError, match="no gene 'nobody' among 30"):
        partners(vectors, GENES, "nobody")
    with pytest.raises(ParameterError, match="k is 0"):
        partners(vectors, GENES, "G1", k=0)
    with pytest.raises(ParameterError, match="pairs 'G1' with itself"):
        pair_list_scores(vectors, GENES, [("G1", "G1")])
    with pytest.raises(DataError, match="has no pair of genes with vectors"):
        pair_list_scores(vectors, GENES, [("X", "G1")])
    with pytest.raises(DataError, match="is every pair of its genes"):
        pair_list_scores(vectors, GENES, [("G0", "G1")])
    with pytest.raises(ParameterError, match="has 1 genes"):
        family_tree(vectors[:1], GENES[:1])
    broken = vectors.copy()
    broken[0, 0] = np.nan
    for call in (
        lambda: partners(broken, GENES, "G1"),
        lambda: family_tree(broken, GENES),
    ):
        with pytest.raises(DataError, match="not finite"):
            call()
    many = [f"G{i}" for i in range(5001)]
    with pytest.raises(ResourceError, match="5001 genes"):
        family_tree(np.zeros((5001, 2)), many)
    with pytest.raises(ResourceError, match="5001 genes"):
        pair_list_scores(np.eye(5001, 2), many, zip(many, [*many[1:], many[0]], strict=True))
