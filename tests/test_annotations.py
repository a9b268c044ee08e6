"""Regions from files: the same spots as drawn, the same classes after a round trip."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import adjusted_rand_score
from tests.helpers import banded

import napari_stmask as stm
from napari_stmask.annotations import RECORD, annotation_columns
from napari_stmask.core.errors import (
    DataError,
    FileFormatError,
    MissingFileError,
    ParameterError,
)
from napari_stmask.core.histology import Histology


@pytest.fixture
def section():
    """30 x 30 spots, pitch 100, from (0, 0)."""
    return banded(30, 30, genes=20)[0]


def square(x0, y0, x1, y1):
    return [[x0, y0], [x1, y0], [x1, y1], [x0, y1], [x0, y0]]


def feature(rings, kind="Polygon", **properties):
    geometry = {"type": kind, "coordinates": rings}
    return {"type": "Feature", "geometry": geometry, "properties": properties}


def save(path: Path, content) -> Path:
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def collection(*features):
    return {"type": "FeatureCollection", "features": list(features)}


def inside(section, x0, y0, x1, y1):
    x, y = section.coords.T
    return (x >= x0) & (x <= x1) & (y >= y0) & (y <= y1)


TUMOUR = {"name": "Tumour", "color": [200, 0, 16]}


def test_a_square_is_the_spots_in_it_and_a_hole_is_none(section, tmp_path) -> None:
    ring = [square(150, 150, 2050, 2050), square(610, 610, 1410, 1410)]
    path = save(tmp_path / "a.geojson", collection(feature(ring, classification=TUMOUR)))
    column = stm.annotate(section, path)
    wanted = inside(section, 150, 150, 2050, 2050) & ~inside(section, 610, 610, 1410, 1410)
    assert 100 < wanted.sum() < 400
    np.testing.assert_array_equal(column.notna(), wanted)
    assert column.name == "annotation"
    assert list(column.cat.categories) == ["Tumour"]
    assert section.adata.uns["annotation_colors"] == ["#C80010"]
    assert json.loads(section.adata.uns[RECORD]["annotation"])["source"] == str(path)


def test_every_layout_of_qpath_is_read(section, tmp_path) -> None:
    one = feature([square(0, 0, 500, 500)], classification={"name": "A", "colorRGB": -3670016})
    parts = feature(
        [[square(1000, 0, 1500, 500)], [square(2000, 0, 2500, 500)]],
        "MultiPolygon", classification={"names": ["B", "deep"], "color": [1, 2, 3]},
        objectType="detection",
    )  # fmt: skip
    bag = {
        "type": "Feature", "properties": {"name": "C", "color": [9, 9, 9]},
        "geometry": {"type": "GeometryCollection", "geometries": [
            {"type": "Polygon", "coordinates": [square(0, 1000, 500, 1500)]},
            {"type": "Point", "coordinates": [5, 5]},
        ]},
    }  # fmt: skip
    bare = {"type": "Polygon", "coordinates": [square(0, 2000, 500, 2500)]}
    point = {"type": "Feature", "geometry": {"type": "Point", "coordinates": [1, 1]}}
    for content in (collection(one, parts, bag, point), [one, parts, bag, bare]):
        column = stm.annotate(section, save(tmp_path / "a.json", content))
        names = list(column.cat.categories)
        assert names[:3] == ["A", "B: deep", "C"]
        assert section.adata.uns["annotation_colors"][:3] == ["#C80000", "#010203", "#090909"]
        np.testing.assert_array_equal(column == "A", inside(section, 0, 0, 500, 500))
        both = inside(section, 1000, 0, 1500, 500) | inside(section, 2000, 0, 2500, 500)
        np.testing.assert_array_equal(column == "B: deep", both)
        np.testing.assert_array_equal(column == "C", inside(section, 0, 1000, 500, 1500))
    assert names[3] == "unclassified"
    stm.annotate(section, save(tmp_path / "one.geojson", one), column="one")
    assert (section.adata.obs["one"] == "A").sum() == inside(section, 0, 0, 500, 500).sum()


def test_overlap_is_decided_as_asked(section, tmp_path) -> None:
    small = feature([square(400, 400, 800, 800)], name="small")
    large = feature([square(0, 0, 2000, 2000)], name="large")
    path = save(tmp_path / "a.geojson", [small, large])
    core, all_of_it = inside(section, 400, 400, 800, 800), inside(section, 0, 0, 2000, 2000)
    for overlap, wanted in (("last", "large"), ("first", "small"), ("smallest", "small")):
        column = stm.annotate(section, path, overlap=overlap)
        assert set(column[core]) == {wanted}
        np.testing.assert_array_equal(column.notna(), all_of_it)
    with pytest.raises(ParameterError, match="overlap is 'nearest'"):
        stm.annotate(section, path, overlap="nearest")


@pytest.mark.parametrize("turned", [False, True])
def test_a_round_trip_gives_the_same_codes(section, tmp_path, turned) -> None:
    rng = np.random.default_rng(0)
    codes = rng.integers(-1, 4, section.n_spots)
    # Any column will do, also one with unused and odd names.
    names = pd.Index(["layer 1", "a, b", "ü", "white matter"])
    section.adata.obs["truth"] = pd.Categorical.from_codes(codes, names)
    section.adata.uns["truth_colors"] = ["#112233", "#445566", "#778899", "#AABBCC"]
    if turned:
        turn = np.array([[0.0, -0.5, 1600.0], [0.5, 0.0, 20.0], [0, 0, 1]])
        picture = np.zeros((1700, 1700, 3), np.uint8)
        section.image = Histology([picture], transform=turn)
    path = stm.write(section, tmp_path / "truth.geojson", column="truth")
    column = stm.annotate(section, path, column="again")
    np.testing.assert_array_equal(column.cat.codes, codes)
    assert list(column.cat.categories) == list(names)
    assert section.adata.uns["again_colors"] == section.adata.uns["truth_colors"]
    table = stm.write(section, tmp_path / "truth.loupe.csv", column="truth")
    listed = stm.annotate(section, table, column="listed")
    np.testing.assert_array_equal(
        listed.astype(object).fillna(""), column.astype(object).fillna("")
    )


@pytest.mark.parametrize("end", ["csv", "tsv", "parquet", "csv.gz"])
def test_tables_of_loupe(section, tmp_path, end) -> None:
    letters = np.array(list("ACGT"))
    rng = np.random.default_rng(0)
    codes = ["".join(row) for row in letters[rng.integers(0, 4, (section.n_spots, 16))]]
    section.adata.obs_names = [f"{c}-1" for c in codes]
    labels = [str(i % 12) for i in range(300)]
    path = tmp_path / f"t.{end}"
    for put in ("{}-1", "{}", "{}-7", "S1_{}-1", "{}-1_S1"):
        table = pd.DataFrame({"Barcode": [put.format(c) for c in codes[:300]]})
        table["Graph-based"] = labels
        # Never by order.
        table = table.sample(frac=1, random_state=1)
        if end == "parquet":
            table["Graph-based"] = table["Graph-based"].astype(int)
            table.to_parquet(path)
        else:
            table.to_csv(path, index=False, sep="\t" if end == "tsv" else ",")
        column = stm.annotate(section, path)
        assert column.name == "Graph-based"
        assert column.iloc[:300].tolist() == labels
        assert column.iloc[300:].isna().all()
        assert list(column.cat.categories) == [str(i) for i in range(12)]


def test_what_a_table_says_twice_or_about_others_is_refused(section, tmp_path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("Barcode,label\nspot1,a\nspot1,b\nspot2,a\n")
    with pytest.raises(DataError, match=r"t\.csv has several labels for barcode 'spot1'"):
        stm.annotate(section, path)
    path.write_text("Barcode,label\nother1,a\nother2,b\n")
    with pytest.raises(DataError, match=r"No barcode of .*t\.csv.*'other1'.*'spot0'"):
        stm.annotate(section, path)
    path.write_text("Barcode,one,two\nspot1,a,b\nspot2,c,\n")
    with pytest.raises(FileFormatError, match=r"several columns \(one, two\)"):
        stm.annotate(section, path)
    assert "one" not in section.adata.obs
    column = stm.annotate(section, path, column="two")
    assert column.dropna().to_dict() == {"spot1": "b"}


def test_a_column_of_the_user_stays(section, tmp_path) -> None:
    section.adata.obs["mine"] = "x"
    path = save(tmp_path / "a.geojson", [feature([square(0, 0, 900, 900)], name="A")])
    with pytest.raises(ParameterError, match=r"obs\['mine'\] exists already"):
        stm.annotate(section, path, column="mine")
    assert set(section.adata.obs["mine"]) == {"x"}
    stm.annotate(section, path)
    stm.annotate(section, path)
    assert annotation_columns(section.adata) == ["annotation"]


def test_errors_name_the_file(section, tmp_path) -> None:
    far = save(tmp_path / "far.geojson", [feature([square(1e6, 1e6, 2e6, 2e6)])])
    with pytest.raises(DataError, match=r"No spot of 'banded' lies in a region of .*far\.geojson"):
        stm.annotate(section, far)
    lines = {"type": "LineString", "coordinates": [[0, 0], [1, 1]]}
    with pytest.raises(FileFormatError, match=r"line\.geojson holds no polygon"):
        stm.annotate(section, save(tmp_path / "line.geojson", lines))
    broken = tmp_path / "broken.geojson"
    for text in ("{", "[[", '[{"type":"Feature","geometry":{"type":"Polygon","coordinates":7}}]'):
        broken.write_text(text)
        with pytest.raises(FileFormatError, match=r"broken\.geojson cannot be read as GeoJSON"):
            stm.annotate(section, broken)
    with pytest.raises(MissingFileError, match="does not exist"):
        stm.annotate(section, tmp_path / "none.geojson")
    with pytest.raises(MissingFileError, match="does not exist"):
        stm.annotate(section, tmp_path / "none.csv")
    odd = tmp_path / "regions.xml"
    odd.write_text("<xml/>")
    with pytest.raises(FileFormatError, match="no file of regions by its name"):
        stm.annotate(section, odd)


def test_an_outline_that_crosses_itself_keeps_both_loops(section, tmp_path) -> None:
    bow = [[0, 0], [1000, 1000], [1000, 0], [0, 1000], [0, 0]]
    column = stm.annotate(section, save(tmp_path / "a.geojson", [feature([bow], name="A")]))
    x, y = section.coords.T
    box = (x <= 1000) & (y <= 1000)
    side = box & ((x < y) == (x < 1000 - y)) & (abs(x - y) > 1) & (abs(x + y - 1000) > 1)
    assert column[side].notna().all()
    assert side.sum() > 20


def test_command(call, section, tmp_path) -> None:
    source = stm.write(section, tmp_path / "in.h5ad")
    path = save(tmp_path / "a.geojson", [feature([square(0, 0, 900, 900)], name="A")])
    out = tmp_path / "out.h5ad"
    code, told, err = call("annotate", source, path, "--name", "where", "--out", out, "--json")
    assert code == 0, err
    said = json.loads(told)
    count = int(inside(section, 0, 0, 900, 900).sum())
    assert said["annotated"] == said["classes"]["A"] == count
    assert (stm.read(out).adata.obs["where"] == "A").sum() == count
    assert annotation_columns(stm.read(out).adata) == ["where"]


@pytest.mark.parametrize("name", ["her2st_labelled/A1.h5ad", "dlpfc_visium/151673.h5ad"])
def test_real_ground_truth_comes_back(data_dir, tmp_path, name) -> None:
    section = stm.read(data_dir / name)
    truth = next(
        c for c in section.adata.obs
        if section.adata.obs[c].dtype.kind not in "fiub" and 2 < section.adata.obs[c].nunique() < 12
    )  # fmt: skip
    path = stm.write(section, tmp_path / "truth.geojson", column=truth)
    column = stm.annotate(section, path, column="again")
    known = section.adata.obs[truth].notna().to_numpy()
    np.testing.assert_array_equal(column.notna(), known)
    assert adjusted_rand_score(section.adata.obs[truth][known], column[known]) == 1.0
