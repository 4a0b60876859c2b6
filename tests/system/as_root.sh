#!/usr/bin/env bash
# Runs a command as root: directly where we are, else through sudo, else not at all and says so.
#
#   tests/system/as_root.sh COMMAND…
set -euo pipefail

[ "$(id -u)" = 0 ] && exec "$@"
command -v sudo >/dev/null || { echo "needs root (no sudo here): $*" >&2; exit 1; }
exec sudo --preserve-env=BELFRY_BIN,BELFRY_SKIP_POWERCUT,BELFRY_NSPAWN_DIR,POWERCUT_KEEP "$@"
