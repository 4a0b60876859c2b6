#!/usr/bin/env bash
# Runs one stage of the tests: a header, the command, and its seconds and verdict.
#
#   tests/system/stage.sh NAME COMMAND…
set -uo pipefail

name=$1
shift
printf '\n==== %s ====\n' "$name"
started=$(date +%s%3N)
"$@"
status=$?
elapsed=$(($(date +%s%3N) - started))
verdict=passed
[ "$status" = 0 ] || verdict="FAILED ($status)"
printf '==== %s %s in %d.%d s ====\n' "$name" "$verdict" $((elapsed / 1000)) $((elapsed % 1000 / 100))
exit "$status"
