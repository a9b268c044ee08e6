"""Alignments that were found or made by hand, each with what it is an answer to; no Qt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ...core.joint import JointParams
from ...core.section import Section
from ..session import Session
from .poses import Chain

__all__ = ["Answers", "Question"]


class Question(NamedTuple):
    """Which sections are aligned, in which order, and how."""

    ids: tuple[str, ...]
    kind: str
    align_by: str
    flip: str

    @classmethod
    def of(cls, ids: Sequence[str], kind: str, align_by: str, flip: str) -> Question:
        """Settings without an effect do not tell one question from another."""
        serial = kind == "serial"
        return cls(
            tuple(ids),
            kind,
            align_by if serial else "none",
            flip if serial and align_by != "none" else "never",
        )

    @classmethod
    def of_run(cls, ids: Sequence[str], joint: JointParams) -> Question:
        """What a run has asked that had to align the sections itself."""
        return cls.of(ids, joint.arrangement, joint.align_by, joint.flip)


class Answers:
    """Poses set by hand are work: they are there again with the choice they were made for."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._known: dict[Question, Chain] = {}

    def get(self, question: Question) -> Chain | None:
        """What is known of it."""
        return self._known.get(question)

    def keep(self, question: Question, chain: Chain) -> None:
        """Answer it."""
        self._known[question] = chain

    def forget(self, *, all_of_them: bool = False) -> None:
        """Let go of answers about sections that are no longer open as they were."""
        self._known = {
            question: chain
            for question, chain in self._known.items()
            if not all_of_them and self.holds(question, chain.sections)
        }

    def holds(self, question: Question, sections: Sequence[Section]) -> bool:
        """Whether sections are open, and were neither read again nor given another scale."""
        items = self._session.items
        return all(
            key in items
            and items[key].section.adata is one.adata
            and items[key].section.um_per_px == one.um_per_px
            for key, one in zip(question.ids, sections, strict=True)
        )
