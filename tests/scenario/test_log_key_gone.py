"""Where the log's key is not: after a restore without its token, without its
file, and after an init that was cut off. What is said, what state it is, and
that the way which is named leads on."""

import os
import shutil
import signal

import pytest

import harness
import straced
from harness import IO, NOT_FOUND, UNAVAILABLE
from held import Held
from kube import Identity, as_yaml, config
from test_log_key import key_of
from test_log_key_kills import held, keys_on
from test_log_key_waits import waiting

__all__ = ["held"]


def checked(v):
    """What doctor says of the log's key."""
    found = [i for i in v("-o", "json", "doctor").json["items"]
             if i["check"] == "log key"]
    return (found[0]["result"], found[0]["message"]) if found else None


def status(v):
    return v.json("audit", "status")["log_key"]


def test_a_restore_without_the_token(held, tmp_path):
    v, file = held.vault, str(tmp_path / "b")
    held("audit", "key", "rotate", "--to", "token:" + held.uri, code=0)
    vkey = key_of(v)
    held("backup", file, pin=False, code=0)
    shutil.rmtree(v.folder)
    held.token.remove()
    done = v("restore", file, "--yes", code=0)
    assert "it stays on its token" in done.note and "token=rig" in done.text
    # All goes on but checkpoints, and no other key takes its place.
    v("list", code=0)
    done = held("audit", "checkpoint", code=UNAVAILABLE)
    assert "not there" in done.note and "put it back" in done.note
    held("audit", "key", "rotate", "--to", "file", code=UNAVAILABLE)
    told = status(v)
    assert told["location"] == "token" and told["waiting"] >= 1
    assert checked(v)[0] == "fail" and "absent" in checked(v)[1]
    assert v.verify()["checkpoint"] == "valid"
    held.token.put_back()
    held("audit", "checkpoint", code=0)
    assert key_of(v) == vkey and checked(v)[0] in ("ok", "warn")
    assert v.verify()["ok"]


def check_gone(v, put_back):
    """Records go on; what is missing is named; put back, it is as before."""
    # Also by commands that need no checkpoint.
    for args in (("list",), ("import", "-", "--name", "n", "--dry-run")):
        done = v(*args, input=as_yaml(config(Identity())), code=0)
        assert "audit/log.key is gone" in done.note, done
        assert "backup" in done.note
    for args in (("audit", "checkpoint"), ("audit", "key", "rotate")):
        done = v(*args, code=NOT_FOUND)
        assert "there is no audit/log.key" in done.note, done
        assert "records are written" in done.note and "backup" in done.note
    told = status(v)
    assert told["location"] == "gone" and "audit/log.key" in told["error"]
    assert checked(v)[0] == "fail"
    assert v.verify()["checkpoint"] == "valid"
    put_back()
    v("audit", "checkpoint", code=0)
    assert status(v)["location"] == "file" and checked(v) is None
    assert "log.key" not in v("list", code=0).note
    assert v.verify()["ok"]


def test_a_restore_without_the_sealed_key(held, tmp_path):
    """From a backup that is restored elsewhere."""
    v, file = held.vault, str(tmp_path / "b")
    v("backup", file, code=0)
    shutil.rmtree(v.folder)
    v("restore", file, "--yes", code=0)
    assert checked(v) is None       # sealed is not gone
    os.unlink(v.path("audit/log.key.sealed"))

    def put_back():
        there = os.path.join(v.home, "there")
        v("--vault", there, "restore", file, "--yes", code=0)
        v("--vault", there, "unlock", "--key-file", v.key_file, code=0)
        shutil.copy(os.path.join(there, "audit/log.key"),
                    v.path("audit/log.key"))

    check_gone(v, put_back)


def test_the_file_is_gone(held):
    v, kept = held.vault, os.path.join(held.vault.home, "kept")
    shutil.move(v.path("audit/log.key"), kept)
    check_gone(v, lambda: shutil.move(kept, v.path("audit/log.key")))


def begun(held):
    """Another vault that is to be made, and how."""
    v = held.vault
    other = harness.Vault(os.path.join(v.home, "other"), v.secrets,
                          build=v.build, init=False)
    h = Held(other, held.token)
    return h, ("init", "--key", "file:" + other.key_file, "--log-key",
               "token:" + h.uri)


def check_made_again(h, args):
    """One key is left, and named; a second init goes its own way."""
    assert keys_on(h) == 1 and not os.path.exists(h.vault.path("vault.db"))
    h(*args, code=0)
    assert keys_on(h) == 2
    h("audit", "checkpoint", code=0)
    assert h.vault.verify()["checkpoint"] == "valid"


def test_init_whose_token_breaks_down(held):
    h, args = begun(held)
    held.token.control("once=C_GenerateKeyPair kill-after")
    done = h(*args, code=UNAVAILABLE)
    held.token.control()
    assert "no vault was made" in done.note and "init may be" in done.note
    named = done.note.split("on the token: ")[1].split()[0]
    assert named.startswith("certvault:log:certvault/")
    assert named in held.token.pkcs11_tool("--list-objects").stdout.decode()
    check_made_again(h, args)


def test_init_whose_broker_is_killed(held):
    h, args = begun(held)
    with waiting(h, "C_Sign", *args) as p:
        with open(f"/proc/{p.pid}/task/{p.pid}/children",
                  encoding="ascii") as f:
            (broker,) = f.read().split()
        os.kill(int(broker), signal.SIGKILL)
    assert p.returncode == UNAVAILABLE
    assert "certvault:log:" in p.said and "init may be" in p.said, p.said
    assert not harness.wait_for_none()
    check_made_again(h, args)


def forget(h):
    shutil.rmtree(h.vault.folder)
    os.unlink(h.vault.key_file)


def last_steps(h, args, tmp_path):
    """Which calls take the mark of an unfinished vault away and sync that. The
    vault that shows it is gone again; its key is not."""
    if not harness.have_strace():
        pytest.skip("strace is not to be used here")
    h(*args, code=0)        # later ones find what a first login leaves behind
    forget(h)
    done, calls = straced.watch(h.vault, str(tmp_path / "calls"),
                                straced.available(), "--pin-source",
                                "file:" + h.pin_file, *args)
    assert done.code == 0, done
    forget(h)
    (i,) = [i for i, c in enumerate(calls) if c.name == "unlinkat" and
            c.data == b"initialising" and c.result == 0]
    unlinked, rest = calls[i], calls[i + 1:]
    synced = next(c for c in rest if c.name == "fsync" and
                  c.pid == unlinked.pid)
    assert synced.path == h.vault.folder
    return unlinked, synced


def broken_init(h, args, call):
    done = straced.failed_run(h.vault, call.name, call.nth, "EIO",
                              "--pin-source", "file:" + h.pin_file, *args)
    assert not harness.wait_for_none()
    said = done.stderr.decode()
    assert done.returncode == IO, said
    return said


def test_init_whose_last_sync_fails(held, tmp_path):
    """The vault may be there: what signs its log stays, and so does what opens
    it."""
    h, args = begun(held)
    synced = last_steps(h, args, tmp_path)[1]
    before = keys_on(h)
    said = broken_init(h, args, synced)
    assert "the vault may be there" in said and "certvault:log:" in said
    assert "certvault status" in said, said
    assert keys_on(h) == before + 1
    h.vault.json("status")
    h("audit", "checkpoint", code=0)
    assert h.vault.verify()["checkpoint"] == "valid"


def test_init_whose_mark_stays(held, tmp_path):
    """No vault is there, and no key is left of it."""
    h, args = begun(held)
    unlinked = last_steps(h, args, tmp_path)[0]
    before = keys_on(h)
    said = broken_init(h, args, unlinked)
    assert "no vault was made" in said and keys_on(h) == before, said
    h.vault("status", code=NOT_FOUND)
    h(*args, code=0)
    assert keys_on(h) == before + 1
