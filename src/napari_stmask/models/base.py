"""What a method is: parameters, needs, and a stream of progress that ends in a fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..analysis.prediction_baselines import References
from ..core.errors import ParameterError
from ..core.joint import JointParams
from ..core.params import DomainParams, Params
from ..core.progress import Steps
from ..core.result import Fit
from ..core.section import Section

__all__ = [
    "Described",
    "Estimate",
    "Integrating",
    "Method",
    "Needs",
    "Predicted",
    "Predictor",
    "PredictorState",
    "only_section",
]


@dataclass(frozen=True)
class Needs:
    """What a method cannot run without, and whether it takes joined sections with links across."""

    counts: bool = True
    image: bool = False
    max_sections: int = 1
    integrates: bool = False


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


class Described(Protocol):
    """What every published method says of itself.

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
    """

    name: ClassVar[str]
    title: ClassVar[str]
    summary: ClassVar[str]
    reference: ClassVar[str]
    doi: ClassVar[str]
    tasks: ClassVar[tuple[str, ...]]
    needs: ClassVar[Needs]


@runtime_checkable
class Method(Described, Protocol):
    """A method that finds domains, behind one interface.

    Attributes
    ----------
    Params
        Its parameter model.
    """

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


@runtime_checkable
class Integrating(Method, Protocol):
    """A method that takes several sections joined to one, with links across them."""

    def check_joint(self, joint: JointParams, params: Any) -> None:
        """Refuse, before any work, ways for sections to go together that it cannot follow."""

    def answer_settings(self, model: str | Path, params: Any) -> Any:
        """Settings of `apply`: the training's, with those of ``params`` that are free."""


@dataclass(frozen=True, eq=False)
class Predicted:
    """Genes predicted for n spots.

    Attributes
    ----------
    values
        (n, n_genes) float32 in log units.
    spread
        (n, n_genes) float32 standard deviation over random draws, same unit; None without any.
    features
        (n, d) float32 image features of the spots, standardised, as baselines take them.
    embedding
        (n, width) float32 states that the prediction was read from.
    references, weights
        (n, k) rows of the references that each spot was linked to, the one that counted most
        first, and (n, k) float32 how much, rows sum to 1.
    novelty
        (n,) float32 in [0, 1]: share of the reference spots that have more alike references.
    expected_pcc, expected_error
        (n_genes,) float32 correlation and root mean squared error over reference spots that were
        left out; NaN where unknown.
    """

    values: NDArray[np.float32]
    spread: NDArray[np.float32] | None
    features: NDArray[np.float32]
    embedding: NDArray[np.float32]
    references: NDArray[np.int64]
    weights: NDArray[np.float32]
    novelty: NDArray[np.float32]
    expected_pcc: NDArray[np.float32]
    expected_error: NDArray[np.float32]


class PredictorState(Protocol):
    """What a predictor trained: enough to predict for any target, and to be kept in a file."""

    @property
    def genes(self) -> Sequence[str]:
        """Names of the genes that it predicts."""

    @property
    def params(self) -> Any:
        """Settings of the training."""

    @property
    def history(self) -> Mapping[str, list[float]]:
        """Loss curves by term."""

    @property
    def notes(self) -> Sequence[str]:
        """What had to be decided, one sentence each."""

    def baseline_references(self) -> References:
        """The references with standardised features, for baselines."""

    def reference_table(self) -> pd.DataFrame:
        """Columns section, spot, x, y, one row for each reference spot."""

    def check(self, params: Any, genes: Sequence[str] | None = None) -> None:
        """Refuse other settings or other genes than those of the training."""

    def settings(self, params: Any) -> Any:
        """Settings of a prediction: the training's, with those of ``params`` that are free."""

    def save(self, path: str | Path) -> None:
        """Write it to a file that `Predictor.load` reads."""


@runtime_checkable
class Predictor(Described, Protocol):
    """A method that predicts genes of a section from others.

    Attributes
    ----------
    Params
        Its parameter model.
    """

    Params: ClassVar[type[Params]]

    def estimate(
        self, target: Section | None, references: Sequence[Section], params: Any
    ) -> Estimate:
        """Expected time and memory of training and prediction."""

    def fit(
        self, references: Sequence[Section], groups: Sequence[int], params: Any
    ) -> Steps[PredictorState]:
        """Train on measured sections, ``groups`` being codes of their patients."""

    def predict(self, state: Any, target: Section, params: Any) -> Steps[Predicted]:
        """Answer for a section without reading its counts."""

    def load(self, path: str | Path) -> PredictorState:
        """Read a trained state."""


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
