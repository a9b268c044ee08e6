"""Which methods take several sections as one, and what a run of theirs would cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...core.memory import available_bytes
from ...core.params import DomainParams
from ...core.section import Section
from ...models import INTEGRATES, available
from ..model import TITLES

__all__ = ["INTEGRATES", "cost_of", "further_methods"]


def further_methods() -> list[tuple[str, str]]:
    """Name and title of methods of other packages that take several; imports torch."""
    from ...models import get

    others = [name for name in available() if name not in TITLES]
    return [(name, get(name).title) for name in others if get(name).needs.integrates]


def cost_of(name: str, sections: Sequence[Section], params: DomainParams) -> dict[str, Any]:
    """Seconds and bytes of a run over all sections, and free bytes; imports torch."""
    from ...models import get

    cost = get(name).estimate(list(sections), params)
    return {
        "seconds": cost.seconds,
        "peak_bytes": cost.peak_bytes,
        "free_bytes": available_bytes(),
    }
