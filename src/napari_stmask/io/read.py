"""Recognise what a path holds, by content, and read it."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from ..core.errors import FileFormatError, MissingFileError

if TYPE_CHECKING:
    from ..core.section import Section

__all__ = ["FORMATS", "read", "recognise"]

FORMATS = (
    "h5ad",
    "spaceranger",
)
"""Modules beside this one, asked in this order. Each has ``TITLE``, a cheap ``matches(path)`` and
``load(path, *, name, counts_layer, filtered)``."""


def recognise(path: str | Path) -> str | None:
    """Which of `FORMATS` can read ``path``, or None.

    Looks at names and first bytes only: takes milliseconds, imports no large library and never
    raises for an odd path.
    """
    path = Path(path).expanduser()
    for name in FORMATS:
        try:
            if _module(name).matches(path):
                return name
        except (OSError, ValueError):
            # No permission, a name that the system refuses: nothing that can be read.
            continue
    return None


def read(
    path: str | Path,
    *,
    name: str | None = None,
    image: str | Path | None = None,
    counts_layer: str | None = None,
    filtered: bool = True,
) -> Section | list[Section]:
    """Read a section from a file or folder of any platform that is known.

    Parameters
    ----------
    path
        File or folder; recognised by content.
    name
        Name of the section; taken from the data by default.
    image
        Histology given separately (PNG, JPEG, TIFF): the full-resolution image, or one of the
        size of the platform's own smaller images.
    counts_layer
        Layer with raw counts, where the format has layers.
    filtered
        Prefer the filtered matrix and drop spots outside the tissue.

    Returns
    -------
    Section or list of Section
        A list for files that hold several sections.

    Raises
    ------
    MissingFileError
        If the path or a file that its folder must hold does not exist.
    FileFormatError
        If nothing recognises the path, or a file is damaged.
    DataError
        If the content cannot be a section.
    """
    path = Path(path).expanduser()
    known = recognise(path)
    if known is None:
        raise _unknown(path)
    found: Section | list[Section] = _module(known).load(
        path, name=name, counts_layer=counts_layer, filtered=filtered
    )
    if image is not None:
        from .images import place_image

        if isinstance(found, list):
            raise FileFormatError(
                f"{path} holds {len(found)} sections, so one image cannot belong to all of them",
                "read it without image= and set the image of each section",
            )
        place_image(found, Path(image).expanduser())
    return found


def _unknown(path: Path) -> FileFormatError | MissingFileError:
    try:
        exists = path.exists()
    except (OSError, ValueError):
        exists = False
    if not exists:
        return MissingFileError(f"{path} does not exist", "check the path")
    titles = "; ".join(_module(name).TITLE for name in FORMATS)
    return FileFormatError(f"{path} is not recognised", f"give one of these: {titles}")


def _module(name: str) -> ModuleType:
    return importlib.import_module(f".{name}", __package__)
