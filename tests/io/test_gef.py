"""GEF files: bins, cells, and files that contradict themselves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import tifffile

from napari_stmask.core.errors import DataError, FileFormatError, ParameterError, StmaskError
from napari_stmask.io import gef
from napari_stmask.io.cellbin import POLYGONS
from napari_stmask.io.read import read, recognise
from napari_stmask.io.write import write

from .test_gem import OFFSET, cell_image, dense, expected, one, records, same, write_gem

EXPRESSION = np.dtype([("x", "<i4"), ("y", "<i4"), ("count", "<u4")])


def write_gef(
    path: Path, table: pd.DataFrame, sides: tuple[int, ...] = (1,), *, named: bool = True
) -> Path:
    """A bin GEF with the given bin sizes: v4 with symbols, else v2."""
    with h5py.File(path, "w") as file:
        file.attrs["version"] = np.array([4 if named else 2], np.uint32)
        file.attrs["omics"] = np.array([b"Transcriptomics"])
        file.attrs["sn"] = np.array([b"SS9_E1"])
        for side in sides:
            binned = table.assign(x=table.x // side * side, y=table.y // side * side)
            binned = binned.groupby(["geneID", "x", "y"], as_index=False).MIDCount.sum()
            counts = binned.groupby("geneID").size()
            ids = counts.index.to_numpy().astype("S64")
            keys = ("geneID", "geneName") if named else ("gene",)
            genes = np.zeros(
                len(ids), [*((k, "S64") for k in keys), ("offset", "<u8"), ("count", "<u8")]
            )
            for key in keys:
                genes[key] = ids
            genes["count"] = counts
            genes["offset"] = np.cumsum(counts) - counts
            values = np.zeros(len(binned), EXPRESSION)
            values["x"], values["y"], values["count"] = binned.x, binned.y, binned.MIDCount
            group = file.create_group(f"geneExp/bin{side}")
            group.create_dataset("gene", data=genes)
            stored = group.create_dataset("expression", data=values, compression="gzip")
            stored.attrs.update(
                {"minX": [OFFSET[0]], "minY": [OFFSET[1]], "resolution": np.array([500], "u4")}
            )
            if named:
                group.create_dataset("exon", data=np.ones(len(binned), np.uint8))
    return path


def write_cells(path: Path, table: pd.DataFrame, offset: tuple[int, int] = OFFSET) -> Path:
    """A cell-bin GEF of the cells of `records`, outlined by triangles and squares."""
    inside = table[table.CellID > 0]
    names = sorted(inside.geneID.unique())
    sums = inside.groupby(["CellID", "geneID"]).MIDCount.sum().reset_index()
    per_cell = sums.groupby("CellID").MIDCount.agg(["size", "sum"])
    n = len(per_cell)
    cells = np.zeros(
        n,
        [
            *((key, "<u4") for key in ("id", "offset")),
            *((key, "<i4") for key in ("x", "y")),
            *((k, "<u2") for k in ("geneCount", "expCount", "dnbCount", "area", "clusterID")),
        ],
    )
    cells["id"] = np.arange(n)
    cells["x"], cells["y"] = 30 + 10 * np.arange(n), 40
    cells["geneCount"], cells["expCount"] = per_cell["size"], per_cell["sum"]
    cells["offset"] = np.cumsum(per_cell["size"]) - per_cell["size"]
    cells["dnbCount"], cells["area"] = 7, 100
    entries = np.zeros(len(sums), [("geneID", "<u4"), ("count", "<u2")])
    entries["geneID"] = [names.index(name) for name in sums.geneID]
    entries["count"] = sums.MIDCount
    genes = np.zeros(len(names), [("geneName", "S64"), ("expCount", "<u4")])
    genes["geneName"] = names
    genes["expCount"] = sums.groupby("geneID").MIDCount.sum()[names]
    border = np.full((n, 32, 2), 32767, np.int16)
    border[:, :3] = [[-5, -5], [5, -5], [0, 6]]
    border[1, 3] = [-4, 0]
    with h5py.File(path, "a") as file:
        file.attrs["offsetX"], file.attrs["offsetY"] = [offset[0]], [offset[1]]
        file.attrs["resolution"] = np.array([500], "u4")
        for key, values in (
            ("cell", cells),
            ("cellExp", entries),
            ("gene", genes),
            ("cellBorder", border),
            ("label", per_cell.index.to_numpy(np.uint32)),
        ):
            file[f"cellBin/{key}"] = values
    return path


# ---------------------------------------------------------------------------- bins


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("side", [1, 7, 20, 50, 200])
def test_bins(tmp_path: Path, named: bool, side: int) -> None:
    table = records()
    path = write_gef(tmp_path / "a.gef", table, named=named)
    assert recognise(path) == "gef"
    found = one(path, bin=side)
    same(dense(found), expected(table, side, OFFSET))
    assert (found.name, found.platform, found.um_per_px) == ("SS9_E1", "stereoseq", 0.5)
    assert any("exons were left out" in note for note in found.notes) == named
    gem = one(write_gem(tmp_path / "a.gem", table.drop(columns="CellID")), bin=side)
    np.testing.assert_array_equal(found.coords, gem.coords + OFFSET)


def test_the_largest_stored_divisor_is_read(tmp_path: Path) -> None:
    """Marked by a count that only this bin size has."""
    path = write_gef(tmp_path / "a.gef", records(), (1, 5, 20, 30))
    with h5py.File(path, "r+") as file:
        for side in (1, 5, 20, 30):
            rows = file[f"geneExp/bin{side}/expression"][:]
            rows["count"][0] = 1000 + side
            file[f"geneExp/bin{side}/expression"][:] = rows
    for asked, used in ((20, 20), (40, 20), (15, 5), (60, 30), (7, 1), (1, 1)):
        largest = one(path, bin=asked).counts().max()
        assert 1000 + used <= largest < 1000 + used + 100 * asked
        assert [s for s in (1, 5, 20, 30) if abs(largest - 1000 - s) < 1] in ([used], [])


def test_only_coarse_bins(tmp_path: Path) -> None:
    path = write_gef(tmp_path / "a.gef", records(), (20,))
    found = one(path)
    assert found.spot_diameter == 20
    with pytest.raises(ParameterError, match=r"holds bins of 20 DNB.*multiple of 20"):
        read(path, bin=50)
    tifffile.imwrite(tmp_path / "m.tif", cell_image())
    with pytest.raises(ParameterError, match="no single DNB"):
        read(path, bin=40, mask=tmp_path / "m.tif")


def test_blocks_do_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_gef(tmp_path / "a.gef", records())
    whole = one(path, bin=20)
    monkeypatch.setattr(gef, "_BLOCK", 97)
    pieces = one(path, bin=20)
    assert (whole.counts() != pieces.counts()).nnz == 0
    pd.testing.assert_frame_equal(whole.adata.obs, pieces.adata.obs)


def test_resolution_of_another_chip(tmp_path: Path) -> None:
    path = write_gef(tmp_path / "a.gef", records())
    with h5py.File(path, "r+") as file:
        file["geneExp/bin1/expression"].attrs["resolution"] = np.array([715], "u4")
    assert one(path).um_per_px == 0.715


def test_masks(tmp_path: Path) -> None:
    table = records()
    path = write_gef(tmp_path / "a.gef", table, (1, 50))
    tifffile.imwrite(tmp_path / "m.tif", cell_image())
    kept = table[table.CellID > 0]
    same(dense(one(path, bin=50, mask=tmp_path / "m.tif")), expected(kept, 50, OFFSET))
    cells = one(path, bin="cell", mask=tmp_path / "m.tif")
    same(dense(cells), dense(one(write_gem(tmp_path / "a.gem", table))))
    with pytest.raises(ParameterError, match="give mask= with an image of the cells"):
        read(path, bin="cell")


# ---------------------------------------------------------------------------- cells


def test_cells(tmp_path: Path) -> None:
    table = records()
    found = one(write_cells(tmp_path / "c.gef", table))
    same(dense(found), dense(one(write_gem(tmp_path / "a.gem", table))))
    np.testing.assert_array_equal(
        found.coords, np.column_stack([30.5 + 10 * np.arange(6), np.full(6, 40.5)]) + OFFSET
    )
    outlines = found.adata.obsm[POLYGONS]
    assert outlines.shape == (6, 32, 2)
    assert outlines.dtype == np.float32
    np.testing.assert_array_equal(outlines[2, :3] - found.coords[2], [[-5, -5], [5, -5], [0, 6]])
    assert np.isfinite(outlines[:, :, 0]).sum(axis=1).tolist() == [3, 4, 3, 3, 3, 3]
    assert found.adata.obs.columns.tolist() == ["area", "dnbCount"]
    assert found.spot_diameter == pytest.approx(2 * np.sqrt(100 / np.pi))
    assert found.notes == []


def test_outlines_of_early_versions(tmp_path: Path) -> None:
    """In one byte per offset, where 127 stands for no corner."""
    path = write_cells(tmp_path / "c.gef", records())
    wanted = one(path).adata.obsm[POLYGONS]
    with h5py.File(path, "r+") as file:
        border = np.minimum(file["cellBin/cellBorder"][:], 127).astype(np.int8)
        del file["cellBin/cellBorder"]
        file["cellBin/cellBorder"] = border
    np.testing.assert_array_equal(one(path).adata.obsm[POLYGONS], wanted)


def test_cells_survive_h5ad(tmp_path: Path) -> None:
    found = one(write_cells(tmp_path / "c.gef", records()))
    again = one(write(found, tmp_path / "c.h5ad"))
    np.testing.assert_array_equal(again.adata.obsm[POLYGONS], found.adata.obsm[POLYGONS])
    assert (again.platform, again.um_per_px, again.name) == ("stereoseq", 0.5, found.name)
    assert again.spot_diameter == pytest.approx(found.spot_diameter)


def test_offset_that_is_only_the_smallest_coordinate(tmp_path: Path) -> None:
    found = one(write_cells(tmp_path / "c.gef", records(), offset=(25, 35)))
    assert found.coords[0].tolist() == [30.5, 40.5]
    assert any("was not added" in note for note in found.notes)


def test_genes_without_names(tmp_path: Path) -> None:
    path = write_cells(tmp_path / "c.gef", records())
    with h5py.File(path, "r+") as file:
        genes = file["cellBin/gene"][:]
        genes["geneName"] = b""
        file["cellBin/gene"][:] = genes
    found = one(path)
    assert found.adata.var_names[:2].tolist() == ["gene_1", "gene_2"]
    assert any("does not name its genes" in note for note in found.notes)


def test_file_with_bins_and_cells(tmp_path: Path) -> None:
    table = records()
    path = write_cells(write_gef(tmp_path / "a.gef", table), table)
    bins, cells = one(path), one(path, bin="cell")
    assert (bins.n_spots, cells.n_spots) == (20, 6)
    assert any("read them with bin='cell'" in note for note in bins.notes)


def test_bins_of_a_file_of_cells(tmp_path: Path) -> None:
    path = write_cells(tmp_path / "c.gef", records())
    with pytest.raises(ParameterError, match="holds cells only"):
        read(path, bin=50)


def test_sums_that_do_not_agree_are_noted(tmp_path: Path) -> None:
    path = write_cells(tmp_path / "c.gef", records())
    with h5py.File(path, "r+") as file:
        cells = file["cellBin/cell"][:]
        cells["expCount"][2] += 1
        file["cellBin/cell"][:] = cells
    assert any("counts of 1 cells do not add up" in note for note in one(path).notes)


# ---------------------------------------------------------------------------- damaged


def field(name: str, key: str, place: int, value: int) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        rows = file[name][:]
        rows[key][place] = value
        file[name][:] = rows

    return change


def without(name: str) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        del file[name]

    return change


def replaced(name: str, values: np.ndarray) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        del file[name]
        file[name] = values

    return change


E1, G1 = "geneExp/bin1/expression", "geneExp/bin1/gene"


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (without(E1), "no table 'geneExp/bin1/expression'"),
        (without(G1), "no table 'geneExp/bin1/gene'"),
        (without("geneExp/bin1"), "holds no bin size"),
        (without("geneExp"), "neither 'geneExp' nor 'cellBin'"),
        (field(G1, "offset", 3, 10**15), "do not divide"),
        (field(G1, "count", 3, 2**63), "do not divide"),
        (field(G1, "count", -1, 0), "do not divide"),
        (field(E1, "x", 5, -4), "x holds -4"),
        (field(E1, "y", 5, 2**30), "y holds 1073741824"),
        (field(E1, "count", 5, 2**32 - 1), "count holds 4294967295"),
        (replaced(E1, np.zeros(5, [("x", "f4"), ("y", "f4"), ("count", "f4")])), "whole numbers"),
        (replaced(E1, np.zeros((5, 3), int)), "no table"),
        (replaced(G1, np.zeros(0, [("gene", "S8"), ("offset", "i8"), ("count", "i8")])), "0 genes"),
        (replaced(G1, np.zeros(3, [("offset", "i8"), ("count", "i8")])), "does not name its genes"),
    ],
)
def test_damaged_bins(tmp_path: Path, change: Callable, text: str) -> None:
    path = write_gef(tmp_path / "a.gef", records())
    with h5py.File(path, "r+") as file:
        change(file)
    with pytest.raises(StmaskError, match=text) as error:
        gef.load(path, gef.ReadOptions())
    assert "a.gef" in str(error.value)


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        (without("cellBin/cellExp"), FileFormatError, "no table 'cellBin/cellExp'"),
        (field("cellBin/cellExp", "geneID", 3, 999), FileFormatError, "gene beyond the 12"),
        (field("cellBin/cell", "geneCount", 2, 60000), FileFormatError, "do not divide"),
        (field("cellBin/cell", "offset", 2, 1), FileFormatError, "do not divide"),
        (field("cellBin/cell", "x", 2, 10**9), DataError, "a cell lies at"),
        (replaced("cellBin/cellBorder", np.zeros((6, 9), "i2")), FileFormatError, "has shape"),
        (replaced("cellBin/label", np.ones(6, "u4")), FileFormatError, "cell '1' occurs twice"),
        (replaced("cellBin/gene", np.zeros(3, [("a", "S4")])), FileFormatError, "name its genes"),
    ],
)
def test_damaged_cells(tmp_path: Path, change: Callable, error: type, text: str) -> None:
    path = write_cells(tmp_path / "c.gef", records())
    with h5py.File(path, "r+") as file:
        change(file)
    with pytest.raises(error, match=text):
        read(path)


def test_truncated(tmp_path: Path) -> None:
    path = write_gef(tmp_path / "a.gef", records())
    path.write_bytes(path.read_bytes()[:-3000])
    assert recognise(path) == "gef"
    with pytest.raises(FileFormatError, match=r"a\.gef"):
        read(path)
