"""Layouts side by side as a figure."""

from __future__ import annotations

import numpy as np
from matplotlib.colors import to_hex

from napari_stmask.viz.layout_figure import layouts_figure, section_colors
from napari_stmask.viz.palette import PALETTE, UNASSIGNED_COLOUR


def test_one_panel_a_layout_and_kind():
    rng = np.random.default_rng(0)
    before, after = rng.normal(size=(2, 30, 2))
    after[4] = np.nan
    codes = np.repeat([0, 1], 15)
    domains = np.where(np.arange(30) == 7, -1, np.arange(30) % 3)
    figure = layouts_figure(
        {"Before": before, "After": after},
        {
            "section": (codes, ["a", "b"], section_colors(2)),
            "domain": (domains, ["1", "2", "3"], PALETTE[:3]),
        },
    )
    panels = figure.axes
    titles = [axes.get_title() for axes in panels]
    assert titles == ["Before, by section", "Before, by domain", "After, by section",
                      "After, by domain"]  # fmt: skip
    for axes, points in zip(panels, (before, before, after, after), strict=True):
        drawn = axes.collections[0]
        kept = np.isfinite(points).all(axis=1)
        assert len(drawn.get_offsets()) == kept.sum()
    # Every spot has the colour of its own domain.
    drawn = panels[1].collections[0]
    colors = [*PALETTE[:3], UNASSIGNED_COLOUR]
    for place, face in zip(drawn.get_offsets(), drawn.get_facecolors(), strict=True):
        row = np.flatnonzero(np.isclose(before, place).all(axis=1))[0]
        assert to_hex(face).upper() == colors[domains[row]].upper()
    assert {text.get_text() for text in figure.legends[0].get_texts()} == {"a", "b"}


def test_colours_of_sections_are_not_those_of_domains():
    assert len(set(section_colors(8))) == 8
    assert not {c.upper() for c in section_colors(6)} & set(PALETTE[:8])
    assert len(section_colors(100)) == 100
