"""A helper that takes long: the cloud does not answer one user's fetch, and the
others are served meanwhile, but for what could make untrue what was decided
before it."""

import json
import os
import signal
import subprocess
import threading
import time

import pytest

import cce_standin
import harness
import strangers
from kube import Identity, as_yaml, config
from strangers import FIRST, ask, connect, request
from wire import Broker, answer

MAY = {"name": "others", "effect": "permit", "subjects": {"uids": [FIRST]},
       "actions": ["list", "show", "export", "edit", "remove"]}


class Slow:
    """A service whose cloud answers nothing before `go` is set."""

    def __init__(self, vault, secrets, match="clustercert"):
        strangers.needs_root()
        vault.policy(harness.MAY_EXPORT, MAY)
        vault.add(as_yaml(config(Identity(secrets=secrets))), "a",
                  "--exportable")
        self.vault = vault
        self.go = threading.Event()
        vault.standin.inject(cce_standin.Fault(
            match=match, delay=50, until=self.go))
        self.broker = Broker(vault, "--key-file", vault.key_file)
        strangers.open_way(vault, self.broker.path)
        self.to = ("--broker", "unix:" + self.broker.path)

    def fetch(self, name, cluster="prod"):
        p = self.vault.start("-o", "json", *self.to, *self.vault.cloud(
            "fetch", "--cluster", cluster, "--name", name))
        return p

    def wait(self):
        self.vault.standin.wait_for_waiting()

    def other(self):
        return connect(self.broker.path, FIRST, seconds=60)

    def end(self):
        self.go.set()
        return self.broker.end()


@pytest.fixture
def slow(cloud_vault, secrets):
    s = Slow(cloud_vault, secrets)
    yield s
    s.end()


def test_others_are_served_meanwhile_as_root(slow):
    p = slow.fetch("got")
    slow.wait()
    s = slow.other()
    for _ in range(20):
        said = ask(s, "List", {"labels": {}})
        assert [e["name"] for e in said["parameters"]["items"]] == ["a"]
    export = ask(s, "Export", {"name": "a", "reason": "x", "dry_run": False})
    assert "kubeconfig" in export["parameters"]
    fresh = slow.other()
    assert ask(fresh, "Metrics")["parameters"]["metrics"]["entries"] == 1
    fresh.close()
    assert slow.vault.standin.waiting > 0 and p.poll() is None
    slow.go.set()
    out, err = p.communicate(timeout=60)
    assert p.returncode == 0, err
    assert json.loads(out)["items"][0]["name"] == "got"
    said = ask(s, "List", {"labels": {}})
    assert len(said["parameters"]["items"]) == 2
    s.close()
    slow.end()
    # The export's leaves lie between the fetch's decision and its outcome.
    records = slow.vault.records()
    fetch = [r for r in records if r["action"] == "fetch"]
    exports = [r for r in records if r["action"] == "export"]
    assert [r["phase"] for r in fetch] == ["decision", "outcome"]
    assert fetch[0]["op"] == fetch[1]["op"] and \
        fetch[0]["actor"]["uid"] == fetch[1]["actor"]["uid"] == os.getuid()
    assert {r["actor"]["uid"] for r in exports} == {FIRST}
    assert all(fetch[0]["seq"] < r["seq"] < fetch[1]["seq"] for r in exports)


def test_what_changes_waits_in_line_as_root(slow):
    """A rename, and another fetch: answered afterwards, in order, each once;
    what the same connection sends behind it does not overtake it."""
    p = slow.fetch("got")
    slow.wait()
    s = slow.other()
    s.sendall(request("Rename", {"name": "a", "new_name": "b"}) +
              request("List", {"labels": {}}))
    q = slow.fetch("again", "dev")
    other = slow.other()
    for _ in range(5):
        said = ask(other, "List", {"labels": {}})
        assert [e["name"] for e in said["parameters"]["items"]] == ["a"]
    s.setblocking(False)
    with pytest.raises(BlockingIOError):
        s.recv(1)
    s.settimeout(40)
    assert q.poll() is None
    slow.go.set()
    got = b""
    while got.count(b"\0") < 2:
        got += s.recv(65536)
    first, second = (json.loads(x) for x in got.split(b"\0")[:2])
    assert first["parameters"]["entry"]["name"] == "b"
    assert "b" in [e["name"] for e in second["parameters"]["items"]]
    for process in (p, q):
        _, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
    names = [e["name"] for e in
             ask(other, "List", {"labels": {}})["parameters"]["items"]]
    assert sorted(names) == ["again", "b", "got"]
    s.close()
    other.close()


def test_who_waits_leaves_as_root(slow):
    """His fetch ends with him, others are served on, and so is who waited."""
    p = slow.fetch("got")
    slow.wait()
    s, waiting = slow.other(), slow.other()
    waiting.sendall(request("Rename", {"name": "a", "new_name": "b"}))
    assert "parameters" in ask(s, "List", {"labels": {}})
    os.kill(p.pid, signal.SIGKILL)
    p.communicate()
    assert answer(waiting)["parameters"]["entry"]["name"] == "b"
    assert "parameters" in ask(s, "List", {"labels": {}})
    s.close()
    waiting.close()
    slow.end()
    fetch = [r for r in slow.vault.records() if r["action"] == "fetch"]
    assert [r["phase"] for r in fetch] == ["decision", "outcome"]
    assert fetch[1]["outcome"] == "failed"


def test_those_in_line_may_leave_as_root(slow):
    p = slow.fetch("got")
    slow.wait()
    for _ in range(30):
        s = slow.other()
        s.sendall(request("Label", {"name": "a", "set": {"x": "y"},
                                    "remove": []}))
        s.close()
    s = slow.other()
    assert "parameters" in ask(s, "List", {"labels": {}})
    slow.go.set()
    _, err = p.communicate(timeout=60)
    assert p.returncode == 0, err
    assert "parameters" in ask(s, "List", {"labels": {}})
    s.close()


def test_lock_need_not_wait_as_root(slow):
    """What takes uses away may be urgent; the fetch goes on, for it needs
    nothing that is locked."""
    p = slow.fetch("got")
    slow.wait()
    slow.vault(*slow.to, "lock", code=0)
    slow.vault(*slow.to, "list", code=0)
    assert p.poll() is None
    slow.go.set()
    _, err = p.communicate(timeout=60)
    assert p.returncode == 0, err
    assert sorted(slow.vault.json(*slow.to, "list")["items"][i]["name"]
                  for i in range(2)) == ["a", "got"]


GRACE_S = 20                       # GRACE_MS of loop.c


def test_a_signal_meanwhile_as_root(slow):
    """A call that is over in time is waited for, and others are served as
    long; then it ends, cleanly."""
    p = slow.fetch("got")
    slow.wait()
    os.kill(slow.broker.process.pid, signal.SIGTERM)
    s = slow.other()
    assert "parameters" in ask(s, "List", {"labels": {}})
    s.close()
    slow.go.set()
    p.communicate(timeout=60)
    assert slow.broker.process.wait(60) == 0
    slow.vault.verify()
    assert slow.vault.names() == ["a", "got"]


def test_a_signal_and_a_cloud_that_does_not_answer_as_root(slow):
    """No longer than a service manager waits (TimeoutStopSec): the call is cut
    off, which the record and whoever asked are told."""
    p = slow.fetch("got")
    slow.wait()
    begin = time.monotonic()
    os.kill(slow.broker.process.pid, signal.SIGTERM)
    s = slow.other()
    assert "parameters" in ask(s, "List", {"labels": {}})
    s.close()
    out, err = p.communicate(timeout=60)
    took = time.monotonic() - begin
    assert p.returncode == harness.UNAVAILABLE, (out, err)
    assert b"ended before the cloud answered" in err
    assert slow.broker.process.wait(60) == 0
    assert GRACE_S - 2 < took < harness.within(GRACE_S + 15), took
    slow.vault.verify()
    fetch = [r for r in slow.vault.records() if r["action"] == "fetch"]
    assert [r["phase"] for r in fetch] == ["decision", "outcome"]
    assert fetch[1]["outcome"] == "failed"
    assert slow.vault.names() == ["a"]


@pytest.mark.parametrize("call", ["Find", "Clusters"])
def test_while_clusters_are_looked_for_as_root(cloud_vault, secrets, call):
    slow = Slow(cloud_vault, secrets, match="/clusters")
    try:
        if call == "Find":
            p = slow.fetch("got")
        else:
            p = subprocess.Popen(
                slow.vault.argv("--no-input", *slow.to,
                                *slow.vault.cloud("clusters")),
                env=slow.vault.env(), stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        slow.wait()
        s = slow.other()
        assert "parameters" in ask(s, "List", {"labels": {}})
        s.close()
        slow.go.set()
        _, err = p.communicate(timeout=60)
        assert p.returncode == 0, err
    finally:
        slow.end()


def test_a_freeze_while_a_fetch_runs_as_root(slow):
    """Whoever freezes the vault is answered at once; what the cloud issues
    afterwards is not kept, and the record says so."""
    p = slow.fetch("got")
    slow.wait()
    with connect(slow.broker.path, 0, seconds=60) as root:
        frozen = ask(root, "LockAll", {"reason": "stolen"})
    assert frozen["parameters"]["frozen"], frozen
    assert slow.vault.standin.waiting > 0 and p.poll() is None
    slow.go.set()
    _, err = p.communicate(timeout=60)
    assert p.returncode == harness.DENIED, err
    assert "nothing of it was kept" in err.decode()
    with connect(slow.broker.path, 0, seconds=60) as root:
        assert "error" not in ask(root, "UnlockAll", {"reason": "found"})
        said = ask(root, "List", {"labels": {}})
    assert [e["name"] for e in said["parameters"]["items"]] == ["a"]
    slow.end()
    records = slow.vault.records()
    fetch = [r for r in records if r["action"] == "fetch"]
    assert [r["phase"] for r in fetch] == ["decision", "outcome"]
    assert fetch[1]["outcome"] == "failed" and fetch[0]["op"] == fetch[1]["op"]
    freeze = [r for r in records if r["details"].get("method") == "LockAll"]
    assert fetch[0]["seq"] < freeze[0]["seq"] < fetch[1]["seq"]
