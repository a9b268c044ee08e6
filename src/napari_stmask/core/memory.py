"""Memory: estimates before a run, the peak after it, and the only place that densifies."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import scipy.sparse as sp
from numpy.typing import NDArray

from .errors import ResourceError

__all__ = ["DENSE_BUDGET", "available_bytes", "densify", "human", "peak_rss_bytes"]

DENSE_BUDGET = 2 * 1024**3
"""Largest dense array, in bytes, that `densify` makes unless told otherwise."""


def human(n_bytes: float) -> str:
    """Bytes as a short text, for example ``"1.2 GB"``."""
    return f"{n_bytes / 1e9:.1f} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:.0f} MB"


def densify(matrix: Any, *, what: str, budget: int = DENSE_BUDGET) -> NDArray[np.float32]:
    """A dense float32 copy of ``matrix``, refused above ``budget`` bytes.

    Parameters
    ----------
    matrix
        (rows, columns) sparse or dense.
    what
        What it is, for the message.
    budget
        Largest size in bytes.

    Raises
    ------
    ResourceError
        If the copy would be larger than ``budget``.
    """
    rows, columns = matrix.shape
    size = rows * columns * 4
    if size > budget:
        raise ResourceError(
            f"{what} ({rows} x {columns}) would take {human(size)} as a dense table, "
            f"the limit is {human(budget)}",
            "select fewer genes or spots",
        )
    dense = matrix.toarray() if sp.issparse(matrix) else np.asarray(matrix)
    return np.ascontiguousarray(dense, dtype=np.float32)


def peak_rss_bytes() -> int:
    """Largest resident memory of this process so far, in bytes."""
    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    status = Path("/proc/self/status")
    if status.exists():
        # Not getrusage: there a process starts with the peak of the one that launched it.
        found = re.search(r"VmHWM:\s*(\d+) kB", status.read_text(encoding="ascii"))
        if found:
            return int(found[1]) * 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else peak * 1024)


def available_bytes() -> int:
    """Memory that new allocations can use without swapping, in bytes."""
    return int(psutil.virtual_memory().available)
