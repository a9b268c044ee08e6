"""Other partitions from the embedding of a finished run: another number, or one domain divided.

Nothing is trained: what a run has stored in ``obsm`` is clustered again, in seconds.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .analysis.domains import choose_n_domains_steps, cluster_steps, reduce
from .analysis.match import partners
from .analysis.refine import smooth_labels
from .analysis.scores import spatial_scores
from .core.errors import ParameterError
from .core.params import DomainParams
from .core.progress import Progress, Steps, drain
from .core.provenance import now, read_record, records, versions
from .core.result import Domains, Fit, Result
from .core.section import Section
from .features.graph import knn_graph
from .io.domains_of import domains_of
from .pipeline import Data, as_section, check_key
from .viz.palette import unused_colors

__all__ = ["divided_steps", "recluster", "recluster_steps", "subcluster", "subcluster_steps"]

_FEWEST = 10
"""Spots that a part must have, so that it can be divided at all."""


def recluster(section: Data, key: str, **options: Any) -> Result:
    """Cluster the embedding of a run again; see `recluster_steps` for the parameters."""
    return drain(recluster_steps(section, key, **options))


def subcluster(section: Data, key: str, within: str | Sequence[str], **options: Any) -> Result:
    """Divide a domain, or a region, of a run; see `subcluster_steps` for the parameters."""
    return drain(subcluster_steps(section, key, within, **options))


def recluster_steps(
    section: Data,
    key: str,
    *,
    n_domains: int | None = None,
    clustering: str | None = None,
    smooth: bool | None = None,
    seed: int | None = None,
    key_added: str | None = None,
) -> Steps[Result]:
    """Split the spots again by the embedding that the run ``key`` stored, without training.

    The stored embedding holds the replicates of a run side by side and is clustered as one; a
    run whose replicates voted may therefore differ a little at the same number of domains.

    Parameters
    ----------
    section
        Section, AnnData or path, with ``obsm["X_<key>"]`` and the record of the run.
    key
        Name under which the run wrote.
    n_domains
        How many; None lets their stability choose (2 to 15).
    clustering
        ``"mixture"``, ``"kmeans"`` or ``"leiden"``; as the run by default.
    smooth
        Whether single odd spots are removed; as the run by default.
    seed
        Of the clustering; as the run by default.
    key_added
        Prefix of what is written; ``<key>_k<n_domains>`` by default.

    Yields
    ------
    Progress

    Returns
    -------
    Result
        Written onto the section. Domains keep the colours and numbers' order of the partition
        of ``key`` that they overlap most.

    Raises
    ------
    ParameterError
        If the run or its embedding is not there, or more domains are asked for than there are
        spots.
    """
    found = as_section(section)
    params = _params(found, key, n_domains, clustering, smooth, seed)
    name = key_added or (f"{key}_k{n_domains}" if n_domains else f"{key}_auto")
    check_key(found, name)
    started = time.monotonic()
    embedding, known = _embedding(found, key)
    reduced = reduce(embedding[known], params.n_pcs_out, seed=params.seed)
    asked = n_domains
    if asked is None:
        yield Progress(0, 1, "clustering", message="Choosing the number of domains.")
        asked, _ = yield from choose_n_domains_steps(reduced, seed=params.seed)
    domains = yield from cluster_steps([reduced], asked, method=params.clustering, seed=params.seed)
    codes = _over_all(domains.codes, known, -1)
    confidence = _over_all(domains.confidence, known, 0.0)
    width = int(codes.max()) + 1
    colors = _inherited(found, key, codes, width)
    how = {
        "call": "recluster",
        "key": key,
        "n_domains": n_domains,
        "clustering": params.clustering,
        "smooth": params.smooth_labels,
        "seed": params.seed,
    }
    result = _result(
        found,
        name,
        replace(domains, codes=codes, confidence=confidence),
        [str(i + 1) for i in range(width)],
        colors,
        how,
        params.smooth_labels,
        started,
    )
    yield Progress(1, 1, "writing")
    result.apply(found.adata)
    return result


def subcluster_steps(
    section: Data,
    key: str,
    within: str | Sequence[str],
    *,
    column: str | None = None,
    n_domains: int | None = 2,
    clustering: str | None = None,
    seed: int | None = None,
    key_added: str | None = None,
) -> Steps[Result]:
    """Divide some spots by the embedding of a run; all other spots keep their domain.

    Parameters
    ----------
    section
        Section, AnnData or path, with ``obsm["X_<key>"]`` and the record of the run.
    key
        Name under which the run wrote.
    within
        Names of the domains, or of the regions, whose spots are divided together.
    column
        Column of ``obs`` that ``within`` is about; the domains of the run by default.
    n_domains
        How many parts; None lets their stability choose (2 to 15).
    clustering, seed
        As for `recluster_steps`.
    key_added
        Prefix of what is written; ``<key>_sub`` by default.

    Yields
    ------
    Progress

    Returns
    -------
    Result
        Written onto the section: the domains of ``key`` with the parts, which are called
        ``<within>.1``, ``<within>.2`` and so on, the largest first, after the others. Domains
        whose every spot went into a part are left out.

    Raises
    ------
    ParameterError
        If the run, the column or the names are not there, or too few spots are meant.
    """
    found = as_section(section)
    params = _params(found, key, n_domains, clustering, None, seed)
    name = key_added or f"{key}_sub"
    check_key(found, name)
    started = time.monotonic()
    own = domains_of(found, _shown_column(found, key))
    wanted = [within] if isinstance(within, str) else list(within)
    chosen = domains_of(found, column) if column else own
    missing = [w for w in wanted if w not in chosen.names]
    if missing or not wanted:
        what = ", ".join(f"'{m}'" for m in missing) or "nothing"
        raise ParameterError(
            f"{found.where}: obs['{chosen.column}'] has no {what}",
            f"name one or more of {', '.join(chosen.names[:12])}",
        )
    rows = np.flatnonzero(np.isin(chosen.codes, [chosen.names.index(w) for w in wanted]))
    parts = yield from divided_steps(
        found, key, rows, n_domains, clustering=params.clustering, seed=params.seed
    )
    label = "+".join(wanted)
    codes, names, colors = _with_parts(own, rows, parts.codes, label)
    confidence = _confidence(found, key)
    confidence[rows] = parts.confidence
    how = {
        "call": "subcluster",
        "key": key,
        "within": wanted,
        "column": column,
        "n_domains": n_domains,
        "clustering": params.clustering,
        "seed": params.seed,
    }
    result = _result(
        found,
        name,
        Domains(codes, confidence, parts.method, parts.details),
        names,
        colors,
        how,
        False,
        started,
    )
    yield Progress(1, 1, "writing")
    result.apply(found.adata)
    return result


def divided_steps(
    section: Section,
    key: str,
    rows: NDArray[np.intp],
    n_parts: int | None,
    *,
    clustering: str | None = None,
    seed: int | None = None,
) -> Steps[Domains]:
    """Parts of the spots ``rows`` by the embedding of the run ``key``; nothing is written.

    Returns
    -------
    Domains
        ``codes`` and ``confidence`` of ``rows``, in their order; -1 for spots that the run left
        out.

    Raises
    ------
    ParameterError
        If fewer than 10 spots, or fewer than parts, are meant.
    """
    params = _params(section, key, n_parts, clustering, None, seed)
    embedding, known = _embedding(section, key)
    inside = known[rows]
    usable = rows[inside]
    if usable.size < max(_FEWEST, n_parts or 2):
        raise ParameterError(
            f"{section.where}: {usable.size} spots are too few to divide",
            f"choose {max(_FEWEST, n_parts or 2)} spots at least",
        )
    # Of these spots alone: what separates whole domains would hide what differs inside one.
    reduced = reduce(embedding[usable], params.n_pcs_out, seed=params.seed)
    if n_parts is None:
        yield Progress(0, 1, "clustering", message="Choosing the number of parts.")
        n_parts, _ = yield from choose_n_domains_steps(reduced, seed=params.seed)
    found = yield from cluster_steps([reduced], n_parts, method=params.clustering, seed=params.seed)
    return replace(
        found,
        codes=_over_all(found.codes, inside, -1),
        confidence=_over_all(found.confidence, inside, 0.0),
    )


def _params(
    section: Section,
    key: str,
    n_domains: int | None,
    clustering: str | None,
    smooth: bool | None,
    seed: int | None,
) -> DomainParams:
    """Settings of the run ``key`` with what is asked now, checked as the run's own are."""
    adata = section.adata
    if key not in records(adata) or f"X_{key}" not in adata.obsm:
        known = ", ".join(k for k in records(adata) if f"X_{k}" in adata.obsm) or "none"
        raise ParameterError(
            f"{section.where}: no run '{key}' with an embedding is stored",
            f"name a run (found: {known}), or run a method first",
        )
    asked: dict[str, Any] = {
        "n_domains": n_domains,
        "clustering": clustering,
        "smooth_labels": smooth,
        "seed": seed,
    }
    record = read_record(adata, key)
    own = {k: v for k, v in record.get("params", {}).items() if k in DomainParams.model_fields}
    own |= {k: v for k, v in asked.items() if v is not None}
    return DomainParams.checked(**own)


def _embedding(section: Section, key: str) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """(n_spots, width) embedding, and which spots have one."""
    embedding = np.asarray(section.adata.obsm[f"X_{key}"], dtype=np.float32)
    return embedding, np.asarray(np.isfinite(embedding).all(axis=1))


def _over_all(values: NDArray[Any], known: NDArray[np.bool_], fill: float) -> NDArray[Any]:
    out = np.full(len(known), fill, dtype=values.dtype)
    out[known] = values
    return out


def _shown_column(section: Section, key: str) -> str:
    """Column of the run's domains: smoothed where it smoothed."""
    smooth = f"{key}_refined"
    return smooth if smooth in section.adata.obs else key


def _confidence(section: Section, key: str) -> NDArray[np.float32]:
    """Of the run; 1 where it did not store any."""
    obs = section.adata.obs
    if f"{key}_confidence" in obs:
        return np.array(obs[f"{key}_confidence"], dtype=np.float32)
    return np.ones(section.n_spots, dtype=np.float32)


def _inherited(section: Section, key: str, codes: NDArray[np.intp], width: int) -> list[str]:
    """Colours of the run's domains for those that overlap them most, others unused ones."""
    own = domains_of(section, _shown_column(section, key))
    partner = partners(codes, own.codes)
    free = iter(unused_colors([own.colors[m] for m in partner.values()], width))
    return [own.colors[partner[c]] if c in partner else next(free) for c in range(width)]


def _with_parts(
    own: Any, rows: NDArray[np.intp], parts: NDArray[np.intp], label: str
) -> tuple[NDArray[np.intp], list[str], list[str]]:
    """Codes, names and colours of a partition in which ``rows`` are divided."""
    codes = own.codes.copy()
    codes[rows] = np.where(parts >= 0, len(own.names) + parts, -1)
    left = np.unique(codes[codes >= 0])
    n_parts = int(parts.max()) + 1
    names = [*own.names, *(f"{label}.{i + 1}" for i in range(n_parts))]
    # Parts of a domain that is gone begin with its colour.
    freed = [own.colors[i] for i in range(len(own.names)) if i not in left]
    colors = [*own.colors, *(freed + unused_colors(own.colors, n_parts))[:n_parts]]
    table = np.full(len(names) + 1, -1, dtype=np.intp)
    table[left] = np.arange(len(left))
    return table[codes], [names[i] for i in left], [colors[i] for i in left]


def _result(
    section: Section,
    name: str,
    domains: Domains,
    names: list[str],
    colors: list[str],
    how: dict[str, Any],
    smooth: bool,
    started: float,
) -> Result:
    """The partition as a result of its own, whose record says what it was made from."""
    graph = knn_graph(section.coords, min(section.lattice.ring, section.n_spots - 1))
    placed = domains.codes >= 0
    refined = None
    if smooth and placed.all():
        refined = smooth_labels(domains.codes, graph)
    shown = domains.codes if refined is None else refined
    parent = read_record(section.adata, str(how["key"]))
    record = {
        "schema": parent.get("schema"),
        "method": parent["method"],
        "key": name,
        "params": parent["params"]
        | {
            "n_domains": domains.n_domains,
            "auto_domains": how["n_domains"] is None,
            "clustering": how["clustering"],
            "smooth_labels": smooth,
            "seed": how["seed"],
        },
        "derived": how,
        "parent": {k: parent[k] for k in ("params", "derived", "parent", "joint") if k in parent},
        "sections": parent.get("sections", {}),
        "versions": versions(),
        "finished": now(),
        "clustering": domains.details | {"n_domains": domains.n_domains},
        "scores": {parent["method"]: spatial_scores(section.coords[placed], shown[placed])},
        "notes": [],
        "seconds": round(time.monotonic() - started, 3),
    }
    fit = Fit(embedding=np.asarray(section.adata.obsm[f"X_{how['key']}"], dtype=np.float32))
    return Result(
        name, fit, domains, colors, dict(record["scores"]), record, refined, names=tuple(names)
    )
