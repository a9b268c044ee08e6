"""A spot that is learnt from is never scored."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from tests.models.spahgc_helpers import KEY, pictured, settings, tabled

from napari_stmask.core.errors import ParameterError
from napari_stmask.core.section import Section
from napari_stmask.prediction import predict
from napari_stmask.prediction_overlap import check_distinct, learnt_before, share_spots

PARAMS = settings(image_encoder=KEY, epochs=1, layers=1)


def again(section: Section, rows=slice(None), *, name: str = "again", counts=None) -> Section:
    """Some of the spots as a section of its own, with other arrays in memory."""
    adata = section.adata[rows].copy()
    if counts is not None:
        adata.X = counts
    return Section(adata, name=name, um_per_px=section.um_per_px, image=section.image)


class TestShareSpots:
    def test_a_copy_and_a_part_of_it(self) -> None:
        section = tabled(1)
        assert share_spots(section, again(section))
        assert share_spots(again(section, slice(20, 60)), section)

    def test_the_same_layout_is_no_tissue_in_common(self) -> None:
        assert not share_spots(tabled(1), tabled(2))
        assert not share_spots(pictured(1, 8), pictured(2, 8))

    def test_two_parts_of_one_section_are_apart(self) -> None:
        section = tabled(1)
        assert not share_spots(again(section, slice(0, 70)), again(section, slice(70, None)))

    def test_one_image_without_counts(self) -> None:
        section = pictured(1, 8)
        none = sp.csr_matrix(section.adata.shape, dtype=np.float32)
        assert share_spots(section, again(section, counts=none))
        assert not share_spots(pictured(2, 8), again(section, counts=none))

    def test_empty_sections_do_not_look_alike(self) -> None:
        one, other = tabled(1), tabled(2)
        none = sp.csr_matrix(one.adata.shape, dtype=np.float32)
        assert not share_spots(again(one, counts=none), again(other, counts=none))

    def test_a_few_equal_totals_are_chance(self) -> None:
        one, other = tabled(1), tabled(2)
        other.adata.obsm["spatial"] = other.coords + 5000
        other.adata.obsm["spatial"][:3] = one.coords[:3]
        counts = other.adata.X.toarray()
        counts[:3] = one.adata.X[:3].toarray()
        other.adata.X = sp.csr_matrix(counts)
        assert not share_spots(one, other)


def test_what_is_refused() -> None:
    one, two = tabled(1), tabled(2)
    check_distinct([one, two], tabled(3))
    with pytest.raises(ParameterError, match="target again is also among the references"):
        check_distinct([one, two], again(one))
    with pytest.raises(ParameterError, match="section1 and again hold the same spots"):
        check_distinct([one, again(one)], two)
    with pytest.raises(ParameterError, match="called 'section1'"):
        check_distinct([one, again(two, name="section1")])


@pytest.mark.parametrize("mode", ["improved", "release"])
def test_a_prediction_refuses_its_target_as_a_reference(mode: str) -> None:
    target, other = tabled(1), tabled(2)
    params = PARAMS.model_copy(update={"mode": mode})
    with pytest.raises(ParameterError, match="also among the references"):
        predict(target, [again(target), other], params=params)


def test_a_grid_over_a_reference_is_allowed() -> None:
    """It is not scored, so that nothing looks better than it is."""
    section = pictured(1, 8)
    found = predict(section, [section, pictured(2, 8)], params=settings(epochs=1), pitch=200.0)
    assert found.scores is None


def test_a_model_says_when_it_knows_the_target() -> None:
    one, two, other = tabled(1), tabled(2), tabled(3)
    state = predict(other, [one, two], params=PARAMS).state
    known = predict(one, model=state)
    assert "The model was trained on section1: its scores say nothing." in known.record["notes"]
    assert not predict(other, model=state).record["notes"]


def test_names_or_places_alone_are_not_known() -> None:
    section = tabled(1)
    xy = section.coords
    table = pd.DataFrame({"spot": section.adata.obs_names, "x": xy[:, 0], "y": xy[:, 1]})
    assert learnt_before(section, table)
    assert not learnt_before(section, table.assign(spot=[f"b{i}" for i in range(len(xy))]))
    assert not learnt_before(section, table.assign(x=table["x"] + 1))
    assert not learnt_before(section, table.iloc[: len(table) // 2])
