import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from tests.helpers import banded

from napari_stmask.core.errors import ParameterError
from napari_stmask.core.joining import join_sections
from napari_stmask.core.joint import JOINED, Joint, JointParams, joint_of
from napari_stmask.core.section import Section
from napari_stmask.integration import split_values
from napari_stmask.models import available, get, params_of


def table(labels: list[str], names: list[str] | None) -> AnnData:
    adata = AnnData(np.ones((len(labels), 2), np.float32))
    adata.obs["section"] = labels
    if names is not None:
        adata.uns[JOINED] = np.array(names)
    return adata


@pytest.mark.parametrize(
    ("arrangement", "by"),
    [("separate", "expression"), ("serial", "quota"), ("adjoining", "plane")],
)
def test_links_follow_the_arrangement_unless_they_are_named(arrangement: str, by: str) -> None:
    assert JointParams(arrangement=arrangement).linked_by == by
    for named in ("quota", "depth", "plane", "expression", "none"):
        assert JointParams(arrangement=arrangement, links=named).linked_by == named


def test_presets_are_the_arrangements_and_the_paper_s() -> None:
    assert set(JointParams.PRESETS) == {"separate", "serial", "adjoining", "paper"}
    for name in ("separate", "serial", "adjoining"):
        assert JointParams.preset(name) == JointParams(arrangement=name)
    paper = JointParams.preset("paper")
    assert (paper.linked_by, paper.depth_neighbours) == ("depth", 21)  # spamask.md, section 3
    assert JointParams.preset("serial", spacing_um=300).spacing_um == 300


@pytest.mark.parametrize(
    "values",
    [
        {"arrangement": "stacked"},
        {"links": "nearest"},
        {"cross_neighbours": 0},
        {"cross_weight": 0},
        {"cross_weight": 1.1},
        {"spacing_um": -1},
        {"max_gap_um": -1},
        {"refresh": -1},
        {"neighbours": 6},
    ],
)
def test_impossible_settings_are_refused_by_name(values: dict) -> None:
    with pytest.raises(ParameterError, match=next(iter(values))):
        JointParams.checked(**values)


def test_field_names_are_of_no_method() -> None:
    """Single values are told apart by their names alone."""
    own = set(JointParams.model_fields)
    for name in (m for m in available() if get(m).needs.integrates):
        assert not own & set(params_of(name).model_fields), name
    first, second = split_values({"spacing_um": 5.0, "epochs": 3, "links": "none", "seed": 1})
    assert first == {"spacing_um": 5.0, "links": "none"}
    assert second == {"epochs": 3, "seed": 1}


def test_joint_of_reads_what_joining_wrote() -> None:
    a, b = banded(10, 12, 60)[0], banded(10, 10, 60, seed=1)[0]
    b.name = "second"
    joint = joint_of(join_sections([a, b], placement="row").adata)
    assert joint.codes.dtype == np.int64
    np.testing.assert_array_equal(joint.codes, np.repeat([0, 1], [120, 100]))
    assert (joint.n_sections, joint.positions, joint.settings) == (2, None, None)
    assert not joint.per_section


def test_codes_are_numbered_in_the_order_given() -> None:
    adata = table(["z", "a", "z", "m"], ["z", "a", "m"])
    assert joint_of(adata).codes.tolist() == [0, 1, 0, 2]
    # As a file gives it back.
    adata.obs["section"] = pd.Categorical(adata.obs["section"], categories=["a", "m", "z"])
    assert joint_of(adata).codes.tolist() == [0, 1, 0, 2]


def test_a_column_of_somebody_else_s_is_no_joint() -> None:
    assert joint_of(table(["a", "b"], None)) is None
    assert joint_of(table(["a", "other"], ["a", "b"])) is None
    bare = table(["a", "b"], ["a", "b"])
    del bare.obs["section"]
    assert joint_of(bare) is None


def test_take_keeps_spots_and_settings() -> None:
    settings = JointParams(arrangement="serial")
    positions = np.arange(12, dtype=float).reshape(4, 3)
    joint = Joint(np.array([0, 0, 1, 1]), positions, settings)
    kept = joint.take(np.array([True, False, False, True]))
    assert kept.codes.tolist() == [0, 1]
    np.testing.assert_array_equal(kept.positions, positions[[0, 3]])
    assert kept.settings is settings
    assert Joint(np.array([0, 1])).take(np.array([False, True])).positions is None


def test_only_settings_standardise_within() -> None:
    codes = np.array([0, 1])
    assert not Joint(codes).per_section
    assert Joint(codes, settings=JointParams()).per_section
    assert not Joint(codes, settings=JointParams(standardise="joint")).per_section


def test_a_bare_copy_carries_the_joint_of_its_spots() -> None:
    a, b = banded(10, 12, 60)[0], banded(10, 12, 60, seed=1)[0]
    b.name = "second"
    joined: Section = join_sections([a, b], placement="row")
    keep = np.arange(240) % 3 > 0
    assert joined.bare(keep).joint.codes.tolist() == np.repeat([0, 1], 120)[keep].tolist()
    positions = np.column_stack([joined.coords, np.zeros(240)])
    joined.joint = Joint(np.repeat([0, 1], 120), positions, JointParams())
    kept = joined.bare(keep).joint
    np.testing.assert_array_equal(kept.positions, positions[keep])
    assert kept.settings == JointParams()
    assert a.bare().joint is None
