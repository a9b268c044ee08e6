"""What a prediction is asked for, and what can be said of it before it runs; no Qt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.memory import available_bytes, human
from ...core.params import Params
from ...core.prediction import RECORD
from ...core.section import Section, count_problem
from ...features.encoders import is_finished
from ...prediction_checks import PATIENT, patients_of
from ..estimate import duration
from ..export import snapshot
from ..model import Item

__all__ = ["Notes", "Request", "look_ahead", "unfit"]

_LOOKED_AT = 100_000
"""Values that are looked at to tell counts from other numbers; a run looks at all."""


@dataclass(frozen=True, eq=False)
class Request:
    """Sections as they were when the prediction was asked for.

    Attributes
    ----------
    target, references
        Over the same arrays as the user's; later edits do not reach them.
    learn
        (n_spots,) spots of the target to learn from instead of references, or None.
    gap
        Distances between spots that lie between what is learnt from and what is predicted.
    pitch
        Of a grid over the tissue in micrometres; None predicts the target's spots.
    model
        File of a trained model to use instead of references, or None.
    """

    target: Section
    references: tuple[Section, ...] = ()
    learn: NDArray[np.bool_] | None = None
    gap: float = 2.0
    pitch: float | None = None
    model: str | None = None

    @classmethod
    def of(
        cls, target: Item, references: Sequence[Item], patients: Mapping[str, str], **values: Any
    ) -> Request:
        """The sections as they are now, called as in the window, where no two names are alike.

        Parameters
        ----------
        target, references
            Open sections.
        patients
            Id -> patient as the dock shows it, empty where it is unknown.
        **values
            Further attributes.
        """
        sections = [_named(item, patients.get(item.id, "")) for item in (target, *references)]
        return cls(sections[0], tuple(sections[1:]), **values)

    def options(self) -> dict[str, Any]:
        """What `prediction.iter_predict` takes beside target, references and parameters."""
        return {
            "pitch": self.pitch,
            "learn": self.learn,
            "gap": self.gap,
            "model": self.model,
        }

    @property
    def learns_from(self) -> str:
        """For the title of the run."""
        if self.model is not None:
            return "a saved model"
        if self.learn is not None:
            return f"{int(self.learn.sum()):,} spots of the section"
        n = len(self.references)
        return f"{n} sections" if n != 1 else "1 section"


@dataclass(frozen=True)
class Notes:
    """What is known before a run.

    Attributes
    ----------
    facts, warnings
        Sentences.
    obstacle
        Why it cannot run; empty where it can.
    """

    facts: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    obstacle: str = ""


def _named(item: Item, patient: str) -> Section:
    section = snapshot(item.section)
    section.name = item.label
    if patient:
        section.adata.obs[PATIENT] = patient
    elif PATIENT in section.adata.obs:
        del section.adata.obs[PATIENT]
    return section


def unfit(section: Section, *, needs_image: bool = True) -> str:
    """Why a section cannot be learnt from; empty where it can, as far as a glance tells."""
    if RECORD in section.adata.uns:
        return "predicted, not measured"
    if needs_image and section.image is None:
        return "no image"
    matrix = section.adata.layers[section.counts_layer] if section.counts_layer else section.adata.X
    values = getattr(matrix, "data", matrix)
    if matrix is None or not np.size(values):
        return "no counts"
    sample = np.asarray(values).reshape(-1)[:_LOOKED_AT]
    return "no counts" if count_problem(sample) or not sample.any() else ""


def look_ahead(request: Request, params: Params) -> Notes:
    """Facts, warnings and the cost of a run; for a worker, as it imports torch.

    Raises
    ------
    StmaskError
        What `prediction.warnings_of` and `prediction.estimate` raise.
    """
    from ...prediction import estimate, warnings_of

    sources = request.references
    if request.learn is not None:
        # What is learnt from costs what the rest of the section does.
        sources = (request.target.bare(rows=request.learn),)
    facts = [_sources(request), _scale(request.target)]
    unknown = _unscaled(request, params)
    if unknown:
        return Notes(facts, obstacle=unknown)
    warnings = list(warnings_of(request.target, list(request.references), params))
    if request.learn is not None:
        warnings.append(
            "Learnt and predicted spots are of one section: scores show how well it repeats itself."
        )
    cost = estimate(request.target, list(sources), params)
    free = available_bytes()
    facts.append(
        f"Estimate: about {duration(cost.seconds)} on one core, {human(cost.peak_bytes)} of "
        "memory on top of the data."
    )
    obstacle = ""
    if cost.peak_bytes > free:
        obstacle = (
            f"The run would take about {human(cost.peak_bytes)} of memory, {human(free)} are free: "
            "predict fewer genes, or lower the widths."
        )
    return Notes(facts, warnings, obstacle)


def _unscaled(request: Request, params: Params) -> str:
    """Why patches cannot be cut in micrometres; empty where they can."""
    known = params.model_dump()
    if known["patch_unit"] != "um" or is_finished(known["image_encoder"]):
        return ""
    names = [s.name for s in (request.target, *request.references) if s.um_per_px is None]
    if not names or request.model is not None:
        return ""
    return (
        f"Micrometres per pixel of {', '.join(names)} are unknown: under Embedding and model, set "
        "the patch unit to spots, and the patch size to about 1."
    )


def _sources(request: Request) -> str:
    if request.model is not None:
        return "Learns nothing: the model says what it was trained on."
    if request.learn is not None:
        return f"Learns from {request.learns_from}; a gap of {request.gap:g} spots is left out."
    named = patients_of(request.references)
    known = len(set(named) - {""})
    who = f"{known} patient{'s' if known != 1 else ''}"
    if "" in named:
        who = f"{who} and unknown ones" if known else "unknown patients"
    spots = sum(s.n_spots for s in request.references)
    return f"Learns from {request.learns_from} ({spots:,} spots) of {who}."


def _scale(target: Section) -> str:
    if target.um_per_px is None:
        return "Micrometres per pixel of the target are unknown."
    return f"Target: {target.n_spots:,} spots, {target.um_per_px:.3g} \u00b5m per pixel."
