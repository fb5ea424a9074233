"""intake --offline: reads and rewrites a caller's kubeconfigs through one
descriptor, and nothing else. Driven directly, over its socket."""

import base64
import hashlib
import json
import os
import socket
import subprocess

import pytest

import harness
import kube

TARGET = {"vault_id": "ab" * 16,
          "public_key": base64.b64encode(bytes(range(1, 33))).decode()}


class Failure(Exception):
    def __init__(self, name, parameters):
        super().__init__(f"{name}: {parameters}")
        self.name = name.rpartition(".")[2]
        self.parameters = parameters


class Offline:
    """`source`: a path, or a descriptor."""

    def __init__(self, source):
        ours, theirs = socket.socketpair()
        fd = source if isinstance(source, int) else os.open(source, os.O_RDONLY)

        def place():
            # Both out of the way first: either may be the other's number.
            a, b = os.dup(theirs.fileno()), os.dup(fd)
            a, b = os.dup2(a, 103), os.dup2(b, 104)
            os.dup2(103, 3)
            os.dup2(104, 4)

        self.process = subprocess.Popen(
            [harness.program("intake"), "--offline", "--allow-unlocked"],
            preexec_fn=place, close_fds=False, stdin=subprocess.DEVNULL,
            env={"ASAN_OPTIONS": "detect_leaks=0"},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        theirs.close()
        if not isinstance(source, int):
            os.close(fd)
        self.socket = ours

    def call(self, method, **parameters):
        self.socket.settimeout(60)
        self.socket.sendall(json.dumps(
            {"method": "io.certvault.Intake." + method,
             "parameters": parameters}).encode() + b"\0")
        self.raw = b""
        while not self.raw.endswith(b"\0"):
            part = self.socket.recv(1 << 20)
            assert part, self.process.communicate(timeout=60)
            self.raw += part
        reply = json.loads(self.raw[:-1])
        if reply.get("error"):
            raise Failure(reply["error"], reply["parameters"])
        return reply["parameters"]

    def read(self, **parameters):
        return self.call("Read", target=TARGET, **parameters)

    def strip(self, name, digest, identities):
        return self.call("Strip", name=name, digest=digest, spki=[
            i["key"]["spki_sha256"] for i in identities])["left_keys"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()
        out, err = self.process.communicate(timeout=60)
        assert (self.process.returncode, out + err) == (0, b"")


@pytest.fixture
def identity():
    return kube.Identity("p256")


@pytest.fixture
def folder(tmp_path, identity):
    path = tmp_path / "files"
    path.mkdir()
    (path / "one").write_text(text_of(identity))
    os.chmod(path / "one", 0o640)
    return path


def text_of(identity):
    return kube.as_yaml(kube.config(identity))


def fails(source, error, **parameters):
    with Offline(source) as o, pytest.raises(Failure) as e:
        o.read(**parameters)
    assert e.value.name == error, e.value


def test_a_file(folder, identity):
    with Offline(folder / "one") as o:
        for _ in range(2):             # as often as asked
            reply = o.read()
            assert len(reply["identities"]) == 1
        text = (folder / "one").read_bytes()
        assert reply["digest"] == hashlib.sha256(text).hexdigest()
        assert reply["strippable"] is False
        assert b"PRIVATE" not in o.raw


def test_a_pipe(identity):
    r, w = os.pipe()
    os.write(w, text_of(identity).encode())
    os.close(w)
    with Offline(r) as o:
        os.close(r)
        assert len(o.read()["identities"]) == 1


def test_a_folder(folder):
    with Offline(folder) as o:
        reply = o.read(name="one")
    assert reply["strippable"] is True
    assert reply["identities"][0]["sealed"]


def test_a_name_goes_with_a_folder_only(folder):
    fails(folder / "one", "Usage", name="one")
    fails(folder, "Usage")


@pytest.mark.parametrize("name", ["../files/one", "./one", "..", ".", "",
                                  "/etc/passwd", "sub/one", "x" * 300],
                         ids=lambda n: n[:20] or "empty")
def test_only_plain_names(folder, name):
    (folder / "sub").mkdir()
    (folder / "sub" / "one").write_text("x")
    fails(folder, "Usage", name=name)


def test_what_is_no_regular_file(folder):
    os.symlink("one", folder / "link")
    os.mkfifo(folder / "fifo")
    (folder / "sub").mkdir()
    for name in ("link", "fifo", "sub"):
        fails(folder, "Invalid", name=name)
    fails(folder, "NotFound", name="absent")


def test_a_file_too_long(folder):
    (folder / "long").write_bytes(b"#" * (4 * 1024 * 1024 + 1))
    fails(folder, "Invalid", name="long")


def test_no_network_and_no_other_file(folder):
    """The methods that ask the cloud are not there."""
    with Offline(folder) as o, pytest.raises(Failure) as e:
        o.call("Clusters", cloud={})
    assert e.value.name == "MethodNotFound"


def test_strip(folder):
    before = os.stat(folder / "one")
    keep = os.open(folder / "one", os.O_RDONLY)
    with Offline(folder) as o:
        reply = o.read(name="one")
        assert o.strip("one", reply["digest"], reply["identities"]) == 0
        with pytest.raises(Failure):     # it holds no key any more
            o.read(name="one")
    after = os.stat(folder / "one")
    assert (after.st_mode, after.st_uid, after.st_gid) == (
        before.st_mode, before.st_uid, before.st_gid)
    assert after.st_ino != before.st_ino
    text = (folder / "one").read_text()
    assert "client-key-data" not in text and "server:" in text
    assert os.listdir(folder) == ["one"]
    # Whoever still has the old file open finds nothing in it.
    assert set(os.read(keep, 1 << 20)) == {0}
    os.close(keep)


def test_strip_leaves_other_keys(folder, identity):
    other = kube.Identity("p256")
    both = kube.config(identity)
    more = kube.config(other)
    for part in ("users", "contexts", "clusters"):
        for item in more[part]:
            item["name"] += "-2"
    for item in more["contexts"]:
        item["context"]["user"] += "-2"
        item["context"]["cluster"] += "-2"
    for part in ("users", "contexts", "clusters"):
        both[part] += more[part]
    (folder / "two").write_text(kube.as_yaml(both))
    with Offline(folder) as o:
        reply = o.read(name="two")
        assert len(reply["identities"]) == 2
        assert o.strip("two", reply["digest"], reply["identities"][:1]) == 1
        (left,) = o.read(name="two")["identities"]
    assert left["key"] == reply["identities"][1]["key"]


def test_strip_refuses_a_file_that_changed(folder):
    with Offline(folder) as o:
        reply = o.read(name="one")
        with open(folder / "one", "a", encoding="utf-8") as f:
            f.write("# more\n")
        text = (folder / "one").read_text()
        with pytest.raises(Failure) as e:
            o.strip("one", reply["digest"], reply["identities"])
        assert e.value.name == "Invalid" and "changed" in \
            e.value.parameters["message"]
    assert (folder / "one").read_text() == text
    assert os.listdir(folder) == ["one"]


def test_strip_refuses_another_name_of_the_file(folder):
    os.link(folder / "one", folder / "twin")
    with Offline(folder) as o:
        reply = o.read(name="one")
        assert reply["strippable"] is False
        with pytest.raises(Failure) as e:
            o.strip("one", reply["digest"], reply["identities"])
        assert e.value.name == "Invalid"
    assert "client-key-data" in (folder / "one").read_text()
    assert sorted(os.listdir(folder)) == ["one", "twin"]


def test_strip_of_a_key_that_is_not_there(folder):
    with Offline(folder) as o:
        reply = o.read(name="one")
        with pytest.raises(Failure) as e:
            o.call("Strip", name="one", digest=reply["digest"],
                   spki=["00" * 32])
        assert e.value.name == "NotFound"
        for bad in ([], ["zz" * 32], [5], ["00"]):
            with pytest.raises(Failure) as e:
                o.call("Strip", name="one", digest=reply["digest"], spki=bad)
            assert e.value.name in ("Invalid", "Usage")
    assert "client-key-data" in (folder / "one").read_text()
