"""A mail server, made of aiosmtpd, that keeps what it takes in a file, as Python's own parser reads it.

smtpd.py FILE HOST PORT CERTIFICATE KEY implicit|starttls

It lets in `signalbox` with the password `hush hush`, over TLS alone. A mail is in the file, on the disk, before it is
answered. Asked to stop (SIGTERM) it takes nobody new, answers what it has begun, and says good-bye to the others.

What it does beside that:

  MAIL FROM  stranger@…            550
  RCPT TO    nobody…@…             550
             full…@…               452
             later…@…              451, the first time for each address
  DATA       Subject with `busy`   451, the first time for each Message-ID
             Subject with `never`  554
             Subject with `dies`   it is kept, and before it is answered the server is gone, as by SIGKILL: once a Message-ID
"""

import asyncio
import email
import email.policy
import hashlib
import json
import os
import signal
import ssl
import sys
import warnings

from aiosmtpd.smtp import SMTP, AuthResult

# Between a mail on the disk and its answer, in seconds: real servers look into it, or copy it, or wait for a disk.
BUSY_S = 0.02
# For a client to answer the end of TLS, in seconds.
GOODBYE_S = 0.5


class Mailbox:
    """What was taken, one line of JSON each."""

    def __init__(self, path: str):
        self.file = open(path, "a+b", buffering=0)
        self.file.seek(0)
        *lines, torn = self.file.read().split(b"\n")
        # Killed in the midst of a line it has taken no mail: nobody was told so.
        self.file.truncate(self.file.tell() - len(torn))
        self.ids = {json.loads(line)["id"] for line in lines}

    def keep(self, mail: dict) -> None:
        self.file.write(json.dumps(mail).encode() + b"\n")
        os.fsync(self.file.fileno())
        self.ids.add(mail["id"])


def read(content: bytes) -> dict:
    """A mail as a reader of mails sees it, with all that the parser finds wrong in it."""
    mail = email.message_from_bytes(content, policy=email.policy.default)
    parts = list(mail.walk())
    defects = [str(defect) for part in parts for defect in part.defects]
    defects += [f"{name}: {defect}" for name, value in mail.items() for defect in value.defects]
    body = {kind: mail.get_body((kind,)) for kind in ("plain", "html")}
    return {
        "id": mail["Message-ID"],
        "subject": mail["Subject"],
        "headers": {name: str(value) for name, value in mail.items()},
        "names": [name for name, _ in mail.items()],
        "from": [str(address) for address in mail["From"].addresses],
        "to": [address.addr_spec for address in mail["To"].addresses],
        "types": [part.get_content_type() for part in parts],
        "defects": defects,
        "text": body["plain"].get_content() if body["plain"] else None,
        "html": body["html"].get_content() if body["html"] else None,
        "longest_line": max(map(len, content.split(b"\r\n"))),
        "is_ascii": content.isascii(),
        "sha256": hashlib.sha256(content).hexdigest(),
    }


class Handler:
    def __init__(self, mailbox: Mailbox):
        self.mailbox = mailbox
        self.put_off = set()

    def is_first(self, key: str) -> bool:
        is_first = key not in self.put_off
        self.put_off.add(key)
        return is_first

    async def handle_MAIL(self, server, session, envelope, address, options):
        if server.leaving():
            return "421 4.3.2 leaving"
        if address.startswith("stranger@"):
            return "550 5.7.1 you may not send as this"
        envelope.mail_from = address
        return "250 2.1.0 ok"

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("nobody"):
            return "550 5.1.1 no such user"
        if address.startswith("full"):
            return "452 4.2.2 mailbox full"
        if address.startswith("later") and self.is_first(address):
            return "451 4.7.1 come again"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 ok"

    async def handle_DATA(self, server, session, envelope):
        mail = read(envelope.content)
        words = (mail["subject"] or "").split()
        if "never" in words:
            return "554 5.6.0 not here"
        if "busy" in words and self.is_first(mail["id"]):
            return "451 4.3.0 come again"
        is_known = mail["id"] in self.mailbox.ids
        mail |= {
            "mail_from": envelope.mail_from,
            "rcpt_to": envelope.rcpt_tos,
            "by_tls": server.transport.get_extra_info("ssl_object") is not None,
            "login": session.auth_data and session.auth_data.decode(),
        }
        self.mailbox.keep(mail)
        if "dies" in words and not is_known:
            os.kill(os.getpid(), signal.SIGKILL)
        await asyncio.sleep(BUSY_S)
        return "250 2.0.0 queued"


def authenticate(server, session, envelope, mechanism, data):
    is_right = (data.login, data.password) == (b"signalbox", b"hush hush")
    return AuthResult(success=is_right, handled=False, auth_data=data.login)


class Sessions:
    """All that are open, so that a stop can end them."""

    def __init__(self, loop):
        self.loop = loop
        self.open = set()
        self.leaving = False

    def server(self, handler: Handler, context: ssl.SSLContext, implicit: bool) -> SMTP:
        sessions = self

        class Session(SMTP):
            def leaving(self):
                return sessions.leaving

            def connection_made(self, transport):
                super().connection_made(transport)
                sessions.open.add(self)

            def connection_lost(self, error):
                super().connection_lost(error)
                sessions.open.discard(self)

            def leave(self):
                transport = self.transport
                if transport and not transport.is_closing() and not (self.envelope and self.envelope.mail_from):
                    transport.close()
                    # Nobody need wait for a client that does not listen: what it was told is on its way.
                    sessions.loop.call_later(GOODBYE_S, transport.abort)

        # It looks for a TLS of its own making alone: without STARTTLS it does not see that there is one.
        options = {"auth_require_tls": False} if implicit else {"tls_context": context, "require_starttls": True}
        return Session(handler, hostname="mail.test", authenticator=authenticate, auth_required=True, **options)

    async def end(self):
        self.leaving = True
        while self.open:
            for session in list(self.open):
                session.leave()
            await asyncio.sleep(0.01)


async def main(path, host, port, certificate, key, how):
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    implicit = how == "implicit"
    handler, sessions = Handler(Mailbox(path)), Sessions(loop)
    server = await loop.create_server(
        lambda: sessions.server(handler, context, implicit), host, int(port), ssl=context if implicit else None
    )
    await stop.wait()
    server.close()
    await sessions.end()


warnings.simplefilter("ignore")
asyncio.run(main(*sys.argv[1:]))
