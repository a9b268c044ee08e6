"""How many domains data hold whose spots are not independent: a tempered BIC.

Averaging over neighbours makes each spot repeat what others say. The BIC takes repetition for
evidence and finds many more components than there are. If a smoothed spot is worth ``weight``
independent ones, both terms are to count ``weight * n`` observations:

    BIC_w(k) = 2 w log L_k - p_k log(w n)

with ``log L_k`` the maximised likelihood of all spots and ``p_k`` the number of free parameters.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..core.errors import ParameterError
from ..core.progress import Progress, Steps, drain
from .mixture import tied_mixture_steps

T = TypeVar("T")

__all__ = ["checked_weight", "tempered_bic_k", "tempered_bic_steps"]

_MAX_STARTS, _MIN_STARTS = 6, 3
"""Starts a fit: fewer than for the final labels, as a curve needs no exact optimum."""


def checked_weight(weight: float) -> float:
    """``weight`` as a float.

    Raises
    ------
    ParameterError
        If it is not above 0 and at most 1.
    """
    if not 0 < weight <= 1:
        raise ParameterError(
            f"the weight of a spot is {weight}",
            "use a number above 0 and at most 1, where 1 means independent spots",
        )
    return float(weight)


def tempered_bic_steps(
    points: NDArray[np.floating[Any]],
    weight: float,
    *,
    ks: Iterable[int] = range(2, 21),
    seed: int = 0,
) -> Steps[tuple[int, dict[int, float]]]:
    """Number of components of a tied-covariance mixture with the largest tempered BIC.

    Parameters
    ----------
    points
        (n_spots, width) float, for example principal components of an embedding.
    weight
        How many independent observations one spot is worth, in (0, 1]; 1 is the plain BIC.
        The mean over spots of the sum of squared smoothing weights is the natural value: it is
        the share of its variance that independent noise keeps.
    ks
        Candidates. Those that would leave a component no more points than ``width`` on
        average are passed over, unless that leaves none; then the smallest is the answer.
    seed
        Of the starts of the fits.

    Returns
    -------
    best
        Number of components; the smaller of two equally good ones.
    curve
        k -> tempered BIC (larger is better). One that is largest at an end of the candidates
        has found nothing: small sections hold too little for two domains, and a weight that is
        too large lets the curve rise to the end.

    Raises
    ------
    ParameterError
        If the weight is not in (0, 1], if it leaves no more than one observation, if there
        are no candidates, or if the smallest is not between 1 and n_spots.
    """
    weight = checked_weight(weight)
    n, width = points.shape
    wanted = sorted(set(ks))
    if not wanted:
        raise ParameterError("no number of domains is given to choose from", "give at least one")
    if weight * n <= 1:
        raise ParameterError(
            f"{n} spots that are worth {weight:g} each hold no more than one observation",
            "smooth less or set the number of domains",
        )
    candidates = [k for k in wanted if k * (width + 1) <= n] or wanted[:1]
    curve: dict[int, float] = {}
    for i, k in enumerate(candidates):
        fit = yield from _in_place_of(
            Progress(i, len(candidates), "choosing the number of domains"),
            tied_mixture_steps(
                points, k, seed=seed, max_starts=_MAX_STARTS, min_starts=_MIN_STARTS
            ),
        )
        curve[k] = float(2 * weight * fit.log_likelihood - fit.parameters * np.log(weight * n))
    return max(curve, key=lambda k: (curve[k], -k)), curve


def _in_place_of(event: Progress, steps: Steps[T]) -> Steps[T]:
    """``steps`` that say where the whole search stands, not where one fit does."""
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
        yield event


def tempered_bic_k(
    points: NDArray[np.floating[Any]], weight: float, **options: Any
) -> tuple[int, dict[int, float]]:
    """Best number of components and the curve; see `tempered_bic_steps`."""
    return drain(tempered_bic_steps(points, weight, **options))
