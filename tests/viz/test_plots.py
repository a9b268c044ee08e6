"""Figures of analyses."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from napari_stmask.core.errors import DataError, OutputError
from napari_stmask.viz.plots import (
    composition_figure,
    contrast_figure,
    graph_figure,
    marker_figure,
    placement_figure,
    quality_figure,
    save_figure,
    violin_figure,
)

COLORS = ["#E69F00", "#56B4E9", "#009E73"]


def test_violins_have_the_colours_and_medians() -> None:
    values = {"a": np.arange(100.0), "b": np.full(5, 3.0), "c": np.array([7.0])}
    figure = violin_figure(values, COLORS, label="score")
    (axes,) = figure.axes
    assert [t.get_text() for t in axes.get_xticklabels()] == ["a", "b", "c"]
    assert len(axes.collections) == 1 + 2 * 3  # one body: the others have no spread
    assert axes.get_ylabel() == "score"


def test_graph_leaves_out_weak_links() -> None:
    links = np.array([[0, 0.8, 0.01], [0.8, 0, 0.4], [0.01, 0.4, 0]])
    figure = graph_figure(
        links, np.array([[0.0, 0], [1, 0], [2, 0]]), list("abc"), COLORS, [1, 2, 4]
    )
    (axes,) = figure.axes
    assert sorted(line.get_linewidth() for line in axes.lines) == pytest.approx([2.4, 4.8])
    assert [t.get_text() for t in axes.texts] == ["a", "b", "c"]
    sizes = axes.collections[0].get_sizes()
    assert (np.diff(sizes) > 0).all()


def test_bars_fill_the_width() -> None:
    shares = np.array([[0.5, 0.25, 0.25], [0, 1, 0], [np.nan] * 3])
    figure = composition_figure(shares, list("xyz"), list("abc"), COLORS)
    (axes,) = figure.axes
    ends = [p.get_x() + p.get_width() for p in axes.patches]
    assert max(ends[i] for i in (0, 3, 6)) == 1
    assert [t.get_text() for t in axes.get_legend().get_texts()] == ["a", "b", "c"]


def test_contrasts_are_points_of_the_domains() -> None:
    table = pd.DataFrame(
        {"domain": list("ccaa"), "raw": [0.5, 0.6, 0.7, 0.8], "enhanced": [0.9, 0.8, 0.7, 0.6]}
    )
    figure = contrast_figure(table, COLORS[:2])
    (axes,) = figure.axes
    first, second = axes.collections
    assert first.get_offsets().tolist() == [[0.5, 0.9], [0.6, 0.8]]
    assert second.get_offsets().tolist() == [[0.7, 0.7], [0.8, 0.6]]
    assert [t.get_text() for t in axes.get_legend().get_texts()] == ["c", "a"]
    assert axes.get_xlim() == axes.get_ylim() == (0, 1)


def test_marker_dots() -> None:
    table = pd.DataFrame(
        {
            "domain": list("aaab"),
            "gene": ["G1", "G2", "G3", "G1"],
            "share_in": [1, 0.5, 0.2, 0.9],
            "fold": [2.0, 1, 1, 3],
        }
    )
    figure = marker_figure(table, fold="fold", n_genes=2)
    dots = figure.axes[0].collections[0]
    assert dots.get_offsets().tolist() == [[0, 0], [0, 1], [1, 0]]
    assert dots.get_array().tolist() == [2, 1, 3]
    with pytest.raises(DataError, match="no gene to draw"):
        marker_figure(table[:0], fold="fold")


def test_files(tmp_path) -> None:
    figure = composition_figure(np.eye(3), list("xyz"), list("abc"), COLORS)
    for name in ("f.png", "f.pdf", "f.svg", "f.JPG"):
        assert save_figure(figure, tmp_path / name).stat().st_size > 1000
    pixels = np.asarray(Image.open(tmp_path / "f.png").convert("RGB")).reshape(-1, 3)
    found = {"#{:02X}{:02X}{:02X}".format(*p) for p in np.unique(pixels, axis=0)}
    assert set(COLORS) <= found
    with pytest.raises(OutputError, match=r"suffix '\.gif'"):
        save_figure(figure, tmp_path / "f.gif")
    with pytest.raises(OutputError, match="does not exist"):
        save_figure(figure, tmp_path / "none" / "f.png")


def test_quality_bars_leave_out_what_is_unknown() -> None:
    table = pd.DataFrame({"embedding": ["joint", "image"], "a": [0.5, None], "b_c": [2.0, 1.0]})
    figure = quality_figure(table, {"a": "A", "b_c": "B\n(lower is better)"})
    first, second = figure.axes
    assert [bar.get_height() for bar in first.patches] == [0.5, 0]
    assert second.get_title() == "B\n(lower is better)"
    assert [t.get_text() for t in second.get_xticklabels()] == ["joint", "image"]


def test_placement_shows_every_section_with_y_down() -> None:
    coords = np.array([[0.0, 0], [1, 5], [9, 0]])
    figure = placement_figure(coords, np.array([0, 0, 1]), ["A", "B"], COLORS[:2], unit="µm")
    (axes,) = figure.axes
    assert [len(dots.get_offsets()) for dots in axes.collections] == [2, 1]
    assert axes.yaxis_inverted()
    assert axes.get_xlabel() == "x (µm)"
