"""A device with Mbed TLS, whose hello is that of real ones: TLS 1.2, their suites and groups, no server name, no ALPN.

Beyond theirs Mbed TLS offers SHA-224, encrypt-then-MAC and session tickets, which it cannot be told from here to leave out.

    device.py RECORDS PORT [CHAIN KEY] <WHAT-IT-SAYS

Each line of its input goes into one TLS record, in hexadecimal; they all go out at once, and nothing else ever does. It
prints its hello, what is in each of the first RECORDS records that arrive, and, where the door does not let it in, so much.
"""

import ctypes
import socket
import sys

from mbedtls import tls, x509
from mbedtls.pk import ECC

PATIENCE = 60
SUITES = [
    "TLS-ECDHE-ECDSA-WITH-AES-128-GCM-SHA256",
    "TLS-ECDHE-ECDSA-WITH-AES-128-CBC-SHA256",
    "TLS-ECDHE-ECDSA-WITH-AES-256-GCM-SHA384",
    "TLS-ECDHE-ECDSA-WITH-AES-256-CBC-SHA384",
    "TLS-ECDHE-RSA-WITH-AES-128-GCM-SHA256",
    "TLS-ECDHE-RSA-WITH-AES-256-GCM-SHA384",
]
# secp256r1 and secp384r1, as Mbed TLS 2.28 numbers them.
GROUPS = [3, 4, 0]
APPLICATION_DATA = 23


def pin_groups():
    """Python is not given a setting for them: the library's own list of all groups is cut."""
    library = next(line.split()[-1] for line in open("/proc/self/maps") if "libmbedcrypto" in line)
    groups = ctypes.CDLL(library).mbedtls_ecp_grp_id_list
    groups.restype = ctypes.POINTER(ctypes.c_int)
    for at, group in enumerate(GROUPS):
        groups()[at] = group


def configuration(chain=None, key=None):
    presented = None
    if chain:
        certificates = open(chain).read().split("-----END CERTIFICATE-----\n")[:-1]
        certificates = [x509.CRT.from_PEM(block + "-----END CERTIFICATE-----\n") for block in certificates]
        presented = (tuple(certificates), ECC.from_PEM(open(key).read()))
    return tls.TLSConfiguration(
        validate_certificates=False,
        certificate_chain=presented,
        ciphers=SUITES,
        lowest_supported_version=tls.TLSVersion.TLSv1_2,
        highest_supported_version=tls.TLSVersion.TLSv1_2,
    )


class Device:
    def __init__(self, port, *credentials):
        self.buffer = tls.ClientContext(configuration(*credentials)).wrap_buffers(None)
        self.socket = socket.create_connection(("127.0.0.1", int(port)), PATIENCE)
        self.arrived = self.socket.makefile("rb")
        self.hello = None

    def send(self):
        while outgoing := self.buffer.peek_outgoing(1 << 15):
            self.hello = self.hello or outgoing
            self.socket.sendall(outgoing)
            self.buffer.consume_outgoing(len(outgoing))

    def receive(self):
        """Takes one record. Returns its type."""
        header = self.arrived.read(5)
        if len(header) < 5:
            raise ConnectionError("closed")
        self.buffer.receive_from_network(header + self.arrived.read(int.from_bytes(header[3:])))
        return header[0]

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


def main(records, *arguments):
    pin_groups()
    messages = [bytes.fromhex(line) for line in sys.stdin]
    device = Device(*arguments)
    try:
        device.shake_hands()
        print("suite", device.buffer.cipher())
        for message in messages:
            device.buffer.write(message)
        device.send()
        for _ in range(int(records)):
            while device.receive() != APPLICATION_DATA:
                device.buffer.read(1)
            print("record", device.buffer.read(1 << 14).hex())
    except Exception as error:
        print("refused", type(error).__name__, error)
    print("hello", device.hello.hex())


main(*sys.argv[1:])
