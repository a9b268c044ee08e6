"""Links between sections: check 10 of the method's notes, quotas, mutual neighbours."""

import numpy as np
import pytest
import scipy.sparse as sp
from tests.helpers import hexagons

from napari_stmask.core.errors import ParameterError
from napari_stmask.core.joint import Joint, JointParams
from napari_stmask.features.graph import knn_graph, neighbour_mean
from napari_stmask.features.joint_graph import (
    block_graph,
    expression_links,
    joint_graph,
    quota_links,
    relinked,
)

PITCH = 1.0
SHEET = hexagons(14, 14, PITCH)
N = len(SHEET)
INTERIOR = ((SHEET > 2) & (SHEET.max(axis=0) - SHEET > 2)).all(axis=1)


def build(coords: np.ndarray, k: int | None) -> sp.csr_matrix:
    return knn_graph(coords, k or 6)


def stack(n_sections: int, spacing: float, sheet: np.ndarray = SHEET) -> tuple:
    """Codes and (n, 3) positions of copies that lie over one another."""
    codes = np.repeat(np.arange(n_sections), len(sheet))
    return codes, np.column_stack([np.tile(sheet, (n_sections, 1)), codes * spacing])


def side_by_side(n_sections: int, sheet: np.ndarray = SHEET) -> np.ndarray:
    shift = 10 * np.ptp(sheet[:, 0])
    return np.concatenate([sheet + np.array([i * shift, 0]) for i in range(n_sections)])


def graph_of(joint: Joint, values: np.ndarray | None = None) -> sp.csr_matrix:
    coords = side_by_side(joint.n_sections)
    return joint_graph(coords, joint, build, pitch=PITCH, n_near=6, values=values)


def is_symmetric(graph: sp.csr_matrix) -> bool:
    return abs(graph - graph.T).max() == 0 and not graph.diagonal().any()


def split(graph: sp.csr_matrix, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n,) links of each spot within its section and across."""
    pairs = graph.tocoo()
    same = codes[pairs.row] == codes[pairs.col]
    n = graph.shape[0]
    return np.bincount(pairs.row[same], minlength=n), np.bincount(pairs.row[~same], minlength=n)


# Links by depth


@pytest.mark.parametrize("n_sections", [2, 3, 4])
def test_stacked_sheets_at_a_tenth_of_the_pitch(n_sections: int) -> None:
    """Check 10: with k = 7 S - 1, 7 (S - 1) links across and 6 within at every inner spot."""
    codes, positions = stack(n_sections, 0.1 * PITCH)
    settings = JointParams(arrangement="serial", links="depth", depth_neighbours=7 * n_sections - 1)
    graph = graph_of(Joint(codes, positions, settings))
    assert is_symmetric(graph)
    within, across = split(graph, codes)
    inner = np.tile(INTERIOR, n_sections)
    assert inner.sum() > 50 * n_sections
    assert set(within[inner]) == {6}
    assert set(across[inner]) == {7 * (n_sections - 1)}


@pytest.mark.parametrize("n_sections", [2, 4])
def test_sheets_far_apart_are_single_graphs(n_sections: int) -> None:
    """Check 10: at ten times the extent nothing crosses."""
    codes, positions = stack(n_sections, 10 * np.ptp(SHEET[:, 0]))
    k = 7 * n_sections - 1
    settings = JointParams(arrangement="serial", links="depth", depth_neighbours=k)
    graph = graph_of(Joint(codes, positions, settings))
    expected = sp.block_diag([knn_graph(SHEET, k)] * n_sections, format="csr")
    assert not split(graph, codes)[1].any()
    assert (graph != expected).nnz == 0


@pytest.mark.parametrize(("n_sections", "expected"), [(2, 8), (3, 10), (4, 10)])
def test_automatic_number_of_neighbours_in_space(n_sections: int, expected: int) -> None:
    """Those within, 6, and two for each of the sections next to the own."""
    codes, positions = stack(n_sections, 0.1)
    asked = []

    def noting(coords: np.ndarray, k: int | None) -> sp.csr_matrix:
        asked.append((coords.shape[1], k))
        return knn_graph(coords, k or 6)

    joint = Joint(codes, positions, JointParams(arrangement="serial", links="depth"))
    joint_graph(side_by_side(n_sections), joint, noting, pitch=1, n_near=6)
    assert asked == [(3, expected)]


# Links in a plane


def test_a_sheet_cut_in_two_is_whole_again() -> None:
    left = SHEET[:, 0] < np.median(SHEET[:, 0])
    order = np.r_[np.flatnonzero(left), np.flatnonzero(~left)]
    codes = (~left[order]).astype(int)
    positions = np.column_stack([SHEET[order], np.zeros(N)])
    apart = SHEET[order] + np.outer(codes, [500.0, 0])
    joint = Joint(codes, positions, JointParams(arrangement="adjoining"))
    found = joint_graph(apart, joint, build, pitch=1, n_near=6)
    whole = knn_graph(SHEET, 6)[order][:, order]
    assert split(found, codes)[1].any()
    assert (found != whole).nnz == 0


# Quota links


@pytest.mark.parametrize("k", [1, 7])
def test_superimposed_copies_have_their_quota_in_each_neighbouring_section(k: int) -> None:
    """One is the twin, seven the twin and its ring; no farther section takes part."""
    codes, positions = stack(4, 10.0)
    graph = quota_links(Joint(codes, positions), k=k, reach=1.5, max_gap=None)
    assert is_symmetric(graph)
    assert set(graph.data) == {1.0}
    inner = np.tile(INTERIOR, 4)
    for a in range(4):
        for b in range(4):
            links = graph[codes == a][:, codes == b].sum(axis=1).A1[INTERIOR]
            assert set(links) == ({k} if abs(a - b) == 1 else {0}), (a, b)
    twins = graph[:N, N : 2 * N]
    assert (twins.diagonal() == 1).all()
    assert inner.any()


def brute_force_quota(joint: Joint, k: int, reach: float, near: set) -> np.ndarray:
    n, codes = len(joint.codes), joint.codes
    out = np.zeros((n, n))
    for i in range(n):
        for b in np.unique(codes):
            if (codes[i], b) not in near:
                continue
            there = np.flatnonzero(codes == b)
            gap = np.linalg.norm(joint.positions[there, :2] - joint.positions[i, :2], axis=1)
            for j in there[np.argsort(gap)[:k]]:
                if np.linalg.norm(joint.positions[j, :2] - joint.positions[i, :2]) <= reach:
                    out[i, j] = out[j, i] = 1
    return out


@pytest.mark.parametrize("reach", [0.4, 1.5, 3.0])
@pytest.mark.parametrize(
    ("max_gap", "near"),
    [
        (None, {(0, 1), (1, 0), (1, 2), (2, 1)}),
        (25.0, {(0, 1), (1, 0), (1, 2), (2, 1)}),
        (9.0, {(0, 1), (1, 0)}),
        (30.0, {(0, 1), (1, 0), (1, 2), (2, 1), (0, 2), (2, 0)}),
        (1.0, set()),
    ],
)
def test_quota_links_against_brute_force(reach: float, max_gap, near: set) -> None:
    """Sections at depths 0, 8 and 28, of different sizes, spots nowhere in particular."""
    rng = np.random.default_rng(3)
    codes = np.repeat([0, 1, 2], [60, 45, 80])
    positions = np.column_stack([rng.uniform(0, 8, (185, 2)), np.array([0.0, 8, 28])[codes]])
    joint = Joint(codes, positions)
    found = quota_links(joint, k=2, reach=reach, max_gap=max_gap).toarray()
    np.testing.assert_array_equal(found, brute_force_quota(joint, 2, reach, near))


@pytest.mark.parametrize(("reach", "linked"), [(0.3, False), (0.5, True)])
def test_reach_counts_in_distances_between_spots(reach: float, linked: bool) -> None:
    """A second sheet, 0.4 of these distances aside."""
    pitch = 3.0
    codes = np.repeat([0, 1], N)
    plane = np.concatenate([pitch * SHEET, pitch * SHEET + np.array([0.4 * pitch, 0])])
    settings = JointParams(arrangement="serial", cross_reach=reach)
    joint = Joint(codes, np.column_stack([plane, codes]), settings)
    graph = joint_graph(pitch * side_by_side(2), joint, build, pitch=pitch, n_near=6)
    assert bool(graph[:N, N:].nnz) == linked


def test_sections_of_one_depth_are_neighbours_and_missing_ones_are_skipped() -> None:
    rng = np.random.default_rng(0)
    codes = np.repeat([0, 1, 3], 20)  # no spot of section 2 is left
    flat = Joint(codes, np.column_stack([rng.random((60, 2)), np.zeros(60)]))
    linked = quota_links(flat, k=1, reach=9, max_gap=None)
    assert linked[:20, 40:].nnz >= 20
    deep = Joint(codes, np.column_stack([rng.random((60, 2)), 10.0 * codes]))
    linked = quota_links(deep, k=1, reach=9, max_gap=None)
    assert linked[20:40, 40:].nnz >= 20  # sections 1 and 3 are next to each other now
    assert linked[:20, 40:].nnz == 0


def test_the_order_of_spots_does_not_matter() -> None:
    rng = np.random.default_rng(1)
    codes, positions = stack(3, 10.0)
    positions[:, :2] += rng.normal(0, 0.1, (len(codes), 2))
    values = rng.normal(size=(len(codes), 8)).astype(np.float32)
    order = rng.permutation(len(codes))
    for by in ("quota", "depth", "expression", "none"):
        settings = JointParams(arrangement="serial", links=by)
        made = []
        for rows in (np.arange(len(codes)), order):
            made.append(
                joint_graph(
                    side_by_side(3)[rows],
                    Joint(codes[rows], positions[rows], settings),
                    build,
                    pitch=PITCH,
                    n_near=6,
                    values=values[rows],
                )
            )
        assert abs(made[0][order][:, order] - made[1]).max() == 0, by


@pytest.mark.parametrize("by", ["quota", "expression"])
@pytest.mark.parametrize("weight", [1.0, 0.25])
def test_links_across_weigh_what_is_asked_and_those_within_one(by: str, weight: float) -> None:
    codes, positions = stack(3, 10.0)
    settings = JointParams(arrangement="serial", links=by, cross_weight=weight)
    values = np.random.default_rng(0).normal(size=(len(codes), 6)).astype(np.float32)
    graph = graph_of(Joint(codes, positions, settings), values)
    assert is_symmetric(graph)
    assert graph.dtype == np.float32
    pairs = graph.tocoo()
    same = codes[pairs.row] == codes[pairs.col]
    assert set(pairs.data[same]) == {1.0}
    assert set(pairs.data[~same]) == {np.float32(weight)}
    # Within, nothing is added and nothing lost.
    own = sp.csr_matrix((pairs.data[same], (pairs.row[same], pairs.col[same])), graph.shape)
    assert (own != sp.block_diag([knn_graph(SHEET, 6)] * 3, format="csr")).nnz == 0


def test_no_links_across_are_none() -> None:
    codes, _ = stack(3, 10.0)
    graph = graph_of(Joint(codes, None, JointParams(links="none")))
    assert (graph != sp.block_diag([knn_graph(SHEET, 6)] * 3, format="csr")).nnz == 0


@pytest.mark.parametrize("by", ["quota", "depth", "plane"])
def test_links_in_space_need_a_common_frame(by: str) -> None:
    codes, _ = stack(2, 10.0)
    with pytest.raises(ParameterError, match="no common frame"):
        graph_of(Joint(codes, None, JointParams(links=by)))


def test_block_graph_keeps_rows_where_they_are() -> None:
    rng = np.random.default_rng(2)
    coords, codes = rng.random((90, 2)), rng.integers(3, size=90)
    found = block_graph(coords, codes, build)
    for code in range(3):
        rows = np.flatnonzero(codes == code)
        own = knn_graph(coords[rows], 6)
        assert (found[rows][:, rows] != own).nnz == 0
    assert not split(found, codes)[1].any()


# Links by expression


def brute_force_mutual(values: np.ndarray, codes: np.ndarray, k: int) -> np.ndarray:
    """Mutual among the ten most alike (cosine), of which each spot keeps its k best."""
    unit = values / np.linalg.norm(values, axis=1, keepdims=True)
    alike = unit @ unit.T
    n = len(values)
    out = np.zeros((n, n))
    for a in np.unique(codes):
        for b in np.unique(codes):
            if a == b:
                continue
            here, there = np.flatnonzero(codes == a), np.flatnonzero(codes == b)
            for i in here:
                mutual = [
                    j
                    for j in there[np.argsort(-alike[i, there])[:10]]
                    if i in here[np.argsort(-alike[j, here])[:10]]
                ]
                for j in sorted(mutual, key=lambda j: -alike[i, j])[:k]:
                    out[i, j] = out[j, i] = 1
    return out


@pytest.mark.parametrize("k", [1, 2, 20])
@pytest.mark.parametrize("sizes", [(40, 30), (40, 30, 25), (7, 40, 5)])
def test_mutual_neighbours_against_brute_force(k: int, sizes: tuple[int, ...]) -> None:
    rng = np.random.default_rng(4)
    codes = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    values = rng.normal(size=(len(codes), 5)).astype(np.float32)
    found = expression_links(values, codes, k=k)
    assert is_symmetric(found)
    np.testing.assert_array_equal(found.toarray(), brute_force_mutual(values, codes, k))


def test_likeness_is_the_cosine() -> None:
    rng = np.random.default_rng(5)
    values, codes = rng.normal(size=(60, 5)).astype(np.float32), np.arange(60) % 2
    longer = values * rng.uniform(0.2, 5, (60, 1)).astype(np.float32)
    a, b = (expression_links(v, codes, k=2) for v in (values, longer))
    assert (a != b).nnz == 0


def test_identical_copies_are_linked_twin_to_twin() -> None:
    rng = np.random.default_rng(6)
    one = rng.normal(size=(80, 12)).astype(np.float32)
    found = expression_links(np.tile(one, (3, 1)), np.repeat(np.arange(3), 80), k=1)
    twins = 1 - np.eye(3)
    np.testing.assert_array_equal(found.toarray(), np.kron(twins, np.eye(80)))


@pytest.mark.parametrize(("n_sections", "partners"), [(2, 1), (3, 2), (4, 3), (5, 4), (9, 4)])
def test_a_section_has_four_partners_at_most(n_sections: int, partners: int) -> None:
    """The next two and the two before, in a ring: links grow with spots, not with pairs."""
    rng = np.random.default_rng(7)
    one = rng.normal(size=(20, 6)).astype(np.float32)
    codes = np.repeat(np.arange(n_sections), 20)
    found = expression_links(np.tile(one, (n_sections, 1)), codes, k=1)
    across = split(found, codes)[1]
    assert set(across) == {partners}
    i, j = found.nonzero()
    step = (codes[i] - codes[j]) % n_sections
    assert set(np.minimum(step, n_sections - step)) == set(range(1, min(3, n_sections // 2 + 1)))


def test_spots_without_expression_do_no_harm() -> None:
    rng = np.random.default_rng(8)
    values, codes = rng.normal(size=(60, 5)).astype(np.float32), np.arange(60) % 2
    values[:4] = 0
    assert is_symmetric(expression_links(values, codes, k=2))


def test_links_by_expression_are_found_in_the_mean_of_two_steps() -> None:
    codes, _ = stack(2, 10.0)
    values = np.random.default_rng(9).normal(size=(len(codes), 6)).astype(np.float32)
    graph = graph_of(Joint(codes, None, JointParams()), values)
    within = sp.block_diag([knn_graph(SHEET, 6)] * 2, format="csr")
    around = neighbour_mean(within, neighbour_mean(within, values))
    assert (graph != within + expression_links(around, codes, k=2)).nnz == 0


def test_relinking_replaces_links_across_and_nothing_else() -> None:
    codes, _ = stack(2, 10.0)
    rng = np.random.default_rng(10)
    first, latent = rng.normal(size=(2, len(codes), 6)).astype(np.float32)
    joint = Joint(codes, None, JointParams(cross_weight=0.5))
    graph = graph_of(joint, first)
    again = relinked(joint, graph, latent)
    within = sp.block_diag([knn_graph(SHEET, 6)] * 2, format="csr")
    assert abs(again - within - 0.5 * expression_links(latent, codes, k=2)).max() == 0
    assert (again != graph).nnz > 0
    assert abs(relinked(joint, again, latent) - again).max() == 0
