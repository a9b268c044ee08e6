"""Over-representation against Fisher's exact test, and genes of a region against scipy."""

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.stats import false_discovery_control, fisher_exact, mannwhitneyu

from napari_stmask.analysis.enrichment import over_representation, region_genes, top_genes
from napari_stmask.analysis.signatures import read_gene_sets
from napari_stmask.core.errors import DataError, ParameterError

PANEL = [f"G{i}" for i in range(40)]


def test_same_as_fisher() -> None:
    rng = np.random.default_rng(0)
    sets = {f"S{s}": list(rng.choice(PANEL, 3 + s, replace=False)) for s in range(15)}
    chosen = list(rng.choice(PANEL, 11, replace=False))
    table = over_representation(chosen, sets, PANEL)
    assert len(table) == 15
    assert table["p"].is_monotonic_increasing
    for row in table.itertuples():
        members = set(sets[row.set])
        both = len(members & set(chosen))
        cross = [[both, len(members) - both], [11 - both, 40 - len(members) - 11 + both]]
        assert row.p == pytest.approx(fisher_exact(cross, "greater").pvalue, rel=1e-9)
        assert (row.overlap, row.set_size, row.chosen, row.background) == (
            both, len(members), 11, 40,
        )  # fmt: skip
        assert row.expected == pytest.approx(11 * len(members) / 40)
        assert row.fold == pytest.approx(both / row.expected)
        assert set(filter(None, row.genes.split(", "))) == members & set(chosen)
    np.testing.assert_allclose(table["q"], false_discovery_control(table["p"]))


def test_by_hand() -> None:
    # Two of two chosen in a set of three of five: 3/5 x 2/4.
    table = over_representation(["a", "b"], {"s": ["a", "b", "c"]}, list("abcde"))
    assert table.loc[0, "p"] == pytest.approx(0.3)
    assert table.loc[0, "q"] == pytest.approx(0.3)
    assert table.loc[0, "genes"] == "a, b"
    # Everything chosen is no surprise, nor is nothing of a set.
    for chosen in (list("abcde"), ["d"]):
        assert over_representation(chosen, {"s": list("abc")}, list("abcde")).loc[0, "p"] == 1


def test_background_is_the_panel() -> None:
    """Genes that are not in the panel change nothing, doubles neither."""
    sets = {"s": PANEL[:6], "t": PANEL[20:30]}
    more = {"s": [*PANEL[:6], *PANEL[:2], "other", "another"], "t": PANEL[20:30]}
    one = over_representation(PANEL[:5], sets, PANEL)
    two = over_representation([*PANEL[:5], PANEL[0]], more, [*PANEL, PANEL[3]])
    assert one.equals(two)
    assert one.loc[0, "set"] == "s"
    assert one.loc[0, "set_size"] == 6


def test_small_sets_are_left_out_and_counted() -> None:
    sets = {"large": PANEL[:5], "two": PANEL[:2], "foreign": ["x", "y", "z"]}
    table = over_representation(PANEL[:3], sets, PANEL)
    assert list(table["set"]) == ["large"]
    assert table.attrs["left_out"] == 2
    assert table.loc[0, "q"] == table.loc[0, "p"]  # untested sets are no burden
    assert len(over_representation(PANEL[:3], sets, PANEL, min_size=2)) == 2


def test_symbols_of_another_case_from_a_file(tmp_path) -> None:
    (tmp_path / "sets.gmt").write_text("Keratin\tnote\tKRT5\tKRT14\tKRT10\nOther\t\tA\tB\tC\n")
    panel = ["Krt5", "Krt14", "Krt10", "Actb", "Gapdh"]
    table = over_representation(["Krt5", "Krt14"], read_gene_sets(tmp_path / "sets.gmt"), panel)
    assert table.loc[0, "genes"] == "Krt5, Krt14"
    assert table.attrs["left_out"] == 1


def test_the_level_is_kept() -> None:
    rng = np.random.default_rng(0)
    panel = [f"G{i}" for i in range(400)]
    sets = {f"S{s}": rng.choice(panel, 60, replace=False) for s in range(300)}
    table = over_representation(rng.choice(panel, 100, replace=False), sets, panel)
    assert 0.005 < (table["p"] < 0.05).mean() < 0.08
    assert (table["q"] > 0.05).all()


def test_mistakes() -> None:
    sets = {"s": PANEL[:5]}
    with pytest.raises(ParameterError, match="no gene was chosen"):
        over_representation([], sets, PANEL)
    with pytest.raises(ParameterError, match="2 chosen genes are not in the panel, such as 'x'"):
        over_representation(["G1", "x", "y"], sets, PANEL)
    with pytest.raises(DataError, match="none of the 1 gene sets has 3 genes"):
        over_representation(["G1"], {"s": ["x", "y", "z"]}, PANEL)
    with pytest.raises(DataError, match="none of the 0 gene sets"):
        over_representation(["G1"], {}, PANEL)
    with pytest.raises(ParameterError, match="min_size is 0"):
        over_representation(["G1"], sets, PANEL, min_size=0)


@pytest.fixture(scope="module")
def region():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(80, 12)).astype(np.float32)
    mask = np.arange(80) < 30
    x[mask, 3] += 2
    x[mask, 7] -= 2
    x[:, 9] = 0.5
    return x, mask, [f"G{i}" for i in range(12)]


def test_genes_of_a_region(region) -> None:
    x, mask, genes = region
    table = region_genes(x, mask, genes)
    assert table.loc[0, "gene"] == "G3"
    assert table["gene"].iloc[-1] == "G7"
    by_gene = table.set_index("gene")
    for j in (0, 3, 7):
        row = by_gene.loc[f"G{j}"]
        a, b = x[mask, j].astype(float), x[~mask, j].astype(float)
        there = mannwhitneyu(a, b, method="asymptotic", use_continuity=False)
        assert row["p"] == pytest.approx(there.pvalue, rel=1e-6)
        assert row["difference"] == pytest.approx(a.mean() - b.mean(), abs=1e-6)
        assert row["mean_in"] == pytest.approx(a.mean(), abs=1e-6)
        assert row["mean_out"] == pytest.approx(b.mean(), abs=1e-6)
    assert by_gene.loc["G9", "p"] == 1
    np.testing.assert_allclose(table["q"], false_discovery_control(table["p"]))
    assert region_genes(sp.csr_matrix(x), mask, genes).equals(table)
    swapped = region_genes(x, ~mask, genes).set_index("gene").loc[by_gene.index]
    np.testing.assert_allclose(swapped["score"], -by_gene["score"], atol=1e-9)


def test_top_genes(region) -> None:
    table = region_genes(*region)
    assert top_genes(table) == ["G3"]
    assert top_genes(table, max_q=1.0, n=2) == list(table["gene"][:2])
    assert "G7" not in top_genes(table, max_q=1.0)
    assert top_genes(table, min_difference=5) == []
    with pytest.raises(ParameterError, match="n is 0"):
        top_genes(table, n=0)


def test_mistakes_in_regions(region) -> None:
    x, mask, genes = region
    with pytest.raises(ParameterError, match=r"shape \(80, 12\) for 79 spots and 12 genes"):
        region_genes(x, mask[1:], genes)
    with pytest.raises(ParameterError, match="for 80 spots and 11 genes"):
        region_genes(x, mask, genes[1:])
    for bad in (np.zeros(80, dtype=bool), np.arange(80) > 1):
        with pytest.raises(DataError, match="inside the region and"):
            region_genes(x, bad, genes)
    broken = x.copy()
    broken[0, 0] = np.inf
    with pytest.raises(DataError, match="not finite"):
        region_genes(broken, mask, genes)
