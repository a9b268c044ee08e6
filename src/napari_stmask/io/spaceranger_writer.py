"""Write a section the way Space Ranger does, for demonstrations and tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.errors import OutputError
from .atomic import atomic_path
from .positions import COLUMNS
from .tenx import GENE_EXPRESSION

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..core.section import Section

__all__ = ["write_spaceranger"]


def write_spaceranger(section: Section, folder: str | Path) -> Path:
    """Write ``section`` as an outs folder of Space Ranger 2.

    Parameters
    ----------
    section
        With raw counts; the image becomes ``tissue_hires_image.png`` (at most 2000 pixels) and
        ``tissue_lowres_image.png`` (at most 600). ``array_row`` and ``array_col`` are taken from
        ``obs`` where it has them, else numbered along the spots.
    folder
        Made if it does not exist; files of the same names are replaced.

    Returns
    -------
    Path
        ``folder``.

    Raises
    ------
    OutputError
        If a file cannot be written.
    DataError
        If the section holds no counts.
    """
    folder = Path(folder)
    spatial = folder / "spatial"
    try:
        spatial.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"The folder {spatial} cannot be made ({error.strerror})", "choose another folder"
        ) from error
    with atomic_path(folder / "filtered_feature_bc_matrix.h5") as path:
        _write_matrix(section, path)
    with atomic_path(spatial / "tissue_positions.csv") as path:
        _write_positions(section, path)
    factors = _write_images(section, spatial)
    with atomic_path(spatial / "scalefactors_json.json") as path:
        path.write_text(json.dumps(factors), encoding="utf-8")
    return folder


def _write_matrix(section: Section, path: Path) -> None:
    import h5py

    counts = section.counts()
    var = section.adata.var
    names = section.adata.var_names
    ids = var.get("gene_ids", names)
    columns = {
        "id": ids,
        "name": names,
        "feature_type": [GENE_EXPRESSION] * len(names),
        "genome": ["unknown"] * len(names),
    }
    with h5py.File(path, "w") as file:
        # Fixed-length text, as Space Ranger writes it.
        file.attrs["filetype"] = np.bytes_(b"matrix")
        file.attrs["version"] = 2
        file.attrs["library_ids"] = np.array([section.name.encode()])
        matrix = file.create_group("matrix")
        matrix["barcodes"] = _bytes(section.adata.obs_names)
        for name in ("data", "indices", "indptr"):
            values = getattr(counts, name).astype(np.int64 if name != "data" else np.int32)
            matrix.create_dataset(name, data=values, compression="gzip", compression_opts=1)
        matrix["shape"] = np.array(counts.shape[::-1], dtype=np.int32)
        features = matrix.create_group("features")
        for name, column in columns.items():
            features[name] = _bytes(column)
        features["_all_tag_keys"] = np.array([b"genome"])


def _bytes(values: Any) -> NDArray[np.bytes_]:
    return np.array([str(value).encode("utf-8") for value in values])


def _write_positions(section: Section, path: Path) -> None:
    import pandas as pd

    obs = section.adata.obs
    order = np.arange(section.n_spots)
    values = (
        section.adata.obs_names,
        np.ones(section.n_spots, dtype=int),
        obs.get("array_row", order),
        obs.get("array_col", order),
        section.coords[:, 1],
        section.coords[:, 0],
    )
    table = {name: np.asarray(column) for name, column in zip(COLUMNS, values, strict=True)}
    pd.DataFrame(table).to_csv(path, index=False, lineterminator="\n")


def _write_images(section: Section, spatial: Path) -> dict[str, float]:
    """Write both images, if there is one; return the scale factors."""
    factors: dict[str, float] = {}
    if section.spot_diameter is not None:
        factors["spot_diameter_fullres"] = section.spot_diameter
        factors["fiducial_diameter_fullres"] = 1.5 * section.spot_diameter
    if section.um_per_px is not None and section.platform == "visium_hd":
        factors["microns_per_pixel"] = section.um_per_px
    if section.image is not None:
        from PIL import Image

        pixels, scale = section.image.level_for(2000)
        for key, side in (("hires", 2000), ("lowres", 600)):
            picture = Image.fromarray(pixels)
            picture.thumbnail((side, side))
            factors[f"tissue_{key}_scalef"] = scale * picture.width / pixels.shape[1]
            with atomic_path(spatial / f"tissue_{key}_image.png") as path:
                picture.save(path, format="PNG", compress_level=3)
    return factors
