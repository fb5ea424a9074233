"""The token with the log's key takes its time, or does not answer at all: nobody
waits for it with the vault's lock, and of what is made on it meanwhile nothing
is lost, and nothing destroyed that is wanted. On a module of the tests' own."""

import contextlib
import json
import os
import shutil
import signal
import subprocess

import pytest

import harness
import merkle
import straced
from harness import BUSY, DENIED, NOT_FOUND
from kube import Identity, as_yaml, config
from test_log_key import key_of, note_of
from test_log_key_kills import (being_made, held, keys_on, prepare,
                                say_being_made, size_of, until)
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


def test_a_freeze_while_it_signs_for_a_receipt(held):
    """By another broker of the vault: neither key nor receipt come after it."""
    v = held.vault
    v.policy(harness.MAY_EXPORT)
    v.add(as_yaml(config(Identity(secrets=v.secrets))), "a", "--exportable")
    held("audit", "key", "rotate", "--to", "token:" + held.uri, code=0)
    out, receipt = v.path("../out"), v.path("../receipt")
    with waiting(held, "C_Sign", "export", "a", "--reason", "x", "--output",
                 out, "--receipt", receipt) as p:
        held("lock", "--all", pin=False, code=0)
    assert p.returncode == DENIED and "frozen" in p.said, (p.returncode, p.said)
    assert not os.path.exists(out) and not os.path.exists(receipt)
    assert [(r["phase"], r.get("outcome")) for r in
            v.records("--action", "export")] == [("decision", None),
                                                 ("outcome", "failed")]
    held("unlock", "--all", pin=False, code=0)


@pytest.mark.parametrize("call", ["C_GenerateKeyPair", "C_Sign"])
def test_while_a_key_is_made(held, call):
    """Who logs in meanwhile takes nothing away of it."""
    v = held.vault
    old = key_of(v)
    with waiting(held, call, "audit", "key", "rotate", "--to",
                 "token:" + held.uri) as p:
        held("list", pin=False, code=0)
        held("token", "login", held.uri, code=0)
        assert key_of(v) == old and being_made(v)
    assert p.returncode == 0, p.said
    assert key_of(v) != old and keys_on(held) == 1 and being_made(v) == ""
    held("audit", "checkpoint", code=0)
    assert v.verify()["checkpoint"] == "valid"


def test_while_the_old_key_signs(held):
    """Off the token, too."""
    v = held.vault
    held("audit", "key", "rotate", "--to", "token:" + held.uri, code=0)
    old = key_of(v)
    with waiting(held, "C_Sign", "audit", "key", "rotate", "--to", "file") as p:
        held("list", pin=False, code=0)
        assert key_of(v) == old
    assert p.returncode == 0, p.said
    assert key_of(v) != old and not os.path.exists(v.path("audit/log.key.next"))
    v("audit", "checkpoint", code=0)
    assert v.verify()["checkpoint"] == "valid"


def test_another_change_meanwhile(held):
    v = held.vault
    with waiting(held, "C_Sign", "audit", "key", "rotate", "--to",
                 "token:" + held.uri) as p:
        new = v("audit", "key", "rotate", code=0).text.strip()
    assert p.returncode == BUSY and "being changed already" in p.said, p.said
    assert key_of(v) == new and keys_on(held) == 0 and being_made(v) == ""
    v("audit", "checkpoint", code=0)
    assert v.verify()["checkpoint"] == "valid"


def pending(v):
    return [i for i in v("-o", "json", "doctor").json["items"]
            if "change of the log's key" in i["message"]]


def test_a_cut_off_key_and_the_next(held):
    """A service logs in by itself: the key of a change that was cut off before
    goes before another is made."""
    v = held.vault
    held.token.control("once=C_Sign kill")
    held("audit", "key", "rotate", "--to", "token:" + held.uri)
    held.token.control()
    assert keys_on(held) == 1 and being_made(v)
    (told,) = pending(v)
    assert told["result"] == "warn" and "token login" in told["hint"], told
    held.configure(pin={held.token.uri: "file:" + held.pin_file})
    b = Broker(v, *held.started())
    try:
        held(*held.to(b), "audit", "key", "rotate", "--to", "token:" + held.uri,
             pin=False, code=0)
        assert keys_on(held) == 1 and being_made(v) == ""
    finally:
        b.end()
    assert pending(v) == []
    assert v.verify()["checkpoint"] == "valid"


def test_a_cut_off_key_on_a_token_that_is_away(held):
    """It stays written down beside the next; too many are no change any more."""
    v = held.vault
    row = "%032x pkcs11:token=away%d"
    say_being_made(v, row % (1, 1))
    held("audit", "key", "rotate", "--to", "token:" + held.uri, code=0)
    assert being_made(v) == row % (1, 1) and len(pending(v)) == 1
    say_being_made(v, "\n".join(row % (i, i) for i in range(16)))
    before = key_of(v)
    done = held("audit", "key", "rotate", "--to", "token:" + held.uri,
                code=BUSY)
    assert "doctor" in done.note and key_of(v) == before, done
    assert keys_on(held) == 1 and len(pending(v)) == 16


def given_up(v):
    return [(r["phase"], r["details"].get("token"), r["details"]["unfinished"])
            for r in v.records("--action", "admin")
            if (r.get("details") or {}).get("method") == "TokenLost"
            and "unfinished" in r["details"]]


def test_a_cut_off_key_on_a_token_that_is_gone(held):
    """Who says that it is gone ends the wait for it, on the record; nothing is
    destroyed, and what is not there is not given up."""
    v = held.vault
    row = "%032x pkcs11:serial=%d;token=away?module-name=misbehaving"
    say_being_made(v, "\n".join(row % (i, i) for i in range(16)))
    told = pending(v)
    assert len(told) == 16 and all("token lost" in i["message"] for i in told)
    done = held("audit", "key", "rotate", "--to", "token:" + held.uri,
                code=BUSY)
    assert "token lost" in done.note, done
    done = v("-o", "json", "token", "lost",
             (row % (3, 3)).split()[1], code=0)
    assert done.json["items"] == [] and "no more: 1;" in done.note
    assert "certvault:log:" in done.note, done
    assert being_made(v) == "\n".join(row % (i, i)
                                      for i in range(16) if i != 3)
    held("audit", "key", "rotate", "--to", "token:" + held.uri, code=0)
    v("token", "lost", held.token.uri, code=NOT_FOUND)
    assert keys_on(held) == 1 and len(pending(v)) == 15
    v("token", "lost", "pkcs11:token=away", code=0)
    assert being_made(v) == "" and pending(v) == []
    v("token", "lost", "pkcs11:token=away", code=NOT_FOUND)
    one, all_ = "pkcs11:serial=3;token=away", "pkcs11:token=away"
    assert given_up(v) == [
        ("decision", one, 1), ("outcome", one, 1),
        ("decision", all_, 15), ("outcome", all_, 15)]
    assert v.verify()["ok"]


def test_a_key_that_is_being_made_is_not_given_up(held):
    v = held.vault
    held.add("p256", "a")
    with waiting(held, "C_Sign", "audit", "key", "rotate", "--to",
                 "token:" + held.uri) as p:
        done = v("token", "lost", held.token.uri, code=BUSY)
        assert "nothing was" in done.note, done
        assert being_made(v)
    assert p.returncode == 0, p.said
    v("token", "lost", held.token.uri, code=0)
    assert held.entry("a")["state"] == "lost"
    assert given_up(v) == []


def told_of_keys(v):
    """The record's word that a key on a token was destroyed."""
    return [r["details"]["token"] for r in v.records("--action", "admin")
            if r["phase"] == "event" and "token" in r["details"]
            and r["details"].get("method") == "AuditKeyRotate"]


@pytest.mark.parametrize("row", ["ours", "of its label alone"])
def test_a_cut_off_key_and_another_token_of_its_label(held, row):
    """That one has no such key: it says nothing of the token that does."""
    v = held.vault
    label = held.uri
    held.token.control("once=C_Sign kill")
    held("audit", "key", "rotate", "--to", "token:" + label)
    held.token.control()
    held.forget_logins()
    assert keys_on(held) == 1 and "serial=0001" in being_made(v)
    if row != "ours":       # as it was written before
        say_being_made(v, f"{being_made(v).split()[0]} {label}")
    was = being_made(v)
    os.rename(held.token.path("objects"), held.token.path("objects.first"))
    held.token.control("serial=0002")
    held("token", "login", label, code=0)
    assert being_made(v) == was and len(pending(v)) == 1
    assert told_of_keys(v) == []
    shutil.rmtree(held.token.path("objects"), ignore_errors=True)
    os.rename(held.token.path("objects.first"), held.token.path("objects"))
    held.token.control()
    held("token", "login", label, code=0)
    assert keys_on(held) == 0 and being_made(v) == "" and pending(v) == []
    token, = told_of_keys(v)
    assert "serial=0001" in token


def destroyed(v):
    """What the record on the disk says of it: URIs of tokens."""
    leaves = map(json.loads, merkle.read_log(v.path("audit/log")))
    return [r["details"]["token_uri"] for r in leaves
            if r["action"] == "gc-destroy"]


def cut_off(held):
    held.token.control("once=C_Sign kill")
    held("audit", "key", "rotate", "--to", "token:" + held.uri)
    held.token.control()
    held.forget_logins()
    assert keys_on(held) == 1 and being_made(held.vault)


def test_a_cut_off_key_is_recorded_before_it_goes(held):
    v = held.vault
    cut_off(held)
    with waiting(held, "C_DestroyObject", "token", "login", held.uri) as p:
        assert keys_on(held) == 1
        (uri,) = destroyed(v)
        assert "serial=0001" in uri
    assert p.returncode == 0, p.said
    assert keys_on(held) == 0 and being_made(v) == ""
    assert len(destroyed(v)) == len(told_of_keys(v)) == 1
    assert v.verify()["ok"]


def test_a_cut_off_key_that_cannot_be_recorded_stays(held, tmp_path):
    if not harness.have_strace():
        pytest.skip("strace is not to be used here")
    v = held.vault
    cut_off(held)
    held("token", "list", code=0)
    held.keep()
    login = ("--pin-source", "file:" + held.pin_file, "token", "login",
             held.uri)
    done, calls = straced.watch(v, str(tmp_path / "calls"),
                                straced.available(), *login)
    assert done.code == 0 and keys_on(held) == 0, done
    i = next(i for i, c in enumerate(calls) if b"gc-destroy" in c.data)
    synced = next(c for c in calls[i:] if c.name == "fdatasync" and
                  c.path == v.path("audit/log"))
    held.restore()
    straced.failed_run(v, synced.name, synced.nth, "EIO", *login)
    assert not harness.wait_for_none()
    assert keys_on(held) == 1 and being_made(v)
    held.forget_logins()
    held("token", "login", held.uri, code=0)
    assert keys_on(held) == 0 and being_made(v) == ""


def test_a_cut_off_key_on_a_token_without_a_login(held):
    """Its broker is killed: by itself it would take the key back."""
    v = held.vault
    with waiting(held, "C_Sign", "audit", "key", "rotate", "--to",
                 "token:" + held.uri) as p:
        with open(f"/proc/{p.pid}/task/{p.pid}/children",
                  encoding="ascii") as f:
            os.kill(int(f.read()), signal.SIGKILL)
    assert not harness.wait_for_none()
    held.token.control("login-required=0")
    assert keys_on(held) == 1 and being_made(v)
    held("token", "login", held.uri, pin=False, code=0)
    assert keys_on(held) == 0 and being_made(v) == ""
    assert len(destroyed(v)) == 1 and pending(v) == []


def test_a_key_that_the_token_had(held):
    """Nothing was made for it, and nothing is destroyed or said to be."""
    v = held.vault
    held("audit", "key", "rotate", "--to", "token:" + held.uri, code=0)
    with open(v.path("audit/log.key"), encoding="utf-8") as f:
        uri = f.read().split(" ", 1)[1].strip()
    held("audit", "key", "rotate", "--to", "file", code=0)
    held("audit", "key", "rotate", "--to", "token:" + uri, code=0)
    assert keys_on(held) == 1 and being_made(v) == ""
    assert told_of_keys(v) == []
    held("audit", "checkpoint", code=0)
    assert v.verify()["checkpoint"] == "valid"


def test_a_leaf_that_does_not_reach_the_disk(held):
    """The key is made, and its change not recorded: that is said, and so is
    what is left."""
    if not harness.have_strace():
        pytest.skip("strace is not to be used here")
    v = held.vault
    args = ("--pin-source", "file:" + held.pin_file, *prepare(held, "in"))
    for nth in range(3, 16):
        held.restore()
        done = straced.failed_run(v, "fdatasync", nth, "EIO", *args)
        if done.returncode != 0 and keys_on(held) == 1:
            break
    else:
        raise AssertionError("no sync of that leaf failed")
    assert b"goes at the next token login" in done.stderr, done
    assert being_made(v) and not os.path.exists(v.path("audit/log.key.next"))
    decided, ended = v.records("--action", "admin")[-2:]
    assert decided["details"]["method"] == "AuditKeyRotate", decided
    assert ended["op"] == decided["op"] and ended["outcome"] == "failed"
    held("token", "login", held.uri, code=0)
    assert keys_on(held) == 0 and being_made(v) == ""
    assert v.verify()["ok"]


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
