"""Pearson correlation of matching columns, with one rule for columns that do not vary."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["pearson_columns", "varying_columns"]

_RELATIVE, _ABSOLUTE = 1e-6, 1e-12
"""Spread, as a share of a column's size and as such, up to which it is rounding."""


def varying_columns(values: NDArray[np.floating[Any]]) -> NDArray[np.bool_]:
    """Which columns are more than a constant with rounding errors.

    Parameters
    ----------
    values
        (n, n_columns) float, finite.

    Returns
    -------
    numpy.ndarray
        (n_columns,) bool: the spread is above a millionth of the column's norm.
    """
    exact = np.asarray(values, dtype=np.float64)
    return _varies(exact, exact - exact.mean(axis=0))


def pearson_columns(
    predicted: NDArray[np.floating[Any]], measured: NDArray[np.floating[Any]]
) -> NDArray[np.float64]:
    """Pearson correlation of column j of one table with column j of the other.

    Parameters
    ----------
    predicted, measured
        (n, n_columns) float, finite; worked on in double precision.

    Returns
    -------
    numpy.ndarray
        (n_columns,) float64 in [-1, 1]; NaN where ``measured`` is constant, as nothing can be
        told there, and 0 where only ``predicted`` is.
    """
    a, b = (np.asarray(x, dtype=np.float64) for x in (predicted, measured))
    centred_a, centred_b = a - a.mean(axis=0), b - b.mean(axis=0)
    told, usable = _varies(b, centred_b), _varies(a, centred_a)
    product = np.linalg.norm(centred_a, axis=0) * np.linalg.norm(centred_b, axis=0)
    out = np.where(told, 0.0, np.nan)
    np.divide((centred_a * centred_b).sum(axis=0), product, out=out, where=told & usable)
    return np.clip(out, -1.0, 1.0)


def _varies(x: NDArray[np.float64], centred: NDArray[np.float64]) -> NDArray[np.bool_]:
    # Of a constant column the mean leaves rounding errors, which correlate with something.
    limit = np.maximum(_RELATIVE * np.linalg.norm(x, axis=0), _ABSOLUTE)
    return np.asarray(np.linalg.norm(centred, axis=0) > limit)
