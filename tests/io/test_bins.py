"""Streamed sums against a plain groupby."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest

from napari_stmask.core.errors import DataError, ResourceError
from napari_stmask.io import bins, tally
from napari_stmask.io.bins import Records, ordered, stream
from napari_stmask.io.tally import GENE_BITS, Tally, condense, matrix_of


def blocks_of(n: int, parts: int, *, seed: int = 0, top: int = 4, field: int = 900):
    """Records in blocks, and all of them as a table."""
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(
        {
            "x": rng.integers(0, field, n),
            "y": rng.integers(0, field, n),
            "gene": rng.integers(0, 40, n),
            "count": rng.integers(0, top, n),
            "cell": rng.integers(0, 7, n),
        }
    ).astype(np.int32)
    pieces = [
        Records(*(table[c].to_numpy()[rows].copy() for c in table.columns))
        for rows in np.array_split(np.arange(n), parts)
    ]
    return table, pieces


def as_series(spots: np.ndarray, counts) -> pd.Series:
    entries = counts.tocoo()
    index = pd.MultiIndex.from_arrays([spots[entries.row].astype(np.int64), entries.col])
    return pd.Series(entries.data.astype(np.int64), index).sort_index()


@pytest.mark.parametrize("side", [1, 7, 50])
@pytest.mark.parametrize("parts", [1, 9])
def test_bins_equal_groupby(side: int, parts: int) -> None:
    table, pieces = blocks_of(20_000, parts)
    found = stream(lambda pool: iter(pieces), "t", [(bins.by_bin(side), GENE_BITS)])
    assert (found.n_records, found.n_kept) == ((table["count"] > 0).sum(),) * 2
    kept = table[table["count"] > 0]
    assert found.size == (kept.x.max() + 1, kept.y.max() + 1)
    assert found.low == (kept.x.min(), kept.y.min())
    spots, counts = matrix_of(found.tallies[0], 40)
    assert counts.has_canonical_format
    assert counts.dtype == np.float32
    spot = (kept.y.to_numpy(np.int64) // side << bins.AXIS_BITS) + kept.x // side
    expected = kept["count"].groupby([spot.to_numpy(), kept.gene.to_numpy()]).sum()
    pd.testing.assert_series_equal(
        as_series(spots, counts),
        expected,
        check_names=False,
        check_index_type=False,
        check_dtype=False,
    )


def test_many_ranges_equal_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ranges that wait, are condensed and split give what a single sort gives."""
    monkeypatch.setattr(tally, "_MAX_BUCKET", 500)
    monkeypatch.setattr(tally, "_MIN_PENDING", 100)
    table, pieces = blocks_of(30_000, 60)
    key = bins.by_bin(3)
    sums = Tally("t")
    for piece in pieces:
        sums.add(condense(key(piece), piece.count, "t"))
    assert len(sums._merged) > 20
    whole = Records(*(table[c].to_numpy() for c in table.columns))
    expected = condense(key(whole), whole.count, "t")
    runs = list(sums.drain())
    np.testing.assert_array_equal(np.concatenate([r.keys for r in runs]), expected.keys)
    np.testing.assert_array_equal(np.concatenate([r.sums for r in runs]), expected.sums)


def test_spots_that_lie_in_two_ranges_stay_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tally, "_MAX_BUCKET", 16)
    monkeypatch.setattr(tally, "_MIN_PENDING", 4)
    table, pieces = blocks_of(5000, 30, top=2)
    found = stream(lambda pool: iter(pieces), "t", [(bins.by_bin(200), GENE_BITS)])
    spots, counts = matrix_of(found.tallies[0], 40)
    assert len(spots) == len(np.unique(spots)) == 25
    assert counts.sum() == table["count"].sum()


def test_keys_too_wide_to_pack() -> None:
    rng = np.random.default_rng(1)
    keys = rng.integers(0, 50, 4000).astype(np.uint64) + np.uint64(2**62)
    counts = rng.integers(0, 1000, 4000)
    run = condense(keys, counts, "t")
    expected = pd.Series(counts).groupby(keys).sum()
    np.testing.assert_array_equal(run.keys, expected.index)
    np.testing.assert_array_equal(run.sums, expected)


def test_cells_and_their_places() -> None:
    table, pieces = blocks_of(9000, 5, field=30)
    keys = [(bins.by_cell, GENE_BITS), (bins.by_cell_and_place, 2 * bins.AXIS_BITS)]
    found = stream(lambda pool: iter(pieces), "t", keys, lambda r: r.only(r.cell != 0))
    kept = table[(table["count"] > 0) & (table.cell > 0)]
    assert found.n_kept == len(kept) < found.n_records
    spots, counts = matrix_of(found.tallies[0], 40)
    assert spots.tolist() == [1, 2, 3, 4, 5, 6]
    np.testing.assert_array_equal(
        np.asarray(counts.sum(axis=1)).ravel(), kept.groupby("cell")["count"].sum()
    )
    places = sum(run.keys.size for run in found.tallies[1].drain())
    assert places == len(kept.drop_duplicates(["cell", "x", "y"]))


def test_nothing() -> None:
    found = stream(lambda pool: iter(()), "t", [(bins.by_bin(50), GENE_BITS)])
    spots, counts = matrix_of(found.tallies[0], 3)
    assert (found.n_records, len(spots), counts.shape) == (0, 0, (0, 3))


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("x", -1, "x holds -1"),
        ("y", 2**19, "y holds 524288"),
        ("count", -3, "count holds -3"),
        ("count", 2**24 + 1, "count holds 16777217"),
        ("cell", 2**24, "cell holds 16777216"),
    ],
)
def test_values_out_of_range(name: str, value: int, text: str) -> None:
    _, [block] = blocks_of(10, 1)
    getattr(block, name)[4] = value
    with pytest.raises(DataError, match=text):
        stream(lambda pool: iter([block]), "t")


def test_sum_that_is_no_longer_exact() -> None:
    keys = np.zeros(3, np.uint64)
    assert condense(keys[:2], np.array([2**23, 2**23]), "t").sums.tolist() == [2**24]
    with pytest.raises(DataError, match="one gene has 16777217 molecules"):
        condense(keys, np.array([2**23, 2**23, 1]), "t")


def test_too_many_spots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tally, "MAX_SPOTS", 1000)
    _, pieces = blocks_of(3000, 2)
    found = stream(lambda pool: iter(pieces), "t", [(bins.by_bin(1), GENE_BITS)])
    with pytest.raises(ResourceError, match=r"more than 1000 spots.*larger bin"):
        matrix_of(found.tallies[0], 40)


def test_ordered_keeps_order_and_does_not_run_ahead() -> None:
    taken = []

    def items():
        for i in range(50):
            taken.append(i)
            yield i

    with ThreadPoolExecutor(3) as pool:
        for n, value in enumerate(ordered(pool, lambda i: i * i, items(), 4)):
            assert value == n * n
            assert len(taken) <= n + 4
