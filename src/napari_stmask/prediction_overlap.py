"""Whether two sections are one: what is learnt from a spot must not be scored on it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .core.errors import DataError, ParameterError
from .core.section import Section
from .features.feature_cache import image_token

__all__ = ["check_distinct", "learnt_before", "share_spots"]

_FEW = 10
"""Spots whose molecules agree by chance in no two sections."""


def check_distinct(references: Sequence[Section], target: Section | None = None) -> None:
    """Refuse sections of one name, and spots that are given twice.

    Parameters
    ----------
    references
        Measured sections.
    target
        What is to be predicted at its own spots, or None.

    Raises
    ------
    ParameterError
        If two sections have one name, or share spots.
    """
    every = [*references, *([] if target is None else [target])]
    for i, one in enumerate(every):
        for other in every[i + 1 :]:
            if not share_spots(one, other):
                continue
            if other is target:
                raise ParameterError(
                    f"the target {target.name} is also among the references, as {one.name}",
                    "leave it out of the references, or learn from one part of it only",
                )
            raise ParameterError(
                f"the references {one.name} and {other.name} hold the same spots",
                "give each section once",
            )
    names = pd.Index([section.name for section in every])
    if not names.is_unique:
        twice = names[names.duplicated()][0]
        raise ParameterError(
            f"two sections are called '{twice}'", "give each a name, or a file name, of its own"
        )


def share_spots(one: Section, other: Section) -> bool:
    """Whether two sections have spots of one tissue in common.

    Positions alone do not say so, as two arrays may have one layout: the spots at equal positions
    lie on one image too, or have equally many molecules.
    """
    _, here, there = np.intersect1d(_places(one.coords), _places(other.coords), return_indices=True)
    if not here.size:
        return False
    if one.adata is other.adata:
        return True
    a, b = one.image, other.image
    if a is not None and b is not None and (a is b or image_token(a) == image_token(b)):
        return True
    if here.size < min(_FEW, one.n_spots, other.n_spots):
        return False
    mine, its = _totals(one), _totals(other)
    if mine is None or its is None or not mine[here].any():
        return False
    return bool(np.array_equal(mine[here], its[there]))


def learnt_before(target: Section, references: pd.DataFrame) -> bool:
    """Whether most spots of a target are, by name and place, those that a model was trained on.

    Parameters
    ----------
    target
        What is predicted.
    references
        Columns spot, x and y.
    """
    own = pd.DataFrame(
        {
            "spot": target.adata.obs_names.astype(str),
            "x": target.coords[:, 0],
            "y": target.coords[:, 1],
        }
    )
    known = references[["spot", "x", "y"]].drop_duplicates()
    return 2 * len(own.merge(known, on=["spot", "x", "y"])) > len(own)


def _places(coords: NDArray[np.float64]) -> NDArray[np.complex128]:
    """(n,) one number for each position."""
    return np.asarray(coords[:, 0] + 1j * coords[:, 1])


def _totals(section: Section) -> NDArray[np.float64] | None:
    try:
        return np.asarray(section.counts().sum(axis=1), dtype=np.float64).ravel()
    except DataError:
        return None
