"""What every command of ``analyse`` shares: options, opening, writing and reporting."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, cast

import typer

from ..cli_reading import with_reading
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
    "Call",
    "Job",
    "Json",
    "Layer",
    "Out",
    "aligned",
    "analysis",
    "check_table",
    "plain",
    "save_table",
    "watched",
]

T = TypeVar("T")

Out = Annotated[Path | None, typer.Option(help="Table to write (.csv).")]
Layer = Annotated[
    str | None, typer.Option(help="Layer to use as it is; default: log-normalised counts.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
_FIRST = ("path", "key", "domains")
"""Options that stand before those of one analysis."""


@dataclass(frozen=True)
class Call:
    """What every analysis is told; its fields are the options, ``reading`` those of reading."""

    path: Annotated[Path, typer.Argument(help="Result of a run.", show_default=False)]
    key: Annotated[str, typer.Option(help="Name of the run, such as 'spamask'.")]
    reading: dict[str, Any]
    domains: Annotated[
        str | None,
        typer.Option(help="Column of obs with the domains; default: KEY_refined, else KEY."),
    ] = None
    out: Out = None
    figure: Annotated[Path | None, typer.Option("--figure", help="Figure to write (.png ...).")] = (
        None
    )
    write: Annotated[
        Path | None,
        typer.Option(help="File for the section with the value of every spot (.h5ad)."),
    ] = None
    json_out: Json = False

    def open(self) -> Job:
        """Check every path, then read; nothing is computed for an answer that has no place."""
        import pandas as pd

        from ..cli import read_one
        from ..io.domains_of import domains_of
        from ..io.write import check_writable
        from ..viz.plots import check_figure

        if self.out is not None:
            check_table(self.out)
        if self.figure is not None:
            check_figure(self.figure)
        if self.write is not None:
            if not self.write.name.lower().endswith((".h5ad", ".zarr")):
                raise OutputError(
                    f"{self.write} would not keep the whole section",
                    "use .h5ad, .anndata.zarr or .zarr",
                )
            check_writable(self.write)
        section = read_one(self.path, self.reading)
        if self.write is not None:
            check_writable(self.write, section)
        refined = f"{self.key}_refined"
        column = self.domains or (refined if refined in section.adata.obs else self.key)
        partition = domains_of(section, column)
        labels = pd.Series(
            pd.Categorical.from_codes(partition.codes, pd.Index(partition.names)),
            index=section.adata.obs_names,
            name=column,
        )
        return Job(self, section, partition, labels)


def analysis(*places: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Turn ``command(call, ...)`` into one that takes the fields of `Call` as options.

    ``figure`` and ``write`` are among them where ``places`` names them.
    """
    shared = {
        name: parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for name, parameter in inspect.signature(Call, eval_str=True).parameters.items()
        if name not in {"reading", "figure", "write"} - {*places}
    }

    def add(command: Callable[..., None]) -> Callable[..., None]:
        own = inspect.signature(command, eval_str=True).parameters.values()

        @functools.wraps(command)
        def wrapped(*, reading: dict[str, Any], **given: Any) -> None:
            told = {name: given.pop(name) for name in shared}
            command(Call(reading=reading, **told), **given)

        every = [
            *(shared[name] for name in _FIRST),
            *(p for p in own if p.name != "call"),
            *(p for name, p in shared.items() if name not in _FIRST),
        ]
        wrapped.__signature__ = inspect.Signature(every)  # type: ignore[attr-defined]
        return with_reading(wrapped)

    return add


@dataclass(frozen=True, eq=False)
class Job:
    """A section that was opened for an analysis, and where the answers go."""

    call: Call
    section: Section
    partition: Partition
    domains: pd.Series

    def colors_of(self, names: Iterable[str]) -> list[str]:
        """The colour of each domain in ``names``."""
        known = dict(zip(self.partition.names, self.partition.colors, strict=True))
        return [known[name] for name in names]

    def finish(
        self,
        facts: Mapping[str, Any],
        lines: Sequence[str],
        *,
        table: pd.DataFrame,
        notes: Sequence[str] | None = None,
        figure: Callable[[], Figure] | None = None,
        values: Mapping[str, NDArray[np.floating]] | None = None,
    ) -> None:
        """Write what was asked for, then report; ``figure`` draws it if it was."""
        from ..analysis.storing import store_values
        from ..cli import emit
        from ..io.write import write
        from ..viz.plots import save_figure

        call, lines = self.call, list(lines)
        # Drawn before anything is written, so that a failure leaves nothing behind.
        drawn = figure() if call.figure is not None and figure is not None else None
        if call.write is not None and values is not None:
            store_values(self.section.adata, call.key, values)
            write(self.section, call.write)
        if call.out is not None:
            save_table(table, call.out)
        if call.figure is not None and drawn is not None:
            save_figure(drawn, call.figure)
        written = [str(p) for p in (call.write, call.out, call.figure) if p is not None]
        facts = {**facts, "domains_from": self.partition.column, "written": written}
        if notes is not None:
            facts["notes"] = notes
            lines += [f"note: {note}" for note in notes]
        emit(plain(facts), call.json_out, lines + [f"written to {path}" for path in written])

    def finish_values(
        self,
        facts: Mapping[str, Any],
        lines: list[str],
        name: str,
        values: NDArray[np.floating],
        label: str,
    ) -> None:
        """Compare one value a spot between domains, and report."""
        from ..analysis.signatures import by_domain
        from ..viz.plots import violin_figure

        found = by_domain(values, self.domains)
        lines = lines + aligned(found.summary)
        if found.h is not None:
            lines.append(f"Kruskal-Wallis H = {found.h:.1f}, p = {found.p:.2g}")
        self.finish(
            {
                **facts,
                "summary": found.summary,
                "kruskal_wallis": {"h": found.h, "p": found.p},
            },
            lines,
            table=found.summary,
            figure=lambda: violin_figure(found.values, self.colors_of(found.values), label=label),
            values={name: values},
        )


def check_table(path: Path) -> None:
    """Refuse what is no ``.csv`` or cannot be written."""
    from ..io.atomic import check_target

    if path.suffix.lower() != ".csv":
        raise OutputError(f"{path} is no table", "give a name that ends in .csv")
    check_target(path)


def save_table(table: pd.DataFrame, path: Path) -> None:
    """Write the table as ``.csv``."""
    from ..io.atomic import atomic_path

    with atomic_path(path) as temporary:
        table.to_csv(temporary, index=False)


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
