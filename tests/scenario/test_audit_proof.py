"""Proofs that travel: a record's place in the log, and that a log goes on from
an older one, checked with the algorithms of RFC 9162 written anew
(merkle.py)."""

import base64
import hashlib
import json
import os

import pytest

import merkle
from merkle import consistent, included, proof_of
from harness import INTEGRITY, NOT_FOUND, USAGE


@pytest.fixture
def busy(vault):
    """A vault with some history."""
    for i in range(9):
        vault("list", "--reason", f"look {i}", code=0)
    return vault


def prove(vault, seq):
    return vault("audit", "prove", str(seq), code=0).out.decode()


def test_any_record_is_proved_to_anybody(busy):
    key = busy("audit", "key", code=0).out.decode().strip()
    for seq in (0, 1, 4, 8):
        index, hashes, note, _ = proof_of(prove(busy, seq))
        _, size, root = merkle.open_note(note.encode(), key)
        record = busy("audit", "record", str(seq), code=0).out[:-1]
        assert index == seq
        assert included(index, size, merkle.leaf(record), hashes, root)
        assert not included(index + 1, size, merkle.leaf(record), hashes, root)


def test_the_proof_is_checked_without_a_vault(busy, tmp_path):
    key = busy("audit", "key", code=0).out.decode().strip()
    proof, record = str(tmp_path / "3.tlog-proof"), str(tmp_path / "3.json")
    busy("audit", "prove", "3", "--output", proof, code=0)
    text = busy("audit", "record", "3", code=0).out.decode()
    (tmp_path / "3.json").write_text(text)

    def check(code, key=key):
        return busy("audit", "verify", "--proof", proof, "--record", record,
                    "--key", key, "-o", "json", code=code)

    said = json.loads(check(0).out)
    assert said["ok"] is True and said["index"] == 3

    (tmp_path / "3.json").write_text(text.replace("look", "took"))
    check(INTEGRITY if "look" in text else 0)
    (tmp_path / "3.json").write_text(text[:-1] + " \n")
    check(INTEGRITY)
    (tmp_path / "3.json").write_text(text[:-1])  # no LF: the same record
    check(0)

    name, key_id, raw = key.split("+", 2)
    check(INTEGRITY, key="someone-else" + "+" + other_id("someone-else", raw)
          + "+" + raw)

    good = open(proof, encoding="utf-8").read()
    for bad in (good.replace("index 3", "index 03"),
                good.replace("index 3", "index 2"), good[1:],
                good.replace("\n\n", "\n", 1), good[:-20], ""):
        with open(proof, "w", encoding="utf-8") as f:
            f.write(bad)
        check(INTEGRITY)
    busy("audit", "verify", "--proof", proof, code=USAGE)


def other_id(name, raw):
    return hashlib.sha256(name.encode() + b"\n" + base64.b64decode(raw)
                          ).digest()[:4].hex()


def test_no_such_record(busy):
    got = busy("audit", "prove", "4000", code=NOT_FOUND)
    assert b"numbered from 0" in got.err


def test_a_file_that_is_there_is_kept(busy, tmp_path):
    path = tmp_path / "p"
    path.write_text("mine")
    busy("audit", "prove", "1", "--output", str(path), code=65)
    assert path.read_text() == "mine"
    busy("audit", "prove", "1", "--output", str(path), "--yes", code=0)
    assert path.read_text().startswith("c2sp.org/")


def test_a_log_goes_on_from_an_older_one(busy):
    leaves = merkle.read_log(busy.path("audit/log"))
    for old, new in ((1, 2), (3, 7), (4, 8), (2, 9), (5, 6)):
        said = json.loads(busy("audit", "consistency", str(old), str(new),
                               "-o", "json", code=0).out)
        roots = [base64.b64decode(said[k]) for k in ("old_root", "new_root")]
        path = [base64.b64decode(h) for h in said["proof"]]
        assert roots == [merkle.root(leaves[:old]), merkle.root(leaves[:new])]
        assert consistent(old, new, *roots, path)
    same = json.loads(busy("audit", "consistency", "5", "5", "-o", "json",
                           code=0).out)
    assert same["proof"] == []
    busy("audit", "consistency", "6", "5", code=USAGE)
    busy("audit", "consistency", "6", "5000", code=NOT_FOUND)


def test_a_tile_that_was_changed(busy):
    """No proof comes out of it; made again from the log, all is well."""
    prove(busy, 1)
    folder = busy.path("audit/tile/0/000.p")
    (name,) = os.listdir(folder)
    path = os.path.join(folder, name)
    with open(path, "r+b") as f:
        f.seek(40)
        f.write(b"\0\0\0\0")
    with open(busy.path("audit/tile/entries/000.p/" + name), "r+b") as f:
        f.seek(10)
        f.write(b"x")
    busy("audit", "rebuild", code=0)
    assert included_now(busy, 1)


def included_now(vault, seq):
    key = vault("audit", "key", code=0).out.decode().strip()
    index, hashes, note, _ = proof_of(prove(vault, seq))
    _, size, root = merkle.open_note(note.encode(), key)
    record = vault("audit", "record", str(seq), code=0).out[:-1]
    return included(index, size, merkle.leaf(record), hashes, root)
