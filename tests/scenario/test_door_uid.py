"""Who is asking is what the kernel said when the socket was connected, and
nothing else: P12, P13 and P14 of the threats. As root, with users by number."""

import contextlib
import json
import os
import signal
import socket
import subprocess

import pytest

import harness
import merkle
import strangers
from harness import FULL
from kube import Identity, as_yaml, config
from strangers import FIRST, ask, connect, request
from wire import Broker, answer

ALICE, BOB, CAROL = FIRST, FIRST + 1, FIRST + 2
MANY = 1000 if FULL else 100
RECYCLED = 500 if FULL else 25
LAST_PID = "/proc/sys/kernel/ns_last_pid"


def rule(name, actions, when=None, **subjects):
    return {"name": name, "effect": "permit", "subjects": subjects,
            "actions": actions, **({"when": when} if when else {})}


@contextlib.contextmanager
def serving(vault, secrets, *rules):
    strangers.needs_root()
    vault.policy(*rules)
    vault.add(as_yaml(config(Identity(secrets=secrets))), "a", "--exportable")
    broker = Broker(vault, "--key-file", vault.key_file)
    strangers.open_way(vault, broker.path)
    try:
        yield broker
    finally:
        broker.end()


def of(records, uid):
    return [r for r in records if r["actor"]["uid"] == uid]


def told(records):
    """How many denials leaves tell of: later ones of a storm share some."""
    return sum(r.get("details", {}).get("count", 1) for r in records
               if r.get("decision") == "deny" or
               "count" in r.get("details", {}))


# --- P12 ---

ASKED = [("Export", {"name": "a", "reason": "x", "dry_run": False}),
         ("Show", {"name": "a"}), ("List", {"labels": {}}),
         ("Rename", {"name": "a", "new_name": "b"}),
         ("PolicyShow", {}), ("AuditTail", {"last": 5}), ("Lock", {}),
         ("SlotList", {}), ("Use", {"name": "a", "kind": "exec",
                                    "read_only": False})]


def test_p12_the_service_as_root(vault, secrets):
    """The folders wide open, many connections of a user whom no rule
    names: nothing for any of them, and the record knows of each."""
    with serving(vault, secrets, rule("alice", ["*"], uids=[ALICE])) as broker:
        for folder in (vault.home, os.path.dirname(broker.path)):
            os.chmod(folder, 0o777)
        served = 0
        for i in range(MANY):
            s = connect(broker.path, BOB, seconds=60)
            said = ask(s, *ASKED[i % len(ASKED)])
            served += "error" not in said
            assert said["error"] == "io.certvault.Broker.Denied", said
            s.close()
        assert served == 0
        s = connect(broker.path, ALICE)
        assert "parameters" in ask(s, "Show", {"name": "a"})
        s.close()
    records = vault.records()
    assert not [r for r in of(records, BOB) if r.get("decision") == "permit"]
    assert told(of(records, BOB)) == MANY
    assert vault.names() == ["a"]


def test_p12_an_agent_as_root(vault):
    """An agent serves one user; the socket's mode is not what keeps others
    out."""
    strangers.needs_root()
    vault.flags = []
    vault("agent", "start", code=0)
    try:
        status = vault.json("agent", "status")
        path = status["socket"]
        folders = (vault.home, os.path.dirname(path),
                   os.path.dirname(os.path.dirname(path)))
        for folder in folders:
            os.chmod(folder, 0o777)
        os.chmod(path, 0o777)
        for _ in range(MANY):
            s = connect(path, BOB)
            with contextlib.suppress(BrokenPipeError):
                s.sendall(request("List", {"labels": {}}))
            assert answer(s) is None
            s.close()
    finally:
        for folder in folders:
            os.chmod(folder, 0o700)
        os.chmod(path, 0o600)
        vault("agent", "stop", code=0)
    assert not harness.wait_for_none()
    vault.flags = ["--no-agent"]
    leaves = of(vault.records(), BOB)
    assert sum(r["details"]["denials"] for r in leaves) == MANY
    assert len(leaves) < 10


# --- P13 ---

class Holder:
    """A process of another user that is given connections and uses them."""

    def __init__(self, uid):
        self.mine, its = socket.socketpair()
        self.pid = os.fork()
        if self.pid == 0:
            self.mine.close()
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            self.use(its)
        its.close()

    @staticmethod
    def use(its):
        while True:
            words, fds, _, _ = socket.recv_fds(its, 65536, 1)
            if not words:
                os._exit(0)
            with socket.socket(fileno=fds[0]) as s:
                s.settimeout(60)
                s.sendall(words)
                its.sendall(json.dumps(answer(s)).encode() + b"\0")

    def ask(self, fd, method, parameters):
        socket.send_fds(self.mine, [request(method, parameters)], [fd])
        return answer(self.mine)

    def end(self):
        self.mine.close()
        os.waitpid(self.pid, 0)


def connected_by_who_dies(path, uid):
    """(socket, pid): connected by a process of `uid` that then became another
    program, and is gone. We hold what it left."""
    mine, its = socket.socketpair()
    folder = os.open(os.path.dirname(path), os.O_PATH)
    pid = os.fork()
    if pid == 0:
        mine.close()
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
        s = socket.socket(socket.AF_UNIX)
        s.connect(f"/proc/self/fd/{folder}/{os.path.basename(path)}")
        socket.send_fds(its, [b"x"], [s.fileno()])
        os.execv("/bin/true", ["true"])
    its.close()
    os.close(folder)
    _, fds, _, _ = socket.recv_fds(mine, 1, 1)
    mine.close()
    os.waitpid(pid, 0)
    return socket.socket(fileno=fds[0]), pid


def reborn(pid, uid):
    """A process of `uid`, another program, with the number `pid`; None where
    somebody else took it."""
    with open(LAST_PID, "w", encoding="ascii") as f:
        f.write(str(pid - 1))
    child = os.fork()
    if child == 0:
        os.setresuid(uid, uid, uid)
        os.execv("/bin/sleep", ["sleep", "60"])
    if child != pid:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return None
    return child


def test_p13_a_pid_is_nobody_as_root(vault, secrets):
    """Alice connects, hands the socket to Bob, becomes another program and
    dies; Carol, who may do all, gets her pid. Still it is Alice who asks: what
    she may, and no more."""
    try:
        with open(LAST_PID, "r+", encoding="ascii"):
            pass
    except OSError as e:
        pytest.skip(f"pids cannot be chosen here: {e}")
    rng = harness.seeded()
    pids, missed = [], 0
    with serving(vault, secrets, rule("alice", ["show"], uids=[ALICE]),
                 rule("carol", ["*"], uids=[CAROL])) as broker:
        bob = Holder(BOB)
        try:
            while len(pids) < RECYCLED and missed < 10 * RECYCLED:
                s, pid = connected_by_who_dies(broker.path, ALICE)
                carol = reborn(pid, CAROL)
                if carol is None:
                    missed += 1
                    s.close()
                    continue
                asked = [("Show", {"name": "a"}, True),
                         ("PolicyShow", {}, False),
                         ("List", {"labels": {}}, False)]
                for method, parameters, may in rng.sample(asked, 2):
                    said = bob.ask(s.fileno(), method, parameters)
                    assert ("error" not in said) == may, (method, said)
                os.kill(carol, signal.SIGKILL)
                os.waitpid(carol, 0)
                s.close()
                pids.append(pid)
        finally:
            bob.end()
    if len(pids) < RECYCLED:
        pytest.skip(f"only {len(pids)} pids came again")
    records = vault.records()
    hers = of(records, ALICE)
    assert told(hers) + len([r for r in hers if r.get("decision") ==
                             "permit"]) == 2 * RECYCLED
    assert not of(records, BOB) and not of(records, CAROL)
    for r in hers:
        # Her number, as a hint; nothing of who goes by it now.
        assert r["actor"].get("pid") in (*pids, None), r
        assert not r["actor"].get("hints"), r
        assert "sleep" not in json.dumps(r)


# --- P14 ---

def ask_as(broker, uid, method, parameters, gids=()):
    s = connect(broker.path, uid, gids)
    try:
        return ask(s, method, parameters)
    except OSError:
        return None
    finally:
        s.close()


EXTREME = (2**32 - 2, 2**31, 2**31 - 1, 2**31 + 1000, 65534)


def test_p14_extreme_uids_as_root(vault, secrets):
    """CVE-2018-19788: what is no int is nobody special."""
    with serving(vault, secrets, rule("alice", ["show"], uids=[ALICE])) as b:
        for uid in EXTREME:
            said = ask_as(b, uid, "Show", {"name": "a"})
            assert said["error"] == "io.certvault.Broker.Denied", (uid, said)
        said = ask_as(b, ALICE, "Show", {"name": "a"})
        assert "error" not in said
    records = vault.records()
    for uid in EXTREME:
        assert [r["decision"] for r in of(records, uid)] == ["deny"], uid


def test_p14_an_extreme_uid_that_is_named_as_root(vault, secrets):
    """The greatest that a policy can name: it, and no other."""
    with serving(vault, secrets, rule("last", ["show"],
                                      uids=[2**32 - 3])) as b:
        assert "error" not in ask_as(b, 2**32 - 3, "Show", {"name": "a"})
        for uid in (*EXTREME, ALICE):
            assert "error" in ask_as(b, uid, "Show", {"name": "a"}), uid


def test_p14_groups_that_cannot_be_told_as_root(vault, secrets):
    """More groups than are kept: not the first few of them, but a no."""
    named = rule("leads", ["show"], groups=[])
    named["subjects"] = {"users": ["*"]}
    with serving(vault, secrets, named) as b:
        few = range(900000, 900000 + 256)
        assert "error" not in ask_as(b, ALICE, "Show", {"name": "a"}, few)
        more = range(900000, 900000 + 257)
        assert ask_as(b, ALICE, "Show", {"name": "a"}, more) is None


def test_p14_every_input_is_needed_as_root(vault, secrets):
    """One rule that wants everything; each thing left out, wrong or at its
    limit is a no."""
    strict = rule("strict", ["export"], {
        "reason": "required", "ticket": "OPS-[0-9]+", "mode": ["service"],
        "contexts": ["main"], "tty": "required"}, uids=[ALICE])
    strict["entries"] = {"names": ["a"], "labels": {"env": "prod"}}
    whole = {"name": "a", "context": "main", "reason": "why",
             "ticket": "OPS-1", "tty": True, "dry_run": True}
    wrong = [{"reason": None}, {"reason": ""}, {"ticket": None},
             {"ticket": "OPS-"}, {"ticket": "XOPS-1"}, {"ticket": "OPS-1x"},
             {"ticket": "x" * 64}, {"ticket": "OPS-1" + "1" * 60},
             {"context": "other"}, {"context": "m" * 300}, {"tty": None},
             {"tty": False}, {"tty": 1}, {"tty": "true"}, {"name": "b"},
             {"name": ""}, {"name": "a" * 128}, {"name": "A"},
             {"name": ["a"]}, {"reason": 1}, {"reason": "r" * 257},
             {"uid": 0}]
    with serving(vault, secrets, strict) as b:
        assert "error" in ask_as(b, ALICE, "Export", whole)     # no label yet
        s = connect(b.path, os.getuid())
        assert "error" not in ask(s, "Label", {
            "name": "a", "set": {"env": "prod"}, "remove": []})
        s.close()
        assert "error" not in ask_as(b, ALICE, "Export", whole)
        for change in wrong:
            said = ask_as(b, ALICE, "Export", {
                k: v for k, v in {**whole, **change}.items() if v is not None})
            assert "error" in said and "kubeconfig" not in said["parameters"], \
                (change, said)
        assert "error" in ask_as(b, BOB, "Export", whole)
        assert "error" not in ask_as(b, ALICE, "Export", whole)


def test_p14_no_name_for_the_uid_as_root(vault, secrets):
    """The name is for the record; that nobody has the number is no reason to
    let it in, nor to keep it out."""
    with serving(vault, secrets, rule("alice", ["show"], uids=[ALICE])) as b:
        assert "error" not in ask_as(b, ALICE, "Show", {"name": "a"})
        assert "error" in ask_as(b, BOB, "Show", {"name": "a"})
    users = {r["actor"]["uid"]: r["actor"]["user"] for r in vault.records()}
    assert users[ALICE] == f"uid:{ALICE}" and users[BOB] == f"uid:{BOB}"


@pytest.mark.parametrize("name", harness.PROGRAMS)
def test_p14_without_any_argument_word(home, name):
    """CVE-2021-4034: argv is empty (a kernel since 5.18 puts one in)."""
    path = harness.program(name)
    code = ("import ctypes,sys\n"
            "p=sys.argv[1].encode()\n"
            "none=(ctypes.c_char_p*1)(None)\n"
            "env=(ctypes.c_char_p*2)(b'HOME='+sys.argv[2].encode(),None)\n"
            "ctypes.CDLL(None).execve(p,none,env)\n")
    done = subprocess.run(["/usr/bin/python3", "-c", code, path, str(home)],
                          stdin=subprocess.DEVNULL, capture_output=True,
                          timeout=60)
    assert 0 < done.returncode <= 78, done
    assert b"Sanitizer" not in done.stderr, done


# --- a group whose commit comes in its middle ---

def export_of(reason, dry):
    return request("Export", {"name": "a", "dry_run": dry, "reason": reason})


def answers(s, n):
    got = b""
    while got.count(b"\0") < n:
        data = s.recv(1 << 20)
        assert data
        got += data
    return [json.loads(m)["parameters"] for m in got.split(b"\0")[:-1]]


@pytest.mark.parametrize("total", range(894, 905) if FULL else [899])
def test_dry_runs_that_fill_what_waits(release_vault, secrets, total):
    """A dry run's record waits; where there is no room for it, all that waits
    is committed, in the middle of a group with what is given for good."""
    with serving(release_vault, secrets,
                 rule("them", ["export"], uids=[ALICE, BOB])) as broker:
        ends = [connect(broker.path, uid) for uid in (ALICE, BOB)]
        asked = [[export_of(f"a{i}", True) for i in range(total // 2 - 10)]]
        asked += [[export_of(f"b{i}", True)
                   for i in range(total - len(asked[0]))]]
        asked[1] += [export_of("given 1", False), export_of("c", True),
                     export_of("given 2", False), export_of("d", True)]
        os.kill(broker.pid(), signal.SIGSTOP)  # it finds all of them together
        for s, requests in zip(ends, asked):
            s.sendall(b"".join(requests))
        os.kill(broker.pid(), signal.SIGCONT)
        given = [p for s, requests in zip(ends, asked)
                 for p in answers(s, len(requests)) if "kubeconfig" in p]
    log = [json.loads(r) for r in merkle.read_log(
        release_vault.path("audit/log"))]
    assert len(given) == 2
    for got in given:
        leaf = log[got["audit_seq"]]
        assert leaf["decision"] == "permit"
        assert leaf["reason"].startswith("given ")
    release_vault.verify()
