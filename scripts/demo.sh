#!/usr/bin/env bash
# Sets everything up, runs SpaMask on the sample section, leaves the results in stmask-demo/ and
# opens napari. With --headless, or where there is no display, it only writes the files.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/setup.sh
exec "$PYTHON" -m napari_stmask.cli demo "$@"
