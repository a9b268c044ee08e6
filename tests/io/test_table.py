"""Plain tables: matrix with coordinates, records, matrix and spots."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from napari_stmask.core.errors import (
    DataError,
    FileFormatError,
    MissingFileError,
    ParameterError,
)
from napari_stmask.core.section import Section
from napari_stmask.io.read import read, recognise
from napari_stmask.io.table import guess_roles, table_columns

N = 40
GENES = ["Actb", "Mbp", "Snap25", "Gfap"]
COUNTS = np.random.default_rng(0).poisson(1.0, (N, len(GENES)))
PLACE = np.random.default_rng(1).uniform(0, 100, (N, 2)).round(3)


def one(path: Path, **options: object) -> Section:
    found = read(path, **options)
    assert isinstance(found, Section)
    return found


def matrix(x: str = "x", y: str = "y") -> pd.DataFrame:
    table = pd.DataFrame({"cell": [f"c{i}" for i in range(N)], x: PLACE[:, 0], y: PLACE[:, 1]})
    facts = pd.DataFrame({"layer": ["L1", None] * (N // 2), "volume": np.arange(N) / 2})
    return pd.concat([table, facts, pd.DataFrame(COUNTS, columns=GENES)], axis=1)


def save(table: pd.DataFrame, path: Path) -> Path:
    if path.suffix == ".parquet":
        table.to_parquet(path)
    else:
        table.to_csv(path, sep="," if ".csv" in path.name else "\t", index=False)
    return path


def check(found: Section) -> None:
    assert list(found.adata.var_names) == GENES
    assert (found.counts().todense() == COUNTS).all()
    np.testing.assert_allclose(found.coords, PLACE)
    assert (found.platform, found.um_per_px, found.image) == ("imaging", None, None)


@pytest.mark.parametrize("form", ["csv", "csv.gz", "tsv", "parquet"])
@pytest.mark.parametrize(
    "names", [("x", "y"), ("X", "Y"), ("x_centroid", "y_centroid"), ("imagecol", "imagerow")]
)
def test_matrix_with_coordinates(tmp_path: Path, form: str, names: tuple[str, str]) -> None:
    path = save(matrix(*names), tmp_path / f"cells.{form}")
    assert recognise(path) == "table"
    found = one(path)
    check(found)
    assert found.name == "cells"
    assert list(found.adata.obs_names) == [f"c{i}" for i in range(N)]
    assert list(found.adata.obs["layer"].cat.categories) == ["L1"]
    assert found.adata.obs["layer"].isna().sum() == N // 2
    np.testing.assert_allclose(found.adata.obs["volume"], np.arange(N) / 2)
    assert any("not for genes: layer, volume" in note for note in found.notes)
    assert any("unit of the coordinates is not known" in note for note in found.notes)


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_roles_said_by_the_user(tmp_path: Path, form: str) -> None:
    table = matrix("a", "b").drop(columns=["cell", "layer", "volume"])
    path = save(table, tmp_path / f"t.{form}")
    assert recognise(path) is None
    with pytest.raises(FileFormatError, match="not recognised"):
        read(path)
    found = one(path, columns={"x": "a", "y": "b"})
    check(found)
    assert list(found.adata.obs_names[:2]) == ["spot1", "spot2"]
    assert found.reading == {"columns": {"x": "a", "y": "b"}}
    with pytest.raises(ParameterError, match=r"known to be y; its columns are a, b, Actb, Mbp"):
        read(path, columns={"x": "a"})
    with pytest.raises(ParameterError, match=r"no column 'z' for the role 'y', found: a, b"):
        read(path, columns={"x": "a", "y": "z"})
    with pytest.raises(ParameterError, match="the role 'row'"):
        read(path, columns={"row": "a"})


def test_a_role_said_wins_over_a_name(tmp_path: Path) -> None:
    table = matrix().assign(a=PLACE[:, 1], b=PLACE[:, 0])
    path = save(table, tmp_path / "t.csv")
    found = one(path, columns={"x": "a", "y": "b", "id": "cell"})
    np.testing.assert_allclose(found.coords, PLACE[:, ::-1])
    assert list(found.adata.var_names) == GENES


@pytest.mark.parametrize("form", ["csv", "tsv.gz", "parquet"])
def test_records(tmp_path: Path, form: str) -> None:
    spot, gene = np.nonzero(COUNTS)
    table = pd.DataFrame(
        {
            "x": PLACE[spot, 0],
            "gene": np.array(GENES)[gene],
            "y": PLACE[spot, 1],
            "count": COUNTS[spot, gene],
        }
    )
    # One record twice: its counts add up.
    table = pd.concat([table, table.iloc[:1]]).sample(frac=1, random_state=0)
    path = save(table, tmp_path / f"records.{form}")
    assert recognise(path) == "table"
    found = one(path)
    wanted = COUNTS.copy()
    wanted[spot[0], gene[0]] *= 2
    kept = np.flatnonzero(COUNTS.sum(1))
    order = kept[np.lexsort((PLACE[kept, 1], PLACE[kept, 0]))]
    np.testing.assert_allclose(found.coords, PLACE[order])
    assert (found.adata[:, GENES].X.todense() == wanted[order]).all()
    assert f"{len(table)} records make {len(kept)} spots, one for each position." in found.notes
    path = save(table.set_axis(["u", "what", "v", "much"], axis=1), path)
    assert recognise(path) is None
    roles = {"x": "u", "y": "v", "gene": "what", "count": "much"}
    assert (one(path, columns=roles).counts() != found.counts()).nnz == 0
    with pytest.raises(ParameterError, match="known to be count"):
        read(path, columns={"x": "u", "y": "v", "gene": "what"})
    with pytest.raises(ParameterError, match="holds text, but the role 'count' needs numbers"):
        read(path, columns=roles | {"count": "what", "gene": "much"})


def test_records_with_a_bad_line(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    rows = ["gene,x,y,count", *[f"A,{i},{i},1" for i in range(30)]]
    path.write_text("\n".join([*rows, "A,1,2,lots"]))
    with pytest.raises(FileFormatError, match="record 31 holds 'lots'"):
        read(path)
    path.write_text("\n".join([*rows, "A,1"]))
    with pytest.raises(FileFormatError, match="record 31 holds"):
        read(path)


@pytest.mark.parametrize("across", [False, True])
def test_matrix_and_spots(tmp_path: Path, across: bool) -> None:
    ids = [f"c{i}" for i in range(N)]
    values = pd.DataFrame(COUNTS, index=ids, columns=GENES)
    path = tmp_path / "m.tsv"
    (values.T if across else values).to_csv(path, sep="\t")
    spots = save(matrix()[["cell", "x", "y", "layer"]].iloc[::-1], tmp_path / "spots.csv")
    assert recognise(path) is None
    found = one(path, spots=spots)
    check(found)
    assert list(found.adata.obs_names) == ids
    assert list(found.adata.obs["layer"].cat.categories) == ["L1"]
    other = matrix("u", "v").rename(columns={"cell": "name"})[["name", "u", "v"]]
    save(other, spots)
    with pytest.raises(ParameterError, match=r"spots.csv: no column is known to be id or x or y"):
        read(path, spots=spots)
    check(one(path, spots=spots, columns={"id": "name", "x": "u", "y": "v"}))
    save(other.assign(name=other["name"] + "!"), spots)
    with pytest.raises(DataError, match="Only 0 of "):
        read(path, spots=spots, columns={"id": "name", "x": "u", "y": "v"})
    with pytest.raises(MissingFileError):
        read(path, spots=tmp_path / "absent.csv")


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_values_need_not_be_counts_until_they_are_asked_for(tmp_path: Path, form: str) -> None:
    table = matrix()
    table[GENES] = np.log1p(COUNTS) - 0.5
    found = one(save(table, tmp_path / f"t.{form}"))
    np.testing.assert_allclose(
        np.asarray(found.adata.X.todense()), np.log1p(COUNTS) - 0.5, rtol=1e-6
    )
    with pytest.raises(DataError, match="negative values"):
        found.counts()


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_missing_values_are_refused(tmp_path: Path, form: str) -> None:
    table = matrix()
    table.loc[30, "Mbp"] = np.nan
    with pytest.raises(FileFormatError, match="column 'Mbp' holds"):
        read(save(table, tmp_path / f"t.{form}"))
    table = matrix()
    table.loc[30, "x"] = np.nan
    with pytest.raises(FileFormatError, match=r"row 31 has '.*' in column 'x'"):
        read(save(table, tmp_path / f"t.{form}"))


def test_symbols(tmp_path: Path) -> None:
    table = matrix().rename(columns={"Mbp": "ENSMUSG00000041607.5"})
    (tmp_path / "ids.csv").write_text("ENSMUSG00000041607,Mbp\n")
    found = one(save(table, tmp_path / "t.csv"), symbols=tmp_path / "ids.csv")
    assert list(found.adata.var_names) == GENES


def test_a_regular_grid_is_no_imaging_platform(tmp_path: Path) -> None:
    x, y = (v.ravel() for v in np.meshgrid(np.arange(8), np.arange(5)))
    found = one(save(matrix().assign(x=x, y=y), tmp_path / "t.csv"))
    assert found.platform == "unknown"


@pytest.mark.parametrize(
    "header",
    [
        "x,y,new_x,new_y,pixel_x,pixel_y,selected",
        "cell_id,x_centroid,y_centroid,transcript_counts,control_probe_counts,cell_area",
        "barcode,in_tissue,array_row,array_col,pxl_row_in_fullres,pxl_col_in_fullres",
        "EntityID,fov,volume,center_x,center_y,min_x,max_x,min_y,max_y",
        "a,b,c,d,e",
        "x,y",
        "1,2,3,4,5,6",
    ],
)
def test_tables_without_genes_are_not_claimed(tmp_path: Path, header: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text("\n".join([header] + [",".join("7" * (header.count(",") + 1))] * 5))
    assert recognise(path) is None


def test_other_files_are_not_claimed(tmp_path: Path) -> None:
    for name, content in (
        ("a.parquet", b"PAR1"),
        ("b.parquet", b""),
        ("c.csv", b""),
        ("d.csv", bytes(range(256))),
        ("e.csv", b"x,y,A,B,C\n1,2\n3\n"),
        ("f.json", b"x,y,A,B,C\n1,2,3,4,5\n"),
    ):
        (tmp_path / name).write_bytes(content)
        assert recognise(tmp_path / name) is None
    assert recognise(tmp_path) is None


def test_columns_and_roles_for_a_dialog(tmp_path: Path) -> None:
    path = save(matrix(), tmp_path / "t.csv")
    columns = table_columns(path)
    assert columns[:5] == [
        ("cell", "text"), ("x", "number"), ("y", "number"), ("layer", "text"), ("volume", "number"),
    ]  # fmt: skip
    assert guess_roles(columns) == {"id": "cell", "x": "x", "y": "y"}
    assert table_columns(save(matrix(), tmp_path / "t.parquet")) == columns
    assert guess_roles([("gene", "text"), ("n", "number")]) == {"gene": "gene", "count": "n"}
    assert guess_roles([("a", "number")]) == {}
    with pytest.raises(MissingFileError):
        table_columns(tmp_path / "absent.csv")
    (tmp_path / "n.csv").write_text("1,2\n3,4\n")
    with pytest.raises(FileFormatError, match="whose first line names the columns"):
        table_columns(tmp_path / "n.csv")


def test_swapped_or_impossible_coordinates(tmp_path: Path) -> None:
    table = matrix().assign(x="left")
    path = save(table, tmp_path / "t.csv")
    assert recognise(path) is None
    with pytest.raises(ParameterError, match="holds text, but the role 'x' needs numbers"):
        read(path, columns={"x": "x", "y": "y"})
    table = matrix()
    table["cell"] = "same"
    with pytest.raises(DataError, match="not unique"):
        read(save(table, path))


@pytest.mark.parametrize(
    "header",
    [
        # Molecules of Xenium, MERSCOPE and CosMx.
        "transcript_id,cell_id,overlaps_nucleus,feature_name,x_location,y_location,z_location,qv",
        ",barcode_id,global_x,global_y,global_z,x,y,fov,gene,transcript_id",
        "fov,cell_ID,x_global_px,y_global_px,x_local_px,y_local_px,z,target",
        # Tables of cells alone.
        "id,fov,center_x,center_y,anisotropy,transcript_count,solidity,DAPI_raw,PolyT_raw",
        "fov,cell_ID,AspectRatio,CenterX_global_px,CenterY_global_px,Mean.CD45,Max.CD45",
        ",x,y,n_genes_by_counts,log1p_total_counts,pct_counts_mt,leiden",
        ",nCount_RNA,nFeature_RNA,percent.mt,RNA_snn_res.0.5,seurat_clusters,x,y",
        # Results of this package.
        "barcode,x,y,array_row_adjusted,array_col_adjusted,spamask,spamask_confidence",
    ],
)
def test_facts_of_cells_and_molecules_are_no_genes(tmp_path: Path, header: str) -> None:
    names = header.split(",")
    values = {name: "Actb" if name in ("feature_name", "gene", "target") else 1 for name in names}
    path = tmp_path / "t.csv"
    pd.DataFrame([values] * 5, columns=names).to_csv(path, index=False)
    assert recognise(path) is None
    with pytest.raises(FileFormatError, match="it is a table whose columns do not tell"):
        read(path)


def test_a_number_of_rows_is_no_gene(tmp_path: Path) -> None:
    """pandas leaves such a column where a table with an index is read and written again."""
    table = matrix().drop(columns=["layer", "volume"])
    table.insert(0, "Unnamed: 0", np.arange(N))
    check(one(save(table, tmp_path / "t.csv")))


@pytest.mark.parametrize(
    "names", [("col", "row"), ("xcoord", "ycoord"), ("array_col", "array_row")]
)
def test_more_names_of_coordinates(tmp_path: Path, names: tuple[str, str]) -> None:
    check(one(save(matrix(*names), tmp_path / "t.csv")))


def test_identifiers_with_an_underscore_are_no_numbers(tmp_path: Path) -> None:
    """Python reads 10_13 as 1013."""
    table = matrix().drop(columns=["layer", "volume"])
    table["bead"] = [f"{i}_13" for i in range(N)]
    path = save(table, tmp_path / "t.csv")
    assert dict(table_columns(path))["bead"] == "text"
    check(one(path))
    table["Gfap"] = table["Gfap"].astype(object)
    table.loc[N - 1, "Gfap"] = "1_0"
    with pytest.raises(FileFormatError, match="holds '1_0', expected a number"):
        read(save(table, path))


def test_a_header_longer_than_a_field_of_csv(tmp_path: Path) -> None:
    names = [f"ENSMUSG{i:011d}" for i in range(9000)]
    rows = [f"c{r},{r},{r * r % 7}" + ",1,0,2" * 3000 for r in range(9)]
    path = tmp_path / "wide.csv"
    path.write_text("\n".join(["cell,x,y," + ",".join(names), *rows]))
    found = read(path)
    assert isinstance(found, Section)
    assert (found.n_spots, found.n_genes) == (9, 9000)


def test_quoted_delimiters_in_rows(tmp_path: Path) -> None:
    path = tmp_path / "quoted.csv"
    lines = ['"cell","x","y","A","B","C"']
    lines += [f'"s,{i}",{i},{i * i % 5},"{i}",0,"2"' for i in range(12)]
    path.write_text("\r\n".join(lines))
    found = read(path)
    assert isinstance(found, Section)
    assert list(found.adata.obs_names[:2]) == ["s,0", "s,1"]
    np.testing.assert_array_equal(found.counts().toarray()[:, 0], np.arange(12))
    assert (found.counts().toarray()[:, 2] == 2).all()
