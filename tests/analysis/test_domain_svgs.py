"""SpaGCN's procedure on sections where the answer was planted."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata import AnnData
from tests.helpers import hexagons

from napari_stmask.analysis.domain_svgs import domain_svgs, domain_svgs_steps, search_radius
from napari_stmask.analysis.inputs import expression_of
from napari_stmask.analysis.meta_genes import meta_gene
from napari_stmask.core.errors import DataError, ParameterError
from napari_stmask.core.progress import drain
from napari_stmask.core.section import Section

SVGS = {"left": "GENE0", "middle": "GENE1", "right": "GENE2"}


@pytest.fixture(scope="module")
def stripes():
    """Three stripes; gene i is raised fourfold in stripe i, gene 3 in both outer ones."""
    rng = np.random.default_rng(0)
    coords = hexagons(24, 30, 100.0)
    stripe = np.minimum((coords[:, 0] // 1000).astype(int), 2)
    mean = np.full((len(coords), 40), 4.0)
    for i in range(3):
        mean[stripe == i, i] *= 4
    mean[stripe != 1, 3] *= 4
    mean[:, 4] *= np.where((stripe == 0) & (np.arange(len(coords)) % 3 == 0), 12, 0.02)
    adata = AnnData(sp.csr_matrix(rng.poisson(mean).astype(np.float32)))
    adata.var_names = [f"GENE{i}" for i in range(40)]
    adata.obs_names = [f"s{i}" for i in range(len(coords))]
    adata.obsm["spatial"] = coords
    labels = pd.Series(np.array(list(SVGS))[stripe], index=adata.obs_names)
    return Section(adata, platform="visium"), labels


def test_radius_of_a_lattice_is_between_rings() -> None:
    coords = hexagons(40, 40)
    centre = np.abs(coords - coords.mean(axis=0)).max(axis=1) < 8
    radius, mean = search_radius(coords, centre)
    assert mean == 13  # a spot, six at 1 and six at sqrt(3)
    assert np.sqrt(3) <= radius < 2
    assert search_radius(1000 * coords, centre)[0] == pytest.approx(1000 * radius, rel=0.2)


def test_radius_where_no_ring_fits() -> None:
    coords = hexagons(40, 40)
    centre = np.abs(coords - coords.mean(axis=0)).max(axis=1) < 8
    # 7 within one ring, 13 within two: nothing between, 7 is the nearer to 8.
    assert search_radius(coords, centre, lowest=8, highest=8.5)[1] == 7
    assert search_radius(coords[:5], np.ones(5, dtype=bool))[1] == 5  # never more than there are


def test_planted_genes_and_no_others(stripes) -> None:
    section, labels = stripes
    for found in drain(domain_svgs_steps(section, labels, contact=0.1)):
        genes = set(found.table["gene"])
        assert SVGS[found.domain] in genes
        assert not genes - {"GENE0", "GENE1", "GENE2", "GENE3"}
        assert (found.table["p_adjusted"] < 0.05).all()
        assert 10 <= found.mean_neighbours <= 14
        # GENE3 is high in both outer stripes: it marks them against the middle.
        assert ("GENE3" in genes) == (found.domain != "middle")


def test_only_touching_domains_are_neighbours(stripes) -> None:
    section, labels = stripes
    sides = domain_svgs(section, labels, "left", contact=0.1)
    assert sides.neighbours == ("middle",)
    assert set(domain_svgs(section, labels, "middle", contact=0.1).neighbours) == {"left", "right"}
    assert (
        len(domain_svgs(section, labels, "middle", contact=0.1, max_neighbours=1).neighbours) == 1
    )


def test_numbers_are_those_of_the_target(stripes) -> None:
    """By hand for one gene: shares, fold and sign belong to the same side."""
    section, labels = stripes
    found = domain_svgs(section, labels, "left", contact=0.1)
    row = found.table.set_index("gene").loc["GENE0"]
    column = np.asarray(expression_of(section)[:, 0].todense()).ravel()
    a, b = column[labels == "left"], column[labels == "middle"]
    assert row["share_in"] == pytest.approx((a > 0).mean())
    assert row["share_out"] == pytest.approx((b > 0).mean())
    assert row["fold_change"] == pytest.approx(np.exp(a.mean() - b.mean()), rel=1e-5)
    assert row["score"] > 10


def test_filters(stripes) -> None:
    section, labels = stripes
    # GENE4 is strong but in a third of the spots only.
    assert "GENE4" not in set(domain_svgs(section, labels, "left", contact=0.1).table["gene"])
    loose = domain_svgs(section, labels, "left", contact=0.1, min_share=0.2, min_fold=1.2)
    assert "GENE4" in set(loose.table["gene"])
    assert (loose.table["share_in"].diff().dropna() <= 0).all()
    assert domain_svgs(section, labels, "left", contact=0.1, min_fold=50).table.empty
    assert domain_svgs(section, labels, "left", contact=0.1, max_p=0).table.empty


def test_empty_answers_say_why(stripes) -> None:
    section, labels = stripes
    alone = domain_svgs(section, labels, "left", contact=100)
    assert alone.neighbours == ()
    assert alone.table.empty
    assert "No domain is in touch" in alone.notes[0]
    few = labels.copy()
    few.iloc[:3] = "tiny"
    found = domain_svgs(section, few, "tiny", contact=0)
    assert found.table.empty
    assert "fewer than 5 spots" in found.notes[0]


def test_mistakes(stripes) -> None:
    section, labels = stripes
    with pytest.raises(ParameterError, match="no domain 'top'"):
        domain_svgs(section, labels, "top")
    with pytest.raises(DataError, match="1 domains occur"):
        domain_svgs(section, labels.where(labels == "left"), "left")
    with pytest.raises(ParameterError, match="hold 14 to 10 spots"):
        domain_svgs(section, labels, "left", neighbours_lowest=14, neighbours_highest=10)


# Meta-genes


@pytest.fixture(scope="module")
def two_needed():
    """A domain that no single gene marks: A is high in it and in E, B in E alone."""
    rng = np.random.default_rng(1)
    coords = hexagons(30, 24, 100.0)
    part = np.minimum((coords[:, 0] // 400).astype(int), 3)  # 0 target, 1 decoy, 2 and 3 others
    mean = np.full((len(coords), 30), 5.0)
    mean[part <= 1, 0] *= 6
    mean[part == 1, 1] *= 6
    mean[part == 0, 2] *= 1.5
    adata = AnnData(sp.csr_matrix(rng.poisson(mean).astype(np.float32)))
    adata.var_names = ["A", "B", "C", *(f"N{i}" for i in range(27))]
    adata.obs_names = [f"s{i}" for i in range(len(coords))]
    adata.obsm["spatial"] = coords
    return Section(adata, platform="visium"), pd.Series(part.astype(str), index=adata.obs_names)


def test_meta_gene_subtracts_what_the_decoy_has(two_needed) -> None:
    section, labels = two_needed
    found = meta_gene(section, labels, "0", start="A")
    assert found.formula[0] == "+A"
    assert found.formula[1] == "+C"
    assert found.formula[2] == "-B"
    assert found.values.min() == 0
    assert found.values.shape == (section.n_spots,)
    # The rounds that were kept never lost ground.
    assert (np.diff(found.gaps) >= 0).all()
    assert (np.diff(found.false_spots) <= 0).all()
    assert len(found.gaps) == (len(found.formula) + 1) / 2
    assert found.false_spots[-1] < 0.2 * found.false_spots[0]
    inside = (labels == "0").to_numpy()
    gap = found.values[inside].mean() - found.values[~inside].mean()
    assert found.gaps[-1] == pytest.approx(gap)
    false = (found.values[~inside] > found.values[inside].mean()).sum()
    assert found.false_spots[-1] == false


def test_formula_is_what_the_values_are(two_needed) -> None:
    section, labels = two_needed
    found = meta_gene(section, labels, "0", start="A")
    log = pd.DataFrame(expression_of(section).todense(), columns=section.adata.var_names)
    value = sum((1 if t[0] == "+" else -1) * log[t[1:]].astype(float) for t in found.formula)
    np.testing.assert_allclose(found.values, value - value.min(), atol=1e-5)


def test_meta_gene_stops(two_needed) -> None:
    section, labels = two_needed
    one = meta_gene(section, labels, "0", start="A", max_rounds=1)
    assert len(one.formula) == 3
    assert one.stopped == "It ended after 1 rounds."
    more = meta_gene(section, labels, "0", start="A", max_rounds=30)
    assert "would leave" in more.stopped or "false spots are left" in more.stopped


@pytest.mark.parametrize("start", ["N0", "N5", "B"])
def test_no_round_loses_ground(two_needed, start: str) -> None:
    section, labels = two_needed
    found = meta_gene(section, labels, "3", start=start, max_rounds=12)
    assert "would leave" in found.stopped
    assert (np.diff(found.gaps) >= 0).all()
    assert (np.diff(found.false_spots) <= 0).all()


def test_meta_gene_begins_with_an_svg(two_needed) -> None:
    section, labels = two_needed
    start = domain_svgs(section, labels, "1").table["gene"].iloc[0]
    assert meta_gene(section, labels, "1").formula[0] == f"+{start}"


def test_mistakes_of_meta_genes(two_needed) -> None:
    section, labels = two_needed
    with pytest.raises(ParameterError, match="no gene 'nonsense'"):
        meta_gene(section, labels, "0", start="nonsense")
    with pytest.raises(DataError, match="no gene that marks it"):
        meta_gene(section, labels, "3")
    with pytest.raises(ParameterError, match="max_rounds is 0"):
        meta_gene(section, labels, "0", max_rounds=0)
