"""A trained SpaCEX: the encoder, the modules, and the pictures that they belong to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor

from ...core.errors import DataError, FileFormatError
from ...core.progress import Progress, Steps
from ...core.section import Section
from ...features.gene_images import ImageMaker
from ...features.gene_tiles import cut_tiles
from ...nn.gene_autoencoder import Architecture, GeneEncoder
from ..model_file import load_model
from .inputs import maker_of
from .modules import Modules, modules_from, tensors_of
from .params import SpaCEXParams

__all__ = ["FORMAT", "GeneModel", "architecture", "encode_steps"]

FORMAT = "napari-stmask/spacex/1"
_BATCH = 256
"""Pictures that are encoded at once."""
_PHASE = "encoding genes"
_MODULES = "modules."
_ENCODER = "encoder."


def architecture(params: SpaCEXParams) -> Architecture:
    """Widths of the network, by the settings."""
    return Architecture(
        token_dim=params.token_dim,
        embed_dim=params.embed_dim,
        head=params.head,
        n_linear=params.n_linear,
        positions=params.positions,
    )


def encode_steps(
    encoder: GeneEncoder, pictures: NDArray[np.float32], device: torch.device
) -> Steps[NDArray[np.float32]]:
    """(n, width) float32 vectors of (n, n_occupied) pictures, a batch at a time."""
    out = np.empty((len(pictures), encoder.width), dtype=np.float32)
    encoder.eval()
    for start in range(0, len(pictures), _BATCH):
        batch = torch.from_numpy(pictures[start : start + _BATCH]).to(device)
        with torch.no_grad():
            out[start : start + _BATCH] = encoder(batch).cpu().numpy()
        yield Progress(min(start + _BATCH, len(pictures)), len(pictures), _PHASE)
    return out


@dataclass(frozen=True, eq=False)
class GeneModel:
    """What training leaves behind.

    Attributes
    ----------
    params
        Settings of the training.
    genes
        (n_genes,) names of the genes that it learned from, in the order of the vectors.
    height, width, occupied
        Canvas of the pictures: its size and the (n_occupied,) int64 elements with tissue.
    encoder
        From a picture to a vector; in evaluation mode, on the CPU.
    modules
        In the space of the vectors, on the CPU.
    """

    params: SpaCEXParams
    genes: tuple[str, ...]
    height: int
    width: int
    occupied: NDArray[np.int64]
    encoder: GeneEncoder
    modules: Modules

    def maker(self, section: Section) -> ImageMaker:
        """How pictures of this section are drawn.

        Raises
        ------
        DataError
            If its spots do not lie as those of the training did.
        """
        maker, _ = maker_of(section, self.params)
        canvas = maker.canvas
        same = (canvas.height, canvas.width) == (self.height, self.width)
        if not (same and np.array_equal(canvas.occupied, self.occupied)):
            raise DataError(
                f"{section.where}: its spots do not lie as those of the section that the model "
                "was trained on",
                "a model of gene pictures fits one section; train another one for this section",
            )
        return maker

    def columns(self, section: Section) -> NDArray[np.intp]:
        """(n_genes,) places of the model's genes in the section.

        Raises
        ------
        DataError
            If the section lacks some.
        """
        found = section.adata.var_names.get_indexer(list(self.genes))
        missing = int((found < 0).sum())
        if missing:
            raise DataError(
                f"{section.where}: {missing} of the model's {len(found)} genes are missing",
                "give a section measured with the same gene names, or train a new model",
            )
        return np.asarray(found)

    def with_modules(self, modules: Modules) -> GeneModel:
        """The same encoder with other modules."""
        return replace(self, modules=modules)

    def encode_steps(
        self, maker: ImageMaker, values: sp.csc_matrix, *, phase: str = _PHASE
    ) -> Steps[NDArray[np.float32]]:
        """(m, width) float32 vectors of (n_spots, m) log-normalised values.

        Pictures are drawn and encoded a block at a time, so that any number of genes fits.
        """
        n = values.shape[1]
        out = np.empty((n, self.encoder.width), dtype=np.float32)
        for start in range(0, n, _BATCH):
            part = slice(start, start + _BATCH)
            out[part] = self.encode(maker.draw(values[:, part]))
            yield Progress(min(start + _BATCH, n), n, phase)
        return out

    def encode(self, pictures: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n, width) float32 vectors of a batch of (n, n_occupied) pictures."""
        with torch.no_grad():
            return np.asarray(self.encoder(torch.from_numpy(pictures)).numpy())

    def posterior(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n, K) float32 probability of each module, rows sum to 1."""
        with torch.no_grad():
            logs = self.modules.log_posterior(torch.from_numpy(vectors))
        return np.asarray(logs.exp().numpy(), dtype=np.float32)

    def to_arrays(self) -> dict[str, Any]:
        """Everything as arrays and one text, as it is kept in an AnnData's ``uns``."""
        meta = {
            "format": FORMAT,
            "params": self.params.model_dump_json(),
            "genes": json.dumps(self.genes),
            "canvas": json.dumps([self.height, self.width]),
        }
        return {"meta": json.dumps(meta), **{k: v.numpy() for k, v in self._tensors().items()}}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Any], where: str) -> Self:
        """The model that `to_arrays` made; ``where`` names the section in messages.

        Raises
        ------
        FileFormatError
            If it is none of this version.
        """
        try:
            meta = json.loads(str(arrays["meta"]))
            if meta["format"] != FORMAT:
                raise ValueError("format")
            tensors = {k: torch.from_numpy(np.array(v)) for k, v in arrays.items() if k != "meta"}
            return cls._of(meta, tensors)
        except (ValueError, LookupError, TypeError, RuntimeError) as error:
            raise FileFormatError(
                f"{where} holds no SpaCEX model of this version",
                "run SpaCEX on the section again",
            ) from error

    def save(self, path: str | Path) -> None:
        """Write the model to ``path`` (safetensors)."""
        meta = json.loads(self.to_arrays()["meta"])
        save_file(self._tensors(), Path(path), metadata=meta)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read what `save` wrote.

        Raises
        ------
        MissingFileError
            If there is no such file.
        FileFormatError
            If it is no model of SpaCEX.
        """
        return load_model(path, FORMAT, cls._of, title="SpaCEX")

    def _tensors(self) -> dict[str, Tensor]:
        out = {"occupied": torch.from_numpy(self.occupied)}
        out |= {_ENCODER + k: v for k, v in self.encoder.state_dict().items()}
        out |= {_MODULES + k: v for k, v in tensors_of(self.modules).items()}
        return {k: v.detach().cpu().contiguous() for k, v in out.items()}

    @classmethod
    def _of(cls, meta: Mapping[str, str], tensors: dict[str, Tensor]) -> Self:
        params = SpaCEXParams.model_validate_json(meta["params"])
        height, width = json.loads(meta["canvas"])
        occupied = tensors["occupied"].numpy()
        tiles = cut_tiles(height, width, occupied, params.tile)
        encoder = GeneEncoder(tiles, architecture(params), torch.Generator())
        encoder.load_state_dict(_under(tensors, _ENCODER))
        modules = modules_from(_under(tensors, _MODULES))
        genes = tuple(json.loads(meta["genes"]))
        return cls(params, genes, height, width, occupied, encoder.eval(), modules)


def _under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
