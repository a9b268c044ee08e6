"""Image features that were computed before, on the user's disk."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..core.histology import Histology
from ..io.atomic import atomic_path

__all__ = ["CACHE_LIMIT", "cache_folder", "image_token", "key_of", "load", "store"]

CACHE_LIMIT = 2 * 1024**3
"""Most bytes that are kept; beyond, what was unused for longest is removed."""
_NAME = re.compile(r"[0-9a-f]{64}\.[0-9a-f]{8}\.npy")
_SPOTS, _SIDE = 4, 64
"""Blocks along each axis, and their side in pixels, that stand for a lazily loaded image."""
_COARSE = 2048


def cache_folder() -> Path:
    """Where features are kept: ``$STMASK_CACHE``, else the user's cache folder."""
    chosen = os.environ.get("STMASK_CACHE")
    if chosen:
        return Path(chosen).expanduser() / "embeddings"
    from platformdirs import user_cache_dir

    return Path(user_cache_dir("napari-stmask", appauthor=False)) / "embeddings"


def key_of(*parts: object) -> str:
    """SHA-256 over arrays, by content, and everything else, by its text."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            digest.update(f"{part.dtype}{part.shape}".encode())
            digest.update(np.ascontiguousarray(part).tobytes())
        else:
            digest.update(repr(part).encode())
        digest.update(b"|")
    return digest.hexdigest()


def image_token(image: Histology) -> str:
    """What the pixels of an image are, as a SHA-256.

    All pixels of an image in memory. Of a lazily loaded one, sixteen blocks of its finest
    level, and with them path, size and time of change of its file; where it comes from no
    single file, its coarsest level instead.
    """
    finest = image.levels[0]
    shapes = [tuple(level.shape) for level in image.levels]
    if isinstance(finest, np.ndarray):
        return key_of("pixels", shapes, finest)
    rows, columns = image.shape
    blocks = [
        np.asarray(finest[y : y + _SIDE, x : x + _SIDE])
        for y in np.linspace(0, max(0, rows - _SIDE), _SPOTS).astype(int)
        for x in np.linspace(0, max(0, columns - _SIDE), _SPOTS).astype(int)
    ]
    file = Path(image.source) if image.source else None
    if file is not None and file.is_file():
        state = file.stat()
        return key_of(
            "file", str(file.resolve()), state.st_size, state.st_mtime_ns, shapes, *blocks
        )
    coarse = image.levels[-1]
    stride = -(-max(coarse.shape[:2]) // _COARSE)
    return key_of("lazy", shapes, np.asarray(coarse[::stride, ::stride]), *blocks)


def load(key: str, rows: int) -> NDArray[np.float32] | None:
    """(rows, dim) features that were stored under ``key``; None where absent or damaged."""
    for path in _entries(cache_folder(), key):
        try:
            found = np.load(path, allow_pickle=False)
            whole = f"{zlib.crc32(found.tobytes()):08x}" == path.name.split(".")[1]
            if found.dtype == np.float32 and found.ndim == 2 and len(found) == rows and whole:
                # The time of last use decides what goes first.
                os.utime(path)
                return np.asarray(found)
            path.unlink(missing_ok=True)
        # Whatever is wrong with it, it can be computed again.
        except (OSError, ValueError, EOFError, SyntaxError, MemoryError):
            path.unlink(missing_ok=True)
    return None


def store(key: str, features: NDArray[np.float32]) -> None:
    """Keep (rows, dim) float32 features, and remove old ones beyond `CACHE_LIMIT`.

    Raises
    ------
    OutputError
        If the folder cannot be written to.
    """
    features = np.ascontiguousarray(features, dtype=np.float32)
    if features.nbytes > CACHE_LIMIT:
        return
    folder = cache_folder()
    path = folder / f"{key}.{zlib.crc32(features.tobytes()):08x}.npy"
    # Where it cannot be made, writing into it says so.
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        np.save(stream, features, allow_pickle=False)
    _make_room(folder, keep=path)


def _entries(folder: Path, key: str = "") -> list[Path]:
    """Files that this module wrote, of one key or all."""
    try:
        return [p for p in folder.glob(f"{key}*.npy") if _NAME.fullmatch(p.name)]
    except OSError:
        return []


def _make_room(folder: Path, keep: Path) -> None:
    known = []
    for path in _entries(folder):
        try:
            state = path.stat()
        except OSError:
            continue
        known.append((state.st_mtime_ns, state.st_size, path))
    total = sum(size for _, size, _ in known)
    for _, size, path in sorted(known):
        if total <= CACHE_LIMIT:
            return
        if path != keep:
            path.unlink(missing_ok=True)
            total -= size
