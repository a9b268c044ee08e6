"""Files that say how a histology image lies on the spots."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import DataError, FileFormatError
from ..core.histology import Histology, checked_affine, inverse
from .atomic import atomic_path
from .guard import guarded

if TYPE_CHECKING:
    from ..core.section import Section

__all__ = ["MAX_BYTES", "read_alignment", "save_alignment"]

MAX_BYTES = 64 * 1024**2
"""Largest alignment file; Loupe's have about 1 MB."""
XENIUM_UM_PER_PX = 0.2125
"""Side of a pixel of the Xenium morphology image, in µm (10x Genomics), where the run says none."""
_WHAT = "an alignment file"
_FORMS = (
    "give Loupe's alignment .json, Xenium's imagealignment .csv, or 3 rows of 3 numbers "
    "from image pixels to coordinates"
)
_MAX_MISFIT = 0.25
"""Of a pitch: farther, the spots of the file are not those of the section."""


def read_alignment(path: str | Path, section: Section, histology: Histology) -> NDArray[np.float64]:
    """The transform that puts ``histology`` on ``section``.

    Parameters
    ----------
    path
        One of these:

        - Loupe's manual alignment (``.json``) with spots: the affine that takes the section's
          spots, by array row and column, to their pixels, by least squares.
        - Loupe's alignment with ``transformImages`` (CytAssist): of its two directions, the one
          that puts the spots inside the image.
        - Xenium's ``*imagealignment.csv``: image pixels to pixels of the morphology image.
        - 3 rows of 3 numbers (``.csv``, ``.tsv``, ``.txt``), or JSON with such a ``matrix``: image
          pixels (column, row) to coordinates (x, y).
    section
        Whose coordinates are meant.
    histology
        The image.

    Returns
    -------
    (3, 3) float64
        From coordinates (x, y, 1) to pixels (column, row, 1).

    Raises
    ------
    FileFormatError, MissingFileError
        If the file is none of these or damaged.
    DataError
        If it does not belong to this section.
    """
    path = Path(path)
    with guarded(path, _WHAT, _FORMS):
        if path.stat().st_size > MAX_BYTES:
            raise FileFormatError(f"{path} is too large for {_WHAT}", _FORMS)
        text = path.read_text(encoding="utf-8-sig")
        found = json.loads(text) if text.lstrip()[:1] in "{[" and text.strip() else None
    if isinstance(found, Mapping) and found.get("oligo"):
        return _from_spots(found["oligo"], section, path)
    if isinstance(found, Mapping) and isinstance(found.get("cytAssistInfo"), Mapping):
        return _from_cytassist(found["cytAssistInfo"], section, histology, path)
    if isinstance(found, Mapping):
        found = found.get("matrix")
    to_coords = checked_affine(_table(text, path) if found is None else found, str(path))
    if "imagealignment" in path.name:
        stated = section.adata.uns.get("xenium", {}).get("pixel_size", XENIUM_UM_PER_PX)
        unit = float(stated) / (section.um_per_px or 1.0)
        to_coords = np.diag([unit, unit, 1.0]) @ to_coords
    return inverse(to_coords)


def save_alignment(histology: Histology, path: str | Path) -> Path:
    """Write the transform of ``histology`` as JSON that `read_alignment` takes.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    path = Path(path)
    content = {
        "from": "image pixels (column, row)",
        "to": "coordinates (x, y)",
        "matrix": inverse(histology.matrix).tolist(),
    }
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1), encoding="utf-8")
    return path


def _table(text: str, path: Path) -> list[list[float]]:
    with guarded(path, _WHAT, _FORMS):
        lines = [line for line in text.splitlines() if line.strip() and line[0] != "#"][:4]
        return [[float(cell) for cell in line.replace(",", " ").split()] for line in lines]


def _from_spots(spots: Any, section: Section, path: Path) -> NDArray[np.float64]:
    """Affine from the section's coordinates to the pixels that a file gives for its spots."""
    obs = section.adata.obs
    if not {"array_row", "array_col"} <= set(obs.columns):
        raise DataError(
            f"{section.where}: the spots have no array_row and array_col, which {path} needs",
            "read the section from its Space Ranger folder",
        )
    with guarded(path, _WHAT, _FORMS):
        pixels = {
            (int(s["row"]), int(s["col"])): (float(s["imageX"]), float(s["imageY"]))
            for s in spots
            if "imageX" in s and "imageY" in s
        }
    places = list(zip(obs["array_row"].astype(int), obs["array_col"].astype(int), strict=True))
    shared = np.array([place in pixels for place in places])
    coords = section.coords[shared]
    if shared.sum() < 3 or np.linalg.matrix_rank(coords - coords.mean(axis=0)) < 2:
        raise DataError(
            f"{path} gives pixels for {int(shared.sum())} of {section.n_spots} spots of "
            f"{section.where}",
            "give the alignment of this section",
        )
    target = np.array([pixels[place] for place in places if place in pixels])
    design = np.column_stack([coords, np.ones(len(coords))])
    solution = np.linalg.lstsq(design, target, rcond=None)[0]
    matrix = checked_affine(np.vstack([solution.T, [0.0, 0.0, 1.0]]), str(path))
    misfit = float(np.sqrt(((design @ solution - target) ** 2).sum(axis=1).mean()))
    pitch = section.lattice.pitch * abs(float(np.linalg.det(matrix[:2, :2]))) ** 0.5
    if not misfit <= _MAX_MISFIT * pitch:
        raise DataError(
            f"The spots of {path} are not those of {section.where}: they differ by {misfit:.3g} "
            f"pixels at a pitch of {pitch:.3g}",
            "give the alignment of this section",
        )
    return matrix


def _from_cytassist(
    info: Mapping[str, Any], section: Section, histology: Histology, path: Path
) -> NDArray[np.float64]:
    """Of a matrix between two images and its inverse, the one that fits."""
    matrix = checked_affine(info.get("transformImages"), str(path))
    shares = {}
    for name, candidate in (("as written", matrix), ("inverted", inverse(matrix))):
        inside = float(histology.placed(transform=candidate).contains(section.coords).mean())
        shares[name] = (inside, candidate)
    best = max(shares, key=lambda name: shares[name][0])
    other = min(share for share, _ in shares.values())
    if shares[best][0] < 0.9 or other > 0.9:
        raise DataError(
            f"The direction of transformImages in {path} cannot be told: "
            + ", ".join(f"{name} {share:.0%}" for name, (share, _) in shares.items())
            + " of the spots lie inside the image",
            "give 3 rows of 3 numbers from image pixels to coordinates instead",
        )
    section.notes.append(f"transformImages of {path} was used {best}.")
    return shares[best][1]
