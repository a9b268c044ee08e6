"""Parameters of a method, declared once.

The form in the window, the command-line options, the tables in the documentation and the
record of a run are all derived from one pydantic model per method.
"""

from __future__ import annotations

import types
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from .errors import ParameterError

__all__ = ["Device", "DomainParams", "FieldInfo", "Params", "Seed", "Threads", "describe"]

Clustering = Literal["mixture", "kmeans", "leiden"]
Seed = Annotated[
    int, Field(ge=0, le=2**31 - 1, title="Seed", description="Same seed, same result.")
]
Device = Annotated[
    Literal["auto", "cpu", "cuda", "mps"],
    Field(
        title="Device",
        description="Where to compute; auto takes a GPU when there is one.",
        json_schema_extra={"advanced": True},
    ),
]
Threads = Annotated[
    int,
    Field(
        ge=0,
        le=1024,
        title="CPU threads",
        description="Threads for the training; 0 leaves one core free for the window.",
        json_schema_extra={"advanced": True},
    ),
]


class Params(BaseModel):
    """Base of all parameter models: frozen, unknown fields refused.

    Class attribute ``PRESETS`` maps a preset's name to the values that differ from the defaults.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    PRESETS: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    PLATFORM_PRESET: ClassVar[Mapping[str, str]] = {}

    @classmethod
    def preset_values(cls, name: str, platform: str = "unknown") -> dict[str, Any]:
        """Values of preset ``name``; ``"recommended"`` resolves to the platform's.

        Raises
        ------
        ParameterError
            If there is no such preset.
        """
        if cls.PLATFORM_PRESET and platform not in cls.PLATFORM_PRESET:
            raise ParameterError(
                f"there is no platform '{platform}'",
                f"use one of: {', '.join(cls.PLATFORM_PRESET)}",
            )
        if name == "recommended":
            name = cls.PLATFORM_PRESET.get(platform, cls.PLATFORM_PRESET.get("unknown", name))
        if name == "defaults":
            return {}
        if name not in cls.PRESETS:
            known = ", ".join(["recommended", "defaults", *cls.PRESETS])
            raise ParameterError(f"there is no preset '{name}'", f"use one of: {known}")
        return dict(cls.PRESETS[name])

    @classmethod
    def preset(cls, name: str = "recommended", platform: str = "unknown", **values: Any) -> Self:
        """Parameters of a preset, with ``values`` on top.

        Raises
        ------
        ParameterError
            If the preset or a field is unknown, or a value is out of bounds.
        """
        return cls.checked(**(cls.preset_values(name, platform) | values))

    @classmethod
    def checked(cls, **values: Any) -> Self:
        """Validate ``values``; one sentence says which field is wrong and what it may be.

        Raises
        ------
        ParameterError
            On the first invalid field.
        """
        try:
            return cls(**values)
        except ValidationError as error:
            first = error.errors()[0]
            name = str(first["loc"][0]) if first["loc"] else "parameters"
            if first["type"] == "extra_forbidden":
                known = ", ".join(cls.model_fields)
                raise ParameterError(
                    f"there is no parameter '{name}'", f"use one of: {known}"
                ) from None
            text = first["msg"][0].lower() + first["msg"][1:]
            # A model's own check says what to do itself.
            remedy = first.get("ctx", {}).get("remedy") or _allowed(cls, name)
            raise ParameterError(f"{name} = {first['input']!r}: {text}", remedy) from None


class DomainParams(Params):
    """What every method that ends in tissue domains shares."""

    n_domains: int = Field(
        7, ge=1, le=100, title="Domains", description="Number of tissue domains to find."
    )
    auto_domains: bool = Field(
        False,
        title="Choose number automatically",
        description="Choose the number (2 to 15) whose domains are most reproducible and separate.",
    )
    clustering: Clustering = Field(
        "mixture",
        title="Clustering",
        description="How the embedding is split: Gaussian mixture, k-means or Leiden.",
    )
    smooth_labels: bool = Field(
        False, title="Smooth labels", description="Remove single odd spots inside a domain."
    )
    seed: Seed = 0
    n_pcs_out: int = Field(
        12,
        ge=2,
        le=200,
        title="Components clustered",
        description="Principal components of the embedding that are clustered.",
        json_schema_extra={"advanced": True},
    )
    device: Device = "auto"
    threads: Threads = 0


class FieldInfo(BaseModel):
    """One parameter as the form, the command line and the docs show it.

    ``editor`` names an input of its own that the form has for a text, such as ``"encoder"``.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    kind: Literal["int", "float", "bool", "choice", "text"]
    default: Any
    title: str
    description: str
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    optional: bool = False
    advanced: bool = False
    editor: str | None = None


def describe(params: type[Params]) -> list[FieldInfo]:
    """Every field of a parameter model, in order of declaration."""
    out = []
    for name, info in params.model_fields.items():
        annotation, optional = _strip_optional(info.annotation)
        low, high = _bounds(info.metadata)
        extra = info.json_schema_extra
        extra = extra if isinstance(extra, dict) else {}
        editor = extra.get("editor")
        is_choice = get_origin(annotation) is Literal
        kinds = {bool: "bool", int: "int", float: "float"}
        out.append(
            FieldInfo(
                name=name,
                kind="choice" if is_choice else kinds.get(annotation, "text"),
                default=info.default,
                title=info.title or name.replace("_", " ").capitalize(),
                description=info.description or "",
                minimum=low,
                maximum=high,
                choices=tuple(map(str, get_args(annotation))) if is_choice else (),
                optional=optional,
                advanced=bool(extra.get("advanced")),
                editor=None if editor is None else str(editor),
            )
        )
    return out


def _strip_optional(annotation: Any) -> tuple[Any, bool]:
    if get_origin(annotation) in (Union, types.UnionType):
        inner = [a for a in get_args(annotation) if a is not type(None)]
        return inner[0], len(inner) < len(get_args(annotation))
    return annotation, False


def _bounds(metadata: list[Any]) -> tuple[float | None, float | None]:
    found: dict[str, float] = {}
    for constraint in metadata:
        for name in ("ge", "gt", "le", "lt"):
            if getattr(constraint, name, None) is not None:
                found[name] = float(getattr(constraint, name))
    return found.get("ge", found.get("gt")), found.get("le", found.get("lt"))


def _allowed(cls: type[Params], name: str) -> str:
    info = next((f for f in describe(cls) if f.name == name), None)
    if info is None:
        return "correct the parameters"
    if info.choices:
        return f"use one of: {', '.join(info.choices)}"
    noun = {"int": "a whole number", "float": "a number"}.get(info.kind, f"a {info.kind}")
    if info.minimum is not None and info.maximum is not None:
        return f"use {noun} from {info.minimum:g} to {info.maximum:g}"
    return f"use {noun} within its bounds"
