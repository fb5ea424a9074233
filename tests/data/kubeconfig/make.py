#!/usr/bin/python3
"""Makes keys.json and certificates.json: good, odd and hostile keys and client
certificates for the tests of vault/kubeconfig.

    python3 make.py        (python3-cryptography; writes beside itself)

Everything is built byte by byte from the DER primitives below, so that each
case differs from a good one in the one thing that its name says. The keys are
drawn anew at each run and serve nothing but the tests.

keys.json          [{name, pem, type, bits}] or [{name, pem, refused}]
certificates.json  {"key": PEM of the client key, "cases": [{name, pem,
                   subject?, groups?, ...} or {name, pem, refused, status?}]}
`refused` is a part of the error's text.
"""
import base64
import json
import os
import secrets
from pathlib import Path

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

HERE = Path(__file__).resolve().parent

# DER ------------------------------------------------------------------------


def length(n):
    if n < 0x80:
        return bytes([n])
    body = n.to_bytes((n.bit_length() + 7) // 8, "big")
    return bytes([0x80 | len(body)]) + body


def tlv(tag, *parts):
    body = b"".join(parts)
    return bytes([tag]) + length(len(body)) + body


def seq(*parts):
    return tlv(0x30, *parts)


def setof(*parts):
    return tlv(0x31, *parts)


def integer(n):
    return tlv(0x02, n.to_bytes(n.bit_length() // 8 + 1, "big", signed=True))


def bits(data):
    return tlv(0x03, b"\0", data)


def octets(data):
    return tlv(0x04, data)


def oid(text):
    parts = [int(p) for p in text.split(".")]
    out = [40 * parts[0] + parts[1]] + parts[2:]
    body = b""
    for n in out:
        chunk = [n & 0x7F]
        while n > 0x7F:
            n >>= 7
            chunk.append(0x80 | n & 0x7F)
        body += bytes(reversed(chunk))
    return tlv(0x06, body)


NULL = b"\x05\0"
RSA = oid("1.2.840.113549.1.1.1")
PSS = oid("1.2.840.113549.1.1.10")
DSA = oid("1.2.840.10040.4.1")
EC = oid("1.2.840.10045.2.1")
ED25519 = oid("1.3.101.112")
CURVES = {
    "P-192": "1.2.840.10045.3.1.1",
    "P-256": "1.2.840.10045.3.1.7",
    "P-384": "1.3.132.0.34",
    "P-521": "1.3.132.0.35",
    "secp256k1": "1.3.132.0.10",
}


def pem(label, der, headers=""):
    text = base64.encodebytes(der).decode().replace("\n", "")
    lines = [text[i:i + 64] for i in range(0, len(text), 64)]
    return "\n".join([f"-----BEGIN {label}-----"] + ([headers] if headers else [])
                     + lines + [f"-----END {label}-----", ""])


# Primes ---------------------------------------------------------------------


def is_prime(n, rounds=24):
    if n < 4 or n % 2 == 0:
        return n in (2, 3)
    for p in (3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47):
        if n % p == 0:
            return n == p
    m, s = n - 1, 0
    while m % 2 == 0:
        m, s = m // 2, s + 1
    for _ in range(rounds):
        y = pow(2 + secrets.randbelow(n - 3), m, n)
        if y in (1, n - 1):
            continue
        for _ in range(s - 1):
            y = y * y % n
            if y == n - 1:
                break
        else:
            return False
    return True


def prime(size, e=65537):
    while True:
        p = secrets.randbits(size) | 3 << (size - 2) | 1
        if (p - 1) % e and is_prime(p):
            return p


# RSA ------------------------------------------------------------------------


class Rsa:
    """The eight numbers, each of which a case may replace."""

    def __init__(self, p, q, e=65537, /, **changed):
        self.n, self.e, self.p, self.q = p * q, e, p, q
        phi = (p - 1) * (q - 1)
        try:
            self.d = pow(e, -1, phi)
        except ValueError:
            self.d = 3
        self.dp = self.d % (p - 1) if p > 1 else 0
        self.dq = self.d % (q - 1) if q > 1 else 0
        try:
            self.qi = pow(q, -1, p)
        except ValueError:
            self.qi = 1
        for name, value in changed.items():
            setattr(self, name, value)

    def numbers(self):
        return [self.n, self.e, self.d, self.p, self.q, self.dp, self.dq,
                self.qi]

    def der(self, version=0, tail=b""):
        return seq(integer(version), *map(integer, self.numbers()), tail)

    def pem(self, **kw):
        return pem("RSA PRIVATE KEY", self.der(**kw))


def pkcs8(algorithm, secret, version=0, tail=b""):
    return pem("PRIVATE KEY", seq(integer(version), algorithm, octets(secret),
                                  tail))


def pseudoprime(size):
    """r (2r - 1), both prime, r - 1 a multiple of a high power of 2: about one
    base in six does not find it out."""
    while True:
        r = (secrets.randbits(size // 2 - 12) | 1 << (size // 2 - 13)) << 8 | 1
        if is_prime(r, 1) and is_prime(2 * r - 1, 1) and is_prime(r) \
                and is_prime(2 * r - 1):
            return r * (2 * r - 1)


def rsa_keys():
    p, q = prime(1024), prime(1024)
    if p < q:
        p, q = q, p
    good = Rsa(p, q)
    small = prime(512), prime(512)
    yield dict(name="RSA 2048, PKCS#1", pem=good.pem(), type="RSA", bits=2048)
    yield dict(name="RSA 2048, PKCS#8", pem=pkcs8(seq(RSA, NULL), good.der()),
               type="RSA", bits=2048)
    yield dict(name="RSA 2048, primes the other way round",
               pem=Rsa(q, p).pem(), type="RSA", bits=2048)
    yield dict(name="RSA 2048, text around it",
               pem="Bag Attributes\n    localKeyID: 01\n" + good.pem() + "\n\n",
               type="RSA", bits=2048)
    e3 = prime(1024, 3), prime(1024, 3)
    yield dict(name="RSA 2048, e = 3", pem=Rsa(*e3, 3).pem(), type="RSA",
               bits=2048)

    def bad(name, key, part="do not belong together"):
        return dict(name="RSA, " + name, pem=key.pem(), refused=part)
    yield bad("1024 bits", Rsa(*small), "1024 bits; 2048 to 8192")
    yield bad("512 bits", Rsa(prime(256), prime(256)), "512 bits; 2048 to 8192")
    yield bad("16384 bits", Rsa(p, q, n=1 << 16383 | 1), "more than 8192 bits")
    yield bad("n = 0", Rsa(p, q, n=0), "0 bits")
    yield bad("e = 1", Rsa(p, q, e=1), "public exponent")
    yield bad("e = 0", Rsa(p, q, e=0), "public exponent")
    yield bad("e even", Rsa(p, q, e=65536), "public exponent")
    yield bad("e of 33 bits", Rsa(p, q, e=(1 << 32) + 15), "public exponent")
    yield bad("p = q", Rsa(p, p))
    yield bad("n prime, q = 1", Rsa(prime(2048), 1))
    yield bad("n off by two", Rsa(p, q, n=p * q + 2))
    yield bad("d off by two", Rsa(p, q, d=good.d + 2))
    yield bad("d = 1", Rsa(p, q, d=1))
    yield bad("d not below n", Rsa(p, q, d=good.d + (p - 1) * (q - 1)))
    yield bad("dp off by two", Rsa(p, q, dp=good.dp + 2))
    yield bad("dp off by p - 1", Rsa(p, q, dp=good.dp + p - 1))
    yield bad("dq off by two", Rsa(p, q, dq=good.dq + 2))
    yield bad("coefficient off by one", Rsa(p, q, qi=good.qi + 1))
    yield bad("coefficient off by p", Rsa(p, q, qi=good.qi + p))
    yield bad("coefficient 0", Rsa(p, q, qi=0))
    yield bad("q of another key", Rsa(p, q, q=prime(1024)))
    yield bad("p of two primes", Rsa(prime(512) * prime(512), q))
    yield bad("q of two primes", Rsa(p, prime(512) * prime(512)))
    yield bad("p even", Rsa(p + 1, q))
    yield dict(name="RSA, p a pseudoprime", refused="do not belong together",
               pem=Rsa(pseudoprime(1024), q).pem(), chance=True)
    third = prime(680)
    yield dict(name="RSA, three primes", refused="more than two primes",
               pem=good.pem(version=1, tail=seq(seq(integer(third), integer(3),
                                                    integer(3)))))
    yield dict(name="RSA, three primes, version 0", refused="strict DER",
               pem=good.pem(tail=seq(seq(integer(third), integer(3),
                                         integer(3)))))
    yield dict(name="RSA, version 2", pem=good.pem(version=2),
               refused="more than two primes")
    yield dict(name="RSA, PKCS#8 without NULL", refused="another kind",
               pem=pkcs8(seq(RSA), good.der()))
    yield dict(name="RSA-PSS", refused="another kind",
               pem=pkcs8(seq(PSS), good.der()))
    der = good.der()
    yield dict(name="RSA, byte behind", refused="strict DER",
               pem=pem("RSA PRIVATE KEY", der + b"\0"))
    yield dict(name="RSA, indefinite length", refused="strict DER",
               pem=pem("RSA PRIVATE KEY", b"\x30\x80" + der[4:] + b"\0\0"))
    yield dict(name="RSA, length not minimal", refused="strict DER",
               pem=pem("RSA PRIVATE KEY", b"\x30\x83\0" + der[2:]))
    yield dict(name="RSA, length of 2^31", refused="strict DER",
               pem=pem("RSA PRIVATE KEY", b"\x30\x84\x80\0\0\0" + der[4:]))
    yield dict(name="RSA, length short of the end", refused="strict DER",
               pem=pem("RSA PRIVATE KEY", der[:-1]))
    numbers = list(map(integer, good.numbers()))
    padded = tlv(0x02, b"\0\0\0" + good.p.to_bytes(128, "big"))
    yield dict(name="RSA, integer with leading zeros", refused="strict DER",
               pem=pem("RSA PRIVATE KEY", seq(integer(0), *numbers[:3], padded,
                                              *numbers[4:])))
    yield dict(name="RSA, negative integer", refused="strict DER",
               pem=pem("RSA PRIVATE KEY", seq(integer(0), *numbers[:3],
                                              integer(-good.p), *numbers[4:])))
    yield dict(name="RSA, empty integer", refused="strict DER",
               pem=pem("RSA PRIVATE KEY", seq(integer(0), *numbers[:3],
                                              b"\x02\0", *numbers[4:])))
    yield dict(name="RSA, a number short", refused="strict DER",
               pem=pem("RSA PRIVATE KEY", seq(integer(0), *numbers[:7])))
    yield from pem_keys(good)


def pem_keys(good):
    text = good.pem()
    yield dict(name="PEM, encrypted, PKCS#8", refused="the key is encrypted",
               pem=pem("ENCRYPTED PRIVATE KEY", good.der()))
    yield dict(name="PEM, encrypted, old form", refused="headers",
               pem=pem("RSA PRIVATE KEY", good.der(),
                       "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n"))
    yield dict(name="PEM, two keys", pem=text + text,
               refused="more than one private key")
    yield dict(name="PEM, three blocks", pem=text * 3,
               refused="more than 2 PEM blocks")
    yield dict(name="PEM, a certificate", refused="no private key of a kind",
               pem=text.replace("RSA PRIVATE KEY", "CERTIFICATE"))
    yield dict(name="PEM, a public key", refused="no private key of a kind",
               pem=text.replace("RSA PRIVATE KEY", "PUBLIC KEY"))
    yield dict(name="PEM, DSA", refused="no private key of a kind",
               pem=pem("DSA PRIVATE KEY", good.der()))
    yield dict(name="PEM, OPENSSH", refused="no private key of a kind",
               pem=pem("OPENSSH PRIVATE KEY", b"openssh-key-v1\0"))
    yield dict(name="PEM, wrong kind under the label", refused="strict DER",
               pem=text.replace("RSA PRIVATE KEY", "EC PRIVATE KEY"))
    yield dict(name="PEM, nothing", pem="", refused="no PEM block")
    yield dict(name="PEM, none", pem="hello\n", refused="no PEM block")
    yield dict(name="PEM, DER itself", refused="no PEM block",
               pem=base64.b64encode(good.der()).decode())
    yield dict(name="PEM, head alone", refused="has no end",
               pem="-----BEGIN RSA PRIVATE KEY-----\n")
    yield dict(name="PEM, no end", pem=text[:-32], refused="has no end")
    yield dict(name="PEM, end alone", refused="a broken line",
               pem="-----END RSA PRIVATE KEY-----\n")
    yield dict(name="PEM, another end", refused="ends with another label",
               pem=text.replace("END RSA", "END EC"))
    yield dict(name="PEM, begin in a block", refused="more than base64",
               pem=text.replace("-----\n", "-----\n-----BEGIN X-----\n", 1))
    yield dict(name="PEM, begin not at a line's start",
               refused="a broken line", pem="x" + text)
    yield dict(name="PEM, four dashes", refused="a broken line",
               pem=text.replace("KEY-----\n", "KEY----\n", 1))
    yield dict(name="PEM, empty", refused="is empty",
               pem="-----BEGIN PRIVATE KEY-----\n\n-----END PRIVATE KEY-----\n")
    yield dict(name="PEM, bad base64", refused="not base64",
               pem=text.replace("\nMII", "\nMI*", 1))
    body = "".join(text.splitlines()[1:-1])
    long = text.splitlines()[0] + "\n" + body + "\n" + text.splitlines()[-1]
    yield dict(name="PEM, one long line, no last line feed", pem=long,
               type="RSA", bits=2048)
    yield dict(name="PEM, CR LF and blanks at line ends",
               pem=text.replace("\n", " \t\r\n"), type="RSA", bits=2048)


# EC -------------------------------------------------------------------------


def sec1(d, size, curve=None, point=None, version=1):
    scalar = d if isinstance(d, bytes) else d.to_bytes(size, "big")
    parts = [integer(version), octets(scalar)]
    if curve is not None:
        parts.append(tlv(0xA0, curve))
    if point is not None:
        parts.append(tlv(0xA1, bits(point)))
    return seq(*parts)


def explicit_p256():
    p = 2**256 - 2**224 + 2**192 + 2**96 - 1
    b = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
    g = bytes.fromhex(
        "04" "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
        "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5")
    n = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    return seq(integer(1), seq(oid("1.2.840.10045.1.1"), integer(p)),
               seq(octets((p - 3).to_bytes(32, "big")),
                   octets(b.to_bytes(32, "big"))),
               octets(g), integer(n), integer(1))


P256_N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def public(key, form=serialization.PublicFormat.UncompressedPoint):
    return key.public_key().public_bytes(serialization.Encoding.X962, form)


def ec_keys():
    for curve, name, size in ((ec.SECP256R1(), "P-256", 32),
                              (ec.SECP384R1(), "P-384", 48),
                              (ec.SECP521R1(), "P-521", 66)):
        key = ec.generate_private_key(curve)
        d, point = key.private_numbers().private_value, public(key)
        named = oid(CURVES[name])
        number = int(name[2:])
        good = dict(type="EC", bits=number)
        yield dict(name=f"{name}, SEC1", **good,
                   pem=pem("EC PRIVATE KEY", sec1(d, size, named, point)))
        yield dict(name=f"{name}, SEC1 behind EC PARAMETERS", **good,
                   pem=pem("EC PARAMETERS", named)
                   + pem("EC PRIVATE KEY", sec1(d, size, named, point)))
        yield dict(name=f"{name}, SEC1 named by EC PARAMETERS alone", **good,
                   pem=pem("EC PARAMETERS", named)
                   + pem("EC PRIVATE KEY", sec1(d, size)))
        yield dict(name=f"{name}, PKCS#8", **good,
                   pem=pkcs8(seq(EC, named), sec1(d, size, None, point)))
        yield dict(name=f"{name}, PKCS#8, curve twice, no point", **good,
                   pem=pkcs8(seq(EC, named), sec1(d, size, named)))
    key = ec.generate_private_key(ec.SECP256R1())
    d, point = key.private_numbers().private_value, public(key)
    p256 = oid(CURVES["P-256"])
    yield dict(name="P-256, scalar short of its leading zeros", type="EC",
               bits=256, pem=pem("EC PRIVATE KEY", sec1(b"\7", 1, p256)))
    yield dict(name="P-256, attributes in PKCS#8", type="EC", bits=256,
               pem=pkcs8(seq(EC, p256), sec1(d, 32, None, point),
                         tail=tlv(0xA0, seq(oid("2.5.29.15"),
                                            setof(tlv(0x03, b"\7\x80"))))))

    def bad(name, der, part):
        return dict(name="EC, " + name, refused=part,
                    pem=pem("EC PRIVATE KEY", der))
    explicit = explicit_p256()
    yield bad("explicit parameters", sec1(d, 32, explicit, point),
              "explicit parameters")
    yield dict(name="EC, explicit parameters in PKCS#8",
               refused="explicit parameters",
               pem=pkcs8(seq(EC, explicit), sec1(d, 32, None, point)))
    yield dict(name="EC, explicit parameters in EC PARAMETERS",
               refused="explicit parameters",
               pem=pem("EC PARAMETERS", explicit)
               + pem("EC PRIVATE KEY", sec1(d, 32)))
    yield dict(name="EC, explicit parameters behind a named curve",
               refused="explicit parameters",
               pem=pkcs8(seq(EC, p256), sec1(d, 32, explicit, point)))
    off = bytearray(point)
    off[-1] ^= 1
    yield bad("point off the curve", sec1(d, 32, p256, bytes(off)),
              "public point")
    yield bad("point of another key", sec1(
        d, 32, p256, public(ec.generate_private_key(ec.SECP256R1()))),
        "public point")
    yield bad("point at infinity", sec1(d, 32, p256, b"\0"), "public point")
    yield bad("point compressed", sec1(
        d, 32, p256,
        public(key, serialization.PublicFormat.CompressedPoint)),
        "public point")
    yield bad("d = 0", sec1(0, 32, p256), "range")
    yield bad("d = n", sec1(P256_N, 32, p256), "range")
    yield bad("d > n", sec1(P256_N + 1, 32, p256), "range")
    yield bad("d too long", sec1(b"\0" + d.to_bytes(32, "big"), 33, p256),
              "range")
    yield bad("d empty", sec1(b"", 0, p256), "range")
    yield bad("no curve", sec1(d, 32, None, point), "does not name its curve")
    yield bad("P-192", sec1(5, 24, oid(CURVES["P-192"])), "none of P-256")
    yield bad("secp256k1", sec1(5, 32, oid(CURVES["secp256k1"])),
              "none of P-256")
    yield bad("version 0", sec1(d, 32, p256, point, version=0), "strict DER")
    yield bad("byte behind", sec1(d, 32, p256, point) + b"\0", "strict DER")
    yield dict(name="EC, two curves", refused="names two curves",
               pem=pkcs8(seq(EC, oid(CURVES["P-384"])),
                         sec1(d, 48, p256)))
    yield dict(name="EC, two curves in two blocks", refused="names two curves",
               pem=pem("EC PARAMETERS", oid(CURVES["P-521"]))
               + pem("EC PRIVATE KEY", sec1(d, 32, p256, point)))
    yield dict(name="EC, no parameters in PKCS#8", refused="strict DER",
               pem=pkcs8(seq(EC), sec1(d, 32, p256, point)))
    yield dict(name="EC, two keys", refused="more than one private key",
               pem=2 * pem("EC PRIVATE KEY", sec1(d, 32, p256, point)))
    yield dict(name="EC PARAMETERS alone", refused="no private key of a kind",
               pem=pem("EC PARAMETERS", p256))


def other_keys():
    seed = os.urandom(32)
    key = ed25519.Ed25519PrivateKey.from_private_bytes(seed)
    open_half = key.public_key().public_bytes(serialization.Encoding.Raw,
                                              serialization.PublicFormat.Raw)
    given = tlv(0x81, b"\0", open_half)
    good = dict(type="ED25519", bits=256)
    yield dict(name="Ed25519", pem=pkcs8(seq(ED25519), octets(seed)), **good)
    yield dict(name="Ed25519 with its public half", **good,
               pem=pkcs8(seq(ED25519), octets(seed), 1, given))
    yield dict(name="Ed25519, another public half", refused="public half",
               pem=pkcs8(seq(ED25519), octets(seed), 1,
                         tlv(0x81, b"\0", seed)))
    yield dict(name="Ed25519, public half in version 0", refused="strict DER",
               pem=pkcs8(seq(ED25519), octets(seed), 0, given))
    yield dict(name="Ed25519, 31 bytes", refused="strict DER",
               pem=pkcs8(seq(ED25519), octets(seed[1:])))
    yield dict(name="Ed25519, not wrapped", refused="strict DER",
               pem=pkcs8(seq(ED25519), seed))
    yield dict(name="Ed25519, parameters", refused="another kind",
               pem=pkcs8(seq(ED25519, NULL), octets(seed)))
    yield dict(name="X25519", refused="another kind",
               pem=pkcs8(seq(oid("1.3.101.110")), octets(seed)))
    yield dict(name="Ed448", refused="another kind",
               pem=pkcs8(seq(oid("1.3.101.113")), octets(os.urandom(57))))
    yield dict(name="ML-DSA-65", refused="another kind",
               pem=pkcs8(seq(oid("2.16.840.1.101.3.4.3.18")),
                         tlv(0x80, seed)))
    yield dict(name="DSA, PKCS#8", refused="another kind",
               pem=pkcs8(seq(DSA, seq(integer(7), integer(3), integer(2))),
                         integer(2)))
    yield dict(name="PKCS#8, version 2", refused="strict DER",
               pem=pkcs8(seq(ED25519), octets(seed), 2))
    deep = b""
    for _ in range(200):
        deep = seq(deep)
    yield dict(name="PKCS#8, element behind", refused="strict DER",
               pem=pem("PRIVATE KEY", seq(integer(0), seq(ED25519),
                                          octets(octets(seed))) + NULL))
    yield dict(name="PKCS#8, deep", refused="strict DER",
               pem=pkcs8(seq(ED25519), octets(seed), tail=tlv(0xA0, deep)))
    yield dict(name="PKCS#8, of 17 KiB", refused="larger than",
               pem=pkcs8(seq(ED25519), octets(bytes(17 * 1024))))


# Certificates ---------------------------------------------------------------

CLIENT = ec.generate_private_key(ec.SECP256R1())
ISSUER = ec.generate_private_key(ec.SECP256R1())
ECDSA_SHA256 = seq(oid("1.2.840.10045.4.3.2"))
CN, O, OU = oid("2.5.4.3"), oid("2.5.4.10"), oid("2.5.4.11")


def utf8(text):
    return tlv(0x0C, text.encode() if isinstance(text, str) else text)


def rdn(*pairs):
    return setof(*(seq(kind, value) for kind, value in pairs))


def name(*rdns):
    return seq(*rdns)


def utc(text):
    return tlv(0x17, text.encode())


def general(text):
    return tlv(0x18, text.encode())


def extension(number, value, critical=False):
    return seq(oid(number), *([b"\x01\x01\xff"] if critical else []),
               octets(value))


CLIENT_AUTH = oid("1.3.6.1.5.5.7.3.2")
SERVER_AUTH = oid("1.3.6.1.5.5.7.3.1")
ANY_USE = oid("2.5.29.37.0")
USE = extension("2.5.29.15", tlv(0x03, b"\5\xa0"), True)
EXT_USE = extension("2.5.29.37", seq(CLIENT_AUTH))
NOT_CA = extension("2.5.29.19", seq(), True)
CA = extension("2.5.29.19", seq(b"\x01\x01\xff"), True)
SUBJECT = name(rdn((O, utf8("system:masters"))), rdn((CN, utf8("0123abcd"))))


def spki(algorithm=None, point=None):
    return seq(algorithm or seq(EC, oid(CURVES["P-256"])),
               bits(point or public(CLIENT)))


def certificate(version=2, serial=None, issuer=None, before=None, after=None,
                subject=SUBJECT, key=None, extensions=(USE, EXT_USE, NOT_CA),
                tail=b"", signature_tail=b""):
    parts = []
    if version:
        parts.append(tlv(0xA0, integer(version)))
    parts += [
        serial or integer(0x5EADBEEF),
        ECDSA_SHA256,
        issuer or name(rdn((CN, utf8("certvault-test-ca")))),
        seq(before or utc("260101000000Z"), after or utc("360101000000Z")),
        subject,
        key or spki(),
    ]
    if extensions:
        parts.append(tlv(0xA3, seq(*extensions)))
    body = seq(*parts, tail)
    signature = ISSUER.sign(body, ec.ECDSA(hashes.SHA256()))
    return seq(body, ECDSA_SHA256, bits(signature), signature_tail)


def cert_pem(*args, **kw):
    return pem("CERTIFICATE", certificate(*args, **kw))


GOOD = certificate()


def good_certificates():
    masters = ["system:masters"]
    yield dict(name="plain", pem=pem("CERTIFICATE", GOOD), groups=masters,
               subject="CN=0123abcd,O=system:masters", serial="5EADBEEF",
               issuer="CN=certvault-test-ca",
               not_before="2026-01-01T00:00:00Z",
               not_after="2036-01-01T00:00:00Z")
    yield dict(name="no extensions", pem=cert_pem(extensions=()))
    yield dict(name="version 1", pem=cert_pem(version=0, extensions=()))
    yield dict(name="any extended use",
               pem=cert_pem(extensions=(extension("2.5.29.37", seq(ANY_USE)),)))
    yield dict(name="server and client",
               pem=cert_pem(extensions=(extension(
                   "2.5.29.37", seq(SERVER_AUTH, CLIENT_AUTH), True),)))
    yield dict(name="unknown extension, not critical",
               pem=cert_pem(extensions=(EXT_USE,
                                        extension("1.2.3.4", b"x"))))
    yield dict(name="serial of 20 bytes", serial="7F" + "00" * 19,
               pem=cert_pem(serial=integer(0x7F << 152)))
    yield dict(name="serial of 20 bytes with the high bit",
               serial="FF" * 20, pem=cert_pem(serial=integer((1 << 160) - 1)))
    yield dict(name="serial 0", pem=cert_pem(serial=integer(0)), serial="0")
    yield dict(name="no end", not_after="9999-12-31T23:59:59Z",
               pem=cert_pem(after=general("99991231235959Z")))
    yield dict(name="from 1950", not_before="1950-01-01T00:00:00Z",
               pem=cert_pem(before=utc("500101000000Z")))
    yield dict(name="to 2049", not_after="2049-12-31T23:59:59Z",
               pem=cert_pem(after=utc("491231235959Z")))
    yield dict(name="to 2050", not_after="2050-01-01T00:00:00Z",
               pem=cert_pem(after=general("20500101000000Z")))
    # H38
    yield dict(name="CN with NUL",
               pem=cert_pem(subject=name(rdn((CN, utf8("a\0b"))))),
               subject="CN=a\\00b", groups=[])
    yield dict(name="CN of 10 KB", cut=True,
               pem=cert_pem(subject=name(rdn((CN, utf8("x" * 10240))))))
    yield dict(name="CN with bidi, escapes, comma",
               pem=cert_pem(subject=name(rdn((CN, utf8(
                   "a\u202eb\x1b[2J,\"\\"))))),
               subject="CN=a\\E2\\80\\AEb\\1B[2J\\,\\\"\\\\", groups=[])
    yield dict(name="CN in Cyrillic",
               pem=cert_pem(subject=name(rdn((CN, utf8("\u0416"))))),
               subject="CN=\\D0\\96")
    yield dict(name="no subject", pem=cert_pem(subject=name()), subject="",
               groups=[])
    yield dict(name="groups in one RDN",
               pem=cert_pem(subject=name(
                   rdn((O, utf8("b")), (O, utf8("system:masters"))),
                   rdn((CN, utf8("x"))))),
               groups=["b", "system:masters"])
    yield dict(name="groups odd",
               pem=cert_pem(subject=name(
                   rdn((O, utf8("a\x1b\\\u202e"))),
                   rdn((O, utf8("\u0416"))), rdn((O, utf8("y" * 300))))),
               groups=["a\\1B\\5C\\E2\\80\\AE", "\u0416", "y" * 256 + "..."])
    yield dict(name="group in another string type",
               pem=cert_pem(subject=name(
                   rdn((O, tlv(0x1E, "system:masters".encode("utf-16-be")))))),
               groups=masters)
    yield dict(name="almost system:masters", masters=False,
               pem=cert_pem(subject=name(rdn((O, utf8("system:masters\0"))),
                                         rdn((OU, utf8("system:masters"))))),
               groups=["system:masters\\00"])
    yield dict(name="text before it",
               pem="subject=CN = x\n\n" + pem("CERTIFICATE", GOOD) + "tail\n")
    yield dict(name="chain", chain=2,
               pem=pem("CERTIFICATE", GOOD) + cert_pem(extensions=(CA,)))


def bad_certificates():
    def bad(case, text, part, **more):
        return dict(name=case, pem=text, refused=part, **more)

    def der(case, data, part="strict X.509 DER"):
        return bad(case, pem("CERTIFICATE", data), part)
    # H36
    yield der("byte behind", GOOD + b"\0")
    yield der("element behind", GOOD + NULL)
    yield der("indefinite length", b"\x30\x80" + GOOD[4:] + b"\0\0")
    yield der("length not minimal", b"\x30\x83\0" + GOOD[2:])
    yield der("length of 2^31", b"\x30\x84\x80\0\0\0" + GOOD[4:])
    yield der("length past the end", b"\x30\x82\x7f\xff" + GOOD[4:])
    yield der("element behind the signature",
              certificate(signature_tail=integer(1)))
    yield der("element behind the extensions", certificate(tail=integer(1)))
    yield der("empty", b"\x30\0")
    yield der("not a certificate", integer(1))
    yield bad("no bytes", "-----BEGIN CERTIFICATE-----\n"
              "-----END CERTIFICATE-----\n", "is empty")
    # Reads as another element, too, where the second byte is the length.
    yield der("high tag number", certificate(
        subject=name(rdn((CN, b"\x9f\x1f\x1e" + bytes(30))))))
    yield der("constructed string", certificate(
        subject=name(rdn((CN, tlv(0x2C, utf8("x")))))))
    yield der("boolean of 1", certificate(extensions=(
        seq(oid("2.5.29.15"), b"\x01\x01\x01",
            octets(tlv(0x03, b"\5\xa0"))),)))
    yield der("bits to spare set", certificate(
        key=seq(seq(EC, oid(CURVES["P-256"])),
                tlv(0x03, b"\1", public(CLIENT)[:-1], b"\xff"))))
    deep = integer(1)
    for _ in range(100):
        deep = seq(deep)
    yield der("deep", certificate(tail=tlv(0xA4, deep)))
    yield bad("serial negative", cert_pem(serial=integer(-5)),
              "serial number is negative")
    yield bad("serial of 21 bytes", cert_pem(serial=integer(1 << 160)),
              "longer than 20 bytes")
    yield bad("serial of 60 KB", cert_pem(serial=integer(1 << 480000)),
              "longer than 20 bytes")
    yield der("serial with leading zeros",
              certificate(serial=tlv(0x02, b"\0\0\1")))
    yield der("serial empty", certificate(serial=b"\x02\0"))
    yield bad("extension twice", cert_pem(extensions=(USE, EXT_USE, USE)),
              "extension twice")
    yield bad("unknown extension twice", cert_pem(extensions=(
        extension("1.2.3.4", b"x"), extension("1.2.3.4", b"y"))),
        "extension twice")
    yield bad("extension broken", cert_pem(extensions=(
        extension("2.5.29.37", b"\x30\x05x"),)), "cannot be read")
    yield bad("extensions in version 1", cert_pem(version=0),
              "which its version does not have")
    yield bad("of 70 KB", cert_pem(extensions=(
        extension("1.2.3.4", bytes(70000)),)), "larger than")
    yield bad("65 groups", cert_pem(subject=name(
        *(rdn((O, utf8(str(i)))) for i in range(65)))), "more than 64 groups")
    # H37
    yield bad("expired", cert_pem(before=utc("200101000000Z"),
                                  after=utc("270531235959Z")),
              "expired at 2027-05-31T23:59:59Z", status="expired")
    yield bad("not yet", cert_pem(before=utc("270602000000Z")),
              "not valid before 2027-06-02")
    yield bad("ends before it begins",
              cert_pem(before=utc("360102000000Z")), "ends before it begins")
    yield bad("1949", cert_pem(after=general("19491231235959Z"),
                               before=general("19491231235959Z")),
              "expired at 1949", status="expired")
    yield bad("critical extension unknown", cert_pem(extensions=(
        EXT_USE, extension("1.2.3.4", b"x", True))), "critical extension")
    yield bad("server alone", cert_pem(extensions=(
        extension("2.5.29.37", seq(SERVER_AUTH)),)), "client authentication")
    for case, before in (("without seconds", utc("2601010000Z")),
                         ("with an offset", utc("260101000000+0000")),
                         ("with a fraction", general("20260101000000.5Z")),
                         ("month 13", utc("261301000000Z")),
                         ("no Z", utc("260101000000")),
                         ("general with an offset",
                          general("20260101000000+0000"))):
        # libcrypto finds some of them, we the others.
        yield bad("time " + case, cert_pem(before=before), "the certificate")
    # H32, H34
    yield bad("a CA's", cert_pem(extensions=(CA,)), "is a CA's")
    yield bad("explicit curve parameters",
              cert_pem(key=spki(seq(EC, explicit_p256()))),
              "explicit parameters")
    yield bad("another key", cert_pem(key=spki(point=public(ISSUER))),
              "not the certificate's key")
    yield bad("an RSA key", cert_pem(key=seq(
        seq(RSA, NULL),
        bits(seq(integer(prime(1024) * prime(1024)), integer(65537))))),
        "not the certificate's key")
    yield bad("point compressed", cert_pem(key=spki(point=public(
        CLIENT, serialization.PublicFormat.CompressedPoint))),
        "not the certificate's key")
    # H30
    text = pem("CERTIFICATE", GOOD)
    yield bad("chain of 11", text * 11, "more than 10 PEM blocks")
    yield bad("key in the chain",
              text + pem("PRIVATE KEY", b"\x30\0"), "PEM block 2 is no")
    yield bad("trusted certificate",
              text.replace("CERTIFICATE", "TRUSTED CERTIFICATE"), "is no")
    yield bad("request", text.replace("CERTIFICATE", "CERTIFICATE REQUEST"),
              "is no")
    yield bad("second not strict", text + pem("CERTIFICATE", GOOD + b"\0"),
              "strict X.509 DER")


def write(path, value):
    path.write_text(json.dumps(value, indent=1, ensure_ascii=True) + "\n")


def main():
    write(HERE / "keys.json", [*rsa_keys(), *ec_keys(), *other_keys()])
    d = CLIENT.private_numbers().private_value
    write(HERE / "certificates.json", {
        "key": pem("EC PRIVATE KEY", sec1(d, 32, oid(CURVES["P-256"]),
                                          public(CLIENT))),
        "cases": [*good_certificates(), *bad_certificates()],
    })


if __name__ == "__main__":
    main()
