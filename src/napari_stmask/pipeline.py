"""One run, from a request to answers written on the section."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import scipy.sparse as sp
from anndata import AnnData
from numpy.typing import NDArray

from . import models
from .analysis.baselines import BaselineFeatures, baseline_features
from .analysis.domains import choose_n_domains_steps, cluster_steps, reduce
from .analysis.match import match_codes
from .analysis.refine import smooth_labels
from .analysis.scores import spatial_scores
from .core.errors import DataError, ParameterError, ResourceError
from .core.memory import available_bytes, human, peak_rss_bytes
from .core.params import DomainParams
from .core.progress import Progress, Steps, drain
from .core.provenance import input_hash, run_record
from .core.result import Domains, Fit, Result, key_problem
from .core.section import Section
from .features.graph import knn_graph
from .models.base import Method
from .settings import check_number, settings
from .viz.palette import domain_colors

__all__ = [
    "as_section",
    "baseline_codes",
    "check_key",
    "iter_run",
    "run",
]

Data: TypeAlias = Section | AnnData | str | Path


def as_section(data: Data) -> Section:
    """The section behind a Section, an AnnData, a path or a napari layer of this plugin.

    An AnnData is wrapped, not copied, so that answers land on the caller's object.

    Raises
    ------
    StmaskError
        If the path cannot be read or the data are unusable.
    """
    if isinstance(data, Section):
        return data
    if isinstance(data, AnnData):
        from .io.h5ad import section_from_adata

        return section_from_adata(data)
    if not isinstance(data, str | Path):
        return _section_of_layer(data)
    from .io.read import read_sections

    sections = read_sections(data)
    if len(sections) != 1:
        raise ParameterError(
            f"{data} holds {len(sections)} sections", "read it first and pass the one you want"
        )
    return sections[0]


def _section_of_layer(layer: Any) -> Section:
    """The section that a layer shows; layers of this plugin carry a weak reference to it."""
    metadata = getattr(layer, "metadata", None)
    own = metadata.get("stmask", {}) if isinstance(metadata, dict) else {}
    section = own["section"]() if "section" in own else None
    if not isinstance(section, Section):
        name = getattr(layer, "name", None) or type(layer).__name__
        raise ParameterError(
            f"'{name}' is no section",
            "give a Section, an AnnData, a path, or a layer that this plugin made",
        )
    return section


def iter_run(
    method: str,
    data: Data | Sequence[Data],
    *,
    params: DomainParams | None = None,
    preset: str = "recommended",
    key_added: str | None = None,
    model: str | Path | None = None,
    baselines: bool = True,
    **values: Any,
) -> Steps[Result]:
    """Run a method as a stream of `Progress`; the answers are written in one last step.

    Closing the stream cancels the run and leaves the data as they were.

    Parameters
    ----------
    method
        Name of the method (`available` lists them).
    data
        Section, AnnData, path, or a list with one of these.
    params
        Complete parameters; then ``preset`` and ``values`` must not be given.
    preset
        ``"recommended"`` (by platform), ``"paper"``, ``"defaults"``, or a platform's name.
    key_added
        Prefix of everything that is written; the method's name by default.
    model
        Path of a saved model to apply instead of training.
    baselines
        Also cluster and score the two training-free controls.
    **values
        Single parameters by name.

    Yields
    ------
    Progress

    Returns
    -------
    Result

    Raises
    ------
    StmaskError
        With one sentence about what is wrong and what to do.
    """
    chosen = models.get(method)
    given = list(data) if isinstance(data, Sequence) and not isinstance(data, str) else [data]
    yield Progress(0, 0, "reading")
    sections = [as_section(one) for one in given]
    check_number(chosen, sections)
    params = settings(chosen, sections[0], params, preset, values, model=model)
    key = chosen.name if key_added is None else key_added
    check_key(sections[0], key)
    return (yield from _run(chosen, sections[0], params, key, model, baselines))


def check_key(section: Section, key: str) -> None:
    """Refuse a prefix that would overwrite what is not a run's.

    Raises
    ------
    ParameterError
        With what is in the way.
    """
    problem = key_problem(section.adata, key)
    if problem is not None:
        what, remedy = problem.rsplit(": ", 1)
        raise ParameterError(f"{section.where}: {what}", f"{remedy} (key_added, --key)")


def run(method: str, data: Data | Sequence[Data], **options: Any) -> Result:
    """Run a method to its end; see `iter_run` for the parameters."""
    return drain(iter_run(method, data, **options))


def _run(
    method: Method,
    full: Section,
    params: DomainParams,
    key: str,
    model: str | Path | None,
    with_baselines: bool,
) -> Steps[Result]:
    started, cpu = time.monotonic(), time.process_time()
    # From here on a bare copy: nothing that the run does or sees is the user's own table.
    section = full.bare(obsm=method.extras(full, params, model))
    hashed = input_hash(section)
    _check(method, section, params)
    notes: list[str] = []
    filled = np.diff(section.counts().indptr) > 0
    if not filled.any():
        raise DataError(f"{full.where}: no spot has any counts", "give the matrix of raw counts")
    if not filled.all():
        empty = int((~filled).sum())
        notes.append(f"{empty} spots without any counts were left out.")
        section = section.bare(filled, method.extras(section, params, model))
        if params.n_domains > section.n_spots and not params.auto_domains:
            raise DataError(
                f"{full.where}: only {section.n_spots} spots have counts",
                f"ask for at most {section.n_spots} domains",
            )
    for note in notes:
        yield Progress(0, 0, "checking", message=note)
    if model is None:
        fit = yield from method.fit([section], params)
    else:
        fit = yield from method.apply(model, [section], params)
    yield from _harmonised(fit, section, params)
    fitted = time.monotonic()
    notes += fit.details.pop("notes", [])
    domains = yield from _domains(fit, params)
    asked = domains.details.get("asked", params.n_domains)
    if domains.n_domains != asked:
        notes.append(f"{asked} domains were asked for, the clustering gave {domains.n_domains}.")
        yield Progress(1, 1, "clustering", message=notes[-1])
    if domains.details.pop("at_end", False):
        notes.append(
            f"{asked} domains are the fewest or most that were tried, so their number is a guess: "
            "set it where you know better."
        )
        yield Progress(1, 1, "clustering", message=notes[-1])
    graph = knn_graph(section.coords, min(section.lattice.ring, section.n_spots - 1))
    refined = smooth_labels(domains.codes, graph) if params.smooth_labels else None
    scores = {
        method.name: spatial_scores(section.coords, domains.codes if refined is None else refined)
    }
    views = yield from _views(fit, domains, params, graph)
    scores |= {f"{method.name}, {v}": spatial_scores(section.coords, c) for v, c in views.items()}
    references: dict[str, NDArray[np.intp]] = {}
    if with_baselines:
        references = yield from baseline_codes(section, domains.n_domains, params.seed)
        scores |= {n: spatial_scores(section.coords, c) for n, c in references.items()}
    colors = domain_colors(domains.codes, graph, domains.codes.max() + 1)
    record = run_record(
        method=method.name,
        key=key,
        params=fit.params or params,
        section_sources={full.name: full.source},
        hashes={full.name: hashed},
        extra={
            "device": fit.details.get("device", "cpu"),
            "model": None if model is None else str(model),
            "details": fit.details,
            "clustering": domains.details | {"n_domains": domains.n_domains},
            "losses": {k: [round(x, 6) for x in v] for k, v in fit.history.items()},
            "scores": scores,
            "notes": full.notes + notes,
            "seconds": round(time.monotonic() - started, 3),
            "seconds_training": round(fitted - started, 3),
            "cpu_seconds": round(time.process_time() - cpu, 3),
            "peak_rss_bytes": peak_rss_bytes(),
        },
    )
    result = Result(key, fit, domains, colors, scores, record, refined, references, views)
    if not filled.all():
        result = _expand(result, filled)
    yield Progress(1, 1, "writing")
    result.apply(full.adata)
    return result


def _harmonised(fit: Fit, section: Section, params: DomainParams) -> Steps[None]:
    """Correct the embeddings of joined sections, where their settings ask for it."""
    joint = section.joint
    if joint is None or joint.settings is None or joint.settings.correction != "harmony_embedding":
        return
    from .features.harmony import harmonise

    yield Progress(0, 1, "correcting")
    codes, seed = joint.codes, params.seed
    fit.embedding = harmonise(fit.embedding, codes, seed=seed)
    fit.replicates = [harmonise(e, codes, seed=seed) for e in fit.replicates]
    for name, parts in fit.views.items():
        fit.views[name] = [harmonise(e, codes, seed=seed) for e in parts]


def _check(method: Method, section: Section, params: DomainParams) -> None:
    """Refuse what cannot work before any work is done."""
    if params.n_domains > section.n_spots and not params.auto_domains:
        raise ParameterError(
            f"{params.n_domains} domains were asked of {section.n_spots} spots",
            f"choose between 1 and {section.n_spots} domains",
        )
    if method.needs.image and section.image is None:
        raise DataError(
            f"{section.where}: {method.title} needs a histology image",
            "read the section with image=PATH",
        )
    expected, free = method.estimate([section], params).peak_bytes, available_bytes()
    if expected > free:
        raise ResourceError(
            f"the run would take about {human(expected)} of memory, {human(free)} are free",
            "lower tile_spots or the network's width, or close other programs",
        )


def _domains(fit: Fit, params: DomainParams) -> Steps[Domains]:
    """Cluster the embedding, with as many domains as asked for or as the data support."""
    inputs = [
        reduce(e, params.n_pcs_out, seed=params.seed) for e in fit.replicates or [fit.embedding]
    ]
    n_domains, curve = params.n_domains, fit.curve
    if params.auto_domains:
        if curve:
            n_domains, why = max(curve, key=lambda k: (curve[k], -k)), "explain the section best"
        else:
            joint = reduce(fit.embedding, params.n_pcs_out, seed=params.seed)
            n_domains, curve = yield from choose_n_domains_steps(joint, seed=params.seed)
            why = "are the most stable"
        yield Progress(1, 1, "clustering", message=f"{n_domains} domains {why}.")
    domains = yield from cluster_steps(
        inputs, n_domains, method=params.clustering, seed=params.seed
    )
    domains.details["asked"] = n_domains
    if curve:
        criterion = "tempered_bic" if fit.curve else "stability"
        domains.details["at_end"] = n_domains in (min(curve), max(curve))
        domains.details[criterion] = {str(k): round(v, 4) for k, v in curve.items()}
    return domains


def _views(
    fit: Fit, domains: Domains, params: DomainParams, graph: sp.csr_matrix
) -> Steps[dict[str, NDArray[np.intp]]]:
    """What parts of the input say alone, split and smoothed as the joint answer is."""
    out = {}
    for name, embeddings in fit.views.items():
        parts = [reduce(e, params.n_pcs_out, seed=params.seed) for e in embeddings]
        alone = yield from cluster_steps(
            parts, domains.n_domains, method=params.clustering, seed=params.seed
        )
        codes = smooth_labels(alone.codes, graph) if params.smooth_labels else alone.codes
        out[name] = match_codes(codes, domains.codes)
    return out


def baseline_codes(
    section: Section, n_domains: int, seed: int
) -> Steps[dict[str, NDArray[np.intp]]]:
    """Codes of the two controls, clustered by the same mixture."""
    yield Progress(0, 2, "baselines")
    features: BaselineFeatures = baseline_features(section, seed=seed)
    out = {}
    for name, values in (("pca", features.pca), ("neighbour_pca", features.neighbour_pca)):
        domains = yield from cluster_steps([values], n_domains, method="mixture", seed=seed)
        out[name] = domains.codes
    return out


def _expand(result: Result, filled: NDArray[np.bool_]) -> Result:
    """The result over all spots: those left out are unassigned and have no embedding."""

    def rows(values: NDArray[Any], fill: float) -> NDArray[Any]:
        out = np.full((len(filled), *values.shape[1:]), fill, dtype=values.dtype)
        out[filled] = values
        return out

    place = sp.csr_matrix(
        (np.ones(int(filled.sum()), np.float32), (np.flatnonzero(filled), np.arange(filled.sum()))),
        shape=(len(filled), int(filled.sum())),
    )
    fit = result.fit
    fit.embedding = rows(fit.embedding, np.nan)
    fit.replicates = [rows(e, np.nan) for e in fit.replicates]
    fit.views = {name: [rows(e, np.nan) for e in parts] for name, parts in fit.views.items()}
    fit.inputs = None if fit.inputs is None else rows(fit.inputs, np.nan)
    fit.obsm = {name: rows(values, np.nan) for name, values in fit.obsm.items()}
    if fit.graph is not None:
        fit.graph = (place @ fit.graph @ place.T).tocsr()
    fit.layers = {name: (place @ layer).tocsr() for name, layer in fit.layers.items()}
    result.domains.codes = rows(result.domains.codes, -1)
    result.domains.confidence = rows(result.domains.confidence, 0)
    result.baselines = {name: rows(codes, -1) for name, codes in result.baselines.items()}
    result.views = {name: rows(codes, -1) for name, codes in result.views.items()}
    if result.refined is not None:
        result.refined = rows(result.refined, -1)
    return result
