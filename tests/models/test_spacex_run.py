"""SpaCEX as a run: where answers land, settings, errors and cancelling."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from tests.helpers import hexagons
from tests.models.spacex_helpers import arranged, settings, striped

from napari_stmask.core.errors import DataError, ParameterError, StmaskError
from napari_stmask.core.provenance import read_record
from napari_stmask.core.result import Result
from napari_stmask.core.section import Section
from napari_stmask.features.gene_images import picture_values
from napari_stmask.models import get
from napari_stmask.nn import train
from napari_stmask.pipeline import iter_run, run

SCORES = ("svg_score", "svg_effect", "svg_p", "svg_q", "svg_rank")


def explored(section: Section, **values: Any) -> Result:
    return run("spacex", section, params=settings(**values), baselines=False)


def digest(section: Section) -> str:
    x = section.adata.X
    parts = (x.data, x.indices, x.indptr, section.coords)
    return hashlib.sha256(b"".join(np.ascontiguousarray(p).tobytes() for p in parts)).hexdigest()


def slots(section: Section) -> set[tuple[str, str]]:
    names = ("obs", "var", "obsm", "varm", "obsp", "varp", "layers", "uns")
    return {(slot, name) for slot in names for name in getattr(section.adata, slot)}


@pytest.fixture(scope="module")
def done() -> tuple[Section, Result]:
    section = striped()
    return section, explored(section, n_genes=30)


# Answers


def test_answers_land_where_scanpy_looks(done: tuple[Section, Result]) -> None:
    section, result = done
    adata, untouched = section.adata, striped()
    assert digest(section) == digest(untouched)
    assert slots(section) - slots(untouched) == {
        ("obs", "spacex"), ("obs", "spacex_confidence"), ("uns", "spacex_colors"),
        ("obsm", "X_spacex"), ("obsm", "spacex_modules"), ("varm", "X_spacex"),
        ("var", "spacex_module"), ("var", "spacex_module_prob"), ("uns", "spacex_model"),
        ("uns", "stmask"), *(("var", f"spacex_{name}") for name in SCORES),
    }  # fmt: skip
    vectors = adata.varm["X_spacex"]
    assert vectors.shape == (48, 16)
    assert vectors.dtype == np.float32
    learned = np.isfinite(vectors).all(axis=1)
    assert learned.sum() == 30
    assert np.isnan(vectors[~learned]).all()
    modules = adata.var["spacex_module"]
    assert list(modules.cat.categories) == [str(i + 1) for i in range(len(modules.cat.categories))]
    assert (modules.notna() == learned).all()
    assert set(modules.dropna()) == set(modules.cat.categories)
    for name in ("module_prob", *SCORES):
        assert (adata.var[f"spacex_{name}"].notna() == learned).all()
    assert sorted(adata.var["spacex_svg_rank"].dropna()) == list(range(1, 31))
    assert adata.obsm["spacex_modules"].shape == (168, len(modules.cat.categories))
    assert result.domains.n_domains == 3


def test_record(done: tuple[Section, Result]) -> None:
    record = read_record(done[0].adata, "spacex")
    details = record["details"]
    assert details["canvas"] == [12, 15]
    assert details["canvas_rule"] == "hexagonal"
    assert details["n_genes"] == 30
    # 30 genes in batches of 16 are two steps an epoch.
    assert (details["epochs_pictures"], details["steps_pictures"]) == (3, 6)
    assert details["device"] == "cpu"
    assert len(record["losses"]["reconstruction"]) == 3
    assert len(record["losses"]["modules, sharpness"]) == details["epochs_modules"]


def test_modules_are_those_of_the_model_and_the_vectors(done: tuple[Section, Result]) -> None:
    section, result = done
    var = section.adata.var
    learned = var["spacex_module"].notna().to_numpy()
    model = result.fit.state
    posterior = model.posterior(section.adata.varm["X_spacex"][learned])
    np.testing.assert_array_equal(var["spacex_module"].cat.codes[learned], posterior.argmax(axis=1))
    np.testing.assert_allclose(var["spacex_module_prob"][learned], posterior.max(axis=1))
    np.testing.assert_allclose(posterior.sum(axis=1), 1, rtol=1e-5)
    assert model.genes == tuple(var.index[learned])


def test_modules_are_the_planted_programmes() -> None:
    section = striped(genes=48)
    explored(section, epochs_pretrain=60, epochs_cluster=3, token_dim=16, gene_modules=5)
    modules = section.adata.var["spacex_module"].astype(str).to_numpy()
    for programme in range(4):
        own = modules[:32][np.arange(32) % 4 == programme]
        assert len(set(own)) == 1
    assert len(set(modules[:32])) == 4
    p = section.adata.var["spacex_svg_p"].to_numpy()
    assert p[:32].max() < 0.05 < np.median(p[32:])


def test_the_clearest_module_comes_first(done: tuple[Section, Result]) -> None:
    section, result = done
    learned = section.adata.var["spacex_module"].notna().to_numpy()
    pictures = result.fit.state.maker(section).draw(
        picture_values(section, np.flatnonzero(learned))
    )
    codes = section.adata.var["spacex_module"].cat.codes.to_numpy()[learned]
    clear = [pictures[codes == k].mean(axis=0).var() for k in range(codes.max() + 1)]
    assert (np.diff(clear) <= 0).all()


# Determinism


def test_same_seed_same_answer_other_seed_another() -> None:
    one, same, other = striped(), striped(), striped()
    for section, seed in ((one, 1), (same, 1), (other, 2)):
        explored(section, seed=seed)
    np.testing.assert_array_equal(one.adata.varm["X_spacex"], same.adata.varm["X_spacex"])
    for slot in ("module", "module_prob", *SCORES):
        assert one.adata.var[f"spacex_{slot}"].equals(same.adata.var[f"spacex_{slot}"])
    assert one.adata.obs["spacex"].equals(same.adata.obs["spacex"])
    assert not np.allclose(one.adata.varm["X_spacex"], other.adata.varm["X_spacex"])


def test_an_earlier_run_is_replaced() -> None:
    section = striped()
    section.adata.var["mine"] = 1.0
    explored(section, smooth_labels=True)
    assert "spacex_refined" in section.adata.obs
    explored(section, svg_draws=0, n_genes=25, gene_modules=3)
    found = slots(section)
    assert not {("var", f"spacex_{name}") for name in SCORES} & found
    assert ("obs", "spacex_refined") not in found
    assert ("var", "mine") in found
    assert np.isfinite(section.adata.varm["X_spacex"]).all(axis=1).sum() == 25


def test_two_keys_live_side_by_side() -> None:
    section = striped()
    explored(section)
    first = section.adata.varm["X_spacex"].copy()
    run("spacex", section, params=settings(seed=4), baselines=False, key_added="again")
    np.testing.assert_array_equal(section.adata.varm["X_spacex"], first)
    assert not np.allclose(section.adata.varm["X_again"], first)
    assert "again_module" in section.adata.var


def test_what_another_wrote_is_not_overwritten() -> None:
    section = striped()
    section.adata.varm["X_spacex"] = np.ones((48, 2))
    with pytest.raises(ParameterError, match=r"varm\['X_spacex'\]"):
        explored(section)


# Spots without counts


def test_spots_without_counts_are_left_out() -> None:
    section, whole = striped(), striped()
    counts = section.adata.X.toarray()
    bare = np.array([3, 50, 167])
    counts[bare] = 0
    section.adata.X = sp.csr_matrix(counts)
    result = explored(section)
    assert "3 spots without any counts" in " ".join(result.record["notes"])
    filled = np.setdiff1d(np.arange(168), bare)
    for name in ("X_spacex", "spacex_modules"):
        assert np.isnan(section.adata.obsm[name][bare]).all()
        assert np.isfinite(section.adata.obsm[name][filled]).all()
    assert section.adata.obs["spacex"].isna().to_numpy().nonzero()[0].tolist() == bare.tolist()
    explored(whole)
    assert section.adata.varm["X_spacex"].shape == whole.adata.varm["X_spacex"].shape


# Mistakes


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"gene_modules": 1}, "gene_modules = 1"),
        ({"n_genes": 1}, "n_genes = 1"),
        ({"mixture": "gauss"}, "mixture"),
        ({"mask_ratio": 1.0}, "mask_ratio"),
        ({"batch": 1}, "batch"),
        ({"K": 5}, "there is no parameter 'K'"),
    ],
)
def test_impossible_settings(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ParameterError, match=words):
        settings(**values)


@pytest.mark.parametrize("draws", [1, 2])
def test_too_few_null_pictures_are_refused_before_any_work(draws: int) -> None:
    with pytest.raises(ParameterError, match=f"svg_draws = {draws}.*use 0, or 3 and more"):
        settings(svg_draws=draws)


def test_a_single_tile_cannot_be_hidden() -> None:
    with pytest.raises(ParameterError, match="none can be hidden; use smaller tiles"):
        explored(striped(), tile=32, loss_on="hidden")


def test_impossible_sections() -> None:
    one = arranged(np.ones((40, 1)) + np.arange(40)[:, None] % 3, hexagons(5, 8, 100.0))
    with pytest.raises(DataError, match="only 1 genes are seen often enough"):
        explored(one)
    few = striped(3, 5)
    with pytest.raises(StmaskError, match="15 picture elements are too few"):
        explored(few)
    with pytest.raises(ParameterError, match="49 gene modules were asked of 48 genes"):
        explored(striped(), gene_modules=49)
    logged = striped()
    logged.adata.X = logged.adata.X.log1p()
    with pytest.raises(DataError, match="not whole numbers"):
        explored(logged)
    with pytest.raises(ParameterError, match="2 sections"):
        run("spacex", [striped(), striped()], params=settings())


def test_a_refused_run_writes_nothing() -> None:
    section = striped()
    before = slots(section)
    with pytest.raises(ParameterError):
        explored(section, gene_modules=49)
    assert slots(section) == before


# Cancelling and events


@pytest.mark.parametrize(
    "phase", ["drawing", "learning pictures", "learning modules", "scoring genes"]
)
def test_cancelled_within_a_step(phase: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train, "_SILENCE", -1.0)
    taken: list[int] = []
    step = train._step
    monkeypatch.setattr(train, "_step", lambda *a: (taken.append(1), step(*a))[1])
    section = striped()
    before, hashed = slots(section), digest(section)
    steps = iter_run("spacex", section, params=settings(), baselines=False)
    event = next(e for e in steps if e.phase == phase and e.total)
    assert event.phase == phase
    at = len(taken)
    if phase == "learning pictures":
        assert at <= 1
    steps.close()
    assert len(taken) == at
    assert slots(section) == before
    assert digest(section) == hashed


def test_events_of_a_run() -> None:
    events = list(iter_run("spacex", striped(), params=settings(), baselines=False))
    phases = list(dict.fromkeys(e.phase for e in events))
    wanted = ["preparing", "drawing", "learning pictures", "learning modules", "scoring genes"]
    assert [p for p in phases if p in wanted] == wanted
    assert all(0 <= e.fraction <= 1 for e in events)
    for phase in ("learning pictures", "learning modules", "scoring genes"):
        steps = [e.step for e in events if e.phase == phase]
        assert steps == sorted(steps)


# Cost


def test_estimate_grows_with_the_work() -> None:
    method, section = get("spacex"), striped(20, 20, genes=300)
    values = [{"n_genes": n} for n in (20, 100, 300)]
    found = [method.estimate([section], settings(**v)) for v in values]
    for one in found:
        assert np.isfinite([one.seconds, one.peak_bytes]).all()
        assert one.seconds > 0
    assert found[0].seconds < found[1].seconds < found[2].seconds
    assert found[0].peak_bytes < found[1].peak_bytes < found[2].peak_bytes
    longer = method.estimate([section], settings(epochs_pretrain=300))
    assert longer.seconds > 2 * method.estimate([section], settings()).seconds - 10
    many = method.estimate([section], settings(svg_draws=1000))
    assert many.seconds > found[2].seconds
