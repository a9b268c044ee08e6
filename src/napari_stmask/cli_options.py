"""Options that several commands have, declared once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["Baselines", "Json", "Key", "Model", "On", "ParamsFile", "Preset", "SaveModel"]

Preset = Annotated[
    str | None, typer.Option(help="recommended (default), paper, defaults or a platform.")
]
ParamsFile = Annotated[Path | None, typer.Option(help="JSON file with parameters, or a record.")]
Key = Annotated[str | None, typer.Option(help="Prefix of what is written; default: the method.")]
Model = Annotated[Path | None, typer.Option(help="Apply this saved model, train nothing.")]
SaveModel = Annotated[Path | None, typer.Option(help="Save the trained model (.safetensors).")]
Baselines = Annotated[bool, typer.Option(help="Score the training-free controls too.")]
On = Annotated[str | None, typer.Option(help="Where to compute: dask://HOST:PORT.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
