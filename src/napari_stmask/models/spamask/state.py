"""A trained SpaMask model as a file of plain tensors.

Everything that is needed to embed another section of the same genes: the networks, the gene
names, the scaling and the projection. Tensors only (safetensors), never a pickle.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from ...core.errors import DataError, FileFormatError, MissingFileError
from ...core.memory import densify
from ...core.section import Section
from ...features.expression import scaled
from .model import SpaMaskNet
from .params import SpaMaskParams
from .prepare import Prepared, normalised

__all__ = ["SpaMaskState"]

_FORMAT = "napari-stmask/spamask/1"


@dataclass(frozen=True)
class SpaMaskState:
    """Trained networks and the preprocessing that goes with them.

    Attributes
    ----------
    params
        Settings of the training.
    gene_names
        Selected genes, in the order of the input.
    scale, ceiling, components, centre
        As in `Prepared`.
    nets
        One network per replicate, in evaluation mode.
    """

    params: SpaMaskParams
    gene_names: tuple[str, ...]
    scale: NDArray[np.float32]
    ceiling: NDArray[np.float32]
    components: NDArray[np.float32] | None
    centre: NDArray[np.float32] | None
    nets: tuple[SpaMaskNet, ...]

    @classmethod
    def of(
        cls, nets: list[SpaMaskNet], prepared: Prepared, section: Section, params: SpaMaskParams
    ) -> SpaMaskState:
        """The state of a finished training."""
        names = tuple(map(str, section.adata.var_names[prepared.genes]))
        return cls(
            params,
            names,
            prepared.scale,
            prepared.ceiling,
            prepared.components,
            prepared.centre,
            tuple(nets),
        )

    def prepare(self, section: Section) -> Prepared:
        """Input for ``section`` in the units of the training.

        Raises
        ------
        DataError
            If the section lacks genes that the model was trained on.
        """
        genes = section.adata.var_names.get_indexer(list(self.gene_names))
        missing = int((genes < 0).sum())
        if missing:
            raise DataError(
                f"{section.where}: {missing} of the model's {len(genes)} genes are missing",
                "give a section measured with the same gene names, or train a new model",
            )
        values = scaled(normalised(section, genes, self.params), self.scale, self.ceiling)
        if self.components is None or self.centre is None:
            x = densify(values, what="the table of variable genes")
        else:
            # (v - c) C^T without densifying v.
            x = np.asarray(values @ self.components.T - self.components @ self.centre, np.float32)
        return Prepared(x, genes, self.scale, self.ceiling, self.components, self.centre)

    def save(self, path: str | Path) -> None:
        """Write the state to ``path`` (safetensors)."""
        tensors = {name: torch.from_numpy(getattr(self, name)) for name in ("scale", "ceiling")}
        if self.components is not None and self.centre is not None:
            tensors["components"] = torch.from_numpy(np.ascontiguousarray(self.components))
            tensors["centre"] = torch.from_numpy(self.centre)
        for i, net in enumerate(self.nets):
            for name, value in net.state_dict().items():
                tensors[f"net{i}.{name}"] = value.detach().cpu().contiguous()
        meta = {
            "format": _FORMAT,
            "params": self.params.model_dump_json(),
            "genes": json.dumps(self.gene_names),
            "nets": str(len(self.nets)),
        }
        save_file(tensors, Path(path), metadata=meta)

    @classmethod
    def load(cls, path: str | Path) -> SpaMaskState:
        """Read a state that `save` wrote.

        Raises
        ------
        MissingFileError
            If there is no such file.
        FileFormatError
            If it is not a SpaMask model.
        """
        path = Path(path)
        if not path.is_file():
            raise MissingFileError(f"{path} does not exist", "give the path of a saved model")
        try:
            with safe_open(path, framework="pt") as file:
                meta = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            if meta.get("format") != _FORMAT:
                raise ValueError("format")
            params = SpaMaskParams.model_validate_json(meta["params"])
            genes = tuple(json.loads(meta["genes"]))
            nets = tuple(_net_from(tensors, f"net{i}.", params) for i in range(int(meta["nets"])))
        except (SafetensorError, ValueError, KeyError, RuntimeError, OSError) as error:
            raise FileFormatError(
                f"{path} is not a SpaMask model saved by this version",
                "give a .safetensors file written by save_model",
            ) from error
        components = tensors.get("components")
        centre = tensors.get("centre")
        return cls(
            params,
            genes,
            tensors["scale"].numpy(),
            tensors["ceiling"].numpy(),
            None if components is None else components.numpy(),
            None if centre is None else centre.numpy(),
            nets,
        )


def _net_from(tensors: dict[str, torch.Tensor], prefix: str, params: SpaMaskParams) -> SpaMaskNet:
    own = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
    d, hidden = own["w1"].shape
    net = SpaMaskNet(
        d, hidden, own["w2"].shape[1], generator=torch.Generator(), dropout=params.link_dropout
    )
    net.load_state_dict(own)
    return net.eval()
