"""Walk through an HDF5 file in a process of its own, before this one touches it.

The HDF5 library can crash on damaged descriptions of text (seen with HDF5 2.0.0: one flipped bit
in a reference ends the process). A crash of the probe costs nothing; a crash of the window would
cost whatever was open in it.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

__all__ = ["probe_problem"]

_SECONDS, _BYTES_PER_SECOND = 20.0, 20e6
"""Time that a probe may take: some, and more for large files."""

# All attributes, and all values but plain numbers: only these are followed through the file.
# What fails in the ordinary way is passed over, so that all of the file is walked through.
_WALK = """
import sys, h5py
def read(where, key):
    try:
        where[key]
    except Exception:
        pass
def look(name, item):
    try:
        for key in item.attrs:
            read(item.attrs, key)
        if isinstance(item, h5py.Dataset) and item.dtype.kind not in "iufbcS":
            read(item, ())
    except Exception:
        pass
with h5py.File(sys.argv[1], "r") as file:
    look("/", file)
    file.visititems(look)
"""


def probe_problem(path: Path) -> str | None:
    """Why reading the texts of an HDF5 file would end this process; None where it would not.

    Ordinary errors are none of its business: the reader meets them again and explains them.

    Parameters
    ----------
    path
        An HDF5 file that is there.
    """
    if getattr(sys, "frozen", False):
        # Here the executable is the application, not Python.
        return None
    limit = _SECONDS + path.stat().st_size / _BYTES_PER_SECOND
    try:
        done = subprocess.run(  # noqa: S603, this Python and a constant
            [sys.executable, "-P", "-c", _WALK, str(path)],
            check=False,
            capture_output=True,
            timeout=limit,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
    except subprocess.TimeoutExpired:
        return f"its texts cannot be read within {limit:.0f} seconds"
    except OSError:
        # No process can be had: the file is read as it would be without this precaution.
        return None
    # Python itself ends with 0, 1 or 2; other codes are those of a crash.
    return None if done.returncode in (0, 1, 2) else "reading its texts crashes the HDF5 library"
