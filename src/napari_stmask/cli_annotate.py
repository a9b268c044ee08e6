"""The command ``annotate``: regions of a file as a column of the spots."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from .cli import emit, read_one
from .cli_options import Json
from .cli_reading import with_reading

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(name="annotate")(with_reading(_annotate))


def _annotate(
    path: Annotated[Path, typer.Argument(help="Section: a folder or file.", show_default=False)],
    regions: Annotated[
        Path,
        typer.Argument(
            help="GeoJSON of QuPath, or a table of barcode and label.", show_default=False
        ),
    ],
    *,
    reading: dict[str, Any],
    out: Annotated[Path, typer.Option(help="File for the section; its suffix decides.")],
    name: Annotated[
        str | None, typer.Option(help="Column of obs to write; default: annotation.")
    ] = None,
    overlap: Annotated[
        Literal["last", "first", "smallest"],
        typer.Option(help="Which outline counts where several cover a spot."),
    ] = "last",
    json_out: Json = False,
) -> None:
    """Keep the class of each spot, by outlines of QuPath or a table of Loupe Browser."""
    from .annotations import annotate
    from .io.write import check_writable, write

    check_writable(out)
    section = read_one(path, reading)
    column = annotate(section, regions, column=name, overlap=overlap)
    write(section, out)
    counts = {str(k): int(v) for k, v in column.value_counts(sort=False).items()}
    facts = {
        "column": str(column.name),
        "classes": counts,
        "annotated": int(column.notna().sum()),
        "spots": section.n_spots,
        "out": str(out),
    }
    lines = [f"{facts['annotated']:,} of {section.n_spots:,} spots annotated in '{column.name}'"]
    lines += [f"  {key}: {count:,} spots" for key, count in counts.items()]
    emit(facts, json_out, [*lines, f"written to {out}"])
