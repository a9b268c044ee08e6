"""Seven files of one Stereo-seq crop of 299 x 300 DNB, in all the forms that the vendor writes."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from scipy.spatial import cKDTree

from napari_stmask.core.errors import ParameterError
from napari_stmask.core.section import Section
from napari_stmask.io import bins
from napari_stmask.io.bins import stream
from napari_stmask.io.cellbin import POLYGONS
from napari_stmask.io.gef import GefSource
from napari_stmask.io.read import read, recognise
from napari_stmask.io.tally import GENE_BITS, matrix_of

PLAIN = "SS200000135TL_D1_bin1_small.gem.gz"
BINS = (PLAIN, "gem_v0.1_offset.gem.gz", "gem_v0.2_offset.gem.gz", "bin_v0.1.gef", "bin_v0.2.gef")
CELL_GEM, CELL_GEF = "cellbin_v0.1.gem.gz", "cellbin_from_cgem.gef"
N_GENES, N_SPOTS = 10631, {1: 41915, 20: 225, 50: 36}
MOLECULES, IN_CELLS = 131002, 76769


@pytest.fixture(scope="module")
def native(data_dir: Path) -> Path:
    return data_dir / "stereoseq_brain_crop" / "native"


def one(path: Path, **options: object) -> Section:
    found = read(path, **options)
    assert isinstance(found, Section)
    return found


def table(section: Section) -> sp.csr_matrix:
    """Counts with spots and genes in the order of their names."""
    rows = np.argsort(section.adata.obs_names.to_numpy().astype(str))
    columns = np.argsort(section.adata.var["gene_ids"].to_numpy().astype(str))
    return section.counts()[rows][:, columns]


@pytest.mark.parametrize("name", BINS)
def test_forms_are_recognised(native: Path, name: str) -> None:
    assert recognise(native / name) == ("gem" if ".gem" in name else "gef")


@pytest.mark.parametrize("side", [1, 20, 50])
def test_five_files_hold_the_same_records(native: Path, side: int) -> None:
    """All hold the 77,634 records of the crop; the first states chip coordinates itself."""
    found = [one(native / name, bin=side) for name in BINS]
    first = table(found[0])
    assert first.shape == (N_SPOTS[side], N_GENES)
    for other in found[1:]:
        assert (table(other) != first).nnz == 0
        assert set(other.adata.obs_names) == set(found[0].adata.obs_names)
        order = other.adata.obs_names.get_indexer(found[0].adata.obs_names)
        np.testing.assert_array_equal(other.coords[order], found[0].coords)
    low, high = found[0].coords.min(axis=0), found[0].coords.max(axis=0)
    assert low.tolist() == [9600 + side / 2, 12600 + side / 2]
    assert (high < [9900, 12900]).all()
    assert found[0].um_per_px == 0.5


def test_molecules(native: Path) -> None:
    records = pd.read_csv(native / PLAIN, sep="\t")
    section = one(native / PLAIN, bin=1)
    assert section.counts().sum() == records.MIDCounts.sum() == MOLECULES
    assert section.counts().nnz == len(records) == 77634
    sums = pd.Series(
        np.asarray(section.counts().sum(axis=0)).ravel().astype(int), section.adata.var_names
    )
    pd.testing.assert_series_equal(
        sums, records.groupby("geneID").MIDCounts.sum(), check_names=False, check_index_type=False
    )


@pytest.mark.parametrize("name", ["bin_v0.1.gef", "bin_v0.2.gef"])
@pytest.mark.parametrize("side", [20, 50])
def test_stored_bins_equal_bins_made_from_single_dnb(native: Path, name: str, side: int) -> None:
    with h5py.File(native / name) as file:
        matrices = []
        for source in (GefSource.at(native / name, file, stored) for stored in (1, side)):
            assert source.about.side in (1, side)
            found = stream(source.blocks, name, [(bins.by_bin(side), GENE_BITS)])
            matrices.append(matrix_of(found.tallies[0], N_GENES))
    (spots, counts), (stored_spots, stored_counts) = matrices
    np.testing.assert_array_equal(spots, stored_spots)
    assert (counts != stored_counts).nnz == 0


def test_cell_gem(native: Path) -> None:
    section = one(native / CELL_GEM)
    assert (section.n_spots, section.n_genes) == (68, 8890)
    assert section.counts().sum() == IN_CELLS
    records = pd.read_csv(native / CELL_GEM, sep="\t", comment="#")
    places = records.drop_duplicates(["CellID", "x", "y"]).groupby("CellID")[["x", "y"]]
    order = section.adata.obs_names.astype(int)
    np.testing.assert_allclose(
        section.coords, places.mean().loc[order].to_numpy() + np.array([9600.5, 12600.5])
    )
    assert section.adata.obs["dnb_count"].tolist() == places.size().loc[order].tolist()
    # The mask has 68 cells, and no record of this file lies outside them.
    assert section.notes == []


def test_cells_of_gem_and_gef_agree(native: Path) -> None:
    """They agree per cell and gene, though the GEF has lost the names of its genes.

    Its genes are in the order of the GEM. Its positions are middles of outlines, not means of DNB,
    and lie in the frame of the file: it keeps no offset.
    """
    gem, gef = one(native / CELL_GEM), one(native / CELL_GEF)
    assert (gef.n_spots, gef.n_genes) == (68, 8890)
    rows = gef.adata.obs_names.get_indexer(gem.adata.obs_names)
    assert sorted(rows) == list(range(68))
    assert (gef.counts()[rows] != gem.counts()).nnz == 0
    assert gef.adata.var_names[0] == "gene_1"
    assert any("does not name its genes" in note for note in gef.notes)
    apart = np.abs(gef.coords[rows] - (gem.coords - [9600, 12600])).max(axis=1)
    assert np.median(apart) < 1
    assert apart.max() < 6


def test_outlines_enclose_the_records_of_their_cells(native: Path) -> None:
    gef = one(native / CELL_GEF)
    outlines = gef.adata.obsm[POLYGONS]
    assert outlines.shape == (68, 32, 2)
    assert np.isfinite(outlines).any(axis=1).all()
    records = pd.read_csv(native / CELL_GEM, sep="\t", comment="#")
    extent = records.groupby("CellID")[["x", "y"]].agg(["min", "max"]) + 0.5
    extent = extent.loc[gef.adata.obs_names.astype(int)]
    low, high = np.nanmin(outlines, axis=1), np.nanmax(outlines, axis=1)
    for axis, name in enumerate("xy"):
        assert (low[:, axis] <= extent[name, "min"]).all()
        assert (high[:, axis] >= extent[name, "max"]).all()
        assert (low[:, axis] == extent[name, "min"]).mean() > 0.5
    assert gef.spot_diameter == pytest.approx(2 * np.sqrt(248.5 / np.pi))


@pytest.mark.parametrize(
    ("name", "frame"),
    [
        (PLAIN, "to begin at the smallest x and y"),
        ("gem_v0.1_offset.gem.gz", "in the frame of the file"),
        ("bin_v0.2.gef", "in the frame of the file"),
    ],
)
def test_mask_gives_the_cells_of_the_vendor(native: Path, name: str, frame: str) -> None:
    """Pieces that touch by an edge are its 68 cells; by a corner they would be 14."""
    found = one(native / name, bin="cell", mask=native / "cell_mask.tif")
    gem = one(native / CELL_GEM)
    assert found.n_spots == 68
    assert found.counts().sum() == IN_CELLS
    columns = [s.adata.var_names.get_indexer(gem.adata.var_names) for s in (found, gem)]
    cells = [s.counts()[:, c].toarray() for s, c in zip((found, gem), columns, strict=True)]
    pairs = cKDTree(gem.coords).query(found.coords)[1]
    assert sorted(pairs) == list(range(68))
    np.testing.assert_array_equal(cells[0], cells[1][pairs])
    assert any(frame in note for note in found.notes)
    assert any(f"{77634 - 44823} of 77634 records lie outside" in n for n in found.notes)


def test_mask_as_tissue(native: Path) -> None:
    found = one(native / "bin_v0.1.gef", bin=50, mask=native / "cell_mask.tif")
    assert found.counts().sum() == IN_CELLS
    assert found.n_spots == 32  # four of the 36 bins hold no cell


def test_cells_are_not_guessed(native: Path) -> None:
    for name in BINS:
        with pytest.raises(ParameterError, match="give mask= with an image of the cells"):
            read(native / name, bin="cell")
    with pytest.raises(ParameterError, match="holds cells only"):
        read(native / CELL_GEF, bin=50)
