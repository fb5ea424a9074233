"""Backups of a vault whose old records are archived: what they say must be so,
and what the vault that is there has is not taken away unsaid."""

import base64
import datetime
import hashlib
import json
import os
import shutil

import pytest

import merkle
import wire
from harness import INTEGRITY
from test_archive import (LONG_AGO, archive, beginning, fill, forge, frontier, other,
                          records_of, spelt, text_of)
from test_backup import build, events, parse, read
from test_bundles import age


@pytest.fixture
def old(vault):
    """Three hundred records, one tile full of them."""
    fill(vault, 300)
    vault("audit", "checkpoint", code=0)
    return vault


def test_what_a_backup_says_of_archived_records_must_be_so(old, tmp_path):
    archive(old, 256, tmp_path / "log-0")
    made = str(tmp_path / "made")
    old("backup", made, code=0)
    head, found = parse(read(made))
    hashes = found["audit/archived.hashes"]
    assert head["v"] >= 2 and len(hashes) == 256 * 32
    new, bad = other(old, "new"), str(tmp_path / "bad")

    def refused(words, head, found):
        with open(bad, "wb") as f:
            f.write(build(dict(head), found))
        for how in ("--dry-run", "--yes"):
            done = new("restore", bad, how, code=INTEGRITY)
            assert words in done.note, done
            assert not os.path.exists(new.folder)

    def of(more):
        return {**found, "audit/archived.hashes": more}

    refused("hashes", head, of(hashes + b"x" * 5))
    refused("hashes", head, of(hashes + hashes[:32]))
    refused("hashes", head, of(hashes[:-32]))
    refused("hashes", head, of(hashes[:32]))
    refused("hashes", head, of(hashes[32:] + hashes[:32]))
    refused("head", head, of(b""))
    refused("head", head, {**found, "audit/archived": b""})
    # Hashes of all that the head counts, and a beginning of something else.
    said = json.loads(found["audit/archived"])
    text = json.dumps({**said, "digest": "0" * 64}, sort_keys=True,
                      separators=(",", ":")).encode() + b"\n"
    everything = b"".join(merkle.leaf(r) for r in records_of(old)[
        :head["log"]["size"] - 256])
    refused("hashes", head, {**of(hashes + everything), "audit/log": b"",
                             "audit/archived": text})
    # A record of that number is there, and does not say so.
    for seq in (said["seq"] - 1, said["seq"] - 2):
        refused("no record says", head, {**found, "audit/archived": json.dumps(
            {**said, "seq": seq}, sort_keys=True,
            separators=(",", ":")).encode() + b"\n"})
    # Nobody who has the log's key said so.
    refused("no checkpoint", head, {**found, "audit/checkpoint": b""})
    with open(bad, "wb") as f:
        f.write(build(dict(head), found))
    assert read(bad) == read(made)
    new("restore", bad, "--yes", code=0)
    new.verify()


def test_a_backup_does_not_say_itself_that_records_are_archived(old, tmp_path):
    """The hashes are the log's, the checkpoint is over all of it: and nobody
    archived anything."""
    made, bad = str(tmp_path / "made"), str(tmp_path / "bad")
    old("backup", made, code=0)
    head, found = parse(read(made))
    frames, _ = merkle.frames(found["audit/log"])
    records = [r for _, r in frames]
    offset = frames[256][0]
    found.update({
        "audit/archived": spelt({
            "digest": "0" * 64, "seq": 257, "v": 2,
            "opening": "0" * 64, "signature": "A" * 91 + "=",
            "until": json.loads(records[0])["time"],
            "frontier": frontier(records, 256, offset)}),
        "audit/archived.hashes": b"".join(
            merkle.leaf(r) for r in records[:256]),
        "audit/log": found["audit/log"][offset:]})
    with open(bad, "wb") as f:
        f.write(build(dict(head), found))
    new = other(old, "new")
    for how in ("--dry-run", "--yes"):
        done = new("restore", bad, how, code=INTEGRITY)
        assert "no record says" in done.note, done
        assert not os.path.exists(new.folder)


def test_a_backup_with_a_record_that_somebody_put_there(old, tmp_path):
    """The log's key signed a checkpoint over it, and not what it says."""
    old.spoilt = True
    made, bad = str(tmp_path / "made"), str(tmp_path / "bad")
    said, before = forge(old, 256)
    old("list", code=0)
    old("backup", made, code=0)
    head, found = parse(read(made))
    found.update({
        "audit/archived": spelt(said),
        "audit/archived.hashes": b"".join(
            merkle.leaf(r) for _, r in before[:256]),
        "audit/log": found["audit/log"][before[256][0]:]})
    with open(bad, "wb") as f:
        f.write(build(dict(head), found))
    new = other(old, "new")
    for how in ("--dry-run", "--yes"):
        done = new("restore", bad, how, code=INTEGRITY)
        assert "not signed by the log's key" in done.note, done
        assert not os.path.exists(new.folder)
    new("restore", made, "--yes", code=0)
    new.verify()


def test_archived_text_does_not_leave_a_vault_unsaid(old, tmp_path):
    """A standby that has the records still, and a backup that has not."""
    late = str(tmp_path / "late")
    standby = other(old, "standby")
    shutil.copytree(old.folder, standby.folder)
    whole = text_of(old)
    archive(old, 256, tmp_path / "log-0")
    offset = beginning(old)[1]
    old("backup", late, code=0)
    for args in (["--yes"], ["--dry-run"]):
        done = standby("restore", late, *args, code=INTEGRITY)
        assert "256 records" in done.note and "from 0 on" in done.note, done
        assert "archived" in done.note and "--accept-rollback" in done.note
    assert text_of(standby).startswith(whole[:offset])
    would = standby.json("restore", late, "--dry-run", "--accept-rollback")
    assert would["target"] == "ahead" and would["texts_lost"] == 256
    assert would["leaves_lost"] == 0
    done = standby.json("restore", late, "--yes", "--accept-rollback")
    assert done["restored"] and beginning(standby)[0] == 256
    told, = [r for r in events(standby, "Restore")
             if "lost_texts" in r["details"]]
    assert told["details"]["lost_texts"] == 256
    assert "rolled_back" not in told["details"]
    # The text is beside it still.
    assert read(standby.path("audit.replaced-1/log"))[:offset] == \
        whole[:offset]
    standby.verify()


# --- the checkpoints of earlier times ---

KEPT = "audit/checkpoints"


def before_of(vault, name):
    """The bundle of a period whose beginning a kept checkpoint is from."""
    bundle = os.path.join(vault.home, name)
    vault("audit", "prove", "--since", "2099-01-01T00:30:00Z", "--output",
          bundle, code=0)
    vault("audit", "verify", "--bundle", bundle, code=0)
    with open(os.path.join(bundle, "manifest.json"), encoding="ascii") as f:
        if not json.load(f)["before"]:
            return None
    return read(os.path.join(bundle, "checkpoint.before"))


@pytest.fixture
def years(old):
    """Checkpoints were kept, the last one from before the last period."""
    age(old)
    old("audit", "checkpoint", code=0)
    fill(old, 100, datetime.datetime(2099, 1, 1, tzinfo=datetime.timezone.utc))
    old("audit", "checkpoint", code=0)
    assert before_of(old, "own") is not None
    return old


@pytest.mark.parametrize("archived", [False, True])
def test_checkpoints_that_were_kept_come_back(years, tmp_path, archived):
    made = str(tmp_path / "made")
    if archived:
        archive(years, 256, tmp_path / "log-0")
    years("backup", made, code=0)
    head, found = parse(read(made))
    kept = read(years.path(KEPT))
    assert kept.count(b"\n") > 1 and found[KEPT] == kept
    assert head["v"] == 3
    assert (len(found["audit/archived.hashes"]) > 0) == archived
    new = other(years, "new")
    new("restore", made, "--yes", code=0)
    assert read(new.path(KEPT)).startswith(kept)
    assert new.verify()["ok"]
    assert before_of(new, "theirs") == before_of(years, "again")

    # One of a form from before: all but these.
    without = dict(found)
    del without[KEPT]
    if not archived:
        del without["audit/archived"], without["audit/archived.hashes"]
    earlier = str(tmp_path / "earlier")
    with open(earlier, "wb") as f:
        f.write(build({**head, "v": 2 if archived else 1}, without))
    older = other(years, "older")
    older("restore", earlier, "--yes", code=0)
    assert older.verify()["ok"]
    assert before_of(older, "less") is None


def test_a_backup_whose_log_was_put_back_is_refused(years, tmp_path):
    """All of it of one earlier time, but the checkpoints that were kept."""
    early, late = str(tmp_path / "early"), str(tmp_path / "late")
    years("backup", early, code=0)
    age(years)
    years("audit", "checkpoint", code=0)
    years("backup", late, code=0)
    head, found = parse(read(early))
    found[KEPT] = parse(read(late))[1][KEPT]
    bad = str(tmp_path / "bad")
    with open(bad, "wb") as f:
        f.write(build(head, found))
    new = other(years, "new")
    for how in ("--dry-run", "--yes"):
        done = new("restore", bad, how, code=INTEGRITY)
        assert "shorter than a checkpoint" in done.note, done
    assert not os.path.exists(new.folder)
    # One that nobody signed says nothing.
    lines = found[KEPT].splitlines(keepends=True)
    found[KEPT] = b"".join(lines[:-1]) + lines[-1].replace(
        b"\\n\\n\\u2014", b"\\n\\n\\u2015")
    assert found[KEPT] != b"".join(lines)
    with open(bad, "wb") as f:
        f.write(build(head, found))
    new("restore", bad, "--yes", code=0)
    new.verify()


@pytest.mark.parametrize("archived", [False, True])
def test_a_backup_of_a_log_that_went_on_twice_is_refused(old, tmp_path,
                                                         archived):
    """The log's key signed another one, of no more records than this has."""
    fork = other(old, "fork")
    shutil.copytree(old.folder, fork.folder)
    for v, days in ((fork, 9), (old, 11)):
        fill(v, 100 * days, LONG_AGO + datetime.timedelta(days=days))
        age(v)
        v("audit", "checkpoint", code=0)
    if archived:
        archive(old, 1280, tmp_path / "log-0")
    made, bad = str(tmp_path / "made"), str(tmp_path / "bad")
    old("backup", made, code=0)
    head, found = parse(read(made))
    found[KEPT] = read(fork.path(KEPT))
    with open(bad, "wb") as f:
        f.write(build(head, found))
    new = other(old, "new")
    for how in ("--dry-run", "--yes"):
        done = new("restore", bad, how, code=INTEGRITY)
        assert "which was kept was signed over" in done.note, done
        assert not os.path.exists(new.folder)
    new("restore", made, "--yes", code=0)
    new.verify()


# --- both at once, in one broker ---

def test_nothing_is_cut_under_a_backup_of_the_same_broker(old):
    broker = wire.Broker(old, "--key-file", old.key_file)

    def call(s, method, **parameters):
        return broker.call("io.certvault.Broker." + method, parameters, on=s)

    def cut(s):
        """All of an archive; the last answer."""
        begun = call(s, "AuditArchive", before=256)
        assert "error" not in begun, begun
        sha = hashlib.sha256()
        while True:
            piece = call(s, "AuditArchiveRead")["parameters"]["data"]
            if not piece:
                return call(s, "AuditArchiveEnd", digest=sha.hexdigest())
            sha.update(base64.b64decode(piece))

    try:
        with broker.connect() as one, broker.connect() as two:
            for s in (one, two):
                assert "error" not in call(s, "Hello")
            assert "error" not in call(one, "Backup")
            assert call(one, "BackupRead", at=0)["parameters"]["data"]
            done = cut(two)
            assert done["error"].endswith("Busy"), done
            assert "a backup is being written" in str(done), done
            assert beginning(old) == (0, 0)
        with broker.connect() as two:      # the backup's reader has left
            assert "error" not in call(two, "Hello")
            while True:
                done = cut(two)
                if not done.get("error", "").endswith("Busy"):
                    break
            assert "error" not in done, done
    finally:
        broker.end()
    assert beginning(old)[0] == 256
    old.verify()
