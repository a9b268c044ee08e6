"""The commands that look at results: ``analyse ...``, ``composition``, ``denoising``, ``join``."""

from __future__ import annotations

import typer

from .composition import composition
from .denoising import denoising
from .genes import emt, enhancement, markers, metagene, svgs
from .tissue import attention, heterogeneity, join, quality, trajectory

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add ``analyse``, ``composition``, ``denoising`` and ``join`` to the command line."""
    group = typer.Typer(no_args_is_help=True, help="Ask a result for genes, order and mixture.")
    commands = (
        markers, svgs, metagene, enhancement, trajectory, attention, heterogeneity, emt, quality,
    )  # fmt: skip
    for command in commands:
        group.command(command.__name__)(command)
    app.add_typer(group, name="analyse")
    app.command()(composition)
    app.command()(join)
    app.command()(denoising)
