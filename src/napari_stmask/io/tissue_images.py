"""The small images of the tissue that Space Ranger writes beside its positions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ..core.histology import Histology

__all__ = ["read_tissue_images"]


def read_tissue_images(
    find: Callable[..., Path | None], factors: dict[str, float], notes: list[str]
) -> dict[str, Histology]:
    """The high- and low-resolution images that exist and whose scale factor is known.

    Parameters
    ----------
    find
        The first existing file of the given names, or None.
    factors
        Scale factors by name.
    notes
        Receives what is missing.
    """
    from .images import open_histology

    images: dict[str, Histology] = {}
    for key in ("hires", "lowres"):
        path = find(f"tissue_{key}_image.png", f"tissue_{key}_image.jpg")
        if path is None:
            continue
        scale = factors.get(f"tissue_{key}_scalef")
        if scale is None:
            notes.append(
                f"{path.name} was left out: scalefactors_json.json has no tissue_{key}_scalef."
            )
            continue
        images[key] = open_histology(path, scale=scale, name=key)
    if not images:
        notes.append("There is no tissue image; the section is shown without histology.")
    elif "hires" not in images:
        notes.append("There is no high-resolution image; the low-resolution one is shown.")
    return images
