"""Receipts: what was done comes with a proof that the record has it, in one
file that verifies without log, vault or the record's text."""

import json
import os
import stat

import pytest

import harness
import merkle
from harness import INTEGRITY, INVALID, IO, MAY_EXPORT, USAGE
from kube import Identity, as_yaml, config


@pytest.fixture
def held(vault, secrets):
    vault.policy(MAY_EXPORT)
    vault.add(as_yaml(config(Identity("p256", secrets=secrets))), "a",
              "--exportable")
    return vault


def export(vault, *args, code=0):
    out = os.path.join(vault.home, "out.yaml")
    return vault("export", "a", "--reason", "drill", "--output", out, "--yes",
                 *args, code=code)


def check(text, key, action):
    """As anybody checks it; the record."""
    index, hashes, note, record = merkle.proof_of(text)
    _, size, root = merkle.open_note(note.encode(), key)
    assert merkle.included(index, size, merkle.leaf(record), hashes, root)
    leaf = json.loads(record)
    assert leaf["seq"] == index and leaf["action"] == action
    return leaf


def test_an_export_and_its_receipt(held):
    path = os.path.join(held.home, "a.tlog-proof")
    key = held("audit", "key", code=0).out.decode().strip()
    export(held, "--receipt", path)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    with open(path, encoding="utf-8") as f:
        text = f.read()
    leaf = check(text, key, "export")
    assert leaf["phase"] == "decision" and leaf["decision"] == "permit"
    assert leaf["reason"] == "drill"
    assert leaf == held.records("--action", "export")[0]
    # One file, and the key.
    said = held.json("audit", "verify", "--proof", path, "--key", key)
    assert said["ok"] and said["index"] == leaf["seq"] and said["leaf"] == leaf
    shown = held("audit", "verify", "--proof", path, "--key", key, code=0).out
    assert b"export" in shown and b"drill" in shown
    # The key as it stands in a file: with one line end, and no more.
    for end, code in (("\n", 0), ("\r\n", 0), ("\n\n", INVALID),
                      (" ", INVALID)):
        held("audit", "verify", "--proof", path, "--key", key + end, code=code)
    # With another record, or changed, it is no proof.
    other = held.write("other.json", held("audit", "record", "0", code=0).out)
    held("audit", "verify", "--proof", path, "--key", key, "--record", other,
         code=INTEGRITY)
    magic, extra, *rest = text.split("\n")
    for bad in ("extra " + extra[6:-8] + extra[-4:], "extra " + extra[6:-4],
                "extra !" + extra[7:], "extra ", "extra"):
        held.write("bad", "\n".join([magic, bad, *rest]))
        held("audit", "verify", "--proof", os.path.join(held.home, "bad"),
             "--key", key, code=INTEGRITY)
    # Without the extra line it is a proof like any other.
    plain = held.write("plain", "\n".join([magic, *rest]))
    held("audit", "verify", "--proof", plain, "--key", key, code=USAGE)
    record = held.write("r", held("audit", "record", str(leaf["seq"]),
                                  code=0).out)
    held("audit", "verify", "--proof", plain, "--key", key, "--record", record,
         code=0)


def test_a_place_that_is_no_place(held):
    """Looked at before anything is asked for."""
    n = len(held.records("--action", "export"))
    there = held.write("there", "mine")
    done = held("export", "a", "--reason", "x", "--output", there + ".yaml",
                "--receipt", there, code=INVALID)
    assert b"nothing was asked for" in done.err
    export(held, "--receipt", os.path.join(held.home, "none/there"), code=66)
    export(held, "--receipt", held.home, code=INVALID)
    export(held, "--receipt", "-", code=USAGE)
    with open(there, encoding="utf-8") as f:
        assert f.read() == "mine"
    assert len(held.records("--action", "export")) == n
    export(held, "--receipt", there)
    check(open(there, encoding="utf-8").read(),
          held("audit", "key", code=0).out.decode().strip(), "export")


def test_no_receipt_no_key(held):
    """Where it cannot be made, nothing is released."""
    export(held, "--receipt", os.path.join(held.home, "first"))
    # The tiles cannot be written.
    os.rename(held.path("audit/tile"), held.path("audit/elsewhere"))
    with open(held.path("audit/tile"), "w", encoding="utf-8"):
        pass
    out = os.path.join(held.home, "second.yaml")
    error = held.error(IO, "export", "a", "--reason", "x", "--output", out,
                       "--receipt", os.path.join(held.home, "second"))
    assert "nothing was released" in error["state"]
    assert not os.path.exists(out)
    decision, leaf = held.records("--action", "export")[-2:]
    assert decision["decision"] == "permit"
    assert decision["seq"] == error["audit_seq"]
    assert (leaf["phase"], leaf["outcome"]) == ("outcome", "failed")
    os.unlink(held.path("audit/tile"))
    export(held, "--receipt", os.path.join(held.home, "second"))


def test_receipts_need_no_leave_to_read_the_record(held):
    """One's own act alone is proved."""
    held.policy(MAY_EXPORT, {
        "name": "not-the-record", "effect": "forbid",
        "subjects": {"uids": [os.getuid()]}, "actions": ["audit.read"]},
        version=2)
    path = os.path.join(held.home, "r")
    export(held, "--receipt", path)
    held("audit", "prove", "1", code=harness.DENIED)
    assert merkle.proof_of(open(path, encoding="utf-8").read())[3]
