"""Two small sections, one with a trained run, that tests of the dock share."""

from __future__ import annotations

import shlex
from functools import lru_cache

import numpy as np
from qtpy.QtCore import QPoint, Qt
from tests.models.spacex_helpers import settings, striped

from napari_stmask.api import run
from napari_stmask.core.section import Section
from napari_stmask.gui.predict.drawn_region import to_rows_columns

__all__ = ["FAST", "check_command", "click_row", "drag", "panel", "trained", "world_of"]

FAST = {
    "n_genes": 60, "epochs_pretrain": 1, "min_steps": 5, "epochs_cluster": 1, "svg_draws": 5,
    "gene_modules": 4, "n_domains": 3, "token_dim": 8, "threads": 1, "device": "cpu",
}  # fmt: skip


@lru_cache
def trained(name: str = "a", seed: int = 0, key: str = "spacex") -> Section:
    """A striped section with a run on it, trained once: copy it before you write on it."""
    section = striped(seed=seed)
    section.name = name
    run("spacex", section, params=settings(), key_added=key)
    return section


def panel(genes: int = 20) -> Section:
    """A section that measured only some of the genes."""
    whole = striped(seed=3)
    return Section(
        whole.adata[:, :genes].copy(), name="panel", platform="visium"
    )  # fmt: skip


def click_row(qtbot, table, row, *, modifier=Qt.KeyboardModifier.NoModifier) -> None:
    """A click of the left button on a row of a table."""
    index = table.model().index(row, 0)
    table.scrollTo(index)
    place = table.visualRect(index).center()
    qtbot.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, modifier, place)


def drag(qtbot, widget, corners) -> None:
    """Press at the first place of a widget, move over the others, release at the last."""
    places = [QPoint(round(x), round(y)) for x, y in corners]
    target = widget.viewport()
    qtbot.mousePress(target, Qt.MouseButton.LeftButton, pos=places[0])
    for place in places[1:]:
        qtbot.mouseMove(target, place)
    qtbot.mouseRelease(target, Qt.MouseButton.LeftButton, pos=places[-1])


def world_of(item) -> np.ndarray:
    """(n_spots, 2) rows and columns of the spots in the world."""
    unit = item.section.um_per_px or 1.0
    return to_rows_columns(item.section.coords) * unit + np.asarray(item.offset)


def check_command(text):
    """Whether the command line takes a line; it is not run."""
    import click as click_library
    import typer

    from napari_stmask import cli_genes

    app = typer.Typer()
    cli_genes.register(app)
    words = shlex.split(text.splitlines()[-1])
    assert words[0] == "napari-stmask"
    group = typer.main.get_command(app)
    context = click_library.Context(group)
    for word in words[1:3]:
        context = click_library.Context(group, parent=context)
        group = group.get_command(context, word)
        assert group is not None, word
    group.make_context(words[2], words[3:])
