#!/usr/bin/env python3
"""Signs as Twilio does, by its own library: for each line of JSON {"token", "url", "parameters"} on its standard input it
prints the signature that a callback to that URL with these parameters carries."""

import json
import sys

from twilio.request_validator import RequestValidator

for line in sys.stdin:
    case = json.loads(line)
    print(RequestValidator(case["token"]).compute_signature(case["url"], case["parameters"]))
