"""The panel comes from the references alone, and lists are read and checked."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from anndata import AnnData
from tests.helpers import banded, hexagons

from napari_stmask.core.errors import (
    DataError,
    FileFormatError,
    MissingFileError,
    ParameterError,
)
from napari_stmask.core.progress import drain
from napari_stmask.core.section import Section
from napari_stmask.features.expression import log_normalise
from napari_stmask.features.graph import knn_graph, morans_i
from napari_stmask.features.panel import choose_panel, given_panel, read_gene_list


def section(counts: np.ndarray, genes: list[str], name: str = "one", side: int = 12) -> Section:
    adata = AnnData(sp.csr_matrix(np.asarray(counts, dtype=np.float32)))
    adata.var_names = genes
    adata.obsm["spatial"] = hexagons(side, side, 100.0)
    return Section(adata, name=name)


def stripes(seed: int, depth: float = 2) -> np.ndarray:
    """(144, 30) counts: five genes raised in the left half, five in the right, 20 nowhere."""
    rng = np.random.default_rng(seed)
    rate = np.full((144, 30), depth)
    left = hexagons(12, 12)[:, 0] < 6
    rate[left, :5] *= 3
    rate[~left, 5:10] *= 3
    return rng.poisson(rate * rng.lognormal(0, 0.4, (144, 1)))


GENES = [f"G{i:02d}" for i in range(30)]


def test_genes_with_a_pattern_are_chosen() -> None:
    sections = [section(stripes(0), GENES), section(stripes(1), GENES, "two")]
    assert drain(choose_panel(sections, n=10)) == GENES[:10]
    assert drain(choose_panel(sections, n=4)) == sorted(drain(choose_panel(sections, n=4)))


def test_the_score_is_the_mean_of_the_sections() -> None:
    """By hand: log-normalised with all genes of a section, also those that others lack."""
    first = section(stripes(0), GENES)
    second = section(np.c_[stripes(1), np.full((144, 1), 300)], [*GENES[::-1], "ONLY"], "two")
    mean = np.zeros(30)
    for one in (first, second):
        counts = one.counts()
        values = log_normalise(counts, np.asarray(counts.sum(axis=1)).ravel())
        order = one.adata.var_names.get_indexer(GENES)
        mean += morans_i(knn_graph(one.coords, 6), values)[order] / 2
    for n in (3, 8, 15):
        expected = sorted(np.array(GENES)[np.argsort(-mean)[:n]])
        assert drain(choose_panel([first, second], n=n, min_detected=0)) == expected


def test_other_sections_and_the_order_of_genes_change_nothing() -> None:
    one, other = stripes(0), stripes(1)
    turn = np.random.default_rng(2).permutation(30)
    panel = drain(choose_panel([section(one, GENES), section(other, GENES, "two")], n=12))
    mixed = section(other[:, turn], [GENES[i] for i in turn], "two")
    assert drain(choose_panel([mixed, section(one, GENES)], n=12)) == panel


def test_rare_genes_stay_out() -> None:
    counts = stripes(0)
    counts[20:, 0] = 0  # fewer than 20 of 144 spots, all in one corner
    chosen = drain(choose_panel([section(counts, GENES)], n=30, min_detected=0.2))
    assert chosen == GENES[1:]
    assert "G00" in drain(choose_panel([section(counts, GENES)], n=30, min_detected=0.05))
    counts[:, 5] = 0
    assert "G05" not in drain(choose_panel([section(counts, GENES)], n=30, min_detected=0))


def test_a_gene_that_one_section_hardly_shows_counts_half() -> None:
    counts = stripes(1)
    counts[20:, :5] = 0
    sections = [section(stripes(0), GENES), section(counts, GENES, "two")]
    assert drain(choose_panel(sections, n=5)) == GENES[5:10]
    assert drain(choose_panel(sections, n=10)) == GENES[:10]


def test_on_a_square_lattice_the_ring_has_four() -> None:
    """Stripes of one column: seen by the ring of four, gone in one of eight."""
    y, x = np.mgrid[:12, :12].reshape(2, -1)
    counts = np.random.default_rng(0).poisson(5, (144, 20))
    counts[:, 3] = np.where((x + y) % 2, 20, 1)  # a chess board: Moran's I -1 of four
    adata = section(counts, GENES[:20]).adata
    adata.obsm["spatial"] = np.column_stack([x, y]) * 100.0
    assert "G03" not in drain(choose_panel([Section(adata)], n=19))


def test_variable_genes_are_those_of_every_batch() -> None:
    sections = [banded(20, 20, genes=120, seed=seed)[0] for seed in (0, 1)]
    panel = drain(choose_panel(sections, kind="hvg", n=30))
    assert len(panel) == 30
    assert panel == sorted(panel)
    import scanpy as sc
    from anndata import concat

    joined = concat([s.adata for s in sections], label="batch", index_unique="-")
    sc.pp.highly_variable_genes(joined, flavor="seurat_v3", n_top_genes=30, batch_key="batch")
    expected = set(joined.var_names[joined.var["highly_variable"]])
    assert len(expected & set(panel)) >= 28  # scanpy also ranks genes that hardly anyone shows


def test_progress_rises_through_the_sections() -> None:
    sections = [banded(20, 20, genes=300, seed=seed)[0] for seed in (0, 1)]
    events = list(choose_panel(sections, n=5, min_detected=0))
    fractions = [event.fraction for event in events]
    assert fractions == sorted(fractions)
    assert len(events) >= 6
    assert {0.0, 0.5} <= set(fractions)


def test_sections_are_left_alone() -> None:
    one = section(stripes(0), GENES)
    before = one.adata.copy()
    for kind in ("svg", "hvg"):
        drain(choose_panel([one], kind=kind, n=5))
    assert abs(one.adata.X - before.X).nnz == 0
    assert list(one.adata.var) == list(before.var)


def test_refuses_what_has_no_panel() -> None:
    one = section(stripes(0), GENES)
    for options, message in (
        ({"kind": "all"}, "kind of panel is 'all'"),
        ({"n": 0}, "panel has 0 genes"),
        ({"min_detected": 1.2}, "min_detected is 1.2"),
    ):
        with pytest.raises(ParameterError, match=message):
            drain(choose_panel([one], **options))
    with pytest.raises(ParameterError, match="no reference section"):
        drain(choose_panel([]))
    with pytest.raises(DataError, match="2 reference sections have no gene in common"):
        drain(choose_panel([one, section(stripes(0), [f"ENSG{i}" for i in range(30)])]))
    sparse = section(stripes(0, depth=0.05), GENES)
    with pytest.raises(DataError, match="No gene is seen in 90% of the spots"):
        drain(choose_panel([sparse], min_detected=0.9))


def test_given_panels_are_checked_and_sorted() -> None:
    sections = [section(stripes(0), GENES), section(stripes(1)[:, :25], GENES[:25], "two")]
    assert given_panel(sections, ["G07", "G01"]) == ["G01", "G07"]
    with pytest.raises(ParameterError, match="is empty"):
        given_panel(sections, [])
    with pytest.raises(ParameterError, match="names G07 more than once"):
        given_panel(sections, ["G07", "G01", "G07"])
    with pytest.raises(DataError, match=r"section 'two' lacks 2 of 3 .*: G26, G25;"):
        given_panel(sections, ["G26", "G25", "G01"])
    with pytest.raises(DataError, match="X0, X1, X2, X3, X4 and 3 more"):
        given_panel(sections, [f"X{i}" for i in range(8)])


@pytest.mark.parametrize(
    "text",
    [
        "EPCAM\nVIM\nACTA2\n",
        "\ufeffgene\r\nEPCAM\r\nVIM\r\n\r\nACTA2",
        "# markers\nSymbol,log_fc\nEPCAM,1.2\nVIM,3\nACTA2,0\n",
        '"EPCAM"\t1\n"VIM"\t2\n ACTA2 \t3\n',
        "EPCAM;x\nVIM;y\n#KRT8;z\nACTA2;z\n",
    ],
)
def test_lists_are_read_from_text(text: str, tmp_path: Path) -> None:
    path = tmp_path / "genes.csv"
    path.write_text(text, encoding="utf-8")
    assert read_gene_list(path) == ["EPCAM", "VIM", "ACTA2"]
    (tmp_path / "genes.txt.gz").write_bytes(gzip.compress(text.encode()))
    assert read_gene_list(str(tmp_path / "genes.txt.gz")) == ["EPCAM", "VIM", "ACTA2"]


def test_refuses_files_that_are_no_list(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError):
        read_gene_list(tmp_path / "absent.txt")
    for content in (b"", b"gene\n", b"# a\n\n"):
        (tmp_path / "empty.txt").write_bytes(content)
        with pytest.raises(FileFormatError, match="holds no genes"):
            read_gene_list(tmp_path / "empty.txt")
    (tmp_path / "picture.txt").write_bytes(bytes(range(256)))
    with pytest.raises(FileFormatError, match="cannot be read as a list of genes"):
        read_gene_list(tmp_path / "picture.txt")
    with (tmp_path / "large.txt").open("wb") as file:
        file.truncate(50_000_001)
    with pytest.raises(FileFormatError, match="larger than 50 MB"):
        read_gene_list(tmp_path / "large.txt")
