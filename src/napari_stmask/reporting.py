"""One HTML file about a section and its results: figures, numbers, settings, how to repeat it."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from . import models
from .analysis.domain_facts import domain_facts, top_markers
from .analysis.scores import against_truth
from .core.errors import DataError, OutputError, ParameterError
from .core.params import describe
from .core.provenance import now, read_record, records, versions
from .core.section import PLATFORM_NAMES, Section
from .io.atomic import atomic_path, check_target
from .io.domains_of import Partition, domains_of
from .io.originals import check_originals
from .pipeline import Data, as_section
from .recipes import command_of, python_of
from .viz.curves import curves_figure
from .viz.figure import draw_domains

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["report"]

_SUFFIXES = (".html", ".htm")
_MAX_LABELS = 60
"""Most categories of a column that results are compared with."""
_DPI = 170


def report(data: Data, path: str | Path, *, keys: Sequence[str] | None = None) -> Path:
    """Write one self-contained HTML file about a section and its results.

    Figures lie inside the file; nothing is loaded from elsewhere when it is opened.

    Parameters
    ----------
    data
        Section, AnnData or path, with the results of one run at least.
    path
        ``.html``; appears complete or not at all.
    keys
        Runs to tell of, in this order; all that the section carries by default.

    Returns
    -------
    Path
        ``path``.

    Raises
    ------
    ParameterError
        If there are no results, or a key is none of a run.
    OutputError
        If the path is none of HTML or cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() not in _SUFFIXES:
        raise OutputError(f"{path} has the suffix '{path.suffix}'", "give it the suffix .html")
    check_target(path)
    section = as_section(data)
    check_originals(section, path)
    found = records(section.adata)
    keys = list(found) if keys is None else list(keys)
    unknown = [key for key in keys if key not in found]
    if unknown or not keys:
        what = f"no run '{unknown[0]}' is stored" if unknown else "no run has written anything"
        raise ParameterError(
            f"{section.where}: {what}",
            f"name one of {', '.join(found)}" if found else "run a method first",
        )
    text = _template().render(
        title=section.name,
        made=now(),
        facts=_facts(section),
        notes=section.notes,
        results=[_result(section, key) for key in keys],
        agreement=_agreement(section, keys),
        versions=versions(),
    )
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


def _template() -> Any:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("napari_stmask"), autoescape=True, undefined=StrictUndefined
    )
    return environment.get_template("report.html")


def _facts(section: Section) -> dict[str, str]:
    """What there is to know of the section, in words."""
    image = section.image
    size = (0, 0) if image is None else image.levels[0].shape[:2]
    return {
        "Platform": PLATFORM_NAMES[section.platform],
        "Spots": f"{section.n_spots:,}",
        "Genes": f"{section.n_genes:,}",
        "Scale": f"{section.um_per_px:.4g} \u00b5m per unit" if section.um_per_px else "unknown",
        "Histology": "none" if image is None else f"{size[1]:,} \u00d7 {size[0]:,} pixels",
        "Read from": section.source or "\u2013",
    }


def _result(section: Section, key: str) -> dict[str, Any]:
    """Everything that the page says of one run."""
    record = read_record(section.adata, key)
    method = str(record.get("method", key))
    out: dict[str, Any] = {
        "key": key,
        "method": method,
        "title": method,
        "reference": "",
        "finished": record.get("finished", ""),
        "device": record.get("device", "\u2013"),
        "seconds": record.get("seconds"),
        "notes": record.get("notes", []),
        "scores": _scores(record.get("scores", {})),
        "derived": record.get("derived"),
        "versions": record.get("versions", {}),
        "hashes": record.get("input_sha256", {}),
        "params": _params(method, record.get("params", {})),
        "figure": None,
        "domains": [],
        "curves": None,
        "python": _recipe(python_of, section, key),
        "command": _recipe(command_of, section, key),
    }
    if method in models.available():
        chosen = models.get(method)
        out |= {"title": chosen.title, "reference": chosen.reference}
    if record.get("losses"):
        out["curves"] = _svg(curves_figure(record["losses"]))
    column = f"{key}_refined" if f"{key}_refined" in section.adata.obs else key
    if column in section.adata.obs:
        own = domains_of(section, column)
        out["figure"] = _png(draw_domains(section, own.codes, own.names, own.colors))
        out["domains"] = _domains(section, own, key)
    return out


def _domains(section: Section, own: Partition, key: str) -> list[dict[str, Any]]:
    facts = domain_facts(section, own.codes, len(own.names), key=key)
    try:
        markers = top_markers(section, own.codes, own.names, n=5)
        genes = markers.groupby("domain", observed=True)["gene"].agg(list).to_dict()
    except DataError:
        # No counts are left to find any in.
        genes = {}
    rows = []
    for place, name in enumerate(own.names):
        row = facts.iloc[place]
        rows.append(
            {
                "color": own.colors[place],
                "name": name,
                "spots": f"{int(row['spots']):,}",
                "share": f"{100 * row['share']:.1f} %",
                "area": _number(row["area_mm2"], ".3g"),
                "confidence": _number(row["confidence"], ".2f"),
                "pieces": int(row["pieces"]),
                "markers": ", ".join(genes.get(name, ())),
            }
        )
    return rows


def _params(method: str, params: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Settings with their titles; those that differ from the defaults are marked."""
    known = {}
    if method in models.available():
        known = {field.name: field for field in describe(models.params_of(method))}
    return [
        {
            "title": known[name].title if name in known else name,
            "name": name,
            "value": value,
            "changed": name in known and known[name].default != value,
        }
        for name, value in params.items()
    ]


def _scores(scores: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    table = pd.DataFrame.from_dict({k: dict(v) for k, v in scores.items()}, orient="index")
    rows = [
        (str(name), [_number(value, ".3f") for value in row])
        for name, row in zip(table.index, table.to_numpy(), strict=True)
    ]
    return {"columns": [str(c) for c in table.columns], "rows": rows}


def _agreement(section: Section, keys: Sequence[str]) -> dict[str, Any]:
    """Adjusted Rand index of every result with the others and with what else is categorical."""
    obs = section.adata.obs
    shown = [f"{k}_refined" if f"{k}_refined" in obs else k for k in keys]
    shown = [column for column in shown if column in obs]
    written = {name for key in keys for name in obs if str(name).startswith(key)}
    others = [
        str(name)
        for name in obs
        if name not in written
        and isinstance(obs[name].dtype, pd.CategoricalDtype)
        and 1 < obs[name].nunique() <= _MAX_LABELS
    ]
    columns = [*shown, *others]
    if len(columns) < 2:
        return {"columns": [], "rows": []}
    rows = []
    for one in shown:
        found = [
            "1" if one == other else _number(against_truth(obs[other], obs[one])["ARI"], ".3f")
            for other in columns
        ]
        rows.append((one, found))
    return {"columns": columns, "rows": rows}


def _recipe(write: Any, section: Section, key: str) -> str:
    try:
        return str(write(section, key))
    except ParameterError as error:
        return f"# {error}"


def _number(value: Any, form: str) -> str:
    return "\u2013" if value is None or not np.isfinite(value) else format(float(value), form)


def _png(figure: Figure) -> str:
    """A picture as a data URI."""
    held = io.BytesIO()
    figure.savefig(held, format="png", dpi=_DPI)
    return "data:image/png;base64," + base64.b64encode(held.getvalue()).decode("ascii")


def _svg(figure: Figure) -> str:
    held = io.BytesIO()
    figure.savefig(held, format="svg")
    return "data:image/svg+xml;base64," + base64.b64encode(held.getvalue()).decode("ascii")
