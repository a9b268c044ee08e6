"""SpaCEX (SIGEL) on one section: vectors of genes, their modules, and domains that follow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from ...core.params import DomainParams
from ...core.progress import Progress, Steps
from ...core.result import Fit
from ...core.section import Section
from ...features.gene_images import picture_values
from ...nn.device import choose_device, in_threads
from ..base import Estimate, Needs, only_section
from ..expression_input import check_size
from .answer import answer_steps
from .cost import estimate
from .inputs import prepare
from .params import SpaCEXParams, automatic_modules
from .state import GeneModel, encode_steps
from .training import learn_steps

__all__ = ["SpaCEX"]


class SpaCEX:
    """Gene modules and domains from pictures of genes (Li et al., 2025)."""

    name: ClassVar[str] = "spacex"
    title: ClassVar[str] = "SpaCEX"
    summary: ClassVar[str] = "Gene modules, spatial genes and domains from pictures of genes."
    reference: ClassVar[str] = (
        "Li W., Zhu M., Xu Y. et al. SIGEL: a context-aware genomic representation learning "
        "framework for spatial genomics analysis. Genome Biology 26, 287 (2025); "
        "SpaCEX, bioRxiv 2024.06.07.598026"
    )
    doi: ClassVar[str] = "10.1186/s13059-025-03748-7"
    tasks: ClassVar[tuple[str, ...]] = ("domains", "modules", "svgs", "relations", "query")
    needs: ClassVar[Needs] = Needs(counts=True)
    Params: ClassVar[type[SpaCEXParams]] = SpaCEXParams

    def extras(
        self,
        section: Section,  # noqa: ARG002
        params: Any,  # noqa: ARG002
        model: str | Path | None = None,  # noqa: ARG002
    ) -> Mapping[str, NDArray[Any]]:
        """Nothing: counts and positions are all that the method reads."""
        return {}

    def estimate(self, sections: Sequence[Section], params: SpaCEXParams) -> Estimate:
        """Expected CPU seconds on one thread and bytes on top of the section."""
        return estimate(only_section(sections, self.title), params)

    def fit(self, sections: Sequence[Section], params: SpaCEXParams) -> Steps[Fit]:
        """Train on one section.

        Raises
        ------
        DataError
            If the section has too few spots or genes, or its matrix holds no counts.
        ParameterError
            If more than one section is given, or a setting does not fit it.
        """
        section = only_section(sections, self.title)
        return (yield from in_threads(self._fit(section, params), params.threads))

    def apply(
        self, model: str | Path, sections: Sequence[Section], params: SpaCEXParams
    ) -> Steps[Fit]:
        """Encode the genes of a section with a saved ``model``; nothing is trained.

        The section's spots must lie as those of the training: the same section with more genes,
        other counts, or denoised.

        Raises
        ------
        DataError
            If its spots lie otherwise, or it lacks genes of the model.
        """
        section = only_section(sections, self.title)
        return (yield from in_threads(self._apply(model, section, params), params.threads))

    def save_model(self, fit: Fit, path: str | Path) -> None:
        """Write the encoder and the modules to ``path`` (safetensors)."""
        fit.state.save(path)

    def _fit(self, section: Section, params: SpaCEXParams) -> Steps[Fit]:
        check_size(section)
        yield Progress(0, 1, "preparing", message="Choosing genes.")
        drawn = yield from prepare(section, params)
        device = choose_device(params.device)
        n_modules = params.gene_modules or automatic_modules(len(drawn.genes))
        learned = yield from learn_steps(drawn, n_modules, params, device)
        canvas = drawn.maker.canvas
        model = GeneModel(
            params,
            drawn.genes,
            canvas.height,
            canvas.width,
            canvas.occupied,
            learned.net.encoder.eval(),
            learned.modules,
        )
        facts = {
            **learned.facts,
            "device": str(device),
            "canvas": [canvas.height, canvas.width],
            "canvas_rule": canvas.rule,
            "n_tokens": drawn.tiles.n_tokens,
        }
        fit = yield from answer_steps(
            model, section, drawn.maker, drawn.values, learned.vectors, drawn.pictures, params
        )
        fit.details = facts | fit.details
        if len(np.unique(canvas.pixel)) < section.n_spots:
            shared = section.n_spots / len(canvas.occupied)
            fit.details["notes"].append(f"A picture element is the mean of {shared:.1f} spots.")
        fit.history = dict(learned.history)
        return fit

    def _apply(self, path: str | Path, section: Section, params: SpaCEXParams) -> Steps[Fit]:
        check_size(section)
        model = GeneModel.load(path)
        yield Progress(0, 1, "preparing", message="Reading the model.")
        # The network is the model's; how domains are found and where it runs is the caller's.
        own = params.model_dump(include={*DomainParams.model_fields})
        settings = SpaCEXParams(**(model.params.model_dump() | own))
        maker = model.maker(section)
        values = picture_values(section, model.columns(section))
        pictures = yield from maker.draw_steps(values)
        vectors = yield from encode_steps(model.encoder, pictures, torch.device("cpu"))
        fit = yield from answer_steps(model, section, maker, values, vectors, pictures, settings)
        fit.details["device"] = "cpu"
        return fit
