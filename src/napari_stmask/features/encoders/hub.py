"""Fetch published weights, only after the user agreed to it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ...core.errors import FileFormatError, ParameterError, ResourceError
from ...io.guard import brief, guarded
from .base import EncoderCard, require
from .known import KNOWN, HubEncoder
from .learned import Forward, Learned
from .torch_files import load_timm, load_transformers

__all__ = ["entry_of", "hub_card", "hub_encoder"]

_PAGE = "https://huggingface.co/"


def entry_of(name: str) -> HubEncoder:
    """The entry of `KNOWN`.

    Raises
    ------
    ParameterError
        If there is none of that name.
    """
    if name not in KNOWN:
        raise ParameterError(f"There is no encoder 'hub:{name}'", f"use one of {', '.join(KNOWN)}")
    return KNOWN[name]


def hub_card(name: str) -> EncoderCard:
    """What the table knows of an encoder on the hub; asks nobody."""
    entry = entry_of(name)
    return EncoderCard(
        f"hub:{name}", entry.title, entry.dim, entry.input_px, *entry.norm,
        um_per_px=entry.um_per_px, licence=entry.licence, gated=entry.gated, needs_download=True,
    )  # fmt: skip


def hub_encoder(name: str, device: str, *, consent: bool) -> Learned:
    """Fetch an encoder, or find it in the cache of `huggingface_hub`.

    Raises
    ------
    ParameterError
        Without consent; shows the licence.
    ResourceError
        If a package is missing, the network is down or access was not granted.
    """
    entry = entry_of(name)
    if not consent:
        gate = " Access has to be granted by its publisher." if entry.gated else ""
        raise ParameterError(
            f"'hub:{name}' ({entry.title}) would be downloaded from {_PAGE}{entry.hub_id}. "
            f"Licence, as stated there when this version was made: {entry.licence}.{gate}",
            "read its licence there, and if you agree to it, allow the download with consent=True "
            "or --accept-licence",
        )
    folder = _download(entry)
    return Learned(
        hub_card(name), f"hub-{name}-{folder.name}", lambda: _load(entry, folder, device),
        f"{_PAGE}{entry.hub_id}", pooling=entry.pooling, prefix=entry.prefix,
    )  # fmt: skip


def _download(entry: HubEncoder) -> Path:
    """Folder of the repository's settings and weights; its name is the version."""
    hub = require("huggingface_hub")
    try:
        # The user's own token is found by the library, in its environment or its own store.
        return Path(hub.snapshot_download(entry.hub_id, allow_patterns=["*.json", "*.safetensors"]))
    except (hub.errors.HfHubHTTPError, OSError, ValueError) as error:
        access = (
            f"ask for access at {_PAGE}{entry.hub_id}, log in with 'hf auth login' and try again"
            if entry.gated
            else "check the connection and try again"
        )
        raise ResourceError(
            f"{_PAGE}{entry.hub_id} could not be fetched ({brief(error)})", access
        ) from error


def _load(entry: HubEncoder, folder: Path, device: str) -> Forward:
    if entry.loader == "transformers":
        return load_transformers(folder, device)
    checkpoint = folder / "model.safetensors"
    if not checkpoint.is_file():
        raise FileFormatError(
            f"{_PAGE}{entry.hub_id} has no weights as model.safetensors, and pickled ones are "
            "not loaded, because they can run code",
            "convert them to safetensors and use timm:ARCHITECTURE@FILE, or export to ONNX",
        )
    config: dict[str, Any] = {}
    path = folder / "config.json"
    if path.is_file():
        with guarded(path, "settings of an encoder"):
            config = json.loads(path.read_text(encoding="utf-8"))
    architecture = entry.architecture or str(config.get("architecture", ""))
    options = {**config.get("model_args", {}), **entry.options}
    return load_timm(architecture, checkpoint, device, options)
