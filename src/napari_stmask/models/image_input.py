"""The image branch's input: patch features, their principal components, and what rides along."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA

from ..core.errors import DataError, ParameterError
from ..core.params import DomainParams
from ..core.progress import Steps
from ..core.section import Section
from ..features.encoders import is_finished
from ..features.image_features import FEW_PIXELS, image_features, zscored
from ..features.patches import patch_side
from .image_params import EncoderParams, ImageParams
from .joint_input import section_codes

__all__ = [
    "CARRIED",
    "ImageInput",
    "carried",
    "coarse_image",
    "encode_sections",
    "encoded",
    "encoding_cost",
    "has_image",
    "image_input",
    "is_wanted",
    "projected",
]

CARRIED = "stmask_image_features"
"""Slot in which precomputed features travel with a bare section."""
_FULL_SVD = 1024
Float = NDArray[np.float32]


@dataclass(frozen=True)
class ImageInput:
    """Input of the image branch.

    Attributes
    ----------
    x
        (n_spots, d) float32.
    components, centre
        (d, n_features) and (n_features,) float32 of the PCA.
    """

    x: Float
    components: Float
    centre: Float


def has_image(section: Section, params: ImageParams) -> bool:
    """Whether the run would have an image branch."""
    here = section.image is not None or is_finished(params.image_encoder)
    here = here or CARRIED in section.adata.obsm
    return here and params.use_image != "no" and not coarse_image(section, params)


def coarse_image(section: Section, params: ImageParams) -> str:
    """Why ``use_image="auto"`` leaves the image out; empty where it does not.

    Of a patch of a few pixels only its mean colour is left, which follows staining and
    illumination more than tissue.
    """
    if section.image is None or is_finished(params.image_encoder) or params.use_image != "auto":
        return ""
    across = patch_side(section, params.patch_size, params.patch_unit) * section.image.scale
    if across >= FEW_PIXELS:
        return ""
    return (
        f"The image has {across:.0f} pixels across a patch, too few to be used: give a finer image "
        f"or a larger patch, or set use_image to yes."
    )


def encoding_cost(sections: Sequence[Section], params: EncoderParams) -> tuple[float, float]:
    """CPU seconds on one thread, and bytes, of turning patches into features."""
    n = sum(s.n_spots for s in sections)
    if is_finished(params.image_encoder):
        return 0.1, 0.0
    pixels = 224.0**2
    for section in sections:
        if section.image is not None:
            side = patch_side(section, params.patch_size, params.patch_unit)
            pixels = min(pixels, max(16.0, side * section.image.scale) ** 2)
    return n * (2e-4 + pixels * 8e-8), 4.0 * 118 * n + 3e8


def is_wanted(section: Section, params: ImageParams) -> bool:
    """Whether the image branch is part of the run.

    Raises
    ------
    DataError
        If the image was asked for and the section has none.
    """
    here = has_image(section, params)
    if params.use_image == "yes" and not here:
        raise DataError(
            f"{section.where}: the image is to be used, but the section has none",
            "read the section with image=PATH, or set use_image to auto",
        )
    return here


def carried(section: Section, params: ImageParams) -> Steps[Mapping[str, NDArray[Any]]]:
    """What of the caller's own table a run needs: precomputed features."""
    out: dict[str, NDArray[Any]] = {}
    adata = section.adata
    if CARRIED in adata.obsm:
        out[CARRIED] = np.asarray(adata.obsm[CARRIED])
    elif is_finished(params.image_encoder) and is_wanted(section, params):
        out[CARRIED] = yield from image_features(section, params.image_encoder, standardise=False)
    return out


def encoded(section: Section, params: ImageParams) -> Steps[Float]:
    """(n_spots, n_features) features of the patches, standardised over the section.

    Of a joined section, over each of its own: scanner and stain differ between them.
    """
    if CARRIED in section.adata.obsm:
        # A copy: what is carried is the caller's.
        out = np.array(section.adata.obsm[CARRIED], dtype=np.float32)
        own = section_codes(section)
        for one in np.unique(own):
            out[own == one] = zscored(out[own == one])
        return out
    return (
        yield from image_features(
            section,
            params.image_encoder,
            patch_size=params.patch_size,
            unit=params.patch_unit,
            stain=params.stain,
            consent=params.accept_licence,
            device=params.device,
        )
    )


def encode_sections(
    sections: Sequence[Section], joined: Section, params: DomainParams
) -> Steps[DomainParams]:
    """Features of each section's own patches onto ``joined``, and the settings of its run.

    Nothing is done for methods without an image, and for features that were computed before. The
    image is left out, with a note, where one of the sections has none.

    Raises
    ------
    DataError
        If the image was asked for and a section has none.
    ParameterError
        If the encoder is trained on the section itself.
    """
    if not isinstance(params, ImageParams) or params.use_image == "no":
        return params
    if is_finished(params.image_encoder):
        return params
    have = [is_wanted(section, params) for section in sections]
    if not all(have):
        if any(have):
            joined.notes.append("The image is left out, as not every section has a usable one.")
        return params.model_copy(update={"use_image": "no"})
    if params.image_encoder in params.OWN_ENCODERS:
        raise ParameterError(
            f"the encoder '{params.image_encoder}' is trained on one section",
            "use another image_encoder for several sections, or set use_image to no",
        )
    parts: list[Float] = []
    for section in sections:
        found = yield from encoded(section, params)
        parts.append(found)
    joined.adata.obsm[CARRIED] = np.concatenate(parts)
    return params


def image_input(features: Float, section: Section, params: ImageParams) -> ImageInput:
    """Principal components of the patch features.

    Raises
    ------
    DataError
        If all spots have the same features.
    """
    if not np.ptp(features, axis=0).any():
        raise DataError(
            f"{section.where}: the image features of all spots are the same",
            "check the image and its alignment, or set use_image to no",
        )
    n = max(1, min(params.n_pcs_image, min(features.shape) - 1))
    # Of thousands of features all components would take minutes, without a word.
    solver = "full" if min(features.shape) <= _FULL_SVD else "randomized"
    model = PCA(n, svd_solver=solver, random_state=params.seed).fit(features)
    return ImageInput(
        np.asarray(model.transform(features), dtype=np.float32),
        model.components_.astype(np.float32),
        model.mean_.astype(np.float32),
    )


def projected(
    features: Float, arrays: Mapping[str, Float], section: Section, params: ImageParams
) -> ImageInput:
    """Input of another section's image branch, on the components of a saved model.

    Raises
    ------
    DataError
        If there are more or fewer features than in the training.
    """
    components, centre = arrays["components"], arrays["centre"]
    if features.shape[1] != len(centre):
        raise DataError(
            f"{section.where}: its image features have {features.shape[1]} columns, those of the "
            f"model {len(centre)}",
            f"use the model's encoder, {params.image_encoder}",
        )
    x = np.asarray((features - centre) @ components.T, dtype=np.float32)
    return ImageInput(x, components, centre)
