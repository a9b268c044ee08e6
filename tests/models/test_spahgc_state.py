"""A trained SpaHGC as a file: the same answers, and a clear word about any other file."""

import json
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from tests.models.spahgc_helpers import GENES, KEY, fit, predict, settings, tabled

from napari_stmask.core.errors import (
    DataError,
    FileFormatError,
    MissingFileError,
    ParameterError,
    StmaskError,
)
from napari_stmask.core.section import Section
from napari_stmask.models import predictor
from napari_stmask.models.spahgc.state import SpaHGCState


@pytest.fixture(scope="module")
def tables() -> list[Section]:
    return [tabled(seed, side=10) for seed in range(3)]


@pytest.fixture(scope="module")
def state(tables: list[Section]) -> SpaHGCState:
    return fit(tables[:2], image_encoder=KEY, epochs=2)


@pytest.fixture
def path(state: SpaHGCState, tmp_path: Path) -> Path:
    out = tmp_path / "model.safetensors"
    state.save(out)
    return out


@pytest.mark.parametrize("values", [{}, {"standardise": "references"}, {"mode": "release"}])
def test_saved_and_loaded_predicts_the_same(
    tables: list[Section], tmp_path: Path, values: dict
) -> None:
    before = fit(tables[:2], image_encoder=KEY, epochs=2, **values)
    before.save(tmp_path / "model.safetensors")
    after = predictor("spahgc").load(tmp_path / "model.safetensors")
    one, other = (predict(s, tables[2], uncertainty=2) for s in (before, after))
    for name in ("values", "spread", "embedding", "references", "weights", "novelty",
                 "expected_pcc", "expected_error"):  # fmt: skip
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert after.params == before.params
    assert (after.genes, after.notes) == (before.genes, before.notes)
    assert dict(after.history) == dict(before.history)
    assert after.reference_table().equals(before.reference_table())


def test_file_holds_tensors_and_text_alone(path: Path) -> None:
    with safe_open(path, framework="pt") as file:
        assert set(file.metadata()) == {"format", "params", "facts"}
        json.loads(file.metadata()["facts"])
    header = struct.unpack("<Q", path.read_bytes()[:8])[0]
    assert header < path.stat().st_size


def test_saving_twice_gives_the_same_bytes(state: SpaHGCState, path: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.safetensors"
    SpaHGCState.load(path).save(again)
    with safe_open(path, framework="pt") as a, safe_open(again, framework="pt") as b:
        assert a.metadata() == b.metadata()
        assert set(a.keys()) == set(b.keys())
        assert all(torch.equal(a.get_tensor(k), b.get_tensor(k)) for k in a.keys())  # noqa: SIM118


# Other encoders and genes


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"image_encoder": "obsm:other"}, "image_encoder"),
        ({"patch_size": 55.0}, "patch_size"),
        ({"patch_unit": "spots"}, "patch_unit"),
        ({"n_scales": 2}, "n_scales"),
        ({"stain": "macenko"}, "stain"),
    ],
)
def test_another_encoder_is_refused(state: SpaHGCState, values: dict, name: str) -> None:
    with pytest.raises(ParameterError, match=name):
        state.check(settings(**({"image_encoder": KEY} | values)))


def test_the_own_settings_are_accepted(state: SpaHGCState) -> None:
    state.check(None)
    free = {"seed": 4, "smoothing": 0.5, "uncertainty": 3, "threads": 2}
    asked = state.params.model_copy(update=free)
    state.check(asked, state.genes)
    assert state.settings(asked) == asked
    other = settings(image_encoder="descriptor", epochs=99, **free)
    assert state.settings(other) == asked


def test_settings_of_the_training_cannot_change(state: SpaHGCState) -> None:
    """Taken silently, they would do nothing."""
    for name, value in (("epochs", 99), ("n_genes", 9), ("hidden", 64), ("calibrate", False)):
        with pytest.raises(ParameterError, match=f"trained with {name}"):
            state.check(state.params.model_copy(update={name: value}))


@pytest.mark.parametrize("genes", [lambda g: g[::-1], lambda g: g[:-1], lambda g: [*g[:-1], "X"]])
def test_other_genes_or_another_order_are_refused(state: SpaHGCState, genes: Callable) -> None:
    with pytest.raises(DataError, match=f"{GENES} genes"):
        state.check(None, genes(list(state.genes)))


def test_features_of_another_width_are_refused(state: SpaHGCState) -> None:
    with pytest.raises(DataError, match="9 columns, those of the model 12"):
        predict(state, tabled(2, side=10, width=9))


# Other files


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError):
        SpaHGCState.load(tmp_path / "none.safetensors")


def test_a_file_of_something_else(tmp_path: Path) -> None:
    text = tmp_path / "text.safetensors"
    text.write_text("spot,x,y\n")
    tensors = tmp_path / "tensors.safetensors"
    save_file({"weight": torch.zeros(3)}, tensors)
    empty = tmp_path / "empty.safetensors"
    empty.touch()
    for path in (text, tensors, empty):
        with pytest.raises(FileFormatError, match="not a SpaHGC model"):
            SpaHGCState.load(path)


def test_a_truncated_file(path: Path) -> None:
    whole = path.read_bytes()
    for share in (0.001, 0.1, 0.5, 0.9, 0.9999):
        path.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(FileFormatError):
            SpaHGCState.load(path)


def parts_of(path: Path) -> tuple[dict, dict]:
    with safe_open(path, framework="pt") as file:
        meta = dict(file.metadata())
        return meta, {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118


def test_every_tensor_is_needed_and_of_its_shape(path: Path) -> None:
    """A file without one of its tensors, or with one row less of it, is refused."""
    meta, tensors = parts_of(path)
    # Of the many weights of a network one of each kind.
    kinds = {name.split(".", 1)[0] + "." + name.rsplit(".", 1)[-1]: name for name in tensors}
    tables = [name for name in tensors if not name.startswith("net")]
    for name in {*kinds.values(), *tables}:
        whole = tensors[name]
        for kept in (None, whole[:-1], whole.reshape(-1, 1, 1), whole.to(torch.float16)):
            if name.startswith("net") and kept is not None and kept.shape == whole.shape:
                continue  # weights are converted
            others = {k: v for k, v in tensors.items() if k != name}
            changed = others if kept is None else others | {name: kept.contiguous()}
            save_file(changed, path, metadata=meta)
            with pytest.raises(FileFormatError):
                SpaHGCState.load(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda facts: facts | {"sides": []},
        lambda facts: facts | {"sides": facts["sides"][:1]},
        lambda facts: facts | {"sides": 3},
        lambda facts: facts | {"sides": [["a", 0, 1.0], [1, 1, 1.0]]},
        lambda facts: facts | {"genes": facts["genes"][1:]},
        lambda facts: facts | {"spots": facts["spots"][1:]},
        lambda facts: facts | {"sections": []},
        lambda facts: facts | {"sides": [*facts["sides"], facts["sides"][0]]},
        lambda facts: facts | {"alphas": facts["alphas"][:-1]},
        lambda facts: facts | {"alphas": ["x"] * 3},
        lambda facts: facts | {"history": [1, 2]},
        lambda facts: facts | {"history": {"error": 3}},
        lambda facts: facts | {"notes": 5},
        lambda facts: {},
        lambda facts: [],
    ],
)
def test_damaged_facts(path: Path, change: Callable) -> None:
    meta, tensors = parts_of(path)
    meta["facts"] = json.dumps(change(json.loads(meta["facts"])))
    save_file(tensors, path, metadata=meta)
    with pytest.raises(FileFormatError):
        SpaHGCState.load(path)


def test_damaged_settings(path: Path) -> None:
    meta, tensors = parts_of(path)
    for text in ("{}", "nothing", json.dumps({"hidden": 64}), json.dumps({"unknown": 1})):
        save_file(tensors, path, metadata=meta | {"params": text})
        with pytest.raises(StmaskError):
            SpaHGCState.load(path)


def test_tables_that_do_not_belong_are_refused(path: Path) -> None:
    meta, tensors = parts_of(path)
    for name in ("ridge9.weights", "standard.mean", "other"):
        save_file(tensors | {name: torch.zeros(3)}, path, metadata=meta)
        with pytest.raises(FileFormatError):
            SpaHGCState.load(path)
