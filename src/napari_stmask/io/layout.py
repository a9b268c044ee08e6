"""Where the files of a Space Ranger run are, whatever folder or file the user pointed at."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from ..core.errors import FileFormatError, MissingFileError
from .folders import first_entries
from .guard import HDF5, kind_of
from .hdf5 import root_keys
from .mtx import is_mtx_folder
from .positions import NAMES

__all__ = ["Layout", "find_layout"]

_MATRIX = "feature_bc_matrix"
_PREFIX = re.compile(rf"(.*?)(?:filtered_|raw_)?{_MATRIX}")
_BIN = re.compile(r"square_(\d+)um")
_GENERIC = re.compile(r"outs|spatial|binned_outputs|square_\d+um|(filtered|raw)_feature_bc_matrix")
_HD_BIN = "square_008um"
"""The bin size that 10x recommends; finer bins hold few counts each."""


@dataclass
class Layout:
    """Files of one run.

    Attributes
    ----------
    folder
        The outs folder, or the folder of one bin size.
    chosen
        Matrix that the user pointed at, or None.
    prefix
        Text before the usual file names, such as a sample name.
    notes
        What was assumed, one sentence each.
    sizes
        Sides of the bins in µm that the run holds; empty for other than Visium HD.
    """

    folder: Path
    chosen: Path | None = None
    prefix: str = ""
    notes: list[str] = field(default_factory=list)
    sizes: tuple[int, ...] = ()

    @property
    def bin_um(self) -> int | None:
        """Side of the chosen bins in µm, from the folder's name; None for other than Visium HD."""
        return _size(self.folder)

    @property
    def name(self) -> str:
        """Name of the section, from the prefix or the folder."""
        label = self.prefix.strip("_- .")
        folder = self.folder.resolve()
        names = (p.name for p in (folder, *folder.parents))
        label = label or next((n for n in names if n and not _GENERIC.fullmatch(n)), "section")
        return f"{label} {self.bin_um} µm" if self.bin_um is not None else label

    def find(self, *names: str) -> Path | None:
        """The first of ``names`` in ``spatial/`` or beside the matrix, with or without prefix.

        Those with the prefix first: the others may be of another sample in the same folder.
        """
        folder, own = self.folder, self.folder / f"{self.prefix}spatial"
        places = [
            *((place, self.prefix) for place in (folder / "spatial", own, folder)),
            *((place, "") for place in (own, folder / "spatial", folder)),
        ]
        for place, prefix in dict.fromkeys(places):
            for name in names:
                for candidate in (place / (prefix + name), place / f"{prefix}{name}.gz"):
                    if candidate.is_file():
                        return candidate
        return None

    def positions(self) -> Path:
        """The file of spot positions.

        Raises
        ------
        MissingFileError
            If there is none.
        """
        path = self.find(*NAMES)
        if path is None:
            raise MissingFileError(
                f"{self.folder / 'spatial'} has no {', '.join(reversed(NAMES))}",
                "copy the spatial folder of the Space Ranger run beside the matrix",
            )
        return path

    def matrix(self, filtered: bool, notes: list[str]) -> Path:
        """The matrix to read: the one pointed at, else filtered or raw, ``.h5`` before triplets.

        Raises
        ------
        MissingFileError
            If there is none.
        FileFormatError
            If there are several.
        """
        if self.chosen is not None:
            return self.chosen
        kinds = ("filtered", "raw") if filtered else ("raw", "filtered")
        for kind in kinds:
            found = _matrices(self.folder, kind)
            if len(found) > 1:
                raise FileFormatError(
                    f"{self.folder} holds several matrices: "
                    f"{', '.join(path.name for path in found[:4])}",
                    "give the path of the one to read",
                )
            if found:
                if kind != kinds[0]:
                    notes.append(f"There is no {kinds[0]} matrix; the {kind} one was read.")
                self.prefix = _prefix(found[0])
                return found[0]
        raise MissingFileError(
            f"{self.folder} has no filtered_{_MATRIX}.h5 and no filtered_{_MATRIX} folder",
            "copy the matrix of the Space Ranger run into this folder",
        )


def find_layout(path: Path, size: int | None = None) -> Layout | None:
    """Recognise a run from its folder, its parent, a part of it, or a matrix file.

    Parameters
    ----------
    path
        File or folder.
    size
        Side of the bins in µm to choose where the run holds several; 8 by default.

    Returns
    -------
    Layout or None
        None for anything else. Looks at names and first bytes only.
    """
    if path.is_file():
        return _from_file(path)
    if not path.is_dir():
        return None
    if is_mtx_folder(path):
        return Layout(path.parent, path, _prefix(path))
    if path.name == "spatial" and _is_run(path.parent):
        path = path.parent
    for folder in (path, path / "outs"):
        bins = folder if folder.name == "binned_outputs" else folder / "binned_outputs"
        found = _hd_layout(bins, size)
        if found is not None:
            return found
        if _is_run(folder):
            own = _size(folder)
            return Layout(folder, sizes=() if own is None else (own,))
    return None


def _from_file(path: Path) -> Layout | None:
    if kind_of(path) != HDF5:
        return None
    keys = root_keys(path)
    named = _MATRIX in path.name or path.name.endswith("gene_bc_matrices_h5.h5")
    # A damaged file has no keys; by its name it is still ours, and the reader says what is wrong.
    if "matrix" not in keys and not (named and "obs" not in keys):
        return None
    return Layout(path.parent, path, _prefix(path))


def _prefix(path: Path) -> str:
    """What stands before the usual name of a matrix, such as a sample name."""
    found = _PREFIX.match(path.name)
    return found.group(1) if found else ""


def _size(folder: Path) -> int | None:
    found = _BIN.fullmatch(folder.resolve().name)
    return int(found.group(1)) if found else None


def _hd_layout(bins: Path, size: int | None) -> Layout | None:
    found = sorted(p for p in bins.glob("square_*um") if _is_run(p)) if bins.is_dir() else []
    if not found:
        return None
    chosen = next((p for p in found if p.name == _HD_BIN), found[-1])
    chosen = next((p for p in found if size is not None and _size(p) == size), chosen)
    sizes = tuple(own for own in map(_size, found) if own is not None)
    note = (
        f"Of the bin sizes {', '.join(p.name for p in found)}, {chosen.name} was read; "
        "choose another one with bin=."
    )
    return Layout(chosen, notes=[note] if len(found) > 1 and size is None else [], sizes=sizes)


def _is_run(folder: Path) -> bool:
    spatial = folder / "spatial"
    if any((spatial / name).is_file() for name in (*NAMES, "scalefactors_json.json")):
        return True
    return folder.is_dir() and bool(_matrices(folder, "filtered") or _matrices(folder, "raw"))


def _matrices(folder: Path, kind: str) -> list[Path]:
    """Matrices of one kind: ``.h5`` files, else folders of triplets."""
    files: list[Path] = []
    folders: list[Path] = []
    for entry in first_entries(folder, lambda name: f"{kind}_{_MATRIX}" in name):
        if entry.name.endswith(f"{kind}_{_MATRIX}.h5"):
            files.append(entry)
        elif entry.name.endswith(f"{kind}_{_MATRIX}") and is_mtx_folder(entry):
            folders.append(entry)
    return files or folders
