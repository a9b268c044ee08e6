"""A histology image alone as a section: places over its tissue, and no counts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

from .core.errors import DataError, ParameterError
from .core.histology import Histology
from .core.section import Section
from .features.tissue_grid import tissue_grid
from .io.images import open_histology

__all__ = ["image_section"]

_NO_GENE = "not measured"


def image_section(
    path: str | Path, *, um_per_px: float | None = None, pitch: float = 100.0
) -> Section:
    """A section of an image that nothing was measured on, with places in a grid over its tissue.

    It is what `predict` can be asked about where there is H&E only.

    Parameters
    ----------
    path
        PNG, JPEG, TIFF, slide or OME-Zarr, see `io.images.open_histology`.
    um_per_px
        Micrometres per pixel of the finest level; None takes what the file states.
    pitch
        Micrometres between the places.

    Returns
    -------
    Section
        (n_places, 1) without counts; coordinates are pixels of the image.

    Raises
    ------
    StmaskError
        If the image cannot be read, its scale is not known, or it shows no tissue.
    """
    if um_per_px is not None and not (np.isfinite(um_per_px) and um_per_px > 0):
        raise ParameterError(f"um_per_px is {um_per_px}", "give a positive number")
    image = open_histology(path)
    scale = image.um_per_px if um_per_px is None else um_per_px
    if scale is None:
        raise DataError(
            f"{path} does not state its micrometres per pixel", "give um_per_px (--um-per-px)"
        )
    rows, columns = image.shape
    whole = _at(np.array([[columns / 2, rows / 2]]), image, scale, Path(path))
    return _at(tissue_grid(whole, pitch), image, scale, Path(path), pitch / scale)


def _at(
    coords: np.ndarray,
    image: Histology,
    um_per_px: float,
    path: Path,
    diameter: float | None = None,
) -> Section:
    names = pd.Index([f"place_{i + 1}" for i in range(len(coords))])
    adata = AnnData(
        sp.csr_matrix((len(coords), 1), dtype=np.float32), obs=pd.DataFrame(index=names)
    )
    adata.var_names = [_NO_GENE]
    adata.obsm["spatial"] = coords
    return Section(
        adata, name=path.stem, image=image, um_per_px=um_per_px, spot_diameter=diameter,
        source=str(path),
    )  # fmt: skip
