"""Parameters of SpaMask."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from ..dual_params import DualMaskParams

__all__ = ["SpaMaskParams"]


class SpaMaskParams(DualMaskParams):
    """Settings of one SpaMask run; the defaults are the recommended ones for Visium."""

    PRESETS: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "visium": {},
        "st": {
            "neighbours": 4,
            "epochs": 60,
            "replicates": 15,
            "n_pcs_in": 10,
            "scale_genes": False,
            "own_weight": 1.0,
            "consensus": "joint",
            "n_pcs_out": 6,
        },
        "stereoseq": {"replicates": 1},
        "imaging": {},
        "paper": {
            "neighbours": 12,
            "epochs": 500,
            "n_hvg": 2000,
            "log_transform": False,
            "n_pcs_in": 200,
            "node_mask_rate": 0.2,
            "edge_mask_rate": 0.2,
            "link_weight": 1.3,
            "hidden": 512,
            "latent": 256,
            "replicates": 1,
            "clustering": "kmeans",
            "n_pcs_out": 30,
        },
    }
