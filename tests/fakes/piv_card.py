"""A PIV card in software, for pcscd's virtual reader (vsmartcard-vpcd).

    piv_card.py PORT FOLDER        connects to the reader at 127.0.0.1:PORT

The card is FOLDER: 9a.key and 9c.key with their certificates 9a.pem, 9c.pem
(P-256; RSA-2048), made at the first start, and `pin` and `tries`. Every VERIFY
that carries a PIN goes into verifies.log, synced: outcome, tries left. Killed,
the card has been pulled; started again, it has been put back.

From NIST SP 800-73-4 part 2: SELECT, GET DATA (certificates, CHUID, discovery),
VERIFY, CHANGE REFERENCE DATA, GENERAL AUTHENTICATE with slots 9A (the PIN once)
and 9C (the PIN before each signature); command and response chaining. The reader
sends a length of two bytes and as many more: one byte is an order (0 off, 1 on,
2 reset, 4 the ATR is wanted), more are an APDU.
"""

import datetime
import os
import socket
import sys

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa, utils
from cryptography.x509.oid import NameOID

# Its historical bytes name the PIV application; without that OpenSC believes
# that the card has no elliptic curves.
ATR = bytes.fromhex("3b8b800180f9a00000030800001000c8")
AID = bytes.fromhex("a000000308000010000100")
MAX_TRIES = 3
SLOTS = {0x9a: ("9a", b"\x5f\xc1\x05"), 0x9c: ("9c", b"\x5f\xc1\x0a")}
RSA_2048, P256 = 0x07, 0x11
OK, WRONG_DATA, NOT_FOUND = 0x9000, 0x6a80, 0x6a82
NO_PIN, BLOCKED, UNKNOWN, BAD_P1P2 = 0x6982, 0x6983, 0x6d00, 0x6a86


def tlv(tag, value):
    n = len(value)
    length = bytes([n]) if n < 0x80 else b"\x81" + bytes([n]) if n < 0x100 \
        else b"\x82" + n.to_bytes(2, "big")
    return (tag if isinstance(tag, bytes) else bytes([tag])) + length + value


def parse(data):
    """Tag -> value of one level; tags here are of one byte."""
    found, at = {}, 0
    while at + 2 <= len(data):
        tag, n = data[at], data[at + 1]
        at += 2
        if n > 0x80:
            size = n & 0x7f
            n = int.from_bytes(data[at:at + size], "big")
            at += size
        found[tag] = data[at:at + n]
        at += n
    return found


class Card:
    def __init__(self, folder):
        self.folder = folder
        self.keys, self.objects = {}, {}
        for slot, (name, tag) in SLOTS.items():
            key, certificate = self.load(name)
            self.keys[slot] = key
            self.objects[tag] = tlv(0x70, certificate) + tlv(0x71, b"\0") + \
                tlv(0xfe, b"")
        guid = b"certvault-rig-01"
        self.objects[b"\x5f\xc1\x02"] = tlv(0x30, b"\xd4" * 25) + \
            tlv(0x34, guid) + tlv(0x35, b"20991231") + tlv(0x3e, b"") + \
            tlv(0xfe, b"")
        self.reset()

    def path(self, name):
        return os.path.join(self.folder, name)

    def read(self, name, default=b""):
        try:
            with open(self.path(name), "rb") as f:
                return f.read()
        except FileNotFoundError:
            return default

    def write(self, name, data):
        with open(self.path(name + ".new"), "wb") as f:
            f.write(data)
        os.rename(self.path(name + ".new"), self.path(name))

    def load(self, name):
        """The slot's key and certificate (DER), made where there is none."""
        if not os.path.exists(self.path(name + ".pem")):
            key = ec.generate_private_key(ec.SECP256R1()) if name == "9a" \
                else rsa.generate_private_key(65537, 2048)
            subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME,
                                                    "card " + name)])
            now = datetime.datetime(2026, 1, 1)
            made = x509.CertificateBuilder(
                subject, subject, key.public_key(), x509.random_serial_number(),
                now, now + datetime.timedelta(days=9000)).sign(key,
                                                               hashes.SHA256())
            self.write(name + ".key", key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption()))
            self.write(name + ".pem", made.public_bytes(
                serialization.Encoding.PEM))
        key = serialization.load_pem_private_key(self.read(name + ".key"), None)
        certificate = x509.load_pem_x509_certificate(self.read(name + ".pem"))
        return key, certificate.public_bytes(serialization.Encoding.DER)

    def reset(self):
        self.verified = self.fresh = False
        self.chained, self.waiting = b"", b""

    # --- the PIN ---

    def tries(self):
        return int(self.read("tries", b"%d" % MAX_TRIES))

    def try_pin(self, pin):
        """The status; a try is taken off first and given back when right."""
        left = self.tries()
        if left == 0:
            return BLOCKED
        self.write("tries", b"%d" % (left - 1))
        right = pin == self.read("pin", b"123456").ljust(8, b"\xff")
        left = MAX_TRIES if right else left - 1
        self.write("tries", b"%d" % left)
        fd = os.open(self.path("verifies.log"),
                     os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
        os.write(fd, b"%s %d\n" % (b"right" if right else b"wrong", left))
        os.fsync(fd)
        os.close(fd)
        self.verified = self.fresh = right
        return OK if right else 0x63c0 | left

    def verify(self, p1, p2, data):
        if p2 != 0x80:
            return 0x6a88
        if p1 == 0xff:
            self.verified = self.fresh = False
            return OK
        if data:
            return self.try_pin(data)
        if self.verified:
            return OK
        left = self.tries()
        return 0x63c0 | left if left else BLOCKED

    def change(self, p2, data):
        if p2 != 0x80 or len(data) != 16:
            return WRONG_DATA
        status = self.try_pin(data[:8])
        if status == OK:
            self.write("pin", data[8:].rstrip(b"\xff"))
        return status

    # --- commands ---

    def select(self, data):
        if not AID.startswith(data) or len(data) < 5:
            return b"", NOT_FOUND
        return tlv(0x61, tlv(0x4f, AID[5:]) +
                   tlv(0x79, tlv(0x4f, AID[:5]))), OK

    def get_data(self, data):
        tag = parse(data).get(0x5c, b"")
        if tag == b"\x7e":
            return tlv(0x7e, tlv(0x4f, AID) + tlv(b"\x5f\x2f", b"\x40\0")), OK
        if tag not in self.objects:
            return b"", NOT_FOUND
        return tlv(0x53, self.objects[tag]), OK

    def authenticate(self, algorithm, slot, data):
        wanted = parse(parse(data).get(0x7c, b""))
        if slot not in self.keys or 0x81 not in wanted:
            return b"", BAD_P1P2
        if not self.verified or (slot == 0x9c and not self.fresh):
            return b"", NO_PIN
        self.fresh = False
        key, challenge = self.keys[slot], wanted[0x81]
        if algorithm == P256 and slot == 0x9a and len(challenge) <= 32:
            signature = key.sign(challenge.rjust(32, b"\0"),
                                 ec.ECDSA(utils.Prehashed(hashes.SHA256())))
        elif algorithm == RSA_2048 and slot == 0x9c and len(challenge) == 256:
            n = key.private_numbers()
            signature = pow(int.from_bytes(challenge, "big"), n.d,
                            n.public_numbers.n).to_bytes(256, "big")
        else:
            return b"", WRONG_DATA
        return tlv(0x7c, tlv(0x82, signature)), OK

    def answer(self, apdu):
        cla, ins, p1, p2 = apdu[:4]
        n = apdu[4] if len(apdu) > 5 else 0
        data, expected = apdu[5:5 + n], apdu[5 + n:] if n else apdu[4:]
        if len(apdu) > 7 and n == 0:           # extended length
            n = int.from_bytes(apdu[5:7], "big")
            data, expected = apdu[7:7 + n], b"\0"
        if ins == 0xc0:
            return self.more(p1, b"", OK, apdu[4])
        if cla & 0x10:
            self.chained += data
            return OK.to_bytes(2, "big")
        data, self.chained = self.chained + data, b""
        out, status = b"", UNKNOWN
        if ins == 0xa4:
            out, status = self.select(data)
        elif ins == 0xcb:
            out, status = self.get_data(data)
        elif ins == 0x20:
            status = self.verify(p1, p2, data)
        elif ins == 0x24:
            status = self.change(p2, data)
        elif ins == 0x87:
            out, status = self.authenticate(p1, p2, data)
        self.waiting = b""
        return self.more(p1, out, status, expected[0] if expected else 0)

    def more(self, p1, out, status, expected):
        """What fits into a short answer; 61xx tells that there is more."""
        out = self.waiting + out
        self.waiting = out[expected or 256:]
        out = out[:expected or 256]
        if self.waiting:
            status = 0x6100 | min(len(self.waiting), 0xff)
        return out + status.to_bytes(2, "big")


def receive(s, n):
    data = b""
    while len(data) < n:
        more = s.recv(n - len(data))
        if not more:
            sys.exit(0)
        data += more
    return data


def main(port, folder):
    card = Card(folder)
    with socket.create_connection(("127.0.0.1", int(port)), 10) as s:
        s.settimeout(None)
        print("ready", flush=True)
        while True:
            message = receive(s, int.from_bytes(receive(s, 2), "big"))
            if len(message) > 1:
                reply = card.answer(message)
            elif message == b"\x04":
                reply = ATR
            else:
                card.reset()
                continue
            s.sendall(len(reply).to_bytes(2, "big") + reply)


if __name__ == "__main__":
    main(*sys.argv[1:])
