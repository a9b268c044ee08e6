"""From a section to the tuples that napari makes layers of: one world in µm, names, metadata."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..core.histology import Histology, inverse, swap_axes
from ..viz.palette import UNASSIGNED_COLOUR, to_rgb
from .limits import default_limits, ordered
from .model import VIEW_TITLES, DomainSet, DomainState, Item

if TYPE_CHECKING:
    from napari.layers import Layer

__all__ = [
    "META",
    "PASSING",
    "LayerTuple",
    "domains_layer",
    "domains_options",
    "gene_layer",
    "image_layer",
    "our_meta",
    "place_of_raster",
    "rgba",
    "section_layers",
    "spots_layer",
    "to_rows_columns",
    "warm_up",
]

META = "stmask"
PASSING = "passing"
"""Said in the metadata of layers that a file does not keep."""
SCHEMA = 1
MAX_POINTS = 200_000
"""Above this many spots no Points layer is made: they draw too slowly."""
_SQUARE = ("stereoseq", "visium_hd")
"""Platforms whose spots are square bins, unless they are cells."""
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


def place_of_raster(item: Item, role: str, name: str, **meta: Any) -> dict[str, Any]:
    """Arguments of a layer that shows a picture of the section's index map."""
    raster = item.raster
    return _common(item, role, name, step=raster.step, corner=raster.centre(0, 0), **meta)


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
    return item.raster.labels(domains.drawn.codes), domains_options(item, domains), "labels"


def domains_options(item: Item, domains: DomainSet) -> dict[str, Any]:
    """Place, name, colours and legend of the layer of a partition."""
    options = place_of_raster(
        item,
        "domains",
        f"domains · {domains.title}" + (f" · {_shown_view(domains)}" if domains.view else ""),
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

    colours = rgba(state)
    clear = np.zeros(4, dtype=np.float32)
    colors = {i + 1: colour for i, colour in enumerate(colours)}
    return DirectLabelColormap(color_dict={None: clear, 0: clear, **colors})


def warm_up() -> None:
    """Let napari compile its label colouring (numba, a second) before the window needs it."""
    state = DomainState.of(np.zeros(1, dtype=np.intp), ["1"], [UNASSIGNED_COLOUR])
    _colormap(state).map(np.zeros((2, 2), dtype=np.uint8))


def rgba(state: DomainState) -> NDArray[np.float32]:
    """(k, 4) colours; hidden domains are transparent."""
    rgb = to_rgb(state.colors)
    return np.column_stack([rgb, np.asarray(state.shown, dtype=float)]).astype(np.float32)


def gene_layer(item: Item, gene: str, values: NDArray[Any]) -> LayerTuple:
    """One number per spot as a float picture, NaN outside the tissue."""
    options = place_of_raster(item, "gene", f"gene · {gene}", key=gene)
    options |= {
        "colormap": "viridis",
        "contrast_limits": default_limits(ordered(values)),
        "blending": "translucent",
    }
    return item.raster.values(values), options, "image"


def section_layers(item: Item) -> list[LayerTuple]:
    """Everything that an opened section shows, bottom first; of the results only the newest."""
    tiles = [domains_layer(item, d) for d in item.domains.values()]
    spots = spots_layer(item)
    hidden = [*tiles[:-1], *([spots] if tiles and spots is not None else [])]
    for _, options, _ in hidden:
        options["visible"] = False
    found = [image_layer(item), *tiles, spots]
    return [layer for layer in found if layer is not None]
