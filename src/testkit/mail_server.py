"""A mail server for tests: aiosmtpd that keeps what it accepts, and treats some recipients as mail servers sometimes do.

mail_server.py FOLDER OPTIONS, where OPTIONS is JSON: port, security (plain, starttls, tls), certificate, key, user, password.
It prints its port when it listens. Each accepted letter becomes FOLDER/<number>.json with `from`, `to` and `data`.
"""

import asyncio
import itertools
import json
import os
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult

folder, options = sys.argv[1], json.loads(sys.argv[2])
numbers = itertools.count()
connections = itertools.count()
seen = set()


class Handler:
    """One for each connection."""

    def __init__(self):
        self.connection = next(connections)
        self.before = None

    async def handle_RCPT(self, server, session, envelope, address, rcpt_options):
        person = address.split("@")[0]
        if person == "unknown":
            return "550 5.1.1 nobody of this name"
        if person == "greylisted" and address not in seen:
            seen.add(address)
            return "451 4.7.1 greylisted, come back later"
        if person == "slow":
            await asyncio.sleep(3600)
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 ok"

    async def handle_MAIL(self, server, session, envelope, address, mail_options):
        if self.before == "enough":
            return "421 4.7.0 so many letters are enough"
        if self.before == "hangs-up":
            server.transport.abort()
            return "421 4.7.0 nobody hears this"
        if address.startswith("stranger@"):
            return "550 5.7.1 this sender may not use this server"
        envelope.mail_from = address
        return "250 2.1.0 ok"

    async def handle_DATA(self, server, session, envelope):
        letter = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "data": envelope.content.decode("utf-8", "replace"),
            "encrypted": server.transport.get_extra_info("sslcontext") is not None,
            "authenticated": bool(session.authenticated),
            "connection": self.connection,
        }
        name = os.path.join(folder, "%08d.json" % next(numbers))
        with open(name + ".part", "w") as file:
            json.dump(letter, file)
        os.rename(name + ".part", name)
        if envelope.rcpt_tos[0].startswith("held@") and envelope.rcpt_tos[0] not in seen:
            # Accepted, and nobody hears of it: what a crash or a cut cable looks like.
            seen.add(envelope.rcpt_tos[0])
            await asyncio.sleep(3600)
        self.before = envelope.rcpt_tos[0].split("@")[0]
        return "250 2.0.0 accepted"


def authenticate(server, session, envelope, mechanism, data):
    good = (data.login.decode(), data.password.decode()) == (options["user"], options["password"])
    return AuthResult(success=good, handled=False)


async def main():
    context = None
    if options["security"] != "plain":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(options["certificate"], options["key"])
    starttls = options["security"] == "starttls"
    settings = {"hostname": "mail.example.com", "enable_SMTPUTF8": True}
    if starttls:
        settings.update(tls_context=context, require_starttls=True)
    if options.get("user"):
        settings.update(authenticator=authenticate, auth_required=True, auth_require_tls=starttls)
    loop = asyncio.get_running_loop()
    secured = context if options["security"] == "tls" else None
    server = await loop.create_server(lambda: SMTP(Handler(), **settings), "127.0.0.1", options["port"], ssl=secured)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()


asyncio.run(main())
