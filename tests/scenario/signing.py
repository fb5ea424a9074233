"""What a key is asked to sign, and judges of what it signed."""

import base64
import hashlib
import os
import subprocess

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

TLS13 = b" " * 64 + b"TLS 1.3, client CertificateVerify\0"
CHALLENGE = b"certvault challenge v1\0"

ALGORITHMS = {
    "rsa2048": ["rsa_pkcs1_sha256", "rsa_pkcs1_sha384", "rsa_pkcs1_sha512",
                "rsa_pss_rsae_sha256", "rsa_pss_rsae_sha384",
                "rsa_pss_rsae_sha512"],
    "p256": ["ecdsa_secp256r1_sha256"],
    "p384": ["ecdsa_secp384r1_sha384"],
    "p521": ["ecdsa_secp521r1_sha512"],
    "ed25519": ["ed25519"],
}


def tls13(hash_len=32):
    return TLS13 + os.urandom(hash_len)


def challenge(n=32):
    return CHALLENGE + os.urandom(n)


def message(kind, body):
    return bytes([kind]) + len(body).to_bytes(3, "big") + body


def tls12():
    """The least that has the form of a handshake up to ClientKeyExchange."""
    hello = b"\3\3" + os.urandom(32) + b"\0" + b"\0\2\xc0\x2b" + b"\1\0"
    return (message(1, hello) + message(2, hello) + message(11, b"\0\0\0")
            + message(13, b"\1\1\0\0") + message(14, b"")
            + message(16, b"\4abcd"))


def request_info(public_key, name="alice"):
    """A DER CertificationRequestInfo: made by letting a throw-away key sign a
    request, whose key is then exchanged."""
    from cryptography.x509.oid import NameOID
    spki = public_key.public_bytes(
        serialization.Encoding.DER,
        serialization.PublicFormat.SubjectPublicKeyInfo)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    return der(0x30, b"\2\1\0" + subject.public_bytes() + spki
               + der(0xa0, b""))


def der(tag, body):
    n = len(body)
    size = bytes([n]) if n < 128 else \
        (lambda b: bytes([0x80 | len(b)]) + b)(n.to_bytes(
            (n.bit_length() + 7) // 8, "big"))
    return bytes([tag]) + size + body


def verify(public_key, algorithm, data, signature):
    """Raises where the signature is not the key's over the data."""
    if algorithm == "ed25519":
        public_key.verify(signature, data)
        return
    digest = {"256": hashes.SHA256, "384": hashes.SHA384,
              "512": hashes.SHA512}[algorithm[-3:]]()
    if isinstance(public_key, ec.EllipticCurvePublicKey):
        public_key.verify(signature, data, ec.ECDSA(digest))
    elif algorithm.startswith("rsa_pss"):
        public_key.verify(signature, data, padding.PSS(
            padding.MGF1(digest), digest.digest_size), digest)
    else:
        assert isinstance(public_key, rsa.RSAPublicKey)
        public_key.verify(signature, data, padding.PKCS1v15(), digest)


def openssl_verify(folder, public_key, algorithm, data, signature):
    """The same by openssl, which nobody here wrote. True or false."""
    names = {}
    for name, content in (("public.pem", public_key.public_bytes(
            serialization.Encoding.PEM,
            serialization.PublicFormat.SubjectPublicKeyInfo)),
            ("signed-data", data),
            ("signature", signature)):
        names[name] = os.path.join(str(folder), name)
        with open(names[name], "wb") as f:
            f.write(content)
    if algorithm == "ed25519":
        argv = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey",
                names["public.pem"], "-rawin", "-in", names["signed-data"], "-sigfile",
                names["signature"]]
    else:
        argv = ["openssl", "dgst", "-sha" + algorithm[-3:], "-verify",
                names["public.pem"], "-signature", names["signature"]]
        if algorithm.startswith("rsa_pss"):
            argv += ["-sigopt", "rsa_padding_mode:pss", "-sigopt",
                     "rsa_pss_saltlen:digest"]
        argv.append(names["signed-data"])
    return subprocess.run(argv, capture_output=True).returncode == 0


def sign(broker, name, purpose, algorithm, data, on=None, **more):
    """The broker's whole answer."""
    return broker.call("io.certvault.Broker.Sign", {
        "name": name, "purpose": purpose, "algorithm": algorithm,
        "data": base64.b64encode(data).decode(), **more}, on=on)


def signature(answer):
    assert "error" not in answer, answer
    return base64.b64decode(answer["parameters"]["signature"])


def spki_sha256(public_key):
    return hashlib.sha256(public_key.public_bytes(
        serialization.Encoding.DER,
        serialization.PublicFormat.SubjectPublicKeyInfo)).hexdigest()
