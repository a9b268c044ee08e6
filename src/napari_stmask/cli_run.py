"""The commands that compute: ``run METHOD`` with one option per parameter, and ``demo``."""

from __future__ import annotations

import inspect
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import typer
from tqdm import tqdm

from .cli import emit, has_display
from .cli_options import Baselines, Json, Key, Model, On, ParamsFile, Preset, SaveModel
from .cli_reading import with_reading
from .core.errors import (
    FileFormatError,
    MissingFileError,
    OutputError,
    ParameterError,
    describe_os_error,
)
from .core.params import FieldInfo, Params, describe
from .core.progress import Steps
from .core.result import Result
from .core.section import Section

T = TypeVar("T")

__all__ = ["read_json", "read_params", "register", "watch", "with_parameters"]


def register(app: typer.Typer) -> None:
    """Add ``run`` and ``demo`` to the command line."""
    from . import (
        cli_annotate,
        cli_compare,
        cli_genes,
        cli_integrate,
        cli_predict,
        cli_predicted,
        cli_recluster,
        cli_report,
        models,
    )

    group = typer.Typer(
        no_args_is_help=True, help="Run a method on a section and write the result."
    )
    for name in models.available():
        group.command(name, help=f"Run {name} on a section and write the result.")(
            with_parameters(name, _fixed, _run)
        )
    app.add_typer(group, name="run")
    cli_predict.register(app)
    cli_predicted.register(app)
    cli_genes.register(app)
    cli_integrate.register(app)
    cli_recluster.register(app)
    cli_report.register(app)
    cli_compare.register(app)
    cli_annotate.register(app)
    app.command()(demo)


def _option(field: FieldInfo) -> inspect.Parameter:
    """A keyword of the command for one parameter; None means "as the preset says"."""
    kinds: dict[str, Any] = {"int": int, "float": float, "bool": bool, "text": str}
    kind = Literal[field.choices] if field.kind == "choice" else kinds[field.kind]
    flag = "--" + field.name.replace("_", "-")
    flags = f"{flag}/--no-{flag[2:]}" if field.kind == "bool" else flag
    option = typer.Option(
        flags,
        help=f"{field.description} [default of Visium: {field.default}]",
        rich_help_panel="Advanced parameters" if field.advanced else "Parameters",
        show_default=False,
    )
    return inspect.Parameter(
        field.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[kind | None, option],
    )


def with_parameters(
    method: str,
    fixed: Callable[..., None],
    action: Callable[..., None],
    *,
    also: Sequence[type[Params]] = (),
) -> Callable[..., None]:
    """A command: the options of ``fixed``, one per parameter of ``method``, and of reading.

    ``action`` gets the method, what was given of the parameters as ``values``, and the rest.
    Parameters of the models in ``also`` are options too.
    """
    from .models import params_of

    fields = [f for model in (*also, params_of(method)) for f in describe(model)]

    def command(**options: Any) -> None:
        values = {f.name: options.pop(f.name) for f in fields}
        action(method, values={k: v for k, v in values.items() if v is not None}, **options)

    shared = [
        p.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for p in inspect.signature(fixed, eval_str=True).parameters.values()
    ]
    every = [*shared, *map(_option, fields)]
    command.__signature__ = inspect.Signature(every)  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in every}
    command.__name__ = method
    return with_reading(command)


def _fixed(
    path: Annotated[list[Path], typer.Argument(help="Section: a folder or file.")],
    out: Annotated[Path | None, typer.Option(help="File to write; its suffix decides.")] = None,
    preset: Preset = None,
    params: ParamsFile = None,
    key: Key = None,
    model: Model = None,
    save_model: SaveModel = None,
    baselines: Baselines = True,
    on: On = None,
    json_out: Json = False,
) -> None:
    """Options that every method has; only the signature is used."""


def _run(
    method: str,
    *,
    path: list[Path],
    out: Path | None,
    preset: str | None,
    params: Path | None,
    reading: dict[str, Any],
    key: str | None,
    model: Path | None,
    save_model: Path | None,
    baselines: bool,
    on: str | None,
    json_out: bool,
    values: dict[str, Any],
) -> None:
    from .api import save_model as store_model
    from .compute import submit
    from .io.atomic import check_target
    from .io.read import read_sections
    from .io.write import check_writable, write

    if params is not None and preset is not None:
        raise ParameterError("--params and --preset were both given", "give one of them")
    # Before the work, not after it.
    if out is not None:
        check_writable(out)
    if save_model is not None:
        check_target(save_model)
    sections: list[Section] = []
    for one in path:
        sections += read_sections(one, **reading)
    if out is not None:
        check_writable(out, sections[0])
    given = (read_params(params, method) if params else {}) | values
    result = watch(
        submit(
            method,
            sections,
            on=on,
            preset="defaults" if params else preset or "recommended",
            key_added=key,
            model=model,
            baselines=baselines,
            **given,
        )
    )
    if out is not None:
        write(sections[0], out)
    if save_model is not None:
        store_model(result, save_model)
    facts = summary(result) | {"out": None if out is None else str(out)}
    emit(facts, json_out, report_lines(facts))


def read_params(path: Path, method: str) -> dict[str, Any]:
    """Parameters from a JSON file: the bare values, or the record of a run."""
    from .models import params_of

    data = read_json(path, missing="give a JSON file of parameters", wrong="give a JSON object")
    if not isinstance(data, dict):
        raise FileFormatError(f"{path} holds no JSON object", 'give {"name": value, ...}')
    if isinstance(data.get("params"), dict):  # the record of a run
        if data.get("method", method) != method:
            raise ParameterError(
                f"{path} is a record of '{data['method']}'", f"run '{data['method']}'"
            )
        data = data["params"]
    params_of(method).checked(**data)  # says which one is unknown or out of bounds
    return dict(data)


def read_json(path: Path, *, missing: str, wrong: str) -> Any:
    """What a JSON file holds; ``missing`` and ``wrong`` say what to do where it cannot be read."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise MissingFileError(f"{path} cannot be read ({error.strerror})", missing) from None
    except ValueError as error:
        raise FileFormatError(f"{path} is not JSON ({error})", wrong) from None


def watch(steps: Steps[T]) -> T:
    """Drain a run, one progress bar per phase on stderr."""
    bar: tqdm[Any] | None = None
    phase = ""
    try:
        while True:
            event = next(steps)
            if bar is None or phase != event.phase:
                if bar is not None:
                    bar.close()
                phase = event.phase
                # disable=None: no bar where stderr is a file
                bar = tqdm(
                    total=event.total or None,
                    desc=phase,
                    file=sys.stderr,
                    leave=False,
                    disable=None,
                )
            bar.n = event.step
            bar.set_postfix({k: f"{v:.3f}" for k, v in event.losses.items()}, refresh=False)
            bar.update(0)
            if event.message:
                tqdm.write(event.message, file=sys.stderr)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]
    finally:
        steps.close()
        if bar is not None:
            bar.close()


def summary(result: Result) -> dict[str, Any]:
    """What a script wants to know of a run, JSON-able."""
    record = result.record
    sizes = {str(i + 1): int((result.domains.codes == i).sum()) for i in range(len(result.colors))}
    keep = (
        "method",
        "key",
        "params",
        "device",
        "seconds",
        "cpu_seconds",
        "peak_rss_bytes",
        "notes",
    )
    return {k: record[k] for k in keep} | {"domains": sizes, "scores": result.scores}


def report_lines(facts: dict[str, Any]) -> list[str]:
    """A short report for people."""
    sizes = facts["domains"]
    lines = [
        f"{facts['method']}: {len(sizes)} domains of {', '.join(map(str, sizes.values()))} spots"
    ]
    cost = f"{facts['seconds']:.1f} s ({facts['cpu_seconds']:.1f} CPU-s) on {facts['device']}"
    lines.append(f"{cost}, peak memory {facts['peak_rss_bytes'] / 1e9:.2f} GB")
    for name, row in facts["scores"].items():
        lines.append(f"  {name:14s} PAS {row['PAS']:.3f}  CHAOS {row['CHAOS']:.3f}")
    lines += [f"note: {note}" for note in facts["notes"]]
    if facts.get("out"):
        lines.append(f"written to {facts['out']}")
    return lines


def demo(
    headless: Annotated[bool, typer.Option(help="Write files only, open no window.")] = False,
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("stmask-demo"),
    json_out: Json = False,
) -> None:
    """Run SpaMask on the sample section; leave results and open the viewer."""
    from .io.atomic import atomic_path
    from .io.read import read
    from .io.sample import sample_section
    from .io.spaceranger_writer import write_spaceranger
    from .io.write import check_writable, write
    from .pipeline import iter_run
    from .viz.figure import save_domains_figure

    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(describe_os_error(error, out), "give another folder") from None
    check_writable(out / "sample.h5ad")
    sample = sample_section()
    with tempfile.TemporaryDirectory() as folder:
        # Through the reader, so that the demo shows what a user's own folder does.
        write_spaceranger(sample, Path(folder) / "outs")
        section = read(Path(folder) / "outs", name="sample")
    assert isinstance(section, Section)
    k = sample.adata.obs["ground_truth"].nunique()
    result = watch(iter_run("spamask", section, n_domains=k))
    # Only now: labels that a run could see would be labels that it could use.
    section.adata.obs["ground_truth"] = sample.adata.obs["ground_truth"]
    section.source = None
    write(section, out / "sample.h5ad")
    names = [str(i + 1) for i in range(len(result.colors))]
    save_domains_figure(section, result.domains.codes, names, result.colors, out / "domains.png")
    with atomic_path(out / "params.json") as path:
        path.write_text(json.dumps(result.record["params"], indent=2), encoding="utf-8")
    facts = summary(result) | {"out": str(out)}
    emit(facts, json_out, report_lines(facts))
    if headless or not has_display():
        return
    import napari

    from .gui.view import view

    view(section)
    napari.run()
