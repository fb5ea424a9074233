"""`audit archive`: old records leave the vault's folder, and everything can
still be proven."""

import base64
import datetime
import hashlib
import json
import os
import shutil
import signal
import stat
import subprocess
import time

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import \
    Ed25519PrivateKey

import harness
import merkle
import straced
from merkle import included, proof_of
from harness import INTEGRITY, INVALID, NOT_FOUND, USAGE
from kube import Identity, as_yaml, config

LONG_AGO = datetime.datetime(2024, 11, 1, tzinfo=datetime.timezone.utc)


def beginning(vault):
    """(records archived, offset of the next one), by audit/archived."""
    try:
        with open(vault.path("audit/archived"), encoding="ascii") as f:
            said = json.load(f)
    except FileNotFoundError:
        return 0, 0
    return said["frontier"]["size"], said["frontier"]["offset"]


def text_of(vault):
    with open(vault.path("audit/log"), "rb") as f:
        return f.read()


def records_of(vault):
    """Those that are left."""
    found, _ = merkle.frames(text_of(vault)[beginning(vault)[1]:])
    return [record for _, record in found]


def fill(vault, count, since=LONG_AGO):
    """`count` records of long ago, as a broker of then would have left them."""
    path = vault.path("audit/log")
    last = records_of(vault)[-1]
    leaf = json.loads(last)
    boot = "01234567-89ab-cdef-0123-456789abcdef"
    out = []
    for i in range(count):
        leaf["seq"] += 1
        leaf["prev"] = base64.b64encode(merkle.leaf(last)).decode()
        leaf.update(phase="event", action="broker", details={"count": i},
                    op=f"{i:032x}", mono_ms=1000 + i, boot=boot,
                    time=(since + datetime.timedelta(minutes=i)).strftime(
                        "%Y-%m-%dT%H:%M:%SZ"))
        for key in ("decision", "rules", "outcome", "error"):
            leaf.pop(key, None)
        last = json.dumps(leaf, sort_keys=True,
                          separators=(",", ":")).encode()
        out.append(merkle.frame(last))
    with open(path, "ab") as f:
        f.write(b"".join(out))


@pytest.fixture
def old(vault):
    """Six hundred records, two tiles full of them."""
    fill(vault, 600)
    vault("audit", "checkpoint", code=0)
    return vault


def archive(vault, before, to, code=0, *more):
    return vault("audit", "archive", "--before", str(before), "--output",
                 str(to), "-o", "json", *more, code=code)


def test_old_records_leave_and_everything_is_proven(old, tmp_path):
    whole = text_of(old)
    before, _ = merkle.frames(whole)
    records = [r for _, r in before]
    used = os.stat(old.path("audit/log")).st_blocks
    kept = old("audit", "checkpoint", code=0).out
    to = tmp_path / "log-0"
    said = archive(old, 600, to).json
    assert (said["first"], said["before"]) == (0, 512)

    # The file is the log's own frames, byte for byte, and private.
    data = to.read_bytes()
    assert stat.S_IMODE(to.stat().st_mode) == 0o600
    found, end = merkle.frames(data)
    assert end == len(data) and len(found) == 512
    assert data == whole[:len(data)]
    assert hashlib.sha256(data).hexdigest() == said["digest"]
    assert said["bytes"] == len(data)

    # In the vault nothing of them is left but hashes.
    size, offset = beginning(old)
    assert (size, offset) == (512, len(data))
    log = text_of(old)
    assert not any(log[:offset])
    assert log[offset:].startswith(whole[offset:])
    assert os.stat(old.path("audit/log")).st_blocks < used
    for name in ("000", "001"):
        assert not os.path.exists(old.path("audit/tile/entries/" + name))
        with open(old.path("audit/tile/0/" + name), "rb") as f:
            hashes = f.read()
        first = 256 * int(name)
        assert hashes == b"".join(
            merkle.leaf(r) for r in records[first:first + 256])

    # Archive and log together are the log; its root is the one that is signed.
    rest, _ = merkle.frames(log[offset:])
    leaves = [r for _, r in found] + [r for _, r in rest]
    key = old("audit", "key", code=0).out.decode().strip()
    note = old("audit", "checkpoint", code=0).out
    _, size, root = merkle.open_note(note, key)
    everything = [r for _, r in merkle.frames(
        data + text_of(old)[offset:])[0]]
    assert everything[:len(leaves)] == leaves
    assert merkle.root(everything[:size]) == root

    # It verifies, with and without the archive, and by an older checkpoint.
    report = old.verify()
    assert report["archived"]["before"] == 512
    assert report["archived"]["from"] == 512
    (tmp_path / "kept").write_bytes(kept)
    old("audit", "verify", "--checkpoint", str(tmp_path / "kept"), code=0)
    report = json.loads(old("audit", "verify", "--archive", str(to), "-o",
                            "json", code=0).out)
    assert report["archived"]["from"] == 0
    assert report["records"] == report["size"]

    # A record that went is proven by the archive and the hashes that stay.
    error = old.error(NOT_FOUND, "audit", "record", "7")
    assert "archived" in error["message"] and said["digest"] in str(error)
    error = old.error(NOT_FOUND, "audit", "prove", "7")
    assert "archived" in error["message"]
    assert old("audit", "record", "7", "--archive", str(to),
               code=0).out[:-1] == records[7]
    proof = old("audit", "prove", "7", "--archive", str(to), code=0)
    index, hashes, note, _ = proof_of(proof.out.decode())
    _, size, root = merkle.open_note(note.encode(), key)
    assert index == 7
    assert included(7, size, merkle.leaf(records[7]), hashes, root)
    old("audit", "prove", "600", "--archive", str(to), code=NOT_FOUND)
    old("audit", "prove", "550", code=0)
    old("audit", "consistency", "100", "560", code=0)

    # Another day: the next ones. The two files are the log's beginning.
    fill(old, 300, LONG_AGO + datetime.timedelta(days=9))
    again = tmp_path / "log-512"
    said = archive(old, 800, again).json
    assert (said["first"], said["before"]) == (512, 768)
    old.verify()
    both = tmp_path / "both"
    both.write_bytes(data + again.read_bytes())
    for name, since in ((again, 512), (both, 0)):
        report = json.loads(old("audit", "verify", "--archive", str(name),
                                "-o", "json", code=0).out)
        assert report["archived"]["from"] == since
    old("audit", "verify", "--archive", str(to), code=INTEGRITY)
    old("audit", "prove", "7", "--archive", str(to), code=0)
    old("list", code=0)
    old("audit", "rebuild", code=0)
    old.verify()


def test_what_is_asked_of_the_rest_says_so(old, tmp_path):
    to = tmp_path / "log-0"
    until = archive(old, 599, to).json["until"]
    # The vault's first record is of now; what is asked below comes later.
    after = (datetime.datetime.fromisoformat(until.replace("Z", "+00:00"))
             + datetime.timedelta(seconds=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    done = old("audit", "query", "--action", "admin", code=0)
    assert "before 512" in done.note and until in done.note, done
    assert "archived" not in old("audit", "query", "--since", after,
                                 code=0).note
    assert "before 512" in old("audit", "who", "x", code=0).note
    assert "before 512" in old("audit", "exposure", code=0).note
    report = old("audit", "report", code=0).out.decode()
    assert "before 512" in report
    assert "archived" not in old("audit", "report", "--since", after,
                                 code=0).text
    page = str(tmp_path / "page.html")
    old("audit", "report", "--html", page, code=0)
    with open(page, encoding="utf-8") as f:
        assert "the records before 512" in f.read()
    status = old.json("audit", "status")
    assert status["archived"]["before"] == 512
    seqs = [int(json.loads(line)["seq"]) for line in old(
        "audit", "export", "--format", "jsonl", code=0).out.splitlines()]
    assert seqs[0] == 512
    assert seqs == list(range(512, 512 + len(seqs)))
    tail = old("-o", "json", "audit", "tail", "--last", "100000", code=0)
    assert json.loads(tail.text.splitlines()[0])["seq"] == 512
    bundle = str(tmp_path / "bundle")
    error = old.error(NOT_FOUND, "audit", "prove", "--since", "2024-01-01",
                      "--output", bundle)
    assert "archived" in error["message"] and until in error["hint"]
    old.another_second()
    old("list", code=0)     # a record of a second that is not archived
    old("audit", "prove", "--since", after, "--output", bundle, code=0)
    old("audit", "verify", "--bundle", bundle, code=0)


def test_what_is_not_archived(old, tmp_path):
    to = tmp_path / "log-0"
    for before, code, words in (
            ("255", INVALID, "by the 256"), ("100000", NOT_FOUND, "audit checkpoint"),
            ("0", USAGE, "before"), ("x", USAGE, "before")):
        done = old("audit", "archive", "--before", before, "--output", str(to),
                   code=code)
        assert words in done.note, done
    old("audit", "archive", "--before", "512", code=USAGE)
    old("audit", "archive", "--before", "512", "--output", "-", code=USAGE)
    to.write_bytes(b"mine")
    archive(old, 512, to, 65)
    assert to.read_bytes() == b"mine"
    archive(old, 512, tmp_path / "no" / "log-0", NOT_FOUND)
    assert beginning(old) == (0, 0)
    before = old.records()
    archive(old, 300, tmp_path / "log-a")
    assert beginning(old)[0] == 256
    archive(old, 511, tmp_path / "log-b", INVALID)
    assert not (tmp_path / "log-b").exists()
    assert len(before) > 0
    old.verify()


def test_who_may_and_what_the_record_says(old, tmp_path):
    old.policy({"name": "no", "effect": "forbid",
                "subjects": {"users": ["*"]}, "actions": ["admin"]})
    archive(old, 512, tmp_path / "log-0", 77)
    assert beginning(old) == (0, 0) and not (tmp_path / "log-0").exists()
    old.verify()


def test_limits_keep_what_they_count(vault, tmp_path):
    """Records that a limit counts stay; a limit that would count archived ones
    is not put in force."""
    now = datetime.datetime.now(datetime.timezone.utc)
    fill(vault, 300, now - datetime.timedelta(hours=10))
    limited = {"name": "few", "effect": "permit",
               "subjects": {"users": ["*"]}, "actions": ["export"]}
    vault.policy(dict(limited, limit={"count": 3, "per": "24h"}))
    done = archive(vault, 256, tmp_path / "log-0", INVALID)
    assert "limit" in str(done.error)
    # The vault itself was made just now, and its first record is one of them.
    vault.policy(dict(limited, limit={"count": 3, "per": "5m"}), version=2)
    done = archive(vault, 256, tmp_path / "log-1", INVALID)
    assert "limit" in str(done.error) and "nothing" in str(done.error)
    assert beginning(vault) == (0, 0)
    vault.policy(dict(limited, limit={"count": 3, "per": "1s"}), version=3)
    while datetime.datetime.now(now.tzinfo) < now + datetime.timedelta(
            seconds=2):
        time.sleep(.1)  # the vault's own first record is past that second
    archive(vault, 256, tmp_path / "log-2")
    with pytest.raises(AssertionError, match="would miss records"):
        vault.policy(dict(limited, limit={"count": 3, "per": "24h"}),
                     version=4)
    vault.policy(version=4)
    vault.verify()


def test_a_clock_that_was_ahead_does_not_hold_up_limits(vault, tmp_path):
    fill(vault, 300, datetime.datetime(2099, 1, 1,
                                       tzinfo=datetime.timezone.utc))
    vault("audit", "checkpoint", code=0)
    until = archive(vault, 256, tmp_path / "log-0").json["until"]
    now = datetime.datetime.now(datetime.timezone.utc)
    assert until <= now.strftime("%Y-%m-%dT%H:%M:%SZ")
    vault.verify()


def test_a_clock_that_was_ahead_and_a_limit(vault, tmp_path):
    """Nobody can say when these were written: that is said, and what to do. So
    it is where the last one of them is of another time."""
    ahead = datetime.datetime(2099, 1, 1, tzinfo=datetime.timezone.utc)
    limited = {"name": "few", "effect": "permit", "subjects": {"users": ["*"]},
               "actions": ["export"], "limit": {"count": 3, "per": "1s"}}
    vault.policy(limited)
    fill(vault, 300, LONG_AGO)
    fill(vault, 60, ahead)
    fill(vault, 200, LONG_AGO + datetime.timedelta(days=1))
    fill(vault, 300, ahead + datetime.timedelta(days=1))
    vault("audit", "checkpoint", code=0)
    for before in (768, 512):
        done = archive(vault, before, tmp_path / str(before), INVALID)
        assert "2099-01-0" in done.error["message"], done
        assert "yet to come" in done.error["message"], done
        assert "before it" in done.error["hint"], done
        assert beginning(vault) == (0, 0)
    while int(time.time()) < started(vault) + 2:
        time.sleep(.1)
    archive(vault, 256, tmp_path / "log-0")
    vault.policy(version=2)
    archive(vault, 768, tmp_path / "log-256")
    vault.verify()


def started(vault):
    """When its policy was applied, and what it did before that."""
    return int(os.stat(vault.path("vault.db")).st_mtime)


# --- what somebody may do to the file, and to what stays ---

def lie(vault, change):
    path = vault.path("audit/archived")
    with open(path, "rb") as f:
        before = f.read()
    after = change(before)
    with open(path, "wb") as f:
        f.write(after)
    try:
        return vault("audit", "verify", "-o", "json")
    finally:
        with open(path, "wb") as f:
            f.write(before)


def frontier(records, size, offset):
    """audit/archived's `frontier`, computed anew."""
    nodes, at = [], 0
    for bit in range(62, -1, -1):
        if size >> bit & 1:
            nodes.append(merkle.root(records[at:at + (1 << bit)]))
            at += 1 << bit
    text = [base64.b64encode(n).decode() for n in nodes]
    return {"offset": offset, "range": text, "size": size,
            "prev": base64.b64encode(merkle.leaf(records[size - 1])).decode()}


def spelt(said):
    return json.dumps(said, sort_keys=True,
                      separators=(",", ":")).encode() + b"\n"


def test_no_byte_of_where_it_begins_can_be_another(old, tmp_path):
    before, _ = merkle.frames(text_of(old))
    records = [r for _, r in before]
    archive(old, 512, tmp_path / "log-0")
    with open(old.path("audit/archived"), "rb") as f:
        said = json.loads(f.read())
    assert said["frontier"] == frontier(records, 512, before[512][0])
    rng = harness.seeded()
    places = range(len(spelt(said)))
    for at in places if harness.FULL else rng.sample(list(places), 25):
        bit = 1 << rng.randrange(8)
        done = lie(old, lambda t, at=at, bit=bit:
                   t[:at] + bytes([t[at] ^ bit]) + t[at + 1:])
        assert done.code == INTEGRITY, (at, bit, done)
    for change in (lambda t: b"", lambda t: t[:-1], lambda t: t + b"\n",
                   # All of it true, and of another place.
                   lambda t: spelt(dict(said, frontier=frontier(
                       records, 256, before[256][0]))),
                   lambda t: spelt(dict(said, digest="0" * 64)),
                   lambda t: spelt(dict(said, seq=said["seq"] + 1)),
                   lambda t: spelt(dict(said, until="2024-01-01T00:00:00Z"))):
        assert lie(old, change).code == INTEGRITY
    os.unlink(old.path("audit/archived"))
    old("audit", "verify", code=INTEGRITY)
    old("list", code=INTEGRITY)
    with open(old.path("audit/archived"), "wb") as f:
        f.write(spelt(said))
    os.chmod(old.path("audit/archived"), 0o600)
    old.verify()
    for name in ("0/000", "0/001", "1/000.p/2"):
        path = old.path("audit/tile/" + name)
        with open(path, "r+b") as f:
            f.seek(40)
            byte = f.read(1)
            f.seek(40)
            f.write(bytes([byte[0] ^ 1]))
        old("audit", "verify", code=INTEGRITY)
        with open(path, "r+b") as f:
            f.seek(40)
            f.write(byte)
    old.verify()


def test_records_cannot_be_left_out_by_the_file_alone(old):
    """All that it says is true; but nobody archived them."""
    old.spoilt = True
    before, _ = merkle.frames(text_of(old))
    records = [r for _, r in before]
    path = old.path("audit/archived")
    with open(path, "wb") as f:
        f.write(spelt({"digest": "0" * 64, "until": "2026-01-01T00:00:00Z",
                       "frontier": frontier(records, 512, before[512][0]),
                       "seq": len(records) - 1, "opening": "0" * 64,
                       "signature": "A" * 91 + "=", "v": 2}))
    os.chmod(path, 0o600)
    done = old("audit", "verify", code=INTEGRITY)
    assert "no record says" in done.note, done


def append(vault, record, **details):
    """Behind the log, as somebody would who can write the folder."""
    last = records_of(vault)[-1]
    record = dict(record, seq=json.loads(last)["seq"] + 1,
                  prev=base64.b64encode(merkle.leaf(last)).decode(),
                  details={**record["details"], **details})
    with open(vault.path("audit/log"), "ab") as f:
        f.write(merkle.frame(spelt(record)[:-1]))


def forge(vault, size, signed=False):
    """The record of an archive that nobody made, behind the log, with all that
    can be had without the log's key (or with it: as an older program would
    have archived); what audit/archived would be."""
    key = vault("audit", "key", code=0).out.decode().strip()
    before, _ = merkle.frames(text_of(vault))
    records = [r for _, r in before]
    leaf = json.loads(records[-1])
    opening = b"\x07" * 32
    signature = base64.b64encode(
        bytes.fromhex(key.split("+")[1]) + b"\x09" * 64).decode()
    said = {"digest": "0" * 64, "opening": opening.hex(),
            "frontier": frontier(records, size, before[size][0]),
            "until": max(json.loads(r)["time"] for r in records[:size]),
            "seq": len(records), "signature": signature, "v": 2}
    if signed:
        data = text_of(vault)[:before[size][0]]
        said["digest"] = hashlib.sha256(data).hexdigest()
        said["signature"] = signature = sign(vault, "\n".join((
            "certvault log archive", key.split("+")[0], str(size),
            base64.b64encode(merkle.root(records[:size])).decode(),
            said["frontier"]["prev"], str(len(data)), said["digest"],
            said["until"], hashlib.sha256(opening).hexdigest(),
            "")).encode())
    leaf.update(seq=len(records), phase="event", action="admin", op="ab" * 16,
                prev=base64.b64encode(merkle.leaf(records[-1])).decode(),
                details={"method": "ArchiveEnd", "size": size,
                         "digest": said["digest"], "until": said["until"],
                         "signature": signature, "commitment":
                         hashlib.sha256(opening).hexdigest()})
    for name in ("decision", "rules", "outcome", "error"):
        leaf.pop(name, None)
    with open(vault.path("audit/log"), "ab") as f:
        f.write(merkle.frame(spelt(leaf)[:-1]))
    return said, before


def put_archived(vault, said):
    with open(vault.path("audit/archived"), "wb") as f:
        f.write(spelt(said))
    os.chmod(vault.path("audit/archived"), 0o600)


@pytest.mark.parametrize("rotated", [False, True])
def test_a_record_that_somebody_put_there_is_not_the_keys(old, rotated):
    """A broker takes what it finds behind the log, and signs a checkpoint over
    it. What says that records are archived is signed by itself."""
    old.spoilt = True
    said, before = forge(old, 512)
    old("list", code=0)
    if rotated:
        old("audit", "key", "rotate", code=0)
    old.verify()
    whole = text_of(old)
    put_archived(old, said)
    done = old("audit", "verify", code=INTEGRITY)
    assert "not signed by the log's key" in done.note, done
    done = old("list", code=INTEGRITY)
    assert "not signed by the log's key" in done.note, done
    assert text_of(old) == whole
    os.unlink(old.path("audit/archived"))
    old("list", code=0)
    old.verify()
    assert text_of(old).startswith(before_bytes(before, 512))


def test_what_was_archived_is_by_the_key_of_then(old, tmp_path):
    """The log's key is another one by now, and another one again."""
    old("audit", "key", "rotate", code=0)
    archive(old, 256, tmp_path / "log-0")
    old("audit", "verify", code=0)
    old("audit", "key", "rotate", code=0)
    old("list", code=0)
    old.verify()
    old("audit", "key", "rotate", code=0)
    old("list", code=0)
    old.verify()
    old("audit", "verify", "--archive", str(tmp_path / "log-0"), code=0)
    made = str(tmp_path / "made")
    old("backup", made, code=0)
    new = other(old, "new")
    new("restore", made, "--yes", code=0)
    new("list", code=0)
    new.verify()
    archive(old, 512, tmp_path / "log-256")
    old("list", code=0)
    old.verify()


def change_keys(vault, n):
    """The key is changed `n` times, with records enough before and behind each
    that the first two tiles of 256 hold a change; (keys, a note of each)."""
    keys, notes = [vault("audit", "key", code=0).text.strip()], []
    for _ in range(n):
        fill(vault, 200)
        notes.append(vault.write(f"note{len(notes)}", vault(
            "audit", "checkpoint", code=0).out))
        keys.append(vault("audit", "key", "rotate", code=0).text.strip())
    fill(vault, 700)
    vault("audit", "checkpoint", code=0)
    return keys, notes


def changes_in(vault):
    """The log's keys by what is left of its records: those that gave it
    another, and those that carry one."""
    leaves = []
    for record in map(json.loads, records_of(vault)):
        details = record["details"]
        if details.get("method") == "ArchiveKeys":
            leaves.append(json.loads("".join(details["leaf"])))
        elif "new_log_key" in details:
            leaves.append(record)
    return sorted({json.dumps(leaf, sort_keys=True) for leaf in leaves},
                  key=lambda leaf: json.loads(leaf)["seq"])


def bundle(vault, name, since="2025-01-01"):
    """One of what is left."""
    path = os.path.join(vault.home, name)
    vault("audit", "prove", "--since", since, "--output", path, code=0)
    return path


def leads(vault, path, keys, notes=()):
    """From each of these keys, and to the checkpoints that they signed."""
    for key in keys:
        said = vault.json("audit", "verify", "--bundle", path, "--key", key)
        assert said["key"] == keys[-1] and said["rotations"] == len(keys) - 1
    for note in notes:
        vault("audit", "verify", "--checkpoint", note, code=0)


def test_a_change_of_keys_that_is_archived(vault, tmp_path):
    """Who knows the first key alone goes on from there by the vault alone: what
    is archived of the changes of keys the log says once more, and what says
    it again, too."""
    keys, notes = change_keys(vault, 3)
    before = vault.json("audit", "key", "--all")["items"]
    seqs = [item["since"] - 1 for item in before[1:]]
    assert seqs[0] < 256 < seqs[1] < 512 < seqs[2]
    everything = changes_in(vault)
    whole = [r for _, r in merkle.frames(text_of(vault))[0]]
    for cut, back in ((256, 0), (512, 0), (1024, 900)):
        archive(vault, cut, tmp_path / f"log-{cut}")
        assert beginning(vault)[0] == cut
        assert changes_in(vault) == everything
        assert vault.json("audit", "key", "--all")["items"] == before
        vault.verify()
        leads(vault, bundle(vault, f"bundle-{cut}"), keys, notes)
        with open(os.path.join(vault.home, f"bundle-{cut}", "keys.jsonl"),
                  "rb") as f:
            assert f.read().splitlines() == [whole[seq] for seq in seqs]
        fill(vault, back)
    # The last archive took the records that carried the first two.
    assert not any(r["details"].get("method") == "ArchiveKeys"
                   for r in map(json.loads, records_of(vault))
                   if r["seq"] < 1024)
    keys.append(vault("audit", "key", "rotate", code=0).text.strip())
    leads(vault, bundle(vault, "again"), keys, notes)
    made = str(tmp_path / "made")
    vault("backup", made, code=0)
    new = other(vault, "new")
    new("restore", made, "--yes", code=0)
    new("list", code=0)
    new.verify()
    leads(new, bundle(new, "restored"), keys, notes)


def test_what_was_proven_before_the_change_still_is(vault, secrets, tmp_path):
    """By the key of then, with nothing else of ours: proofs, receipts and
    bundles from before the change of keys that is archived. Not by the key of
    now, which has not signed them."""
    first = vault("audit", "key", code=0).text.strip()
    vault.policy(harness.MAY_EXPORT)
    vault.add(as_yaml(config(Identity("p256", secrets=secrets))), "a",
              "--exportable")
    receipt = os.path.join(vault.home, "receipt")
    vault("export", "a", "--reason", "drill", "--output",
          os.path.join(vault.home, "a.yaml"), "--receipt", receipt, code=0)
    fill(vault, 300)
    proof = vault.write("proof", vault("audit", "prove", "7", code=0).out)
    record = vault.write("record", vault("audit", "record", "7", code=0).out)
    early = bundle(vault, "early", "2024-11-01")
    now = vault("audit", "key", "rotate", code=0).text.strip()
    fill(vault, 400)
    vault("audit", "checkpoint", code=0)
    archive(vault, 512, tmp_path / "log-0")
    nowhere = other(vault, "nowhere")
    for key, code in ((first, 0), (now, INTEGRITY)):
        for what in (("--proof", receipt), ("--bundle", early),
                     ("--proof", proof, "--record", record)):
            nowhere("audit", "verify", *what, "--key", key, code=code)
    assert not os.path.exists(nowhere.folder)


def test_an_archive_hides_no_other_key(old, secrets, tmp_path):
    """Another log under the name of this one, whole and signed, that says that
    its oldest records are archived: vault.db knows the log's key."""
    name = old("audit", "key", code=0).text.split("+")[0]
    (tmp_path / "other").mkdir()
    other = harness.Vault(str(tmp_path / "other"), secrets, init=False)
    other("init", "--key", "file:" + other.key_file, "--log-origin", name,
          code=0)
    fill(other, 600)
    other("audit", "checkpoint", code=0)
    archive(other, 600, tmp_path / "log-0")
    assert other.verify()["ok"]
    old.spoilt = True
    shutil.rmtree(old.path("audit"))
    shutil.copytree(other.path("audit"), old.path("audit"))
    fault, = old.verify(INTEGRITY)["errors"]
    assert fault["what"] == "key" and "two different vaults" in fault["message"]


def sign(vault, text):
    """What is behind the name in the line of the log's key."""
    with open(vault.path("audit/log.key"), encoding="ascii") as f:
        _, _, _, keyid, secret = f.read().strip().split("+", 4)
    seed = base64.b64decode(secret)[1:]
    return base64.b64encode(
        bytes.fromhex(keyid) +
        Ed25519PrivateKey.from_private_bytes(seed).sign(text)).decode()


def test_a_change_of_keys_that_an_older_program_archived(vault):
    """It said nothing of it once more. All goes on as it did: what the key of
    before signed is verified with the archive, which is named, or a bundle
    from before."""
    keys, notes = change_keys(vault, 1)
    early = bundle(vault, "early", "2024-11-01")
    whole = text_of(vault)
    said, frames = forge(vault, 512, True)
    vault("audit", "checkpoint", code=0)
    put_archived(vault, said)
    vault("list", code=0)
    assert not any(text_of(vault)[:frames[512][0]])
    vault.verify()
    done = vault("audit", "key", "--all", code=0)
    assert keys[1] in done.text and keys[0] not in done.text
    assert "before record 512" in done.note
    done = vault("audit", "verify", "--checkpoint", notes[0], code=INTEGRITY)
    assert f"--archive FILE (SHA-256 {said['digest']})" in done.note, done
    to = vault.write("archive", whole[:frames[512][0]])
    vault("audit", "verify", "--checkpoint", notes[0], "--archive", to, code=0)
    late = bundle(vault, "late")
    done = vault("audit", "verify", "--bundle", late, "--key", keys[0],
                 code=INTEGRITY)
    assert "before the archive" in done.note, done
    leads(vault, early, keys)
    leads(vault, late, keys[1:])


def test_a_change_of_keys_that_somebody_made_up(vault, tmp_path):
    """Signed by two keys that are none of the log's, or by both; but the
    record that is carried was not there."""
    vault.spoilt = True
    change_keys(vault, 1)
    archive(vault, 512, tmp_path / "log-0")
    template = os.path.join(vault.home, "template")
    shutil.copytree(vault.folder, template)
    carrier = next(json.loads(r) for r in records_of(vault)
                   if b'"ArchiveKeys"' in r)
    inner = "".join(carrier["details"]["leaf"])
    seq = json.loads(inner)["seq"]
    for change, words in (
            (lambda t: t.replace('_signature":"', '_signature":"A', 1),
             "the log's new key"),
            (lambda t: t.replace('"time":"2', '"time":"3', 1),
             "two different records"),
            (lambda t: t.replace(f'"seq":{seq}', f'"seq":{seq + 1}', 1),
             "is not this record"),
            (lambda t: "{}", "that changes no key"),
            (lambda t: "", "that is none")):
        text = change(inner)
        assert text != inner
        append(vault, carrier, leaf=[text[i:i + 1000] for i in
                                     range(0, len(text), 1000)])
        vault("list", code=0)
        done = vault("audit", "verify", code=INTEGRITY)
        assert words in done.note, (words, done)
        vault("audit", "prove", "--since", "2025-01-01", "--output",
              str(tmp_path / "no"), code=INTEGRITY)
        shutil.rmtree(vault.folder)
        shutil.copytree(template, vault.folder)
    vault.verify()


def test_records_cannot_be_left_out_by_who_has_not_the_key(old):
    """All that it says is true, and a record says so: not a signed one."""
    old.spoilt = True
    said, before = forge(old, 512)
    put_archived(old, said)
    done = old("audit", "verify", code=INTEGRITY)
    assert "no checkpoint is over the record" in done.note, done
    # Nor does a broker sign it now, or take the records away.
    done = old("list", code=INTEGRITY)
    assert "no checkpoint is over the record" in done.note, done
    os.unlink(old.path("audit/archived"))
    assert text_of(old).startswith(before_bytes(before, 512))


def test_an_archive_that_came_to_nothing_is_not_made_later(old, tmp_path):
    """Its record is there, and is signed in the end: of the same records, by
    somebody who was permitted. But it was said that nothing is archived."""
    if not harness.have_strace():
        pytest.skip("strace is not to be used here")
    old.spoilt = True
    template = os.path.join(old.home, "template")
    shutil.copytree(old.folder, template)
    renames = straced.available(("rename", "renameat", "renameat2"))
    argv = ("audit", "archive", "--before", "512", "--output")
    _, seen = straced.watch(old, str(tmp_path / "trace"), renames, *argv,
                            str(tmp_path / "a"), code=0)
    done = next(i for i, c in enumerate(seen)
                if b"archived".hex() in hexed(c))
    # The checkpoint over its record, which comes before.
    last = next(c for c in reversed(seen[:done])
                if b"checkpoint".hex() in hexed(c))
    shutil.rmtree(old.folder)
    shutil.copytree(template, old.folder)
    straced.killed_run(old, last.name, last.nth, *argv, str(tmp_path / "b"))
    assert not harness.wait_for_none()
    assert beginning(old) == (0, 0) and (tmp_path / "b").exists()
    old("audit", "checkpoint", code=0)
    old.verify()
    frames, _ = merkle.frames(text_of(old))
    records = [r for _, r in frames]
    told = next(json.loads(r) for r in records if b'"ArchiveEnd"' in r)
    said = {"digest": told["details"]["digest"], "seq": told["seq"],
            "until": told["details"]["until"],
            "frontier": frontier(records, 512, frames[512][0])}
    path = old.path("audit/archived")
    commitment = told["details"].get("commitment", "")
    signature = told["details"].get("signature", "")
    for more in ({"v": 1}, {"v": 2, "opening": "0" * 64},
                 {"v": 2, "opening": "0" * 64, "signature": signature},
                 {"v": 2, "opening": commitment, "signature": signature}):
        with open(path, "wb") as f:
            f.write(spelt({**said, **more}))
        os.chmod(path, 0o600)
        done = old("audit", "verify", code=INTEGRITY)
        assert "archived" in done.note, done
    os.unlink(path)
    old.verify()


def test_what_a_cut_off_archive_would_have_said_is_nowhere(old, tmp_path):
    """Killed at the very rename: the opening is on the disk. It is told where
    the log begins, and that the copy may go; then nobody may have the rest."""
    if not harness.have_strace():
        pytest.skip("strace is not to be used here")
    template = os.path.join(old.home, "template")
    shutil.copytree(old.folder, template)
    renames = straced.available(("rename", "renameat", "renameat2"))
    argv = ("audit", "archive", "--before", "512", "--output")
    _, seen = straced.watch(old, str(tmp_path / "trace"), renames, *argv,
                            str(tmp_path / "a"), code=0)
    last = next(c for c in seen if b"archived".hex() in hexed(c))
    for ask in (("audit", "status"), ("list",)):
        shutil.rmtree(old.folder)
        shutil.copytree(template, old.folder)
        (tmp_path / "b").unlink(missing_ok=True)
        straced.killed_run(old, last.name, last.nth, *argv,
                           str(tmp_path / "b"))
        assert not harness.wait_for_none()
        assert beginning(old) == (0, 0) and (tmp_path / "b").exists()
        left = [n for n in os.listdir(old.path("audit")) if "archived" in n]
        assert left, "it was not killed between its two names"
        old(*ask, code=0)
        left = [n for n in os.listdir(old.path("audit")) if "archived" in n]
        assert not left, ask
        old.verify()
    archive(old, 512, tmp_path / "c")
    old.verify()


def hexed(call):
    return call.rest.replace("\\x", "")


def before_bytes(frames, count):
    return b"".join(merkle.frame(record) for _, record in frames[:count])


def folder_sync(calls, vault):
    """The last sync of audit/ before the hole is made: which one it is."""
    hole = next(i for i, c in enumerate(calls) if c.name == "fallocate" and
                c.path == vault.path("audit/log"))
    return next(c.nth for c in reversed(calls[:hole]) if c.name == "fsync" and
                c.pid == calls[hole].pid and c.path == vault.path("audit"))


def test_a_name_that_may_not_stay_is_not_acted_on(old, tmp_path):
    """audit/archived has its name, and the folder's sync fails: it says that
    the copy is wanted. Nobody makes the hole before the name is durable."""
    if not harness.have_strace():
        pytest.skip("strace is not to be used here")
    template = os.path.join(old.home, "template")
    shutil.copytree(old.folder, template)
    trace = str(tmp_path / "trace")
    renames = straced.available(("rename", "renameat", "renameat2"))
    argv = ("audit", "archive", "--before", "512", "--output")
    _, seen = straced.watch(old, trace, ("fsync", *renames), *argv,
                            str(tmp_path / "a"), code=0)
    at = next(i for i, c in enumerate(seen) if c.name in renames and
              b"archived".hex() in c.rest.replace("\\x", ""))
    nth = next(c.nth for c in seen[at:] if c.name == "fsync" and
               c.pid == seen[at].pid)
    shutil.rmtree(old.folder)
    shutil.copytree(template, old.folder)
    whole = text_of(old)
    done = straced.failed_run(old, "fsync", nth, "EIO", *argv,
                              str(tmp_path / "b"))
    said = done.stderr.decode()
    assert done.returncode == 74, done
    assert "keep the copy" in said and "deleted" not in said, said
    size, offset = beginning(old)
    assert size == 512 and (tmp_path / "b").read_bytes() == whole[:offset]

    # The next one that writes.
    half = os.path.join(old.home, "half")
    shutil.copytree(old.folder, half)
    _, seen = straced.watch(old, trace, ("fsync", "fallocate"), "list", code=0)
    nth = folder_sync(seen, old)
    assert not any(text_of(old)[:offset])
    shutil.rmtree(old.folder)
    shutil.copytree(half, old.folder)
    done = straced.failed_run(old, "fsync", nth, "EIO", "list")
    assert done.returncode == 0, done  # it stays for the next one
    assert text_of(old)[:offset] == whole[:offset]
    old("list", code=0)
    assert not any(text_of(old)[:offset])
    old.verify()


def test_an_archive_that_was_changed(old, tmp_path):
    to = tmp_path / "log-0"
    archive(old, 512, to)
    data = to.read_bytes()
    rng = harness.seeded()
    bad = tmp_path / "bad"
    for at in rng.sample(range(len(data)), 6):
        bad.write_bytes(data[:at] + bytes([data[at] ^ 4]) + data[at + 1:])
        old("audit", "verify", "--archive", str(bad), code=INTEGRITY)
    found, _ = merkle.frames(data)
    for text in (data[:-1], data + data[:found[1][0]], data[found[1][0]:],
                 data[found[256][0]:], b"x" * 100, b""):
        bad.write_bytes(text)
        # The end of it alone is a beginning of what is left.
        code = 0 if text and data.endswith(text) else INTEGRITY
        old("audit", "verify", "--archive", str(bad), code=code)
    # One record that says something else, its checksum as it should be: neither
    # proved nor shown as the log's. Nor is one that is no text.
    at = found.index(next(f for f in found if b'"count":7}' in f[1]))
    was = found[at][1]
    for text in (was.replace(b'"count":7}', b'"count":8}'),
                 was.replace(b'"count":7}', b'"count":7\r')):
        bad.write_bytes(data.replace(
            merkle.frame(was), merkle.frame(text)))
        for word in "prove", "record":
            said = old("audit", word, str(at), "--archive", str(bad),
                       code=INTEGRITY)
            assert said.out == b"", said
    assert old("audit", "record", str(at), "--archive", str(to),
               code=0).out == was + b"\n"
    # Whoever gives a FIFO is told so, and waits for nobody.
    bad.unlink()
    os.mkfifo(bad)
    for args in ("record", str(at)), ("prove", str(at)), ("verify",):
        old("audit", *args, "--archive", str(bad), code=INVALID)


def test_a_copy_that_kept_no_hole_gets_it_again(old, tmp_path):
    """Once: else every command would read all its zeros."""
    if not harness.have_strace():
        pytest.skip("strace is not to be used here")
    fill(old, 3000, LONG_AGO + datetime.timedelta(days=9))
    old("audit", "checkpoint", code=0)
    archive(old, 3328, tmp_path / "log-0")
    log = old.path("audit/log")
    offset = beginning(old)[1]
    whole = text_of(old)
    with open(log, "r+b") as f:
        f.write(bytes(offset))  # as `cp --sparse=never` leaves it
    full = os.stat(log).st_blocks
    assert full * 512 >= offset > 1 << 20
    old.verify()
    trace = str(tmp_path / "trace")
    _, seen = straced.watch(old, trace, ("fallocate",), "list", code=0)
    assert any(c.path == log for c in seen)
    assert os.stat(log).st_blocks * 512 < len(whole) - offset + 65536
    assert text_of(old).startswith(whole)
    _, seen = straced.watch(old, trace, ("fallocate", "pread64"), "list",
                            code=0)
    seen = [c for c in seen if c.path == log]
    assert not any(c.name == "fallocate" for c in seen)
    read = sum(c.result for c in seen if int(c.rest.split(", ")[-1].split(
        ")")[0]) < offset)
    assert read < 65536, seen
    old.verify()


# --- backups ---

def other(vault, name):
    o = harness.Vault(vault.home, vault.secrets, build=vault.build, init=False)
    o.folder = os.path.join(vault.home, name)
    o.extra["CERTVAULT_DIR"] = o.folder
    return o


def test_a_backup_has_what_the_archive_leaves(old, tmp_path):
    early, late = str(tmp_path / "early"), str(tmp_path / "late")
    old("backup", early, code=0)
    to = tmp_path / "log-0"
    archive(old, 512, to)
    old("backup", late, code=0)
    assert os.path.getsize(late) < os.path.getsize(early)

    new = other(old, "new")
    new("restore", late, "--yes", code=0)
    assert beginning(new) == beginning(old)
    report = new.verify()
    assert report["archived"]["before"] == 512
    new("audit", "verify", "--archive", str(to), code=0)
    new("audit", "prove", "7", "--archive", str(to), code=0)
    new("audit", "rebuild", code=0)
    new.verify()

    # Which is further, where one of them or both begin later.
    def target(vault, file):
        return json.loads(vault("restore", file, "--dry-run", "-o", "json",
                                "--accept-rollback",
                                code=0).out)["target"]

    assert target(new, late) == "behind" and target(new, early) == "behind"
    before = other(old, "before")
    before("restore", early, "--yes", code=0)
    again = str(tmp_path / "again")
    old("list", code=0)
    old("backup", again, code=0)
    new2 = other(old, "new2")
    new2("restore", again, "--yes", code=0)
    assert target(old, late) == "behind"
    # A restore is a record of its own: from there on the two are apart.
    assert target(before, late) == "apart"


def test_a_backup_that_an_archive_overtakes_says_so(vault, tmp_path):
    """Each has a broker of its own: the backup is not made of the hole."""
    fill(vault, 20000)
    vault("audit", "checkpoint", code=0)
    p = subprocess.Popen(
        vault.argv("--no-input", "backup", str(tmp_path / "b")),
        env=vault.env(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, start_new_session=True)
    try:
        while written(p.pid) < 1500000 and p.poll() is None:
            pass
        assert p.poll() is None, "it was done before it could be stopped"
        os.killpg(p.pid, signal.SIGSTOP)
        archive(vault, 19968, tmp_path / "a")
    finally:
        os.killpg(p.pid, signal.SIGCONT)
    _, said = p.communicate(timeout=60)
    assert p.returncode == 75 and b"archived while" in said, said
    assert not (tmp_path / "b").exists()
    vault.verify()


def written(pid):
    with open(f"/proc/{pid}/io", encoding="ascii") as f:
        return int(next(x for x in f if x.startswith("wchar")).split()[1])


# --- killed ---

CALLS = ("fallocate", "unlinkat")


def test_it_is_killed_anywhere(release_vault, tmp_path):
    if not harness.have_strace():
        pytest.skip("strace is not to be used here")
    v = release_vault
    v("audit", "key", "rotate", code=0)
    fill(v, 300)
    v("audit", "checkpoint", code=0)
    changes = changes_in(v)
    assert len(changes) == 1
    whole = text_of(v)
    records = [r for _, r in merkle.frames(whole)[0]]
    template = os.path.join(v.home, "template")
    shutil.copytree(v.folder, template)
    to = os.path.join(v.home, "log-0")
    argv = ("audit", "archive", "--before", "256", "--output", to)
    out = str(tmp_path / "count")
    v.wrap = straced.command(out, [*straced.available(), *CALLS])
    v(*argv, code=0)
    v.wrap = []
    with open(out, encoding="ascii") as f:
        calls = straced.parse(f.read())
    points = sorted({(c.name, c.nth) for c in calls if c.name in CALLS} |
                    {(c.name, c.nth)
                     for c in straced.files_only(calls, v.home)})
    assert any(name == "fallocate" for name, _ in points)
    everything = len(points)
    if not harness.FULL:
        points = harness.seeded().sample(points, 5)
    done = 0
    for call, nth in points:
        shutil.rmtree(v.folder)
        shutil.copytree(template, v.folder)
        if os.path.exists(to):
            os.unlink(to)
        straced.killed_run(v, call, nth, *argv)
        assert not harness.wait_for_none()
        where = f"killed at {call} #{nth}"
        v.verify()
        size, offset = beginning(v)
        done += size > 0
        if size:
            with open(to, "rb") as f:
                kept = f.read()
            with open(v.path("audit/archived"), encoding="ascii") as f:
                assert json.load(f)["digest"] == \
                    hashlib.sha256(kept).hexdigest(), where
            found = [r for _, r in merkle.frames(kept)[0]] + records_of(v)
            assert found[:len(records)] == records, where
        else:
            assert text_of(v).startswith(whole), where
        # Whoever opens it next goes on.
        v("list", code=0)
        v.verify()
        assert changes_in(v) == changes, where
        if size:
            assert not any(text_of(v)[:offset]), where
            assert not os.path.exists(v.path("audit/tile/entries/000")), where
            v("audit", "verify", "--archive", to, code=0)
        v("audit", "query", code=0)
    print(f"{everything} points; it was archived after {done}")


# --- sinks ---

def command_sink(tmp_path, name):
    """(the configuration of a sink that is a command, what it was given)"""
    out = tmp_path / (name + ".out")
    command = tmp_path / name
    command.write_text(f"#!/bin/sh\nexec cat >> {out}\n")
    command.chmod(0o755)
    config = tmp_path / (name + ".yaml")
    config.write_text(json.dumps({"audit": {"sinks": [f"command:{command}"]}}))
    return str(config), out


def test_a_sink_gets_them_first_and_a_new_one_is_told_of_the_gap(old, tmp_path):
    config, out = command_sink(tmp_path, "first")
    old("--config", config, "audit", "send", code=0)
    sent = out.read_bytes().splitlines()
    assert sent[:600] == records_of(old)[:600]
    fill(old, 400, LONG_AGO + datetime.timedelta(days=9))
    old("audit", "checkpoint", code=0)
    argv = ("--config", config, "audit", "archive", "--before", "900",
            "--output", str(tmp_path / "log-0"))
    done = old(*argv, code=75)
    assert "sink" in done.note and "audit send" in done.note
    assert beginning(old) == (0, 0)
    old("--config", config, "audit", "send", code=0)
    old(*argv, code=0)
    assert beginning(old)[0] == 768
    old("--config", config, "audit", "send", code=0)

    config, out = command_sink(tmp_path, "second")
    old("--config", config, "audit", "send", code=0)
    lines = out.read_bytes().splitlines()
    assert json.loads(lines[0])["gap"] == {"count": 768, "from": 0, "to": 767}
    assert lines[1:] == records_of(old)[:len(lines) - 1]
    assert [r["details"]["count"] for r in old.records()
            if r["action"] == "sink"] == [768]
