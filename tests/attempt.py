"""Read a path in a process of its own, with an eye on time, memory and tracebacks."""

from __future__ import annotations

import os
import signal
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

MAX_SECONDS, MAX_BYTES = 10.0, 2 * 1024**3
TRIED: Counter[str] = Counter()
"""Damaged inputs tried so far, by kind of file; shown at the end of the test run."""
REFUSED, READ, FAILED, CRASHED, HUNG, BLOATED = (
    "refused", "read", "failed", "crashed", "hung", "bloated",
)  # fmt: skip


class Outcome(NamedTuple):
    """What became of one attempt."""

    kind: str
    text: str
    seconds: float
    grown: int

    @property
    def fine(self) -> bool:
        """Whether a user would have met a section or one clear sentence."""
        return self.kind in (READ, REFUSED)


def attempt(path: Path, **options: Any) -> Outcome:
    """Read ``path`` in a fork of this process, which has everything imported already."""
    from napari_stmask.core.errors import StmaskError
    from napari_stmask.io.read import read

    before = _resident("self")
    start = time.monotonic()
    receive, send = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(receive)
        kind, text = FAILED, ""
        try:
            found = read(path, **options)
            for section in found if isinstance(found, list) else [found]:
                section.lattice.pitch  # noqa: B018, what every view asks for
            kind = READ
        except StmaskError as error:
            kind, text = REFUSED, str(error)
        except BaseException:  # noqa: BLE001, whatever it is, the test wants to see it
            text = traceback.format_exc()
        os.write(send, f"{kind}\n{text[-4000:]}".encode())
        os._exit(0)
    os.close(send)
    state, usage = _wait(child, start + MAX_SECONDS)
    seconds = time.monotonic() - start
    with os.fdopen(receive) as pipe:
        kind, _, text = pipe.read().partition("\n")
    grown = max(0, usage - before)
    if state == "hung":
        kind = HUNG
    elif not kind or state == "crashed":
        kind = CRASHED
    elif grown > MAX_BYTES:
        kind = BLOATED
    return Outcome(kind, text, seconds, grown)


def _wait(child: int, deadline: float) -> tuple[str, int]:
    """How the child ended, and the most memory that it held."""
    while True:
        pid, status, usage = os.wait4(child, os.WNOHANG)
        if pid:
            fine = os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0
            return "ended" if fine else "crashed", usage.ru_maxrss * 1024
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
            return "hung", os.wait4(child, 0)[2].ru_maxrss * 1024
        time.sleep(0.002)


def _resident(pid: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0
