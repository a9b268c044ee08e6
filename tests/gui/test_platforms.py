"""The dock Open tissue on files of many platforms: options, reading again, tables to explain."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QFileDialog, QMessageBox

from napari_stmask.core.errors import ParameterError
from napari_stmask.core.progress import Progress
from napari_stmask.gui import layers, open_tissue
from napari_stmask.gui.columns import ColumnsDialog, problem_with
from napari_stmask.gui.commands import open_dock
from napari_stmask.gui.opening import look_at, source_of, try_to_read
from napari_stmask.gui.reread import BESIDE, REPLACE, put_in_place
from napari_stmask.gui.session import session_of


@pytest.fixture
def viewer(make_napari_viewer, no_threads_left):
    return make_napari_viewer()


@pytest.fixture
def tissue(viewer):
    return open_dock(viewer, "Open tissue")


def click(qtbot, button):
    assert button.isEnabled(), button.toolTip()
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def wait_read(qtbot, tissue):
    qtbot.waitUntil(lambda: not tissue._reader.busy, timeout=60_000)


def open_and_wait(qtbot, tissue, path):
    tissue.open_path(str(path))
    wait_read(qtbot, tissue)


def set_path(field, path):
    field.line.setText(str(path))


@pytest.fixture
def gem(tmp_path):
    """A small Stereo-seq table with records on 60 x 60 DNB."""
    rng = np.random.default_rng(0)
    rows = ["geneID\tx\ty\tMIDCount"]
    for x, y in np.ndindex(60, 60):
        rows.append(f"g{rng.integers(5)}\t{x}\t{y}\t{rng.integers(1, 4)}")
    path = tmp_path / "chip.gem"
    path.write_text("\n".join(rows) + "\n")
    return path


@pytest.fixture
def odd(tmp_path):
    """A table whose columns do not tell by their names where the spots are."""
    rng = np.random.default_rng(0)
    rows = [["tag", "px", "py", *(f"G{i}" for i in range(6))]]
    for i in range(64):
        rows.append([f"t{i}", 10 * (i % 8), 10 * (i // 8), *rng.poisson(3, 6)])
    path = tmp_path / "odd.csv"
    path.write_text("\n".join(",".join(map(str, row)) for row in rows) + "\n")
    return path


def test_options_follow_the_format(viewer, tissue, qtbot, gem):
    options = tissue.options
    assert not options.fold.isExpanded()
    assert all(field.isEnabledTo(options) for field in options.fields.values())
    assert options.button.isHidden()
    open_and_wait(qtbot, tissue, gem)
    enabled = {name for name, field in options.fields.items() if field.isEnabledTo(options)}
    assert enabled == {"bin", "filtered", "mask"}
    assert "Means nothing for a Stereo-seq GEM" in options.fields["symbols"].toolTip()
    assert "chip.gem" in options.about.text()
    assert not options.button.isEnabled()
    assert "Change an option" in options.button.toolTip()


def test_a_chosen_bin_is_for_the_next_file(viewer, tissue, qtbot, gem):
    tissue.options.bin.setEditText("20")
    open_and_wait(qtbot, tissue, gem)
    section = session_of(viewer).selected.section
    assert section.n_spots == 9
    assert section.reading == {"bin": 20}
    assert tissue.options.bin.currentText() == "20"
    # It was for that file.
    assert tissue.options.touched() == {}


def test_options_that_mean_nothing_are_left_out_and_named(viewer, tissue, qtbot, gem, tmp_path):
    set_path(tissue.options.paths["symbols"], tmp_path / "names.tsv")
    open_and_wait(qtbot, tissue, gem)
    assert session_of(viewer).selected.section.reading == {}
    assert "Not used: symbols" in tissue.strip.text.text()


@pytest.mark.parametrize("text", ["0", "201", "-5", "many"])
def test_a_bin_that_is_none_opens_nothing(viewer, tissue, qtbot, gem, text):
    tissue.options.bin.setEditText(text)
    assert "whole number" in tissue.options.note.text()
    open_and_wait(qtbot, tissue, gem)
    assert not session_of(viewer).items
    assert "whole number" in tissue.strip.text.text()


def test_read_again_takes_the_place(viewer, tissue, qtbot, gem, section):
    session = session_of(viewer)
    session.add(section)
    open_and_wait(qtbot, tissue, gem)
    item = session.selected
    old, offset, count = item.section, item.offset, len(viewer.layers)
    find = open_dock(viewer, "Find domains")
    added, order = [], list(session.items)
    session.section_added.connect(added.append)
    tissue.options.bin.setEditText("10")
    click(qtbot, tissue.options.button)
    wait_read(qtbot, tissue)
    # It never left, not even with its last layer.
    assert not added
    assert list(session.items) == order
    assert session.selected is item
    assert item.section is not old
    assert item.section.n_spots == 36
    assert item.offset == offset
    assert len(viewer.layers) == count
    spots = layers.find_layer(viewer, item.id, "spots")
    assert len(spots.data) == 36
    assert spots.name == "chip · spots"
    assert "36 spots" in tissue.rows.itemAt(2, tissue.rows.ItemRole.FieldRole).widget().text()
    find.python.click()
    assert "bin=10" in QApplication.clipboard().text()


@pytest.mark.parametrize("answer", [REPLACE, BESIDE, None])
def test_results_are_not_lost_unasked(viewer, tissue, qtbot, gem, make_result, monkeypatch, answer):
    open_and_wait(qtbot, tissue, gem)
    session = session_of(viewer)
    item = session.selected
    old = item.section
    session.add_result(item.id, make_result(old), "SpaMask")
    legend = open_dock(viewer, "Domains")
    monkeypatch.setattr(open_tissue, "ask_about_results", lambda *_: answer)
    tissue.options.bin.setEditText("10")
    click(qtbot, tissue.options.button)
    wait_read(qtbot, tissue)
    if answer == REPLACE:
        assert item.section is not old
        assert not item.domains
        assert legend.model.rowCount() == 0
        assert layers.find_layer(viewer, item.id, "domains") is None
        return
    assert item.section is old
    assert list(item.domains) == ["spamask"]
    assert len(session.items) == (2 if answer == BESIDE else 1)


@pytest.mark.parametrize(
    ("label", "kept"), [("Replace", REPLACE), ("Open beside", BESIDE), ("Cancel", None)]
)
def test_the_question_names_what_would_be_lost(
    viewer, tissue, qtbot, section, make_result, monkeypatch, label, kept
):
    session = session_of(viewer)
    item = session.add(section)
    session.add_result(item.id, make_result(section), "SpaMask")

    def answer(box):
        assert "spamask" in box.text()
        buttons = {button.text().replace("&", ""): button for button in box.buttons()}
        box.show()
        buttons[label].click()
        return 0

    monkeypatch.setattr(QMessageBox, "exec", answer)
    assert open_tissue.ask_about_results(tissue, item) == kept


def test_a_run_keeps_its_section(viewer, tissue, qtbot, gem, make_result, monkeypatch):
    from napari_stmask import pipeline

    def steps(_, section, *, key_added, **options):
        for _ in range(200):
            time.sleep(0.01)
            yield Progress(1, 10, "training", {"loss": 1.0})
        return make_result(section, key_added)

    tissue.options.bin.setEditText("10")
    open_and_wait(qtbot, tissue, gem)
    session = session_of(viewer)
    item = session.selected
    old = item.section
    monkeypatch.setattr(pipeline, "iter_run", steps)
    open_dock(viewer, "Find domains").start()
    assert session.is_running(item.id)
    tissue.options.bin.setEditText("5")
    click(qtbot, tissue.options.button)
    wait_read(qtbot, tissue)
    assert item.section is old
    assert [len(x.section.coords) for x in session.items.values()] == [36, 144]
    session.runner.cancel()
    qtbot.waitUntil(lambda: session.runner.current is None, timeout=20_000)


def test_an_image_placed_by_hand_stays(viewer, tissue, qtbot, gem):
    open_and_wait(qtbot, tissue, gem)
    session = session_of(viewer)
    item = session.selected
    layer = viewer.add_image(np.zeros((40, 40, 3), np.uint8), rgb=True, scale=(1.5, 1.5))
    viewer.layers.selection = {layer}
    click(qtbot, tissue.layers)
    image = item.section.image
    assert image is not None
    tissue.options.bin.setEditText("10")
    click(qtbot, tissue.options.button)
    wait_read(qtbot, tissue)
    assert item.section.n_spots == 36
    assert item.section.image is image
    assert item.by_hand
    assert layers.find_layer(viewer, item.id, "image") is not None


def test_a_section_from_elsewhere_can_be_read_again(viewer, tissue, qtbot, gem):
    from napari_stmask.io.read import read

    session = session_of(viewer)
    item = session.add(read(gem))
    assert "chip.gem" in tissue.options.about.text()
    tissue.options.bin.setEditText("30")
    click(qtbot, tissue.options.button)
    wait_read(qtbot, tissue)
    assert item.section.n_spots == 4
    assert item.section.reading == {"bin": 30}


def test_what_belongs_to_one_file_is_not_taken_to_the_next(viewer, tissue, qtbot, odd, gem):
    wishes = {"columns": {"id": "tag", "x": "px", "y": "py"}}
    tissue._read(str(odd), wishes)
    wait_read(qtbot, tissue)
    assert session_of(viewer).selected.section.reading == wishes
    tissue.options.filtered.setChecked(False)
    assert tissue.options.touched() == {"filtered": False}
    open_and_wait(qtbot, tissue, gem)
    assert session_of(viewer).selected.section.reading == {"filtered": False}


def test_the_example_has_no_file_to_read_again(viewer, tissue, qtbot, section):
    session_of(viewer).add(section)
    assert tissue.options.button.isHidden()
    assert "next file" in tissue.options.about.text()


def test_of_several_sections_the_one_of_that_name_is_replaced(viewer, new_section, make_result):
    session = session_of(viewer)
    a, b = session.add(new_section(name="a")), session.add(new_section(seed=1, name="b"))
    read = [(new_section(n=8, name=name), None) for name in ("a", "b")]
    put_in_place(session, read, b.id, frozenset())
    assert b.section is read[1][0]
    assert a.section.n_spots == 144
    assert len(session.items) == 2
    # A result that came meanwhile keeps its section.
    session.add_result(a.id, make_result(a.section), "SpaMask")
    put_in_place(session, [(new_section(n=8, name="a"), None)], a.id, frozenset())
    assert a.section.n_spots == 144
    assert len(session.items) == 3
    # So does one that has left the viewer.
    put_in_place(session, [(new_section(n=8, name="a"), None)], "gone", frozenset())
    assert len(session.items) == 4


def test_a_section_with_a_run_is_never_replaced(viewer, section, new_section, monkeypatch):
    session = session_of(viewer)
    item = session.add(section)
    monkeypatch.setattr(session, "is_running", lambda _: True)
    with pytest.raises(ParameterError, match="run"):
        session.replace(item.id, new_section(n=8))
    assert item.section is section


def test_an_image_from_a_file_comes_again(viewer, tissue, qtbot, gem, tmp_path):
    from PIL import Image

    path = tmp_path / "stain.png"
    Image.fromarray(np.full((60, 60, 3), 200, np.uint8)).save(path)
    open_and_wait(qtbot, tissue, gem)
    item = session_of(viewer).selected
    tissue.images.add(str(path))
    qtbot.waitUntil(lambda: not tissue.images.working, timeout=10_000)
    tissue.options.bin.setEditText("10")
    click(qtbot, tissue.options.button)
    wait_read(qtbot, tissue)
    assert item.section.reading == {"bin": 10, "image": str(path)}
    assert item.section.image.source == str(path)
    assert tissue.alignment.isHidden()
    # The image is no option of the form, so nothing is left to be read again.
    assert not tissue.options.button.isEnabled()
    assert tissue.options.touched() == {}


def test_bins_are_drawn_as_squares(viewer, tissue, qtbot, gem):
    tissue.options.bin.setEditText("10")
    open_and_wait(qtbot, tissue, gem)
    spots = layers.find_layer(viewer, session_of(viewer).selected.id, "spots")
    assert {str(symbol) for symbol in spots.symbol} == {"square"}
    assert spots.size[0] == 10


def test_what_failed_can_be_tried_again(viewer, tissue, qtbot, gem):
    tissue.options.bin.setCurrentText("Cells")
    open_and_wait(qtbot, tissue, gem)
    assert not session_of(viewer).items
    assert "cell" in tissue.strip.text.text()
    assert "chip.gem" in tissue.options.about.text()
    assert tissue.options.bin.currentText() == "Cells"
    tissue.options.bin.setCurrentText("Usual")
    click(qtbot, tissue.options.button)
    wait_read(qtbot, tissue)
    assert session_of(viewer).selected.section.n_spots == 4
    assert tissue.strip.isHidden()


def test_an_unclear_table_asks_for_its_columns(viewer, tissue, qtbot, odd):
    open_and_wait(qtbot, tissue, odd)
    dialog = tissue._dialog
    assert tissue.strip.isHidden()
    assert dialog.isVisible()
    assert dialog.preview.columnCount() == 9
    assert dialog.preview.item(1, 1).text() == "10"
    assert not dialog.ok.isEnabled()
    assert dialog.ok.toolTip() == "Choose a column for x and y."
    # Text is no place.
    assert dialog.combos["x"].findText("tag") < 0
    dialog.combos["id"].setCurrentText("tag")
    dialog.combos["x"].setCurrentText("px")
    dialog.combos["y"].setCurrentText("px")
    assert "one thing only" in dialog.ok.toolTip()
    dialog.combos["y"].setCurrentText("py")
    assert "6 columns are taken for genes" in dialog.reason.text()
    click(qtbot, dialog.ok)
    wait_read(qtbot, tissue)
    section = session_of(viewer).selected.section
    assert (section.n_spots, section.n_genes) == (64, 6)
    assert section.adata.obs_names[3] == "t3"
    assert section.reading == {"columns": {"id": "tag", "x": "px", "y": "py"}}
    # Opened by hand later, the dialog shows what was said.
    click(qtbot, tissue.options.columns)
    assert tissue._dialog.roles == {"id": "tag", "x": "px", "y": "py"}
    tissue._dialog.combos["x"].setCurrentText("py")
    tissue._dialog.combos["y"].setCurrentText("px")
    click(qtbot, tissue._dialog.ok)
    wait_read(qtbot, tissue)
    assert len(session_of(viewer).items) == 1
    again = session_of(viewer).selected.section
    np.testing.assert_array_equal(again.coords[3], section.coords[3][::-1])


def test_a_dialog_that_is_cancelled_says_what_was_wrong(viewer, tissue, qtbot, odd):
    open_and_wait(qtbot, tissue, odd)
    tissue._dialog.reject()
    assert "odd.csv" in tissue.strip.text.text()
    assert not session_of(viewer).items


def test_a_matrix_and_its_spots(viewer, tissue, qtbot, odd, tmp_path):
    counts, spots = tmp_path / "counts.csv", tmp_path / "where.csv"
    rows = [line.split(",") for line in odd.read_text().splitlines()]
    counts.write_text("\n".join(",".join([r[0], *r[3:]]) for r in rows) + "\n")
    spots.write_text("\n".join(",".join(r[:3]) for r in rows) + "\n")
    open_and_wait(qtbot, tissue, counts)
    dialog = tissue._dialog
    assert not dialog.ok.isEnabled()
    set_path(dialog.spots, tmp_path / "absent.csv")
    assert "absent.csv" in dialog.strip.text.text()
    assert "cannot be read" in dialog.ok.toolTip()
    set_path(dialog.spots, spots)
    assert dialog.strip.isHidden()
    assert "where.csv" in dialog.about.text()
    assert not dialog.combos["gene"].isEnabled()
    for role, name in {"id": "tag", "x": "px", "y": "py"}.items():
        dialog.combos[role].setCurrentText(name)
    click(qtbot, dialog.ok)
    wait_read(qtbot, tissue)
    section = session_of(viewer).selected.section
    assert section.n_spots == 64
    assert section.reading["spots"] == str(spots)
    assert tissue.options.paths["spots"].value() == str(spots)


def test_columns_by_hand(viewer, tissue, qtbot, tmp_path, monkeypatch):
    path = tmp_path / "clear.csv"
    rng = np.random.default_rng(0)
    rows = ["barcode,x,y,u,v,A,B,C"]
    rows += [
        ",".join(map(str, (f"b{i}", i % 5, i // 5, 3 * (i % 5), i // 5, *rng.poisson(3, 3))))
        for i in range(25)
    ]
    path.write_text("\n".join(rows) + "\n")
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(path), ""))
    click(qtbot, tissue.options.columns)
    dialog = tissue._dialog
    assert dialog.roles == {"id": "barcode", "x": "x", "y": "y"}
    dialog.combos["x"].setCurrentText("u")
    dialog.combos["y"].setCurrentText("v")
    click(qtbot, dialog.ok)
    wait_read(qtbot, tissue)
    section = session_of(viewer).selected.section
    assert section.coords[:, 0].max() == 12


def test_what_makes_roles_usable(odd):
    table = look_at(odd)
    good = {"x": "px", "y": "py"}
    assert problem_with(table, good, spots=False) == ""
    assert "spot or cell name" in problem_with(table, good, spots=True)
    assert "both or none" in problem_with(table, {**good, "gene": "tag"}, spots=False)
    assert problem_with(table, {**good, "gene": "tag", "count": "G0"}, spots=False) == ""


def test_a_name_that_tells_cannot_be_denied(viewer, tissue, tmp_path):
    path = tmp_path / "long.csv"
    path.write_text("gene,count,x,y\n" + "A,1,2,3\nB,2,3,4\n" * 4)
    dialog = ColumnsDialog(look_at(path), tissue)
    assert dialog.ok.isEnabled()
    assert dialog.reason.text() == "One row per gene and position."
    for role in ("gene", "count"):
        dialog.combos[role].setCurrentIndex(0)
    assert not dialog.ok.isEnabled()
    dialog.reject()


def test_parquet_preview(odd, tmp_path):
    import pandas as pd

    path = tmp_path / "odd.parquet"
    pd.read_csv(odd).to_parquet(path, index=False)
    table = look_at(path)
    assert table.columns[:2] == [("tag", "text"), ("px", "number")]
    assert table.rows[1][:3] == ("t1", "10", "0")
    attempt = try_to_read(str(path), {})
    assert attempt.table == table


def test_what_is_no_table_keeps_its_error(tmp_path):
    for name, content in {"a.csv": b"\x00\x01\x02", "b.h5ad": b"odd", "c.txt": b""}.items():
        path = tmp_path / name
        path.write_bytes(content)
        attempt = try_to_read(str(path), {})
        assert attempt.table is None
        assert name in attempt.failure.text
    gone = try_to_read(str(tmp_path / "gone.csv"), {"bin": 5})
    assert "does not exist" in gone.failure.text
    assert source_of(tmp_path).format is None


REAL = {
    "stereoseq_brain_crop/native/SS200000135TL_D1_bin1_small.gem.gz": ("Stereo-seq", 20),
    "her2st_labelled/native": ("Spatial Transcriptomics (ST)", 300),
    "mob_st_images/native": ("Spatial Transcriptomics (ST)", 200),
}


@pytest.mark.parametrize("name", REAL)
def test_real_sections(viewer, tissue, qtbot, data_dir, name):
    path = data_dir / name
    if not path.exists():
        pytest.skip(f"no {name}")
    platform, least = REAL[name]
    open_and_wait(qtbot, tissue, path)
    assert tissue.strip.isHidden(), tissue.strip.text.text()
    item = session_of(viewer).selected
    section = item.section
    assert section.n_spots >= least
    assert platform in tissue.rows.itemAt(1, tissue.rows.ItemRole.FieldRole).widget().text()
    if platform == "Stereo-seq":
        return
    # Spots lie over the tissue of the image that lies beside the table.
    assert tissue.alignment.isHidden()
    image = layers.find_layer(viewer, item.id, "image")
    spots = layers.find_layer(viewer, item.id, "spots")
    pixels = np.array([image.world_to_data(spots.data_to_world(p)) for p in spots.data])
    rows, columns = section.image.shape
    assert ((pixels >= 0) & (pixels < (rows, columns))).all()
    values = np.array([image.data[tuple(p)] for p in pixels.round().astype(int)], float)
    anywhere = np.asarray(image.data, float)[::7, ::7].reshape(-1, 3)
    # Stained tissue differs from the slide around it.
    apart = np.abs(values.mean(axis=0) - anywhere.mean(axis=0)).max()
    assert apart > 3
    assert Path(section.image.source).is_relative_to(path)
