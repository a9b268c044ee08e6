"""What a method is: parameters, needs, and a stream of progress that ends in a fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

from numpy.typing import NDArray

from ..core.errors import ParameterError
from ..core.params import DomainParams
from ..core.progress import Steps
from ..core.result import Fit
from ..core.section import Section

__all__ = ["Estimate", "Method", "Needs", "only_section"]


@dataclass(frozen=True)
class Needs:
    """What a method cannot run without."""

    counts: bool = True
    image: bool = False
    max_sections: int = 1


@dataclass(frozen=True)
class Estimate:
    """Expected cost of a run on one CPU thread; a rough figure, shown before it starts.

    Attributes
    ----------
    seconds
        CPU seconds, load and clustering included.
    peak_bytes
        Memory on top of the section itself.
    """

    seconds: float
    peak_bytes: float


@runtime_checkable
class Method(Protocol):
    """A published method behind one interface.

    Attributes
    ----------
    name, title
        Identifier (prefix of everything it writes) and display name.
    reference, doi
        Citation of the paper.
    tasks
        What it answers: ``"domains"``, ``"denoise"``, ...
    needs
        What it cannot run without.
    Params
        Its parameter model.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    summary: ClassVar[str]
    reference: ClassVar[str]
    doi: ClassVar[str]
    tasks: ClassVar[tuple[str, ...]]
    needs: ClassVar[Needs]
    Params: ClassVar[type[DomainParams]]

    def extras(
        self, section: Section, params: Any, model: str | Path | None = None
    ) -> Mapping[str, NDArray[Any]]:
        """Arrays (n_spots, ...) of the caller's table or files that a run reads, by name.

        A run works on a bare copy of the section; these travel with it, in ``obsm``. Asked
        again of such a copy, it hands on what the copy carries. Where a saved ``model`` is to
        be applied, its settings count.
        """

    def estimate(self, sections: Sequence[Section], params: Any) -> Estimate:
        """Expected time and memory of `fit`."""

    def fit(self, sections: Sequence[Section], params: Any) -> Steps[Fit]:
        """Train on ``sections``; never modifies them, never sees labels.

        Closing the generator cancels the run within one optimiser step.
        """

    def apply(self, model: str | Path, sections: Sequence[Section], params: Any) -> Steps[Fit]:
        """Answer for ``sections`` with a saved model, without training."""

    def save_model(self, fit: Fit, path: str | Path) -> None:
        """Write what `fit` trained to a file that `apply` reads."""


def only_section(sections: Sequence[Section], title: str) -> Section:
    """The one section that a method of a single section was given.

    Raises
    ------
    ParameterError
        If there are none or several.
    """
    if len(sections) != 1:
        raise ParameterError(
            f"{title} was given {len(sections)} sections", "run it on one section at a time"
        )
    return sections[0]
