"""A scientist's day at the desk, clicked through in a real window: run, explore, annotate, keep.

    xvfb-run -a -s "-screen 0 1600x1000x24" python docs/desk_story.py DATA [cortex | tumour]

DATA is a folder with the real sections that the tests use. Every button is clicked, what it did is
checked on the AnnData, and the pictures of docs/images/desk-* are made. `docs/desk.md` tells the
same story in words and in Python.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from make_screenshots import new_viewer, open_with, run_method, settle, shoot


@dataclass(frozen=True)
class Tissue:
    """What the story is about."""

    name: str
    path: str
    truth: str
    n_domains: int
    marker: str
    genes: tuple[str, str, str]
    region: str
    corner: tuple[float, float]
    values: dict = field(default_factory=dict)


CORTEX = Tissue(
    "cortex", "dlpfc_visium/151673.h5ad", "ground_truth", 7, "MBP", ("PCP4", "MBP", "ENC1"),
    "Deep layers", (0.62, 0.35), {"denoise": True},
)  # fmt: skip
TUMOUR = Tissue(
    "tumour", "her2st_labelled/A1.h5ad", "ground_truth", 6, "MUCL1", ("MUCL1", "IGHG3", "COL1A1"),
    "Invasive front", (0.55, 0.5), {"denoise": True},
)  # fmt: skip


def press(button) -> None:
    """A click of the left mouse button on a button that can be pressed."""
    from qtpy.QtCore import Qt
    from qtpy.QtTest import QTest

    if not button.isEnabled():
        raise SystemExit(f"'{button.text()}' cannot be pressed: {button.toolTip()}")
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)
    settle(0.05)


def write(line, text: str) -> None:
    """Type into a field and press Return."""
    from qtpy.QtCore import Qt
    from qtpy.QtTest import QTest

    line.clear()
    QTest.keyClicks(line, text)
    QTest.keyClick(line, Qt.Key.Key_Return)


def story(data: Path, tissue: Tissue) -> None:
    """All of it, one section."""
    from napari_stmask.gui.commands import open_dock

    started = time.monotonic()
    viewer, session, opening = new_viewer()
    open_with(opening, data / tissue.path)
    viewer.reset_view()
    run_method(viewer, session, tissue.n_domains, "spamask", **tissue.values)
    item = session.selected
    domains = open_dock(viewer, "Domains")
    settle(60, lambda: domains.model.facts is not None)
    name_the_domain(viewer, session, domains, tissue)
    explore(viewer, session, tissue)
    markers(viewer, tissue)
    annotate(viewer, item, tissue)
    compare(viewer, tissue)
    divide(viewer, session, domains, tissue)
    plots(viewer, session, tissue)
    jobs(viewer, tissue)
    keep(viewer, session, tissue)
    print(f"{tissue.name}: {time.monotonic() - started:.0f} s")


def best_domain(session, gene: str) -> int:
    """Row of the domain in which a gene is highest."""
    from napari_stmask.analysis.gene_sources import gene_values

    domains, section = session.selected_domains, session.selected.section
    values = gene_values(section, gene, "normalised")
    codes = domains.state.codes
    return max(range(len(domains.state.names)), key=lambda c: values[codes == c].mean())


def name_the_domain(viewer, session, domains, tissue: Tissue) -> None:
    """Rename by what it expresses; order, hide, undo."""
    from qtpy.QtCore import Qt

    row = best_domain(session, tissue.marker)
    domains.model.setData(
        domains.model.index(row, 1), f"{tissue.marker}+", Qt.ItemDataRole.EditRole
    )
    press(domains.sort)
    press(domains.undo)
    domains.table.select([row], (row, 1))
    press(domains.solo)
    press(domains.undo)
    assert f"{tissue.marker}+" in session.selected.section.adata.obs["spamask"].cat.categories
    viewer.reset_view()
    shoot(viewer, f"desk-{tissue.name}-domains.png")


def explore(viewer, session, tissue: Tissue) -> None:
    """A gene measured and denoised side by side; three genes in one picture; a pin."""
    from napari_stmask.gui.commands import open_dock

    dock = open_dock(viewer, "Explore genes")
    settle(60, lambda: not dock.busy)
    write(dock.search.line, tissue.marker)
    settle(30, lambda: not dock.busy)
    assert session.selected.gene == tissue.marker
    for box, choice in zip(dock.ticks.boxes, dock.ticks.choices, strict=True):
        wanted = choice.name in ("normalised", "spamask_denoised")
        if box.isChecked() != wanted:
            box.click()
    settle(30, lambda: not dock.busy)
    press(dock.pins.pin)
    settle(1.0)
    viewer.reset_view()
    shoot(viewer, f"desk-{tissue.name}-genes.png")
    for box in dock.ticks.boxes[1:]:
        if box.isChecked():
            box.click()
    settle(30, lambda: not dock.busy)
    dock.blend_fold.expand(animate=False)
    for gene in tissue.genes:
        write(dock.search.line, gene)
        settle(30, lambda: not dock.busy)
        press(dock.blend.add)
    if not dock.blend.on.isChecked():
        dock.blend.on.click()
    settle(20, lambda: not dock.blend._work.busy)
    settle(1.0)
    viewer.reset_view()
    dock.scroller.ensureWidgetVisible(dock.blend.legend)
    shoot(viewer, f"desk-{tissue.name}-blend.png")
    dock.blend.on.click()


def markers(viewer, tissue: Tissue) -> None:
    """Genes of the named domain against the rest: table, volcano, dots."""
    from napari_stmask.gui.commands import open_dock

    dock = open_dock(viewer, "Analyse")
    panel = dock.choose("Marker genes")
    dock.start()
    settle(300, lambda: not dock.busy)
    panel.domain.setCurrentIndex(panel.domain.findData(f"{tissue.marker}+"))
    settle(1.0)
    dock.scroller.ensureWidgetVisible(dock.export)
    shoot(viewer, f"desk-{tissue.name}-markers.png")


def annotate(viewer, item, tissue: Tissue) -> None:
    """A region drawn by hand becomes a column of obs."""
    from napari_stmask.gui.commands import open_dock

    dock = open_dock(viewer, "Annotate")
    draw_region(viewer, dock, item, tissue)
    settle(30, lambda: "annotation" in item.section.adata.obs)
    viewer.reset_view()
    shoot(viewer, f"desk-{tissue.name}-annotate.png")


def draw_region(viewer, dock, item, tissue: Tissue) -> None:
    """A polygon around a part of the section, corner by corner, in a class of its own."""
    from qtpy.QtCore import QPoint, Qt
    from qtpy.QtTest import QTest

    press(dock.classes.add)
    model = dock.classes.table.model()
    row = model.rowCount() - 2  # the last one is "no class"
    model.setData(model.index(row, 1), tissue.region, Qt.ItemDataRole.EditRole)
    dock.classes.table.selectRow(row)
    press(dock.draw.buttons["add_polygon"])
    viewer.reset_view()
    settle(0.5)
    low, high = item.section.coords.min(axis=0), item.section.coords.max(axis=0)
    unit, camera = item.section.um_per_px or 1.0, viewer.scene.camera
    middle, canvas = np.array(viewer.canvas.size) / 2, viewer.window._qt_viewer.canvas.native
    for x, y in ((0, 0), (0.24, 0.05), (0.3, 0.3), (0.1, 0.42), (-0.08, 0.22)):
        place = low + (np.array(tissue.corner) + np.array((x, y))) * (high - low)
        world = place[::-1] * unit + item.offset
        down, right = (world - np.array(camera.center[-2:])) * camera.zoom + middle
        spot = QPoint(round(right), round(down))
        QTest.mouseMove(canvas, spot)
        QTest.mouseClick(canvas, Qt.MouseButton.LeftButton, pos=spot)
        settle(0.3)
    # napari moves the last corner after the pointer, a little later.
    settle(0.5)
    QTest.mouseDClick(canvas, Qt.MouseButton.LeftButton, pos=spot)
    press(dock.draw.buttons["add_polygon"])


def compare(viewer, tissue: Tissue) -> None:
    """The domains beside the annotation: agreement, confusion, where they disagree."""
    from napari_stmask.gui.commands import open_dock

    dock = open_dock(viewer, "Compare")
    settle(30, lambda: not dock._work.busy)
    dock.first.setCurrentIndex(dock.first.findText(tissue.truth))
    dock.first.activated.emit(dock.first.currentIndex())
    found = next(i for i in range(dock.second.count()) if "SpaMask" in dock.second.itemText(i))
    dock.second.setCurrentIndex(found)
    dock.second.activated.emit(found)
    settle(30, lambda: not dock._work.busy)
    press(dock.tissue.differ)
    viewer.reset_view()
    shoot(viewer, f"desk-{tissue.name}-compare.png")
    press(dock.tissue.differ)


def divide(viewer, session, domains, tissue: Tissue) -> None:
    """The named domain in two, as a new result; then another number of domains altogether."""
    from napari_stmask.gui.commands import open_dock

    open_dock(viewer, "Domains")
    part = domains.divide
    domains.divide_fold.expand(animate=False)
    settle(0.5)
    row = session.selected_domains.state.names.index(f"{tissue.marker}+")
    domains.table.clearSelection()
    domains.table.select([row], (row, 1))
    part.of.setCurrentText("Selected domains")
    settle(0.5)
    press(part.run)
    settle(120, lambda: not part._worker.busy)
    if session.selected_key != "spamask_sub":
        raise SystemExit(part.row.strip.text.text() or part.row.state.text())
    assert f"{tissue.marker}+.2" in session.selected_domains.state.names
    session.select(session.selected_id, "spamask")
    part.of.setCurrentText("All spots")
    part.count.setValue(tissue.n_domains + 2)
    settle(0.5)
    press(part.run)
    settle(120, lambda: session.selected_key == f"spamask_k{tissue.n_domains + 2}")
    session.select(session.selected_id, "spamask")


def plots(viewer, session, tissue: Tissue) -> None:
    """The embedding laid out; a domain chosen there lights up on the tissue."""
    from napari_stmask.gui.commands import open_dock

    dock = open_dock(viewer, "Plots")
    dock.tabs.setCurrentIndex(0)
    if dock.umap.run.isVisible():
        press(dock.umap.run)
        settle(300, lambda: dock.umap.map.isVisible() and bool(dock.umap.legend.text()))
    points = session.selected.section.adata.obsm["X_spamask_umap"]
    codes = session.selected_domains.state.codes
    row = session.selected_domains.state.names.index(f"{tissue.marker}+")
    middle = np.nanmedian(points[codes == row], axis=0)
    lasso(dock.umap, middle, 0.35 * float(np.nanstd(points[codes == row])) + 1.0)
    assert session.selected.chosen.size
    viewer.reset_view()
    shoot(viewer, f"desk-{tissue.name}-umap.png")
    press(dock.umap.clear)
    dock.tabs.setCurrentIndex(1)
    write(dock.violins.gene, tissue.marker)
    settle(2.0)
    shoot(viewer, f"desk-{tissue.name}-violins.png")


def lasso(part, middle, reach: float) -> None:
    """Draw around a place of the map with the mouse."""
    from qtpy.QtCore import QPoint, QPointF, Qt
    from qtpy.QtTest import QTest

    press(part.lasso)
    part.map.whole()
    settle(0.3)
    turns = np.linspace(0, 2 * np.pi, 24)
    ring = [middle + reach * np.array([np.cos(t), np.sin(t)]) for t in turns]
    place = [part.map.mapFromScene(part.map.box.mapViewToScene(QPointF(*p))) for p in ring]
    view = part.map.viewport()
    QTest.mousePress(view, Qt.MouseButton.LeftButton, pos=QPoint(place[0]))
    for spot in place[1:]:
        QTest.mouseMove(view, QPoint(spot))
        settle(0.01)
    QTest.mouseRelease(view, Qt.MouseButton.LeftButton, pos=QPoint(place[-1]))
    press(part.lasso)


def jobs(viewer, tissue: Tissue) -> None:
    """What has been run in this window."""
    from napari_stmask.gui.commands import open_dock

    dock = open_dock(viewer, "Jobs")
    assert [row.state for row in dock.rows] == ["done"]
    shoot(viewer, f"desk-{tissue.name}-jobs.png")


def layers_of(viewer) -> list[tuple]:
    """What is kept: all layers but those that a dock shows for a moment."""
    from napari_stmask.gui.layer_tuples import PASSING, our_meta

    kept = []
    for layer in viewer.layers:
        meta = our_meta(layer)
        passing = meta.get(PASSING) or layer.name.endswith("captions")
        if not passing and (layer.visible or meta.get("role") != "selection"):
            kept.append((layer.name, layer._type_string, layer.visible, meta.get("key")))
    return kept


def keep(viewer, session, tissue: Tissue) -> None:
    """Report and file; close; open: the same domains, names, colours, regions and layers."""
    import napari_stmask as stm

    item = session.selected
    with tempfile.TemporaryDirectory() as folder:
        stm.report(item.section, Path(folder) / "report.html")
        path = stm.save_desk(viewer, Path(folder) / "desk.h5ad")
        seen = layers_of(viewer)
        states = {key: one.state for key, one in item.domains.items()}
        columns = item.section.adata.obs.astype(str)
        viewer.close()
        settle(0.5)
        viewer, session, opening = new_viewer()
        open_with(opening, path)
        viewer.reset_view()
        again = session.selected
        back = layers_of(viewer)
        assert back == seen, (back, seen)
        for key, state in states.items():
            found = again.domains[key].state
            assert (found.names, found.shown) == (state.names, state.shown)
            assert [c.upper() for c in found.colors] == [c.upper() for c in state.colors]
            assert (found.codes == state.codes).all()
        assert again.section.adata.obs.astype(str).equals(columns)
        shoot(viewer, f"desk-{tissue.name}-back.png")
        viewer.theme = "light"
        shoot(viewer, f"desk-{tissue.name}-light.png")
        viewer.close()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        # The pictures must not depend on, or change, the user's settings.
        os.environ["NAPARI_CONFIG"] = str(Path(place) / "settings.yaml")
        os.environ["STMASK_CONFIG"] = place
        wanted = sys.argv[2:] or ["cortex", "tumour"]
        for one in (CORTEX, TUMOUR):
            if one.name in wanted:
                story(Path(sys.argv[1]), one)
