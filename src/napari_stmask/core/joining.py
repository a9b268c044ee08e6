"""Several sections as one, in one frame with true scale, and the way back.

Image features depend on each section's own histology: compute them first and keep them in
``obsm``; the joined section has no image.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any, Literal

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from .errors import DataError, ParameterError
from .joint import JOINED
from .provenance import read_record, records
from .result import key_problem
from .section import Section

__all__ = ["Placement", "common_scales", "join_sections", "section_labels", "split_joined"]

Placement = Literal["as_is", "row"]
_GAP_PITCHES = 10
"""Default gap of a row; too wide for any spot's nearest neighbours to lie across it."""


def join_sections(
    sections: Sequence[Section],
    *,
    placement: Placement = "as_is",
    gap_um: float | None = None,
    offsets: NDArray[np.floating[Any]] | Sequence[tuple[float, float]] | None = None,
    genes: Sequence[str] | Literal["intersection"] = "intersection",
    name: str = "joined",
) -> Section:
    """Put several sections into one, for a run over all of them.

    Coordinates become micrometres, so that sections scanned at different resolutions keep their
    true size. Where no section's scale is known they stay as they are, and a note says so.

    Parameters
    ----------
    sections
        Two or more; not changed.
    placement
        ``"as_is"``: each where its own coordinates put it, for parts of one piece of tissue that
        share a frame. ``"row"``: from left to right in the order given, tops aligned, so that no
        spot has neighbours in another section.
    gap_um
        Clear distance between sections in a row, in micrometres (in units of the coordinates
        where the scale is unknown); None takes ten times the largest pitch.
    offsets
        (n_sections, 2) shift (x, y) of each section in the same unit, added to its own
        coordinates; for ``"as_is"``.
    genes
        ``"intersection"`` keeps genes that all sections have, in the first one's order; or names
        of genes that all have. A gene that one section did not measure is never filled with 0.
    name
        Of the joined section.

    Returns
    -------
    Section
        ``obs["section"]``: categorical, in the order given (``uns["stmask_joined"]``). Names of
        spots begin with that of their section if any name occurs in two. ``X``: counts. ``obsm``:
        tables of equal width that all have. ``obs``: columns that all have. What runs wrote is
        left out. ``platform`` is the common one or ``"unknown"``, ``um_per_px`` 1 where scales
        are known.

    Raises
    ------
    ParameterError
        If fewer than two sections are given, or placement, gap, offsets or genes make no sense.
    DataError
        If only some scales are known, or there is no common gene.
    """
    if len(sections) < 2:
        raise ParameterError(f"{len(sections)} sections were given", "give two or more")
    if placement not in ("as_is", "row"):
        raise ParameterError(f"placement is '{placement}'", "use as_is or row")
    if placement == "row" and offsets is not None:
        raise ParameterError("offsets were given for a row", "use placement as_is")
    if placement == "as_is" and gap_um is not None:
        raise ParameterError("a gap was given without a row", "use placement row")
    labels = section_labels(sections)
    scales, notes = common_scales(sections, labels)
    places = [s.coords * scale for s, scale in zip(sections, scales, strict=True)]
    pitches = [s.lattice.pitch * scale for s, scale in zip(sections, scales, strict=True)]
    if placement == "row":
        places = _row(places, _GAP_PITCHES * max(pitches) if gap_um is None else gap_um)
    elif offsets is not None:
        places = _shifted(places, np.asarray(offsets, dtype=np.float64))
    notes += _overlaps(places, pitches, labels)
    common = _genes(sections, genes)
    counts = [s.counts()[:, s.adata.var_names.get_indexer(common)] for s in sections]
    adata = AnnData(
        sp.vstack(counts, format="csr"),
        obs=_obs(sections, labels),
        var=pd.DataFrame(index=common),
    )
    adata.obsm["spatial"] = np.concatenate(places)
    adata.uns[JOINED] = np.array(labels)
    for key, parts in _common_obsm(sections).items():
        adata.obsm[key] = np.concatenate(parts)
    diameter, more = _diameter(sections, scales)
    platforms = {s.platform for s in sections}
    known = sections[0].um_per_px is not None
    return Section(
        adata,
        name=name,
        um_per_px=1.0 if known else None,
        platform=platforms.pop() if len(platforms) == 1 else "unknown",
        spot_diameter=diameter,
        notes=notes
        + more
        + [
            f"{label}: {note}"
            for s, label in zip(sections, labels, strict=True)
            for note in s.notes
        ],
    )


def section_labels(sections: Sequence[Section]) -> list[str]:
    """One name a section; those that occur again are numbered."""
    labels: list[str] = []
    for s in sections:
        label, i = s.name, 2
        while label in labels:
            label, i = f"{s.name}-{i}", i + 1
        labels.append(label)
    return labels


def common_scales(sections: Sequence[Section], labels: list[str]) -> tuple[list[float], list[str]]:
    """Factor from each section's coordinates to the common unit, and what was assumed.

    Raises
    ------
    DataError
        If only some scales are known.
    """
    unknown = [label for s, label in zip(sections, labels, strict=True) if s.um_per_px is None]
    if not unknown:
        return [float(s.um_per_px or 1.0) for s in sections], []
    if len(unknown) < len(sections):
        raise DataError(
            f"the scale of {', '.join(unknown)} is unknown while that of others is known",
            "give um_per_px for every section, or for none",
        )
    note = "The scale of no section is known: their coordinates are taken to have one unit."
    return [1.0] * len(sections), [note]


def _row(places: list[NDArray[np.float64]], gap: float) -> list[NDArray[np.float64]]:
    if not (np.isfinite(gap) and gap >= 0):
        raise ParameterError(f"gap_um is {gap}", "give a number from 0")
    out, right = [], 0.0
    for place in places:
        moved = place - place.min(axis=0) + (right, 0.0)
        out.append(moved)
        right = float(moved[:, 0].max()) + gap
    return out


def _shifted(
    places: list[NDArray[np.float64]], offsets: NDArray[np.float64]
) -> list[NDArray[np.float64]]:
    if offsets.shape != (len(places), 2) or not np.isfinite(offsets).all():
        raise ParameterError(
            f"offsets have shape {offsets.shape} for {len(places)} sections",
            "give one finite x and y for each",
        )
    return [place + shift for place, shift in zip(places, offsets, strict=True)]


def _overlaps(
    places: list[NDArray[np.float64]], pitches: list[float], labels: list[str]
) -> list[str]:
    """Notes on sections that lie on one another, which serial sections in one frame do."""
    notes = []
    trees = [cKDTree(place) for place in places]
    for i in range(len(places)):
        for j in range(i + 1, len(places)):
            near = 0.5 * min(pitches[i], pitches[j])
            hit = np.isfinite(trees[i].query(places[j], distance_upper_bound=near)[0]).sum()
            if hit:
                notes.append(
                    f"{hit} spots of {labels[j]} lie on spots of {labels[i]}: if these are "
                    "different pieces of tissue, place them in a row."
                )
    return notes


def _genes(sections: Sequence[Section], genes: Sequence[str] | str) -> pd.Index:
    common: pd.Index = sections[0].adata.var_names
    for s in sections[1:]:
        common = common[common.isin(s.adata.var_names)]
    if isinstance(genes, str):
        if genes != "intersection":
            raise ParameterError(f"genes is '{genes}'", "use 'intersection' or a list of names")
        if not len(common):
            raise DataError(
                "the sections have no gene in common",
                "check that all name genes the same way, as symbols or as identifiers",
            )
        return common
    chosen = pd.Index(list(dict.fromkeys(genes)))
    missing = chosen[~chosen.isin(common)]
    if len(missing) or not len(chosen):
        raise ParameterError(
            f"{len(missing)} of the genes named are not in every section "
            f"({', '.join(map(str, missing[:5]))})"
            if len(missing)
            else "no gene was named",
            "name genes that all sections have",
        )
    return chosen


def _obs(sections: Sequence[Section], labels: list[str]) -> pd.DataFrame:
    """Columns that all sections have, the section of each spot, and unique names."""
    columns = [
        c
        for c in sections[0].adata.obs.columns
        if c != "section"
        and all(c in s.adata.obs and ("obs", str(c)) not in _of_runs(s) for s in sections)
    ]
    names = _spot_names(sections, labels)
    obs = pd.DataFrame(index=pd.Index(np.concatenate([n.to_numpy() for n in names])))
    for c in columns:
        parts = [s.adata.obs[c] for s in sections]
        whole = pd.concat(parts, ignore_index=True)
        # Categories that differ between sections come out as text.
        categorical = all(isinstance(p.dtype, pd.CategoricalDtype) for p in parts)
        whole.index = obs.index
        obs[c] = whole.astype("category") if categorical else whole
    of = np.repeat(labels, [s.n_spots for s in sections])
    obs["section"] = pd.Categorical(of, categories=labels)
    return obs


def _of_runs(section: Section) -> set[tuple[str, str]]:
    """Slots that runs wrote; domain 1 of one section is not domain 1 of another."""
    adata = section.adata
    return {
        (str(slot), str(name))
        for key in records(adata)
        for slot, name in read_record(adata, key).get("slots", [])
    }


def _spot_names(sections: Sequence[Section], labels: list[str]) -> list[pd.Index]:
    names = [s.adata.obs_names.astype(str) for s in sections]
    if names[0].append(names[1:]).is_unique:
        return names
    return [f"{label}_" + own for label, own in zip(labels, names, strict=True)]


def _common_obsm(sections: Sequence[Section]) -> dict[str, list[NDArray[Any]]]:
    """Numeric tables of equal width that every section has."""
    out = {}
    for key in sections[0].adata.obsm:
        parts = [s.adata.obsm.get(key) for s in sections]
        if key == "spatial" or any(("obsm", str(key)) in _of_runs(s) for s in sections):
            continue
        if not all(
            isinstance(p, np.ndarray) and p.ndim == 2 and p.dtype.kind in "fiu" for p in parts
        ):
            continue
        if len({p.shape[1] for p in parts}) == 1:
            out[str(key)] = parts
    return out


def _diameter(sections: Sequence[Section], scales: list[float]) -> tuple[float | None, list[str]]:
    """Diameter in the common unit where all know theirs; the median where they differ."""
    known = [
        s.spot_diameter * scale
        for s, scale in zip(sections, scales, strict=True)
        if s.spot_diameter is not None
    ]
    if len(known) < len(sections):
        return None, []
    diameter = float(np.median(known))
    if max(known) - min(known) > 0.05 * diameter:
        return diameter, ["The diameters of the spots differ; their median is kept."]
    return diameter, []


def split_joined(joined: Section, sections: Sequence[Section]) -> None:
    """Write what runs left on a joined section back onto the single ones.

    Every run recorded in ``uns["stmask"]`` is carried over: columns of ``obs``, tables of
    ``obsm``, blocks of ``obsp``, ``layers`` and ``var`` (genes outside the joined section get no
    values, 0 or False), colours and the record, which names all sections. What an earlier run
    of the same key left there is replaced.

    Parameters
    ----------
    joined
        What `join_sections` made, with results.
    sections
        The same sections in the same order; changed in place, all of them or none.

    Raises
    ------
    DataError
        If spots of a section are not in the joined one, it holds no run, or a section holds
        something under a name that would be written and that no run wrote.
    """
    runs = records(joined.adata)
    if not runs:
        raise DataError("the joined section holds no run", "run a method on it first")
    labels = section_labels(sections)
    column = joined.adata.obs.get("section")
    if column is None:
        raise DataError("the joined section has no column 'section'", "join the sections again")
    for s, key in product(sections, runs):
        problem = key_problem(s.adata, key)
        if problem:
            raise DataError(f"{s.where}: {problem}", "nothing was written")
    written = [
        _part(joined.adata, np.flatnonzero((column == label).to_numpy()), s, label)
        for s, label in zip(sections, labels, strict=True)
    ]
    for s, slots in zip(sections, written, strict=True):
        old = records(s.adata)
        for key in runs.keys() & old.keys():
            for slot, name in read_record(s.adata, key).get("slots", []):
                holder = getattr(s.adata, slot)
                if name in holder:
                    del holder[name]
        for (slot, name), value in slots.items():
            getattr(s.adata, slot)[name] = value
        s.adata.uns["stmask"] = {**old, **runs}


def _part(
    adata: AnnData, rows: NDArray[np.intp], section: Section, label: str
) -> dict[tuple[str, str], Any]:
    """What the runs left for the spots ``rows``, in the order of ``section``."""
    own = section.adata.obs_names.astype(str)
    names = adata.obs_names[rows]
    place = names.get_indexer(own)
    if (place < 0).any():
        place = names.get_indexer(f"{label}_" + own)
    if (place < 0).any():
        raise DataError(
            f"{(place < 0).sum()} spots of '{label}' are not in the joined section",
            "give the sections that were joined, in the same order",
        )
    at = rows[place]
    genes = adata.var_names.get_indexer(section.adata.var_names)
    out = {}
    for key in records(adata):
        for slot, name in read_record(adata, key).get("slots", []):
            holder: Mapping[str, Any] = getattr(adata, slot)
            if name in holder:
                out[slot, name] = _carried(slot, holder[name], at, genes)
    return out


def _carried(slot: str, value: Any, rows: NDArray[np.intp], genes: NDArray[np.intp]) -> Any:
    """The part of one answer that belongs to ``rows``; ``genes`` are -1 where not joined."""
    if slot == "obs":
        return (
            value.iloc[rows].to_numpy()
            if not isinstance(value.dtype, pd.CategoricalDtype)
            else pd.Categorical(value.iloc[rows])
        )
    if slot == "obsm":
        return np.asarray(value)[rows]
    if slot == "obsp":
        return sp.csr_matrix(value)[rows][:, rows]
    known = np.flatnonzero(genes >= 0)
    if slot == "layers":
        spread = sp.csr_matrix(
            (np.ones(known.size, dtype=np.float32), (genes[known], known)),
            shape=(value.shape[1], genes.size),
        )
        return sp.csr_matrix(sp.csr_matrix(value)[rows] @ spread)
    if slot == "var":
        values = np.asarray(value)
        out = np.zeros(genes.size, dtype=values.dtype)
        out[known] = values[genes[known]]
        return out
    return value
