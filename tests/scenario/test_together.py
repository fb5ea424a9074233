"""Group commit: exports, uses, signatures and denials that come at the same
time share one sync of the log, and none is answered before it."""

import base64
import json
import os

import pytest

import harness
import merkle
import relay_stub
import signing
import users
from approval_rig import approvals, asked, given, rig, vault_with_entry  # noqa: F401
from kube import Identity, as_yaml, config
from together_rig import (BROKER, at_once, export, read_trace,  # noqa: F401
                          request, served, traced)
from users import ALICE, BOB, permit
from wire import Broker

N = 20


def on_log(call):
    return call.path.endswith("/audit/log")


def check_order(calls, answers, decision):
    """Each leaf, then its sync, then its answer. How many syncs there were up
    to the last answer."""
    last = 0
    for got in answers:
        seq = got["parameters"]["audit_seq"]
        leaf = next(i for i, c in enumerate(calls) if on_log(c) and
                    b'"seq":%d,' % seq in c.data)
        assert decision in calls[leaf].data
        durable = next(i for i in range(leaf, len(calls)) if on_log(calls[i])
                       and calls[i].name == "fdatasync" and
                       calls[i].result == 0)
        sent = [i for i, c in enumerate(calls) if not on_log(c) and
                b'"audit_seq":%d' % seq in c.data]
        assert sent, "its answer was not seen: is the test blind?"
        assert durable < sent[0], (calls[durable], calls[sent[0]])
        last = max(last, sent[0])
    return sum(on_log(c) and c.name == "fdatasync" for c in calls[:last])


def seqs(answers):
    return [g["parameters"]["audit_seq"] for g in answers]


def test_exports_share_a_sync(served, tmp_path):
    path = str(tmp_path / "trace")
    with traced(served.broker, path):
        got = at_once(served.broker, [export(f"r-{i}") for i in range(N)])
    assert all("kubeconfig" in g["parameters"] for g in got), got
    assert len(set(seqs(got))) == N
    syncs = check_order(read_trace(path), got, b'"decision":"permit"')
    # Two turns of this user, each with its decisions and its outcomes.
    assert syncs <= 6, f"{syncs} syncs for {N} exports"
    records = [json.loads(r) for r in
               merkle.read_log(served.path("audit/log"))]
    done = {r["op"] for r in records if r["phase"] == "outcome"}
    for g in got:
        leaf = records[g["parameters"]["audit_seq"]]
        assert leaf["action"] == "export" and leaf["op"] in done


def denied(i):
    """By policy, for want of an entry, as no request: each has its leaf."""
    return (export(""), export(name=f"none-{i}"), export(nonsense=1),
            request("Use", name="a", kind="what", read_only=False),
            request("Sign", name="a", purpose="challenge", algorithm="no",
                    data="AA==", context="none"))[i % 5]


def test_denials_share_a_sync(served, tmp_path):
    path = str(tmp_path / "trace")
    with traced(served.broker, path):
        got = at_once(served.broker, [denied(i) for i in range(N)])
    codes = {g["parameters"]["code"] for g in got}
    assert codes == {"denied", "not-found", "invalid"}, got
    assert len(set(seqs(got))) == N
    syncs = check_order(read_trace(path), got, b'"decision":"deny"')
    assert syncs <= 4, f"{syncs} syncs for {N} denials"


def test_one_by_one_they_do_not(served, tmp_path):
    """What the above would count without groups."""
    path, got = str(tmp_path / "trace"), []
    with traced(served.broker, path):
        for i in range(5):
            got += at_once(served.broker, [export(f"r-{i}")])
    assert check_order(read_trace(path), got, b'"decision":"permit"') >= 5


def test_a_group_keeps_the_limit(served):
    v = served
    v("--broker", "unix:" + v.broker.path, "policy", "apply", v.write(
        "p.yaml", json.dumps({
            "apiVersion": "certvault/v1", "kind": "Policy",
            "metadata": {"name": "t", "version": 2}, "rules": [
                permit("owner", [os.getuid()],
                       ["list", "audit.read", "policy.apply"]),
                permit("few", [os.getuid()], ["export"],
                       limit={"count": 3, "per": "1h"})]})), code=0)
    got = at_once(v.broker, [export() for _ in range(50)])
    assert sum("error" not in g for g in got) == 3
    assert all(g["parameters"]["code"] == "busy" for g in got if "error" in g)
    assert sum(b'"decision":"permit"' in r and b'"action":"export"' in r and
               b'"phase":"decision"' in r
               for r in merkle.read_log(v.path("audit/log"))) == 3


def test_a_sync_that_fails_refuses_its_group(served, tmp_path):
    """Nothing of it is released, and nothing of it is in the record."""
    before = len(merkle.read_log(served.path("audit/log")))
    with traced(served.broker, str(tmp_path / "trace"), "-e",
                "inject=fdatasync:error=EIO:when=1"):
        got = at_once(served.broker, [
            export(f"r-{i}") if i % 4 else export("") for i in range(N)])
    refused = [g for g in got if g.get("error", "").endswith(".Io")]
    assert len(refused) >= N // 2, "one group, of one turn at least"
    assert b"client-key-data" not in json.dumps(refused).encode()
    others = [g for g in got if g not in refused]
    records = [json.loads(r) for r in
               merkle.read_log(served.path("audit/log"))[before:]]
    leaves = sorted(r["seq"] for r in records if r["phase"] == "decision" and
                    r["action"] == "export")
    assert leaves == sorted(seqs(others)), (leaves, got)
    # The next one finds a log that was opened anew.
    given(at_once(served.broker, [export()])[0])


def test_released_is_recorded_whenever_it_is_killed(release_vault, secrets,
                                                    tmp_path):
    v = release_vault
    if not harness.have_strace():
        pytest.skip("strace is not to be used here")
    v.policy(harness.MAY_EXPORT)
    v.add(as_yaml(config(Identity("p256", secrets=secrets))), "a",
          "--exportable")
    rng = harness.seeded()
    out = 0
    for call in ("fdatasync", "pwrite64", "sendmsg", "sendto"):
        for nth in rng.sample(range(1, 20), 9 if harness.FULL else 2):
            broker = Broker(v, "--key-file", v.key_file)
            given(broker.call(BROKER + "Export", {
                "name": "a", "dry_run": False, "reason": "first"}))
            with traced(broker, os.devnull, "-e", f"trace={call}", "-e",
                        f"inject={call}:signal=SIGKILL:when={nth}"):
                got = at_once(broker, [export(f"{call}-{nth}-{i}")
                                       for i in range(N)])
            broker.process.kill()
            broker.process.communicate(timeout=60)
            assert not harness.wait_for_none()
            kept = [json.loads(r) for r in
                    merkle.read_log(v.path("audit/log"))]
            for i, g in enumerate(got):
                if g is None or "error" in g:
                    continue
                out += 1
                leaf = kept[g["parameters"]["audit_seq"]]
                assert leaf["reason"] == f"{call}-{nth}-{i}"
                assert leaf["decision"] == "permit"
            assert v.verify()["ok"]
    assert out, "nothing was ever released: is the test blind?"


def test_each_caller_has_his_answers_in_his_order(served):
    """One connection, everything in one piece: what shares a commit and what
    does not."""
    data = base64.b64encode(signing.challenge()).decode()
    parts, kinds = [], []
    for i in range(30):
        parts += [(export(f"o-{i}"), "kubeconfig"), (export(""), "code"),
                  (request("Sign", name="a", purpose="challenge", data=data,
                           algorithm="ecdsa_secp256r1_sha256"), "signature"),
                  (request("Show", name="a"), "entry"),
                  (export(dry_run=True) if i % 2 else
                   request("List"), None)][:5 if i % 3 else 3]
    s = served.broker.connect()
    s.sendall(b"".join(m for m, _ in parts))
    got = b""
    while got.count(b"\0") < len(parts):
        got += s.recv(65536)
    s.close()
    for (m, key), one in zip(parts, got.split(b"\0")):
        one = json.loads(one)
        kinds.append(one)
        assert key is None or key in one["parameters"], (m, one)
        assert ("error" in one) == (key == "code"), (m, one)
    numbers = [k["parameters"]["audit_seq"] for k in kinds
               if "audit_seq" in k["parameters"]]
    assert numbers == sorted(numbers)


def test_what_is_no_request_gets_no_decision(served):
    """oneway and upgrade are not served: nothing is recorded as permitted."""
    def permits():
        return sum(b'"action":"export"' in r for r in
                   merkle.read_log(served.path("audit/log")))
    before = permits()
    for more in ({"oneway": True}, {"upgrade": True}, {"nonsense": 1}):
        got = at_once(served.broker, [json.dumps({
            "method": BROKER + "Export", "parameters": {
                "name": "a", "dry_run": False, "reason": "x"},
            **more}).encode() + b"\0"])
        assert got == [None], (more, got)
    assert permits() == before


@users.needs_root
def test_an_approval_is_used_once_by_a_group(rig):  # noqa: F811
    rig.policy(permit("copies", [ALICE], ["export"], **approvals()))
    id = asked(rig.export(ALICE))
    given(rig.ask(BOB, "Approve", id=id))
    got = at_once(rig.broker, [export("copy") for _ in range(10)],
                  lambda: users.connect_as(rig.broker.path, ALICE))
    assert sum("error" not in g for g in got) == 1, got
    # The others share a new request, whose leaf was durable before it.
    ids = {asked(g) for g in got if "error" in g}
    assert len(ids) == 1 and id not in ids
    assert len(rig.leaves(action="export", decision="permit",
                          phase="decision")) == 1


def test_two_credentials_for_the_same_are_one_grant(home, secrets, tmp_path):
    """The second is given the first one's, as if it had come after it."""
    if not os.path.exists(harness.program(build=harness.RELEASE)):
        pytest.skip("no release build")
    build = relay_stub.install(tmp_path / "installed", harness.RELEASE)
    v = harness.Vault(home, secrets, build=build)
    v.add(as_yaml(config(Identity("p256", secrets=secrets))), "a")
    broker = Broker(v, "--key-file", v.key_file)
    credential = request("Use", name="a", kind="credential", read_only=False)
    other = request("Use", name="a", kind="exec", read_only=False)
    got = at_once(broker, [credential] * 6 + [other] * 3)
    ids = [given(g)["grant"]["id"] for g in got]
    assert len(set(ids[:6])) == 1 and len(set(ids)) == 4, ids
    # Those of connections that have gone end; the credential's goes on.
    assert broker.end() == 0


def test_uses_share_a_sync(home, secrets, tmp_path):
    if not os.path.exists(harness.program(build=harness.RELEASE)):
        pytest.skip("no release build")
    build = relay_stub.install(tmp_path / "installed", harness.RELEASE)
    v = harness.Vault(home, secrets, build=build)
    v.add(as_yaml(config(Identity("p256", secrets=secrets))), "a")
    broker = Broker(v, "--key-file", v.key_file)
    path = str(tmp_path / "trace")
    use = request("Use", name="a", kind="exec", read_only=False)
    given(at_once(broker, [use])[0])    # the relay is started
    with traced(broker, path):
        got = at_once(broker, [use] * N)
    assert all("certificate" in given(g) for g in got)
    syncs = check_order(read_trace(path), got, b'"decision":"permit"')
    assert syncs <= 4, f"{syncs} syncs for {N} uses"
    assert broker.end() == 0
