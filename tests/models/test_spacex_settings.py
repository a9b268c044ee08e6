"""Every setting of SpaCEX runs, and does something."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from tests.models.spacex_helpers import settings, striped

from napari_stmask.core.errors import ParameterError
from napari_stmask.core.progress import drain
from napari_stmask.core.result import Fit
from napari_stmask.core.section import Section
from napari_stmask.models import get
from napari_stmask.models.spacex.params import SpaCEXParams, automatic_modules


def fitted(section: Section | None = None, **values: Any) -> Fit:
    """What the method hands to a run."""
    return drain(get("spacex").fit([section or striped(9, 10, genes=40)], settings(**values)))


def learned(found: Fit) -> np.ndarray:
    return np.isfinite(found.varm).all(axis=1)


# Settings


@pytest.fixture(scope="module")
def plain() -> Fit:
    return fitted()


VARIANTS: dict[str, dict[str, Any]] = {
    "kernel": {"mixture": "t_kernel"},
    "alpha": {"mixture": "t_kernel", "alpha": 20.0},
    "learned weights": {"loss_weights": "learned"},
    "kernel, learned weights": {"mixture": "t_kernel", "loss_weights": "learned"},
    "cluster weight": {"cluster_weight": 5.0},
    "size weight": {"size_weight": 2.0},
    "likeness": {"likeness_weight": 10.0},
    "no head": {"head": "none"},
    "head of the release": {"head": "mlp"},
    "network weight": {"network_weight": 3.0},
    "published vector": {"head": "none", "n_linear": 0},
    "positions": {"positions": "zero"},
    "hidden only": {"loss_on": "hidden"},
    "mask": {"mask_ratio": 0.8},
    "tile": {"tile": 4},
    "one tile": {"tile": 32},
    "no blur": {"smooth_sigma": 0.0},
    "raw": {"standardise": False},
    "grid": {"pixel_size": 180.0},
    "pooled": {"max_side": 8},
    "epochs": {"epochs_pretrain": 4},
    "steps": {"min_steps": 20},
    "no sharpening": {"epochs_cluster": 0},
    "learning rate": {"learning_rate": 1e-2},
    "batch": {"batch": 8},
    "batch of modules": {"batch_cluster": 7},
    "token width": {"token_dim": 16},
    "wider than genes": {"embed_dim": 60, "n_linear": 60},
}


@pytest.mark.parametrize("name", VARIANTS)
def test_each_setting_runs_and_does_something_to_vectors(plain: Fit, name: str) -> None:
    vectors, base = fitted(**VARIANTS[name]).varm, plain.varm
    assert np.isfinite(vectors).all()
    assert vectors.shape != base.shape or np.abs(vectors - base).max() > 1e-6


ANSWERS: dict[str, tuple[dict[str, Any], str]] = {
    "modules": ({"gene_modules": 6}, "module"),
    "prior": ({"prior": "section"}, "module_prob"),
    "null law": ({"svg_null": "zinb"}, "svg_effect"),
    "draws": ({"svg_draws": 7}, "svg_effect"),
    "scores": ({"domains_from": "scores"}, "features"),
    "share": ({"gene_fraction": 0.2}, "features"),
    "surroundings": ({"spot_weight": 3.0}, "features"),
    "self-training": ({"domain_epochs": 5}, "features"),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_each_setting_of_the_answer_does_something(plain: Fit, name: str) -> None:
    values, part = ANSWERS[name]
    found, base = (
        one.embedding if part == "features" else one.var[part] for one in (fitted(**values), plain)
    )
    assert np.shape(found) != np.shape(base) or not np.array_equal(found, base)


@pytest.mark.parametrize("name", SpaCEXParams.PRESETS)
def test_presets_run(name: str) -> None:
    quick = {"epochs_pretrain": 2, "min_steps": 0, "epochs_cluster": 1, "gene_modules": 4,
             "n_domains": 3, "svg_draws": 3, "threads": 1, "device": "cpu"}  # fmt: skip
    params = SpaCEXParams.preset(name, **quick)
    for key, value in SpaCEXParams.PRESETS[name].items():
        if key not in quick:
            assert getattr(params, key) == value
    found = drain(get("spacex").fit([striped(9, 10, genes=40)], params))
    assert np.isfinite(found.varm).all()
    assert np.isfinite(found.embedding).all()
    assert found.varm.shape[1] == (32 if name == "original" else 16)
    assert set(found.history) >= {"reconstruction", "modules, sharpness"}


@pytest.mark.parametrize(
    ("genes", "modules"), [(20, 5), (100, 6), (300, 20), (640, 20), (3000, 93), (20_000, 500)]
)
def test_number_of_modules_without_being_told(genes: int, modules: int) -> None:
    assert automatic_modules(genes) == modules


def test_few_genes_get_more_passes() -> None:
    details = fitted(striped(9, 10, genes=48), min_steps=10, epochs_pretrain=2).details
    # Three steps an epoch: four epochs are the first twelve.
    assert (details["epochs_pictures"], details["steps_pictures"]) == (4, 12)


@pytest.mark.parametrize("genes", [64, 128, 129])
def test_any_number_of_genes_trains(genes: int) -> None:
    found = fitted(striped(9, 10, genes=genes), batch=64, batch_cluster=64, svg_draws=0)
    assert found.varm.shape == (genes, 16)
    assert np.isfinite(found.varm).all()
    assert all(np.isfinite(curve).all() for curve in found.history.values())
    assert found.details["steps_pictures"] == 3 * -(-genes // 64)


def test_training_ends_when_modules_settle() -> None:
    details = fitted(epochs_pretrain=20, epochs_cluster=50, cluster_weight=0.01).details
    assert details["settled"]
    assert details["epochs_modules"] < 50


# Genes


def test_kept_genes_by_name_and_by_file(tmp_path: Path) -> None:
    names = striped(9, 10, genes=40).adata.var_names
    absent = names[~learned(fitted(n_genes=20, svg_draws=0))]
    assert len(absent) == 20
    wanted = list(absent[:3])
    listed = tmp_path / "my genes, of today.txt"
    listed.write_text("gene\n" + "\n".join(wanted), encoding="utf-8")
    for text in (f" {wanted[0]}, {wanted[1]} ,{wanted[2]},", str(listed)):
        there = learned(fitted(n_genes=20, svg_draws=0, keep_genes=text))
        assert there.sum() == 23
        assert there[names.get_indexer(wanted)].all()


def test_a_kept_gene_that_nobody_shows_is_learned_without_harm() -> None:
    section = striped(9, 10, genes=40)
    counts = section.adata.X.toarray()
    counts[:, 35] = 0
    section.adata.X = sp.csr_matrix(counts)
    assert not learned(fitted(section))[35]
    found = fitted(section, keep_genes="GENE035")
    assert learned(found)[35]
    assert found.var["svg_p"][35] == 1


@pytest.mark.parametrize("text", ["GENE001, NOBODY", ",".join(["GENE001"] * 90 + ["NOBODY"])])
def test_an_unknown_kept_gene(text: str) -> None:
    with pytest.raises(ParameterError, match="no gene 'NOBODY'"):
        fitted(keep_genes=text)


def test_an_unknown_gene_in_a_list(tmp_path: Path) -> None:
    path = tmp_path / "genes.txt"
    path.write_text("GENE001\nNOBODY\n", encoding="utf-8")
    with pytest.raises(ParameterError, match="no gene 'NOBODY'"):
        fitted(keep_genes=str(path))


def test_the_most_variable_genes() -> None:
    spatial, variable = (
        learned(fitted(gene_choice=choice, n_genes=24, svg_draws=0))
        for choice in ("spatial", "variable")
    )
    assert spatial.sum() == variable.sum() == 24
    assert not np.array_equal(spatial, variable)
