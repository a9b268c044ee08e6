"""The same run on a Dask scheduler."""

import time

import numpy as np
import pytest
from tests.helpers import banded

from napari_stmask.compute import submit
from napari_stmask.core.errors import DataError, ParameterError, ResourceError
from napari_stmask.core.joining import join_sections
from napari_stmask.core.progress import drain
from napari_stmask.core.section import Section

distributed = pytest.importorskip("distributed", reason="the extra [distributed] is not installed")
SMALL = {"epochs": 4, "replicates": 1, "threads": 1, "n_domains": 4, "baselines": False}


@pytest.fixture(scope="module")
def scheduler():
    """A scheduler and one worker process on this computer's loopback address."""
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=2, processes=True, host="127.0.0.1", dashboard_address=None
    ) as cluster:
        yield cluster.scheduler_address.replace("tcp://", "dask://")


@pytest.mark.slow
def test_same_answer_as_here(scheduler: str) -> None:
    here, _ = banded(10, 12, 80)
    there, _ = banded(10, 12, 80)
    expected = drain(submit("spamask", here, **SMALL))
    events = []
    steps = submit("spamask", there, on=scheduler, **SMALL)
    try:
        while True:
            events.append(next(steps))
    except StopIteration as stop:
        result = stop.value
    np.testing.assert_array_equal(result.domains.codes, expected.domains.codes)
    assert there.adata.obs["spamask"].equals(here.adata.obs["spamask"])
    assert any(e.phase == "preparing" for e in events)


@pytest.mark.slow
def test_features_and_sections_travel_and_labels_do_not(scheduler: str) -> None:
    """Precomputed features, which section a spot is of, and none of the columns of obs."""
    made = []
    for _ in range(2):
        whole, band = banded(10, 12, 80)
        rng = np.random.default_rng(0)
        whole.adata.obsm["patches"] = rng.normal(size=(120, 6)).astype(np.float32)
        whole.adata.obs["ground_truth"] = band.astype(str)
        left = np.arange(120) % 12 < 6
        made.append(
            join_sections(
                [
                    Section(whole.adata[rows].copy(), name=name, platform="visium")
                    for name, rows in (("a", left), ("b", ~left))
                ]
            )
        )
    here, there = made
    values = SMALL | {"image_encoder": "obsm:patches", "link_sections": False}
    expected = drain(submit("vimst", here, **values))
    result = drain(submit("vimst", there, on=scheduler, **values))
    assert set(result.views) == {"gene", "image"}
    np.testing.assert_allclose(result.embedding, expected.embedding, atol=1e-5)
    own = np.arange(120) < 60
    i, j = result.fit.graph.nonzero()
    assert (own[i] == own[j]).all()
    assert there.adata.obs["vimst_image"].equals(here.adata.obs["vimst_image"])
    assert "stmask_image_features" not in there.adata.obsm


@pytest.mark.slow
def test_cancel_reaches_the_worker(scheduler: str) -> None:
    section, _ = banded(10, 12, 80)
    steps = submit("spamask", section, on=scheduler, **(SMALL | {"epochs": 5000, "replicates": 20}))
    while next(steps).phase != "training":
        pass
    steps.close()
    assert "spamask" not in section.adata.obs
    with distributed.Client(scheduler.replace("dask://", "tcp://"), set_as_default=False) as client:
        limit = time.monotonic() + 20
        while any(client.processing().values()) and time.monotonic() < limit:
            time.sleep(0.2)
        assert not any(client.processing().values())


@pytest.mark.slow
def test_a_user_s_mistake_comes_back_as_one_sentence(scheduler: str) -> None:
    section, _ = banded(10, 12, 80)
    section.adata.X = section.adata.X * 0.5
    with pytest.raises(DataError, match="not whole numbers"):
        drain(submit("spamask", section, on=scheduler, **SMALL))


@pytest.mark.parametrize(
    "address", ["ray://a:1", "dask://", "dask://host", "dask://host:99999999", "x"]
)
def test_addresses_are_checked(address: str) -> None:
    with pytest.raises(ParameterError, match="dask://HOST:PORT"):
        submit("spamask", banded(5, 4, 30)[0], on=address)


@pytest.mark.slow
def test_silent_scheduler(monkeypatch) -> None:
    monkeypatch.setattr("napari_stmask.compute._CONNECT_SECONDS", 1)
    with pytest.raises(ResourceError, match="does not answer"):
        drain(submit("spamask", banded(5, 4, 30)[0], on="dask://127.0.0.1:9"))
