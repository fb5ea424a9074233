"""The token with the log's key takes its time, or does not answer at all: nobody
waits for it with the vault's lock, and of what is made on it meanwhile nothing
is lost, and nothing destroyed that is wanted. On a module of the tests' own."""

import contextlib
import os
import shutil
import signal
import subprocess

import pytest

import harness
from harness import BUSY
from kube import Identity, as_yaml, config
from test_log_key import key_of, note_of
from test_log_key_kills import (being_made, held, keys_on, say_being_made,
                                size_of, until)
from wire import Broker

__all__ = ["held"]


@contextlib.contextmanager
def waiting(held, where, *args):
    """A command to which the token does not answer there, once, until the end
    of the block; then it goes on."""
    name, _, nth = where.partition("#")
    held.token.control("calls=1", f"once={where} wait")
    before = len(held.token.calls())
    p = held.vault.start("--pin-source", "file:" + held.pin_file, *args,
                         stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        until(lambda: sum(c[2] == name for c in held.token.calls()[before:])
              >= int(nth or 1), 120)
        assert p.poll() is None
        yield p
    finally:
        held.token.control()
        p.said = p.communicate()[1].decode()


def test_the_last_checkpoint_of_a_command(held):
    """Over the outcome of an export with a receipt. Who is later stores a later
    one, which stays."""
    v = held.vault
    v.policy(harness.MAY_EXPORT)
    v.add(as_yaml(config(Identity(secrets=v.secrets))), "a", "--exportable")
    held("audit", "key", "rotate", "--to", "token:" + held.uri, code=0)
    out, receipt = v.path("../out"), v.path("../receipt")
    with waiting(held, "C_Sign#2", "export", "a", "--reason", "x", "--output",
                 out, "--receipt", receipt) as p:
        before = size_of(v)
        held("list", pin=False, code=0)
        held("audit", "checkpoint", code=0)
        note, size = note_of(v), size_of(v)
    assert p.returncode == 0, p.said
    assert size > before and (note_of(v) == note or size_of(v) > size)
    assert v.verify()["checkpoint"] == "valid"
    os.unlink(out)


def pending(v):
    return [i for i in v("-o", "json", "doctor").json["items"]
            if "change of the log's key" in i["message"]]


def test_a_service_whose_vault_key_is_wrong(held):
    """That is not the token's matter: the log is signed all the same."""
    v = held.vault
    v.policy(harness.MAY_EXPORT)
    v.add(as_yaml(config(Identity(secrets=v.secrets))), "a", "--exportable")
    held("audit", "key", "rotate", "--to", "token:" + held.uri, code=0)
    other = harness.Vault(os.path.join(v.home, "other"), v.secrets,
                          build=v.build)
    held.configure(pin={held.token.uri: "file:" + held.pin_file})
    key = os.path.join(v.home, "k")
    shutil.copy(v.key_file, key)

    def refused():
        """Its own key; the caller gives none."""
        b.call("io.certvault.Broker.Export", {"name": "a", "reason": "x"})
        said = held.json(*held.to(b), "audit", "query", "--action", "admin",
                         pin=False)["items"]
        return any(r.get("error") == "auth" and
                   r["details"]["method"] == "Unlock" for r in said)

    b = Broker(v, "--key-file", key, *held.started()[2:])
    try:
        held(*held.to(b), "lock", pin=False, code=0)
        held.token.remove()
        shutil.copy(other.key_file, key)
        os.kill(b.pid(), signal.SIGHUP)     # it is to open the vault again
        until(refused, 120)
        before = size_of(v)
        held.token.put_back()
        until(lambda: size_of(v) > before, 120)
    finally:
        b.end()
