"""No leaf, no release: the decision is in the log, and on the disk, before the
first byte that carries the key moves. Seen from outside, by system calls."""

import base64
import json
import os
import re

import pytest

import harness
import relay_stub
import signing
import straced
from kube import Identity, as_yaml, config
from wire import Broker

CALLS = ("write", "pwrite64", "writev", "sendto", "sendmsg", "fdatasync",
         "fsync", "rename", "renameat", "renameat2")


@pytest.fixture
def held(release_vault, secrets):
    if not harness.have_strace():
        pytest.skip("strace is not to be used here")
    v = release_vault
    v.policy(harness.MAY_EXPORT)
    v.identity = Identity("p256", secrets=secrets)
    v.add(as_yaml(config(v.identity)), "a", "--exportable")
    return v


def first(calls, wanted):
    for i, call in enumerate(calls):
        if wanted(call):
            return i
    return None


def on_log(call):
    return call.path.endswith("/audit/log")


def key_forms(identity):
    """What of the key can be seen in a message: base64 of the PEM in three
    alignments, and the PEM itself."""
    import minting
    pem = minting.key_pem(identity.key, "pkcs8")
    forms = [pem.split(b"\n")[1][10:40]]
    for shift in range(3):
        forms.append(base64.b64encode(pem[shift:])[40:80])
    return forms


def carries_key(identity):
    forms = key_forms(identity)
    return lambda c: any(f in c.data for f in forms)


def test_export(held, tmp_path):
    done, calls = straced.watch(
        held, str(tmp_path / "trace"), CALLS, "export", "a", "--reason",
        "watched-by-the-test", code=0, secret=True)
    leaf = first(calls, lambda c: on_log(c) and c.name in (
        "write", "pwrite64", "writev") and b"watched-by-the-test" in c.data
        and b'"decision":"permit"' in c.data)
    assert leaf is not None, "no decision leaf was written"
    durable = first(calls[leaf:], lambda c: on_log(c) and
                    c.name == "fdatasync" and c.result == 0)
    assert durable is not None, "the leaf was not made durable"
    durable += leaf
    moved = first(calls, carries_key(held.identity))
    assert moved is not None, "the key was not seen: is the test blind?"
    assert durable < moved, (calls[durable], calls[moved])
    # Nothing that belongs to the answer at all was sent before.
    early = [c for c in calls[:durable] if b"client-key-data" in c.data]
    assert not early, early


def test_a_receipt_before_the_key(held, tmp_path):
    """The checkpoint over the decision has its name, and will keep it, before
    anything of the key moves."""
    path = str(tmp_path / "receipt")
    _, calls = straced.watch(held, str(tmp_path / "trace"), CALLS, "export",
                             "a", "--reason", "x", "--receipt", path, code=0,
                             secret=True)
    leaf = first(calls, lambda c: on_log(c) and
                 b'"decision":"permit"' in c.data)
    named = first(calls[leaf:], lambda c: c.name.startswith("rename") and
                  b"checkpoint" in bytes.fromhex("".join(
                      re.findall(r"\\x([0-9a-f]{2})", c.rest))) and
                  c.result == 0)
    assert named is not None, "no checkpoint was stored"
    named += leaf
    synced = first(calls[named:], lambda c: c.name == "fsync" and
                   c.path.endswith("/audit") and c.result == 0)
    assert synced is not None, "its folder was not synced"
    moved = first(calls, carries_key(held.identity))
    assert moved is not None and named + synced < moved
    assert os.path.exists(path)


def test_the_last_checkpoint_comes_after_its_leaves(held, tmp_path):
    """The note over the outcome gets its name when the outcome is on the disk
    and the note is."""
    _, calls = straced.watch(held, str(tmp_path / "trace"), CALLS, "export",
                             "a", "--reason", "x", code=0, secret=True)
    outcome = first(calls, lambda c: on_log(c) and
                    b'"phase":"outcome"' in c.data)
    assert outcome is not None
    durable = first(calls[outcome:], lambda c: on_log(c) and
                    c.name == "fdatasync" and c.result == 0)
    synced = first(calls[outcome:], lambda c: c.name == "fsync" and
                   c.result == 0)
    named = first(calls[outcome:], lambda c: c.name.startswith("rename") and
                  c.result == 0)
    assert durable is not None and synced is not None and named is not None
    assert durable < synced < named, calls[outcome:]


@pytest.mark.parametrize("command", [("list",), ("show", "a")])
def test_a_look_that_counts_waits_for_its_leaf(held, tmp_path, command):
    """What is only looked at is recorded within the second; where the rule
    counts how often, before it is told."""
    others = "remove edit approve audit.read policy.read policy.apply admin"
    who = {"uids": [os.getuid()]}
    held("policy", "apply", held.write("policy.yaml", json.dumps({
        "apiVersion": "certvault/v1", "kind": "Policy",
        "metadata": {"name": "test", "version": 2},
        "rules": [{"name": "owner", "effect": "permit", "subjects": who,
                   "actions": others.split()},
                  {"name": "few", "effect": "permit", "subjects": who,
                   "actions": ["list", "show"],
                   "limit": {"count": 9, "per": "1h"}}]})), code=0)
    done, calls = straced.watch(held, str(tmp_path / "trace"), CALLS,
                                *command, "-o", "json", "--reason",
                                "watched-by-the-test", code=0)
    spki = (done.json["items"][0] if command == ("list",)
            else done.json)["key"]["spki_sha256"].encode()
    leaf = first(calls, lambda c: on_log(c) and
                 b"watched-by-the-test" in c.data and
                 b'"decision":"permit"' in c.data)
    assert leaf is not None
    durable = first(calls[leaf:], lambda c: on_log(c) and
                    c.name == "fdatasync" and c.result == 0)
    told = first(calls, lambda c: not c.path.startswith(held.folder) and
                 spki in c.data)
    assert durable is not None and told is not None
    assert leaf + durable < told, (calls[leaf + durable], calls[told])


def test_denied_export_moves_no_key(held, tmp_path):
    done, calls = straced.watch(held, str(tmp_path / "trace"), CALLS, "export",
                                "a", code=harness.DENIED)
    assert first(calls, carries_key(held.identity)) is None
    deny = first(calls, lambda c: on_log(c) and b'"decision":"deny"' in c.data)
    assert deny is not None
    assert first(calls[deny:], lambda c: on_log(c) and c.name == "fdatasync"
                 and c.result == 0) is not None


def test_where_the_record_cannot_be_made_durable_nothing_moves(held, tmp_path):
    done, calls = straced.watch(
        held, str(tmp_path / "trace"), CALLS, "export", "a", "--reason", "x",
        extra=["-e", "inject=fdatasync:error=EIO"])
    assert done.code == harness.IO, done
    assert first(calls, carries_key(held.identity)) is None
    # A sync that failed is not tried again on the same descriptor.
    on = [c for c in calls if on_log(c) and c.name == "fdatasync"]
    assert on


def opened(call):
    """The file that was opened beneath the vault."""
    return call.data.decode() if call.name == "openat2" else ""


@pytest.mark.parametrize("action", ["export", "list"])
def test_what_cannot_be_counted_is_no_yes(held, tmp_path, action):
    """The limit is used up. Each opening of the record fails once, also that by
    which it is counted: nothing is permitted, and nobody breaks down."""
    if "openat2" not in straced.available(("openat2",)):
        pytest.skip("the kernel or strace has no openat2")
    me = {"effect": "permit", "subjects": {"uids": [os.getuid()]}}
    held("policy", "apply", held.write("few", json.dumps({
        "apiVersion": "certvault/v1", "kind": "Policy",
        "metadata": {"name": "few", "version": 7}, "rules": [
            dict(me, name="rest", actions=["audit.read", "policy.apply"]),
            dict(me, name="few", actions=[action],
                 limit={"count": 1, "per": "1h"})]})), code=0)
    words = ("list",) if action == "list" else ("export", "a")
    held(*words, "--reason", "once", code=0, secret=True)
    done, calls = straced.watch(held, str(tmp_path / "trace"), ("openat2",),
                                *words, "--reason", "twice")
    assert done.code == harness.BUSY and not done.out, done
    at = [c.nth for c in calls if opened(c) == "audit/log"]
    assert len(at) > 2, "the log was hardly opened: is the test blind?"
    for nth in at:
        done = straced.failed_run(held, "openat2", nth, "EIO", *words,
                                  "--reason", "twice")
        assert done.returncode in (harness.IO, harness.BUSY,
                                   harness.INTEGRITY), (nth, done)
        assert not done.stdout, (nth, done)
    assert len([r for r in held.records("--action", action)
                if r["phase"] == "decision" and r["decision"] == "permit"
                and r.get("reason")]) == 1


@pytest.mark.parametrize("command", [("label", "a", "k=v"),
                                     ("rename", "a", "b"),
                                     ("rm", "a", "--yes")])
def test_changes_wait_for_their_leaf(held, tmp_path, command):
    """The new state of the entry is written after the decision is durable."""
    _, calls = straced.watch(held, str(tmp_path / "trace"), CALLS, *command,
                             "--reason", "watched-by-the-test", code=0)
    leaf = first(calls, lambda c: on_log(c) and
                 b"watched-by-the-test" in c.data and
                 b'"decision":"permit"' in c.data)
    durable = first(calls[leaf:], lambda c: on_log(c) and
                    c.name == "fdatasync" and c.result == 0)
    assert durable is not None
    # The outcome says "ok" once the database has it: between the two leaves
    # lies the database's own sync.
    outcome = first(calls, lambda c: on_log(c) and
                    b'"phase":"outcome"' in c.data)
    changed = [i for i, c in enumerate(calls)
               if "/vault.db" in c.path and c.name in ("fdatasync", "fsync")
               and c.result == 0]
    assert outcome is not None and any(leaf + durable < i < outcome
                                       for i in changed), calls


def test_nothing_is_executed_but_ours(held, tmp_path):
    """H20: whatever a kubeconfig names, only our own programs are started."""
    document = config(Identity())
    document["users"].append({"name": "x", "user": {"exec": {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": "touch", "args": [str(tmp_path / "was-here")]}}})
    path = held.write("kube", as_yaml(document))
    _, calls = straced.watch(held, str(tmp_path / "trace"),
                             ("execve", "openat"), "import", path, "--name",
                             "b", code=0)
    started = [c for c in calls if c.name == "execve"]
    assert len(started) >= 2
    for c in started:
        assert harness.RELEASE in c.data.decode(errors="replace"), c
    assert not (tmp_path / "was-here").exists()


def test_no_path_of_a_kubeconfig_is_opened(held, tmp_path):
    secret = tmp_path / "elsewhere"
    secret.write_text("x")
    document = config(Identity())
    document["users"][0]["user"]["client-key"] = str(secret)
    path = held.write("kube", as_yaml(document))
    _, calls = straced.watch(held, str(tmp_path / "trace"), ("openat",),
                             "import", path, "--name", "b",
                             code=harness.INVALID)
    assert calls
    assert not [c for c in calls if str(secret).encode() in c.data]


SANDBOXED = {
    "export": (("export", "a", "--reason", "x"), {"certvaultd", "token"}),
    "import": (("import", "FILE", "--name", "b"), {"certvaultd", "intake"}),
    "merge": (("kubeconfig", "a", "--merge=FILE"), {"certvaultd", "intake"}),
    "policy": (("policy", "check", "POLICY"), {"certvaultd"}),
    "restore": (("--vault", "DRILL", "restore", "BACKUP", "--yes"),
                {"certvaultd"}),
    "exec": (("exec", "a", "--", "true"), {"certvaultd", "token", "relay"}),
}


@pytest.mark.parametrize("command", SANDBOXED)
def test_sandboxes_are_on(held, tmp_path, command):
    """Every program but the command line takes no_new_privs and a filter, also
    the ones that the caller starts himself to have something read."""
    names = {"FILE": held.write("kube", as_yaml(config(Identity()))),
             "POLICY": os.path.join(held.home, "policy.yaml"),
             "DRILL": os.path.join(held.home, "drill"),
             "BACKUP": os.path.join(held.home, "backup")}
    words, wanted = SANDBOXED[command]
    if command == "restore":
        held("backup", names["BACKUP"], code=0)
    if command == "merge":
        names["FILE"] = os.path.join(held.home, "merged")
    for name, path in names.items():
        words = [w.replace(name, path) for w in words]
    _, calls = straced.watch(held, str(tmp_path / "trace"),
                             ("execve", "prctl", "seccomp"), *words, code=0,
                             secret=True)
    who = {}
    for c in calls:
        if c.name == "execve" and c.result == 0:
            who[c.pid] = c.data.decode().rsplit("/", 1)[-1]
    assert wanted <= set(who.values()), who
    for what, mark in (("prctl", "PR_SET_NO_NEW_PRIVS"),
                       ("seccomp", "SECCOMP_SET_MODE_FILTER")):
        locked = {c.pid for c in calls if c.name == what and mark in c.rest}
        for pid, name in who.items():
            # Another one may have been ended before it got so far.
            if name in wanted:
                assert pid in locked, (what, name, sorted(locked), who)


def test_who_reads_the_services_key_can_do_nothing_else(held, tmp_path):
    """No program of its own: a child that the spawner forks for one question.
    It takes its filter before it opens anything."""
    held.wrap = straced.command(str(tmp_path / "trace"),
                                ("seccomp", "openat", "execve"))
    try:
        broker = Broker(held, "--key-file", held.key_file)
        broker.call("io.certvault.Broker.Hello")
        assert broker.end() == 0
    finally:
        held.wrap = []
    with open(tmp_path / "trace", encoding="ascii", errors="replace") as f:
        calls = straced.parse(f.read())
    key = os.path.realpath(held.key_file)
    readers = [i for i, c in enumerate(calls) if c.name == "openat" and
               c.result is not None and c.result >= 0 and
               os.path.realpath(c.data.decode(errors="replace")) == key]
    assert readers, "nobody read the key file: is the test blind?"
    for i in readers:
        assert any(c.pid == calls[i].pid and c.name == "seccomp" and
                   "SECCOMP_SET_MODE_FILTER" in c.rest and c.result == 0
                   for c in calls[:i]), calls[i]


def test_a_signature_waits_for_its_leaf(held, tmp_path):
    """The key is asked for nothing before the decision is durable; several that
    come together share one sync, and each has its leaf before it."""
    out = str(tmp_path / "trace")
    held.wrap = straced.command(out, CALLS)
    broker = Broker(held, "--key-file", held.key_file)
    held.wrap = []
    n = 8
    s = broker.connect()
    data = [signing.challenge() for _ in range(n)]
    s.sendall(b"".join(json.dumps({
        "method": "io.certvault.Broker.Sign", "parameters": {
            "name": "a", "purpose": "challenge",
            "algorithm": "ecdsa_secp256r1_sha256", "reason": f"watched-{i}",
            "data": base64.b64encode(d).decode()}}).encode() + b"\0"
        for i, d in enumerate(data)))
    got = b""
    while got.count(b"\0") < n:
        got += s.recv(65536)
    s.close()
    assert broker.end() == 0
    for d, one in zip(data, got.split(b"\0")):
        signing.verify(held.identity.cert.public_key(),
                       "ecdsa_secp256r1_sha256", d,
                       signing.signature(json.loads(one)))
    with open(out, encoding="ascii", errors="replace") as f:
        calls = straced.parse(f.read())
    asked = [i for i, c in enumerate(calls) if c.name in (
        "write", "writev", "sendto", "sendmsg")
        and b"io.certvault.Token.Sign\"" in c.data]
    assert len(asked) == n, "the token process was not seen: is the test blind?"
    for i in range(n):
        leaf = first(calls, lambda c: on_log(c) and f"watched-{i}\"".encode()
                     in c.data and b'"decision":"permit"' in c.data)
        assert leaf is not None
        synced = first(calls[leaf:], lambda c: on_log(c) and
                       c.name == "fdatasync" and c.result == 0)
        assert leaf + synced < asked[i], (i, leaf, synced, asked)
    syncs = [c for c in calls[:asked[-1]] if on_log(c)
             and c.name == "fdatasync"]
    assert len(syncs) <= 4, f"{len(syncs)} syncs for {n} signatures"


def test_no_record_no_signature(held, tmp_path):
    out = str(tmp_path / "trace")
    held.wrap = straced.command(out, CALLS,
                                ["-e", "inject=fdatasync:error=EIO"])
    broker = Broker(held, "--key-file", held.key_file)
    held.wrap = []
    got = signing.sign(broker, "a", "challenge", "ecdsa_secp256r1_sha256",
                       signing.challenge())
    assert got["error"].endswith(".Io"), got
    broker.end()
    with open(out, encoding="ascii", errors="replace") as f:
        calls = straced.parse(f.read())
    assert not [c for c in calls if b"io.certvault.Token.Sign\"" in c.data]


@pytest.fixture
def granted(home, secrets, tmp_path):
    """A broker under strace whose relay is a stand-in, and a grant."""
    if not harness.have_strace():
        pytest.skip("strace is not to be used here")
    if not os.path.exists(harness.program(build=harness.RELEASE)):
        pytest.skip("no release build")
    build = relay_stub.install(tmp_path / "installed", harness.RELEASE)
    v = harness.Vault(home, secrets, build=build)
    v.identity = Identity("p256", secrets=secrets)
    v.add(as_yaml(config(v.identity)), "a")
    v.stub = relay_stub.Stub(build)
    v.trace = str(tmp_path / "trace")
    return v


def traced_broker(v, *extra):
    v.wrap = straced.command(v.trace, CALLS, [*extra])
    broker = Broker(v, "--key-file", v.key_file)
    v.wrap = []
    return broker


def trace_of(v):
    with open(v.trace, encoding="ascii", errors="replace") as f:
        return straced.parse(f.read())


SENDS = ("write", "writev", "sendto", "sendmsg")


def sent(calls, *parts):
    return [i for i, c in enumerate(calls) if c.name in SENDS
            and not on_log(c) and all(p in c.data for p in parts)]


def leaf_and_sync(calls, *parts):
    """(where the leaf with these parts was written, where it was durable)"""
    leaf = first(calls, lambda c: on_log(c) and all(p in c.data
                                                    for p in parts))
    assert leaf is not None, parts
    return leaf, leaf + first(calls[leaf:], lambda c: on_log(c) and
                              c.name == "fdatasync" and c.result == 0)


def test_no_answer_to_the_relay_before_its_leaf(granted):
    """Door.Sign and Door.Request: what the relay waits for comes after the
    leaf is on the disk; what comes together shares a sync."""
    broker = traced_broker(granted)
    s = broker.connect()
    grant = relay_stub.use(broker, on=s)["parameters"]["grant"]["id"]
    n = 6
    data = [signing.tls13() for _ in range(n)]
    asks = []
    for i, d in enumerate(data):
        asks.append({"method": "Sign", "parameters": relay_stub.
                     sign_parameters(grant, data=d, server=f"s-{i}:1")})
        asks.append({"method": "Request", "parameters": {
            "grant": grant, "audit_id": f"{grant}-{i}", "verb": "create",
            "group": "", "resource": "pods", "subresource": "",
            "namespace": "n", "name": "", "path": "/", "permit": i % 2 == 0}})
    answers = granted.stub({"asks": asks})
    s.close()
    assert broker.end() == 0
    calls = trace_of(granted)
    for i, d in enumerate(data):
        signed, requested = answers[2 * i]["parameters"], \
            answers[2 * i + 1]["parameters"]
        signing.verify(granted.identity.cert.public_key(),
                       "ecdsa_secp256r1_sha256", d,
                       base64.b64decode(signed["signature"]))
        _, durable = leaf_and_sync(calls, f'"s-{i}:1"'.encode(),
                                   b'"decision":"permit"')
        out = sent(calls, signed["signature"].encode()[:40])
        # By the token process, by the broker, by the stand-in to this test.
        assert len(out) >= 2 and durable < out[0], (i, durable, out)
        _, durable = leaf_and_sync(calls, f'"{grant}-{i}"'.encode())
        out = sent(calls, b'{"parameters":{"audit_seq":%d}}'
                   % requested["audit_seq"])
        assert out and durable < out[0], (i, durable, out)
    begin = first(calls, lambda c: on_log(c) and b'"s-0:1"' in c.data)
    last = sent(calls, answers[-2]["parameters"]["signature"].encode()[:40])[0]
    syncs = [c for c in calls[begin:last] if on_log(c)
             and c.name == "fdatasync"]
    assert len(syncs) <= 6, f"{len(syncs)} syncs for {2 * n} asks"


def test_a_grant_waits_for_its_leaf(granted):
    broker = traced_broker(granted)
    s = broker.connect()
    got = relay_stub.use(broker, on=s, reason="watched")["parameters"]
    s.close()
    assert broker.end() == 0
    calls = trace_of(granted)
    _, durable = leaf_and_sync(calls, b'"watched"', b'"decision":"permit"')
    for what in (b"io.certvault.Relay.Open", b"io.certvault.Token.HopMint",
                 got["secret"].encode()[200:260]):
        out = sent(calls, what)
        assert out and durable < out[0], (what, durable, out)


def test_no_record_no_grant_and_nothing_for_the_relay(granted):
    """The sixth sync on the log fails, and all after it."""
    broker = traced_broker(granted, "-e", "inject=fdatasync:error=EIO:when=8+")
    s = broker.connect()
    got, n = relay_stub.use(broker, on=s), 0
    while "error" not in got and n < 40:
        got = relay_stub.use(broker, on=s) if n % 2 else granted.stub.sign(
            got["parameters"]["grant"]["id"]) if "grant" in got["parameters"] \
            else relay_stub.use(broker, on=s)
        n += 1
    assert got["error"].endswith(".Io"), got
    assert not {"signature", "secret", "certificate"} & set(got["parameters"])
    s.close()
    broker.end()
