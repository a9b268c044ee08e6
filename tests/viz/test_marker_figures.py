"""Places of labels, heights of p-values, and what the figures of markers hold."""

import io

import numpy as np
import pandas as pd
import pytest

from napari_stmask.core.errors import DataError
from napari_stmask.viz.composition_figures import shares_figure
from napari_stmask.viz.label_places import place_labels
from napari_stmask.viz.marker_figures import CAP, dot_figure, heights, volcano_figure


def test_labels_cover_neither_one_another_nor_the_border() -> None:
    rng = np.random.default_rng(0)
    points = rng.random((60, 2)) * (300, 200)
    sizes = np.column_stack([rng.uniform(20, 50, 60), np.full(60, 10.0)])
    found = place_labels(points, sizes, (300, 200))
    assert found[0] is not None
    assert any(place is None for place in found)  # there is no room for all
    boxes = [(*p, p[0] + w, p[1] + h) for p, (w, h) in zip(found, sizes, strict=True) if p]
    for i, a in enumerate(boxes):
        assert min(a[:2]) >= 0
        assert a[2] <= 300
        assert a[3] <= 200
        for b in boxes[:i]:
            assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]


def test_a_label_goes_to_the_left_where_the_right_is_full() -> None:
    (only,) = place_labels(np.array([[95.0, 50.0]]), np.array([[30.0, 10.0]]), (100, 100))
    assert only == (95 - 4 - 30, 45)


def test_heights() -> None:
    y, capped = heights(np.array([1.0, 0.01, 1e-299, 1e-305, 0.0, np.nan]))
    np.testing.assert_allclose(y[:5], [0, 2, 299, CAP, CAP])
    assert np.isnan(y[5])
    assert capped.tolist() == [False, False, False, True, True, False]


def _table(p):
    fold = np.linspace(-3, 3, len(p))
    genes = [f"G{i}" for i in range(len(p))]
    return pd.DataFrame({"gene": genes, "log2_fold_change": fold, "p_adjusted": p})


def _written(figure) -> str:
    out = io.StringIO()
    import matplotlib as mpl

    with mpl.rc_context({"svg.fonttype": "none"}):
        figure.savefig(out, format="svg")
    return out.getvalue()


def test_volcano_names_what_passes_and_says_what_is_capped() -> None:
    table = _table(np.array([0.0, 1e-9, 0.9, 0.9, 0.9, 1e-4, 1e-30]))
    passes = np.array([True, True, False, False, False, False, True])
    figure = volcano_figure(table, passes, domain="WM", max_p=0.05, min_fold=1.0)
    text = _written(figure)
    for part in ("Domain WM against all other spots", ">G0<", ">G6<", "1 genes", "higher", "(4)"):
        assert part in text
    assert ">G3<" not in text
    points = np.concatenate([c.get_offsets() for c in figure.axes[0].collections])
    assert len(points) == 7
    assert points[:, 1].max() == CAP


def test_volcano_needs_p_values() -> None:
    with pytest.raises(DataError, match="no gene has a p-value"):
        volcano_figure(_table(np.full(3, np.nan)), np.ones(3, bool), domain="1")


def test_dots_hold_both_tables() -> None:
    shares = pd.DataFrame([[0.1, 0.9], [0.5, 0.0]], index=["a", "b"], columns=["G1", "G2"])
    means = pd.DataFrame([[1.0, 2.0], [3.0, 0.0]], index=["a", "b"], columns=["G1", "G2"])
    figure = dot_figure(shares, means, groups={"a": ["G2"], "b": ["G1"]})
    dots = figure.axes[0].collections[0]
    np.testing.assert_allclose(dots.get_sizes(), 150 * shares.to_numpy().ravel())
    np.testing.assert_allclose(dots.get_array(), means.to_numpy().ravel())
    assert [t.get_text() for t in figure.axes[0].get_xticklabels()] == ["G1", "G2"]
    with pytest.raises(DataError, match="no gene to draw"):
        dot_figure(pd.DataFrame(), pd.DataFrame())


@pytest.mark.parametrize("by_category", [False, True])
def test_shares_of_both_directions(by_category) -> None:
    shares = np.array([[0.25, 0.75], [1.0, 0.0]])
    figure = shares_figure(
        shares, ["a", "b"], ["x", "y"], ["#112233", "#445566"], column="kind",
        by_category=by_category,
    )  # fmt: skip
    axes = figure.axes[0]
    bars = np.array([bar.get_width() for bar in axes.patches]).reshape(2, 2)
    np.testing.assert_allclose(bars, shares if by_category else shares.T)
    assert axes.get_legend().get_title().get_text() == ("Domain" if by_category else "kind")
    assert axes.get_ylabel() == ("kind" if by_category else "Domain")
