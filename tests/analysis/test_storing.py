"""Values of analyses beside the run that they belong to."""

import numpy as np
import pytest
from tests.helpers import banded

import napari_stmask as stm
from napari_stmask.analysis.storing import store_values
from napari_stmask.core.errors import ParameterError
from napari_stmask.core.provenance import read_record

FAST = {"epochs": 2, "replicates": 1, "threads": 1, "baselines": False}


def test_a_new_run_takes_them_away() -> None:
    section, _ = banded(10, 12, 80)
    adata = section.adata
    stm.run("spamask", section, n_domains=3, **FAST)
    names = store_values(adata, "spamask", {"emt": np.arange(120.0), "umap": np.ones((120, 2))})
    assert names == ["spamask_emt", "X_spamask_umap"]
    assert ["obs", "spamask_emt"] in read_record(adata, "spamask")["slots"]
    store_values(adata, "spamask", {"emt": np.zeros(120)})  # its own column may be replaced
    assert (adata.obs["spamask_emt"] == 0).all()
    slots = read_record(adata, "spamask")["slots"]
    assert len(slots) == len({tuple(s) for s in slots})
    stm.run("spamask", section, n_domains=4, **FAST)
    assert "spamask_emt" not in adata.obs
    assert "X_spamask_umap" not in adata.obsm


def test_what_others_wrote_is_kept() -> None:
    section, _ = banded(10, 12, 80)
    section.adata.obs["mine_emt"] = 1.0
    with pytest.raises(ParameterError, match=r"obs\['mine_emt'\] holds something"):
        store_values(section.adata, "mine", {"other": np.zeros(120), "emt": np.zeros(120)})
    assert (section.adata.obs["mine_emt"] == 1).all()
    assert "mine_other" not in section.adata.obs
    assert store_values(section.adata, "mine", {"other": np.zeros(120)}) == ["mine_other"]
    assert "stmask" not in section.adata.uns
