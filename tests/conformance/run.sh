#!/usr/bin/env bash
# Runs the Autobahn test suite against the server's own handshake and frames, and compares with what is expected.
#
#   tests/conformance/run.sh [--accept]     --accept writes the outcome down as the expected one
#
# The suite needs Python 2.7 (PYTHON2, or the newest of pyenv); it and its helper are installed from Python's package
# index into target/conformance. Binary messages are left out, since the protocol has none, and so is compression.
# BELFRY_SKIP_CONFORMANCE=1 is for machines without Python 2.7.
set -euo pipefail

if [ "${BELFRY_SKIP_CONFORMANCE:-}" = 1 ]; then
    echo "conformance: skipped as asked"
    exit 0
fi

root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$root"
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
work=$target/conformance
port=${CONFORMANCE_PORT:-52909}
mkdir -p "$work"

if [ ! -x "$work/py2/bin/wstest" ]; then
    python2=${PYTHON2:-$(ls -d "${PYENV_ROOT:-$HOME/.pyenv}"/versions/2.7.*/bin/python2.7 2>/dev/null | tail -1)}
    [ -n "$python2" ] || { echo "conformance: no Python 2.7; set PYTHON2, or BELFRY_SKIP_CONFORMANCE=1" >&2; exit 1; }
    python3 -m venv "$work/tool"
    # The last version that can make an environment for Python 2.
    "$work/tool/bin/pip" -q --disable-pip-version-check install virtualenv==20.15.1
    "$work/tool/bin/virtualenv" -q -p "$python2" "$work/py2"
    "$work/py2/bin/pip" -q --disable-pip-version-check install autobahntestsuite==25.10.1
fi

cargo build --quiet --locked --example websocket_echo
"$target/debug/examples/websocket_echo" "127.0.0.1:$port" >"$work/echo.log" 2>&1 &
echo_pid=$!
trap 'kill $echo_pid 2>/dev/null || true' EXIT
for _ in $(seq 100); do grep -q '^ready' "$work/echo.log" && break; sleep 0.1; done

cat >"$work/spec.json" <<JSON
{"outdir": "$work/report", "servers": [{"agent": "belfry", "url": "ws://127.0.0.1:$port"}], "cases": ["*"],
 "exclude-cases": ["1.2.*", "9.2.*", "9.4.*", "9.6.*", "9.8.*", "12.*", "13.*"], "exclude-agent-cases": {}}
JSON
rm -rf "$work/report"
"$work/py2/bin/wstest" -m fuzzingclient -s "$work/spec.json" >"$work/suite.log" 2>&1

python3 tests/conformance/summary.py "$work/report/index.json" >"$work/summary.txt"
if [ "${1:-}" = --accept ]; then
    cp "$work/summary.txt" tests/conformance/expected.txt
fi
diff -u tests/conformance/expected.txt "$work/summary.txt"
tail -1 "$work/summary.txt"
