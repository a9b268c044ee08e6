"""Pictures of genes against a plain loop over spots."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import scipy.sparse as sp
from tests.helpers import hexagons
from tests.models.spacex_helpers import arranged, striped

from napari_stmask.core.progress import drain
from napari_stmask.core.section import Section
from napari_stmask.features import gene_images
from napari_stmask.features.gene_canvas import gene_canvas
from napari_stmask.features.gene_images import ImageMaker, median_library, picture_values


@pytest.fixture(scope="module")
def crowded() -> Section:
    """Thirty spots, several in some elements."""
    rng = np.random.default_rng(0)
    return arranged(rng.poisson(1.5, (30, 7)) + 1, rng.uniform(0, 6, (30, 2)))


def maker(section: Section, sigma: float = 0.0, standardise: bool = False) -> ImageMaker:
    canvas = gene_canvas(section, pixel_size=1.3)
    return ImageMaker.of(canvas, sigma=sigma, standardise=standardise)


def digest(section: Section) -> str:
    x = section.adata.X
    parts = (x.data, x.indices, x.indptr, section.coords)
    return hashlib.sha256(b"".join(np.ascontiguousarray(p).tobytes() for p in parts)).hexdigest()


def drawn_by_hand(section: Section, drawing: ImageMaker) -> np.ndarray:
    """(genes, n_occupied): every spot put into its element, then the mean of each."""
    dense = section.counts().toarray().astype(float)
    totals = dense.sum(axis=1)
    median = np.median(totals)
    canvas = drawing.canvas
    total = np.zeros((dense.shape[1], canvas.height, canvas.width))
    number = np.zeros((canvas.height, canvas.width))
    for spot in range(len(dense)):
        row, column = divmod(int(canvas.pixel[spot]), canvas.width)
        number[row, column] += 1
        for gene in range(dense.shape[1]):
            value = np.log1p(dense[spot, gene] / totals[spot] * median)
            total[gene, row, column] += value
    return (total[:, number > 0] / number[number > 0]).astype(np.float32)


# Values


def test_values_are_their_formula_over_all_genes() -> None:
    counts = np.array([[1, 3, 0], [0, 2, 6], [2, 2, 0]])
    section = arranged(counts, hexagons(1, 3))
    values = picture_values(section, np.array([2, 0]))
    # Libraries 4, 8, 4: the median is 4, also for the genes that are not asked for.
    expected = np.log1p([[0, 1], [3, 0], [0, 2]])
    assert values.format == "csc"
    assert values.dtype == np.float32
    np.testing.assert_allclose(values.toarray(), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("totals", "expected"), [([4, 0, 2, 6], 4.0), ([0, 0], 1.0), ([], 1.0), ([0, 7], 7.0)]
)
def test_median_library_is_that_of_filled_spots(totals: list[int], expected: float) -> None:
    assert median_library(np.array(totals)) == expected


# Drawing


def test_vectorised_is_a_double_loop(crowded: Section) -> None:
    drawing = maker(crowded)
    assert drawing.canvas.spots_per_pixel.max() > 1
    before = digest(crowded)
    values = picture_values(crowded, np.arange(7))
    expected = drawn_by_hand(crowded, drawing)
    np.testing.assert_allclose(drawing.draw(values), expected, rtol=1e-5)
    for given in (values.tocsr(), values.toarray(), np.asfortranarray(values.toarray())):
        np.testing.assert_allclose(drawing.draw(given), expected, rtol=1e-5)
    assert digest(crowded) == before


def test_a_picture_holds_what_its_spots_hold() -> None:
    section = striped(8, 9, genes=6)
    drawing = ImageMaker.of(gene_canvas(section), sigma=0, standardise=False)
    values = picture_values(section, np.arange(6))
    pictures = drawing.draw(values)
    np.testing.assert_allclose(pictures.sum(axis=1), values.sum(axis=0).A1, rtol=1e-5)
    np.testing.assert_allclose(pictures[:, drawing.canvas.place].T, values.toarray(), rtol=1e-6)


@pytest.mark.parametrize("sigma", [0.0, 1.2])
def test_standardised_then_blurred(crowded: Section, sigma: float) -> None:
    plain, drawing = maker(crowded), maker(crowded, sigma, standardise=True)
    values = picture_values(crowded, np.arange(7))
    expected = plain.draw(values).astype(float)
    expected -= expected.mean(axis=1, keepdims=True)
    expected /= expected.std(axis=1, keepdims=True)
    if sigma:
        expected = expected @ drawing.smoothing.toarray().T
    np.testing.assert_allclose(drawing.draw(values), expected, atol=1e-5)


def test_standardised_pictures_forget_abundance() -> None:
    section = striped(8, 9, genes=6)
    drawing = ImageMaker.of(gene_canvas(section), sigma=1.0, standardise=True)
    values = picture_values(section, np.arange(6)).toarray()
    np.testing.assert_allclose(drawing.draw(7 * values + 3), drawing.draw(values), atol=1e-4)


@pytest.mark.parametrize("level", [0.0, 1e-9, 2.5, 3e4])
def test_a_gene_without_variance_is_blank(crowded: Section, level: float) -> None:
    drawing = maker(crowded, 1.0, standardise=True)
    pictures = drawing.draw(np.full((30, 2), level, dtype=np.float32))
    np.testing.assert_allclose(pictures, 0, atol=1e-6)


def test_blocks_do_not_change_pictures(crowded: Section, monkeypatch: pytest.MonkeyPatch) -> None:
    drawing = maker(crowded, 1.0, standardise=True)
    values = picture_values(crowded, np.arange(7))
    whole = drawing.draw(values)
    monkeypatch.setattr(gene_images, "_ENTRIES", 90)
    steps = drawing.draw_steps(values)
    assert [(e.step, e.total) for e in drawing.draw_steps(values)] == [(3, 7), (6, 7), (7, 7)]
    found = drain(steps)
    np.testing.assert_allclose(found, whole, atol=1e-6)
    assert found.flags.c_contiguous
    assert found.dtype == np.float32


def test_an_empty_block_of_genes(crowded: Section) -> None:
    drawing = maker(crowded, 1.0, standardise=True)
    assert drawing.draw(sp.csc_matrix((30, 0), dtype=np.float32)).shape == (0, drawing.n_pixels)
