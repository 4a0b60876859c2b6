#!/usr/bin/env python3
"""Mails that a real Postfix cannot hand on come back to Belfry, through a pipe as an operator would set one up.

    real_bounce.py        BELFRY_BIN names the program; needs root and Debian's postfix, dovecot-imapd and dovecot-lmtpd

Everything runs on this machine, on free ports, in a temporary directory."""

import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(__file__))
from client import Client

MTA = pathlib.Path(__file__).parent.parent / "support" / "real_mta.py"
ADMIN_KEY = "an-admin-key-for-tests-only"
PATIENCE_SECONDS = 25

PIPE = """#!/bin/sh
tee -a {home}/came-back.eml | curl --silent --show-error --fail --data-binary @- \\
    --header 'Authorization: Bearer {key}' http://127.0.0.1:{port}/in/bounce >>{home}/answers || exit 75
"""


def until(what, look):
    end = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < end:
        found = look()
        if found:
            return found
        time.sleep(0.1)
    raise SystemExit(f"waited {PATIENCE_SECONDS} s in vain for {what}")


def mta(verb, *arguments):
    ran = subprocess.run([sys.executable, MTA, verb, *map(str, arguments)], capture_output=True, timeout=60)
    if ran.returncode != 0:
        raise SystemExit(f"real_mta.py {verb}: {ran.stderr.decode()}")
    return json.loads(ran.stdout or "null")


def start(home, port, mail):
    settings = {
        "SERVER__LISTEN": f"127.0.0.1:{port}",
        "STORAGE__PATH": str(home / "data"),
        "AUTH__ADMIN_KEY": ADMIN_KEY,
        "CHANNELS__EMAIL__HOST": "localhost",
        "CHANNELS__EMAIL__PORT": str(mail["smtp"]),
        "CHANNELS__EMAIL__USERNAME": mail["username"],
        "CHANNELS__EMAIL__PASSWORD": mail["password"],
        "CHANNELS__EMAIL__FROM": f"Belfry <{mail['username']}@{mail['domain']}>",
        "CHANNELS__EMAIL__CA_FILE": mail["ca"],
    }
    environment = {f"BELFRY_{name}": value for name, value in settings.items()}
    with open(home / "belfry.log", "w") as log:
        return subprocess.Popen(
            [os.environ["BELFRY_BIN"], "serve"], env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=home
        )


def ready(client):
    try:
        return client.get("/readyz")[0] == 200
    except OSError:
        return False


def ask(client, method, path, body=None):
    status, answer, _ = client.send(method, path, body)
    assert status < 300, (path, status, answer)
    return answer


def standing(client, notification):
    channels = ask(client, "GET", f"/v1/notifications/{notification}/status")["channel_statuses"]
    return next(one for one in channels if one["channel"] == "email")


def main():
    home = pathlib.Path(tempfile.mkdtemp(prefix="belfry-bounce-"))
    home.chmod(0o755)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    pipe = home / "came-back.sh"
    for file in ("came-back.eml", "answers"):
        (home / file).touch()
        (home / file).chmod(0o666)
    server = None
    try:
        mail = mta("up", home / "mta", pipe)
        server = start(home, port, mail)
        client = Client(f"http://127.0.0.1:{port}", ADMIN_KEY)
        until("the server to start", lambda: ready(client))
        key = ask(client, "POST", "/v1/keys", {"name": "postfix", "scopes": ["ingest:bounce"]})["token"]
        pipe.write_text(PIPE.format(home=home, key=key, port=port))
        pipe.chmod(0o755)
        sent = {}
        for user in ("nobody", "unwanted"):
            ask(client, "PUT", f"/v1/users/{user}", {"email": f"{user}@elsewhere.test"})
            note = {"user_id": user, "type": "note", "title": "Hello", "message": "There.", "category": "system", "priority": "low"}
            sent[user] = ask(client, "POST", "/v1/notifications", note)["notification_id"]
        for user, notification in sent.items():
            until(f"the mail to {user} to come back", lambda: standing(client, notification)["status"] == "failed")
            stands = standing(client, notification)
            assert stands["reason"] == "provider_rejected" and stands["last_error"].startswith("the mail came back: "), stands
            print(f"{user}: {stands['last_error']}")
        suppressed = ask(client, "GET", "/v1/suppressions")["data"]
        assert [(one["address"], one["source"]) for one in suppressed] == [("nobody@elsewhere.test", "bounce")], suppressed
        print(f"suppressed: {suppressed[0]['address']}, {suppressed[0]['reason']}")
        if keep := os.environ.get("KEEP_BOUNCES"):
            shutil.copy(home / "came-back.eml", keep)
    except BaseException:
        for name in ("belfry.log", "answers", "mta/postfix.log"):
            if (home / name).exists():
                print(f"---- {name} ----\n{(home / name).read_text()[-4000:]}", file=sys.stderr)
        raise
    finally:
        if server:
            server.terminate()
            server.wait(10)
        mta("down", home / "mta")
        shutil.rmtree(home, ignore_errors=True)


main()
