#!/usr/bin/env python3
"""Asks dkimpy about each line of JSON {"mail", "record"} on its standard input: prints the name that it looks the record
up under for a signature that holds, and "no" for one that does not."""

import json
import sys

import dkim

for line in sys.stdin:
    case, asked = json.loads(line), []

    def look_up(name, timeout=5):
        asked.append(name.decode().rstrip("."))
        return case["record"].encode()

    try:
        holds = dkim.verify(case["mail"].encode(), dnsfunc=look_up)
    except dkim.DKIMException:
        holds = False
    print(asked[0] if holds else "no")
