"""Read Stereo-seq GEM tables: one line per gene and DNB, plain or gzipped."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import DataError, FileFormatError
from .bins import Records, ordered, workers
from .gem_text import WHAT, parse, read_header, text_blocks
from .guard import guarded
from .options import ReadOptions
from .stereo_spots import section_of
from .stereoseq import EXON_NOTE, About
from .tally import MAX_GENES

if TYPE_CHECKING:
    from ..core.section import Section

__all__ = ["OPTIONS", "TITLE", "GemSource", "load", "matches"]

TITLE = "a Stereo-seq GEM table (.gem, .gem.gz)"
OPTIONS = frozenset({"bin", "mask", "filtered"})


def matches(path: Path) -> bool:
    """Whether ``path`` is text, plain or gzipped, with the columns of a GEM."""
    return path.is_file() and read_header(path) is not None


def load(path: Path, options: ReadOptions) -> Section:
    """Read a GEM as bins or as cells, without holding its text in memory.

    Parameters
    ----------
    path
        The file.
    options
        ``bin``: side of a bin in DNB, 50 by default, or ``"cell"``, which is the default where the
        file has a column of cells. ``mask``: cells for ``bin="cell"``, else the tissue.
        ``filtered``: use a mask of the tissue that lies beside the file. ``name``: the chip or the
        file name by default.

    Raises
    ------
    FileFormatError
        If the file is damaged, or a number is not a whole number in range.
    DataError
        If there are no records, or nothing lies in the mask.
    ParameterError
        If cells are asked for and there are none.
    ResourceError
        If there would be too many bins.
    """
    with guarded(path, WHAT):
        return section_of(GemSource(path), options)


class GemSource:
    """The records of a GEM, as a `napari_stmask.io.stereoseq.Source`."""

    def __init__(self, path: Path) -> None:
        header = read_header(path)
        if header is None:
            raise FileFormatError(f"{path} is not {TITLE}", "give the file as the vendor writes it")
        self._header = header
        self.about = About(
            path,
            chip=header.facts.get("Stereo-seqChip") or None,
            offset=(header.number("OffsetX", 0), header.number("OffsetY", 0)),
            side=max(1, header.number("BinSize", 1)),
            has_cells="cell" in header.roles,
            facts={
                word: header.facts[key]
                for key, word in (("Omics", "omics"), ("FileFormat", "format"))
                if header.facts.get(key)
            },
        )
        if "exon" in header.roles:
            self.about.notes.append(EXON_NOTE)
        self._codes: dict[str, int] = {}
        self._names: list[str] = []

    def blocks(self, pool: Executor) -> Iterator[Records]:
        """All records in the order of the file, genes numbered as they appear."""
        wanted = ("gene", "name", "x", "y", "count", "cell")
        roles = tuple(role for role in wanted if role in self._header.roles)
        for block in self._parsed(pool, roles):
            cell = block.get("cell")
            yield Records(block["x"], block["y"], self._encode(block), block["count"], cell)

    def places(self, pool: Executor) -> Iterator[Records]:
        """Only where the records lie: each as one molecule of gene 0."""
        for block in self._parsed(pool, ("x", "y")):
            ones = np.ones(block["x"].size, dtype=np.int32)
            yield Records(block["x"], block["y"], np.zeros_like(ones), ones)

    def genes(self) -> tuple[list[str], list[str]]:
        """Identifiers and symbols, once all blocks were read."""
        return list(self._codes), self._names

    def _parsed(self, pool: Executor, roles: tuple[str, ...]) -> Iterator[dict[str, Any]]:
        read: Callable[[Any], dict[str, Any]] = lambda text: parse(  # noqa: E731
            self.about.path, self._header, roles, text
        )
        texts = text_blocks(self.about.path, self._header)
        return ordered(pool, read, texts, workers() + 1)

    def _encode(self, block: dict[str, Any]) -> NDArray[np.int32]:
        """Numbers of the genes of a block; new genes are entered with their symbols."""
        first = block["gene"] if "gene" in block else block["name"]
        local = first.indices.to_numpy(zero_copy_only=False)
        words = first.dictionary.to_pylist()
        known = len(self._codes)
        codes = np.array(
            [self._codes.setdefault(word, len(self._codes)) for word in words], dtype=np.int32
        )
        if len(self._codes) > MAX_GENES:
            raise DataError(
                f"{self.about.path} names more than {MAX_GENES} genes", "check the column of genes"
            )
        if len(self._codes) > known:
            self._names += self._symbols(block, local, words, codes >= known)
        return np.asarray(codes[local])

    def _symbols(
        self,
        block: dict[str, Any],
        local: NDArray[Any],
        words: list[str],
        new: NDArray[np.bool_],
    ) -> list[str]:
        """Symbols of the new genes of a block: those of their first records."""
        if not ("gene" in block and "name" in block):
            return [word for word, fresh in zip(words, new, strict=True) if fresh]
        symbols = block["name"].dictionary.to_pylist()
        of = np.zeros(len(words), dtype=np.int64)
        of[local[::-1]] = block["name"].indices.to_numpy(zero_copy_only=False)[::-1]
        return [symbols[of[i]] for i in np.flatnonzero(new)]
