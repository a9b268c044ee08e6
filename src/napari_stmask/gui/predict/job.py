"""A prediction in the queue of runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ...core.progress import Progress, Steps
from ...core.section import Section
from ...models.spahgc.params import FREE
from ...viz.raster import rasterise
from .. import layers
from ..model import Item
from ..placing import box
from ..runner import Job
from .known import Known, remember
from .request import Request

if TYPE_CHECKING:
    from ..session import Session

__all__ = ["PredictionJob"]

_GAP = 0.1
"""Distance to the section above, in heights."""


@dataclass(eq=False)
class PredictionJob(Job):
    """Predicts genes of a section; the answer joins the session as a section of its own.

    Attributes
    ----------
    request
        What is predicted from what.
    reference_ids
        Name of a reference section -> its id in the session.
    found
        The id of the predicted section once it is there.
    """

    OPENS: ClassVar[str] = "Predict genes"
    request: Request | None = None
    reference_ids: dict[str, str] | None = None
    found: str | None = None

    @property
    def about(self) -> str:
        """What it learns from."""
        return f"from {self.request.learns_from}" if self.request is not None else ""

    def steps(self) -> Steps[Any]:
        """Train and predict, in a worker thread."""
        from ...prediction import iter_predict

        assert self.request is not None
        request = self.request
        how: dict[str, Any] = {"params": self.params}
        if request.model is not None:
            # The rest of its settings is the model's.
            how = self.params.model_dump(include=set(FREE))
        prediction = yield from iter_predict(
            request.target, list(request.references), method=self.method, **request.options(), **how
        )
        yield Progress(0, 0, "drawing the spots")
        section, target = prediction.section, request.target
        raster = own = rasterise(section.coords, section.lattice)
        if not np.array_equal(section.coords, target.coords):
            own = rasterise(target.coords, target.lattice)
        return prediction, raster, own

    def accept(self, session: Session, answer: Any) -> None:
        """Open the predicted section below its target."""
        prediction, raster, own = answer
        target = session.items.get(self.section_id)
        section = prediction.section
        section.name = f"{self.label} \u00b7 predicted"
        self.watched = session.selected_id in (None, self.section_id)
        before, key = session.selected_id, session.selected_key
        item = session.add(section, raster=raster, offset=_below(session, target, section))
        if target is not None and np.array_equal(target.section.coords, prediction.target.coords):
            # Tiles of its measured genes: seconds for many spots, which the window would wait.
            target.use_raster(own)
        remember(item, Known(prediction, item.id, self.section_id, self.reference_ids or {}))
        self.found = item.id
        if session.viewer is not None and not all(
            layers.in_view(session.viewer, x) for x in layers.layers_of(session.viewer, item.id)
        ):
            session.viewer.reset_view()
        # The request holds whole sections; a finished run needs them no more.
        self.request = None
        if not self.watched and before in session.items:
            # The user is busy with another section.
            session.select(before, key)

    def written(self, session: Session, answer: Any) -> bool:
        """Whether the predicted section is in the session."""
        del answer
        return self.found in session.items


def _below(session: Session, target: Item | None, section: Section) -> tuple[float, float] | None:
    """Under the target and whatever lies there; None, the usual place, where it was closed."""
    if target is None:
        return None
    top, left, bottom, right = box(section)
    shift = target.offset[1]
    lowest = float("-inf")
    for item in session.items.values():
        _, first, low, last = box(item.section)
        beside = last + item.offset[1] <= left + shift or first + item.offset[1] >= right + shift
        if not beside:
            lowest = max(lowest, low + item.offset[0])
    return lowest + _GAP * (bottom - top) - top, shift
