"""Ribbons fill what they join; figures of two labelings hold every number."""

import io
from itertools import pairwise

import numpy as np
import pytest

from napari_stmask.viz.agreement_figures import (
    confusion_figure,
    matched_colors,
    sankey_figure,
    shaded,
)
from napari_stmask.viz.plots import save_figure
from napari_stmask.viz.ribbons import bend, flow

COUNTS = np.array([[30, 2, 0], [0, 5, 40]])
ORDER = [0, 1], [0, 2, 1]


def test_ribbons_fill_the_domains_that_they_join() -> None:
    shape = flow(COUNTS, *ORDER)
    unit = 0.8 / 77
    for side, ends, sizes in ((0, shape.left, [32, 45]), (1, shape.right, [30, 7, 40])):
        np.testing.assert_allclose(ends[:, 1] - ends[:, 0], np.array(sizes) * unit)
        # From top to bottom without an overlap.
        ordered = ends[ORDER[side]].ravel()
        assert ordered[0] == 0
        assert ordered[-1] == pytest.approx(1)
        assert (np.diff(ordered) > 0).all()
        for code in range(len(sizes)):
            own = [r for r in shape.ribbons if (r.first, r.second)[side] == code]
            spans = sorted((r.left, r.right)[side] for r in own)
            assert spans[0][0] == pytest.approx(ends[code, 0])
            assert spans[-1][1] == pytest.approx(ends[code, 1])
            for above, below in pairwise(spans):
                assert above[1] == pytest.approx(below[0])
    assert [r.spots for r in shape.ribbons] == [40, 30, 5, 2]
    assert [r.spots for r in flow(COUNTS, *ORDER, most=2).ribbons] == [40, 30]


def test_a_ribbon_keeps_its_thickness() -> None:
    ribbon = flow(COUNTS, *ORDER).ribbons[0]
    upper, lower = np.split(bend(ribbon, 20), 2)
    np.testing.assert_allclose(lower[::-1, 1] - upper[:, 1], 40 * 0.8 / 77)
    np.testing.assert_allclose(upper[[0, -1]], [[0, ribbon.left[0]], [1, ribbon.right[0]]])


def test_matched_colors() -> None:
    found = matched_colors(["#E69F00", "#56B4E9"], {2: 0, 0: 1}, 4)
    assert found == ["#56B4E9", "#009E73", "#E69F00", "#F0E442"]


def test_shades_go_from_paper_to_colour() -> None:
    found = shaded(np.array([0, 1, 0.25]), "#ff0000")
    np.testing.assert_allclose(found, [[1, 1, 1], [1, 0, 0], [1, 0.5, 0.5]])


@pytest.mark.parametrize("kind", ["confusion", "sankey"])
def test_figures_hold_names_and_numbers(kind: str, tmp_path) -> None:
    names = ["one", "two"], ["x", "y", "z"]
    colors = ["#E69F00", "#56B4E9"], ["#E69F00", "#009E73", "#56B4E9"]
    if kind == "confusion":
        figure = confusion_figure(COUNTS, names, colors[0], ORDER, titles=("truth", "run"))
        wanted = {"30\n94%", "2\n6%", "40\n89%", "5\n11%"}
        axes = figure.axes[0]
        assert [t.get_text() for t in axes.get_xticklabels()] == ["x", "z", "y"]
        assert (axes.get_ylabel(), axes.get_xlabel()) == ("truth", "run")
        # The partners on the diagonal are framed.
        assert [p.get_xy() for p in axes.patches] == [(-0.5, -0.5), (0.5, 0.5)]
    else:
        figure = sankey_figure(COUNTS, names, colors, ORDER, titles=("truth", "run"))
        wanted = {"one  (32)", "two  (45)", "x  (30)", "y  (7)", "z  (40)", "truth", "run"}
        assert len(figure.axes[0].patches) == 4 + 2 + 3
    assert {t.get_text() for t in figure.axes[0].texts} == wanted
    figure.savefig(io.BytesIO(), format="svg")
    for end in ("png", "svg", "pdf"):
        assert save_figure(figure, tmp_path / f"f.{end}").stat().st_size > 1000
