"""Closing the viewer during a run leaves no thread and no crash."""

from __future__ import annotations

import subprocess
import sys

import pytest

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
    code = SCRIPT.format(config=str(tmp_path / "settings.yaml"), phase=phase)
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", code],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"closing in {phase}" in done.stdout
    assert "Traceback" not in done.stderr, done.stderr
    assert "deleted" not in done.stderr, done.stderr
