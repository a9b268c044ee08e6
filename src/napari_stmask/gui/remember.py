"""What the window remembers from one day to the next: folders and choices, never data."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Any

from platformdirs import user_config_path
from qtpy.QtCore import QSettings

__all__ = ["recall", "remember", "remember_folder", "start_path"]

_FOLDER = "folder"


@cache
def _settings(folder: str) -> QSettings:
    return QSettings(str(Path(folder) / "window.ini"), QSettings.Format.IniFormat)


def _kept() -> QSettings:
    """In ``$STMASK_CONFIG``, or where programs of this system keep their settings."""
    return _settings(os.environ.get("STMASK_CONFIG") or str(user_config_path("napari-stmask")))


def recall(name: str, default: Any, kind: type | None = None) -> Any:
    """What was chosen last; ``default`` where nothing was, or something that is not ``kind``."""
    found = _kept().value(name, default)
    wanted = kind or type(default)
    if wanted is bool and isinstance(found, str):
        return found == "true"
    try:
        return wanted(found) if wanted in (int, float, str) else found
    except (TypeError, ValueError):
        # Written by hand, or by a version for which it meant something else.
        return default


def remember(name: str, value: Any) -> None:
    """Keep a choice; a folder that cannot be written keeps nothing and disturbs nobody."""
    _kept().setValue(name, value)


def remember_folder(path: str | Path) -> None:
    """Begin there when a file is asked for next."""
    found = Path(path)
    remember(_FOLDER, str(found if found.is_dir() else found.parent))


def start_path(name: str = "") -> str:
    """``name`` in the folder that was used last, where that is still there."""
    folder = Path(recall(_FOLDER, "", str))
    return str(folder / name) if str(folder) not in ("", ".") and folder.is_dir() else name
