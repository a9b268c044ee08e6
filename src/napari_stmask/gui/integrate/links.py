"""Which settings of links across sections count as the others stand; no Qt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...core.errors import ParameterError
from ...core.joint import JointParams

__all__ = ["idle_joint_fields"]


def idle_joint_fields(values: Mapping[str, Any]) -> dict[str, str]:
    """Fields of `JointParams` that would change nothing, with the reason."""
    try:
        by = JointParams.checked(**values).linked_by
    except ParameterError:
        return {}
    idle: dict[str, str] = {}
    if by in ("none", "plane"):
        idle["cross_neighbours"] = "Links of this kind are not counted by section."
    if by not in ("quota", "expression"):
        idle["cross_weight"] = "Links of this kind all count the same."
    if by != "quota":
        idle["cross_reach"] = "Only for links to the spots above and below (quota)."
        idle["max_gap_um"] = "Only for links to the spots above and below (quota)."
    if by != "depth":
        idle["depth_neighbours"] = "Only for links by depth."
    elif values.get("depth_neighbours") is not None:
        idle["cross_neighbours"] = "The number of neighbours in space says it."
    if by != "expression":
        idle["refresh"] = "Only for links by expression."
    return idle
