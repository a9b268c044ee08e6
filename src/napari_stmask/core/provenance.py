"""The record of a run: enough to repeat it, and two ways to say how."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
from anndata import AnnData

from .params import Params
from .section import Section

__all__ = [
    "as_command",
    "as_python",
    "flags_of",
    "input_hash",
    "read_record",
    "records",
    "versions",
]

_PACKAGES = ("napari-stmask", "torch", "anndata", "scanpy", "scikit-learn", "scipy", "numpy")
SCHEMA = 1
PLACEHOLDER = "...  # a Section, an AnnData or a path"
"""What stands for a section without a file in `as_python`."""


def versions() -> dict[str, str]:
    """Installed versions of what decides the numbers."""
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def input_hash(section: Section) -> str:
    """SHA-256 over counts and coordinates; equal data have equal hashes, whatever the file."""
    counts = section.counts()
    digest = hashlib.sha256()
    digest.update(np.asarray(counts.shape, dtype=np.int64).tobytes())
    digest.update(counts.indptr.astype(np.int64).tobytes())
    digest.update(counts.indices.astype(np.int32).tobytes())
    digest.update(counts.data.astype(np.float32).tobytes())
    digest.update(np.ascontiguousarray(section.coords).tobytes())
    return digest.hexdigest()


def now() -> str:
    """The time in UTC, to the second, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def records(adata: AnnData) -> dict[str, str]:
    """Key -> record as JSON of every run that wrote to ``adata``; empty where none did."""
    found = adata.uns.get("stmask")
    if not isinstance(found, Mapping):
        return {}
    return {str(k): v for k, v in found.items() if isinstance(v, str)}


def read_record(adata: AnnData, key: str) -> dict[str, Any]:
    """The record that the run ``key`` left in ``uns["stmask"]``.

    Raises
    ------
    KeyError
        If no run of that key wrote to ``adata``.
    """
    record: dict[str, Any] = json.loads(records(adata)[key])
    return record


def _changed(params: Params) -> dict[str, Any]:
    """Values that differ from the model's defaults."""
    return params.model_dump(exclude_defaults=True)


def as_python(
    method: str,
    source: str | None,
    params: Params,
    *,
    key: str | None = None,
    reading: Mapping[str, Any] | None = None,
) -> str:
    """A script that repeats the run.

    ``source`` None leaves a placeholder for the section; ``reading`` are the options that it was
    read with.
    """
    values = {"preset": "defaults"} | _changed(params)
    if key and key != method:
        values["key_added"] = key
    arguments = "".join(f"    {name}={value!r},\n" for name, value in values.items())
    options = "".join(f", {name}={value!r}" for name, value in (reading or {}).items())
    read = f"stm.read({source!r}{options})" if source else PLACEHOLDER
    return (
        "import napari_stmask as stm\n\n"
        f"section = {read}\n"
        f"result = stm.run(\n    {method!r},\n    section,\n{arguments})\n"
    )


def as_command(
    method: str,
    source: str | None,
    params: Params,
    *,
    key: str | None = None,
    reading: Mapping[str, Any] | None = None,
    out: str = "result.h5ad",
) -> str:
    """The command line that repeats the run."""
    parts = ["napari-stmask", "run", method, source or "PATH", "--preset", "defaults"]
    for name, value in (_changed(params) | dict(reading or {})).items():
        parts += flags_of(name, value)
    if key and key != method:
        parts += ["--key", key]
    return shlex.join([*parts, "--out", out])


def flags_of(name: str, value: Any) -> list[str]:
    """Arguments of the command line that set one option."""
    flag = "--" + name.replace("_", "-")
    if isinstance(value, bool):
        return [flag if value else "--no-" + flag[2:]]
    if isinstance(value, Mapping):  # columns: one flag for each
        return [
            part
            for role, column in value.items()
            for part in (flag.removesuffix("s"), f"{role}={column}")
        ]
    return [flag, str(value)]


def run_record(
    *,
    method: str,
    key: str,
    params: Params,
    section_sources: Mapping[str, str | None],
    hashes: Mapping[str, str],
    extra: Mapping[str, Any],
) -> dict[str, Any]:
    """Everything worth knowing about a run, JSON-able."""
    return {
        "schema": SCHEMA,
        "method": method,
        "key": key,
        "params": params.model_dump(mode="json"),
        "sections": dict(section_sources),
        "input_sha256": dict(hashes),
        "versions": versions(),
        "finished": now(),
        **extra,
    }
