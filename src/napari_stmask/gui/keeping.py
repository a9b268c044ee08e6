"""The desk of a section as data that travel in its file: layers, their looks, what is selected.

``uns["stmask_desk"]`` is JSON text; numbers of spots that layers show are columns of
``obsm["stmask_desk"]``; pictures that are painted freely are ``uns["stmask_desk_pictures"]``.
"""

from __future__ import annotations

import json
import weakref
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..core.section import Section
from .colour_bars import has_colorbar
from .export import snapshot
from .layer_tuples import PASSING, our_meta, place_of_raster, to_rows_columns
from .model import Item
from .placing import box

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

__all__ = ["BEFORE", "DESK", "PICTURES", "with_desk"]

DESK = "stmask_desk"
PICTURES = "stmask_desk_pictures"
SCHEMA = 1
OWN = ("image", "domains", "spots")
"""Roles of layers that are made from the section itself; of these only the looks are kept."""
BEFORE: weakref.WeakKeyDictionary[Layer, bool] = weakref.WeakKeyDictionary()
"""Whether layers were visible before something was laid side by side, which no file keeps."""
_PLAIN = (str, int, float, bool, type(None))


def with_desk(viewer: ViewerModel | None, item: Item) -> Section:
    """The section as it is now over the same arrays, with its desk as the viewer shows it.

    Layers of other plugins are not kept, except shapes that lie over the section.
    """
    section = snapshot(item.section)
    adata = section.adata
    adata.uns = {k: v for k, v in adata.uns.items() if k not in (DESK, PICTURES)}
    if DESK in adata.obsm:
        del adata.obsm[DESK]
    if viewer is None:
        return section
    columns: list[NDArray[np.float32]] = []
    pictures: dict[str, NDArray[Any]] = {}
    kept = [
        made
        for layer in viewer.layers
        if (made := _kept(layer, item, columns, pictures)) is not None
    ]
    desk = {
        "schema": SCHEMA,
        "selected": item.key,
        "gene": item.gene,
        "chosen": item.chosen.tolist(),
        "results": {
            key: {"hidden": [n for n, s in zip(d.state.names, d.state.shown, strict=True) if not s]}
            | {"view": d.view}
            for key, d in item.domains.items()
        },
        "layers": kept,
    }
    adata.uns[DESK] = json.dumps(desk)
    if columns:
        adata.obsm[DESK] = np.column_stack(columns).astype(np.float32)
    if pictures:
        adata.uns[PICTURES] = pictures
    return section


def _kept(
    layer: Layer, item: Item, columns: list[NDArray[np.float32]], pictures: dict[str, Any]
) -> dict[str, Any] | None:
    """What is kept of a layer; None for those that are not of this section."""
    meta, kind = our_meta(layer), layer._type_string
    if kind == "shapes":
        return _shapes(layer, item) if _lies_over(layer, item) else None
    role = meta.get("role")
    if meta.get(PASSING):
        return None
    if meta.get("section_id") != item.id:
        painted = role == "pattern" and kind == "labels" and _on_raster(layer, item)
        if not painted:
            return None
        name = str(len(pictures))
        pictures[name] = np.asarray(layer.data)
        return _common(layer, meta) | {"picture": name}
    made = _common(layer, meta)
    if role in OWN:
        return made
    values = _values(layer, item)
    if values is None:
        return None
    made["columns"] = [len(columns), len(columns) + values.shape[1]]
    made["dtype"] = str(np.asarray(layer.data).dtype) if kind != "points" else "float32"
    columns.extend(values.T)
    if kind == "points" and "value" in layer.features:
        made["features"] = len(columns)
        columns.append(np.asarray(layer.features["value"], dtype=np.float32))
    return made


def _common(layer: Layer, meta: dict[str, Any]) -> dict[str, Any]:
    """Name, identity and looks, JSON-able."""
    looks: dict[str, Any] = {
        "name": layer.name,
        "visible": BEFORE.get(layer, bool(layer.visible)),
        "opacity": float(layer.opacity),
        "blending": str(layer.blending),
    }
    kind = layer._type_string
    if kind == "image" and not layer.rgb:
        looks["contrast_limits"] = [float(v) for v in layer.contrast_limits]
        looks["gamma"] = float(layer.gamma)
        looks["colormap"] = _colormap(layer.colormap)
        looks["colorbar"] = has_colorbar(layer)
    if kind == "labels":
        looks["contour"] = int(layer.contour)
        colors = getattr(layer.colormap, "color_dict", None)
        if colors is not None and meta.get("role") not in OWN:
            looks["colors"] = {
                str(k): [float(c) for c in v] for k, v in colors.items() if k is not None
            }
    if kind == "points":
        looks["size"] = float(np.mean(layer.size))
    known = {k: v for k, v in meta.items() if isinstance(v, _PLAIN) and k != "section_id"}
    return {"kind": kind, "meta": known, "looks": looks}


def _colormap(colormap: Any) -> Any:
    from napari.utils.colormaps import AVAILABLE_COLORMAPS

    if colormap.name in AVAILABLE_COLORMAPS:
        return colormap.name
    colors = [[float(c) for c in color] for color in colormap.colors]
    return {
        "name": colormap.name,
        "colors": colors,
        "controls": [float(c) for c in colormap.controls],
    }


def _on_raster(layer: Layer, item: Item) -> bool:
    """Whether a picture lies on the index map of the section, pixel by pixel."""
    if not hasattr(layer.data, "shape") or layer.data.shape[:2] != item.raster.index.shape:
        return False
    place = place_of_raster(item, "", "")
    shift = np.abs(np.asarray(layer.translate[-2:]) - place["translate"])
    return bool(np.allclose(layer.scale[-2:], place["scale"]) and (shift < place["scale"]).all())


def _values(layer: Layer, item: Item) -> NDArray[np.float32] | None:
    """(n_spots, width) of what a layer of values shows at each spot."""
    if layer._type_string == "points":
        same = len(layer.data) == item.section.n_spots
        return np.asarray(layer.face_color, dtype=np.float32) if same else None
    data = np.asarray(layer.data) if not getattr(layer, "multiscale", False) else None
    if data is None or data.shape[:2] != item.raster.index.shape:
        return None
    pixels = _pixel_of_spots(item)
    values = data[tuple(pixels.T)].reshape(item.section.n_spots, -1)
    return np.asarray(values, dtype=np.float32)


def _pixel_of_spots(item: Item) -> NDArray[np.intp]:
    """(n_spots, 2) a pixel that shows the spot: where cells are small it need not be its centre."""
    index = item.raster.index
    flat = index.ravel()
    first = np.zeros(item.section.n_spots, dtype=np.intp)
    inside = np.flatnonzero(flat >= 0)
    first[flat[inside]] = inside
    return np.column_stack(np.unravel_index(first, index.shape))


def _lies_over(layer: Layer, item: Item) -> bool:
    """Whether shapes were drawn over this section: ours say so, the user's lie there."""
    meta = our_meta(layer)
    if meta:
        return bool(meta.get("section_id") == item.id and len(layer.data))
    if not len(layer.data):
        return False
    low, high = np.asarray(layer.extent.world)[:, -2:]
    top, left, bottom, right = box(item.section)
    middle = (low + high) / 2 - np.asarray(item.offset)
    return bool(top <= middle[0] <= bottom and left <= middle[1] <= right)


def _shapes(layer: Layer, item: Item) -> dict[str, Any]:
    """Corners as (x, y) in coordinates of the section, so that they fit wherever it lies."""
    unit = item.section.um_per_px or 1.0
    vertices = []
    for data in layer.data:
        world = np.array([layer.data_to_world(corner)[-2:] for corner in np.asarray(data)])
        vertices.append((to_rows_columns(world - np.asarray(item.offset)) / unit).tolist())
    looks = {
        "name": layer.name,
        "visible": BEFORE.get(layer, bool(layer.visible)),
        "opacity": float(layer.opacity),
        "blending": str(layer.blending),
    }
    meta = our_meta(layer)
    features = layer.features
    return {
        "kind": "shapes",
        "meta": {k: v for k, v in meta.items() if isinstance(v, _PLAIN) and k != "section_id"},
        "looks": looks,
        "types": list(layer.shape_type),
        "vertices": vertices,
        "edge_color": np.asarray(layer.edge_color, dtype=float).tolist(),
        "face_color": np.asarray(layer.face_color, dtype=float).tolist(),
        # In units of the world, in which the shapes come back.
        "edge_width": [float(w * layer.scale[-1]) for w in layer.edge_width],
        "text": layer.text.model_dump(mode="json"),
        "features": {
            str(c): [v if isinstance(v, _PLAIN) else str(v) for v in features[c].tolist()]
            for c in features
        },
    }
