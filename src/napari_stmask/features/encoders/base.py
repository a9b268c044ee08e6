"""What an encoder of patches is, and what can be said of one before it is loaded."""

from __future__ import annotations

import hashlib
import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ...core.errors import MissingFileError, ResourceError

__all__ = [
    "IMAGENET",
    "EncoderCard",
    "PatchEncoder",
    "Triple",
    "content_id",
    "existing",
    "require",
]

Triple = tuple[float, float, float]

IMAGENET: tuple[Triple, Triple] = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Mean and standard deviation in R, G, B (of 1) that most encoders expect."""
_INSTALL = {
    "timm": "pip install 'napari-stmask[timm]'",
    "torch": "pip install torch",
}
_ENCODERS = "pip install 'napari-stmask[encoders]'"


class PatchEncoder(Protocol):
    """Turns patches into vectors.

    Attributes
    ----------
    id
        Names the encoder and the content of its weights: equal ids give equal features.
    dim
        Length of a vector. Asking for it may load the weights.
    input_px
        Side of the patches that it wants, in pixels; None takes any.
    um_per_px
        Micrometres per pixel that it was trained at, or None where unknown.
    mean, std
        What colours (of 1) are shifted and divided by.
    licence
        Licence text as its publisher states it; may be empty for a file of the user's own.
    gated
        Whether the publisher gives the weights to registered users only.
    """

    @property
    def id(self) -> str: ...  # noqa: D102
    @property
    def dim(self) -> int: ...  # noqa: D102
    @property
    def input_px(self) -> int | None: ...  # noqa: D102
    @property
    def um_per_px(self) -> float | None: ...  # noqa: D102
    @property
    def mean(self) -> Triple: ...  # noqa: D102
    @property
    def std(self) -> Triple: ...  # noqa: D102
    @property
    def licence(self) -> str: ...  # noqa: D102
    @property
    def gated(self) -> bool: ...  # noqa: D102

    def encode(self, patches: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(n, dim) float32 from (n, height, width, 3) uint8 patches."""
        ...


@dataclass(frozen=True)
class EncoderCard:
    """What is known of an encoder without loading it.

    Attributes
    ----------
    spec
        How it is asked for.
    title
        One line for a person.
    dim
        Length of a vector, or None where only the weights tell.
    input_px, mean, std, um_per_px, licence, gated
        See `PatchEncoder`.
    needs_download
        Whether using it would fetch weights from the network.
    """

    spec: str
    title: str
    dim: int | None = None
    input_px: int | None = None
    mean: Triple = (0.0, 0.0, 0.0)
    std: Triple = (1.0, 1.0, 1.0)
    um_per_px: float | None = None
    licence: str = ""
    gated: bool = False
    needs_download: bool = False


def require(package: str) -> Any:
    """Import an optional package, or say how to get it.

    Raises
    ------
    ResourceError
        If it is absent, or present and broken.
    """
    remedy = _INSTALL.get(package, _ENCODERS)
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        if error.name == package:
            raise ResourceError(
                f"the package '{package}' is not installed", f"install it with: {remedy}"
            ) from error
        raise _broken(package, error, remedy) from error
    # A package that does not match the installed torch fails with errors of every kind.
    except Exception as error:
        raise _broken(package, error, remedy) from error


def _broken(package: str, error: Exception, remedy: str) -> ResourceError:
    return ResourceError(
        f"the package '{package}' is installed but cannot be imported "
        f"({type(error).__name__}: {error})",
        f"repair it, for example with: {remedy} (torch and torchvision must match)",
    )


def existing(path: str, what: str, *, folder: bool = False) -> Path:
    """``path``, checked to be there.

    Raises
    ------
    MissingFileError
        If it is not, or is of the other kind.
    """
    found = Path(path).expanduser()
    if not (found.is_dir() if folder else found.is_file()):
        kind = "folder" if folder else "file"
        raise MissingFileError(f"There is no {kind} '{path}' ({what})", "check the path")
    return found


def content_id(backend: str, files: list[Path], *details: object) -> str:
    """``backend`` and a SHA-256 over the content of ``files`` and ``details``, as a short text."""
    digest = hashlib.sha256(repr(details).encode())
    for path in files:
        with path.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return f"{backend}-{digest.hexdigest()[:32]}"
