"""Certificate authorities, client certificates and kubeconfigs as CCE mints
them."""

import base64
import datetime
import ipaddress
import itertools

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

UTC = datetime.timezone.utc


def make_key(alg):
    """alg: rsa2048, rsa3072, rsa4096, p256, p384, p521, ed25519."""
    if alg.startswith("rsa"):
        return rsa.generate_private_key(65537, int(alg[3:]))
    if alg == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    curve = {"p256": ec.SECP256R1, "p384": ec.SECP384R1,
             "p521": ec.SECP521R1}[alg]
    return ec.generate_private_key(curve())


def key_pem(key, form=None):
    """form: pkcs8, or traditional (PKCS#1, SEC1; the default but for Ed25519,
    which has none)."""
    if form is None:
        form = ("pkcs8" if isinstance(key, ed25519.Ed25519PrivateKey)
                else "traditional")
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8 if form == "pkcs8"
        else serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption())


def key_der(key):
    return key.private_bytes(serialization.Encoding.DER,
                             serialization.PrivateFormat.PKCS8,
                             serialization.NoEncryption())


def cert_pem(cert):
    return cert.public_bytes(serialization.Encoding.PEM)


def spki_sha256(key_or_cert):
    """Lower-case hex of the SHA-256 of the DER SubjectPublicKeyInfo."""
    der = key_or_cert.public_key().public_bytes(
        serialization.Encoding.DER,
        serialization.PublicFormat.SubjectPublicKeyInfo)
    digest = hashes.Hash(hashes.SHA256())
    digest.update(der)
    return digest.finalize().hex()


def _name(common, *organizations):
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, common)]
    attributes += [x509.NameAttribute(NameOID.ORGANIZATION_NAME, o)
                   for o in organizations]
    return x509.Name(attributes)


class Authority:
    """A CA with an EC key of its own."""

    def __init__(self, name="stand-in CA", days=3650):
        self.key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.datetime.now(UTC).replace(tzinfo=None)
        subject = _name(name, "stand-in")
        self.cert = (
            x509.CertificateBuilder().subject_name(subject).issuer_name(subject)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=days))
            .add_extension(x509.BasicConstraints(True, None), True)
            .add_extension(x509.KeyUsage(True, False, False, False, False, True,
                                         True, False, False), True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(
                self.key.public_key()), False)
            .sign(self.key, hashes.SHA256()))
        self.pem = cert_pem(self.cert)

    def _build(self, subject, key, start, end):
        return (x509.CertificateBuilder().subject_name(subject)
                .issuer_name(self.cert.subject).public_key(key.public_key())
                .serial_number(x509.random_serial_number())
                .not_valid_before(start.replace(tzinfo=None))
                .not_valid_after(end.replace(tzinfo=None))
                .add_extension(x509.BasicConstraints(False, None), True)
                .add_extension(
                    x509.AuthorityKeyIdentifier.from_issuer_public_key(
                        self.key.public_key()), False))

    def server(self, names, days=30):
        """(key PEM, certificate PEM) of a TLS server."""
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.datetime.now(UTC)
        alternatives = []
        for name in names:
            try:
                alternatives.append(x509.IPAddress(ipaddress.ip_address(name)))
            except ValueError:
                alternatives.append(x509.DNSName(name))
        cert = (self._build(_name(names[0]), key,
                            now - datetime.timedelta(hours=1),
                            now + datetime.timedelta(days=days))
                .add_extension(x509.SubjectAlternativeName(alternatives), False)
                .add_extension(x509.ExtendedKeyUsage(
                    [ExtendedKeyUsageOID.SERVER_AUTH]), False)
                .sign(self.key, hashes.SHA256()))
        return key_pem(key), cert_pem(cert)

    def client(self, key, common, organizations=("system:masters",),
               start=None, end=None):
        """A client certificate for `key`."""
        now = datetime.datetime.now(UTC)
        return (self._build(_name(common, *organizations), key,
                            start or now - datetime.timedelta(minutes=5),
                            end or now + datetime.timedelta(days=1))
                .add_extension(x509.KeyUsage(True, False, True, False, False,
                                             False, False, False, False), True)
                .add_extension(x509.ExtendedKeyUsage(
                    [ExtendedKeyUsageOID.CLIENT_AUTH]), False)
                .sign(self.key, hashes.SHA256()))


class Pool:
    """Client keys made ahead; used in turn, again and again when `reuse`."""

    def __init__(self, alg="rsa2048", ahead=0, reuse=False):
        self.alg = alg
        self.keys = [make_key(alg) for _ in range(ahead)]
        self.cycle = itertools.cycle(self.keys) if reuse and ahead else None

    def take(self):
        if self.cycle:
            return next(self.cycle)
        return self.keys.pop() if self.keys else make_key(self.alg)


def _data(pem):
    return base64.b64encode(pem).decode()


def kubeconfig(ca_pem, cert_chain_pem, private_pem, internal,
               external=None, verify=True, external_ca_pem=None):
    """The Config object of clustercert: with `external` (an address) three
    contexts, two without `verify`, else one. `external_ca_pem`: of another
    authority outside."""
    def cluster(name, server, ca):
        c = {"server": server}
        if ca:
            c["certificate-authority-data"] = _data(ca)
        else:
            c["insecure-skip-tls-verify"] = True
        return {"name": name, "cluster": c}

    def context(name, cluster_name):
        return {"name": name, "context": {"cluster": cluster_name,
                                          "user": "user"}}

    clusters = [cluster("internalCluster", internal, ca_pem)]
    contexts = [context("internal", "internalCluster")]
    if external:
        clusters.append(cluster("externalCluster", external, None))
        contexts.append(context("external", "externalCluster"))
        if verify:
            clusters.append(cluster("externalClusterTLSVerify", external,
                                    external_ca_pem or ca_pem))
            contexts.append(context("externalTLSVerify",
                                    "externalClusterTLSVerify"))
    return {
        "kind": "Config", "apiVersion": "v1", "preferences": {},
        "clusters": clusters,
        "users": [{"name": "user", "user": {
            "client-certificate-data": _data(cert_chain_pem),
            "client-key-data": _data(private_pem)}}],
        "contexts": contexts,
        "current-context": "external" if external else "internal",
    }
