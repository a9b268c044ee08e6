"""How well vectors of genes tell planted programmes, with the recommended settings."""

from __future__ import annotations

import numpy as np
import pytest
from tests.models.spacex_helpers import neighbours_in_programme, programme_ari, programmes

from napari_stmask.core.progress import drain
from napari_stmask.models import get
from napari_stmask.models.spacex.params import SpaCEXParams

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("seed", [0, 1])
def test_programmes_are_found(seed: int) -> None:
    """One section is worth up to 0.1 more or less than another, so bounds are wide."""
    params = SpaCEXParams.preset("recommended", "visium", threads=1, svg_draws=0)
    section, programme, _ = programmes(seed=seed)
    zeros = 1 - section.adata.X.nnz / np.prod(section.adata.shape)
    assert zeros == pytest.approx(0.64, abs=0.1)
    fit = drain(get("spacex").fit([section], params))
    assert fit.details["steps_pictures"] >= 900
    learned = np.isfinite(fit.varm).all(axis=1)
    vectors, own = fit.varm[learned], programme[learned]
    assert neighbours_in_programme(vectors, own) >= 0.58
    assert programme_ari(vectors, own) >= 0.52
