"""Saved models of SpaCEX: what they give on their own section and on others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from anndata import read_h5ad
from tests.models.spacex_helpers import settings, striped

import napari_stmask as stm
from napari_stmask.core.errors import (
    DataError,
    FileFormatError,
    MissingFileError,
    ParameterError,
)
from napari_stmask.core.progress import drain
from napari_stmask.core.result import Result
from napari_stmask.core.section import Section
from napari_stmask.features.gene_images import picture_values
from napari_stmask.models.spacex.state import GeneModel
from napari_stmask.pipeline import run

SCORES = ("svg_score", "svg_effect", "svg_p", "svg_q", "svg_rank")


def explored(section: Section, **values: Any) -> Result:
    return run("spacex", section, params=settings(**values), baselines=False)


def encoded(model: GeneModel, section: Section) -> np.ndarray:
    values = picture_values(section, model.columns(section))
    found: np.ndarray = drain(model.encode_steps(model.maker(section), values))
    return found


@pytest.fixture(scope="module")
def done() -> tuple[Section, Result]:
    section = striped()
    return section, explored(section, n_genes=30)


# Round trips


VARIANTS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "kernel": {"mixture": "t_kernel"},
    "published vector": {"head": "none", "n_linear": 0},
    "release": {"head": "mlp", "n_linear": 0, "mixture": "t_kernel", "positions": "zero"},
    "grid": {"pixel_size": 180.0},
}


@pytest.mark.parametrize("name", VARIANTS)
def test_a_model_comes_back_bit_by_bit(name: str, tmp_path: Path) -> None:
    section = striped(9, 10, genes=40)
    result = explored(section, svg_draws=0, n_genes=36, **VARIANTS[name])
    model, learned = result.fit.state, np.isfinite(section.adata.varm["X_spacex"]).all(axis=1)
    vectors = section.adata.varm["X_spacex"][learned]
    model.save(tmp_path / "model.safetensors")
    section.adata.write_h5ad(tmp_path / "section.h5ad", compression="gzip")
    kept = read_h5ad(tmp_path / "section.h5ad").uns["spacex_model"]
    for again in (
        GeneModel.load(tmp_path / "model.safetensors"),
        GeneModel.from_arrays(model.to_arrays(), "memory"),
        GeneModel.from_arrays(kept, "section.h5ad"),
    ):
        assert again.genes == model.genes
        assert again.params == model.params
        np.testing.assert_array_equal(again.occupied, model.occupied)
        np.testing.assert_array_equal(encoded(again, section), vectors)
        np.testing.assert_array_equal(again.posterior(vectors), model.posterior(vectors))


def test_what_is_no_model(done: tuple[Section, Result], tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="does not exist"):
        GeneModel.load(tmp_path / "none.safetensors")
    path = tmp_path / "text.safetensors"
    path.write_text("no tensors", encoding="utf-8")
    with pytest.raises(FileFormatError, match="is not a SpaCEX model"):
        GeneModel.load(path)
    arrays = done[1].fit.state.to_arrays()
    damaged = [
        {},
        {k: v for k, v in arrays.items() if k != "occupied"},
        {k: v for k, v in arrays.items() if k != "encoder.pool"},
        arrays | {"meta": "no JSON"},
        arrays | {"meta": arrays["meta"].replace("spacex/1", "spacex/0")},
        arrays | {"encoder.pool": np.zeros(3, np.float32)},
        {k: v for k, v in arrays.items() if not k.startswith("modules.")},
    ]
    for one in damaged:
        with pytest.raises(FileFormatError, match="here holds no SpaCEX model of this version"):
            GeneModel.from_arrays(one, "here")


# Saved models


def test_a_saved_model_gives_the_vectors_of_its_section(
    done: tuple[Section, Result], tmp_path: Path
) -> None:
    section, result = done
    path = stm.save_model(result, tmp_path / "genes.safetensors")
    again = striped()
    other = settings(token_dim=16)  # of the network's settings the model's count
    applied = run("spacex", again, model=path, params=other, baselines=False)
    np.testing.assert_array_equal(again.adata.varm["X_spacex"], section.adata.varm["X_spacex"])
    for name in ("module", "module_prob", *SCORES):
        assert again.adata.var[f"spacex_{name}"].equals(section.adata.var[f"spacex_{name}"])
    np.testing.assert_array_equal(again.adata.obs["spacex"], section.adata.obs["spacex"])
    # The record names what was trained, not the defaults.
    assert applied.record["params"]["token_dim"] == 8
    assert applied.record["model"] == str(path)


def test_a_saved_model_reads_other_counts(done: tuple[Section, Result], tmp_path: Path) -> None:
    path = stm.save_model(done[1], tmp_path / "genes.safetensors")
    thinned = striped()
    rng = np.random.default_rng(0)
    thinned.adata.X = sp.csr_matrix(
        rng.binomial(thinned.adata.X.toarray().astype(int), 0.8).astype(np.float32)
    )
    applied = stm.apply_model(path, thinned, method="spacex", n_domains=3, baselines=False)
    learned = np.isfinite(done[0].adata.varm["X_spacex"]).all(axis=1)
    found, before = (s.adata.varm["X_spacex"][learned] for s in (thinned, done[0]))
    assert not np.array_equal(found, before)
    assert np.corrcoef(found.ravel(), before.ravel())[0, 1] > 0.7
    assert applied.fit.history == {}


def test_a_saved_model_fits_its_section_only(done: tuple[Section, Result], tmp_path: Path) -> None:
    path = stm.save_model(done[1], tmp_path / "genes.safetensors")
    with pytest.raises(DataError, match="do not lie as those of the section that the model"):
        stm.apply_model(path, striped(11, 14), method="spacex", n_domains=3)
    moved = striped()
    moved.adata.obsm["spatial"] = moved.coords * 3 + 1000
    stm.apply_model(path, moved, method="spacex", n_domains=3, baselines=False)
    fewer = striped()
    fewer = Section(fewer.adata[:, 5:].copy(), name="fewer", platform="visium")
    with pytest.raises(DataError, match="of the model's 30 genes are missing"):
        stm.apply_model(path, fewer, method="spacex", n_domains=3)
    with pytest.raises(ParameterError, match="belong to the saved model"):
        stm.apply_model(path, striped(), method="spacex", gene_modules=9)
