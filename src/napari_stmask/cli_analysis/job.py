"""What every command of ``analyse`` shares: options, opening, writing and reporting."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, cast

import typer

from ..core.errors import OutputError
from ..core.progress import Steps

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from ..core.section import Section
    from ..io.domains_of import Partition

__all__ = [
    "Domains",
    "FigureFile",
    "Job",
    "Json",
    "Key",
    "Layer",
    "Out",
    "PathArgument",
    "Write",
    "aligned",
    "finish_values",
    "open_job",
    "plain",
    "watched",
]

T = TypeVar("T")

PathArgument = Annotated[Path, typer.Argument(help="Result of a run.", show_default=False)]
Key = Annotated[str, typer.Option(help="Name of the run, such as 'spamask'.")]
Domains = Annotated[
    str | None,
    typer.Option(help="Column of obs with the domains; default: KEY_refined, else KEY."),
]
Out = Annotated[Path | None, typer.Option(help="Table to write (.csv).")]
FigureFile = Annotated[Path | None, typer.Option("--figure", help="Figure to write (.png ...).")]
Write = Annotated[
    Path | None, typer.Option(help="File for the section with the value of every spot (.h5ad).")
]
Layer = Annotated[
    str | None, typer.Option(help="Layer to use as it is; default: log-normalised counts.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]


@dataclass
class Job:
    """A section that was opened for an analysis, and where the answers go."""

    section: Section
    key: str
    partition: Partition
    domains: pd.Series
    out: Path | None
    figure: Path | None
    write: Path | None

    def finish(
        self,
        facts: Mapping[str, Any],
        lines: list[str],
        as_json: bool,
        *,
        table: pd.DataFrame | None = None,
        figure: Figure | None = None,
        values: Mapping[str, NDArray[np.floating]] | None = None,
    ) -> None:
        """Write what was asked for, then report."""
        from ..analysis.storing import store_values
        from ..cli import emit
        from ..io.atomic import atomic_path
        from ..io.write import write
        from ..viz.plots import save_figure

        if self.write is not None and values is not None:
            store_values(self.section.adata, self.key, values)
            write(self.section, self.write)
        if self.out is not None and table is not None:
            with atomic_path(self.out) as path:
                table.to_csv(path, index=False)
        if self.figure is not None and figure is not None:
            save_figure(figure, self.figure)
        places = (self.write, self.out, self.figure)
        written = [str(path) for path in places if path is not None]
        emit(
            plain({**facts, "domains_from": self.partition.column, "written": written}),
            as_json,
            lines + [f"written to {path}" for path in written],
        )


def open_job(
    path: Path,
    key: str,
    domains: str | None,
    reading: dict[str, Any],
    *,
    out: Path | None = None,
    figure: Path | None = None,
    write: Path | None = None,
) -> Job:
    """Check every path, then read; nothing is computed for an answer that has no place."""
    import pandas as pd

    from ..cli import _read_one
    from ..io.atomic import check_target
    from ..io.domains_of import domains_of
    from ..io.write import check_writable
    from ..viz.plots import check_figure

    if out is not None:
        if out.suffix.lower() != ".csv":
            raise OutputError(f"{out} is no table", "give a name that ends in .csv")
        check_target(out)
    if figure is not None:
        check_figure(figure)
    if write is not None:
        if not _keeps_everything(write):
            raise OutputError(
                f"{write} would not keep the whole section", "use .h5ad, .anndata.zarr or .zarr"
            )
        check_writable(write)
    section = _read_one(path, reading)
    if write is not None:
        check_writable(write, section)
    obs = section.adata.obs
    column = domains or (f"{key}_refined" if f"{key}_refined" in obs else key)
    partition = domains_of(section, column)
    codes = partition.codes.tolist()
    labels = pd.Series(
        pd.Categorical([partition.names[c] if c >= 0 else None for c in codes], partition.names),
        index=section.adata.obs_names,
        name=column,
    )
    return Job(section, key, partition, labels, out, figure, write)


def _keeps_everything(path: Path) -> bool:
    return path.name.lower().endswith((".h5ad", ".zarr"))


def watched(steps: Steps[T]) -> T:
    """Drain with progress bars on stderr."""
    from ..cli_run import watch

    return cast("T", watch(cast("Steps[Any]", steps)))


def plain(value: Any) -> Any:
    """JSON-able copy; numbers that are not finite become null."""
    import numpy as np
    import pandas as pd

    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, pd.DataFrame):
        return plain(value.to_dict(orient="records"))
    if isinstance(value, (list, tuple, np.ndarray)):
        return [plain(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not np.isfinite(value) else value


def aligned(table: pd.DataFrame) -> list[str]:
    """The table as lines of text."""
    return table.to_string(index=False, float_format=lambda v: f"{v:.4g}").splitlines()


def finish_values(
    job: Job,
    facts: dict[str, Any],
    lines: list[str],
    json_out: bool,
    name: str,
    values: NDArray[np.floating],
    label: str,
) -> None:
    """Compare one value a spot between domains, and report."""
    from ..analysis.signatures import by_domain
    from ..viz.plots import violin_figure

    found = by_domain(values, job.domains)
    colors = dict(zip(job.partition.names, job.partition.colors, strict=True))
    facts |= {"summary": found.summary, "kruskal_wallis": {"h": found.h, "p": found.p}}
    lines = lines + aligned(found.summary)
    if found.h is not None:
        lines.append(f"Kruskal-Wallis H = {found.h:.1f}, p = {found.p:.2g}")
    figure = None
    if job.figure is not None:
        figure = violin_figure(found.values, [colors[n] for n in found.values], label=label)
    job.finish(facts, lines, json_out, table=found.summary, figure=figure, values={name: values})
