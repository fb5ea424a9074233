"""Whoever changes the log is found out, and nothing is released by a vault
whose log is not what it should be."""

import json
import os
import pathlib
import shutil
import sqlite3

import pytest

import harness
import merkle
from harness import INTEGRITY, IO
from kube import Identity, as_yaml, config


@pytest.fixture
def written(vault, secrets):
    vault.policy(harness.MAY_EXPORT)
    vault.add(as_yaml(config(Identity(secrets=secrets))), "a", "--exportable")
    for i in range(3):
        vault("label", "a", f"k{i}=v", code=0)
    vault.spoilt = True
    return vault


def log_of(vault):
    with open(vault.path("audit/log"), "rb") as f:
        return f.read()


def put_log(vault, data):
    with open(vault.path("audit/log"), "wb") as f:
        f.write(data)


def nothing_goes(vault, codes=(INTEGRITY,)):
    """The vault refuses to write, so it releases nothing."""
    for command in (("export", "a", "--reason", "x"), ("label", "a", "n=1")):
        done = vault(*command)
        assert done.code in codes, done
        assert not done.out


def test_each_byte_counts(written):
    """Flip one bit at a sample of places: each is found."""
    rng = harness.seeded()
    good = log_of(written)
    places = range(len(good)) if harness.FULL else \
        sorted(rng.sample(range(len(good)), 24))
    for place in places:
        bad = bytearray(good)
        bad[place] ^= 1 << rng.randrange(8)
        put_log(written, bytes(bad))
        report = written.verify(INTEGRITY)
        assert report["ok"] is False and report["errors"]
    put_log(written, good)
    written.verify()


def test_a_flipped_byte_stops_releases(written):
    good = log_of(written)
    bad = bytearray(good)
    bad[len(bad) // 2] ^= 1
    put_log(written, bytes(bad))
    nothing_goes(written)
    put_log(written, good)
    written("export", "a", "--reason", "x", code=0, secret=True)


def rewritten(records):
    return b"".join(merkle.frame(r) for r in records)


def changes():
    def drop(r):
        return r[:3] + r[4:]

    def swap(r):
        return [r[0], r[2], r[1], *r[3:]]

    def double(r):
        return [*r[:3], r[2], *r[3:]]

    def other(r):
        v = json.loads(r[2])
        v["action"] = "list" if v["action"] != "list" else "show"
        raw = json.dumps(v, sort_keys=True, separators=(",", ":")).encode()
        return [*r[:2], raw, *r[3:]]

    def cut(r):
        return r[:-1]

    def last(r):
        v = json.loads(r[-1])
        v["time"] = "2001-01-01T00:00:00Z"
        return [*r[:-1], json.dumps(v, sort_keys=True,
                                    separators=(",", ":")).encode()]

    def more(r):
        v = json.loads(r[-1])
        v["seq"] += 1
        return [*r, json.dumps(v, sort_keys=True,
                               separators=(",", ":")).encode()]

    def blanks(r):
        return [*r[:2], json.dumps(json.loads(r[2])).encode(), *r[3:]]

    return [drop, swap, double, other, cut, last, more, blanks]


@pytest.mark.parametrize("change", changes(), ids=lambda c: c.__name__)
def test_records_that_are_rewritten_with_good_frames(written, change):
    records = [r for _, r in merkle.frames(log_of(written))[0]]
    put_log(written, rewritten(change(records)))
    report = written.verify(INTEGRITY)
    assert report["errors"]
    nothing_goes(written)


def test_h70_cut_to_an_older_checkpoint(written):
    """Undetectable without an anchor: both outcomes, told."""
    kept = written.write("kept", written("audit", "checkpoint", code=0).out)
    older = written.path("older")
    shutil.copytree(written.path("audit"), older)
    written("label", "a", "later=1", code=0)
    newer = written.write("newer", written("audit", "checkpoint", code=0).out)
    shutil.rmtree(written.path("audit"))
    os.rename(older, written.path("audit"))
    assert written.json("audit", "verify", "--checkpoint", kept)["ok"]
    written("audit", "verify", "--checkpoint", newer, code=INTEGRITY)


def test_cut_to_an_older_state_beside_a_kept_checkpoint(written):
    """All of it is of one earlier time but the checkpoints that were kept."""
    older = written.path("older")
    shutil.copytree(written.path("audit"), older)
    os.utime(written.path("audit/checkpoints"), (1, 1))
    written("label", "a", "later=1", code=0)
    with open(written.path("audit/checkpoints"), "rb") as f:
        kept = f.read()
    assert written.verify()["ok"]
    shutil.rmtree(written.path("audit"))
    os.rename(older, written.path("audit"))
    assert written.verify()["ok"]
    with open(written.path("audit/checkpoints"), "r+b") as f:
        assert kept.startswith(f.read()) and f.tell() < len(kept)
        f.seek(0)
        f.write(kept)
    (error,) = written.verify(INTEGRITY)["errors"]
    assert error["what"] == "kept"
    assert "shorter than a checkpoint" in error["message"]
    # Grown again, with other records: another root at that size.
    with open(written.path("audit/checkpoints"), "wb") as f:
        f.write(kept.replace(b"\\n\\n", b"\\n\\nX"))   # by nobody: passed over
    for n in range(6):
        written("label", "a", f"other={n}", code=0)
    report = written.verify()
    assert report["ok"] and [n["what"] for n in report["notes"]] == ["kept"]
    with open(written.path("audit/checkpoints"), "wb") as f:
        f.write(kept)
    (error,) = written.verify(INTEGRITY)["errors"]
    assert error["what"] == "kept" and "not the one" in error["message"]


def test_garbage_behind_the_log(written):
    put_log(written, log_of(written) + b"garbage that is no frame at all")
    written.verify(INTEGRITY)
    nothing_goes(written)


@pytest.mark.parametrize("tail", ["short", "zeros", "head"])
def test_a_torn_tail_is_no_tampering(written, tail):
    """The rest of a write that was cut off is told, dropped, and told again in
    the log itself."""
    good = log_of(written)
    frame = merkle.frame(b'{"v":1,"seq":999}' + b" " * 2000)
    torn = {"short": frame[:-7], "head": frame[:5],
            "zeros": frame[:600] + bytes(len(frame) - 600)}[tail]
    if tail == "zeros":
        # Zero from a 512-byte boundary of the file on.
        keep = 512 - len(good) % 512
        torn = frame[:keep] + bytes(len(frame) - keep)
    put_log(written, good + torn)
    report = written.verify(0)
    assert report["ok"] and report["tail"] == "torn"
    assert log_of(written) == good + torn           # verify repairs nothing
    done = written("label", "a", "after=1", code=0)
    assert done.code == 0
    assert log_of(written).startswith(good)
    report = written.verify()
    assert report["tail"] == "clean"
    events = [r for r in written.records() if r["action"] == "log"]
    assert events and events[-1]["details"]["torn_bytes"] == len(torn)


def test_a_torn_tail_that_a_checkpoint_covers_is_tampering(written):
    good = log_of(written)
    put_log(written, good[:-3])
    written.verify(INTEGRITY)
    nothing_goes(written)


def half_of_the_records(path):
    """A broker that stays keeps zeros behind them, which nobody misses."""
    with open(path, "rb") as f:
        _, end = merkle.frames(f.read())
    os.truncate(path, end // 2)


LOSSES = {
    "unlinked": lambda p: os.unlink(p),
    "renamed": lambda p: os.rename(p, p + ".old"),
    "empty": lambda p: os.truncate(p, 0),
    "half": half_of_the_records,
    "fifo": lambda p: (os.unlink(p), os.mkfifo(p, 0o600)),
    "folder": lambda p: (os.unlink(p), os.mkdir(p, 0o700)),
    "null": lambda p: (os.unlink(p), os.symlink("/dev/null", p)),
    "copy": lambda p: (shutil.copy(p, p + ".x"), os.rename(p + ".x", p)),
    "mode": lambda p: os.chmod(p, 0o644),
    "second-name": lambda p: os.link(p, p + ".second"),
}


@pytest.mark.parametrize("how", LOSSES)
def test_the_file_is_not_what_it_was(written, how):
    LOSSES[how](written.path("audit/log"))
    if how == "copy":
        # The same bytes in another file are the log, if it is ours alone.
        os.chmod(written.path("audit/log"), 0o600)
        written("export", "a", "--reason", "x", code=0, secret=True)
        return
    nothing_goes(written, (INTEGRITY, IO, harness.CONFIG))


@pytest.mark.parametrize("how", ["unlinked", "renamed", "half", "empty"])
def test_it_changes_while_a_broker_is_running(written, how):
    """The open file still takes writes; nothing may be released all the
    same."""
    socket = os.path.join(written.home, "run", "b.sock")
    import subprocess
    broker = subprocess.Popen(
        [harness.program("certvaultd"), "--vault", written.folder, "--socket",
         socket, "--foreground", "--key-file", written.key_file],
        env=written.env(), stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True)
    try:
        import time
        end = time.monotonic() + 60
        while not os.path.exists(socket) and time.monotonic() < end:
            time.sleep(0.02)
        to = ("--broker", "unix:" + socket)
        written(*to, "export", "a", "--reason", "x", code=0, secret=True)
        LOSSES[how](written.path("audit/log"))
        for _ in range(2):
            done = written(*to, "export", "a", "--reason", "x")
            assert done.code in (IO, INTEGRITY), done
            assert not done.out
    finally:
        broker.terminate()
        broker.wait(60)


def test_state_files_that_lie(written):
    for name in ("checkpoint", "state"):
        path = written.path("audit/" + name)
        if not os.path.exists(path):
            continue
        with open(path, "rb") as f:
            good = f.read()
        bad = bytearray(good)
        bad[len(bad) // 2] ^= 1
        with open(path, "wb") as f:
            f.write(bytes(bad))
        written.verify(INTEGRITY)
        with open(path, "wb") as f:
            f.write(good)
        written.verify()


def test_many_random_changes(written):
    """Flip, drop, swap, insert, cut: all are found."""
    rng = harness.seeded()
    good = log_of(written)
    for _ in range(1000 if harness.FULL else 20):
        bad = bytearray(good)
        kind = rng.choice(["flip", "drop", "insert", "swap", "cut"])
        at = rng.randrange(len(bad) - 8)
        if kind == "flip":
            bad[at] ^= 1 << rng.randrange(8)
        elif kind == "drop":
            del bad[at:at + rng.randint(1, 8)]
        elif kind == "insert":
            bad[at:at] = rng.randbytes(rng.randint(1, 8))
        elif kind == "swap":
            bad[at], bad[at + 1] = bad[at + 1], bad[at]
        else:
            del bad[at:]
        if bytes(bad) == good:
            continue
        put_log(written, bytes(bad))
        done = written("audit", "verify")
        assert done.code == INTEGRITY, (kind, at, done)
    put_log(written, good)


@pytest.mark.parametrize("what", ["tile/0/000.p", "tile/entries/000.p",
                                  "index.db"])
def test_what_is_derived_is_held_against_the_log(written, what):
    """Spoilt by hand: 70, the log itself being whole, and rebuilt."""
    written("audit", "query", "--entry", "a", code=0)
    written("audit", "rebuild", code=0)
    assert written.verify()["tiles"] > 0
    path = written.path("audit/" + what)
    if what == "index.db":
        db = sqlite3.connect(path)
        assert db.execute("update word set seq = seq + 1 "
                          "where id = 2").rowcount == 1
        db.commit()
        db.close()
    else:
        (name,) = os.listdir(path)
        path = os.path.join(path, name)
        with open(path, "r+b") as f:
            f.seek(40)
            byte = f.read(1)
            f.seek(40)
            f.write(bytes([byte[0] ^ 1]))
    report = written.verify(INTEGRITY)
    (error,) = report["errors"]
    assert error["what"] == ("index" if what == "index.db" else "tiles")
    error = written.error(INTEGRITY, "audit", "verify")
    assert "audit rebuild" in error["hint"]
    written("audit", "rebuild", code=0)
    assert written.verify()["ok"]


def cut_off(vault, n):
    """The last `n` records go, whole, and all that shows that they were."""
    leaves = merkle.read_log(vault.path("audit/log"))
    put_log(vault, b"".join(merkle.frame(x) for x in leaves[:-n]))
    for name in ("checkpoint", "checkpoints", "tiles", "tiles.last", "state",
                 "tile", "index"):
        path = vault.path("audit/" + name)
        if os.path.isdir(path):
            shutil.rmtree(path)
        elif os.path.exists(path):
            os.unlink(path)
    return len(leaves) - n


def missing(vault):
    return [r["details"] for r in vault.records()
            if r["action"] == "log" and "missing" in r["details"]]


def test_a_checkpoint_that_is_gone_is_told(written):
    """Nothing in the folder tells any more how far the log once went."""
    assert "warning" not in written.json("audit", "status")
    size = cut_off(written, 3)
    done = written("-o", "json", "audit", "verify", code=0)
    report = done.json
    assert report["checkpoint"] == "missing" and report["size"] == size
    note, = [n for n in report["notes"] if n["what"] == "checkpoint"]
    assert "could have been cut off" in note["message"]
    assert b"warning: the last checkpoint is missing" in done.err
    # Who opens it says so in the log, before another is signed, and once.
    said = written.json("audit", "status")
    assert said["checkpoint"] is None
    assert "checkpoint is missing" in said["warning"]
    assert missing(written) == [{"missing": "checkpoint", "size": size}]
    report = written.verify()
    assert report["checkpoint"] == "valid" and report["notes"] == []
    assert "warning" not in written.json("audit", "status")
    written("label", "a", "after=1", code=0)
    assert len(missing(written)) == 1


def test_doctor_tells_of_a_checkpoint_that_is_gone(written):
    cut_off(written, 3)
    text = written("doctor").text
    assert "the last checkpoint is missing" in text
    assert "the last checkpoint is missing" not in written("doctor").text


def test_kept_checkpoints_that_nobody_signed_are_told(written):
    """Root, size, all of it: nothing of it is believed, and that is said."""
    path = written.path("audit/checkpoints")
    with open(path, "rb") as f:
        kept = f.read()
    assert written.verify()["notes"] == []
    size = kept.split(b"\\n")[1]
    for bad in (kept.replace(b"\\n" + size + b"\\n", b"\\n1000\\n", 1),
                kept.replace(b"\\n" + size + b"\\n", b"\\n" + size + b"\\nX", 1),
                b"zz", b"zz\n", kept + b"\0" * 40):
        assert bad != kept
        with open(path, "wb") as f:
            f.write(bad)
        report = written.verify()
        note, = report["notes"]
        assert report["ok"] and note["what"] == "kept"
        assert note["message"].startswith("1 of the lines")


def test_the_log_of_another_vault(written, secrets, tmp_path):
    """Whole, and signed, by another key: the store beside it names its own."""
    folder = tmp_path / "other"
    folder.mkdir()
    other = harness.Vault(str(folder), secrets)
    alone = tmp_path / "alone"
    shutil.copytree(other.path("audit"), alone / "audit")
    alone.chmod(0o700)
    assert written("--vault", str(alone), "audit", "verify").code == 0
    shutil.rmtree(written.path("audit"))
    shutil.copytree(other.path("audit"), written.path("audit"))
    fault, = written.verify(INTEGRITY)["errors"]
    assert fault["what"] == "key" and "two different vaults" in fault["message"]
    nothing_goes(written)


def test_a_store_behind_by_a_change_of_keys(written):
    """The key that the log had before is no other vault's."""
    with open(written.path("vault.db"), "rb") as f:
        before = f.read()
    written("audit", "key", "rotate", code=0)
    assert written.verify()["ok"]
    with open(written.path("vault.db"), "wb") as f:
        f.write(before)
    assert written.verify()["ok"]


def test_a_change_of_keys_is_not_undone(written):
    """Who has the key that was given up can make the log's folder look as if
    the change were under way, and sign in its place: vault.db knows better."""
    names = ("key.pub", "log.key", "checkpoint")
    before = {name: pathlib.Path(written.path("audit/" + name)).read_bytes()
              for name in names}
    written("audit", "key", "rotate", code=0)
    os.rename(written.path("audit/log.key"), written.path("audit/log.key.next"))
    for name in names:
        written.write("vault/audit/" + name, before[name])
    fault, = written.verify(INTEGRITY)["errors"]
    assert fault["what"] == "key" and "two different vaults" in fault["message"]
    nothing_goes(written)


def test_a_key_that_is_gone(written):
    """With it goes what would show whose log it is."""
    cut_off(written, 1)
    os.unlink(written.path("audit/key.pub"))
    fault, = written.verify(INTEGRITY)["errors"]
    assert fault["what"] == "key" and "audit/key.pub" in fault["message"]


@pytest.mark.parametrize("name", ["log", "checkpoint", "key.pub"])
@pytest.mark.parametrize("kind", ["link", "fifo"])
def test_what_is_no_file(written, kind, name):
    """A finding, with its report, and nothing hangs."""
    path = written.path("audit/" + name)
    os.rename(path, path + ".aside")
    if kind == "link":
        os.symlink(name + ".aside", path)
    else:
        os.mkfifo(path, 0o600)
    report = written.verify(INTEGRITY)
    assert name.split(".")[0] in [e["what"] for e in report["errors"]]
    os.unlink(path)
    os.rename(path + ".aside", path)
    assert written.verify()["ok"]


@pytest.mark.parametrize("extra", ["0/009", "entries/009", "entries/000.p/255",
                                   "0/x001/002", "3/000.p/1"])
def test_tiles_of_records_that_are_not_there(written, extra):
    """What a crash leaves is of records that are in the log."""
    tile = written.path("audit/tile")
    old, = os.listdir(os.path.join(tile, "0", "000.p"))
    left = os.path.join(tile, "0", "000.p", str(int(old) - 1))
    with open(left, "wb") as f:
        f.write(b"")                  # a power failure leaves it so
    os.chmod(left, 0o600)
    assert written.verify()["ok"]
    path = os.path.join(tile, extra)
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    with open(path, "wb") as f:
        f.write(b"garbage")
    os.chmod(path, 0o600)
    fault, = written.verify(INTEGRITY)["errors"]
    assert fault["what"] == "tiles"
    assert fault["message"].startswith(f"audit/tile/{extra}: ")
    written("audit", "rebuild", code=0)
    assert written.verify()["ok"]


def test_tiles_of_which_nothing_is_said(written):
    """What lies there is held against the log, with or without the files that
    say how far the tiles go; that there are none is told."""
    assert written.verify()["notes"] == []
    for name in ("tiles", "tiles.last"):
        os.unlink(written.path("audit/" + name))
    note, = written.verify()["notes"]
    assert note["what"] == "tiles" and "audit rebuild" in note["message"]
    folder = written.path("audit/tile/entries/000.p")
    name, = os.listdir(folder)
    tile = os.path.join(folder, name)
    with open(tile, "rb") as f:
        good = f.read()
    with open(tile, "wb") as f:
        f.write(good.replace(b"k1=v", b"k1=x").replace(b"import", b"exporT"))
    error, = written.verify(INTEGRITY)["errors"]
    assert error["what"] == "tiles"
    assert error["message"].startswith(f"audit/tile/entries/000.p/{name}: ")
    assert "audit rebuild" in written.error(INTEGRITY, "audit", "verify")["hint"]
    written("audit", "rebuild", code=0)
    assert written.verify()["notes"] == []


def test_a_tile_that_others_may_read_was_not_changed(written):
    folder = written.path("audit/tile/0/000.p")
    name, = os.listdir(folder)
    os.chmod(os.path.join(folder, name), 0o644)
    report = written.verify()
    note, = report["notes"]
    assert report["ok"] and "open to other users" in note["message"]


@pytest.mark.skipif(os.getuid() != 0, reason="needs root: another user")
def test_another_users_vault_as_root_only(written):
    """Not that there is none: that it is not theirs to look at."""
    written.wrap = ["setpriv", "--reuid", "2", "--regid", "2", "--clear-groups"]
    error = written.error(IO, "--vault", written.folder, "audit", "verify")
    assert "Permission denied" in error["message"]
    assert "no vault" not in error["message"]
    written.wrap = []
