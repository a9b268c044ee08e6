"""Names of the formats as file dialogs show them, and which suffix means which; no Qt."""

from __future__ import annotations

from pathlib import Path

from ..io.write import WRITERS

__all__ = [
    "ALIGNMENTS",
    "FIGURES",
    "GENE_SETS",
    "IMAGES",
    "MASKS",
    "SECTIONS",
    "TABLES",
    "export_filters",
    "is_figure",
    "target_of",
]

FIGURES = (".png", ".pdf", ".svg", ".tif", ".tiff", ".jpg", ".jpeg")
_OFFERED_FIGURES = (".png", ".pdf", ".svg", ".tif", ".jpg")
_TEXT = "*.tsv *.csv *.txt *.tab *.tsv.gz *.csv.gz *.txt.gz *.tab.gz"
_KINDS = {
    "AnnData": "*.h5ad",
    "Space Ranger or Xenium matrix": "*.h5",
    "Xenium run": "*.xenium",
    "Stereo-seq GEF": "*.gef",
    "Stereo-seq GEM": "*.gem *.gem.gz *.txt *.txt.gz *.tsv *.tsv.gz",
    "Legacy ST counts, or a table": f"{_TEXT} *.parquet",
    "MERSCOPE or CosMx table": "*.csv *.csv.gz",
}


def _filters(kinds: dict[str, str], together: str) -> str:
    every = " ".join(dict.fromkeys(" ".join(kinds.values()).split()))
    rows = [f"{together} ({every})", *(f"{name} ({ends})" for name, ends in kinds.items())]
    return ";;".join([*rows, "All files (*)"])


SECTIONS = _filters(_KINDS, "Sections of every platform")
GENE_SETS = "Gene sets (*.gmt *.csv *.txt);;All files (*)"
TABLES = f"Tables ({_TEXT} *.parquet);;All files (*)"
IMAGES = _filters(
    {
        "PNG or JPEG": "*.png *.jpg *.jpeg",
        "TIFF, BigTIFF or OME-TIFF": "*.tif *.tiff *.btf",
        "Whole-slide image": "*.svs *.ndpi",
    },
    "Images",
)
MASKS = "Masks (*.tif *.tiff *.png);;All files (*)"
ALIGNMENTS = (
    "Alignments (*.json *.csv *.tsv *.txt);;Loupe, or saved here (*.json);;"
    "Xenium, or 3 x 3 numbers (*.csv *.tsv *.txt);;All files (*)"
)


def export_filters(*, domains: bool) -> str:
    """Every format that can be written, for a file dialog.

    Parameters
    ----------
    domains
        Whether there are domains; figures and files of domains alone need them.
    """
    rows: dict[str, str] = {}
    for end, writer in WRITERS.items():
        # Two spellings of one format are one row, with the first.
        if (domains or "column" not in writer.options) and end != ".ome.tiff":
            rows[end] = writer.title[:1].upper() + writer.title[1:]
    if domains:
        rows |= dict.fromkeys(_OFFERED_FIGURES, "Figure of the domains")
    return ";;".join(f"{title} (*{end})" for end, title in rows.items())


def _known_end(name: str) -> str:
    """The longest suffix that means something here; empty if there is none."""
    ends = [end for end in (*WRITERS, *FIGURES) if name.lower().endswith(end)]
    return max(ends, key=len, default="")


def is_figure(path: str | Path) -> bool:
    """Whether the name is that of a figure; ``.ome.tif`` is not, it holds labels."""
    return _known_end(Path(path).name) in FIGURES


def target_of(path: str, kind: str) -> Path:
    """The path with the suffix of the chosen filter ``kind``, which wins over a typed one.

    Only over the first filter, which is chosen before the user does anything, a typed suffix wins.
    """
    suffix, target = kind[kind.rfind("*") + 1 : -1], Path(path)
    own = _known_end(target.name)
    if not suffix or own == suffix or (own and suffix == next(iter(WRITERS))):
        return target
    bare = target.name[: len(target.name) - len(own)]
    return target.with_name((bare or target.name) + suffix)
