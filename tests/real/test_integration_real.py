"""Horizontal integration: one section cut in two, joined, and answered as one."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import adjusted_rand_score

import napari_stmask as stm
from napari_stmask.core.joining import join_sections, split_joined
from napari_stmask.core.joint import joint_of
from napari_stmask.core.section import Section


def halves(whole: Section) -> list[Section]:
    left = whole.coords[:, 0] < np.median(whole.coords[:, 0])
    return [
        Section(
            whole.adata[rows].copy(),
            name=name,
            um_per_px=whole.um_per_px,
            platform=whole.platform,
            spot_diameter=whole.spot_diameter,
        )
        for name, rows in (("left", left), ("right", ~left))
    ]


@pytest.mark.slow
@pytest.mark.parametrize("with_features", [False, True], ids=["expression", "features"])
def test_joined_halves_give_the_domains_of_the_whole(data_dir, with_features: bool) -> None:
    """A section in two parts is the same tissue; its domains cross the cut."""
    whole = stm.read(data_dir / "dlpfc_visium" / "151673.h5ad")
    values = {
        "n_domains": 7, "epochs": 40, "replicates": 1, "seed": 0, "threads": 1, "baselines": False,
    }  # fmt: skip
    if with_features:
        # What an encoder might give: the layers, blurred by noise of the same size.
        rng = np.random.default_rng(0)
        layers = pd.get_dummies(whole.adata.obs["ground_truth"]).to_numpy(dtype=float)
        features = layers + 0.5 * rng.normal(size=layers.shape)
        whole.adata.obsm["patches"] = features.astype(np.float32)
        values["image_encoder"] = "obsm:patches"
    parts = halves(whole)
    joined = join_sections(parts, placement="as_is")
    assert np.bincount(joint_of(joined.adata).codes).tolist() == [p.n_spots for p in parts]
    together = stm.run("vimst", joined, **values)
    alone = stm.run("vimst", whole, **values)
    assert bool(together.views) == bool(alone.views) == with_features
    names = joined.adata.obs_names
    expected = whole.adata.obs["vimst"].loc[names].astype(str)
    assert adjusted_rand_score(expected, joined.adata.obs["vimst"].astype(str)) >= 0.7
    codes = joint_of(joined.adata).codes
    i, j = together.fit.graph.nonzero()
    assert (codes[i] != codes[j]).any()  # the parts are linked across the cut
    split_joined(joined, parts)
    for part in parts:
        written = part.adata.obs["vimst"].astype(str)
        assert written.equals(joined.adata.obs["vimst"].loc[part.adata.obs_names].astype(str))
        assert part.adata.obsm["X_vimst"].shape[0] == part.n_spots
