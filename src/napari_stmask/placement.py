"""Where the sections of one run lie, and the joined section that a run gets."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .core.errors import ParameterError
from .core.joining import common_scales, join_sections, section_labels
from .core.joint import Joint, JointParams, joint_of
from .core.progress import Steps
from .core.section import Section
from .features.alignment import Alignment, align_sections, given

__all__ = ["ALIGNED", "joined_for_run", "placed"]

ALIGNED = "spatial_aligned"
"""Table of ``obsm`` with x, y and depth of the spots of aligned sections, in one frame."""


def placed(
    sections: Sequence[Section],
    chain: JointParams,
    transforms: Sequence[Alignment | ArrayLike] | None,
    seed: int,
) -> Steps[list[Alignment]]:
    """Where each section lies in the common frame.

    Parameters
    ----------
    sections
        Two or more, in the order of the block.
    chain
        How they go together.
    transforms
        One for each, (3, 3) or what `align_sections` found; None aligns them.
    seed
        Of the alignment.

    Returns
    -------
    list of Alignment
        One for each section; none for separate ones.

    Raises
    ------
    ParameterError
        If transforms do not fit the sections.
    StmaskError
        As of `align_sections`.
    """
    if transforms is not None:
        if chain.arrangement == "separate":
            raise ParameterError(
                "transforms were given for separate sections", "use arrangement serial or adjoining"
            )
        if len(transforms) != len(sections):
            raise ParameterError(
                f"{len(transforms)} transforms were given for {len(sections)} sections",
                "give one for each",
            )
        return [_given(t, s) for t, s in zip(transforms, sections, strict=True)]
    if chain.arrangement == "separate":
        return []
    method = chain.align_by if chain.arrangement == "serial" else "none"
    return (yield from align_sections(sections, method=method, flip=chain.flip, seed=seed))


def _given(transform: Alignment | ArrayLike, section: Section) -> Alignment:
    if isinstance(transform, Alignment):
        return transform
    try:
        return given(np.asarray(transform))
    except ParameterError as error:
        raise ParameterError(f"{section.where}: {error.problem}", error.remedy) from None


def joined_for_run(
    sections: Sequence[Section],
    chain: JointParams,
    alignments: Sequence[Alignment],
    *,
    gaps_um: Sequence[float] | None = None,
    name: str = "joined",
) -> Section:
    """The sections as one, with what a run needs to know of how they go together.

    Parameters
    ----------
    sections
        Two or more; not changed.
    chain
        How they go together.
    alignments
        One for each, or none for separate sections.
    gaps_um
        (n_sections - 1,) distances between serial sections, in micrometres (in units of the
        coordinates where the scale is unknown); None takes ``spacing_um`` for all.
    name
        Of the joined section.

    Raises
    ------
    ParameterError, DataError
        As of `join_sections`, and if gaps do not fit.
    """
    adjoining = chain.arrangement == "adjoining"
    joined = join_sections(sections, placement="as_is" if adjoining else "row", name=name)
    own = joint_of(joined.adata)
    assert own is not None
    positions = None
    if alignments:
        scales, _ = common_scales(sections, section_labels(sections))
        plane = np.concatenate(
            [
                a.apply(s.coords * scale)
                for a, s, scale in zip(alignments, sections, scales, strict=True)
            ]
        )
        depth = np.zeros(len(sections)) if adjoining else _depths(len(sections), chain, gaps_um)
        positions = np.column_stack([plane, depth[own.codes]])
        if adjoining:
            joined.adata.obsm["spatial"] = plane
        else:
            joined.adata.obsm[ALIGNED] = positions
    joined.joint = Joint(own.codes, positions, chain)
    return joined


def _depths(n: int, chain: JointParams, gaps: Sequence[float] | None) -> NDArray[np.float64]:
    if gaps is None:
        return np.arange(n, dtype=np.float64) * chain.spacing_um
    steps = np.asarray(gaps, dtype=np.float64)
    if steps.shape != (n - 1,) or not (np.isfinite(steps).all() and (steps >= 0).all()):
        raise ParameterError(
            f"gaps_um is {list(gaps)} for {n} sections", f"give {n - 1} numbers from 0"
        )
    return np.concatenate([[0.0], np.cumsum(steps)])
