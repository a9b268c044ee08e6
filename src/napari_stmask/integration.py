"""Several sections as one run: placed, joined, fitted, scored, and answered section by section."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from . import models
from .analysis.baselines import baseline_features
from .analysis.integration import integration_table
from .analysis.mixing_controls import mixing_controls
from .analysis.section_scores import per_section_scores
from .compute import submit
from .core.errors import DataError, ParameterError
from .core.joining import section_labels, split_joined
from .core.joint import JointParams
from .core.params import DomainParams
from .core.progress import Progress, Steps
from .core.result import Result
from .core.section import Section
from .features.alignment import Alignment
from .features.graph import within_groups
from .features.harmony import require_harmony
from .models.base import Integrating
from .models.image_input import encode_sections
from .pipeline import Data, as_section, check_key
from .placement import joined_for_run, placed
from .settings import settings

__all__ = ["Integration", "alignment_facts", "iter_integrate", "split_values"]

_MEASURED = "expression as measured"


@dataclass(eq=False)
class Integration:
    """Several sections after a run over all of them.

    Attributes
    ----------
    joined
        All spots, side by side, with the answers; ``obs["section"]``, and of serial sections
        ``obsm["spatial_aligned"]`` (n_spots, 3) x, y and depth.
    sections
        Those that were given, with the same answers.
    result
        Of the run over all spots.
    joint
        How the sections were placed, linked and corrected.
    alignments
        Where each section lies; empty for separate ones.
    table
        Scores of mixing and of what is left of the tissue, one row for each control and one, the
        last, for the method; empty where they were not asked for.
    before
        (n_spots, 20) float32 principal components of the expression as measured.
    """

    joined: Section
    sections: list[Section]
    result: Result
    joint: JointParams
    alignments: list[Alignment]
    table: pd.DataFrame = field(default_factory=pd.DataFrame)
    before: NDArray[np.float32] = field(default_factory=lambda: np.empty((0, 0), np.float32))

    def __repr__(self) -> str:
        return f"Integration({len(self.sections)} sections, {self.result!r})"

    @property
    def composition(self) -> pd.DataFrame:
        """Share of each domain (columns) in each section (rows); rows sum to 1."""
        obs = self.joined.adata.obs
        return pd.crosstab(obs["section"], obs[self._column], normalize="index")

    @property
    def _column(self) -> str:
        """Column of the domains, smoothed where that was asked for."""
        key = self.result.key
        return f"{key}_refined" if self.result.refined is not None else key

    def scores(self, truth: str) -> pd.DataFrame:
        """ARI and NMI against the annotation ``obs[truth]``, by section and over all.

        Raises
        ------
        ParameterError
            If the sections have no such column.
        """
        obs = self.joined.adata.obs
        if truth not in obs:
            raise ParameterError(
                f"the sections have no common column '{truth}'",
                f"use one of: {', '.join(map(str, obs.columns))}",
            )
        return per_section_scores(obs[truth], obs[self._column], obs["section"])


def iter_integrate(
    method: str,
    data: Sequence[Data],
    *,
    joint: JointParams | str | None = None,
    transforms: Sequence[Alignment | ArrayLike] | None = None,
    gaps_um: Sequence[float] | None = None,
    accept_poor: bool = False,
    params: DomainParams | None = None,
    preset: str = "several",
    key_added: str | None = None,
    model: str | Path | None = None,
    baselines: bool = True,
    scores: bool = True,
    name: str = "joined",
    on: str | None = None,
    **values: Any,
) -> Steps[Integration]:
    """Run a method over several sections as one, as a stream of `Progress`.

    Domains mean the same in every section and carry the same colours. Answers are written onto
    each section in one last step; closing the stream before leaves all of them as they were.

    Parameters
    ----------
    method
        ``"spamask"``, ``"vimst"`` or ``"mmsrl"``.
    data
        Two or more sections, AnnData or paths, in the order of the block.
    joint
        How the sections go together: complete settings, or the name of a preset (``"separate"``,
        ``"serial"``, ``"adjoining"``, ``"paper"``); single ones may be given as ``values``.
    transforms
        One for each section, (3, 3) from its own micrometres (x, y, 1) to a common frame, or what
        `align_sections` found: then nothing is aligned.
    gaps_um
        Distances from each serial section to the next, instead of one ``spacing_um``.
    accept_poor
        Go on with an alignment that should not be trusted.
    params, preset, key_added, model, baselines, on, **values
        As of `napari_stmask.iter_run`; the preset ``"several"`` is the platform's, with epochs
        for several sections.
    scores
        Score the mixing, with the controls.
    name
        Of the joined section.

    Returns
    -------
    Integration

    Raises
    ------
    StmaskError
        With one sentence about what is wrong and what to do. A `DataError` names the residual of
        an alignment that should not be trusted.
    """
    chosen = _integrating(method)
    yield Progress(0, 0, "reading")
    sections = _different([as_section(one) for one in data])
    of_joint, of_method = split_values(values)
    chain = _joint_params(joint, of_joint)
    chain.check()
    if gaps_um is not None and chain.arrangement != "serial":
        raise ParameterError(
            f"gaps_um was given for {chain.arrangement} sections", "use arrangement serial"
        )
    if chain.correction != "none":
        require_harmony()
    # Complete parameters come without a preset, and this one is only what nobody asked for.
    asked = "recommended" if params is not None and preset == "several" else preset
    run_params = settings(chosen, sections[0], params, asked, of_method, model=model)
    if model is not None:
        run_params = chosen.answer_settings(model, run_params)
    chosen.check_joint(chain, run_params)
    for section in sections:
        check_key(section, chosen.name if key_added is None else key_added)
    alignments = yield from placed(sections, chain, transforms, run_params.seed)
    labels = section_labels(sections)
    doubtful = [
        f"{label}: {a.problem}" for label, a in zip(labels, alignments, strict=False) if a.problem
    ]
    if doubtful and not accept_poor:
        raise DataError(
            doubtful[0],
            "check the order of the sections, give transforms, or accept a poor alignment",
        )
    joined = joined_for_run(sections, chain, alignments, gaps_um=gaps_um, name=name)
    joined.notes += doubtful
    run_params = yield from encode_sections(sections, joined, run_params)
    result = yield from submit(
        method,
        joined,
        on=on,
        params=run_params,
        key_added=key_added,
        model=model,
        baselines=baselines,
    )
    out = Integration(joined, sections, result, chain, alignments)
    yield from _scored(out, run_params.seed, with_table=scores)
    result.record["sections"] = {label: s.source for label, s in zip(labels, sections, strict=True)}
    result.record["joint"] = _record(out)
    result.apply(joined.adata)
    yield Progress(1, 1, "writing")
    split_joined(joined, sections)
    return out


def _integrating(method: str) -> Integrating:
    """The method, if it takes several sections."""
    chosen = models.get(method)
    if chosen.needs.integrates and isinstance(chosen, Integrating):
        return chosen
    able = ", ".join(models.integrating())
    raise ParameterError(f"{chosen.title} takes one section at a time", f"use one of: {able}")


def _different(sections: list[Section]) -> list[Section]:
    """``sections``, if they are two or more different ones."""
    if len({id(section.adata) for section in sections}) < len(sections):
        raise ParameterError("a section was given twice", "give each once")
    if len(sections) < 2:
        raise ParameterError(f"{len(sections)} sections were given", "give two or more")
    return sections


def split_values(values: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Single parameters of how sections go together, and those of the method."""
    own = JointParams.model_fields
    first = {name: value for name, value in values.items() if name in own}
    return first, {name: value for name, value in values.items() if name not in own}


def _joint_params(joint: JointParams | str | None, values: dict[str, Any]) -> JointParams:
    if isinstance(joint, JointParams):
        if values:
            raise ParameterError(
                f"joint and {', '.join(values)} were both given", "give complete settings or values"
            )
        return joint
    return JointParams.preset("separate" if joint is None else joint, **values)


def _scored(out: Integration, seed: int, *, with_table: bool) -> Steps[None]:
    """Mixing of the embedding beside that of the controls, over the spots that have counts."""
    fit, joint = out.result.fit, out.joined.joint
    assert joint is not None
    yield Progress(0, 0, "scoring the integration")
    bare = out.joined.bare()
    out.before = baseline_features(bare, seed=seed).pca
    if not with_table or fit.graph is None or fit.inputs is None:
        return
    rows = np.flatnonzero(np.isfinite(fit.embedding).all(axis=1))
    codes, graph = joint.codes[rows], fit.graph[rows][:, rows].tocsr()
    embeddings = {_MEASURED: out.before[rows]} | mixing_controls(
        fit.inputs[rows], codes, within_groups(graph, codes), graph
    )
    embeddings[models.get(out.result.record["method"]).title] = fit.embedding[rows]
    found = out.result.domains.codes[rows]
    out.table = yield from integration_table(
        embeddings,
        codes,
        domains=dict.fromkeys(embeddings, found),
        before=out.before[rows],
        seed=seed,
    )


def _record(out: Integration) -> dict[str, Any]:
    """How the sections went together, JSON-able."""
    return {
        "settings": out.joint.model_dump(),
        "sections": [str(s) for s in out.joined.adata.obs["section"].cat.categories],
        "alignments": alignment_facts(out.alignments),
        "scores": {
            str(row): {str(k): (None if pd.isna(v) else round(float(v), 6)) for k, v in s.items()}
            for row, s in out.table.iterrows()
        },
    }


def alignment_facts(alignments: Sequence[Alignment]) -> list[dict[str, Any]]:
    """Where sections lie and how well they fit, JSON-able."""
    return [
        {
            "matrix": np.round(a.matrix, 9).tolist(),
            "method": a.method,
            "residual": a.residual,
            "overlap": a.overlap,
            "agreement": a.agreement,
            "mirrored": a.mirrored,
            "problem": a.problem,
        }
        for a in alignments
    ]
