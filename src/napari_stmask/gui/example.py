"""Whether a section is the generated example, which a script can make again."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from ..core.provenance import input_hash
from ..core.section import Section

__all__ = ["is_same_example", "looks_like_example"]


def looks_like_example(section: Section) -> bool:
    """Whether the section says that it was generated; cheap, true for any seed."""
    if section.source:
        return False
    entry = (section.adata.uns.get("spatial") or {}).get("sample")
    meta = entry.get("metadata") if isinstance(entry, Mapping) else None
    return isinstance(meta, Mapping) and meta.get("software_version") == "generated"


def is_same_example(section: Section) -> bool:
    """Whether ``sample_section()`` makes exactly this section, and not that of another seed."""
    return looks_like_example(section) and input_hash(section) == _example_hash()


@cache
def _example_hash() -> str:
    from ..io.sample import sample_section

    return input_hash(sample_section())
