"""The log's key goes onto a token, off it, and from one to the next, and is
killed over it: afterwards it is the old key or the new one, whole, and no key
is left that nobody knows. And a service whose token comes and goes. On a module
of the tests' own, which counts what is tried on it."""

import contextlib
import hashlib
import os
import shutil
import sqlite3
import struct
import time

import pytest

import harness
import merkle
import straced
from harness import BUSY, INTEGRITY, INVALID, UNAVAILABLE
from held import Held
from test_log_key import key_of, note_of, rotation
from wire import Broker

SAMPLE = 1          # kills of each kind in CI, and one way of them
WAYS = {"in": ("file", "token"), "out": ("token", "file"),
        "over": ("token", "token")}


def ways():
    """One of them in CI; all where a test is repeated by the seed it printed."""
    if harness.FULL or "CV_SEED" in os.environ:
        return [*WAYS]
    return [harness.seeded().choice([*WAYS])]


@pytest.fixture
def held(release_vault, misbehaving):
    return Held(release_vault, misbehaving)


def place(held, kind):
    return "file" if kind == "file" else "token:" + held.uri


def prepare(held, way):
    held("audit", "checkpoint", code=0)
    if WAYS[way][0] == "token":
        held("audit", "key", "rotate", "--to", "token:" + held.uri, code=0)
    held.keep()
    return ("audit", "key", "rotate", "--to", place(held, WAYS[way][1]))


def keys_on(held):
    return len(held.private_keys())


def check(held, way, old, notes, where):
    """After a kill; the old key or the new one, which is the result."""
    v = held.vault
    held.token.control()
    held.forget_logins()     # a login was cut off: a person knows the PIN
    if os.path.exists(held.token.path("tries")):
        os.unlink(held.token.path("tries"))
    held("audit", "checkpoint", code=0)
    now = key_of(v)
    assert now == old or now == rotation(v)["new_log_key"], where
    assert not os.path.exists(v.path("audit/log.key.next")), where
    merkle.open_note(note_of(v), now)
    for i, note in enumerate(notes):
        assert held.json("audit", "verify", "--checkpoint",
                         v.write(f"note{i}", note))["ok"], where
    assert held.json("audit", "key", "--all")["items"][-1]["vkey"] == now
    # A login, and what nobody knows is gone from the token.
    held("token", "login", held.uri, code=0)
    before = WAYS[way][0] == "token"
    made = WAYS[way][1] == "token" and now != old
    assert keys_on(held) == before + made, (where, now == old)
    again = held("audit", "key", "rotate", "--to", place(held, WAYS[way][1]),
                 code=0).text.strip()
    assert again not in (old, now), where
    assert v.verify()["ok"], where
    return "old" if now == old else "new"


def chosen_of(everything):
    return everything if harness.FULL else sorted(
        harness.seeded().sample(everything, min(SAMPLE, len(everything))))


def hows():
    both = ["kill", "kill-after"]
    return both if harness.FULL else [harness.seeded().choice(both)]


@pytest.mark.parametrize("way", ways())
def test_killed_at_each_pkcs11_call(held, way):
    args = prepare(held, way)
    old = key_of(held.vault)
    held.token.control("calls=1")
    held(*args, code=0)
    names = {int(c[1]): c[2] for c in held.token.calls()}
    assert "C_Sign" in names.values()
    ended = {"old": 0, "new": 0}
    for n in chosen_of(sorted(names)):
        for how in hows():
            held.restore()
            kept = note_of(held.vault)
            held.token.control(f"once={n} {how}")
            held(*args)
            assert not harness.wait_for_none()
            between = note_of(held.vault)
            ended[check(held, way, old, (kept, between),
                        f"{way}: {how} at {names[n]} #{n}")] += 1
    print(way, ended, len(names))


@pytest.mark.parametrize("way", ways())
def test_killed_at_each_write(held, way, tmp_path):
    if not harness.have_strace():
        pytest.skip("strace is not to be used here")
    v = held.vault
    args = ("--pin-source", "file:" + held.pin_file, *prepare(held, way))
    old = key_of(v)
    done, calls = straced.watch(v, str(tmp_path / "count"),
                                straced.available(), *args)
    assert done.code == 0, done
    places = sorted({(c.name, c.nth)
                     for c in straced.files_only(calls, v.home)})
    assert len(places) > 10, places
    ended = {"old": 0, "new": 0}
    for call, nth in chosen_of(places):
        held.restore()
        kept = note_of(v)
        straced.killed_run(v, call, nth, *args)
        assert not harness.wait_for_none()
        between = note_of(v)
        ended[check(held, way, old, (kept, between),
                    f"{way}: killed at {call} #{nth}")] += 1
    print(way, ended, len(places))
    if harness.FULL:
        assert ended["old"] and ended["new"]


def test_a_token_without_ed25519(held):
    v = held.vault
    before = key_of(v)
    held.token.control("fault=C_GetMechanismInfo rv:0x70")
    done = held("audit", "key", "rotate", "--to", "token:" + held.uri,
                code=INVALID)
    assert "ed25519" in done.note and "CKM_EC_EDWARDS_KEY_PAIR_GEN" in done.note
    other = harness.Vault(os.path.join(v.home, "other"), v.secrets,
                          build=v.build, init=False)
    Held(other, held.token)
    done = other("init", "--key", "file:" + other.key_file, "--log-key",
                 "token:" + held.uri, "--pin-source", "file:" + held.pin_file,
                 code=INVALID)
    assert "ed25519" in done.note and "no vault was made" in done.note
    assert not os.path.exists(other.path("vault.db"))
    assert held.token.objects() == [] and key_of(v) == before
    held.token.control()
    assert v.verify()["ok"]


@pytest.mark.parametrize("lie", ["wrong", "short"] if harness.FULL
                         else ["wrong"])
def test_a_signature_that_is_none(held, lie):
    v = held.vault
    held("audit", "key", "rotate", "--to", "token:" + held.uri, code=0)
    before = note_of(v)
    held.token.control("sign=" + lie)
    done = held("audit", "checkpoint")
    assert done.code == INTEGRITY, done
    assert note_of(v) == before
    held.token.control()
    held("audit", "checkpoint", code=0)
    assert note_of(v) != before


def until(said, seconds=60):
    end = time.monotonic() + seconds
    while not said():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.05)


def size_of(v):
    """Of the checkpoint that is stored; its signature is good."""
    with open(v.path("audit/key.pub"), encoding="utf-8") as f:
        return merkle.open_note(note_of(v), f.read().strip())[1]


def status(held, b):
    return held.json(*held.to(b), "audit", "status")


def test_no_pin_is_tried_for_it(held):
    """Neither by a command of its own, nor by one that stays."""
    v = held.vault
    held("audit", "key", "rotate", "--to", "token:" + held.uri, code=0)
    tried = len(held.token.attempts())
    before = note_of(v)
    for _ in range(3):
        held("list", code=0)
    with held.broker() as b:
        for _ in range(3):
            held(*held.to(b), "list", code=0)
        until(lambda: "error" in status(held, b)["log_key"])
        assert status(held, b)["log_key"]["waiting"] >= 3
    assert len(held.token.attempts()) == tried and note_of(v) == before
    held("audit", "checkpoint", code=UNAVAILABLE, pin=False)
    assert len(held.token.attempts()) == tried


def test_a_service_and_its_token(held):
    """It logs in by itself, once; goes on while the token is away; signs when
    it is back."""
    v = held.vault
    held("audit", "key", "rotate", "--to", "token:" + held.uri, code=0)
    held.configure(pin={held.token.uri: "file:" + held.pin_file})
    b = Broker(v, *held.started())
    try:
        held(*held.to(b), "list", pin=False, code=0)
        size = status(held, b)["size"]
        until(lambda: size_of(v) >= size)
        held.token.remove()
        held(*held.to(b), "list", pin=False, code=0)
        until(lambda: "error" in status(held, b)["log_key"])
        before = size_of(v)
        held(*held.to(b), "list", pin=False, code=0)
        held.token.put_back()
        until(lambda: size_of(v) > before)
        until(lambda: "error" not in status(held, b)["log_key"])
    finally:
        b.end()
    assert v.verify()["checkpoint"] == "valid"


def left_waiting(held):
    """The token signs the leaf, and then no more."""
    args = prepare(held, "in")
    held.token.control("calls=1")
    held(*args, code=0)
    signs = len([c for c in held.token.calls() if c[2] == "C_Sign"])
    held.restore()
    held.token.control(f"fault=C_Sign#{signs}+ rv:0x30")
    return held(*args, code=0)


def test_a_change_that_waits_for_the_token(held):
    """Both have signed the leaf, and the new one not the checkpoint: the next
    one ends it. Until then no backup is made, which would have one key of
    two."""
    v = held.vault
    old = key_of(v)
    done = left_waiting(held)
    assert "the next checkpoint ends the change" in done.note, done
    held.token.control("fault=C_Sign rv:0x30")
    assert key_of(v) == old and os.path.exists(v.path("audit/log.key.next"))
    assert v.verify()["ok"]
    held("audit", "key", "rotate", code=BUSY)
    held("backup", os.path.join(v.home, "b"), code=BUSY)
    # Not signed by the old one alone either.
    before = note_of(v)
    v("list", code=0)
    v("audit", "checkpoint", code=UNAVAILABLE)
    assert note_of(v) == before
    held.token.control()
    held("audit", "checkpoint", code=0)
    assert key_of(v) == done.text.strip() == rotation(v)["new_log_key"]
    merkle.check_note(note_of(v), key_of(v))
    held("backup", os.path.join(v.home, "b"), code=0)
    assert v.verify()["ok"]


@contextlib.contextmanager
def store(v):
    db = sqlite3.connect(v.path("vault.db"), timeout=10)
    try:
        with db:
            yield db
    finally:
        db.close()


def being_made(v):
    with store(v) as db:
        row = db.execute("SELECT value FROM meta WHERE key = 'log_key_making'"
                         ).fetchone()
    return row[0] if row else ""


def say_being_made(v, text):
    """As it stands where a broker is killed before it crossed that out; with
    the row's digest, as docs/formats.md has it."""
    with store(v) as db:
        vault_id, = db.execute("SELECT value FROM meta WHERE key = 'vault_id'"
                               ).fetchone()
        digest = hashlib.blake2b(digest_size=32)
        for piece in (vault_id, "meta", "log_key_making", text):
            digest.update(struct.pack("<Q", len(piece)) + piece.encode())
        db.execute("INSERT OR REPLACE INTO meta(key, digest, value) "
                   "VALUES ('log_key_making', ?, ?)", (digest.digest(), text))


def id_of(text):
    return text.split("id=")[1].split(";")[0].replace("%", "").lower()


@pytest.mark.parametrize("how", ["another", "no file", "gone"] if harness.FULL
                         else ["another", "gone"])
def test_what_cannot_be_read_destroys_no_key(held, how):
    """Where the log's key is cannot be read: a key that was being made may be
    the one."""
    v = held.vault
    held("audit", "key", "rotate", "--to", "token:" + held.uri, code=0)
    path = v.path("audit/log.key")
    with open(path, encoding="utf-8") as f:
        kept = f.read()
    row = f"{id_of(kept)} {held.uri}"
    say_being_made(v, row)
    os.rename(path, path + ".kept")
    if how == "another":
        shutil.copy(v.write("x", kept.replace("KEY+", "KEY+x")), path)
    elif how == "no file":
        os.mkdir(path)
    held("token", "login", held.uri, code=0)
    assert keys_on(held) == 1
    assert being_made(v) == ("" if how == "gone" else row)
    if how != "gone":
        os.rmdir(path) if os.path.isdir(path) else os.unlink(path)
    os.rename(path + ".kept", path)
    held("audit", "checkpoint", code=0)
    assert keys_on(held) == 1 and being_made(v) == ""


def test_a_key_that_signed_is_not_being_made(held):
    """Its change ends by a service that logs in by itself, which cleans
    nothing; the next change leaves it where it is."""
    v = held.vault
    done = left_waiting(held)
    assert "the next checkpoint ends the change" in done.note, done
    with open(v.path("audit/log.key.next"), encoding="utf-8") as f:
        say_being_made(v, f"{id_of(f.read())} {held.uri}")
    held.configure(pin={held.token.uri: "file:" + held.pin_file})
    held.token.control()
    b = Broker(v, *held.started())
    try:
        held(*held.to(b), "list", pin=False, code=0)
        until(lambda: not os.path.exists(v.path("audit/log.key.next")))
        assert being_made(v) == ""
        held(*held.to(b), "audit", "key", "rotate", "--to", "file", code=0)
        assert keys_on(held) == 1
    finally:
        b.end()


def test_a_service_that_is_locked(held):
    """An admin locked it: it does not log in again by itself."""
    v = held.vault
    held("audit", "key", "rotate", "--to", "token:" + held.uri, code=0)
    held.configure(pin={held.token.uri: "file:" + held.pin_file})
    b = Broker(v, *held.started())
    try:
        size = status(held, b)["size"]
        until(lambda: size_of(v) >= size)
        held(*held.to(b), "lock", pin=False, code=0)
        tried, before = len(held.token.attempts()), size_of(v)
        held(*held.to(b), "list", pin=False, code=0)
        until(lambda: "error" in status(held, b)["log_key"])
        assert len(held.token.attempts()) == tried and size_of(v) == before
        held(*held.to(b), "token", "login", held.uri, code=0)
        until(lambda: size_of(v) > before)
    finally:
        b.end()


def test_a_service_with_a_wrong_pin(held):
    v = held.vault
    held("audit", "key", "rotate", "--to", "token:" + held.uri, code=0)
    before = len(held.token.attempts())
    wrong = v.write("wrong", "9999\n")
    held.configure(pin={held.token.uri: "file:" + wrong})
    b = Broker(v, *held.started())
    try:
        def looked_again():
            """It says so: first that the PIN was wrong, then that it was."""
            held(*held.to(b), "list", pin=False, code=0)
            return "the last login" in status(held, b)["log_key"].get(
                "error", "")

        until(looked_again)
    finally:
        b.end()
    tried = held.token.attempts()[before:]
    assert [a[2] for a in tried] == ["wrong"], tried
    assert held.token.tries() == 2
