"""Everything that aiocoap can ask of the test's door, once.

    aiocoap_client.py URI [CHAIN KEY]

The first thing that is not as expected ends the program. The door's own certificate is not looked at.
"""

import asyncio
import ssl
import sys

from aiocoap import Code, Context, Message

PATIENCE = 60
MEBIBYTE = bytes((at + at // 1024) % 256 for at in range(1 << 20))


def presenting(chain=None, key=None):
    encrypted = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    encrypted.check_hostname = False
    encrypted.verify_mode = ssl.CERT_NONE
    if chain:
        encrypted.load_cert_chain(chain, key)
    return encrypted


def expect(found, wanted):
    if found != wanted:
        raise AssertionError(f"{found!r:.200} instead of {wanted!r:.200}")


async def main(uri, *credentials):
    context = await Context.create_client_context()
    if uri.startswith("coaps"):
        # It has no setting for a certificate of its own, nor for one that is not to be looked at.
        encrypted = presenting(*credentials)
        context.client_credentials.ssl_client_context = lambda scheme, host: encrypted

    async def ask(code, path, **more):
        answer = await context.request(Message(code=code, uri=uri + path, **more)).response
        if answer.code == Code.UNAUTHORIZED and answer.opt.echo:
            # RFC 9175 section 2.3: without DTLS, whoever asks shows that it is where it says to be.
            return await ask(code, path, echo=answer.opt.echo, **more)
        return answer.code, answer.payload

    if uri.startswith("coap:"):
        first = await context.request(Message(code=Code.GET, uri=uri + "/greeting")).response
        expect((first.code, bool(first.opt.echo), first.payload), (Code.UNAUTHORIZED, True, b""))
    expect(await ask(Code.GET, "/greeting"), (Code.CONTENT, b"welcome to the gatehouse"))
    expect((await ask(Code.GET, "/nothing"))[0], Code.NOT_FOUND)
    expect((await ask(Code.DELETE, "/greeting"))[0], Code.METHOD_NOT_ALLOWED)
    expect(await ask(Code.PUT, "/note", payload=b"first"), (Code.CHANGED, b""))
    expect(await ask(Code.GET, "/note"), (Code.CONTENT, b"first"))
    expect(await ask(Code.POST, "/turn", payload=b"abc"), (Code.CHANGED, b"cba"))
    many = await asyncio.gather(*(ask(Code.POST, "/turn", payload=b"%03d" % at) for at in range(20)))
    expect(many, [(Code.CHANGED, (b"%03d" % at)[::-1]) for at in range(20)])
    print("methods")

    expect(await ask(Code.POST, "/turn", payload=MEBIBYTE), (Code.CHANGED, MEBIBYTE[::-1]))
    expect((await ask(Code.POST, "/turn", payload=MEBIBYTE + b"x"))[0], Code.REQUEST_ENTITY_TOO_LARGE)
    print("blocks")

    observing = context.request(Message(code=Code.GET, uri=uri + "/note", observe=0))
    expect((await observing.response).payload, b"first")
    states = aiter(observing.observation)
    for state in (b"second", b"3" * 5000):
        expect(await ask(Code.PUT, "/note", payload=state), (Code.CHANGED, b""))
        expect((await anext(states)).payload, state)
    observing.observation.cancel()
    # Whoever has let go of a state is told nothing more, and is still served.
    expect(await ask(Code.PUT, "/note", payload=b"last"), (Code.CHANGED, b""))
    expect(await ask(Code.GET, "/note"), (Code.CONTENT, b"last"))
    print("observed")

    await context.shutdown()


asyncio.run(asyncio.wait_for(main(*sys.argv[1:]), PATIENCE))
