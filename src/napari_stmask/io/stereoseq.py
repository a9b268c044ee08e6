"""What all Stereo-seq readers share: facts of a file, its spots, and the section around them."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from ..core.histology import Histology
from .bins import Records
from .options import ReadOptions
from .stereo_images import find_image, stem

if TYPE_CHECKING:
    import pandas as pd
    import scipy.sparse as sp

    from ..core.section import Section

__all__ = [
    "EXON_NOTE",
    "NM",
    "About",
    "Source",
    "Spots",
    "make_section",
]


NM = 500.0
"""Distance of DNB in nanometres, where a file does not state it."""
EXON_NOTE = "Counts of exons were left out; X holds all molecules."


@dataclass
class About:
    """What a file says of itself.

    Attributes
    ----------
    path
        The file.
    chip
        Serial number of the chip, or None.
    offset
        (x, y) on the chip of the origin of the file's frame, in DNB.
    side
        DNB that a coordinate stands for: 1 unless the file was binned before.
    nm
        Distance of DNB in nanometres.
    has_cells
        Whether records name their cells.
    facts
        What else is worth keeping in ``uns``.
    notes
        What had to be assumed or left out; grows while the file is read.
    """

    path: Path
    chip: str | None = None
    offset: tuple[int, int] = (0, 0)
    side: int = 1
    nm: float = NM
    has_cells: bool = False
    facts: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


class Source(Protocol):
    """The records of a file, in blocks that can be read more than once."""

    about: About

    def blocks(self, pool: Executor) -> Iterator[Records]:
        """All records in the order of the file, genes numbered as they appear."""

    def places(self, pool: Executor) -> Iterator[Records]:
        """Only where the records lie: each as one molecule of gene 0."""

    def genes(self) -> tuple[list[str], list[str]]:
        """Identifiers and symbols, once all blocks were read."""


@dataclass
class Spots:
    """Spots of a section before they become an AnnData.

    Attributes
    ----------
    counts
        (n_spots, n_genes) float32 CSR.
    obs, var
        Tables of spots and genes.
    coords
        (n_spots, 2) float64, DNB in the frame of the file.
    kind
        Side of a bin in DNB, or ``"cell"``.
    diameter
        Side of a bin, or the median diameter of cells, in DNB.
    size
        Columns and rows that the records span.
    """

    counts: sp.csr_matrix
    obs: pd.DataFrame
    var: pd.DataFrame
    coords: NDArray[np.float64]
    kind: int | str
    diameter: float | None
    size: tuple[int, int]


def make_section(about: About, spots: Spots, options: ReadOptions) -> Section:
    """The section around spots, in the frame of the chip, with the image beside the file."""
    from anndata import AnnData

    from ..core.section import Section

    adata = AnnData(spots.counts, spots.obs, spots.var)
    adata.obsm["spatial"] = spots.coords + np.array(about.offset, dtype=np.float64)
    adata.uns["stereoseq"] = {
        "bin": str(spots.kind),
        "chip": about.chip or "",
        "resolution_nm": about.nm,
        "offset": np.array(about.offset),
        **about.facts,
    }
    image = _image(about, spots.size)
    return Section(
        adata,
        name=options.name or about.chip or stem(about.path),
        image=image,
        um_per_px=about.nm / 1000,
        platform="stereoseq",
        source=str(about.path),
        spot_diameter=spots.diameter,
        notes=list(about.notes),
    )


def _image(about: About, size: tuple[int, int]) -> Histology | None:
    """The registered image beside the file, in the frame of the chip.

    The vendor registers images to the frame of the file: one pixel per DNB, from its origin.
    """
    from .images import open_histology

    path = find_image(about.path, about.chip)
    if path is None:
        return None
    histology = open_histology(path)
    rows, columns = histology.shape
    if columns < size[0] or rows < size[1]:
        about.notes.append(
            f"{path.name} was left out: it has {columns} x {rows} pixels, the records span "
            f"{size[0]} x {size[1]}."
        )
        return None
    x, y = about.offset
    if any(about.offset) and columns >= size[0] + x and rows >= size[1] + y:
        about.notes.append(
            f"{path.name} was taken to lie in the frame of the file; if it shows the whole chip, "
            "give it as image=."
        )
    return histology.placed(transform=np.array([[1.0, 0, -x], [0, 1, -y], [0, 0, 1]]))
