#!/usr/bin/env python3
"""Sends texts through a real Kannel with its fake network, and sees the delivery report come back.

    real_sms.py        BELFRY_BIN names the program; kannel and kannel-extras are installed

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
import urllib.error
import urllib.request

BELFRY = os.environ["BELFRY_BIN"]
FAKE_NETWORK = "/usr/lib/kannel/test/fakesmsc"
ADMIN_KEY = "an-admin-key-for-tests-only"
PATIENCE = 25


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def configuration(home, admin, box, network, sendsms):
    return f"""
group = core
admin-port = {admin}
admin-interface = 127.0.0.1
admin-password = adminpw
smsbox-port = {box}
smsbox-interface = 127.0.0.1
box-allow-ip = "127.0.0.1"
log-file = "{home}/bearerbox.log"
log-level = 0
dlr-storage = internal

group = smsc
smsc = fake
smsc-id = FAKE
host = 127.0.0.1
port = {network}
connect-allow-ip = 127.0.0.1

group = smsbox
bearerbox-host = 127.0.0.1
sendsms-port = {sendsms}
sendsms-interface = 127.0.0.1
global-sender = 13013
log-file = "{home}/smsbox.log"
log-level = 0
http-request-retry = 3
http-queue-delay = 1

group = sendsms-user
username = belfry
password = k4nnel-s3cret
max-messages = 4
concatenation = true

group = sms-service
keyword = default
max-messages = 0
text = "no"
"""


def until(what, look):
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        found = look()
        if found:
            return found
        time.sleep(0.1)
    raise SystemExit(f"waited {PATIENCE} s in vain for {what}")


class Belfry:
    def __init__(self, home, settings):
        environment = {f"BELFRY_{name}": value for name, value in settings.items()}
        self.log = open(home / "belfry.log", "w")
        self.process = subprocess.Popen(
            [BELFRY, "serve"], env=environment, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, cwd=home
        )
        self.url = settings["SERVER__BASE_URL"]
        until("the server to start", lambda: self.ready())

    def ready(self):
        try:
            return self.call("GET", "/readyz")[0] == 200
        except OSError:
            return False

    def call(self, method, path, body=None):
        request = urllib.request.Request(self.url + path, method=method)
        request.add_header("Authorization", f"Bearer {ADMIN_KEY}")
        data = None
        if body is not None:
            request.add_header("Content-Type", "application/json")
            data = json.dumps(body).encode()
        try:
            with urllib.request.urlopen(request, data, timeout=10) as answer:
                return answer.status, json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read() or b"null")

    def text(self, user, message):
        body = {"user_id": user, "type": "note", "title": "t", "message": message, "category": "system",
                "priority": "critical", "channels": ["sms"]}
        status, sent = self.call("POST", "/v1/notifications", body)
        assert status == 202, (status, sent)
        return sent["notification_id"]

    def sms(self, notification):
        channels = self.call("GET", f"/v1/notifications/{notification}/status")[1]["channel_statuses"]
        return next(one for one in channels if one["channel"] == "sms")

    def story(self, notification):
        moments = self.call("GET", f"/v1/notifications/{notification}/timeline")[1]["data"]
        return [moment for moment in moments if moment.get("channel") == "sms"]


def main():
    for tool in ("bearerbox", "smsbox", FAKE_NETWORK):
        if not shutil.which(tool):
            raise SystemExit(f"{tool} is missing: run make setup")
    home = pathlib.Path(tempfile.mkdtemp(prefix="belfry-sms-"))
    admin, box, network, sendsms, listen = free_ports(5)
    config = home / "kannel.conf"
    config.write_text(configuration(home, admin, box, network, sendsms))
    running = []

    def start(name, *command):
        with open(home / f"{name}.out", "w") as out:
            running.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out))

    def status():
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{admin}/status.txt?password=adminpw", timeout=5) as answer:
                return answer.read().decode()
        except OSError:
            return ""

    try:
        start("bearerbox", "bearerbox", "-v", "1", str(config))
        until("Kannel to start", status)
        start("smsbox", "smsbox", "-v", "1", str(config))
        start("network", FAKE_NETWORK, "-H", "127.0.0.1", "-r", str(network), "-m", "0", "-v", "0",
              "100 200 text nop hello")
        until("the link to the network", lambda: "(online" in status() and "smsbox:" in status())
        belfry = Belfry(home, {
            "SERVER__LISTEN": f"127.0.0.1:{listen}",
            "SERVER__BASE_URL": f"http://127.0.0.1:{listen}",
            "STORAGE__PATH": str(home / "data"),
            "AUTH__ADMIN_KEY": ADMIN_KEY,
            "CHANNELS__SMS__PROVIDER": "kannel",
            "CHANNELS__SMS__FROM": "13013",
            "CHANNELS__SMS__KANNEL__URL": f"http://127.0.0.1:{sendsms}/cgi-bin/sendsms",
            "CHANNELS__SMS__KANNEL__USERNAME": "belfry",
            "CHANNELS__SMS__KANNEL__PASSWORD": "k4nnel-s3cret",
        })
        running.append(belfry.process)
        for user, phone in (("ada", "+491700000000"), ("bob", "+491700000001")):
            assert belfry.call("PUT", f"/v1/users/{user}", {"phone": phone})[0] == 201
            wanted = {"channels": {"sms": True}}
            assert belfry.call("PATCH", f"/v1/users/{user}/preferences", wanted)[0] == 200
        for user, message, size in (
            ("ada", "The tower rings.", "1 segment of GSM-7"),
            ("bob", "Grüße ✓ " * 20, "3 segments of UCS-2"),
        ):
            notification = belfry.text(user, message)
            until(f"the report on the text to {user}", lambda: belfry.sms(notification)["status"] == "delivered")
            story = belfry.story(notification)
            events = [moment["event"] for moment in story]
            assert events == ["pending", "sent", "delivered"], story
            assert story[1]["detail"] == f"taken by kannel, {size}", story
            print(f"{user}: {' > '.join(events)}, {story[1]['detail']}")
        seen = (home / "network.out").read_text()
        assert "The+tower+rings" in seen or "The tower rings" in seen, seen[-2000:]
        log = (home / "belfry.log").read_text()
        assert "k4nnel-s3cret" not in log and "panicked" not in log, log[-2000:]
    except BaseException:
        for name in ("belfry.log", "bearerbox.out", "smsbox.out", "network.out"):
            if (home / name).exists():
                print(f"---- {name} ----\n{(home / name).read_text()[-3000:]}", file=sys.stderr)
        raise
    finally:
        for process in reversed(running):
            process.terminate()
        for process in running:
            try:
                process.wait(8)
            except subprocess.TimeoutExpired:
                process.kill()
        shutil.rmtree(home, ignore_errors=True)


main()
