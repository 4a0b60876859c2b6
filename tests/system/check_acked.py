#!/usr/bin/env python3
"""Checks that a server still has everything that it once acknowledged, and that it sends the mail for it.

    check_acked.py BASE_URL KEY LOG [--mail-within SECONDS]

LOG is what publish.py wrote. Every notification in it must be in its user's inbox, exactly once, must have a status,
and its `email` delivery must become `sent`. Prints one line of counts; ends with 1 where anything is missing.
"""

import argparse
import concurrent.futures
import sys
import threading
import time
import urllib.parse
from collections import Counter

from client import Client

WORKERS = 4
PAGE = 100
# Tells an endless cursor from a long inbox.
PAGES_MAX = 20_000
# Ways for a mail to end that are not `sent`.
DEAD_ENDS = {"failed", "skipped", "canceled", "expired"}

local = threading.local()


def client(options) -> Client:
    if not hasattr(local, "client"):
        local.client = Client(options.base_url, options.key)
    return local.client


def inbox(options, user: str) -> Counter:
    """How often each id is in the user's inbox, over all its pages."""
    found = Counter()
    cursor = None
    for _ in range(PAGES_MAX):
        query = {"status": "all", "limit": PAGE} | ({"cursor": cursor} if cursor else {})
        path = f"/v1/users/{user}/inbox?{urllib.parse.urlencode(query)}"
        status, page, _ = client(options).get(path)
        if status != 200:
            sys.exit(f"check: {path} answered {status}: {page}")
        found.update(entry["id"] for entry in page["data"])
        cursor = page.get("next_cursor")
        if not cursor:
            return found
    sys.exit(f"check: the inbox of {user} has no end")


def mail_status(options, notification: str) -> str:
    """The status of the e-mail delivery, or a word for why there is none."""
    status, report, _ = client(options).get(f"/v1/notifications/{notification}/status")
    if status != 200:
        return f"no status ({status})"
    for channel in report["channel_statuses"]:
        if channel["channel"] == "email":
            return channel["status"]
    return "no mail planned"


def wait_for_mail(options, pool, notifications) -> Counter:
    """Asks for all, then again for those still under way, until none is or the time is up."""
    deadline = time.monotonic() + options.mail_within
    ended = Counter()
    waiting = list(notifications)
    while waiting:
        states = list(pool.map(lambda one: (one, mail_status(options, one)), waiting))
        waiting = []
        for notification, state in states:
            if state == "sent" or state in DEAD_ENDS or state.startswith("no "):
                ended[state] += 1
            else:
                waiting.append(notification)
                last_state = state
        if waiting and time.monotonic() > deadline:
            ended[f"still {last_state}"] += len(waiting)
            break
        if waiting:
            time.sleep(0.2)
    return ended


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("base_url")
    parser.add_argument("key")
    parser.add_argument("log")
    parser.add_argument("--mail-within", type=float, default=60, metavar="SECONDS")
    options = parser.parse_args()

    with open(options.log, encoding="utf-8") as log:
        # A last line without its end was never read back by the publisher as a promise kept.
        acked = [line.split() for line in log if line.endswith("\n")]
    if not acked:
        print("check: nothing was acknowledged, so nothing is proved")
        return 1
    with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        users = sorted({user for user, _ in acked})
        inboxes = dict(zip(users, pool.map(lambda user: inbox(options, user), users)))
        missing = [one for user, one in acked if inboxes[user][one] == 0]
        doubled = sum(1 for found in inboxes.values() for count in found.values() if count > 1)
        mail = wait_for_mail(options, pool, [one for _, one in acked])

    unacked = sum(len(found) for found in inboxes.values()) - (len(acked) - len(missing))
    lost_mail = len(acked) - mail["sent"]
    print(f"acknowledged {len(acked)}, missing in the inbox {len(missing)}, doubled {doubled}, "
          f"stored but not yet acknowledged {unacked}, mail {dict(mail)}")
    if missing:
        print(f"check: the first missing ones: {' '.join(missing[:5])}")
    return 1 if missing or doubled or lost_mail else 0


if __name__ == "__main__":
    sys.exit(main())
