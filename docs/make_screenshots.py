"""Make the pictures of the window in docs/images: the whole flow on one section.

    xvfb-run -a -s "-screen 0 1600x1000x24" python docs/make_screenshots.py [PATH]

Without PATH the generated example is shown.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

IMAGES = Path(__file__).parent / "images"
SIZE = (1400, 900)
MAX_BYTES = 600_000


def settle(seconds: float = 1.0, until: Callable[[], bool] | None = None) -> None:
    """Let Qt work for ``seconds``, or until a condition holds."""
    from qtpy.QtWidgets import QApplication

    end = time.monotonic() + seconds
    while time.monotonic() < end:
        QApplication.processEvents()
        if until is not None and until():
            return
        time.sleep(0.02)
    if until is not None:
        raise SystemExit("The window did not get that far.")


def save(pixels, name: str) -> None:
    """Write a picture with as many colours as fit into the size limit."""
    from PIL import Image

    IMAGES.mkdir(exist_ok=True)
    path = IMAGES / name
    picture = Image.fromarray(pixels).convert("RGB")
    for colors in (None, 256, 128, 64):
        reduced = picture if colors is None else picture.quantize(colors, dither=Image.Dither.NONE)
        reduced.save(path, optimize=True)
        if path.stat().st_size <= MAX_BYTES:
            break
    print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")


def shoot(viewer, name: str) -> None:
    """The whole window."""
    settle(0.8)
    save(viewer.screenshot(canvas_only=False, flash=False), name)


def shoot_widget(widget, name: str) -> None:
    """One dock's page, as far as its content goes."""
    import numpy as np
    from qtpy.QtGui import QImage

    inner = widget.scroller.widget()
    picture = widget.grab().toImage().convertToFormat(QImage.Format.Format_RGB888)
    bits = picture.constBits()
    if hasattr(bits, "setsize"):
        bits.setsize(picture.sizeInBytes())
    rows = np.frombuffer(bits, np.uint8).reshape(picture.height(), picture.bytesPerLine())
    rows = rows[:, : 3 * picture.width()].reshape(picture.height(), picture.width(), 3)
    save(rows[: min(len(rows), inner.sizeHint().height())].copy(), name)


def main(path: str | None) -> None:
    """Open, run, and photograph every step in the dark theme, the last one in the light one."""
    import napari

    from napari_stmask.gui.commands import open_dock
    from napari_stmask.gui.session import session_of

    viewer = napari.Viewer()
    viewer.theme = "dark"
    viewer.window.resize(*SIZE)
    session = session_of(viewer)
    tissue = open_dock(viewer, "Open tissue")
    if path is None:
        tissue.open_example()
    else:
        tissue.open_path(path)
    settle(120, lambda: session.selected is not None)
    viewer.reset_view()
    shoot(viewer, "open-tissue.png")

    find = open_dock(viewer, "Find domains")
    settle(60, lambda: find.cost.text().startswith("Estimate"))
    shoot(viewer, "find-domains.png")

    find.form.set_values({"n_domains": 7 if path else 6})
    find.start()
    card = find.card
    settle(120, lambda: card._phase == "training" and card.bar.value() > 0.4 * card.bar.maximum())
    shoot(viewer, "running.png")
    settle(300, lambda: session.runner.current is None)
    if card.job.failure is not None:
        raise SystemExit(card.job.failure.details)
    domains = open_dock(viewer, "Domains")
    shoot(viewer, "domains-dark.png")
    shoot_widget(domains, "legend.png")
    viewer.theme = "light"
    shoot(viewer, "domains-light.png")
    viewer.close()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        # The pictures must not depend on, or change, the user's napari settings.
        os.environ["NAPARI_CONFIG"] = str(Path(folder) / "settings.yaml")
        main(sys.argv[1] if len(sys.argv) > 1 else None)
