"""Kubeconfigs for the tests: made with keys that the tests know."""

import base64
import json

import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

import harness  # noqa: F401  (sets the path of the fakes)
import minting


def secret_numbers(key):
    if isinstance(key, rsa.RSAPrivateKey):
        n = key.private_numbers()
        return [v.to_bytes((v.bit_length() + 7) // 8, "big")
                for v in (n.d, n.p, n.q)]
    if isinstance(key, ec.EllipticCurvePrivateKey):
        v = key.private_numbers().private_value
        return [v.to_bytes((key.curve.key_size + 7) // 8, "big")]
    return [key.private_bytes(serialization.Encoding.Raw,
                              serialization.PrivateFormat.Raw,
                              serialization.NoEncryption())]


class Identity:
    """A key, its certificate and the CA of a cluster."""

    def __init__(self, alg="p256", form=None, common="alice", ca=None,
                 secrets=None, key=None, **dates):
        self.ca = ca or minting.Authority("kube CA")
        self.key = key or minting.make_key(alg)
        self.cert = self.ca.client(self.key, common, **dates)
        self.key_pem = minting.key_pem(self.key, form)
        self.cert_pem = minting.cert_pem(self.cert)
        self.spki = minting.spki_sha256(self.cert)
        if secrets is not None:
            for pem in (self.key_pem, minting.key_pem(self.key, "pkcs8")):
                secrets.add_key("a client key", pem, minting.key_der(self.key),
                                secret_numbers(self.key))

    def user(self):
        return {"client-certificate-data":
                base64.b64encode(self.cert_pem).decode(),
                "client-key-data": base64.b64encode(self.key_pem).decode()}

    def cluster(self, server="https://10.0.0.1:6443"):
        return {"server": server, "certificate-authority-data":
                base64.b64encode(self.ca.pem).decode()}


def config(identity, context="main", server="https://10.0.0.1:6443"):
    """A plain kubeconfig as a dictionary, to be changed by hostile tests."""
    return {"apiVersion": "v1", "kind": "Config", "preferences": {},
            "clusters": [{"name": "c", "cluster": identity.cluster(server)}],
            "users": [{"name": "u", "user": identity.user()}],
            "contexts": [{"name": context,
                          "context": {"cluster": "c", "user": "u"}}],
            "current-context": context}


def several(identities, contexts=None):
    """One file with an identity a context."""
    names = contexts or [f"ctx-{i}" for i in range(len(identities))]
    out = {"apiVersion": "v1", "kind": "Config", "clusters": [], "users": [],
           "contexts": [], "current-context": names[0]}
    for name, identity in zip(names, identities):
        out["clusters"].append({"name": "c-" + name, "cluster":
                                identity.cluster(f"https://{name}.example:6443")
                                })
        out["users"].append({"name": "u-" + name, "user": identity.user()})
        out["contexts"].append({"name": name, "context": {
            "cluster": "c-" + name, "user": "u-" + name}})
    return out


def as_yaml(document):
    return yaml.safe_dump(document, sort_keys=False)


def as_json(document):
    return json.dumps(document)
