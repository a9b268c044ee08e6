"""The exported figure: colours, legend, scale bar, atomic write, no Qt."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from matplotlib.image import imread

from napari_stmask.core.errors import OutputError
from napari_stmask.io.sample import sample_section
from napari_stmask.viz.figure import draw_domains, nice_length, save_domains_figure
from napari_stmask.viz.palette import PALETTE


@pytest.fixture(scope="module")
def section():
    return sample_section()


@pytest.fixture
def codes(section):
    return section.adata.obs["ground_truth"].cat.codes.to_numpy()


def test_figure_has_all_colours_and_names(section, codes, tmp_path):
    names = [f"Layer {i}" for i in range(6)]
    path = save_domains_figure(
        section, codes, names, PALETTE[:6], tmp_path / "domains.png", dpi=80, opacity=1.0
    )
    pixels = np.rint(imread(path)[..., :3] * 255).astype(int)
    for color in PALETTE[:6]:
        rgb = [int(color[i : i + 2], 16) for i in (1, 3, 5)]
        assert (np.abs(pixels - rgb).sum(axis=2) <= 3).sum() > 500, color
    figure = draw_domains(section, codes, names, PALETTE[:6])
    texts = [t.get_text() for t in figure.legends[0].get_texts()]
    assert texts[0].startswith("Layer 0")
    assert [p.name for p in tmp_path.iterdir()] == ["domains.png"]


def test_scale_bar_has_the_stated_length(section, codes):
    figure = draw_domains(section, codes, list("abcdef"), PALETTE[:6])
    axes = figure.axes[0]
    bar = next(p for p in axes.patches if p.get_gid() == "scale-bar")
    left, right = axes.get_xlim()
    assert bar.get_width() * (right - left) * section.um_per_px == pytest.approx(1000.0)
    assert any(t.get_text() == "1 mm" for t in axes.texts)


def test_without_image_and_scale(section, codes):
    from napari_stmask.core.section import Section

    bare = Section(section.adata, platform="unknown")
    figure = draw_domains(bare, np.where(codes == 0, -1, codes), list("abcdef"), PALETTE[:6])
    assert any("units" in t.get_text() for t in figure.axes[0].texts)


def test_errors_leave_nothing(section, codes, tmp_path):
    with pytest.raises(OutputError, match="suffix"):
        save_domains_figure(section, codes, list("abcdef"), PALETTE[:6], tmp_path / "x.doc")
    with pytest.raises(OutputError):
        save_domains_figure(section, codes, list("abcdef"), PALETTE[:6], tmp_path / "no" / "x.png")
    assert not list(tmp_path.iterdir())


def test_nice_length():
    assert [nice_length(x) for x in (1, 4.9, 5, 37, 999, 0.03)] == [1, 2, 5, 20, 500, 0.02]


def test_no_qt():
    code = (
        "import sys, napari_stmask.viz.figure, napari_stmask.viz.raster;"
        "assert not {'qtpy', 'PyQt6', 'napari', 'torch', 'matplotlib.pyplot'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
