"""MMSRL on a real section: enhanced genes against held-out molecules and known layers."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

import napari_stmask as stm
from napari_stmask.analysis.inputs import expression_of
from napari_stmask.core.progress import drain
from napari_stmask.scoring import denoising_steps

pytestmark = pytest.mark.slow

# Maynard et al., Nature Neuroscience 24, 425 (2021), figure 3 and its supplement.
MARKERS = {
    "HPCAL1": "L2",
    "CARTPT": "L3",
    "PVALB": "L4",
    "PCP4": "L5",
    "KRT17": "L6",
    "MOBP": "WM",
}


@pytest.fixture
def cortex(data_dir):
    return stm.read(data_dir / "dlpfc_visium" / "151673.h5ad")


def test_enhanced_genes_tell_held_out_molecules_best(cortex) -> None:
    params = stm.params("mmsrl", platform="visium", replicates=1, threads=1)
    table = drain(denoising_steps("mmsrl", cortex, params)).set_index("prediction")
    for score in ("median", "mean", "top_median"):
        assert table[score].idxmax() == "mmsrl"


def test_layer_markers_stand_out_more(cortex) -> None:
    result = stm.run(
        "mmsrl", cortex, n_domains=7, denoise=True, replicates=1, threads=1, baselines=False
    )
    layer = cortex.adata.obs["ground_truth"].astype(str).to_numpy()
    raw, enhanced = expression_of(cortex), result.fit.layers["denoised"]
    for gene, own in MARKERS.items():
        column = cortex.adata.var_names.get_loc(gene)
        before, after = (
            roc_auc_score(layer == own, np.asarray(x[:, [column]].todense()).ravel())
            for x in (raw, enhanced)
        )
        assert after > before, gene
        assert after > 0.8, gene
