"""Make the pictures of the window in docs/images: the whole flow on one section.

    xvfb-run -a -s "-screen 0 1600x1000x24" python docs/make_screenshots.py [PATH]
    xvfb-run -a -s "-screen 0 1600x1000x24" python docs/make_screenshots.py --platforms DATA
    xvfb-run -a -s "-screen 0 1600x1000x24" python docs/make_screenshots.py --vimst PATH
    xvfb-run -a -s "-screen 0 1600x1000x24" python docs/make_screenshots.py --mmsrl PATH
    xvfb-run -a -s "-screen 0 1600x1000x24" python docs/make_screenshots.py --analyse DATA
    xvfb-run -a -s "-screen 0 1600x1000x24" python docs/make_screenshots.py --predict DATA
    xvfb-run -a -s "-screen 0 1600x1000x24" python docs/make_screenshots.py --genes DATA [FILE]
    xvfb-run -a -s "-screen 0 1600x1000x24" python docs/make_screenshots.py --integrate DATA

Without PATH the generated example is shown. DATA is a folder with the real sections that the tests
use; files of several platforms are opened from it. FILE is a section that has gene modules already.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

IMAGES = Path(__file__).parent / "images"
SIZE = (1400, 900)
MAX_BYTES, SMALL = 400_000, 300_000


def settle(seconds: float = 1.0, until: Callable[[], bool] | None = None) -> None:
    """Let Qt work for ``seconds``, or until a condition holds."""
    from qtpy.QtWidgets import QApplication

    end = time.monotonic() + seconds
    while time.monotonic() < end:
        QApplication.processEvents()
        if until is not None and until():
            return
        time.sleep(0.02)
    if until is not None:
        raise SystemExit("The window did not get that far.")


def save(pixels, name: str, most: int = MAX_BYTES) -> None:
    """Write a picture with as many colours as fit into the size limit."""
    from PIL import Image

    IMAGES.mkdir(exist_ok=True)
    path = IMAGES / name
    picture = Image.fromarray(pixels).convert("RGB")
    for colors in (None, 256, 128, 64):
        reduced = picture if colors is None else picture.quantize(colors, dither=Image.Dither.NONE)
        reduced.save(path, optimize=True)
        if path.stat().st_size <= most:
            break
    print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")


def shoot(viewer, name: str, most: int = MAX_BYTES) -> None:
    """The whole window."""
    settle(0.8)
    save(viewer.screenshot(canvas_only=False, flash=False), name, most)


def shoot_dialog(dialog, name: str) -> None:
    """A dialog as it is."""
    settle(0.5)
    save(pixels_of(dialog), name)


def pixels_of(widget):
    """What a widget shows, rows x columns x 3."""
    import numpy as np
    from qtpy.QtGui import QImage

    picture = widget.grab().toImage().convertToFormat(QImage.Format.Format_RGB888)
    bits = picture.constBits()
    if hasattr(bits, "setsize"):
        bits.setsize(picture.sizeInBytes())
    rows = np.frombuffer(bits, np.uint8).reshape(picture.height(), picture.bytesPerLine())
    rows = rows[:, : 3 * picture.width()]
    return rows.reshape(picture.height(), picture.width(), 3).copy()


def shoot_widget(widget, name: str) -> None:
    """One dock's page, as far as its content goes."""
    inner = widget.scroller.widget()
    rows = pixels_of(widget)
    save(rows[: min(len(rows), inner.sizeHint().height())], name)


def new_viewer():
    """A window of the size of all pictures, with the dock *Open tissue*."""
    import napari

    from napari_stmask.gui.commands import open_dock
    from napari_stmask.gui.session import session_of

    viewer = napari.Viewer()
    viewer.theme = "dark"
    viewer.window.resize(*SIZE)
    return viewer, session_of(viewer), open_dock(viewer, "Open tissue")


def open_with(tissue, path: Path, **options) -> None:
    """Open a path in the dock and wait for it."""
    if options:
        tissue.options.bin.setEditText(str(options["bin"]))
    tissue.open_path(str(path))
    settle(120, lambda: not tissue._reader.busy)
    if not tissue.strip.isHidden():
        raise SystemExit(tissue.strip.text.text())


def platforms(data: Path) -> None:
    """Legacy ST over its H&E, Stereo-seq as bins and as cells, a table to explain."""
    viewer, _, tissue = new_viewer()
    open_with(tissue, data / "her2st_labelled" / "native")
    viewer.reset_view()
    shoot(viewer, "open-st.png")
    viewer.close()

    viewer, _, tissue = new_viewer()
    chip = data / "stereoseq_brain_crop" / "native"
    tissue.options.fold.expand(animate=False)
    open_with(tissue, chip / "bin_v0.2.gef", bin=20)
    open_with(tissue, chip / "cellbin_from_cgem.gef")
    viewer.reset_view()
    shoot(viewer, "open-stereoseq.png")

    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "counts.csv"
        spots = range(400)
        rows = [["cell", "px", "py", "region", *(f"Gene{i}" for i in range(60))]]
        for i in spots:
            counts = [(i * j) % 7 for j in range(60)]
            rows.append([f"c{i}", 10 * (i % 20), 10 * (i // 20), f"R{i % 3}", *counts])
        table.write_text("\n".join(",".join(map(str, row)) for row in rows) + "\n")
        tissue.open_path(str(table))
        settle(30, lambda: tissue._dialog is not None)
        tissue._dialog.combos["x"].setCurrentText("px")
        tissue._dialog.combos["y"].setCurrentText("py")
        shoot_dialog(tissue._dialog, "columns.png")
        tissue._dialog.reject()
    viewer.close()


def vimst(path: str) -> None:
    """ViMST: the patch of a spot that is clicked, a run, what the image alone says."""
    import numpy as np

    from napari_stmask.gui.commands import open_dock

    viewer, session, tissue = new_viewer()
    open_with(tissue, Path(path))
    viewer.reset_view()
    find = open_dock(viewer, "Find domains")
    find.methods.setCurrentIndex(find.methods.findData("vimst"))
    settle(60, lambda: find.cost.text().startswith("Estimate"))
    find.form.set_values({"n_domains": 6, "patch_size": 2.0})
    find.preview.fold.expand(animate=False)
    item = session.selected
    x, y = item.section.coords[np.argmax(item.section.counts().sum(axis=1))]
    place = np.array([y, x]) * (item.section.um_per_px or 1.0)
    viewer.scene.camera.center = tuple(place)
    viewer.scene.camera.zoom *= 1.5
    click_canvas(viewer, place)
    settle(30, lambda: find.preview.picture.isVisible())
    settle(1)
    find.scroller.ensureWidgetVisible(find.preview)
    shoot(viewer, "vimst_window.png")

    viewer.reset_view()
    find.start()
    settle(600, lambda: session.runner.current is None)
    if find.card.job.failure is not None:
        raise SystemExit(find.card.job.failure.details)
    domains = open_dock(viewer, "Domains")
    domains.views.buttons["image"].click()
    truth = domains.scores.annotation
    truth.setCurrentIndex(min(1, truth.count() - 1))
    truth.activated.emit(truth.currentIndex())
    shoot(viewer, "vimst_compare.png")
    viewer.close()


def mmsrl(path: str) -> None:
    """MMSRL: parameters, where a spot looks, shares, an enhanced gene, order of the spots."""
    viewer, session, tissue = new_viewer()
    open_with(tissue, Path(path))
    viewer.reset_view()
    dock = run_method(viewer, session, 6, "mmsrl", "mmsrl_window.png", denoise=True)
    item = session.selected
    section, state = item.section, session.selected_domains.state

    looks = dock.choose("Attention")
    settle(0.5)
    looks.pick.click()
    unit = section.um_per_px or 1.0
    own = section.coords[state.codes == state.codes[section.n_spots // 2]]
    middle = own[((own - own.mean(axis=0)) ** 2).sum(axis=1).argmin()]
    click_canvas(viewer, middle[::-1] * unit)
    settle(10, lambda: not looks.answer.isHidden())
    shoot(viewer, "mmsrl_attention.png")
    looks.pick.click()

    ask(dock, "Expression and image")
    shoot(viewer, "mmsrl_shares.png")

    enhanced = ask(dock, "Enhanced genes")
    # The domain that a gene marks best in the counts.
    best = enhanced.genes.frames.frame.sort_values("raw").iloc[-1]
    enhanced.filter.domain.setCurrentIndex(enhanced.filter.domain.findData(best["domain"]))
    enhanced.genes.setCurrentIndex(enhanced.genes.model().index(0, 1))
    enhanced.genes.chosen.emit(enhanced.genes.current())
    settle(30, lambda: not enhanced.maps.isHidden())
    gene = enhanced.gene.value()
    shoot(viewer, "mmsrl_enhanced.png")

    path_of = dock.choose("Trajectory")
    path_of.root.setCurrentIndex(path_of.root.findText("Where a gene is highest"))
    path_of.gene.setText(gene)
    ask(dock, "Trajectory")
    shoot(viewer, "mmsrl_pseudotime.png")
    viewer.close()


def run_method(viewer, session, n_domains: int, method="spamask", picture="", **values):
    """A method on the section that is open, as the dock recommends it; the dock *Analyse*.

    ``picture`` is taken before the run, where it is named.
    """
    from napari_stmask.gui.commands import open_dock

    find = open_dock(viewer, "Find domains")
    find.methods.setCurrentIndex(find.methods.findData(method))
    settle(60, lambda: find.cost.text().startswith("Estimate"))
    find.form.set_values({"n_domains": n_domains, **values})
    if picture:
        shoot(viewer, picture)
    find.start()
    settle(600, lambda: session.runner.current is None)
    if find.card.job.failure is not None:
        raise SystemExit(find.card.job.failure.details)
    return open_dock(viewer, "Analyse")


def ask(dock, title: str):
    """Run an analysis of the dock and wait for its answer."""
    panel = dock.choose(title)
    dock.start()
    settle(300, lambda: not dock.busy)
    if not dock.strip.isHidden():
        raise SystemExit(dock.strip.text.text())
    return panel


def analyse(data: Path) -> None:
    """Markers and pseudotime of the cortex, from its white matter; EMT of a tumour."""
    import numpy as np

    viewer, session, tissue = new_viewer()
    open_with(tissue, data / "dlpfc_visium" / "151673.h5ad")
    viewer.reset_view()
    dock = run_method(viewer, session, 7)
    section, state = session.selected.section, session.selected_domains.state
    myelin = section.counts()[:, section.adata.var_names.get_loc("MBP")].toarray().ravel()
    white = max(range(len(state.names)), key=lambda code: myelin[state.codes == code].mean())
    markers = ask(dock, "Marker genes")
    markers.domain.setCurrentIndex(markers.domain.findData(state.names[white]))
    markers.genes.setCurrentIndex(markers.genes.model().index(0, 1))
    markers.genes.chosen.emit(markers.genes.current())
    settle(30, lambda: dock.state.text().startswith("Shown"))
    shoot(viewer, "analyse_markers.png")

    path = dock.choose("Trajectory")
    x, y = section.coords[state.codes == white].mean(axis=0)
    path.pick.click()
    unit = section.um_per_px or 1.0
    click_canvas(viewer, np.array([y, x]) * unit)
    ask(dock, "Trajectory")
    shoot(viewer, "analyse_trajectory.png")
    viewer.close()

    viewer, session, tissue = new_viewer()
    open_with(tissue, data / "her2st_labelled" / "A1.h5ad")
    viewer.reset_view()
    ask(run_method(viewer, session, 6), "EMT and other signatures")
    shoot(viewer, "analyse_emt.png")
    viewer.close()


def predict(data: Path) -> None:
    """Genes of a breast tumour from its histology and two neighbouring sections."""
    from napari_stmask import read
    from napari_stmask.gui.commands import open_dock

    viewer, session, _ = new_viewer()
    for name in ("C2", "C3", "C4"):
        section = read(data / "her2st" / f"{name}.h5ad", image=data / "her2st" / f"{name}.jpg")
        section.name = name
        section.adata.obs["patient"] = "C"
        session.add(section)
    target = next(item for item in session.items.values() if item.label == "C3")
    session.select(target.id)
    viewer.reset_view()
    dock = open_dock(viewer, "Predict genes")
    settle(300, lambda: "Estimate" in dock.notes.text())
    shoot(viewer, "predict_window.png")

    dock.start()
    settle(900, lambda: session.runner.current is None)
    if dock.card.job.failure is not None:
        raise SystemExit(dock.card.job.failure.details)
    genes = dock.results.genes
    settle(60, lambda: genes._maps is not None)
    genes.genes.setCurrentIndex(genes.genes.model().index(1, 0))
    genes.genes.chosen.emit(genes.genes.current())
    genes.as_image.click()
    look_at(viewer, dock, genes.export)
    shoot(viewer, "predict_genes.png")

    attention = dock.results.attention
    dock.results.folds["attention"].expand(animate=False)
    attention.pick.click()
    item = session.items[dock.results.known.item_id]
    x, y = item.section.coords[len(item.section.coords) // 2]
    click_canvas(viewer, world_of(item, x, y))
    settle(60, lambda: attention.looked is not None)
    look_at(viewer, dock, attention.grid_holder)
    shoot(viewer, "predict_attention.png")
    dock.results.folds["attention"].collapse(animate=False)

    region = dock.results.region
    dock.results.folds["region"].expand(animate=False)
    # The authors' clusters 2 to 4 are the tumour.
    for row in (2, 3, 4):
        region.values.item(row).setCheckState(checked())
    region.run.click()
    settle(60, lambda: region.inside is not None)
    look_at(viewer, dock, region.facts)
    shoot(viewer, "predict_region.png")
    viewer.close()


def genes(data: Path, ready: str | None = None) -> None:
    """Gene modules of a cortex: the form, modules, map, network, a painted pattern, coverage."""
    import numpy as np

    from napari_stmask import read
    from napari_stmask.gui.commands import open_dock

    viewer, session, _ = new_viewer()
    path = data / "dlpfc_visium" / "151673.h5ad"
    section = read(ready or path)
    section.name = "151673"
    item = session.add(section)
    viewer.reset_view()
    dock = open_dock(viewer, "Gene modules")
    dock.run_fold.expand(animate=False)
    settle(60, lambda: dock.run_part.cost.text().startswith("Estimate"))
    shoot(viewer, "genes-run.png", SMALL)
    dock.run_fold.collapse(animate=False)
    if ready is None:
        dock.run_part.start()
        settle(1800, lambda: session.runner.current is None)
        if dock.card.job.failure is not None:
            raise SystemExit(dock.card.job.failure.details)
    settle(60, lambda: dock.loaded is not None)
    table = dock.modules.table
    table.setCurrentIndex(table.model().index(0, 0))
    table.chosen.emit(table.current())
    look_at(viewer, dock, table)
    shoot(viewer, "genes-modules.png", SMALL)

    dock.open_tab("Genes")
    part = dock.genes
    settle(60, lambda: len(part.map.points) > 0)
    part.kind.setCurrentIndex(part.kind.findData("umap"))
    settle(120, lambda: part._drawn is not None and part._drawn[1] == "umap")
    # A lasso around the dots near the first gene of the table.
    first = part.map.points[list(part.map.names).index(dock.loaded.genes["gene"].iat[0])]
    away = np.linalg.norm(part.map.points - first, axis=1)
    part.map.lassoed.emit(np.argsort(away)[:40])
    settle(60, lambda: dock.state.text().startswith("Shown"))
    look_at(viewer, dock, part.table)
    shoot(viewer, "genes-map.png", SMALL)

    dock.open_tab("Relations")
    dock.partners.gene.setText(str(dock.loaded.genes["gene"].iat[0]))
    dock.partners.run.click()
    dock.folds["network"].expand(animate=False)
    dock.network.draws.setValue(3)
    dock.network.run.click()
    settle(300, lambda: not dock.network.worker.busy)
    look_at(viewer, dock, dock.network.hub_table)
    shoot(viewer, "genes-network.png", SMALL)

    dock.open_tab("Pattern")
    dock.query.new.click()
    paint(viewer)
    settle(30, lambda: len(dock.query.levels.fields) == 2)
    dock.query.levels.fields["2"].setValue(40.0)
    dock.query.run.click()
    settle(300, lambda: not dock.query.worker.busy)
    dock.choose([str(dock.query.found["gene"].iat[0])])
    settle(30, lambda: dock.state.text().startswith("Shown"))
    look_at(viewer, dock, dock.query.table)
    shoot(viewer, "genes-pattern.png", SMALL)

    viewer.layers.remove(viewer.layers.selection.active)
    other = read(data / "dlpfc_visium" / "151674.h5ad")
    shown = np.argsort(-np.asarray(other.counts().sum(axis=0)).ravel())[:400]
    other.adata = other.adata[:, np.sort(shown)].copy()
    other.name = "151674, 400 genes"
    session.add(other)
    session.select(item.id)
    dock.open_tab("Coverage")
    dock.coverage.run.click()
    settle(300, lambda: not dock.coverage.worker.busy)
    found = dock.coverage.table
    found.setCurrentIndex(found.model().index(0, 0))
    found.chosen.emit(found.current())
    look_at(viewer, dock, found)
    shoot(viewer, "genes-coverage.png", SMALL)
    viewer.close()


def integrate(data: Path) -> None:
    """Two neighbouring slices of a cortex, one turned: aligned, integrated, stacked."""
    from napari_stmask import read
    from napari_stmask.gui.commands import open_dock

    viewer, session, _ = new_viewer()
    for name in ("151673", "151674"):
        section = read(data / "dlpfc_visium" / f"{name}.h5ad", name=name)
        session.add(section)
    viewer.reset_view()
    dock = open_dock(viewer, "Integrate sections")
    dock.sections.kind.setCurrentIndex(dock.sections.kind.findData("serial"))
    shoot(viewer, "integrate-sections.png", SMALL)

    dock.open_tab("Alignment")
    dock.align.run.click()
    settle(300, lambda: not dock.align.busy)
    if not dock.strip.isHidden():
        raise SystemExit(dock.strip.text.text())
    dock.align.adjust.shown.setChecked(True)
    adjust = dock.align.adjust
    adjust.angle.box.setValue(adjust.angle.value() + 12)
    settle(5, lambda: not adjust._later.isActive())
    shoot(viewer, "integrate-align.png", SMALL)
    adjust.reset.click()
    adjust.shown.setChecked(False)

    dock.open_tab("Run")
    dock.run_part.form.set_values({"n_domains": 7, "epochs": 60, "replicates": 1})
    settle(60, lambda: dock.run_part.cost.text().startswith("Estimate"))
    shoot(viewer, "integrate-run.png", SMALL)
    dock.run_part.start()
    settle(900, lambda: session.runner.current is None)
    if dock.card.job.failure is not None:
        raise SystemExit(dock.card.job.failure.details)
    dock.result.grid.click()
    dock.result.umap_fold.expand(animate=False)
    dock.result.umap.run.click()
    settle(300, lambda: dock.result.umap.found is not None)
    settle(1)
    dock.scroller.verticalScrollBar().setValue(0)
    shoot(viewer, "integrate-result.png", SMALL)
    dock.result.solid.click()
    dock.scroller.ensureWidgetVisible(dock.result.umap.export)
    shoot(viewer, "integrate-stack.png", SMALL)
    viewer.close()


def paint(viewer) -> None:
    """Two regions: label 1 in a corner of the section, label 2 around it."""
    import numpy as np

    layer = viewer.layers.selection.active
    rows, columns = layer.data.shape
    layer.brush_size = rows // 5
    for label, reach in ((2, 0.4), (1, 0.25)):
        for turn in np.linspace(0, np.pi / 2, 40):
            for share in np.linspace(0, reach, 8):
                place = (1 - share * np.sin(turn)) * rows, share * np.cos(turn) * columns
                layer.paint(place, label)


def look_at(viewer, dock, widget) -> None:
    """Scroll the dock until a widget is in view, once it has its place."""
    settle(1)
    viewer.reset_view()
    dock.scroller.ensureWidgetVisible(widget)


def world_of(item, x: float, y: float):
    """Row and column in the world of a place of a section."""
    import numpy as np

    return np.array([y, x]) * (item.section.um_per_px or 1.0) + item.offset


def checked():
    """A ticked row of a list."""
    from qtpy.QtCore import Qt

    return Qt.CheckState.Checked


def click_canvas(viewer, world) -> None:
    """A click of the left button at a position (row, column) in the world."""
    import numpy as np
    from qtpy.QtCore import QPoint, Qt
    from qtpy.QtTest import QTest

    settle(0.5)
    camera = viewer.scene.camera
    middle = np.array(viewer.canvas.size) / 2
    row, column = (world - np.array(camera.center[-2:])) * camera.zoom + middle
    canvas = viewer.window._qt_viewer.canvas.native
    QTest.mouseClick(canvas, Qt.MouseButton.LeftButton, pos=QPoint(round(column), round(row)))


def main(path: str | None) -> None:
    """Open, run, and photograph every step in the dark theme, the last one in the light one."""
    from napari_stmask.gui.commands import open_dock

    viewer, session, tissue = new_viewer()
    if path is None:
        tissue.open_example()
    else:
        tissue.open_path(path)
    settle(120, lambda: session.selected is not None)
    viewer.reset_view()
    shoot(viewer, "open-tissue.png")

    find = open_dock(viewer, "Find domains")
    settle(60, lambda: find.cost.text().startswith("Estimate"))
    shoot(viewer, "find-domains.png")

    find.form.set_values({"n_domains": 7 if path else 6})
    find.start()
    card = find.card
    settle(120, lambda: card._phase == "training" and card.bar.value() > 0.4 * card.bar.maximum())
    shoot(viewer, "running.png")
    settle(300, lambda: session.runner.current is None)
    if card.job.failure is not None:
        raise SystemExit(card.job.failure.details)
    domains = open_dock(viewer, "Domains")
    shoot(viewer, "domains-dark.png")
    shoot_widget(domains, "legend.png")
    viewer.theme = "light"
    shoot(viewer, "domains-light.png")
    viewer.close()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        # The pictures must not depend on, or change, the user's napari settings.
        os.environ["NAPARI_CONFIG"] = str(Path(folder) / "settings.yaml")
        if sys.argv[1:2] == ["--platforms"]:
            platforms(Path(sys.argv[2]))
        elif sys.argv[1:2] == ["--vimst"]:
            vimst(sys.argv[2])
        elif sys.argv[1:2] == ["--mmsrl"]:
            mmsrl(sys.argv[2])
        elif sys.argv[1:2] == ["--analyse"]:
            analyse(Path(sys.argv[2]))
        elif sys.argv[1:2] == ["--predict"]:
            predict(Path(sys.argv[2]))
        elif sys.argv[1:2] == ["--genes"]:
            genes(Path(sys.argv[2]), *sys.argv[3:4])
        elif sys.argv[1:2] == ["--integrate"]:
            integrate(Path(sys.argv[2]))
        else:
            main(sys.argv[1] if len(sys.argv) > 1 else None)
