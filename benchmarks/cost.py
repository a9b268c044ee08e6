"""CPU seconds and peak memory of one recommended run, load to labels, in a fresh process.

    python benchmarks/cost.py PATH [PATH ...]

Runs on one thread with and without the baselines, and prints CPU seconds (imports included),
wall seconds and the largest resident memory.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

RUN = """
import json, sys, time
start = time.perf_counter()
import napari_stmask as stm
section = stm.read(sys.argv[1])
stm.run("spamask", section, threads=1, baselines=sys.argv[2] == "with")
from napari_stmask.core.memory import peak_rss_bytes
print(json.dumps([time.process_time(), time.perf_counter() - start, peak_rss_bytes() / 1e9,
                  *section.adata.shape]))
"""


def main() -> None:
    for path in sys.argv[1:]:
        for baselines in ("without", "with"):
            done = subprocess.run(
                [sys.executable, "-c", RUN, path, baselines],
                capture_output=True,
                text=True,
                check=True,
                env=os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            )
            cpu, wall, peak, spots, genes = json.loads(done.stdout.splitlines()[-1])
            print(
                f"{path}: {spots} x {genes}, {baselines} baselines: "
                f"{cpu:.1f} CPU-s, {wall:.1f} s, {peak:.2f} GB"
            )


if __name__ == "__main__":
    main()
