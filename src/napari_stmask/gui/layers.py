"""From a section to napari layers: one world in µm, names, metadata, updates in place."""

from __future__ import annotations

import re
import weakref
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..core.histology import Histology, inverse, swap_axes
from ..viz.palette import UNASSIGNED_COLOUR, to_rgb
from ..viz.raster import SpotRaster
from .model import VIEW_TITLES, DomainSet, DomainState, Item

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

__all__ = [
    "META",
    "add_layer",
    "adopt",
    "domains_layer",
    "find_layer",
    "gene_layer",
    "image_layer",
    "in_view",
    "our_meta",
    "prefer",
    "section_layers",
    "show_domains",
    "show_gene",
    "show_section",
    "spots_layer",
    "update_layer",
    "warm_up",
]

META = "stmask"
SCHEMA = 1
MAX_POINTS = 200_000
"""Above this many spots no Points layer is made: they draw too slowly."""
_SQUARE = ("stereoseq", "visium_hd")
"""Platforms whose spots are square bins, unless they are cells."""
_ORDER = ("image", "domains", "gene", "value", "spots")
_SHOWN: weakref.WeakKeyDictionary[Layer, DomainState] = weakref.WeakKeyDictionary()
"""State that a layer shows, so that an edit redraws only what it has changed."""
LayerTuple = tuple[Any, dict[str, Any], str]


def to_rows_columns(coords: NDArray[Any]) -> NDArray[Any]:
    """(x, y) to (row, column); transforms go through `swap_axes`."""
    return coords[..., ::-1]


def our_meta(layer: Layer) -> dict[str, Any]:
    """What this package stored about a layer; empty for layers of others."""
    found = layer.metadata.get(META)
    return found if isinstance(found, dict) else {}


def _common(
    item: Item, role: str, name: str, *, step: float, corner: Any, **meta: Any
) -> dict[str, Any]:
    """Arguments that all our layers share.

    ``step`` is the side of a pixel in coordinate units and ``corner`` (x, y) the centre of the
    first: napari puts the centre, not the corner, of pixel (0, 0) at ``translate``.
    """
    section = item.section
    unit = section.um_per_px or 1.0
    place = to_rows_columns(np.asarray(corner, dtype=float)) * unit + np.asarray(item.offset)
    title = f"{item.label} · {name}"
    info = {
        "schema": SCHEMA,
        "section_id": item.id,
        "section": weakref.ref(section),
        "role": role,
        "name": title,
        "run_id": None,
        "key": None,
    }
    return {
        "name": title,
        "scale": (step * unit, step * unit),
        "translate": tuple(place),
        "units": ("um", "um") if section.um_per_px else ("pixel", "pixel"),
        "metadata": {META: info | meta},
    }


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


def image_layer(item: Item) -> LayerTuple | None:
    """The histology, multi-scale where it has levels; None where there is none."""
    image = item.section.image
    if image is None:
        return None
    step = 1.0 / image.scale
    # The image covers [0, columns / scale): its first pixel's centre lies half a pixel inside.
    options = _common(item, "image", "image", step=step, corner=(step / 2, step / 2))
    options |= {"rgb": True, "multiscale": image.multiscale}
    if not image.upright:
        options |= {"scale": (1.0, 1.0), "translate": (0.0, 0.0), "affine": _affine(item, image)}
    return (list(image.levels) if image.multiscale else image.levels[0]), options, "image"


def _affine(item: Item, image: Histology) -> NDArray[np.float64]:
    """(3, 3) from napari's pixel centres (row, column) to the world of the viewer."""
    centre = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    unit = item.section.um_per_px or 1.0
    world = np.diag([unit, unit, 1.0]) @ inverse(image.matrix) @ centre
    affine = swap_axes(world)
    affine[:2, 2] += item.offset
    return affine


def spots_layer(item: Item) -> LayerTuple | None:
    """One point per spot with barcode and domain; None above 200,000 spots."""
    section = item.section
    if section.n_spots > MAX_POINTS:
        return None
    options = _common(item, "spots", "spots", step=1.0, corner=(0.0, 0.0))
    small = section.n_spots <= 50_000
    options |= {
        "size": section.spot_diameter or 0.55 * section.lattice.pitch,
        "features": pd.DataFrame({"barcode": section.adata.obs_names.to_numpy().astype(str)}),
        "face_color": "transparent",
        "border_color": "#00B3C4",
        "border_width": 0.12 if small else 0.0,
        "antialiasing": 1 if small else 0,
    }
    if section.platform in _SQUARE and section.lattice.kind == "square":
        options["symbol"] = "square"
    if not small:
        options["face_color"] = "#00B3C4"
    return to_rows_columns(section.coords), options, "points"


def domains_layer(item: Item, domains: DomainSet) -> LayerTuple:
    """The domains as touching tiles, coded 1 .. k with 0 outside."""
    return item.raster.labels(domains.drawn.codes), _domains_options(item, domains), "labels"


def _domains_options(item: Item, domains: DomainSet) -> dict[str, Any]:
    raster = item.raster
    options = _common(
        item,
        "domains",
        f"domains · {domains.title}" + (f" · {_shown_view(domains)}" if domains.view else ""),
        step=raster.step,
        corner=raster.centre(0, 0),
        run_id=str(domains.record.get("finished", "")),
        key=domains.key,
        column=domains.column,
    )
    return options | {
        "colormap": _colormap(domains.drawn),
        "features": _legend_features(domains.drawn),
        "opacity": 0.75 if item.section.image is not None else 1.0,
    }


def _shown_view(domains: DomainSet) -> str:
    return VIEW_TITLES.get(domains.view, domains.view).lower()


def _legend_features(state: DomainState) -> pd.DataFrame:
    """What the status bar shows under the mouse."""
    return pd.DataFrame({"index": range(len(state.names) + 1), "domain": ["", *state.names]})


def _colormap(state: DomainState) -> Any:
    from napari.utils.colormaps import DirectLabelColormap

    rgba = _rgba(state)
    clear = np.zeros(4, dtype=np.float32)
    colors = {i + 1: rgba[i] for i in range(len(rgba))}
    return DirectLabelColormap(color_dict={None: clear, 0: clear, **colors})


def warm_up() -> None:
    """Let napari compile its label colouring (numba, a second) before the window needs it."""
    state = DomainState.of(np.zeros(1, dtype=np.intp), ["1"], [UNASSIGNED_COLOUR])
    _colormap(state).map(np.zeros((2, 2), dtype=np.uint8))


def _rgba(state: DomainState) -> NDArray[np.float32]:
    """(k, 4) colours; hidden domains are transparent."""
    rgb = to_rgb(state.colors)
    return np.column_stack([rgb, np.asarray(state.shown, dtype=float)]).astype(np.float32)


def gene_layer(item: Item, gene: str, values: NDArray[Any]) -> LayerTuple:
    """One number per spot as a float picture, NaN outside the tissue."""
    raster: SpotRaster = item.raster
    options = _common(
        item, "gene", f"gene · {gene}", step=raster.step, corner=raster.centre(0, 0), key=gene
    )
    options |= {
        "colormap": "viridis",
        "contrast_limits": _limits(values),
        "blending": "translucent",
    }
    return raster.values(values), options, "image"


def _limits(values: NDArray[Any]) -> tuple[float, float]:
    """1st and 99th percentile of what is not zero."""
    known = values[np.isfinite(values) & (values != 0)]
    if not known.size:
        return 0.0, 1.0
    low, high = np.percentile(known, (1, 99))
    low = min(0.0, float(low)) if known.min() >= 0 else float(low)
    return low, max(float(high), low + 1e-6)


def section_layers(item: Item) -> list[LayerTuple]:
    """Everything that an opened section shows, bottom first; of the results only the newest."""
    tiles = [domains_layer(item, d) for d in item.domains.values()]
    spots = spots_layer(item)
    hidden = [*tiles[:-1], *([spots] if tiles and spots is not None else [])]
    for _, options, _ in hidden:
        options["visible"] = False
    found = [image_layer(item), *tiles, spots]
    return [layer for layer in found if layer is not None]


def find_layer(
    viewer: ViewerModel, item_id: str, role: str, key: str | None = None
) -> Layer | None:
    """Our layer of that section, role and key, whatever its name; the newest where copied."""
    for layer in reversed(viewer.layers):
        meta = our_meta(layer)
        if meta.get("section_id") != item_id or meta.get("role") != role:
            continue
        if key is None or meta.get("key") == key:
            return layer
    return None


def show_section(viewer: ViewerModel, item: Item) -> None:
    """Add the layers of a section that are missing; results on top, newest visible."""
    first = not len(viewer.layers)
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
        old, options = _SHOWN.get(layer), _domains_options(item, domains)
        same = old is not None and old.codes is state.codes
        update_layer(layer, None if same else item.raster.labels(state.codes), options)
        if old is None or (old.colors, old.shown) != (state.colors, state.shown):
            layer.colormap = options["colormap"]
        layer.features = options["features"]
        # New data make labels editable again.
        layer.editable = False
    elif create:
        first = find_layer(viewer, item.id, "domains") is None
        for other in viewer.layers:
            meta = our_meta(other)
            if meta.get("section_id") == item.id and meta.get("role") == "domains":
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
    for layer in list(viewer.layers):
        meta = our_meta(layer)
        if meta.get("section_id") == item.id and meta.get("of") == key:
            viewer.layers.remove(layer)


def prefer(viewer: ViewerModel, item: Item, key: str) -> None:
    """Show the result ``key`` instead of others of the section that are visible."""
    layer = find_layer(viewer, item.id, "domains", key)
    if layer is None:
        return
    for other in viewer.layers:
        meta = our_meta(other)
        ours = meta.get("section_id") == item.id and meta.get("role") == "domains"
        if ours and meta.get("key") != key and other.visible:
            other.visible, layer.visible = False, True


def adopt(viewer: ViewerModel, item: Item, layer: Layer) -> None:
    """Treat a layer that a reader has made as one of ours."""
    meta = our_meta(layer)
    if meta.get("role") == "domains":
        layer.editable = False
        if meta.get("key") in item.domains:
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
        colors = np.vstack([_rgba(state), grey]).astype(np.float32)
        layer.face_color = colors[state.codes]
    if old is None or not same or old.names != state.names:
        domain = pd.Categorical.from_codes(state.codes, pd.Index(state.names))
        if len(layer.features) == len(domain):
            layer.features = layer.features.assign(domain=domain)
    _SHOWN[layer] = state


def add_layer(viewer: ViewerModel, item: Item, made: LayerTuple) -> Layer:
    """Add a layer above the section's lower layers and below its upper ones."""
    data, options, kind = made
    if any(str(layer.units[-1]) == "micrometer" for layer in viewer.layers if our_meta(layer)):
        # See `align_units`; said at once, because napari warns about a mixture.
        options = {**options, "units": ("um", "um")}
    layer = getattr(viewer, f"add_{kind}")(data, **options)
    rank = _ORDER.index(our_meta(layer)["role"])
    place = len(viewer.layers) - 1
    for i, other in enumerate(viewer.layers):
        meta = our_meta(other)
        above = meta.get("section_id") == item.id and meta.get("role") in _ORDER[rank + 1 :]
        if other is not layer and above:
            place = min(place, i)
    viewer.layers.move(len(viewer.layers) - 1, place)
    return layer
