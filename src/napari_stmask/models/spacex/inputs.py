"""From a section to the pictures of its genes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ...core.errors import DataError, ParameterError
from ...core.progress import Progress, Steps
from ...core.section import Section
from ...features.expression import min_cells_for
from ...features.gene_canvas import gene_canvas
from ...features.gene_images import ImageMaker, picture_values
from ...features.gene_tiles import Tiles, cut_tiles
from ...features.panel import PanelKind, choose_panel, read_gene_list
from .params import SpaCEXParams

__all__ = ["MIN_GENES", "GenePictures", "maker_of", "prepare"]

MIN_GENES = 20
"""Genes below which there are no modules to find."""
_MIN_PIXELS = 16


@dataclass(frozen=True, eq=False)
class GenePictures:
    """Pictures of the chosen genes.

    Attributes
    ----------
    genes
        (n_genes,) names, sorted.
    values
        (n_spots, n_genes) float32 CSC log-normalised expression.
    maker
        Draws pictures.
    tiles
        How they are cut.
    pictures
        (n_genes, n_occupied) float32.
    """

    genes: tuple[str, ...]
    values: sp.csc_matrix
    maker: ImageMaker
    tiles: Tiles
    pictures: NDArray[np.float32]


def prepare(section: Section, params: SpaCEXParams) -> Steps[GenePictures]:
    """Choose genes and draw them.

    Raises
    ------
    DataError
        If there are too few genes or spots, or the matrix holds no counts.
    ParameterError
        If a gene that is to be kept is unknown, or there is only one tile to hide.
    """
    maker, tiles = maker_of(section, params)
    if params.loss_on == "hidden" and tiles.n_tokens < 2:
        raise ParameterError(
            f"{section.where}: tiles of side {tiles.side} cover the whole picture, so that none "
            "can be hidden",
            "use smaller tiles (tile)",
        )
    genes = yield from _chosen(section, params)
    if len(genes) < MIN_GENES:
        raise DataError(
            f"{section.where}: only {len(genes)} genes are seen often enough",
            f"give a section with at least {MIN_GENES} genes",
        )
    modules = params.gene_modules
    if modules is not None and modules > len(genes):
        raise ParameterError(
            f"{modules} gene modules were asked of {len(genes)} genes",
            f"ask for {len(genes)} modules at most, or for more genes",
        )
    yield Progress(0, 1, "drawing", message=f"Drawing {len(genes)} genes.")
    values = picture_values(section, section.adata.var_names.get_indexer(genes))
    pictures = yield from maker.draw_steps(values)
    return GenePictures(tuple(genes), values, maker, tiles, pictures)


def maker_of(section: Section, params: SpaCEXParams) -> tuple[ImageMaker, Tiles]:
    """How a section's genes are drawn and cut, by the settings alone.

    Raises
    ------
    DataError
        If the section is too small for pictures.
    ParameterError
        If ``pixel_size`` gives pictures that are too large.
    """
    canvas = gene_canvas(section, max_side=params.max_side, pixel_size=params.pixel_size)
    if len(canvas.occupied) < _MIN_PIXELS:
        raise DataError(
            f"{section.where}: {len(canvas.occupied)} picture elements are too few for pictures",
            f"give a section with at least {_MIN_PIXELS} spots, or a smaller pixel_size",
        )
    maker = ImageMaker.of(canvas, sigma=params.smooth_sigma, standardise=params.standardise)
    return maker, cut_tiles(canvas.height, canvas.width, canvas.occupied, params.tile)


def _chosen(section: Section, params: SpaCEXParams) -> Steps[list[str]]:
    """Names, sorted: the best ones and those that are kept in any case."""
    kept = _kept(section, params.keep_genes)
    least = min_cells_for(section.n_spots) / section.n_spots
    kind: PanelKind = "svg" if params.gene_choice == "spatial" else "hvg"
    best = yield from choose_panel([section], kind=kind, n=params.n_genes, min_detected=least)
    return sorted({*best, *kept})


def _is_file(text: str) -> bool:
    try:
        return Path(text).is_file()
    except (OSError, ValueError):
        # A long list of names is longer than a path may be.
        return False


def _kept(section: Section, text: str) -> list[str]:
    """Genes of ``keep_genes``: names with commas between, or the path of a list."""
    text = text.strip()
    if not text:
        return []
    names = [name.strip() for name in text.split(",") if name.strip()]
    known = set(section.adata.var_names)
    if not known.issuperset(names) and _is_file(text):
        names = read_gene_list(text)
    absent = [name for name in names if name not in known]
    if absent:
        raise ParameterError(
            f"keep_genes: {section.where} has no gene '{absent[0]}'",
            "name genes of the section with commas between, or a text file with one a line",
        )
    return names
