"""Questions to the genes of a finished SpaCEX run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from tests.helpers import banded
from tests.models.spacex_helpers import programmes, settings, striped

import napari_stmask as stm
from napari_stmask.core.errors import DataError, FileFormatError, ParameterError
from napari_stmask.core.progress import drain
from napari_stmask.core.section import Section
from napari_stmask.features.gene_images import picture_values
from napari_stmask.gene_atlas import GeneAtlas, genes_of, imputed_section
from napari_stmask.pipeline import run


def explored(section: Section, key: str = "spacex", **values: Any) -> GeneAtlas:
    run("spacex", section, params=settings(**values), baselines=False, key_added=key)
    return genes_of(section, key)


@pytest.fixture(scope="module")
def atlas() -> GeneAtlas:
    values = {"epochs_pretrain": 30, "token_dim": 16, "gene_modules": 5, "n_genes": 44}
    return explored(striped(), **values)


def encoded(atlas: GeneAtlas) -> np.ndarray:
    section, maker = atlas.drawing
    values = picture_values(section, atlas.place)
    found: np.ndarray = drain(atlas.model.encode_steps(maker, values))
    return found


# What is there


def test_parts_belong_together(atlas: GeneAtlas) -> None:
    n, adata = len(atlas.genes), atlas.section.adata
    assert n == 44
    assert atlas.vectors.shape == (n, 16)
    assert atlas.codes.min() == 0
    assert atlas.codes.max() == len(atlas.modules) - 1
    assert atlas.scores.shape == (168, len(atlas.modules))
    for gene, vector, code in zip(atlas.genes, atlas.vectors, atlas.codes, strict=True):
        place = adata.var_names.get_loc(gene)
        np.testing.assert_array_equal(adata.varm["X_spacex"][place], vector)
        assert adata.var["spacex_module"].iloc[place] == atlas.modules[code]


def test_genes_in_another_order_keep_their_own_vectors() -> None:
    """The model sorts its genes by name; a section need not."""
    section = striped(9, 10, genes=40)
    order = np.random.default_rng(0).permutation(40)
    mixed = Section(section.adata[:, order].copy(), name="mixed", platform="visium")
    a, b = explored(section), explored(mixed)
    np.testing.assert_array_equal(a.vectors[order], b.vectors)
    assert [a.genes[i] for i in order] == list(b.genes)
    np.testing.assert_allclose(encoded(b), b.vectors, atol=1e-6)


def test_table_and_members(atlas: GeneAtlas) -> None:
    table = atlas.table()
    assert list(table.columns) == [
        "gene", "module", "probability", "svg_score", "svg_effect", "svg_p", "svg_q", "svg_rank",
    ]  # fmt: skip
    assert list(table["svg_rank"]) == list(range(1, 45))
    assert sorted(table["gene"]) == sorted(atlas.genes)
    found = [gene for module in atlas.modules for gene in atlas.members(module)]
    assert sorted(found) == sorted(atlas.genes)
    for module in atlas.modules:
        own = table.set_index("gene").loc[atlas.members(module)]
        assert (own["module"] == module).all()
        assert (np.diff(own["probability"]) <= 0).all()
    with pytest.raises(ParameterError, match="there is no module '99'"):
        atlas.members("99")


def test_table_without_scores() -> None:
    table = explored(striped(9, 10, genes=40), svg_draws=0).table()
    assert list(table.columns) == ["gene", "module", "probability"]


def test_module_table(atlas: GeneAtlas) -> None:
    table = atlas.module_table(n_top=3)
    assert list(table["module"]) == list(atlas.modules)
    members = {module: atlas.members(module) for module in atlas.modules}
    assert list(table["genes"]) == [len(members[module]) for module in table["module"]]
    assert table["morans_i"].between(-1, 1).all()


def test_maps(atlas: GeneAtlas) -> None:
    found = atlas.map_2d("pca")
    assert found.shape == (44, 2)
    centred = atlas.vectors - atlas.vectors.mean(axis=0)
    largest = np.linalg.svd(centred, compute_uv=False)[:2]
    np.testing.assert_allclose(np.linalg.norm(found, axis=0), largest, rtol=1e-4)


def test_mean_pattern_is_that_of_z_scores(atlas: GeneAtlas) -> None:
    genes = list(atlas.genes[:3])
    found = atlas.mean_pattern(genes)
    assert found.shape == (168,)
    assert found.mean() == pytest.approx(0, abs=1e-5)
    single = atlas.mean_pattern(genes[:1])
    assert single.std() == pytest.approx(1, rel=1e-4)
    parts = np.stack([atlas.mean_pattern([gene]) for gene in genes])
    np.testing.assert_allclose(found, parts.mean(axis=0), atol=1e-5)
    for wrong in ([], ["NOBODY"]):
        with pytest.raises(ParameterError, match="has no gene"):
            atlas.mean_pattern(wrong)


def test_partners_follow_the_same_programme(atlas: GeneAtlas) -> None:
    table = atlas.partners("GENE005", k=5)
    assert list(table.columns) == ["gene", "similarity", "module"]
    assert (np.diff(table["similarity"]) <= 0).all()
    number = table["gene"].str[4:].astype(int)
    assert (number % 4 == 1).all()
    assert (number < 32).all()
    own = np.corrcoef(atlas.vectors)
    place = {gene: i for i, gene in enumerate(atlas.genes)}
    for _, row in table.iterrows():
        expected = own[place["GENE005"], place[row["gene"]]]
        assert row["similarity"] == pytest.approx(expected, abs=1e-5)
        assert row["module"] == atlas.modules[atlas.codes[place[row["gene"]]]]


def test_family(atlas: GeneAtlas) -> None:
    genes = [f"GENE{i:03d}" for i in (0, 4, 8, 1, 5, 9)]
    tree = atlas.family(genes)
    assert list(tree.genes) == genes
    assert tree.scaled.shape == (6, 16)
    assert tree.scaled.min() == 0
    assert tree.scaled.max() == 1
    absent = next(g for g in atlas.section.adata.var_names if g not in atlas.genes)
    with pytest.raises(ParameterError, match=f"did not learn from '{absent}'"):
        atlas.family([genes[0], absent])


# Questions that take time


def test_null_pictures_are_kept_for_the_same_question(atlas: GeneAtlas) -> None:
    one = drain(atlas.null_steps(draws=3))
    assert drain(atlas.null_steps(draws=3)) is one
    other = drain(atlas.null_steps(draws=3, seed=1))
    assert not np.allclose(one, other)
    assert list(atlas.null_steps(draws=3, seed=1)) == []


def test_scoring_again_gives_the_scores_of_the_run(atlas: GeneAtlas) -> None:
    found = drain(atlas.svg_steps(draws=4))
    table = atlas.section.adata.var.iloc[atlas.place]
    np.testing.assert_array_equal(found.rank, table["spacex_svg_rank"])
    np.testing.assert_allclose(found.p, table["spacex_svg_p"])
    zinb = drain(atlas.svg_steps(draws=4, null="zinb"))
    assert not np.allclose(zinb.effect, found.effect)


def test_network_links_genes_of_one_programme(atlas: GeneAtlas) -> None:
    network = drain(atlas.network_steps(k=6, draws=6))
    pairs = network.edges[["gene_a", "gene_b"]]
    numbers = pairs.apply(lambda column: column.str[4:].astype(int)).to_numpy()
    of_programmes = numbers[(numbers < 32).all(axis=1)]
    assert len(of_programmes) > 20
    assert (np.diff(of_programmes % 4, axis=1) == 0).mean() > 0.9


def test_the_same_section_has_no_other_relations(atlas: GeneAtlas) -> None:
    rewired = drain(atlas.compare_steps(atlas))
    assert rewired.n_changed == len(rewired.pairs) == 0


def test_enriched_sets(atlas: GeneAtlas) -> None:
    programme = {f"P{k}": [g for g in atlas.genes if int(g[4:]) < 32 and int(g[4:]) % 4 == k]
                 for k in range(4)}  # fmt: skip
    table = drain(atlas.enrichment_steps(programme))
    assert set(table["module"]) <= set(atlas.modules)
    assert (table["q"] < 0.01).sum() >= 4


def test_a_painted_region_finds_the_genes_of_it(atlas: GeneAtlas) -> None:
    coords = atlas.section.coords
    region = np.where(coords[:, 0] < 0.4 * coords[:, 0].max(), 0, -1)
    table = drain(atlas.query_steps(region, {0: 5.0}, background=90.0))
    assert list(table.columns) == ["gene", "module", "distance", "similarity", "correlation"]
    assert (np.diff(table["distance"]) >= 0).all()
    first = table["gene"].str[4:].astype(int)[:7]
    assert ((first < 32) & (first % 4 == 0)).sum() >= 6
    with pytest.raises(ParameterError):
        drain(atlas.query_steps(region[:-1], {0: 5.0}))
    with pytest.raises(ParameterError):
        drain(atlas.query_steps(region, {5: 5.0}))


def test_a_planted_domain_gene_is_among_the_first_ten() -> None:
    """A region drawn over a domain; genes that were planted in it are found among 200."""
    section, _, domain = programmes(20, 34, 200, seed=4)
    counts = section.adata.X.toarray()
    planted, rng = [190, 195], np.random.default_rng(0)
    for gene in planted:
        counts[:, gene] = rng.poisson(np.where(domain == 2, 4.0, 0.3))
    section.adata.X = sp.csr_matrix(counts)
    before = section.adata.X.copy()
    found = explored(section, min_steps=150, token_dim=16, batch=64, gene_modules=15, svg_draws=0)
    table = drain(found.query_steps(np.where(domain == 2, 0, -1), {0: 5.0}))
    assert {f"GENE{gene}" for gene in planted} <= set(table["gene"][:10])
    assert (before != section.adata.X).nnz == 0


def test_unmeasured_genes_are_predicted(atlas: GeneAtlas) -> None:
    other = striped(10, 12, seed=5)
    panel = Section(other.adata[:, :36].copy(), name="panel", platform="imaging")
    coverage = drain(atlas.coverage_steps(panel, rank=5))
    assert list(coverage.imputed) == [f"GENE{i:03d}" for i in range(36, 48)]
    made = imputed_section(panel, coverage)
    assert made.adata.shape == (120, 48)
    assert made.adata.var["imputed"].sum() == 12
    assert panel.adata.shape == (120, 36)
    few = Section(other.adata[:, :5].copy(), name="few", platform="imaging")
    with pytest.raises(DataError, match="only 5 genes are in the reference"):
        drain(atlas.coverage_steps(few))


# Files and spots without counts


def test_after_a_round_trip_through_a_file(atlas: GeneAtlas, tmp_path: Path) -> None:
    path = tmp_path / "section.h5ad"
    stm.write(atlas.section, path)
    again = genes_of(path)
    assert again.genes == atlas.genes
    np.testing.assert_array_equal(again.vectors, atlas.vectors)
    np.testing.assert_array_equal(encoded(again), atlas.vectors)
    assert again.table().equals(atlas.table())
    region = np.where(atlas.section.coords[:, 0] < 500, 0, -1)
    one, other = (drain(a.query_steps(region, {0: 5.0}, draws=3)) for a in (atlas, again))
    assert one.equals(other)


def test_spots_without_counts_are_no_part_of_the_pictures() -> None:
    section = striped(9, 10, genes=40)
    counts = section.adata.X.toarray()
    counts[[0, 44]] = 0
    section.adata.X = sp.csr_matrix(counts)
    found = explored(section)
    np.testing.assert_allclose(encoded(found), found.vectors, atol=1e-6)
    region = np.where(section.coords[:, 0] < 400, 0, -1)
    assert len(drain(found.query_steps(region, {0: 5.0}, draws=3))) == 40
    empty = np.where(np.arange(len(counts)) == 44, 0, -1)
    with pytest.raises(ParameterError, match="no spot with counts"):
        drain(found.query_steps(empty, {0: 5.0}, draws=3))
    assert np.isfinite(found.mean_pattern(found.genes[:2])).all()
    assert len(found.module_table()) == len(found.modules)


# Mistakes


def test_no_run_or_another_methods(atlas: GeneAtlas) -> None:
    with pytest.raises(ParameterError, match="no gene modules of a run 'spacex'"):
        genes_of(striped())
    with pytest.raises(ParameterError, match="use one of: spacex"):
        genes_of(atlas.section, "other")
    section, _ = banded(10, 12, 80)
    run("spamask", section, epochs=2, replicates=2, threads=1, n_domains=3, baselines=False)
    with pytest.raises(ParameterError, match="run SpaCEX on the section"):
        genes_of(section, "spamask")


def test_a_model_that_is_gone() -> None:
    section = striped(9, 10, genes=40)
    found = explored(section)
    del section.adata.uns["spacex_model"]
    with pytest.raises(FileFormatError, match="holds no SpaCEX model"):
        found.model  # noqa: B018
    # What needs no network is still there.
    assert len(found.partners(found.genes[0])) == 10


def test_spots_that_are_gone(atlas: GeneAtlas) -> None:
    fewer = Section(atlas.section.adata[:150].copy(), name="fewer", platform="visium")
    found = genes_of(fewer)
    assert len(found.table()) == 44
    with pytest.raises(DataError, match="do not lie as those"):
        drain(found.svg_steps(draws=3))
