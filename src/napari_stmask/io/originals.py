"""What a section was read from is not written over, unless everything in it comes back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.errors import OutputError
from .guard import HDF5, guarded, kind_of

if TYPE_CHECKING:
    from ..core.section import Section

__all__ = ["check_originals"]

_FILES = ("image", "alignment", "spots", "mask", "symbols")
"""Options of reading that name a file."""


def check_originals(section: Section, path: str | Path, *, adata: bool = False) -> None:
    """Refuse to write over what ``section`` was read from.

    Parameters
    ----------
    section
        Whose files are kept: counts, histology and whatever else was given.
    path
        Where something is to be written.
    adata
        Whether that is an AnnData with all results. It may take the place of the AnnData that
        the section was read from, if that holds no further spots.

    Raises
    ------
    OutputError
        If the original would be lost.
    """
    path = Path(path)
    if _holds(path, section.source):
        held = _spots_in(path) if adata else None
        if held is None:
            raise _refusal(path, "is what the section was read from")
        if held > section.n_spots:
            count = f"{held:,} spots, of which the section has {section.n_spots:,}"
            raise _refusal(path, f"holds {count}")
        return
    image = section.image.source if section.image is not None else None
    given = (section.reading.get(name) for name in _FILES)
    if any(_holds(path, original) for original in (image, *given)):
        raise _refusal(path, "is a file that the section was read with")


def _refusal(path: Path, why: str) -> OutputError:
    return OutputError(f"{path} {why}, so it is not replaced", "give another name")


def _holds(path: Path, original: Any) -> bool:
    """Whether ``path`` is the original, or a folder around it."""
    if original is None:
        return False
    try:
        path, original = path.resolve(), Path(original).resolve()
        return path.exists() and (path.samefile(original) or path in original.parents)
    except (OSError, ValueError, RuntimeError):
        return False


def _spots_in(path: Path) -> int | None:
    """Number of observations of an AnnData file or folder; None for anything else."""
    from .zarr_store import root_attributes

    with guarded(path, "an AnnData"):
        if kind_of(path) == HDF5:
            import h5py

            with h5py.File(path, "r") as file:
                return _observations(file)
        if root_attributes(path).get("encoding-type") == "anndata":
            import zarr

            return _observations(zarr.open_group(path, mode="r"))
    return None


def _observations(root: Any) -> int | None:
    obs = root.get("obs")
    if obs is None:
        return None
    # Files before AnnData 0.7 hold the table as one array.
    index = obs if hasattr(obs, "shape") else obs[obs.attrs.get("_index", "index")]
    return int(index.shape[0])
