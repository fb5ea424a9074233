"""Bundles: what the record has of a period or an entry, in a folder that proves
it to anybody, and what is wrong with one is found and said."""

import json
import os
import subprocess

import pytest

import merkle
from harness import (DENIED, INTEGRITY, INVALID, MAY_EXPORT, NOT_FOUND,
                     USAGE)
from kube import Identity, as_yaml, config
from wire import Broker

BROKER = "io.certvault.Broker."


@pytest.fixture
def busy(vault, secrets):
    vault.policy(MAY_EXPORT)
    for name in ("a", "b"):
        vault.add(as_yaml(config(Identity("p256", secrets=secrets))), name,
                  "--exportable")
    for i in range(4):
        vault("show", "a", "--reason", f"look {i}", code=0)
        vault("show", "b", code=0)
    vault("export", "a", "--reason", "drill", "--output",
          os.path.join(vault.home, "k"), code=0)
    vault("rename", "a", "c", code=0)
    vault("show", "c", code=0)
    return vault


def make(vault, *args, code=0, name="bundle"):
    path = os.path.join(vault.home, name)
    done = vault("-o", "json", "audit", "prove", *args, "--output", path,
                 code=code)
    return path, (done.json if code == 0 else done)


def read(path, name):
    with open(os.path.join(path, name), "rb") as f:
        return f.read()


def commands(path):
    """What README.txt has to be run."""
    return "".join(line[4:] + "\n" for line in
                   read(path, "README.txt").decode().split("CHECK IT")[1]
                   .split("\n") if line.startswith("    "))


def check_anew(path, key):
    """The whole claim, with the algorithms of merkle.py; the records."""
    manifest = json.loads(read(path, "manifest.json"))
    assert read(path, "log.vkey").decode() == key + "\n"
    records = read(path, "records.jsonl").split(b"\n")[:-1]
    first = manifest["first"]
    assert [json.loads(r)["seq"] for r in records] == \
        list(range(first, manifest["size"]))
    after = merkle.open_note(read(path, "checkpoint.after"), key)
    assert after[1] == manifest["size"]
    frontier = [merkle.base64.b64decode(h) for h in manifest["frontier"]]
    assert merkle.go_on(frontier, first, records) == after[2]
    if manifest["before"]:
        before = merkle.open_note(read(path, "checkpoint.before"), key)
        assert before[1] == first
        assert merkle.go_on(frontier, first, []) == before[2]
        proof = [merkle.base64.b64decode(h) for h in manifest["consistency"]]
        assert first == after[1] or merkle.consistent(
            first, after[1], before[2], after[2], proof)
    for name in os.listdir(os.path.join(path, "proofs")):
        index, hashes, note, record = merkle.proof_of(
            read(path, "proofs/" + name).decode())
        assert note.encode() == read(path, "checkpoint.after")
        assert merkle.included(index, after[1], merkle.leaf(record), hashes,
                               after[2])
        assert record == records[index - first]
    return [json.loads(r) for r in records]


def key_of(vault):
    return vault("audit", "key", code=0).out.decode().strip()


def test_about_an_entry(busy):
    path, said = make(busy, "--entry", "a")
    records = check_anew(path, key_of(busy))
    ids = {r["entry_id"] for r in records
           if r.get("entry") == "a" and "entry_id" in r}
    assert len(ids) == 1
    about = [r["seq"] for r in records if r.get("entry") == "a"
             or r.get("entry_id") in ids]
    assert any(r.get("entry") == "c" and r["seq"] in about for r in records)
    assert said["matching"] == len(about) and said["records"] == len(records)
    assert sorted(os.listdir(os.path.join(path, "proofs"))) == \
        sorted(f"{n}.tlog-proof" for n in about)
    assert said["end"] == "open" and said["before"] is None
    # The policies of then, byte for byte.
    assert said["policies"] == 2 and said["policies_missing"] == 0
    names = sorted(os.listdir(os.path.join(path, "policies")))
    with open(os.path.join(busy.home, "policy.yaml"), "rb") as f:
        assert read(path, "policies/" + names[1]) == f.read()
    # Each receipt stands alone.
    busy("audit", "verify", "--proof", f"{path}/proofs/{about[0]}.tlog-proof",
         "--key", key_of(busy), code=0)
    # Nobody's record, all records: a bundle all the same.
    _, none = make(busy, "--entry", "nobody", name="n")
    assert none["matching"] == 0 and none["proofs"] == 0
    _, all_ = make(busy, "--since", "2020-01-01", name="all")
    assert "matching" not in all_ and all_["first"] == 0


def test_receipts_come_a_few_at_a_time(busy):
    """Whoever asks for more of them than a bundle holds gets none; the rest
    comes in steps, so that one answer is never a hundred megabytes."""
    broker = Broker(busy, "--key-file", busy.key_file)
    s = broker.connect()
    try:
        def call(method, **parameters):
            return broker.call(BROKER + method, parameters, s)["parameters"]

        for _ in range(70):
            call("Show", name="c")
        head = call("AuditBundle", entry="c")
        manifest, at, steps, seqs = head["manifest"], 0, 0, []
        assert manifest["matching"] > 70
        asked = {"end": manifest["size"], "note": head["after"], "entry": "c",
                 "entry_ids": manifest["entry_ids"]}
        for wrong in ({"proofs": 1001}, {"proofs": -1}, {"proofs": 2 ** 53},
                      {"entry_ids": ["x"] * 65}):
            got = call("AuditBundleRead", at=0,
                       **{"proofs": 1000, **asked, **wrong})
            assert got.get("code") == "usage", (wrong, str(got)[:500])
        while at < manifest["size"]:
            piece = call("AuditBundleRead", at=at, proofs=1000 - len(seqs),
                         **asked)
            assert len(piece["proofs"]) <= 64
            assert [json.loads(r)["seq"] for r in
                    piece["records"].split("\n")[:-1]] == \
                list(range(at, piece["next"]))
            seqs += [p["seq"] for p in piece["proofs"]]
            at, steps = piece["next"], steps + 1
        assert len(seqs) == manifest["matching"] == len(set(seqs))
        assert steps == 2
    finally:
        s.close()
        assert broker.end() == 0
    path, said = make(busy, "--entry", "c", name="steps")
    assert said["proofs"] == said["matching"] == len(seqs)
    check_anew(path, key_of(busy))


def test_about_an_entry_that_got_its_name_later(busy):
    """The period ends before the new name: its records bear the old one."""
    until = busy.records()[-1]["time"]
    busy.another_second()
    age(busy)
    busy("list", code=0)
    busy("rename", "c", "d", code=0)
    _, said = make(busy, "--entry", "d", "--until", until)
    assert said["end"] == "closed"
    _, before = make(busy, "--entry", "c", "--until", until, name="before")
    assert said["matching"] == before["matching"] > 0
    records = [json.loads(line) for line in
               read(os.path.join(busy.home, "bundle"),
                    "records.jsonl").splitlines()]
    assert not any(r.get("entry") == "d" for r in records)


def test_the_readme_is_what_it_says(busy):
    """With stock tools: Python, OpenSSL, coreutils."""
    path, _ = make(busy, "--entry", "a")
    run = ["sh", "-e", "-c", commands(path)]
    env = {**busy.env(), "PATH": os.path.dirname(busy.argv()[0]) +
           ":/usr/bin:/bin"}
    done = subprocess.run(run, cwd=path, env=env, capture_output=True,
                          check=False)
    assert done.returncode == 0, done
    assert b"the records are those of the checkpoint" in done.stdout
    assert b"Signature Verified Successfully" in done.stdout
    assert done.stdout.count(b": ok\n") == 2
    # And they notice.
    part = commands(path).split("\n", 1)[1]
    for name in ("records.jsonl", "checkpoint.after"):
        good = read(path, name)
        with open(os.path.join(path, name), "wb") as f:
            f.write(good.replace(b"certvault", b"certvauIt").replace(
                b'"mode":"exec"', b'"mode":"exex"'))
        bad = subprocess.run(["sh", "-e", "-c", part], cwd=path, env=env,
                             capture_output=True, check=False)
        assert bad.returncode != 0, name
        with open(os.path.join(path, name), "wb") as f:
            f.write(good)


def age(vault):
    """The last checkpoint that was kept is of an hour ago."""
    os.utime(vault.path("audit/checkpoints"), (1, 1))


def test_a_period_between_two_checkpoints(busy):
    """What was signed before it and after it is kept, hour by hour."""
    key = key_of(busy)
    age(busy)
    busy("list", code=0)
    kept = [json.loads(line) for line in
            read(busy.folder, "audit/checkpoints").splitlines()]
    sizes = [merkle.open_note(k["note"].encode(), key)[1] for k in kept]
    assert len(sizes) == 2 and sizes[0] < sizes[1]
    busy("list", code=0)
    assert len(read(busy.folder, "audit/checkpoints").splitlines()) == 2
    # A period that begins later than all of that.
    since = busy.another_second()
    busy("list", code=0)
    records = busy.records()
    first = min(r["seq"] for r in records if r["time"] >= since)
    path, said = make(busy, "--since", since)
    got = check_anew(path, key)
    assert got[0]["time"] < since and said["from"] < since
    assert said["before"] == said["first"] == sizes[1] < first
    # What is said of the records before it is held against that.
    other = merkle.base64.b64encode(b"x" * 32).decode()
    mend = spoil(path, "manifest.json",
                 keys(frontier=lambda f: [other, *f[1:]]))
    error = busy.error(INTEGRITY, "audit", "verify", "--bundle", path)
    assert "checkpoint.before" in error["message"], error
    mend()
    mend = spoil(path, "records.jsonl", chained(
        at(-1, b'"time":"2', b'"time":"3')))
    error = busy.error(INTEGRITY, "audit", "verify", "--bundle", path)
    assert "checkpoint.after" in error["message"], error
    mend()
    busy("audit", "verify", "--bundle", path, code=0)
    # All that lies before the third kept checkpoint: it ends there.
    age(busy)
    busy("list", code=0)
    third = json.loads(read(busy.folder,
                            "audit/checkpoints").splitlines()[-1])
    size = merkle.open_note(third["note"].encode(), key)[1]
    until = records[0]["time"]
    path, said = make(busy, "--until", until, name="early")
    check_anew(path, key)
    assert said["end"] == "closed" and said["to"] > until
    assert said["size"] in (*sizes, size) and said["size"] < len(
        busy.records())
    # Lines that are no checkpoints, or another's, are passed over.
    with open(busy.path("audit/checkpoints"), "r+b") as f:
        text = f.read()
        f.seek(0)
        f.write(text.replace(b'{"note":"certvault', b'{"note":"certvauIt')
                + b"garbage\n{\n" + text[:100])
    path, said = make(busy, "--since", since, name="other")
    assert said["before"] is None
    check_anew(path, key)


def test_a_checkpoint_that_somebody_kept(busy):
    """The bundle is of the log that was seen then."""
    seen = busy.write("seen", busy("audit", "checkpoint", code=0).out)
    busy("list", code=0)
    path, _ = make(busy, "--entry", "a")

    def check(code, *args):
        return busy("-o", "json", "audit", "verify", "--bundle", path, *args,
                    code=code)

    said = check(0, "--checkpoint", seen, "--key", key_of(busy)).json
    assert said["key_from"] == "given"
    assert said["checkpoint"] == int(read(busy.home, "seen").split(b"\n")[1])
    later = busy.write("later", busy("audit", "checkpoint", code=0).out)
    check(INVALID, "--checkpoint", later)
    busy.write("seen", b"x" + read(busy.home, "seen"))
    check(INTEGRITY, "--checkpoint", seen)
    key = key_of(busy)
    check(INVALID, "--key", key[:-1])
    check(USAGE, "--proof", seen)
    check(NOT_FOUND, "--bundle", path + "x")


def spoil(path, name, change):
    """Changes a file for the time of a check."""
    file = os.path.join(path, name)
    good = read(path, name)
    bad = change(good)
    assert bad != good, name
    with open(file, "wb") as f:
        f.write(bad)
    return lambda: open(file, "wb").write(good)


def lines(change):
    """A change of the list of lines."""
    def run(text):
        parts = text.split(b"\n")
        change(parts)
        return b"\n".join(parts)
    return run


def swap(parts):
    parts[3], parts[4] = parts[4], parts[3]


def keys(**new):
    """Members of manifest.json that say something else."""
    def run(text):
        m = json.loads(text)
        for k, v in new.items():
            m[k] = v(m.get(k)) if callable(v) else v
        return json.dumps({k: v for k, v in m.items() if v is not None}
                          ).encode()
    return run


def chained(change):
    """A forger's work: records that are changed, and chained again."""
    def run(text):
        was = text.split(b"\n")[:-1]
        now = change(list(was))
        for i in range(1, len(now)):
            prev = json.loads(now[i])["prev"].encode()
            leaf = merkle.base64.b64encode(merkle.leaf(now[i - 1]))
            now[i] = now[i].replace(prev, leaf, 1)
        assert now != was
        return b"\n".join(now) + b"\n"
    return run


def at(n, old, new):
    def run(records):
        assert old in records[n]
        records[n] = records[n].replace(old, new, 1)
        return records
    return run


CHANGES = [
    ("records.jsonl", chained(at(-1, b'"time":"2', b'"time":"3')), "root"),
    ("records.jsonl", chained(lambda r: [l.replace(b"look 2", b"look 3")
                                         for l in r]), "root"),
    ("records.jsonl", lines(lambda p: p.pop(5)), "record 5"),
    ("records.jsonl", lines(lambda p: p.pop(-2)), "missing"),
    ("records.jsonl", lines(lambda p: p.insert(4, p[4])), "seq"),
    ("records.jsonl", lines(swap), "seq"),
    ("records.jsonl", lambda t: t + t.split(b"\n")[0] + b"\n", "more records"),
    ("records.jsonl", lambda t: t[:-1], "line"),
    ("records.jsonl", lambda t: b"\n" + t, "length"),
    ("records.jsonl", lambda t: t + b"x" * 70000, "length"),
    ("records.jsonl", lambda t: t.replace(b"look 2", b"look 3"), "prev"),
    ("records.jsonl", lambda t: t.replace(b'{"action', b'{ "action', 1),
     "canonical"),
    ("records.jsonl", lambda t: b"", "missing"),
    ("checkpoint.after", lambda t: t.replace(b"\n2", b"\n1", 1), ""),
    ("checkpoint.after", lambda t: t[:-9] + b"AAAAAAA=\n", ""),
    ("log.vkey", lambda t: t[:-1], "log.vkey"),
    ("log.vkey", lambda t: t[:-3] + b"A=\n", ""),
    ("log.vkey", lambda t: b"x\0y\n", ""),
    ("manifest.json", keys(first=1), "frontier"),
    ("manifest.json", keys(size=lambda n: n - 1), "size"),
    ("manifest.json", keys(size=lambda n: n + 1), "size"),
    ("manifest.json", keys(matching=lambda n: n - 1), "about the entry"),
    ("manifest.json", keys(entry="b"), "id of the entry"),
    ("manifest.json", keys(entry_ids=[]), "id of the entry"),
    ("manifest.json", keys(entry_ids=None), "contradicts"),
    ("manifest.json", keys(frontier=["AAAA"]), "hash"),
    ("manifest.json", keys(frontier=["A" * 43 + "="]), "frontier"),
    ("manifest.json", keys(before=True), "contradicts"),
    ("manifest.json", keys(origin="another"), "log.vkey"),
    ("manifest.json", keys(policies=[]), "policies"),
    ("manifest.json", keys(policies=lambda p: p[::-1]), "order"),
    ("manifest.json", keys(policies=lambda p: [{**q, "text": False}
                                               for q in p]), "policies holds"),
    ("manifest.json", keys(bundle="certvault-bundle/v2"), "certvault-bundle"),
    ("manifest.json", keys(extra=1), "extra"),
    ("manifest.json", lambda t: t[:-3], ""),
    ("manifest.json", lambda t: t + b" " * 1100000, "too long"),
]


def test_what_was_changed_is_found(busy):
    path, _ = make(busy, "--entry", "a")

    def check(word):
        error = busy.error(INTEGRITY, "audit", "verify", "--bundle", path)
        assert word in error["message"], error

    for name, change, word in CHANGES:
        mend = spoil(path, name, change)
        check(word)
        mend()
    proof = "proofs/" + sorted(os.listdir(os.path.join(path, "proofs")))[0]
    for change in (lambda t: t[:-2], lambda t: t.replace(b"index ", b"index 1"),
                   lambda t: t.replace(b"extra ", b"extra AAAA", 1)):
        mend = spoil(path, proof, change)
        check(proof)
        mend()
    policy = "policies/" + os.listdir(os.path.join(path, "policies"))[0]
    mend = spoil(path, policy, lambda t: t + b"# more\n")
    check("text of its hash")
    mend()
    # README.txt is for people; the rest of the folder is a closed list.
    spoil(path, "README.txt", lambda t: b"")
    busy("audit", "verify", "--bundle", path, code=0)
    for wrong in ("more.txt", "checkpoint.before", "proofs/x",
                  "proofs/1.tlog-proof", "proofs/03.tlog-proof",
                  "policies/7-x.yaml"):
        with open(os.path.join(path, wrong), "wb"):
            pass
        check("")
        os.unlink(os.path.join(path, wrong))
    for gone in ("records.jsonl", "log.vkey", "checkpoint.after", proof,
                 policy, "manifest.json"):
        os.rename(os.path.join(path, gone), os.path.join(busy.home, "aside"))
        check("")
        for make_it in (os.mkdir, os.mkfifo,
                        lambda f: os.symlink(os.path.join(busy.home, "aside"),
                                             f)):
            make_it(os.path.join(path, gone))
            check("")
            if os.path.isdir(os.path.join(path, gone)) and \
                    not os.path.islink(os.path.join(path, gone)):
                os.rmdir(os.path.join(path, gone))
            else:
                os.unlink(os.path.join(path, gone))
        os.rename(os.path.join(busy.home, "aside"), os.path.join(path, gone))
    busy("audit", "verify", "--bundle", path, code=0)


def test_where_it_cannot_be_made(busy):
    path, _ = make(busy, "--entry", "a")
    n = len(busy.records())
    error = busy.error(INVALID, "audit", "prove", "--entry", "a", "--output",
                       path)
    assert "nothing was asked for" in error["state"]
    assert len(busy.records()) == n + 1     # the question just asked
    for args in (("--entry", "a"), ("3", "--entry", "a", "--output", "x"),
                 (), ("--since", "2026-01-01"),
                 ("--since", "1h", "--until", "2h", "--output", path + "y")):
        busy("audit", "prove", *args, code=USAGE)
    make(busy, "--entry", "a", name="none/there", code=NOT_FOUND)
    # Who may read the record need not see the policies.
    busy.policy(MAY_EXPORT, {
        "name": "no", "effect": "forbid", "subjects": {"uids": [os.getuid()]},
        "actions": ["policy.read"]}, version=2)
    _, said = make(busy, "--entry", "a", name="fewer")
    assert said["policies"] == 0 and said["policies_missing"] == 3
    busy.policy(MAY_EXPORT, {
        "name": "no", "effect": "forbid", "subjects": {"uids": [os.getuid()]},
        "actions": ["audit.read"]}, version=3)
    path, _ = make(busy, "--entry", "a", name="denied", code=DENIED)
    assert not os.path.exists(path) and not os.path.exists(path + ".part")
