"""A desk that was kept in a file, put up again: layers with their looks, what was selected."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ..core.section import Section
from .keeping import DESK, OWN, PICTURES
from .layer_tuples import (
    META,
    LayerTuple,
    place_of_raster,
    spots_layer,
    to_rows_columns,
)
from .model import Item

__all__ = ["read_desk", "restored", "take_state"]


def read_desk(section: Section) -> dict[str, Any]:
    """What the file of a section says of its desk; empty where it says nothing that is usable."""
    text = section.adata.uns.get(DESK)
    if not isinstance(text, str):
        return {}
    try:
        desk = json.loads(text)
    except ValueError:
        return {}
    # A later version may mean other things by the same words.
    return desk if isinstance(desk, dict) and desk.get("schema") == 1 else {}


def take_state(item: Item) -> None:
    """What was selected and hidden, onto the item and its results."""
    desk = read_desk(item.section)
    for key, kept in desk.get("results", {}).items():
        domains = item.domains.get(key)
        if domains is None:
            continue
        hidden = set(kept.get("hidden", ()))
        shown = tuple(name not in hidden for name in domains.state.names)
        domains.state = replace(domains.state, shown=shown)
        domains.view = kept.get("view", "") if kept.get("view") in domains.views else ""
    if desk.get("selected") in item.domains:
        item.key = desk["selected"]
    item.gene = str(desk.get("gene", ""))
    rows = np.asarray(desk.get("chosen", ()), dtype=np.intp)
    item.choose(rows[(rows >= 0) & (rows < item.section.n_spots)])


def restored(item: Item, made: list[LayerTuple]) -> list[LayerTuple]:
    """The layers that a section shows by itself, with those and the looks that were kept.

    Parameters
    ----------
    item
        The section.
    made
        Its own layers, bottom first.

    Returns
    -------
    list of tuple
        In the order that was kept; layers of the section that were not there when it was kept
        stay in their place at the end.
    """
    kept = read_desk(item.section).get("layers")
    if not kept:
        return made
    own = {_identity(options["metadata"][META]): layer for layer in made for options in [layer[1]]}
    out: list[LayerTuple] = []
    for one in kept:
        meta = one.get("meta", {})
        mine = meta.get("role") in OWN
        layer = own.pop(_identity(meta), None) if mine else _made(item, one)
        if layer is not None:
            out.append(_looking(layer, one.get("looks", {})))
    for layer in own.values():
        # A result that was found since, or a layer that the user had deleted.
        layer[1]["visible"] = False
    return [*out, *own.values()]


def _identity(meta: Mapping[str, Any]) -> tuple[Any, Any]:
    role = meta.get("role")
    return role, meta.get("key") if role == "domains" else None


def _made(item: Item, one: Mapping[str, Any]) -> LayerTuple | None:
    """A layer that is not the section's own, from what was kept of it."""
    kind, meta = one.get("kind"), dict(one.get("meta", {}))
    if kind == "shapes":
        return _shapes(item, one, meta)
    if "picture" in one:
        picture = item.section.adata.uns.get(PICTURES, {}).get(one["picture"])
        if picture is None or np.shape(picture) != item.raster.index.shape:
            return None
        place = place_of_raster(item, "", "") | {"metadata": {META: meta}}
        return np.asarray(picture), place, "labels"
    table = item.section.adata.obsm.get(DESK)
    first, last = one.get("columns", (0, 0))
    if table is None or not 0 <= first < last <= np.shape(table)[1]:
        return None
    values = np.asarray(table, dtype=np.float32)[:, first:last]
    if kind == "points":
        return _points(item, one, meta, values, np.asarray(table))
    options = place_of_raster(item, str(meta.get("role")), "")
    options["metadata"][META] |= meta
    index = item.raster.index
    if kind == "labels":
        colors = {int(k): np.asarray(v) for k, v in one["looks"].get("colors", {}).items()}
        options["colormap"] = _direct(colors)
        data = item.raster.labels(values[:, 0].astype(np.intp) - 1)
        return data, options, "labels"
    if values.shape[1] == 1:
        return item.raster.values(values[:, 0]), options, "image"
    # The last row is hit by the index -1.
    data = np.vstack([values, np.zeros_like(values[:1])])[index].astype(one.get("dtype", "uint8"))
    return data, options | {"rgb": True}, "image"


def _points(
    item: Item, one: Mapping[str, Any], meta: dict[str, Any], colors: Any, table: Any
) -> LayerTuple | None:
    made = spots_layer(item)
    if made is None:
        return None
    data, options, _ = made
    options["metadata"][META] |= meta
    options |= {"face_color": colors, "border_color": colors, "border_width": 0.0}
    if "features" in one:
        options["features"] = options["features"].assign(value=table[:, one["features"]])
    return data, options, "points"


def _shapes(item: Item, one: Mapping[str, Any], meta: dict[str, Any]) -> LayerTuple:
    unit = item.section.um_per_px or 1.0
    world = [
        to_rows_columns(np.asarray(v, dtype=float)) * unit + np.asarray(item.offset)
        for v in one["vertices"]
    ]
    options: dict[str, Any] = {
        "shape_type": list(one["types"]),
        "edge_color": np.asarray(one["edge_color"]),
        "face_color": np.asarray(one["face_color"]),
        "edge_width": list(one["edge_width"]),
        "features": one.get("features") or None,
        "text": one.get("text"),
        "units": ("um", "um") if item.section.um_per_px else ("pixel", "pixel"),
    }
    if meta:
        options["metadata"] = {META: meta | {"section_id": item.id}}
    return world, options, "shapes"


def _looking(layer: LayerTuple, looks: Mapping[str, Any]) -> LayerTuple:
    """A layer with the looks that were kept; those of another napari that are unknown are left."""
    data, options, kind = layer
    for name in ("name", "visible", "opacity", "blending", "contrast_limits", "gamma"):
        if name in looks:
            options[name] = looks[name]
    if kind == "image" and "colormap" in looks:
        options["colormap"] = _colormap(looks["colormap"])
    if kind == "points" and "size" in looks:
        options["size"] = looks["size"]
    later = {k: looks[k] for k in ("contour", "colorbar") if k in looks}
    if later and META in options.get("metadata", {}):
        options["metadata"][META]["looks"] = later
    return data, options, kind


def _colormap(kept: Any) -> Any:
    from napari.utils.colormaps import Colormap

    if isinstance(kept, str):
        return kept
    return Colormap(kept["colors"], name=kept["name"], controls=kept["controls"])


def _direct(colors: dict[int, Any]) -> Any:
    from napari.utils.colormaps import DirectLabelColormap

    clear = np.zeros(4, dtype=np.float32)
    return DirectLabelColormap(color_dict={None: clear, 0: clear, **colors})
