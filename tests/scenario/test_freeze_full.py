"""What ends uses holds on a full disk too: the freeze, a lock, `grants revoke`
and a stricter policy take room out of the service's reserve; where there is
none, what can be held in memory holds at once, and the answer says so."""

import json
import os
import shutil
import time

import pytest

import harness
import kube
import merkle
import users
from harness import DENIED, IO
from relay_stub import Stub, install, use
from test_disk_full import fill, mounts, reserve, roomy  # noqa: F401 (fixtures)
from users import ALICE, permit
from wire import Broker

BROKER = "io.certvault.Broker."
EXPORT = ("export", "a", "--reason", "x")


def records(v, action=None):
    return [r for r in map(json.loads, merkle.read_log(v.path("audit/log")))
            if action in (None, r["action"])]


def of_method(v, method):
    return [r for r in records(v, "admin")
            if r["details"].get("method") == method]


def use_up(v):
    """No reserve, and no room: not even for what was written ahead."""
    os.truncate(v.path("audit/reserve"), 0)
    return fill(v, 0)


def status(v):
    return v.json("status", *v.to)


def until(true):
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


def again(v, number=9):
    """The service dies and is started anew."""
    v.broker.end(number)
    harness.wait_for_none()
    v.broker = Broker(v, "--key-file", v.key_file)
    v.to = ("--broker", "unix:" + v.broker.path)


def test_the_freeze_takes_of_the_reserve(roomy):  # noqa: F811
    """Both ends of it, written durably and recorded."""
    v = roomy
    v(*v.to, "list", code=0)
    filler = fill(v, 0)
    whole = reserve(v)
    v(*v.to, "lock", "--all", "--reason", "stolen", code=0)
    assert 0 < reserve(v) < whole
    said = status(v)
    assert said["frozen"] and said["frozen_reason"] == "stolen"
    assert "frozen_held" not in said
    assert v(*v.to, *EXPORT).code in (DENIED, IO)
    os.unlink(filler)
    again(v)
    assert status(v)["frozen"]
    v(*v.to, *EXPORT, code=DENIED)
    until(lambda: reserve(v) >= whole - 8 * 4096)
    fill(v, 0)
    v(*v.to, "unlock", "--all", code=0)
    assert not status(v)["frozen"]
    v(*v.to, *EXPORT, code=0, secret=True)
    for method in ("LockAll", "UnlockAll"):
        assert [(r["phase"], r.get("outcome")) for r in of_method(v, method)] \
            == [("decision", None), ("outcome", "ok")]


def test_a_policy_takes_of_the_reserve(roomy):  # noqa: F811
    v = roomy
    v(*v.to, "list", code=0)
    filler = fill(v, 0)
    whole = reserve(v)
    v(*v.to, *EXPORT, code=0, secret=True)
    v.flags = [*v.flags, *v.to]
    v.policy(version=2)
    assert reserve(v) < whole
    assert v(*EXPORT).code in (DENIED, IO)
    os.unlink(filler)
    until(lambda: v(*EXPORT).code == DENIED)


def test_no_room_at_all_it_is_held(roomy):  # noqa: F811
    """Neither store nor record have room: this broker holds the freeze, says
    so, and writes it as soon as it can."""
    v = roomy
    v(*v.to, *EXPORT, code=0, secret=True)
    filler = use_up(v)
    error = v.error(IO, *v.to, "lock", "--all", "--reason", "stolen")
    assert "freeze" in error["message"] and "full" in error["message"], error
    assert "this broker" in error["state"] and "restart" in error["state"]
    assert "make room" in error["hint"], error
    said = status(v)
    assert said["frozen"] and said["locked"] and said["frozen_held"], said
    assert said["frozen_reason"] == "stolen" and said["frozen_by"]
    assert v(*v.to, *EXPORT).code in (DENIED, IO)
    # Again: it is tried again, and who froze it first stays.
    v.error(IO, *v.to, "lock", "--all", "--reason", "again")
    assert status(v)["frozen_reason"] == "stolen"
    os.unlink(filler)
    until(lambda: "frozen_held" not in status(v))
    assert status(v)["frozen_reason"] == "stolen"
    again(v)
    said = status(v)
    assert said["frozen"] and said["frozen_reason"] == "stolen"
    v(*v.to, *EXPORT, code=DENIED)
    event, = [r for r in of_method(v, "LockAll") if r["phase"] == "event"]
    assert "alone held it" in event["details"]["because"]
    assert said["frozen_by"] in event["details"]["because"]
    v(*v.to, "unlock", "--all", code=0)
    v(*v.to, *EXPORT, code=0, secret=True)
    assert v.verify()["ok"]


def test_the_record_has_room_and_the_store_has_none(roomy):  # noqa: F811
    """Then the record says that it is held alone, and it can be ended."""
    v = roomy
    v(*v.to, *EXPORT, code=0, secret=True)
    os.truncate(v.path("audit/reserve"), 0)
    filler = fill(v, 2)
    error = v.error(IO, *v.to, "lock", "--all", "--reason", "stolen")
    assert "this broker" in error["state"], error
    decision, outcome = of_method(v, "LockAll")
    assert decision["decision"] == "permit"
    assert outcome["outcome"] == "failed" and outcome["error"] == "io"
    assert "this broker alone" in outcome["details"]["because"]
    assert status(v)["frozen_held"]
    said = v(*v.to, "unlock", "--all", code=0)
    assert "has ended" in said.note
    assert not status(v)["frozen"]
    os.unlink(filler)
    again(v)
    assert not status(v)["frozen"]
    v(*v.to, *EXPORT, code=0, secret=True)


def small(v, mounts):  # noqa: F811
    """Its folder is a tmpfs of 24 MiB; ends with whoever calls it."""
    aside = v.folder + ".aside"
    os.rename(v.folder, aside)
    os.mkdir(v.folder, 0o700)
    if mounts.mount(b"none", v.folder.encode(), b"tmpfs", 0,
                    b"size=24m,mode=0700"):
        pytest.skip("no tmpfs here")
    shutil.copytree(aside, v.folder, dirs_exist_ok=True)
    yield v
    mounts.umount2(v.folder.encode(), 2)
    os.rmdir(v.folder)
    os.rename(aside, v.folder)


@pytest.fixture
def agent(mounts, vault, secrets):  # noqa: F811
    """An agent, which keeps no reserve."""
    vault.policy(harness.MAY_EXPORT)
    vault.add(kube.as_yaml(kube.config(kube.Identity("p256",
                                                     secrets=secrets))), "a",
              "--exportable")
    vault.flags, vault.to = [], ()
    for v in small(vault, mounts):
        v("agent", "start", code=0)
        v("--key-file", v.key_file, "unlock", code=0)
        yield v
        v("agent", "stop", code=0)


def test_an_agent_holds_it(agent):
    v = agent
    v(*EXPORT, code=0, secret=True)
    filler = fill(v, 0)
    error = v.error(IO, "lock", "--all", "--reason", "stolen")
    assert "this broker" in error["state"], error
    said = status(v)
    assert said["frozen_held"] and said["locked"]
    assert v("--key-file", v.key_file, *EXPORT).code in (DENIED, IO)
    os.unlink(filler)
    until(lambda: v.json("--no-agent", "status")["frozen"])
    v("--no-agent", *EXPORT, code=DENIED)
    v(*EXPORT, code=DENIED)
    v("unlock", "--all", code=0)
    v("--key-file", v.key_file, *EXPORT, code=0, secret=True)


def test_an_agent_is_locked_all_the_same(agent):
    """What only takes away needs no record to hold."""
    v = agent
    v(*EXPORT, code=0, secret=True)
    filler = fill(v, 0)
    done = None
    for _ in range(400):    # zeros that were written ahead are used up
        done = v("-o", "json", "lock")
        if done.code == IO:
            break
        v("--key-file", v.key_file, "unlock")
    assert done.code == IO, done
    assert "locked all the same" in done.error["state"], done
    os.unlink(filler)
    assert status(v)["locked"]
    v("--key-file", v.key_file, "unlock", code=0)
    v(*EXPORT, code=0, secret=True)


@pytest.fixture
def relayed(mounts, home, secrets, tmp_path):  # noqa: F811
    """A service whose relay the test plays, on a small disk."""
    build = install(tmp_path / "installed", harness.BUILD)
    vault = harness.Vault(home, secrets, build=build)
    vault.identity = kube.Identity("p256", secrets=secrets)
    vault.add(kube.as_yaml(kube.config(vault.identity)), "a", "--exportable")
    vault.policy(harness.MAY_EXPORT, permit("ops", [ALICE], ["use"]))
    vault.stub = Stub(build)
    for v in small(vault, mounts):
        v.broker = Broker(v, "--key-file", v.key_file)
        v.to = ("--broker", "unix:" + v.broker.path)
        users.open_way(v.broker.path)
        yield v
        assert v.broker.end() == 0


@users.needs_root
@pytest.mark.parametrize("room", ["reserve", "none"])
def test_grants_are_revoked(relayed, room):
    """Others' end: recorded where there is a reserve; ended all the same where
    there is none."""
    v = relayed
    alice = users.connect_as(v.broker.path, ALICE)
    grant = use(v.broker, on=alice)["parameters"]["grant"]["id"]
    v(*v.to, "list", code=0)
    filler = fill(v, 0) if room == "reserve" else use_up(v)
    done = v(*v.to, "-o", "json", "grants", "revoke", "--user", str(ALICE),
             "--yes")
    assert "revoked" in v.stub.closed(grant)["why"]
    assert v.json("grants", "list", *v.to)["items"] == []
    assert "error" in v.stub.sign(grant)
    if done.code:
        assert done.code == IO and room == "none", done
        assert "have ended all the same" in done.error["state"], done
    os.unlink(filler)
    until(lambda: v(*v.to, "list").code == 0)
    until(lambda: [r for r in records(v, "use")
                   if r["details"].get("method") == "UseEnd" and
                   "revoked" in r["details"]["because"]])
    if room == "reserve":
        assert [r["phase"] for r in of_method(v, "GrantsRevoke")] == [
            "decision", "outcome"]
    alice.close()
    assert v.verify()["ok"]
