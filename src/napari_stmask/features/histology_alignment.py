"""Sections laid on one another by their histology."""

from __future__ import annotations

import importlib
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..core.errors import DataError, ResourceError
from ..core.histology import inverse
from ..core.progress import Progress, Steps
from ..core.section import Section
from .rigid import APART, Matrix, Pose, distinct
from .stain import OVERVIEW, optical_density, tissue_mask

__all__ = ["histology_poses"]

_PX_PER_PITCH = 3
"""Resolution that images are compared at, in pixels a pitch: 33 µm for Visium."""
_COARSE = 3
"""Factor of the resolution at which all starts are tried."""
_FINISHED = 2
"""Poses that are fitted at full resolution, after all of them coarsely."""
_STEPS = 200


def histology_poses(
    sections: Sequence[Section], scales: Sequence[float], starts: Sequence[Pose], pitch: float
) -> Steps[list[Pose]]:
    """``starts``, each turned and shifted until the images correlate most; the best first.

    The images are compared as the optical density of the tissue, at low resolution, by all
    pixels and in one thread, so that the answer repeats. All starts are fitted coarsely and the
    best two finely, with SimpleITK (Lowekamp et al., Frontiers in Neuroinformatics 7, 45, 2013).

    Parameters
    ----------
    sections
        The moving and the fixed one, both with an image.
    scales
        Factor of each from its coordinates to the common unit.
    starts
        Poses to start from.
    pitch
        Distance of neighbouring spots in the common unit.

    Returns
    -------
    list of Pose
        ``agreement``: squared correlation of the images, in [0, 1]; ``residual`` is NaN.

    Raises
    ------
    DataError
        If a section has no image, or it shows no tissue.
    ResourceError
        If SimpleITK is not installed.
    """
    sitk = _simple_itk()
    images = [
        _tissue(sitk, section, scale) for section, scale in zip(sections, scales, strict=True)
    ]
    # Shrunk by SimpleITK, which averages: every n-th pixel would lie off by half of n.
    fine = max(1, round(pitch / _PX_PER_PITCH / images[1].GetSpacing()[0]))
    found = []
    for i, start in enumerate(starts):
        yield Progress(i, len(starts), "histology")
        found.append(_fitted(sitk, images, start.matrix, shrink=_COARSE * fine, step=pitch))
    found.sort(key=lambda pose: -(pose.agreement or 0.0))
    places = np.asarray(sections[0].coords * scales[0])
    found = distinct(found, places, APART * pitch)
    for i, pose in enumerate(found[:_FINISHED]):
        yield Progress(i, _FINISHED, "histology, finely")
        found[i] = _fitted(sitk, images, pose.matrix, shrink=fine, step=pitch / 4)
    return sorted(found, key=lambda pose: -(pose.agreement or 0.0))


def _simple_itk() -> Any:
    try:
        return importlib.import_module("SimpleITK")
    except ImportError:
        raise ResourceError(
            "The package 'SimpleITK' is not installed", "pip install 'napari-stmask[integration]'"
        ) from None


def _tissue(sitk: Any, section: Section, scale: float) -> Any:
    """Optical density of the tissue, 0 beside it, as an image in the common unit."""
    if section.image is None:
        raise DataError(
            f"{section.where}: there is no histology image to align by",
            "give one, or align by the outline",
        )
    pixels, per_unit, origin = section.image.picture(OVERVIEW)
    mask = tissue_mask(pixels)
    if not mask.any():
        raise DataError(
            f"{section.where}: the histology image shows no tissue", "align by the outline"
        )
    density = optical_density(pixels).mean(axis=2) * mask
    image = sitk.GetImageFromArray(density.astype(np.float32))
    spacing = scale / per_unit
    image.SetSpacing([spacing, spacing])
    image.SetOrigin([float(o * scale + spacing / 2) for o in origin])
    return image


def _fitted(sitk: Any, images: Sequence[Any], start: Matrix, *, shrink: int, step: float) -> Pose:
    """The pose near ``start`` at which the images correlate most."""
    moving, fixed = images
    euler = sitk.Euler2DTransform()
    size, spacing = np.array(fixed.GetSize()), np.array(fixed.GetSpacing())
    euler.SetCenter([float(v) for v in np.array(fixed.GetOrigin()) + size * spacing / 2])
    method = sitk.ImageRegistrationMethod()
    method.SetNumberOfThreads(1)
    method.SetMetricAsCorrelation()
    method.SetMetricSamplingStrategy(method.NONE)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetShrinkFactorsPerLevel([shrink])
    method.SetSmoothingSigmasPerLevel([shrink / 2])
    method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOff()
    method.SetOptimizerAsRegularStepGradientDescent(
        learningRate=step, minStep=step * 1e-3, numberOfIterations=_STEPS, relaxationFactor=0.6
    )
    method.SetOptimizerScalesFromPhysicalShift()
    # Transforms of images lead from the fixed to the moving one.
    method.SetMovingInitialTransform(_affine(sitk, inverse(start)))
    method.SetInitialTransform(euler, inPlace=True)
    method.Execute(fixed, moving)
    turn = np.eye(3)
    turn[:2, :2] = np.reshape(euler.GetMatrix(), (2, 2))
    turn[:2, 2] = euler.TransformPoint([0.0, 0.0])
    return Pose(inverse(turn) @ start, math.nan, -float(method.GetMetricValue()))


def _affine(sitk: Any, matrix: Matrix) -> Any:
    affine = sitk.AffineTransform(2)
    affine.SetMatrix([float(v) for v in matrix[:2, :2].ravel()])
    affine.SetTranslation([float(v) for v in matrix[:2, 2]])
    return affine
