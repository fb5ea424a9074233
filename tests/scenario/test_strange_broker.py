"""A broker that is not to be trusted: it greets and refuses as it likes, and gets
no file that it names itself."""

import base64
import json
import os
import socket
import threading

import pytest

from harness import UNAVAILABLE, USAGE
from kube import Identity, as_yaml, config

OTHER = 65534


class Stranger:
    """Listens as the user `uid`, greets with `hello` and answers every other
    method with `error`; what it was sent is in `got`."""

    def __init__(self, path, hello, error, uid=None):
        self.got, self.error = b"", error
        self.hello = {
            "vault_id": "ab" * 16, "folder": "/var/lib/certvault",
            "public_key": base64.b64encode(bytes(range(1, 33))).decode(), "pid": 1,
            "mode": "service", "version": "1", "state": "ready",
            "locked": False, **hello}
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        if uid is None:
            self.listener.listen(8)
        else:
            self.listen_as(uid)
        threading.Thread(target=self.accept, daemon=True).start()

    def listen_as(self, uid):
        """The user of a listener is who called listen (unix(7))."""
        child = os.fork()
        if child == 0:
            os.setresuid(uid, uid, uid)
            self.listener.listen(8)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0

    def accept(self):
        while True:
            try:
                connection = self.listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=self.serve, args=(connection,),
                             daemon=True).start()

    def serve(self, connection):
        rest = b""
        while more := connection.recv(1 << 16):
            self.got += more
            *frames, rest = (rest + more).split(b"\0")
            for frame in frames:
                method = json.loads(frame)["method"].rsplit(".", 1)[1]
                answer = {"parameters": self.hello} if method == "Hello" \
                    else self.error
                connection.sendall(json.dumps(answer).encode() + b"\0")

    def end(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


@pytest.fixture
def precious(vault):
    """A file of the user's, and a kubeconfig to be imported."""
    vault.extra.pop("CERTVAULT_DIR")
    text = "a-line-that-is-nobodys-but-the-users-" + "x" * 64
    path = vault.write("precious", text)
    vault.config = vault.write("kubeconfig", as_yaml(config(
        Identity("p256", secrets=vault.secrets))))
    yield path, text.encode()
    vault.extra["CERTVAULT_DIR"] = vault.folder


def refused(error, **more):
    return {"error": f"io.certvault.Broker.{error}",
            "parameters": {"message": "wanted", **more}}


def attempt(vault, stranger, path):
    try:
        return vault("--broker", "unix:" + path, "import", vault.config,
                     "--name", "b")
    finally:
        stranger.end()


@pytest.mark.parametrize("form", [
    "pkcs11:token=x?pin-source=file:{}", "pkcs11:token=x;pin-source={}",
    "pkcs11:token=x?module-name=a&pin-source=file:{}"])
def test_a_token_that_names_a_file(vault, precious, form):
    name, text = precious
    path = os.path.join(vault.home, "socket")
    wanted = refused("PinRequired", code="locked", token_uri="pkcs11:token=x",
                     label="x", serial="1", count_low=False, final=False,
                     protected_path=False)
    stranger = Stranger(path, {"token_uri": form.format(name)}, wanted)
    done = attempt(vault, stranger, path)
    assert done.code == UNAVAILABLE, done
    assert text not in stranger.got
    assert base64.b64encode(text)[:-4] not in stranger.got


def test_a_key_file_that_anothers_broker_names_as_root(vault, precious):
    if os.getuid() != 0:
        pytest.skip("needs root")
    name, text = precious
    locked = refused("Locked", code="locked", slots=[
        {"id": "s1", "kind": "file", "path": name,
         "created": "2026-01-01T00:00:00Z"}])
    # Root listens for services that run as another (systemd does).
    for uid in (None, OTHER):
        path = os.path.join(vault.home, f"socket-{uid}")
        stranger = Stranger(path, {}, locked, uid)
        done = attempt(vault, stranger, path)
        assert done.code == UNAVAILABLE, done
        assert text not in stranger.got
        assert base64.b64encode(text)[:-4] not in stranger.got
        assert "--key-file" in done.note


def test_an_address_that_is_none(vault, precious):
    done = vault("--broker", "bogus", "import", vault.config)
    assert done.code == USAGE, done
    assert "defaults" not in done.note


def test_a_credential_that_anothers_broker_names_as_root(vault, precious):
    if os.getuid() != 0:
        pytest.skip("needs root")
    name, text = precious
    vault.extra["CREDENTIALS_DIRECTORY"] = os.path.dirname(name)
    locked = refused("Locked", code="locked", slots=[
        {"id": "s1", "kind": "credential", "name": os.path.basename(name),
         "created": "2026-01-01T00:00:00Z"}])
    path = os.path.join(vault.home, "socket")
    stranger = Stranger(path, {}, locked, OTHER)
    done = attempt(vault, stranger, path)
    assert done.code == UNAVAILABLE, done
    assert text not in stranger.got
    assert base64.b64encode(text)[:-4] not in stranger.got
