"""A broker that is not to be trusted: it greets and refuses as it likes, and gets
no file that it names itself."""

import base64
import json
import os
import socket
import threading

import pytest

import harness
from harness import INTEGRITY, UNAVAILABLE, USAGE
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
                    else self.answer(method)
                connection.sendall(json.dumps(answer).encode() + b"\0")

    def answer(self, method):
        return self.error

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


class Sender(Stranger):
    """Announces what `begun` says, and sends pieces as `pieces` yields them;
    behind those it says that this was all."""

    def __init__(self, path, begun, pieces):
        self.begun, self.pieces, self.sent = begun, pieces, 0
        super().__init__(path, {}, None)

    def answer(self, method):
        if not method.endswith("Read"):
            return {"parameters": self.begun}
        self.sent += 1
        data, more = next(self.pieces, (b"", self.last))
        self.last = more
        return {"parameters": {"data": base64.b64encode(data).decode(), **more}}

    last = {}


PIECE, PIECES = b"x" * 4096, 100    # what it ends with where nobody stops it


def backup(pieces, size):
    return ("backup",), {"size": size, "leaves": 3, "vault_id": "ab" * 16,
                         "audit_seq": 1}, ((PIECE, {}) for _ in range(pieces))


def archive(nexts, first=0, before=256, data=PIECE):
    return (("audit", "archive", "--before", "256", "--output"),
            {"first": first, "before": before, "audit_seq": 1},
            ((data, {"next": n}) for n in nexts))


FLOODS = {
    "backup": lambda: backup(PIECES, 3 * len(PIECE)),
    "backup of one byte more": lambda: backup(PIECES, 3 * len(PIECE) - 1),
    "backup of nothing": lambda: backup(PIECES, 0),
    "backup of less than that": lambda: backup(2, 3 * len(PIECE)),
    "archive of one record": lambda: archive([1] * PIECES),
    "archive of more records": lambda: archive(range(255, 355)),
    "archive of fewer records": lambda: archive([1, 255]),
    "archive of what was not asked for": lambda: archive(
        range(1, PIECES), before=1 << 40),
    "archive of long records": lambda: archive(
        [1], first=0, before=1, data=b"x" * (1 << 17)),
}


@pytest.mark.parametrize("flood", FLOODS)
def test_a_file_that_never_ends(home, flood):
    """What comes is no more than what was announced, and nothing is kept."""
    args, begun, pieces = FLOODS[flood]()
    certvault = harness.Certvault(home)
    folder, path = os.path.join(home, "there"), os.path.join(home, "socket")
    os.mkdir(folder, 0o700)
    old = os.path.join(folder, "old")
    with open(old, "w", encoding="utf-8") as f:
        f.write("as it was")
    stranger = Sender(path, begun, pieces)
    file = old if args[0] == "backup" else os.path.join(folder, "new")
    try:
        done = certvault("--no-input", "-o", "json", "--yes", "--broker",
                         "unix:" + path, *args, file, code=INTEGRITY)
    finally:
        stranger.end()
    assert "the broker" in done.error["message"], done
    assert "was written" in done.error["state"] or \
        "was archived" in done.error["state"]
    assert "thrown away" in done.error["hint"]
    assert stranger.sent <= 4 and os.listdir(folder) == ["old"]
    with open(old, encoding="utf-8") as f:
        assert f.read() == "as it was"
