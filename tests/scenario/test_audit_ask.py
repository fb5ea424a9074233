"""Asking the record: every form of every answer, following it, and what the
record says of who asked."""

import base64
import json
import os
import re
import select
import signal
import subprocess
import time

import pytest
import yaml

import merkle
from harness import INVALID, MAY_EXPORT, USAGE
from kube import Identity, as_yaml, config
from wire import Broker, answer

LISTS = {"query": (["query", "--action", "export"], "AuditRecordList", "seq"),
         "who": (["who", "a"], "AuditRecordList", "seq"),
         "exposure": (["exposure"], "ExposureList", "entry"),
         "keys": (["key", "--all"], "LogKeyList", "vkey")}
OBJECTS = {"status": (["status"], "AuditStatus"),
           "verify": (["verify"], "AuditReport"),
           "report": (["report"], "AuditReport"),
           "consistency": (["consistency", "1", "2"], "ConsistencyProof")}
BYTES = [["record", "1"], ["key"], ["export", "--format", "jsonl", "--until",
                                    "2001-01-01"]]


@pytest.fixture
def busy(vault, secrets):
    vault.policy(MAY_EXPORT)
    vault.add(as_yaml(config(Identity(secrets=secrets))), "a", "--exportable")
    vault("export", "a", "--reason", "r", code=0, secret=True)
    return vault


@pytest.mark.parametrize("what", LISTS)
def test_lists_in_every_form(busy, what):
    args, kind, name = LISTS[what]
    got = busy.json("audit", *args)
    assert got["kind"] == kind and got["items"]
    assert yaml.safe_load(busy("audit", *args, "-o", "yaml",
                               code=0).text) == got
    names = busy("audit", *args, "-o", "name", code=0).text.splitlines()
    assert names == [str(x[name]) for x in got["items"]]
    table = busy("audit", *args, "-o", "table", code=0).text
    assert table == busy("audit", *args, code=0).text
    assert len(table.splitlines()) == len(names) + 1


@pytest.mark.parametrize("what", OBJECTS)
def test_objects_in_every_form(busy, what):
    args, kind = OBJECTS[what]
    got = busy.json("audit", *args)
    assert got["kind"] == kind
    also = yaml.safe_load(busy("audit", *args, "-o", "yaml", code=0).text)
    assert also.keys() == got.keys() and also["kind"] == kind
    assert len(busy("audit", *args, "-o", "name",
                    code=0).text.splitlines()) == 1
    assert len(busy("audit", *args, code=0).text.splitlines()) > 1


def test_bytes_are_bytes_in_every_form(busy):
    for args in BYTES:
        want = busy("audit", *args, code=0).out
        for form in ("table", "json", "yaml", "name"):
            assert busy("audit", *args, "-o", form, code=0).out == want


def test_no_other_form(busy):
    asked = [x[0] for x in (*LISTS.values(), *OBJECTS.values())] + BYTES + [
        ["tail"], ["checkpoint"], ["prove", "1"], ["rebuild"], ["send"],
        ["anchor"]]
    before = len(busy.records())
    for args in asked:
        for form in ("csv", "JSON", "", "jsonl"):
            done = busy("audit", *args, "-o", form, code=USAGE)
            assert not done.out and "table, json, yaml or name" in done.note
    busy("audit", "export", "--format", "xml", code=USAGE)
    assert len(busy.records()) == before + 1   # the first count's own


def seqs(form, text):
    """The numbers of the records that were shown, and that nothing else was."""
    if form == "name":
        return [int(x) for x in text.splitlines()]
    if form == "json":
        return [json.loads(x)["seq"] for x in text.splitlines()]
    if form == "yaml":
        return [x["seq"] for x in yaml.safe_load_all(text) if x]
    rows = [x for x in text.splitlines() if not x.startswith("SEQ")]
    return [int(re.match(r"\d+", x).group()) for x in rows]


FORMS = ("table", "json", "yaml", "name")


@pytest.mark.parametrize("form", FORMS)
def test_tail_in_every_form(busy, form):
    got = seqs(form, busy("audit", "tail", "-n", "3", "-o", form, code=0).text)
    assert len(got) == 3 and got == list(range(got[0], got[0] + 3))
    assert not busy("audit", "tail", "-n", "0", "-o", form, code=0).out


def follow(vault, form, *args):
    return subprocess.Popen(
        vault.argv("--no-input", "audit", "tail", "-f", "-o", form, *args),
        env=vault.env(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE)


def until(process, enough):
    """Its output, once `enough` says so."""
    got = b""
    os.set_blocking(process.stdout.fileno(), True)
    while not enough(got):
        more = os.read(process.stdout.fileno(), 1 << 16)
        assert more, process.stderr.read()
        got += more
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    return got.decode()


@pytest.mark.parametrize("form", FORMS)
def test_following_in_every_form(busy, form):
    last = busy.json("audit", "status")["size"] - 1
    process = follow(busy, form, "-n", "1")
    # Its own question is the next record; then comes what is done meanwhile.
    got = os.read(process.stdout.fileno(), 1 << 16)
    busy("list", "--reason", "while it follows", code=0)
    got += until(process, lambda x: b"while it" in x if form != "name"
                 else len((got + x).splitlines()) > 1).encode()
    shown = seqs(form, got.decode().rstrip("-\n") + "\n")
    assert shown[0] > last and shown == list(range(shown[0], shown[-1] + 1))


def test_following_ends_with_its_reader(busy):
    """`audit tail -f | head -1`: not with the next record only, which may be
    long in coming."""
    process = follow(busy, "json", "-n", "1")
    assert os.read(process.stdout.fileno(), 1 << 16)
    process.stdout.close()
    assert process.wait(timeout=60) == 0
    assert process.stderr.read() == b""
    process.stderr.close()


def test_who_is_far_behind_gets_all(busy):
    """An answer has a thousand records; what is behind it is asked for at
    once, and nothing is passed over."""
    broker = Broker(busy)
    try:
        s = broker.connect()
        for _ in range(2100):         # some are told to come slower
            broker.call("io.certvault.Broker.List", on=s)
        size = broker.call("io.certvault.Broker.AuditStatus",
                           on=s)["parameters"]["status"]["size"]
        got, after = [], 3
        while True:
            page = broker.call("io.certvault.Broker.AuditTail",
                               {"after": after}, on=s)["parameters"]["items"]
            if not page:
                break
            assert len(page) <= 1000
            got += [x["seq"] for x in page]
            after = got[-1]
        assert size > 1100 and got[:size - 4] == list(range(4, size))
        s.close()
    finally:
        broker.end()


def lengthen(vault, n):
    """n more records, as a broker would have written them."""
    path = vault.path("audit/log")
    with open(path, "rb") as f:
        frames, end = merkle.frames(f.read())
    last = frames[-1][1]
    record = json.loads(last)
    made = []
    for i in range(n):
        record["seq"] += 1
        record["op"] = f"{i:032x}"
        record["entry"] = f"made-{i % 7}"
        record["prev"] = base64.b64encode(merkle.leaf(last)).decode()
        last = json.dumps(record, sort_keys=True,
                          separators=(",", ":")).encode()
        made.append(merkle.frame(last))
    with open(path, "r+b") as f:
        f.seek(end)
        f.truncate()
        f.write(b"".join(made))


def asked_meanwhile(vault, broker):
    """Somebody asks, which makes the index; and when it has been begun somebody
    else. Who has his answer first?"""
    asks, other = broker.connect(), broker.connect()
    other.settimeout(60)
    asks.settimeout(60)
    asks.sendall(json.dumps(
        {"method": "io.certvault.Broker.AuditQuery", "more": True,
         "parameters": {"filter": {"entry": "made-3", "limit": 5}}}
    ).encode() + b"\0")
    end = time.monotonic() + 60
    while not os.path.exists(vault.path("audit/index.db")):
        assert time.monotonic() < end
    broker.call("io.certvault.Broker.List", {"reason": "meanwhile"}, on=other)
    first = not select.select([asks], [], [], 0)[0]
    items = answer(asks)["parameters"]["items"]
    assert [x["entry"] for x in items] == ["made-3"] * 5
    asks.close()
    other.close()
    return first


def test_others_are_served_while_the_index_is_built(busy):
    """It is made in steps of 8,192 leaves: between them comes whoever asks. On
    a busy machine the second may be late, so he has some tries."""
    busy("list", code=0)
    lengthen(busy, 26000)
    assert not os.path.exists(busy.path("audit/index.db"))
    broker = Broker(busy)
    try:
        tries = 1
        while not asked_meanwhile(busy, broker):
            tries += 1
            assert tries < 10
            os.unlink(busy.path("audit/index.db"))
    finally:
        broker.end()
    # What was written meanwhile is found, and the index is the log's.
    assert len(busy.records("--entry", "made-4")) == len(range(4, 26000, 7))
    got = [r for r in busy.records("--action", "list")
           if r.get("reason") == "meanwhile"]
    assert len(got) == tries
    busy.verify()


QUESTIONS = [
    (["query", "--actor", "alice", "--entry", "prod-*", "--action", "ex*",
      "--outcome", "denied", "--since", "2026-01-02", "--until",
      "2026-01-03T00:00:00Z", "--limit", "7"],
     {"method": "AuditQuery", "actor": "alice", "filter_entry": "prod-*",
      "filter_action": "ex*", "filter_outcome": "denied", "limit": 7,
      "since": "2026-01-02T00:00:00Z", "until": "2026-01-03T00:00:00Z"}),
    (["query"], {"method": "AuditQuery"}),
    (["who", "a"], {"method": "AuditWho", "filter_entry": "a"}),
    (["record", "3"], {"method": "AuditRecord", "record": 3}),
    (["tail", "-n", "2"], {"method": "AuditTail", "limit": 2}),
    (["prove", "1"], {"method": "AuditProve", "record": 1}),
    (["report", "--since", "2026-01-02"],
     {"method": "AuditReport", "since": "2026-01-02T00:00:00Z"}),
]


def test_the_record_says_what_was_asked(busy):
    for args, want in QUESTIONS:
        busy("audit", *args, code=0)
        leaf = busy.records("--action", "audit.read")[-2]
        assert leaf["details"] == want, args
    assert "AuditWho a" not in busy("audit", "query", code=0).text
    assert re.search(r" Who a( |$)", busy("audit", "query", code=0).text, re.M)
    busy("audit", "query", "--actor", "x" * 256, code=0)
    leaf = busy.records("--action", "audit.read")[-2]
    assert leaf["details"]["actor"] == "x" * 200 + "..."
    busy.verify()


def test_a_denied_question_is_told_too(busy):
    busy("audit", "record", "99999", code=None)
    leaf = busy.records("--action", "audit.read")[-2]
    assert leaf["details"] == {"method": "AuditRecord", "record": 99999}
    busy.error(INVALID, "audit", "query", "--limit", "1000001")
