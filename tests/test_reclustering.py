"""Other partitions from a stored embedding: equal to clustering it anew, and repeatable."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import adjusted_rand_score
from tests.helpers import banded

from napari_stmask import recluster, subcluster
from napari_stmask.analysis.domains import cluster, reduce
from napari_stmask.core.errors import ParameterError
from napari_stmask.core.provenance import read_record
from napari_stmask.core.result import Domains, Fit, Result
from napari_stmask.core.section import Section
from napari_stmask.recipes import command_of, python_of

KEY = "spamask"


@pytest.fixture
def done() -> tuple[Section, np.ndarray, np.ndarray]:
    """A section with a finished run of three domains; true bands; embedding."""
    section, band = banded(30, 30, genes=60)
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(5, 8)) * 4
    # Bands 0-1 and 2-3 lie near each other, so that three is a natural number too.
    centres[1], centres[3] = centres[0] + 1.2, centres[2] + 1.2
    embedding = (centres[band] + rng.normal(size=(len(band), 8)) * 0.3).astype(np.float32)
    codes = np.array([0, 0, 1, 1, 2])[band]
    record = {
        "schema": 1, "method": "spamask", "key": KEY, "finished": "2026-01-01T00:00:00+00:00",
        "params": {"n_domains": 3, "n_pcs_out": 6, "seed": 4}, "notes": [],
    }  # fmt: skip
    ready = Result(
        KEY,
        Fit(embedding),
        Domains(codes, np.full(len(codes), 0.9, np.float32), "mixture"),
        ["#E69F00", "#56B4E9", "#009E73"],
        {},
        record,
    )
    ready.apply(section.adata)
    return section, band, embedding


def test_is_what_clustering_the_embedding_gives(done) -> None:
    section, band, embedding = done
    found = recluster(section, KEY, n_domains=5)
    plain = cluster(reduce(embedding, 6, seed=4), 5, seed=4)
    np.testing.assert_array_equal(found.domains.codes, plain.codes)
    assert adjusted_rand_score(band, found.domains.codes) == 1.0
    column = section.adata.obs["spamask_k5"]
    np.testing.assert_array_equal(column.cat.codes, plain.codes)
    # The run itself stays.
    assert section.adata.obs[KEY].nunique() == 3
    assert set(section.adata.uns["stmask"]) == {KEY, "spamask_k5"}


def test_same_number_keeps_the_colours(done) -> None:
    section, _, _ = done
    found = recluster(section, KEY, n_domains=3, key_added="again")
    old = section.adata.obs[KEY].cat.codes.to_numpy()
    new = found.domains.codes
    assert adjusted_rand_score(old, new) == 1.0
    colors = section.adata.uns[f"{KEY}_colors"]
    assert [found.colors[c] for c in new] == [colors[c] for c in old]


def test_other_numbers_use_other_colours(done) -> None:
    section, _, _ = done
    found = recluster(section, KEY, n_domains=5)
    assert len({c.upper() for c in found.colors}) == 5


def test_a_number_is_chosen_where_none_is_asked(done) -> None:
    section, _, _ = done
    found = recluster(section, KEY, clustering="kmeans")
    assert found.key == "spamask_auto"
    assert found.record["params"]["auto_domains"]
    assert 2 <= found.domains.n_domains <= 15


def test_a_domain_is_divided_and_others_stay(done) -> None:
    section, band, _ = done
    found = subcluster(section, KEY, "1", n_domains=2)
    column = section.adata.obs["spamask_sub"]
    assert set(column.cat.categories) == {"2", "3", "1.1", "1.2"}
    old = section.adata.obs[KEY].astype(str).to_numpy()
    others = old != "1"
    np.testing.assert_array_equal(column.astype(str).to_numpy()[others], old[others])
    parts = column.astype(str).to_numpy()[~others]
    assert adjusted_rand_score(band[~others], parts) == 1.0
    # Others keep their colours, too.
    uns = section.adata.uns["spamask_sub_colors"]
    assert uns[list(column.cat.categories).index("3")] == "#009E73"
    # The first part has that of the whole, the second one that is not in use.
    assert uns[list(column.cat.categories).index("1.1")] == "#E69F00"
    assert len(set(uns)) == 4
    kept = section.adata.obs["spamask_sub_confidence"].to_numpy()[others]
    np.testing.assert_allclose(kept, 0.9, rtol=1e-6)
    assert found.names == tuple(column.cat.categories)


def test_a_region_across_domains_is_divided(done) -> None:
    section, band, _ = done
    section.adata.obs["drawn"] = pd.Categorical(np.where(np.isin(band, (1, 2)), "tumour", None))
    subcluster(section, KEY, "tumour", column="drawn", n_domains=2, key_added="in_tumour")
    column = section.adata.obs["in_tumour"].astype(str).to_numpy()
    inside = np.isin(band, (1, 2))
    assert adjusted_rand_score(band[inside], column[inside]) == 1.0
    assert set(column[band == 0]) == {"1"}
    assert set(column[band == 3]) == {"2"}


def test_spots_that_the_run_left_out_stay_out(done) -> None:
    section, _, _ = done
    section.adata.obsm[f"X_{KEY}"][:7] = np.nan
    found = recluster(section, KEY, n_domains=5)
    np.testing.assert_array_equal(found.domains.codes[:7], -1)
    assert section.adata.obs["spamask_k5"].isna().sum() == 7
    assert (found.domains.codes[7:] >= 0).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: recluster(s, "other", n_domains=3), "no run 'other'"),
        (lambda s: recluster(s, KEY, n_domains=2000), "2000"),
        (lambda s: recluster(s, KEY, n_domains=3, clustering="magic"), "clustering"),
        (lambda s: subcluster(s, KEY, "9"), "has no '9'"),
        (lambda s: subcluster(s, KEY, "a", column="few", n_domains=2), "too few"),
    ],
)
def test_says_what_is_wrong_and_writes_nothing(done, call, message) -> None:
    section, _, _ = done
    few = np.full(section.n_spots, None, dtype=object)
    few[:4] = "a"
    section.adata.obs["few"] = pd.Categorical(few)
    before = set(section.adata.obs)
    with pytest.raises(ParameterError, match=message):
        call(section)
    assert set(section.adata.obs) == before


def test_script_of_a_divided_result_repeats_it(done) -> None:
    section, _, _ = done
    recluster(section, KEY, n_domains=5)
    subcluster(section, "spamask_k5", ["1", "2"], n_domains=3, key_added="parts")
    script = python_of(section, "parts")
    lines = script.strip().splitlines()
    assert lines[0] == "import napari_stmask as stm"
    assert "stm.recluster(section, 'spamask'" in script
    assert lines[-1].startswith("result = stm.subcluster(section, 'spamask_k5', ['1', '2']")
    column = section.adata.obs["parts"].astype(str).to_numpy()
    import napari_stmask as stm

    again = Section(section.adata[:, :].copy(), name="again", platform="visium")
    del again.adata.obs["parts"]
    # The training is left out; what follows it is run as it stands.
    for line in lines[-2:]:
        exec(line, {"stm": stm, "section": again})
    np.testing.assert_array_equal(again.adata.obs["parts"].astype(str).to_numpy(), column)


def test_commands_repeat_it(done, tmp_path, call) -> None:
    section, _, _ = done
    section.source = "tissue"
    import napari_stmask as stm

    stm.write(section, tmp_path / "result.h5ad")
    made = recluster(section, KEY, n_domains=4)
    lines = command_of(section, "spamask_k4").splitlines()
    assert lines[0].startswith("napari-stmask run spamask tissue")
    words = lines[1].split()[1:]
    words = [str(tmp_path / w) if w == "result.h5ad" else w for w in words]
    code, facts, _ = call(*words, "--json")
    assert code == 0
    assert json.loads(facts)["domains"] == {
        n: int((made.domains.codes == i).sum()) for i, n in enumerate(made.names)
    }
    subcluster(again := stm.read(tmp_path / "result.h5ad"), "spamask_k4", "1", column="spamask")
    assert "--regions spamask" in command_of(again, "spamask_k4_sub").splitlines()[2]
    assert read_record(again.adata, "spamask_k4")["derived"]["n_domains"] == 4
