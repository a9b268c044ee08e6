"""The commands ``predicted region`` and ``predicted enrichment``: questions to a prediction."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .cli import emit, read_one
from .cli_analysis.job import Json, Out, aligned, check_table, plain, save_table
from .cli_predict import SECTION, read_section
from .cli_reading import with_reading
from .cli_run import watch
from .core.errors import DataError, ParameterError

if TYPE_CHECKING:
    from .core.section import Section

__all__ = ["register"]

_PROBABILITY = "region_probability"
_Predicted = Annotated[Path, typer.Argument(help="Predicted section, as 'predict --out' wrote it.")]
_SHOWN = 15


def register(app: typer.Typer) -> None:
    """Add the group ``predicted``."""
    group = typer.Typer(no_args_is_help=True, help="Ask a predicted section for regions and sets.")
    group.command("region")(_region)
    group.command("enrichment")(_enrichment)
    app.add_typer(group, name="predicted")


def _open(path: Path) -> tuple[Section, dict[str, Any]]:
    """A predicted section and how it was made.

    Raises
    ------
    DataError
        If it is a measured one.
    """
    from .core.prediction import prediction_record

    section = read_one(path, {})
    record = prediction_record(section)
    if record is None:
        raise DataError(f"{path} is no predicted section", "give a file of 'predict --out'")
    return section, record


@with_reading
def _region(
    predicted: _Predicted,
    *,
    reference: Annotated[list[str], typer.Option(help=f"Annotated section, repeatable: {SECTION}")],
    labels: Annotated[str, typer.Option(help="Column of obs with the annotation.")],
    positive: Annotated[
        list[str], typer.Option(help="Label that makes up the region, repeatable.")
    ],
    truth: Annotated[
        str | None, typer.Option(help=f"Annotated target, for scores: {SECTION}")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="File for the section with the probability (.h5ad).")
    ] = None,
    reading: dict[str, Any],
    json_out: Json = False,
) -> None:
    """Learn a region, such as tumour, on annotated references; find it in the prediction."""
    from .analysis.region_transfer import find_region
    from .io.write import check_writable, write

    if out is not None:
        check_writable(out)
    section, record = _open(predicted)
    if out is not None:
        check_writable(out, section)
    references = [read_section(one, reading) for one in reference]
    unknown = {s.name for s in references} - set(record["references"])
    if unknown:
        raise ParameterError(
            f"{', '.join(sorted(unknown))} is no reference of {predicted}",
            f"give some of: {', '.join(record['references'])}",
        )
    found = watch(
        find_region(
            section,
            references,
            _spots(references, section, record),
            column=labels,
            positive=positive,
            kind=record["expression"],
            target=None if truth is None else read_section(truth, reading),
        )
    )
    section.adata.obs[_PROBABILITY] = found.probability
    if out is not None:
        write(section, out)
    inside = int(found.inside.sum())
    facts = {
        "inside": inside,
        "spots": section.n_spots,
        "learnt_from": found.learnt_from,
        "scores": found.scores,
        "out": None if out is None else str(out),
    }
    first = (
        f"{inside} of {section.n_spots} spots are rather {', '.join(positive)}; learnt from "
        f"{found.learnt_from} annotated reference spots"
    )
    lines = [first]
    if found.scores is not None:
        lines.append(
            f"against the target's labels: AUROC {found.scores['auroc']:.3f}, ARI "
            f"{found.scores['ari']:.3f} ({found.scores['labelled']:.0f} spots)"
        )
    elif truth is not None:
        lines.append("not scored: the target's labels do not say both inside and outside")
    emit(plain(facts), json_out, lines + ([f"written to {out}"] if out is not None else []))


def _spots(references: list[Section], predicted: Section, record: dict[str, Any]) -> Any:
    """Reference spots that may be learnt from.

    Where one part of a section was predicted from the other, only the other: what lies farther
    from the prediction than the gap.
    """
    import numpy as np
    import pandas as pd

    from .features.regions import with_guard

    tables = []
    for section in references:
        names = section.adata.obs_names.astype(str)
        usable = np.ones(len(names), dtype=bool)
        if record["gap"] is not None and section.name == record["target"]:
            asked = names.isin(predicted.adata.obs_names)
            gap = record["gap"] * section.lattice.pitch
            usable = with_guard(section.coords, asked, gap)[1]
        tables.append(pd.DataFrame({"section": section.name, "spot": names[usable]}))
    return pd.concat(tables, ignore_index=True)


def _enrichment(
    predicted: _Predicted,
    *,
    sets: Annotated[Path, typer.Option(help="Gene sets (.gmt, .csv, .txt).")],
    region: Annotated[
        bool,
        typer.Option(help="Genes of the region that 'predicted region' found, not the best ones."),
    ] = False,
    most: Annotated[int, typer.Option(min=1, help="Genes chosen at most.")] = 50,
    out: Out = None,
    json_out: Json = False,
) -> None:
    """Gene sets among the best predicted genes, or those of a region, against the panel."""
    from .analysis.predicted_sets import enriched_steps
    from .analysis.signatures import read_gene_sets

    if out is not None:
        check_table(out)
    section, _ = _open(predicted)
    inside = None
    if region:
        if _PROBABILITY not in section.adata.obs:
            raise DataError(
                f"{predicted} knows no region", "run 'predicted region' with --out, and give that"
            )
        inside = section.adata.obs[_PROBABILITY].to_numpy() > 0.5
    found = watch(enriched_steps(section, read_gene_sets(sets), inside=inside, most=most))
    if out is not None:
        save_table(found.table, out)
    lines = [f"{len(found.chosen)} genes of a panel of {section.n_genes}"]
    shown = found.table[["set", "overlap", "set_size", "expected", "fold", "p", "q"]]
    lines += aligned(shown.head(_SHOWN))
    facts = {
        "chosen": list(found.chosen),
        "panel": section.n_genes,
        "sets": found.table,
        "out": None if out is None else str(out),
    }
    emit(plain(facts), json_out, lines + ([f"written to {out}"] if out is not None else []))
