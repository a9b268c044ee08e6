"""The tutorial of the desk, docs/desk.md, as it stands."""

from __future__ import annotations

from pathlib import Path

import napari
from tests.test_docs import _run_blocks


def test_tutorial_of_the_desk(make_napari_viewer, tmp_path, monkeypatch, capsys):
    page = Path(__file__).parents[2] / "docs" / "desk.md"
    monkeypatch.setattr(napari, "Viewer", make_napari_viewer)
    monkeypatch.chdir(tmp_path)
    space = _run_blocks(page)
    said = capsys.readouterr().out
    assert "spots are annotated" in said
    assert (tmp_path / "report.html").stat().st_size > 100_000
    names = [layer.name for layer in space["other"].layers]
    assert sorted(names) == sorted(layer.name for layer in space["viewer"].layers)
