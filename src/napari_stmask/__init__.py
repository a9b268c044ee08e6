"""Tissue domains, denoised genes and gene modules of spatial transcriptomics, in napari.

The names below are imported when they are first used, so that ``import napari_stmask`` alone
loads neither torch, scanpy nor napari.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .analysis.agreement import compare
    from .analysis.gene_sources import gene_sources, gene_values
    from .annotations import annotate
    from .api import (
        align_sections,
        apply_model,
        evaluate,
        integrate,
        iter_integrate,
        iter_predict,
        iter_run,
        methods,
        params,
        predict,
        run,
        save_model,
    )
    from .bare_image import image_section
    from .core.joining import join_sections, split_joined
    from .core.joint import JointParams
    from .core.section import Section
    from .gene_atlas import GeneAtlas, genes_of
    from .gui.view import save_desk, view
    from .integration import Integration
    from .io.read import read
    from .io.sample import sample_section
    from .io.write import write
    from .reclustering import recluster, subcluster
    from .reporting import report

__all__ = [
    "GeneAtlas",
    "Integration",
    "JointParams",
    "Section",
    "align_sections",
    "annotate",
    "apply_model",
    "compare",
    "evaluate",
    "gene_sources",
    "gene_values",
    "genes_of",
    "image_section",
    "integrate",
    "iter_integrate",
    "iter_predict",
    "iter_run",
    "join_sections",
    "methods",
    "params",
    "predict",
    "read",
    "recluster",
    "report",
    "run",
    "sample_section",
    "save_desk",
    "save_model",
    "split_joined",
    "subcluster",
    "view",
    "write",
]

_HOME = {
    "GeneAtlas": "gene_atlas",
    "Integration": "integration",
    "JointParams": "core.joint",
    "Section": "core.section",
    "align_sections": "api",
    "annotate": "annotations",
    "apply_model": "api",
    "compare": "analysis.agreement",
    "evaluate": "api",
    "gene_sources": "analysis.gene_sources",
    "gene_values": "analysis.gene_sources",
    "genes_of": "gene_atlas",
    "image_section": "bare_image",
    "integrate": "api",
    "iter_integrate": "api",
    "iter_predict": "api",
    "iter_run": "api",
    "join_sections": "core.joining",
    "methods": "api",
    "params": "api",
    "predict": "api",
    "read": "io.read",
    "recluster": "reclustering",
    "report": "reporting",
    "run": "api",
    "sample_section": "io.sample",
    "save_desk": "gui.view",
    "save_model": "api",
    "split_joined": "core.joining",
    "subcluster": "reclustering",
    "view": "gui.view",
    "write": "io.write",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
