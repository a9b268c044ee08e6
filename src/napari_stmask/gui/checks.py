"""Why a run cannot start, or cannot be written down, as one sentence."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..core.result import key_problem
from ..features.encoders import is_finished
from .model import Item

__all__ = ["conflict", "missing_source", "name_problem"]

_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


def conflict(values: Mapping[str, Any], item: Item | None) -> str:
    """What the fields ask that the section cannot give; empty where it can."""
    if item is None:
        return ""
    section = item.section
    if not values.get("auto_domains") and values.get("n_domains", 1) > section.n_spots:
        return f"Domains: the section has {section.n_spots} spots only."
    encoder = str(values.get("image_encoder", ""))
    if values.get("use_image") == "yes" and section.image is None and not is_finished(encoder):
        return "Use the image: the section has none; add one in the dock Open tissue."
    return ""


def name_problem(key: str, item: Item) -> str:
    """Why the answers cannot be stored under ``key``; empty where they can."""
    if not _KEY.fullmatch(key):
        return "Result name: use letters, digits and underscores, a letter first."
    if key in item.section.adata.obs and key not in item.domains:
        return f"Result name: obs has a column '{key}' that is not a result; choose another."
    problem = key_problem(item.section.adata, key)
    return f"Result name: {problem}." if problem else ""


def missing_source(item: Item | None) -> str:
    """Why the run cannot be written down; empty where it can."""
    if item is None or item.section.source:
        return ""
    return "The section was not read from a file: export it, then open the file."
