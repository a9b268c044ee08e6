"""The options of every command that reads a section, declared once."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from .core.errors import ParameterError

__all__ = ["with_reading"]

_PANEL = "Reading"


def _option(text: str, *flags: str) -> Any:
    return typer.Option(*flags, help=text, rich_help_panel=_PANEL, show_default=False)


def _reading(
    *,
    image: Annotated[
        Path | None, _option("Histology image or OME-Zarr, where it lies elsewhere.")
    ] = None,
    alignment: Annotated[
        Path | None, _option("File with the transform between the image and the spots.")
    ] = None,
    counts_layer: Annotated[str | None, _option("Layer with the raw counts.")] = None,
    filtered: Annotated[
        bool, _option("Only spots under tissue.", "--filtered/--no-filtered")
    ] = True,
    bin: Annotated[  # noqa: A002, the field's word
        str | None, _option("Bin: DNB of Stereo-seq, µm of Visium HD, or 'cell'.")
    ] = None,
    spots: Annotated[Path | None, _option("Table of spot positions.")] = None,
    mask: Annotated[Path | None, _option("Image of the tissue or of the cells.")] = None,
    symbols: Annotated[Path | None, _option("Table from gene identifiers to symbols.")] = None,
    column: Annotated[
        list[str] | None,
        _option("Meaning of a table's column, as ROLE=NAME (id, x, y, gene, count); repeatable."),
    ] = None,
) -> dict[str, Any]:
    """Arguments of `io.read.read`, from those of the command line."""
    return {
        "image": image,
        "alignment": alignment,
        "counts_layer": counts_layer,
        "filtered": filtered,
        "bin": int(bin) if bin is not None and bin.isdecimal() else bin,
        "spots": spots,
        "mask": mask,
        "symbols": symbols,
        "columns": dict(_role(text) for text in column or ()),
    }


def _role(text: str) -> tuple[str, str]:
    role, equals, name = text.partition("=")
    if not (role and equals and name):
        raise ParameterError(f"--column is '{text}'", "give ROLE=NAME, such as x=imagecol")
    return role, name


def with_reading(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of reading to ``command``, which gets them as the dictionary ``reading``."""
    options = inspect.signature(_reading, eval_str=True).parameters
    own = [
        p.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for p in inspect.signature(command, eval_str=True).parameters.values()
        if p.name != "reading"
    ]

    @functools.wraps(command)
    def wrapped(**given: Any) -> None:
        command(reading=_reading(**{name: given.pop(name) for name in options}), **given)

    every = [*own, *options.values()]
    wrapped.__signature__ = inspect.Signature(every)  # type: ignore[attr-defined]
    wrapped.__annotations__ = {p.name: p.annotation for p in every}
    return wrapped
