"""A broker of the tests' own that gives grants: answers to Use, UseEnd and
Keyless, with a hop CA and client certificates that openssl made."""

import base64
import datetime
import os
import subprocess
import threading

from fake_broker import FakeBroker, Failure

VAULT_ID = "0123456789abcdef0123456789abcdef"
GRANT = "ab" * 16


def openssl(*args, **options):
    return subprocess.run(["openssl", *args], check=True, capture_output=True,
                          **options).stdout


class HopCa:
    """A CA, and what it signed."""

    def __init__(self, folder):
        self.folder = str(folder)
        self.ca = self._self_signed()

    def path(self, name):
        return os.path.join(self.folder, name)

    def _self_signed(self):
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt",
                "ec_paramgen_curve:P-256", "-nodes", "-keyout",
                self.path("ca.key"), "-out", self.path("ca.pem"), "-subj",
                "/CN=hop", "-days", "2")
        return self._read("ca.pem")

    def _read(self, name):
        with open(self.path(name), encoding="ascii") as f:
            return f.read()

    def make(self, name, subject, *extensions):
        """(certificate, key) as PEM."""
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                "-nodes", "-keyout", self.path(name + ".key"), "-out",
                self.path(name + ".csr"), "-subj", subject)
        with open(self.path(name + ".ext"), "w", encoding="ascii") as f:
            f.write("\n".join(extensions) + "\n")
        openssl("x509", "-req", "-in", self.path(name + ".csr"), "-CA",
                self.path("ca.pem"), "-CAkey", self.path("ca.key"),
                "-CAcreateserial", "-days", "2", "-extfile",
                self.path(name + ".ext"), "-out", self.path(name + ".pem"))
        return self._read(name + ".pem"), self._read(name + ".key")


class GrantBroker(FakeBroker):
    """`seconds` is how long a grant lasts; `ended` is set by UseEnd; `gone`
    is for the test to set."""

    def __init__(self, path, hop, server="https://127.0.0.1:1", seconds=3600,
                 namespace=None):
        super().__init__(path)
        self.hop, self.server, self.seconds = hop, server, seconds
        self.namespace = namespace
        self.certificate, self.key = hop.make("client", "/CN=uid:0")
        self.ended = threading.Event()
        self.gone = threading.Event()  # set: the grant lives no more
        self.answers["Hello"] = self._hello
        self.answers["Use"] = self._use
        self.answers["UseEnd"] = self._end
        self.answers["Keyless"] = self._keyless

    def _hello(self, parameters):
        if parameters.get("vault_id") not in (None, VAULT_ID):
            return Failure("not-found", "this broker serves another vault")
        answer = {**self.GREETING, "vault_id": VAULT_ID, "locked": False}
        if "grant" in parameters:
            assert parameters["grant"] == GRANT
            answer["grant"] = not self.gone.is_set()
        return answer

    def _use(self, parameters):
        end = datetime.datetime.now(datetime.timezone.utc) + \
            datetime.timedelta(seconds=self.seconds)
        return {
            "grant": {"id": GRANT, "entry": parameters["name"],
                      "context": parameters.get("context") or "internal",
                      "expires": end.strftime("%Y-%m-%dT%H:%M:%SZ"),
                      "seconds": self.seconds,
                      "read_only": parameters.get("read_only", False),
                      "rule": "owner"},
            "server": self.server, "ca": self.hop.ca,
            "certificate": self.certificate,
            "secret": base64.b64encode(self.key.encode()).decode(),
            "namespace": self.namespace, "audit_seq": 7}

    def _end(self, parameters):
        assert parameters == {"grant": GRANT}
        self.ended.set()
        return {}

    def _keyless(self, parameters):
        return {"server": self.server, "ca": self.hop.ca, "vault_id": VAULT_ID,
                "entry": parameters["name"],
                "contexts": [
                    {"name": "internal", "namespace": self.namespace,
                     "default": True},
                    {"name": "external", "namespace": "apps",
                     "default": False}]}
