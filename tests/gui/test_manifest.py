"""The manifest, the reader through napari, and what may be imported when."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import napari_stmask
from napari_stmask.gui.commands import DOCKS

MANIFEST = Path(napari_stmask.__file__).parent / "napari.yaml"
DOCK_MODULES = [p.stem for p in (MANIFEST.parent / "gui").glob("*.py") if p.stem != "__init__"]


def test_contributions(manifest):
    parts = manifest.contributions
    assert {c.id for c in parts.commands} >= {w.command for w in parts.widgets}
    for command in parts.commands:
        assert command.title[0].isupper()
        module, name = command.python_name.split(":")
        assert callable(getattr(importlib.import_module(module), name))
    assert {w.display_name for w in parts.widgets} == set(DOCKS)
    assert not parts.keybindings
    assert set(parts.menus) == {
        "napari/layers/annotate",
        "napari/layers/classify",
        "napari/layers/visualize",
        "napari/file/io_utilities",
    }
    prop = parts.configurations["compute"].properties["device"]
    assert prop.default == "auto"


def test_docks_open_from_the_menu(make_napari_viewer, plugin):
    viewer = make_napari_viewer()
    for name in DOCKS:
        viewer.window.add_plugin_dock_widget("napari-stmask", name)
    assert len(viewer.window.dock_widgets) == len(DOCKS)


def test_reader_declines_what_is_not_ours(tmp_path):
    from napari_stmask.gui.reader import get_reader

    (tmp_path / "x.h5ad").write_bytes(b"nothing")
    (tmp_path / "x.tif").write_bytes(b"II*\0")
    for name in ("x.tif", "absent.h5ad", "."):
        assert get_reader(str(tmp_path / name)) is None


OURS = [
    *("a.h5ad", "A.H5AD", "filtered_feature_bc_matrix.h5", "chip.gef", "chip.gem.gz"),
    *("v0.1_offset.gem.gz", "A1.tsv.gz", "A1.stdata.tsv.gz", "MOB1.tsv", "counts.txt"),
    *("spots.parquet", "experiment.xenium", "cell_by_gene.csv", "Lung_exprMat_file.csv"),
    *("Lung_metadata_file.csv.gz", "counts.csv.gz"),
]
OTHERS = [
    *("points.csv", "a.tif", "a.ome.tif", "a.png", "a.zarr.zip", "a.json", "a.npy", "a.svs"),
]


@pytest.mark.parametrize(("name", "claimed"), [*((n, 1) for n in OURS), *((n, 0) for n in OTHERS)])
def test_patterns(npe2pm, plugin, name, claimed):
    found = list(npe2pm.iter_compatible_readers([f"/data/{name}"]))
    assert len(found) == claimed


def test_reader_takes_no_file_of_others(tmp_path):
    import zarr

    from napari_stmask.gui.reader import get_reader

    (tmp_path / "points.csv").write_text("index,axis-0,axis-1\n0,1.0,2.0\n1,2.0,3.0\n")
    (tmp_path / "notes.txt").write_text("some text\nmore text\n")
    (tmp_path / "numbers.tsv").write_text("a\tb\n1\t2\n3\t4\n")
    (tmp_path / "empty.gz").write_bytes(b"")
    root = zarr.open_group(str(tmp_path / "image.zarr"), mode="w", zarr_format=2)
    root.create_array("0", data=np.zeros((3, 8, 8), np.uint8))
    root.attrs["multiscales"] = [{"version": "0.4", "datasets": [{"path": "0"}]}]
    for path in tmp_path.iterdir():
        assert get_reader(str(path)) is None, path.name


REAL = (
    "stereoseq_brain_crop/native/bin_v0.2.gef",
    "stereoseq_brain_crop/native/SS200000135TL_D1_bin1_small.gem.gz",
    "mob_st_images/native",
    "her2st_labelled/native/A1.tsv.gz",
)


@pytest.mark.parametrize("name", REAL)
def test_real_files_through_napari(make_napari_viewer, plugin, data_dir, name):
    from napari_stmask.gui.session import session_of

    viewer = make_napari_viewer()
    made = viewer.open(str(data_dir / name), plugin="napari-stmask")
    assert made[-1].name.endswith("spots")
    assert session_of(viewer).selected.section.n_spots == len(made[-1].data)


def test_open_through_napari_and_adoption(make_napari_viewer, plugin, section, tmp_path):
    from napari_stmask.gui.session import session_of
    from napari_stmask.io.write import write

    path = tmp_path / "tiny section.h5ad"
    write(section, path)
    viewer = make_napari_viewer()
    made = viewer.open(str(path), plugin="napari-stmask")
    assert [x.name for x in made] == ["tiny · image", "tiny · spots"]
    session = session_of(viewer)
    assert session.selected is not None
    assert session.selected.section.n_spots == section.n_spots
    # A second file lands beside the first.
    viewer.open(str(path), plugin="napari-stmask")
    assert len(session.items) == 2
    left, right = (x for x in viewer.layers if x.name.startswith("tiny · image"))
    assert right.extent.world[0, 1] > left.extent.world[1, 1]


def test_sample(make_napari_viewer, plugin):
    from napari_stmask.gui.session import session_of

    viewer = make_napari_viewer()
    viewer.open_sample("napari-stmask", "layers")
    assert len(viewer.layers) == 2
    assert session_of(viewer).selected.section.n_spots > 1000


def test_settings(plugin):
    from napari_stmask.gui.settings import compute

    found = compute()
    assert found == {} or found["device"] in ("auto", "cpu", "cuda", "mps")


def run_python(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_importing_every_gui_module_loads_no_torch():
    imports = "; ".join(f"import napari_stmask.gui.{name}" for name in DOCK_MODULES)
    run_python(f"import sys; {imports}; assert not {{'torch', 'scanpy'}} & set(sys.modules)")


def test_opening_the_docks_loads_no_torch(tmp_path):
    run_python(
        "import os, sys\n"
        f"os.environ['NAPARI_CONFIG'] = {str(tmp_path / 'settings.yaml')!r}\n"
        "import napari\n"
        "from qtpy.QtWidgets import QApplication\n"
        "from napari_stmask.gui.commands import DOCKS, open_dock\n"
        "viewer = napari.Viewer(show=False)\n"
        "pages = [open_dock(viewer, name) for name in DOCKS]\n"
        "QApplication.processEvents()\n"
        "assert not {'torch', 'scanpy'} & set(sys.modules), 'torch or scanpy'\n"
        "viewer.close()\n"
    )


def test_dropped_folder_opens_with_image_and_spots(make_napari_viewer, plugin, tmp_path):
    from napari_stmask.gui.session import session_of
    from napari_stmask.io.sample import sample_section
    from napari_stmask.io.spaceranger_writer import write_spaceranger

    sample = sample_section()
    folder = write_spaceranger(sample, tmp_path / "my run" / "outs")
    viewer = make_napari_viewer()
    viewer.open(str(folder), plugin="napari-stmask")
    section = session_of(viewer).selected.section
    assert section.n_spots == sample.n_spots
    image, spots = viewer.layers
    inside = image.extent.world[0] <= spots.extent.world[0]
    assert inside.all()
    assert (image.extent.world[1] >= spots.extent.world[1]).all()
