"""Killed at any write, sync, rename of backup, restore and destroy; the disk
full; each write failing once: the target is whole or not there, and what was
there before is there still.

CI takes a sample; --full all (see test_crash.py)."""

import os
import shutil
import sqlite3

import pytest

import harness
import straced
from harness import IO, NOT_FOUND
from kube import Identity, as_yaml, config
from test_disk_full import fill, mounts, small  # noqa: F401 (fixtures)

SAMPLE = 6
BACKUP, RESTORE = "f.backup", "drill"


@pytest.fixture
def prepared(release_vault, secrets):
    if not harness.have_strace():
        pytest.skip("strace is not to be used here")
    v = release_vault
    v.policy(harness.MAY_EXPORT)
    for name in ("a", "b"):
        v.add(as_yaml(config(Identity("p256", secrets=secrets))), name,
              "--exportable")
    v.file = os.path.join(v.home, BACKUP)
    v("backup", v.file, code=0)
    # A copy from before, with less in it: what a restore may go over.
    v.add(as_yaml(config(Identity("p256", secrets=secrets))), "c",
          "--exportable")
    shutil.copytree(v.folder, os.path.join(v.home, "template"))
    v.later = os.path.join(v.home, "later.backup")
    v("backup", v.later, code=0)
    return v


def reset(v, folder, template="template"):
    shutil.rmtree(os.path.join(v.home, folder), ignore_errors=True)
    if template:
        shutil.copytree(os.path.join(v.home, template),
                        os.path.join(v.home, folder))


def points(v, tmp_path, *args):
    out = str(tmp_path / "count")
    v.wrap = straced.command(out, straced.available())
    try:
        v(*args, code=0)
    finally:
        v.wrap = []
    with open(out, encoding="ascii") as f:
        calls = straced.parse(f.read())
    found = sorted({(c.name, c.nth)
                    for c in straced.files_only(calls, v.home)})
    assert len(found) >= 5, found
    return found


def sample(everything, n=SAMPLE):
    rng = harness.seeded()
    return everything if harness.FULL else \
        sorted(rng.sample(everything, min(n, len(everything))))


def is_whole(v, path):
    """By its own digest, by the reader, and as a vault that works."""
    o = harness.Vault(v.home, v.secrets, build=v.build, init=False)
    o.folder = os.path.join(v.home, "proof")
    o.extra["CERTVAULT_DIR"] = o.folder
    shutil.rmtree(o.folder, ignore_errors=True)
    o("restore", path, "--yes", code=0)
    works(o)
    shutil.rmtree(o.folder)


def works(v, names=None):
    found = v.names()
    if names is not None:
        assert found in names, found
    for name in found:
        v("export", name, "--reason", "after", code=0, secret=True)
    assert v.verify()["ok"]
    left = [n for n in os.listdir(v.folder) if n.startswith("restoring") or
            n.endswith((".new", ".tmp"))]
    assert not left, left
    db = sqlite3.connect(v.path("vault.db"))
    assert db.execute("pragma integrity_check").fetchone() == ("ok",)
    db.close()
    return found


def test_a_backup_that_is_killed(prepared, tmp_path):
    v = prepared
    target = os.path.join(v.home, "t.backup")
    everything = points(v, tmp_path, "backup", target)
    there = 0
    for call, nth in sample(everything):
        for old in (False, True):
            if old:
                shutil.copy(v.file, target)
            elif os.path.exists(target):
                os.unlink(target)
            straced.killed_run(v, call, nth, "backup", target, "--yes")
            assert not harness.wait_for_none()
            where = f"{call} #{nth}, over an old one: {old}"
            beside = [n for n in os.listdir(v.home) if n.startswith(".t.")]
            # Between its two names, which --yes has it go by: whole, and under
            # the first.
            assert len(beside) <= 1, (where, beside)
            for name in beside:
                is_whole(v, os.path.join(v.home, name))
                os.unlink(os.path.join(v.home, name))
            there += os.path.exists(target)
            assert os.path.exists(target) or not old, where
            if os.path.exists(target):
                is_whole(v, target)
            works(v, [["a", "b", "c"]])
    print(f"{len(everything)} points; a whole file was there {there} times")


def drill(v):
    o = harness.Vault(v.home, v.secrets, build=v.build, init=False)
    o.folder = os.path.join(v.home, RESTORE)
    o.extra["CERTVAULT_DIR"] = o.folder
    return o


def test_a_restore_that_is_killed(prepared, tmp_path):
    """Into nothing: a whole vault, or none, and the next try goes through."""
    v = prepared
    o = drill(v)
    everything = points(o, tmp_path, "restore", v.file, "--yes")
    done = 0
    for call, nth in sample(everything, 10):
        reset(v, RESTORE, None)
        straced.killed_run(o, call, nth, "restore", v.file, "--yes")
        assert not harness.wait_for_none()
        where = f"killed at {call} #{nth}"
        said = o("list")
        assert said.code in (0, NOT_FOUND), (where, said)
        if said.code == 0:
            done += 1
        else:
            o("restore", v.file, "--yes", code=0)
        works(o, [["a", "b"]])
    print(f"{len(everything)} points, whole after {done}")


def test_a_restore_over_a_vault_that_is_killed(prepared, tmp_path):
    """The old one or the new one, never something between."""
    v = prepared
    everything = points(v, tmp_path, "restore", v.file, "--yes",
                        "--accept-rollback")
    seen = set()
    for call, nth in sample(everything, 10):
        reset(v, "vault")
        straced.killed_run(v, call, nth, "restore", v.file, "--yes",
                           "--accept-rollback")
        assert not harness.wait_for_none()
        found = works(v, [["a", "b"], ["a", "b", "c"]])
        seen.add(len(found))
        if len(found) == 2:             # what was given up is kept
            with open(v.path("audit.replaced-1/log"), "rb") as f:
                assert b'"entry":"c"' in f.read()
    if harness.FULL:
        assert seen == {2, 3}
    reset(v, "vault")


def test_killed_while_it_is_put_in_place_too(prepared, tmp_path):
    v = prepared
    everything = points(v, tmp_path, "restore", v.file, "--yes",
                        "--accept-rollback")
    rng = harness.seeded()
    for _ in range(60 if harness.FULL else 4):
        reset(v, "vault")
        straced.killed_run(v, *rng.choice(everything), "restore", v.file,
                           "--yes", "--accept-rollback")
        harness.wait_for_none()
        for call in ("renameat", "renameat2", "unlinkat", "fsync"):
            straced.killed_run(v, call, rng.randrange(1, 4), "list")
            harness.wait_for_none()
        works(v, [["a", "b"], ["a", "b", "c"]])
    reset(v, "vault")


def test_a_destroy_that_is_killed(prepared, tmp_path):
    v = prepared
    everything = points(v, tmp_path, "destroy", "--yes")
    for call, nth in sample(everything, 8):
        reset(v, "vault")
        straced.killed_run(v, call, nth, "destroy", "--yes")
        assert not harness.wait_for_none()
        said = v("list")
        assert said.code in (0, NOT_FOUND), (call, nth, said)
        if said.code == 0:
            works(v, [["a", "b", "c"]])
        else:
            assert sorted(os.listdir(v.folder)) == [
                "audit", "destroyed", "lock", "service"], (call, nth)
            assert not os.path.exists(v.path("audit/log.key"))
            assert v.verify()["ok"]
    reset(v, "vault")


@pytest.mark.parametrize("error", ["ENOSPC", "EIO"])
@pytest.mark.parametrize("what", ["backup", "restore"])
def test_each_write_fails_once(prepared, tmp_path, what, error):
    v, o = prepared, drill(prepared)
    target = os.path.join(v.home, "t.backup")
    who, args = (v, ("backup", target)) if what == "backup" else \
        (o, ("restore", v.file, "--yes"))
    everything = [p for p in points(who, tmp_path, *args)
                  if p[0] not in ("unlink", "unlinkat")]
    for call, nth in sample(everything, 5):
        reset(v, RESTORE, None)
        if os.path.exists(target):
            os.unlink(target)
        done = straced.failed_run(who, call, nth, error, *args)
        assert not harness.wait_for_none()
        where = (call, nth, done.returncode, done.stderr)
        assert done.returncode in (0, IO) or \
            b"runtime folder" in done.stderr, where
        if what == "backup":
            assert os.path.exists(target) or done.returncode != 0, where
            if os.path.exists(target):
                is_whole(v, target)
            works(v, [["a", "b", "c"]])
        else:
            said = o("list")
            assert said.code in (0, NOT_FOUND), (where, said)
            if said.code != 0:
                assert done.returncode != 0, where
                o("restore", v.file, "--yes", code=0)
            works(o, [["a", "b"]])


def test_full_disks(small, tmp_path):   # noqa: F811
    """No room for the copy of the store, for the file, for the restore: 74,
    nothing half there, and with room it goes on."""
    v = small
    target = os.path.join(v.home, "t.backup")
    codes = []
    for leave in (0, 4, 16, 40, 60):
        filler = fill(v, leave)
        done = v("backup", target)
        codes.append(done.code)
        os.unlink(filler)
        assert done.code in (0, IO), done
        assert os.path.exists(target) == (done.code == 0)
        works(v, [["a", "b"]])
        if done.code == 0:
            break
    assert IO in codes
    if not os.path.exists(target):
        v("backup", target, code=0)
    # Over the vault itself: the stage does not fit.
    before = v.names()
    for leave in (0, 8, 40):
        filler = fill(v, leave)
        done = v("restore", target, "--yes", "--accept-rollback")
        os.unlink(filler)
        assert done.code in (0, IO), done
        works(v, [before])
    v("restore", target, "--yes", "--accept-rollback", code=0)
    works(v, [before])
    # And the file's own disk.
    stick = os.path.join(v.home, "stick")
    os.mkdir(stick)
    if v.mounts.mount(b"none", stick.encode(), b"tmpfs", 0,
                      b"size=64k,mode=0700"):
        pytest.skip("no tmpfs here")
    try:
        done = v("backup", os.path.join(stick, "t.backup"), code=IO)
        assert "room" in done.note
        assert os.listdir(stick) == []
    finally:
        v.mounts.umount2(stick.encode(), 2)
        os.rmdir(stick)
