"""Fixtures that every part of the suite shares."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
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
        patch.setenv("STMASK_CONFIG", str(tmp_path_factory.mktemp("config")))
        yield


@pytest.fixture
def call(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """The command line: its exit code, and what it says on stdout and stderr."""
    from napari_stmask import cli

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["napari-stmask", *map(str, arguments)])
        try:
            cli.main()
            code = 0
        except SystemExit as stop:
            code = int(stop.code or 0)
        out = capsys.readouterr()
        return code, out.out, out.err

    return run


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With ``-n``: a file stays in one process, and all windows, which share a display, do."""
    for item in items:
        name = "window" if "gui" in item.path.parts else item.path.relative_to(ROOT).as_posix()
        item.add_marker(pytest.mark.xdist_group(name))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Windows in two processes would share the clipboard and the focus of one display."""
    # pytest-xdist 3.8 writes the group into a field that pytest 9.2 no longer reads.
    if session.config.getoption("loadgroup", False):
        loose = [item.nodeid for item in session.items if "@" not in item.nodeid.rpartition("]")[2]]
        if loose:
            raise pytest.UsageError(
                f"--dist loadgroup groups nothing with pytest {pytest.__version__}: "
                "install the versions of constraints.txt"
            )


def pytest_sessionfinish(session: pytest.Session) -> None:
    """What a process of ``-n`` tried, for the summary."""
    from tests.attempt import TRIED

    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["tried"] = dict(TRIED)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Add up what the processes of ``-n`` tried."""
    from tests.attempt import TRIED

    TRIED.update(getattr(node, "workeroutput", {}).get("tried", {}))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """How many damaged inputs were tried."""
    from tests.attempt import TRIED

    if TRIED:
        terminalreporter.write_line(
            f"{sum(TRIED.values())} damaged inputs of {len(TRIED)} files tried"
        )
