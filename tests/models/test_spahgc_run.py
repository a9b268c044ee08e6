"""SpaHGC as a run: events, cancelling, and what is refused before it starts."""

from pathlib import Path

import pytest
import torch
from tests.models.spahgc_helpers import KEY, settings, tabled

from napari_stmask.core.errors import ParameterError
from napari_stmask.core.section import Section
from napari_stmask.models import get, predictor, predictors
from napari_stmask.models.base import Predictor
from napari_stmask.models.spahgc.params import SpaHGCParams
from napari_stmask.nn import train


@pytest.fixture(scope="module")
def tables() -> list[Section]:
    return [tabled(seed) for seed in range(3)]


# Cancelling


def test_cancelled_within_a_step(
    tables: list[Section], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(train, "_SILENCE", -1.0)
    taken: list[int] = []
    step = train._step

    def counted(*arguments: object) -> dict[str, float]:
        taken.append(1)
        return step(*arguments)

    monkeypatch.setattr(train, "_step", counted)
    threads = torch.get_num_threads()
    params = settings(image_encoder=KEY, epochs=50, threads=2, batch_spots=100)
    steps = predictor("spahgc").fit(tables[:2], [0, 1], params)
    event = next(e for e in steps if e.phase == "training")
    assert event.step == 0  # inside the first epoch
    done = len(taken)
    assert done == 1
    steps.close()
    assert len(taken) == done
    assert torch.get_num_threads() == threads
    assert not list(tmp_path.iterdir())


def test_events_of_a_run(tables: list[Section]) -> None:
    events = list(predictor("spahgc").fit(tables[:2], [0, 1], settings(image_encoder=KEY)))
    training = [e for e in events if e.phase == "training"]
    assert training[-1].step == training[-1].total == 2 * 4
    assert all(0 <= e.fraction <= 1 for e in events)
    assert {"gene panel", "retrieval", "training"} <= {e.phase for e in events}


# Interface


def test_it_is_a_predictor_and_no_method_of_domains() -> None:
    assert predictors() == ["spahgc"]
    assert isinstance(predictor("spahgc"), Predictor)
    with pytest.raises(ParameterError, match="finds no domains"):
        get("spahgc")
    with pytest.raises(ParameterError, match="no method 'vimst' that predicts"):
        predictor("vimst")


def test_estimate_grows_with_the_work(tables: list[Section]) -> None:
    method = predictor("spahgc")
    few, many = (
        method.estimate(tables[2], tables[:2], settings(image_encoder=KEY, epochs=e))
        for e in (10, 100)
    )
    assert 0 < few.seconds < many.seconds
    assert few.peak_bytes > 0
    alone = method.estimate(None, tables[:2], settings(image_encoder=KEY, epochs=10))
    assert alone.seconds <= few.seconds


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"hidden": 100, "heads": 8}, "heads"),
        ({"panel": "list"}, "list"),
        ({"gene_list": "genes.txt"}, "list"),
        ({"mask_reference": 1.0}, "mask_reference"),
        ({"image_encoder": "nothing"}, "encoder"),
    ],
)
def test_impossible_settings(values: dict, word: str) -> None:
    with pytest.raises(ParameterError, match=word):
        settings(**values)


@pytest.mark.parametrize("name", sorted(SpaHGCParams.PRESETS))
def test_presets_are_possible(name: str) -> None:
    assert SpaHGCParams(**SpaHGCParams.PRESETS[name]).hidden % 4 == 0
