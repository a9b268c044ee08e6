"""What all methods have in common that train networks on one section."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from numpy.typing import NDArray

from ..core.joint import JointParams
from ..core.params import DomainParams
from ..core.progress import Progress, Steps
from ..core.result import Fit
from ..core.section import Section
from ..nn.device import in_threads
from .base import only_section
from .expression_input import check_size
from .trained_params import TrainedParams
from .trained_state import Build, TrainedState

__all__ = ["NetworkMethod"]


class NetworkMethod(ABC):
    """Training, application and saving around what a method itself does with a section.

    Attributes
    ----------
    build
        Makes one of the method's networks from saved tensors.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    Params: ClassVar[type[TrainedParams]]
    build: ClassVar[Build]

    def extras(
        self,
        section: Section,  # noqa: ARG002
        params: Any,  # noqa: ARG002
        model: str | Path | None = None,  # noqa: ARG002
    ) -> Mapping[str, NDArray[Any]]:
        """Nothing: counts, positions and the image are all that the method reads."""
        return {}

    def fit(self, sections: Sequence[Section], params: Any) -> Steps[Fit]:
        """Train on one section.

        Raises
        ------
        DataError
            If the section has too few spots or genes, its matrix holds no counts, or it lacks
            the image that was asked for.
        ParameterError
            If more than one section is given, or no spots are linked.
        """
        section = only_section(sections, self.title)
        return (yield from in_threads(self._fit(section, params), params.threads))

    def apply(self, model: str | Path, sections: Sequence[Section], params: Any) -> Steps[Fit]:
        """Answer for a section with the networks of a saved ``model``; nothing is trained.

        Raises
        ------
        DataError
            If the section lacks genes of the model, or the image that the model needs.
        """
        section = only_section(sections, self.title)
        return (yield from in_threads(self._apply(model, section, params), params.threads))

    def _apply(self, model: str | Path, section: Section, params: Any) -> Steps[Fit]:
        check_size(section)
        state = self.load(model)
        yield Progress(0, 1, "preparing", message="Reading the model.")
        return (yield from self._answer(state, section, self._settings(state, params)))

    def check_joint(self, joint: JointParams, params: Any) -> None:  # noqa: B027
        """Nothing: all ways for sections to go together are possible."""

    def answer_settings(self, model: str | Path, params: Any) -> Any:
        """Settings of `apply`: the training's, with those of ``params`` that are free."""
        return self._settings(self.load(model), params)

    def _settings(self, state: TrainedState, params: Any) -> TrainedParams:
        # The network is the model's; how its answer is split and where it runs is the caller's.
        asked = params.model_dump(include={*DomainParams.model_fields, "denoise"})
        return self.Params(**(state.params.model_dump() | asked))

    def load(self, model: str | Path) -> TrainedState:
        """What `save_model` wrote; raises what `TrainedState.load` raises."""
        build: Callable[..., Any] = type(self).build
        return TrainedState.load(model, self.name, self.Params, build, title=self.title)

    def save_model(self, fit: Fit, path: str | Path) -> None:
        """Write the trained networks and their preprocessing to ``path`` (safetensors)."""
        fit.state.save(path)

    @abstractmethod
    def _fit(self, section: Section, params: Any) -> Steps[Fit]:
        """Train on ``section``."""

    @abstractmethod
    def _answer(self, state: TrainedState, section: Section, settings: Any) -> Steps[Fit]:
        """Answer for ``section`` with what was trained, with the settings of the training."""
