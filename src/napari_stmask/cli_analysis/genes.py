"""``analyse markers``, ``svgs``, ``metagene``, ``emt`` and ``enhancement``: genes and scores."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ..core.errors import ParameterError
from .job import Call, Layer, aligned, analysis, watched

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["emt", "enhancement", "markers", "metagene", "svgs"]

_AGAINST = {
    "rest": "all other spots",
    "touching": "the domains that it touches",
    "adjacent": "the adjacent spots of other domains",
}


@analysis("figure")
def markers(
    call: Call,
    *,
    test: Annotated[
        Literal["wilcoxon", "t-test", "t-test_overestim_var", "logreg"],
        typer.Option(help="How genes are compared; logreg gives no p-values."),
    ] = "wilcoxon",
    against: Annotated[
        Literal["rest", "touching", "adjacent"],
        typer.Option(
            help="All other spots, domains that it touches, or adjacent spots of other domains."
        ),
    ] = "rest",
    other: Annotated[str | None, typer.Option(help="Compare with this one domain instead.")] = None,
    n_genes: Annotated[int, typer.Option(min=1, help="Genes kept for each domain.")] = 50,
    max_p: Annotated[float, typer.Option(min=0, max=1, help="Largest adjusted p.")] = 1.0,
    min_fold: Annotated[
        float, typer.Option(min=0, help="Smallest log2 fold change, in both directions.")
    ] = 0.0,
    min_share: Annotated[
        float,
        typer.Option(min=0, max=1, help="Smallest share of spots, where the gene is higher."),
    ] = 0.0,
    volcano: Annotated[
        str | None, typer.Option(help="Draw the volcano of this domain into --figure.")
    ] = None,
    n_dots: Annotated[int, typer.Option(min=1, help="Genes a domain in the dot plot.")] = 3,
    layer: Layer = None,
) -> None:
    """Genes of each domain against the rest, its neighbours or another domain."""
    from ..analysis.marker_dots import domain_expression
    from ..analysis.markers import marker_steps, passing, top_genes
    from ..viz.marker_figures import dot_figure, volcano_figure

    job = call.open()
    if volcano is not None and volcano not in job.partition.names:
        raise ParameterError(
            f"there is no domain '{volcano}'", f"use one of: {', '.join(job.partition.names)}"
        )
    every = watched(
        marker_steps(
            job.section, job.domains, n_genes=None, test=test, layer=layer, against=against,
            other=other,
        )
    )  # fmt: skip
    notes = every.attrs["notes"]
    keep = passing(every, max_p=max_p, min_fold=min_fold, min_share=min_share)
    table = every[keep].groupby("domain", sort=False).head(n_genes)
    lines = [
        f"{name}: {', '.join(part['gene'].head(8))}"
        for name, part in table.groupby("domain", sort=False)
    ]

    def draw() -> Figure:
        if volcano is not None:
            mine = (every["domain"] == volcano).to_numpy()
            return volcano_figure(
                every[mine], keep[mine], domain=volcano, against=_AGAINST.get(against, "")
                if other is None else f"domain {other}", max_p=max_p, min_fold=min_fold,
            )  # fmt: skip
        groups = top_genes(table, n_dots)
        genes = [gene for part in groups.values() for gene in part]
        shares, means = domain_expression(job.section, job.domains, layer=layer).of(genes)
        return dot_figure(shares, means, groups=groups)

    job.finish({"markers": table}, lines or ["no gene passes"], table=table, notes=notes,
               figure=draw)  # fmt: skip


@analysis("figure")
def svgs(
    call: Call,
    *,
    domain: Annotated[str | None, typer.Option(help="Only this domain; default: all.")] = None,
    layer: Layer = None,
    max_p: Annotated[float, typer.Option(help="Adjusted p below which a gene passes.")] = 0.05,
    min_share: Annotated[float, typer.Option(help="Share of the domain's spots.")] = 0.8,
    min_ratio: Annotated[float, typer.Option(help="Ratio to the neighbours' share.")] = 1.0,
    min_fold: Annotated[float, typer.Option(help="Fold change against the neighbours.")] = 1.5,
) -> None:
    """Genes of each domain against the domains around it (SpaGCN)."""
    import pandas as pd

    from ..analysis.domain_svgs import domain_svgs_steps
    from ..viz.plots import marker_figure

    job = call.open()
    found = watched(
        domain_svgs_steps(
            job.section,
            job.domains,
            None if domain is None else [domain],
            layer=layer,
            max_p=max_p,
            min_share=min_share,
            min_ratio=min_ratio,
            min_fold=min_fold,
        )
    )
    tables = [one.table.assign(domain=one.domain) for one in found if not one.table.empty]
    table = pd.concat(tables) if tables else found[0].table.assign(domain="")
    table = table[["domain", *(c for c in table.columns if c != "domain")]]
    lines = []
    for one in found:
        genes = ", ".join(one.table["gene"].head(8)) or "no gene passes the filters"
        against = ", ".join(one.neighbours) or "none"
        lines.append(f"{one.domain} (against {against}): {genes}")
        lines += [f"  note: {note}" for note in one.notes]
    job.finish(
        {"domains": [asdict(one) for one in found]},
        lines,
        table=table,
        figure=lambda: marker_figure(table, fold="fold_change"),
    )


@analysis("figure", "write")
def metagene(
    call: Call,
    *,
    domain: Annotated[str, typer.Option(help="Domain to mark.")],
    start: Annotated[
        str | None, typer.Option(help="Gene to begin with; default: the first of 'svgs'.")
    ] = None,
    max_rounds: Annotated[int, typer.Option(min=1, help="Most rounds.")] = 5,
    layer: Layer = None,
) -> None:
    """A sum and difference of genes that marks one domain (SpaGCN)."""
    from ..analysis.meta_genes import meta_gene_steps

    job = call.open()
    meta = watched(
        meta_gene_steps(
            job.section, job.domains, domain, start=start, max_rounds=max_rounds, layer=layer
        )
    )
    facts = asdict(meta)
    del facts["values"]
    lines = [
        f"domain {meta.domain}: {' '.join(meta.formula)}",
        f"gap {' -> '.join(f'{g:.3f}' for g in meta.gaps)}",
        f"false spots {' -> '.join(map(str, meta.false_spots))}",
        meta.stopped,
    ]
    job.finish_values(facts, lines, "metagene", meta.values, "Meta-gene (log units)")


@analysis("figure", "write")
def emt(
    call: Call,
    *,
    gene_sets: Annotated[
        Path | None,
        typer.Option(help="File (.gmt, .csv) with sets 'epithelial' and 'mesenchymal'."),
    ] = None,
    layer: Layer = None,
) -> None:
    """Epithelial-mesenchymal score of every spot, compared between domains."""
    from ..analysis.signatures import emt_score, read_gene_sets

    sets = {} if gene_sets is None else read_gene_sets(gene_sets)
    sets = {name.casefold(): genes for name, genes in sets.items()}
    if gene_sets is not None and not {"epithelial", "mesenchymal"} <= set(sets):
        raise ParameterError(
            f"{gene_sets} holds the sets {', '.join(sets)}",
            "name two of them 'epithelial' and 'mesenchymal'",
        )
    job = call.open()
    score = emt_score(
        job.section,
        epithelial=sets.get("epithelial"),
        mesenchymal=sets.get("mesenchymal"),
        layer=layer,
    )
    facts = {"genes": score.used, "missing": score.missing}
    lines = [f"{len(score.used)} genes used"]
    if score.missing:
        lines.append(f"note: not in the section: {', '.join(score.missing)}")
    job.finish_values(facts, lines, "emt", score.values, "EMT score (z)")


@analysis("figure")
def enhancement(
    call: Call,
    *,
    genes: Annotated[
        str | None, typer.Option(help="Genes, separated by commas; default: all enhanced ones.")
    ] = None,
) -> None:
    """How well a gene tells a domain from the rest, before and after it was enhanced."""
    from ..analysis.enhancement import contrast_steps
    from ..viz.plots import contrast_figure

    chosen = None if genes is None else [g.strip() for g in genes.split(",") if g.strip()]
    if chosen is not None and not chosen:
        raise ParameterError("--genes names no gene", "give names, separated by commas")
    job = call.open()
    table = watched(contrast_steps(job.section, job.domains, key=call.key, genes=chosen))
    if chosen is None:
        parts = table.groupby("domain", sort=False)
        lines = [
            f"{name}: median area {part['raw'].median():.3f} -> {part['enhanced'].median():.3f}; "
            f"best {', '.join(part['gene'].head(8))}"
            for name, part in parts
        ]
    else:
        lines = aligned(table)
    lines.append("Area under the ROC curve of a domain against the rest, raw and enhanced.")
    lines.append(
        "The domains were found with these genes: a larger area alone is no evidence for them."
    )
    names = list(dict.fromkeys(table["domain"]))
    job.finish(
        {"contrasts": table},
        lines,
        table=table,
        figure=lambda: contrast_figure(table, job.colors_of(names)),
    )
