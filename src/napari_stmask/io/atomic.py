"""Write a file completely or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..core.errors import OutputError, StmaskError, describe_os_error
from .guard import brief
from .zarr_store import root_attributes

__all__ = ["atomic_folder", "atomic_path", "check_folder_target", "check_target"]


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder; it replaces ``path`` when the block ends well.

    If the block or the replacement fails, for whatever reason, the temporary file is removed
    and what was at ``path`` before is untouched.

    Parameters
    ----------
    path
        File to write; its folder must exist. A symbolic link is followed.

    Raises
    ------
    OutputError
        If the folder is missing or not writable, the disk is full, or the content cannot be
        stored.
    """
    target = check_target(path)
    # Short, so that a long but valid name stays valid; same suffix, because writers look at it.
    temporary = target.with_name(f".{secrets.token_hex(8)}{target.suffix}")
    try:
        # Created by hand rather than by tempfile, whose files only their owner may read.
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        yield temporary
        if target.exists():
            shutil.copymode(target, temporary)
        _flush(temporary)
        temporary.replace(target)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        explained = _explained(error, target)
        if explained is None:
            raise
        raise explained from error
    _flush_folder(target.parent)


@contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """Yield a path beside ``path`` for a Zarr folder that takes its place when the block ends well.

    A folder of that name is replaced only if it is an AnnData or SpatialData store itself, and is
    put back if the replacement fails.

    Parameters
    ----------
    path
        Folder to write; the one around it must exist.

    Raises
    ------
    OutputError
        See `check_folder_target`; also if the disk is full or the content cannot be stored.
    """
    target = check_folder_target(path)
    temporary = target.with_name(f".{secrets.token_hex(8)}{target.suffix}")
    old = target.with_name(f".{secrets.token_hex(8)}{target.suffix}")
    try:
        yield temporary
        if target.exists():
            target.rename(old)
        temporary.rename(target)
    except BaseException as error:
        # Also for Ctrl+C between the two.
        if old.exists() and not target.exists():
            old.rename(target)
        shutil.rmtree(temporary, ignore_errors=True)
        explained = _explained(error, target)
        if explained is None:
            raise
        raise explained from error
    shutil.rmtree(old, ignore_errors=True)
    _flush_folder(target.parent)


def _explained(error: BaseException, target: Path) -> OutputError | None:
    """A sentence for what went wrong; None for what is one already, or is no failure."""
    if isinstance(error, StmaskError) or not isinstance(error, Exception):
        return None
    # Libraries wrap the reason: a full disk shows up as the cause of something vaguer.
    system = _os_error(error)
    if system is not None:
        # HDF5 fills the text with lines of its own.
        reason = os.strerror(system.errno) if system.errno else brief(system)
        return OutputError(
            f"Nothing was written to {target}: {reason}",
            "free some space or choose another folder",
        )
    return OutputError(
        f"Nothing was written to {target}: the content cannot be stored ({brief(error)})",
        "turn columns of mixed types into text and remove unusual objects from uns",
    )


def check_folder_target(path: str | Path) -> Path:
    """The folder that ``path`` means, if a Zarr store can be written there.

    Raises
    ------
    OutputError
        If the folder around it is missing or not writable, or something that is no store of
        AnnData or SpatialData has that name: another Zarr folder may be a slide.
    """
    target = Path(path)
    if target.exists() and not _is_section_store(target):
        raise OutputError(
            f"{path} exists and is no AnnData or SpatialData store, so it is not replaced",
            "give another name",
        )
    try:
        target = target.resolve()
        if not target.parent.is_dir():
            raise OutputError(f"The folder {target.parent} does not exist", "create it first")
    except (OSError, ValueError, RuntimeError) as error:
        raise OutputError(
            f"{path} is not a usable path ({brief(error)})", "give another"
        ) from error
    _try_to_create(target.parent)
    return target


def _is_section_store(path: Path) -> bool:
    attributes = root_attributes(path)
    return attributes.get("encoding-type") == "anndata" or "spatialdata_attrs" in attributes


def check_target(path: str | Path) -> Path:
    """The file that ``path`` means, if it can be written.

    Raises
    ------
    OutputError
        If the folder is missing, the path is a folder, or the file is write-protected.
    """
    path = Path(path)
    try:
        target = path.resolve()
        folder = target.parent
        if not folder.is_dir():
            raise OutputError(f"The folder {folder} does not exist", "create it first")
        if target.is_dir():
            raise OutputError(f"{path} is a folder", "give the name of a file in it")
        if target.exists() and not os.access(target, os.W_OK):
            raise OutputError(f"{path} is write-protected", "give another name or unlock the file")
        _try_to_create(folder)
    except (OSError, ValueError, RuntimeError) as error:
        raise OutputError(
            f"{path} is not a usable path ({brief(error)})", "give another"
        ) from error
    return target


def _try_to_create(folder: Path) -> None:
    """Make and remove a file: the one sure way to know that a folder takes new ones."""
    probe = folder / f".{secrets.token_hex(8)}"
    try:
        os.close(os.open(probe, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        probe.unlink()
    except OSError as error:
        raise OutputError(
            f"Nothing can be written to {describe_os_error(error, folder)}",
            "choose another folder",
        ) from None


def _os_error(error: BaseException) -> OSError | None:
    """The operating system's own complaint in a chain of errors, if there is one."""
    seen: BaseException | None = error
    for _ in range(10):
        if isinstance(seen, OSError) and seen.strerror:
            return seen
        if seen is None:
            break
        seen = seen.__cause__ or seen.__context__
    return error if isinstance(error, OSError) else None


def _flush(path: Path) -> None:
    with path.open("rb+") as stream:
        os.fsync(stream.fileno())


def _flush_folder(folder: Path) -> None:
    """Make the new name durable; not every system can (Windows cannot)."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
