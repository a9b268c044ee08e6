"""Fixtures that every part of the suite shares."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder of real sections: ``$STMASK_DATA``, or ``../shared/data`` beside the repository."""
    folder = Path(os.environ.get("STMASK_DATA") or ROOT.parent / "shared" / "data")
    if not (folder / "CATALOGUE.md").is_file():
        pytest.skip(f"no real sections in {folder}; set STMASK_DATA to their folder")
    return folder


@pytest.fixture(scope="session", autouse=True)
def _no_cache_of_the_user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Image features are kept in a folder of the test run, never in the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STMASK_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """How many damaged inputs were tried."""
    from tests.attempt import TRIED

    if TRIED:
        terminalreporter.write_line(
            f"{sum(TRIED.values())} damaged inputs of {len(TRIED)} files tried"
        )
