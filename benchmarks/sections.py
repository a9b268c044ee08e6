"""The labelled sections that quality is measured on."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from napari_stmask import Section, read

__all__ = ["LABELLED", "data_dir", "labelled_sections"]


@dataclass(frozen=True)
class Labelled:
    """A labelled section, its platform, and the strong baseline's published ARI (h = 1)."""

    path: str
    platform: str
    listed: float | None


LABELLED = {
    "151673": Labelled("dlpfc_visium/151673.h5ad", "visium", 0.59),
    "151674": Labelled("dlpfc_visium/151674.h5ad", "visium", 0.57),
    "her2st A1": Labelled("her2st_labelled/A1.h5ad", "st", 0.36),
    "her2st B1": Labelled("her2st_labelled/B1.h5ad", "st", 0.27),
    "MOB rep8": Labelled("mob_st_labelled/MOB_rep8.h5ad", "st", 0.40),
    "mPFC BZ5": Labelled("starmap_mpfc_3slices/20180417_BZ5_control.h5ad", "imaging", 0.37),
    "mPFC BZ9": Labelled("starmap_mpfc_3slices/20180419_BZ9_control.h5ad", "imaging", None),
    "osmFISH": Labelled("osmfish_ssp/osmFISH.h5ad", "imaging", 0.29),
}


def data_dir() -> Path:
    """Folder of the real sections: ``$STMASK_DATA`` or ``../shared/data`` beside the project."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("STMASK_DATA", default))
    if not folder.is_dir():
        raise SystemExit(f"{folder} does not exist; set STMASK_DATA to the folder of sections")
    return folder


def labelled_sections(names: list[str]) -> dict[str, tuple[Section, pd.Series]]:
    """Sections by name with their labels; unlabelled and 'undetermined' spots are missing.

    The labels are taken off the section, so that nothing downstream can see them.
    """
    out = {}
    for name in names:
        entry = LABELLED[name]
        section = read(data_dir() / entry.path)
        assert isinstance(section, Section)
        section.platform = entry.platform  # type: ignore[assignment]
        truth = section.adata.obs.pop("ground_truth").astype("string")
        out[name] = section, truth.mask(truth == "undetermined")
    return out
