"""Read a path in a process of its own, with an eye on time, memory and tracebacks.

A server with one thread, which has imported everything, forks for each attempt. The process of
the tests itself cannot: its threads and their locks would be missing, or held, in the copy.
"""

from __future__ import annotations

import functools
import json
import os
import resource
import signal
import subprocess
import sys
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

MAX_SECONDS, MAX_BYTES = 10, 2 * 1024**3
"""Of CPU time; six times as much may pass, for processes that wait."""
TRIED: Counter[str] = Counter()
"""Damaged inputs tried so far, by kind of file; shown at the end of the test run."""
REFUSED, READ, FAILED, CRASHED, HUNG, BLOATED = (
    "refused", "read", "failed", "crashed", "hung", "bloated",
)  # fmt: skip


class Outcome(NamedTuple):
    """What became of one attempt."""

    kind: str
    text: str
    seconds: float
    grown: int

    @property
    def fine(self) -> bool:
        """Whether a user would have met a section or one clear sentence."""
        return self.kind in (READ, REFUSED)


def attempt(path: Path, **options: Any) -> Outcome:
    """Read ``path`` as ``napari_stmask.read`` does, in a process that may hang or crash."""
    server = _server()
    assert server.stdin is not None
    assert server.stdout is not None
    plain = {key: str(v) if isinstance(v, Path) else v for key, v in options.items()}
    server.stdin.write(json.dumps([str(path), plain]) + "\n")
    server.stdin.flush()
    return Outcome(*json.loads(server.stdout.readline()))


@functools.cache
def _server() -> subprocess.Popen[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, __file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )


def _serve() -> None:
    """Answer requests until there are no more."""
    import anndata  # noqa: F401
    import dask.array  # noqa: F401
    import h5py  # noqa: F401
    import pandas as pd  # noqa: F401
    import pyarrow.csv
    import pyarrow.parquet  # noqa: F401
    import scipy.spatial  # noqa: F401
    import spatialdata  # noqa: F401
    import tifffile  # noqa: F401

    warnings.simplefilter("error", RuntimeWarning)
    for line in sys.stdin:
        path, options = json.loads(line)
        print(json.dumps(_try(path, options)), flush=True)


def _try(path: str, options: dict[str, Any]) -> Outcome:
    before = _resident()
    start = time.monotonic()
    receive, send = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(receive)
        resource.setrlimit(resource.RLIMIT_CPU, (MAX_SECONDS, MAX_SECONDS + 1))
        os.write(send, _read(path, options).encode())
        os._exit(0)
    os.close(send)
    state, usage = _wait(child, start + 6 * MAX_SECONDS)
    seconds = time.monotonic() - start
    with os.fdopen(receive) as pipe:
        kind, _, text = pipe.read().partition("\n")
    grown = max(0, usage - before)
    if state == "hung":
        kind = HUNG
    elif not kind or state == "crashed":
        kind = CRASHED
    elif grown > MAX_BYTES:
        kind = BLOATED
    return Outcome(kind, text, seconds, grown)


def _read(path: str, options: dict[str, Any]) -> str:
    """Kind of the outcome, and below it the message."""
    from napari_stmask.core.errors import StmaskError
    from napari_stmask.io.read import read

    try:
        found = read(path, **options)
        for section in found if isinstance(found, list) else [found]:
            section.lattice.pitch  # noqa: B018, what every view asks for
    except StmaskError as error:
        return f"{REFUSED}\n{error}"
    except BaseException:  # noqa: BLE001, whatever it is, the test wants to see it
        return f"{FAILED}\n{traceback.format_exc()[-4000:]}"
    return f"{READ}\n"


def _wait(child: int, deadline: float) -> tuple[str, int]:
    """How the child ended, and the most memory that it held."""
    while True:
        pid, status, usage = os.wait4(child, os.WNOHANG)
        if pid:
            fine = os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0
            slow = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGXCPU
            return "ended" if fine else "hung" if slow else "crashed", usage.ru_maxrss * 1024
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
            return "hung", os.wait4(child, 0)[2].ru_maxrss * 1024
        time.sleep(0.002)


def _resident() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


if __name__ == "__main__":
    _serve()
