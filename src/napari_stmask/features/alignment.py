"""Sections brought into one frame: by outline and expression, histology, landmarks or by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ..core.errors import DataError, ParameterError
from ..core.histology import checked_affine
from ..core.joining import common_scales, section_labels
from ..core.progress import Progress, Steps
from ..core.section import Section
from .pair_alignment import Fit, Pair, fit_pair
from .rigid import Points, Pose, is_mirrored, moved, rigid_fit

__all__ = ["Alignment", "AlignmentMethod", "align_landmarks", "align_sections", "given"]

AlignmentMethod = Literal["outline", "histology", "none"]
Flip = Literal["auto", "never"]
_TOLERANCE = 0.05
"""Scale of a given matrix beyond which a note says that sizes change."""


@dataclass(frozen=True, eq=False)
class Alignment:
    """Where a section lies in the common frame.

    Attributes
    ----------
    matrix
        (3, 3) float64, maps (x, y, 1) in µm of the section's own coordinates (coordinates times
        ``um_per_px``; coordinates where no scale is known) to the frame of the reference section.
    method
        ``"reference"``, ``"outline"``, ``"histology"``, ``"landmarks"``, ``"given"`` or
        ``"none"``.
    residual
        Trimmed mean distance between the outlines, or mean distance of landmarks, after the fit,
        in µm (coordinate units without scale); None where nothing was fitted.
    overlap
        Share of the section's spots within one pitch of a spot of the section that it was aligned
        to; None where there is none.
    mirrored
        Whether ``matrix`` turns the section over.
    problem
        Why the fit should not be trusted; empty if nothing speaks against it.
    agreement
        Correlation of the expression (of the histology, without expression) where the section
        lies on the one that it was aligned to, in [-1, 1]; None where it was not measured.
    alternatives
        Other poses that were found, in the common frame, best first.
    """

    matrix: NDArray[np.float64]
    method: str
    residual: float | None = None
    overlap: float | None = None
    mirrored: bool = False
    problem: str = ""
    agreement: float | None = None
    alternatives: tuple[Pose, ...] = ()

    def apply(self, points: Points) -> NDArray[np.float64]:
        """(n, 2) points of the section, in the unit of ``matrix``, in the common frame."""
        return moved(self.matrix, points)


def align_sections(
    sections: Sequence[Section],
    *,
    method: AlignmentMethod = "outline",
    flip: Flip = "auto",
    reference: int = 0,
    use_expression: bool = True,
    max_residual: float = 0.5,
    seed: int = 0,
) -> Steps[list[Alignment]]:
    """Align each section to its neighbour towards the reference, and all to the reference.

    Labels are never read. Poses are rigid: turned, shifted and, if allowed, mirrored.

    Parameters
    ----------
    sections
        One or more, in the order of the block.
    method
        ``"outline"``: closest points of the outlines (SpaMask), from many starts.
        ``"histology"``: correlation of the images, from the poses of the outlines; needs
        SimpleITK. ``"none"``: sections stay where their coordinates put them.
    flip
        ``"auto"`` tries each section mirrored too; ``"never"`` does not.
    reference
        Number of the section whose frame is the common one.
    use_expression
        Let expression choose among the poses of the outlines, and move on from them where that
        makes it agree better. Tissue that the border of the array cuts off fits by its outline
        in several ways, of which only expression tells the right one.
    max_residual
        Residual, in pitches, from which a fit is doubtful; the better expression agrees, the
        more is allowed. The outlines of neighbouring sections on two lattices are not closer than
        about 0.4.
    seed
        Of the principal components and of the spots that large sections are thinned to.

    Returns
    -------
    list of Alignment
        One a section, in their order.

    Raises
    ------
    ParameterError
        If a parameter is impossible.
    DataError
        If only some scales are known, an outline has too few spots, or what the method needs
        (counts, common genes, images) is missing.
    ResourceError
        If SimpleITK is needed and absent.
    """
    _check(sections, method, flip, reference, max_residual)
    labels = section_labels(sections)
    scales, _ = common_scales(sections, labels)
    out: dict[int, Alignment] = {reference: Alignment(np.eye(3), "reference")}
    outward = [*range(reference + 1, len(sections)), *range(reference - 1, -1, -1)]
    for done, i in enumerate(outward):
        yield Progress(done, len(outward), "alignment", message=f"Aligning {labels[i]}")
        j = i - 1 if i > reference else i + 1
        pair = Pair((sections[i], sections[j]), (scales[i], scales[j]))
        if method == "none":
            fit = Fit(Pose(np.eye(3), math.nan), "", ())
        else:
            fit = yield from fit_pair(
                pair,
                histology=method == "histology",
                mirrors=flip == "auto",
                use_expression=use_expression,
                max_residual=max_residual,
                seed=seed,
            )
        out[i] = _composed(fit, pair, out[j], method, labels[j])
    return [out[i] for i in range(len(sections))]


def _check(
    sections: Sequence[Section], method: str, flip: str, reference: int, max_residual: float
) -> None:
    if not sections:
        raise ParameterError("no section was given", "give one or more")
    for value, kind, what in ((method, AlignmentMethod, "method"), (flip, Flip, "flip")):
        if value not in get_args(kind):
            raise ParameterError(f"{what} is '{value}'", f"use one of {', '.join(get_args(kind))}")
    if not 0 <= reference < len(sections):
        raise ParameterError(
            f"reference is {reference} for {len(sections)} sections",
            f"use a number from 0 to {len(sections) - 1}",
        )
    if not (np.isfinite(max_residual) and max_residual > 0):
        raise ParameterError(f"max_residual is {max_residual}", "use a positive number of pitches")


def _composed(fit: Fit, pair: Pair, base: Alignment, method: str, base_name: str) -> Alignment:
    """The fit of a section to its neighbour, carried on to the frame of the reference."""
    matrix = base.matrix @ fit.pose.matrix
    problem = fit.problem
    if base.problem:
        inherited = f"It follows section {base_name}, whose own fit is doubtful."
        problem = f"{problem} {inherited}".strip()
    return Alignment(
        matrix=matrix,
        method=method,
        residual=None if math.isnan(fit.pose.residual) else fit.pose.residual,
        overlap=pair.overlap(fit.pose.matrix),
        mirrored=is_mirrored(matrix),
        problem=problem,
        agreement=fit.pose.agreement,
        alternatives=tuple(replace(p, matrix=base.matrix @ p.matrix) for p in fit.others),
    )


def align_landmarks(
    moving: Points, fixed: Points, *, mirrored: bool | Literal["auto"] = "auto"
) -> Alignment:
    """Turn and shift that bring landmarks of one section to those of another (least squares).

    Parameters
    ----------
    moving, fixed
        (n, 2) places of the same n landmarks in both, in µm (coordinates without scale); two or
        more.
    mirrored
        Whether the section was turned over; ``"auto"`` takes what fits better, which needs three
        landmarks that are not on a line.

    Raises
    ------
    ParameterError
        If the landmarks are too few, not finite, in one place or do not pair up.
    """
    a, b = (np.asarray(points, dtype=np.float64) for points in (moving, fixed))
    least = 3 if mirrored == "auto" else 2
    if a.ndim != 2 or a.shape[1:] != (2,) or a.shape != b.shape:
        raise ParameterError(
            f"the landmarks have shapes {a.shape} and {b.shape}",
            "give x and y of the same landmarks in both sections",
        )
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ParameterError("landmarks are not finite", "leave those out in both sections")
    if len(a) < least:
        raise ParameterError(
            f"{len(a)} landmarks were given",
            f"give {least} or more"
            + (", or say whether the section is mirrored" if least == 3 else ""),
        )
    # Points on a line fit as well turned over; points in one place fit at any turn.
    for points in (a, b):
        spread = np.linalg.svd(points - points.mean(axis=0), compute_uv=False)
        if spread[0] == 0 or (least == 3 and spread[1] < 1e-6 * spread[0]):
            raise ParameterError(
                "the landmarks lie on a line" if spread[0] else "the landmarks lie in one place",
                "spread them over the tissue"
                + (", or say whether the section is mirrored" if spread[0] else ""),
            )
    fits = []
    for mirror in (False, True) if mirrored == "auto" else (bool(mirrored),):
        turned = np.diag([-1.0 if mirror else 1.0, 1.0, 1.0])
        matrix = rigid_fit(moved(turned, a), b) @ turned
        fits.append((float(np.linalg.norm(moved(matrix, a) - b, axis=1).mean()), matrix))
    residual, matrix = min(fits, key=lambda fit: fit[0])
    return Alignment(matrix, "landmarks", residual, mirrored=is_mirrored(matrix))


def given(matrix: Any) -> Alignment:
    """An alignment that was made elsewhere, such as the affine of a napari layer.

    Parameters
    ----------
    matrix
        (3, 3) affine from (x, y, 1) in µm of the section (coordinates without scale) to the
        common frame. It may scale and shear; ``problem`` says so if a length changes by more than
        5 %.

    Raises
    ------
    ParameterError
        If it is no affine that can be inverted.
    """
    try:
        checked = checked_affine(matrix, "the section")
    except DataError as error:
        raise ParameterError(error.problem, error.remedy) from None
    smallest, largest = np.linalg.svd(checked[:2, :2], compute_uv=False)[::-1]
    problem = ""
    if smallest < 1 - _TOLERANCE or largest > 1 + _TOLERANCE:
        problem = f"The matrix changes lengths by factors of {smallest:.3g} to {largest:.3g}."
    return Alignment(checked, "given", mirrored=is_mirrored(checked), problem=problem)
