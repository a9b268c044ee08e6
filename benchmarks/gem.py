"""Reading a Stereo-seq GEM: time and peak memory, and their ratio to pandas.

    python benchmarks/gem.py [--records 2e7] [--bin 50] [--gz] [--shuffled] [--no-pandas]

Generates a table of a round tissue of 1 cm with 25,000 genes, sorted by gene as the vendor writes
it, in a temporary folder. Reads it with `napari_stmask.read`, and with `pandas.read_csv`, `groupby`
and a sparse matrix. Each runs in a process of its own, so that peaks of memory do not mix, and
imports are not timed.
"""

from __future__ import annotations

import argparse
import gzip
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import scipy.sparse as sp
from pyarrow import csv

import napari_stmask.core.section  # noqa: F401, imports are not part of what is timed
from napari_stmask.core.memory import peak_rss_bytes
from napari_stmask.io.read import read

CHIP, GENES, BLOCK = 20_000, 25_000, 5_000_000
HEADER = (
    "#FileFormat=GEMv0.1\n#SortedBy=None\n#BinType=Bin\n#BinSize=1\n#Omics=Transcriptomics\n"
    "#Stereo-seqChip=SIMULATED\n#OffsetX=1200\n#OffsetY=3400\ngeneID\tx\ty\tMIDCount\n"
)


def generate(path: Path, n: int, shuffled: bool) -> None:
    """Write ``n`` records; gzipped where the name says so."""
    rng = np.random.default_rng(0)
    share = 1 / np.arange(1, GENES + 1) ** 0.9
    names = pa.array([f"Gene{i:05d}" for i in rng.permutation(GENES)])
    ends = np.cumsum(rng.multinomial(n, share / share.sum()))
    options = csv.WriteOptions(include_header=False, delimiter="\t", quoting_style="none")
    with gzip.open(path, "wb", 1) if path.suffix == ".gz" else path.open("wb") as stream:
        stream.write(HEADER.encode())
        for start in range(0, n, BLOCK):
            m = min(BLOCK, n - start)
            at = rng.integers(0, n, m) if shuffled else np.arange(start, start + m)
            radius, angle = np.sqrt(rng.random(m)), 2 * np.pi * rng.random(m)
            table = {
                "gene": names.take(pa.array(np.searchsorted(ends, at, side="right"))),
                "x": (CHIP / 2 * (1 + radius * np.cos(angle))).astype(np.int32),
                "y": (CHIP / 2 * (1 + radius * np.sin(angle))).astype(np.int32),
                "count": rng.geometric(0.8, m).astype(np.int32),
            }
            csv.write_csv(pa.table(table), stream, options)


def with_stmask(path: Path, side: int) -> sp.csr_matrix:
    section = read(path, bin=side)
    return section.adata.X


def with_pandas(path: Path, side: int) -> sp.csr_matrix:
    table = pd.read_csv(path, sep="\t", comment="#")
    table["x"] //= side
    table["y"] //= side
    sums = table.groupby(["y", "x", "geneID"], sort=False)["MIDCount"].sum().reset_index()
    spots = sums.groupby(["y", "x"]).ngroup().to_numpy()
    genes = pd.factorize(sums["geneID"])[0]
    return sp.csr_matrix((sums["MIDCount"].to_numpy(np.float32), (spots, genes)))


READERS = {"stmask": with_stmask, "pandas": with_pandas}


def measured(reader: str, path: Path, side: int) -> list[str]:
    """Seconds, CPU seconds, peak bytes, spots, non-zero values and total, from a new process."""
    command = [sys.executable, __file__, "--only", reader, "--path", str(path), "--bin", str(side)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"{reader}: {done.stderr.strip().splitlines()[-1]}")
        return []
    return done.stdout.split()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=float, default=2e7)
    parser.add_argument("--bin", type=int, default=50)
    parser.add_argument("--gz", action="store_true")
    parser.add_argument("--shuffled", action="store_true", help="genes in no order")
    parser.add_argument("--no-pandas", action="store_true")
    parser.add_argument("--only", choices=READERS, help=argparse.SUPPRESS)
    parser.add_argument("--path", type=Path, help="read this file instead of generating one")
    o = parser.parse_args()
    if o.only:
        start, cpu = time.perf_counter(), time.process_time()
        counts = READERS[o.only](o.path, o.bin)
        spent = (time.perf_counter() - start, time.process_time() - cpu, peak_rss_bytes())
        print(*spent, counts.shape[0], counts.nnz, float(counts.sum(dtype=np.float64)))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = o.path or Path(folder) / ("a.gem.gz" if o.gz else "a.gem")
        if o.path is None:
            generate(path, int(o.records), o.shuffled)
        print(f"{path.stat().st_size / 1e9:.2f} GB, bin {o.bin}")
        results = {}
        for reader in ("stmask",) if o.no_pandas else READERS:
            row = measured(reader, path, o.bin)
            if row:
                results[reader] = row
                wall, cpu, peak = map(float, row[:3])
                print(
                    f"{reader}: {wall:.1f} s, {cpu:.1f} CPU s, peak {peak / 1e9:.2f} GB, "
                    f"{row[3]} spots, {row[4]} values, total {float(row[5]):.0f}"
                )
        if len(results) == 2:
            ours, theirs = (list(map(float, results[name])) for name in READERS)
            assert ours[3:] == theirs[3:], "the matrices differ"
            names = ("wall time", "CPU time", "peak memory")
            ratios = [
                f"{t / s:.1f} ({name})" for name, s, t in zip(names, ours, theirs, strict=False)
            ]
            print(f"pandas / stmask: {', '.join(ratios)}")


if __name__ == "__main__":
    main()
