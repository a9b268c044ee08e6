"""The heterogeneous graph of SpaHGC against brute force, and its pieces for training."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.models.spahgc_helpers import settings, side_with

from napari_stmask.core.errors import DataError
from napari_stmask.core.progress import drain
from napari_stmask.models.spahgc import graph
from napari_stmask.models.spahgc.fitting import _pieces
from napari_stmask.models.spahgc.graph import (
    CLOSE,
    NEAR,
    REFERS,
    Pool,
    find_references,
    graph_of,
    linked,
    near_graph,
)
from napari_stmask.models.spahgc.inputs import Side, Standard
from napari_stmask.models.spahgc.training import batches_of, new_net, whole_batch

CPU = torch.device("cpu")
WIDTH = 8


def side(seed: int, n: int = 6, group: int | None = None) -> Side:
    features = np.random.default_rng(100 + seed).normal(size=(n * n, WIDTH))
    return side_with(features, n, section=seed, group=seed if group is None else group)


def pool_of(*sides: Side) -> Pool:
    return Pool.of(sides, [one.expression for one in sides])


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=1, keepdims=True)


# Neighbours in space


@pytest.mark.parametrize("k", [1, 4, 6, 8])
def test_neighbours_equal_brute_force(k: int) -> None:
    """Nearest with all ties, either way round, none farther than 1.6 pitches; a torn section."""
    rng = np.random.default_rng(0)
    whole = side(0, n=9)
    kept = np.flatnonzero(rng.random(81) < 0.7)
    torn = whole.part(kept, 0)
    torn = replace(torn, coords=torn.coords + 5 * (torn.coords[:, :1] > 5))
    away = np.linalg.norm(torn.coords[:, None] - torn.coords, axis=2)
    np.fill_diagonal(away, np.inf)
    reach = np.sort(away, axis=1)[:, [k - 1]]
    directed = away <= reach + 1e-9
    expected = (directed | directed.T) & (away <= 1.6)
    found = near_graph(torn, settings(n_neighbors=k)).toarray()
    np.testing.assert_array_equal(found, expected.astype(np.float32))
    assert not found.diagonal().any()
    assert k == 1 or expected.sum() < (directed | directed.T).sum()  # the tear matters


def test_few_spots_have_no_more_neighbours_than_there_are() -> None:
    two = side(0, n=3).part(np.array([0, 1]), 0)
    assert near_graph(two, settings(n_neighbors=6)).nnz == 2
    assert near_graph(two.part(np.array([0]), 0), settings()).shape == (1, 1)


def test_released_grid_equals_loops() -> None:
    rng = np.random.default_rng(1)
    coords = rng.uniform(0, 1600, (70, 2))
    scattered = replace(side(0, n=9).part(np.arange(70), 0), coords=coords)
    cell = np.floor(coords / 224)
    expected = np.zeros((70, 70))
    for i in range(70):
        links = 0
        for j in range(70):
            if j != i and ((cell[i] - cell[j]) ** 2).sum() < 2 and links < 5:
                expected[i, j] = 1
                links += 1
    found = near_graph(scattered, settings(mode="release", n_neighbors=5)).toarray()
    np.testing.assert_array_equal(found, expected)
    assert (expected.sum(1) == 5).any()  # the limit is met
    assert (expected != expected.T).any()


# References


def test_references_equal_brute_force_and_leave_out_the_own_group() -> None:
    target, pool = side(0), pool_of(side(0), side(1), side(2, group=0), side(3))
    found = drain(find_references(target, pool, settings(), target_group=0, more=12))
    cosine = unit(target.features) @ unit(pool.features).T
    cosine[:, pool.group == 0] = -np.inf
    expected = np.argsort(-cosine, axis=1)[:, :12]
    np.testing.assert_array_equal(found.index, expected)
    np.testing.assert_allclose(found.similarity, np.take_along_axis(cosine, expected, 1), atol=1e-5)
    assert not np.isin(pool.group[found.index], 0).any()


@pytest.mark.parametrize("metric", ["l1", "l2"])
def test_other_similarities(metric: str) -> None:
    target, pool = side(0), pool_of(side(1), side(2))
    found = drain(find_references(target, pool, settings(similarity=metric)))
    apart = target.features[:, None] - pool.features
    away = np.abs(apart).sum(2) if metric == "l1" else np.sqrt((apart**2).sum(2))
    np.testing.assert_array_equal(found.index, np.argsort(away, axis=1)[:, :7])


def test_a_section_can_be_left_out() -> None:
    pool = pool_of(side(1), side(2), side(3))
    found = drain(find_references(side(0), pool, settings(), without=2))
    assert set(np.unique(pool.section[found.index])) <= {1, 3}


def test_copies_are_found() -> None:
    """A target that is a copy of a reference section finds itself there."""
    pool = pool_of(*(side(i, n=12) for i in (1, 2, 3)))
    copy = replace(side(2, n=12), section=9)
    found = drain(find_references(copy, pool, settings()))
    assert np.mean(found.index[:, 0] == 144 + np.arange(144)) >= 0.99


def test_a_small_section_gives_all_it_has() -> None:
    """The others make up for it, none with more than needed."""
    small, large, target = side(0, n=2), side(1), side(2)
    found = drain(
        find_references(target, pool_of(small, large), settings(n_references=12, balance=True))
    )
    assert ((found.index < 4).sum(axis=1) == 4).all()
    three = pool_of(small, large, side(3))
    found = drain(find_references(target, three, settings(n_references=12, balance=True)))
    of = three.section[found.index]
    assert max((of == code).sum(axis=1).max() for code in (0, 1, 3)) == 4


def test_balance_keeps_the_quotas() -> None:
    close = side(0)
    lure = replace(side(1), features=close.features + 0.01)
    pool = pool_of(lure, side(2), side(3))
    free = drain(find_references(close, pool, settings(n_references=8)))
    even = drain(find_references(close, pool, settings(n_references=8, balance=True)))
    assert even.index.shape == (36, 8)
    of_section = [(pool.section[even.index] == code).sum(axis=1) for code in (1, 2, 3)]
    assert np.max(of_section) == 3
    assert ((pool.section[free.index] == 1).sum(axis=1) > 3).any()


@pytest.mark.parametrize("left_out", [{"target_group": 1}, {"without": 1}])
def test_too_few_references_are_refused(left_out: dict) -> None:
    pool = pool_of(side(1), side(2, n=2))
    with pytest.raises(DataError, match="only 4 reference spots remain for 7 links") as caught:
        drain(find_references(side(0), pool, settings(), **left_out))
    assert "n_references" in caught.value.remedy


# The graph


def built(mode: str = "improved", **values):
    params = settings(mode=mode, n_references=5, **values)
    target, pool = side(0, n=8), pool_of(side(1), side(2))
    index = drain(find_references(target, pool, params)).index
    return target, pool, index, params, drain(graph_of(target, pool, index, params))


def test_structure_of_the_graph() -> None:
    target, pool, index, params, data = built()
    assert data.validate()
    used = np.unique(index)
    np.testing.assert_array_equal(data["reference"].row.numpy(), used)
    np.testing.assert_array_equal(data["target"].x.numpy(), target.features)
    np.testing.assert_array_equal(data["reference"].x.numpy(), pool.features[used])
    np.testing.assert_array_equal(data["reference"].y.numpy(), pool.expression[used])
    source, listener = data[REFERS].edge_index.numpy()
    np.testing.assert_array_equal(used[source].reshape(index.shape), index)
    np.testing.assert_array_equal(listener, np.repeat(np.arange(64), 5))
    dense = np.zeros((64, 64))
    dense[tuple(data[NEAR].edge_index.numpy()[::-1])] = 1
    np.testing.assert_array_equal(dense, near_graph(target, params).toarray())


@pytest.mark.parametrize("mode", ["improved", "release"])
def test_close_references_equal_brute_force(mode: str) -> None:
    _, pool, index, _, data = built(mode)
    used = np.unique(index)
    parts = [pool.features[used], pool.expression[used]]
    if mode == "improved":
        parts = [v / np.linalg.norm(v, axis=1).mean() for v in parts]
    joint = np.hstack(parts)
    away = np.linalg.norm(joint[:, None] - joint, axis=2)
    np.fill_diagonal(away, np.inf)
    source, listener = data[CLOSE].edge_index.numpy()
    np.testing.assert_array_equal(listener, np.repeat(np.arange(len(used)), 3))
    np.testing.assert_array_equal(source.reshape(-1, 3), np.argsort(away, axis=1)[:, :3])


def test_equal_references_are_close_to_each_other_and_not_to_themselves() -> None:
    """More equal ones than there are links: the first others of them."""
    one = side(1)
    rows = np.r_[np.zeros(6, int), np.arange(1, 31)]
    pool = pool_of(replace(one, features=one.features[rows], expression=one.expression[rows]))
    index = np.tile(np.arange(36), (4, 1))
    target = side(0, n=2)
    data = drain(graph_of(target, pool, index, settings(n_references=36)))
    source = data[CLOSE].edge_index[0].view(-1, 3).numpy()
    assert (source != np.arange(36)[:, None]).all()
    assert source[:6].tolist() == [[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2], [0, 1, 2], [0, 1, 2]]


def test_close_ones_of_many_references_by_components(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 13 columns the first 12 components: nearly the same links, and never a loop."""
    exact = built()[-1][CLOSE].edge_index
    monkeypatch.setattr(graph, "_MANY", 10)
    monkeypatch.setattr(graph, "_WIDTH", 12)
    close = built()[-1][CLOSE].edge_index
    assert torch.equal(close[1], exact[1])
    assert (close[0] != close[1]).all()
    shared = [len({*a} & {*b}) for a, b in zip(rows_of(close), rows_of(exact), strict=True)]
    assert 2.2 < np.mean(shared) < 3


def rows_of(edges: torch.Tensor) -> list[list[int]]:
    return edges[0].view(-1, 3).tolist()


def test_links_as_the_network_takes_them() -> None:
    target, pool, index, _, data = built()
    found = linked(data)
    rows = data["reference"].row.numpy()
    np.testing.assert_array_equal(rows[found.refers.index.numpy()].reshape(index.shape), index)
    near, close = found.near.matrix.to_dense().numpy(), found.close.matrix.to_dense().numpy()
    np.testing.assert_allclose(near.sum(1), 1, atol=1e-6)
    np.testing.assert_allclose(close.sum(1), 1, atol=1e-6)
    ones = near_graph(target, settings()).toarray()
    np.testing.assert_allclose(near, ones / ones.sum(1, keepdims=True), atol=1e-6)
    source, listener = data[CLOSE].edge_index.numpy()
    assert (close[listener, source] > 0).all()
    assert len(pool.features) >= found.refers.n_references


def test_links_in_another_order_are_the_same_graph() -> None:
    *_, data = built()
    before = linked(data)
    order = torch.randperm(64 * 5, generator=torch.Generator().manual_seed(0))
    data[REFERS].edge_index = data[REFERS].edge_index[:, order]
    after = linked(data)
    for a, b in zip(before.refers.index.view(64, 5), after.refers.index.view(64, 5), strict=True):
        assert sorted(a.tolist()) == sorted(b.tolist())


def test_unequal_numbers_of_references_are_refused() -> None:
    *_, data = built()
    data[REFERS].edge_index = data[REFERS].edge_index[:, 1:]
    with pytest.raises(ValueError, match="different numbers"):
        linked(data)


# Pieces for training


def batches(size: int = 100, layers: int = 2, mode: str = "improved"):
    params = settings(n_references=5, batch_spots=size, layers=layers, mode=mode)
    target, pool = side(0, n=20), pool_of(side(1, n=12), side(2, n=12))
    if mode == "release":
        target = replace(target, coords=target.coords * 230 + 17)
    index = drain(find_references(target, pool, params)).index
    data = drain(graph_of(target, pool, index, params))
    return target, pool, index, data, params, batches_of(data, target, params, CPU)


def test_pieces_partition_the_section_and_keep_all_links() -> None:
    _, pool, index, data, _, found = batches()
    assert len(found) == 4
    cores = np.concatenate([b.targets[: b.n_core].numpy() for b in found])
    np.testing.assert_array_equal(np.sort(cores), np.arange(400))
    for batch in found:
        assert batch.n_core <= 100 < len(batch.targets) < 400
        mine = batch.references[batch.graph.refers.index].view(-1, 5)
        np.testing.assert_array_equal(mine.numpy(), index[batch.targets.numpy()])
        assert batch.graph.refers.n_references == len(batch.references) <= len(pool.features)
    assert len(data["reference"].row) >= max(len(b.references) for b in found)


def test_a_small_section_is_one_piece() -> None:
    *_, found = batches(size=400)
    assert [b.n_core for b in found] == [400]


def encoded(net, target: Side, pool: Pool, batch) -> torch.Tensor:
    x = torch.from_numpy(target.features)[batch.targets]
    z, y = (torch.from_numpy(v)[batch.references] for v in (pool.features, pool.expression))
    states = net.encode(x, z, y, batch.graph)
    return net.decode(states, batch.graph)[0].detach()


def compared(*, heard: bool, mode: str = "improved") -> tuple[torch.Tensor, torch.Tensor]:
    """Answers of the whole graph and of its pieces; references may hear targets or not."""
    target, pool, _, data, params, found = batches(mode=mode)
    net = new_net(WIDTH, 5, params, torch.Generator().manual_seed(0)).eval()
    with torch.no_grad():
        for layer in net.layers:
            for part in (layer.across.of_reference, layer.across.of_target):
                part.weight.mul_(8)
            if not heard:
                layer.across.to_reference.weight.zero_()
                layer.close.neighbours.weight.zero_()
    whole = encoded(net, target, pool, whole_batch(data, CPU))
    pieces = torch.empty_like(whole)
    for batch in found:
        pieces[batch.targets[: batch.n_core]] = encoded(net, target, pool, batch)[: batch.n_core]
    return whole, pieces


@pytest.mark.parametrize("mode", ["improved", "release"])
def test_pieces_answer_as_the_whole_where_references_hear_nobody(mode: str) -> None:
    whole, pieces = compared(heard=False, mode=mode)
    torch.testing.assert_close(pieces, whole, atol=1e-5, rtol=1e-5)


def test_pieces_are_near_the_whole() -> None:
    """References hear the targets and the close references of the piece only."""
    whole, pieces = compared(heard=True)
    spread = (whole - whole.mean(0)).square().mean().sqrt()
    gap = (pieces - whole).square().mean().sqrt()
    assert 0 < gap < 0.2 * spread


def test_pieces_of_one_patient_keep_a_gap() -> None:
    found = _pieces([side(0, n=10, group=4), side(1, n=10, group=4)])
    assert [one.section for one in found] == [0, 1, 2, 3]
    assert [one.group for one in found] == [0, 1, 0, 1]
    for first, second in (found[:2], found[2:]):
        away = np.linalg.norm(first.coords[:, None] - second.coords, axis=2)
        assert away.min() >= 2
        assert len(first) + len(second) >= 80


# Scale of the features


def test_features_by_section_by_references_and_as_released() -> None:
    tables = [
        np.random.default_rng(i).normal(3 * i, 1 + i, (50, 4)).astype(np.float32) for i in (0, 1)
    ]
    own = Standard.of(tables, settings(standardise="section"))
    for table in tables:
        np.testing.assert_allclose(own(table).mean(0), 0, atol=1e-5)
        np.testing.assert_allclose(own(table).std(0), 1, atol=1e-5)
    shared = Standard.of(tables, settings(standardise="references"))
    every = np.concatenate([shared(table) for table in tables])
    np.testing.assert_allclose(every.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(every.std(0), 1, atol=1e-5)
    assert shared(tables[1]).mean() > 0.5
    released = Standard.of(tables, settings(mode="release"))
    np.testing.assert_array_equal(released(tables[1]), tables[1])


def test_constant_features_become_zero() -> None:
    table = np.full((20, 3), 5.0, np.float32)
    table[:, 0] = np.arange(20)
    for kind in ("section", "references"):
        out = Standard.of([table], settings(standardise=kind))(table)
        assert np.isfinite(out).all()
        assert not out[:, 1:].any()
