"""Links of a section or of several joined ones, and how they are found anew in training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ..core.section import Section
from ..features.joint_graph import Build, joint_graph, relinked

__all__ = ["Relinking", "linked", "relinking", "section_codes", "tile_spots", "tiled_coords"]


@dataclass(frozen=True)
class Relinking:
    """When links across sections are found anew while the first network trains.

    Attributes
    ----------
    every
        Epochs.
    make
        From the present graph and embedding (n_spots, width) to the new graph.
    """

    every: int
    make: Callable[[sp.csr_matrix, NDArray[np.float32]], sp.csr_matrix]

    def due(self, epoch: int, epochs: int) -> bool:
        """Whether it is time, after ``epoch`` of ``epochs``."""
        return epoch % self.every == 0 and epoch < epochs

    def happens(self, epochs: int) -> bool:
        """Whether it is time at all in a training of ``epochs``."""
        return self.every < epochs


def linked(
    section: Section, build: Build, *, n_near: int, values: NDArray[np.float32] | None
) -> sp.csr_matrix:
    """Links of the spots, (n_spots, n_spots) CSR float32.

    Parameters
    ----------
    section
        One section, or several joined ones.
    build
        The method's own way to link spots by position.
    n_near
        Neighbours within a section that the method takes.
    values
        (n_spots, d) input of the network.
    """
    joint = section.joint
    if joint is None or joint.settings is None:
        return build(section.coords, None)
    return joint_graph(
        section.coords, joint, build, pitch=section.lattice.pitch, n_near=n_near, values=values
    )


def relinking(section: Section) -> Relinking | None:
    """How links by expression are refreshed; None where there are none, or they stay."""
    joint = section.joint
    if joint is None or joint.settings is None or not joint.settings.refresh:
        return None
    if joint.settings.linked_by != "expression":
        return None
    return Relinking(joint.settings.refresh, partial(relinked, joint))


def section_codes(section: Section) -> NDArray[np.int64]:
    """(n_spots,) which of the joined sections each spot is of; 0 where there is one."""
    if section.joint is None:
        return np.zeros(section.n_spots, dtype=np.int64)
    return section.joint.codes


def tile_spots(section: Section, asked: int) -> int:
    """Largest number of spots that are trained at once.

    Links by expression follow no frame: the halo of any tile would hold nearly all spots, so
    there is one tile.
    """
    joint = section.joint
    if joint is None or joint.settings is None or joint.settings.linked_by != "expression":
        return asked
    return max(asked, section.n_spots)


def tiled_coords(section: Section) -> NDArray[np.float64]:
    """(n_spots, 2) positions that tiles are cut by: linked spots lie close to one another.

    Superimposed sections are cut through all of them, or the halo of a tile would hold the
    sections above and below it whole.
    """
    joint = section.joint
    if joint is None or joint.settings is None or joint.positions is None:
        return section.coords
    return joint.positions[:, :2] if joint.settings.in_space else section.coords
