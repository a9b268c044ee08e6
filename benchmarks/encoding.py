"""CPU time of the built-in descriptor against a plain loop over patches.

    python benchmarks/encoding.py [--patches 1000] [--pixels 224] [--plain 50]

Both run in this process on one thread and describe the same patches, cut at random from a
picture of stained tissue that scikit-image brings. The loop computes the same kinds of numbers
with scikit-image and SciPy, one patch after the other. Prints CPU seconds and their ratio.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, stats
from skimage.color import rgb2hed, rgb2hsv
from skimage.data import immunohistochemistry
from skimage.feature import local_binary_pattern, peak_local_max
from threadpoolctl import threadpool_limits

from napari_stmask.core.histology import Histology
from napari_stmask.features.encoders import Descriptor
from napari_stmask.features.patches import Patches

Array = NDArray[Any]


def plain(patch: Array) -> Array:
    """The numbers of `Descriptor`, for one patch, by the usual calls."""
    stains, saturation = rgb2hed(patch), rgb2hsv(patch)[..., 1]
    haematoxylin, eosin = stains[..., 0], stains[..., 1]
    found: list[float] = []
    for plane in (haematoxylin, eosin, *np.moveaxis(patch / 255, 2, 0), saturation):
        found += [plane.mean(), plane.std(), float(stats.skew(plane, axis=None))]
        found += np.percentile(plane, [5, 25, 50, 75, 95]).tolist()
    for plane in (haematoxylin, eosin):
        for sigma in (1, 2, 4, 8):
            edge = ndimage.gaussian_gradient_magnitude(plane, sigma)
            blob = ndimage.gaussian_laplace(plane, sigma)
            found += [edge.mean(), edge.std(), blob.std(), float(np.percentile(blob, 2))]
    scaled = (255 * (haematoxylin - haematoxylin.min()) / np.ptp(haematoxylin)).astype(np.uint8)
    for radius in (1, 2, 4):
        pattern = local_binary_pattern(scaled, 8, radius, "uniform")
        found += np.histogram(pattern, 10, (0, 10), density=True)[0].tolist()
    found += [(haematoxylin > level).mean() for level in (0.03, 0.06, 0.1)]
    blob = -ndimage.gaussian_laplace(haematoxylin, 8)
    found.append(len(peak_local_max(blob, min_distance=4, threshold_abs=1e-4)))
    found.append((patch.min(axis=2) > 230).mean())
    cells = haematoxylin.reshape(8, len(patch) // 8, 8, len(patch) // 8)
    within = cells.std(axis=(1, 3))
    found += [cells.mean(axis=(1, 3)).std(), within.mean(), within.std()]
    return np.array(found)


def cpu_seconds(work: Callable[[], Any]) -> float:
    """CPU seconds of one call."""
    start = time.process_time()
    work()
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patches", type=int, default=1000)
    parser.add_argument("--pixels", type=int, default=224)
    parser.add_argument("--plain", type=int, default=50, help="patches that the loop describes")
    given = parser.parse_args()
    picture = immunohistochemistry()
    places = np.random.default_rng(0).uniform(120, 390, (given.patches, 2))
    with threadpool_limits(1):
        cutter = Patches(Histology([picture]), places, side=200, pixels=given.pixels)
        blocks: list[Array] = []
        cut = cpu_seconds(lambda: blocks.extend(block for _, block in cutter.blocks(64)))
        ours = cpu_seconds(lambda: [Descriptor().encode(block) for block in blocks])
        few = np.concatenate(blocks)[: given.plain]
        loop = cpu_seconds(lambda: [plain(patch) for patch in few]) / len(few) * given.patches
    print(f"{given.patches} patches of {given.pixels} pixels, CPU seconds on one thread")
    print(f"  cutting them          {cut:7.2f}")
    print(f"  descriptor            {ours:7.2f}")
    print(f"  plain loop            {loop:7.2f}   (from {len(few)} patches)")
    print(f"  loop / descriptor     {loop / ours:7.1f}")


if __name__ == "__main__":
    main()
