"""The commands ``recluster`` and ``subcluster``: other partitions of a finished run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from .cli import emit, read_one
from .cli_options import Json
from .cli_reading import with_reading
from .cli_run import watch
from .core.errors import ParameterError
from .core.progress import Steps
from .core.result import Result
from .core.section import Section

__all__ = ["register"]

_Path = Annotated[Path, typer.Argument(help="Result of a run.", show_default=False)]
_Key = Annotated[str, typer.Option(help="Name of the run, such as 'spamask'.")]
_Count = Annotated[int | None, typer.Option(min=1, max=100, help="Number of domains or parts.")]
_Auto = Annotated[bool, typer.Option("--auto", help="Choose the most stable number, 2 to 15.")]
_Clustering = Annotated[
    Literal["mixture", "kmeans", "leiden"] | None,
    typer.Option(help="How the embedding is split; default: as the run did."),
]
_Seed = Annotated[int | None, typer.Option(min=0, help="Of the clustering; default: as the run.")]
_Added = Annotated[str | None, typer.Option(help="Prefix of what is written.")]
_Out = Annotated[Path, typer.Option(help="File for the section; its suffix decides.")]


def register(app: typer.Typer) -> None:
    """Add both commands."""
    app.command()(with_reading(recluster))
    app.command()(with_reading(subcluster))


def recluster(
    path: _Path,
    *,
    key: _Key,
    out: _Out,
    reading: dict[str, Any],
    n_domains: _Count = None,
    auto: _Auto = False,
    clustering: _Clustering = None,
    smooth: Annotated[
        bool | None, typer.Option(help="Remove single odd spots; default: as the run.")
    ] = None,
    seed: _Seed = None,
    key_added: _Added = None,
    json_out: Json = False,
) -> None:
    """Find another number of domains in the embedding of a run, without training."""
    from .reclustering import recluster_steps

    asked = _number(n_domains, auto)
    section = _open(path, reading, out)
    steps = recluster_steps(
        section,
        key,
        n_domains=asked,
        clustering=clustering,
        smooth=smooth,
        seed=seed,
        key_added=key_added,
    )
    _finish(section, steps, out, json_out)


def subcluster(
    path: _Path,
    *,
    key: _Key,
    within: Annotated[
        list[str], typer.Option(help="Domain or region to divide; several are divided as one.")
    ],
    out: _Out,
    reading: dict[str, Any],
    regions: Annotated[
        str | None, typer.Option(help="Column of obs with the regions; default: the domains.")
    ] = None,
    n_domains: _Count = None,
    auto: _Auto = False,
    clustering: _Clustering = None,
    seed: _Seed = None,
    key_added: _Added = None,
    json_out: Json = False,
) -> None:
    """Divide a domain or a region by the embedding of a run; other spots keep their domain."""
    from .reclustering import subcluster_steps

    asked = _number(n_domains, auto)
    section = _open(path, reading, out)
    steps = subcluster_steps(
        section,
        key,
        within,
        column=regions,
        n_domains=asked,
        clustering=clustering,
        seed=seed,
        key_added=key_added,
    )
    _finish(section, steps, out, json_out)


def _number(n_domains: int | None, auto: bool) -> int | None:
    if auto == (n_domains is not None):
        raise ParameterError(
            "the number of domains is not clear", "give --n-domains NUMBER or --auto, one of both"
        )
    return n_domains


def _open(path: Path, reading: dict[str, Any], out: Path) -> Section:
    from .io.write import check_writable

    check_writable(out)
    return read_one(path, reading)


def _finish(section: Section, steps: Steps[Result], out: Path, json_out: bool) -> None:
    from .io.write import write

    result = watch(steps)
    write(section, out)
    counts = [int((result.domains.codes == i).sum()) for i in range(len(result.names))]
    sizes = dict(zip(result.names, counts, strict=True))
    facts = {"key": result.key, "domains": sizes, "scores": result.scores, "out": str(out)}
    lines = [f"{result.key}: {len(sizes)} domains"]
    lines += [f"  {name}: {count:,} spots" for name, count in sizes.items()]
    emit(facts, json_out, [*lines, f"written to {out}"])
