#!/usr/bin/env python3
"""Asks the Standard Webhooks library for Python about each line of JSON {"secret", "headers", "body"} on its standard
input: prints the type of what it takes, and "no" for what it refuses."""

import json
import sys

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

for line in sys.stdin:
    case = json.loads(line)
    try:
        print(Webhook(case["secret"]).verify(case["body"], case["headers"])["type"])
    except WebhookVerificationError:
        print("no")
