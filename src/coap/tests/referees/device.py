"""A device with Mbed TLS, whose hello is that of real ones: (D)TLS 1.2, their suites and groups, no server name, no ALPN.

Beyond theirs Mbed TLS offers SHA-224, encrypt-then-MAC and session tickets, which it cannot be told from here to leave out.

    device.py tls|dtls SUITES RECORDS PORT [CHAIN KEY] <WHAT-IT-SAYS

SUITES is `real`, or one of the other lists below. Each line of the input goes into one record, in hexadecimal; they all go out at
once, and nothing else ever does. It prints its hello, what is in each of the first RECORDS records that arrive, how long they were
on the wire, and, where the door does not let it in or ends the connection, so much.
"""

import ctypes
import socket
import sys

from mbedtls import tls, x509
from mbedtls.pk import ECC

PATIENCE = 60
ECDSA = "TLS-ECDHE-ECDSA-WITH-AES-"
SUITES = {
    "real": [
        ECDSA + "128-GCM-SHA256",
        ECDSA + "128-CBC-SHA256",
        ECDSA + "256-GCM-SHA384",
        ECDSA + "256-CBC-SHA384",
        "TLS-ECDHE-RSA-WITH-AES-128-GCM-SHA256",
        "TLS-ECDHE-RSA-WITH-AES-256-GCM-SHA384",
    ],
    "ccm": [ECDSA + "128-CCM-8", ECDSA + "128-CCM"],
    "cbc": [ECDSA + "128-CBC-SHA256", ECDSA + "256-CBC-SHA384", ECDSA + "128-CBC-SHA"],
}
# secp256r1 and secp384r1, as Mbed TLS 2.28 numbers them.
GROUPS = [3, 4, 0]
ALERT, APPLICATION_DATA = 21, 23


def pin_groups():
    """Python is not given a setting for them: the library's own list of all groups is cut."""
    library = next(line.split()[-1] for line in open("/proc/self/maps") if "libmbedcrypto" in line)
    groups = ctypes.CDLL(library).mbedtls_ecp_grp_id_list
    groups.restype = ctypes.POINTER(ctypes.c_int)
    for at, group in enumerate(GROUPS):
        groups()[at] = group


def configuration(transport, suites, chain=None, key=None):
    presented = None
    if chain:
        certificates = open(chain).read().split("-----END CERTIFICATE-----\n")[:-1]
        certificates = [x509.CRT.from_PEM(block + "-----END CERTIFICATE-----\n") for block in certificates]
        presented = (tuple(certificates), ECC.from_PEM(open(key).read()))
    kind, version = (tls.TLSConfiguration, tls.TLSVersion.TLSv1_2) if transport == "tls" else (tls.DTLSConfiguration, tls.DTLSVersion.DTLSv1_2)
    return kind(
        validate_certificates=False,
        certificate_chain=presented,
        ciphers=SUITES[suites],
        lowest_supported_version=version,
        highest_supported_version=version,
    )


class Device:
    def __init__(self, transport, suites, port, *credentials):
        self.buffer = tls.ClientContext(configuration(transport, suites, *credentials)).wrap_buffers(None)
        self.datagrams = transport == "dtls"
        self.header = 13 if self.datagrams else 5
        self.socket = socket.socket(type=socket.SOCK_DGRAM if self.datagrams else socket.SOCK_STREAM)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(("127.0.0.1", int(port)))
        self.arrived = None if self.datagrams else self.socket.makefile("rb")
        self.waiting = b""
        self.hello = None

    def send(self):
        """Each record goes alone, as over datagrams it has to where they are short."""
        outgoing = b""
        while more := self.buffer.peek_outgoing(1 << 15):
            outgoing += more
            self.buffer.consume_outgoing(len(more))
        while outgoing:
            length = self.header + int.from_bytes(outgoing[self.header - 2 : self.header])
            record, outgoing = outgoing[:length], outgoing[length:]
            self.hello = self.hello or record
            self.socket.sendall(record)

    def receive(self):
        """Takes one record. Returns its type and its length on the wire."""
        if self.datagrams:
            self.waiting = self.waiting or self.socket.recv(1 << 16)
            length = self.header + int.from_bytes(self.waiting[self.header - 2 : self.header])
            record, self.waiting = self.waiting[:length], self.waiting[length:]
        else:
            header = self.arrived.read(self.header)
            if len(header) < self.header:
                raise ConnectionError("closed")
            record = header + self.arrived.read(int.from_bytes(header[3:]))
        self.buffer.receive_from_network(record)
        return record[0], len(record)

    def shake_hands(self):
        while self.buffer._handshake_state is not tls.HandshakeStep.HANDSHAKE_OVER:
            try:
                self.buffer.do_handshake()
            except tls.WantReadError:
                self.send()
                self.receive()
            except tls.WantWriteError:
                self.send()
        self.send()

    def message(self):
        """What is in the next record of application data, and its length on the wire."""
        while True:
            kind, length = self.receive()
            if kind == APPLICATION_DATA:
                return self.buffer.read(1 << 14), length
            if kind == ALERT:
                raise ConnectionError("alert")
            self.buffer.read(1)


def main(transport, suites, records, *arguments):
    pin_groups()
    messages = [bytes.fromhex(line) for line in sys.stdin]
    device = Device(transport, suites, *arguments)
    try:
        device.shake_hands()
        print("suite", device.buffer.cipher(), flush=True)
        for message in messages:
            device.buffer.write(message)
        device.send()
        for _ in range(int(records)):
            message, length = device.message()
            print("record", length, message.hex(), flush=True)
    except Exception as error:
        print("refused", type(error).__name__, error)
    print("hello", device.hello.hex())


main(*sys.argv[1:])
