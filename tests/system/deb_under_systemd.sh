#!/usr/bin/env bash
# Installs the package under a real systemd and looks at it as an administrator would.
#
#   tests/system/deb_under_systemd.sh DEB
#
# Boots Debian 12 in a systemd-nspawn container of its own (no systemd needed on the host, no network in the
# container) and checks installation, readiness, `kill -9`, the watchdog, restart, reload, stop, file modes,
# upgrade, removal and purge. One line per check; ends with `N passed, N failed`, and fails if any failed.
#
#   BELFRY_NSPAWN_DIR    where the container's root file system is kept and unpacked (target/nspawn)
#
# Needs root, systemd-container and mmdebstrap; what it uses inside, the container brings.
set -uo pipefail

deb=$(realpath "${1:?usage: deb_under_systemd.sh DEB}")
[ -f "$deb" ] || { echo "no package at $deb" >&2; exit 2; }
[ "$(id -u)" = 0 ] || { echo "deb_under_systemd.sh must run as root: it boots a container" >&2; exit 2; }
for tool in systemd-nspawn mmdebstrap nsenter dpkg-deb; do
    command -v "$tool" >/dev/null || { echo "$tool is missing: run make setup" >&2; exit 2; }
done

repository=$(cd "$(dirname "$0")/../.." && pwd)
work=$(realpath -m "${BELFRY_NSPAWN_DIR:-$repository/target/nspawn}")
unit=belfry.service
base=http://127.0.0.1:8470
passed=0
failed=0
mkdir -p "$work"

# ---- the container ---------------------------------------------------------------------------------------------

machine=belfry-test-$$
rootfs=$work/$machine
nspawn=
init=

cleanup() {
    # Asks init to power off, waits up to 5 s, then takes the whole container away.
    [ -n "$init" ] && kill -s SIGRTMIN+4 "$init" 2>/dev/null
    if [ -n "$nspawn" ]; then
        for _ in $(seq 50); do kill -0 "$nspawn" 2>/dev/null || break; sleep 0.1; done
        [ -n "$init" ] && kill -9 "$init" 2>/dev/null
        kill -9 "$nspawn" 2>/dev/null
        wait "$nspawn" 2>/dev/null
    fi
    rm -rf --one-file-system "$rootfs"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# Runs a command inside, as root. 60 s: longer than any of them takes, shorter than the unit's time to start.
inside() {
    timeout 60 nsenter -t "$init" -m -u -i -n -p -C env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 \
        DEBIAN_FRONTEND=noninteractive SYSTEMD_PAGER='' SYSTEMD_COLORS=0 "$@" </dev/null
}

# Boots the container; fails with its console where it does not come up.
boot() {
    if [ ! -f "$work/rootfs.tar" ]; then
        echo "making the root file system (once, kept in $work)"
        # `bookworm` because 252 is the oldest systemd that the unit promises to run under.
        mmdebstrap --variant=minbase --include=systemd,systemd-sysv,dbus,ca-certificates,curl,procps,iproute2 \
            bookworm "$work/rootfs.$$.tar" >"$work/mmdebstrap.log" 2>&1 &&
            mv "$work/rootfs.$$.tar" "$work/rootfs.tar" || { tail -5 "$work/mmdebstrap.log" >&2; return 1; }
    fi
    mkdir "$rootfs" && tar -xf "$work/rootfs.tar" -C "$rootfs" || return 1
    cp "$deb" "$rootfs/belfry.deb"
    systemd-nspawn -D "$rootfs" -M "$machine" --register=no --keep-unit --boot --private-network \
        --console=read-only </dev/null >"$work/console.log" 2>&1 &
    nspawn=$!
    for _ in $(seq 100); do init=$(pgrep -P "$nspawn" | head -1); [ -n "$init" ] && break; sleep 0.1; done
    for _ in $(seq 300); do
        case "$(inside systemctl is-system-running 2>/dev/null)" in
        running | degraded) inside ip link set lo up; return ;;
        esac
        kill -0 "$nspawn" 2>/dev/null || break
        sleep 0.1
    done
    echo "the container did not boot:" >&2
    tail -20 "$work/console.log" >&2
    return 1
}

# ---- telling -----------------------------------------------------------------------------------------------------

now_ms() { date +%s%3N; }

# check CLAIM COMMAND… : the claim holds where the command succeeds.
check() {
    local claim=$1 output started
    shift
    started=$(now_ms)
    if output=$("$@" 2>&1); then
        passed=$((passed + 1))
        printf 'ok    %s (%d ms)\n' "$claim" "$(($(now_ms) - started))"
    else
        failed=$((failed + 1))
        printf 'FAIL  %s (%d ms)\n' "$claim" "$(($(now_ms) - started))"
        printf '%s\n' "$output" | tail -15 | sed 's/^/        /'
    fi
}

# equals WANTED COMMAND… : the command prints exactly this.
equals() {
    local wanted=$1 got
    shift
    got=$("$@" 2>&1)
    [ "$got" = "$wanted" ] || { echo "wanted '$wanted', got '$got'"; return 1; }
}

# within SECONDS COMMAND… : the command succeeds before the time is up.
within() {
    local deadline output
    deadline=$(($(now_ms) + $1 * 1000))
    shift
    while [ "$(now_ms)" -lt "$deadline" ]; do
        output=$("$@" 2>&1) && return 0
        sleep 0.1
    done
    echo "not in time: ${output:-$*}"
    inside systemctl status "$unit" --no-pager -n 15
    return 1
}

# ---- questions ---------------------------------------------------------------------------------------------------

property() { inside systemctl show "$unit" -p "$1" --value; }
active() { equals active inside systemctl is-active "$unit"; }
main_pid() { property MainPID; }
ready() { inside curl -fsS --max-time 2 -o /dev/null "$base/readyz"; }
journal() { inside journalctl -u "$unit" --no-pager -o cat; }
reported_ready() { active && [ "$(property Type)" = notify ] && ready; }
mode() { inside stat -c '%a %U:%G' "$1"; }
absent() { ! inside test -e "$1"; }
moved_on_from() { [ "$(main_pid)" != "$1" ] && [ "$(main_pid)" != 0 ]; }

# api METHOD PATH [JSON] : the body, then the status on a line of its own.
api() {
    local method=$1 path=$2
    shift 2
    inside curl -sS --max-time 10 -X "$method" -H "Authorization: Bearer $key" -H 'Content-Type: application/json' \
        ${1:+--data "$1"} -w '\n%{http_code}' "$base$path"
}

# answers STATUS METHOD PATH [JSON]
answers() {
    local wanted=$1 answer
    shift
    answer=$(api "$@")
    [[ "${answer##*$'\n'}" =~ ^($wanted)$ ]] || { echo "wanted $wanted, got: $answer"; return 1; }
}

key_in_journal() { key=$(journal | sed -n 's/.*admin key: \([^[:space:]]*\).*/\1/p' | head -1); [ -n "$key" ]; }
in_inbox() { api GET '/v1/users/ops/inbox?limit=50' | grep -qF "\"$1\""; }
journal_says() { journal | grep -qi "$1"; }
key_said_once() { [ "$(journal | grep -c 'admin key: ')" = 1 ]; }

# Says how it went, with the journal where it went wrong, and ends.
finish() {
    if [ "$failed" -gt 0 ]; then
        echo "the journal of the service, its end:"
        journal | tail -30 | sed -E 's/(admin key: ).*/\1…/; s/^/    /'
    fi
    printf '%d passed, %d failed\n' "$passed" "$failed"
    [ "$failed" = 0 ]
    exit
}

# ---- the checks --------------------------------------------------------------------------------------------------

started=$(now_ms)
boot || { echo "0 passed, 1 failed"; exit 1; }
printf 'booted Debian %s with %s in %d ms\n' "$(inside cat /etc/debian_version)" \
    "$(inside systemctl --version | sed -n '1s/ (.*//p')" "$(($(now_ms) - started))"

check "the package installs" inside dpkg -i /belfry.deb
check "the service is enabled" equals enabled inside systemctl is-enabled "$unit"
check "the service says READY and answers" within 10 reported_ready
[ "$failed" = 0 ] || finish
check "the unit verifies without a warning" equals "" inside systemd-analyze verify /usr/lib/systemd/system/$unit
check "the exposure level is 1.5 or lower" inside systemd-analyze security --threshold=15 --no-pager $unit
check "it runs as belfry" equals belfry inside stat -c %U "/proc/$(main_pid)"
check "it holds no capability" equals 0000000000000000 inside awk '/^CapEff/{print $2}' "/proc/$(main_pid)/status"
check "the state directory is its own alone" equals "700 belfry:belfry" mode /var/lib/belfry
check "nothing in it is readable for others" equals "" inside find /var/lib/belfry -perm /077
for page in belfry belfry-serve belfry-user-erase; do
    check "the manual has a page $page" inside gzip -t "/usr/share/man/man1/$page.1.gz"
done
for shell in bash-completion/completions/belfry zsh/vendor-completions/_belfry fish/vendor_completions.d/belfry.fish; do
    check "the commands are completed by $shell" inside grep -q explain "/usr/share/$shell"
done
check "the configuration is root's, readable for belfry alone" equals "640 root:belfry" mode /etc/belfry/belfry.toml

key=
key_in_journal
check "the first start says an admin key in the journal" test -n "$key"
check "the doctor finds nothing that fails, as the server's own user" inside runuser -u belfry -- \
    env BELFRY_KEY="$key" belfry doctor --data /var/lib/belfry
check "a user is stored" answers '200|201|204' PUT /v1/users/ops '{"email":"ops@example.org"}'
check "a wrong key is refused" equals 401 inside curl -s -o /dev/null -w '%{http_code}' \
    -H 'Authorization: Bearer wrong' "$base/v1/users/ops/inbox"

victim=$(main_pid)
answer=$(api POST /v1/notifications \
    '{"user_id":"ops","type":"system_alert","title":"Disk","message":"full","priority":"high","category":"system"}')
inside kill -9 "$victim"
id=$(printf '%s' "$answer" | sed -n 's/.*"notification_id" *: *"\([^"]*\)".*/\1/p')
check "a notification is accepted with 202" equals 202 echo "${answer##*$'\n'}"
check "after kill -9 it is back" within 20 moved_on_from "$victim"
check "and ready" within 20 ready
check "systemd counted one restart" equals 1 property NRestarts
check "the notification answered before the kill is in the inbox" in_inbox "${id:-no notification id in the answer}"
check "the key was said once, not again" key_said_once

# A short watchdog for this container; the unit's own of 30 s is the same mechanism.
inside mkdir -p /etc/systemd/system/$unit.d
inside sh -c "printf '[Service]\nWatchdogSec=3\n' > /etc/systemd/system/$unit.d/test.conf"
inside systemctl daemon-reload
check "restart works" inside systemctl restart "$unit"
check "it is ready as soon as restart returns" ready
check "the watchdog is 3 s in this test" equals 3s property WatchdogUSec
victim=$(main_pid)
sleep 4
check "a healthy server is left alone by its watchdog" equals "$victim" main_pid
inside kill -STOP "$victim"
check "a stopped server is replaced within twice the watchdog time" within 7 moved_on_from "$victim"
check "and the new one is ready" within 20 ready
check "the journal says that it was the watchdog" journal_says 'watchdog timeout'

victim=$(main_pid)
check "reload works" inside systemctl reload "$unit"
check "reload keeps the process" equals "$victim" main_pid
check "and keeps serving" within 5 ready

check "upgrading to the same version works" inside dpkg -i /belfry.deb
check "an upgrade restarts the server" moved_on_from "$victim"
check "and it says READY" within 10 reported_ready
check "an upgrade keeps the mode of the configuration" equals "640 root:belfry" mode /etc/belfry/belfry.toml
check "the notification is still there" in_inbox "${id:-no notification id in the answer}"

check "stop works" inside systemctl stop "$unit"
check "it ended by itself and in order" equals "success 0" sh -c "echo $(property Result) $(property ExecMainStatus)"
inside systemctl start "$unit"

check "the package is removed" inside dpkg -r belfry
check "removal stops the server" equals inactive inside systemctl is-active "$unit"
check "removal keeps the state" inside test -d /var/lib/belfry
check "removal keeps the configuration" inside test -f /etc/belfry/belfry.toml
check "installing again finds the state" inside dpkg -i /belfry.deb
check "and serves it" within 10 in_inbox "${id:-no notification id in the answer}"
check "the package is purged" inside dpkg -P belfry
check "purge removes the state" absent /var/lib/belfry
check "purge removes the configuration" absent /etc/belfry/belfry.toml
check "purge leaves no trace in systemd" absent /etc/systemd/system/multi-user.target.wants/$unit
check "the account stays" inside id belfry

finish
