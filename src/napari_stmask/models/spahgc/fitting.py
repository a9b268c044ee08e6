"""From references to a trained state: panel, scale, graphs, networks, head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from ...analysis.ridge import Ridge, ridge_steps
from ...core.errors import DataError
from ...core.progress import Progress, Steps
from ...core.section import Section
from ...features.gene_scale import GeneScale, log_expression
from ...features.regions import spatial_pieces
from ...nn.device import choose_device
from ...nn.heterogeneous import HeteroNet
from .graph import Pool, look_around
from .head import Head, fit_head, parts_of
from .inputs import Side, Standard, panel_of, raw_features, side_of
from .params import SpaHGCParams
from .state import SpaHGCState
from .training import Task, Tensors, batches_of, predict_steps, train_net, whole_batch

__all__ = ["fit_state"]

Float = NDArray[np.float32]
_PIECES = 2
"""A single section, or patient, is cut into so many pieces that learn from one another."""
_WORTHLESS = 0.1
"""Mean correlation with spots left out below which a warning is due."""
_GAP = 2.0
"""Distance of the pieces, in pitches: spots side by side are too alike to learn from."""


def fit_state(
    sections: Sequence[Section], groups: Sequence[int], params: SpaHGCParams
) -> Steps[SpaHGCState]:
    """Train on measured sections.

    Parameters
    ----------
    sections
        References with counts and an image or finished features.
    groups
        Code of the patient of each, or of itself.
    params
        Settings.
    """
    notes: list[str] = []
    device = choose_device(params.device)
    genes = yield from panel_of(sections, params)
    if params.panel != "list" and len(genes) < params.n_genes:
        notes.append(f"Only {len(genes)} genes are seen often enough, not {params.n_genes}.")
    raw = []
    for section in sections:
        found = yield from raw_features(section, params)
        raw.append(found)
        if found.shape[1] != raw[0].shape[1]:
            raise DataError(
                f"{section.where}: its image features have {found.shape[1]} columns, those of "
                f"{sections[0].where} {raw[0].shape[1]}",
                "give features of one encoder for all sections",
            )
    standard = Standard.of(raw, params)
    sides = []
    for i, (section, table) in enumerate(zip(sections, raw, strict=True)):
        expression = log_expression(section, genes, params.expression)
        side = yield from side_of(
            section, standard(table), expression, params, code=i, group=groups[i]
        )
        sides.append(side)
    released = params.mode == "release"
    scale = GeneScale.fit(
        params.expression,
        [side.expression for side in sides],
        unit="range" if released else "deviation",
    )
    learning = sides
    if len(set(groups)) == 1:
        learning = _pieces(sides)
        notes.append(
            "All references are one section or patient: pieces of it learnt from one another."
        )
    trained = yield from _Fitting(learning, scale, params, device).steps()
    expected = float(np.nan_to_num(trained.head.expected_pcc).mean())
    if not released and expected < _WORTHLESS:
        notes.append(
            f"Reference spots that were left out could not be predicted (mean correlation "
            f"{expected:.2f}): do not rely on what is predicted of the target."
        )
    return SpaHGCState(
        params,
        tuple(genes),
        scale,
        standard,
        tuple(sides),
        tuple(section.name for section in sections),
        tuple(str(name) for section in sections for name in section.adata.obs_names),
        trained.nets,
        trained.ridges,
        trained.head,
        trained.familiar,
        trained.history,
        tuple(notes),
    )


def _pieces(sides: Sequence[Side]) -> list[Side]:
    """Pieces of each section as groups of their own, with gaps between them."""
    out = []
    for side in sides:
        codes = spatial_pieces(side.coords, _PIECES, _GAP * side.pitch)
        out += [side.part(np.flatnonzero(codes == code), code) for code in range(_PIECES)]
    return [replace(side, section=i) for i, side in enumerate(out)]


@dataclass(frozen=True, eq=False)
class _Trained:
    nets: tuple[HeteroNet, ...]
    ridges: tuple[Ridge, ...]
    head: Head
    familiar: Float
    history: dict[str, list[float]]


class _Fitting:
    """Training on references that are on one scale."""

    def __init__(
        self, sides: Sequence[Side], scale: GeneScale, params: SpaHGCParams, device: torch.device
    ) -> None:
        self.sides, self.scale, self.params, self.device = sides, scale, params, device
        self.y = [scale.scaled(side.expression) for side in sides]
        self.pool = Pool.of(sides, self.y)
        self.released = params.mode == "release"
        self.n_nets = 1 if self.released else params.replicates
        self.parts = parts_of(sides, self.n_nets)
        self.near: list[Float] = []
        self.last: list[Float] = []

    def steps(self) -> Steps[_Trained]:
        tasks = yield from self._tasks()
        nets, history = [], {}
        for i in range(self.n_nets):
            net, curves = yield from train_net(
                tasks,
                self.params,
                i,
                self.device,
                without=None if self.released else i,
                total=self.n_nets,
            )
            nets.append(net)
            for name, values in curves.items():
                history[name if i == 0 else f"{name} {i + 1}"] = values
        familiar = np.percentile(np.concatenate(self.last), np.arange(101)).astype(np.float32)
        if self.released:
            head = Head.network_only(self.y[0].shape[1])
            return _Trained(tuple(net.cpu() for net in nets), (), head, familiar, history)
        ridges = yield from self._ridges()
        left_out = yield from self._left_out(tasks, nets, ridges[1:])
        head = fit_head(left_out, np.concatenate(self.y), calibrate=self.params.calibrate)
        return _Trained(tuple(net.cpu() for net in nets), ridges, head, familiar, history)

    def _tasks(self) -> Steps[list[Task]]:
        reference = torch.from_numpy(self.pool.features).to(self.device)
        expression = torch.from_numpy(self.pool.expression).to(self.device)
        out: list[Task] = []
        for side, y, part in zip(self.sides, self.y, self.parts, strict=True):
            around = yield from look_around(side, self.pool, self.params, target_group=side.group)
            self.near.append(around.near)
            self.last.append(around.last)
            tensors = Tensors(
                torch.from_numpy(side.features).to(self.device), reference, expression
            )
            yield Progress(len(out), len(self.sides), "preparing")
            out.append(
                Task(
                    tensors,
                    torch.from_numpy(y).to(self.device),
                    part,
                    whole_batch(around.data, self.device),
                    batches_of(around.data, side, self.params, self.device),
                )
            )
        return out

    def _ridges(self) -> Steps[tuple[Ridge, ...]]:
        """A regression on all spots, and one without each part, under the same penalty."""
        x, y = self.pool.features, self.pool.expression
        every = yield from ridge_steps(x, y, self.pool.group)
        part = np.concatenate(self.parts)
        out = [every]
        for i in range(self.n_nets):
            kept = part != i
            fitted = yield from ridge_steps(
                x[kept], y[kept], self.pool.group[kept], alphas=(every.alpha,)
            )
            out.append(fitted)
        return tuple(out)

    def _left_out(
        self, tasks: Sequence[Task], nets: Sequence[HeteroNet], ridges: Sequence[Ridge]
    ) -> Steps[list[Float]]:
        """What ridge, near references and networks say of the spots they were trained without."""
        linear, network = [], []
        for number, (side, task, part) in enumerate(
            zip(self.sides, tasks, self.parts, strict=True)
        ):
            linear.append(np.empty((len(side), len(self.scale.low)), dtype=np.float32))
            network.append(np.empty_like(linear[-1]))
            for i, (net, ridge) in enumerate(zip(nets, ridges, strict=True)):
                yield Progress(number, len(tasks), "combining")
                own = part == i
                if own.any():
                    said, _, _ = yield from predict_steps(net, task.tensors, task.whole)
                    network[-1][own] = said[own]
                    linear[-1][own] = ridge.predict(side.features[own])
        return [np.concatenate(linear), np.concatenate(self.near), np.concatenate(network)]
