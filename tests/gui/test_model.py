"""Legend edits, undo, inheritance of colours; no Qt."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_stmask.core.errors import ParameterError
from napari_stmask.gui.model import DomainSet, DomainState
from napari_stmask.viz.palette import PALETTE


def state(k: int = 4, n: int = 40) -> DomainState:
    codes = np.arange(n) % (k + 1) - 1
    return DomainState.of(codes, [str(i + 1) for i in range(k)], PALETTE[:k])


def same(a: DomainState, b: DomainState) -> bool:
    return (a.codes == b.codes).all() and (a.names, a.colors, a.shown) == (
        b.names,
        b.colors,
        b.shown,
    )


def test_merge_keeps_order_and_counts():
    merged = state().merged([3, 1])
    assert merged.names == ("1", "2", "3")
    assert merged.colors == (PALETTE[0], PALETTE[1], PALETTE[2])
    assert merged.counts.tolist() == [8, 16, 8]
    assert ((merged.codes < 0) == (state().codes < 0)).all()
    with pytest.raises(ParameterError, match="two or more"):
        state().merged([1])


def test_rename_refuses_doubles_and_nothing():
    assert state().renamed(0, " WM ").names[0] == "WM"
    for bad in ("2", "  "):
        with pytest.raises(ParameterError):
            state().renamed(0, bad)


def test_solo_toggles():
    solo = state().solo([1])
    assert solo.shown == (False, True, False, False)
    assert solo.solo([1]).shown == (True,) * 4


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("rcshm"), st.integers(0, 9), st.integers(0, 9)), max_size=12)
)
def test_undo_of_all_edits_is_the_start_and_redo_the_end(actions):
    domains = DomainSet("k", "k", "t", state())
    for kind, a, b in actions:
        now = domains.state
        k = len(now.names)
        a, b = a % k, b % k
        if kind == "r":
            new = now.renamed(a, f"{a} {len(domains._past)}")
        elif kind == "c":
            new = now.recoloured(a, PALETTE[b])
        elif kind == "s":
            new = now.solo([a, b])
        elif kind == "h":
            new = now.with_shown(a, not now.shown[a])
        elif a != b:
            new = now.merged([a, b])
        else:
            continue
        domains.edit(new)
    start, end = state(), domains.state
    while domains.can_undo:
        domains.undo()
    assert same(domains.state, start)
    while domains.can_redo:
        domains.redo()
    assert same(domains.state, end)


def test_next_run_inherits_colours_and_given_names():
    old = DomainState.of(np.repeat([0, 1, 2], 10), ["WM", "2", "3"], PALETTE[4:7])
    # Another numbering, and the last domain split.
    codes = np.repeat([2, 0, 1, 3], [10, 10, 7, 3])
    new = DomainState.of(codes, "1234", PALETTE[:4]).inheriting(old)
    assert new.colors[2] == PALETTE[4]
    assert new.colors[0] == PALETTE[5]
    assert new.colors[1] == PALETTE[6]
    assert new.colors[3] not in PALETTE[4:7]
    assert new.names == ("1", "2", "WM", "4")
    assert (new.codes == codes).all()


def test_inheriting_with_unassigned_and_odd_inputs():
    old = DomainState.of(np.full(6, -1), ["1"], PALETTE[:1])
    new = state(2, 6)
    assert new.inheriting(old) is new


def test_write(section):
    codes = np.arange(section.n_spots) % 3 - 1
    DomainState.of(codes, ["a", "b"], PALETTE[:2]).write(section, "mine")
    assert section.adata.obs["mine"].isna().sum() == (codes < 0).sum()
    assert list(section.adata.obs["mine"].cat.categories) == ["a", "b"]
    assert section.adata.uns["mine_colors"] == list(PALETTE[:2])


def test_stored_reads_odd_colours(section, make_result):
    make_result(section).apply(section.adata)
    for colors in ({"1": "#000000"}, ["red", "#00FF00FF"], None):
        section.adata.uns["spamask_colors"] = colors
        found = DomainSet.stored(section, "spamask")
        assert found is not None
        assert all(len(c) == 7 and c[0] == "#" for c in found.state.colors)
    assert DomainSet.stored(section, "absent") is None


def test_split_puts_the_parts_in_its_place():
    parts = np.arange(40) // 20
    split = state().split(1, parts)
    assert split.names == ("1", "2.1", "2.2", "3", "4")
    assert split.counts.tolist() == [8, 4, 4, 8, 8]
    assert split.colors[1] == PALETTE[1]
    assert split.colors[2] == PALETTE[4]
    inside = state().codes == 1
    assert (split.codes[inside] == 1 + parts[inside]).all()
    assert (split.codes[~inside] == np.array([-1, 0, 0, 3, 4])[state().codes[~inside] + 1]).all()
    with pytest.raises(ParameterError, match="not divided"):
        state().split(1, np.zeros(40, dtype=int))


def test_names_of_parts_are_free():
    named = state().renamed(3, "2.1").split(1, np.arange(40) % 2)
    assert len(set(named.names)) == 5


def test_reordering_moves_only_the_list():
    start = state()
    moved = start.moved(0, 2)
    assert moved.names == ("2", "3", "1", "4")
    assert [moved.names[c] if c >= 0 else "" for c in moved.codes] == [
        start.names[c] if c >= 0 else "" for c in start.codes
    ]
    assert same(moved.moved(2, 0), start)
    assert same(start.ordered([0, 1, 2, 3]), start)


def test_other_codes_of_the_run_follow_every_edit():
    start = state()
    other = np.roll(start.codes, 1)
    edited = start.split(1, np.arange(40) // 20).moved(0, 4).merged([1, 2])
    # The run's own codes become exactly what is shown.
    assert (edited.joined(start.codes) == edited.codes).all()
    seen = edited.joined(other)
    assert ((seen < 0) == (other < 0)).all()
    kept = other == 3
    assert {edited.names[c] for c in seen[kept]} == {"4"}
