"""Edges by brute force, their false discovery rate, and hubs in closed form."""

import numpy as np
import pytest

from napari_stmask.analysis.gene_network import gene_network_steps
from napari_stmask.core.errors import DataError, ParameterError
from napari_stmask.core.progress import drain


def grouped(n=200, width=16, groups=10, spread=0.6, alone=100, seed=0):
    """``n`` genes in groups and ``alone`` without one, and null vectors of all."""
    rng = np.random.default_rng(seed)
    codes = np.r_[np.arange(n) % groups, np.full(alone, -1)]
    centres = rng.normal(size=(groups, width))
    z = rng.normal(size=(n + alone, width)) * np.where(codes < 0, 1, spread)[:, None]
    z[:n] += centres[codes[:n]]
    null = rng.normal(size=(6, n + alone, width))
    return z.astype(np.float32), [f"G{i}" for i in range(n + alone)], null, codes


def brute(z, null, k, q):
    """Mutual neighbours and rates, pair by pair."""
    n, r = len(z), np.corrcoef(z)
    np.fill_diagonal(r, -2)
    top = [set(np.argsort(-row)[:k]) for row in r]
    i, j = np.triu_indices(n, 1)
    pairs = np.sort(r[i, j])
    pool = []
    for t in range(len(null)):
        for lag in range(1, len(null)):
            both = np.corrcoef(null[t], null[(t + lag) % len(null)])[:n, n:]
            pool.append(both[~np.eye(n, dtype=bool)])
    pool = np.sort(np.concatenate(pool))
    p = (1 + pool.size - np.searchsorted(pool, pairs)) / (1 + pool.size)
    rate = np.minimum.accumulate(np.minimum(p * pairs.size / np.arange(pairs.size, 0, -1), 1))
    edges = {}
    for a, b in zip(i, j, strict=True):
        if a in top[b] and b in top[a]:
            place = np.searchsorted(pairs, r[a, b])
            if rate[place] < q:
                edges[(a, b)] = (r[a, b], p[place], rate[place])
    return edges


def test_same_as_pair_by_pair() -> None:
    z, genes, null, _ = grouped(n=60, alone=20)
    known = brute(z, null, 8, 0.05)
    found = drain(gene_network_steps(z, genes, null, k=8))
    assert len(known) > 50
    # Pairs are counted in bins of 1e-4: one on the edge of the cut-off may differ.
    pairs = {(int(a[1:]), int(b[1:])) for a, b in zip(found.edges.gene_a, found.edges.gene_b,
                                                      strict=True)}  # fmt: skip
    assert len(pairs ^ set(known)) <= 1
    for row in found.edges.itertuples():
        pair = (int(row.gene_a[1:]), int(row.gene_b[1:]))
        if pair in known:
            assert row.similarity == pytest.approx(known[pair][0], abs=1e-5)
            assert row.p == pytest.approx(known[pair][1], rel=0.02, abs=2e-5)
            assert row.q == pytest.approx(known[pair][2], rel=0.02, abs=2e-4)
    assert found.edges["similarity"].is_monotonic_decreasing
    for i, gene in enumerate(genes):
        in_a, in_b = (found.edges[c] == gene for c in ("gene_a", "gene_b"))
        assert found.degree[i] == (in_a | in_b).sum()


def test_blocks_change_nothing(monkeypatch) -> None:
    z, genes, null, _ = grouped(n=60, alone=20)
    one = drain(gene_network_steps(z, genes, null))
    monkeypatch.setattr("napari_stmask.analysis.gene_network._ENTRIES", 700)
    events = 0
    steps = gene_network_steps(z, genes, null)
    while True:
        try:
            next(steps)
            events += 1
        except StopIteration as stop:
            two = stop.value
            break
    assert events > 20
    assert list(one.edges.gene_a) == list(two.edges.gene_a)
    np.testing.assert_allclose(one.edges.q, two.edges.q)


def test_edges_join_genes_of_a_group() -> None:
    z, genes, null, codes = grouped()
    edges = drain(gene_network_steps(z, genes, null)).edges
    a, b = (codes[[int(g[1:]) for g in edges[c]]] for c in ("gene_a", "gene_b"))
    assert len(edges) > 300
    assert ((a == b) & (a >= 0)).mean() > 0.95


def test_nothing_but_noise_has_no_edges() -> None:
    """Of mutual neighbours each is the most alike of thousands; they are no finding."""
    edges = 0
    for seed in range(8):
        z, genes, null, _ = grouped(n=0, groups=1, alone=300, seed=seed)
        edges += len(drain(gene_network_steps(z, genes, null)).edges)
    assert edges <= 3


def test_null_vectors_that_share_a_mean() -> None:
    """Images without a pattern look alike; being as alike as they are is no relation."""
    rng = np.random.default_rng(0)
    mean = rng.normal(size=12) * 3
    z, null = mean + rng.normal(size=(200, 12)), mean + rng.normal(size=(5, 200, 12))
    assert np.median(np.corrcoef(z)) > 0.7
    assert len(drain(gene_network_steps(z, [f"G{i}" for i in range(200)], null)).edges) <= 2


def test_draws_that_shuffle_all_genes_alike() -> None:
    """One permutation for all genes keeps their relations; only pairs across draws are null."""
    z, genes, _, _ = grouped(alone=50)
    rng = np.random.default_rng(3)
    turns = [np.linalg.qr(rng.normal(size=(16, 16)))[0] for _ in range(6)]
    null = np.stack([z @ turn for turn in turns])
    assert len(drain(gene_network_steps(z, genes, null)).edges) > 200


def test_hubs() -> None:
    z, genes, null, codes = grouped(n=60, alone=20)
    z[[7, 8]] = z[[17, 27, 37, 47], :].mean(axis=0)[None] * [[1], [0]]
    found = drain(gene_network_steps(z, genes, null))
    table = found.hubs(codes, n=3)
    r = np.corrcoef(np.delete(z, 8, axis=0))
    r = np.insert(np.insert(r, 8, 0, axis=0), 8, 0, axis=1)  # constant, alike to nobody
    assert set(table["module"]) == set(range(10))
    for row in table.itertuples():
        i = genes.index(row.gene)
        others = (codes == row.module) & (np.arange(80) != i)
        assert row.strength == pytest.approx(r[i, others].sum(), abs=1e-4)
        assert row.mean_similarity == pytest.approx(r[i, others].mean(), abs=1e-4)
        assert row.degree == found.degree[i]
    of_seven = table[table["module"] == 7]
    assert of_seven["gene"].iloc[0] == "G7"
    assert of_seven["strength"].is_monotonic_decreasing
    assert found.hubs(np.r_[0, np.full(79, -1)])["strength"].tolist() == [pytest.approx(0)]


def test_mistakes() -> None:
    z, genes, null, codes = grouped(n=20, alone=0)
    for arguments, options, message in (
        ((z, genes[1:], null), {}, "for 19 genes"),
        ((z, genes, null[:1]), {}, "two draws or more"),
        ((z, genes, null[:, 1:]), {}, "null vectors"),
        ((z, genes, null), {"k": 0}, "k is 0"),
        ((z, genes, null), {"q": 0.0}, "q is 0.0"),
        ((z[:2], genes[:2], null[:, :2]), {}, "there are 2 genes"),
    ):
        with pytest.raises(ParameterError, match=message):
            drain(gene_network_steps(*arguments, **options))
    null[0, 0, 0] = np.inf
    with pytest.raises(DataError, match="not finite"):
        drain(gene_network_steps(z, genes, null))
    network = drain(gene_network_steps(z, genes, null[1:]))
    with pytest.raises(ParameterError, match="19 modules were given for 20 genes"):
        network.hubs(codes[1:])
    with pytest.raises(ParameterError, match="n is 0"):
        network.hubs(codes, n=0)
