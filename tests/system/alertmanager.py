#!/usr/bin/env python3
"""A real Alertmanager sends to a hook: each alert becomes one notification, that it is over another, and what it repeats
after a failed try none.

    tests/system/alertmanager.py        needs prometheus-alertmanager and BELFRY_BIN

Prints a line a check and closes with `N passed, N failed`.
"""

import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from client import Client  # noqa: E402

KEY = "bk_alertmanager_admin_key_for_this_test"

passed = failed = 0


def check(what: str, good: bool, detail=""):
    global passed, failed
    passed, failed = passed + good, failed + (not good)
    print(("ok    " if good else "FAIL  ") + what + (f": {detail}" if detail and not good else ""))


def wait_for(what: str, good, seconds: float = 20):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if good():
                return check(what, True)
        except OSError:
            pass
        time.sleep(0.05)
    check(what, False, f"not within {seconds} s")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start_belfry(home: pathlib.Path, port: int) -> subprocess.Popen:
    environment = {
        "PATH": os.environ["PATH"],
        "BELFRY_STORAGE__PATH": str(home / "data"),
        "BELFRY_SERVER__LISTEN": f"127.0.0.1:{port}",
        "BELFRY_AUTH__ADMIN_KEY": KEY,
    }
    log = open(home / "belfry.log", "a")
    return subprocess.Popen([os.environ["BELFRY_BIN"], "serve"], env=environment, stdout=log, stderr=log)


def alert(instance: str, severity: str, **more) -> dict:
    labels = {"alertname": "DiskFull", "instance": instance, "severity": severity}
    return {"labels": labels, "annotations": {"summary": f"Disk full on {instance}"}, **more}


def instant(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(time.time() + seconds))


def run(home: pathlib.Path):
    port, manager_port = free_port(), free_port()
    url, manager_url = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{manager_port}"
    belfry = start_belfry(home, port)
    admin = Client(url, KEY)

    def answers(address):
        return urllib.request.urlopen(address, timeout=2).status == 200

    def titles():
        return sorted(entry["title"] for entry in admin.get("/v1/users/ada/inbox")[1]["data"])

    processes = [belfry]
    try:
        wait_for("the server is ready", lambda: answers(f"{url}/readyz"))
        hook = {"name": "alerts", "preset": "alertmanager", "user_id": "ada"}
        status, made, _ = admin.send("POST", "/v1/hooks", hook)
        check("a hook is made", status == 201, made)
        (home / "alertmanager.yml").write_text(
            "route: {receiver: belfry, group_by: [alertname], group_wait: 1s, group_interval: 1s, repeat_interval: 2s}\n"
            "receivers:\n- name: belfry\n  webhook_configs:\n"
            f"  - url: {url}{made['path']}\n    send_resolved: true\n"
            f"    http_config: {{authorization: {{type: Bearer, credentials: '{made['token']}'}}}}\n"
        )
        command = [
            "prometheus-alertmanager",
            f"--config.file={home}/alertmanager.yml",
            f"--storage.path={home}/alertmanager",
            f"--web.listen-address=127.0.0.1:{manager_port}",
            "--cluster.listen-address=",
        ]
        log = open(home / "alertmanager.log", "w")
        processes.append(subprocess.Popen(command, stdout=log, stderr=log))
        wait_for("Alertmanager is ready", lambda: answers(f"{manager_url}/-/ready"))

        def fire(alerts):
            body = json.dumps(alerts).encode()
            request = urllib.request.Request(
                f"{manager_url}/api/v2/alerts", body, {"Content-Type": "application/json"}
            )
            urllib.request.urlopen(request, timeout=5).read()

        begun = instant(-60)
        fire([alert("db1", "critical", startsAt=begun), alert("db2", "warning", startsAt=begun)])
        both = ["Disk full on db1", "Disk full on db2"]
        wait_for("each alert is a notification", lambda: titles() == both)
        status, listed, _ = admin.get("/v1/notifications?user_id=ada")
        priorities = sorted(one["priority"] for one in listed["data"])
        check("the severity is the priority", priorities == ["critical", "medium"], priorities)

        def posts():
            counted = re.findall(r'belfry_http_requests_total\{method="POST",status="202"\} (\d+)', metrics())
            return int(counted[0]) if counted else 0

        def metrics():
            return urllib.request.urlopen(f"{url}/metrics", timeout=5).read().decode()

        seen = posts()
        wait_for("Alertmanager repeats itself", lambda: posts() > seen)
        check("what it repeats is not sent again", titles() == both, titles())

        # It is killed while an alert ends: Alertmanager tries until it is taken.
        belfry.kill()
        belfry.wait()
        fire([alert("db1", "critical", startsAt=begun, endsAt=instant(-1))])
        time.sleep(2)
        admin.close()
        belfry = start_belfry(home, port)
        processes[0] = belfry
        wait_for("the server is ready again", lambda: answers(f"{url}/readyz"))
        over = sorted([*both, "Resolved: Disk full on db1"])
        wait_for("that it is over is told once it can be", lambda: titles() == over)
    finally:
        for process in processes:
            process.terminate()
            process.wait()
        if failed:
            for name in ("belfry.log", "alertmanager.log"):
                if (home / name).exists():
                    print(f"---- {name}\n" + (home / name).read_text()[-4_000:])


with tempfile.TemporaryDirectory() as home:
    run(pathlib.Path(home))
print(f"{passed} passed, {failed} failed")
sys.exit(1 if failed else 0)
