"""Everything that leaves the window: File > Save of our layers, and the dock's export."""

from __future__ import annotations

import json

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog, QMessageBox

from napari_stmask.core.errors import DataError, OutputError, ParameterError
from napari_stmask.gui import formats
from napari_stmask.gui.commands import open_dock
from napari_stmask.gui.export import export
from napari_stmask.gui.legend_model import NAME
from napari_stmask.gui.session import session_of
from napari_stmask.io.read import read
from napari_stmask.io.write import WRITERS


@pytest.fixture
def viewer(make_napari_viewer, plugin, no_threads_left):
    return make_napari_viewer()


@pytest.fixture
def session(viewer, section, make_result):
    """A section with an edited result."""
    session = session_of(viewer)
    item = session.add(section)
    session.add_result(item.id, make_result(section), "SpaMask")
    session.edit(session.selected_domains.state.renamed(0, "white matter"))
    session.edit(session.selected_domains.state.merged([1, 2]))
    return session


@pytest.fixture
def legend(session, viewer):
    return open_dock(viewer, "Domains")


def ours(viewer, *roles):
    return {x for x in viewer.layers if x.metadata["stmask"]["role"] in roles}


def click(qtbot, button):
    assert button.isEnabled(), button.toolTip()
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def names_in(path):
    return {f["properties"]["classification"]["name"] for f in _features(path)}


def _features(path):
    found = json.loads(path.read_text(encoding="utf-8"))
    return found["features"] if isinstance(found, dict) else found


def export_and_wait(qtbot, legend, path):
    legend.save.export_to(str(path))
    qtbot.waitUntil(lambda: not legend.save.busy, timeout=60_000)


@pytest.mark.parametrize("name", ["a.h5ad", "a.anndata.zarr"])
def test_all_layers_save_as_their_section(viewer, session, section, tmp_path, name):
    saved = viewer.layers.save(str(tmp_path / name))
    assert saved == [str(tmp_path / name)]
    again = read(tmp_path / name)
    assert again.n_spots == section.n_spots
    assert list(again.adata.obs["spamask"].cat.categories) == ["white matter", "2"]
    assert again.image is not None


def test_selected_layers_save_by_suffix(viewer, session, section, tmp_path):
    viewer.layers.selection = ours(viewer, "spots", "image")
    (saved,) = viewer.layers.save(str(tmp_path / "t.csv"), selected=True)
    assert "white matter" in (tmp_path / "t.csv").read_text()
    assert saved.endswith("t.csv")
    viewer.layers.selection = ours(viewer, "domains")
    viewer.layers.save(str(tmp_path / "d.geojson"), selected=True)
    assert names_in(tmp_path / "d.geojson") == {"white matter", "2"}
    viewer.layers.save(str(tmp_path / "d.loupe.csv"), selected=True)
    assert (tmp_path / "d.loupe.csv").read_text().startswith("Barcode,spamask")


def test_the_shown_result_is_what_is_saved(viewer, session, section, make_result, tmp_path):
    item = session.selected
    session.add_result(item.id, make_result(section, "other", k=4), "SpaMask")
    first = [x for x in ours(viewer, "domains") if x.metadata["stmask"]["key"] == "spamask"]
    viewer.layers.selection = set(first)
    viewer.layers.save(str(tmp_path / "d.geojson"), selected=True)
    assert names_in(tmp_path / "d.geojson") == {"white matter", "2"}
    viewer.layers.selection = ours(viewer, "domains")
    with pytest.raises(ParameterError, match="2 results"):
        viewer.layers.save(str(tmp_path / "e.geojson"), selected=True)


def test_a_name_without_suffix_gets_the_usual_one(viewer, session, tmp_path):
    from npe2 import PluginManager

    writers = PluginManager.instance().iter_compatible_writers(["labels"])
    for writer in [w for w in writers if w.command.startswith("napari-stmask")]:
        before = set(tmp_path.iterdir())
        viewer.layers.selection = ours(viewer, "domains")
        viewer.layers.save(
            str(tmp_path / f"my.{writer.display_name}"), selected=True, _writer=writer
        )
        (made,) = set(tmp_path.iterdir()) - before
        assert made.name.endswith(".geojson" if writer.display_name == "domains" else ".h5ad")


def test_layers_of_others_are_one_clear_error(viewer, session, tmp_path):
    viewer.add_points(np.zeros((3, 2)), name="mine")
    with pytest.raises(DataError, match="'mine' belongs to no section") as caught:
        viewer.layers.save(str(tmp_path / "a.h5ad"))
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_two_sections_are_not_one_file(viewer, session, new_section, tmp_path):
    session.add(new_section(seed=1, name="second"))
    with pytest.raises(ParameterError, match="2 sections"):
        viewer.layers.save(str(tmp_path / "a.h5ad"))


def test_formats_of_napari_stay_napari_s(viewer, session, builtins, tmp_path):
    viewer.layers.clear()
    viewer.add_points(np.ones((3, 2)), name="mine")
    viewer.layers.save(str(tmp_path / "p.csv"))
    assert (tmp_path / "p.csv").read_text().startswith("index,axis-0")
    # And are opened without being asked for a plugin.
    (back,) = viewer.open(str(tmp_path / "p.csv"))
    np.testing.assert_array_equal(back.data, np.ones((3, 2)))
    for name in ("i.tif", "i.ome.tif", "i.png"):
        viewer.layers.clear()
        viewer.add_image(np.zeros((8, 8), np.uint8))
        assert viewer.layers.save(str(tmp_path / name)), name
        assert viewer.open(str(tmp_path / name)), name


def test_every_format_is_offered_by_its_title():
    offered = formats.export_filters(domains=True)
    for end, writer in WRITERS.items():
        if end != ".ome.tiff":
            title = writer.title[0].upper() + writer.title[1:]
            assert f"{title} (*{end})" in offered.split(";;")
    for end in (".png", ".pdf", ".svg", ".tif"):
        assert f"(*{end})" in offered
    without = formats.export_filters(domains=False)
    assert "geojson" not in without
    assert "png" not in without
    assert "(*.h5ad)" in without


@pytest.mark.parametrize(
    ("typed", "end", "target"),
    [
        ("a", ".ome.tif", "a.ome.tif"),
        ("a.ome.tif", ".ome.tif", "a.ome.tif"),
        ("a.tif", ".ome.tif", "a.ome.tif"),
        ("a.ome.tif", ".tif", "a.tif"),
        ("a", ".loupe.csv", "a.loupe.csv"),
        ("a.csv", ".loupe.csv", "a.loupe.csv"),
        ("a.loupe.csv", ".csv", "a.csv"),
        ("a.zarr", ".anndata.zarr", "a.anndata.zarr"),
        ("a.h5ad", ".anndata.zarr", "a.anndata.zarr"),
        ("my.section.v2", ".geojson", "my.section.v2.geojson"),
        (".csv", ".csv", ".csv"),
    ],
)
def test_the_chosen_format_names_the_file(typed, end, target):
    assert formats.target_of(f"/x/{typed}", f"Something (*{end})").name == target


def test_every_export_through_the_dialog(viewer, legend, qtbot, tmp_path, monkeypatch):
    pytest.importorskip("spatialdata")
    for kind in formats.export_filters(domains=True).split(";;"):
        end = kind[kind.rfind("*") + 1 : -1]
        typed = str(tmp_path / ("out" + end.replace(".", "_")))
        monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_, t=typed, k=kind: (t, k))
        click(qtbot, legend.save)
        qtbot.waitUntil(lambda: not legend.save.busy, timeout=60_000)
        assert legend.strip.isHidden(), legend.strip.text.text()
        assert legend.state.text() == f"Written: {typed}{end}"
        assert (tmp_path / (typed + end)).exists()
    import tifffile

    with tifffile.TiffFile(tmp_path / "out_ome_tif.ome.tif") as labels:
        assert labels.is_ome
        assert labels.asarray().max() == 2
    with tifffile.TiffFile(tmp_path / "out_tif.tif") as figure:
        assert figure.pages[0].samplesperpixel >= 3


def test_the_export_is_of_the_shown_result(
    viewer, legend, session, section, make_result, qtbot, tmp_path
):
    item = session.selected
    session.add_result(item.id, make_result(section, "other", k=4), "SpaMask")
    session.select(item.id, "spamask")
    export_and_wait(qtbot, legend, tmp_path / "d.geojson")
    assert names_in(tmp_path / "d.geojson") == {"white matter", "2"}
    session.select(item.id, "other")
    export_and_wait(qtbot, legend, tmp_path / "e.geojson")
    assert len(names_in(tmp_path / "e.geojson")) == 4


@pytest.mark.parametrize("name", ["slide.ome.tif", "slide.png"])
def test_the_slide_is_not_exported_over(legend, session, section, qtbot, tmp_path, name):
    slide = tmp_path / name
    slide.write_bytes(b"pixels")
    section.reading["image"] = str(slide)
    export_and_wait(qtbot, legend, slide)
    assert "so it is not replaced" in legend.strip.text.text()
    assert slide.read_bytes() == b"pixels"


def test_a_long_name_is_told_in_full(legend, session):
    name = "white matter " * 9
    session.edit(session.selected_domains.state.renamed(0, name))
    tip = legend.model.index(0, NAME).data(Qt.ItemDataRole.ToolTipRole)
    assert tip.startswith(name.strip())


def test_a_missing_extra_tells_the_command(legend, qtbot, tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "spatialdata", None)
    export_and_wait(qtbot, legend, tmp_path / "a.zarr")
    assert "pip install 'napari-stmask[spatialdata]'" in legend.strip.text.text()
    assert not legend.state.text()
    assert not list(tmp_path.iterdir())


def test_folders_are_asked_about(legend, qtbot, tmp_path, monkeypatch):
    target = tmp_path / "a.anndata.zarr"
    kind = "AnnData (*.anndata.zarr)"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(target), kind))
    asked = []
    monkeypatch.setattr(
        QMessageBox, "question", lambda *a: asked.append(a) or QMessageBox.StandardButton.No
    )
    click(qtbot, legend.save)
    qtbot.waitUntil(lambda: not legend.save.busy, timeout=60_000)
    assert target.is_dir()
    assert not asked
    click(qtbot, legend.save)
    assert len(asked) == 1
    assert not legend.save.busy


def test_a_section_without_domains_can_be_written(viewer, section, qtbot, tmp_path):
    session_of(viewer).add(section)
    legend = open_dock(viewer, "Domains")
    export_and_wait(qtbot, legend, tmp_path / "a.csv")
    assert (tmp_path / "a.csv").exists()
    for name in ("a.png", "a.geojson"):
        export_and_wait(qtbot, legend, tmp_path / name)
        assert "domains" in legend.strip.text.text()
    with pytest.raises(OutputError, match="suffix"):
        export(section, None, tmp_path / "a.odd")
