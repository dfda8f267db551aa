"""A server of aiocoap with a small set of resources, over coap and coap+tcp, and on the next port over coaps+tcp.

    aiocoap_server.py PORT CHAIN KEY [ANCHORS]

Where it has anchors it lets in only clients whose chain leads there. It says `ready` when it is.
"""

import asyncio
import ssl
import sys

from aiocoap import Code, Context, Message
from aiocoap.resource import ObservableResource, Resource, Site


class Greeting(Resource):
    async def render_get(self, request):
        return Message(payload=b"welcome to aiocoap")


class Note(ObservableResource):
    state = b"first"

    async def render_get(self, request):
        return Message(payload=self.state)

    async def render_put(self, request):
        self.state = request.payload
        self.updated_state()
        return Message(code=Code.CHANGED)


class Turn(Resource):
    async def render_post(self, request):
        return Message(code=Code.CHANGED, payload=request.payload[::-1])


async def main(port, chain, key, anchors=None):
    encrypted = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    encrypted.load_cert_chain(chain, key)
    encrypted.set_alpn_protocols(["coap"])
    if anchors:
        encrypted.verify_mode = ssl.CERT_REQUIRED
        encrypted.load_verify_locations(anchors)
    site = Site()
    for path, resource in (("greeting", Greeting()), ("note", Note()), ("turn", Turn())):
        site.add_resource([path], resource)
    await Context.create_server_context(site, bind=("127.0.0.1", int(port)), _ssl_context=encrypted)
    print("ready", flush=True)
    await asyncio.Event().wait()


asyncio.run(main(*sys.argv[1:]))
