#!/usr/bin/env bash
# Runs the tests of the mail channel against a real Postfix and Dovecot, which want root; then, with the built program,
# that of mails which Postfix sends back.
#
#   BELFRY_BIN=target/release/belfry tests/system/real_mail.sh
#
# Built as the user that builds, run as root. BELFRY_SKIP_REAL_MAIL=1 is for machines that have another mail server
# installed, which Debian's Postfix would replace: says so and ends with 0.
set -euo pipefail

cd "$(dirname "$0")/../.."
if [ "${BELFRY_SKIP_REAL_MAIL:-}" = 1 ]; then
    echo "SKIPPED: no mail went through a real mail server (BELFRY_SKIP_REAL_MAIL=1)"
    exit 0
fi
export PATH=$PATH:/usr/sbin:/sbin
: "${BELFRY_BIN:?names the program to test}"
for tool in postfix dovecot openssl curl; do
    command -v "$tool" >/dev/null || { echo "$tool is missing: run make setup" >&2; exit 1; }
done

cargo test --locked --test mail_real --no-run
program=$(cargo test --locked --test mail_real --no-run --message-format=json 2>/dev/null |
    sed -n 's/.*"name":"mail_real".*"executable":"\([^"]*\)".*/\1/p' | tail -1)
[ -x "$program" ] || { echo "cargo named no program for mail_real" >&2; exit 1; }
# One after the other: each test starts mail servers of its own.
tests/system/as_root.sh "$program" --ignored --test-threads=1
exec tests/system/as_root.sh tests/system/real_bounce.py
