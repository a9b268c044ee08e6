"""The part of an HDF5 file that holds text of any length, checked before the library reads it.

The HDF5 library walks through these collections without checking that each step leads on: one
damaged size makes it walk in place for ever (seen with HDF5 2.0.0). Layout: HDF5 File Format
Specification 3.0, section III.E, "Disk Format: Level 1E - Global Heap".
"""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

__all__ = ["heap_problem"]

_START = b"GCOL\x01\x00\x00\x00"
"""Signature, version 1 and three reserved bytes."""
_HEAD = struct.Struct("<8sQ")
_OBJECT = struct.Struct("<HHIQ")


def heap_problem(path: Path) -> str | None:
    """What is wrong with the global heap of an HDF5 file; None where nothing is.

    Reads the file once, at the speed of the disk.

    Parameters
    ----------
    path
        The file.
    """
    with path.open("rb") as stream:
        if path.stat().st_size < _HEAD.size:
            return None
        with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
            at = data.find(_START)
            while at >= 0:
                if not _walks_to_its_end(data, at):
                    return f"the list of texts at byte {at} is damaged"
                at = data.find(_START, at + len(_START))
    return None


def _walks_to_its_end(data: mmap.mmap, start: int) -> bool:
    """Whether the objects of a collection follow one another up to its end."""
    if start + _HEAD.size > len(data):
        return False
    size = _HEAD.unpack_from(data, start)[1]
    at, end = start + _HEAD.size, start + size
    if size < _HEAD.size or end > len(data):
        return False
    while at + _OBJECT.size <= end:
        number, _, _, length = _OBJECT.unpack_from(data, at)
        # Number 0 is the free rest, whose length counts its own head.
        step = length if number == 0 else _OBJECT.size + -(-length // 8) * 8
        if step < _OBJECT.size or at + step > end:
            return False
        at += step
    return True
