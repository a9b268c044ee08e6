"""``scalefactors_json.json`` of Space Ranger: how pixels, spots and micrometres relate."""

from __future__ import annotations

import json
import math
from pathlib import Path

from ..core.errors import FileFormatError
from .guard import guarded

__all__ = ["read_scalefactors"]

_MAX_BYTES = 1 << 20


def read_scalefactors(path: Path | None, notes: list[str]) -> dict[str, float]:
    """Positive numbers of the file by name; empty, with a note, where there is no file.

    Parameters
    ----------
    path
        The file, or None.
    notes
        Receives one sentence if the file is absent.

    Raises
    ------
    FileFormatError
        If the file is not a JSON object or a factor is not a positive number.
    """
    if path is None:
        notes.append(
            "There is no scalefactors_json.json: images were left out and the spot diameter was "
            "estimated from the spacing of the spots."
        )
        return {}
    with guarded(path, "a JSON object of scale factors"):
        if path.stat().st_size > _MAX_BYTES:
            raise FileFormatError(f"{path} is larger than 1 MB", "give the file of the run")
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise FileFormatError(
                f"{path} is not a JSON object of scale factors", "give the file of the run"
            )
    factors: dict[str, float] = {}
    for key, value in content.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            if "scalef" in key or key.endswith("_fullres"):
                raise FileFormatError(
                    f"{path}: {key} is {value!r:.40}, expected a number", "correct the file"
                )
            continue
        if not 0 < value < 1e9 or not math.isfinite(value):
            raise FileFormatError(
                f"{path}: {key} is {value:.6g}, expected a positive number", "correct the file"
            )
        factors[str(key)] = float(value)
    return factors
