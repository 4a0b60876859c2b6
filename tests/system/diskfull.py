#!/usr/bin/env python3
"""Fills the disk under the store and frees it again: what was acknowledged is kept, what cannot be kept is refused with
503, and the server takes writes again by itself, in the same process.

    tests/system/diskfull.py        needs root (a small tmpfs) and BELFRY_BIN

Prints a line a check and closes with `N passed, N failed`.
"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from client import Client  # noqa: E402

KEY = "bk_diskfull_admin_key_for_this_test_0123456789"
MESSAGE = "m" * 6_000
PUBLISHED_MAX = 6_000

passed = failed = 0


def check(what: str, good: bool, detail=""):
    global passed, failed
    passed, failed = passed + good, failed + (not good)
    print(("ok    " if good else "FAIL  ") + what + (f": {detail}" if detail and not good else ""))


def wait_for(what: str, good, seconds: float = 30):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if good():
            return check(what, True)
        time.sleep(0.05)
    check(what, False, f"not within {seconds} s")


def inbox(client: Client) -> set:
    found, cursor = set(), ""
    while True:
        status, page, _ = client.get(f"/v1/users/u/inbox?limit=200{cursor}")
        if status != 200:
            raise SystemExit(f"FAIL  the inbox answers {status}: {page}")
        found |= {entry["id"] for entry in page["data"]}
        if page["next_cursor"] is None:
            return found
        cursor = f"&cursor={page['next_cursor']}"


def run(disk: pathlib.Path):
    ballast = disk / "ballast"
    ballast.write_bytes(bytes(8 << 20))
    environment = {
        "PATH": os.environ["PATH"],
        "BELFRY_STORAGE__PATH": str(disk / "data"),
        "BELFRY_SERVER__LISTEN": "127.0.0.1:0",
        "BELFRY_AUTH__ADMIN_KEY": KEY,
    }
    server = subprocess.Popen(
        [os.environ["BELFRY_BIN"], "serve"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        url = re.search(r"listening on (http://\S+)", server.stdout.readline()).group(1)
        client = Client(url, KEY)
        body = {"user_id": "u", "type": "note", "title": "t", "message": MESSAGE, "channels": ["in_app"]}
        kept, refusal = [], None
        for number in range(PUBLISHED_MAX):
            status, answer, headers = client.send("POST", "/v1/notifications", {**body, "id": f"f{number}"})
            if status != 202:
                refusal = (status, answer.get("code"), headers.get("Retry-After"))
                break
            kept.append(f"f{number}")
        check("a full disk is answered with 503 and when to come back", refusal == (503, "overloaded", "1"), refusal)
        check("something was accepted before", len(kept) > 100, len(kept))
        status, answer, _ = client.get("/readyz")
        check("readiness says why", status == 503 and "disk" in " ".join(answer["reasons"]), answer)
        # sled serves what it has in memory; a page that it would have to fetch waits for the store to be opened anew.
        status, answer, _ = client.get("/v1/users/u/inbox?limit=1")
        check("a read is answered, or told to come back", status == 200 or answer.get("code") == "overloaded", answer)
        ballast.unlink()
        wait_for("with room again the server takes writes again", lambda: client.get("/readyz")[0] == 200)
        check("in the same process", server.poll() is None)
        missing = set(kept) - inbox(client)
        check("nothing that was acknowledged is gone", not missing, sorted(missing)[:5])
        status, _, _ = client.send("POST", "/v1/notifications", {**body, "message": "again"})
        check("and a new one is accepted", status == 202, status)
    finally:
        server.terminate()
        check("it stops in order", server.wait(30) == 0)


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="belfry-diskfull.") as disk:
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", disk], capture_output=True, text=True)
        if mounted.returncode:
            check("a small disk can be mounted", False, mounted.stderr.strip())
        else:
            try:
                run(pathlib.Path(disk))
            finally:
                subprocess.run(["umount", "-l", disk], check=True)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
