"""Seconds to a complete section from a Space Ranger folder, against scanpy's reader of its matrix.

    python benchmarks/spaceranger.py [FOLDER ...]

Without a folder, one of usual size is made: 4,992 spots, 33,538 genes of which a spot shows about
5,000, and a histology image of 2,000 pixels a side.

Ours reads matrix, positions, scale factors and images and checks them; scanpy's `read_10x_h5`
reads the matrix only. Both are timed warm, in turns, in this process; the best of several counts.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

import napari_stmask as stm
from napari_stmask.core.histology import Histology
from napari_stmask.io.spaceranger_writer import write_spaceranger


def best_of(functions: dict[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    """Fewest seconds of each function, run in turns so that both meet the same machine."""
    best = dict.fromkeys(functions, float("inf"))
    for _ in range(repeats + 1):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            best[name] = min(best[name], time.perf_counter() - start)
    return best


def usual_folder(where: Path) -> Path:
    """A Space Ranger folder as large as those of whole sections."""
    rng = np.random.default_rng(0)
    spots, genes, shown = 4992, 33_538, 5000
    indices = np.concatenate(
        [np.sort(rng.choice(genes, shown, replace=False)) for _ in range(spots)]
    )
    values = rng.geometric(0.5, spots * shown).astype(np.float32)
    counts = sp.csr_matrix((values, indices, np.arange(spots + 1) * shown), shape=(spots, genes))
    row, half = np.divmod(np.arange(spots), 64)
    col = 2 * half + row % 2
    letters = np.array(list("ACGT"))
    names = ["".join(letters[rng.integers(0, 4, 16)]) + "-1" for _ in range(spots)]
    adata = AnnData(
        counts, obs=pd.DataFrame({"in_tissue": 1, "array_row": row, "array_col": col}, index=names)
    )
    adata.var["gene_ids"] = [f"ENSG{i:011d}" for i in range(genes)]
    adata.var["feature_types"] = "Gene Expression"
    adata.obsm["spatial"] = np.column_stack([500 + col * 70.0, 500 + row * 121.0])
    field = rng.integers(0, 256, (125, 125, 3)).repeat(16, axis=0).repeat(16, axis=1)
    image = Histology([field.astype(np.uint8)], 0.2, "hires")
    section = stm.Section(adata, name="usual", image=image, platform="visium", spot_diameter=77.0)
    return write_spaceranger(section, where / "usual" / "outs")


def main() -> None:
    import scanpy as sc

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="*", type=Path)
    parser.add_argument("--repeats", type=int, default=7)
    arguments = parser.parse_args()
    made = tempfile.TemporaryDirectory()
    folders = arguments.folder or [usual_folder(Path(made.name))]
    print(f"{'folder':32s} {'spots x genes':>16s} {'section':>9s} {'scanpy h5':>9s} {'ratio':>6s}")
    for folder in folders:
        matrix = folder / "filtered_feature_bc_matrix.h5"
        best = best_of(
            {
                "ours": lambda folder=folder: stm.read(folder),
                "scanpy": lambda matrix=matrix: sc.read_10x_h5(matrix),
            },
            arguments.repeats,
        )
        section = stm.read(folder)
        size = f"{section.n_spots} x {section.n_genes}"
        ratio = best["ours"] / best["scanpy"]
        print(
            f"{folder.name[:32]:32s} {size:>16s} {best['ours']:8.3f}s {best['scanpy']:8.3f}s "
            f"{ratio:6.2f}"
        )
    made.cleanup()


if __name__ == "__main__":
    main()
