"""A full disk: whatever cannot be written is told (74), nothing is released,
and once there is room again all is as it was."""

import ctypes
import json
import os
import shutil
import stat
import time

import pytest

import harness
import merkle
import straced
from harness import IO
from kube import Identity, as_yaml, config
from wire import Broker

CLONE_NEWNS, MS_REC, MS_PRIVATE = 0x20000, 0x4000, 0x40000


@pytest.fixture(scope="module")
def mounts():
    """A mount namespace of our own (root only)."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS) or libc.mount(b"none", b"/", None,
                                               MS_REC | MS_PRIVATE, None):
        pytest.skip("no mount namespace here (needs root)")
    return libc


@pytest.fixture
def small(mounts, release_vault, secrets):
    """A vault on a tmpfs of 2 MiB, with two entries."""
    v = release_vault
    v.policy(harness.MAY_EXPORT)
    for name in ("a", "b"):
        v.add(as_yaml(config(Identity("p256", secrets=secrets))), name,
              "--exportable")
    v.new_text = as_yaml(config(Identity("p256", secrets=secrets)))
    aside = v.folder + ".aside"
    os.rename(v.folder, aside)
    os.mkdir(v.folder, 0o700)
    if mounts.mount(b"none", v.folder.encode(), b"tmpfs", 0,
                    b"size=2m,mode=0700"):
        pytest.skip("no tmpfs here")
    shutil.copytree(aside, v.folder, dirs_exist_ok=True)
    v.mounts = mounts
    yield v
    mounts.umount2(v.folder.encode(), 2)


def fill(v, leave):
    """A file that leaves that many pages of 4 KiB."""
    free = os.statvfs(v.folder).f_bavail
    path = v.path("filler")
    with open(path, "wb") as f:
        f.write(b"\0" * 4096 * max(0, free - leave))
    return path


def test_no_room_at_all(small):
    """Not even for what the store shares in memory: it says what to do."""
    full = fill(small, 0)
    for command in (["list"], ["export", "a", "--reason", "x", "--output",
                               os.path.join(small.home, "out")],
                    ["rm", "a", "--yes"]):
        error = small.error(IO, *command)
        assert "full" in error["message"], error
        assert "make room" in error["hint"], error
    assert not os.path.exists(os.path.join(small.home, "out"))
    os.unlink(full)
    assert small.names() == ["a", "b"]


COMMANDS = {
    "export": lambda v: (("export", "a", "--reason", "x"), None),
    "import": lambda v: (("import", "-", "--name", "c"), v.new_text),
    "label": lambda v: (("label", "a", "k=v"), None),
    "rm": lambda v: (("rm", "a", "--yes"), None),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_few_pages_left(small, name):
    v = small
    args, text = COMMANDS[name](v)
    codes = []
    for leave in (0, 1, 2, 4, 8) if not harness.FULL else range(40):
        filler = fill(v, leave)
        before = v("list", "-o", "json")
        done = v(*args, input=text, secret=True)
        codes.append(done.code)
        assert done.code in (0, IO), (leave, done)
        if done.code == IO:
            assert not done.out, (leave, done)
        os.unlink(filler)
        assert v.verify()["ok"]
        names = v.names()
        if done.code == 0:
            break
        assert names == ["a", "b"], (leave, names)
        assert before.code in (0, IO)
    assert IO in codes, "the disk was never full"
    if 0 not in codes:
        v(*args, input=text, secret=True, code=0)
    for entry in v.names():
        if entry != "c":
            v("export", entry, "--reason", "after", code=0, secret=True)


@pytest.mark.parametrize("flag", ["--output", "--receipt"])
def test_nothing_is_released_for_a_file_that_cannot_be_made(
        mounts, vault, secrets, flag):
    """A key that left and was put nowhere would have left all the same."""
    vault.policy(harness.MAY_EXPORT)
    vault.add(as_yaml(config(Identity("p256", secrets=secrets))), "a",
              "--exportable")
    shut = os.path.join(vault.home, "shut")
    os.mkdir(shut)
    if mounts.mount(b"none", shut.encode(), b"tmpfs", 1, b"mode=0700"):
        pytest.skip("no tmpfs here")             # 1: MS_RDONLY
    try:
        error = vault.error(IO, "export", "a", "--reason", "x", flag,
                            os.path.join(shut, "out"))
    finally:
        mounts.umount2(shut.encode(), 2)
    assert "cannot be made: Read-only" in error["message"], error
    assert error["state"] == "nothing was asked for, nothing was written"
    assert "folder" in error["hint"], error
    assert not vault.records("--action", "export")


def test_a_file_stays_where_there_is_no_room_for_the_new_one(mounts, vault,
                                                             secrets):
    """--yes replaces it once the new one is whole, and not before."""
    vault.policy(harness.MAY_EXPORT)
    vault.add(as_yaml(config(Identity("p256", secrets=secrets))), "a",
              "--exportable")
    folder = os.path.join(vault.home, "narrow")
    path, filler = (os.path.join(folder, n) for n in ("out", "filler"))
    export = ("export", "a", "--reason", "x", "--output", path, "--yes")
    os.mkdir(folder)
    if mounts.mount(b"none", folder.encode(), b"tmpfs", 0,
                    b"size=64k,mode=0700"):
        pytest.skip("no tmpfs here")
    try:
        with open(path, "w", encoding="ascii") as f:
            f.write("the old one")
        with open(filler, "wb") as f:
            f.write(b"\0" * 4096 * os.statvfs(folder).f_bavail)
        error = vault.error(IO, *export)
        assert "the release stands in the record" in error["state"], error
        with open(path, encoding="ascii") as f:
            assert f.read() == "the old one"
        assert sorted(os.listdir(folder)) == ["filler", "out"]
        os.unlink(filler)
        vault(*export, code=0)
        with open(path, encoding="ascii") as f:
            assert "client-key-data" in f.read()
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
        assert os.listdir(folder) == ["out"]
    finally:
        mounts.umount2(folder.encode(), 2)


@pytest.fixture
def roomy(mounts, vault, secrets):
    """A service whose vault is on a tmpfs of 24 MiB: a quarter is reserved."""
    v = vault
    v.policy(harness.MAY_EXPORT)
    v.add(as_yaml(config(Identity("p256", secrets=secrets))), "a",
          "--exportable")
    aside = v.folder + ".aside"
    os.rename(v.folder, aside)
    os.mkdir(v.folder, 0o700)
    if mounts.mount(b"none", v.folder.encode(), b"tmpfs", 0,
                    b"size=24m,mode=0700"):
        pytest.skip("no tmpfs here")
    shutil.copytree(aside, v.folder, dirs_exist_ok=True)
    v.broker = Broker(v, "--key-file", v.key_file)
    v.to = ("--broker", "unix:" + v.broker.path)
    yield v
    v.broker.end()
    mounts.umount2(v.folder.encode(), 2)
    os.rmdir(v.folder)
    os.rename(aside, v.folder)


def reserve(v):
    return os.path.getsize(v.path("audit/reserve"))


def test_h87_releases_fit_into_the_reserve(roomy):
    """A full disk: what is released is recorded, decision and outcome, in room
    that was kept for it; denials and reads get none of it."""
    v = roomy
    v(*v.to, "list", code=0)
    whole = reserve(v)
    assert (4 << 20) < whole <= (6 << 20), whole
    filler = fill(v, 0)
    # Zeros that were written ahead are used up first.
    for _ in range(400):
        v(*v.to, "export", "a", "--reason", "x", code=0, secret=True)
        if reserve(v) < whole:
            break
    seen = [reserve(v)]
    assert seen[0] < whole
    before = len(merkle.read_log(v.path("audit/log")))
    for _ in range(10):
        v(*v.to, "export", "a", "--reason", "released", code=0, secret=True)
        # A step is what a commit needs, in whole blocks.
        assert seen[-1] - 8 * 4096 <= reserve(v) <= seen[-1]
        seen.append(reserve(v))
    assert seen[-1] < seen[0]
    codes = []
    for _ in range(30):
        codes.append(v(*v.to, "export", "a").code)
        v(*v.to, "list")
    assert set(codes) <= {IO, harness.DENIED} and IO in codes, codes
    assert reserve(v) == seen[-1]
    records = [json.loads(r) for r in
               merkle.read_log(v.path("audit/log"))[before:]]
    permits = {r["op"] for r in records if r.get("reason") == "released" and
               r.get("decision") == "permit"}
    outcomes = {r["op"] for r in records if r["phase"] == "outcome"}
    assert len(permits) == 10 and permits <= outcomes
    os.unlink(filler)
    end = time.monotonic() + 60
    while reserve(v) < whole - 8 * 4096:
        assert time.monotonic() < end, "the reserve is not made again"
        time.sleep(0.2)
    v(*v.to, "export", "a", code=harness.DENIED)
    v(*v.to, "list", code=0)
    assert v.verify()["ok"]


def until_full(v, *args):
    """Asks until the disk has no room for the record of that."""
    for _ in range(400):
        if v(*v.to, *args).code == IO:
            return
    assert False, "the disk was never full"


def test_outcomes_wait_for_their_decisions(roomy):
    """A read that was permitted and failed waits with its outcome while the
    disk is full: what is released meanwhile takes neither along alone."""
    v = roomy
    v(*v.to, "list", code=0)
    whole = reserve(v)
    filler = fill(v, 0)
    # It is decided, and fails because what waits cannot be written.
    until_full(v, "audit", "query", "--limit", "1")
    v(*v.to, "export", "a", "--reason", "x", code=0, secret=True)
    assert reserve(v) < whole
    assert v.verify()["ok"]
    os.unlink(filler)
    v(*v.to, "list", code=0)
    v(*v.to, "export", "a", "--reason", "x", code=0, secret=True)
    records = [json.loads(r) for r in merkle.read_log(v.path("audit/log"))]
    failed = [r["op"] for r in records if r["action"] == "audit.read" and
              r["phase"] == "outcome"]
    assert len(failed) == 1
    assert [r["phase"] for r in records if r["op"] == failed[0]] == [
        "decision", "outcome"]
    assert v.verify()["ok"]


def test_no_reads_while_full(roomy):
    """While the disk is full nothing is read, because it could not be
    recorded; asking the record is no other."""
    v = roomy
    v(*v.to, "list", code=0)
    filler = fill(v, 0)
    until_full(v, "export", "a")
    for args in (("list",), ("show", "a"), ("audit", "query"), ("list",)):
        done = v(*v.to, *args)
        assert done.code == IO and not done.out, (args, done)
        assert b"disk is full" in done.err, (args, done)
    done = v(*v.to, "label", "a", "k=v", code=IO)
    assert b"cannot write the store" in done.err, done
    assert b"nothing was changed" in done.err, done
    v(*v.to, "export", "a", "--reason", "x", code=0, secret=True)
    os.unlink(filler)
    for args in (("list",), ("show", "a"), ("audit", "query")):
        v(*v.to, *args, code=0)
    assert v.verify()["ok"]


def points(v, name, tmp_path):
    args, text = COMMANDS[name](v)
    out = str(tmp_path / "count")
    v.wrap = straced.command(out, straced.available())
    try:
        v(*args, input=text, secret=True, code=0)
    finally:
        v.wrap = []
    with open(out, encoding="ascii") as f:
        calls = straced.parse(f.read())
    return sorted({(c.name, c.nth)
                   for c in straced.files_only(calls, v.folder)
                   if c.name not in ("unlink", "unlinkat")
                   and "/vault.db-shm" not in c.path})


@pytest.mark.parametrize("error", ["ENOSPC", "EIO"])
@pytest.mark.parametrize("name", COMMANDS)
def test_each_write_fails_once(release_vault, secrets, name, error, tmp_path):
    """One write, sync or rename after the other fails; the answer is 74, or the
    thing was done; never a release without its record."""
    v = release_vault
    if not harness.have_strace():
        pytest.skip("strace is not to be used here")
    v.policy(harness.MAY_EXPORT)
    for entry in ("a", "b"):
        v.add(as_yaml(config(Identity("p256", secrets=secrets))), entry,
              "--exportable")
    v.new_text = as_yaml(config(Identity("p256", secrets=secrets)))
    template = v.folder + ".template"
    shutil.copytree(v.folder, template)
    rng = harness.seeded()
    everything = points(v, name, tmp_path)
    assert everything
    chosen = everything if harness.FULL else \
        sorted(rng.sample(everything, min(5, len(everything))))
    args, text = COMMANDS[name](v)
    for call, nth in chosen:
        shutil.rmtree(v.folder)
        shutil.copytree(template, v.folder)
        done = straced.failed_run(v, call, nth, error, *args, input=text)
        where = f"{name}: {call} #{nth} fails with {error}"
        assert not harness.wait_for_none(), where
        assert done.returncode in (0, IO), (where, done)
        released = b"client-key-data" in done.stdout
        assert released == (done.returncode == 0 and name == "export"), where
        report = v.verify()
        assert report["ok"], (where, report)
        if released:
            records = v.records("--action", "export")
            assert any(r.get("decision") == "permit" for r in records), where
        names = v.names()
        assert set(names) >= {"b"} and (name == "rm" or "a" in names), where
        for entry in names:
            if entry != "c":
                v("export", entry, "--reason", "after", code=0, secret=True)
