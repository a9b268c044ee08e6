"""Two samples of the same programmes differ in nothing; a rewired module is found."""

import numpy as np
import pytest
from scipy.stats import false_discovery_control, t

from napari_stmask.analysis.gene_rewiring import _adjusted, compare_relations_steps
from napari_stmask.core.errors import DataError, ParameterError
from napari_stmask.core.progress import drain


class Tissue:
    """Genes of programmes; a sample adds noise and turns the axes."""

    def __init__(self, n=400, width=32, programmes=20, noise=0.5, unequal=0.3, seed=0) -> None:
        self.rng = np.random.default_rng(seed)
        self.centres = self.rng.normal(size=(programmes, width))
        self.member = self.rng.integers(0, programmes, n)
        self.noise = noise * np.exp(unequal * self.rng.normal(size=(n, 1)))
        self.genes = [f"G{i}" for i in range(n)]

    def sample(self, member=None, gain=1.0, extra=1.0) -> np.ndarray:
        member = self.member if member is None else member
        width = self.centres.shape[1]
        turn = np.linalg.qr(self.rng.normal(size=(width, width)))[0]
        noise = self.noise * extra * self.rng.normal(size=(len(member), width))
        return ((self.centres[member] + noise) @ turn * gain).astype(np.float32)


@pytest.mark.parametrize("noise", [0.2, 0.5, 1.0])
@pytest.mark.parametrize("unequal", [0.0, 0.6])
def test_same_programmes_have_no_changed_pairs(noise: float, unequal: float) -> None:
    changed = pairs = 0
    for seed in range(3):
        tissue = Tissue(n=250, noise=noise, unequal=unequal, seed=seed)
        a, b = tissue.sample(), tissue.sample(gain=5.0)
        found = drain(compare_relations_steps(a, tissue.genes, b, tissue.genes))
        changed, pairs = changed + found.n_changed, pairs + found.n_pairs
    assert changed <= 1e-4 * pairs


def test_a_sample_with_weaker_relations_throughout_is_not_rewired() -> None:
    """A noisier sample has less alike genes everywhere; that is the usual change."""
    tissue = Tissue(unequal=0.0)
    a, b = tissue.sample(), tissue.sample(extra=1.6)
    found = drain(compare_relations_steps(a, tissue.genes, b, tissue.genes))
    assert found.n_changed <= 1e-3 * found.n_pairs


def test_a_rewired_module_is_on_top() -> None:
    tissue = Tissue()
    member = tissue.member.copy()
    member[:12] = (member[:12] + 1) % 20
    found = drain(
        compare_relations_steps(tissue.sample(), tissue.genes, tissue.sample(member), tissue.genes)
    )
    moved = set(tissue.genes[:12])
    assert len(moved & set(found.genes["gene"][:12])) >= 11
    assert found.n_changed > 100
    assert found.n_changed == len(found.pairs)
    touched = found.pairs["gene_a"].isin(moved) | found.pairs["gene_b"].isin(moved)
    assert touched.mean() > 0.9
    # Co-members of old are less alike now, those of new more.
    place = {g: i for i, g in enumerate(tissue.genes)}
    for row in found.pairs[touched].itertuples():
        i, j = place[row.gene_a], place[row.gene_b]
        if tissue.member[i] == tissue.member[j] and member[i] != member[j]:
            assert row.after < row.before


@pytest.mark.parametrize("seed", range(4))
def test_rewired_genes_lead_where_genes_are_measured_unequally(seed: int) -> None:
    tissue = Tissue(noise=0.3, unequal=0.6, seed=seed)
    member = tissue.member.copy()
    member[:12] = (member[:12] + 1) % 20
    found = drain(
        compare_relations_steps(tissue.sample(), tissue.genes, tissue.sample(member), tissue.genes)
    )
    assert len(set(tissue.genes[:12]) & set(found.genes["gene"][:20])) >= 10


def test_the_table() -> None:
    tissue = Tissue(n=120, noise=0.3)
    member = tissue.member.copy()
    member[:6] = (member[:6] + 1) % 20
    a, b = tissue.sample(), tissue.sample(member)
    order = np.random.default_rng(0).permutation(120)
    names_b = [*(tissue.genes[i] for i in order), "OTHER"]
    there = np.vstack([b[order], np.zeros((1, 32))])
    found = drain(compare_relations_steps(a, tissue.genes, there, names_b))
    ra, rb = np.corrcoef(a), np.corrcoef(b)
    assert found.n_pairs == 120 * 119 // 2
    for row in found.pairs.itertuples():
        i, j = int(row.gene_a[1:]), int(row.gene_b[1:])
        assert row.before == pytest.approx(ra[i, j], abs=1e-5)
        assert row.after == pytest.approx(rb[i, j], abs=1e-5)
        change = np.arctanh(np.clip([ra[i, j], rb[i, j]], -0.999, 0.999))
        assert row.difference == pytest.approx(change[1] - change[0], abs=1e-4)
        assert row.p <= row.q < 0.05
    assert found.pairs["p"].is_monotonic_increasing
    assert list(found.genes["rank"]) == list(range(1, 121))
    assert found.genes["rewiring"].is_monotonic_decreasing
    assert found.genes["changed"].sum() == 2 * found.n_changed
    count = found.pairs[["gene_a", "gene_b"]].stack().value_counts()
    changed = found.genes.set_index("gene")["changed"]
    assert (changed[count.index] == count).all()
    few = drain(compare_relations_steps(a, tissue.genes, there, names_b, max_pairs=5))
    assert few.n_changed == found.n_changed
    assert few.pairs["p"].tolist() == found.pairs["p"].tolist()[:5]


def test_the_other_way_round_changes_the_sign() -> None:
    tissue = Tissue(n=150)
    member = tissue.member.copy()
    member[:8] = (member[:8] + 1) % 20
    a, b = tissue.sample(), tissue.sample(member)
    one = drain(compare_relations_steps(a, tissue.genes, b, tissue.genes))
    two = drain(compare_relations_steps(b, tissue.genes, a, tissue.genes))
    # Bins are closed on one side, so that a pair on an edge may move by one.
    assert abs(one.n_changed - two.n_changed) <= 0.02 * one.n_changed
    both = one.pairs.merge(two.pairs, on=["gene_a", "gene_b"])
    assert len(both) >= 0.98 * len(one.pairs)
    np.testing.assert_allclose(both["difference_x"], -both["difference_y"], atol=1e-6)


def test_blocks_change_nothing(monkeypatch) -> None:
    tissue = Tissue(n=90, noise=0.2, unequal=0.1)
    member = tissue.member.copy()
    member[:5] = (member[:5] + 1) % 20
    a, b = tissue.sample(), tissue.sample(member)
    one = drain(compare_relations_steps(a, tissue.genes, b, tissue.genes))
    monkeypatch.setattr("napari_stmask.analysis.gene_rewiring._ENTRIES", 300)
    two = drain(compare_relations_steps(a, tissue.genes, b, tissue.genes))
    assert one.n_changed == two.n_changed > 0
    np.testing.assert_allclose(one.pairs["p"], two.pairs["p"], rtol=1e-3)
    np.testing.assert_allclose(
        one.genes.sort_values("gene")["rewiring"], two.genes.sort_values("gene")["rewiring"],
        rtol=1e-4,
    )  # fmt: skip


def test_the_same_sample_twice() -> None:
    tissue = Tissue(n=60)
    a = tissue.sample()
    found = drain(compare_relations_steps(a, tissue.genes, a, tissue.genes))
    assert found.n_changed == 0
    assert (found.genes["rewiring"] == 0).all()


def test_counted_rates_are_benjamini_hochberg() -> None:
    rng = np.random.default_rng(0)
    p, counts = rng.random(50) ** 4, rng.integers(0, 9, 50)
    known = false_discovery_control(np.repeat(p, counts))
    np.testing.assert_allclose(np.repeat(_adjusted(p, counts), counts), known)


def test_the_law_of_heavy_tails_is_found() -> None:
    """Changes that follow Student's law give its p-values back."""
    from napari_stmask.analysis import gene_rewiring as module

    centre = (np.arange(module._CHANGES) - module._CHANGES // 2) * module._CHANGE_WIDTH
    counted = np.zeros((module._LEVELS, module._CHANGES), dtype=np.int64)
    mass = t.pdf((centre - 0.1) / 0.15, 5)
    counted[70:90] = np.rint(1e5 * mass / mass.sum())
    law = module._null_law(counted)
    assert law.freedom == pytest.approx(5, rel=0.1)
    p = law.p.reshape(counted.shape)[80]
    np.testing.assert_allclose(law.usual[75:85], 0.1, atol=1e-6)
    for change in (0.4, 0.8):
        known = 2 * t.sf(change / 0.15, 5)
        place = np.searchsorted(centre, 0.1 + change)
        assert p[place] == pytest.approx(known, rel=0.2)


def test_mistakes() -> None:
    tissue = Tissue(n=40)
    a, genes = tissue.sample(), tissue.genes
    for arguments, options, message in (
        ((a, genes[1:], a, genes), {}, "for 39 genes"),
        ((a, [*genes[:-1], "G0"], a, genes), {}, "gene 'G0' is there twice"),
        ((a, genes, a, genes), {"q": 0.0}, "q is 0.0"),
        ((a, genes, a, genes), {"max_pairs": 0}, "max_pairs 0"),
    ):
        with pytest.raises(ParameterError, match=message):
            drain(compare_relations_steps(*arguments, **options))
    with pytest.raises(DataError, match="have 19 genes in common"):
        drain(compare_relations_steps(a, genes, a[:19], genes[:19]))
    broken = a.copy()
    broken[0, 0] = np.nan
    with pytest.raises(DataError, match="not finite"):
        drain(compare_relations_steps(a, genes, broken, genes))
