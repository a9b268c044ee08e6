"""Questions about the methods, and trained models as files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .compute import submit
from .core.params import Params
from .core.prediction import Prediction
from .core.progress import Steps, drain
from .core.result import Result
from .evaluation import evaluate
from .features import alignment
from .features.alignment import Alignment
from .integration import Integration, iter_integrate
from .io.atomic import atomic_path
from .models import available, get, params_of, predictor, predictors
from .pipeline import Data, as_section
from .prediction import iter_predict, predict

__all__ = [
    "align_sections",
    "apply_model",
    "evaluate",
    "integrate",
    "iter_integrate",
    "iter_predict",
    "iter_run",
    "methods",
    "params",
    "predict",
    "run",
    "save_model",
]


def iter_run(
    method: str, data: Data | Sequence[Data], *, on: str | None = None, **options: Any
) -> Steps[Result]:
    """Run a method as a stream of `Progress` whose return value is the `Result`.

    Closing the stream cancels the run and leaves the data as they were.

    Parameters
    ----------
    method
        Name of the method (`methods` lists them).
    data
        Section, AnnData, path, or a list with one of these. Answers are written onto it.
    on
        Where to compute: None for this process, ``"dask://HOST:PORT"`` for a scheduler.
    **options
        ``preset`` (``"recommended"``, ``"paper"``, ``"defaults"`` or a platform's name),
        ``key_added`` (prefix of everything that is written), ``model`` (a saved model to apply
        instead of training), ``baselines`` (False leaves the two controls out), ``params``
        (complete parameters), or single parameters by name.

    Raises
    ------
    StmaskError
        With one sentence about what is wrong and what to do.
    """
    return submit(method, data, on=on, **options)


def run(method: str, data: Data | Sequence[Data], **options: Any) -> Result:
    """Run a method to its end; see `iter_run` for the parameters."""
    return drain(iter_run(method, data, **options))


def integrate(method: str, data: Sequence[Data], **options: Any) -> Integration:
    """Run a method over several sections as one; see `iter_integrate` for the parameters."""
    return drain(iter_integrate(method, data, **options))


def align_sections(data: Sequence[Data], **options: Any) -> list[Alignment]:
    """Where serial sections lie in the frame of one of them.

    Parameters
    ----------
    data
        Sections, AnnData or paths, in the order of the block.
    **options
        ``method`` (``"outline"``, ``"histology"``), ``flip`` (``"auto"``, ``"never"``),
        ``reference`` (number of the section whose frame is kept), ``use_expression``,
        ``max_residual`` (in distances between spots), ``seed``.

    Returns
    -------
    list of Alignment
        One a section: ``matrix`` (3, 3), ``residual``, ``problem``. `integrate` takes it as
        ``transforms``.
    """
    sections = [as_section(one) for one in data]
    return drain(alignment.align_sections(sections, **options))


def methods() -> dict[str, str]:
    """Name and one-sentence purpose of every method."""
    found = {name: get(name).summary for name in available()}
    return found | {name: predictor(name).summary for name in predictors()}


def params(
    method: str, *, platform: str = "unknown", preset: str = "recommended", **values: Any
) -> Params:
    """Parameters of ``method`` that `run` would use on a section of ``platform``.

    Raises
    ------
    ParameterError
        If the method, the preset or a value is unknown or out of bounds.
    """
    return params_of(method).preset(preset, platform, **values)


def save_model(result: Result | Prediction, path: str | Path) -> Path:
    """Write the model of a result or a prediction to ``path`` (``.safetensors``), atomically.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    path = Path(path)
    with atomic_path(path) as temporary:
        if isinstance(result, Prediction):
            result.state.save(temporary)
        else:
            get(result.record["method"]).save_model(result.fit, temporary)
    return path


def apply_model(
    model: str | Path, data: Data, *, method: str = "spamask", **options: Any
) -> Result:
    """Embed and cluster ``data`` with a saved model, without training.

    Parameters
    ----------
    model
        File that `save_model` wrote.
    data
        Section, AnnData or path with the model's genes.
    method
        Method that the model belongs to.
    **options
        As for `run`, for example ``n_domains``.
    """
    return run(method, data, model=model, **options)
