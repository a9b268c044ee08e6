"""Our layers in a viewer: found again whatever their names, updated in place."""

from __future__ import annotations

import re
import weakref
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..viz.palette import UNASSIGNED_COLOUR, to_rgb
from .colour_bars import show_colorbar
from .layer_tuples import (
    LayerTuple,
    domains_layer,
    domains_options,
    gene_layer,
    image_layer,
    our_meta,
    rgba,
    section_layers,
    spots_layer,
)
from .model import DomainSet, DomainState, Item
from .returning import read_desk, restored

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

__all__ = [
    "add_layer",
    "adopt",
    "align_units",
    "drop_values",
    "find_layer",
    "in_view",
    "layers_of",
    "prefer",
    "show_domains",
    "show_gene",
    "show_section",
    "update_layer",
]

_ORDER = ("image", "domains", "gene", "value", "selection", "spots", "regions")
_SHOWN: weakref.WeakKeyDictionary[Layer, DomainState] = weakref.WeakKeyDictionary()
"""State that a layer shows, so that an edit redraws only what it has changed."""


def align_units(viewer: ViewerModel) -> None:
    """One unit for all our layers: napari drops the scale bar where units differ.

    Beside a section with a known scale, one without is drawn as if a pixel were a micrometre;
    alone it keeps pixels, so that its scale bar promises nothing.
    """
    ours = [layer for layer in viewer.layers if our_meta(layer)]
    if any(str(layer.units[-1]) == "micrometer" for layer in ours):
        for layer in ours:
            if str(layer.units[-1]) == "pixel":
                layer.units = ("um",) * layer.ndim


def layers_of(viewer: ViewerModel, section_id: str, *roles: str) -> list[Layer]:
    """Our layers of a section, bottom first; those of all roles where none is named."""
    of_section = (x for x in viewer.layers if our_meta(x).get("section_id") == section_id)
    return [x for x in of_section if not roles or our_meta(x).get("role") in roles]


def find_layer(
    viewer: ViewerModel, item_id: str, role: str, key: str | None = None
) -> Layer | None:
    """Our layer of that section, role and key, whatever its name; the newest where copied."""
    for layer in reversed(layers_of(viewer, item_id, role)):
        if key is None or our_meta(layer).get("key") == key:
            return layer
    return None


def show_section(viewer: ViewerModel, item: Item) -> None:
    """Add the layers of a section that are missing; results on top, newest visible."""
    first = not len(viewer.layers)
    if not item.returned and not layers_of(viewer, item.id) and read_desk(item.section):
        for kept in restored(item, section_layers(item)):
            adopt(viewer, item, _put(viewer, kept))
    item.returned = True
    image, spots = image_layer(item), spots_layer(item)
    for made, role in ((image, "image"), (spots, "spots")):
        if made is not None and find_layer(viewer, item.id, role) is None:
            add_layer(viewer, item, made)
    count = len(viewer.layers)
    for domains in item.domains.values():
        show_domains(viewer, item, domains)
    if item.key in item.domains:
        _paint_spots(viewer, item, item.domains[item.key].drawn)
        if len(viewer.layers) > count:
            prefer(viewer, item, item.key)
    if first:
        viewer.canvas.overlays.scale_bar.visible = True
        viewer.reset_view()


def show_domains(
    viewer: ViewerModel, item: Item, domains: DomainSet, *, create: bool = True
) -> Layer | None:
    """Show a partition, in its present layer if there is one.

    Opacity, visibility and order of a present layer stay as the user has set them; with
    ``create`` False a layer that the user deleted stays deleted.
    """
    layer, state = find_layer(viewer, item.id, "domains", domains.key), domains.drawn
    if layer is not None:
        old, options = _SHOWN.get(layer), domains_options(item, domains)
        same = old is not None and old.codes is state.codes
        update_layer(layer, None if same else item.raster.labels(state.codes), options)
        if old is None or (old.colors, old.shown) != (state.colors, state.shown):
            layer.colormap = options["colormap"]
        layer.features = options["features"]
        # New data make labels editable again.
        layer.editable = False
    elif create:
        first = find_layer(viewer, item.id, "domains") is None
        for other in layers_of(viewer, item.id, "domains"):
            other.visible = False
        layer = add_layer(viewer, item, domains_layer(item, domains))
        layer.editable = False
        spots = find_layer(viewer, item.id, "spots")
        if first and spots is not None:
            spots.visible = False
    if layer is not None:
        _SHOWN[layer] = state
    _paint_spots(viewer, item, state)
    return layer


def drop_values(viewer: ViewerModel, item: Item, key: str) -> None:
    """Remove what analyses showed of a result that another run has replaced."""
    for layer in layers_of(viewer, item.id):
        if our_meta(layer).get("of") == key:
            viewer.layers.remove(layer)


def prefer(viewer: ViewerModel, item: Item, key: str) -> None:
    """Show the result ``key`` instead of others of the section that are visible."""
    layer = find_layer(viewer, item.id, "domains", key)
    if layer is None:
        return
    for other in layers_of(viewer, item.id, "domains"):
        if our_meta(other).get("key") != key and other.visible:
            other.visible, layer.visible = False, True


def adopt(viewer: ViewerModel, item: Item, layer: Layer) -> None:
    """Treat a layer that a reader has made as one of ours."""
    meta = our_meta(layer)
    looks = meta.pop("looks", {})
    if "contour" in looks:
        layer.contour = looks["contour"]
    if looks.get("colorbar"):
        show_colorbar(layer)
    if meta.get("role") in ("domains", "selection"):
        layer.editable = False
        if meta.get("role") == "domains" and meta.get("key") in item.domains:
            _SHOWN[layer] = item.domains[meta["key"]].drawn
    elif meta.get("role") == "spots" and item.key in item.domains:
        _paint_spots(viewer, item, item.domains[item.key].drawn)


def in_view(viewer: ViewerModel, layer: Layer) -> bool:
    """Whether the canvas shows all of a layer."""
    centre = np.asarray(viewer.scene.camera.center[-2:], dtype=float)
    half = np.asarray(viewer.canvas.size, dtype=float) / (2 * viewer.scene.camera.zoom)
    low, high = np.asarray(layer.extent.world)[:, -2:]
    return bool((low >= centre - half).all() and (high <= centre + half).all())


def show_gene(viewer: ViewerModel, item: Item, gene: str, values: NDArray[Any]) -> Layer:
    """Show a gene in the section's one gene layer."""
    data, options, kind = gene_layer(item, gene, values)
    layer = find_layer(viewer, item.id, "gene")
    if layer is None:
        return add_layer(viewer, item, (data, options, kind))
    update_layer(layer, data, options)
    layer.contrast_limits = options["contrast_limits"]
    return layer


def update_layer(layer: Layer, data: Any, options: dict[str, Any]) -> None:
    """New content, None for the same; a new name only if the user has not chosen one."""
    if data is not None:
        layer.data = data
    # napari itself adds " [1]" to a name that is taken.
    if re.fullmatch(re.escape(str(our_meta(layer).get("name"))) + r"( \[\d+\])?", layer.name):
        layer.name = options["name"]
    layer.metadata = {**layer.metadata, **options["metadata"]}


def _paint_spots(viewer: ViewerModel, item: Item, state: DomainState) -> None:
    layer = find_layer(viewer, item.id, "spots")
    if layer is None or len(layer.data) != len(state.codes):
        return
    old = _SHOWN.get(layer)
    same = old is not None and old.codes is state.codes
    if old is None or not same or (old.colors, old.shown) != (state.colors, state.shown):
        grey = [*to_rgb([UNASSIGNED_COLOUR])[0], 1.0]
        # The last row is hit by the code -1.
        colors = np.vstack([rgba(state), grey]).astype(np.float32)
        layer.face_color = colors[state.codes]
    if old is None or not same or old.names != state.names:
        domain = pd.Categorical.from_codes(state.codes, pd.Index(state.names))
        if len(layer.features) == len(domain):
            layer.features = layer.features.assign(domain=domain)
    _SHOWN[layer] = state


def add_layer(viewer: ViewerModel, item: Item, made: LayerTuple) -> Layer:
    """Add a layer above the section's lower layers and below its upper ones."""
    layer = _put(viewer, made)
    rank = _ORDER.index(our_meta(layer)["role"])
    place = len(viewer.layers) - 1
    for i, other in enumerate(viewer.layers):
        meta = our_meta(other)
        above = meta.get("section_id") == item.id and meta.get("role") in _ORDER[rank + 1 :]
        if other is not layer and above:
            place = min(place, i)
    viewer.layers.move(len(viewer.layers) - 1, place)
    return layer


def _put(viewer: ViewerModel, made: LayerTuple) -> Layer:
    """Add a layer on top."""
    data, options, kind = made
    if any(str(layer.units[-1]) == "micrometer" for layer in viewer.layers if our_meta(layer)):
        # See `align_units`; said at once, because napari warns about a mixture.
        options = {**options, "units": ("um", "um")}
    return getattr(viewer, f"add_{kind}")(data, **options)
