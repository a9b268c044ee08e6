"""A gene over the tissue, measured and predicted: layers of spots or tiles; no Qt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .. import layers
from ..analyse.spot_values import ROLE, limits_of, show_alone
from ..layer_tuples import META, LayerTuple, gene_layer, spots_layer
from ..model import Item

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

__all__ = ["GeneMaps", "Look", "limits_of_maps", "show_map", "show_maps"]

Values = NDArray[np.floating[Any]]
_KEY = "spahgc_map"
_WIDE = 0.85
"""Diameter of a spot of a map in distances between spots: gaps between true spots hide it."""
_LINKED = ("contrast_limits", "colormap", "gamma")
_LOOKS = {
    "image": ("contrast_limits", "colormap"),
    "points": ("face_color", "border_color", "features"),
}
"""What another map changes in a layer that is there."""


@dataclass(frozen=True, eq=False)
class GeneMaps:
    """One gene on a target and on the section with its prediction.

    Attributes
    ----------
    gene
        Its name.
    predicted, spread
        (n,) of the spots of the predicted section; ``spread`` is None where it is unknown.
    measured
        (n_target,) of the spots of the target, None where it is not measured.
    pcc
        Correlation of the two, NaN where unknown.
    """

    gene: str
    predicted: Values
    spread: Values | None
    measured: Values | None
    pcc: float

    @property
    def title(self) -> str:
        """Of the predicted values."""
        known = f" \u00b7 PCC {self.pcc:.2f}" if np.isfinite(self.pcc) else ""
        return f"predicted {self.gene}{known}"


@dataclass(frozen=True)
class Look:
    """How maps are drawn.

    Attributes
    ----------
    as_image
        Touching tiles as a float image instead of spots.
    linked
        One range of colours for measured and predicted values.
    spread
        Show how much the prediction varies instead of the prediction.
    """

    as_image: bool = False
    linked: bool = True
    spread: bool = False


def limits_of_maps(maps: GeneMaps, *, linked: bool) -> list[tuple[float, float]]:
    """Ends of the colours of measured and predicted values; the same where they are linked."""
    own = limits_of(maps.predicted)
    if maps.measured is None:
        return [own, own]
    other = limits_of(maps.measured)
    if linked:
        return [(min(own[0], other[0]), max(own[1], other[1]))] * 2
    return [other, own]


def show_maps(
    viewer: ViewerModel, target: Item | None, item: Item, maps: GeneMaps, look: Look
) -> tuple[Layer | None, Layer]:
    """Show a gene on ``target``, where it is open and measured, and on the predicted ``item``.

    Returns
    -------
    tuple
        Layers of the measured and of the predicted values, or of their spread.
    """
    measured = maps.measured if target is not None else None
    # What the dock shows beside it does not depend on whether the target is still open.
    known, own = limits_of_maps(maps, linked=look.linked)
    first: Layer | None = None
    name = target.label if target is not None else item.label
    if measured is not None and target is not None:
        first = show_map(
            viewer, target, "measured", f"{name} \u00b7 measured {maps.gene}", measured,
            limits=known, as_image=look.as_image,
        )  # fmt: skip
    if look.spread and maps.spread is not None:
        second = show_map(
            viewer, item, "predicted", f"{name} \u00b7 spread of predicted {maps.gene}",
            maps.spread, limits=(0.0, limits_of(maps.spread)[1]), as_image=look.as_image,
            colormap="magma",
        )  # fmt: skip
        return first, second
    second = show_map(
        viewer, item, "predicted", f"{name} \u00b7 {maps.title}", maps.predicted,
        limits=own, as_image=look.as_image,
    )  # fmt: skip
    if first is not None and look.linked and look.as_image:
        from napari.experimental import link_layers

        link_layers([first, second], _LINKED)
    return first, second


def show_map(
    viewer: ViewerModel,
    item: Item,
    key: str,
    name: str,
    values: Values,
    *,
    limits: tuple[float, float],
    as_image: bool,
    colormap: str = "viridis",
    of: str = _KEY,
) -> Layer:
    """Show one number a spot, in the present layer of that ``key`` if it is of the same kind.

    Above the number of spots that napari draws quickly it is always an image. ``of`` is what the
    layer was made from: the key of a run takes it along when it is replaced.
    """
    made = _image(item, name, values, limits, colormap) if as_image else None
    if made is None:
        made = _points(item, name, values, limits, colormap)
    if made is None:
        made = _image(item, name, values, limits, colormap)
    data, options, kind = made
    meta = options["metadata"][META]
    meta |= {"role": ROLE, "key": f"{of}_{key}", "of": of, "value": key, "name": name}
    layer = layers.find_layer(viewer, item.id, ROLE, meta["key"])
    if layer is not None and type(layer).__name__.lower() != kind:
        _unlink(layer)
        viewer.layers.remove(layer)
        layer = None
    if layer is None:
        layer = layers.add_layer(viewer, item, made)
        if kind == "image":
            layer.colorbar.visible = True
        for spots in layers.layers_of(viewer, item.id, "spots"):
            # Their outlines would cover the colours.
            spots.visible = False
    else:
        _unlink(layer)
        layers.update_layer(layer, data if kind == "image" else None, options)
        for attribute in _LOOKS[kind]:
            setattr(layer, attribute, options[attribute])
    show_alone(viewer, item, layer)
    return layer


def _unlink(layer: Layer) -> None:
    """Links are made anew with each gene; napari keeps a linked layer alive."""
    from napari.experimental import unlink_layers

    unlink_layers([layer], _LINKED)


def _image(
    item: Item, name: str, values: Values, limits: tuple[float, float], colormap: str
) -> LayerTuple:
    data, options, kind = gene_layer(item, name, values)
    return data, options | {"name": name, "contrast_limits": limits, "colormap": colormap}, kind


def _points(
    item: Item, name: str, values: Values, limits: tuple[float, float], colormap: str
) -> LayerTuple | None:
    """The section's spots in the colours of the values; None where there are too many."""
    made = spots_layer(item)
    if made is None:
        return None
    data, options, kind = made
    shown = np.asarray(values, dtype=np.float32)
    features = pd.DataFrame(options["features"]).assign(value=shown)
    colours = _colours(shown, limits, colormap)
    options |= {
        "name": name,
        "size": _WIDE * item.section.lattice.pitch,
        "face_color": colours,
        # Small spots show it, although it has no width.
        "border_color": colours,
        "features": features,
        "border_width": 0.0,
    }
    return data, options, kind


def _colours(
    values: NDArray[np.float32], limits: tuple[float, float], colormap: str
) -> NDArray[np.float32]:
    """(n, 4) float32 in [0, 1]; what is not finite is clear."""
    from napari.utils.colormaps import ensure_colormap

    share = (values - limits[0]) / max(limits[1] - limits[0], 1e-9)
    known = np.isfinite(share)
    colours = np.array(
        ensure_colormap(colormap).map(np.clip(np.where(known, share, 0), 0, 1)), dtype=np.float32
    )
    colours[~known, 3] = 0
    return colours
