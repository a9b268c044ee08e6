"""napari's writers: File > Save of our layers writes the section that they show."""

from __future__ import annotations

from pathlib import Path

from ..core.errors import DataError, ParameterError
from ..core.section import Section
from .keeping import with_desk
from .layer_tuples import META, LayerTuple
from .session import open_item

__all__ = ["save_domains", "save_section"]


def save_section(path: str, layer_data: list[LayerTuple]) -> list[str]:
    """Write the section of the layers by the suffix of ``path``; ``.h5ad`` without one.

    Raises
    ------
    DataError, ParameterError
        If the layers are none of ours, or of several sections or results.
    OutputError
        If the path cannot be written.
    """
    return _save(path, layer_data, ".h5ad")


def save_domains(path: str, layer_data: list[LayerTuple]) -> list[str]:
    """Write the domains that the layers show by the suffix of ``path``; ``.geojson`` without one.

    Raises
    ------
    DataError, ParameterError, OutputError
        See `save_section`.
    """
    return _save(path, layer_data, ".geojson")


def _save(path: str, layer_data: list[LayerTuple], usual: str) -> list[str]:
    from ..io.write import WRITERS, write, writer_of

    section, columns = _content(layer_data)
    found = open_item(section)
    if found is not None:
        section = with_desk(*found)
    target = Path(path)
    if not target.name.lower().endswith(tuple(WRITERS)):
        # napari hands the name on as it was typed; any other suffix is part of the name.
        target = target.with_name(target.name + usual)
    if "column" not in writer_of(target).options:
        # Formats of the whole section hold every column.
        return [str(write(section, target))]
    if len(columns) > 1:
        raise ParameterError(
            f"The layers show {len(columns)} results ({', '.join(columns)})",
            "select the layer of one result",
        )
    return [str(write(section, target, column=next(iter(columns), None)))]


def _content(layer_data: list[LayerTuple]) -> tuple[Section, list[str]]:
    """The section that layers show, and the columns of their domains."""
    sections: dict[int, Section] = {}
    columns: set[str] = set()
    for _, options, kind in layer_data:
        if kind == "shapes":
            # What was drawn over a section travels with its desk.
            continue
        meta = (options.get("metadata") or {}).get(META)
        reference = meta.get("section") if isinstance(meta, dict) else None
        section = reference() if callable(reference) else None
        if section is None:
            raise DataError(
                f"The layer '{options.get('name')}' belongs to no section that is open",
                "select layers of one section only; save other layers in one of napari's formats",
            )
        sections[id(section)] = section
        if meta is not None and meta.get("column"):
            columns.add(str(meta["column"]))
    if len(sections) > 1:
        names = ", ".join(sorted(section.name for section in sections.values()))
        raise ParameterError(
            f"The layers belong to {len(sections)} sections ({names})",
            "select the layers of one section",
        )
    if not sections:
        raise DataError(
            "No layer of a section was chosen", "select its image, domains or spots too"
        )
    return next(iter(sections.values())), sorted(columns)
