"""The command ``compare``: two labelings of the same spots."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from .cli import emit, read_one
from .cli_analysis.job import Out, aligned, check_table, plain, save_table
from .cli_options import Json
from .cli_reading import with_reading

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(name="compare")(with_reading(_compare))


def _compare(
    path: Annotated[Path, typer.Argument(help="Section with labels.", show_default=False)],
    *,
    first: Annotated[str, typer.Option(help="Column of obs: a result or an annotation.")],
    second: Annotated[str, typer.Option(help="Column of obs to compare it with.")],
    reading: dict[str, Any],
    other: Annotated[
        Path | None,
        typer.Option("--with", help="File that has the second column; joined by barcode."),
    ] = None,
    out: Out = None,
    figure: Annotated[Path | None, typer.Option(help="Figure to write (.png ...).")] = None,
    kind: Annotated[
        Literal["confusion", "sankey"], typer.Option(help="What the figure shows.")
    ] = "confusion",
    json_out: Json = False,
) -> None:
    """Compare two labelings of the same spots: scores, partners, where they differ."""
    from .analysis.agreement import compare
    from .io.domains_of import domains_of
    from .viz.agreement_figures import confusion_figure, matched_colors, sankey_figure
    from .viz.plots import check_figure, save_figure

    if out is not None:
        check_table(out)
    if figure is not None:
        check_figure(figure)
    section = read_one(path, reading)
    joined = None if other is None else read_one(other, {})
    found = compare(section, first, second, other=joined)
    if figure is not None:
        counts = found.counts.to_numpy()
        colors = domains_of(section, first).colors
        if kind == "sankey":
            both = colors, matched_colors(colors, found.partner, len(found.names[1]))
            drawn = sankey_figure(counts, found.names, both, found.order, titles=found.titles)
        else:
            drawn = confusion_figure(counts, found.names, colors, found.order, titles=found.titles)
        save_figure(drawn, figure)
    if out is not None:
        save_table(found.table, out)
    scores = found.scores
    written = [str(p) for p in (out, figure) if p is not None]
    shown = found.table.drop(columns=["partner_spots"])
    shown = shown.fillna({"domain": "-", "partner": "-"})
    about = f"{scores['spots']:,.0f} spots, {scores['left_out']:,.0f} left out"
    numbers = "  ".join(f"{name} {scores[name]:.3f}" for name in ("ARI", "NMI", "AMI"))
    said = [
        f"{first} and {second}: {about}",
        f"{numbers}  in partners {scores['agreeing']:.1%}",
        *aligned(shown),
        *(f"written to {name}" for name in written),
    ]
    facts = {
        "first": first,
        "second": second,
        "scores": dict(scores),
        "domains": found.table,
        "counts": {str(name): row.to_dict() for name, row in found.counts.iterrows()},
        "written": written,
    }
    emit(plain(facts), json_out, said)
