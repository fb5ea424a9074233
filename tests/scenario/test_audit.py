"""The record: what is in it, how it is asked, and that others verify it."""

import base64
import datetime
import hashlib
import json
import os
import pwd
import time

import pytest

import harness
import merkle
from harness import DENIED, INVALID, NOT_FOUND, USAGE
from kube import Identity, as_yaml, config
from wire import Broker

REQUIRED = {"v", "seq", "prev", "op", "phase", "time", "mono_ms", "boot",
            "broker", "actor", "action"}


@pytest.fixture
def busy(vault, secrets):
    """A vault with some history."""
    vault.policy(harness.MAY_EXPORT)
    for name in ("a", "b"):
        vault.add(as_yaml(config(Identity(secrets=secrets))), name,
                  "--exportable")
    vault("export", "a", "--reason", "first", code=0, secret=True)
    vault("export", "b", code=DENIED)
    vault("label", "a", "k=v", code=0)
    return vault


def test_leaves(busy):
    leaves = merkle.read_log(busy.path("audit/log"))
    assert len(leaves) > 8
    prev = bytes(32)
    for seq, raw in enumerate(leaves):
        record = json.loads(raw)
        # Canonical: keys sorted, no blanks, ASCII, whole numbers.
        assert json.dumps(record, sort_keys=True,
                          separators=(",", ":")).encode() == raw
        assert all(32 <= c < 127 for c in raw)
        assert REQUIRED <= set(record), REQUIRED - set(record)
        assert record["v"] == 1 and record["seq"] == seq
        assert base64.b64decode(record["prev"]) == prev
        assert record["phase"] in ("decision", "outcome", "event")
        assert record["actor"]["uid"] == os.getuid()
        datetime.datetime.strptime(record["time"][:19], "%Y-%m-%dT%H:%M:%S")
        prev = merkle.leaf(raw)
    report = busy.verify()
    assert report["records"] == report["size"] == len(leaves)
    assert base64.b64decode(report["root"]) == merkle.root(leaves)
    assert report["tail"] == "clean" and report["errors"] == []
    assert report["checkpoint"] == "valid"


def test_the_checkpoint_is_a_signed_note(busy):
    """Verified with code and a key library that nobody here wrote."""
    key = busy("audit", "key", code=0).text.strip()
    note = busy("audit", "checkpoint", code=0).out
    origin, size, root = merkle.open_note(note, key)
    leaves = merkle.read_log(busy.path("audit/log"))
    assert size <= len(leaves)
    assert root == merkle.root(leaves[:size])
    assert key.startswith(origin + "+")
    with open(busy.path("audit/checkpoint"), "rb") as f:
        merkle.open_note(f.read(), key)


def test_a_checkpoint_kept_elsewhere(busy):
    path = busy.write("kept", busy("audit", "checkpoint", code=0).out)
    report = busy.json("audit", "verify", "--checkpoint", path)
    assert report["ok"] and report["anchored"] != "none"
    with open(path, "rb") as f:
        note = f.read()
    changed = note.replace(b"\n", b"\n1", 1)
    done = busy("audit", "verify", "--checkpoint", busy.write("bad", changed))
    assert done.code in (harness.INTEGRITY, harness.INVALID), done


def test_decision_and_outcome_share_op(busy):
    ops = {}
    for record in busy.records("--action", "export"):
        ops.setdefault(record["op"], []).append(record)
    phases = sorted([r["phase"] for r in records] for records in ops.values())
    assert phases == [["decision"], ["decision", "outcome"]]


def test_what_had_no_outcome_is_counted_without_reads(busy):
    """Of a read there never is one: who looks for what was begun and not
    ended must not find those."""
    for read in (["list"], ["show", "a"], ["policy", "show"],
                 ["slot", "list"], ["audit", "query"]):
        busy(*read, code=0)
    records = [json.loads(raw) for raw in
               merkle.read_log(busy.path("audit/log"))]
    begun = {r["op"] for r in records if r.get("decision") == "permit"
             and r["phase"] == "decision"}
    ended = {r["op"] for r in records if r["phase"] == "outcome"}
    assert ended and len(begun - ended) >= 5
    assert [r["details"] for r in records if r["action"] == "admin"
            and r["phase"] == "decision"] == [{"method": "SlotList",
                                               "read": True}]
    report = busy.json("audit", "verify")
    assert report["permits"] == len(begun)
    assert report["without_outcome"] == 0


def test_query(busy):
    def query(*args):
        return busy.records(*args)

    everything = query()
    assert [r["seq"] for r in everything] == list(range(len(everything)))
    assert {r["action"] for r in query("--action", "import")} == {"import"}
    assert {r["entry"] for r in query("--entry", "a")} == {"a"}
    assert {r["decision"] for r in query("--outcome", "denied")} == {"deny"}
    assert len(query("--limit", "2")) == 2
    assert query("--since", "1h") and not query("--until", "1h")
    assert query("--until", "2001-01-01") == []
    me = pwd.getpwuid(os.getuid()).pw_name
    assert query("--actor", me) and not query("--actor", "nobody-else")
    busy("audit", "query", "--since", "yesterday", code=USAGE)
    table = busy("audit", "query", code=0).text
    assert "export" in table


def test_who(busy):
    items = busy.json("audit", "who", "a")["items"]
    assert any(i["action"] == "export" for i in items)
    assert all(i.get("entry", "a") == "a" for i in items)
    table = busy("audit", "who", "a", code=0).text
    assert "first" in table
    busy("audit", "who", code=USAGE)


def test_who_follows_an_entry_that_was_renamed(busy):
    busy("rename", "a", "z", code=0)
    items = busy.json("audit", "who", "z")["items"]
    assert any(i["action"] == "export" for i in items)


def test_record(busy):
    leaves = merkle.read_log(busy.path("audit/log"))
    for seq in (0, 3):
        assert busy("audit", "record", str(seq), code=0).out == \
            leaves[seq] + b"\n"
    busy("audit", "record", "999999", code=NOT_FOUND)
    busy("audit", "record", "-1", code=USAGE)


def test_status(busy):
    status = busy.json("audit", "status")
    assert status["log"] == "audit/log"
    assert status["size"] >= status["checkpoint"]["size"] > 0
    assert status["checkpoint"]["age_s"] < 120
    assert "anchored" in status


def test_tail(busy):
    lines = busy("-o", "json", "audit", "tail", "-n", "3", code=0).out
    assert len([json.loads(x) for x in lines.splitlines() if x.strip()]) == 3


def test_tail_follows(busy):
    p = busy.start("-o", "json", "audit", "tail", "-f", "-n", "1")
    try:
        json.loads(p.stdout.readline())
        busy("label", "a", "seen=yes", code=0)
        end = time.monotonic() + 60
        while time.monotonic() < end:
            record = json.loads(p.stdout.readline())
            if "edit" in record["action"]:
                break
        assert record["entry"] == "a"
    finally:
        p.terminate()
        p.communicate(timeout=60)


def test_every_command_leaves_a_record(busy):
    size = busy.json("audit", "status")["size"]
    busy("list", code=0)
    busy("show", "a", code=0)
    busy("show", "none")
    actions = [json.loads(r)["action"]
               for r in merkle.read_log(busy.path("audit/log"))[size:]]
    assert "list" in actions and actions.count("show") >= 2


def test_import_says_what_came(busy, secrets):
    identity = Identity(secrets=secrets)
    busy.add(as_yaml(config(identity)), "c", "--reason", "from a laptop",
             "--ticket", "OPS-7")
    decision = [r for r in busy.records("--entry", "c", "--action", "import")
                if r["phase"] == "decision"][0]
    assert decision["reason"] == "from a laptop"
    assert decision["ticket"] == "OPS-7"
    assert decision["spki"] == identity.spki
    assert len(decision["policy"]["sha256"]) == 64


def test_verify_says_what_it_cannot_see(busy, tmp_path):
    """H70: of a log that was put back to an older checkpoint."""
    assert "unanchored" in busy("audit", "verify", code=0).note
    kept = tmp_path / "kept"
    kept.write_bytes(busy("audit", "checkpoint", code=0).out)
    done = busy("audit", "verify", "--checkpoint", str(kept), code=0)
    assert "unanchored" not in done.note


def test_verify_needs_no_lock_and_no_secret(busy):
    os.rename(busy.key_file, busy.key_file + ".away")
    before = {n: os.stat(busy.path("audit/" + n)).st_mtime_ns
              for n in os.listdir(busy.path("audit"))}
    busy.verify()
    after = {n: os.stat(busy.path("audit/" + n)).st_mtime_ns
             for n in os.listdir(busy.path("audit"))}
    assert before == after


def test_verify_of_a_folder_that_is_none(home, secrets):
    v = harness.Vault(home, secrets, init=False)
    v("audit", "verify", code=NOT_FOUND)


def test_the_log_is_found_by_its_hash_alone(busy):
    """The root that is printed is the SHA-256 tree of the leaves (RFC 6962)."""
    leaves = merkle.read_log(busy.path("audit/log"))
    assert merkle.root(leaves[:1]) == hashlib.sha256(b"\0" + leaves[0]).digest()


# ---- many ----

def grow(vault, n, length):
    """n more uses of "a", each of that many bytes: as if they had happened."""
    path = vault.path("audit/log")
    log = merkle.read_log(path)
    use = next(r for r in map(json.loads, log)
               if r["action"] == "export" and r["phase"] == "decision"
               and r.get("decision") == "permit")
    prev = merkle.leaf(log[-1])
    with open(path, "ab") as f:
        f.truncate(merkle.log_bytes(path))
        for i in range(n):
            leaf = {**use, "seq": len(log) + i, "op": f"{i:032x}",
                    "prev": base64.b64encode(prev).decode(),
                    "reason": "x" * length}
            raw = json.dumps(leaf, sort_keys=True,
                             separators=(",", ":")).encode()
            f.write(merkle.frame(raw))
            prev = merkle.leaf(raw)


def test_large_answers_come_in_pieces(busy):
    """Of 4.3 MiB: each piece is far below what one message may hold; whoever
    takes one answer only is told what to do."""
    n = 140
    grow(busy, n, 32000)
    who = busy.json("audit", "who", "a")["items"]
    assert len(who) == n + 1 and who[-1]["op"] == f"{n - 1:032x}"
    assert len(busy.json("audit", "query", "--entry", "a",
                         "--action", "export")["items"]) > n
    broker = Broker(busy, "--key-file", busy.key_file)
    try:
        for method, asked in (("AuditQuery", {"filter": {}}),
                              ("AuditWho", {"name": "a"}),
                              ("AuditTail", {"after": -1})):
            said = broker.call("io.certvault.Broker." + method, asked)
            assert said["error"].endswith("Invalid"), said
            assert "--since" in said["parameters"]["hint"]
            s = broker.connect()
            s.sendall(json.dumps({"method": "io.certvault.Broker." + method,
                                  "parameters": asked, "more": True}).encode()
                      + b"\0")
            got = b""
            while b"\0" not in got or b'"continues":true' in \
                    got[:-1].rsplit(b"\0", 1)[-1] or got[-1:] != b"\0":
                got += s.recv(1 << 20)
            s.close()
            pieces = got[:-1].split(b"\0")
            assert len(pieces) == 2 and max(map(len, pieces)) < 5 << 20
            assert sum(len(json.loads(p)["parameters"]["items"])
                       for p in pieces) > n
        few = broker.call("io.certvault.Broker.AuditQuery",
                          {"filter": {"limit": 20}})
        assert len(few["parameters"]["items"]) == 20
    finally:
        broker.end()
    busy("audit", "query", "--limit", "1000001", code=INVALID)
