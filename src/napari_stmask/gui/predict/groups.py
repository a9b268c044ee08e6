"""Groups of spots as domains that the dock Domains names, merges and writes; no Qt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...viz.palette import PALETTE
from .. import layers
from ..model import DomainSet, DomainState, Item

if TYPE_CHECKING:
    from ..session import Session

__all__ = ["GROUPS", "show_groups"]

GROUPS = "regions"
"""Column of ``obs`` that receives them."""


def show_groups(session: Session, item: Item, codes: NDArray[np.integer[Any]]) -> DomainSet:
    """Write and show a partition that no run made; earlier groups are replaced.

    Parameters
    ----------
    session, item
        Where.
    codes
        (n_spots,) from 0 on.
    """
    count = int(codes.max()) + 1
    names = [f"group {number + 1}" for number in range(count)]
    colors = [PALETTE[i % len(PALETTE)] for i in range(count)]
    state = DomainState.of(codes, names, colors)
    domains = DomainSet(GROUPS, GROUPS, "groups of predicted genes", state)
    domains.write(item.section)
    item.domains.pop(GROUPS, None)
    item.domains[GROUPS] = domains
    if session.viewer is not None:
        layers.show_domains(session.viewer, item, domains)
        layers.prefer(session.viewer, item, GROUPS)
    session.domains_changed.emit(item.id, GROUPS)
    session.select(item.id, GROUPS)
    return domains
