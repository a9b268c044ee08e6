"""Turn whatever a file library raises on a broken file into one sentence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..core.errors import (
    FileFormatError,
    MissingFileError,
    ResourceError,
    StmaskError,
    describe_os_error,
)

__all__ = [
    "HDF5",
    "JPEG",
    "MAX_ARRAY_BYTES",
    "MAX_RATIO",
    "PNG",
    "RATIO_FLOOR",
    "TIFF",
    "brief",
    "guarded",
    "kind_of",
]

MAX_ARRAY_BYTES = 64 * 1024**3
"""Largest size that one array of a file or store may declare."""
MAX_RATIO = 200
"""Most bytes that one stored byte may stand for; counts reach about 50."""
RATIO_FLOOR = 64 * 1024**2
"""Arrays up to this size may be packed better: constant columns are."""

HDF5, PNG, JPEG, TIFF = "HDF5", "PNG", "JPEG", "TIFF"

_MAGIC = (
    (b"\x89HDF\r\n\x1a\n", HDF5),
    (b"\x89PNG\r\n\x1a\n", PNG),
    (b"\xff\xd8\xff", JPEG),
    (b"II*\x00", TIFF),
    (b"MM\x00*", TIFF),
    (b"II+\x00", TIFF),
    (b"MM\x00+", TIFF),
)


def kind_of(path: Path) -> str | None:
    """What a file is by its first bytes: `HDF5`, `PNG`, `JPEG`, `TIFF`, or None."""
    try:
        with path.open("rb") as stream:
            head = stream.read(8)
    except OSError:
        return None
    return next((kind for magic, kind in _MAGIC if head.startswith(magic)), None)


def brief(error: BaseException, limit: int = 160) -> str:
    """The first line of an error, shortened, for use inside a sentence."""
    lines = str(error).strip().splitlines()
    text = lines[0].strip().rstrip(".") if lines else type(error).__name__
    return text if len(text) <= limit else text[: limit - 3] + "..."


@contextmanager
def guarded(path: Path | str, expected: str, remedy: str = "") -> Iterator[None]:
    """Read ``path`` inside this block; every failure leaves it as a `StmaskError`.

    Parameters
    ----------
    path
        File that is read.
    expected
        What it should be, with its article: ``"a PNG image"``.
    remedy
        What to do; asks for an intact copy by default.

    Raises
    ------
    MissingFileError
        If the file does not exist.
    ResourceError
        If memory runs out.
    FileFormatError
        For anything else that goes wrong.
    """
    remedy = remedy or "copy or download the file again"
    try:
        yield
    except StmaskError:
        raise
    except FileNotFoundError as error:
        if not Path(path).exists():
            raise MissingFileError(f"{path} does not exist", "check the path") from error
        # A folder that lacks one of its parts.
        raise _unreadable(path, expected, error, remedy) from error
    except PermissionError as error:
        raise FileFormatError(
            describe_os_error(error, Path(path)), "give yourself permission to read it"
        ) from error
    except MemoryError as error:
        raise ResourceError(f"{path} does not fit into memory", "close other programs") from error
    # Parsers raise nearly every type there is on damaged bytes (struct.error, zlib.error,
    # IndexError, RuntimeError ...); a list of them would always miss one.
    except Exception as error:
        raise _unreadable(path, expected, error, remedy) from error


def _unreadable(path: Path | str, expected: str, error: Exception, remedy: str) -> FileFormatError:
    return FileFormatError(f"{path} cannot be read as {expected} ({brief(error)})", remedy)
