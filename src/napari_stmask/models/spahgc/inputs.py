"""What SpaHGC reads of a section: features of its spots, and genes where it is a reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from numpy.typing import NDArray

from ...analysis.prediction_baselines import neighbour_features
from ...core.progress import Progress, Steps
from ...core.section import Section
from ...features.encoders import FINISHED, split_spec
from ...features.encoders.precomputed import from_file, from_obsm
from ...features.image_features import image_features, zscored
from ...features.panel import choose_panel, given_panel, read_gene_list
from ..image_input import CARRIED
from .params import SpaHGCParams

__all__ = [
    "Side", "Standard", "at_positions", "blind", "finished_features", "panel_of", "raw_features",
    "side_of",
]  # fmt: skip

Float = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Side:
    """Spots of one section, or of a piece of one, as the method sees them.

    Attributes
    ----------
    section
        Code of the section or piece.
    group
        Code of its patient, or of itself: it is never linked to its own group.
    coords
        (n, 2) float64.
    features
        (n, d) float32 of the image.
    pitch
        Distance between neighbours, in the unit of the coordinates.
    expression
        (n, n_genes) float32 in log units; no columns where it is not measured.
    """

    section: int
    group: int
    coords: NDArray[np.float64]
    features: Float
    pitch: float
    expression: Float

    def __len__(self) -> int:
        return len(self.coords)

    def part(self, rows: NDArray[Any], group: int) -> Self:
        """Some of the spots, as a group of their own."""
        return replace(
            self,
            group=group,
            coords=self.coords[rows],
            features=self.features[rows],
            expression=self.expression[rows],
        )


@dataclass(frozen=True, eq=False)
class Standard:
    """How features are brought to one scale.

    Attributes
    ----------
    mean, scale
        (d,) float32 of all references; None where each section has its own.
    """

    mean: Float | None = None
    scale: Float | None = None

    @classmethod
    def of(cls, tables: Sequence[Float], params: SpaHGCParams) -> Standard:
        """The scale that the parameters ask for, from features of the references."""
        if params.mode == "release":
            width = tables[0].shape[1]
            return cls(np.zeros(width, np.float32), np.ones(width, np.float32))
        if params.standardise == "section":
            return cls()
        every = np.concatenate(tables).astype(np.float64)
        spread = every.std(axis=0)
        scale = np.divide(1, spread, out=np.zeros_like(spread), where=spread > 1e-6)
        return cls(every.mean(axis=0).astype(np.float32), scale.astype(np.float32))

    def __call__(self, features: Float) -> Float:
        """(n, d) float32 on the common scale."""
        if self.mean is None or self.scale is None:
            return zscored(features)
        return np.asarray((features - self.mean) * self.scale, dtype=np.float32)


def finished_features(section: Section, encoder: str) -> dict[str, Float]:
    """Finished features as a copy of the section carries them in ``obsm``; else nothing.

    Those of a file too: its rows are those of the whole section, of which a copy may be a part.

    Raises
    ------
    StmaskError
        If there are none, or they are no table of finite numbers for each spot.
    """
    kind, rest = split_spec(encoder)
    if kind not in FINISHED:
        return {}
    if kind == "obsm":
        return {rest: from_obsm(section, rest)}
    if CARRIED in section.adata.obsm:
        return {CARRIED: from_obsm(section, CARRIED)}
    return {CARRIED: from_file(section, rest)}


def blind(section: Section, encoder: str) -> Section:
    """The section without its counts: image, positions and the features that ``encoder`` names.

    A prediction that is made from this cannot know the measurement.

    Raises
    ------
    DataError
        What `finished_features` raises.
    """
    arrays = finished_features(section, encoder)
    return _without_counts(section, section.coords, section.adata.obs_names, arrays)


def at_positions(section: Section, coords: NDArray[np.floating[Any]]) -> Section:
    """Positions, (m, 2), over the histology of ``section`` as a section without counts."""
    names = pd.Index([f"{section.name}_{i + 1}" for i in range(len(coords))])
    return _without_counts(section, np.asarray(coords, dtype=np.float64), names, {})


def _without_counts(
    section: Section, coords: NDArray[np.float64], names: pd.Index, arrays: dict[str, Any]
) -> Section:
    adata = AnnData(
        sp.csr_matrix((len(coords), 1), dtype=np.float32), obs=pd.DataFrame(index=names)
    )
    adata.obsm["spatial"] = coords
    for name, values in arrays.items():
        adata.obsm[name] = values
    return section.over(adata)


def panel_of(sections: Sequence[Section], params: SpaHGCParams) -> Steps[list[str]]:
    """Names of the genes to predict, sorted, chosen on ``sections`` only.

    Raises
    ------
    StmaskError
        If there are none, or a list names others.
    """
    if params.panel == "list":
        return given_panel(sections, read_gene_list(params.gene_list))
    return (yield from choose_panel(sections, kind=params.panel, n=params.n_genes))


def raw_features(section: Section, params: SpaHGCParams) -> Steps[Float]:
    """(n, d) float32 features of the patches of all scales side by side, not standardised.

    Finished features of the caller's have one scale only.

    Raises
    ------
    StmaskError
        What `image_features` raises.
    """
    finished = finished_features(section, params.image_encoder)
    if finished:
        yield Progress(0, 1, "image features")
        return next(iter(finished.values()))
    tables = []
    for scale in range(params.n_scales):
        found = yield from image_features(
            section,
            params.image_encoder,
            patch_size=params.patch_size * 2**scale,
            unit=params.patch_unit,
            stain=params.stain,
            consent=params.accept_licence,
            device=params.device,
            standardise=False,
        )
        tables.append(found)
    return np.hstack(tables)


def side_of(
    section: Section,
    features: Float,
    expression: Float,
    params: SpaHGCParams,
    *,
    code: int = 0,
    group: int = 0,
) -> Steps[Side]:
    """The spots of a section, with their neighbours' features beside their own.

    Parameters
    ----------
    section
        Gives positions and lattice.
    features
        (n, d) float32, standardised.
    expression
        (n, n_genes) float32 in log units.
    params
        The released form sees no neighbours here.
    code, group
        Of the section and its patient.
    """
    yield Progress(0, 0, "preparing")
    lattice = section.lattice
    if params.mode == "improved":
        ring = min(lattice.ring, max(1, section.n_spots - 1))
        features = neighbour_features(section.coords, features, ring)
    return Side(code, group, section.coords, features, float(lattice.pitch), expression)
