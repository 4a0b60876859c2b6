#!/usr/bin/env python3
"""A real Postfix and a real Dovecot in a directory of their own, for the tests that want a real mailbox.

    real_mta.py up DIR           starts both, prints {"smtp", "smtps", "imap", "ca", "username", "password", "domain"}
    real_mta.py up DIR PROGRAM   the same; mails that come back to the sender go to the program's standard input
    real_mta.py down DIR         stops both
    real_mta.py fetch DIR USER   prints the user's mails as IMAP shows them: [{subject, message_id, text, html, …}]

Needs root and the Debian packages postfix, dovecot-imapd, dovecot-lmtpd and openssl. Nothing of the system's own mail
set-up is read or changed. Every local part at belfry.test has a mailbox, except these, which Postfix refuses:

    busy 450 4.2.1        full 452 4.2.2        nobody 550 5.1.1        unwanted 554 5.7.1

Mail to elsewhere.test is taken first and then handed on to a server that refuses the same ones, so that it comes back.
"""

import email
import email.policy
import imaplib
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import time

DOMAIN, USERNAME, PASSWORD = "belfry.test", "belfry", "correct-horse"
ELSEWHERE = "elsewhere.test"
WAIT_SECONDS = 20

REFUSED = {
    "busy": "450 4.2.1 The mailbox is busy",
    "full": "452 4.2.2 The mailbox is full",
    "nobody": "550 5.1.1 Nobody of that name lives here",
    "unwanted": "554 5.7.1 We do not want it",
}

DOVECOT = """\
base_dir = {dir}/dovecot/run
state_dir = {dir}/dovecot/state
log_path = {dir}/dovecot.log
instance_name = {instance}
protocols = imap lmtp
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
auth_mechanisms = plain login
auth_username_format = %Ln
mail_location = maildir:{dir}/mail/%Ln
first_valid_uid = 1
passdb {{
  driver = static
  args = password={password}
}}
userdb {{
  driver = static
  args = uid=mail gid=mail home={dir}/mail/%Ln allow_all_users=yes
}}
service auth {{
  inet_listener {{
    port = {sasl}
  }}
}}
service lmtp {{
  inet_listener lmtp {{
    port = {lmtp}
  }}
}}
service imap-login {{
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
"""

MAIN = """\
compatibility_level = 3.6
config_directory = {dir}/postfix
queue_directory = {dir}/queue
data_directory = {dir}/data
maillog_file = {dir}/postfix.log
maillog_file_prefixes = {dir}
mail_owner = postfix
setgid_group = postdrop
daemon_directory = /usr/lib/postfix/sbin
command_directory = /usr/sbin
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = mx.{domain}
mydestination =
mynetworks =
virtual_mailbox_domains = {domain}
virtual_transport = lmtp:inet:127.0.0.1:{lmtp}
default_transport = error:nothing leaves this machine
transport_maps = inline:{{{transports}}}
disable_dns_lookups = yes
alias_maps =
smtp_connection_cache_on_demand = no
smtpd_tls_cert_file = {dir}/server.pem
smtpd_tls_key_file = {dir}/server.key
smtpd_tls_security_level = may
smtpd_tls_auth_only = yes
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = inet:127.0.0.1:{sasl}
smtpd_relay_restrictions = permit_sasl_authenticated, reject
smtpd_recipient_restrictions = check_recipient_access inline:{{{refused}}}, permit_sasl_authenticated, reject
"""

MASTER = """\
{smtp} inet n - n - - smtpd
{smtps} inet n - n - - smtpd
  -o smtpd_tls_wrappermode=yes
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
lmtp unix - - n - - lmtp
error unix - - n - - error
retry unix - - n - - error
anvil unix - - n - 1 anvil
tlsmgr unix - - n 1000? 1 tlsmgr
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
{far} inet n - n - - smtpd
  -o smtpd_relay_restrictions=
  -o {{ smtpd_recipient_restrictions = check_recipient_access inline:{{{refused}}}, reject }}
came-back unix - n n - - pipe
  flags=R user=nobody argv={program}
pickup unix n - n 60 1 pickup
postlog unix-dgram n - n - 1 postlogd
"""


def run(*command, directory=None, output=None):
    """Runs a command to its end. A daemon keeps inherited pipes open, so its words go to a file."""
    output = output or subprocess.DEVNULL
    subprocess.run(
        command, cwd=directory, check=True, stdin=subprocess.DEVNULL, stdout=output, stderr=output, timeout=60
    )


def free_ports(names):
    """Free ports of the loopback, all different. Somebody else may take one before we do; then `up` fails."""
    sockets = {name: socket.create_server(("127.0.0.1", 0)) for name in names}
    ports = {name: taken.getsockname()[1] for name, taken in sockets.items()}
    for taken in sockets.values():
        taken.close()
    return ports


def make_certificates(directory):
    """An authority, and a server certificate that it issued for localhost."""
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    run(
        "openssl", "req", "-x509", *key, "-days", "3650", "-subj", "/CN=Belfry test authority",
        "-addext", "basicConstraints=critical,CA:TRUE", "-keyout", "ca.key", "-out", "ca.pem", directory=directory,
    )
    run("openssl", "req", *key, "-subj", "/CN=localhost", "-keyout", "server.key", "-out", "server.csr",
        directory=directory)
    (directory / "server.ext").write_text("basicConstraints=CA:FALSE\nsubjectAltName=DNS:localhost,IP:127.0.0.1\n")
    run(
        "openssl", "x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
        "-days", "3650", "-extfile", "server.ext", "-out", "server.pem", directory=directory,
    )


def refusals(domain):
    return ", ".join(f"{{{local}@{domain} = {answer}}}" for local, answer in REFUSED.items())


def configure(directory, ports, program):
    for name in ("postfix", "queue", "data", "mail", "dovecot"):
        (directory / name).mkdir(exist_ok=True)
    shutil.chown(directory / "data", "postfix", "postfix")
    shutil.chown(directory / "mail", "mail", "mail")
    make_certificates(directory)
    refused = refusals(DOMAIN)
    transports = [f"{{{ELSEWHERE} = smtp:[127.0.0.1]:{ports['far']}}}"]
    if program:
        transports.append(f"{{{USERNAME}@{DOMAIN} = came-back:}}")
    values = dict(
        ports, dir=directory, domain=DOMAIN, password=PASSWORD, refused=refused, instance=f"belfry{ports['imap']}",
        transports=", ".join(transports),
    )
    (directory / "dovecot" / "dovecot.conf").write_text(DOVECOT.format(**values))
    (directory / "postfix" / "main.cf").write_text(MAIN.format(**values))
    services = {name: f"127.0.0.1:{ports[name]}" for name in ("smtp", "smtps", "far")}
    master = MASTER.format(**services, refused=refusals(ELSEWHERE), program=program or "/bin/false")
    (directory / "postfix" / "master.cf").write_text(master)


def wait_for(port):
    end = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


def reachable_by_others(directory):
    """Both servers give up root, so every directory above theirs must let others through."""
    for above in (directory, *directory.parents):
        if above.stat().st_mode & 0o001 == 0:
            sys.exit(f"{above} does not let other users through; choose a directory where they may go")


def up(directory, program=None):
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o755)
    reachable_by_others(directory)
    ports = free_ports(["smtp", "smtps", "imap", "lmtp", "sasl", "far"])
    configure(directory, ports, program)
    with open(directory / "start.log", "wb") as output:
        run("dovecot", "-c", str(directory / "dovecot" / "dovecot.conf"), output=output)
        run("postfix", "-c", str(directory / "postfix"), "start", output=output)
    for name in ("smtp", "smtps", "imap", "lmtp"):
        wait_for(ports[name])
    answer = {
        "smtp": ports["smtp"], "smtps": ports["smtps"], "imap": ports["imap"], "ca": str(directory / "ca.pem"),
        "username": USERNAME, "password": PASSWORD, "domain": DOMAIN,
    }
    (directory / "answer.json").write_text(json.dumps(answer))
    print(json.dumps(answer))


def down(directory):
    subprocess.run(["postfix", "-c", str(directory / "postfix"), "stop"], capture_output=True, timeout=60)
    try:
        dovecot = int((directory / "dovecot" / "run" / "master.pid").read_text())
        os.kill(dovecot, signal.SIGTERM)
        end = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < end:
            os.kill(dovecot, 0)
            time.sleep(0.05)
        os.kill(dovecot, signal.SIGKILL)
    except (FileNotFoundError, ProcessLookupError):
        pass


def part(message, kind):
    found = message.get_body((kind,))
    return found.get_content().replace("\r\n", "\n") if found else None


def fetch(directory, user):
    port = json.loads((directory / "answer.json").read_text())["imap"]
    mailbox = imaplib.IMAP4("127.0.0.1", port, timeout=WAIT_SECONDS)
    mailbox.login(user, PASSWORD)
    mailbox.select("INBOX", readonly=True)
    mails = []
    for number in mailbox.search(None, "ALL")[1][0].split():
        source = mailbox.fetch(number, "(RFC822)")[1][0][1]
        mail = email.message_from_bytes(source, policy=email.policy.default)
        mails.append({
            "subject": mail["Subject"], "message_id": mail["Message-ID"], "from": mail["From"], "to": mail["To"],
            "date": mail["Date"], "headers": mail.keys(), "text": part(mail, "plain"), "html": part(mail, "html"),
        })
    mailbox.logout()
    print(json.dumps(mails))


def main():
    match sys.argv[1:]:
        case ["up", directory]:
            up(pathlib.Path(directory).resolve())
        case ["up", directory, program]:
            up(pathlib.Path(directory).resolve(), program)
        case ["down", directory]:
            down(pathlib.Path(directory).resolve())
        case ["fetch", directory, user]:
            fetch(pathlib.Path(directory).resolve(), user)
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
