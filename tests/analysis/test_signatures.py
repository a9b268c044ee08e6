"""Scores of gene sets by hand, and files of gene sets."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata import AnnData
from scipy.stats import kruskal

from napari_stmask.analysis.inputs import expression_of
from napari_stmask.analysis.signatures import (
    SIGNATURES,
    by_domain,
    emt_score,
    read_gene_sets,
    signature_score,
)
from napari_stmask.core.errors import DataError, FileFormatError, MissingFileError, ParameterError
from napari_stmask.core.section import Section

UP, DOWN = ("VIM", "FN1", "ZEB1", "SPARC"), ("CDH1", "EPCAM", "KRT8", "KRT18")


def tumour(names: object = None) -> tuple[Section, np.ndarray]:
    """The right half is mesenchymal."""
    rng = np.random.default_rng(0)
    side = np.arange(200) % 20 >= 10
    genes = [*UP, *DOWN, *(f"N{i}" for i in range(40)), "SILENT"]
    mean = np.full((200, len(genes)), 6.0)
    mean[side, :4] *= 2
    mean[~side, 4:8] *= 2
    mean[:, -1] = 0
    adata = AnnData(sp.csr_matrix(rng.poisson(mean).astype(np.float32)))
    adata.var_names = genes if names is None else [names(g) for g in genes]
    adata.obs_names = [f"s{i}" for i in range(200)]
    adata.obsm["spatial"] = np.column_stack([np.arange(200) % 20, np.arange(200) // 20]).astype(
        float
    )
    return Section(adata), side


def test_score_is_the_mean_z() -> None:
    section, _ = tumour()
    found = signature_score(section, [*UP, "VIM", "ABSENT", "SILENT"])
    dense = np.asarray(expression_of(section).todense(), dtype=float)[:, :4]
    z = (dense - dense.mean(axis=0)) / dense.std(axis=0)
    np.testing.assert_allclose(found.values, z.mean(axis=1), atol=1e-5)
    assert found.used == UP
    assert found.missing == ("ABSENT", "SILENT")


def test_emt_is_the_difference_and_finds_the_planted_half() -> None:
    section, side = tumour()
    found = emt_score(section)
    parts = [signature_score(section, g).values for g in (UP, DOWN)]
    np.testing.assert_allclose(found.values, parts[0] - parts[1])
    assert found.values[side].mean() > 1
    assert found.values[~side].mean() < -1
    assert found.values.mean() == pytest.approx(0, abs=1e-9)
    assert set(found.missing) == set(sum(SIGNATURES["EMT"].values(), ())) - {*UP, *DOWN}
    swapped = emt_score(section, epithelial=UP, mesenchymal=DOWN)
    np.testing.assert_allclose(swapped.values, -found.values)


def test_mouse_symbols_match_without_case() -> None:
    human, _ = tumour()
    mouse, _ = tumour(str.capitalize)
    found = emt_score(mouse)
    np.testing.assert_allclose(found.values, emt_score(human).values)
    assert found.used[0] == "Vim"


def test_as_written_comes_first() -> None:
    section, _ = tumour()
    names = section.adata.var_names.tolist()
    names[20] = "vim"
    section.adata.var_names = names
    assert "vim" not in signature_score(section, UP).used
    assert "vim" in signature_score(section, ("vim", "FN1", "ZEB1")).used


def test_layers() -> None:
    section, side = tumour()
    section.adata.layers["smooth"] = sp.csr_matrix(np.tile(side[:, None], (1, 49)).astype(float))
    values = signature_score(section, UP, layer="smooth").values
    np.testing.assert_allclose(values, np.where(side, 1, -1), atol=1e-6)
    with pytest.raises(ParameterError, match="no layer 'other'"):
        emt_score(section, layer="other")


def test_too_few_genes() -> None:
    section, _ = tumour()
    with pytest.raises(DataError, match=r"2 usable genes of the gene set.*ABSENT"):
        signature_score(section, ("VIM", "FN1", "ABSENT", "SILENT"))
    with pytest.raises(DataError, match="0 usable genes of the epithelial set"):
        emt_score(section, epithelial=["X", "Y"])
    with pytest.raises(DataError, match="0 usable genes"):
        signature_score(section, ())


def test_comparison_between_domains() -> None:
    values = np.array([1.0, 2, 3, 10, 11, 12, np.nan, 99])
    labels = pd.Series(["a"] * 3 + ["b"] * 4 + [None], dtype="category")
    found = by_domain(values, labels)
    assert (found.h, found.p) == pytest.approx(kruskal([1, 2, 3], [10, 11, 12]))
    assert found.summary["median"].tolist() == [2, 11]
    assert found.summary["spots"].tolist() == [3, 3]
    assert found.median_differences.loc["b", "a"] == 9
    assert found.median_differences.loc["a", "b"] == -9
    assert found.values["b"].tolist() == [10, 11, 12]


def test_comparisons_without_an_answer() -> None:
    one = by_domain(np.arange(4.0), pd.Series(["a"] * 4))
    assert (one.h, one.p) == (None, None)
    flat = by_domain(np.ones(4), pd.Series(list("aabb")))
    assert (flat.h, flat.p) == (None, None)
    with pytest.raises(DataError, match="no spot has both"):
        by_domain(np.full(2, np.nan), pd.Series(list("ab")))
    with pytest.raises(ParameterError, match="3 values were given for 2"):
        by_domain(np.ones(3), pd.Series(list("ab")))


def test_files_of_gene_sets(tmp_path) -> None:
    gmt = tmp_path / "sets.gmt"
    gmt.write_text("# comment\nUP\tsource\tVIM\tFN1\tVIM\nDOWN\t\tCDH1\n\nEMPTY\tx\n")
    assert read_gene_sets(gmt) == {"UP": ("VIM", "FN1"), "DOWN": ("CDH1",)}
    csv = tmp_path / "sets.csv"
    csv.write_text('up,"down, all"\nVIM,CDH1\nFN1,\n')
    assert read_gene_sets(csv) == {"up": ("VIM", "FN1"), "down, all": ("CDH1",)}
    txt = tmp_path / "mine.txt"
    txt.write_bytes("\ufeffVIM\r\nFN1 \r\n".encode())
    assert read_gene_sets(str(txt)) == {"mine": ("VIM", "FN1")}


def test_bad_files_of_gene_sets(tmp_path, monkeypatch) -> None:
    for name, content, error, said in (
        ("a.gmt", b"UP only a name\n", FileFormatError, "holds no gene set"),
        ("b.csv", b"", FileFormatError, "holds no gene set"),
        ("c.txt", b"\xff\xfe\x00\x81", FileFormatError, "is no text"),
        ("d.xlsx", b"PK", FileFormatError, "no file of gene sets"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(error, match=said):
            read_gene_sets(tmp_path / name)
    with pytest.raises(MissingFileError, match=r"none\.gmt"):
        read_gene_sets(tmp_path / "none.gmt")
    with pytest.raises(MissingFileError):
        read_gene_sets(tmp_path / "folder.gmt" / "x.txt")
    monkeypatch.setattr("napari_stmask.analysis.signatures.MAX_FILE_BYTES", 3)
    with pytest.raises(FileFormatError, match="larger than"):
        read_gene_sets(tmp_path / "a.gmt")
