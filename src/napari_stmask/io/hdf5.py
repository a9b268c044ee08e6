"""Open HDF5 files without trusting them: no links out, no sizes that cannot be true."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.errors import FileFormatError
from .guard import MAX_ARRAY_BYTES, MAX_RATIO, RATIO_FLOOR, guarded
from .heap import heap_problem

if TYPE_CHECKING:
    import h5py

__all__ = ["audit", "open_hdf5", "root_keys"]

_DAMAGED = "the file is damaged; copy or download it again"
_MAX_OBJECTS = 100_000
_MAX_ATTRIBUTE = 1_000_000


@contextmanager
def open_hdf5(path: Path, expected: str) -> Iterator[h5py.File]:
    """Open ``path`` for reading and audit it; failures inside the block are `StmaskError`.

    Parameters
    ----------
    path
        An HDF5 file.
    expected
        What it should be, for the message.

    Raises
    ------
    FileFormatError
        If the file is damaged or fails `audit`.
    """
    with guarded(path, expected):
        import h5py

        problem = heap_problem(path)
        if problem is not None:
            raise FileFormatError(f"{path}: {problem}", _DAMAGED)
        with h5py.File(path, "r") as file:
            audit(file, path)
            yield file


def audit(file: h5py.File, path: Path) -> None:
    """Refuse links that leave the file and sizes that cannot be true.

    A dataset that claims far more than the bytes that it occupies is damaged or hostile, and
    reading it would exhaust the memory.

    Raises
    ------
    FileFormatError
        Naming the offending object.
    """
    import h5py

    from ..core.memory import human

    seen = 0

    # The visitors return what is wrong, which ends the visit: h5py garbles what they raise.
    def check_link(name: str, link: Any) -> tuple[str, str] | None:
        nonlocal seen
        seen += 1
        if seen > _MAX_OBJECTS:
            return f"it holds more than {_MAX_OBJECTS} objects", "give a smaller file"
        if isinstance(link, h5py.ExternalLink):
            return f"'{name}' is a link to another file", "save all data into one file"
        return None

    def check_object(name: str, item: Any) -> tuple[str, str] | None:
        if any(_attribute_size(item, key) > _MAX_ATTRIBUTE for key in item.attrs):
            return f"'{name}' has an attribute of impossible size", _DAMAGED
        if not isinstance(item, h5py.Dataset) or item.shape is None:
            return None
        if item.is_virtual or item.external:
            return f"the data of '{name}' lie in another file", "save all data into one file"
        declared = int(item.size) * item.dtype.itemsize
        stored = item.id.get_storage_size()
        if declared > MAX_ARRAY_BYTES or declared > max(RATIO_FLOOR, MAX_RATIO * stored):
            return (
                f"'{name}' claims {human(declared)} but occupies {human(stored)}",
                _DAMAGED,
            )
        return None

    found = (
        file.visititems_links(check_link)
        or check_object("/", file)
        or file.visititems(check_object)
    )
    if found is not None:
        raise FileFormatError(f"{path}: {found[0]}", found[1])


def _attribute_size(item: Any, key: str) -> int:
    """Entries of an attribute, without reading it."""
    return int(np.prod(item.attrs.get_id(key).shape or (1,), dtype=np.float64))


def root_keys(path: Path) -> frozenset[str]:
    """Names at the top of an HDF5 file; empty where it cannot be opened."""
    try:
        import h5py

        with h5py.File(path, "r") as file:
            return frozenset(file.keys())
    # Only asks what a file is; the reader says later why it cannot be opened.
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, ImportError):
        return frozenset()
