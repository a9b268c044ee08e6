"""The numbers that docs/files.md gives for published files are those that the code finds."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

NONE, TIMES = "\u2013", "\u00d7"
PAGE = Path(__file__).parents[2] / "docs" / "files.md"
ROWS = [
    [cell.strip().strip("`") for cell in line.strip("|\n").split("|")]
    for line in PAGE.read_text(encoding="utf-8").splitlines()
    if re.match(r"\| `[^`]*/", line)
]


def test_there_are_rows() -> None:
    assert len(ROWS) >= 15


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row[0]} {row[1]}")
def test_info(row: list[str], data_dir: Path, call) -> None:
    file, options, platform, spots, genes, um, image = row
    code, out, err = call("info", data_dir / file, *options.strip(NONE).split(), "--json")
    assert code == 0, err
    (found,) = json.loads(out)["sections"]
    assert found["platform"] == platform
    assert f"{found['spots']:,}" == spots
    assert f"{found['genes']:,}" == genes
    assert f"{found['um_per_px']:.4f}" == um
    size = found["image"]
    assert (f"{size['width']} {TIMES} {size['height']}" if size else NONE) == image
    if size:
        assert found["in_image"] > 0.99
