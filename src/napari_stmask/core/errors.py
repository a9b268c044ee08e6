"""Errors that a user can act on: what is wrong, where, and what to do about it."""

from __future__ import annotations

from pathlib import Path

__all__ = [
    "CancelledError",
    "DataError",
    "FileFormatError",
    "MissingFileError",
    "OutputError",
    "ParameterError",
    "ResourceError",
    "StmaskError",
    "describe_os_error",
]


_LONGEST = 2000
"""Characters of a problem or a remedy that are shown."""


class StmaskError(Exception):
    """Base of every error that is shown to a user as one sentence.

    Parameters
    ----------
    problem
        What is wrong, naming the file or column concerned.
    remedy
        What the user can do about it.
    """

    def __init__(self, problem: str, remedy: str) -> None:
        # What a damaged file holds is quoted in messages, and can be of any length.
        self.problem = _one_line(problem).rstrip(".")
        self.remedy = _one_line(remedy).rstrip(".")
        super().__init__(f"{self.problem}; {self.remedy}.")

    def __reduce__(self) -> tuple[type[StmaskError], tuple[str, str]]:
        # Errors travel between processes (Dask); the default would replay the joined message.
        return type(self), (self.problem, self.remedy)


def _one_line(text: str) -> str:
    """``text`` without line breaks; the middle of very long ones is left out."""
    if len(text) > _LONGEST:
        text = f"{text[: _LONGEST // 2]} ... {text[-_LONGEST // 2 :]}"
    return " ".join(text.split())


class MissingFileError(StmaskError):
    """A path or a file that a platform's folder must hold does not exist."""


class FileFormatError(StmaskError):
    """A file exists but cannot be read as what it should be."""


class DataError(StmaskError):
    """The content of a section is unusable: counts, coordinates, number of spots or genes."""


class ParameterError(StmaskError):
    """A parameter is unknown, out of range or at odds with the data."""


class ResourceError(StmaskError):
    """The run would not fit into memory or a needed device or package is absent."""


class OutputError(StmaskError):
    """A result could not be written; what was there before is untouched."""


class CancelledError(StmaskError):
    """The user stopped a run before it ended; nothing was changed."""

    def __init__(
        self, problem: str = "The run was cancelled", remedy: str = "nothing was changed"
    ) -> None:
        super().__init__(problem, remedy)


def describe_os_error(error: OSError, path: Path) -> str:
    """Say in plain words why the operating system refused ``path``."""
    return f"{path}: {error.strerror or type(error).__name__}"
