"""Trained networks as a file of plain tensors.

Everything that is needed to embed another section of the same genes: the networks, the gene
names, the scaling and the projections. Tensors only (safetensors), never a pickle.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor, nn

from ..core.errors import DataError
from ..core.memory import densify
from ..core.section import Section
from ..features.expression import scaled
from .expression_input import Prepared, corrected, normalised, standardised_within
from .joint_input import section_codes
from .model_file import load_model
from .trained_params import TrainedParams

__all__ = ["TrainedState"]

_VERSION = 2
Build = Callable[[Mapping[str, Tensor], Any, int], nn.Module]


@dataclass(frozen=True)
class TrainedState:
    """Trained networks and the preprocessing that goes with them.

    Attributes
    ----------
    method
        Name of the method that trained them.
    params
        Settings of the training.
    gene_names
        Selected genes, in the order of the input.
    scale, ceiling, components, centre
        As in `Prepared`.
    nets
        One network per replicate, in evaluation mode.
    arrays
        Further float32 arrays of the method, by name.
    """

    method: str
    params: TrainedParams
    gene_names: tuple[str, ...]
    scale: NDArray[np.float32]
    ceiling: NDArray[np.float32]
    components: NDArray[np.float32] | None
    centre: NDArray[np.float32] | None
    nets: tuple[Any, ...]
    arrays: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        method: str,
        params: TrainedParams,
        nets: Sequence[nn.Module],
        prepared: Prepared,
        section: Section,
        arrays: Mapping[str, NDArray[np.float32]] | None = None,
    ) -> Self:
        """The state of a finished training."""
        return cls(
            method,
            params,
            tuple(map(str, section.adata.var_names[prepared.genes])),
            prepared.scale,
            prepared.ceiling,
            prepared.components,
            prepared.centre,
            tuple(net.cpu() for net in nets),
            arrays or {},
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
        values = normalised(section, genes, self.params)
        if self.scale.ndim == 2:
            # Sections of the training were standardised one by one: so are new ones.
            codes = section_codes(section)
            found = standardised_within(values, genes, codes, self.params, self.components)
            return corrected(found, section, self.params)
        values = scaled(values, self.scale, self.ceiling)
        if self.components is None or self.centre is None:
            x = densify(values, what="the table of variable genes")
        else:
            # (v - c) C^T without densifying v.
            x = np.asarray(values @ self.components.T - self.components @ self.centre, np.float32)
        prepared = Prepared(x, genes, self.scale, self.ceiling, self.components, self.centre)
        return corrected(prepared, section, self.params)

    def save(self, path: str | Path) -> None:
        """Write the state to ``path`` (safetensors)."""
        arrays = {"scale": self.scale, "ceiling": self.ceiling}
        if self.components is not None and self.centre is not None:
            arrays |= {"components": self.components, "centre": self.centre}
        arrays |= {f"method.{name}": values for name, values in self.arrays.items()}
        tensors = {k: torch.from_numpy(np.ascontiguousarray(v)) for k, v in arrays.items()}
        for i, net in enumerate(self.nets):
            for name, value in net.state_dict().items():
                tensors[f"net{i}.{name}"] = value.detach().cpu().contiguous()
        meta = {
            "format": _format(self.method),
            "params": self.params.model_dump_json(),
            "genes": json.dumps(self.gene_names),
            "nets": str(len(self.nets)),
        }
        save_file(tensors, Path(path), metadata=meta)

    @classmethod
    def load(
        cls,
        path: str | Path,
        method: str,
        params: type[TrainedParams],
        build: Build,
        *,
        title: str,
    ) -> Self:
        """Read a state that `save` wrote.

        Parameters
        ----------
        path
            A file.
        method, params, title
            Name, parameter model and display name of the method that must have written it.
        build
            Makes a network of the method from its tensors, the settings and the number of genes.

        Raises
        ------
        MissingFileError
            If there is no such file.
        FileFormatError
            If it is not a model of that method.
        """
        make = partial(cls._of, method, params, build)
        return load_model(path, _format(method), make, title=title)

    @classmethod
    def _of(
        cls,
        method: str,
        params: type[TrainedParams],
        build: Build,
        meta: Mapping[str, str],
        tensors: dict[str, Tensor],
    ) -> Self:
        settings = params.model_validate_json(meta["params"])
        genes = tuple(json.loads(meta["genes"]))
        nets = tuple(
            build(_own(tensors, f"net{i}."), settings, len(genes)) for i in range(int(meta["nets"]))
        )
        arrays = {k: v.numpy() for k, v in tensors.items() if not k.startswith("net")}
        scale, ceiling = arrays["scale"], arrays["ceiling"]
        if not nets or scale.shape[-1:] != (len(genes),) or ceiling.shape != scale.shape:
            raise ValueError("shapes")
        own = {k.removeprefix("method."): v for k, v in arrays.items() if k.startswith("method.")}
        return cls(
            method,
            settings,
            genes,
            scale,
            ceiling,
            arrays.get("components"),
            arrays.get("centre"),
            nets,
            own,
        )


def _format(method: str) -> str:
    return f"napari-stmask/{method}/{_VERSION}"


def _own(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
