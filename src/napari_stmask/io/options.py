"""What a user can say about a file that the file does not say itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from ..core.errors import ParameterError

__all__ = ["CELL", "MAX_BIN", "ReadOptions"]

CELL: Literal["cell"] = "cell"
MAX_BIN = 200


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """Wishes for one reading; every format names those that it takes in ``OPTIONS``.

    Attributes
    ----------
    name
        Name of the section; taken from the data by default. Every format takes it.
    counts_layer
        Layer with raw counts, where the format has layers.
    filtered
        Prefer the filtered matrix and drop spots outside the tissue.
    bin
        Side of a square bin, 1 to 200: in DNB (0.5 µm) for Stereo-seq, in µm for Visium HD.
        ``"cell"`` reads segmented cells. None takes the format's usual size.
    spots
        Table of spot positions that lies in another place than beside the counts.
    mask
        Image of the tissue or of the cells, in the frame of the coordinates.
    symbols
        Table from gene identifiers to symbols.
    columns
        Which column of a table means what, by role: ``id``, ``x``, ``y``, ``gene``, ``count``.

    Raises
    ------
    ParameterError
        If a value is not usable for any format.
    """

    name: str | None = None
    counts_layer: str | None = None
    filtered: bool = True
    bin: int | str | None = None
    spots: Path | None = None
    mask: Path | None = None
    symbols: Path | None = None
    columns: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        size = self.bin
        whole = isinstance(size, int) and not isinstance(size, bool) and 1 <= size <= MAX_BIN
        if not (size is None or size == CELL or whole):
            raise ParameterError(
                f"bin is {size!r}", f"give a whole number from 1 to {MAX_BIN}, or '{CELL}'"
            )

    def given(self) -> dict[str, Any]:
        """What differs from the defaults, as values that JSON and a script can hold."""
        plain = type(self)()
        found = {f.name: getattr(self, f.name) for f in fields(self)}
        return {
            key: str(value) if isinstance(value, Path) else value
            for key, value in found.items()
            if value != getattr(plain, key)
        }

    def check(self, title: str, taken: frozenset[str]) -> None:
        """Refuse wishes that a format would not follow.

        Parameters
        ----------
        title
            What the format is, for the message.
        taken
            Names of the options that it follows, besides ``name``.

        Raises
        ------
        ParameterError
            Naming the first option that means nothing there.
        """
        for key, value in self.given().items():
            if key not in taken | {"name"}:
                raise ParameterError(
                    f"{key}={value!r} means nothing for {title}",
                    f"leave it out; options there: {', '.join(sorted(taken)) or 'name'}",
                )
