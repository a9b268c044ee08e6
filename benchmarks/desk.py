"""The dock Explore genes on many spots: recolouring by another gene, and a key in the search.

    python benchmarks/desk.py [--spots 100000] [--names 30000]

Needs a display (``xvfb-run -a``). Recolouring is measured on the thread of the window, with the
picture that the worker made: layer data, limits, histogram, layout; then the same with the repaint
of the canvas. Beside it, in the same process, napari Points whose colours follow a column of
features, as viewers of tables of spots do it, and Qt's own completer over the same names. Where
napari-spatialdata can be imported, its function that shows a column of values is measured too.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import napari
import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from qtpy.QtCore import QStringListModel, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QCompleter, QLineEdit

from napari_stmask.core.section import Section
from napari_stmask.gui.commands import open_dock
from napari_stmask.gui.explore.reading import read
from napari_stmask.gui.session import session_of

LIMIT_RECOLOUR, LIMIT_KEY = 150.0, 50.0
GENES, TYPED = 40, 20


def made(spots: int, names: int, rng: np.random.Generator) -> Section:
    """A square section with few molecules in genes called like genes."""
    side = int(np.ceil(np.sqrt(spots)))
    coords = np.stack(np.divmod(np.arange(side**2)[:spots], side), axis=1)[:, ::-1] * 8.0
    counts = sp.random(spots, names, 20 / names, format="csr", dtype=np.float32, rng=rng)
    counts.data[:] = rng.integers(1, 6, counts.nnz)
    # The genes that are shown are seen in a third of the spots.
    shown = sp.csr_matrix(rng.poisson(0.4, (spots, GENES)).astype(np.float32))
    adata = AnnData(sp.hstack([shown, counts[:, GENES:]], format="csr"))
    letters = np.array(list("ABCDEFGHIKLMNPRSTUWZ"))
    stems = ["".join(rng.choice(letters, rng.integers(2, 5))) for _ in range(names)]
    adata.var_names = [f"{stem}{i % 97}" for i, stem in enumerate(stems)]
    adata.var_names_make_unique()
    adata.var["gene_ids"] = [f"ENSG{i:011d}" for i in range(names)]
    adata.obsm["spatial"] = coords
    return Section(adata, name="desk", um_per_px=1.0)


def timed(work: Callable[[], Any]) -> tuple[float, float]:
    """CPU milliseconds of this thread and wall milliseconds of one call."""
    cpu, wall = time.thread_time(), time.perf_counter()
    work()
    return (time.thread_time() - cpu) * 1e3, (time.perf_counter() - wall) * 1e3


def spread(times: list[tuple[float, float]]) -> tuple[float, float, float]:
    """Median CPU, median wall and worst wall."""
    table = np.array(times)
    return float(np.median(table[:, 0])), float(np.median(table[:, 1])), float(table[:, 1].max())


def settle(dock: Any) -> None:
    """Wait for workers and repaints."""
    end = time.monotonic() + 120
    while dock.busy and time.monotonic() < end:
        QApplication.processEvents()
    QApplication.processEvents()


def recolourings(viewer: Any, dock: Any, section: Section) -> dict[str, tuple[float, float, float]]:
    """Ours, without and with the repaint, and Points by a column of features."""
    session = session_of(viewer)
    names = [str(name) for name in section.adata.var_names[:GENES]]
    session.choose_gene(session.selected_id, names[0])
    settle(dock)
    ours, painted = [], []
    for i, gene in enumerate(names[1:]):
        _, readings, _ = read(dock.ticks.ticked(), gene)
        if i % 2:
            ours.append(timed(lambda r=readings: dock.show_readings(r)))
        else:
            painted.append(timed(lambda r=readings: (dock.show_readings(r), repaint(viewer))))
        settle(dock)
    for layer in viewer.layers:
        layer.visible = False
    values = section.adata.X[:, :GENES].toarray()
    table = pd.DataFrame({"gene": values[:, 0]})
    points = viewer.add_points(
        section.coords[:, ::-1], features=table, face_color="gene", face_colormap="viridis",
        size=8, border_width=0, antialiasing=0,
    )  # fmt: skip

    def colour(column: np.ndarray) -> None:
        points.features = pd.DataFrame({"gene": column})
        points.face_contrast_limits = (0.0, float(np.quantile(column[column > 0], 0.99)))
        points.refresh_colors(update_color_mapping=False)

    plain, drawn = [], []
    for i in range(1, 9):
        column = values[:, i]
        if i % 2:
            plain.append(timed(lambda c=column: colour(c)))
        else:
            drawn.append(timed(lambda c=column: (colour(c), repaint(viewer))))
        QApplication.processEvents()
    found = other_plugin(viewer, section, points, names)
    viewer.layers.remove(points)
    return found | {
        "Explore genes": spread(ours[2:]),
        "Explore genes, painted": spread(painted[2:]),
        "Points by feature": spread(plain),
        "Points by feature, painted": spread(drawn),
    }


def other_plugin(
    viewer: Any, section: Section, points: Any, names: list[str]
) -> dict[str, tuple[float, float, float]]:
    """What napari-spatialdata does when a gene is double-clicked; reading it takes its own row."""
    try:
        from napari_spatialdata._model import DataModel
        from napari_spatialdata._widgets import AListWidget
    except ImportError:
        return {}
    adata = AnnData(sp.csc_matrix(section.adata.X), var=section.adata.var[[]])
    n = adata.n_obs
    adata.obs_names = [str(i) for i in range(n)]
    adata.obs["instance"], adata.obs["region"] = np.arange(n), pd.Categorical(["desk"] * n)
    keys = {"region": "desk", "region_key": "region", "instance_key": "instance"}
    adata.uns["spatialdata_attrs"] = keys
    points.metadata = {"adata": adata, "indices": list(range(n)), **keys}
    model = DataModel()
    model.adata, model.layer = adata, points
    widget = AListWidget(viewer, model, attr="var")
    shown, painted, reading = [], [], []
    for gene in names[1:9]:
        work = partial(widget._onAction, (gene,))
        reading.append(timed(partial(model.get_var, gene)))
        shown.append(timed(work))
        painted.append(timed(lambda w=work: (w(), repaint(viewer))))
    rows = {"": shown, ", painted": painted, ", reading only": reading}
    return {f"napari-spatialdata{name}": spread(times) for name, times in rows.items()}


def repaint(viewer: Any) -> None:
    """Draw the canvas now."""
    viewer.screenshot(canvas_only=True, flash=False)


def press(line: QLineEdit, letter: str) -> None:
    """One key, and everything that follows from it."""
    QTest.keyClicks(line, letter)
    QApplication.processEvents()


def typed(line: QLineEdit, words: list[str]) -> list[tuple[float, float]]:
    """Times of every key, with all that follows before the window is idle again."""
    times = []
    for word in words:
        line.clear()
        QApplication.processEvents()
        for letter in word:
            key = partial(press, line, letter)
            times += [timed(key)]
    return times


def keys(dock: Any, section: Section, rng: np.random.Generator) -> dict[str, tuple[float, ...]]:
    """Our search and Qt's completer, both with their lists."""
    names = [str(name) for name in section.adata.var_names]
    words = [names[i].lower() for i in rng.choice(len(names), TYPED, replace=False)]
    found = {"Explore genes": spread(typed(dock.search.line, words))}
    line = QLineEdit()
    completer = QCompleter(QStringListModel(names, line), line)
    completer.setCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)
    completer.setFilterMode(Qt.MatchFlag.MatchContains)
    line.setCompleter(completer)
    line.show()
    line.activateWindow()
    line.setFocus()
    QApplication.processEvents()
    found["Qt completer"] = spread(typed(line, words))
    line.close()
    return found


def show(title: str, rows: dict[str, tuple[float, ...]], limit: float, base: str) -> None:
    """One table, with ratios to the baseline."""
    print(f"\n{title} (limit {limit:.0f} ms)")
    print(f"{'':28}{'CPU ms':>9}{'wall ms':>9}{'worst':>9}{'/ ' + base:>22}")
    for name, (cpu, wall, worst) in rows.items():
        other = rows[base + (", painted" if name.endswith("painted") else "")]
        print(f"{name:28}{cpu:9.1f}{wall:9.1f}{worst:9.1f}{wall / other[1]:22.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--spots", type=int, default=100_000)
    parser.add_argument("--names", type=int, default=30_000)
    given = parser.parse_args()
    rng = np.random.default_rng(0)
    section = made(given.spots, given.names, rng)
    viewer = napari.Viewer()
    session_of(viewer).add(section)
    dock = open_dock(viewer, "Explore genes")
    settle(dock)
    print(f"{section.n_spots:,} spots, {section.n_genes:,} genes, picture "
          f"{' x '.join(map(str, session_of(viewer).selected.raster.index.shape))}")  # fmt: skip
    search = keys(dock, section, rng)
    show("Recolouring", recolourings(viewer, dock, section), LIMIT_RECOLOUR, "Points by feature")
    show("One key of the search", search, LIMIT_KEY, "Qt completer")
    viewer.close()


if __name__ == "__main__":
    main()
