"""Sections with a telling image, and a prediction that takes no training."""

from __future__ import annotations

import json
import time

import numpy as np
import pandas as pd
from anndata import AnnData
from tests.gui.conftest import make_section

from napari_stmask.core.histology import Histology
from napari_stmask.core.prediction import RECORD, Prediction
from napari_stmask.core.progress import Progress
from napari_stmask.core.section import Section
from napari_stmask.features.gene_scale import log_expression

__all__ = ["FAST", "add_sections", "fake_predict", "slow_predict", "textured"]

FAST = {
    "epochs": 4, "replicates": 2, "uncertainty": 2, "n_scales": 1, "n_genes": 20, "hidden": 32,
    "device": "cpu", "threads": 1, "patch_size": 2.0, "patch_unit": "spots", "layers": 2,
}  # fmt: skip
K = 3


def textured(name: str, seed: int = 0, patient: str = "", n: int = 12) -> Section:
    """Left half dark and rough, right half pale, as its genes are; an annotation of the halves."""
    section = make_section(n=n, seed=seed, name=name)
    assert section.image is not None
    shape = section.image.levels[0].shape
    rng = np.random.default_rng(seed)
    left = np.arange(shape[1]) < shape[1] * 0.5
    level = np.where(left, 110, 200)[None, :, None] + np.array([40, -30, 20])
    noise = rng.normal(0, 1, shape[:2])[..., None] * np.where(left, 25, 6)[None, :, None]
    section.image = Histology([np.clip(level + noise, 0, 255).astype(np.uint8)], 0.5)
    if patient:
        section.adata.obs["patient"] = patient
    return section


def add_sections(session, names="abc", **options):
    """Open textured sections; the first one is selected."""
    items = [session.add(textured(name, seed, **options)) for seed, name in enumerate(names)]
    session.select(items[0].id)
    return items


def fake_predict(target, references=(), *, params=None, pitch=None, learn=None, **options):
    """What `iter_predict` does, without a network: the values are those measured, and noise."""
    yield Progress(0, 2, "training", {"error": 2.0}, "A message.")
    if params is None:
        from napari_stmask.models import params_of

        names = params_of("spahgc").model_fields
        params = params_of("spahgc").checked(**{k: v for k, v in options.items() if k in names})
    yield Progress(1, 2, "training", {"error": 1.0})
    section, sources = target, list(references)
    rows = np.ones(target.n_spots, bool)
    if learn is not None:
        rows, sources = ~learn, [target.bare(rows=learn)]
    elif not sources:
        sources = [target]
    place = target.bare(rows=rows) if learn is not None else target
    genes = [f"gene{i}" for i in range(20)]
    truth = log_expression(place, genes, "normalised")
    rng = np.random.default_rng(0)
    values = (truth + rng.normal(0, 0.3, truth.shape)).astype(np.float32)
    coords = place.coords
    if pitch is not None:
        values, coords = values[::2], coords[::2]
    n = len(values)
    adata = AnnData(values)
    adata.obs_names = place.adata.obs_names if pitch is None else [f"p{i}" for i in range(n)]
    adata.var_names = genes
    adata.var["expected_pcc"] = np.linspace(0.1, 0.6, 20, dtype=np.float32)
    adata.var["expected_error"] = np.full(20, 0.4, np.float32)
    adata.obsm["spatial"] = coords
    adata.obsm["X_spahgc"] = values[:, :4]
    table = pd.concat(
        [
            pd.DataFrame(
                {"section": s.name, "spot": s.adata.obs_names, "x": s.coords[:, 0],
                 "y": s.coords[:, 1]}
            )
            for s in sources
        ],
        ignore_index=True,
    )  # fmt: skip
    adata.obsm["spahgc_references"] = rng.integers(0, len(table), (n, K))
    adata.obsm["spahgc_weights"] = np.tile(np.array([0.5, 0.3, 0.2], np.float32), (n, 1))
    adata.layers["spread"] = np.abs(rng.normal(0.2, 0.05, values.shape)).astype(np.float32)
    adata.obs["novelty"] = np.linspace(0, 1, n, dtype=np.float32)
    adata.obs["novel"] = adata.obs["novelty"] > 0.95
    scores = None
    if pitch is None:
        pcc = [np.corrcoef(values[:, g], truth[:, g])[0, 1] for g in range(20)]
        for name in ("pcc", "spearman", "ceiling", "split_half"):
            adata.var[name] = pcc
        adata.var["rmse"] = adata.var["mae"] = 0.3
        scores = pd.DataFrame(
            {"pcc_mean": [0.9, 0.0, 0.3], "pcc_median": [0.9, 0.0, 0.3],
             "spearman_mean": [0.9, 0.0, 0.3], "rmse": [0.3, 0.9, 0.8], "mae": [0.3, 0.9, 0.8]},
            index=["SpaHGC", "mean", "depth (oracle)"],
        )  # fmt: skip
    record = {"params": params.model_dump(), "notes": ["A note."], "expression": "normalised"}
    adata.uns[RECORD] = json.dumps(record)
    found = Section(
        adata, name=f"{section.name} · predicted", image=section.image,
        um_per_px=section.um_per_px, platform=section.platform, spot_diameter=11.0,
    )  # fmt: skip
    return Prediction("spahgc", target, found, table, scores, record, _State())


class _State:
    def save(self, path):
        path.write_bytes(b"model")


def slow_predict(*args, **options):
    """A training that goes on until it is cancelled."""
    del args, options
    end = time.monotonic() + 60
    step = 0
    while time.monotonic() < end:
        step += 1
        yield Progress(step, 10_000, "training", {"error": 1.0 / step})
        time.sleep(0.01)
    raise AssertionError("nobody cancelled")
