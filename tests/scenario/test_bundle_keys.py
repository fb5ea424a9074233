"""Bundles of a log that got another key, and what witnesses signed of it."""

import json
import os
import shutil
import subprocess

import pytest

import merkle
from harness import INTEGRITY
from test_anchors import anchor, configure, key_of
from test_bundles import age, check_anew, commands, make, read, spoil
from witness import Witness


@pytest.fixture
def witness():
    w = Witness()
    yield w
    w.stop()


def check(vault, path, *args, code=0):
    return vault("-o", "json", "audit", "verify", "--bundle", path, *args,
                 code=code)


@pytest.fixture
def changed(vault):
    """Two changes of the key, a checkpoint kept before each; (vault, keys,
    notes)."""
    keys, notes = [key_of(vault)], []
    for n in range(2):
        vault("list", code=0)
        notes.append(vault.write(f"note{n}",
                                 vault("audit", "checkpoint", code=0).out))
        age(vault)
        vault("list", code=0)
        keys.append(vault("audit", "key", "rotate", code=0).text.strip())
    vault("list", code=0)
    return vault, keys, notes


def test_old_keys_and_old_checkpoints_count(changed):
    vault, keys, notes = changed
    path, said = make(vault, "--since", "2020-01-01")
    assert said["rotations"] == 2 and said["key"] == keys[2]
    check_anew(path, keys[2])
    lines = read(path, "keys.jsonl").split(b"\n")[:-1]
    found = [json.loads(line)["details"] for line in lines]
    assert [d["new_log_key"] for d in found] == keys[1:]
    assert set(lines) < set(read(path, "records.jsonl").split(b"\n"))
    for key in keys:
        for note in notes:
            report = check(vault, path, "--key", key, "--checkpoint",
                           note).json
            assert report["checkpoint"] > 0 and report["key"] == keys[2]
    with open(notes[0], "rb") as f:
        origin, size, rest = f.read().split(b"\n", 2)
    forged = vault.write("forged", b"%s\n%d\n%s" % (origin, int(size) - 1,
                                                    rest))
    check(vault, path, "--checkpoint", forged, code=INTEGRITY)
    # With stock tools, too.
    done = subprocess.run(
        ["sh", "-e", "-c", commands(path)], cwd=path, check=False,
        capture_output=True, env={**vault.env(), "PATH":
                                  os.path.dirname(vault.argv()[0]) +
                                  ":/usr/bin:/bin"})
    assert done.returncode == 0, done
    assert b"Signature Verified Successfully" in done.stdout


def test_a_key_that_was_given_up_signs_no_bundle(vault):
    """One of the first key's time, with all that leads on from it: who has the
    first key believes it. Who has the last does not: anybody may have the
    first by now, and have made all of it."""
    first = key_of(vault)
    old, _ = make(vault, "--since", "2020-01-01", name="old")
    last = vault("audit", "key", "rotate", code=0).text.strip()
    check(vault, old, "--key", first)
    check(vault, old, "--key", last, code=INTEGRITY)
    new, _ = make(vault, "--since", "2020-01-01", name="new")
    shutil.copy(os.path.join(new, "keys.jsonl"), old)
    spoil(old, "manifest.json",
          lambda t: t.replace(b'"size":', b'"rotations": 1, "size":', 1))
    check(vault, old, "--key", first)
    check(vault, old, "--key", last, code=INTEGRITY)


def test_a_period_before_the_change(vault):
    """The checkpoint before it was signed by the first key."""
    age(vault)
    vault("list", code=0)                    # kept, by the first key
    kept = json.loads(read(vault.folder,
                           "audit/checkpoints").splitlines()[-1])["note"]
    vault("list", code=0)
    since = vault.another_second()
    vault("list", code=0)
    first = key_of(vault)
    vault("audit", "key", "rotate", code=0)
    path, said = make(vault, "--since", since)
    size = merkle.open_note(kept.encode(), first)[1]
    assert said["before"] == said["first"] == size
    assert read(path, "checkpoint.before").decode() == kept
    check(vault, path, "--key", first)


def drop(n):
    def run(text):
        parts = text.split(b"\n")
        del parts[n]
        return b"\n".join(parts)
    return run


CHANGES = [
    ("keys.jsonl", drop(0)),
    ("keys.jsonl", drop(1)),
    ("keys.jsonl", lambda t: b"\n".join(t.split(b"\n")[1::-1]) + b"\n"),
    ("keys.jsonl", lambda t: t + t.split(b"\n")[1] + b"\n"),
    ("keys.jsonl", lambda t: t.replace(b'"time":"2', b'"time":"3', 1)),
    ("keys.jsonl", lambda t: t.replace(b'_signature":"', b'_signature":"A', 1)),
    ("keys.jsonl", lambda t: b""),
    ("manifest.json", lambda t: t.replace(b'"rotations": 2', b'"rotations": 1')),
    ("manifest.json", lambda t: t.replace(b'"rotations": 2',
                                          b'"rotations": -1')),
    ("manifest.json", lambda t: t.replace(b'"rotations": 2',
                                          b'"rotations": 0')),
]


def test_what_was_changed_is_found(changed):
    vault, _, _ = changed
    path, _ = make(vault, "--since", "2020-01-01")
    for name, change in CHANGES:
        mend = spoil(path, name, change)
        check(vault, path, code=INTEGRITY)
        mend()
    os.rename(os.path.join(path, "keys.jsonl"),
              os.path.join(vault.home, "aside"))
    check(vault, path, code=INTEGRITY)


def test_what_witnesses_signed_goes_along(vault, witness):
    configure(vault, witness.anchor)
    witness.trust(key_of(vault))
    age(vault)
    vault("list", code=0)
    path, said = make(vault, "--since", "2020-01-01", name="without")
    assert said["cosigned"] == 0 and said["witnesses"] == []
    until = json.loads(read(path, "records.jsonl").split(b"\n")[0])["time"]
    vault.another_second()
    age(vault)
    vault("list", code=0)
    anchor(vault)
    path, said = make(vault, "--since", "2020-01-01")
    assert said["cosigned"] == 1
    report = check(vault, path).json
    (seen,) = report["witnesses"]
    assert seen["name"] == witness.name and seen["size"] <= report["size"]
    # After the end of the period: proved to go on from there.
    early, said = make(vault, "--until", until, name="early")
    (item,) = json.loads(read(early, "manifest.json"))["cosigned"]
    assert item["size"] > said["size"] and item["consistency"]
    (seen,) = check(vault, early).json["witnesses"]
    assert seen["size"] == item["size"]
    after = merkle.open_note(read(early, "checkpoint.after"), key_of(vault))
    note = read(early, "cosigned/" + item["name"])
    later = merkle.open_note(note, key_of(vault))
    assert merkle.consistent(
        after[1], later[1], after[2], later[2],
        [merkle.base64.b64decode(h) for h in item["consistency"]])
    # What is changed in it is found; what nobody believes says nothing.
    name = "cosigned/" + item["name"]
    for where, change in (
            (name, lambda t: t[:-6] + b"AAA=\n"),
            (name, lambda t: t.replace(b"\n", b"\n1", 1)),
            ("manifest.json",
             lambda t: t.replace(item["consistency"][0].encode(),
                                 b"A" * 43 + b"=")),
            ("manifest.json", lambda t: t.replace(
                b'"name": "' + item["name"].encode(), b'"name": "00000000')),
            ("manifest.json", lambda t: t.replace(
                b'"size": %d' % item["size"], b'"size": %d' %
                (item["size"] + 1)))):
        mend = spoil(early, where, change)
        check(vault, early, code=INTEGRITY)
        mend()
    with open(os.path.join(early, "cosigned", "more"), "wb"):
        pass
    check(vault, early, code=INTEGRITY)
    os.unlink(os.path.join(early, "cosigned", "more"))
    configure(vault)
    assert check(vault, early).json["witnesses"] == []
    shutil.rmtree(os.path.join(early, "cosigned"))
    check(vault, early, code=INTEGRITY)
