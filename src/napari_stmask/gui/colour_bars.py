"""Colour bars of layers that are hidden, made when somebody can see them; no Qt."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari.layers import Layer

__all__ = ["has_colorbar", "show_colorbar"]

_AWAITED: weakref.WeakSet[Layer] = weakref.WeakSet()


def has_colorbar(layer: Layer) -> bool:
    """Whether a layer has a colour bar, or gets one as soon as it is shown."""
    return bool(layer.colorbar.visible) or layer in _AWAITED


def show_colorbar(layer: Layer) -> None:
    """Show the colour bar of a layer, of a hidden one when it is shown: each costs 0.15 s."""
    if layer.visible:
        layer.colorbar.visible = True
        return

    def on_visible() -> None:
        if layer.visible:
            layer.events.visible.disconnect(on_visible)
            _AWAITED.discard(layer)
            layer.colorbar.visible = True

    _AWAITED.add(layer)
    layer.events.visible.connect(on_visible)
