"""The command ``report``: one HTML file about a section and its results."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from .cli import emit, read_one
from .cli_options import Json
from .cli_reading import with_reading

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(name="report")(with_reading(_report))


def _report(
    path: Annotated[Path, typer.Argument(help="Result of a run.", show_default=False)],
    *,
    reading: dict[str, Any],
    out: Annotated[Path, typer.Option(help="File to write (.html).")],
    key: Annotated[
        list[str] | None, typer.Option(help="Run to tell of; may be repeated; default: all.")
    ] = None,
    json_out: Json = False,
) -> None:
    """Write one self-contained HTML file: figures, numbers, settings, how to repeat it."""
    from .io.atomic import check_target
    from .reporting import report

    check_target(out)
    section = read_one(path, reading)
    written = report(section, out, keys=key or None)
    emit({"out": str(written)}, json_out, [f"written to {written}"])
