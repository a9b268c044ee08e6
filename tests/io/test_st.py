"""Legacy Spatial Transcriptomics: every form of counts, spots and labels."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from napari_stmask.core.errors import (
    DataError,
    FileFormatError,
    MissingFileError,
    ParameterError,
)
from napari_stmask.core.section import Section
from napari_stmask.io.read import read, recognise
from napari_stmask.io.text import MAX_RATIO, RATIO_FLOOR, sniff

SIDE, PITCH = 8, 50.0
GENES = ["Actb", "Mbp", "Snap25", "Plp1", "Gfap"]


def one(path: Path, **options: object) -> Section:
    found = read(path, **options)
    assert isinstance(found, Section)
    return found


def spots(shift: float = 0.02) -> pd.DataFrame:
    """A square array of 8 x 8 spots, 50 px apart, the last row of spots outside the tissue."""
    x, y = (v.ravel() for v in np.meshgrid(np.arange(2, 2 + SIDE), np.arange(3, 3 + SIDE)))
    return pd.DataFrame(
        {
            "x": x,
            "y": y,
            "new_x": x + shift,
            "new_y": y - shift,
            "pixel_x": 20 + PITCH * (x + shift),
            "pixel_y": 10 + PITCH * (y - shift),
            "selected": (y < 2 + SIDE).astype(int),
        }
    )


def counts(genes: list[str] = GENES) -> pd.DataFrame:
    table = spots()
    values = np.random.default_rng(0).poisson(3.0, (len(table), len(genes)))
    return pd.DataFrame(
        values, index=[f"{x}x{y}" for x, y in table[["x", "y"]].values], columns=genes
    )


def save(table: pd.DataFrame, path: Path, sep: str = "\t", **how: object) -> Path:
    table.to_csv(path, sep=sep, **how)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Counts with a selection beside them."""
    save(counts(), tmp_path / "S1_counts.tsv")
    save(spots(), tmp_path / "S1_selection.tsv", index=False)
    return tmp_path


@pytest.mark.parametrize("across", [False, True])
@pytest.mark.parametrize("form", ["tsv", "tsv.gz", "csv", "csv.gz", "txt"])
def test_both_orientations_and_all_forms_of_text(tmp_path: Path, across: bool, form: str) -> None:
    table = counts().T if across else counts()
    path = save(table, tmp_path / f"a.{form}", sep="," if "csv" in form else "\t")
    assert recognise(path) == "st"
    found = one(path)
    assert list(found.adata.var_names) == GENES
    assert (found.counts().todense() == counts().to_numpy()).all()
    assert found.name == "a"
    assert (found.platform, found.um_per_px) == ("st", 200.0)
    np.testing.assert_array_equal(found.coords, spots()[["x", "y"]])
    assert any("no table of spots" in note for note in found.notes)


def test_named_corner_comments_quotes_and_windows_lines(tmp_path: Path) -> None:
    path = tmp_path / "b.csv"
    text = counts().to_csv(index_label="spot", quoting=2, lineterminator="\r\n")
    path.write_bytes(b"# made by hand\n\n" + text.encode())
    assert (one(path).counts().todense() == counts().to_numpy()).all()


def test_corner_left_out_as_r_writes_it(tmp_path: Path) -> None:
    path = tmp_path / "r.tsv"
    path.write_text(counts().to_csv(sep="\t").removeprefix("\t"))
    found = one(path)
    assert list(found.adata.var_names) == GENES
    assert (found.counts().todense() == counts().to_numpy()).all()


def test_selection_gives_pixels_tissue_and_scale(folder: Path) -> None:
    found = one(folder)
    assert recognise(folder) == "st"
    kept = spots().query("selected == 1")
    assert found.n_spots == SIDE * (SIDE - 1)
    assert list(found.adata.obs_names) == [f"{x}x{y}" for x, y in kept[["x", "y"]].values]
    np.testing.assert_allclose(found.coords, kept[["pixel_x", "pixel_y"]])
    assert found.um_per_px == pytest.approx(200 / PITCH)
    assert found.spot_diameter == pytest.approx(PITCH / 2)
    obs = found.adata.obs
    assert (obs["array_col"].to_numpy() == kept["x"]).all()
    assert (obs["array_row"].to_numpy() == kept["y"]).all()
    np.testing.assert_allclose(obs["array_col_adjusted"], kept["new_x"])
    assert f"{SIDE} spots outside the tissue (selected is 0) were left out." in found.notes
    everything = one(folder, filtered=False)
    assert everything.n_spots == SIDE * SIDE
    assert everything.adata.obs["in_tissue"].sum() == found.n_spots


def test_counts_follow_their_spot_whatever_the_order(folder: Path) -> None:
    save(spots().sample(frac=1, random_state=1), folder / "S1_selection.tsv", index=False)
    found = one(folder)
    assert (found.counts().todense() == counts().loc[list(found.adata.obs_names)].to_numpy()).all()
    np.testing.assert_allclose(found.coords[0], spots().iloc[0][["pixel_x", "pixel_y"]])


def test_six_columns_without_header(folder: Path) -> None:
    save(spots().drop(columns="selected"), folder / "S1_selection.tsv", header=False, index=False)
    found = one(folder)
    assert found.n_spots == SIDE * SIDE
    np.testing.assert_allclose(found.coords, spots()[["pixel_x", "pixel_y"]])
    assert "in_tissue" not in found.adata.obs


def test_float_ids_are_joined_by_their_rounded_place(folder: Path) -> None:
    table = counts()
    table.index = [f"{x:.2f}x{y:.3f}" for x, y in spots()[["new_x", "new_y"]].values]
    save(table, folder / "S1_counts.tsv")
    found = one(folder)
    assert found.n_spots == SIDE * (SIDE - 1)
    assert found.adata.obs_names[0] == "2.02x2.980"
    np.testing.assert_allclose(found.coords[0], spots().iloc[0][["pixel_x", "pixel_y"]])


def test_labels_never_give_their_pixels_where_a_selection_exists(folder: Path) -> None:
    labels = spots()[["new_x", "new_y"]].set_axis(["x", "y"], axis=1)
    labels["pixel_x"], labels["pixel_y"] = 1.0, 2.0
    labels["label"] = np.where(labels.index % 2, "tumour", None)
    labels.loc[0, ["x", "y", "label"]] = [np.nan, np.nan, "lost"]
    labels.insert(0, "Row.names", labels.index)
    save(labels, folder / "S1_labeled_coordinates.tsv", index=False)
    found = one(folder)
    truth = found.adata.obs["ground_truth"]
    assert isinstance(truth.dtype, pd.CategoricalDtype)
    assert list(truth.cat.categories) == ["tumour"]
    odd = spots().query("selected == 1").index.to_numpy() % 2 == 1
    assert (truth.notna().to_numpy() == odd).all()
    np.testing.assert_allclose(found.coords[0], spots().iloc[0][["pixel_x", "pixel_y"]])
    assert "28 of 56 spots have no label in S1_labeled_coordinates.tsv." in found.notes


def test_labels_give_their_pixels_where_nothing_else_does(folder: Path) -> None:
    (folder / "S1_selection.tsv").unlink()
    labels = spots()[["x", "y", "pixel_x", "pixel_y"]].assign(label="a")
    save(labels, folder / "lbl.tsv", index=False)
    found = one(folder)
    np.testing.assert_allclose(found.coords, labels[["pixel_x", "pixel_y"]])
    assert any("Pixel positions are those of lbl.tsv" in note for note in found.notes)


def test_the_table_of_spots_is_chosen_by_name_or_given(folder: Path) -> None:
    other = spots().assign(pixel_x=lambda t: t["pixel_x"] + 1000)
    save(other, folder / "S2_selection.tsv", index=False)
    assert one(folder).coords[:, 0].max() < 1000
    given = one(folder / "S1_counts.tsv", spots=folder / "S2_selection.tsv")
    assert given.coords[:, 0].min() > 1000
    assert given.reading == {"spots": str(folder / "S2_selection.tsv")}
    (folder / "S1_selection.tsv").rename(folder / "T1_selection.tsv")
    with pytest.raises(FileFormatError, match="Several tables of spots lie beside"):
        read(folder / "S1_counts.tsv")


def test_every_second_place_of_the_denser_array(tmp_path: Path) -> None:
    x, y = (v.ravel() for v in np.meshgrid(np.arange(1, 13), np.arange(1, 13)))
    even = (x + y) % 2 == 0
    x, y = x[even], y[even]
    table = pd.DataFrame(
        {"x": x, "y": y, "new_x": x, "new_y": y, "pixel_x": 24.0 * x, "pixel_y": 24.0 * y}
    )
    save(table, tmp_path / "spots.tsv", index=False)
    values = pd.DataFrame(1, index=[f"{a}x{b}" for a, b in zip(x, y, strict=True)], columns=GENES)
    found = one(save(values, tmp_path / "dense.tsv"))
    assert found.um_per_px == pytest.approx(100 / 24)
    assert found.lattice.pitch * found.um_per_px == pytest.approx(141.4, abs=0.1)
    assert any("every second place" in note for note in found.notes)


ENSEMBL = [
    "ENSMUSG00000064339.1",
    "ENSMUSG00000064337.2",
    "ENSMUSG00000098178.1",
    "Mbp.1",
    "ENSG00000182378.13",
]


def test_versions_are_stripped_and_symbols_mapped(folder: Path) -> None:
    save(counts(ENSEMBL), folder / "S1_counts.tsv")
    plain = one(folder)
    assert list(plain.adata.var_names) == [
        "ENSMUSG00000064339",
        "ENSMUSG00000064337",
        "ENSMUSG00000098178",
        "Mbp.1",
        "ENSG00000182378",
    ]
    assert list(plain.adata.var["gene_ids"]) == ENSEMBL
    mapping = folder / "ids.txt"
    mapping.write_text("ENSMUSG00000064339\tmt-Rnr2\nENSMUSG00000064337.9\tmt-Rnr2\nX\tY\n")
    mapped = one(folder, symbols=mapping)
    assert list(mapped.adata.var_names[:3]) == ["mt-Rnr2", "mt-Rnr2-1", "ENSMUSG00000098178"]
    assert "3 of 5 genes have no symbol and keep their identifier." in mapped.notes
    assert any("made unique" in note for note in mapped.notes)
    mapping.write_text(
        "chrom,Gene name,gene_id\n1,mt-Rnr2,ENSMUSG00000064339\n1,Plaat3,ENSG00000182378\n"
    )
    by_header = one(folder, symbols=mapping)
    assert list(by_header.adata.var_names[[0, 4]]) == ["mt-Rnr2", "Plaat3"]
    mapping.write_text("a\tb\nc\td\n")
    with pytest.raises(FileFormatError, match="holds none of the 5 gene identifiers"):
        read(folder, symbols=mapping)
    with pytest.raises(MissingFileError):
        read(folder, symbols=folder / "absent.tsv")


def picture(path: Path, rows: int, columns: int) -> None:
    Image.fromarray(np.full((rows, columns, 3), 200, np.uint8)).save(path)


def test_image_that_fits_at_full_resolution(folder: Path) -> None:
    picture(folder / "S2.png", 900, 900)
    picture(folder / "S1.jpg", 700, 800)
    image = one(folder).image
    assert image is not None
    assert (image.shape, image.scale, image.name) == ((700, 800), 1.0, "S1.jpg")


def test_image_of_another_scale_is_left_out(folder: Path) -> None:
    picture(folder / "HE_small.png", 100, 110)
    found = one(folder)
    assert found.image is None
    assert any("HE_small.png was left out" in n and "alignment=" in n for n in found.notes)


def test_image_whose_scale_the_labels_prove(folder: Path) -> None:
    height, factor = 700.0, 2.5
    labels = spots()[["x", "y", "pixel_x", "pixel_y"]].assign(label="a")
    labels["pixel_x"] /= factor
    labels["pixel_y"] = (height - labels["pixel_y"]) / factor
    save(labels, folder / "S1_labels.tsv", index=False)
    picture(folder / "S1_HE.png", 140, 160)
    found = one(folder)
    assert found.image is not None
    assert found.image.scale == pytest.approx(140 / height)
    assert any("placed at scale 0.2" in note for note in found.notes)
    # Labels that do not follow the spots prove nothing.
    labels["pixel_y"] += np.random.default_rng(0).normal(0, 20, len(labels))
    save(labels, folder / "S1_labels.tsv", index=False)
    assert one(folder).image is None


def test_spots_that_are_in_no_table(folder: Path) -> None:
    save(spots().iloc[: 5 * SIDE], folder / "S1_selection.tsv", index=False)
    found = one(folder)
    assert found.n_spots == 5 * SIDE
    assert "24 of 64 spots are not in S1_selection.tsv and were left out." in found.notes
    # A table of the few spots under tissue is complete; one of another section is not.
    save(spots().iloc[:SIDE], folder / "S1_selection.tsv", index=False)
    assert one(folder).n_spots == SIDE
    save(spots().assign(x=lambda t: t["x"] + 6), folder / "S1_selection.tsv", index=False)
    with pytest.raises(DataError, match="Only 16 of 64 spots"):
        read(folder)


def test_refusals_name_the_line(folder: Path) -> None:
    path = folder / "S1_counts.tsv"
    whole = path.read_text()
    lines = whole.splitlines()
    path.write_text("\n".join([*lines[:20], lines[20] + "\t1", *lines[21:]]))
    with pytest.raises(FileFormatError, match="line 21: 7 columns, expected 6"):
        read(path)
    path.write_text("\n".join([*lines[:20], lines[20][:-1] + "many", *lines[21:]]))
    with pytest.raises(FileFormatError, match=r"line 21: column 'Gfap' holds 'many'"):
        read(path)
    path.write_text(
        "\n".join([*lines[:20], lines[20][: lines[20].rindex("\t")] + "\tnan", *lines[21:]])
    )
    with pytest.raises(FileFormatError, match="holds 'nan'"):
        read(path)
    path.write_text(whole + lines[-1])
    with pytest.raises(FileFormatError, match="spot 9x10 twice"):
        read(path)
    path.write_text(whole + "total" + lines[-1][4:])
    with pytest.raises(FileFormatError, match="'total' is no spot"):
        read(path)


def test_values_that_are_no_counts_are_refused(folder: Path) -> None:
    save(counts() / 2, folder / "S1_counts.tsv")
    with pytest.raises(DataError, match="not whole numbers"):
        read(folder)
    save(-counts(), folder / "S1_counts.tsv")
    with pytest.raises(DataError, match="negative"):
        read(folder)


def test_nothing_selected_and_no_position(folder: Path) -> None:
    save(spots().assign(selected=0), folder / "S1_selection.tsv", index=False)
    with pytest.raises(DataError, match="none of 64 spots is selected"):
        read(folder)
    save(spots().assign(pixel_x=np.nan), folder / "S1_selection.tsv", index=False)
    with pytest.raises(DataError, match="no finite coordinates"):
        read(folder)
    save(spots().assign(x=np.nan), folder / "S1_selection.tsv", index=False)
    with pytest.raises(FileFormatError, match="spot 1 has no array position"):
        read(folder)
    save(pd.concat([spots(), spots()]), folder / "S1_selection.tsv", index=False)
    with pytest.raises(FileFormatError, match="holds spot 2x3 twice"):
        read(folder)


def test_tables_that_are_not_counts_are_not_claimed(folder: Path) -> None:
    save(spots()[["x", "y", "pixel_x", "pixel_y"]].assign(label="a"), folder / "l.tsv")
    assert recognise(folder / "S1_selection.tsv") is None
    assert recognise(folder / "l.tsv") is None
    for content in (b"", b"\x00\x01\t\n", b"a\tb\n", b"\xff\xfe\t\n\xff\t\n", b"1\t2\n3\t4\n"):
        (folder / "x.tsv").write_bytes(content)
        assert recognise(folder / "x.tsv") is None


def test_several_sections_in_a_folder(folder: Path) -> None:
    save(counts(), folder / "S2_counts.tsv")
    with pytest.raises(FileFormatError, match=r"several tables of counts: S1_counts.tsv, S2"):
        read(folder)


def test_options_that_mean_nothing_are_refused(folder: Path) -> None:
    with pytest.raises(ParameterError, match="bin=20 means nothing"):
        read(folder, bin=20)


def test_damaged_and_hostile_files(folder: Path) -> None:
    path = folder / "cut.tsv.gz"
    big = counts().to_csv(sep="\t") + "\n".join(f"{i}x200\t1\t1\t1\t1\t1" for i in range(9000))
    path.write_bytes(gzip.compress(big.encode())[:-9000])
    with pytest.raises(FileFormatError, match="cannot be read as a table of counts"):
        read(path)
    bomb = folder / "bomb.tsv.gz"
    lines = (b"1x1" + b"\t0" * 2000 + b"\n") * 250
    with gzip.open(bomb, "wb") as stream:
        stream.write(b"\tgene" * 2000 + b"\n")
        for _ in range(RATIO_FLOOR // len(lines) + 2):
            stream.write(lines)
    assert bomb.stat().st_size * MAX_RATIO < RATIO_FLOOR
    with pytest.raises(FileFormatError, match="unpacks to more than"):
        read(bomb)
    line = folder / "line.tsv.gz"
    with gzip.open(line, "wb") as stream:
        stream.write(b"\t0" * 2**24)
    assert sniff(line) is None


def test_a_table_of_spots_named_after_other_counts_is_not_taken(folder: Path) -> None:
    """All arrays have the same spots, so joining them would go unnoticed."""
    path = save(counts(), folder / "S2_counts.tsv")
    found = one(path)
    np.testing.assert_array_equal(found.coords, spots()[["x", "y"]])
    assert any("no table of spots" in note for note in found.notes)
    (folder / "S1_counts.tsv").unlink()
    alone = one(path)
    assert "S1_selection.tsv was taken for the spots, though its name is another." in alone.notes
    assert alone.coords.max() > 400


@pytest.mark.parametrize("form", ["C2_{}", "X{}", "{}_1", "mouse.3_{}"])
def test_ids_with_the_name_of_their_section(folder: Path, form: str) -> None:
    table = counts()
    table.index = [form.format(name) for name in table.index]
    path = save(table, folder / "S1_counts.tsv")
    assert recognise(path) == "st"
    found = one(path)
    assert found.n_spots == SIDE * (SIDE - 1)
    wanted = spots()[spots().selected == 1]
    np.testing.assert_allclose(found.coords, wanted[["pixel_x", "pixel_y"]])


def test_an_array_wider_than_any_of_the_platform(tmp_path: Path) -> None:
    """DBiT-seq names its 50 x 50 places in the same way, some tens of µm apart."""
    ids = [f"{i % 50 + 1}x{i // 50 + 1}" for i in range(2300)]
    values = np.random.default_rng(0).poisson(2.0, (len(ids), 3))
    path = save(pd.DataFrame(values, index=ids, columns=list("ABC")), tmp_path / "m.tsv")
    found = one(path)
    assert (found.platform, found.um_per_px, found.spot_diameter) == ("unknown", None, None)
    assert any("50 spots wide" in note for note in found.notes)
