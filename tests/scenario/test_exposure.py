"""What a leaver still has, and what ends it."""

import datetime
import os
import time

import pytest

import harness
import kube
import users
from relay_stub import Stub, install, use
from users import ALICE, BOB, permit
from wire import Broker

BROKER = "io.certvault.Broker."


@pytest.fixture
def rig(home, secrets, tmp_path):
    build = install(tmp_path / "installed", harness.BUILD)
    v = harness.Vault(home, secrets, build=build)
    for name, options in (("a", ("--exportable",)), ("b", ())):
        v.add(kube.as_yaml(kube.config(kube.Identity("p256", secrets=secrets))),
              name, *options)
    v.policy(harness.MAY_EXPORT,
             permit("ops", [ALICE, BOB], ["use", "list"]),
             permit("out", [ALICE], ["export"], when={"reason": "required"}),
             permit("all-b", [users.CAROL], ["*"], entries={"names": ["b"]}))
    v.broker = Broker(v, "--key-file", v.key_file)
    v.to = ("--broker", "unix:" + v.broker.path)
    v.stub = Stub(build)
    users.open_way(v.broker.path)
    yield v
    assert v.broker.end() == 0
    v.verify()


def exposure(rig, *flags, **options):
    return rig.json("audit", "exposure", *flags, *rig.to, **options)["items"]


def of(items, kind):
    return [i for i in items if i["kind"] == kind]


@users.needs_root
def test_what_a_leaver_has(rig):
    alice = users.connect_as(rig.broker.path, ALICE)
    export = {"name": "a", "dry_run": False}
    # Refused, tried, and done: the last alone is out.
    assert rig.broker.call(BROKER + "Export", export, on=alice)["error"]
    assert "error" not in rig.broker.call(
        BROKER + "Export", {**export, "dry_run": True, "reason": "x"},
        on=alice)
    got = rig.broker.call(BROKER + "Export", {**export, "reason": "drill"},
                          on=alice)["parameters"]
    grant = use(rig.broker, on=alice)["parameters"]["grant"]["id"]
    items = exposure(rig, "--actor", str(ALICE))
    one, = of(items, "export")
    assert one["seq"] == got["audit_seq"] and one["entry"] == "a"
    assert one["actor"]["uid"] == ALICE and one["reason"] == "drill"
    assert one["not_after"] > datetime.datetime.utcnow().isoformat()
    assert one["serial"] and one["subject"]
    # The tests' identities are of system:masters.
    assert "another CA" in one["ended_by"]
    assert one["not_after"] in one["ended_by"]
    live, = of(items, "grant")
    assert live["id"] == grant
    assert live["ended_by"] == "certvault grants revoke " + grant
    may = {i["entry"]: i for i in of(items, "policy")}
    assert may["a"]["may"] == {"use": "yes", "export": "if"}
    assert may["a"]["rules"] == ["ops", "out"]
    # What is not exportable cannot be exported, whatever a rule says.
    assert may["b"]["may"] == {"use": "yes"} and may["b"]["rules"] == ["ops"]
    assert exposure(rig, "--actor", f"uid:{ALICE}") == items
    # The command ends it.
    rig(*live["ended_by"].split()[1:], *rig.to, code=0)
    assert not of(exposure(rig, "--actor", str(ALICE)), "grant")
    rig.policy_gone = rig.write("gone.yaml", """
apiVersion: certvault/v1
kind: Policy
metadata: {name: gone, version: 9}
rules:
- {name: owner, effect: permit, subjects: {uids: [%d]}, actions: ["*"]}
""" % os.getuid())
    rig("policy", "apply", rig.policy_gone, *rig.to, code=0)
    items = exposure(rig, "--actor", str(ALICE))
    assert [i["kind"] for i in items] == ["export"]
    alice.close()


@users.needs_root
def test_others_and_everybody(rig):
    bob = users.connect_as(rig.broker.path, BOB)
    grant = use(rig.broker, on=bob)["parameters"]["grant"]["id"]
    assert not of(exposure(rig, "--actor", str(ALICE)), "grant")
    assert [g["id"] for g in of(exposure(rig, "--actor", str(BOB)),
                                "grant")] == [grant]
    everybody = exposure(rig)
    assert [g["id"] for g in of(everybody, "grant")] == [grant]
    whom = {i.get("user") for i in of(everybody, "policy")}
    assert {f"uid:{ALICE}", f"uid:{BOB}", f"uid:{users.CAROL}"} <= whom
    carol, = [i for i in of(everybody, "policy")
              if i.get("user") == f"uid:{users.CAROL}"]
    assert carol["entry"] == "b" and carol["rules"] == ["all-b"]
    # Nobody knows this one.
    assert exposure(rig, "--actor", "nobody-of-that-name") == []
    shown = rig("audit", "exposure", *rig.to, code=0).text
    assert "certvault grants revoke " + grant in shown
    # bob may not look.
    said = rig.broker.call(BROKER + "AuditExposure", {}, on=bob)
    assert said["parameters"]["code"] == "denied"
    bob.close()


def test_everybody_else(vault, secrets):
    """A rule for all is a rule for the one who is asked about."""
    vault.add(kube.as_yaml(kube.config(kube.Identity("p256"))), "a")
    vault.policy({"name": "all", "effect": "permit",
                  "subjects": {"users": ["*"]}, "actions": ["use"]})
    one, = exposure(_Plain(vault), "--actor", "some-one-else")
    assert one["may"] == {"use": "yes"} and one["rules"] == ["all"]
    assert one["everyone"]


def test_nothing(vault):
    assert exposure(_Plain(vault), "--actor", "x") == []
    done = vault("audit", "exposure", "--actor", "x", code=0)
    assert "nothing that still works" in done.note + done.text


class _Plain:
    """A vault as `exposure` takes it."""

    def __init__(self, vault):
        self.json, self.to = vault.json, ()


def test_a_certificate_that_ended(vault, secrets):
    """What was exported and is over is nobody's worry."""
    vault.policy(harness.MAY_EXPORT)

    def out():
        return of(exposure(_Plain(vault), "--actor", str(os.getuid())),
                  "export")
    for name, seconds in (("a", 8), ("b", 90)):
        end = datetime.datetime.utcnow() + datetime.timedelta(seconds=seconds)
        identity = kube.Identity("p256", secrets=secrets, end=end)
        vault.add(kube.as_yaml(kube.config(identity)), name, "--exportable")
        vault("export", name, "--reason", "x", code=0, secret=True)
        found = out()
        if datetime.datetime.utcnow() < end - datetime.timedelta(seconds=1):
            break                      # else all of that took too long
    assert len(found) == 1
    while datetime.datetime.utcnow() < end + datetime.timedelta(seconds=1):
        time.sleep(0.2)
    assert out() == []
