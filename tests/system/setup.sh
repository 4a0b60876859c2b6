#!/usr/bin/env bash
# Installs what the tests need and this machine lacks; quick and silent about the rest.
#
#   tests/system/setup.sh
#
# Debian packages: as root without sudo, otherwise with sudo. Python packages into .venv, npm packages into
# tests/node_modules, cargo-deny into target/tools: nothing of the user's own is touched.
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$root"
# Where programs for root are; a user's PATH may not say so.
PATH=$PATH:/usr/sbin:/sbin
# The version whose deny.toml syntax ours is.
cargo_deny=0.20.2

# ---- Debian packages ---------------------------------------------------------------------------------------------

# Those whose command is what we need are looked up by command, since it may come from elsewhere (Node from its makers,
# Python from pyenv); the others by package.
missing=()
need_command() { command -v "$1" >/dev/null 2>&1 || missing+=("${@:2}"); }
need_package() {
    [ "$(dpkg-query -W -f='${Status}' "$1" 2>/dev/null)" = 'install ok installed' ] || missing+=("$1")
}

if command -v apt-get >/dev/null; then
    need_command cc gcc libc6-dev
    need_command curl curl
    need_command python3 python3
    need_command npm nodejs npm
    need_command chromium chromium
    command -v firefox >/dev/null || need_command firefox-esr firefox-esr
    need_command dpkg-shlibdeps dpkg-dev
    need_command lintian lintian
    need_command systemd-nspawn systemd-container
    need_command mmdebstrap mmdebstrap
    need_command mkfs.ext4 e2fsprogs
    need_command losetup mount
    need_command pgrep procps
    need_command openssl openssl
    need_command prometheus-alertmanager prometheus-alertmanager
    # For the tests with a real mailbox, which run their own copies of both. Installing Postfix would remove another
    # mail server, and that is not ours to do.
    if command -v postfix >/dev/null || [ ! -e /usr/sbin/sendmail ]; then
        need_command postfix postfix
        need_package dovecot-imapd
        need_package dovecot-lmtpd
    elif [ "${BELFRY_SKIP_REAL_MAIL:-}" != 1 ]; then
        echo "setup: another mail server than Postfix is installed and stays; set BELFRY_SKIP_REAL_MAIL=1" >&2
    fi
    # A gateway for text messages, and the network that it comes with for tests.
    need_package kannel
    need_package kannel-extras
    need_package ca-certificates
    need_package libfaketime
    # An interpreter without ensurepip cannot make a venv: Debian's own needs this package.
    python3 -c 'import ensurepip' 2>/dev/null || missing+=(python3-venv)

    if [ ${#missing[@]} -gt 0 ]; then
        echo "installing: ${missing[*]}"
        as_root=()
        if [ "$(id -u)" != 0 ]; then
            command -v sudo >/dev/null ||
                { echo "setup: not root and no sudo; install as root: apt-get install ${missing[*]}" >&2; exit 1; }
            as_root=(sudo)
        fi
        # The system's own Postfix gets no configuration, and so does not start.
        echo 'postfix postfix/main_mailer_type select No configuration' |
            "${as_root[@]}" debconf-set-selections 2>/dev/null || true
        log=$(mktemp)
        if ! { "${as_root[@]}" apt-get update &&
            "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
                apt-get install -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1 </dev/null; then
            tail -20 "$log" >&2
            exit 1
        fi
        rm -f "$log"
    fi
else
    # Not Debian: say what is missing, and let the stages that need it fail by name.
    for tool in cc curl python3 npm chromium dpkg-deb systemd-nspawn mmdebstrap mkfs.ext4; do
        command -v "$tool" >/dev/null || echo "setup: $tool is missing and this is no Debian; install it by hand" >&2
    done
fi

# ---- packages of the languages: again only when their list changed -------------------------------------------------

# unchanged STAMP FILE… : the files are those that the stamp was made from.
unchanged() { [ -f "$1" ] && [ "$(cat "${@:2}" | sha256sum)" = "$(cat "$1")" ]; }
stamp() { cat "${@:2}" | sha256sum >"$1"; }

if ! unchanged .venv/installed tests/requirements.txt; then
    echo "installing: .venv from tests/requirements.txt"
    python3 -m venv .venv
    .venv/bin/pip install --quiet --disable-pip-version-check --requirement tests/requirements.txt
    stamp .venv/installed tests/requirements.txt
fi

if ! unchanged tests/node_modules/installed tests/package.json tests/package-lock.json; then
    echo "installing: tests/node_modules from tests/package-lock.json"
    (cd tests && npm ci --no-progress --loglevel=error)
    stamp tests/node_modules/installed tests/package.json tests/package-lock.json
fi

for component in rustfmt clippy; do
    cargo "${component/rustfmt/fmt}" --version >/dev/null 2>&1 || rustup component add "$component"
done

if [ "$(target/tools/bin/cargo-deny --version 2>/dev/null)" != "cargo-deny $cargo_deny" ]; then
    # Without optimisation: it runs for a second, and builds in half the time.
    echo "installing: cargo-deny $cargo_deny into target/tools (a minute or two)"
    CARGO_PROFILE_DEV_DEBUG=0 CARGO_TARGET_DIR="$root/target/tools/build" \
        cargo install --quiet --debug --locked --root target/tools "cargo-deny@$cargo_deny"
    rm -rf target/tools/build
fi
