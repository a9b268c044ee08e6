"""The commands ``genes COMMAND``: questions to the genes of a SpaCEX run."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from .cli import emit, read_one
from .cli_analysis.job import Json, Out, aligned, check_table, plain, save_table
from .cli_reading import with_reading
from .cli_run import watch
from .core.errors import OutputError, ParameterError

if TYPE_CHECKING:
    import pandas as pd

    from .gene_atlas import GeneAtlas

__all__ = ["register"]

_SHOWN = 15
_KEY = "spacex"
_Path = Annotated[Path, typer.Argument(help="Section with a run of SpaCEX.", show_default=False)]
_Key = Annotated[str, typer.Option(help="Name of the run.")]
_Seed = Annotated[int, typer.Option(min=0, help="Same seed, same result.")]
_Null = Annotated[
    Literal["permutation", "zinb"],
    typer.Option(help="Random pictures: shuffled values, or fitted ZINB counts."),
]
_Q = Annotated[float, typer.Option(help="False discovery rate below which a pair counts.")]


def register(app: typer.Typer) -> None:
    """Add the group ``genes``."""
    group = typer.Typer(no_args_is_help=True, help="Ask a SpaCEX run for modules and genes.")
    for name, command in (
        ("modules", _modules),
        ("svgs", _svgs),
        ("partners", _partners),
        ("family", _family),
        ("network", _network),
        ("compare", _compare),
        ("enrichment", _enrichment),
        ("query", _query),
        ("coverage", _coverage),
    ):
        group.command(name)(command)
    app.add_typer(group, name="genes")


@dataclass(frozen=True)
class Asked:
    """The genes that a question is about, and where the answer goes."""

    atlas: GeneAtlas
    out: Path | None
    json_out: bool


def _asking(command: Callable[..., None]) -> Callable[..., None]:
    """Turn ``command(asked, ...)`` into one with the options of path, run, output and reading.

    The table's place is checked before anything is read.
    """
    given = inspect.signature(command, eval_str=True).parameters.items()
    keyword = inspect.Parameter.KEYWORD_ONLY
    every = [
        inspect.Parameter("path", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=_Path),
        *(p for name, p in given if name != "asked"),
        inspect.Parameter("key", keyword, default=_KEY, annotation=_Key),
        inspect.Parameter("out", keyword, default=None, annotation=Out),
        inspect.Parameter("json_out", keyword, default=False, annotation=Json),
    ]

    @functools.wraps(command)
    def wrapped(
        *,
        reading: dict[str, Any],
        path: Path,
        key: str,
        out: Path | None,
        json_out: bool,
        **own: Any,
    ) -> None:
        from .gene_atlas import genes_of

        if out is not None:
            check_table(out)
        command(Asked(genes_of(read_one(path, reading), key), out, json_out), **own)

    wrapped.__signature__ = inspect.Signature(every)  # type: ignore[attr-defined]
    return with_reading(wrapped)


def _finish(
    asked: Asked,
    table: pd.DataFrame,
    *,
    name: str,
    first: Sequence[str] = (),
    facts: dict[str, Any] | None = None,
    columns: Sequence[str] | None = None,
) -> None:
    """Write the table, print its beginning."""
    out = asked.out
    if out is not None:
        save_table(table, out)
    shown = table if columns is None else table[list(columns)]
    lines = [*first, *aligned(shown.head(_SHOWN))]
    if len(table) > _SHOWN:
        lines.append(f"... {len(table)} rows in all")
    written = [] if out is None else [f"written to {out}"]
    every = {name: table, **(facts or {}), "out": None if out is None else str(out)}
    emit(plain(every), asked.json_out, lines + written)


@_asking
def _modules(
    asked: Asked,
    *,
    members: Annotated[
        bool, typer.Option(help="One row a gene with its module and scores, not one a module.")
    ] = False,
) -> None:
    """The gene modules: size, leading genes and how coherent they are on the tissue."""
    table = asked.atlas.table() if members else asked.atlas.module_table()
    first = [f"{len(asked.atlas.genes)} genes in {len(asked.atlas.modules)} modules"]
    _finish(asked, table, name="genes" if members else "modules", first=first)


@_asking
def _svgs(
    asked: Asked,
    *,
    draws: Annotated[int, typer.Option(min=3, help="Random pictures of each gene.")] = 100,
    null: _Null = "permutation",
    seed: _Seed = 0,
) -> None:
    """How spatial every gene is, against random pictures of it."""
    found = watch(asked.atlas.svg_steps(draws=draws, null=null, seed=seed))
    table = found.table(asked.atlas.genes)
    passed = int((table["q"] < 0.05).sum())
    first = [f"{passed} of {len(table)} genes with q < 0.05"]
    _finish(asked, table, name="svgs", first=first, facts={"significant": passed})


@_asking
def _partners(
    asked: Asked,
    *,
    gene: Annotated[str, typer.Option(help="Gene whose like are wanted.")],
    k: Annotated[int, typer.Option(min=1, help="How many.")] = 10,
) -> None:
    """The genes that are most alike to one."""
    _finish(asked, asked.atlas.partners(gene, k=k), name="partners")


@_asking
def _family(
    asked: Asked,
    *,
    genes: Annotated[str, typer.Option(help="Genes of the family, separated by commas.")],
) -> None:
    """A family of genes in the order of their average-linkage tree."""
    import pandas as pd

    tree = asked.atlas.family([g.strip() for g in genes.split(",") if g.strip()])
    table = pd.DataFrame({"gene": [tree.genes[i] for i in tree.order]})
    _finish(asked, table, name="family", facts={"linkage": tree.linkage})


@_asking
def _network(
    asked: Asked,
    *,
    k: Annotated[int, typer.Option(min=1, help="Both genes among each other's k nearest.")] = 10,
    q: _Q = 0.05,
    draws: Annotated[int, typer.Option(min=3, help="Random pictures of each gene.")] = 10,
    hubs: Annotated[int, typer.Option(min=0, help="Hub genes shown of each module.")] = 3,
    seed: _Seed = 0,
) -> None:
    """Pairs of genes that are alike beyond chance, and the hubs of every module."""
    found = watch(asked.atlas.network_steps(k=k, q=q, draws=draws, seed=seed))
    first, facts = [f"{len(found.edges)} edges between {len(asked.atlas.genes)} genes"], {}
    if hubs:
        table = found.hubs(asked.atlas.codes, n=hubs)
        table["module"] = [asked.atlas.modules[code] for code in table["module"]]
        facts["hubs"] = table
        first += [
            f"module {name}: {', '.join(part['gene'])}"
            for name, part in table.groupby("module", sort=False)
        ]
    _finish(asked, found.edges, name="edges", first=first, facts=facts)


@_asking
def _compare(
    asked: Asked,
    *,
    other: Annotated[Path, typer.Option(help="Another section with a run of SpaCEX.")],
    other_key: Annotated[str, typer.Option(help="Name of its run.")] = _KEY,
    q: _Q = 0.05,
    rewired: Annotated[
        bool, typer.Option(help="One row a gene, the most rewired first, not one a pair.")
    ] = False,
) -> None:
    """Relations of genes that differ between two sections."""
    from .gene_atlas import genes_of

    found = watch(asked.atlas.compare_steps(genes_of(read_one(other, {}), other_key), q=q))
    first = [f"{found.n_changed} of {found.n_pairs} pairs changed (q < {q:g})"]
    facts = {"n_changed": found.n_changed, "n_pairs": found.n_pairs}
    table = found.genes if rewired else found.pairs
    _finish(asked, table, name="genes" if rewired else "pairs", first=first, facts=facts)


@_asking
def _enrichment(
    asked: Asked,
    *,
    gene_sets: Annotated[Path, typer.Option(help="Gene sets (.gmt, .csv, .txt).")],
) -> None:
    """Gene sets in the modules, against all genes that were learned from."""
    from .analysis.signatures import read_gene_sets

    table = watch(asked.atlas.enrichment_steps(read_gene_sets(gene_sets)))
    shown = ["module", "set", "overlap", "set_size", "expected", "fold", "p", "q"]
    _finish(asked, table, name="sets", columns=shown)


@_asking
def _query(
    asked: Asked,
    *,
    regions: Annotated[str, typer.Option(help="Column of obs that names the region of a spot.")],
    level: Annotated[
        list[str],
        typer.Option(help="NAME=PERCENT, repeatable: 5 is as high as the top 5 % of genes."),
    ],
    background: Annotated[float, typer.Option(help="Level of all other spots, percent.")] = 95.0,
    draws: Annotated[int, typer.Option(min=1, help="Artificial genes.")] = 20,
    seed: _Seed = 0,
) -> None:
    """Genes that follow a pattern of levels over regions."""
    codes, levels = _drawn(asked.atlas, regions, level)
    table = watch(
        asked.atlas.query_steps(codes, levels, background=background, draws=draws, seed=seed)
    )
    _finish(asked, table, name="genes")


def _drawn(atlas: GeneAtlas, column: str, given: Sequence[str]) -> tuple[Any, dict[int, float]]:
    """Region of each spot and the level of each region."""
    import numpy as np

    obs = atlas.section.adata.obs
    if column not in obs:
        raise ParameterError(
            f"{atlas.section.where} has no column '{column}' in obs",
            f"use one of: {', '.join(map(str, obs.columns))}",
        )
    # A spot without a value is of no region, whatever a missing value is called.
    named = obs[column].astype(str).where(obs[column].notna(), None).to_numpy(dtype=object)
    codes, levels, seen = np.full(len(named), -1), {}, set[str]()
    for number, text in enumerate(given):
        name, levels[number] = _level(text)
        if name in seen:
            raise ParameterError(f"--level names '{name}' twice", "give one level for each region")
        seen.add(name)
        if not (named == name).any():
            known = ", ".join(sorted(set(named) - {None})[:_SHOWN])
            raise ParameterError(f"'{column}' has no '{name}'", f"use one of: {known}")
        codes[named == name] = number
    return codes, levels


def _level(text: str) -> tuple[str, float]:
    """Name and percent of ``NAME=PERCENT``."""
    name, _, percent = text.rpartition("=")
    try:
        level = float(percent)
    except ValueError:
        name = ""
    if not name:
        raise ParameterError(f"--level is '{text}'", "give NAME=PERCENT, such as tumour=5")
    if not 0 < level <= 100:
        raise ParameterError(
            f"the level of '{name}' is {percent}", "use a percentage above 0 and up to 100"
        )
    return name, level


@_asking
def _coverage(
    asked: Asked,
    *,
    target: Annotated[Path, typer.Option(help="Section with a panel of genes.")],
    engine: Annotated[
        Literal["ridge", "gan"],
        typer.Option(help="Closed form, or the published network (slower and weaker)."),
    ] = "ridge",
    write: Annotated[
        Path | None, typer.Option(help="File for the section with imputed genes (.h5ad).")
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds in which the panel grows.")] = 1,
    genes_per_round: Annotated[int, typer.Option(min=1, help="Genes added in each.")] = 110,
    seed: _Seed = 0,
) -> None:
    """Genes that a targeted panel lacks, imputed from this section's."""
    import pandas as pd

    from .gene_atlas import imputed_section
    from .io.write import check_writable
    from .io.write import write as write_section

    if write is not None:
        if not write.name.lower().endswith((".h5ad", ".zarr")):
            raise OutputError(f"{write} would not keep the whole section", "use .h5ad or .zarr")
        check_writable(write)
    panel = read_one(target, {})
    found = watch(
        asked.atlas.coverage_steps(
            panel, engine=engine, rounds=rounds, genes_per_round=genes_per_round, seed=seed
        )
    )
    table = pd.DataFrame({"gene": found.genes, "expected_r": found.confidence}).dropna()
    table = table.sort_values("expected_r", ascending=False, ignore_index=True)
    if write is not None:
        write_section(imputed_section(panel, found, reference=asked.atlas.section.name), write)
    first = [
        f"{len(table)} genes imputed in {panel.n_spots} spots from {len(found.cv)} shared ones",
        f"left-out shared genes: mean r {found.cv['r'].mean():.3f}",
        f"expected against reached r of left-out genes: Spearman {found.ranking:.2f}",
        "imputed values are extrapolations: look at expected_r before using one",
    ]
    facts = {"cv": found.cv, "ranking": found.ranking, "facts": dict(found.facts)}
    _finish(asked, table, name="imputed", first=first, facts=facts)
