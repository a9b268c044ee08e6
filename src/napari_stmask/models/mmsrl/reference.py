"""The released form of MMSRL: its network, its losses, full batches of all spots and genes.

What the release does wrong by accident is not repeated: it returns the epoch that agrees best
with the annotation, and a training pass with dropout and mask; here it is the last epoch, and a
pass in evaluation mode. The losses over all pairs of spots are the released ones, computed
without the pairs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ...core.joint import Joint
from ...core.memory import densify
from ...core.progress import Steps
from ...core.section import Section
from ...features.expression import log_normalise
from ...nn.losses import scaled_cosine_error
from ...nn.masking import sample_nodes
from ...nn.multimodal import Encoded
from ...nn.multimodal_reference import Draws, ReferenceDecoder, ReferenceNet
from ...nn.pair_losses import adjacency_loss, consistency_loss
from ...nn.sparse import Operator
from ...nn.train import Optimisation, train
from ...nn.zinb import zinb_loss
from .common import Training
from .objective import Shares
from .params import RELEASED_IGNORES, MMSRLParams

__all__ = [
    "ReferenceModel",
    "ReferenceObjective",
    "ReferenceTraining",
    "log_values",
    "notes_of",
    "reference_model_from",
]

_RIDGE = 1.0
_MASK_POWER = 3.0
_MOST_COUNTS = 1e6
Float = NDArray[np.float32]


class ReferenceModel(nn.Module):
    """Network and decoder that are trained together."""

    def __init__(self, widths: Sequence[int], hidden: int, generator: torch.Generator) -> None:
        super().__init__()
        self.net = ReferenceNet(widths, hidden, generator=generator)
        self.decoder = ReferenceDecoder(widths[0], generator=generator)


@dataclass
class ReferenceObjective:
    """What every step of one training shares.

    Attributes
    ----------
    x
        (n_spots, n_genes) log values.
    smooth
        (n_spots, d) of each modality, averaged twice over the neighbourhood.
    walk
        The averaging.
    adjacency
        Row, column and value of its entries.
    weights
        Of the terms; a term of weight 0 is not computed.
    mask_rate
        Share of spots to whose expression the token is added.
    dropout
        Share dropped in the attention and in the shared layer.
    """

    x: Tensor
    smooth: Sequence[Tensor]
    walk: Operator
    adjacency: tuple[Tensor, Tensor, Tensor]
    weights: Shares
    mask_rate: float
    dropout: float = 0.1

    def losses(
        self, model: ReferenceModel, rng: np.random.Generator, generator: torch.Generator
    ) -> tuple[Tensor, Mapping[str, Tensor]]:
        """The loss of one step over the whole section, and its terms before weighting."""
        x, w = self.x, self.weights
        masked = torch.from_numpy(sample_nodes(len(x), self.mask_rate, rng)).to(x.device)
        mark = x.new_zeros(len(x), 1).index_fill(0, masked, 1.0)
        seeds = [int(rng.integers(2**60)) for _ in self.smooth]
        draws = Draws(generator, seeds, self.dropout) if self.dropout else None
        out: Encoded = model.net(self.smooth, self.walk @ (self.walk @ mark), draws)
        hidden, mean, dispersion, dropout = model.decoder(out.embedding)
        terms: dict[str, Tensor] = {}
        if w.zinb:
            terms["zinb"] = zinb_loss(x, mean, dispersion, dropout, ridge=_RIDGE)
        if w.consistency and len(self.smooth) > 1:
            terms["consistency"] = consistency_loss(*out.shared)
        if w.mask and len(masked):
            target = x[masked] + model.net.token
            terms["mask"] = scaled_cosine_error(target, hidden[masked], _MASK_POWER)
        if w.edge:
            terms["edge"] = adjacency_loss(out.embedding, *self.adjacency)
        total = sum((getattr(w, name) * term for name, term in terms.items()), x.new_zeros(()))
        return total, {"loss": total, **terms}


@dataclass
class ReferenceTraining(Training):
    """Training of the released form."""

    @property
    def form(self) -> str:
        """All spots attend to all spots."""
        return "exact"

    def replicate(self, i: int) -> Steps[None]:
        """Train network ``i``."""
        p = self.params
        rng = np.random.default_rng([p.seed, i])
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        widths = [x.shape[1] for x in self.inputs]
        model = ReferenceModel(widths, first_width(p, widths[0]), generator).to(self.device)
        objective = self.objective()
        curves = yield from train(
            model,
            lambda _: (None,),
            lambda _: objective.losses(model, rng, generator),
            Optimisation(p.epochs, p.learning_rate, p.weight_decay, p.clip),
            offset=i * p.epochs,
            total=p.replicates * p.epochs,
        )
        self.keep_curves(i, curves)
        self.add(model)
        self._calibrate(model)

    @torch.no_grad()
    def _calibrate(self, model: ReferenceModel) -> None:
        """Set the decoder's normalisation to the final embedding; its running mean lags behind."""
        norm = model.decoder.norm
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean, here over one pass
        model.decoder.train()(self.encoded[-1].embedding)
        model.eval()

    def objective(self) -> ReferenceObjective:
        """The losses of this section."""
        p, links = self.params, self.walk.tocoo()
        row, column = (
            torch.from_numpy(v.astype(np.int64)).to(self.device) for v in (links.row, links.col)
        )
        return ReferenceObjective(
            self.tensors[0],
            self.smooth,
            self.operator,
            (row, column, torch.from_numpy(np.float32(links.data)).to(self.device)),
            Shares(p.loss_zinb, p.loss_consistency, p.loss_mask, p.loss_edge, 0.0),
            p.node_mask_rate,
        )

    @torch.no_grad()
    def encode(self, model: ReferenceModel) -> Encoded:
        """What ``model`` says of all spots, no token and no dropout."""
        out: Encoded = model.eval().net(self.smooth)
        return out

    def attention_features(self) -> list[Tensor]:
        """The encoders' answers times the root of the scale, (n_spots, n_genes) per modality."""
        root = self.models[0].net.scale ** 0.5
        return [e * root for e in self.encoded[0].encoded]

    def mean(self, model: ReferenceModel, z: Tensor, rows: NDArray[np.intp]) -> Tensor:  # noqa: ARG002
        """Mean of the log values, (m, n_genes)."""
        _, mean, _, dropout = model.decoder(z)
        out: Tensor = mean * (1 - dropout) if self.params.enhanced_zeros else mean
        return out

    def in_unit(self, mean: Float, rows: NDArray[np.intp]) -> Float:
        """The log values as they are, of the median spot's depth; or counts of the spot's own."""
        if self.params.enhanced_as != "counts":
            return mean
        most = np.float32(np.log1p(_MOST_COUNTS))
        return np.expm1(np.minimum(mean, most)) * self.counts.size[rows, None]


def first_width(params: MMSRLParams, n_genes: int) -> int:
    """Units of the encoders' first layer: more than there are genes would add nothing."""
    return min(params.hidden, n_genes)


def log_values(section: Section, genes: NDArray[np.intp], median: float) -> Float:
    """(n_spots, n_selected) ``log1p`` of the counts over the spot's depth relative to ``median``.

    Raises
    ------
    ResourceError
        If the table would be too large.
    """
    counts = section.counts()
    totals = np.asarray(counts.sum(axis=1)).ravel()
    values = log_normalise(counts[:, genes], totals, target=median)
    return densify(values, what="the table of variable genes")


def notes_of(params: MMSRLParams, n_genes: int, joint: Joint | None = None) -> list[str]:
    """What was asked for and does not count in this form, one sentence each."""
    base = MMSRLParams()
    unused = [name for name in RELEASED_IGNORES if getattr(params, name) != getattr(base, name)]
    # The preset switches the contrast off, which is what this form does anyway.
    if not params.loss_contrast and "loss_contrast" in unused:
        unused.remove("loss_contrast")
    if params.attention in ("landmarks", "none"):
        unused.insert(0, "attention")
    if joint is not None and joint.settings is not None:
        unused += ["standardise"] * joint.per_section
        unused += ["refresh"] * (joint.settings.linked_by == "expression")
    notes = []
    if unused:
        notes.append(f"The released mathematics do not use {', '.join(unused)}.")
    if params.hidden > n_genes:
        notes.append(f"The first layer has {n_genes} units, as many as there are genes.")
    return notes


def reference_model_from(tensors: Mapping[str, Tensor], n_genes: int) -> ReferenceModel:
    """A network from its tensors, in evaluation mode."""
    n = sum(name.endswith(".w1") for name in tensors)
    sizes = [tuple(tensors[f"net.encoders.{i}.w1"].shape) for i in range(n)]
    if sizes[0][0] != n_genes:
        raise ValueError("the network is not as wide as there are genes")
    model = ReferenceModel([d for d, _ in sizes], sizes[0][1], torch.Generator())
    model.load_state_dict(dict(tensors))
    return model.eval()
