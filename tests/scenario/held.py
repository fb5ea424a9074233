"""A vault whose entries lie on tokens: what the tests of tokens share."""

import contextlib
import os
import shutil

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import serialization

import signing
import tokens
from kube import Identity, as_yaml, config
from wire import Broker

# Signature algorithms of each kind of key (see signing.py).
KINDS = ("rsa2048", "p256", "p384", "ed25519")


class PublicOnly:
    """A public key where minting wants a key pair."""

    def __init__(self, public):
        self.public = public

    def public_key(self):
        return self.public


class Held:
    """A vault, a token, and the configuration that joins them."""

    def __init__(self, vault, token):
        self.vault, self.token = vault, token
        self.pin_file = vault.write("pin", token.pin + "\n")
        self.configure()

    def configure(self, **more):
        """Writes certvault.yaml, where the command line looks by itself."""
        folder = os.path.join(self.vault.home, "config", "certvault")
        os.makedirs(folder, mode=0o700, exist_ok=True)
        path = os.path.join(folder, "certvault.yaml")
        with open(path, "w", encoding="utf-8") as f:
            yaml.safe_dump({"modules": self.token.modules, **more}, f)
        os.chmod(path, 0o600)

    @property
    def logins(self):
        """Where certvault writes this user's logins down."""
        return os.path.join(self.vault.home, ".local/state/certvault/logins")

    def forget_logins(self):
        """What a person does who knows that the PIN was right: a login that
        failed or was cut off is taken off the list."""
        shutil.rmtree(self.logins, ignore_errors=True)

    def keep(self):
        """Vault and token as they are now, for restore."""
        shutil.copytree(self.vault.folder, self._kept("vault"))
        shutil.copytree(self.token.folder, self._kept("token"))

    def restore(self):
        """As they were at keep; nobody has logged in since."""
        self.forget_logins()
        shutil.rmtree(self.vault.folder)
        shutil.copytree(self._kept("vault"), self.vault.folder)
        for name in os.listdir(self.token.folder):
            path = self.token.path(name)
            shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)
        shutil.copytree(self._kept("token"), self.token.folder,
                        dirs_exist_ok=True)

    def _kept(self, which):
        return os.path.join(self.vault.home, "kept-" + which)

    @property
    def uri(self):
        """The token's; the module is named, so that no other is started."""
        return f"{self.token.uri}?module-name={self.token.name}"

    def key_uri(self, key_id):
        return (f"{self.token.uri};id=%{key_id};type=private"
                f"?module-name={self.token.name}")

    def __call__(self, *args, pin=True, **options):
        """Runs certvault with the PIN in a file, as a script has it."""
        given = ("--pin-source", "file:" + self.pin_file) if pin else ()
        return self.vault(*given, *args, **options)

    def json(self, *args, **options):
        return self("-o", "json", *args, code=0, **options).json

    def add(self, alg="p256", name="held", *args, identity=None, code=0,
            **options):
        """Imports a key of that kind to the token."""
        identity = identity or Identity(alg, secrets=self.vault.secrets)
        done = self("-o", "json", "import", "-", "--name", name, "--to",
                    "token:" + self.uri, *args,
                    input=as_yaml(config(identity)), code=code, **options)
        return identity, done

    def entry(self, name):
        return self.json("show", name)

    def private_keys(self):
        """Lines of pkcs11-tool that tell of private keys."""
        said = self.token.pkcs11_tool("--list-objects", "--type", "privkey")
        return [line for line in said.stdout.decode().splitlines()
                if line.startswith("Private Key Object")]

    def started(self):
        """What a broker on a socket is started with."""
        return ("--key-file", self.vault.key_file, "--config",
                os.path.join(self.vault.home, "config", "certvault",
                             "certvault.yaml"))

    @contextlib.contextmanager
    def broker(self):
        """A broker on a socket that has logged in to the token."""
        b = Broker(self.vault, *self.started())
        try:
            yield b
        finally:
            b.end()

    def to(self, broker):
        return ("--broker", "unix:" + broker.path)

    def check_signatures(self, name, public, alg, algorithms=None):
        """Each algorithm of the key's kind, each verified by openssl and by
        a library that is not ours to trust."""
        done = []
        with self.broker() as b:
            self(*self.to(b), "token", "login", self.uri, code=0)
            for algorithm in algorithms or signing.ALGORITHMS[alg]:
                purpose, data = ("challenge", signing.challenge()) \
                    if "pkcs1" in algorithm else \
                    ("tls13-client", signing.tls13())
                got = signing.signature(signing.sign(b, name, purpose,
                                                     algorithm, data))
                signing.verify(public, algorithm, data, got)
                assert signing.openssl_verify(self.vault.home, public,
                                              algorithm, data, got)
                done.append(algorithm)
        return done


def certified(authority, public, common="alice"):
    """The PEM of a client certificate over a public key."""
    made = authority.client(PublicOnly(public), common)
    return made.public_bytes(serialization.Encoding.PEM)


def csr_key(pem):
    """The public key of a request, whose own signature is good."""
    request = x509.load_pem_x509_csr(pem)
    assert request.is_signature_valid
    return request.public_key()


def can(token, what):
    return what in token.can


__all__ = ["Held", "KINDS", "can", "certified", "csr_key", "tokens"]
