"""Encoders of patches: the built-in descriptor, and networks whose weights the user brings.

An encoder is asked for by a text:

==========================  =====================================================================
``descriptor``              built in, no weights, works offline
``obsm:KEY``                features that lie in the AnnData already
``file:PATH``               features in a ``.npy`` or ``.h5`` file
``onnx:PATH``               network in an ONNX file
``torchscript:PATH``        network in a TorchScript file, whose code is run
``transformers:FOLDER``     network that `transformers` saved
``timm:ARCH@CHECKPOINT``    network of timm with weights in a ``.safetensors`` file
``hub:ID``                  published network of `KNOWN`, fetched after consent
==========================  =====================================================================
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from ...core.errors import FileFormatError, ParameterError
from ...io.guard import guarded
from .base import IMAGENET, EncoderCard, PatchEncoder, Triple, content_id, existing
from .descriptor import Descriptor
from .known import KNOWN, HubEncoder

__all__ = [
    "FINISHED",
    "KNOWN",
    "EncoderCard",
    "HubEncoder",
    "PatchEncoder",
    "describe_encoder",
    "get_encoder",
    "is_finished",
    "split_spec",
]

FINISHED = frozenset({"obsm", "file"})
"""Kinds of specification that name features instead of an encoder."""
_KINDS = ("obsm", "file", "onnx", "torchscript", "transformers", "timm", "hub")
_MAX_JSON = 1_000_000
_OWN_LICENCE = "as the publisher of the file states"


def is_finished(spec: str) -> bool:
    """Whether a specification names features that are there already, and no image is read."""
    kind, colon, _ = spec.partition(":")
    return bool(colon) and kind in FINISHED


def split_spec(spec: str) -> tuple[str, str]:
    """Kind and argument of a specification: ``("onnx", "model.onnx")``.

    Raises
    ------
    ParameterError
        If it is none.
    """
    if spec == "descriptor":
        return spec, ""
    kind, _, rest = spec.partition(":")
    if kind not in _KINDS or not rest:
        raise ParameterError(
            f"There is no image encoder '{spec}'",
            "use 'descriptor', or " + ", ".join(f"'{k}:...'" for k in _KINDS),
        )
    if kind == "timm" and not all(rest.partition("@")[::2]):
        raise ParameterError(
            f"'{spec}' does not name architecture and weights",
            "write timm:ARCHITECTURE@FILE.safetensors",
        )
    return kind, rest


def describe_encoder(spec: str) -> EncoderCard:
    """What is known of an encoder without loading it, torch or the network.

    Raises
    ------
    ParameterError
        If there is no such encoder.
    MissingFileError, FileFormatError
        If its file is not there, or what describes it cannot be read.
    """
    kind, rest = split_spec(spec)
    if kind == "descriptor":
        own = Descriptor()
        return EncoderCard(
            spec, "Built-in colour and texture descriptor", own.dim, licence=own.licence
        )
    if kind == "obsm":
        return EncoderCard(spec, f"Features in obsm['{rest}']")
    if kind == "file":
        return EncoderCard(spec, f"Features in {existing(rest, 'precomputed features').name}")
    if kind == "hub":
        from .hub import hub_card

        return hub_card(rest)
    if kind == "transformers":
        folder = existing(rest, "transformers model", folder=True)
        return _card(spec, f"Network in {folder.name}", _of_transformers(folder))
    path = existing(rest.partition("@")[2] if kind == "timm" else rest, "weights of an encoder")
    return _card(spec, f"Network in {path.name}", _json(path.with_suffix(".json")))


def get_encoder(spec: str, *, device: str = "auto", consent: bool = False) -> PatchEncoder:
    """The encoder that a specification names; its weights are loaded at the first use.

    Parameters
    ----------
    spec
        See the table of this package.
    device
        ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``, for networks.
    consent
        Whether the user agreed to download the encoder under its licence.

    Raises
    ------
    ParameterError
        If there is no such encoder, it names finished features, or consent is missing.
    MissingFileError, FileFormatError
        If its file is not there or unusable.
    ResourceError
        If it has to be fetched and cannot be.
    """
    kind, rest = split_spec(spec)
    if kind == "descriptor":
        return Descriptor()
    if kind in FINISHED:
        raise ParameterError(
            f"'{spec}' names finished features, not an encoder", "use image_features with it"
        )
    if kind == "hub":
        from .hub import hub_encoder

        return hub_encoder(rest, device, consent=consent)
    return _local(kind, rest, describe_encoder(spec), device)


def _local(kind: str, rest: str, card: EncoderCard, device: str) -> PatchEncoder:
    """An encoder from files of the user's own."""
    from .learned import Forward, Learned

    side = card.input_px or 224
    details: tuple[object, ...] = (side, card.mean, card.std)

    def load() -> Forward:
        from . import onnx_file, torch_files

        if kind == "onnx":
            return onnx_file.load_onnx(Path(rest).expanduser(), side, device)
        if kind == "torchscript":
            return torch_files.load_torchscript(Path(rest).expanduser(), device)
        if kind == "transformers":
            return torch_files.load_transformers(Path(rest).expanduser(), device)
        return torch_files.load_timm(architecture, weights, device, options)

    if kind == "transformers":
        folder = Path(rest).expanduser()
        files = sorted([*folder.glob("*.safetensors"), folder / "config.json"])
        return Learned(card, content_id(kind, files, *details), load, rest, pooling="cls")
    architecture, _, checkpoint = rest.partition("@")
    weights = Path(checkpoint if kind == "timm" else rest).expanduser()
    options: dict[str, Any] = {}
    if kind == "timm":
        options = _json(weights.with_suffix(".json")).get("options", {})
        if not isinstance(options, dict):
            raise FileFormatError(f"'{card.spec}': its options are {options}", "give an object")
        details = (*details, architecture, sorted(options.items()))
    return Learned(card, content_id(kind, [weights], *details), load, str(weights))


def _card(spec: str, title: str, known: dict[str, Any]) -> EncoderCard:
    """A card from what lies beside the weights; the habits of ImageNet where nothing does."""
    side, dim, size = (known.get(key) for key in ("input_px", "dim", "um_per_px"))
    return EncoderCard(
        spec,
        str(known.get("title", title)),
        int(dim) if dim is not None else None,
        _in_range(side if side is not None else 224, spec),
        _triple(known.get("mean", IMAGENET[0]), spec),
        _triple(known.get("std", IMAGENET[1]), spec, positive=True),
        float(size) if size is not None else None,
        str(known.get("licence", _OWN_LICENCE)),
    )


def _of_transformers(folder: Path) -> dict[str, Any]:
    """Input and normalisation from the files that `transformers` writes."""
    config = _json(folder / "config.json")
    if not config:
        raise FileFormatError(
            f"{folder} has no config.json", "give a folder written by save_pretrained"
        )
    rules = _json(folder / "preprocessor_config.json")
    side: Any = rules.get("crop_size") or rules.get("size") or config.get("image_size") or 224
    if isinstance(side, dict):
        side = side.get("height") or side.get("shortest_edge")
    known = {"input_px": side, "dim": config.get("hidden_size")}
    for ours, theirs in (("mean", "image_mean"), ("std", "image_std")):
        if theirs in rules:
            known[ours] = rules[theirs]
    return known


def _json(path: Path) -> dict[str, Any]:
    """A small JSON object; empty where there is no such file."""
    if not path.is_file():
        return {}
    with guarded(path, "settings of an encoder"):
        if path.stat().st_size > _MAX_JSON:
            raise FileFormatError(f"{path} is no small JSON file", "check it")
        found = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise FileFormatError(f"{path} is no JSON object", "write one")
        return found


def _in_range(side: Any, spec: str) -> int:
    if not isinstance(side, int) or not 8 <= side <= 2048:
        raise FileFormatError(f"'{spec}': input_px is {side}", "give 8 to 2048 pixels")
    return side


def _triple(values: Any, spec: str, *, positive: bool = False) -> Triple:
    try:
        found = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        found = np.empty(0)
    if found.shape != (3,) or not np.isfinite(found).all() or (positive and (found <= 0).any()):
        raise FileFormatError(
            f"'{spec}': the normalisation is {values}", "give three numbers, for R, G and B"
        )
    return float(found[0]), float(found[1]), float(found[2])
