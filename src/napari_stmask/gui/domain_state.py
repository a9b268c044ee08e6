"""A partition as it is shown, and every edit of it: names, colours, order, joined and divided."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..analysis.match import partners
from ..core.errors import ParameterError
from ..core.section import Section
from ..viz.palette import unused_colors

__all__ = ["DomainState"]


@dataclass(frozen=True, eq=False)
class DomainState:
    """A partition as it is shown; edits make a new one, so that undo keeps the old.

    Attributes
    ----------
    codes
        (n_spots,) int, index into ``names``; -1 where unassigned.
    names, colors, shown
        Per domain: name, ``#RRGGBB``, visibility.
    table
        Per domain of the run: the domain it is now, after merging; the first part of one that
        was split.
    origin
        (n_spots,) codes of the run, which ``table`` is about; empty for ``codes``.
    """

    codes: NDArray[np.intp]
    names: tuple[str, ...]
    colors: tuple[str, ...]
    shown: tuple[bool, ...]
    table: tuple[int, ...] = ()
    origin: NDArray[np.intp] = field(default_factory=lambda: np.zeros(0, dtype=np.intp))

    @classmethod
    def of(cls, codes: NDArray[Any], names: Iterable[str], colors: Iterable[str]) -> DomainState:
        """A state in which everything is shown."""
        fixed = _frozen(np.array(codes, dtype=np.intp))
        names = tuple(names)
        every = (True,) * len(names)
        return cls(fixed, names, tuple(colors), every, tuple(range(len(names))), fixed)

    @property
    def counts(self) -> NDArray[np.intp]:
        """Spots per domain."""
        return np.bincount(self.codes[self.codes >= 0], minlength=len(self.names))

    def renamed(self, row: int, name: str) -> DomainState:
        """With another name for one domain.

        Raises
        ------
        ParameterError
            If the name is empty or another domain has it.
        """
        name = name.strip()
        if not name:
            raise ParameterError("A domain's name cannot be empty", "type a name")
        if name in self.names and self.names.index(name) != row:
            raise ParameterError(
                f"Another domain is called '{name}'", "choose another name, or merge the two"
            )
        return replace(self, names=_swap(self.names, row, name))

    def recoloured(self, row: int, color: str) -> DomainState:
        """With another colour for one domain."""
        return replace(self, colors=_swap(self.colors, row, color))

    def with_shown(self, row: int, shown: bool) -> DomainState:
        """With one domain shown or hidden."""
        return replace(self, shown=_swap(self.shown, row, shown))

    def solo(self, rows: Iterable[int]) -> DomainState:
        """Only ``rows`` shown; all of them where exactly these were shown already."""
        wanted = set(rows)
        only = tuple(i in wanted for i in range(len(self.names)))
        return replace(self, shown=(True,) * len(only) if only == self.shown else only)

    def merged(self, rows: Iterable[int]) -> DomainState:
        """With ``rows`` joined into the first of them."""
        rows = sorted(set(rows))
        if len(rows) < 2:
            raise ParameterError("One domain cannot be merged", "select two or more rows")
        keep = [i for i in range(len(self.names)) if i not in rows[1:]]
        table = np.full(len(self.names) + 1, -1, dtype=np.intp)
        table[keep] = np.arange(len(keep))
        table[rows[1:]] = table[rows[0]]
        return self._renumbered(keep, table)

    def moved(self, row: int, to: int) -> DomainState:
        """With one domain at another place of the list."""
        order = [i for i in range(len(self.names)) if i != row]
        order.insert(to, row)
        return self.ordered(order)

    def ordered(self, rows: Iterable[int]) -> DomainState:
        """With all domains in the order of ``rows``."""
        order = list(rows)
        table = np.full(len(order) + 1, -1, dtype=np.intp)
        table[order] = np.arange(len(order))
        return self._renumbered(order, table)

    def split(self, row: int, parts: NDArray[np.intp]) -> DomainState:
        """With one domain divided, its parts in its place.

        Parameters
        ----------
        row
            The domain.
        parts
            (n_spots,) part of each of its spots, 0 .. n - 1; other entries do not matter.

        Raises
        ------
        ParameterError
            If its spots would all be in one part.
        """
        inside = self.codes == row
        found, part = np.unique(parts[inside], return_inverse=True)
        if found.size < 2:
            raise ParameterError(
                f"'{self.names[row]}' was not divided", "ask for more parts, or another clustering"
            )
        more = found.size - 1
        old = self.names[row]
        names = [_free(f"{old}.{i + 1}", self.names) for i in range(more + 1)]
        colors = [self.colors[row], *unused_colors(self.colors, more)]
        codes = np.where(self.codes > row, self.codes + more, self.codes)
        codes[inside] = row + part
        return replace(
            self,
            codes=_frozen(codes),
            names=(*self.names[:row], *names, *self.names[row + 1 :]),
            colors=(*self.colors[:row], *colors, *self.colors[row + 1 :]),
            shown=(
                *self.shown[: row + 1],
                *self.shown[row : row + 1] * more,
                *self.shown[row + 1 :],
            ),
            table=tuple(i + more if i > row else i for i in self.table),
        )

    def _renumbered(self, keep: list[int], table: NDArray[np.intp]) -> DomainState:
        """With the domains ``keep``, where ``table`` says what becomes of each, -1 last."""
        return replace(
            self,
            codes=_frozen(table[self.codes]),
            names=tuple(self.names[i] for i in keep),
            colors=tuple(self.colors[i] for i in keep),
            shown=tuple(self.shown[i] for i in keep),
            table=tuple(int(table[i]) for i in self.table),
        )

    def joined(self, codes: NDArray[np.intp]) -> NDArray[np.intp]:
        """Domains of the run as the domains they are now; -1 for what is none of them."""
        # The last entry is hit by the code -1.
        table = np.array([*self.table, -1], dtype=np.intp)
        known = table[np.where(codes < len(self.table), codes, -1)]
        # Where it says what the run says, it is divided as that was.
        return _frozen(np.where((codes == self.origin) & (codes >= 0), self.codes, known))

    def inheriting(self, previous: DomainState) -> DomainState:
        """With colours, and names that a person gave, of the previous run's matching domains.

        Domains match one to one by largest overlap; those without a partner get colours that
        are not in use.
        """
        partner = partners(self.codes, previous.codes)
        if not partner:
            return self
        names, colors = list(self.names), list(self.colors)
        free = iter(unused_colors([previous.colors[m] for m in partner.values()], len(colors)))
        for code in range(len(names)):
            if code in partner:
                colors[code] = previous.colors[partner[code]]
                if not previous.names[partner[code]].isdigit():
                    names[code] = previous.names[partner[code]]
            else:
                colors[code] = next(free)
        return replace(self, names=tuple(names), colors=tuple(colors))

    def write(self, section: Section, column: str) -> None:
        """Store the partition as ``obs[column]`` and ``uns[column_colors]``."""
        section.adata.obs[column] = pd.Categorical.from_codes(self.codes, pd.Index(self.names))
        section.adata.uns[f"{column}_colors"] = list(self.colors)


def _swap(values: tuple[Any, ...], row: int, value: Any) -> tuple[Any, ...]:
    return (*values[:row], value, *values[row + 1 :])


def _frozen(codes: NDArray[np.intp]) -> NDArray[np.intp]:
    codes.flags.writeable = False
    return codes


def _free(name: str, taken: Collection[str]) -> str:
    """``name``, with a prime more until no other domain has it."""
    while name in taken:
        name += "\u2032"
    return name
