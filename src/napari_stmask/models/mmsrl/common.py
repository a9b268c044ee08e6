"""What the training of both forms of MMSRL has in common, the corrected and the released one."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...analysis.domains import reduce
from ...analysis.tempered import tempered_bic_steps
from ...core.loss_curves import Curves, of_network
from ...core.progress import Progress, Steps
from ...features.graph import random_walk, shared_weight
from ...nn.multimodal import Encoded
from ...nn.sparse import Operator
from ..joint_input import Relinking
from .objective import Counts
from .params import MMSRLParams

__all__ = ["Training"]

_BLOCK = 2048
_NUMBER_PCS = 20
Float = NDArray[np.float32]


@dataclass
class Training(ABC):
    """The pieces that all replicates share, and what they have produced so far.

    Attributes
    ----------
    inputs
        (n_spots, d) float32 of each modality.
    scales
        (n_modalities,) float32 factors that the inputs were multiplied by.
    walk
        (n_spots, n_spots) CSR, averaging over the neighbourhood.
    graph
        (n_spots, n_spots) CSR, symmetric links.
    counts
        What the decoder explains.
    batches
        (n_spots,) section of each spot, where several were joined; else all 0.
    weight
        Independent observations that a spot is worth.
    params
        Network and optimiser.
    device
        Where to compute.
    foreign
        Whether the networks were trained before, on other sections.
    relinking
        When links across sections are found anew; later networks keep what the first one found.
    models, encoded
        Trained networks, and what they say of all spots.
    history
        Loss curves; of the second replicate on, names end in its number.
    numbers
        Numbers of domains found at each refresh of the pseudo-labels.
    curve
        Number of domains -> tempered BIC, after `choose_number`.
    """

    inputs: Sequence[Float]
    scales: Float
    walk: sp.csr_matrix
    graph: sp.csr_matrix
    counts: Counts
    batches: NDArray[np.intp]
    weight: float
    params: MMSRLParams
    device: torch.device
    foreign: bool = False
    relinking: Relinking | None = None
    models: list[Any] = field(default_factory=list)
    encoded: list[Encoded] = field(default_factory=list)
    history: Curves = field(default_factory=dict)
    numbers: list[int] = field(default_factory=list)
    curve: dict[int, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.operator = Operator.of(self.walk, self.device)
        self.tensors = [torch.from_numpy(x).to(self.device) for x in self.inputs]

    @functools.cached_property
    def smooth(self) -> list[Tensor]:
        """Each modality after two steps of the walk, (n_spots, d) float32."""
        smooth = (self.walk @ (self.walk @ x) for x in self.inputs)
        return [torch.from_numpy(np.float32(x)).to(self.device) for x in smooth]

    @property
    @abstractmethod
    def form(self) -> str:
        """How spots attend to one another: ``exact``, ``landmarks`` or ``none``."""

    @abstractmethod
    def replicate(self, i: int) -> Steps[None]:
        """Train network ``i``."""

    @abstractmethod
    def encode(self, model: Any) -> Encoded:
        """What ``model`` says of all spots in evaluation mode, nothing hidden."""

    @abstractmethod
    def attention_features(self) -> list[Tensor]:
        """Per modality (n_spots, width), whose inner products are the first network's logits."""

    @abstractmethod
    def mean(self, model: Any, z: Tensor, rows: NDArray[np.intp]) -> Tensor:
        """Mean of the selected genes, (m, n_selected), from embeddings (m, width) of ``rows``."""

    @abstractmethod
    def in_unit(self, mean: Float, rows: NDArray[np.intp]) -> Float:
        """``mean`` as counts or as log1p values, whichever ``enhanced_as`` names."""

    def smoothed(self) -> Float:
        """(n_spots, d) inputs of all modalities after two steps of the walk."""
        return torch.cat(self.smooth, dim=1).cpu().numpy()

    def choose_number(self) -> Steps[None]:
        """Number of domains by the tempered BIC of the smoothed inputs.

        There the weight of a spot is what the walk makes it; a trained embedding is sharper.
        """
        seed, weight = self.params.seed, min(1.0, self.params.granularity * self.weight)
        points = reduce(self.smoothed(), _NUMBER_PCS, seed=seed)
        _, self.curve = yield from tempered_bic_steps(points, weight, seed=seed)

    def finish_decoder(self, i: int) -> Steps[None]:  # noqa: ARG002
        """Nothing, where the decoder is trained as long as the rest."""
        yield from ()

    def answer(self, models: Sequence[Any]) -> Steps[None]:
        """Embed with networks that were trained before.

        Links by expression follow the first network, if they did while it was trained.
        """
        for done, model in enumerate(models):
            there = model.to(self.device)
            how = self.relinking
            if not done and how is not None and how.happens(self.params.epochs):
                self.relink(there, how)
            self.add(there)
            yield Progress(done + 1, len(models), "embedding")

    def relink(self, model: Any, how: Relinking) -> None:
        """Find links across sections anew in what ``model`` says now; its landmarks stay."""
        self.graph = how.make(self.graph, self.encode(model).embedding.cpu().numpy())
        self.walk = random_walk(self.graph)
        self.weight = shared_weight(self.walk)
        self.operator = Operator.of(self.walk, self.device)
        # Of the graph that was.
        for name in ("links", "smooth"):
            self.__dict__.pop(name, None)

    def add(self, model: Any) -> None:
        """Keep a trained network and what it says."""
        self.models.append(model.eval())
        self.encoded.append(self.encode(model))

    def keep_curves(self, i: int, curves: Curves) -> None:
        """Add the losses of network ``i`` to the history."""
        self.history |= of_network(curves, i)

    @torch.no_grad()
    def blocks(self) -> Iterator[Float]:
        """Enhanced values of the selected genes, a block of spots at a time."""
        for start in range(0, len(self.batches), _BLOCK):
            rows = np.arange(start, min(start + _BLOCK, len(self.batches)))
            total = torch.zeros((), device=self.device)
            for model, out in zip(self.models, self.encoded, strict=True):
                z = out.embedding[start : start + len(rows)]
                total = total + self.mean(model, z, rows)
            mean = np.asarray((total / len(self.models)).cpu().numpy(), dtype=np.float32)
            if self.params.enhanced_as == "row_max":
                yield mean / np.maximum(mean.max(axis=1, keepdims=True), np.float32(1e-30))
            else:
                yield self.in_unit(mean, rows)
