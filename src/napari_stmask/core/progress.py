"""The one event type that a running method emits."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

__all__ = ["Progress", "Steps", "drain"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run stands.

    Attributes
    ----------
    step, total
        Position within the phase; ``total`` 0 means that the length is unknown.
    phase
        Short name of the phase, for example ``"training"``.
    losses
        Current value of each loss term (dimensionless); empty outside training.
    message
        One plain sentence for the user; may be empty.
    """

    step: int
    total: int
    phase: str
    losses: Mapping[str, float] = field(default_factory=dict)
    message: str = ""

    @property
    def fraction(self) -> float:
        """Share of the phase that is done, in [0, 1]."""
        return min(1.0, self.step / self.total) if self.total else 0.0

    def __str__(self) -> str:
        text = f"{self.phase} {self.step}/{self.total}" if self.total else self.phase
        if self.losses:
            text += "  " + "  ".join(f"{k} {v:.4f}" for k, v in self.losses.items())
        return f"{text}  {self.message}".rstrip()


Steps = Generator[Progress, None, T]
"""A computation that reports progress and returns a ``T``; closing it cancels it."""


def drain(steps: Steps[T]) -> T:
    """Run ``steps`` to its end and return its value, ignoring the events."""
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
