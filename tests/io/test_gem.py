"""GEM tables in all their forms."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from PIL import Image

from napari_stmask.core.errors import DataError, FileFormatError, ParameterError
from napari_stmask.core.section import Section
from napari_stmask.io import gem_text, stereo_images
from napari_stmask.io.read import read, recognise

OFFSET = (9600, 12610)
HEADER = (
    "#FileFormat=GEMv0.1\n#BinSize=1\n#Omics=Transcriptomics\n#Stereo-seqChip=SS2_D1\n"
    f"#OffsetX={OFFSET[0]}\n#OffsetY={OFFSET[1]}\n"
)


def records(n: int = 3000, seed: int = 0) -> pd.DataFrame:
    """Records in a field of 180 x 240 DNB with 12 genes and 6 cells."""
    rng = np.random.default_rng(seed)
    x, y = rng.integers(0, 180, n), rng.integers(0, 240, n)
    return pd.DataFrame(
        {
            "geneID": [f"ENS{i:02d}" for i in rng.integers(0, 12, n)],
            "x": x,
            "y": y,
            "MIDCount": rng.integers(1, 5, n),
            "CellID": np.where(x < 160, 1 + x // 60 + 3 * (y // 120), 0),
        }
    ).drop_duplicates(["geneID", "x", "y"], ignore_index=True)


def write_gem(
    path: Path, table: pd.DataFrame, header: str = "", *, sep: str = "\t", end: str = "\n"
) -> Path:
    """A GEM; gzipped where the name ends so."""
    text = header + table.to_csv(sep=sep, index=False, lineterminator=end)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def one(path: Path, **options: object) -> Section:
    found = read(path, **options)
    assert isinstance(found, Section)
    return found


def dense(section: Section) -> pd.DataFrame:
    """Counts by corner and gene identifier, without zeros."""
    entries = section.counts().tocoo()
    ids = section.adata.var["gene_ids"].to_numpy()
    index = [section.adata.obs_names[entries.row], ids[entries.col]]
    return pd.Series(entries.data.astype(int), index).sort_index()


def expected(table: pd.DataFrame, side: int, offset: tuple[int, int] = (0, 0)) -> pd.Series:
    x = table.x // side * side + offset[0]
    y = table.y // side * side + offset[1]
    return table.MIDCount.groupby([x.astype(str) + "_" + y.astype(str), table.geneID]).sum()


def same(found: pd.Series, wanted: pd.Series) -> None:
    pd.testing.assert_series_equal(
        found, wanted.sort_index(), check_names=False, check_dtype=False, check_index_type=False
    )


@pytest.mark.parametrize("name", ["a.gem", "a.gem.gz", "odd.bin"])
@pytest.mark.parametrize("side", [1, 20, 50, 200])
def test_bins(tmp_path: Path, name: str, side: int) -> None:
    table = records().drop(columns="CellID")
    path = write_gem(tmp_path / name, table, HEADER)
    assert recognise(path) == "gem"
    found = one(path, bin=side)
    same(dense(found), expected(table, side, OFFSET))
    assert (found.name, found.platform, found.um_per_px) == ("SS2_D1", "stereoseq", 0.5)
    assert found.spot_diameter == side
    corner = np.array([name.split("_") for name in found.adata.obs_names], dtype=float)
    np.testing.assert_array_equal(found.coords, corner + side / 2)
    array = found.adata.obs[["array_col", "array_row"]].to_numpy()
    np.testing.assert_array_equal(array * side + OFFSET, corner)
    assert found.adata.uns["stereoseq"]["bin"] == str(side)


def test_default_is_bin_50_and_origin_of_the_file(tmp_path: Path) -> None:
    """12610 is no multiple of 50: bins count from the file's own origin."""
    table = records().drop(columns="CellID")
    found = one(write_gem(tmp_path / "a.gem", table, HEADER))
    assert found.spot_diameter == 50
    assert found.coords[0].tolist() == [9625.0, 12635.0]
    assert found.n_spots == 4 * 5


def test_absolute_coordinates_without_header(tmp_path: Path) -> None:
    table = records().drop(columns="CellID")
    table[["x", "y"]] += 1013
    found = one(write_gem(tmp_path / "chip7_bin1.gem.gz", table))
    assert found.name == "chip7_bin1"
    same(dense(found), expected(table, 50))
    assert found.coords.min() == 1025


@pytest.mark.parametrize(
    "names",
    [
        {},
        {"MIDCount": "MIDCounts"},
        {"MIDCount": "UMICount", "CellID": "cell"},
        {"MIDCount": "UMICounts", "CellID": "label", "geneID": "gene"},
    ],
)
def test_column_names_in_any_order(tmp_path: Path, names: dict[str, str]) -> None:
    table = records()
    shuffled = table.rename(columns=names)[
        [names.get(c, c) for c in ("y", "CellID", "MIDCount", "geneID", "x")]
    ]
    found = one(write_gem(tmp_path / "a.gem", shuffled, HEADER), bin=50)
    same(dense(found), expected(table, 50, OFFSET))


@pytest.mark.parametrize(("sep", "end"), [("\t", "\r\n"), (",", "\n")])
def test_line_ends_and_commas(tmp_path: Path, sep: str, end: str) -> None:
    table = records()
    path = write_gem(tmp_path / "a.gem", table, HEADER.replace("\n", end), sep=sep, end=end)
    same(dense(one(path, bin=50)), expected(table, 50, OFFSET))


def test_symbols_and_repeated_symbols(tmp_path: Path) -> None:
    table = records().drop(columns="CellID")
    table.insert(1, "geneName", table.geneID.str.replace("ENS", "Sym"))
    table.loc[table.geneID.isin(["ENS03", "ENS04"]), "geneName"] = "Twin"
    table["ExonCount"] = 1
    found = one(write_gem(tmp_path / "a.gem", table, HEADER), bin=50)
    same(dense(found), expected(table, 50, OFFSET))
    var = found.adata.var
    assert var.index.is_unique
    assert {"Twin", "Twin-1", "Sym00"} <= set(var.index)
    assert var.loc["Sym07", "gene_ids"] == "ENS07"
    assert any("1 repeated gene symbols" in note for note in found.notes)
    assert any("exons were left out" in note for note in found.notes)
    assert list(var["gene_ids"]) == list(dict.fromkeys(table.geneID))


def test_blocks_do_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = records()
    table.insert(1, "geneName", table.geneID + "s")
    path = write_gem(tmp_path / "a.gem.gz", table, HEADER)
    whole = one(path, bin=7)
    monkeypatch.setattr(gem_text, "BLOCK_BYTES", 777)
    pieces = one(path, bin=7)
    assert (whole.counts() != pieces.counts()).nnz == 0
    pd.testing.assert_frame_equal(whole.adata.var, pieces.adata.var)
    pd.testing.assert_frame_equal(whole.adata.obs, pieces.adata.obs)


def test_last_line_without_end(tmp_path: Path) -> None:
    path = write_gem(tmp_path / "a.gem", records())
    path.write_bytes(path.read_bytes().rstrip(b"\n"))
    same(dense(one(path, bin=50)), expected(records(), 50))


def test_several_gzip_members(tmp_path: Path) -> None:
    table = records().drop(columns="CellID")
    text = (HEADER + table.to_csv(sep="\t", index=False)).encode()
    path = tmp_path / "a.gem.gz"
    path.write_bytes(gzip.compress(text[:20_000]) + gzip.compress(text[20_000:]))
    same(dense(one(path)), expected(table, 50, OFFSET))


def test_file_of_bins(tmp_path: Path) -> None:
    table = records().drop(columns="CellID")
    table[["x", "y"]] = table[["x", "y"]] // 20 * 20
    path = write_gem(tmp_path / "a.gem", table, HEADER.replace("BinSize=1", "BinSize=20"))
    assert one(path).spot_diameter == 20
    same(dense(one(path, bin=100)), expected(table, 100, OFFSET))
    with pytest.raises(ParameterError, match=r"holds bins of 20 DNB.*multiple of 20"):
        read(path, bin=50)


# ---------------------------------------------------------------------------- cells


def test_cells_by_column(tmp_path: Path) -> None:
    table = records()
    found = one(write_gem(tmp_path / "a.gem", table, HEADER))
    inside = table[table.CellID > 0]
    assert found.adata.obs_names.tolist() == ["1", "2", "3", "4", "5", "6"]
    wanted = inside.MIDCount.groupby([inside.CellID.astype(str), inside.geneID]).sum()
    same(dense(found), wanted)
    places = inside.drop_duplicates(["CellID", "x", "y"]).groupby("CellID")
    assert found.adata.obs["dnb_count"].tolist() == places.size().tolist()
    np.testing.assert_allclose(found.coords, places[["x", "y"]].mean() + 0.5 + OFFSET)
    outside = (table.CellID == 0).sum()
    assert any(f"{outside} of {len(table)} records lie outside of cells" in n for n in found.notes)


def test_cells_without_number(tmp_path: Path) -> None:
    table = records()
    table["CellID"] = table.CellID.astype(str).replace("0", "NA")
    found = one(write_gem(tmp_path / "a.gem", table), bin="cell")
    assert found.n_spots == 6
    assert any("outside of cells" in note for note in found.notes)


def test_bins_of_a_file_with_cells(tmp_path: Path) -> None:
    path = write_gem(tmp_path / "a.gem", records(), HEADER)
    same(dense(one(path, bin=50)), expected(records(), 50, OFFSET))


def test_cells_need_a_mask(tmp_path: Path) -> None:
    path = write_gem(tmp_path / "a.gem", records().drop(columns="CellID"))
    with pytest.raises(ParameterError, match="give mask= with an image of the cells"):
        read(path, bin="cell")


def cell_image() -> np.ndarray:
    """The cells of `records`, 180 x 240."""
    y, x = np.mgrid[:240, :180]
    return np.where(x < 160, 1 + x // 60 + 3 * (y // 120), 0).astype(np.uint16)


@pytest.mark.parametrize(("offset", "on_chip"), [((3, 5), True), ((3, 5), False), (OFFSET, False)])
def test_cells_by_numbered_mask(tmp_path: Path, offset: tuple[int, int], on_chip: bool) -> None:
    table = records()
    header = HEADER.replace("9600", str(offset[0])).replace("12610", str(offset[1]))
    image = cell_image()
    if on_chip:
        image = np.pad(image, ((offset[1], 0), (offset[0], 0)))
    tifffile.imwrite(tmp_path / "cells.tif", image)
    path = write_gem(tmp_path / "a.gem", table.drop(columns="CellID"), header)
    found = one(path, bin="cell", mask=tmp_path / "cells.tif")
    by_column = one(write_gem(tmp_path / "b.gem", table, header))
    same(dense(found), dense(by_column))
    assert found.adata.obs["area"].tolist() == [7200, 7200, 4800] * 2
    assert found.coords[0].tolist() == [offset[0] + 30, offset[1] + 60]
    frame = "of the chip" if on_chip else "of the file"
    assert any(f"cells.tif was taken to lie in the frame {frame}" in n for n in found.notes)


def test_cells_by_black_and_white_mask(tmp_path: Path) -> None:
    """Cells that touch at a corner only are two."""
    table = pd.DataFrame({"geneID": "G", "x": [1, 2, 5], "y": [1, 2, 5], "MIDCount": [2, 3, 4]})
    image = np.zeros((8, 8), np.uint8)
    image[:2, :2] = image[2:4, 2:4] = 255
    tifffile.imwrite(tmp_path / "m.tif", image)
    path = write_gem(tmp_path / "a.gem", table)
    found = one(path, bin="cell", mask=tmp_path / "m.tif")
    assert found.counts().toarray().ravel().tolist() == [2, 3]
    assert found.coords.tolist() == [[1, 1], [3, 3]]


# ---------------------------------------------------------------------------- tissue, image


def tissue_image() -> np.ndarray:
    image = np.zeros((240, 180), np.uint8)
    image[60:200, 20:130] = 1
    return image


def test_tissue_by_mask(tmp_path: Path) -> None:
    table = records().drop(columns="CellID")
    tifffile.imwrite(tmp_path / "t.tif", tissue_image())
    path = write_gem(tmp_path / "a.gem", table, HEADER)
    found = one(path, bin=50, mask=tmp_path / "t.tif")
    kept = table[table.x.between(20, 129) & table.y.between(60, 199)]
    same(dense(found), expected(kept, 50, OFFSET))
    assert any(f"{len(kept)} of {len(table)} records lie on the tissue" in n for n in found.notes)


def test_tissue_beside_the_file(tmp_path: Path) -> None:
    table = records().drop(columns="CellID")
    path = write_gem(tmp_path / "SS2_D1.gem", table, HEADER)
    tifffile.imwrite(tmp_path / "SS2_D1_ssDNA_tissue_cut.tif", tissue_image())
    tifffile.imwrite(tmp_path / "OTHER_tissue_cut.tif", tissue_image())
    found = one(path, bin=50)
    kept = table[table.x.between(20, 129) & table.y.between(60, 199)]
    same(dense(found), expected(kept, 50, OFFSET))
    assert any("SS2_D1_ssDNA_tissue_cut.tif" in note for note in found.notes)
    same(dense(one(path, bin=50, filtered=False)), expected(table, 50, OFFSET))


@pytest.mark.parametrize(("shape", "doubt"), [((240, 180), False), ((290, 210), True)])
def test_registered_image_beside_the_file(
    tmp_path: Path, shape: tuple[int, int], doubt: bool
) -> None:
    """One pixel per DNB from the origin of the file, which lies at (30, 50) on the chip."""
    header = HEADER.replace("9600", "30").replace("12610", "50")
    path = write_gem(tmp_path / "a.gem", records().drop(columns="CellID"), header)
    for stain in ("ssDNA", "HE"):
        tifffile.imwrite(tmp_path / f"{stain}_SS2_D1_regist.tif", np.zeros(shape, np.uint8))
    found = one(path, bin=1)
    assert found.image is not None
    assert found.image.name == "HE_SS2_D1_regist.tif"
    assert found.image.to_pixels(np.array([[30.0, 50.0]])).tolist() == [[0, 0]]
    assert found.image.contains(found.coords).all()
    assert any("if it shows the whole chip" in note for note in found.notes) == doubt


def test_registered_image_too_small(tmp_path: Path) -> None:
    path = write_gem(tmp_path / "a.gem", records().drop(columns="CellID"), HEADER)
    tifffile.imwrite(tmp_path / "HE_regist.tif", np.zeros((100, 100), np.uint8))
    found = one(path)
    assert found.image is None
    assert any("HE_regist.tif was left out: it has 100 x 100 pixels" in n for n in found.notes)


@pytest.mark.parametrize(
    ("image", "error", "text"),
    [
        (np.zeros((240, 180), np.uint8), DataError, "is empty"),
        (np.zeros((240, 180, 3), np.uint8), FileFormatError, "has shape"),
        (np.ones((240, 180), np.float32), FileFormatError, "float32"),
        (np.pad(np.ones((2, 2), np.uint8), ((500, 0), (0, 0))), DataError, "None of"),
    ],
)
def test_useless_masks(tmp_path: Path, image: np.ndarray, error: type, text: str) -> None:
    tifffile.imwrite(tmp_path / "m.tif", image)
    path = write_gem(tmp_path / "a.gem", records().drop(columns="CellID"))
    with pytest.raises(error, match=text):
        read(path, mask=tmp_path / "m.tif")


def test_truncated_mask(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "m.tif", tissue_image())
    whole = (tmp_path / "m.tif").read_bytes()
    (tmp_path / "m.tif").write_bytes(whole[: len(whole) // 2])
    path = write_gem(tmp_path / "a.gem", records())
    with pytest.raises(FileFormatError, match=r"m\.tif"):
        read(path, mask=tmp_path / "m.tif", bin=50)


def test_mask_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stereo_images, "MAX_MASK_BYTES", 50_000)
    tifffile.imwrite(tmp_path / "m.tif", cell_image())
    path = write_gem(tmp_path / "a.gem", records())
    with pytest.raises(FileFormatError, match="the limit for a mask"):
        read(path, mask=tmp_path / "m.tif", bin=50)


@pytest.mark.parametrize("bits", [False, True])
def test_mask_as_png(tmp_path: Path, bits: bool) -> None:
    table = records().drop(columns="CellID")
    picture = Image.fromarray(tissue_image() * 255)
    (picture.convert("1") if bits else picture).save(tmp_path / "m.png")
    path = write_gem(tmp_path / "a.gem", table, HEADER)
    kept = table[table.x.between(20, 129) & table.y.between(60, 199)]
    same(dense(one(path, bin=50, mask=tmp_path / "m.png")), expected(kept, 50, OFFSET))


def test_mark_quotes_and_packed_files_in_a_row(tmp_path: Path) -> None:
    """What Notepad, R and ``cat a.gz b.gz`` leave."""
    table = records().drop(columns="CellID")
    wanted = expected(table, 50, OFFSET)
    text = HEADER + table.to_csv(sep="\t", index=False)
    (tmp_path / "mark.gem").write_bytes(b"\xef\xbb\xbf" + text.encode())
    quoted = HEADER + table.to_csv(sep="\t", index=False, quoting=2)
    (tmp_path / "quotes.gem").write_text(quoted)
    first, rest = HEADER.encode(), text.removeprefix(HEADER).encode()
    pieces = (first, rest[:40], rest[40:])
    (tmp_path / "row.gem.gz").write_bytes(b"".join(map(gzip.compress, pieces)))
    for name in ("mark.gem", "quotes.gem", "row.gem.gz"):
        assert recognise(tmp_path / name) == "gem"
        same(dense(one(tmp_path / name)), wanted)


def test_a_plain_name_of_the_counts_needs_the_name_of_the_format(tmp_path: Path) -> None:
    table = records().drop(columns="CellID").rename(columns={"MIDCount": "values"})
    assert recognise(write_gem(tmp_path / "a.gem", table)) == "gem"
    assert recognise(write_gem(tmp_path / "a.tsv", table)) is None
    table = table.rename(columns={"values": "MIDCount"})
    same(dense(one(tmp_path / "a.gem")), expected(table, 50))


def test_images_of_another_chip_are_not_taken(tmp_path: Path) -> None:
    header = HEADER.replace("SS2_D1", "SS200000135TL_D1")
    path = write_gem(tmp_path / "a.gem", records().drop(columns="CellID"), header)
    tifffile.imwrite(tmp_path / "HE_SS200000999TL_A2_regist.tif", np.zeros((300, 300), np.uint8))
    tifffile.imwrite(tmp_path / "SS200000999TL_A2_tissue_cut.tif", tissue_image())
    found = one(path)
    assert found.image is None
    assert not any("tissue" in note for note in found.notes)
    tifffile.imwrite(tmp_path / "HE_regist.tif", np.zeros((300, 300), np.uint8))
    assert one(path).image is not None
