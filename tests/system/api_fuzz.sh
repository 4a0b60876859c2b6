#!/usr/bin/env bash
# Asks the program everything that its own description says can be asked, and holds each answer against the description:
# no 500, no status or content type that it does not name, no body of another shape. The seed is fixed.
set -euo pipefail
: "${BELFRY_BIN:?names the program to test}"

work=$(mktemp -d)
server=
clean() {
    [ -z "$server" ] || { kill "$server" 2>/dev/null; wait "$server" || true; }
    rm -rf "$work"
}
trap clean EXIT

key=bk_$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')
BELFRY_AUTH__ADMIN_KEY=$key BELFRY_CHANNELS__EMAIL__MODE=capture BELFRY_LOG__LEVEL=warn \
    env -u BELFRY_BIN "$BELFRY_BIN" serve --listen 127.0.0.1:0 --data "$work/data" >"$work/said" 2>"$work/log" &
server=$!
url=
for _ in $(seq 100); do
    url=$(grep -om1 'http://127[^ ]*' "$work/said") && break
    kill -0 "$server" || { cat "$work/log" >&2; exit 1; }
    sleep 0.1
done
[ -n "$url" ] || { echo "the server did not say where it listens" >&2; exit 1; }

cd "$work"
# The two that are left out answer with a stream that does not end.
timeout 240 schemathesis run "$url/v1/openapi.json" \
    --header "Authorization: Bearer $key" \
    --checks not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance \
    --phases examples,coverage,fuzzing --max-examples "${API_FUZZ_EXAMPLES:-25}" --seed 20261125 \
    --generation-database none --request-timeout 10 --no-color --exclude-path-regex '/v1/(ws|sse)$'
if [ -s "$work/log" ] && grep -i 'panicked' "$work/log"; then
    echo "the server's log tells of a panic" >&2
    exit 1
fi
