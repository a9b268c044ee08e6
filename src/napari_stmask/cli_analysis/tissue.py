"""``analyse trajectory``, ``heterogeneity``, ``attention`` and ``quality``, and ``join``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ..cli_reading import with_reading
from ..core.errors import ParameterError
from .job import Call, Json, aligned, analysis, plain, watched

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["attention", "heterogeneity", "join", "quality", "trajectory"]


@analysis("figure", "write")
def trajectory(
    call: Call,
    *,
    root: Annotated[str | None, typer.Option(help="Name of the spot where time begins.")] = None,
    root_domain: Annotated[
        str | None, typer.Option(help="Domain in which time begins, instead of a spot.")
    ] = None,
    root_gene: Annotated[
        str | None, typer.Option(help="Gene instead: time begins where it is highest.")
    ] = None,
    invert: Annotated[
        bool, typer.Option("--invert", help="Let time end there instead of beginning.")
    ] = False,
    n_neighbors: Annotated[int, typer.Option(min=2, help="Links of a spot.")] = 15,
    umap: Annotated[bool, typer.Option("--umap", help="Compute a UMAP too.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of the solver and of UMAP.")] = 0,
) -> None:
    """Which domains pass into one another (PAGA), and the order of the spots (pseudotime)."""
    import pandas as pd

    from ..analysis.trajectory import trajectory_steps
    from ..viz.plots import graph_figure

    job = call.open()
    rooted = any(start is not None for start in (root, root_domain, root_gene))
    if call.write is not None and not rooted and not umap:
        raise ParameterError(
            "without a root there is no value of a spot to write",
            "give --root-domain, --root-gene or --root",
        )
    found = watched(
        trajectory_steps(
            job.section,
            job.domains,
            key=call.key,
            root=root,
            root_domain=root_domain,
            root_gene=root_gene,
            invert=invert,
            n_neighbors=n_neighbors,
            umap=umap,
            seed=seed,
        )
    )
    names = job.section.adata.obs_names
    values: dict[str, NDArray[np.floating]] = {}
    if found.root is not None:
        values["pseudotime"] = found.pseudotime
    if found.umap is not None:
        values["umap"] = found.umap
    median = pd.Series(found.pseudotime).groupby(job.domains.to_numpy(), observed=True).median()
    links = [
        (float(found.connectivities[i, j]), found.domains[i], found.domains[j])
        for i in range(len(found.domains))
        for j in range(i)
        if found.connectivities[i, j] > 0
    ]
    links.sort(reverse=True)
    lines = ["links between domains, 1 is as many as by chance or more:"]
    lines += [f"  {a} - {b}: {weight:.3f}" for weight, a, b in links]
    if found.root is not None:
        end = " (time ends there)" if found.inverted else ""
        lines.append(f"root: {names[found.root]}{end}; median pseudotime:")
        lines += [f"  {name}: {value:.3f}" for name, value in median.sort_values().items()]
    sizes = job.domains.value_counts().reindex(list(found.domains)).to_numpy()
    spots = {"spot": names, "domain": job.domains.to_numpy(), "pseudotime": found.pseudotime}
    job.finish(
        {
            "domains": found.domains,
            "connectivities": found.connectivities,
            "root": None if found.root is None else names[found.root],
            "inverted": found.inverted,
            "median_pseudotime": median.to_dict() if found.root is not None else None,
        },
        lines,
        table=pd.DataFrame(spots),
        notes=found.notes,
        figure=lambda: graph_figure(
            found.connectivities, found.positions, found.domains, job.partition.colors, sizes
        ),
        values=values,
    )


@analysis("figure", "write")
def heterogeneity(
    call: Call,
    *,
    n_neighbors: Annotated[
        int | None, typer.Option(min=1, help="Nearest spots; default: the first ring.")
    ] = None,
    radius_um: Annotated[float | None, typer.Option(help="Radius in µm instead.")] = None,
    permutations: Annotated[int, typer.Option(min=0, help="Shuffles for z-scores.")] = 100,
    seed: Annotated[int, typer.Option(min=0, help="Of the shuffles.")] = 0,
) -> None:
    """How mixed the tissue is around each spot, and which domains touch."""
    from ..analysis.heterogeneity import heterogeneity_steps
    from ..viz.plots import composition_figure

    job = call.open()
    found = watched(
        heterogeneity_steps(
            job.section,
            job.domains,
            n_neighbors=n_neighbors,
            radius_um=radius_um,
            n_permutations=permutations,
            seed=seed,
        )
    )
    enrichment = None if found.enrichment is None else found.enrichment.to_numpy()
    contacts = found.contacts.to_string(float_format=lambda v: f"{v:.3f}").splitlines()
    job.finish(
        {
            "summary": found.summary,
            "domains": found.domains,
            "contacts": found.contacts.to_numpy(),
            "enrichment": enrichment,
        },
        [*aligned(found.summary), "shares of the neighbours, by row:", *contacts],
        table=found.summary.join(found.contacts.add_prefix("contact_").reset_index(drop=True)),
        figure=lambda: composition_figure(
            found.contacts.to_numpy(), found.domains, found.domains, job.partition.colors
        ),
        values={"entropy": found.entropy, "boundary": found.boundary},
    )


@analysis("figure", "write")
def attention(
    call: Call,
    *,
    spot: Annotated[str, typer.Option(help="Name of the spot that looks.")],
    part: Annotated[
        Literal["expression", "image"], typer.Option(help="Which attention of the run.")
    ] = "expression",
) -> None:
    """Which spots a spot attends to in a run of MMSRL, and how far away they are."""
    from ..analysis.attention import attention_from, spread
    from ..viz.plots import composition_figure

    job = call.open()
    found = attention_from(job.section, call.key, spot, part=part, domains=job.domains)
    table, names = found.table, found.table["domain"].tolist()
    job.finish(
        {
            "spot": spot,
            "part": part,
            "effective_spots": found.effective,
            "within": {
                reach: {"weight": weight, "spots": spots}
                for reach, (weight, spots) in found.reach.items()
            },
            "domains": table,
        },
        [*spread(found), *aligned(table)],
        table=table,
        figure=lambda: composition_figure(
            found.shares,
            ("weight", "spots"),
            names,
            job.colors_of(names),
            label="Share",
            rows_label="",
        ),
        values={"attention_weight": found.weights},
    )


@analysis()
def quality(
    call: Call,
    *,
    seed: Annotated[int, typer.Option(min=0, help="Of the sample of spots.")] = 0,
    max_spots: Annotated[int, typer.Option(min=10, help="Spots of the silhouette.")] = 5000,
) -> None:
    """How compact and separate the domains are in the embedding, without labels."""
    import pandas as pd

    from ..analysis.inputs import embedding_of
    from ..analysis.quality import embedding_quality

    job = call.open()
    found = embedding_quality(
        embedding_of(job.section, call.key), job.domains, seed=seed, max_spots=max_spots
    )
    facts = asdict(found)
    notes = facts.pop("notes")
    better = {
        "silhouette": "higher is better",
        "davies_bouldin": "lower is better",
        "calinski_harabasz": "higher is better",
        "s_dbw": "lower is better",
    }
    lines = [
        f"{name:18s} {'none' if facts[name] is None else format(facts[name], '.4f')}  ({word})"
        for name, word in better.items()
    ]
    lines.append("These compare partitions of one embedding; do not choose its size by them.")
    job.finish(facts, lines, table=pd.DataFrame([facts]), notes=notes)


@with_reading
def join(
    path: Annotated[list[Path], typer.Argument(help="Two or more sections.")],
    out: Annotated[Path, typer.Option(help="File to write (.h5ad).")],
    *,
    reading: dict[str, Any],
    placement: Annotated[
        Literal["as_is", "row"],
        typer.Option(help="as_is: parts of one piece of tissue in one frame. row: side by side."),
    ] = "as_is",
    gap_um: Annotated[
        float | None, typer.Option(min=0, help="Distance in a row; default: ten pitches.")
    ] = None,
    json_out: Json = False,
) -> None:
    """Put several sections into one file with true scale, for one run over all of them."""
    from ..cli import emit
    from ..core.joining import join_sections
    from ..io.read import read_sections
    from ..io.write import check_writable, write

    check_writable(out)
    sections = [s for one in path for s in read_sections(one, **reading)]
    joined = join_sections(sections, placement=placement, gap_um=gap_um)
    write(joined, out)
    sizes = joined.adata.obs["section"].value_counts(sort=False).to_dict()
    facts = {
        "written": str(out),
        "sections": sizes,
        "genes": joined.n_genes,
        "notes": joined.notes,
    }
    lines = [f"{out}: {joined.n_spots} spots x {joined.n_genes} genes"]
    lines += [f"  {name}: {size} spots" for name, size in sizes.items()]
    emit(plain(facts), json_out, lines + [f"  note: {note}" for note in joined.notes])
