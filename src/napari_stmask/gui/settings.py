"""The plugin's settings in napari's preferences."""

from __future__ import annotations

from typing import Any

__all__ = ["compute"]

_DEVICES = ("auto", "cpu", "cuda", "mps")


def compute() -> dict[str, Any]:
    """Default device and threads; empty where napari knows no settings of this plugin."""
    try:
        from napari.settings import get_plugin_settings

        found = get_plugin_settings("napari-stmask").compute
        device, threads = str(found.device), int(found.threads)
    except (ImportError, AttributeError, KeyError, TypeError, ValueError):
        # An older napari, or a manifest that is not installed (tests, a plain checkout).
        return {}
    return {"device": device if device in _DEVICES else "auto", "threads": max(0, threads)}
