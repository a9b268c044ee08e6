"""Read ``.h5ad`` files in scanpy's spatial conventions, and those that `write` made."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
from numpy.typing import NDArray

from ..core.errors import DataError, FileFormatError
from ..core.histology import Histology
from .colour import to_rgb8
from .guard import HDF5, brief, guarded, kind_of
from .hdf5 import open_hdf5, root_keys
from .metadata import SECTION_KEY, with_image
from .options import ReadOptions
from .positions import ST_PITCH_UM, um_per_px
from .probe import probe_problem
from .stereo_h5ad import stereo_facts

if TYPE_CHECKING:
    from anndata import AnnData

    from ..core.lattice import Lattice
    from ..core.section import Section

__all__ = [
    "OPTIONS",
    "TITLE",
    "load",
    "matches",
    "section_from_adata",
    "section_of",
    "sections_of",
    "write_h5ad",
]

TITLE = "an AnnData file (.h5ad)"
OPTIONS = frozenset({"counts_layer", "filtered"})
_WHAT = "an AnnData file"
_MAX_ST_SPOTS = 2500
_COUNTS = "counts"
"""Layer of raw counts, by custom; those in ``raw`` are brought there."""
_ARRAY_COLUMNS = (
    ("array_col_adjusted", "array_row_adjusted"),
    ("array_x_adjusted", "array_y_adjusted"),
    ("new_x", "new_y"),
    ("array_col", "array_row"),
)
"""Columns of ``obs`` with places on the array, measured ones before planned ones."""
_HD_NAME = re.compile(r"(?:.*_)?s_(\d{3})um_\d{5}_\d{5}(?:-\d+)?")
"""Barcode of a bin of Visium HD, with its side in µm."""
_UNIT = re.compile(r"1\s*(?:unit|px|pixel)\s*=\s*([\d.]+)\s*(?:um|µm|μm)", re.IGNORECASE)


def matches(path: Path) -> bool:
    """Whether ``path`` is an HDF5 file with the parts of an AnnData."""
    if not path.is_file() or kind_of(path) != HDF5:
        return False
    keys = root_keys(path)
    # A damaged file has no keys; by its name it is still ours, and the reader says what is wrong.
    return {"obs", "var"} <= keys or (not keys and path.suffix.lower() == ".h5ad")


def load(path: Path, options: ReadOptions) -> Section | list[Section]:
    """Read an AnnData file.

    ``obs``, ``obsm``, ``layers`` and ``uns`` are kept as they are. Whether the values are counts
    is not checked here: some files hold components or normalised values only.

    Parameters
    ----------
    path
        The file.
    options
        ``name`` (the library in ``uns["spatial"]`` or the file name by default), ``counts_layer``
        (``"counts"`` where there is such a layer, else ``X``), and ``filtered`` (drop spots whose
        ``obs["in_tissue"]`` is 0).

    Returns
    -------
    Section or list of Section
        A list where ``uns["spatial"]`` holds several libraries that a column of ``obs`` names.

    Raises
    ------
    FileFormatError
        If the file is damaged.
    DataError
        If there are no coordinates or no such layer.
    """
    from anndata import read_h5ad

    with open_hdf5(path, _WHAT):
        pass
    problem = probe_problem(path)
    if problem is not None:
        raise FileFormatError(f"{path} is damaged: {problem}", "copy or download the file again")
    with guarded(path, _WHAT):
        adata = read_h5ad(path)
    return sections_of(adata, path, options)


def write_h5ad(section: Section, path: Path) -> None:
    """Write the AnnData with all results, what the section knows, and a small histology."""
    with_image(section).write_h5ad(path, compression="gzip", compression_opts=2)


def sections_of(adata: AnnData, path: Path, options: ReadOptions) -> Section | list[Section]:
    """The sections that an AnnData read from ``path`` holds; see `load`."""
    _require_positions(adata, str(path))
    notes: list[str] = []
    if options.filtered:
        adata = _under_tissue(adata, path, notes)
    libraries = _libraries(adata)
    column = _library_column(adata, libraries)
    if column is None:
        return section_of(adata, path, options.name, options.counts_layer, notes)
    sections = []
    for library in libraries:
        part = adata[(adata.obs[column].astype(str) == library).to_numpy()].copy()
        if part.n_obs:
            part.uns["spatial"] = {library: libraries[library]}
            label = f"{options.name} {library}" if options.name else library
            sections.append(section_of(part, path, label, options.counts_layer, list(notes)))
    return sections


def section_from_adata(adata: AnnData, *, name: str = "section") -> Section:
    """A section around an AnnData in memory; the AnnData itself, not a copy.

    Platform, pixel size, image and counts are found as for a file.

    Raises
    ------
    DataError
        If there are no usable coordinates, or names are not unique.
    """
    _require_positions(adata, "The AnnData")
    return _section(adata, None, name, None, [], adata.uns.get(SECTION_KEY))


def section_of(
    adata: AnnData, path: Path | None, name: str | None, counts_layer: str | None, notes: list[str]
) -> Section:
    """The one section of an AnnData that was read; takes this package's entry out of ``uns``."""
    known = adata.uns.pop(SECTION_KEY, None)
    if not adata.var_names.is_unique:
        adata.var_names_make_unique()
        notes.append("Repeated gene names were made unique by a number ('-1').")
    return _section(adata, path, name, counts_layer, notes, known)


def _require_positions(adata: AnnData, what: str) -> None:
    if "spatial" not in adata.obsm:
        found = ", ".join(map(str, adata.obsm)) or "nothing"
        raise DataError(
            f"{what} has no coordinates: obsm['spatial'] is missing (obsm holds {found})",
            "store x and y of each spot in adata.obsm['spatial']",
        )


def _section(
    adata: AnnData,
    path: Path | None,
    name: str | None,
    counts_layer: str | None,
    notes: list[str],
    known: Any,
) -> Section:
    from ..core.section import Section

    platform: Any
    known = known if isinstance(known, Mapping) else {}
    libraries = _libraries(adata)
    library = next((key for key in libraries if key == known.get("name")), None)
    library = library or next(iter(libraries), None)
    entry = libraries.get(library, {}) if library is not None else {}
    stereo = stereo_facts(adata)
    if stereo is not None and not known:
        notes += stereo.notes
    if counts_layer is None:
        counts_layer = _counts_layer(adata, known.get("counts_layer"), notes)
    factors = _numbers(entry.get("scalefactors"))
    source, path_name = (None, "section") if path is None else (str(path), path.stem)
    section = Section(
        adata,
        name=name
        or _text(known.get("name"))
        or library
        or (stereo.chip if stereo else None)
        or path_name,
        image=_image(entry, factors, source, notes),
        source=source,
        counts_layer=counts_layer,
        notes=notes,
        spot_diameter=_number(known.get("spot_diameter"))
        or factors.get("spot_diameter_fullres")
        or (stereo.bin_side if stereo else None),
    )
    platform = _text(known.get("platform"))
    stated = platform in _platforms()
    if not stated:
        platform = _guess_platform(adata, factors, section.lattice)
        platform = "stereoseq" if stereo else platform
    um_per_px = (
        _number(known.get("um_per_px"))
        or factors.get("microns_per_pixel")
        or _unit_um(adata.uns.get("spatial_units"))
        or (stereo.um_per_px if stereo else None)
        or _from_array(adata, section.coords, platform)
        or _from_bins(adata, section.lattice)
    )
    if platform == "st" and not stated and um_per_px is None:
        section.notes.append(
            "Spots on a square grid were taken for those of legacy ST, 200 µm apart: the file "
            "names neither platform nor scale."
        )
    # Made twice: the lattice that tells the platform can only be asked of checked coordinates.
    return replace(section, platform=platform, um_per_px=um_per_px)


def _from_array(adata: AnnData, coords: NDArray[np.float64], platform: str) -> float | None:
    """Micrometres per unit from the spots' places on the array of Visium or legacy ST.

    Truer than the distance between neighbours where positions scatter around the array's.
    """
    import pandas as pd

    unit = {"visium": None, "st": ST_PITCH_UM}.get(platform, 0.0)
    if unit == 0.0:
        return None
    for columns in _ARRAY_COLUMNS if platform == "st" else _ARRAY_COLUMNS[-1:]:
        if set(columns) <= set(adata.obs):
            place = adata.obs[list(columns)].apply(pd.to_numeric, errors="coerce").to_numpy(float)
            names = ["array_col", "array_row", "pxl_col_in_fullres", "pxl_row_in_fullres"]
            return um_per_px(pd.DataFrame(np.hstack([place, coords]), columns=names), unit)
    return None


def _from_bins(adata: AnnData, lattice: Lattice) -> float | None:
    """Micrometres per unit, from the side of the bins of Visium HD that their names state."""
    found = _HD_NAME.fullmatch(str(adata.obs_names[0]))
    return int(found[1]) / lattice.pitch if found and lattice.kind == "square" else None


def _counts_layer(adata: AnnData, stored: Any, notes: list[str]) -> str | None:
    """The layer with raw counts where none was named; None for ``X``."""
    # anndata 0.13 keeps X among the layers, under None.
    if isinstance(stored, str) and stored in adata.layers:
        return str(stored)
    if _COUNTS in adata.layers:
        return _COUNTS
    counts = _counts_of_raw(adata)
    if counts is None:
        return None
    adata.layers[_COUNTS] = counts
    notes.append("X holds no counts; those in raw were taken.")
    return _COUNTS


def _counts_of_raw(adata: AnnData) -> Any:
    """What ``raw`` holds, where that is counts and ``X`` is not; else None.

    Stereopy and CELLxGENE keep the counts there.
    """
    from ..core.section import count_problem

    if adata.raw is None or not adata.var_names.isin(adata.raw.var_names).all():
        return None
    if adata.X is not None and not count_problem(_values(adata.X)):
        return None
    counts = adata.raw[:, adata.var_names].X
    return None if count_problem(_values(counts)) else counts


def _values(matrix: Any) -> Any:
    """The stored values of a matrix, dense or sparse."""
    return matrix.data if hasattr(matrix, "indptr") else np.asarray(matrix).ravel()


def _under_tissue(adata: AnnData, path: Path, notes: list[str]) -> AnnData:
    """Without the spots whose ``in_tissue`` is 0, if the column holds 0 and 1 only."""
    if "in_tissue" not in adata.obs:
        return adata
    column = adata.obs["in_tissue"].astype(str)
    off = column.isin(["0", "0.0", "False"]).to_numpy()
    if not off.any() or not (off | column.isin(["1", "1.0", "True"]).to_numpy()).all():
        return adata
    if off.all():
        raise DataError(
            f"{path}: none of {len(off)} spots lies under tissue (obs['in_tissue'] is 0)",
            "correct obs['in_tissue'], or read with filtered=False",
        )
    notes.append(f"{int(off.sum())} spots outside the tissue (in_tissue is 0) were left out.")
    return adata[~off].copy()


def _libraries(adata: AnnData) -> dict[str, Mapping[str, Any]]:
    spatial = adata.uns.get("spatial")
    if not isinstance(spatial, Mapping):
        return {}
    return {str(key): entry for key, entry in spatial.items() if isinstance(entry, Mapping)}


def _library_column(adata: AnnData, libraries: Mapping[str, Any]) -> str | None:
    """The column of ``obs`` that says to which of several libraries a spot belongs."""
    if len(libraries) < 2:
        return None
    for column in adata.obs.columns:
        values = adata.obs[column]
        if values.dtype.kind in "fb" or values.nunique() > len(libraries):
            continue
        if set(values.dropna().astype(str)) <= set(libraries) and not values.isna().any():
            return str(column)
    return None


def _guess_platform(adata: AnnData, factors: Mapping[str, float], lattice: Lattice) -> Any:
    if "bin_size_um" in factors or _HD_NAME.fullmatch(str(adata.obs_names[0])):
        return "visium_hd"
    if lattice.kind == "irregular":
        return "imaging"
    if lattice.kind == "square":
        return "st" if adata.n_obs < _MAX_ST_SPOTS else "unknown"
    array = {"array_row", "array_col"} <= set(adata.obs.columns)
    return "visium" if array or "spot_diameter_fullres" in factors else "unknown"


def _image(
    entry: Mapping[str, Any], factors: Mapping[str, float], source: str | None, notes: list[str]
) -> Histology | None:
    """The high-resolution image of a library, else the low-resolution one."""
    images = entry.get("images")
    for key in ("hires", "lowres"):
        if not isinstance(images, Mapping) or key not in images:
            continue
        scale = factors.get(f"tissue_{key}_scalef")
        if scale is None:
            notes.append(f"The {key} image was left out: its scale factor is missing.")
            continue
        try:
            pixels: NDArray[np.uint8] = to_rgb8(np.asarray(images[key]))
            return Histology([pixels], scale, key, source)
        except (ValueError, TypeError) as error:
            notes.append(f"The {key} image was left out: {brief(error)}.")
    return None


def _numbers(values: Any) -> dict[str, float]:
    pairs = values.items() if isinstance(values, Mapping) else ()
    found = {str(key): _number(value) for key, value in pairs}
    return {key: number for key, number in found.items() if number is not None}


def _number(value: Any) -> float | None:
    """A positive finite number, or None."""
    try:
        number = float(np.asarray(value, dtype=np.float64).reshape(()))
    except (TypeError, ValueError):
        return None
    return number if np.isfinite(number) and number > 0 else None


def _text(value: Any) -> str | None:
    return str(value) if isinstance(value, str) and value else None


def _unit_um(value: Any) -> float | None:
    """Micrometres per coordinate unit from text such as ``"1 unit = 200 um"``."""
    found = _UNIT.search(value) if isinstance(value, str) else None
    return _number(found.group(1)) if found else None


def _platforms() -> tuple[str, ...]:
    from ..core.section import Platform

    return get_args(Platform)
