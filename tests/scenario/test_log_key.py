"""The log gets another key: said by a leaf that both have signed, and whoever
kept an old checkpoint or the old key goes on from there."""

import base64
import os
import shutil

import pytest

import harness
import merkle
import straced
from harness import INTEGRITY, USAGE
from test_archive import archive, fill

SAMPLE = 12         # kills in CI


def key_of(vault):
    return vault("audit", "key", code=0).text.strip()


def rotation(vault):
    """The leaf that gives the log its last key."""
    found = [r for r in vault.records("--action", "admin")
             if "new_log_key" in r["details"]]
    return found[-1]["details"]


def both_signed(details):
    """By code that nobody here wrote: the note of vault/audit/rotation.h."""
    old, new = details["old_log_key"], details["new_log_key"]
    origin = old.split("+")[0]
    text = f"certvault log key rotation\n{origin}\n{old}\n{new}\n"
    for key, signature in ((old, details["old_signature"]),
                           (new, details["new_signature"])):
        note = f"{text}\n\u2014 {origin} {signature}\n".encode()
        merkle.check_note(note, key)


def note_of(vault):
    with open(vault.path("audit/checkpoint"), "rb") as f:
        return f.read()


def test_another_key(vault):
    old = key_of(vault)
    kept = vault.write("kept", vault("audit", "checkpoint", code=0).out)
    new = vault("audit", "key", "rotate", code=0).text.strip()
    assert new != old and new.split("+")[0] == old.split("+")[0]
    assert key_of(vault) == new
    details = rotation(vault)
    assert (details["old_log_key"], details["new_log_key"]) == (old, new)
    both_signed(details)
    assert not os.path.exists(vault.path("audit/log.key.next"))
    assert vault.verify()["checkpoint"] == "valid"
    # What was signed by the old one still counts.
    assert vault.json("audit", "verify", "--checkpoint", kept)["ok"]
    later = vault.write("later", vault("audit", "checkpoint", code=0).out)
    merkle.open_note(note_of(vault), new)
    assert vault.json("audit", "verify", "--checkpoint", later)["ok"]
    # And once more: a chain of three.
    third = vault("audit", "key", "rotate", code=0).text.strip()
    keys = vault.json("audit", "key", "--all")
    assert keys["kind"] == "LogKeyList"
    assert [k["vkey"] for k in keys["items"]] == [old, new, third]
    assert [k["current"] for k in keys["items"]] == [False, False, True]
    assert keys["items"][0]["until"] == keys["items"][1]["since"]
    for note in (kept, later):
        assert vault.json("audit", "verify", "--checkpoint", note)["ok"]
    vault("audit", "key", "rotate", "--to", "card", code=USAGE)
    vault("audit", "key", "turn", code=USAGE)
    vault("audit", "key", "rotate", "--all", code=USAGE)


def test_a_key_that_was_changed_before_the_archive(vault, tmp_path):
    """The change is archived, and said once more in what is left."""
    kept = vault.write("kept", vault("audit", "checkpoint", code=0).out)
    vault("audit", "key", "rotate", code=0)
    fill(vault, 600)
    vault("audit", "checkpoint", code=0)
    file = tmp_path / "log-0"
    assert archive(vault, 599, file).json["before"] == 512
    for more in ((), ("--archive", str(file))):
        assert vault.json("audit", "verify", "--checkpoint", kept, *more)["ok"]


def test_the_checkpoint_between_is_signed_by_both(vault):
    old = key_of(vault)
    vault("audit", "key", "rotate", code=0)
    note = note_of(vault)
    if note.count("\u2014".encode()) == 1:
        pytest.skip("a later checkpoint has taken its place")
    assert merkle.open_note(note, old) == merkle.open_note(note, key_of(vault))


def test_a_key_that_is_not_the_logs_own(vault):
    """A checkpoint by a stranger's key of the same name; a key file put there
    by hand."""
    vault.spoilt = True
    note = vault("audit", "checkpoint", code=0).out
    kept = {n: open(vault.path("audit/" + n), "rb").read()
            for n in ("key.pub", "log.key")}
    vault("audit", "key", "rotate", code=0)
    text, line = note.split(b"\n\n")
    signature = bytearray(base64.b64decode(line.split()[-1]))
    signature[10] ^= 1
    forged = b"%s\n\n%s %s\n" % (text, b" ".join(line.split()[:-1]),
                                 base64.b64encode(bytes(signature)))
    report = vault("-o", "json", "audit", "verify", "--checkpoint",
                   vault.write("forged", forged), code=INTEGRITY).json
    assert report["errors"][0]["what"] == "anchor"
    for name, data in kept.items():
        with open(vault.path("audit/" + name), "wb") as f:
            f.write(data)
    vault.verify(INTEGRITY)
    vault("label", "x", "a=b", code=INTEGRITY)


def test_others_notice(vault):
    """An agent that ran all the while signs with the new key, too."""
    vault("agent", "start", code=0)
    try:
        vault("audit", "checkpoint", code=0)
        old = key_of(vault)
        new = vault("--no-agent", "audit", "key", "rotate",
                    code=0).text.strip()
        assert new != old
        note = vault("audit", "checkpoint", code=0).out
        merkle.open_note(note, new)
        assert key_of(vault) == new
    finally:
        vault("agent", "stop")
    assert vault.verify()["checkpoint"] == "valid"


def test_backups_of_before_and_after(vault, tmp_path):
    first, second = str(tmp_path / "first"), str(tmp_path / "second")
    vault("backup", first, code=0)
    new = vault("audit", "key", "rotate", code=0).text.strip()
    vault("backup", second, code=0)
    shutil.rmtree(vault.folder)
    vault("restore", second, "--yes", code=0)
    assert key_of(vault) == new
    assert vault.verify()["checkpoint"] == "valid"
    shutil.rmtree(vault.folder)
    vault("restore", first, "--yes", code=0)
    assert key_of(vault) != new
    assert vault.verify()["checkpoint"] == "valid"


def test_killed_anywhere(release_vault, tmp_path):
    """Afterwards it is the old key or the new one, whole; the log verifies, and
    no two checkpoints contradict each other."""
    v = release_vault
    if not harness.have_strace():
        pytest.skip("strace is not to be used here")
    v("audit", "checkpoint", code=0)
    old = key_of(v)
    template = os.path.join(v.home, "template")
    shutil.copytree(v.folder, template)
    done, calls = straced.watch(v, str(tmp_path / "count"),
                                straced.available(), "audit", "key", "rotate")
    assert done.code == 0, done
    places = sorted({(c.name, c.nth)
                     for c in straced.files_only(calls, v.home)})
    assert len(places) > 10, places
    if not harness.FULL:
        places = harness.seeded().sample(places, min(SAMPLE, len(places)))
    ended = {"old": 0, "new": 0}
    for call, nth in places:
        shutil.rmtree(v.folder)
        shutil.copytree(template, v.folder)
        kept = note_of(v)
        straced.killed_run(v, call, nth, "audit", "key", "rotate")
        assert not harness.wait_for_none()
        between = note_of(v)
        v("audit", "checkpoint", code=0)
        now = key_of(v)
        ended["old" if now == old else "new"] += 1
        assert now == old or now == rotation(v)["new_log_key"], (call, nth)
        assert not os.path.exists(v.path("audit/log.key.next")), (call, nth)
        assert v.verify()["checkpoint"] == "valid"
        for i, note in enumerate((kept, between)):
            assert v.json("audit", "verify", "--checkpoint",
                          v.write(f"note{i}", note))["ok"], (call, nth)
        again = v("audit", "key", "rotate", code=0).text.strip()
        assert again != now and key_of(v) == again, (call, nth)
        assert v.verify()["ok"]
    print(ended)
    if harness.FULL:
        assert ended["old"] and ended["new"]
