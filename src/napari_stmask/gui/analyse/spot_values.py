"""One number a spot over the tissue: genes, scores, pseudotime; runs without Qt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import layers
from ..layer_tuples import META, gene_layer
from ..model import Item

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

__all__ = ["ROLE", "limits_of", "show_alone", "show_gene", "show_values"]

ROLE = "value"
_SIGNED = ("#2166ac", "#67a9cf", "#f7f7f7", "#ef8a62", "#b2182b")
"""Blue over white to red: as far from 0 looks as far."""


def show_gene(viewer: ViewerModel, item: Item, gene: str, values: NDArray[Any]) -> Layer:
    """Show a gene in the section's one gene layer, above what else it shows of values."""
    layer = layers.show_gene(viewer, item, gene, values)
    show_alone(viewer, item, layer)
    return layer


def show_values(
    viewer: ViewerModel,
    item: Item,
    name: str,
    title: str,
    values: NDArray[Any],
    *,
    key: str,
    signed: bool = False,
    limits: tuple[float, float] | None = None,
    colormap: str = "inferno",
) -> Layer:
    """Show one number a spot in a layer of its own, which a repeated analysis updates.

    Parameters
    ----------
    viewer, item
        Where.
    name
        What it is, such as ``"entropy"``; with ``key`` the identity of the layer.
    title
        For the layer's name.
    values
        (n_spots,) numbers; NaN stays clear.
    key
        Of the result that it was made from.
    signed
        Whether 0 is the middle; limits are then symmetric.
    limits
        Of the colours; by default the 1st and 99th percentile.
    colormap
        Name in napari of the colours of what is not signed.
    """
    data, options, _ = gene_layer(item, title, values)
    label = f"{item.label} · {title} · {key}"
    meta = {**options["metadata"][META], "role": ROLE, "of": key}
    meta |= {"key": f"{key}_{name}", "value": name, "name": label}
    options |= {
        "name": label,
        "metadata": {META: meta},
        "contrast_limits": limits or limits_of(values),
    }
    options["colormap"] = colormap
    if signed:
        top = max(map(abs, options["contrast_limits"]))
        options |= {"contrast_limits": (-top, top), "colormap": _diverging()}
    layer = layers.find_layer(viewer, item.id, ROLE, meta["key"])
    if layer is None:
        layer = layers.add_layer(viewer, item, (data, options, "image"))
        layer.colorbar.visible = True
    else:
        layers.update_layer(layer, data, options)
        layer.contrast_limits = options["contrast_limits"]
    show_alone(viewer, item, layer)
    return layer


def limits_of(values: NDArray[Any]) -> tuple[float, float]:
    """1st and 99th percentile of what is finite."""
    known = np.asarray(values)[np.isfinite(values)]
    if not known.size:
        return 0.0, 1.0
    low, high = (float(v) for v in np.percentile(known, (1, 99)))
    return low, max(high, low + 1e-6)


def _diverging() -> Any:
    from napari.utils.colormaps import Colormap

    return Colormap(list(_SIGNED), name="blue to red")


def show_alone(viewer: ViewerModel, item: Item, layer: Layer) -> None:
    """Show ``layer``, and no other values of the section."""
    for other in layers.layers_of(viewer, item.id, "gene", ROLE):
        other.visible = other is layer
