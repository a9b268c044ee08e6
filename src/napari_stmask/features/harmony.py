"""Harmony: sections drawn together in a space of principal components."""

from __future__ import annotations

import importlib
import inspect
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..core.errors import DataError, ParameterError, ResourceError

__all__ = ["harmonise", "require_harmony"]

_LEAST = 30
"""Spots of one of Harmony's clusters."""


def harmonise(
    values: NDArray[np.floating[Any]],
    batches: NDArray[Any],
    *,
    seed: int,
    theta: float = 2.0,
    max_iter: int = 10,
) -> NDArray[np.float32]:
    """Shift spots of each section, cluster by cluster, towards those of the others.

    Korsunsky et al., Nature Methods 2019, by the optional package ``harmonypy``. Spots are
    clustered softly, with a penalty on clusters of one section; in each cluster a ridge
    regression removes what depends on the section. One thread.

    Parameters
    ----------
    values
        (n_spots, width) principal components, any unit.
    batches
        (n_spots,) section of each spot.
    seed
        Of the first clusters.
    theta
        Weight of the penalty; 0 mixes nothing by force, larger values mix more.
    max_iter
        Rounds at most.

    Returns
    -------
    numpy.ndarray
        (n_spots, width) float32, the same for the same seed.

    Raises
    ------
    ParameterError
        If all spots are of one section, some of none, or a number is out of range.
    DataError
        If there are fewer than 30 spots, or values are not finite.
    ResourceError
        If ``harmonypy`` is not installed.
    """
    exact: NDArray[np.float64] = np.asarray(values, dtype=np.float64)
    codes = _checked(exact, batches, theta, max_iter)
    run_harmony = require_harmony()
    options: dict[str, Any] = {"theta": theta, "max_iter_harmony": max_iter}
    options |= {"random_state": seed, "verbose": False}
    if "ncores" in inspect.signature(run_harmony).parameters:
        options["ncores"] = 1
    # Releases before 2 draw from NumPy's global generator and leave it seeded.
    state = np.random.get_state()  # noqa: NPY002
    try:
        table = pd.DataFrame({"section": codes.astype(str)})
        # Columns are spots: every release reads this way, also where there are as many columns.
        found = run_harmony(exact.T.copy(), table, ["section"], **options)
    finally:
        np.random.set_state(state)  # noqa: NPY002
    return _as_rows(found, exact).astype(np.float32)


def require_harmony() -> Any:
    """The function of harmonypy.

    Raises
    ------
    ResourceError
        If the package is not installed.
    """
    try:
        return importlib.import_module("harmonypy").run_harmony
    except ImportError as error:
        raise ResourceError(
            "Harmony needs the package 'harmonypy', which is not installed",
            "pip install 'napari-stmask[integration]'",
        ) from error


def _checked(
    values: NDArray[np.float64], batches: NDArray[Any], theta: float, max_iter: int
) -> NDArray[np.intp]:
    """Codes of the sections, after everything that Harmony would fail on."""
    if values.ndim != 2 or len(values) != len(batches):
        raise DataError(
            f"Harmony was given values of shape {values.shape} for {len(batches)} spots",
            "give one row a spot",
        )
    if len(values) < _LEAST or not np.isfinite(values).all():
        raise DataError(
            f"Harmony was given {len(values)} spots"
            + ("" if np.isfinite(values).all() else " with values that are not finite"),
            f"use at least {_LEAST} spots with finite values",
        )
    codes, names = pd.factorize(np.asarray(batches), sort=True)
    if len(names) < 2 or (codes < 0).any():
        raise ParameterError(
            f"{int((codes < 0).sum())} spots belong to no section"
            if (codes < 0).any()
            else "all spots are of one section, Harmony has nothing to draw together",
            "give at least two sections and one for each spot",
        )
    if not theta >= 0 or max_iter < 1:
        raise ParameterError(
            f"Harmony's theta is {theta:g} and its number of rounds {max_iter}",
            "use a theta of at least 0 and at least one round",
        )
    return np.asarray(codes, dtype=np.intp)


def _as_rows(found: Any, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Corrected values with one row a spot; releases differ in which way they lie."""
    original = np.asarray(found.Z_orig)
    corrected = np.asarray(found.Z_corr, dtype=np.float64)
    if original.shape == values.shape and np.allclose(original, values, rtol=1e-4, atol=1e-6):
        return corrected
    return corrected.T
