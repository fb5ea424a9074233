"""Status: for people, as Prometheus' text, and over HTTP for one request."""

import contextlib
import json
import os
import re
import socket
import subprocess
import threading

import pytest

import harness
import strangers
from harness import UNAVAILABLE, USAGE
from kube import Identity, as_yaml, config
from wire import Broker

# The text format's own rules (exposition_formats, version 0.0.4), and what
# promtool's lint asks for beyond them.
SAMPLE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)(?: -?\d+)?")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"(,|$)')
KINDS = ("counter", "gauge", "histogram", "summary", "untyped")


def parsed(text):
    """{name: {labels: value}}; fails where a rule is broken."""
    assert text.endswith("\n") and "\r" not in text
    found, kinds, helped, current = {}, {}, set(), None
    for line in text[:-1].split("\n"):
        if line.startswith("# HELP "):
            _, _, name, words = line.split(" ", 3)
            assert name not in helped, line
            assert words and words[-1] == ".", line
            helped.add(name)
            current = name
            continue
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert kind in KINDS and name not in kinds, line
            assert name == current and name not in found, line
            kinds[name] = kind
            continue
        match = SAMPLE.fullmatch(line)
        assert match, line
        name, labels, value = match.groups()
        # All samples of one name in one group, after what is said of it.
        assert name == current and name in kinds, line
        pairs, rest = [], labels or ""
        while rest:
            label = LABEL.match(rest)
            assert label, line
            assert not label[1].startswith("__"), line
            pairs.append((label[1], label[2]))
            rest = rest[label.end():]
            assert (label[3] == ",") == bool(rest), line
        assert len({k for k, _ in pairs}) == len(pairs), line
        float(value)
        key = tuple(sorted(pairs))
        assert key not in found.setdefault(name, {}), line
        found[name][key] = float(value)
    assert set(found) == set(kinds) == helped
    for name, kind in kinds.items():
        assert (kind == "counter") == name.endswith("_total"), name
        assert not re.search(r"_(milliseconds|minutes|hours|days)$", name)
        assert re.fullmatch(r"certvault_[a-z_]+", name)
    return found


@pytest.mark.parametrize("bad", [
    "a 1", "# HELP a x.\n# TYPE a gauge\na{b=\"c} 1\n",
    "# HELP a x.\n# TYPE a gauge\na 1\na 2\n", "# HELP a x.\na 1\n",
    "# HELP a x.\n# TYPE a gauge\na{b=\"1\",b=\"2\"} 1\n",
    "# HELP a x.\n# TYPE a gauge\na one\n",
    "# HELP a x.\n# TYPE a counter\na 1\n"])
def test_the_rules_can_be_broken(bad):
    with pytest.raises((AssertionError, ValueError)):
        parsed(bad)


@pytest.fixture
def filled(vault, secrets):
    for name in ("a", "b/c.d"):
        vault.add(as_yaml(config(Identity(secrets=secrets))), name)
    return vault


def test_numbers_for_prometheus(filled):
    found = parsed(filled("status", "--metrics", code=0).text)
    ends = {dict(k)["entry"]: v for k, v in
            found["certvault_certificate_expiry_seconds"].items()}
    entries = {e["name"]: e for e in filled.json("list")["items"]}
    assert set(ends) == {"a", "b/c.d"} == set(entries)
    assert all(v > 0 for v in ends.values())
    assert found["certvault_entries"][()] == 2
    assert found["certvault_next_expiry_seconds"][()] <= min(ends.values())
    assert found["certvault_grants"][()] == 0
    assert found["certvault_approvals_pending"][()] == 0
    size = filled.json("audit", "status")["size"]
    assert found["certvault_log_leaves"][()] <= size


def test_status_tells_them_too(filled):
    status = filled.json("status")
    assert status["metrics"]["entries"] == 2
    assert "expiry" not in status["metrics"]
    assert status["metrics"]["log"]["size"] == status["log_size"]
    said = filled("status", code=0).text
    assert "next expiry" in said and "approvals pending" in said
    filled("status", "--metrics", "--http", code=USAGE)


def test_decisions_are_counted(filled):
    broker = Broker(filled, "--key-file", filled.key_file)
    to = ("--broker", "unix:" + broker.path)
    try:
        for _ in range(3):
            filled(*to, "show", "a", code=0)
        filled(*to, "export", "a", "--reason", "x", code=harness.DENIED)
        # In a storm too, whose later ones have no leaf of their own.
        for _ in range(99):
            broker.call("io.certvault.Broker.Export", {
                "name": "a", "reason": "x", "dry_run": True})
        found = parsed(filled(*to, "status", "--metrics", code=0).text)
    finally:
        broker.end()
    count = found["certvault_decisions_total"]
    assert count[(("action", "show"), ("outcome", "permit"))] == 3
    assert count[(("action", "export"), ("outcome", "deny"))] == 100
    assert found["certvault_frozen"][()] == 0
    # Asking for them is no decision, and leaves no record.
    assert not [r for r in filled.records() if r["action"] in
                ("status", "metrics", "list")]


def test_who_may_list_nothing_is_told_no_names_as_root(filled):
    strangers.needs_root()
    broker = Broker(filled, "--key-file", filled.key_file)
    strangers.open_way(filled, broker.path)
    try:
        s = strangers.connect(broker.path, strangers.FIRST)
        said = strangers.ask(s, "Metrics")["parameters"]["metrics"]
        s.close()
    finally:
        broker.end()
    assert said["expiry"] == [] and "next_expiry_s" not in said
    assert "b/c.d" not in json.dumps(said)
    assert not [r for r in filled.records()
                if r["actor"]["uid"] == strangers.FIRST]


def over_http(vault, request, *args, close=True):
    """(head, body) of the answer, as a socket unit with Accept=yes would have
    it; and how the program ended."""
    mine, its = socket.socketpair()
    p = subprocess.Popen(vault.argv("--no-input", *args, "status", "--http"),
                         env=vault.env(), stdin=its, stdout=its,
                         stderr=subprocess.PIPE, start_new_session=True)
    its.close()
    got = b""
    with mine:
        mine.settimeout(60)
        mine.sendall(request)
        if close:
            mine.shutdown(socket.SHUT_WR)
        # What it did not read of too long a request resets the connection.
        with contextlib.suppress(ConnectionResetError):
            while data := mine.recv(65536):
                got += data
    _, note = p.communicate(timeout=60)
    head, _, body = got.partition(b"\r\n\r\n")
    return head.decode("ascii"), body, p.returncode, note


GET = b"GET %s HTTP/1.1\r\nHost: here\r\n\r\n"


def test_http_metrics_and_status(filled):
    head, body, code, _ = over_http(filled, GET % b"/metrics", close=False)
    assert head.startswith("HTTP/1.1 200 OK\r\n") and code == 0
    assert f"\r\nContent-Length: {len(body)}\r\n" in head
    assert "\r\nConnection: close" in head
    assert "version=0.0.4" in head
    assert parsed(body.decode())["certvault_entries"][()] == 2
    head, body, code, _ = over_http(filled, GET % b"/status")
    assert "application/json" in head and code == 0
    assert json.loads(body)["entries"] == 2
    head, body, code, _ = over_http(
        filled, b"HEAD /status HTTP/1.0\r\n\r\n")
    assert head.startswith("HTTP/1.1 200 ") and body == b"" and code == 0


@pytest.mark.parametrize("request_, code", [
    (b"", None), (b"GET /status HTTP/1.1\r\n", 400), (GET % b"/", 404),
    (b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", 400),
    (b"PUT /metrics HTTP/1.1\r\nHost: x\r\n\r\n", 405),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"a" * 100, 400),
    (b"GET /metrics HTTP/1.1\r\n" + b"A: b\r\n" * 3000, 431)],
    ids=["none", "cut", "other", "body", "put", "tls", "long"])
def test_http_refusals(filled, request_, code):
    head, body, ended, _ = over_http(filled, request_)
    assert ended == 0
    if code is None:
        assert head == "" and body == b""
    else:
        assert head.startswith(f"HTTP/1.1 {code} "), head
        assert b"certvault_" not in body


def test_http_without_a_broker(filled):
    """The scraper is told; what it is that failed is for the journal."""
    head, body, code, note = over_http(
        filled, GET % b"/metrics", "--broker",
        "unix:" + os.path.join(filled.home, "none.sock"))
    assert head.startswith("HTTP/1.1 503 ") and code == 0
    assert b"none.sock" in note and b"none.sock" not in body
    filled("--broker", "unix:" + os.path.join(filled.home, "none.sock"),
           "status", "--metrics", code=UNAVAILABLE)


def test_a_slow_scraper_holds_up_nobody(filled):
    """Each has a process of its own: the broker never sees HTTP."""
    broker = Broker(filled, "--key-file", filled.key_file)
    to = ("--broker", "unix:" + broker.path)
    mine, its = socket.socketpair()
    p = filled.start(*to, "status", "--http", stdin=its, stdout=its)
    its.close()
    try:
        mine.sendall(b"GET /metr")
        done = []
        other = threading.Thread(target=lambda: done.append(
            over_http(filled, GET % b"/metrics", *to)))
        other.start()
        other.join(60)
        assert done and done[0][0].startswith("HTTP/1.1 200 ")
        assert p.poll() is None
        mine.sendall(b"ics HTTP/1.1\r\nHost: x\r\n\r\n")
        assert mine.recv(9) == b"HTTP/1.1 "
    finally:
        mine.close()
        p.communicate(timeout=60)
        broker.end()
