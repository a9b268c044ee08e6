"""The spot transformer as an encoder: expression as the patches alone predict it.

Each part of the tissue is predicted by a network that never saw its expression (cross-fitting
over spatial folds); read out on the spots that it was fitted to, a network of this size repeats
their expression whatever the image shows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import scipy.sparse as sp
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from torch import Tensor, nn

from ...core.errors import DataError
from ...core.progress import Progress, Steps
from ...core.section import Section
from ...features.expression import scaled
from ...features.image_features import check_inside
from ...features.patches import Patches, patch_side
from ...nn.device import choose_device
from ...nn.spot_transformer import PATCH_PIXELS, SpotTransformer
from ...nn.tiles import split_into_tiles
from ...nn.train import Optimisation, train
from ..expression_input import Prepared, normalised
from ..trained_state import TrainedState
from .params import ViMSTParams

__all__ = [
    "FOLDS",
    "Predicted",
    "add_nets",
    "gene_r2",
    "predict",
    "predict_expression",
    "predict_with",
    "section_patches",
    "spatial_folds",
]

FOLDS = 5
"""Parts of the tissue that the spot transformer is cross-fitted over."""
GROUP_SPOTS = 256
"""Spots that attend to each other at most: compact groups of the section."""
_BLOCK = 512
Float = NDArray[np.float32]
Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Predicted:
    """What the transformers say.

    Attributes
    ----------
    values
        (n_spots, d) float32 prediction of the network's input; out of fold with cross-fitting.
    r2
        (d,) share of the variance that is explained, at most 1; below 0 is worse than the mean.
    nets
        One per fold, or a single one; they answer in the units of the target.
    folds
        (n_spots,) number of the network whose answer counts for each spot.
    """

    values: Float
    r2: NDArray[np.float64]
    nets: tuple[SpotTransformer, ...]
    folds: NDArray[np.intp]

    def weights(self, cross_fit: bool) -> Float:
        """(d,) float32 by which components enter: what was predicted out of fold, at least 0.

        What cannot be predicted is noise in the image branch. Without cross-fitting the score
        says nothing, and all components count 1.
        """
        if not cross_fit:
            return np.ones(len(self.r2), dtype=np.float32)
        return np.maximum(self.r2, 0).astype(np.float32)


def section_patches(
    section: Section, params: ViMSTParams
) -> Steps[tuple[Pixels, NDArray[np.bool_]]]:
    """Patches of all spots, 3 KB each, and which spots the image does not show.

    Returns
    -------
    pixels
        (n_spots, 32, 32, 3) uint8.
    outside
        (n_spots,) True for spots whose centre lies outside the image.

    Raises
    ------
    DataError
        If there is no image, or most spots lie outside it.
    """
    if section.image is None:
        raise DataError(
            f"{section.where}: the spot transformer needs a histology image",
            "read the section with image=PATH, or choose another image encoder",
        )
    side = patch_side(section, params.patch_size, params.patch_unit)
    patches = Patches(
        section.image, section.coords, side=side, pixels=PATCH_PIXELS, stain=params.stain
    )
    check_inside(section, patches)
    out = np.empty((len(patches), PATCH_PIXELS, PATCH_PIXELS, 3), dtype=np.uint8)
    done = 0
    for index, block in patches.blocks(_BLOCK):
        out[index] = block
        done += len(index)
        yield Progress(done, len(patches), "reading patches")
    return out, patches.outside


def spatial_folds(coords: NDArray[np.float64], n: int, seed: int) -> NDArray[np.intp]:
    """(n_spots,) number of the compact part of the tissue that each spot is in, of ``n``."""
    model = KMeans(min(n, len(coords)), n_init=4, random_state=seed).fit(coords)
    return np.asarray(model.labels_, dtype=np.intp)


def predict_expression(
    section: Section, target: Float, params: ViMSTParams, device: torch.device
) -> Steps[Predicted]:
    """Train on the section's patches and predict ``target``.

    Parameters
    ----------
    section
        With a histology image.
    target
        (n_spots, d) float32: principal components of expression. Distances between rows are
        those between the genes, so their squared error is that of the genes.
    params
        Patches, epochs, seed and whether to cross-fit.
    device
        Where to train.

    Raises
    ------
    DataError
        If there is no image, most spots lie outside it, or the tissue has no parts to
        cross-fit over.
    """
    pixels, outside = yield from section_patches(section, params)
    centre = target.mean(axis=0)
    # One scale for all: the leading components stay the important ones.
    scale = max(float(np.sqrt(((target - centre) ** 2).mean())), 1e-12)
    y = (target - centre) / scale
    groups = _groups(section.coords)
    folds = np.zeros(len(y), dtype=np.intp)
    if params.cross_fit:
        folds = spatial_folds(section.coords, FOLDS, params.seed)
    n_folds = int(folds.max()) + 1
    nets, predictions = [], []
    for fold in range(n_folds):
        seen = ((folds != fold) | (not params.cross_fit)) & ~outside
        if not seen.any():
            raise DataError(
                f"{section.where}: its tissue cannot be divided into parts to cross-fit over",
                "check the positions and the image, or choose another image encoder",
            )
        net = yield from _fitted(pixels, y, groups, seen, params, device, (fold, n_folds))
        nets.append(_in_units(net, scale, centre))
        predictions.append(predict(net, pixels, section.coords, device))
        net.cpu()
    values = _chosen(predictions, folds, outside)
    rest = ((target - values) ** 2).sum(axis=0, dtype=np.float64)
    total = ((target - centre) ** 2).sum(axis=0, dtype=np.float64)
    return Predicted(values, 1 - rest / np.maximum(total, 1e-12), tuple(nets), folds)


@torch.no_grad()
def _in_units(net: SpotTransformer, scale: float, centre: Float) -> SpotTransformer:
    """``net`` with the scaling of its target undone in its last layer."""
    last = cast("nn.Linear", net.head[-1])
    last.weight.mul_(scale)
    last.bias.mul_(scale).add_(torch.from_numpy(centre).to(last.bias))
    return net


def _chosen(
    predictions: Sequence[Float], folds: NDArray[np.intp], outside: NDArray[np.bool_]
) -> Float:
    """Of each spot the prediction of its fold; outside of the image the mean of the others."""
    values = predictions[0].copy()
    for fold, predicted in enumerate(predictions):
        values[folds == fold] = predicted[folds == fold]
    values[outside] = values[~outside].mean(axis=0)
    return values


def _groups(coords: NDArray[np.float64]) -> list[NDArray[np.int64]]:
    nothing = sp.csr_matrix((len(coords), len(coords)), dtype=np.float32)
    return [t.index for t in split_into_tiles(coords, nothing, size=GROUP_SPOTS, hops=0)]


def _tensor(pixels: Pixels, device: torch.device) -> Tensor:
    """(n, 3, 32, 32) float32, each colour centred and scaled by fixed amounts."""
    x = torch.from_numpy(pixels).to(device, torch.float32)
    return (x / 127.5 - 1.0).permute(0, 3, 1, 2).contiguous()


def _fitted(
    pixels: Pixels,
    y: Float,
    groups: Sequence[NDArray[np.int64]],
    seen: NDArray[np.bool_],
    params: ViMSTParams,
    device: torch.device,
    fold: tuple[int, int],
) -> Steps[SpotTransformer]:
    """A network trained on the expression of the spots that are ``seen``, patches of all."""
    rng = np.random.default_rng([params.seed, fold[0]])
    net = SpotTransformer(y.shape[1], seed=int(rng.integers(2**62))).to(device)
    used = [group for group in groups if seen[group].any()]

    def batches(_: int) -> Iterator[NDArray[np.int64]]:
        return (used[i] for i in rng.permutation(len(used)))

    def losses(group: NDArray[np.int64]) -> tuple[Tensor, Mapping[str, Tensor]]:
        rows = np.flatnonzero(seen[group])
        # A patch has no up or left: mirrored and turned ones are as good.
        turned = np.rot90(pixels[group], int(rng.integers(4)), axes=(1, 2))
        if rng.random() < 0.5:
            turned = turned[:, :, ::-1]
        answer = net(_tensor(np.ascontiguousarray(turned), device))[torch.from_numpy(rows)]
        loss = F.mse_loss(answer, torch.from_numpy(y[group[rows]]).to(device))
        return loss, {"prediction": loss}

    epochs = params.transformer_epochs
    yield from train(
        net,
        batches,
        losses,
        Optimisation(epochs, lr=1e-3, weight_decay=1e-4, clip=1.0),
        label="spot transformer",
        offset=fold[0] * epochs,
        total=fold[1] * epochs,
    )
    return net.eval()


def gene_r2(
    section: Section, prepared: Prepared, predicted: Float, params: ViMSTParams
) -> NDArray[np.float32]:
    """How much of each gene's variance the image predicts.

    Parameters
    ----------
    section, prepared
        The section and the network's input.
    predicted
        (n_spots, d) prediction of that input.

    Returns
    -------
    numpy.ndarray
        (n_genes,) float32: 1 - residual over total sum of squares of the scaled, normalised
        values; NaN for genes that were not selected.
    """
    values = normalised(section, prepared.genes, params)
    values = scaled(values, prepared.scale, prepared.ceiling).tocsc()
    out = np.full(section.n_genes, np.nan, dtype=np.float32)
    mean = np.asarray(values.mean(axis=0)).ravel()
    total = np.asarray(values.power(2).sum(axis=0)).ravel() - len(predicted) * mean**2
    for start in range(0, len(prepared.genes), _BLOCK):
        part = slice(start, start + _BLOCK)
        guess = prepared.to_scaled(predicted, part)
        own = values[:, part]
        crossed = np.asarray(own.multiply(guess).sum(axis=0)).ravel()
        squares = np.asarray(own.power(2).sum(axis=0)).ravel()
        rest = squares - 2 * crossed + (guess**2).sum(axis=0)
        out[prepared.genes[part]] = 1 - rest / np.maximum(total[part], 1e-12)
    return out


def add_nets(
    state: TrainedState, predicted: Predicted, weights: Float, coords: NDArray[np.float64]
) -> TrainedState:
    """The state with the transformers among its arrays, and who must not answer for which spot."""
    arrays = {
        f"transformer{i}.{name}": value.detach().cpu().numpy()
        for i, net in enumerate(predicted.nets)
        for name, value in net.state_dict().items()
    }
    own = {
        "folds": predicted.folds.astype(np.float32),
        "folds_coords": coords.astype(np.float32),
        "weights": weights,
    }
    return replace(state, arrays={**state.arrays, **arrays, **own})


def predict_with(state: TrainedState, section: Section, params: ViMSTParams) -> Steps[Float]:
    """(n_spots, d) prediction of a saved model's transformers, with its weights.

    For another section the mean of all; for the one of the training, known by its positions,
    each part is predicted by the network that never saw it, as in the training.
    """
    pixels, outside = yield from section_patches(section, params)
    device = choose_device(params.device)
    found: list[Float] = []
    while own := {
        name.partition(".")[2]: torch.from_numpy(value)
        for name, value in state.arrays.items()
        if name.startswith(f"transformer{len(found)}.")
    }:
        net = SpotTransformer(len(own["head.1.bias"]))
        net.load_state_dict(own)
        found.append(predict(net, pixels, section.coords, device))
        yield Progress(len(found), FOLDS, "spot transformer")
    if np.array_equal(state.arrays["folds_coords"], section.coords.astype(np.float32)):
        return state.arrays["weights"] * _chosen(
            found, state.arrays["folds"].astype(np.intp), outside
        )
    mean: Float = np.mean(found, axis=0, dtype=np.float32)
    mean[outside] = mean[~outside].mean(axis=0)
    return state.arrays["weights"] * mean


@torch.no_grad()
def predict(
    net: SpotTransformer, pixels: Pixels, coords: NDArray[np.float64], device: torch.device
) -> Float:
    """(n_spots, d) float32 prediction, in the units of the network."""
    net = net.to(device).eval()
    out = None
    for group in _groups(coords):
        answer = net(_tensor(pixels[group], device)).cpu().numpy()
        if out is None:
            out = np.zeros((len(pixels), answer.shape[1]), dtype=np.float32)
        out[group] = answer
    assert out is not None
    return out
