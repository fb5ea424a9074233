"""Grants as a list, and their end before their time: one's own by oneself,
others' by who may; what goes through them is cut with them."""

import json
import os
import time

import pytest

import harness
import kube
import relay
import users
from relay_stub import Stub, install, use
from users import ALICE, BOB, CAROL, permit
from wire import Broker

BROKER = "io.certvault.Broker."


@pytest.fixture
def rig(home, secrets, tmp_path):
    """A service whose relay the test plays."""
    build = install(tmp_path / "installed", harness.BUILD)
    v = harness.Vault(home, secrets, build=build)
    v.add(kube.as_yaml(kube.config(kube.Identity("p256", secrets=secrets))),
          "a")
    v.policy(permit("ops", [ALICE, BOB], ["use", "list"]),
             permit("boss", [CAROL], ["admin"]))
    v.broker = Broker(v, "--key-file", v.key_file)
    v.to = ("--broker", "unix:" + v.broker.path)
    v.stub = Stub(build)
    users.open_way(v.broker.path)
    yield v
    assert v.broker.end() == 0
    v.verify()


def call(rig, s, method, **parameters):
    return rig.broker.call(BROKER + method, parameters, on=s)


def given(answer):
    assert "error" not in answer, answer
    return answer["parameters"]


def refused(answer, code):
    assert answer["parameters"].get("code") == code, answer


def grant(rig, s, **more):
    return given(use(rig.broker, on=s, **more))["grant"]["id"]


def ids(answer):
    return sorted(i["id"] for i in given(answer)["items"])


def test_ones_own(rig):
    s = rig.broker.connect()
    one = grant(rig, s, reason="look", ticket="OPS-1")
    two = grant(rig, s, read_only=True, kind="proxy")
    items = rig.json("grants", "list", *rig.to)["items"]
    assert sorted(i["id"] for i in items) == sorted([one, two])
    item = next(i for i in items if i["id"] == one)
    assert item["kind"] == "exec" and item["entry"] == "a"
    assert item["context"] == "main" and item["rule"] == "owner"
    assert item["reason"] == "look" and item["ticket"] == "OPS-1"
    leaf = rig.json("audit", "query", *rig.to, "--action", "use")["items"][0]
    assert item["actor"] == {"uid": os.getuid(),
                             "user": leaf["actor"]["user"]}
    assert item["given"] <= item["expires"] and not item["read_only"]
    assert item["requests"] == item["signatures"] == 0
    assert next(i for i in items if i["id"] == two)["read_only"]
    # When it was given is the same whenever within a second one asks.
    begin, times = time.monotonic(), set()
    while time.monotonic() < begin + 1.1:
        times |= {(i["id"], i["given"]) for i in given(
            rig.broker.call(BROKER + "Grants", on=s))["items"]}
    assert times == {(i["id"], i["given"]) for i in items}
    shown = rig("grants", "list", *rig.to, code=0).text
    assert one in shown and two in shown and "look" in shown
    names = rig("-o", "name", "grants", "list", *rig.to, code=0).text
    assert sorted(names.split()) == sorted([one, two])
    assert "signature" in given(rig.stub.sign(one))
    item = next(i for i in rig.json("grants", "list", *rig.to)["items"]
                if i["id"] == one)
    assert item["signatures"] == 1
    done = rig.json("grants", "revoke", one, *rig.to)
    assert [i["id"] for i in done["items"]] == [one]
    assert "revoked" in rig.stub.closed(one)["why"]
    assert "error" in rig.stub.sign(one)
    assert ids(call(rig, s, "Grants")) == [two]
    s.close()
    assert rig.stub.closed(two)


def test_what_is_not_there(rig):
    s = rig.broker.connect()
    one = grant(rig, s)
    done = rig.error(harness.NOT_FOUND, "grants", "revoke", one, "0" * 32,
                     *rig.to)
    assert "0" * 32 in done["message"] and "none" in done["state"]
    assert ids(call(rig, s, "Grants")) == [one]
    rig("grants", "revoke", *rig.to, code=harness.USAGE)
    rig("grants", "revoke", one, "--user", "x", *rig.to, code=harness.USAGE)
    refused(call(rig, s, "GrantsRevoke"), "invalid")
    refused(call(rig, s, "GrantsRevoke", ids=[one], user="x"), "invalid")
    refused(call(rig, s, "GrantsRevoke", ids=[1]), "not-found")
    # The same twice is once.
    assert ids(call(rig, s, "GrantsRevoke", ids=[one, one])) == [one]
    assert rig.json("grants", "list", *rig.to)["items"] == []
    assert "no grants" in rig("grants", "list", *rig.to, code=0).note
    s.close()


def test_without_a_broker_that_stays(vault):
    assert vault.json("grants", "list")["items"] == []
    vault("grants", "revoke", "0" * 32, code=harness.NOT_FOUND)


@users.needs_root
def test_others_need_admin(rig):
    alice = users.connect_as(rig.broker.path, ALICE)
    bob = users.connect_as(rig.broker.path, BOB)
    carol = users.connect_as(rig.broker.path, CAROL)
    of_alice, of_bob = grant(rig, alice), grant(rig, bob)
    assert ids(call(rig, alice, "Grants")) == [of_alice]
    assert ids(call(rig, carol, "Grants")) == []
    refused(call(rig, bob, "Grants", all=True), "denied")
    assert ids(call(rig, carol, "Grants", all=True)) == \
        sorted([of_alice, of_bob])
    for wanted in ({"ids": [of_alice]}, {"ids": [of_bob, of_alice]},
                   {"user": str(ALICE)}, {"user": f"uid:{ALICE}"},
                   {"user": "nobody-of-that-name"}):
        said = call(rig, bob, "GrantsRevoke", **wanted)
        refused(said, "denied")
        seq = said["parameters"]["audit_seq"]
        leaf = json.loads(rig("audit", "record", seq, code=0, *rig.to).text)
        assert leaf["decision"] == "deny" and leaf["actor"]["uid"] == BOB
        assert leaf["details"]["method"] == "GrantsRevoke"
    assert "signature" in given(rig.stub.sign(of_alice))
    assert ids(call(rig, carol, "GrantsRevoke", user=str(ALICE))) == [of_alice]
    assert "revoked by" in rig.stub.closed(of_alice)["why"]
    assert "error" in rig.stub.sign(of_alice)
    assert "signature" in given(rig.stub.sign(of_bob))
    # One's own name is one's own.
    assert ids(call(rig, bob, "GrantsRevoke", user=str(BOB))) == [of_bob]
    leaf, = [r for r in rig.json("audit", "query", *rig.to, "--actor",
                                 str(CAROL), "--outcome", "permit")["items"]
             if r["details"].get("method") == "GrantsRevoke" and
             r["phase"] == "decision"]
    assert leaf["details"]["names"] == [of_alice]
    for s in (alice, bob, carol):
        s.close()


@pytest.mark.skipif(bool(relay.missing()), reason=str(relay.missing()))
def test_streams_are_cut(vault, tmp_path):
    """By the relay itself; the words reach who asks later."""
    import test_relay_ends
    with relay.Standin(tmp_path / "api") as standin:
        vault.add(kube.as_yaml(kube.config(standin.identity(common="kim"),
                                           server=standin.url)), "prod")
        vault.flags = []
        vault("agent", "start", code=0)
        try:
            with relay.Session(vault, "prod") as session:
                one, = vault.json("grants", "list")["items"]
                test_relay_ends.cut(
                    standin, session,
                    lambda: vault("grants", "revoke", one["id"], code=0))
                done = session.kubectl()("get", "--raw", "/version", code=1)
                assert b"revoked" in done.stderr, done
        finally:
            vault("agent", "stop", code=0)
