"""A region learnt on annotated sections and found in predicted values."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata import AnnData
from tests.helpers import hexagons

from napari_stmask.analysis.region_transfer import find_region, predicted_values, region_labels
from napari_stmask.analysis.tumour_region import probability, region_classifier
from napari_stmask.core.errors import DataError, ParameterError
from napari_stmask.core.progress import drain
from napari_stmask.core.section import Section
from napari_stmask.features.gene_scale import log_expression

GENES = [f"g{i}" for i in range(12)]


def measured(name: str, seed: int, labels: bool = True) -> Section:
    """Upper half raised in six of the panel's genes; other genes make up the depth."""
    rng = np.random.default_rng(seed)
    coords = hexagons(10, 12, 100.0)
    inside = coords[:, 1] > np.median(coords[:, 1])
    mean = np.full((len(coords), 30), 3.0)
    mean[np.ix_(inside, range(6))] = 12.0
    adata = AnnData(sp.csr_matrix(rng.poisson(mean).astype(np.float32)))
    adata.var_names = [*GENES, *(f"other{i}" for i in range(18))]
    adata.obs_names = [f"{name}{i}" for i in range(len(coords))]
    if labels:
        adata.obs["region"] = pd.Categorical(np.where(inside, "tumour", "healthy"))
    adata.obsm["spatial"] = coords
    return Section(adata, name=name)


def predicted(section: Section) -> Section:
    adata = AnnData(log_expression(section, GENES, "normalised"))
    adata.var_names, adata.obs_names = GENES, section.adata.obs_names
    adata.obsm["spatial"] = section.coords
    return Section(adata, name="predicted")


def spots_of(*sections: Section) -> pd.DataFrame:
    tables = [pd.DataFrame({"section": s.name, "spot": s.adata.obs_names}) for s in sections]
    return pd.concat(tables, ignore_index=True)


@pytest.fixture
def sections() -> list[Section]:
    return [measured("a", 0), measured("b", 1), measured("c", 2, labels=False)]


def ask(found: Section, references: list[Section], spots: pd.DataFrame, **options):
    values = {"column": "region", "positive": ["tumour"]} | options
    return drain(find_region(found, references, spots, **values))


def test_it_is_the_classifier_on_the_listed_spots(sections: list[Section]) -> None:
    target = measured("t", 5)
    found = predicted(target)
    # Only some spots of a may be learnt from, all of b, and c has no labels.
    spots = spots_of(*sections).query("section != 'a' or spot < 'a5'")
    answer = ask(found, sections, spots)
    keep = sections[0].adata.obs_names < "a5"
    tables = [log_expression(s, GENES, "normalised") for s in sections[:2]]
    labels = pd.concat(
        [sections[0].adata.obs["region"][keep], sections[1].adata.obs["region"]]
    ).astype(str)
    model = region_classifier(
        np.vstack([tables[0][keep], tables[1]]), labels.to_numpy(), positive=["tumour"]
    )
    np.testing.assert_allclose(answer.probability, probability(model, found.adata.X), rtol=1e-5)
    assert answer.learnt_from == int(keep.sum()) + 120
    assert answer.scores is None
    truth = (target.adata.obs["region"] == "tumour").to_numpy()
    assert (answer.inside == truth).mean() > 0.95


def test_scores_are_over_spots_of_the_same_name(sections: list[Section]) -> None:
    target = measured("t", 5)
    found = predicted(target)
    part = Section(found.adata[30:].copy(), name="part")
    whole = ask(found, sections, spots_of(*sections), target=target)
    some = ask(part, sections, spots_of(*sections), target=target)
    assert whole.scores is not None
    assert some.scores is not None
    assert whole.scores["auroc"] > 0.98
    assert whole.scores["labelled"] == 120
    assert some.scores["labelled"] == 90
    # Shuffled labels: the score knows nothing of the answer.
    rng = np.random.default_rng(0)
    target.adata.obs["region"] = rng.permutation(np.asarray(target.adata.obs["region"]))
    chance = ask(found, sections, spots_of(*sections), target=target)
    assert chance.scores is not None
    assert 0.3 < chance.scores["auroc"] < 0.7


def test_labels_of_the_target_that_say_nothing_give_no_score(sections: list[Section]) -> None:
    target = measured("t", 5)
    target.adata.obs["region"] = "healthy"
    answer = ask(predicted(target), sections, spots_of(*sections), target=target)
    assert answer.scores is None


def test_missing_labels_and_yes_or_no(sections: list[Section]) -> None:
    first = sections[0]
    truth = (first.adata.obs["region"] == "tumour").to_numpy()
    first.adata.obs["yes"] = truth
    missing = pd.Series(truth, index=first.adata.obs_names).astype(object)
    missing.iloc[:7] = None
    first.adata.obs["some"] = missing
    found = predicted(measured("t", 5))
    every = ask(found, [first], spots_of(first), column="yes", positive=["True"])
    assert every.learnt_from == 120
    some = ask(found, [first], spots_of(first), column="some", positive=["True"])
    assert some.learnt_from == 113


def test_nothing_to_learn_from(sections: list[Section]) -> None:
    found = predicted(measured("t", 5))
    with pytest.raises(ParameterError, match="no open reference section has the column 'region'"):
        ask(found, sections[2:], spots_of(*sections))
    with pytest.raises(ParameterError, match="no open reference"):
        ask(found, sections[:1], spots_of(sections[1]))
    sections[0].adata.var_names = [f"x{i}" for i in range(30)]
    with pytest.raises(DataError, match="lacks 12 of 12 genes"):
        ask(found, sections[:1], spots_of(sections[0]))


def test_columns_that_name_regions(sections: list[Section]) -> None:
    obs = sections[0].adata.obs
    obs["score"] = np.linspace(0, 1, len(obs))
    obs["one"] = "same"
    obs["barcode"] = obs.index
    obs["flag"] = np.arange(len(obs)) % 2 == 0
    sections[1].adata.obs["region"] = "margin"
    found = region_labels(sections)
    assert found == {"region": ["healthy", "margin", "tumour"], "flag": ["False", "True"]}


def test_predicted_values_may_be_sparse(sections: list[Section]) -> None:
    found = predicted(sections[0])
    dense = predicted_values(found)
    found.adata.X = sp.csr_matrix(found.adata.X)
    np.testing.assert_array_equal(predicted_values(found), dense)
