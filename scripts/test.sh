#!/usr/bin/env bash
# Sets everything up and runs the checks and the tests; arguments go to pytest.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export STMASK_EXTRAS=gui,distributed,encoders,integration,spatialdata,wsi,dev
source scripts/setup.sh
bin="$(dirname "$PYTHON")"

"$bin/ruff" check .
"$bin/ruff" format --check .
"$bin/mypy"
"$bin/npe2" validate src/napari_stmask/napari.yaml

# Two test processes of one thread, all windows in one of them. Software rendering: what a window
# draws must not depend on the GPU.
export OMP_NUM_THREADS=1 QT_QPA_PLATFORM="${QT_QPA_PLATFORM:-xcb}" NAPARI_ENSURE_PLUGIN_MAIN_THREAD=1
display=()
if [ -z "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ] && command -v xvfb-run >/dev/null; then
  display=(xvfb-run -a -s "-screen 0 1600x1000x24")
fi
"${display[@]}" "$PYTHON" -m pytest -n 2 --dist loadgroup "$@"
