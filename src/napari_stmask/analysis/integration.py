"""How well an embedding of several sections mixes them, and what of the tissue is left.

Mixing alone proves nothing: noise mixes best of all, and smoothing over neighbours in other
sections mixes by construction. The scores therefore come in pairs (mixing, biology), and a table
of them has the controls of `mixing_controls` beside a method: the method's mixing counts only
where it exceeds that of the smoothed input.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn import config_context
from sklearn.metrics import silhouette_samples

from ..core.errors import DataError, ParameterError
from ..core.progress import Progress, Steps, drain
from .biology_kept import biology_kept_steps
from .domains import reduce
from .kbet import kbet_acceptance, kbet_size
from .lisi import NEIGHBOURS, calibrated_weights, f1_lisi, inverse_simpson, nearest_rows_steps
from .sampling import stratified_sample

__all__ = ["SCORES", "integration_scores", "integration_scores_steps", "integration_table"]

SCORES = ("iLISI", "cLISI", "F1-LISI", "batch ASW", "kBET", "biology kept")
"""Columns of `integration_table`."""
_WIDE, _N_PCS = 64, 30
_LEAST = 10
_BLOCK = 4096
_SILHOUETTE_SPOTS = 5000
_SILHOUETTE_MIB = 64

Values = NDArray[np.floating[Any]]
Codes = NDArray[np.integer[Any]]


@dataclass(frozen=True, eq=False)
class _Spots:
    """The spots that are scored: which they are and to what they belong."""

    rows: NDArray[np.intp]
    batches: NDArray[np.intp]
    domains: NDArray[np.intp] | None


def integration_scores(
    values: Values,
    batches: NDArray[Any],
    *,
    domains: Codes | None = None,
    before: Values | None = None,
    max_spots: int = 20_000,
    seed: int = 0,
) -> dict[str, float]:
    """Scores of one embedding of several sections.

    Parameters
    ----------
    values
        (n_spots, width) embedding; its first 30 principal components where wider than 64.
    batches
        (n_spots,) section of each spot.
    domains
        (n_spots,) codes of the tissue domains, -1 for none.
    before
        (n_spots, p) principal components of the expression before integration.
    max_spots
        Of more spots, a seeded sample with the same share of each section is scored.
    seed
        Of the sample, the folds and the principal components.

    Returns
    -------
    dict
        ``"iLISI"``: median LISI by section, 1 (apart) to the number of sections (mixed).
        ``"cLISI"``: median LISI by domain, 1 (apart) to the number of domains; lower is better.
        ``"F1-LISI"``: median of `f1_lisi`, 0 to 1. These two only with ``domains``, over spots
        that have one.
        ``"batch ASW"``: one minus the size of the silhouette by section, the mean within each
        domain, then over domains (scIB: Luecken et al., Nature Methods 2022); 0 to 1, higher is
        mixed. NaN where no domain has two sections.
        ``"kBET"``: `kbet_acceptance`, 0 to about 0.95 (perfectly mixed).
        ``"biology kept"``: `biology_kept`, 0 to 1; only with ``before``.

    Raises
    ------
    ParameterError
        If there is one section only, spots without a section, or no domain at all.
    DataError
        If there are fewer than ten spots, arrays differ in length or are not finite.

    Notes
    -----
    O(m² width) time for m scored spots. The silhouette is taken on at most 5,000 of them.
    """
    return drain(
        integration_scores_steps(
            values, batches, domains=domains, before=before, max_spots=max_spots, seed=seed
        )
    )


def integration_scores_steps(
    values: Values,
    batches: NDArray[Any],
    *,
    domains: Codes | None = None,
    before: Values | None = None,
    max_spots: int = 20_000,
    seed: int = 0,
) -> Steps[dict[str, float]]:
    """`integration_scores` as a stream."""
    values = np.asarray(values)
    spots = _spots(batches, domains, max_spots, seed)
    _check(values, before, len(batches))
    yield Progress(0, 1, "scoring the integration")
    values = values[spots.rows]
    if values.shape[1] > _WIDE:
        values = reduce(values, _N_PCS, seed=seed)
    sizes = np.bincount(spots.batches)
    distances, index = yield from nearest_rows_steps(values, NEIGHBOURS)
    weights = yield from _weights(distances)
    mixing = inverse_simpson(weights, spots.batches[index])
    out = {"iLISI": float(np.median(mixing))}
    if spots.domains is not None:
        known = np.flatnonzero(spots.domains >= 0)
        near = index
        if len(known) < len(values):  # spots without a domain are nobody's neighbours
            distances, near = yield from nearest_rows_steps(values[known], NEIGHBOURS)
            weights = yield from _weights(distances)
        apart = inverse_simpson(weights, spots.domains[known][near])
        counts = {"n_batches": len(sizes), "n_domains": int(spots.domains.max()) + 1}
        out["cLISI"] = float(np.median(apart))
        out["F1-LISI"] = float(np.median(f1_lisi(mixing[known], apart, **counts)))
    out["batch ASW"] = yield from _batch_asw(values, spots, seed)
    out["kBET"] = kbet_acceptance(index[:, : kbet_size(sizes) - 1], spots.batches)
    if before is not None:
        old = np.asarray(before)[spots.rows]
        out["biology kept"] = yield from biology_kept_steps(values, old, spots.batches, seed=seed)
    return out


def _spots(batches: NDArray[Any], domains: Codes | None, most: int, seed: int) -> _Spots:
    """The sample that is scored; sections and domains numbered 0, 1, ..."""
    codes, names = pd.factorize(np.asarray(batches), sort=True)
    if (codes < 0).any():
        raise ParameterError(
            f"{int((codes < 0).sum())} spots belong to no section", "leave them out"
        )
    if len(names) < 2:
        raise ParameterError(
            f"all {len(codes)} spots are of one section", "scores of mixing need at least two"
        )
    if len(codes) < _LEAST:
        raise DataError(f"there are {len(codes)} spots", f"score at least {_LEAST}")
    rows = stratified_sample(codes, most, seed=seed)
    if domains is None:
        return _Spots(rows, codes[rows], None)
    if len(domains) != len(codes):
        raise DataError(
            f"{len(domains)} domains were given for {len(codes)} spots", "give one for each spot"
        )
    chosen = np.asarray(domains)[rows]
    if (chosen >= 0).sum() < _LEAST:
        raise ParameterError(
            f"{int((chosen >= 0).sum())} spots have a domain",
            f"give domains of at least {_LEAST} spots, or none at all",
        )
    numbered = np.full(len(rows), -1, dtype=np.intp)
    numbered[chosen >= 0] = np.unique(chosen[chosen >= 0], return_inverse=True)[1]
    return _Spots(rows, codes[rows], numbered)


def _check(values: Values, before: Values | None, n: int) -> None:
    for what, table in (("the embedding", values), ("the expression before", before)):
        if table is None:
            continue
        if np.ndim(table) != 2 or len(table) != n:
            raise DataError(
                f"{what} has the shape {np.shape(table)} for {n} spots", "give one row a spot"
            )
        if not np.isfinite(table).all():
            raise DataError(
                f"{what} has values that are not finite", "leave the spots concerned out"
            )


def _weights(distances: NDArray[np.float64]) -> Steps[NDArray[np.float64]]:
    """`calibrated_weights`, block by block."""
    weights = np.empty_like(distances)
    for start in range(0, len(distances), _BLOCK):
        rows = slice(start, start + _BLOCK)
        weights[rows] = calibrated_weights(distances[rows])
        yield Progress(start, len(distances), "weighing neighbours")
    return weights


def _batch_asw(values: Values, spots: _Spots, seed: int) -> Steps[float]:
    """1 - |silhouette by section|, the mean over domains of the mean over their spots."""
    kept = stratified_sample(spots.batches, _SILHOUETTE_SPOTS, seed=seed)
    batches = spots.batches[kept]
    groups = np.zeros(len(kept), np.intp) if spots.domains is None else spots.domains[kept]
    means = []
    names = np.unique(groups[groups >= 0])
    for done, name in enumerate(names):
        inside = groups == name
        several = np.unique(batches[inside]).size
        if 1 < several < inside.sum():
            with config_context(working_memory=_SILHOUETTE_MIB):
                one = silhouette_samples(values[kept][inside], batches[inside])
            means.append(1 - np.abs(one).mean())
        yield Progress(done + 1, len(names), "comparing sections within domains")
    return float(np.mean(means)) if means else float("nan")


def integration_table(
    embeddings: Mapping[str, Values],
    batches: NDArray[Any],
    domains: Mapping[str, Codes] | None = None,
    before: Values | None = None,
    *,
    max_spots: int = 20_000,
    seed: int = 0,
) -> Steps[pd.DataFrame]:
    """Scores of several embeddings of the same spots: controls first, the method last.

    A method's ``iLISI`` says something only above that of ``"neighbour mean with links across"``
    (`mixing_controls`): links between sections mix whatever is averaged over them. Its
    ``"biology kept"`` is to be held against ``"neighbour mean within sections"``.

    Parameters
    ----------
    embeddings
        Name -> (n_spots, width), in the order of the rows.
    batches
        (n_spots,) section of each spot.
    domains
        Name -> (n_spots,) codes, -1 for none: the domains that were found on that embedding.
        Embeddings that are not named have no scores by domain, and their ``"batch ASW"`` is over
        all spots at once.
    before, max_spots, seed
        See `integration_scores`; all embeddings are scored on the same spots.

    Returns
    -------
    pandas.DataFrame
        One row per embedding, columns `SCORES`, NaN where a score does not apply.

    Raises
    ------
    ParameterError, DataError
        As `integration_scores`; also if ``domains`` names an unknown embedding.
    """
    unknown = sorted(set(domains or {}) - set(embeddings))
    if unknown:
        raise ParameterError(
            f"domains were given for '{unknown[0]}', which is not among the embeddings",
            f"choose among {', '.join(embeddings)}",
        )
    rows: dict[str, dict[str, float]] = {}
    for done, (name, values) in enumerate(embeddings.items()):
        yield Progress(done, len(embeddings), "scoring the integration", message=name)
        rows[name] = yield from integration_scores_steps(
            values,
            batches,
            domains=(domains or {}).get(name),
            before=before,
            max_spots=max_spots,
            seed=seed,
        )
    return pd.DataFrame.from_dict(rows, orient="index").reindex(columns=list(SCORES))
