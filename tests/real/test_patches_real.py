"""Patches and features of real sections: her2st C2 (full resolution) and A1 (black background)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from napari_stmask.core.progress import drain
from napari_stmask.core.section import Section
from napari_stmask.features.encoders import Descriptor
from napari_stmask.features.image_features import image_features
from napari_stmask.features.patches import Patches, patch_side, tissue_fraction
from napari_stmask.io.read import read


@pytest.fixture(scope="module")
def c2(data_dir: Path) -> Section:
    return read(data_dir / "her2st" / "C2.h5ad", image=data_dir / "her2st" / "C2.jpg")


@pytest.fixture(scope="module")
def a1(data_dir: Path) -> Section:
    return read(data_dir / "her2st_labelled" / "A1.h5ad")


@pytest.mark.parametrize("name", ["c2", "a1"])
def test_spots_lie_on_tissue_and_other_places_do_not(
    name: str, request: pytest.FixtureRequest
) -> None:
    section: Section = request.getfixturevalue(name)
    assert section.image is not None
    side = patch_side(section, 1.0)
    fraction = tissue_fraction(section.image, section.coords, side)
    assert np.median(fraction) > 0.8
    assert fraction.min() > 0.2
    corner = section.image.corners()[3] + [[3 * side, -3 * side]]
    assert tissue_fraction(section.image, corner, side)[0] < 0.05


@pytest.mark.parametrize("name", ["c2", "a1"])
@pytest.mark.parametrize("stain", ["none", "macenko", "reinhard"])
def test_patches_look_like_stained_tissue(
    name: str, stain: str, request: pytest.FixtureRequest
) -> None:
    section: Section = request.getfixturevalue(name)
    patches = Patches(section.image, section.coords, side=patch_side(section, 1.0), stain=stain)
    assert not patches.outside.any()
    some = np.stack([patches.one(i) for i in range(0, section.n_spots, 10)])
    red, green, blue = some.reshape(-1, 3).mean(axis=0)
    # Violet and pink: green is what both stains take away most.
    assert green < red
    assert green < blue
    assert some.std(axis=(1, 2)).mean() > 10


@pytest.mark.parametrize("name", ["c2", "a1"])
def test_features_are_finite(name: str, request: pytest.FixtureRequest) -> None:
    section: Section = request.getfixturevalue(name)
    found = drain(image_features(section, patch_size=1.5))
    assert found.shape == (section.n_spots, Descriptor.dim)
    assert np.isfinite(found).all()
    assert (found.std(axis=0) > 0).mean() > 0.95


def test_features_tell_the_tumour_from_the_rest(a1: Section) -> None:
    labels = a1.adata.obs["ground_truth"]
    known = labels.notna().to_numpy()
    tumour = (labels == labels.mode()[0]).to_numpy()[known]

    def score(coords: np.ndarray) -> float:
        """Area under the curve of a linear model, out of fold."""
        moved = a1.adata.copy()
        moved.obsm["spatial"] = coords
        found = drain(image_features(Section(moved, image=a1.image, platform="st")))
        model = LogisticRegression(C=0.01, class_weight="balanced", max_iter=2000)
        folds = StratifiedKFold(5, shuffle=True, random_state=0)
        chance = cross_val_predict(model, found[known], tumour, cv=folds, method="predict_proba")
        return float(roc_auc_score(tumour, chance[:, 1]))

    in_place = score(a1.coords)
    # x and y exchanged: the spots still lie on the picture, over other tissue.
    exchanged = score(a1.coords[:, ::-1])
    assert in_place > 0.8, in_place
    assert exchanged < in_place - 0.1, (in_place, exchanged)
