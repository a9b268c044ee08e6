"""What a user should know of target and references before genes are predicted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .core.errors import DataError, ParameterError
from .core.section import Section
from .features.encoders import is_finished, split_spec
from .features.patches import patch_side
from .features.tissue_grid import spots_off_tissue

__all__ = ["PATIENT", "UNKNOWN", "codes_of", "patient_warnings", "patients_of", "warnings_of"]

PATIENT = "patient"
"""Column of ``obs`` that tells patients apart."""
UNKNOWN = "Patients are not known: scores may be those of sections of one block."
_MIN_TISSUE = 0.25
_NAMED = 3


def patients_of(sections: Sequence[Section], groups: Sequence[Any] | None = None) -> list[str]:
    """One label for each section: given, its one value of ``obs["patient"]``, or "" if unknown.

    Raises
    ------
    ParameterError
        If ``groups`` are not as many as sections.
    """
    if groups is not None:
        if len(groups) != len(sections):
            raise ParameterError(
                f"{len(groups)} groups were given for {len(sections)} sections", "give one each"
            )
        return ["" if g is None else str(g) for g in groups]
    return [_patient(section) for section in sections]


def _patient(section: Section) -> str:
    if PATIENT not in section.adata.obs:
        return ""
    values = section.adata.obs[PATIENT].dropna().astype(str).unique()
    return str(values[0]) if len(values) == 1 else ""


def codes_of(
    target: Section | None, references: Sequence[Section], groups: Sequence[Any] | None
) -> list[int]:
    """Codes of what a reference never learns from: its patient, or itself.

    Patients count where all are known, there are several, and the target's is none of them:
    then each reference learns from other patients, as the target will. For a target of a known
    patient the sections of one patient inform each other, as they will inform the target.
    """
    labels = patients_of(references, groups)
    own = "" if target is None else _patient(target)
    apart = len(set(labels)) > 1 and "" not in labels and own not in labels
    if groups is not None:
        if "" in labels:
            raise ParameterError("a reference has no group", "give one label for each")
        apart = True
    names = sorted(set(labels))
    return [names.index(label) for label in labels] if apart else list(range(len(references)))


def warnings_of(
    target: Section,
    references: Sequence[Section],
    params: Any,
    *,
    groups: Sequence[Any] | None = None,
) -> list[str]:
    """What makes a prediction easier than it looks, or worse than it could be; plain sentences.

    Raises
    ------
    ParameterError
        If ``groups`` are not as many as references.
    """
    out = patient_warnings(target, references, groups)
    kind, key = split_spec(params.image_encoder)
    if kind == "obsm" and key.startswith("X_"):
        out.append(
            f"obsm['{key}'] looks like an embedding of expression: the target's would tell what "
            "is to be predicted. Give features of the image."
        )
    if not is_finished(params.image_encoder):
        for section in dict.fromkeys([target, *references]):
            out += _image_warnings(section, params)
    platforms = {s.platform for s in [target, *references]}
    if len(platforms) > 1:
        out.append(
            f"Target and references are of several platforms ({', '.join(sorted(platforms))}): "
            "their depth and spots differ."
        )
    return out


def patient_warnings(
    target: Section, references: Sequence[Section], groups: Sequence[Any] | None = None
) -> list[str]:
    """The part of `warnings_of` that is about patients."""
    out = []
    labels, own = patients_of(references, groups), _patient(target)
    same = [s.name for s, label in zip(references, labels, strict=True) if own and label == own]
    if same:
        out.append(
            f"{_some(same)} and the target are of one patient ({own}): scores show how well "
            "sections of one block repeat each other, not how well a new patient is predicted."
        )
    if references and "" in [own, *labels]:
        out.append(UNKNOWN)
    return out


def _image_warnings(section: Section, params: Any) -> list[str]:
    if section.image is None:
        return [f"{section.name} has no histology image."]
    if section.um_per_px is None and params.patch_unit == "um":
        text = (
            f"Micrometres per pixel of {section.name} are unknown: patches cannot be cut in "
            "micrometres. Set the scale, or choose the patch size in spots."
        )
        return [text]
    try:
        side = patch_side(section, params.patch_size, params.patch_unit)
        off = spots_off_tissue(section, side, min_tissue=_MIN_TISSUE)
    except DataError as error:
        return [f"{error.problem}."]
    if not off.any():
        return []
    return [f"{np.count_nonzero(off)} of {len(off)} spots of {section.name} lie off the tissue."]


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_NAMED])
    return shown if len(names) <= _NAMED else f"{shown} and {len(names) - _NAMED} more"
