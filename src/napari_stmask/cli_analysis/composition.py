"""``composition``: domains against another column of the spots."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from .job import Call, aligned, analysis

__all__ = ["composition"]


@analysis("figure")
def composition(
    call: Call,
    *,
    obs: Annotated[str, typer.Option(help="Column of obs: categories or numbers.")],
    by: Annotated[
        Literal["domain", "category"], typer.Option(help="What the bars of --figure add up to.")
    ] = "domain",
) -> None:
    """What domains are made of: shares of categories, or distributions of numbers."""
    from ..analysis.composition import CAUTION, Composition, compose
    from ..viz.composition_figures import shares_figure
    from ..viz.palette import stored_colors
    from ..viz.plots import violin_figure

    job = call.open()
    found = compose(job.section, job.domains, obs)
    notes = [CAUTION]
    if found.left_out:
        notes.append(f"{found.left_out} spots lack a domain or a value and are left out.")
    table = found.table()
    if not isinstance(found, Composition):
        job.finish(
            {"epsilon_squared": found.epsilon_squared, "summary": table},
            [*aligned(table), f"Kruskal-Wallis epsilon squared = {found.epsilon_squared:.3f}"],
            table=table,
            notes=notes,
            figure=lambda: violin_figure(found.values, job.colors_of(found.values), label=obs),
        )
        return
    domains = [str(name) for name in found.counts.index]
    categories = [str(name) for name in found.counts.columns]
    by_category = by == "category"
    colors = job.colors_of(domains) if by_category else stored_colors(None, categories)
    job.finish(
        {"cramers_v": found.cramers_v, "composition": table},
        [*aligned(table), f"Cram\u00e9r's V = {found.cramers_v:.3f}"],
        table=table,
        notes=notes,
        figure=lambda: shares_figure(
            found.shares(by_category=by_category).to_numpy(), domains, categories, colors,
            column=obs, by_category=by_category,
        ),
    )  # fmt: skip
