"""What is shown as a script that repeats it; no Qt."""

from __future__ import annotations

from collections.abc import Sequence

from ...core.provenance import PLACEHOLDER
from ...core.section import Section
from .reading import Choice

__all__ = ["gene_script", "score_script"]


def gene_script(gene: str, choices: Sequence[Choice]) -> str:
    """A script that reads a gene from each source that is ticked."""
    lines, named = ["import napari_stmask as stm", ""], dict[int, str]()
    for choice in choices:
        section = choice.item.section
        if id(section) in named:
            continue
        named[id(section)] = "section" if not named else f"section_{len(named) + 1}"
        lines += _opened(named[id(section)], section)
    if any(choice.source.method for choice in choices):
        lines.append("# What a run added has to be saved with the section before it is read.")
    lines += ["", f"gene = {gene!r}", "values = {"]
    for choice in choices:
        opened = named[id(choice.item.section)]
        lines.append(
            f"    {choice.title!r}: stm.gene_values({opened}, gene, {choice.source.name!r}),"
        )
    return "\n".join([*lines, "}", ""])


def score_script(
    section: Section, genes: Sequence[str], method: str, *, column: str, name: str
) -> str:
    """A script that scores a gene set and keeps the score as a column of ``obs``."""
    lines = [
        "import napari_stmask as stm",
        "from napari_stmask.analysis.gene_set_scores import gene_set_score",
        "",
        *_opened("section", section),
        "",
        "genes = [",
        *(f"    {gene!r}," for gene in genes),
        "]",
        f"score = gene_set_score(section, genes, {method!r}, name={name!r})",
        f"section.adata.obs[{column!r}] = score.values",
        "",
    ]
    return "\n".join(lines)


def _opened(name: str, section: Section) -> list[str]:
    options = "".join(f", {key}={value!r}" for key, value in section.reading.items())
    read = f"stm.read({section.source!r}{options})" if section.source else PLACEHOLDER
    return [f"{name} = {read}"]
