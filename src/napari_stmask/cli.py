"""The command line: everything that runs without a window.

Exit code 0 on success and 2 for a user's mistake, with one line on stderr. Progress goes to
stderr; with ``--json`` one JSON object goes to stdout.
"""

from __future__ import annotations

import json
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import cli_analysis
from .cli_reading import with_reading
from .core.errors import ParameterError, StmaskError

if TYPE_CHECKING:
    from .core.section import Section

__all__ = ["app", "main", "whole_app"]

app = typer.Typer(
    name="napari-stmask",
    help="Tissue domains, denoised genes and gene modules of spatial transcriptomics.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
PathArgument = Annotated[
    Path, typer.Argument(help="Section: a folder or file.", show_default=False)
]


def emit(data: dict[str, Any], as_json: bool, lines: list[str]) -> None:
    """Print ``data`` as JSON, or ``lines`` as text, on stdout."""
    typer.echo(json.dumps(data, indent=None, sort_keys=True) if as_json else "\n".join(lines))


@app.command()
def methods(json_out: Json = False) -> None:
    """List the methods and what they answer."""
    from . import models

    found: list[Any] = [models.get(name) for name in models.available()]
    found += [models.predictor(name) for name in models.predictors()]
    rows: dict[str, dict[str, Any]] = {
        m.name: {
            "title": m.title,
            "summary": m.summary,
            "tasks": list(m.tasks),
            "needs_image": m.needs.image,
            "max_sections": m.needs.max_sections,
            "reference": m.reference,
            "doi": m.doi,
        }
        for m in found
    }
    emit(
        rows,
        json_out,
        [
            f"{n:10s} {r['summary']} [{', '.join(r['tasks'])}]\n{'':10s} {r['reference']}"
            for n, r in rows.items()
        ],
    )


@app.command()
def params(
    method: Annotated[str, typer.Argument(help="Name of a method.")],
    platform: Annotated[
        str, typer.Option(help="visium, visium_hd, st, stereoseq, imaging.")
    ] = "unknown",
    preset: Annotated[str, typer.Option(help="recommended, paper, or a platform.")] = "recommended",
    json_out: Json = False,
) -> None:
    """Show a method's parameters, with the values that a run on PLATFORM would use."""
    from .core.params import describe
    from .models import params_of

    model = params_of(method)
    values = model.preset(preset, platform).model_dump(mode="json")
    lines = []
    for f in describe(model):
        span = "|".join(f.choices) if f.choices else ""
        if f.minimum is not None and f.maximum is not None:
            span = f"{f.minimum:g} to {f.maximum:g}"
        lines.append(
            f"--{f.name.replace('_', '-'):18s} {values[f.name]!s:12s} {span:24s} {f.description}"
        )
    emit(values, json_out, lines)


def read_one(path: Path, reading: dict[str, Any]) -> Section:
    """The section that a path holds, read with the arguments of `io.read.read`.

    Raises
    ------
    ParameterError
        If it holds several.
    """
    from .io.read import read_sections

    sections = read_sections(path, **reading)
    if len(sections) > 1:
        names = ", ".join(s.name for s in sections[:5])
        raise ParameterError(
            f"{path} holds {len(sections)} sections ({names})", "give a file of one section"
        )
    return sections[0]


@app.command()
@with_reading
def info(path: PathArgument, *, reading: dict[str, Any], json_out: Json = False) -> None:
    """Say what a file or folder holds."""
    from .core.provenance import records
    from .io.read import read_sections

    facts = []
    for s in read_sections(path, **reading):
        image = None
        if s.image is not None:
            rows, columns = s.image.shape
            image = {"name": s.image.name, "height": rows, "width": columns, "scale": s.image.scale}
        facts.append(
            {
                "name": s.name,
                "platform": s.platform,
                "spots": s.n_spots,
                "genes": s.n_genes,
                "lattice": s.lattice.kind,
                "pitch": round(s.lattice.pitch, 4),
                "um_per_px": None if s.um_per_px is None else round(s.um_per_px, 6),
                "image": image,
                "in_image": None if s.image is None else float(s.image.contains(s.coords).mean()),
                "obs": [str(c) for c in s.adata.obs.columns],
                "runs": sorted(records(s.adata)),
                "notes": s.notes,
            }
        )
    emit({"sections": facts}, json_out, [line for f in facts for line in _info_lines(f)])


def _info_lines(f: dict[str, Any]) -> list[str]:
    scale = "unknown" if f["um_per_px"] is None else f"{f['um_per_px']:.4f} µm/px"
    size = f"{f['spots']} spots x {f['genes']} genes"
    lattice = f"{f['lattice']} lattice, pitch {f['pitch']:g}"
    lines = [f"{f['name']}: {f['platform']}, {size}, {lattice}, {scale}"]
    image = f["image"]
    if image:
        lines.append(
            f"  image {image['name']}: {image['width']} x {image['height']} px, "
            f"{100 * f['in_image']:.0f} % of the spots inside"
        )
    else:
        lines.append("  no histology image")
    lines.append(f"  columns: {', '.join(f['obs']) or 'none'}")
    if f["runs"]:
        lines.append(f"  runs: {', '.join(f['runs'])}")
    return lines + [f"  note: {note}" for note in f["notes"]]


@app.command()
def doctor(json_out: Json = False) -> None:
    """Check the installation: versions, devices, memory, window system."""
    import importlib.util

    import torch

    from .core.memory import available_bytes, human
    from .core.provenance import versions
    from .nn.device import choose_device

    facts: dict[str, Any] = {
        "python": sys.version.split()[0],
        "versions": versions(),
        "device": str(choose_device("auto")),
        "cpu_threads": torch.get_num_threads(),
        "free_memory": human(available_bytes()),
        "display": has_display(),
        "qt": next((q for q in ("PyQt6", "PySide6") if importlib.util.find_spec(q)), None),
    }
    lines = [f"{k}: {v}" for k, v in facts.items() if k != "versions"]
    lines += [f"{k} {v}" for k, v in facts["versions"].items()]
    if facts["qt"] is None:
        lines.append("No Qt binding: pip install 'napari-stmask[gui]' to open the window.")
    emit(facts, json_out, lines)


def has_display() -> bool:
    """Whether a window can be opened here."""
    import os

    if sys.platform in ("win32", "darwin"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


@app.command()
@with_reading
def view(path: PathArgument, *, reading: dict[str, Any]) -> None:
    """Open a section, with its results, in napari."""
    if not has_display():
        raise StmaskError(
            "There is no display to open a window on", "use 'run' or 'info', which need none"
        )
    import napari

    from .gui.view import view as show
    from .io.read import read_sections

    viewer = None
    for section in read_sections(path, **reading):
        viewer = show(section, viewer)
    napari.run()


@app.command()
@with_reading
def convert(
    source: Annotated[Path, typer.Argument(metavar="IN", help="Section to read.")],
    target: Annotated[
        Path, typer.Argument(metavar="OUT", help="File to write; the end of its name decides.")
    ],
    *,
    reading: dict[str, Any],
    domains: Annotated[
        str | None,
        typer.Option(help="Column of obs to write, for .geojson, .loupe.csv and .ome.tif."),
    ] = None,
    embedding: Annotated[
        bool, typer.Option("--embedding", help="Add the embeddings to a .csv or .parquet.")
    ] = False,
    json_out: Json = False,
) -> None:
    """Read a section and write it in another format."""
    from .io.write import check_writable, write

    check_writable(target)
    section = read_one(source, reading)
    write(section, target, column=domains, embedding=embedding)
    facts = {"written": str(target), "spots": section.n_spots, "genes": section.n_genes}
    emit(facts, json_out, [f"{target}: {section.n_spots} spots x {section.n_genes} genes"])


@app.command()
@with_reading
def score(
    result: PathArgument,
    truth: Annotated[str, typer.Option(help="Column of obs with the annotation.")],
    pred: Annotated[
        str | None, typer.Option(help="Column with the domains; default: every run.")
    ] = None,
    *,
    reading: dict[str, Any],
    json_out: Json = False,
) -> None:
    """Compare domains with an annotation, the two training-free controls beside them."""
    from .scoring import score_section

    table = score_section(read_one(result, reading), truth=truth, pred=pred)
    shown = ("ARI", "NMI", "AMI", "PAS", "CHAOS")
    width = max(16, *map(len, table))
    lines = [" " * width + "".join(f"{c:>9s}" for c in shown)]
    lines += [
        f"{n:{width}s}" + "".join(f"{row[c]:9.3f}" for c in shown) for n, row in table.items()
    ]
    first = next(iter(table.values()))
    lines.append(
        f"{first['spots']:.0f} annotated spots; ARI, NMI, AMI: higher is better, PAS, CHAOS: lower."
    )
    emit(table, json_out, lines)


cli_analysis.register(app)


@cache
def whole_app() -> typer.Typer:
    """The command line with the commands of the methods, which are added to `app` only once."""
    from . import cli_run

    cli_run.register(app)
    return app


def main() -> None:
    """Run the command line; a user's mistake ends in one line on stderr and exit code 2."""
    whole = whole_app()
    try:
        whole()
    except StmaskError as error:
        typer.echo(f"napari-stmask: {error}", err=True)
        sys.exit(2)
    except KeyboardInterrupt:
        typer.echo("napari-stmask: cancelled; nothing was changed.", err=True)
        sys.exit(130)


if __name__ == "__main__":
    main()
