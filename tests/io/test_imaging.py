"""Xenium, MERSCOPE and CosMx folders, and the segmented cells and bins of Visium HD."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy import io as scipy_io
from scipy import sparse as sp

from napari_stmask.core.errors import (
    DataError,
    FileFormatError,
    MissingFileError,
    ParameterError,
)
from napari_stmask.core.section import Section
from napari_stmask.io.read import read, recognise

N, G = 30, 6
COUNTS = np.random.default_rng(0).poisson(0.8, (N, G))
PLACE = np.random.default_rng(1).uniform(0, 500, (N, 2))
NAMES = ["Actb", "Mbp", "Snap25", "NegControlProbe_1", "UnassignedCodeword_7", "Mbp"]
TYPES = (
    ["Gene Expression"] * 3
    + ["Negative Control Probe", "Unassigned Codeword"]
    + ["Gene Expression"]
)
GENES = [0, 1, 2, 5]


def one(path: Path, **options: object) -> Section:
    found = read(path, **options)
    assert isinstance(found, Section)
    return found


def write_h5(path: Path, barcodes: list[str], counts: np.ndarray = COUNTS) -> Path:
    """The layout of Cell Ranger 3: columns are barcodes."""
    matrix = sp.csc_matrix(counts.T)
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        group = file.create_group("matrix")
        for name in ("data", "indices", "indptr"):
            group[name] = getattr(matrix, name)
        group["shape"] = matrix.shape
        group["barcodes"] = np.array(barcodes, "S")
        features = group.create_group("features")
        features["id"] = np.array([f"ENSG{i:011d}" for i in range(G)], "S")
        features["name"] = np.array(NAMES, "S")
        features["feature_type"] = np.array(TYPES, "S")
    return path


# --- Xenium -------------------------------------------------------------------------------------


def xenium_cells(ids: object) -> pd.DataFrame:
    table = pd.DataFrame({"cell_id": ids, "x_centroid": PLACE[:, 0], "y_centroid": PLACE[:, 1]})
    return table.assign(transcript_counts=COUNTS.sum(1), cell_area=50.5, segmentation_method="dapi")


IDS = [f"aaaa{i:04d}-1" for i in range(N)]


@pytest.fixture
def xenium(tmp_path: Path) -> Path:
    folder = tmp_path / "brain" / "outs"
    write_h5(folder / "cell_feature_matrix.h5", IDS)
    xenium_cells(IDS).sample(frac=1, random_state=0).to_parquet(folder / "cells.parquet")
    facts = {"run_name": "r", "region_name": "Region 1", "pixel_size": 0.2125}
    (folder / "experiment.xenium").write_text(json.dumps(facts))
    return folder


def check_xenium(found: Section) -> None:
    assert (found.platform, found.um_per_px) == ("imaging", 1.0)
    assert found.image is None
    np.testing.assert_allclose(found.coords, PLACE)
    assert (found.counts().todense() == COUNTS[:, GENES]).all()
    assert list(found.adata.var_names) == ["Actb", "Mbp", "Snap25", "Mbp-1"]
    assert list(found.adata.var["gene_ids"]) == [f"ENSG{i:011d}" for i in GENES]
    assert list(found.adata.obs) == ["transcript_counts", "cell_area"]
    assert any(
        n == "2 features other than genes were left out: Negative Control Probe, "
        "Unassigned Codeword." for n in found.notes
    )  # fmt: skip
    assert any("alignment=" in note for note in found.notes)


def test_xenium(xenium: Path) -> None:
    for path in (xenium, xenium / "experiment.xenium", xenium / "cell_feature_matrix.h5"):
        assert recognise(path) == "xenium"
        found = one(path)
        check_xenium(found)
        assert found.name == "Region 1"
        assert found.adata.uns["xenium"] == {"pixel_size": 0.2125}
    assert one(xenium, name="mine").name == "mine"


@pytest.mark.parametrize("ids", [IDS, [i.encode() for i in IDS], list(range(1, N + 1))])
def test_xenium_ids_of_every_version(xenium: Path, ids: list) -> None:
    text = [i.decode() if isinstance(i, bytes) else str(i) for i in ids]
    write_h5(xenium / "cell_feature_matrix.h5", text)
    xenium_cells(ids).to_parquet(xenium / "cells.parquet")
    check_xenium(one(xenium))
    (xenium / "cells.parquet").unlink()
    xenium_cells(text).to_csv(xenium / "cells.csv.gz", index=False)
    found = one(xenium)
    check_xenium(found)
    assert list(found.adata.obs_names) == text


def test_xenium_triplets_without_description(xenium: Path) -> None:
    (xenium / "cell_feature_matrix.h5").unlink()
    (xenium / "experiment.xenium").unlink()
    folder = xenium / "cell_feature_matrix"
    folder.mkdir()
    with gzip.open(folder / "matrix.mtx.gz", "wb") as stream:
        scipy_io.mmwrite(stream, sp.coo_matrix(COUNTS.T))
    rows = [f"ENSG{i:011d}\t{n}\t{t}" for i, (n, t) in enumerate(zip(NAMES, TYPES, strict=True))]
    (folder / "features.tsv").write_text("\n".join(rows) + "\n")
    (folder / "barcodes.tsv").write_text("\n".join(IDS) + "\n")
    for path in (xenium, folder):
        assert recognise(path) == "xenium"
        found = one(path)
        check_xenium(found)
        assert found.name == "brain"


def test_xenium_incomplete_or_wrong(xenium: Path) -> None:
    xenium_cells(IDS).iloc[:20].to_parquet(xenium / "cells.parquet")
    found = one(xenium)
    assert found.n_spots == 20
    assert "10 of 30 cells have no position." in found.notes
    xenium_cells([f"b{i}" for i in IDS]).to_parquet(xenium / "cells.parquet")
    with pytest.raises(DataError, match="only 0 of 30 cells"):
        read(xenium)
    xenium_cells([IDS[0]] * N).to_parquet(xenium / "cells.parquet")
    with pytest.raises(FileFormatError, match="holds 'aaaa0000-1' twice"):
        read(xenium)
    xenium_cells(IDS).drop(columns="x_centroid").to_parquet(xenium / "cells.parquet")
    with pytest.raises(FileFormatError, match="no column 'x_centroid'"):
        read(xenium)
    xenium_cells(IDS).assign(x_centroid=np.nan).to_parquet(xenium / "cells.parquet")
    with pytest.raises(FileFormatError, match="no number in column 'x_centroid'"):
        read(xenium)
    xenium_cells(IDS).drop(columns="cell_id").to_parquet(xenium / "cells.parquet")
    with pytest.raises(FileFormatError, match="no column 'cell_id'"):
        read(xenium)
    (xenium / "cells.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(FileFormatError, match=r"cells\.parquet cannot be read"):
        read(xenium)
    (xenium / "cells.parquet").unlink()
    with pytest.raises(MissingFileError, match=r"has no cells\.parquet"):
        read(xenium)


# --- MERSCOPE -----------------------------------------------------------------------------------

ENTITIES = [str(3 * 10**18 + i) for i in range(N)]
MER_GENES = ["Actb", "Mbp", "Snap25", "Blank-1", "Blank-22", "Blanka"]


@pytest.fixture
def merscope(tmp_path: Path) -> Path:
    folder = tmp_path / "region_0"
    folder.mkdir()
    pd.DataFrame(COUNTS, index=pd.Index(ENTITIES, name="cell"), columns=MER_GENES).to_csv(
        folder / "cell_by_gene.csv"
    )
    table = pd.DataFrame(
        {"fov": 3, "volume": 800.5, "center_x": PLACE[:, 0], "center_y": PLACE[:, 1]}
    )
    table.index = pd.Index(ENTITIES, name="EntityID")
    table.sample(frac=1, random_state=0).to_csv(folder / "cell_metadata.csv")
    return folder


def test_merscope(merscope: Path) -> None:
    for path in (merscope, merscope / "cell_by_gene.csv", merscope / "cell_metadata.csv"):
        assert recognise(path) == "merscope"
        found = one(path)
        assert (found.name, found.platform, found.um_per_px) == ("region_0", "imaging", 1.0)
        np.testing.assert_allclose(found.coords, PLACE)
        assert (found.counts().todense() == COUNTS[:, [0, 1, 2, 5]]).all()
        assert list(found.adata.var_names) == ["Actb", "Mbp", "Snap25", "Blanka"]
        assert list(found.adata.obs_names) == ENTITIES
        assert list(found.adata.obs) == ["fov", "volume"]
        assert found.notes == ["2 columns of controls were left out: Blank."]


def test_merscope_with_prefixes_fractions_and_both_forms_of_a_file(merscope: Path) -> None:
    pd.DataFrame(COUNTS.astype(float), index=ENTITIES, columns=MER_GENES).to_csv(
        merscope / "cell_by_gene.csv"
    )
    plain = (merscope / "cell_by_gene.csv").rename(merscope / "S1R1_cell_by_gene_S1.csv")
    (merscope / "S1R1_cell_by_gene_S1.csv.gz").write_bytes(gzip.compress(plain.read_bytes()))
    (merscope / "cell_metadata.csv").rename(merscope / "S1R1_cell_metadata_S1.csv")
    assert (one(merscope).counts().todense() == COUNTS[:, [0, 1, 2, 5]]).all()
    plain.rename(merscope / "S2_cell_by_gene.csv")
    with pytest.raises(FileFormatError, match="several files cell_by_gene"):
        read(merscope)


def test_merscope_refusals(merscope: Path) -> None:
    pd.DataFrame(COUNTS + 0.5, index=ENTITIES, columns=MER_GENES).to_csv(
        merscope / "cell_by_gene.csv"
    )
    with pytest.raises(DataError, match="not whole numbers"):
        read(merscope)
    pd.DataFrame(COUNTS[:, 3:5], index=ENTITIES, columns=MER_GENES[3:5]).to_csv(
        merscope / "cell_by_gene.csv"
    )
    with pytest.raises(DataError, match="has no genes"):
        read(merscope)
    (merscope / "cell_by_gene.csv").write_text("")
    with pytest.raises(FileFormatError, match="is not a table of cells x genes"):
        read(merscope)


def test_blocks_of_a_table_join_without_a_seam(merscope: Path, monkeypatch: object) -> None:
    monkeypatch.setattr("napari_stmask.io.wide._BLOCK", 70)  # type: ignore[attr-defined]
    assert (one(merscope).counts().todense() == COUNTS[:, [0, 1, 2, 5]]).all()


# --- CosMx --------------------------------------------------------------------------------------


def write_cosmx(folder: Path, field_px: float = 4000.0, joined: bool = False) -> Path:
    folder.mkdir(exist_ok=True)
    fov, cell = np.arange(N) // 10 + 1, np.arange(N) % 10 + 1
    names = ["Actb", "Mbp", "Snap25", "NegPrb01", "SystemControl3", "Negr1"]
    counts = pd.DataFrame(COUNTS, columns=names)
    counts.insert(0, "cell_ID", cell)
    counts.insert(0, "fov", fov)
    background = counts.iloc[::10].assign(cell_ID=0)
    pd.concat([background, counts]).to_csv(folder / "Lung5_exprMat_file.csv.gz", index=False)
    table = pd.DataFrame(
        {
            "fov": fov,
            "cell_ID": cell,
            "Area": 77,
            "CenterX_local_px": field_px * np.arange(N) / N,
            "CenterY_local_px": 5.0,
            "CenterX_global_px": PLACE[:, 0],
            "CenterY_global_px": PLACE[:, 1],
            "Run_name": "r",
        }
    )
    if joined:
        table.insert(0, "cell", [f"c_1_{f}_{c}" for f, c in zip(fov, cell, strict=True)])
        table = table.drop(columns=["fov", "cell_ID"])
    table.iloc[::-1].to_csv(folder / "Lung5_metadata_file.csv", index=False)
    return folder


@pytest.mark.parametrize("joined", [False, True])
def test_cosmx(tmp_path: Path, joined: bool) -> None:
    folder = write_cosmx(tmp_path / "flat", joined=joined)
    for path in (folder, folder / "Lung5_exprMat_file.csv.gz"):
        assert recognise(path) == "cosmx"
        found = one(path)
        assert (found.name, found.platform, found.um_per_px) == ("Lung5", "imaging", 0.12028)
        assert (found.counts().todense() == COUNTS[:, [0, 1, 2, 5]]).all()
        assert list(found.adata.var_names) == ["Actb", "Mbp", "Snap25", "Negr1"]
        assert list(found.adata.obs_names[:2]) == ["1_1", "1_2"]
        np.testing.assert_allclose(found.coords, PLACE)
        assert (found.adata.obs["Area"] == 77).all()
        assert "3 rows of background (cell_ID 0) were left out." in found.notes
        assert "2 columns of controls were left out: NegPrb, SystemControl." in found.notes
        assert any("0.12028 µm were assumed" in note for note in found.notes)


def test_cosmx_of_the_first_instruments(tmp_path: Path) -> None:
    found = one(write_cosmx(tmp_path / "flat", field_px=5400.0))
    assert found.um_per_px == 0.18
    assert any("0.18 µm were assumed (cells lie up to 5220 px" in note for note in found.notes)


def test_cosmx_with_fields_in_pixels_and_millimetres(tmp_path: Path) -> None:
    folder = write_cosmx(tmp_path / "flat")
    path = folder / "Lung5_fov_positions_file.csv.gz"
    table = pd.DataFrame({"FOV": [1, 2, 3], "x_global_px": 7.0, "y_global_px": [0.0, 4256, 8512]})
    table.assign(x_global_mm=1.0, y_global_mm=table["y_global_px"] * 0.169e-3).to_csv(path)
    found = one(folder)
    assert found.um_per_px == pytest.approx(0.169)
    assert not any("assumed" in note for note in found.notes)
    table.to_csv(path)
    assert one(folder).um_per_px == 0.12028


def test_cosmx_refusals(tmp_path: Path) -> None:
    folder = write_cosmx(tmp_path / "flat")
    path = folder / "Lung5_metadata_file.csv"
    table = pd.read_csv(path)
    table.drop(columns="CenterX_global_px").to_csv(path, index=False)
    with pytest.raises(FileFormatError, match="no column 'CenterX_global_px'"):
        read(folder)
    table.drop(columns=["fov"]).to_csv(path, index=False)
    with pytest.raises(FileFormatError, match="no columns fov and cell_ID"):
        read(folder)
    table.drop(columns=["fov"]).assign(cell="nonsense").to_csv(path, index=False)
    with pytest.raises(FileFormatError, match="does not name field of view and cell"):
        read(folder)
    path.unlink()
    assert recognise(folder) is None


# --- Visium HD ----------------------------------------------------------------------------------


def write_bins(folder: Path, size: int, spots: int = N) -> Path:
    barcodes = [f"s_{size:03d}um_{i:05d}_00000-1" for i in range(spots)]
    write_h5(folder / "filtered_feature_bc_matrix.h5", barcodes, COUNTS[:spots])
    spatial = folder / "spatial"
    spatial.mkdir()
    row, col = np.divmod(np.arange(spots), 6)
    pitch = size / 0.25
    pd.DataFrame(
        {
            "barcode": barcodes,
            "in_tissue": 1,
            "array_row": row,
            "array_col": col,
            "pxl_row_in_fullres": 100 + pitch * row,
            "pxl_col_in_fullres": 100 + pitch * col,
        }
    ).to_parquet(spatial / "tissue_positions.parquet")
    write_spatial(spatial, bin_size_um=size)
    return folder


def write_spatial(spatial: Path, **more: float) -> None:
    spatial.mkdir(exist_ok=True)
    factors = {"microns_per_pixel": 0.25, "tissue_hires_scalef": 0.1, "tissue_lowres_scalef": 0.05}
    (spatial / "scalefactors_json.json").write_text(json.dumps(factors | more))
    Image.fromarray(np.full((60, 70, 3), 9, np.uint8)).save(spatial / "tissue_hires_image.png")


def outline(cell: int) -> dict:
    """A square of side 8 around (10 * cell, 300)."""
    x, y = 10.0 * cell, 300.0
    ring = [[x - 4, y - 4], [x + 4, y - 4], [x + 4, y + 4], [x - 4, y + 4], [x - 4, y - 4]]
    return {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {"cell_id": cell},
    }


def write_outlines(path: Path, features: list[dict], **how: object) -> None:
    collection = {"type": "FeatureCollection", "features": features}
    path.write_text(json.dumps(collection, **how))


@pytest.fixture
def hd(tmp_path: Path) -> Path:
    """A run of Space Ranger 4: three bin sizes and segmented cells."""
    outs = tmp_path / "mouse" / "outs"
    for size in (2, 8, 16):
        write_bins(outs / "binned_outputs" / f"square_{size:03d}um", size)
    segmented = outs / "segmented_outputs"
    barcodes = [f"cellid_{i:09d}-1" for i in range(1, N + 1)]
    write_h5(segmented / "filtered_feature_cell_matrix.h5", barcodes)
    write_spatial(segmented / "spatial")
    write_outlines(
        segmented / "cell_segmentations.geojson", [outline(i) for i in range(N + 5, 0, -1)]
    )
    return outs


@pytest.mark.parametrize("size", [2, 8, 16])
def test_bins_by_size(hd: Path, size: int) -> None:
    for path in (hd, hd.parent, hd / "binned_outputs"):
        found = one(path, bin=size)
        assert found.name == f"mouse {size} µm"
        assert (found.platform, found.um_per_px) == ("visium_hd", 0.25)
        assert found.lattice.pitch == pytest.approx(size / 0.25)
        assert not any("bin sizes" in note for note in found.notes)


def test_bins_without_a_wish(hd: Path) -> None:
    found = one(hd)
    assert found.name == "mouse 8 µm"
    assert any("choose another one with bin=" in note for note in found.notes)
    own = hd / "binned_outputs" / "square_016um"
    assert one(own).name == one(own, bin=16).name == "mouse 16 µm"


def test_bins_that_do_not_exist(hd: Path, outs: Path) -> None:
    with pytest.raises(ParameterError, match=r"no bins of 4 µm; give one of bin=2, 8, 16"):
        read(hd, bin=4)
    with pytest.raises(ParameterError, match="no bins of 8 µm; give one of bin=16"):
        read(hd / "binned_outputs" / "square_016um", bin=8)
    with pytest.raises(ParameterError, match="it is for Visium HD"):
        read(outs, bin=8)
    with pytest.raises(ParameterError, match="no segmented cells"):
        read(outs, bin="cell")


def test_segmented_cells(hd: Path) -> None:
    segmented = hd / "segmented_outputs"
    asked = [(hd, "cell"), (hd.parent, "cell"), (segmented, "cell"), (segmented, None)]
    asked.append((segmented / "filtered_feature_cell_matrix.h5", None))
    for path, size in asked:
        assert recognise(path) == "spaceranger"
        found = one(path, bin=size)
        assert (found.name, found.platform, found.um_per_px) == ("mouse cells", "visium_hd", 0.25)
        cells = np.arange(1, N + 1)
        np.testing.assert_allclose(found.coords, np.column_stack([10.0 * cells, 300 + 0 * cells]))
        np.testing.assert_allclose(found.adata.obs["area"], 64.0)
        assert found.spot_diameter == pytest.approx(2 * (64 / np.pi) ** 0.5)
        assert (found.counts().todense() == COUNTS[:, GENES]).all()
        assert found.adata.obs_names[0] == "cellid_000000001-1"
        assert found.image is not None
        assert (found.image.name, found.image.scale) == ("hires", 0.1)


@pytest.mark.parametrize("chunk", [60, 333, 1 << 20])
def test_outlines_in_pieces_of_any_size_and_kind(
    hd: Path, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_stmask.io.segmented._CHUNK", chunk)
    monkeypatch.setattr("napari_stmask.io.segmented._BATCH", 7)
    features = [outline(i) for i in range(1, N + 1)]
    ring = features[3]["geometry"]["coordinates"][0]
    features[3]["geometry"] = {"type": "MultiPolygon", "coordinates": [[ring]]}
    write_outlines(hd / "segmented_outputs" / "cell_segmentations.geojson", features, indent=1)
    found = one(hd, bin="cell")
    np.testing.assert_allclose(found.coords[:, 0], 10.0 * np.arange(1, N + 1))
    np.testing.assert_allclose(found.adata.obs["area"], 64.0)


def test_damaged_outlines(hd: Path) -> None:
    path = hd / "segmented_outputs" / "cell_segmentations.geojson"
    whole = path.read_text()
    for damaged in (whole[: len(whole) // 2], whole.replace("cell_id", "id"), "{}", "", "[1, 2"):
        path.write_text(damaged)
        with pytest.raises(FileFormatError, match="cell_segmentations"):
            read(hd, bin="cell")
    write_outlines(path, [outline(1), outline(1)])
    with pytest.raises(FileFormatError, match="holds cell 1 twice"):
        read(hd, bin="cell")
    write_outlines(path, [outline(i) for i in range(1, 11)])
    with pytest.raises(DataError, match="Only 10 of 30 cells"):
        read(hd, bin="cell")
    path.unlink()
    with pytest.raises(MissingFileError, match="cell_segmentations"):
        read(hd, bin="cell")


def test_probe_matrices_are_refused(outs: Path) -> None:
    with h5py.File(outs / "filtered_feature_bc_matrix.h5", "r+") as file:
        group = file["matrix/features"]
        ids = [b"ENSG1|" + i + b"|2ef1e7b" for i in group["id"][()]]
        del group["id"]
        group["id"] = np.array(ids)
    with pytest.raises(FileFormatError, match="counts single probes"):
        read(outs)


@pytest.mark.parametrize("sign", [1, -1])
def test_cosmx_says_when_the_slide_runs_against_its_fields(tmp_path: Path, sign: int) -> None:
    path = write_cosmx(tmp_path / "flat") / "Lung5_metadata_file.csv"
    table = pd.read_csv(path)
    table["CenterY_local_px"] = sign * table["CenterY_global_px"] - 500 * table["fov"]
    table.to_csv(path, index=False)
    assert any("upside down" in note for note in one(path).notes) == (sign < 0)
