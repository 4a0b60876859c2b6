#!/usr/bin/env bash
# Checks the unit file without a running systemd: that it verifies without a word and that its exposure level is low.
#
#   tests/system/unit_file.sh
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
# The level times ten. 1.2 is what a server that talks to the network can reach; 1.5 leaves room for one more need.
threshold=15

# `verify` wants the programs that the unit names, so the unit is looked at in a directory with a stand-in for ours.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
printf '#!/bin/sh\n' >"$work/belfry"
chmod 755 "$work/belfry"
sed "s|^ExecStart=/usr/bin/belfry|ExecStart=$work/belfry|" "$root/systemd/belfry.service" >"$work/belfry.service"
grep -q "^ExecStart=$work/belfry serve\$" "$work/belfry.service" || { echo "the unit does not start belfry" >&2; exit 1; }

said=$(systemd-analyze verify --recursive-errors=no --man=no "$work/belfry.service" 2>&1) || { echo "$said"; exit 1; }
[ -z "$said" ] || { echo "systemd-analyze verify has something to say:"; echo "$said"; exit 1; }
echo "the unit verifies"

report=$(systemd-analyze security --offline=true --threshold=$threshold --no-pager "$work/belfry.service") ||
    { echo "$report"; exit 1; }
echo "$report" | tail -1
