#!/usr/bin/env bash
# Makes a virtual environment with everything that napari-stmask needs, system libraries included.
# Sourced by demo.sh and test.sh; leaves the path of its Python in $PYTHON.
#   STMASK_VENV   where to make the environment (default: .venv in the project)
#   STMASK_EXTRAS extras to install (default: gui)
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
venv="${STMASK_VENV:-$root/.venv}"
extras="${STMASK_EXTRAS:-gui}"

# What Qt's xcb plugin and software OpenGL load at run time, and a virtual display.
libraries=(
  xvfb xauth libgl1 libglx-mesa0 libgl1-mesa-dri libegl1 libopengl0 libfontconfig1 libfreetype6
  libdbus-1-3 libxkbcommon0 libxkbcommon-x11-0 libx11-xcb1 libxcb1 libxcb-cursor0 libxcb-icccm4
  libxcb-image0 libxcb-keysyms1 libxcb-randr0 libxcb-render0 libxcb-render-util0 libxcb-shape0
  libxcb-shm0 libxcb-sync1 libxcb-util1 libxcb-xfixes0 libxcb-xkb1 libxcb-xinerama0
)

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif command -v sudo >/dev/null; then sudo "$@"
  else return 1
  fi
}

install_libraries() {
  command -v apt-get >/dev/null || return 0
  # The threaded rename of Ubuntu 24.04 is the one name that differs between releases.
  local glib=libglib2.0-0 missing=() name
  apt-cache show libglib2.0-0t64 >/dev/null 2>&1 && glib=libglib2.0-0t64
  for name in "${libraries[@]}" "$glib" "$@"; do
    dpkg-query -W -f='${Status}' "$name" 2>/dev/null | grep -q 'install ok installed' || missing+=("$name")
  done
  [ ${#missing[@]} = 0 ] && return 0
  echo "Installing system libraries: ${missing[*]}" >&2
  as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq >&2 &&
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2 ||
    echo "Could not install them; ask an administrator for: ${missing[*]}" >&2
}

find_python() {
  local name
  for name in python3 python3.13 python3.12 python3.11 python; do
    if command -v "$name" >/dev/null && "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      echo "$name"
      return
    fi
  done
  echo "Python 3.11 or newer is needed." >&2
  return 1
}

system_python="$(find_python)"
if "$system_python" -c 'import ensurepip, venv' 2>/dev/null; then
  install_libraries
else
  install_libraries "python$("$system_python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv"
fi

PYTHON="$venv/bin/python"
wanted="$(cat "$root/pyproject.toml" "$root/constraints.txt" | cksum) $extras"
if [ ! -x "$PYTHON" ] || [ "$(cat "$venv/.stmask-installed" 2>/dev/null)" != "$wanted" ]; then
  [ -x "$PYTHON" ] || "$system_python" -m venv "$venv"
  "$PYTHON" -m pip install --quiet --disable-pip-version-check --upgrade pip >&2
  "$PYTHON" -m pip install --quiet --disable-pip-version-check \
    -c "$root/constraints.txt" -e "$root[$extras]" >&2
  echo "$wanted" >"$venv/.stmask-installed"
fi
export PYTHON
