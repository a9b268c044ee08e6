"""Closing the viewer during a run leaves no thread and no crash."""

from __future__ import annotations

import subprocess
import sys

import pytest


def ended(script, folder, **values):
    """What a script said that ran in a process of its own and ended well."""
    code = script.format(config=str(folder / "settings.yaml"), **values)
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", code],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


SCRIPT = """
import os, sys, time
os.environ["NAPARI_CONFIG"] = {config!r}
import napari
from qtpy.QtCore import QTimer
from napari_stmask.gui.commands import open_dock
from napari_stmask.gui.session import session_of
from napari_stmask.io.sample import sample_section

viewer = napari.Viewer()
find = open_dock(viewer, "Find domains")
open_dock(viewer, "Domains")
session = session_of(viewer)
session.add(sample_section())
find.form.set_values(dict(epochs=5000, replicates=20, threads=1))
find.start()
assert session.runner.current is not None
job = session.runner.current
state = dict(ticks=0)

def look():
    state["ticks"] += 1
    if find.card._phase == {phase!r} or state["ticks"] > 600:
        timer.stop()
        print("closing in", find.card._phase, flush=True)
        state["closed"] = time.monotonic()
        viewer.close()

timer = QTimer()
timer.timeout.connect(look)
timer.start(50)
napari.run()
from qtpy.QtCore import QThreadPool
assert QThreadPool.globalInstance().waitForDone(5000), "a thread is left"
print("ended after", time.monotonic() - state["closed"], flush=True)
assert "spamask" not in job.section.adata.obs
"""


@pytest.mark.parametrize("phase", ["training", "preparing"])
def test_close_during_a_run(tmp_path, phase):
    done = ended(SCRIPT, tmp_path, phase=phase)
    assert f"closing in {phase}" in done.stdout
    assert "Traceback" not in done.stderr, done.stderr
    assert "deleted" not in done.stderr, done.stderr


WITH_PREVIEW = """
import os
os.environ["NAPARI_CONFIG"] = {config!r}
import napari
from qtpy.QtCore import QTimer
from napari_stmask.gui.commands import open_dock
from napari_stmask.gui.session import session_of
from napari_stmask.io.sample import sample_section

viewer = napari.Viewer()
find = open_dock(viewer, "Find domains")
session = session_of(viewer)
section = sample_section()
session.add(section)
find.methods.setCurrentIndex(find.methods.findData("vimst"))
find.preview.fold.expand(animate=False)
row, column = section.coords[900][::-1] * section.um_per_px
find.preview.pick(row, column)
assert find.preview.listening
assert find.preview._reader.busy

def close():
    print("closing with", len(viewer.layers), "layers", flush=True)
    viewer.window._qt_window.close()

QTimer.singleShot({delay}, close)
napari.run()
print("ended", flush=True)
"""


@pytest.mark.parametrize("delay", [0, 3000])
def test_close_with_a_preview(tmp_path, delay):
    """By the window's own button, while the patch is read and after that."""
    done = ended(WITH_PREVIEW, tmp_path, delay=delay)
    assert "closing with 3 layers" in done.stdout
    assert "ended" in done.stdout
    assert "Error in a slot" not in done.stderr
    assert "napari_stmask" not in done.stderr
