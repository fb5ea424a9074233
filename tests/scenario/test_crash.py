"""Killed at any write, sync, rename: no key is lost, no plaintext is left, the
log verifies, and a second recovery changes nothing.

Each change is run once to count its system calls, then again and again with
one process killed at the nth of them. CI takes a sample; --full all."""

import os
import shutil
import sqlite3

import pytest

import harness
import straced
from kube import Identity, as_yaml, config

SAMPLE = 6          # kills a change in CI


@pytest.fixture
def prepared(release_vault, secrets):
    """A vault with history, and a copy of it to start from."""
    if not harness.have_strace():
        pytest.skip("strace is not to be used here")
    v = release_vault
    v.policy(harness.MAY_EXPORT)
    v.identities = {}
    for name in ("a", "b"):
        v.identities[name] = Identity("p256", secrets=secrets)
        v.add(as_yaml(config(v.identities[name])), name, "--exportable")
    v.second = os.path.join(v.home, "second.key")
    v("slot", "add", "file:" + v.second, code=0)
    v.slots = v.json("slot", "list")["items"]
    v.new = Identity("p256", secrets=secrets)
    v.new_file = v.write("kube", as_yaml(config(v.new)))
    v.next_policy = v.write("next.yaml", """
apiVersion: certvault/v1
kind: Policy
metadata: {name: next, version: 2}
rules:
- {name: all, effect: permit, subjects: {users: ["*"]}, actions: ["*"]}
""")
    v.template = os.path.join(v.home, "template")
    shutil.copytree(v.folder, v.template)
    return v


def restore(v):
    shutil.rmtree(v.folder)
    shutil.copytree(v.template, v.folder)
    shutil.copy(os.path.join(v.home, "kube.orig"), v.new_file)


CHANGES = {
    "import": lambda v: ("import", v.new_file, "--name", "c", "--exportable"),
    "shred": lambda v: ("import", v.new_file, "--name", "c", "--exportable",
                        "--shred", "--yes"),
    "export": lambda v: ("export", "a", "--reason", "x", "--output",
                         os.path.join(v.home, "out.yaml")),
    "rm": lambda v: ("rm", "a", "--yes"),
    "slot-add": lambda v: ("slot", "add", "file:" + os.path.join(
        v.home, "third.key")),
    "slot-remove": lambda v: ("slot", "remove", v.slots[1]["id"], "--yes"),
    "slot-change": lambda v: ("slot", "change", v.slots[1]["id"], "--key",
                              "file:" + os.path.join(v.home, "fourth.key")),
    "policy-apply": lambda v: ("policy", "apply", v.next_policy),
    "label": lambda v: ("label", "a", "k=v"),
}


def dump(v):
    """What the database holds, logically."""
    db = sqlite3.connect(f"file:{v.path('vault.db')}?mode=ro", uri=True)
    try:
        assert db.execute("pragma integrity_check").fetchone()[0] == "ok"
        return list(db.iterdump())
    finally:
        db.close()


def check_recovery(v, change, where):
    """What must hold after a kill, whenever it came."""
    said = v("list", "-o", "json")
    assert said.code == 0, (where, said)
    names = sorted(e["name"] for e in said.json["items"])
    allowed = {"import": (["a", "b"], ["a", "b", "c"]),
               "shred": (["a", "b"], ["a", "b", "c"]),
               "rm": (["a", "b"], ["b"])}.get(change, (["a", "b"],))
    assert names in allowed, (where, names)
    assert all(e["state"] == "ready" for e in said.json["items"]), where
    # Every key that is there opens, and is the one it was.
    spki = {e["name"]: e["key"]["spki_sha256"] for e in said.json["items"]}
    for name in names:
        done = v("export", name, "--reason", "after", secret=True)
        assert done.code == 0, (where, name, done)
        wanted = v.new if name == "c" else v.identities[name]
        assert spki[name] == wanted.spki, where
    # Not lost: in the vault, or still in the file.
    with open(v.new_file, "rb") as f:
        in_file = b"client-key-data" in f.read()
    assert in_file or "c" in names, where
    slots = v.json("slot", "list")["items"]
    assert 1 <= len(slots) <= 3, (where, slots)
    report = v.verify()
    assert report["ok"] and report["tail"] == "clean", (where, report)
    # A second recovery finds nothing to do.
    before = dump(v)
    v("list", code=0)
    assert dump(v) == before, where
    left = [n for n in os.listdir(v.folder)
            if n.startswith(".") or n.endswith((".tmp", ".new"))]
    assert not left, (where, left)
    plain = [f for f in v.secrets.found_below(v.home)
             if not f.startswith((v.new_file, os.path.join(v.home, "kube.orig"),
                                  v.key_file, v.second, os.path.join(
                                      v.home, "out.yaml")))]
    assert not plain, (where, plain)
    assert not [n for n in os.listdir(v.home) if n.startswith((".kube",
                                                               "kube."))
                and n != "kube.orig"], where
    return names, slots, said.json["items"][0]["labels"], \
        v("policy", "show", code=0).out


def points(v, change, tmp_path):
    """(system call, n) for each that the change makes on a file."""
    out = str(tmp_path / "count")
    v.wrap = straced.command(out, straced.available())
    try:
        done = v(*CHANGES[change](v), secret=True)
    finally:
        v.wrap = []
    assert done.code == 0, done
    with open(out, encoding="ascii") as f:
        calls = straced.parse(f.read())
    return sorted({(c.name, c.nth) for c in straced.files_only(calls, v.home)})


@pytest.mark.parametrize("change", CHANGES)
def test_killed_anywhere(prepared, change, tmp_path):
    v = prepared
    shutil.copy(v.new_file, os.path.join(v.home, "kube.orig"))
    rng = harness.seeded()
    everything = points(v, change, tmp_path)
    assert len(everything) >= 5, everything
    chosen = everything if harness.FULL else \
        sorted(rng.sample(everything, min(SAMPLE, len(everything))))
    restore(v)
    before = check_recovery(v, change, "before")
    undone = 0
    for call, nth in chosen:
        restore(v)
        for extra in ("out.yaml", "third.key", "fourth.key"):
            path = os.path.join(v.home, extra)
            if os.path.exists(path):
                os.unlink(path)
        straced.killed_run(v, call, nth, *CHANGES[change](v))
        left = harness.wait_for_none()
        assert not left, (call, nth, left)
        undone += before == check_recovery(
            v, change, f"{change} killed at {call} #{nth}")
    print(f"{len(chosen)} kills of {len(everything)}, {undone} left it undone")
    if harness.FULL:
        assert undone
        assert change == "export" or undone < len(chosen)


@pytest.mark.parametrize("change", ["import", "rm"])
def test_killed_in_the_recovery_too(prepared, change, tmp_path):
    """Twice in a row, the second time while it recovers."""
    v = prepared
    shutil.copy(v.new_file, os.path.join(v.home, "kube.orig"))
    rng = harness.seeded()
    everything = points(v, change, tmp_path)
    for _ in range(40 if harness.FULL else 2):
        restore(v)
        first, second = rng.choice(everything), rng.choice(everything)
        straced.killed_run(v, *first, *CHANGES[change](v))
        harness.wait_for_none()
        straced.killed_run(v, *second, "list")
        harness.wait_for_none()
        check_recovery(v, change, f"{change} killed at {first}, then {second}")


def test_the_command_line_is_killed_between_answer_and_output(prepared):
    """The release is on the record even where nobody got it."""
    v = prepared
    shutil.copy(v.new_file, os.path.join(v.home, "kube.orig"))
    straced.killed_run(v, "write", 1, *CHANGES["export"](v))
    harness.wait_for_none()
    check_recovery(v, "export", "killed at the first write")


def test_an_export_over_a_file_leaves_the_old_one_or_the_new(prepared):
    """Killed before its last step --yes has replaced nothing."""
    v = prepared
    out = os.path.join(v.home, "out.yaml")
    seen = set()
    for call in straced.available(("fsync", "linkat", "renameat")):
        for nth in (1, 2, 3):
            with open(out, "w", encoding="ascii") as f:
                f.write("the old one")
            done = straced.killed_run(v, call, nth, *CHANGES["export"](v),
                                      "--yes")
            assert not harness.wait_for_none(), (call, nth)
            with open(out, encoding="ascii") as f:
                text = f.read()
            is_old = text == "the old one"
            assert is_old or text.endswith("\n") and "client-key-data" in text
            assert not is_old or done.returncode != 0, (call, nth)
            seen.add((is_old, done.returncode == 0))
    assert (True, False) in seen and (False, True) in seen, seen
