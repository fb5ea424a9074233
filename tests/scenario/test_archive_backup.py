"""Backups of a vault whose old records are archived: what they say must be so,
and what the vault that is there has is not taken away unsaid."""

import json
import os
import shutil

import pytest

import merkle
from harness import INTEGRITY
from test_archive import (archive, beginning, fill, other, records_of,
                          text_of)
from test_backup import build, events, parse, read


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
    # Nobody who has the log's key said so.
    refused("no checkpoint", head, {**found, "audit/checkpoint": b""})
    with open(bad, "wb") as f:
        f.write(build(dict(head), found))
    assert read(bad) == read(made)
    new("restore", bad, "--yes", code=0)
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
