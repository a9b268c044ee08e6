"""The commands ``predict METHOD`` and ``evaluate METHOD``: genes from histology."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from .cli import emit, read_one
from .cli_analysis.job import aligned, check_table, plain, save_table
from .cli_options import Json, ParamsFile, Preset
from .cli_run import read_params, watch, with_parameters
from .core.errors import ParameterError
from .core.section import Section

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .core.prediction import Prediction

__all__ = ["SECTION", "read_section", "register"]

_MARK = "::"
SECTION = f"PATH, or PATH{_MARK}IMAGE where its histology lies elsewhere."
_Baselines = Annotated[bool, typer.Option(help="Score predictors without training too.")]
_Genes = Annotated[Path | None, typer.Option(help="Table to write: scores of each gene (.csv).")]


def register(app: typer.Typer) -> None:
    """Add both commands, with one command per method that predicts."""
    from . import models

    for name, text, fixed, action in (
        ("predict", "Predict genes of a section from its histology.", _predict_fixed, _predict),
        ("evaluate", "Score predictions of sections left out in turn.", _eval_fixed, _evaluate),
    ):
        group = typer.Typer(no_args_is_help=True, help=text)
        for method in models.predictors():
            group.command(method, help=text)(with_parameters(method, fixed, action))
        app.add_typer(group, name=name)


def _predict_fixed(
    target: Annotated[str, typer.Argument(help=f"What to predict: an image alone, or {SECTION}")],
    reference: Annotated[
        list[str] | None, typer.Option(help=f"Measured section, repeatable: {SECTION}")
    ] = None,
    model: Annotated[Path | None, typer.Option(help="Saved model instead of references.")] = None,
    grid: Annotated[
        float | None, typer.Option(help="Predict on a grid of so many µm over the tissue.")
    ] = None,
    um_per_px: Annotated[
        float | None, typer.Option(help="Scale of a target that is an image alone.")
    ] = None,
    learn_box: Annotated[
        str | None,
        typer.Option(
            help="X0,Y0,X1,Y1 as the positions are: learn from the spots in it, predict the others."
        ),
    ] = None,
    gap: Annotated[float, typer.Option(help="Gap between both, in distances between spots.")] = 2.0,
    out: Annotated[
        Path | None, typer.Option(help="File for the predicted section; its suffix decides.")
    ] = None,
    genes: _Genes = None,
    save_model: Annotated[
        Path | None, typer.Option(help="Save the trained model (.safetensors).")
    ] = None,
    preset: Preset = None,
    params: ParamsFile = None,
    baselines: _Baselines = True,
    json_out: Json = False,
) -> None:
    """Options of ``predict``; only the signature is used."""


def _eval_fixed(
    sections: Annotated[list[str], typer.Argument(help=f"Measured sections: {SECTION}")],
    leave_out: Annotated[
        Literal["section", "patient"], typer.Option(help="What is left out in turn.")
    ] = "section",
    group: Annotated[
        list[str] | None,
        typer.Option(help="Patient of each section, in their order; default: obs['patient']."),
    ] = None,
    seeds: Annotated[str, typer.Option(help="Seeds of the trainings, as 0,1,2.")] = "0",
    out: Annotated[
        Path | None, typer.Option(help="Table to write: scores of each fold (.csv).")
    ] = None,
    genes: _Genes = None,
    preset: Preset = None,
    params: ParamsFile = None,
    baselines: _Baselines = True,
    on: Annotated[str | None, typer.Option(help="Where to compute: dask://HOST:PORT.")] = None,
    json_out: Json = False,
) -> None:
    """Options of ``evaluate``; only the signature is used."""


def _predict(
    method: str,
    *,
    target: str,
    reference: list[str] | None,
    model: Path | None,
    grid: float | None,
    um_per_px: float | None,
    learn_box: str | None,
    gap: float,
    out: Path | None,
    genes: Path | None,
    save_model: Path | None,
    preset: str | None,
    params: Path | None,
    baselines: bool,
    reading: dict[str, Any],
    json_out: bool,
    values: dict[str, Any],
) -> None:
    from .api import save_model as store_model
    from .io.atomic import check_target
    from .io.write import check_writable, write
    from .prediction import iter_predict

    if out is not None:
        check_writable(out)
    if genes is not None:
        check_table(genes)
    if save_model is not None:
        check_target(save_model)
    goal, grid = _target(target, reading, grid, um_per_px)
    result = watch(
        iter_predict(
            goal,
            [read_section(one, reading) for one in reference or ()],
            method=method,
            model=model,
            pitch=grid,
            learn=None if learn_box is None else _inside(goal, learn_box),
            gap=gap,
            baselines=baselines,
            **_settings(method, preset, params, values),
        )
    )
    if out is not None:
        write(result.section, out)
    if save_model is not None:
        store_model(result, save_model)
    if genes is not None:
        save_table(result.section.adata.var.rename_axis("gene").reset_index(), genes)
    written = [str(path) for path in (out, save_model, genes) if path is not None]
    facts = _facts(result) | {"written": written}
    emit(plain(facts), json_out, _lines(result) + [f"written to {path}" for path in written])


def _facts(result: Prediction) -> dict[str, Any]:
    keep = ("method", "target", "references", "notes", "params", "seconds", "cpu_seconds")
    return {k: result.record[k] for k in keep} | {
        "spots": result.section.n_spots,
        "genes": result.section.n_genes,
        "novel": int(result.section.adata.obs["novel"].sum()),
        "expected_pcc": float(result.section.adata.var["expected_pcc"].mean()),
        "scores": result.record["scores"],
    }


def _lines(result: Prediction) -> list[str]:
    facts = _facts(result)
    first = (
        f"{facts['spots']} spots of {facts['target']}, {facts['genes']} genes, "
        f"learnt from {', '.join(facts['references'])}"
    )
    lines = [first]
    if result.scores is not None:
        lines += _score_lines(result.scores.rename_axis("prediction").reset_index())
    else:
        lines.append(
            f"not measured, so not scored; expected correlation {facts['expected_pcc']:.2f}"
        )
    if facts["novel"]:
        lines.append(f"{facts['novel']} spots have no similar tissue among the references.")
    lines.append(f"{facts['seconds']:.1f} s ({facts['cpu_seconds']:.1f} CPU-s)")
    return lines + [f"note: {note}" for note in facts["notes"]]


def _score_lines(table: Any) -> list[str]:
    shown = ["prediction", "pcc_mean", "pcc_median", "spearman_mean", "rmse", "mae"]
    more = [c for c in ("pcc_sd_seed", "margin") if c in table]
    return aligned(table[shown + more])


def _evaluate(
    method: str,
    *,
    sections: list[str],
    leave_out: str,
    group: list[str] | None,
    seeds: str,
    out: Path | None,
    genes: Path | None,
    preset: str | None,
    params: Path | None,
    baselines: bool,
    on: str | None,
    reading: dict[str, Any],
    json_out: bool,
    values: dict[str, Any],
) -> None:
    from .evaluation import evaluate_steps

    for path in (out, genes):
        if path is not None:
            check_table(path)
    if "seed" in values:
        raise ParameterError("--seed says nothing here", "use --seeds, such as --seeds 0,1,2")
    found = watch(
        evaluate_steps(
            [read_section(one, reading) for one in sections],
            method=method,
            leave_out=leave_out,
            groups=group,
            seeds=_numbers(seeds, int, "--seeds", "0,1,2"),
            baselines=baselines,
            on=on,
            **_settings(method, preset, params, values),
        )
    )
    if out is not None:
        save_table(found.folds, out)
    if genes is not None:
        save_table(found.genes, genes)
    summary = found.summary().rename_axis("prediction").reset_index()
    written = [str(path) for path in (out, genes) if path is not None]
    facts = {"summary": summary, "folds": found.folds, "notes": found.notes, "written": written}
    lines = _score_lines(summary)
    lines.append("Means over targets and seeds; margin: how far the first row is above.")
    lines += [f"note: {note}" for note in found.notes]
    emit(plain(facts), json_out, lines + [f"written to {path}" for path in written])


def read_section(text: str, reading: dict[str, Any]) -> Section:
    """The section behind ``PATH`` or ``PATH::IMAGE``."""
    path, mark, image = text.partition(_MARK)
    return read_one(Path(path), reading | {"image": Path(image)} if mark else reading)


def _target(
    text: str, reading: dict[str, Any], grid: float | None, um_per_px: float | None
) -> tuple[Section, float | None]:
    """What to predict, and at which grid: an image alone is a section that has its own."""
    from .bare_image import image_section
    from .io.guard import JPEG, PNG, TIFF, kind_of

    path = Path(text)
    if path.is_file() and kind_of(path) in (JPEG, PNG, TIFF):
        pitch = {} if grid is None else {"pitch": grid}
        return image_section(path, um_per_px=um_per_px, **pitch), None
    if um_per_px is not None:
        raise ParameterError(
            f"--um-per-px is for an image alone, and {text} is none", "leave it out"
        )
    return read_section(text, reading), grid


def _settings(
    method: str, preset: str | None, params: Path | None, values: dict[str, Any]
) -> dict[str, Any]:
    if params is None:
        return {"preset": preset or "recommended"} | values
    if preset is not None:
        raise ParameterError("--params and --preset were both given", "give one of them")
    return {"preset": "defaults"} | read_params(params, method) | values


def _numbers(text: str, kind: type, option: str, example: str) -> list[Any]:
    try:
        return [kind(part) for part in text.split(",")]
    except ValueError:
        raise ParameterError(f"{option} is '{text}'", f"give numbers as {example}") from None


def _inside(section: Section, text: str) -> NDArray[np.bool_]:
    from .features.regions import inside_box

    box = _numbers(text, float, "--learn-box", "0,0,1000,2000")
    if len(box) != 4:
        raise ParameterError(f"--learn-box has {len(box)} numbers", "give X0,Y0,X1,Y1")
    return inside_box(section.coords, (box[0], box[1], box[2], box[3]))
