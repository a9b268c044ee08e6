"""Parameters that all methods share which read the tissue image."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from ..core.errors import ParameterError
from ..core.params import Params
from ..features.encoders import split_spec
from .trained_params import TrainedParams

__all__ = ["EncoderParams", "ImageParams"]

_ADVANCED: dict[str, Any] = {"advanced": True}


class EncoderParams(Params):
    """How patches of the image become numbers.

    ``OWN_ENCODERS`` are the encoders that a method has beside those of `features.encoders`.
    """

    OWN_ENCODERS: ClassVar[tuple[str, ...]] = ()

    image_encoder: str = Field(
        "descriptor",
        min_length=1,
        title="Image encoder",
        description="How patches become numbers: the built-in descriptor or a model of yours.",
        json_schema_extra={"editor": "encoder"},
    )
    patch_size: float = Field(
        2.0,
        ge=0.1,
        le=1000,
        title="Patch size",
        description="Side of the square around each spot that the encoder sees.",
    )
    patch_unit: Literal["spots", "um"] = Field(
        "spots",
        title="Patch unit",
        description="Patch size in spot diameters or in micrometres.",
    )
    stain: Literal["none", "macenko", "reinhard"] = Field(
        "none",
        title="Stain normalisation",
        description="Bring the colours of the H&E to a common standard first.",
        json_schema_extra=_ADVANCED,
    )
    accept_licence: bool = Field(
        False,
        title="Accept the encoder's licence",
        description="Allow the download of a model from a hub under the licence that is shown.",
        json_schema_extra=_ADVANCED,
    )

    @field_validator("image_encoder")
    @classmethod
    def _is_an_encoder(cls, value: str) -> str:
        """Refused here, because a section without an image would never look at it."""
        if value not in cls.OWN_ENCODERS:
            try:
                split_spec(value)
            except ParameterError as error:
                raise PydanticCustomError(
                    "encoder", "{problem}", {"problem": error.problem, "remedy": error.remedy}
                ) from None
        return value


class ImageParams(TrainedParams, EncoderParams):
    """Whether the image is used, and how its patches become numbers."""

    use_image: Literal["auto", "yes", "no"] = Field(
        "auto",
        title="Use the image",
        description="Tissue image beside expression; auto takes it where the section has one.",
    )
    compare_views: bool = Field(
        True,
        title="Compare gene, image and joint",
        description="Also split what expression alone and the image alone say.",
        json_schema_extra=_ADVANCED,
    )
    n_pcs_image: int = Field(
        10,
        ge=2,
        le=300,
        title="Image components fed in",
        description="Principal components of the patch features that the network sees.",
        json_schema_extra=_ADVANCED,
    )
