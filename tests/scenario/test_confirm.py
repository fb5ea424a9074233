"""Questions, and what becomes of them without a terminal and with one."""

import os
import pty
import select
import subprocess
import time

import pytest

import harness
from harness import USAGE
from kube import Identity, as_yaml, config


@pytest.fixture
def held(vault, secrets):
    vault.add(as_yaml(config(Identity(secrets=secrets))), "a")
    return vault


def test_rm_without_yes_under_no_input(held):
    error = held.error(USAGE, "rm", "a")
    assert "--yes" in error["message"] + error["hint"]
    assert held.names() == ["a"]
    held("rm", "a", "--yes", code=0)


class Terminal:
    """A program on a terminal of its own."""

    def __init__(self, vault, *args):
        self.master, slave = pty.openpty()
        self.process = subprocess.Popen(
            vault.argv(*args), env=vault.env(), stdin=slave, stdout=slave,
            stderr=slave, start_new_session=True,
            preexec_fn=lambda: os.close(os.open(os.ttyname(0), os.O_RDWR)))
        os.close(slave)
        self.seen = b""

    def wait_for(self, text, seconds=60):
        end = time.monotonic() + seconds
        while text not in self.seen:
            left = end - time.monotonic()
            assert left > 0, f"waited for {text!r}: {self.seen!r}"
            if select.select([self.master], [], [], left)[0]:
                try:
                    data = os.read(self.master, 4096)
                except OSError:
                    data = b""
                assert data, f"ended before {text!r}: {self.seen!r}"
                self.seen += data

    def type(self, text):
        os.write(self.master, text)

    def end(self, seconds=60):
        """Reads to the end; the exit code."""
        stop = time.monotonic() + seconds
        while time.monotonic() < stop:
            if select.select([self.master], [], [], 0.1)[0]:
                try:
                    data = os.read(self.master, 4096)
                except OSError:
                    break
                if not data:
                    break
                self.seen += data
            elif self.process.poll() is not None:
                break
        os.close(self.master)
        return self.process.wait(seconds)


def terminal(vault, *args):
    """Without --no-input, which a Vault puts in front."""
    vault.wrap = []
    return Terminal(vault, "--no-agent", *args)


def test_rm_asks_and_takes_no_for_an_answer(held):
    t = terminal(held, "rm", "a")
    t.wait_for(b"?")
    t.type(b"n\n")
    assert t.end() != 0
    assert held.names() == ["a"]
    t = terminal(held, "rm", "a")
    t.wait_for(b"?")
    t.type(b"y\n")
    assert t.end() == 0
    assert held.names() == []


def test_an_end_of_file_is_no_yes(held):
    t = terminal(held, "rm", "a")
    t.wait_for(b"?")
    t.type(b"\x04")
    assert t.end() != 0
    assert held.names() == ["a"]


def test_passphrase_without_echo(home, secrets):
    v = harness.Vault(home, secrets, init=False)
    word = b"typed by hand 123"
    secrets.add("passphrase", word)
    t = terminal(v, "init")
    t.wait_for(b"assphrase")
    t.type(word + b"\n")
    t.wait_for(b"again")
    t.type(word + b"\n")
    assert t.end() == 0, t.seen
    assert word not in t.seen
    assert v.json("list")["items"] == []
    v.policy(harness.MAY_EXPORT)
    v.add(as_yaml(config(Identity(secrets=secrets))), "a", "--exportable")
    out = os.path.join(v.home, "out.yaml")
    t = terminal(v, "export", "a", "--reason", "x", "--output", out)
    t.wait_for(b"assphrase")
    t.type(word + b"\n")
    assert t.end() == 0, t.seen
    assert word not in t.seen and os.path.exists(out)


def test_an_interrupted_init_leaves_nothing(home, secrets):
    """Neither at the first question nor at the second."""
    v = harness.Vault(home, secrets, init=False)
    word = b"typed by hand 123"
    secrets.add("passphrase", word)
    for typed in (b"", word + b"\n"):
        t = terminal(v, "init")
        t.wait_for(b"assphrase")
        t.type(typed)
        if typed:
            t.wait_for(b"again")
        assert os.path.isdir(v.folder)
        t.type(b"\x03")
        assert t.end() == 130, t.seen
        assert not os.path.exists(v.folder)
    # A folder that was there stays.
    os.mkdir(v.folder, 0o700)
    t = terminal(v, "init")
    t.wait_for(b"assphrase")
    t.type(b"\x03")
    assert t.end() == 130, t.seen
    assert os.listdir(v.folder) == []
    v("init", "--key", "file:" + v.key_file, code=0)


def test_a_wrong_passphrase_is_told(home, secrets):
    v = harness.Vault(home, secrets, init=False)
    path = v.write("pass", "the right passphrase")
    v("init", "--new-passphrase-file", path, code=0)
    v.policy(harness.MAY_EXPORT)
    v.add(as_yaml(config(Identity(secrets=secrets))), "a", "--exportable")
    t = terminal(v, "export", "a", "--reason", "x", "--output",
                 os.path.join(v.home, "out.yaml"))
    t.wait_for(b"assphrase")
    t.type(b"the wrong passphrase\n")
    # It asks again, and does not go on.
    t.wait_for(b"it does not open the vault")
    t.type(b"\x03")
    assert t.end() == 130
    assert not os.path.exists(os.path.join(v.home, "out.yaml"))


def test_second_factor_is_asked_for(cloud_vault, standin):
    import datetime
    import cce_api
    for name in ("HUAWEICLOUD_SDK_AK", "HUAWEICLOUD_SDK_SK"):
        cloud_vault.extra.pop(name)
    cloud = standin.cloud
    cloud.totp_secret = os.urandom(20)
    path = cloud_vault.write("password", cloud.password)
    try:
        t = terminal(cloud_vault, *cloud_vault.cloud(
            "fetch", "--cluster", "dev", "--iam-user", cloud.user,
            "--iam-domain", cloud.domain, "--password-file", path, "--mfa"))
        t.wait_for(b"ode")
        t.type(cce_api.totp(cloud.totp_secret, datetime.datetime.now(
            datetime.timezone.utc)).encode() + b"\n")
        assert t.end() == 0, t.seen
    finally:
        cloud.totp_secret = None
    assert cloud_vault.names() == ["dev"]
