#!/usr/bin/env bash
# Cuts the power under the store and checks that every acknowledged notification survived.
#
#   tests/system/powercut.sh [ROUNDS]          3 rounds by default
#
# Each round: the server writes to ext4 on a loop image while several connections publish; after 1–2 s it is killed and
# the image file copied at once. The copy holds what had reached the "disk": what lived in the page cache or in an
# uncommitted journal alone is not in it. A server started on the copy must have every acknowledged notification in its
# inbox and send its mail.
#
# Each round also proves its own sharpness: a canary written without fsync beside the store must be gone from the copy,
# one written with fsync must be there. Otherwise the round would have passed anything, and fails.
#
#   BELFRY_BIN              the program (target/release/belfry)
#   BELFRY_SKIP_POWERCUT=1  for machines without loop devices: says so and ends with 0
#   POWERCUT_KEEP=1         keeps the working directory of a failed run
#
# Needs root and loop devices (ext4 in the kernel, losetup, mkfs.ext4) and python3.
set -uo pipefail

rounds=${1:-3}
here=$(cd "$(dirname "$0")" && pwd)
bin=$(realpath -m "${BELFRY_BIN:-$here/../../target/release/belfry}")
key=bk_powercut_admin_key_for_this_test_0123456789

if [ "${BELFRY_SKIP_POWERCUT:-}" = 1 ]; then
    echo "SKIPPED: the power-cut test did not run (BELFRY_SKIP_POWERCUT=1): durability is not proved here"
    exit 0
fi
[ -x "$bin" ] || { echo "FAIL: no program at $bin (set BELFRY_BIN)" >&2; exit 2; }

work=$(mktemp -d -t belfry-powercut.XXXXXX)
server=
publisher=
passed=0
failed=0

cleanup() {
    for pid in $publisher $server; do kill -9 "$pid" 2>/dev/null; done
    wait 2>/dev/null
    for mountpoint in "$work/live" "$work/after"; do
        mountpoint -q "$mountpoint" && { umount "$mountpoint" || umount -l "$mountpoint"; }
    done
    if [ "$failed" -gt 0 ] && [ "${POWERCUT_KEEP:-}" = 1 ]; then
        echo "kept $work"
    else
        rm -rf --one-file-system "$work"
    fi
}
trap cleanup EXIT
trap 'exit 130' INT TERM

mkdir "$work/live" "$work/after"

# An empty ext4 in a sparse file. 512 MiB hold some 20 times what 2 s of publishing write.
make_image() {
    rm -f "$1"
    truncate -s 512M "$1" && mkfs.ext4 -q -F "$1"
}

# commit=120: ext4 would commit its journal every 5 s by itself, which would save by luck what the store forgot to
# sync, and could fall into the copying. This way only the store's own syncs reach the image.
mount_image() { mount -o loop,commit=120 "$1" "$2"; }

cannot() {
    echo "FAIL: this machine cannot mount a loop image ($1). Where that is expected, set BELFRY_SKIP_POWERCUT=1." >&2
    failed=1
    exit 1
}
[ "$(id -u)" = 0 ] || cannot "not root"
make_image "$work/probe.img" || cannot "mkfs.ext4 failed"
mount_image "$work/probe.img" "$work/live" || cannot "mount failed"
umount "$work/live"
rm -f "$work/probe.img"

# serve DIRECTORY NAME : starts the server on the directory; sets $server and $url once it answers.
serve() {
    local out=$work/$2.out
    env -i PATH="$PATH" HOME="$work" \
        BELFRY_STORAGE__PATH="$1" BELFRY_SERVER__LISTEN=127.0.0.1:0 BELFRY_AUTH__ADMIN_KEY="$key" \
        BELFRY_CHANNELS__EMAIL__MODE=capture BELFRY_LOG__LEVEL=warn \
        "$bin" serve >"$out" 2>&1 </dev/null &
    server=$!
    url=
    # 30 s: a store that was cut replays its log first.
    for _ in $(seq 600); do
        url=$(sed -n 's/.*listening on \(http:\/\/[^[:space:]]*\).*/\1/p' "$out" | head -1)
        [ -n "$url" ] && curl -fsS --max-time 2 -o /dev/null "$url/readyz" 2>/dev/null && return 0
        kill -0 "$server" 2>/dev/null || break
        sleep 0.05
    done
    echo "the server did not get ready:"
    tail -20 "$out"
    return 1
}

kill_server() {
    kill -9 "$server" 2>/dev/null
    # Waits for what it had in the kernel too: after this nothing writes to the image.
    wait "$server" 2>/dev/null
    server=
}

# Lets the server write and cuts its power; leaves the image as of that instant in $work/cut.img.
write_and_cut() {
    make_image "$work/live.img" && mount_image "$work/live.img" "$work/live" || return 1
    # The canaries. The store's later syncs commit the journal, and with it this file's name; its content never
    # leaves the page cache, since nobody syncs it.
    head -c 65536 /dev/urandom >"$work/synced" && cp "$work/synced" "$work/live/synced" && sync -f "$work/live" || return 1
    head -c 65536 /dev/urandom >"$work/live/unsynced" || return 1

    serve "$work/live/data" "live" || return 1
    python3 "$here/publish.py" "$url" "$key" "$work/acked" >"$work/publish.out" 2>&1 &
    publisher=$!
    for _ in $(seq 200); do
        grep -q '^publishing' "$work/publish.out" && break
        kill -0 "$publisher" 2>/dev/null || { cat "$work/publish.out"; return 1; }
        sleep 0.05
    done
    sleep "1.$(printf %02d $((RANDOM % 100)))"
    kill_server
    cp --sparse=always "$work/live.img" "$work/cut.img" || return 1
    wait "$publisher" || { echo "the publisher met a wrong answer:"; cat "$work/publish.out"; return 1; }
    publisher=
    umount "$work/live"
}

# Mounts the copy, as a machine does after the power is back, and asks a server on it for everything promised.
check_after() {
    mount_image "$work/cut.img" "$work/after" || return 1
    cmp -s "$work/synced" "$work/after/synced" || { echo "the synced canary is gone: the copy is not a disk"; return 1; }
    if [ -s "$work/after/unsynced" ]; then
        echo "the canary that nobody synced survived: this cut would prove nothing"
        return 1
    fi
    serve "$work/after/data" "after" || return 1
    python3 "$here/check_acked.py" "$url" "$key" "$work/acked" || { echo "log of the server:"; tail -5 "$work/after.out"; return 1; }
}

tidy_round() {
    [ -n "$server" ] && kill_server
    [ -n "$publisher" ] && { kill -9 "$publisher" 2>/dev/null; wait "$publisher" 2>/dev/null; publisher=; }
    for mountpoint in "$work/live" "$work/after"; do
        mountpoint -q "$mountpoint" && umount "$mountpoint"
    done
}

for round in $(seq "$rounds"); do
    started=$(date +%s%3N)
    # Not in a subshell: the functions set $server and $publisher, which the clean-up needs.
    { write_and_cut && check_after; } >"$work/round" 2>&1
    result=$?
    if [ "$result" = 0 ]; then
        passed=$((passed + 1))
        verdict=ok
    else
        failed=$((failed + 1))
        verdict=FAIL
    fi
    printf '%-5s round %d: %s (%d ms)\n' "$verdict" "$round" "$(paste -sd'|' "$work/round" | sed 's/|/\n        /g')" \
        "$(($(date +%s%3N) - started))"
    tidy_round
done

printf '%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
