"""A trained SpaHGC as a file of plain tensors: networks, head and the references themselves."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

from ...analysis.prediction_baselines import References
from ...analysis.ridge import Ridge
from ...core.errors import DataError, ParameterError
from ...features.gene_scale import GeneScale
from ...features.image_features import zscored
from ...nn.heterogeneous import HeteroNet
from ..model_file import load_model
from .graph import Pool
from .head import PARTS, Head
from .inputs import Side, Standard
from .params import FREE, SpaHGCParams
from .training import new_net

__all__ = ["SpaHGCState"]

_FORMAT = "napari-stmask/spahgc/1"
_HEAD = ("weights", "slope", "level", "expected_pcc", "expected_error")
Float = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class SpaHGCState:
    """Everything that a prediction needs but the target's image.

    Attributes
    ----------
    params
        Settings of the training.
    genes
        Names of the panel, sorted.
    scale
        Log units to the network's.
    standard
        Raw features to the common scale.
    sides
        The references, with features on the common scale and expression in log units.
    sections, spots
        Name of each section, and of each reference spot.
    nets
        Trained networks, in evaluation mode.
    ridges
        The regression on all references, then one for each network without its part; none in
        the released form.
    head
        How they are combined.
    familiar
        (101,) float32 percentiles, over the reference spots, of the similarity to the last one
        that each is linked to.
    history, notes
        Loss curves; what had to be decided.
    """

    params: SpaHGCParams
    genes: tuple[str, ...]
    scale: GeneScale
    standard: Standard
    sides: tuple[Side, ...]
    sections: tuple[str, ...]
    spots: tuple[str, ...]
    nets: tuple[HeteroNet, ...]
    ridges: tuple[Ridge, ...]
    head: Head
    familiar: Float
    history: Mapping[str, list[float]]
    notes: tuple[str, ...]

    def pool(self) -> Pool:
        """The references, expression in the units of the network."""
        return Pool.of(self.sides, [self.scale.scaled(side.expression) for side in self.sides])

    def reference_table(self) -> pd.DataFrame:
        """Section, spot, x and y of each row of the pool."""
        coords = np.concatenate([side.coords for side in self.sides])
        names = np.repeat(self.sections, [len(side) for side in self.sides])
        return pd.DataFrame(
            {"section": names, "spot": self.spots, "x": coords[:, 0], "y": coords[:, 1]}
        )

    def own_features(self, features: Float) -> Float:
        """(n, d) float32 features of the spots themselves, standardised, as baselines take them.

        Without the neighbours' mean that the improved form puts beside them; those of the
        released form, which are raw, are standardised over the spots given.
        """
        if self.params.mode == "release":
            return zscored(features)
        return np.ascontiguousarray(features[:, : features.shape[1] // 2])

    def baseline_references(self) -> References:
        """The references as `analysis.prediction_baselines` takes them, genes in log units."""
        return References(
            [self.own_features(side.features) for side in self.sides],
            [side.coords for side in self.sides],
            [side.expression for side in self.sides],
            [side.group for side in self.sides],
        )

    def check(self, params: SpaHGCParams | None, genes: Sequence[str] | None = None) -> None:
        """Refuse to predict with other settings or other genes than those of the training.

        Raises
        ------
        ParameterError
            If ``params`` differ in what was settled by the training, such as the encoder.
        DataError
            If ``genes`` are others, or in another order.
        """
        own = self.params
        for name in (name for name in SpaHGCParams.model_fields if name not in FREE):
            asked = getattr(own if params is None else params, name)
            if asked != getattr(own, name):
                raise ParameterError(
                    f"the model was trained with {name} = {getattr(own, name)!r}, not {asked!r}",
                    "use the model's, or train a new one",
                )
        if genes is not None and tuple(genes) != self.genes:
            raise DataError(
                f"the model predicts {len(self.genes)} genes in an order of its own, not the "
                f"{len(genes)} given",
                "use the model's genes in its order, or train a new one",
            )

    def settings(self, params: SpaHGCParams) -> SpaHGCParams:
        """The training's settings, with those of ``params`` that a prediction may change."""
        free = params.model_dump(include=set(FREE))
        return SpaHGCParams(**(self.params.model_dump() | free))

    def check_width(self, width: int, where: str) -> None:
        """Refuse raw features of another number than in the training.

        Raises
        ------
        DataError
            If they are more or fewer.
        """
        improved = self.params.mode == "improved"
        own = self.sides[0].features.shape[1] // (2 if improved else 1)
        if width != own:
            raise DataError(
                f"{where}: its image features have {width} columns, those of the model {own}",
                f"use the model's encoder, {self.params.image_encoder}",
            )

    def save(self, path: str | Path) -> None:
        """Write the state to ``path`` (safetensors)."""
        arrays: dict[str, NDArray[Any]] = {
            "scale.low": self.scale.low,
            "scale.high": self.scale.high,
            "familiar": self.familiar,
        }
        arrays |= {f"head.{name}": getattr(self.head, name) for name in _HEAD}
        if self.standard.mean is not None and self.standard.scale is not None:
            arrays |= {"standard.mean": self.standard.mean, "standard.scale": self.standard.scale}
        for i, ridge in enumerate(self.ridges):
            arrays |= {
                f"ridge{i}.weights": ridge.weights,
                f"ridge{i}.centre": ridge.centre,
                f"ridge{i}.intercept": ridge.intercept,
            }
        for i, side in enumerate(self.sides):
            arrays |= {
                f"side{i}.coords": side.coords,
                f"side{i}.features": side.features,
                f"side{i}.expression": side.expression,
            }
        tensors = {k: torch.from_numpy(np.ascontiguousarray(v)) for k, v in arrays.items()}
        for i, net in enumerate(self.nets):
            for name, value in net.state_dict().items():
                tensors[f"net{i}.{name}"] = value.detach().cpu().contiguous()
        facts = {
            "genes": self.genes,
            "sections": self.sections,
            "spots": self.spots,
            "sides": [[s.section, s.group, s.pitch] for s in self.sides],
            "alphas": [ridge.alpha for ridge in self.ridges],
            "history": dict(self.history),
            "notes": self.notes,
        }
        meta = {
            "format": _FORMAT,
            "params": self.params.model_dump_json(),
            "facts": json.dumps(facts),
        }
        save_file(tensors, Path(path), metadata=meta)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a state that `save` wrote.

        Raises
        ------
        MissingFileError
            If there is no such file.
        FileFormatError
            If it is not a SpaHGC model.
        """
        return load_model(path, _FORMAT, cls._of, title="SpaHGC")

    @classmethod
    def _of(cls, meta: Mapping[str, str], tensors: dict[str, torch.Tensor]) -> Self:
        params = SpaHGCParams.model_validate_json(meta["params"])
        facts = json.loads(meta["facts"])
        own = {k: v.numpy() for k, v in tensors.items() if not k.startswith("net")}
        genes = tuple(map(str, facts["genes"]))
        _check_tables(own, params, facts, len(genes))
        sides = tuple(
            Side(
                int(section),
                int(group),
                own[f"side{i}.coords"],
                own[f"side{i}.features"],
                float(pitch),
                own[f"side{i}.expression"],
            )
            for i, (section, group, pitch) in enumerate(facts["sides"])
        )
        ridges = tuple(
            Ridge(
                own[f"ridge{i}.weights"],
                own[f"ridge{i}.centre"],
                own[f"ridge{i}.intercept"],
                float(alpha),
            )
            for i, alpha in enumerate(facts["alphas"])
        )
        return cls(
            params,
            genes,
            GeneScale(params.expression, own["scale.low"], own["scale.high"]),
            Standard(own.get("standard.mean"), own.get("standard.scale")),
            sides,
            tuple(map(str, facts["sections"])),
            tuple(map(str, facts["spots"])),
            _nets(tensors, params, sides[0].features.shape[1], len(genes)),
            ridges,
            Head(**{name: own[f"head.{name}"] for name in _HEAD}),
            own["familiar"],
            {str(k): [float(x) for x in v] for k, v in facts["history"].items()},
            tuple(map(str, facts["notes"])),
        )


def _check_tables(
    own: Mapping[str, NDArray[Any]], params: SpaHGCParams, facts: Mapping[str, Any], n_genes: int
) -> None:
    """Refuse tables that do not fit the facts and one another; no others may be there."""
    released = params.mode == "release"
    lengths = [len(own[f"side{i}.coords"]) for i in range(len(facts["sides"]))]
    width = own["side0.features"].shape[1]
    expected: dict[str, tuple[int, ...]] = {f"head.{name}": (n_genes,) for name in _HEAD}
    expected |= {"scale.low": (n_genes,), "scale.high": (n_genes,), "familiar": (101,)}
    expected["head.weights"] = (len(PARTS),)
    if released or params.standardise == "references":
        raw = width if released else width // 2
        expected |= {"standard.mean": (raw,), "standard.scale": (raw,)}
    for i, n in enumerate(lengths):
        expected |= {f"side{i}.features": (n, width), f"side{i}.expression": (n, n_genes)}
    for i in range(0 if released else params.replicates + 1):
        expected |= {f"ridge{i}.weights": (width, n_genes), f"ridge{i}.centre": (width,)}
        expected[f"ridge{i}.intercept"] = (n_genes,)
    places = {f"side{i}.coords": (n, 2) for i, n in enumerate(lengths)}
    types = dict.fromkeys(expected, np.float32) | dict.fromkeys(places, np.float64)
    if {name: table.shape for name, table in own.items()} != expected | places:
        raise ValueError("shapes")
    if any(table.dtype != types[name] for name, table in own.items()):
        raise ValueError("types")
    if len(facts["sections"]) != len(lengths) or len(facts["spots"]) != sum(lengths):
        raise ValueError("names")
    if len(facts["alphas"]) != (0 if released else params.replicates + 1):
        raise ValueError("penalties")


def _nets(
    tensors: Mapping[str, torch.Tensor], params: SpaHGCParams, width: int, n_genes: int
) -> tuple[HeteroNet, ...]:
    """The trained networks, for references with ``width`` features."""
    nets = []
    for i in range(1 if params.mode == "release" else params.replicates):
        prefix = f"net{i}."
        own = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
        net = new_net(width, n_genes, params, torch.Generator())
        net.load_state_dict(own)
        nets.append(net.eval())
    return tuple(nets)
