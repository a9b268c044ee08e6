"""Numbers from the histology around each spot."""

from __future__ import annotations

import time
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..core.errors import DataError, OutputError
from ..core.histology import Histology
from ..core.progress import Progress, Steps
from ..core.section import Section
from . import feature_cache
from .encoders import FINISHED, PatchEncoder, get_encoder, split_spec
from .encoders.precomputed import from_file, from_obsm
from .patches import Patches, patch_side
from .stain import Stain

__all__ = ["FEW_PIXELS", "check_inside", "image_features", "zscored"]

Float = NDArray[np.float32]

PHASE = "image features"
_VERSION = 1
"""To be raised when patches or what is done to them change, so that old entries are not used."""
_BLOCK_BYTES = 8 * 1024**2
"""Patches that are held at a time."""
_QUICK, _SLOW = 0.1, 0.3
"""Seconds: between them a batch is neither enlarged nor reduced, so that events keep coming."""
_COLUMNS = 64
FEW_PIXELS = 12
"""Pixels of the image across a patch below which only colour is left."""
_RESOLUTION = 1.5
"""Ratio of resolutions beyond which an encoder is off the scale that it was trained at."""


def image_features(
    section: Section,
    encoder: str = "descriptor",
    *,
    patch_size: float = 1.0,
    unit: Literal["spots", "um"] = "spots",
    stain: Stain = "none",
    consent: bool = False,
    device: str = "auto",
    standardise: bool = True,
    cache: bool = True,
) -> Steps[Float]:
    """Features of the patch around each spot, a generator of progress.

    Parameters
    ----------
    section
        Section with a histology image, or with finished features.
    encoder
        Specification, see `encoders`.
    patch_size, unit
        Side of a patch, see `patches.patch_side`.
    stain
        Normalisation of colours, see `stain.normaliser`.
    consent
        Whether weights may be downloaded under their licence.
    device
        Where networks run.
    standardise
        Give each column mean 0 and standard deviation 1 over the section.
    cache
        Look for the features on disk, and keep them there.

    Returns
    -------
    numpy.ndarray
        (n_spots, dim) float32, finite. Spots outside the image get the mean of the others,
        which is 0 where standardised; so do constant columns.

    Raises
    ------
    DataError
        If there is no image, most spots lie outside it, or finished features do not fit.
    StmaskError
        What encoder, patch size and stain may raise.
    """
    kind, rest = split_spec(encoder)
    if kind in FINISHED:
        yield Progress(0, 1, PHASE)
        found = from_obsm(section, rest) if kind == "obsm" else from_file(section, rest)
        return zscored(found) if standardise else found
    image = _checked_image(section)
    # Before weights are looked at, or fetched.
    yield Progress(0, section.n_spots, PHASE, message=f"preparing the encoder {encoder}")
    model = get_encoder(encoder, device=device, consent=consent)
    side = patch_side(section, patch_size, unit)
    patches = Patches(image, section.coords, side=side, pixels=model.input_px, stain=stain)
    check_inside(section, patches)
    yield Progress(0, len(patches), PHASE, message=_remark(section, patches, model))
    key = ""
    if cache:
        key = feature_cache.key_of(
            _VERSION, model.id, section.coords, side, patches.pixels, patches.level, stain,
            image.matrix, feature_cache.image_token(image),
        )  # fmt: skip
        kept = feature_cache.load(key, len(patches))
        if kept is not None:
            yield Progress(len(patches), len(patches), PHASE, message="taken from the cache")
            return _finished(kept, patches.outside, standardise)
    found = yield from _encoded(patches, model)
    if cache:
        try:
            feature_cache.store(key, found)
        except OutputError as error:
            # Costs time at the next run, and nothing else.
            yield Progress(len(patches), len(patches), PHASE, message=f"not cached: {error}")
    return _finished(found, patches.outside, standardise)


def zscored(features: Float, outside: NDArray[np.bool_] | None = None) -> Float:
    """Columns with mean 0 and standard deviation 1 over the spots that count; 0 elsewhere.

    Parameters
    ----------
    features
        (n_spots, dim) float32.
    outside
        (n_spots,) True for spots that do not count.

    Returns
    -------
    numpy.ndarray
        (n_spots, dim) float32; constant columns are 0.
    """
    found = np.empty(features.shape, dtype=np.float32)
    inside = slice(None) if outside is None else ~outside
    for start in range(0, features.shape[1], _COLUMNS):
        # In double precision, and for that a few columns at a time.
        columns = features[:, start : start + _COLUMNS].astype(np.float64)
        mean, spread = columns[inside].mean(axis=0), columns[inside].std(axis=0)
        # Rounding of a constant is no variation.
        constant = spread <= 1e-6 * np.maximum(np.abs(mean), 1e-6)
        scale = np.where(constant, 0, 1 / np.where(constant, 1, spread))
        found[:, start : start + _COLUMNS] = (columns - mean) * scale
    if outside is not None:
        found[outside] = 0
    return found


def _finished(found: Float, outside: NDArray[np.bool_], standardise: bool) -> Float:
    if standardise:
        return zscored(found, outside)
    found[outside] = found[~outside].mean(axis=0)
    return found


def _checked_image(section: Section) -> Histology:
    if section.image is None:
        raise DataError(
            f"{section.where}: there is no histology image to take features from",
            "add one (image=FILE when reading, or 'Add histology image' in the window), "
            "or give finished features with obsm:KEY or file:PATH",
        )
    return section.image


def check_inside(section: Section, patches: Patches) -> None:
    """Refuse an image that most spots lie outside of.

    Raises
    ------
    DataError
        If more than half of the spots do.
    """
    lost = int(patches.outside.sum())
    if 2 * lost > len(patches):
        raise DataError(
            f"{section.where}: {lost} of {len(patches)} spots lie outside the histology image "
            f"{patches.image.name}",
            "check its scale factor or alignment",
        )


def _remark(section: Section, patches: Patches, model: PatchEncoder) -> str:
    """Where the patches are not what the encoder is made for."""
    seen = patches.side * patches.image.scale
    if seen < FEW_PIXELS:
        return (
            f"A patch has {seen:.1f} pixels across in the image {patches.image.name}, too few to "
            "see cells; the full-resolution image would tell more."
        )
    if model.um_per_px is None or section.um_per_px is None:
        return ""
    present = patches.side * section.um_per_px / patches.pixels
    if max(present / model.um_per_px, model.um_per_px / present) < _RESOLUTION:
        return ""
    wanted = model.um_per_px * patches.pixels
    return (
        f"The encoder was trained at {model.um_per_px:g} µm per pixel, the patches have "
        f"{present:.2g}; patches of {wanted:.0f} µm would fit."
    )


def _encoded(patches: Patches, model: PatchEncoder) -> Steps[Float]:
    """Raw features of all patches; rows of spots outside the image are of no meaning."""
    found: Float | None = None
    done, batch = 0, 8
    rows = max(1, _BLOCK_BYTES // (3 * patches.pixels**2))
    for index, block in patches.blocks(rows):
        start = 0
        while start < len(index):
            clock = time.perf_counter()
            part = model.encode(block[start : start + batch])
            if found is None:
                found = np.empty((len(patches), part.shape[1]), dtype=np.float32)
            found[index[start : start + batch]] = part
            start += len(part)
            done += len(part)
            spent = time.perf_counter() - clock
            if spent > _SLOW:
                batch = max(1, batch // 2)
            elif spent < _QUICK and len(part) == batch:
                batch *= 2
            yield Progress(done, len(patches), PHASE)
    assert found is not None  # a section has spots
    return found
