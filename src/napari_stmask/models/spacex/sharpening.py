"""Module III of SpaCEX: discriminatively boosted clustering whose gradients reach the encoder."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ...core.memory import densify
from ...core.progress import Steps
from ...features.retrieval import retrieve
from ...nn.gene_autoencoder import GeneEncoder
from ...nn.loss_weights import LearnedWeights
from ...nn.self_training import sharpen
from ...nn.t_mixture import Prior, fit_mixture_steps, initial_mixture
from .modules import Kernel, Modules, in_order, prior_of, start_labels
from .params import SpaCEXParams
from .state import encode_steps

__all__ = ["Sharpening", "likeness_steps", "roughness", "size_term"]

_LONG, _SHORT = 100, 5
"""EM steps at the start and the end, and after each epoch."""
_SETTLED = 0.001
"""Share of genes that may still change module when training ends."""
_NEAREST = 15
_FADES_FROM, _FADES_OVER = 10, 3.0
"""Weight of likeness after t epochs: ``exp(-(t + 10) / 3)``."""


class Sharpening:
    """Modules that are fitted to vectors, and the losses that draw vectors to modules.

    Parameters
    ----------
    pictures
        (n_genes, n_occupied) float32.
    encoder
        Trained on them; trained on through `losses`.
    vectors
        (n_genes, width) float32 of all genes.
    n_modules
        At least 2.
    params
        Settings.
    device
        Where the encoder is; the mixture is fitted on the CPU, in float64.

    Attributes
    ----------
    trained
        What is trained beside the network: centres of the kernel, weights of the losses.
    vectors
        Those after the last epoch.
    settled
        Whether fewer than 0.1 % of the genes changed module in the last epoch.
    """

    def __init__(
        self,
        pictures: NDArray[np.float32],
        encoder: GeneEncoder,
        vectors: NDArray[np.float32],
        n_modules: int,
        params: SpaCEXParams,
        device: torch.device,
    ) -> None:
        self._pictures, self._encoder = torch.from_numpy(pictures), encoder
        self._params, self._device = params, device
        self.vectors, self.settled, self._epoch = vectors, False, 0
        self.trained = nn.ModuleDict()
        if params.loss_weights == "learned":
            self.trained["weights"] = LearnedWeights(2)
        self._like: sp.csr_matrix | None = None
        labels = torch.from_numpy(start_labels(vectors, n_modules, params.seed))
        self._start(labels, n_modules)
        self.trained.to(device)

    def _start(self, labels: Tensor, n_modules: int) -> None:
        z, params = torch.from_numpy(self.vectors), self._params
        self._prior: Prior | None = None
        self._centres: nn.Parameter | None = None
        if params.mixture == "t_mixture":
            self._prior = prior_of(z, labels, n_modules, params)
            self._mixture = initial_mixture(z, labels, n_modules, self._prior)
            return
        hard = nn.functional.one_hot(labels, n_modules).float()
        means = (hard.T @ z) / hard.sum(dim=0).clamp_min(1)[:, None]
        self._centres = nn.Parameter(means)
        self.trained["centres"] = nn.ParameterList([self._centres])

    def prepare(self) -> Steps[None]:
        """Fit the modules to the vectors, and make what the losses need of all genes."""
        yield from self._fit(_LONG)
        self._aim()
        if self._params.likeness_weight:
            self._like = yield from likeness_steps(self._pictures.numpy())

    @property
    def modules(self) -> Modules:
        """The modules as they are, on the CPU."""
        if self._centres is None:
            return self._mixture
        return Kernel(self._centres.detach().cpu(), torch.tensor(self._params.alpha))

    def losses(
        self, index: Tensor, redraw: Callable[[Tensor], Tensor]
    ) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Loss of the genes ``index`` and its terms; ``redraw`` gives that of the pictures.

        ``sharpness`` is KL(P || Q), the mean over genes, with Q from the vectors as they are, so
        that its gradient reaches the encoder; P are the sharpened memberships of all genes as
        the epoch began.
        """
        p, pictures = self._params, self._pictures[index].to(self._device)
        z = self._encoder(pictures)
        log_q = self._log_posterior(z)
        target = self._target[index].to(log_q)
        apart = (torch.xlogy(target, target) - target * log_q).sum(dim=1).mean()
        sharpness = apart.float().to(self._device)
        terms = {"reconstruction": redraw(pictures), "sharpness": sharpness}
        if p.loss_weights == "learned":
            both = [sharpness.clamp_min(0), terms["reconstruction"]]
            weighted: Tensor = self.trained["weights"](both)
            return weighted, terms
        loss = terms["reconstruction"] + p.cluster_weight * sharpness
        if p.size_weight:
            terms["sizes"] = size_term(log_q.exp()).float().to(self._device)
            loss = loss + p.size_weight * terms["sizes"]
        if self._like is not None:
            fading = math.exp(-(self._epoch + _FADES_FROM) / _FADES_OVER)
            terms["likeness"] = roughness(z, self._like, index)
            loss = loss + p.likeness_weight * fading * terms["likeness"]
        return loss, terms

    def renew(self, epoch: int) -> Steps[None]:
        """New vectors, modules and targets after an epoch."""
        before, self._epoch = self._labels, epoch
        pictures = self._pictures.numpy()
        self.vectors = yield from encode_steps(self._encoder, pictures, self._device)
        yield from self._fit(_SHORT)
        self._aim()
        self.settled = float((before != self._labels).float().mean()) < _SETTLED

    def finished(self) -> Steps[Modules]:
        """The modules that hold genes, fitted to the last vectors."""
        yield from self._fit(_LONG)
        self._aim()
        return in_order(self.modules, np.unique(self._labels.numpy()).astype(np.intp))

    def _fit(self, steps: int) -> Steps[None]:
        if self._prior is not None:
            z = torch.from_numpy(self.vectors)
            self._mixture = yield from fit_mixture_steps(self._mixture, z, self._prior, steps=steps)

    def _aim(self) -> None:
        """Targets and labels from the vectors and modules as they are."""
        with torch.no_grad():
            q = self.modules.log_posterior(torch.from_numpy(self.vectors)).exp()
        self._target, self._labels = sharpen(q), q.argmax(dim=1)

    def _log_posterior(self, z: Tensor) -> Tensor:
        """(n, K) logarithms for vectors on the device, with gradients to them.

        The mixture stays on the CPU: it needs float64, which some devices lack, and a batch of
        vectors is small.
        """
        if self._centres is None:
            return self._mixture.log_posterior(z.cpu())
        return Kernel(self._centres, torch.tensor(self._params.alpha)).log_posterior(z)


def size_term(q: Tensor) -> Tensor:
    """``sum_k f_k ln f_k`` of the mean memberships of (n, K) rows; least for equal sizes."""
    mean = q.mean(dim=0)
    return torch.xlogy(mean, mean).sum()


def likeness_steps(pictures: NDArray[np.float32]) -> Steps[sp.csr_matrix]:
    """(n_genes, n_genes) float32 symmetric links of each gene to the 15 most alike pictures.

    Weights are Pearson correlations; negative ones are left out.
    """
    n = len(pictures)
    centred = pictures - pictures.mean(axis=1, keepdims=True)
    found = yield from retrieve(centred, centred, min(_NEAREST + 1, n))
    row = np.repeat(np.arange(n), found.index.shape[1])
    kept = (row != found.index.ravel()) & (found.similarity.ravel() > 0)
    pairs = (row[kept], found.index.ravel()[kept])
    links = sp.csr_matrix((found.similarity.ravel()[kept], pairs), (n, n), dtype=np.float32)
    return links.maximum(links.T).tocsr()


def roughness(z: Tensor, links: sp.csr_matrix, index: Tensor) -> Tensor:
    """``tr(Z' L Z) / n`` of the genes ``index``, with L the normalised Laplacian of their links.

    ``L = sign(D) - D^(-1/2) A D^(-1/2)`` as in the release's history; a gene without links among
    the others costs nothing.
    """
    rows = index.cpu().numpy()
    block = densify(links[rows][:, rows], what="the links of a batch of genes")
    a = torch.from_numpy(block).to(z)
    degree = a.sum(dim=1)
    scaled = z * torch.where(degree > 0, degree.clamp_min(1e-12).rsqrt(), 0.0)[:, None]
    own = (z.square().sum(dim=1) * (degree > 0)).sum()
    return (own - (scaled * (a @ scaled)).sum()) / len(z)
