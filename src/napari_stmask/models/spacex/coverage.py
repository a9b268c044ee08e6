"""Extending a panel by either translator, with one check and one form of the answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray

from ...analysis.coverage import Coverage, coverage_steps, fit_coverage_steps
from ...analysis.coverage_data import (
    Exact,
    Float,
    Panel,
    Rows,
    best_supported,
    check_numbers,
    panel_of,
)
from ...core.errors import ParameterError
from ...core.progress import Steps
from ...nn.coverage_gan import GANParams, Translator, train_gan

__all__ = ["GANEngine", "GANMaps", "enhance_coverage_steps"]

_BLOCK = 256


@dataclass(frozen=True, eq=False)
class GANMaps:
    """Maps that a trained generator draws.

    Attributes
    ----------
    translator
        The generator.
    vectors
        (n_genes, width) of all genes of the reference.
    """

    translator: Translator
    vectors: Exact

    def values(self, rows: Rows) -> Float:
        """(n_cells, k) float32 >= 0."""
        return np.ascontiguousarray(self.translator.predict(self.vectors[rows]).T)

    def moments(self, rows: Rows) -> Exact:
        """(k, 2) mean and standard deviation over the cells."""
        out = np.empty((len(rows), 2))
        for start in range(0, len(rows), _BLOCK):
            block = self.values(rows[start : start + _BLOCK])
            out[start : start + _BLOCK] = np.column_stack([block.mean(axis=0), block.std(axis=0)])
        return out


class GANEngine:
    """Learns `GANMaps` from shared genes.

    Parameters
    ----------
    panel
        Shared genes.
    params
        Of the training; every fit takes the same seed.
    device
        Where to compute.
    rounds, genes_per_round
        Growth, as in `fit_coverage_steps`.
    """

    def __init__(
        self,
        panel: Panel,
        params: GANParams,
        *,
        device: torch.device | str = "cpu",
        rounds: int = 1,
        genes_per_round: int = 110,
    ) -> None:
        self.panel, self.params, self.device = panel, params, device
        self.rounds, self.genes_per_round = rounds, genes_per_round

    @property
    def facts(self) -> Mapping[str, Any]:
        """Engine, epochs and rounds."""
        return {"engine": "gan", "epochs": self.params.epochs, "rounds": self.rounds}

    def choose(self, parts: Sequence[tuple[Rows, Rows]]) -> Steps[None]:  # noqa: ARG002
        """Nothing is left open."""
        yield from ()

    def fit(self, train: Rows) -> Steps[GANMaps]:
        """Learn from the shared genes ``train``, anew in every round of growth."""
        vectors, rows = self.panel.vectors, self.panel.rows[train]
        targets = self.panel.measured(train).T
        maps = yield from self._trained(rows, targets)
        for _ in range(1, self.rounds):
            added = best_supported(vectors, rows, self.genes_per_round)
            targets = np.vstack([targets, maps.values(added).T])
            rows = np.concatenate([rows, added])
            maps = yield from self._trained(rows, targets)
        return maps

    def _trained(self, rows: Rows, targets: Float) -> Steps[GANMaps]:
        vectors = self.panel.vectors
        training = train_gan(vectors[rows], targets, self.params, device=self.device)
        return GANMaps((yield from training), vectors)


def enhance_coverage_steps(
    vectors: NDArray[Any],
    genes: Sequence[str],
    target_values: Any,
    panel_genes: Sequence[str],
    *,
    engine: Literal["ridge", "gan"] = "ridge",
    levels: NDArray[Any] | None = None,
    rank: int = 50,
    folds: int = 5,
    rounds: int = 1,
    genes_per_round: int = 110,
    gan: GANParams | None = None,
    device: torch.device | str = "cpu",
    seed: int = 0,
) -> Steps[Coverage]:
    """`analysis.coverage.fit_coverage_steps` with a choice of the translator.

    Parameters
    ----------
    vectors, genes, target_values, panel_genes, levels, rank, folds, rounds, genes_per_round, seed
        As there; ``rank`` is of the engine ``"ridge"`` only.
    engine
        ``"ridge"``: closed form; ``"gan"``: as published, trained once for each fold and once
        for all shared genes.
    gan
        Training of the engine ``"gan"``; None for the published numbers with ``seed``.
    device
        Of the engine ``"gan"``.

    Raises
    ------
    ParameterError
        If the engine is unknown or a number is out of range.
    DataError
        If names occur twice, values are unusable or fewer than ten genes are shared.
    ResourceError
        If the target has too many cells for the engine ``"gan"``.
    """
    if engine == "ridge":
        ridge = fit_coverage_steps(
            vectors, genes, target_values, panel_genes, levels=levels, rank=rank, folds=folds,
            rounds=rounds, genes_per_round=genes_per_round, seed=seed,
        )  # fmt: skip
        return (yield from ridge)
    if engine != "gan":
        raise ParameterError(f"engine is '{engine}'", "use 'ridge' or 'gan'")
    check_numbers(rounds=rounds, genes_per_round=genes_per_round)
    panel = panel_of(vectors, genes, target_values, panel_genes, levels=levels)
    trained = GANEngine(
        panel, gan or GANParams(seed=seed), device=device, rounds=rounds,
        genes_per_round=genes_per_round,
    )  # fmt: skip
    values = sp.csr_matrix(target_values, dtype=np.float32)
    done = yield from coverage_steps(panel, trained, values, panel_genes, folds=folds, seed=seed)
    return done
