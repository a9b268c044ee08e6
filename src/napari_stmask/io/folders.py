"""Look into a folder without being held up by a crowded one."""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import islice
from pathlib import Path

__all__ = ["MAX_ENTRIES", "first_entries"]

MAX_ENTRIES = 5000
"""Entries of a folder that are looked at; the output of a run has some dozens on one level."""


def first_entries(folder: Path, wanted: Callable[[str], bool]) -> list[Path]:
    """Of the first `MAX_ENTRIES` entries of a folder those whose names are wanted, sorted.

    Every reader is asked about every path that a user drops, and a folder of a hundred thousand
    images takes longest to list.

    Parameters
    ----------
    folder
        The folder; anything else has no entries.
    wanted
        Whether a name is of interest.
    """
    try:
        with os.scandir(folder) as found:
            names = sorted(e.name for e in islice(found, MAX_ENTRIES) if wanted(e.name))
    except NotADirectoryError:
        return []
    return [folder / name for name in names]
