"""One tissue section: expression, positions, histology and their units."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from numpy.typing import NDArray

from .errors import DataError
from .histology import Histology
from .joint import Joint, joint_of
from .lattice import Lattice, detect_lattice

__all__ = ["PLATFORM_NAMES", "Platform", "Section", "count_problem", "shallow_copy"]

Platform = Literal["visium", "visium_hd", "stereoseq", "st", "imaging", "unknown"]
PLATFORM_NAMES: dict[Platform, str] = {
    "visium": "Visium",
    "visium_hd": "Visium HD",
    "stereoseq": "Stereo-seq",
    "st": "Spatial Transcriptomics (ST)",
    "imaging": "Imaging-based",
    "unknown": "Unknown platform",
}
"""How platforms are called in text."""

VISIUM_PITCH_UM = 100.0
_PITCH_UM = {"visium": VISIUM_PITCH_UM, "st": 200.0}
"""Centre-to-centre distance that the array manufacturer gives, where it is fixed."""


@dataclass(eq=False)
class Section:
    """A section and what is known of it; checks itself when it is made.

    Attributes
    ----------
    adata
        Spots x genes, ``obsm["spatial"]`` = (x, y) in full-resolution pixels, or in array
        units or micrometres where there is no image.
    name
        Short label that layers and tables show.
    image
        Histology, or None.
    um_per_px
        Micrometres per coordinate unit, or None where unknown.
    platform
        Technology, which picks presets and the lattice's physical pitch.
    counts_layer
        Layer that holds raw counts; None for ``X``.
    source
        Path that it was read from, or None.
    spot_diameter
        Diameter of a spot in coordinate units, or None.
    notes
        What the reader had to assume, one sentence each.
    reading
        Options that it was read with, where they differ from the defaults.
    joint
        Which section each spot is of, where it was made of several.

    Raises
    ------
    DataError
        If spots, genes, positions or counts are unusable; each case has its own message.
    """

    adata: AnnData
    name: str = "section"
    image: Histology | None = None
    um_per_px: float | None = None
    platform: Platform = "unknown"
    counts_layer: str | None = None
    source: str | None = None
    spot_diameter: float | None = None
    notes: list[str] = field(default_factory=list)
    reading: dict[str, Any] = field(default_factory=dict)
    joint: Joint | None = None

    def __post_init__(self) -> None:
        self.validate()
        spatial = np.asarray(self.adata.obsm["spatial"])
        if spatial.shape[1] == 3 and np.ptp(spatial[:, 2].astype(np.float64)) > 0:
            self.notes = [
                *self.notes,
                "The third coordinate is not used.",
            ]
        pitch = _PITCH_UM.get(self.platform)
        # The lattice last: finding it takes as long as reading the positions.
        if self.um_per_px is not None or pitch is None or self.n_spots <= 6:
            return
        if self.lattice.kind != "irregular":
            self.um_per_px = pitch / self.lattice.pitch

    @property
    def where(self) -> str:
        """How messages name this section: the path if there is one, else the name."""
        return self.source or f"section '{self.name}'"

    def validate(self) -> None:
        """Check shapes, names and coordinates; counts are checked when they are asked for."""
        if self.platform not in get_args(Platform):
            raise DataError(
                f"{self.where}: platform is '{self.platform}'",
                f"use one of {', '.join(get_args(Platform))}",
            )
        if self.adata.n_obs == 0:
            raise DataError(
                f"{self.where}: no spot lies under tissue",
                "check the in_tissue column of the positions file or give the raw matrix",
            )
        if self.adata.n_vars == 0:
            raise DataError(f"{self.where}: the matrix has no genes", "give another matrix")
        if self.adata.isbacked:
            raise DataError(
                f"{self.where}: the AnnData was opened in backed mode",
                "load it into memory with adata.to_memory()",
            )
        if "spatial" not in self.adata.obsm:
            raise DataError(
                f"{self.where}: obsm has no 'spatial' coordinates",
                "store x and y of each spot in obsm['spatial']",
            )
        spatial = np.asarray(self.adata.obsm["spatial"])
        if spatial.ndim != 2 or spatial.shape[1] not in (2, 3):
            raise DataError(
                f"{self.where}: obsm['spatial'] has shape {spatial.shape}, expected spots x 2 or 3",
                "store one x and one y for each spot",
            )
        try:
            bad = int((~np.isfinite(spatial.astype(np.float64))).any(axis=1).sum())
        except (TypeError, ValueError):
            raise DataError(
                f"{self.where}: obsm['spatial'] holds values that are not numbers",
                "store x and y as numbers",
            ) from None
        if bad:
            raise DataError(
                f"{self.where}: {bad} of {len(spatial)} spots have no finite coordinates (NaN)",
                "remove these spots or complete their positions",
            )
        for value, what in ((self.um_per_px, "um_per_px"), (self.spot_diameter, "spot_diameter")):
            if value is not None and not (np.isfinite(value) and value > 0):
                raise DataError(
                    f"{self.where}: {what} is {value}", "give a positive number or None"
                )
        for names, what in ((self.adata.obs_names, "spots"), (self.adata.var_names, "genes")):
            if not names.is_unique:
                twice = names[names.duplicated()][0]
                raise DataError(
                    f"{self.where}: the names of {what} are not unique ('{twice}' occurs twice)",
                    "make them unique, for example with adata.obs_names_make_unique()",
                )
        if self.counts_layer is not None and self.counts_layer not in self.adata.layers:
            raise DataError(
                f"{self.where}: there is no layer '{self.counts_layer}'",
                f"use one of: {', '.join(map(str, self.adata.layers)) or 'X (counts_layer=None)'}",
            )

    @property
    def n_spots(self) -> int:
        """Number of spots, bins or cells."""
        return int(self.adata.n_obs)

    @property
    def n_genes(self) -> int:
        """Number of genes."""
        return int(self.adata.n_vars)

    @property
    def coords(self) -> NDArray[np.float64]:
        """(n_spots, 2) float64 (x, y), in full-resolution pixels or the platform's unit."""
        return np.asarray(self.adata.obsm["spatial"], dtype=np.float64)[:, :2]

    @cached_property
    def lattice(self) -> Lattice:
        """Layout and pitch of the spots, in coordinate units."""
        return detect_lattice(self.coords)

    def counts(self) -> sp.csr_matrix:
        """Raw counts as a CSR matrix (n_spots, n_genes); shares memory with the section.

        Raises
        ------
        DataError
            If values are negative, not finite or not whole numbers.
        """
        where = f"layer '{self.counts_layer}'" if self.counts_layer else "X"
        matrix = self.adata.layers[self.counts_layer] if self.counts_layer else self.adata.X
        if matrix is None:
            raise DataError(f"{self.where}: the matrix {where} is empty", "give raw counts")
        counts = matrix if sp.issparse(matrix) and matrix.format == "csr" else sp.csr_matrix(matrix)
        problem = count_problem(counts.data)
        if problem:
            raise DataError(
                f"{self.where}: {where} {problem}, expected raw counts",
                "give the raw matrix, or name the layer that holds counts (counts_layer)",
            )
        if not (counts.has_canonical_format and counts.data.all()):
            # Double entries and stored zeros would count twice, or as seen.
            counts = counts.copy()
            counts.sum_duplicates()
            counts.eliminate_zeros()
        return sp.csr_matrix(counts)

    def bare(
        self,
        rows: NDArray[np.bool_] | None = None,
        obsm: Mapping[str, NDArray[Any]] | None = None,
    ) -> Section:
        """Counts, positions and metadata only: what a run needs, and no labels.

        An AnnData of its own, so that what is written on it touches nothing of the caller's;
        without ``rows`` the counts share memory with this section.

        Parameters
        ----------
        rows
            (n_spots,) True for the spots to keep; None keeps all.
        obsm
            Arrays (n_spots, ...) that the copy carries in ``obsm`` too.
        """
        counts, names, coords = self.counts(), self.adata.obs_names, self.coords
        carried, joint = dict(obsm or {}), self.joint or joint_of(self.adata)
        if rows is not None:
            joint = None if joint is None else joint.take(rows)
            counts, names, coords = counts[rows], names[rows], coords[rows]
            carried = {name: values[rows] for name, values in carried.items()}
        adata = AnnData(counts, obs=pd.DataFrame(index=names))
        adata.var_names = self.adata.var_names
        adata.obsm["spatial"] = coords
        for name, values in carried.items():
            adata.obsm[name] = values
        return replace(self.over(adata), joint=joint)

    def over(self, adata: AnnData) -> Section:
        """The same tissue and image over another table, whose ``X`` are counts."""
        return replace(
            self, adata=adata, counts_layer=None, notes=list(self.notes), reading=dict(self.reading)
        )


def shallow_copy(old: AnnData) -> AnnData:
    """A new AnnData over the same arrays: tables and slots of its own, no values copied."""
    adata = AnnData(
        X=old.X,
        obs=old.obs.copy(),
        var=old.var.copy(),
        uns=dict(old.uns),
        obsm=dict(old.obsm),
        varm=dict(old.varm),
        obsp=dict(old.obsp),
        varp=dict(old.varp),
        layers=dict(old.layers),
    )
    if old.raw is not None:
        adata.raw = old.raw.to_adata()
    return adata


def count_problem(values: NDArray[Any]) -> str | None:
    """Why ``values`` cannot be counts, or None.

    Looks at all values, in blocks, so that a single bad entry far down is found too.
    """
    if values.dtype == bool or np.issubdtype(values.dtype, np.unsignedinteger):
        return None
    for start in range(0, values.size, 1 << 20):
        block = values[start : start + (1 << 20)]
        if np.issubdtype(block.dtype, np.floating):
            if not np.isfinite(block).all():
                return "holds values that are not finite"
            if (block < 0).any():
                return f"holds negative values (smallest {block.min():g})"
            fraction = block != np.floor(block)
            if fraction.any():
                return f"holds values that are not whole numbers (such as {block[fraction][0]:g})"
        elif (block < 0).any():
            return f"holds negative values (smallest {block.min():g})"
    return None
