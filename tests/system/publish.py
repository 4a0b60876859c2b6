#!/usr/bin/env python3
"""Publishes notifications over several connections until the server goes away, and logs each acknowledged one.

    publish.py BASE_URL KEY LOG [--connections N] [--users N]

LOG gets one line `<user> <notification id>` per answer 202, written before the next request goes out on that
connection. LOG must lie outside the file system under test: it is the record of what the server promised. The line
`publishing` on stdout says that the users are stored and the first request is about to go.

Ends with 0 once every connection has lost the server, with 1 where an answer broke the contract.
"""

import argparse
import http.client
import sys
import threading
import time

from client import Client

# Back-pressure is not a failure; a server that says nothing else for this long is.
PATIENCE_S = 10


class Publisher(threading.Thread):
    def __init__(self, options, number: int, log):
        super().__init__(daemon=True)
        self.client = Client(options.base_url, options.key)
        self.user = f"reader-{number % options.users}"
        self.number = number
        self.log = log
        self.broken = None

    def run(self):
        try:
            self.publish()
        except (OSError, http.client.HTTPException):
            pass  # The server is gone: that is the end of the round, and what was in flight was never acknowledged.
        except Exception as why:  # An answer that no client could read: a breach, to be told and not to die of.
            self.broken = f"{type(why).__name__}: {why}"

    def publish(self):
        count = 0
        patient_until = time.monotonic() + PATIENCE_S
        while True:
            count += 1
            status, answer, headers = self.client.send("POST", "/v1/notifications", {
                "user_id": self.user,
                "type": "system_alert",
                "title": f"Power cut {self.number}/{count}",
                "message": "x" * (count % 400 + 1),
                "priority": "high",
                "category": "system",
                "channels": ["in_app", "email"],
            })
            if status in (429, 503) and time.monotonic() < patient_until:
                time.sleep(min(float(headers.get("Retry-After", "0.1")), 0.2))
                continue
            if status not in (200, 202) or not isinstance(answer, dict) or "notification_id" not in answer:
                self.broken = f"answer {status}: {answer}"
                return
            self.log.write(f"{self.user} {answer['notification_id']}\n")
            patient_until = time.monotonic() + PATIENCE_S


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("base_url")
    parser.add_argument("key")
    parser.add_argument("log")
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--users", type=int, default=4)
    options = parser.parse_args()

    setup = Client(options.base_url, options.key)
    for number in range(options.users):
        status, answer, _ = setup.send("PUT", f"/v1/users/reader-{number}",
                                       {"email": f"reader-{number}@example.org"})
        if status not in (200, 201, 204):
            print(f"publish: PUT user answered {status}: {answer}", file=sys.stderr)
            return 1
    setup.close()
    # Line buffered: a line is with the kernel before the next request.
    with open(options.log, "w", buffering=1, encoding="utf-8") as log:
        publishers = [Publisher(options, number, log) for number in range(options.connections)]
        print("publishing", flush=True)
        for publisher in publishers:
            publisher.start()
        for publisher in publishers:
            publisher.join()
    broken = [publisher.broken for publisher in publishers if publisher.broken]
    for why in broken:
        print(f"publish: {why}", file=sys.stderr)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
