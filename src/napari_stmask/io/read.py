"""Recognise what a path holds, by content, and read it."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ..core.errors import FileFormatError, MissingFileError, ParameterError, StmaskError
from .options import ReadOptions

if TYPE_CHECKING:
    from ..core.section import Section

__all__ = ["FORMATS", "read", "read_sections", "recognise"]

FORMATS = (
    "h5ad",
    "anndata_zarr",
    "spatialdata_in",
    "xenium",
    "spaceranger",
    "gef",
    "gem",
    "merscope",
    "cosmx",
    "st",
    "table",
)
"""Modules beside this one, asked in this order. Each has ``TITLE``, ``OPTIONS`` (names of the
`ReadOptions` that it follows), a cheap ``matches(path)`` and ``load(path, options)``."""


def recognise(path: str | Path) -> str | None:
    """Which of `FORMATS` can read ``path``, or None.

    Looks at names and first bytes only: takes milliseconds, imports no large library and never
    raises for an odd path.
    """
    try:
        path = _path(path)
    except MissingFileError:
        return None
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
    alignment: str | Path | None = None,
    counts_layer: str | None = None,
    filtered: bool = True,
    bin: int | str | None = None,  # noqa: A002, the field's word
    spots: str | Path | None = None,
    mask: str | Path | None = None,
    symbols: str | Path | None = None,
    columns: Mapping[str, str] | None = None,
) -> Section | list[Section]:
    """Read a section from a file or folder of any platform that is known.

    Parameters
    ----------
    path
        File or folder; recognised by content.
    name
        Name of the section; taken from the data by default.
    image
        Histology given separately (PNG, JPEG, TIFF, whole-slide pyramid, OME-Zarr): the
        full-resolution image, or one of the size of the platform's own smaller images.
    alignment
        File with the 3 x 3 transform between the image and the coordinates; see
        `napari_stmask.io.alignment`.
    counts_layer
        Layer with raw counts, where the format has layers.
    filtered
        Prefer the filtered matrix and drop spots outside the tissue.
    bin
        Side of a square bin: in DNB (0.5 µm) for Stereo-seq (50 by default), in µm for Visium HD
        (8 by default). ``"cell"`` reads segmented cells.
    spots
        Table of spot positions, where it does not lie beside the counts.
    mask
        Image of the tissue or of the cells, in the frame of the coordinates (Stereo-seq).
    symbols
        Table from gene identifiers to symbols (legacy ST and plain tables).
    columns
        Which column of a plain table means what, by role: ``id``, ``x``, ``y``, ``gene``,
        ``count``.

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
    ParameterError
        If an option means nothing for this format.
    DataError
        If the content cannot be a section.
    """
    path = _path(path)
    options = ReadOptions(
        name=name,
        counts_layer=counts_layer,
        filtered=filtered,
        bin=bin,
        spots=_path_or_none(spots),
        mask=_path_or_none(mask),
        symbols=_path_or_none(symbols),
        columns=dict(columns or {}),
    )
    if alignment is not None and image is None:
        raise ParameterError("alignment was given without an image", "give image= too")
    known = recognise(path)
    if known is None and (columns or spots) and path.is_file():
        # What the columns mean was said, so the table need not tell by itself.
        known = "table"
    if known is None:
        raise _unknown(path)
    module = _module(known)
    options.check(module.TITLE, module.OPTIONS)
    found: Section | list[Section] = module.load(path, options)
    sections = found if isinstance(found, list) else [found]
    if image is not None:
        from .place import place_image

        if len(sections) > 1:
            raise FileFormatError(
                f"{path} holds {len(sections)} sections, so one image cannot belong to all of them",
                "read it without image= and set the image of each section",
            )
        place_image(sections[0], _path(image), _path_or_none(alignment))
    asked = options.given()
    asked |= {key: str(v) for key, v in (("image", image), ("alignment", alignment)) if v}
    for section in sections:
        section.reading = {key: value for key, value in asked.items() if key != "name"}
    return found


def read_sections(path: str | Path, **options: Any) -> list[Section]:
    """`read`, with a list for files of one section too."""
    found = read(path, **options)
    return found if isinstance(found, list) else [found]


def _path(given: str | Path) -> Path:
    try:
        return Path(given).expanduser()
    except RuntimeError as error:
        # "~someone" whom the system does not know.
        raise MissingFileError(f"{given} does not exist", "check the path") from error


def _path_or_none(given: str | Path | None) -> Path | None:
    return None if given is None else _path(given)


def _unknown(path: Path) -> FileFormatError | MissingFileError:
    try:
        exists = path.exists()
    except (OSError, ValueError):
        exists = False
    if not exists:
        return MissingFileError(f"{path} does not exist", "check the path")
    columns = _columns(path)
    if columns:
        return FileFormatError(
            f"{path} is not recognised: it is a table whose columns do not tell what they hold "
            f"({columns})",
            "say which with columns={'x': ..., 'y': ...} ('gene' and 'count' too, where each row "
            "is a record), or give spots= with a table of positions; single molecules and tables "
            "of cells without counts are not read",
        )
    titles = "; ".join(_module(name).TITLE for name in FORMATS)
    return FileFormatError(f"{path} is not recognised", f"give one of these: {titles}")


def _columns(path: Path) -> str:
    """The first columns of a table, for a message; empty for other files."""
    from .roles import table_columns

    try:
        names = [name for name, _ in table_columns(path)] if path.is_file() else []
    except StmaskError:
        return ""
    return ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")


def _module(name: str) -> ModuleType:
    return importlib.import_module(f".{name}", __package__)
