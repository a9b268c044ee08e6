"""What a method is and what a run would cost; imports torch, therefore only called in workers."""

from __future__ import annotations

from typing import Any

from ..core.memory import available_bytes
from ..core.params import DomainParams
from ..core.section import Section

__all__ = ["duration", "facts"]


def facts(name: str, section: Section, params: DomainParams) -> dict[str, Any]:
    """Title, summary, reference and DOI of a method, seconds and bytes of a run, free bytes."""
    from ..models import get

    method = get(name)
    cost = method.estimate([section], params)
    return {
        "name": name,
        "title": method.title,
        "summary": method.summary,
        "reference": method.reference,
        "doi": method.doi,
        "seconds": cost.seconds,
        "peak_bytes": cost.peak_bytes,
        "free_bytes": available_bytes(),
    }


def duration(seconds: float) -> str:
    """Expected seconds as a short text."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
