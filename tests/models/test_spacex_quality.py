"""How well vectors of genes tell planted programmes, with the recommended settings."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from tests.models.spacex_helpers import neighbours_in_programme, programme_ari, programmes

from napari_stmask.core.progress import drain
from napari_stmask.models import get
from napari_stmask.models.spacex.params import SpaCEXParams

pytestmark = pytest.mark.slow


def test_programmes_are_found() -> None:
    section, programme, _ = programmes()
    zeros = 1 - section.adata.X.nnz / np.prod(section.adata.shape)
    assert zeros == pytest.approx(0.64, abs=0.05)
    params = SpaCEXParams.preset("recommended", "visium", threads=1, seed=0)
    fit = drain(get("spacex").fit([section], params))
    assert fit.details["steps_pictures"] >= 900
    learned = np.isfinite(fit.varm).all(axis=1)
    vectors, programme = fit.varm[learned], programme[learned]
    near, ari = neighbours_in_programme(vectors, programme), programme_ari(vectors, programme)
    auc = roc_auc_score(programme >= 0, -fit.var["svg_rank"][learned])
    print(f"nearest in programme {near:.3f}, ARI {ari:.3f}, AUC of spatial genes {auc:.3f}")
    assert near >= 0.62
    assert ari >= 0.65
    assert auc >= 0.85
