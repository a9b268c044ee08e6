"""Look at a Zarr folder without trusting it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..core.errors import FileFormatError
from .guard import MAX_ARRAY_BYTES, MAX_RATIO, RATIO_FLOOR, guarded

__all__ = ["MAX_CHUNK_BYTES", "audit_store", "root_attributes"]

MAX_CHUNK_BYTES = 2 * 1024**3
"""Largest chunk: it is decoded as a whole. AnnData writes sparse vectors in one piece."""
_MAX_NODES = 100_000
_MAX_JSON = 16_000_000
_ATTRIBUTES = (".zattrs", "zarr.json")
_IMAGES = ("images", "labels")
"""Rooms of a SpatialData store that are read piece by piece, when they are looked at."""


def root_attributes(path: Path) -> Mapping[str, Any]:
    """Attributes at the top of a Zarr 2 or 3 folder; empty where there are none."""
    for name in _ATTRIBUTES:
        found = _json(path / name)
        if found is not None:
            inner = found.get("attributes") if name == "zarr.json" else found
            return inner if isinstance(inner, Mapping) else {}
    return {}


def audit_store(path: Path) -> None:
    """Refuse links that leave the folder and sizes that cannot be true.

    Raises
    ------
    FileFormatError
        Naming the offending part.
    """
    with guarded(path, "a Zarr folder"):
        root = path.resolve()
        for array in _nodes(path, root):
            _check_array(array, root)


def _nodes(path: Path, root: Path) -> Iterator[Path]:
    """Folders of arrays below ``path``; links and crowds end the walk."""
    pending, seen = [path], 0
    while pending:
        folder = pending.pop()
        if (folder / ".zarray").is_file() or _node_type(folder) == "array":
            yield folder
            continue
        for entry in folder.iterdir():
            seen += 1
            if seen > _MAX_NODES:
                raise FileFormatError(
                    f"{path} holds more than {_MAX_NODES} parts", "give a smaller store"
                )
            if not entry.resolve().is_relative_to(root):
                raise FileFormatError(
                    f"{path}: '{entry.name}' is a link to outside the store",
                    "save all data into one folder",
                )
            if entry.is_dir():
                pending.append(entry)


def _node_type(folder: Path) -> Any:
    return (_json(folder / "zarr.json") or {}).get("node_type")


def _check_array(folder: Path, root: Path) -> None:
    meta = _json(folder / ".zarray") or _json(folder / "zarr.json") or {}
    shape = [int(n) for n in meta.get("shape", ())]
    grid = meta.get("chunk_grid", {})
    chunks = meta.get("chunks") or grid.get("configuration", {}).get("chunk_shape") or shape
    width = _item_bytes(meta.get("dtype") or meta.get("data_type"))
    declared = float(np.prod(shape, dtype=np.float64)) * width
    piece = float(np.prod([int(n) for n in chunks], dtype=np.float64)) * width
    name = folder.relative_to(root) if folder.is_relative_to(root) else folder.name
    if declared > MAX_ARRAY_BYTES or min(piece, declared) > MAX_CHUNK_BYTES:
        raise FileFormatError(
            f"{root}: '{name}' claims {declared:.3g} bytes in pieces of {piece:.3g}",
            "the store is damaged; copy or download it again",
        )
    if str(name).split("/")[0] in _IMAGES or declared <= RATIO_FLOOR:
        return
    stored = 0
    for file in folder.rglob("*"):
        if not file.resolve().is_relative_to(root):
            raise FileFormatError(
                f"{root}: '{name}' has a link to outside the store", "save all data into one folder"
            )
        stored += file.stat().st_size if file.is_file() else 0
    if declared > MAX_RATIO * stored:
        raise FileFormatError(
            f"{root}: '{name}' claims {declared:.3g} bytes but occupies {stored}",
            "the store is damaged; copy or download it again",
        )


def _item_bytes(kind: Any) -> int:
    """Bytes of an element; 16 for text of any length, of which the reference is counted."""
    try:
        return int(np.dtype(kind).itemsize) or 1
    except TypeError:
        return 16


def _json(path: Path) -> dict[str, Any] | None:
    try:
        if path.stat().st_size > _MAX_JSON:
            return None
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
