#!/usr/bin/env python3
"""A mail server that misbehaves on demand, for the tests of the mail channel.

    mail.py DIR [--tls starttls|implicit|none] [--certificate good|selfsigned|elsewhere]
                [--login required|offered|none] [--no-utf8] [--mechanisms PLAIN,LOGIN]

It listens on a free port of the loopback, prints one line of JSON ({"port", "ca", "stranger"}) and serves until its
standard input ends, so that it never outlives the test that started it. The login is belfry / correct horse.

What happens to a mail is its recipient's local part, up to a `+`:

    busy          450 at RCPT, each time            nobody        550 at RCPT
    once          450 at RCPT the first time        too-big       552 5.3.4 at RCPT
    goodbye       421 at RCPT, connection closed    cut           connection cut at RCPT
    later         451 after the data                refused       554 after the data
    lost          stored, then cut after the dot    hang          no answer after the dot
    slow          stored, answer after 3 s          garbage       an answer that is no SMTP
    continue      354 where 250 belongs             rude          control characters in the answer
    chatty        550 with 400 lines                endless       an answer without an end at RCPT

Everything else is stored: DIR/mails.jsonl has a line for each stored mail, DIR/events.jsonl one for each connection,
login and recipient.
"""

import argparse
import asyncio
import json
import pathlib
import ssl
import subprocess
import sys
from collections import Counter

try:
    from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword
except ImportError:
    print("aiosmtpd is not installed", file=sys.stderr)
    sys.exit(77)

USERNAME, PASSWORD = b"belfry", b"correct horse"

AT_RCPT = {
    "busy": "450 4.2.1 The mailbox is busy",
    "nobody": "550 5.1.1 Nobody of that name lives here",
    "too-big": "552 5.3.4 The message is too big for the system",
    "rude": "550 5.7.1 \x1b[31mNo\x07 entry",
}
AFTER_DATA = {
    "later": "451 4.3.0 Come back later",
    "refused": "554 5.7.1 We do not like what it says",
    "continue": "354 Go on",
}


def openssl(directory, *arguments):
    subprocess.run(["openssl", *arguments], cwd=directory, check=True, capture_output=True, timeout=60)


def make_authority(directory, name):
    openssl(
        directory, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
        "-days", "3650", "-subj", f"/CN={name}", "-addext", "basicConstraints=critical,CA:TRUE",
        "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", f"{name}.key", "-out", f"{name}.pem",
    )


def make_certificates(directory, wanted):
    """Gives the chain and the key to serve. `ca.pem` has issued the good one, `stranger.pem` has issued nothing."""
    make_authority(directory, "ca")
    make_authority(directory, "stranger")
    if wanted == "selfsigned":
        return directory / "ca.pem", directory / "ca.key"
    names = "DNS:localhost,IP:127.0.0.1" if wanted == "good" else "DNS:elsewhere.test"
    (directory / "leaf.ext").write_text(f"basicConstraints=CA:FALSE\nsubjectAltName={names}\n")
    openssl(
        directory, "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
        "-subj", "/CN=leaf", "-keyout", "leaf.key", "-out", "leaf.csr",
    )
    openssl(
        directory, "x509", "-req", "-in", "leaf.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
        "-days", "3650", "-extfile", "leaf.ext", "-out", "leaf.pem",
    )
    return directory / "leaf.pem", directory / "leaf.key"


class Behaviour:
    """Decides what happens to each mail, and writes down what came."""

    def __init__(self, directory):
        self.directory = directory
        self.seen = Counter()

    def write(self, file, **line):
        with open(self.directory / file, "a") as out:
            out.write(json.dumps(line) + "\n")

    @staticmethod
    def fate(address):
        return address.partition("@")[0].partition("+")[0]

    async def handle_RCPT(self, server, session, envelope, address, options):
        fate = self.fate(address)
        self.seen[address] += 1
        self.write(
            "events.jsonl", event="rcpt", to=address, options=options, connection=session.peer[1],
            tls=session.ssl is not None, login=session.authenticated,
        )
        if fate in AT_RCPT:
            return AT_RCPT[fate]
        if fate == "once" and self.seen[address] == 1:
            return "450 4.2.0 Greylisted"
        if fate == "chatty":
            server.transport.write(b"550-5.1.1 and another thing\r\n" * 400)
            return "550 5.1.1 that was all"
        if fate == "endless":
            while not server.transport.is_closing():
                server.transport.write(b"5" * 65536)
                await asyncio.sleep(0.001)
        if fate == "goodbye":
            await server.push("421 4.3.2 Closing")
            server.transport.close()
            return "421 gone"
        if fate == "cut":
            server.transport.abort()
            return "421 gone"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 Welcome"

    async def handle_DATA(self, server, session, envelope):
        fate = self.fate(envelope.rcpt_tos[0])
        if fate in AFTER_DATA:
            return AFTER_DATA[fate]
        if fate == "garbage":
            server.transport.write(b"\x00\xff\xfe what is this\r\n")
            return "250 too late"
        if fate == "hang":
            await asyncio.sleep(600)
        number = self.store(session, envelope)
        if fate == "lost":
            server.transport.abort()
        if fate == "slow":
            await asyncio.sleep(3)
        return f"250 2.0.0 Stored as number {number}"

    def store(self, session, envelope):
        self.seen["stored"] += 1
        self.write(
            "mails.jsonl", mail_from=envelope.mail_from, to=envelope.rcpt_tos, tls=session.ssl is not None,
            login=session.authenticated, connection=session.peer[1],
            source=envelope.original_content.decode("utf-8", "replace"),
        )
        return self.seen["stored"]


def log_in(server, session, envelope, mechanism, data):
    good = isinstance(data, LoginPassword) and (data.login, data.password) == (USERNAME, PASSWORD)
    server.event_handler.write("events.jsonl", event="login", mechanism=mechanism, good=good)
    return AuthResult(success=good, handled=False)


async def until_input_ends():
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


async def serve(options):
    directory = pathlib.Path(options.directory)
    directory.mkdir(parents=True, exist_ok=True)
    chain, key = make_certificates(directory, options.certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)
    behaviour = Behaviour(directory)
    every = {"PLAIN", "LOGIN"}

    def protocol():
        return SMTP(
            behaviour,
            hostname="mail.test",
            tls_context=context if options.tls == "starttls" else None,
            require_starttls=options.tls == "starttls",
            authenticator=log_in if options.login != "none" else None,
            auth_required=options.login == "required",
            # Over implicit TLS the library does not know that the connection is protected.
            auth_require_tls=options.tls == "starttls",
            auth_exclude_mechanism=every - set(options.mechanisms.split(",")),
            enable_SMTPUTF8=not options.no_utf8,
        )

    around = context if options.tls == "implicit" else None
    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0, ssl=around)
    port = server.sockets[0].getsockname()[1]
    print(json.dumps({"port": port, "ca": str(directory / "ca.pem"), "stranger": str(directory / "stranger.pem")}), flush=True)
    await until_input_ends()
    server.close()


def main():
    parser = argparse.ArgumentParser(description="A mail server that misbehaves on demand.")
    parser.add_argument("directory")
    parser.add_argument("--tls", choices=["starttls", "implicit", "none"], default="starttls")
    parser.add_argument("--certificate", choices=["good", "selfsigned", "elsewhere"], default="good")
    parser.add_argument("--login", choices=["required", "offered", "none"], default="required")
    parser.add_argument("--mechanisms", default="PLAIN,LOGIN")
    parser.add_argument("--no-utf8", action="store_true")
    asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
