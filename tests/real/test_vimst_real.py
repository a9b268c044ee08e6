"""ViMST on real sections: what the image adds, and denoising without a truth."""

import numpy as np
import pytest

import napari_stmask as stm
from napari_stmask.analysis.scores import against_truth
from napari_stmask.core.progress import drain
from napari_stmask.scoring import denoising_steps

pytestmark = pytest.mark.slow


def test_image_helps_on_a_labelled_tumour(data_dir) -> None:
    """Better with the image than without, and than both controls; seeds 0 to 2."""
    section = stm.read(data_dir / "her2st_labelled" / "A1.h5ad")
    truth = section.adata.obs.pop("ground_truth").astype("string")
    truth = truth.mask(truth == "undetermined")
    scores: dict[str, list[float]] = {"with": [], "without": [], "pca": [], "neighbour_pca": []}
    for seed in range(3):
        options = {"n_domains": 5, "seed": seed, "threads": 1, "compare_views": False}
        for name, use in (("with", "auto"), ("without", "no")):
            result = stm.run("vimst", section, use_image=use, baselines=use == "no", **options)
            codes = {name: result.domains.codes, **result.baselines}
            for which, values in codes.items():
                labels = truth.copy()
                labels[:] = values.astype(str)
                scores[which].append(against_truth(truth, labels)["ARI"])
    median = {name: float(np.median(values)) for name, values in scores.items()}
    assert median["with"] >= median["without"]
    assert median["with"] >= max(median["pca"], median["neighbour_pca"])


def test_denoised_genes_tell_held_out_molecules_best(data_dir) -> None:
    section = stm.read(data_dir / "dlpfc_visium" / "151673.h5ad")
    params = stm.params("vimst", platform="visium", replicates=1, threads=1)
    table = drain(denoising_steps("vimst", section, params)).set_index("prediction")
    assert table["mean"].idxmax() == "vimst"
    assert table["top_median"]["vimst"] > 1.3 * table["top_median"]["neighbour mean"]


def test_low_resolution_copy_is_left_out(data_dir) -> None:
    section = stm.read(data_dir / "dlpfc_visium" / "151673.h5ad")
    options = {"epochs": 1, "replicates": 1, "threads": 1, "baselines": False}
    result = stm.run("vimst", section, **options)
    assert not result.views
    assert any("pixels across a patch" in note for note in result.record["notes"])
