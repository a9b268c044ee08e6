"""Every layout of Space Ranger, each file missing, each kind of mismatch."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from scipy.io import mmwrite

from napari_stmask.core.errors import (
    DataError,
    FileFormatError,
    MissingFileError,
    ParameterError,
    StmaskError,
)
from napari_stmask.core.section import Section
from napari_stmask.io.positions import COLUMNS, read_positions
from napari_stmask.io.read import read, recognise

MATRIX = "filtered_feature_bc_matrix.h5"


def same(found: Section | list[Section], section: Section) -> Section:
    """Assert that counts, names and coordinates are those of ``section``."""
    assert isinstance(found, Section)
    assert list(found.adata.obs_names) == list(section.adata.obs_names)
    assert list(found.adata.var_names) == list(section.adata.var_names)
    assert (found.counts() != section.counts()).nnz == 0
    assert found.adata.X.dtype == np.float32
    np.testing.assert_allclose(found.coords, section.coords)
    return found


def edit_positions(outs: Path, change) -> None:
    path = outs / "spatial" / "tissue_positions.csv"
    table = pd.read_csv(path, dtype=str)
    change(table).to_csv(path, index=False)


def to_mtx(outs: Path, zipped: bool = True, legacy: bool = False) -> Path:
    """Replace the h5 file by a folder of triplets."""
    folder = outs / "filtered_feature_bc_matrix"
    folder.mkdir()
    found = read(outs)
    mmwrite(folder / "matrix.mtx", found.counts().T.astype(np.int64), field="integer")
    var = found.adata.var
    lines = [
        "\t".join((row.gene_ids, name, "Gene Expression")[: 2 if legacy else 3])
        for name, row in var.iterrows()
    ]
    features = "genes.tsv" if legacy else "features.tsv"
    (folder / features).write_text("\n".join(lines) + "\n")
    (folder / "barcodes.tsv").write_text("\n".join(found.adata.obs_names) + "\n")
    if zipped:
        for path in list(folder.iterdir()):
            with gzip.open(f"{path}.gz", "wb") as stream:
                stream.write(path.read_bytes())
            path.unlink()
    (outs / MATRIX).unlink()
    return folder


def test_complete_folder(outs: Path, section: Section) -> None:
    found = same(read(outs), section)
    assert found.name == "tiny"
    assert found.platform == "visium"
    assert found.um_per_px == pytest.approx(100 / 40, rel=1e-6)
    assert found.spot_diameter == pytest.approx(22.0)
    assert found.notes == []
    assert found.image is not None
    assert found.image.shape == (400, 500)
    assert {"in_tissue", "array_row", "array_col"} <= set(found.adata.obs)
    assert list(found.adata.var["gene_ids"][:2]) == ["ID0", "ID1"]
    entry = found.adata.uns["spatial"]["tiny"]
    assert set(entry["images"]) == {"hires", "lowres"}
    assert entry["scalefactors"]["tissue_hires_scalef"] == 1.0


@pytest.mark.parametrize("part", ["", "..", MATRIX, "spatial"])
def test_any_part_of_a_run_leads_to_it(outs: Path, section: Section, part: str) -> None:
    same(read((outs / part).resolve()), section)


def test_name_can_be_given_and_falls_back_to_the_folder(outs: Path) -> None:
    assert read(outs, name="mine").name == "mine"
    with h5py.File(outs / MATRIX, "r+") as file:
        del file.attrs["library_ids"]
    assert read(outs).name == "run"


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("legacy", [True, False])
def test_triplets(outs: Path, section: Section, zipped: bool, legacy: bool) -> None:
    folder = to_mtx(outs, zipped, legacy)
    same(read(outs), section)
    same(read(folder), section)


@pytest.mark.parametrize("header", [True, False])
def test_positions_of_older_versions(outs: Path, section: Section, header: bool) -> None:
    path = outs / "spatial" / "tissue_positions.csv"
    table = pd.read_csv(path)
    path.unlink()
    table.to_csv(outs / "spatial" / "tissue_positions_list.csv", index=False, header=header)
    same(read(outs), section)


def test_positions_as_parquet(outs: Path, section: Section) -> None:
    pytest.importorskip("pyarrow")
    path = outs / "spatial" / "tissue_positions.csv"
    pd.read_csv(path).to_parquet(path.with_suffix(".parquet"))
    path.unlink()
    same(read(outs), section)


def test_parquet_without_pyarrow_says_what_to_install(
    outs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    (outs / "spatial" / "tissue_positions.parquet").write_bytes(b"PAR1")
    with pytest.raises(StmaskError, match="pip install pyarrow"):
        read(outs)


def test_sample_prefix(outs: Path, section: Section) -> None:
    (outs / MATRIX).rename(outs / f"V1_Human_{MATRIX}")
    with h5py.File(outs / f"V1_Human_{MATRIX}", "r+") as file:
        del file.attrs["library_ids"]
    assert same(read(outs), section).name == "V1_Human"
    same(read(outs / f"V1_Human_{MATRIX}"), section)


def test_flat_folder_with_prefixes(outs: Path, section: Section, tmp_path: Path) -> None:
    flat = tmp_path / "flat"
    flat.mkdir()
    for path in [outs / MATRIX, *(outs / "spatial").iterdir()]:
        shutil.copy(path, flat / f"S1_{path.name}")
    assert same(read(flat), section).notes == []


def test_several_matrices_ask_for_one(outs: Path, section: Section) -> None:
    shutil.copy(outs / MATRIX, outs / f"B_{MATRIX}")
    with pytest.raises(FileFormatError, match="several matrices"):
        read(outs)
    same(read(outs / MATRIX), section)


def test_raw_matrix_is_the_fallback_and_can_be_asked_for(outs: Path, section: Section) -> None:
    (outs / MATRIX).rename(outs / "raw_feature_bc_matrix.h5")
    found = same(read(outs), section)
    assert found.notes == ["There is no filtered matrix; the raw one was read."]
    assert same(read(outs, filtered=False), section).notes == []


def test_cell_ranger_2_layout(outs: Path, section: Section) -> None:
    with h5py.File(outs / MATRIX, "r+") as file:
        group = file.create_group("GRCh38")
        for name in ("barcodes", "data", "indices", "indptr", "shape"):
            file.copy(f"matrix/{name}", group)
        group["genes"] = file["matrix/features/id"][()]
        group["gene_names"] = file["matrix/features/name"][()]
        del file["matrix"]
    same(read(outs), section)


def test_only_gene_expression_is_kept(outs: Path, section: Section) -> None:
    with h5py.File(outs / MATRIX, "r+") as file:
        types = file["matrix/features/feature_type"][()].astype("S20")
        types[3] = b"Antibody Capture"
        del file["matrix/features/feature_type"]
        file["matrix/features/feature_type"] = types
    found = read(outs)
    assert found.n_genes == section.n_genes - 1
    assert "G3" not in found.adata.var_names
    with h5py.File(outs / MATRIX, "r+") as file:
        file["matrix/features/feature_type"][:] = b"Antibody Capture"
    with pytest.raises(DataError, match=r"no 'Gene Expression' features.*Antibody"):
        read(outs)


def test_repeated_symbols_become_unique(outs: Path) -> None:
    with h5py.File(outs / MATRIX, "r+") as file:
        file["matrix/features/name"][1] = b"G0"
    found = read(outs)
    assert list(found.adata.var_names[:2]) == ["G0", "G0-1"]
    assert "1 repeated gene symbol" in found.notes[0]


def test_visium_hd_bins(outs: Path, tmp_path: Path) -> None:
    for size in ("008", "016"):
        folder = tmp_path / "hd" / "binned_outputs" / f"square_{size}um"
        shutil.copytree(outs, folder)
        path = folder / "spatial" / "scalefactors_json.json"
        factors = json.loads(path.read_text()) | {
            "bin_size_um": float(size),
            "microns_per_pixel": 0.27,
        }
        path.write_text(json.dumps(factors))
    found = read(tmp_path / "hd", name="s")
    assert found.platform == "visium_hd"
    assert found.um_per_px == 0.27
    assert "square_008um was read" in found.notes[0]
    one = read(tmp_path / "hd" / "binned_outputs" / "square_016um")
    assert one.notes == []


# What happens when a file is missing: a note, or a sentence that names it.
MISSING = {
    MATRIX: (MissingFileError, "no filtered_feature_bc_matrix"),
    "spatial/tissue_positions.csv": (MissingFileError, "no tissue_positions_list.csv"),
    "spatial/scalefactors_json.json": (None, "There is no scalefactors_json.json"),
    "spatial/tissue_hires_image.png": (None, "the low-resolution one is shown"),
    "spatial/tissue_lowres_image.png": (None, ""),
}


@pytest.mark.parametrize("name", MISSING)
def test_each_file_missing(outs: Path, section: Section, name: str) -> None:
    error, text = MISSING[name]
    (outs / name).unlink()
    if error is not None:
        with pytest.raises(error, match=text) as caught:
            read(outs)
        assert str(outs) in str(caught.value)
        return
    found = same(read(outs), section)
    assert text in " ".join(found.notes)
    assert bool(found.notes) == bool(text)
    assert found.um_per_px == pytest.approx(2.5)
    assert found.spot_diameter == pytest.approx(22.0)


@pytest.mark.parametrize("name", ["matrix.mtx.gz", "barcodes.tsv.gz", "features.tsv.gz"])
def test_each_file_of_the_triplets_missing(outs: Path, name: str) -> None:
    folder = to_mtx(outs)
    (folder / name).unlink()
    with pytest.raises(MissingFileError):
        read(outs)


def test_no_image_at_all(outs: Path, section: Section) -> None:
    for path in (outs / "spatial").glob("*.png"):
        path.unlink()
    found = same(read(outs), section)
    assert found.image is None
    assert "shown without histology" in found.notes[0]


def test_order_of_barcodes_does_not_matter(outs: Path, section: Section) -> None:
    edit_positions(outs, lambda table: table.iloc[::-1])
    same(read(outs), section)


def test_suffix_of_barcodes_may_differ(outs: Path, section: Section) -> None:
    edit_positions(outs, lambda t: t.assign(barcode=t["barcode"].str.removesuffix("-1")))
    found = same(read(outs), section)
    assert "56 of 56 barcodes match" in found.notes[0]


def test_some_positions_missing(outs: Path) -> None:
    edit_positions(outs, lambda table: table.iloc[6:])
    found = read(outs)
    assert found.n_spots == 50
    assert found.notes == ["6 of 56 barcodes have no position and were left out."]


def test_barcodes_of_another_run(outs: Path) -> None:
    edit_positions(outs, lambda t: t.assign(barcode="X" + t["barcode"]))
    with pytest.raises(DataError, match="Only 0 of 56 barcodes"):
        read(outs)


def test_only_tissue_is_kept(outs: Path) -> None:
    edit_positions(outs, lambda t: t.assign(in_tissue=["0"] * 10 + ["1"] * 46))
    assert read(outs).n_spots == 46
    edit_positions(outs, lambda t: t.assign(in_tissue="0"))
    with pytest.raises(DataError, match="none of 56 spots lies under tissue"):
        read(outs)


def set_cell(column: str, value: str):
    def change(table: pd.DataFrame) -> pd.DataFrame:
        table.loc[3, column] = value
        return table

    return change


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        (set_cell("pxl_row_in_fullres", "nan"), DataError, "1 of 56 spots have no finite"),
        (set_cell("pxl_row_in_fullres", ""), DataError, "1 of 56 spots have no finite"),
        (set_cell("pxl_col_in_fullres", "inf"), DataError, "1 of 56 spots have no finite"),
        (set_cell("pxl_col_in_fullres", "left"), FileFormatError, "holds 'left' at spot 4"),
        (set_cell("pxl_col_in_fullres", "1e300"), FileFormatError, "expected a number in range"),
        (set_cell("in_tissue", "yes"), FileFormatError, "column in_tissue holds 'yes'"),
        (lambda t: pd.concat([t, t.iloc[:1]]), FileFormatError, "occurs twice"),
        (lambda t: t.drop(columns="array_row"), FileFormatError, "5 columns, expected 6"),
        (lambda t: t.rename(columns={"array_row": "row"}), FileFormatError, "no column 'array_row"),
    ],
)
def test_bad_positions(outs: Path, change, error: type[StmaskError], text: str) -> None:
    edit_positions(outs, change)
    with pytest.raises(error, match=text):
        read(outs)


def test_empty_positions(outs: Path) -> None:
    path = outs / "spatial" / "tissue_positions.csv"
    path.write_text("")
    with pytest.raises(FileFormatError, match=r"tissue_positions\.csv"):
        read(outs)
    path.write_text(",".join(COLUMNS) + "\n")
    assert len(read_positions(path)) == 0


@pytest.mark.parametrize(
    ("value", "text"), [(-1.0, "negative"), (0.5, "not whole numbers"), (np.nan, "not finite")]
)
def test_what_is_not_a_count(outs: Path, value: float, text: str) -> None:
    with h5py.File(outs / MATRIX, "r+") as file:
        data = file["matrix/data"][()].astype(np.float64)
        data[5] = value
        del file["matrix/data"]
        file["matrix/data"] = data
    with pytest.raises(DataError, match=text):
        read(outs)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("[1, 2]", "not a JSON object"),
        ("{", "cannot be read as a JSON object"),
        ('{"tissue_hires_scalef": -1}', "expected a positive number"),
        ('{"tissue_hires_scalef": NaN}', "expected a positive number"),
        ('{"tissue_hires_scalef": "big"}', "expected a number"),
    ],
)
def test_bad_scale_factors(outs: Path, content: str, text: str) -> None:
    (outs / "spatial" / "scalefactors_json.json").write_text(content)
    with pytest.raises(FileFormatError, match=text):
        read(outs)


def test_scale_factor_of_one_image_missing(outs: Path) -> None:
    path = outs / "spatial" / "scalefactors_json.json"
    factors = json.loads(path.read_text())
    del factors["tissue_hires_scalef"]
    path.write_text(json.dumps(factors))
    found = read(outs)
    assert found.image is not None
    assert found.image.name == "lowres"
    assert "tissue_hires_image.png was left out" in found.notes[0]


def test_scattered_spots_keep_the_true_scale(outs: Path) -> None:
    edit_positions(
        outs, lambda t: t.assign(in_tissue=["1" if i % 9 == 0 else "0" for i in t.index])
    )
    assert read(outs).um_per_px == pytest.approx(2.5, rel=1e-6)


def test_unicode_and_spaces_in_paths(outs: Path, section: Section, tmp_path: Path) -> None:
    folder = tmp_path / "Gehirn öß 脳 (1) #x"
    shutil.copytree(outs, folder)
    same(read(folder), section)
    same(read(str(folder)), section)


def test_layers_do_not_exist(outs: Path) -> None:
    with pytest.raises(ParameterError, match="counts_layer='counts' means nothing"):
        read(outs, counts_layer="counts")


def test_what_is_not_ours(tmp_path: Path) -> None:
    (tmp_path / "spatial").mkdir()
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "table.h5").write_bytes(b"not hdf5")
    for path in (tmp_path, tmp_path / "notes.txt", tmp_path / "table.h5", tmp_path / "none"):
        assert recognise(path) is None
    assert recognise("x" * 5000) is None
    assert recognise("a\0b") is None
    with pytest.raises(FileFormatError, match="not recognised; give one of these: an AnnData"):
        read(tmp_path)
    with pytest.raises(MissingFileError, match="does not exist"):
        read(tmp_path / "none")


def test_a_sample_takes_its_own_positions_before_others(
    outs: Path, section: Section, tmp_path: Path
) -> None:
    """All slides have the same barcodes: positions of another sample would join without a gap."""
    flat = tmp_path / "flat"
    flat.mkdir()
    shutil.copy(outs / MATRIX, flat / f"GSM1_{MATRIX}")
    for path in (outs / "spatial").iterdir():
        shutil.copy(path, flat / f"GSM1_{path.name}")
    shutil.copytree(outs / "spatial", flat / "spatial")

    def moved(table: pd.DataFrame) -> pd.DataFrame:
        return table.assign(pxl_row_in_fullres="7", in_tissue="0")

    edit_positions(flat, moved)
    same(read(flat / f"GSM1_{MATRIX}"), section)


def test_positions_that_look_like_those_of_another_section(outs: Path) -> None:
    def other(table: pd.DataFrame) -> pd.DataFrame:
        table.loc[::5, "in_tissue"] = "0"
        return table

    assert not any("another section" in note for note in read(outs).notes)
    edit_positions(outs, other)
    assert any("it may be that of another section" in note for note in read(outs).notes)
