"""Makes tests/data/seal/vectors.json: sealed keys, key slots, and keys beside
certificates, those that must open and those that must not.

    seal_vectors.py DIR            writes DIR/vectors.json
    seal_vectors.py DIR --check    compares it with what is there, byte for byte
    seal_vectors.py DIR --new-keys makes DIR/keys.json anew (then the rest)

It follows docs/formats.md and shares no code with certvault: XSalsa20 and
HChaCha20 are written out below, X25519, Poly1305 and ChaCha20-Poly1305 are
python3-cryptography's, BLAKE2b is hashlib's. Only Argon2id, which neither has,
is libsodium's. All randomness comes from names, so that every run makes the
same file. TEST KEYS ONLY.
"""

import base64
import ctypes
import datetime
import hashlib
import json
import math
import os
import struct
import sys

from cryptography import x509
from cryptography.hazmat.primitives import hashes, poly1305, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa, x25519
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.x509.oid import NameOID

RAW = (serialization.Encoding.Raw, serialization.PublicFormat.Raw)


def b64(data):
    return base64.b64encode(data).decode()


def drawn(name, n):
    """n bytes that only `name` decides."""
    return hashlib.shake_256(name.encode()).digest(n)


# --- libsodium's constructions ------------------------------------------------

def rotl(x, n):
    return ((x << n) | (x >> (32 - n))) & 0xffffffff


def salsa_rounds(x):
    for _ in range(10):
        for a, b, c, d in ((0, 4, 8, 12), (5, 9, 13, 1), (10, 14, 2, 6),
                           (15, 3, 7, 11), (0, 1, 2, 3), (5, 6, 7, 4),
                           (10, 11, 8, 9), (15, 12, 13, 14)):
            x[b] ^= rotl((x[a] + x[d]) & 0xffffffff, 7)
            x[c] ^= rotl((x[b] + x[a]) & 0xffffffff, 9)
            x[d] ^= rotl((x[c] + x[b]) & 0xffffffff, 13)
            x[a] ^= rotl((x[d] + x[c]) & 0xffffffff, 18)
    return x


SIGMA = struct.unpack("<4I", b"expand 32-byte k")


def salsa_state(key, block):
    k, n = struct.unpack("<8I", key), struct.unpack("<4I", block)
    return [SIGMA[0], *k[:4], SIGMA[1], *n, SIGMA[2], *k[4:], SIGMA[3]]


def hsalsa20(key, block):
    x = salsa_rounds(salsa_state(key, block))
    return struct.pack("<8I", *(x[i] for i in (0, 5, 10, 15, 6, 7, 8, 9)))


def xsalsa20(key, nonce, length):
    sub = hsalsa20(key, nonce[:16])
    out = b""
    for i in range((length + 63) // 64):
        start = salsa_state(sub, nonce[16:] + struct.pack("<Q", i))
        x = salsa_rounds(list(start))
        out += struct.pack("<16I", *((a + b) & 0xffffffff
                                     for a, b in zip(x, start)))
    return out[:length]


def secretbox(key, nonce, plain):
    stream = xsalsa20(key, nonce, 32 + len(plain))
    body = bytes(a ^ b for a, b in zip(plain, stream[32:]))
    return poly1305.Poly1305.generate_tag(stream[:32], body) + body


def box_seal(public, plain, eph):
    """crypto_box_seal with the ephemeral secret key `eph`."""
    secret = x25519.X25519PrivateKey.from_private_bytes(eph)
    eph_public = secret.public_key().public_bytes(*RAW)
    shared = secret.exchange(x25519.X25519PublicKey.from_public_bytes(public))
    nonce = hashlib.blake2b(eph_public + public, digest_size=24).digest()
    return eph_public + secretbox(hsalsa20(shared, bytes(16)), nonce, plain)


def hchacha20(key, block):
    x = [*SIGMA, *struct.unpack("<8I", key), *struct.unpack("<4I", block)]
    for _ in range(10):
        for a, b, c, d in ((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14),
                           (3, 7, 11, 15), (0, 5, 10, 15), (1, 6, 11, 12),
                           (2, 7, 8, 13), (3, 4, 9, 14)):
            for first, second, third, by in ((a, b, d, 16), (c, d, b, 12),
                                             (a, b, d, 8), (c, d, b, 7)):
                x[first] = (x[first] + x[second]) & 0xffffffff
                x[third] = rotl(x[third] ^ x[first], by)
    return struct.pack("<8I", *x[:4], *x[12:])


def xchacha_seal(key, nonce, plain, header):
    sub = hchacha20(key, nonce[:16])
    return ChaCha20Poly1305(sub).encrypt(bytes(4) + nonce[16:], plain, header)


def argon2id(password, salt, passes, memory_kib):
    sodium = ctypes.CDLL("libsodium.so.23")
    assert sodium.sodium_init() >= 0
    out = ctypes.create_string_buffer(32)
    sodium.crypto_pwhash.argtypes = [
        ctypes.c_char_p, ctypes.c_ulonglong, ctypes.c_char_p,
        ctypes.c_ulonglong, ctypes.c_char_p, ctypes.c_ulonglong,
        ctypes.c_size_t, ctypes.c_int]
    assert sodium.crypto_pwhash(out, 32, password, len(password), salt, passes,
                                memory_kib * 1024, 2) == 0
    return out.raw


# --- keys and certificates ----------------------------------------------------

def make_keys():
    def entry(key):
        public = key.public_key()
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
        day = datetime.datetime(2026, 1, 1)
        alg = (None if isinstance(key, ed25519.Ed25519PrivateKey)
               else hashes.SHA256())
        cert = (x509.CertificateBuilder().subject_name(name).issuer_name(name)
                .public_key(public).serial_number(1).not_valid_before(day)
                .not_valid_after(day + datetime.timedelta(days=3650))
                .sign(key, alg))
        return {
            "pkcs8": b64(key.private_bytes(
                serialization.Encoding.DER, serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption())),
            "certificate": cert.public_bytes(
                serialization.Encoding.PEM).decode()}

    return {
        "rsa2048": entry(rsa.generate_private_key(65537, 2048)),
        "rsa2048-other": entry(rsa.generate_private_key(65537, 2048)),
        "p256": entry(ec.generate_private_key(ec.SECP256R1())),
        "p256-other": entry(ec.generate_private_key(ec.SECP256R1())),
        "p384": entry(ec.generate_private_key(ec.SECP384R1())),
        "p521": entry(ec.generate_private_key(ec.SECP521R1())),
        "p224": entry(ec.generate_private_key(ec.SECP224R1())),
        "ed25519": entry(ed25519.Ed25519PrivateKey.generate()),
        "ed25519-other": entry(ed25519.Ed25519PrivateKey.generate()),
    }


class Key:
    def __init__(self, stored):
        self.der = base64.b64decode(stored["pkcs8"])
        self.pem = stored["certificate"]
        self.cert = x509.load_pem_x509_certificate(self.pem.encode())
        self.private = serialization.load_der_private_key(self.der, None)
        self.spki = self.cert.public_key().public_bytes(
            serialization.Encoding.DER,
            serialization.PublicFormat.SubjectPublicKeyInfo)
        self.digest = hashlib.sha256(self.spki).digest()


# --- sealed keys --------------------------------------------------------------

VAULT, ENTRY = drawn("vault", 16), drawn("entry", 16)
BOX_SECRET = drawn("box secret", 32)
BOX_PUBLIC = (x25519.X25519PrivateKey.from_private_bytes(BOX_SECRET)
              .public_key().public_bytes(*RAW))
OTHER_SECRET = drawn("other box secret", 32)
OTHER_PUBLIC = (x25519.X25519PrivateKey.from_private_bytes(OTHER_SECRET)
                .public_key().public_bytes(*RAW))


def frame(der, digest, magic=b"CVSKEY\0\x01", vault=VAULT, entry=ENTRY,
          length=None, behind=b""):
    length = struct.pack(">I", len(der)) if length is None else length
    return magic + vault + entry + digest + length + der + behind


def pad(plain, marker=b"\x80", fill=b"\0", blocks=0):
    room = 256 - len(plain) % 256 + 256 * blocks
    return plain + marker + fill * (room - 1)


def boxes(keys):
    key = keys["ed25519"]
    out = []

    def add(name, expect, sealed, vault=VAULT, entry=ENTRY, digest=key.digest,
            der=None):
        case = {"name": name, "expect": expect, "vault_id": vault.hex(),
                "entry_id": entry.hex(), "spki_sha256": digest.hex(),
                "sealed": b64(sealed)}
        if der is not None:
            case["key_der"] = b64(der)
        out.append(case)

    def seal(name, plain, public=BOX_PUBLIC):
        return b"\x01" + box_seal(public, plain, drawn("eph " + name, 32))

    for name in ("ed25519", "p256", "p384", "p521", "rsa2048"):
        k = keys[name]
        add(name, "ok", seal(name, pad(frame(k.der, k.digest))),
            digest=k.digest, der=k.der)
    long = drawn("long", 16384)
    add("as long as may be", "ok", seal("long", pad(frame(long, key.digest))),
        der=long)
    one = pad(frame(b"k", key.digest))
    add("one byte", "ok", seal("one", one), der=b"k")
    # a frame that ends where a block does has a whole block of padding
    edge = drawn("edge", 256 - 76)
    add("at a block's end", "ok", seal("edge", pad(frame(edge, key.digest))),
        der=edge)

    plain = frame(key.der, key.digest)
    good = seal("good", pad(plain))

    def bad(name, sealed, **more):
        add(name, "integrity", sealed, **more)

    bad("nothing", b"")
    bad("version 0", b"\0" + good[1:])
    bad("version 2", b"\x02" + good[1:])
    bad("version 255", b"\xff" + good[1:])
    bad("the version alone", good[:1])
    bad("no frame", seal("empty", b""))
    bad("no box", good[:49])
    bad("cut by one", good[:-1])
    bad("cut by a block", good[:-256])
    bad("one byte more", good + b"\0")
    bad("a block more", good + bytes(256))
    bad("without version", good[1:])
    bad("first byte of the ephemeral key", flip(good, 1))
    bad("last byte of the ephemeral key", flip(good, 32))
    bad("first byte of the tag", flip(good, 33))
    bad("last byte of the tag", flip(good, 48))
    bad("first byte of the box", flip(good, 49))
    bad("last byte", flip(good, len(good) - 1))
    bad("ephemeral key of order one", good[:1] + bytes(32) + good[33:])
    bad("to another key", seal("other", pad(plain), OTHER_PUBLIC))
    bad("nonce of the public key alone", b"\x01" + drawn_box(pad(plain)))
    bad("for another vault", good, vault=drawn("vault 2", 16))
    bad("for another entry", good, entry=drawn("entry 2", 16))
    bad("for another certificate", good, digest=keys["p256"].digest)
    bad("ids swapped", good, vault=ENTRY, entry=VAULT)
    bad("without a frame", seal("raw", key.der))
    bad("key alone, padded", seal("key", pad(key.der)))
    bad("magic", seal("magic", pad(frame(key.der, key.digest,
                                         magic=b"CVSKEX\0\x01"))))
    bad("version inside", seal("inner", pad(frame(key.der, key.digest,
                                                  magic=b"CVSKEY\0\x02"))))
    bad("head cut", seal("head", pad(plain[:75])))
    bad("head alone", seal("head alone", pad(frame(b"", key.digest))))
    for name, length in (("one too long", len(key.der) + 1),
                         ("one too short", len(key.der) - 1),
                         ("0", 0), ("2^32-1", 0xffffffff),
                         ("2^31", 0x80000000)):
        bad("length " + name, seal("length " + name, pad(frame(
            key.der, key.digest, length=struct.pack(">I", length)))))
    bad("length little-endian", seal("endian", pad(frame(
        key.der, key.digest, length=struct.pack("<I", len(key.der))))))
    bad("bytes behind the key", seal("behind", pad(frame(
        key.der, key.digest, behind=b"\0"))))
    bad("not padded", seal("unpadded", plain))
    bad("padded with zeros alone", seal("zeros", pad(plain, marker=b"\0")))
    bad("padding of another marker", seal("marker", pad(plain,
                                                        marker=b"\x81")))
    bad("padding not zero", seal("fill", pad(plain, fill=b"\x01")))
    bad("last byte of the padding", seal("last", pad(plain)[:-1] + b"\x01"))
    bad("a block of padding too many", seal("blocks", pad(plain, blocks=1)))
    bad("padded to 128", seal("128", pad(plain)[:128]))
    ec = frame(keys["p256"].der, key.digest)
    bad("padded to 384", seal("384", pad(ec, blocks=1)[:384]))
    bad("longer than any key", seal("longer", pad(frame(
        drawn("longer", 16385), key.digest))))
    bad("much longer", seal("much", pad(frame(drawn("much", 20000),
                                              key.digest))))
    return out


def drawn_box(plain):
    """A box whose nonce leaves the ephemeral key out."""
    secret = x25519.X25519PrivateKey.from_private_bytes(drawn("nonce", 32))
    shared = secret.exchange(
        x25519.X25519PublicKey.from_public_bytes(BOX_PUBLIC))
    nonce = hashlib.blake2b(BOX_PUBLIC, digest_size=24).digest()
    return (secret.public_key().public_bytes(*RAW) +
            secretbox(hsalsa20(shared, bytes(16)), nonce, plain))


def flip(data, at, mask=1):
    return data[:at] + bytes([data[at] ^ mask]) + data[at + 1:]


# --- DER, to make keys that are not as they should be -------------------------

def tlv(tag, *parts):
    body = b"".join(parts)
    if len(body) < 128:
        return bytes([tag, len(body)]) + body
    n = (len(body).bit_length() + 7) // 8
    return bytes([tag, 0x80 + n]) + len(body).to_bytes(n, "big") + body


def integer(n):
    return tlv(2, n.to_bytes(n.bit_length() // 8 + 1, "big", signed=True))


RSA_ALG = tlv(0x30, bytes.fromhex("06092a864886f70d0101010500"))
P256_ALG = tlv(0x30, bytes.fromhex("06072a8648ce3d020106082a8648ce3d030107"))
P384_ALG = tlv(0x30, bytes.fromhex("06072a8648ce3d020106052b81040022"))
ED_ALG = tlv(0x30, bytes.fromhex("06032b6570"))
P256_ORDER = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551


def pkcs8(alg, key, version=0, *behind):
    return tlv(0x30, integer(version), alg, tlv(4, key), *behind)


def rsa_key(numbers, version=0, behind=b""):
    return pkcs8(RSA_ALG, tlv(0x30, integer(version),
                              *(integer(n) for n in numbers), behind))


def ec_key(scalar, alg=P256_ALG, size=32, version=1, behind=b""):
    return pkcs8(alg, tlv(0x30, integer(version),
                          tlv(4, scalar.to_bytes(size, "big")), behind))


def matches(keys):
    out = []

    def add(name, expect, der, key, pem=None, digest=None):
        out.append({"name": name, "expect": expect, "key_der": b64(der),
                    "certificate": key.pem if pem is None else pem,
                    "spki_sha256": (digest or key.digest).hex()})

    for name in ("rsa2048", "p256", "p384", "p521", "ed25519"):
        add(name, "ok", keys[name].der, keys[name])
    add("p224: not in the list", "integrity", keys["p224"].der, keys["p224"])

    r, o, p, e = (keys[n] for n in ("rsa2048", "rsa2048-other", "p256",
                                    "ed25519"))
    add("chain: the first counts", "ok", p.der, p, pem=p.pem + r.pem)
    add("chain: the second does not", "integrity", p.der, p,
        pem=r.pem + p.pem)
    for name, key, cert in (("rsa, other key", o, r), ("ec, other key",
                            keys["p256-other"], p), ("ed25519, other key",
                            keys["ed25519-other"], e), ("ec for rsa", p, r),
                            ("rsa for ec", r, p), ("p384 for p256",
                            keys["p384"], p), ("ed25519 for ec", e, p)):
        add(name, "integrity", key.der, cert)
    add("digest of another certificate", "integrity", p.der, p,
        digest=r.digest)

    n = r.private.private_numbers()
    c = n.public_numbers
    names = ("n", "e", "d", "p", "q", "dp", "dq", "qinv")
    good = [c.n, c.e, n.d, n.p, n.q, n.dmp1, n.dmq1, n.iqmp]
    add("rsa, put together here", "ok", rsa_key(good), r)
    for i, what in enumerate(names):
        add(f"rsa, {what} + 2", "integrity",
            rsa_key(good[:i] + [good[i] + 2] + good[i + 1:]), r)
        add(f"rsa, {what} 0", "integrity",
            rsa_key(good[:i] + [0] + good[i + 1:]), r)
    add("rsa, p and q swapped", "integrity",
        rsa_key([c.n, c.e, n.d, n.q, n.p, n.dmq1, n.dmp1, n.iqmp]), r)
    add("rsa, swapped and right", "ok",
        rsa_key([c.n, c.e, n.d, n.q, n.p, n.dmq1, n.dmp1,
                 pow(n.p, -1, n.q)]), r)
    add("rsa, p is n and q is 1", "integrity",
        rsa_key([c.n, c.e, n.d, c.n, 1, n.dmp1, 0, 1]), r)
    add("rsa, q is n and p is 1", "integrity",
        rsa_key([c.n, c.e, n.d, 1, c.n, 0, n.dmq1, 0]), r)
    add("rsa, qinv + p", "integrity",
        rsa_key(good[:7] + [n.iqmp + n.p]), r)
    lcm = (n.p - 1) * (n.q - 1)
    add("rsa, d beyond n", "integrity",
        rsa_key(good[:2] + [n.d + 2 * lcm] + good[3:]), r)
    other_e = 257
    add("rsa, sound, of another e", "integrity",
        rsa_key([c.n, other_e, pow(other_e, -1, lcm), n.p, n.q,
                 pow(other_e, -1, n.p - 1), pow(other_e, -1, n.q - 1),
                 n.iqmp]), r)
    for name, d in (("p", n.d + n.p - 1), ("q", n.d + n.q - 1)):
        d %= lcm
        add(f"rsa, d right for {name} alone", "integrity",
            rsa_key([c.n, c.e, d, n.p, n.q, d % (n.p - 1), d % (n.q - 1),
                     n.iqmp]), r)
    m = o.private.private_numbers()
    d = pow(c.e, -1, math.lcm(m.p - 1, m.q - 1))
    add("rsa, sound, of another's primes", "integrity",
        rsa_key([c.n, c.e, d, m.p, m.q, m.dmp1, m.dmq1, m.iqmp]), r)
    add("rsa, three primes", "integrity",
        rsa_key(good, 1, tlv(0x30, tlv(0x30, integer(3), integer(1),
                                       integer(1)))), r)
    add("rsa, a number too many", "integrity",
        rsa_key(good, 0, integer(1)), r)
    add("rsa, numbers missing", "integrity", rsa_key(good[:3]), r)
    add("rsa, n negative", "integrity", rsa_key([-5] + good[1:]), r)
    add("rsa, pkcs1", "integrity",
        tlv(0x30, integer(0), *(integer(x) for x in good)), r)

    d = p.private.private_numbers().private_value
    add("ec, put together here", "ok", ec_key(d), p)
    add("ec, with attributes", "integrity",
        pkcs8(P256_ALG, tlv(0x30, integer(1), tlv(4, d.to_bytes(32, "big"))),
              0, tlv(0xa0)), p)
    point, other = p.spki[-65:], keys["p256-other"].spki[-65:]
    packed = bytes([2 + (point[-1] & 1)]) + point[1:33]
    for name, want, inside in (
            ("its point", "ok", point), ("its point, packed", "ok", packed),
            ("another's point", "integrity", other),
            ("its point, hybrid", "integrity",
             bytes([6 + (point[-1] & 1)]) + point[1:]),
            ("the point negated", "integrity",
             flip(packed, 0)), ("no point", "integrity", b""),
            ("infinity", "integrity", b"\0")):
        add("ec, with " + name, want, ec_key(d, behind=tlv(
            0xa1, tlv(3, b"\0" + inside))) if inside else ec_key(
                d, behind=tlv(0xa1)), p)
    for name, want, oid in (("its curve", "ok", "06082a8648ce3d030107"),
                            ("another's curve", "integrity", "06052b81040022")):
        add("ec, naming " + name, want,
            ec_key(d, behind=tlv(0xa0, bytes.fromhex(oid))), p)
    for name, scalar in (("0", 0), ("+ 1", d + 1), ("+ order", d + P256_ORDER),
                         ("order", P256_ORDER), ("- 1", d - 1),
                         ("negated", P256_ORDER - d)):
        size = 33 if scalar >= 1 << 256 else 32
        add(f"ec, scalar {name}", "integrity", ec_key(scalar, size=size), p)
    add("ec, of another curve", "integrity", ec_key(d, P384_ALG), p)
    add("ec, version 2", "integrity", ec_key(d, version=2), p)
    add("ec, no scalar", "integrity", ec_key(0, size=0), p)
    add("ec, bytes behind", "integrity", ec_key(d, behind=tlv(5)), p)
    explicit = tlv(0x30, bytes.fromhex("06072a8648ce3d0201"),
                   tlv(0x30, integer(1)))
    add("ec, explicit curve", "integrity", ec_key(d, explicit), p)

    seed = e.private.private_bytes(
        serialization.Encoding.Raw, serialization.PrivateFormat.Raw,
        serialization.NoEncryption())
    add("ed25519, put together here", "ok",
        pkcs8(ED_ALG, tlv(4, seed)), e)
    add("ed25519, version 2 with its public key", "integrity",
        pkcs8(ED_ALG, tlv(4, seed), 1,
              tlv(0x81, b"\0" + e.spki[-32:])), e)
    add("ed25519, another's public key", "integrity",
        pkcs8(ED_ALG, tlv(4, seed), 1,
              tlv(0x81, b"\0" + keys["ed25519-other"].spki[-32:])), e)
    add("ed25519, public key in version 1", "integrity",
        pkcs8(ED_ALG, tlv(4, seed), 0, tlv(0x81, b"\0" + e.spki[-32:])), e)
    add("ed25519, 31 bytes", "integrity",
        pkcs8(ED_ALG, tlv(4, seed[:31])), e)
    add("ed25519, 33 bytes", "integrity",
        pkcs8(ED_ALG, tlv(4, seed + b"\0")), e)
    add("ed25519, parameters", "integrity",
        pkcs8(tlv(0x30, bytes.fromhex("06032b6570"), tlv(5)),
              tlv(4, seed)), e)
    short = pkcs8(ED_ALG, tlv(4, seed))
    add("ed25519, long form of a short length", "integrity",
        b"\x30\x81" + short[1:], e)
    add("ed25519, one byte", "integrity",
        pkcs8(ED_ALG, tlv(4, flip(seed, 31))), e)

    add("nothing", "integrity", b"", p)
    add("no key", "integrity", b"not a key", p)
    add("a certificate", "integrity", p.cert.public_bytes(
        serialization.Encoding.DER), p)
    add("version 1", "integrity",
        pkcs8(P256_ALG, tlv(0x30, integer(1), tlv(4, d.to_bytes(32, "big"))),
              1), p)
    add("version 2", "integrity",
        pkcs8(P256_ALG, tlv(0x30, integer(1), tlv(4, d.to_bytes(32, "big"))),
              2), p)
    add("a byte behind", "integrity", p.der + b"\0", p)
    add("cut by one", "integrity", p.der[:-1], p)
    add("indefinite length", "integrity",
        b"\x30\x80" + p.der[2 if p.der[1] < 128 else 3:] + b"\0\0", p)
    body = p.der[3:] if p.der[1] == 0x81 else p.der[2:]
    add("long form of the length", "integrity",
        b"\x30\x82\x00" + bytes([len(body)]) + body, p)
    add("2^31 bytes", "integrity", b"\x30\x84\x80\0\0\0" + body, p)
    add("2^64 bytes", "integrity",
        b"\x30\x88" + b"\xff" * 8 + body, p)
    add("longer than a key may be", "integrity", p.der + bytes(16384), p)

    add("certificate missing", "integrity", p.der, p, pem="")
    add("certificate of another label", "integrity", p.der, p,
        pem=p.pem.replace("CERTIFICATE", "TRUSTED CERTIFICATE"))
    add("text before the certificate", "integrity", p.der, p,
        pem="x\n" + p.pem)
    add("certificate without end", "integrity", p.der, p,
        pem=p.pem.replace("-----END CERTIFICATE-----", ""))
    add("certificate with a star in it", "integrity", p.der, p,
        pem=p.pem[:60] + "*" + p.pem[61:])
    add("certificate of a key", "integrity", p.der, p,
        pem=armour(p.der))
    der = p.cert.public_bytes(serialization.Encoding.DER)
    add("certificate cut", "integrity", p.der, p, pem=armour(der[:-1]))
    add("certificate with a byte behind", "integrity", p.der, p,
        pem=armour(der + b"\0"))
    off = der.index(p.spki)
    point = flip(p.spki, len(p.spki) - 1)
    add("certificate's point off its curve", "integrity", p.der, p,
        pem=armour(der[:off] + point + der[off + len(point):]),
        digest=hashlib.sha256(point).digest())
    return out


def armour(der):
    text = b64(der)
    lines = [text[i:i + 64] for i in range(0, len(text), 64)]
    return ("-----BEGIN CERTIFICATE-----\n" + "\n".join(lines) +
            "\n-----END CERTIFICATE-----\n")


# --- key slots ----------------------------------------------------------------

def canonical(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def kek(kind, secret, kdf, salt):
    if kind == "passphrase":
        return argon2id(secret, salt, kdf["passes"], kdf["memory_kib"])
    if kind == "recovery":
        secret = secret.upper().replace(b"-", b"").replace(b" ", b"")
    return hashlib.blake2b(secret, digest_size=32, salt=salt,
                           person=b"certvault slot 1").digest()


def summed(record):
    record = {k: v for k, v in record.items() if k != "sum"}
    record["sum"] = hashlib.sha256(canonical(record)).digest()[:8].hex()
    return record


def slot(kind, secret, vault=VAULT, public=BOX_PUBLIC, inside=BOX_SECRET,
         drop=(), **change):
    salt = drawn("salt " + kind, 16)
    kdf = {"alg": "blake2b", "salt": b64(salt)}
    if kind == "passphrase":
        kdf = {"alg": "argon2id", "salt": b64(salt), "passes": 1,
               "memory_kib": 8192}
    record = {"v": 1, "id": "slot-1", "kind": kind,
              "created": "2026-11-22T05:31:00Z"}
    if kind == "file":
        record["path"] = "/etc/certvault/key"
    if kind == "credential":
        record["name"] = "vault-key"
    record["kdf"] = kdf
    nonce = drawn("nonce " + kind, 24)
    key = kek(kind, secret, kdf, salt)
    for k, v in change.items():
        record[k] = v
    for k in drop:
        del record[k]
    header = dict(record, format="certvault key slot", vault_id=vault.hex(),
                  public_key=b64(public))
    record["nonce"] = b64(nonce)
    record["box"] = b64(xchacha_seal(key, nonce, inside, canonical(header)))
    return summed(record)


def code(name):
    """A recovery code, as docs/formats.md makes one."""
    alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
    symbols = [b & 31 for b in drawn(name, 33)]
    number = 0
    for s in symbols:
        number = number * 32 + s
    symbols += [number % 1021 >> 5, number % 1021 & 31]
    text = "".join(alphabet[s] for s in symbols)
    return "-".join(text[i:i + 5] for i in range(0, 35, 5)).encode()


SECRETS = {"passphrase": "correct horse".encode(), "file": drawn("file", 32),
           "credential": drawn("credential", 4096), "recovery": code("code")}


def slots(_keys):
    out = []

    def add(name, expect, record, kind=None, secret=None, vault=VAULT,
            public=BOX_PUBLIC):
        kind = kind or record["kind"]
        secret = SECRETS[kind] if secret is None else secret
        out.append({"name": name, "expect": expect, "vault_id": vault.hex(),
                    "public_key": b64(public), "kind": kind,
                    "secret": b64(secret), "record": record})

    for kind, secret in SECRETS.items():
        record = slot(kind, secret)
        add(kind, "ok", record)
        add(kind + ", wrong secret", "auth", record,
            secret=code("wrong") if kind == "recovery"
            else drawn("wrong", 64))
        add(kind + ", of another vault", "auth", record,
            vault=drawn("vault 2", 16))
        add(kind + ", for another public key", "auth", record,
            public=OTHER_PUBLIC)
        add(kind + ", holding another key", "integrity",
            slot(kind, secret, inside=OTHER_SECRET))

    add("file, path beyond ASCII", "ok",
        slot("file", SECRETS["file"], path="/sch\u00fcssel/\U0001f511\"\\"))

    text = SECRETS["recovery"].decode()
    record = slot("recovery", SECRETS["recovery"])
    for name, typed in (
            ("small", text.lower()), ("without dashes", text.replace("-", "")),
            ("with blanks", "\t " + text.replace("-", " \r\n") + "\n"),
            ("O for 0", text.replace("0", "O")),
            ("o for 0", text.replace("0", "o")),
            ("I for 1", text.replace("1", "I")),
            ("l for 1", text.replace("1", "l"))):
        add("recovery, " + name, "ok", record, secret=typed.encode())
    for name, typed in (
            ("cut", text[:-1]), ("one more", text + "0"), ("empty", ""),
            ("another first", ("1" if text[0] == "0" else "0") + text[1:]),
            ("another last", text[:-1] + ("1" if text[-1] == "0" else "0")),
            ("U in it", "U" + text[1:]), ("NUL in it", "\0" + text[1:]),
            ("an ideographic space in it", "\u3000" + text),
            ("two swapped", swapped(text))):
        add("recovery, " + name, "invalid", record, secret=typed.encode())

    good = slot("file", SECRETS["file"])
    add("file, 31 bytes", "invalid", good, secret=bytes(31))
    add("file, 4097 bytes", "invalid", good, secret=bytes(4097))
    add("file, no bytes", "invalid", good, secret=b"")
    pass_ = slot("passphrase", SECRETS["passphrase"])
    add("passphrase, empty", "invalid", pass_, secret=b"")
    add("passphrase, too long", "invalid", pass_, secret=b"x" * 1025)
    add("passphrase, 1024 bytes", "auth", pass_, secret=b"x" * 1024)
    add("passphrase, a line feed more", "auth", pass_,
        secret=SECRETS["passphrase"] + b"\n")
    add("secret of another kind", "invalid", good, kind="credential",
        secret=SECRETS["file"])

    def edited(name, expect, base, keep_sum=False, /, **change):
        record = json.loads(json.dumps(base))
        for k, v in change.items():
            target = record["kdf"] if k.startswith("kdf_") else record
            k = k.replace("kdf_", "")
            if v is None:
                del target[k]
            else:
                target[k] = v
        add(name, expect, record if keep_sum else summed(record),
            kind=base["kind"], secret=SECRETS[base["kind"]])

    # by someone who makes the sum anew: only the encryption can tell
    edited("id changed", "auth", good, id="slot-2")
    edited("path changed", "auth", good, path="/tmp/key")
    edited("time changed", "auth", good, created="2026-11-22T05:31:01Z")
    edited("salt changed", "auth", good, kdf_salt=b64(drawn("salt 2", 16)))
    edited("nonce changed", "auth", good, nonce=b64(drawn("nonce 2", 24)))
    edited("box changed", "auth", good, box=b64(drawn("box 2", 48)))
    edited("passes changed", "auth", pass_, kdf_passes=2)
    edited("memory changed", "auth", pass_, kdf_memory_kib=8193)
    # and by chance: the sum tells
    edited("path damaged", "integrity", good, True, path="/etc/certvault/kex")
    edited("box damaged", "integrity", good, True,
           box=b64(drawn("box 2", 48)))
    edited("sum damaged", "integrity", good, True, sum="0" * 16)
    edited("sum in capitals", "integrity", good, True,
           sum=good["sum"].upper() if good["sum"].upper() != good["sum"]
           else "A" * 16)
    for key in ("v", "id", "kind", "created", "path", "kdf", "nonce", "box"):
        edited(key + " missing", "integrity", good, **{key: None})
    edited("sum missing", "integrity", good, True, sum=None)
    for name, change in (
            ("another member", {"comment": "x"}),
            ("version 0", {"v": 0}), ("version 2", {"v": 2}),
            ("version 1.5", {"v": 1.5}), ("version a text", {"v": "1"}),
            ("id empty", {"id": ""}), ("id with a blank", {"id": "a b"}),
            ("id too long", {"id": "a" * 65}), ("id a number", {"id": 1}),
            ("kind unknown", {"kind": "token"}),
            ("kind of another slot", {"kind": "recovery"}),
            ("kind passphrase", {"kind": "passphrase"}),
            ("path relative", {"path": "key"}), ("path empty", {"path": ""}),
            ("path with a line feed", {"path": "/a\nb"}),
            ("path too long", {"path": "/" + "a" * 4096}),
            ("a name too", {"name": "vault-key"}),
            ("time without zone", {"created": "2026-11-22T05:31:00"}),
            ("time of another zone", {"created": "2026-11-22T05:31:00+01:00"}),
            ("time a date", {"created": "2026-11-22"}),
            ("time of no day", {"created": "2026-02-30T05:31:00Z"}),
            ("nonce short", {"nonce": b64(bytes(23))}),
            ("nonce long", {"nonce": b64(bytes(25))}),
            ("nonce no base64", {"nonce": "*" * 32}),
            ("box short", {"box": b64(bytes(47))}),
            ("box long", {"box": b64(bytes(49))}),
            ("box empty", {"box": ""}),
            ("kdf a text", {"kdf": "blake2b"}),
            ("kdf argon2id", {"kdf_alg": "argon2id"}),
            ("kdf unknown", {"kdf_alg": "sha256"}),
            ("kdf with passes", {"kdf_passes": 1}),
            ("kdf without salt", {"kdf_salt": None}),
            ("salt short", {"kdf_salt": b64(bytes(15))}),
            ("salt long", {"kdf_salt": b64(bytes(17))})):
        edited(name, "integrity", good, **change)
    for name, change in (
            ("kdf blake2b for a passphrase", {"kdf_alg": "blake2b"}),
            ("passes 0", {"kdf_passes": 0}), ("passes -1", {"kdf_passes": -1}),
            ("passes 17", {"kdf_passes": 17}),
            ("passes 2^53", {"kdf_passes": 1 << 53}),
            ("passes missing", {"kdf_passes": None}),
            ("memory 0", {"kdf_memory_kib": 0}),
            ("memory below 8 MiB", {"kdf_memory_kib": 8191}),
            ("memory above 1 GiB", {"kdf_memory_kib": 1048577}),
            ("memory 2^53", {"kdf_memory_kib": 1 << 53}),
            ("memory missing", {"kdf_memory_kib": None})):
        edited(name, "integrity", pass_, **change)
    edited("work above 4 GiB", "integrity", pass_, kdf_passes=5,
           kdf_memory_kib=1048576)
    return out


def swapped(text):
    for i in range(len(text) - 1):
        if text[i] != text[i + 1] and "-" not in text[i:i + 2]:
            return text[:i] + text[i + 1] + text[i] + text[i + 2:]
    raise ValueError


def main(folder, *flags):
    path = os.path.join(folder, "keys.json")
    if "--new-keys" in flags:
        with open(path, "w", encoding="ascii") as f:
            json.dump(make_keys(), f, indent=1)
            f.write("\n")
    with open(path, encoding="ascii") as f:
        keys = {name: Key(k) for name, k in json.load(f).items()}
    made = {"description": "Made by tests/unit/seal_vectors.py from keys.json; "
                           "docs/formats.md. TEST KEYS ONLY.",
            "box_key": {"public": b64(BOX_PUBLIC), "secret": b64(BOX_SECRET)},
            "boxes": boxes(keys), "matches": matches(keys),
            "slots": slots(keys)}
    text = json.dumps(made, indent=1) + "\n"
    path = os.path.join(folder, "vectors.json")
    count = {k: len(v) for k, v in made.items() if isinstance(v, list)}
    if "--check" in flags:
        with open(path, encoding="ascii") as f:
            same = f.read() == text
        print(f"{count}: {'the same' if same else 'DIFFERENT'}")
        return 0 if same and all(count.values()) else 1
    with open(path, "w", encoding="ascii") as f:
        f.write(text)
    print(count)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
