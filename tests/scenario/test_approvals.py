"""Approvals, limits and break-glass against the running service, asked by
several users at once: filed, approved, used once; counted from the record.
Needs root: the users are others, by number."""

import base64
import contextlib
import hashlib
import json
import os
import shutil
import signal
import stat
import subprocess
import time

import pytest

import harness
import kube
import merkle
import signing
import users
import wire
from approval_rig import (BROKER, DAVE, LEADS, MAY_APPROVE, Rig, approvals,
                          asked, given, keygen, needs_keygen, person, refused,
                          rig, until, vault_with_entry, waiter)
from harness import BUSY, DENIED
from relay_stub import Stub, install, use
from users import ALICE, BOB, CAROL, permit
from wire import Broker

pytestmark = users.needs_root

EXPORT = permit("copies", [ALICE], ["export"], **approvals())


def test_filed_approved_used_once(rig):
    rig.policy(EXPORT)
    first = rig.export(ALICE, ticket="OPS-1")
    id = asked(first)
    # The denial names it, and is the request's leaf.
    leaf, = rig.leaves(request=id)
    assert leaf["decision"] == "deny" and leaf["phase"] == "decision"
    assert leaf["seq"] == first["parameters"]["audit_seq"]
    assert leaf["error"] == "busy" and leaf["actor"]["uid"] == ALICE
    # Asked again it is the same one.
    assert asked(rig.export(ALICE, ticket="OPS-1")) == id
    seen, = rig.requests(BOB)
    assert seen["id"] == id and seen["state"] == "open"
    assert seen["actor"]["uid"] == ALICE and seen["entry"] == "a"
    assert seen["action"] == "export" and seen["reason"] == "copy"
    assert seen["ticket"] == "OPS-1" and seen["approvals"] == []
    assert seen["needed"] == 1 and seen["rule"] == "copies"
    assert seen["server"] == "https://10.0.0.1:6443"
    assert [r["id"] for r in rig.requests(ALICE)] == [id]
    assert rig.requests(DAVE) == []       # does not count for the rule

    done = given(rig.ask(BOB, "Approve", id=id, reason="fine"))["request"]
    assert done["state"] == "approved"
    assert [a["uid"] for a in done["approvals"]] == [BOB]
    assert "gids" not in done["approvals"][0]
    out = given(rig.export(ALICE, ticket="OPS-1"))
    permit_leaf, = rig.leaves(request=id, decision="permit", action="export",
                              phase="decision")
    assert permit_leaf["seq"] == out["audit_seq"]
    assert permit_leaf["details"]["approvals"] == 1
    approve, = rig.leaves(request=id, action="approve", phase="decision")
    assert approve["actor"]["uid"] == BOB and \
        approve["details"]["for_uid"] == ALICE
    # Once.
    again = asked(rig.export(ALICE, ticket="OPS-1"))
    assert again != id
    states = {r["id"]: r["state"] for r in rig.requests(ALICE, all=True)}
    assert states == {id: "used", again: "open"}


def test_one_approval_for_several_at_once(rig):
    """The same call on eight connections, decided in one group: one of them
    gets what was approved, once; the others are told to ask again."""
    rig.policy(EXPORT)
    id = asked(rig.export(ALICE))
    given(rig.ask(BOB, "Approve", id=id))
    sockets = [users.connect_as(rig.broker.path, ALICE) for _ in range(8)]
    for s in sockets:
        s.sendall(json.dumps({
            "method": BROKER + "Export", "parameters": {
                "name": "a", "dry_run": False, "reason": "copy"}})
            .encode() + b"\0")
    got = [wire.answer(s) for s in sockets]
    for s in sockets:
        s.close()
    assert sum("error" not in g for g in got) == 1, got
    assert all(refused(g, "busy") for g in got if "error" in g)
    permitted, = rig.leaves(action="export", decision="permit",
                            phase="decision")
    assert permitted["details"]["request"] == id


def test_it_stands_for_that_call_alone(rig):
    rig.policy(permit("copies", [ALICE, DAVE], ["export"], **approvals()))
    id = asked(rig.export(ALICE, ticket="T-1"))
    given(rig.ask(BOB, "Approve", id=id))
    others = [asked(rig.export(ALICE)),
              asked(rig.export(ALICE, ticket="T-2")),
              asked(rig.export(ALICE, ticket="T-1", reason="other")),
              asked(rig.export(ALICE, ticket="T-1", context="main")),
              asked(rig.export(DAVE, ticket="T-1"))]
    assert len({id, *others}) == 6
    given(rig.export(ALICE, ticket="T-1"))


def test_who_may_not_approve(rig):
    rig.policy(permit("copies", [ALICE], ["export"],
                      **approvals(uids=[ALICE, BOB, CAROL])))
    id = asked(rig.export(ALICE))
    own = refused(rig.ask(ALICE, "Approve", id=id), "denied")
    assert own["audit_seq"] > 0
    refused(rig.ask(DAVE, "Approve", id=id), "denied")
    # Counts for the rule, but may not approve.
    rig.policy(permit("copies", [ALICE], ["export"],
                      **approvals(uids=[ALICE, BOB, CAROL])),
               {"name": "not-carol", "effect": "forbid",
                "subjects": {"uids": [CAROL]}, "actions": ["approve"]})
    refused(rig.ask(CAROL, "Approve", id=id), "denied")
    denials = rig.leaves(action="approve", decision="deny", request=id)
    assert sorted(r["actor"]["uid"] for r in denials) == [ALICE, CAROL, DAVE]
    assert asked(rig.export(ALICE)) == id
    refused(rig.ask(BOB, "Approve", id="0" * 12), "not-found")


def test_several_are_needed_and_each_counts_once(rig):
    rig.policy(permit("copies", [ALICE], ["export"], **approvals(2)))
    id = asked(rig.export(ALICE))
    given(rig.ask(BOB, "Approve", id=id))
    refused(rig.ask(BOB, "Approve", id=id), "exists")
    again = rig.export(ALICE)
    assert asked(again) == id
    assert "1 of 2" in again["parameters"]["state"]
    given(rig.ask(CAROL, "Approve", id=id))
    given(rig.export(ALICE))


def test_groups_as_they_were_and_the_policy_of_now(rig):
    """Carol counts by a group that she has only while she approves. Under the
    rule of now she must count too."""
    by_group = permit("copies", [ALICE], ["export"],
                      **approvals(groups=[LEADS.gr_name]))
    rig.policy(by_group)
    id = asked(rig.export(ALICE))
    refused(rig.ask(CAROL, "Approve", id=id), "denied")
    given(rig.ask(CAROL, "Approve", id=id, groups=[LEADS.gr_gid]))
    rig.policy(EXPORT | approvals(uids=[BOB]))
    waits = rig.export(ALICE)
    assert asked(waits) == id and "0 of 1" in waits["parameters"]["state"]
    rig.policy(by_group)
    given(rig.export(ALICE))


def test_denied_and_withdrawn(rig):
    rig.policy(EXPORT)
    id = asked(rig.export(ALICE))
    refused(rig.ask(DAVE, "Deny", id=id), "denied")
    done = given(rig.ask(BOB, "Deny", id=id, reason="freeze"))["request"]
    assert done["state"] == "denied" and done["closed"]["reason"] == "freeze"
    refused(rig.ask(CAROL, "Approve", id=id), "invalid")
    again = asked(rig.export(ALICE))
    assert again != id
    done = given(rig.ask(ALICE, "Deny", id=again))["request"]
    assert done["state"] == "withdrawn"
    refused(rig.ask(BOB, "Approve", id=again), "invalid")
    assert asked(rig.export(ALICE)) not in (id, again)


def test_asked_beforehand(rig):
    rig.policy(EXPORT)
    said = given(rig.ask(ALICE, "Request", action="export", name="a",
                         reason="copy"))
    assert said["filed"] and said["request"]["state"] == "open"
    id = said["request"]["id"]
    assert not given(rig.ask(ALICE, "Request", action="export", name="a",
                             reason="copy"))["filed"]
    assert asked(rig.export(ALICE)) == id
    given(rig.ask(BOB, "Approve", id=id))
    given(rig.export(ALICE))
    refused(rig.ask(0, "Request", action="export", name="a"), "invalid")
    refused(rig.ask(DAVE, "Request", action="export", name="a"), "denied")
    refused(rig.ask(ALICE, "Request", action="fly", name="a"), "usage")


@pytest.mark.parametrize("action,name", [
    (action, None) for action in "show use sign.raw export issue renew rotate "
    "revoke remove".split()] + [
    (action, "a") for action in ("list", "audit.read", "policy.read")])
def test_what_no_command_would_ask(rig, action, name):
    """Approved, it would be of no use to anybody."""
    rig.policy(permit("all", [ALICE], [action], **approvals()))
    named = {} if name is None else {"name": name}
    refused(rig.ask(ALICE, "Request", action=action, **named), "usage")
    other = {"name": "a"} if name is None else {}
    id = given(rig.ask(ALICE, "Request", action=action,
                       **other))["request"]["id"]
    assert [r["id"] for r in rig.requests(ALICE, all=True)] == [id]


def test_nobody_is_asked_for_what_cannot_be(rig):
    """Another context than there are; an entry that is never exported: 77 at
    once, and recorded."""
    rig.v(*rig.v.to, "import", "-", "--name", "kept", code=0,
          input=kube.as_yaml(kube.config(kube.Identity("p256"))))
    rig.policy(EXPORT)
    refused(rig.ask(ALICE, "Request", action="export", name="a",
                    context="nosuch"), "not-found")
    refused(rig.ask(ALICE, "Request", action="show", name="a",
                    context="internal"), "usage")
    for method, more in (("Export", {"dry_run": False}),
                         ("Export", {"dry_run": True}),
                         ("Request", {"action": "export"})):
        error = refused(rig.ask(ALICE, method, name="kept", reason="copy",
                                **more), "denied")
        assert error["message"] == "the entry kept is not exportable"
        leaf = rig.v.json(*rig.v.to, "audit", "record",
                          str(error["audit_seq"]))
        assert leaf["decision"] == "deny" and leaf["entry"] == "kept"
        assert leaf["actor"]["uid"] == ALICE
        # Who may not is told what the policy says, as ever.
        error = refused(rig.ask(DAVE, method, name="kept", **more), "denied")
        assert "no rule permits" in error["message"]
    assert rig.requests(ALICE, all=True) == []


def test_a_dry_run_files_nothing(rig):
    rig.policy(EXPORT)
    error = refused(rig.ask(ALICE, "Export", name="a", dry_run=True,
                            reason="copy"), "busy")
    assert "request_id" not in error
    assert rig.requests(ALICE, all=True) == []


def test_not_too_many_at_once(rig):
    rig.policy(EXPORT)
    s = users.connect_as(rig.broker.path, ALICE)
    ids = {asked(rig.export(ALICE, on=s, reason=f"r{i}")) for i in range(32)}
    error = refused(rig.export(ALICE, on=s, reason="one more"), "busy")
    assert "request_id" not in error and len(ids) == 32
    given(rig.ask(ALICE, "Deny", on=s, id=sorted(ids)[0]))
    asked(rig.export(ALICE, on=s, reason="one more"))
    s.close()


def test_outside_the_service_it_is_a_denial(vault_with_entry):
    r = Rig(vault_with_entry)
    r.policy(permit("mine", [0], ["sign.raw"], **approvals()),
             {"name": "no", "effect": "forbid", "subjects": {"uids": [0]},
              "actions": ["export"]})
    r.v("export", "a", "--reason", "x", code=DENIED)


# --- the command line ---

def test_by_the_command_line(rig):
    rig.policy(EXPORT)
    done = person(rig, ALICE, "-o", "json", "export", "a", "--reason", "copy",
                  code=BUSY)
    id = done.error["request_id"]
    assert done.error["code"] == "busy"
    done = person(rig, ALICE, "export", "a", "--reason", "copy", code=BUSY)
    assert id in done.note and "--wait" in done.note
    table = person(rig, BOB, "requests", code=0).out.decode()
    for word in (id, "open", f"uid {ALICE}", "export", "a", "copy", "copies",
                 "https://10.0.0.1:6443", "0 of 1"):
        assert word in table, (word, table)
    person(rig, ALICE, "approve", id, code=DENIED)
    shown = person(rig, BOB, "approve", id, code=0).out.decode()
    assert "1 of 1" in shown and "approved" in shown
    person(rig, BOB, "approve", "xyz", code=64)
    person(rig, ALICE, "export", "a", "--reason", "copy", code=0)
    listed = person(rig, ALICE, "-o", "json", "requests", "--all", code=0).json
    assert listed["kind"] == "RequestList"
    assert [r["state"] for r in listed["items"]] == ["used"]


def wait_for_request(rig, uid):
    end = time.monotonic() + 60
    while time.monotonic() < end:
        found = rig.requests(uid)
        if found:
            return found[0]["id"]
        time.sleep(0.05)
    raise AssertionError("no request was filed")


def test_wait(rig):
    rig.policy(EXPORT)
    waits = waiter(rig, ALICE, "export", "a", "--reason", "copy")
    id = wait_for_request(rig, BOB)
    assert waits.poll() is None
    person(rig, BOB, "approve", id, code=0)
    out, err = waits.communicate(timeout=60)
    assert waits.returncode == 0 and b"client-key-data" in out, err
    waits = waiter(rig, ALICE, "request", "export", "a", "--reason", "copy")
    id = wait_for_request(rig, BOB)
    person(rig, BOB, "deny", id, "--reason", "not today", code=0)
    out, err = waits.communicate(timeout=60)
    assert waits.returncode == DENIED and b"not today" in err


@needs_keygen
def test_signed(rig, tmp_path):
    folder = os.path.join("/tmp", f"cv-approvals-{BOB}-{os.getpid()}")
    os.makedirs(folder, mode=0o700, exist_ok=True)
    os.chown(folder, BOB, BOB)
    name = "games"                   # a user by name, whose keys these are
    games = __import__("pwd").getpwnam(name).pw_uid
    key, line = keygen(folder, BOB)
    other, _ = keygen(str(tmp_path), 1)
    rule = permit("copies", [ALICE], ["export"],
                  **approvals(signed=True, uids=[games, BOB]))
    rig.policy(rule, permit("games", [games], ["approve"]),
               keys={name: [line]})
    id = asked(rig.export(ALICE))
    assert "signed" not in rig.requests(BOB)[0]["approvals"]
    refused(rig.ask(games, "Approve", id=id), "denied")
    text = rig.requests(games, ids=[id])[0]["text"]
    assert text.startswith("certvault-approval/v1\n")
    said = json.loads(text.split("\n")[1])
    assert said["id"] == id and said["entry"] == "a" and \
        said["actor"]["uid"] == ALICE and said["reason"] == "copy"

    def sign(what, by=key, namespace="certvault-approval"):
        done = subprocess.run(
            ["ssh-keygen", "-q", "-Y", "sign", "-n", namespace, "-f", by],
            input=what.encode(), capture_output=True, check=True)
        return done.stdout.decode()

    bad = [sign(text + " "), sign(text, namespace="file"), sign(text, other),
           "x", sign(text).replace("A", "B", 3), sign(text)[:200],
           sign(text) + "tail"]
    for signature in bad:
        refused(rig.ask(games, "Approve", id=id, signature=signature),
                "denied")
    # Somebody else's key is not one's own.
    refused(rig.ask(BOB, "Approve", id=id, signature=sign(text)), "denied")
    assert asked(rig.export(ALICE)) == id
    done = given(rig.ask(games, "Approve", id=id, signature=sign(text)))
    approval, = done["request"]["approvals"]
    assert approval["signed"] and approval["key"].startswith("SHA256:")
    fingerprint = subprocess.run(
        ["ssh-keygen", "-l", "-f", key + ".pub"], capture_output=True,
        text=True, check=True).stdout.split()[1]
    assert approval["key"] == fingerprint
    leaf, = rig.leaves(action="approve", phase="decision", decision="permit")
    assert leaf["details"]["key"] == fingerprint
    given(rig.export(ALICE))


@needs_keygen
def test_signed_by_the_command_line(rig):
    pwd = __import__("pwd")
    games = pwd.getpwnam("games").pw_uid
    folder = os.path.join("/tmp", f"cv-approvals-{games}-{os.getpid()}")
    os.makedirs(folder, mode=0o700, exist_ok=True)
    os.chown(folder, games, games)
    key, line = keygen(folder, games)
    rig.policy(permit("copies", [ALICE], ["export"],
                      **approvals(signed=True, uids=[games])),
               permit("games", [games], ["approve"]), keys={"games": [line]})
    id = asked(rig.export(ALICE))
    person(rig, games, "approve", id, code=DENIED)
    text = person(rig, games, "approve", id, "--print", code=0).out
    assert text.startswith(b"certvault-approval/v1\n")
    done = person(rig, games, "approve", id, "--sign-key", key, code=0)
    assert "(signed)" in done.out.decode()
    given(rig.export(ALICE))


class Signer:
    """The user `games`, with keys of hers."""

    def __init__(self, rig):
        self.rig = rig
        self.uid = __import__("pwd").getpwnam("games").pw_uid
        self.folder = os.path.join("/tmp",
                                   f"cv-approvals-{self.uid}-{os.getpid()}")
        shutil.rmtree(self.folder, ignore_errors=True)
        os.makedirs(self.folder, mode=0o700)
        os.chown(self.folder, self.uid, self.uid)
        self.n = 0

    def key(self):
        self.n += 1
        folder = os.path.join(self.folder, str(self.n))
        os.mkdir(folder)
        os.chown(folder, self.uid, self.uid)
        return keygen(folder, self.uid)

    def policy(self, *lines, **require):
        """Export with her signed approval, by these keys."""
        keys = {"keys": {"games": list(lines)}} if lines else {}
        self.rig.policy(
            permit("copies", [ALICE], ["export"],
                   **approvals(signed=True, uids=[self.uid, BOB], **require)),
            permit("games", [self.uid], ["approve"]), **keys)

    def approve(self, id, key):
        text = self.rig.requests(self.uid, ids=[id])[0]["text"]
        done = subprocess.run(
            ["ssh-keygen", "-q", "-Y", "sign", "-n", "certvault-approval",
             "-f", key], input=text.encode(), capture_output=True, check=True)
        return self.rig.ask(self.uid, "Approve", id=id,
                            signature=done.stdout.decode())


@needs_keygen
def test_a_signed_approval_ends_with_its_key(rig):
    """A key that the policy does not have any more signs for nobody, also not
    what it signed before; and another key's approval takes its place."""
    games = Signer(rig)
    (old, old_line), (new, new_line) = games.key(), games.key()
    games.policy(old_line)
    id = asked(rig.export(ALICE))
    given(games.approve(id, old))
    refused(games.approve(id, old), "exists")
    games.policy(new_line)
    waits = rig.export(ALICE)
    assert asked(waits) == id and "0 of 1" in waits["parameters"]["state"]
    refused(games.approve(id, old), "denied")
    done = given(games.approve(id, new))["request"]
    assert [a["uid"] for a in done["approvals"]] == [games.uid]
    assert done["state"] == "approved"
    # The old one counts again with its key, and so would the new one not.
    games.policy(old_line)
    assert asked(rig.export(ALICE)) == id
    games.policy(new_line, old_line)
    refused(games.approve(id, new), "exists")
    given(rig.export(ALICE))


@needs_keygen
def test_a_key_that_becomes_somebody_elses(rig):
    """It was hers when it signed: what it signed is nobody's then."""
    games = Signer(rig)
    key, line = games.key()
    games.policy(line)
    id = asked(rig.export(ALICE))
    given(games.approve(id, key))
    rig.policy(permit("copies", [ALICE], ["export"],
                      **approvals(signed=True, uids=[games.uid, BOB])),
               keys={"man": [line]})
    waits = rig.export(ALICE)
    assert asked(waits) == id and "0 of 1" in waits["parameters"]["state"]


def test_each_request_has_the_same_members(rig):
    """What one has and another has not is null there."""
    rig.policy(permit("all", [ALICE], ["export", "show", "audit.read", "edit"],
                      **approvals()))
    asked(rig.export(ALICE, ticket="OPS-1", context="main"))
    asked(rig.ask(ALICE, "Show", name="a"))
    asked(rig.ask(ALICE, "AuditQuery", filter={}))
    asked(rig.ask(ALICE, "Rename", name="a", new_name="b"))
    given(rig.ask(BOB, "Deny", id=rig.requests(BOB)[0]["id"]))
    seen = rig.requests(BOB, all=True)
    assert len(seen) == 4 and len({frozenset(r) for r in seen}) == 1, seen
    by = {r["action"]: r for r in seen}
    assert by["export"]["ticket"] == "OPS-1" and by["export"]["call"] is None
    for key in ("entry", "entry_id", "reason", "ticket", "context", "server"):
        assert by["audit.read"][key] is None, key
    assert by["show"]["reason"] is None and by["show"]["entry"] == "a"
    assert by["edit"]["does"] == "rename to b"
    assert sum(r["closed"] is None for r in seen) == 3
    assert not any(r["break_glass"] for r in seen)
    shown = json.loads(person(rig, BOB, "-o", "json", "requests", "--all",
                              code=0).out)
    assert shown["items"] == seen


@needs_keygen
def test_what_is_signed_to_the_byte(rig, tmp_path):
    """What `approve --sign-key` signs is what docs/formats.md says, and what
    `--print` prints; ssh-keygen verifies it."""
    games = Signer(rig)
    key, line = games.key()
    games.policy(line)
    id = asked(rig.export(ALICE, ticket="OPS-7", context="main"))
    text = person(rig, games.uid, "approve", id, "--print", code=0).out
    seen, = rig.requests(games.uid)
    entry = rig.v.json(*rig.v.to, "show", "a")
    said = {"id": id, "created": seen["created"], "expires": seen["expires"],
            "digest": seen["digest"],
            "vault_id": rig.v.json(*rig.v.to, "status")["vault_id"],
            "actor": seen["actor"], "action": "export", "entry": "a",
            "entry_id": seen["entry_id"], "reason": "copy", "ticket": "OPS-7",
            "context": "main", "server": entry["contexts"][0]["server"],
            "duration": 0, "read_only": False}
    canonical = json.dumps(said, sort_keys=True, separators=(",", ":"))
    assert text == b"certvault-approval/v1\n" + canonical.encode() + b"\n"
    # The digest is that of what is asked, and by whom.
    asks = {k: said[k] for k in ("action", "entry_id", "reason", "ticket",
                                 "context", "duration", "read_only")}
    asks["uid"] = ALICE
    assert seen["digest"] == hashlib.sha256(json.dumps(
        asks, sort_keys=True, separators=(",", ":")).encode()).hexdigest()

    # The program that signs is given these bytes, and no others.
    fake = os.path.join(games.folder, "bin")
    os.mkdir(fake)
    with open(os.path.join(fake, "ssh-keygen"), "w", encoding="ascii") as f:
        f.write("#!/bin/sh\ncat > " + games.folder + "/signed\n"
                "exec /usr/bin/ssh-keygen \"$@\" < " + games.folder +
                "/signed\n")
    for path, mode in ((fake, 0o755), (fake + "/ssh-keygen", 0o755)):
        os.chmod(path, mode)
    shown = person(rig, games.uid, "approve", id, "--sign-key", key, code=0,
                   PATH=fake + ":/usr/bin:/bin")
    assert canonical in shown.note      # seen before it was signed
    with open(os.path.join(games.folder, "signed"), "rb") as f:
        assert f.read() == text
    signature = subprocess.run(
        ["ssh-keygen", "-q", "-Y", "sign", "-n", "certvault-approval", "-f",
         key], input=text, capture_output=True, check=True).stdout
    (tmp_path / "sig").write_bytes(signature)
    (tmp_path / "who").write_text("games " + line + "\n")
    subprocess.run(["ssh-keygen", "-Y", "verify", "-n", "certvault-approval",
                    "-f", str(tmp_path / "who"), "-I", "games", "-s",
                    str(tmp_path / "sig")], input=text, check=True,
                   capture_output=True)
    given(rig.export(ALICE, ticket="OPS-7", context="main"))


# --- limits ---

LIMITED = permit("few", [ALICE, BOB], ["export"],
                 limit={"count": 3, "per": "1h"})


def test_limits_count_the_record(rig):
    rig.policy(LIMITED)
    for _ in range(3):
        given(rig.export(ALICE))
    error = refused(rig.export(ALICE), "busy")
    assert 3500 <= error["retry_after"] <= 3600 and "request_id" not in error
    given(rig.export(BOB))               # each has his own
    # Another broker that starts counts the same.
    rig.broker.end()
    rig.start()
    refused(rig.export(ALICE), "busy")
    given(rig.export(BOB))
    # A dry run and a denial count nothing.
    for _ in range(3):
        given(rig.ask(BOB, "Export", name="a", dry_run=True, reason="x"))
    given(rig.export(BOB))
    refused(rig.export(BOB), "busy")
    # The limit belongs to the rule of that name.
    rig.policy({**LIMITED, "name": "others"})
    given(rig.export(ALICE))


def test_a_short_limit_is_free_again(rig):
    rig.policy(permit("few", [ALICE], ["export"],
                      limit={"count": 1, "per": "3s"}))
    for _ in range(5):
        begin = time.monotonic()
        given(rig.export(ALICE))
        answer = rig.export(ALICE)
        if "error" in answer or time.monotonic() < begin + 2:
            break                        # else it was free again by then
        time.sleep(3)
    error = refused(answer, "busy")
    end = time.monotonic() + error["retry_after"]
    assert 0 < error["retry_after"] <= 3
    time.sleep(max(0, end - time.monotonic()))
    given(rig.export(ALICE))


def test_several_in_one_commit_stay_within_the_limit(rig):
    """Signatures that come together are decided one after the other, and
    recorded by one sync."""
    rig.policy(permit("few", [ALICE], ["use"],
                      limit={"count": 5, "per": "1h"}))
    sockets = [users.connect_as(rig.broker.path, ALICE) for _ in range(40)]
    data = __import__("base64").b64encode(signing.tls13()).decode()
    for s in sockets:
        s.sendall(json.dumps({
            "method": BROKER + "Sign", "parameters": {
                "name": "a", "purpose": "tls13-client",
                "algorithm": "ecdsa_secp256r1_sha256", "data": data}})
            .encode() + b"\0")
    got = [wire.answer(s) for s in sockets]
    for s in sockets:
        s.close()
    assert sum("error" not in g for g in got) == 5
    assert all(g["parameters"]["code"] == "busy" for g in got if "error" in g)
    assert len(rig.leaves(action="use", decision="permit", phase="decision",
                          )) == 5


def test_reads_count_too(rig):
    rig.policy(permit("few", [ALICE], ["show"], limit={"count": 2, "per": "1h"}),
               permit("lists", [ALICE], ["list"],
                      limit={"count": 2, "per": "1h"}))
    for _ in range(2):
        given(rig.ask(ALICE, "Show", name="a"))
        assert given(rig.ask(ALICE, "List", labels={}))["items"]
    refused(rig.ask(ALICE, "Show", name="a"), "busy")
    refused(rig.ask(ALICE, "List", labels={}), "busy")


# --- grants ---

@pytest.fixture
def relayed(home, secrets, tmp_path):
    """A service whose relay the test plays."""
    build = install(tmp_path / "installed", harness.BUILD)
    v = harness.Vault(home, secrets, build=build)
    v.add(kube.as_yaml(kube.config(kube.Identity("p256", secrets=secrets))),
          "a")
    r = Rig(v)
    r.start()
    v.stub = Stub(build)
    yield r
    assert r.broker.end() == 0
    v.verify()


USES = permit("uses", [ALICE], ["use"], **approvals())


def lives(rig, s, grant):
    return given(rig.broker.call(BROKER + "Hello", {"grant": grant}, on=s))[
        "grant"]


def test_an_approved_grant_goes_on(relayed):
    """Its signatures ask for no other approval, and being looked at again does
    not end it: not after a change of the record, not after a change of the
    policy that would still give it."""
    rig = relayed
    rig.policy(USES)
    s = users.connect_as(rig.broker.path, ALICE)
    id = asked(use(rig.broker, on=s, reason="fix"))
    given(rig.ask(BOB, "Approve", id=id))
    grant = given(use(rig.broker, on=s, reason="fix"))["grant"]["id"]
    for _ in range(3):
        assert "error" not in rig.v.stub.sign(grant)
    signed = rig.leaves(grant=grant, purpose="tls13-client",
                        phase="decision")
    assert len(signed) == 3
    assert all(r["details"]["uncounted"] for r in signed)
    rig.policy(USES, permit("more", [DAVE], ["list"]))
    assert not until(lambda: not lives(rig, s, grant), 6)
    assert "error" not in rig.v.stub.sign(grant)
    # The next is another.
    assert asked(use(rig.broker, on=s, reason="fix")) != id
    # Whoever approved it counts no more: it ends.
    rig.policy(USES | approvals(2))
    assert until(lambda: not lives(rig, s, grant))
    s.close()


def test_a_credential_that_is_given_again(relayed):
    rig = relayed
    rig.policy(permit("uses", [ALICE], ["use"], **approvals(),
                      limit={"count": 1, "per": "1h", "sessions": 1}))
    s = users.connect_as(rig.broker.path, ALICE)
    ask = dict(on=s, kind="credential", reason="fix")
    id = asked(use(rig.broker, **ask))
    given(rig.ask(BOB, "Approve", id=id))
    grant = given(use(rig.broker, **ask))["grant"]["id"]
    for _ in range(3):
        assert given(use(rig.broker, **ask))["grant"]["id"] == grant
    # For another reason it is not what was approved.
    refused(use(rig.broker, **{**ask, "reason": "other"}), "busy")
    leaves = rig.leaves(method="Use", decision="permit", phase="decision")
    assert [bool(r["details"].get("uncounted")) for r in leaves] == \
        [False, True, True, True]
    # Decided again they are permits as they were: the approval was there, and
    # what is under a grant is not counted.
    for leaf in leaves:
        said = rig.v.json(*rig.v.to, "policy", "explain", "--seq",
                          str(leaf["seq"]))
        assert said["again"]["decision"] == "permit", said
    s.close()


def test_sessions(relayed):
    rig = relayed
    rig.policy(permit("uses", [ALICE, BOB], ["use"], limit={"sessions": 2}))
    s = users.connect_as(rig.broker.path, ALICE)
    b = users.connect_as(rig.broker.path, BOB)
    grants = [given(use(rig.broker, on=s))["grant"]["id"] for _ in range(2)]
    refused(use(rig.broker, on=s), "busy")
    given(use(rig.broker, on=b))
    given(rig.broker.call(BROKER + "UseEnd", {"grant": grants[0]}, on=s))
    grants.append(given(use(rig.broker, on=s))["grant"]["id"])
    refused(use(rig.broker, on=s), "busy")
    # Full as it is, those that live go on.
    assert not until(lambda: not lives(rig, s, grants[1]), 6)
    s.close()
    b.close()


def test_a_kubeconfig_without_a_key_needs_no_approval(relayed):
    rig = relayed
    rig.policy(USES)
    said = given(rig.ask(ALICE, "Keyless", name="a"))
    assert [c["name"] for c in said["contexts"]] == ["main"]
    assert rig.requests(ALICE, all=True) == []


def test_a_grant_of_a_second(relayed):
    """Just before the clock's second ends: it is a second all the same."""
    rig = relayed
    rig.policy(permit("uses", [ALICE], ["use"]))
    for _ in range(8):
        s = users.connect_as(rig.broker.path, ALICE)
        time.sleep(1 - time.time() % 1 - .003)
        given(use(rig.broker, on=s, duration=1))
        s.close()


# --- break-glass and notify ---

def notifier(tmp_path, body="cat >> {out}"):
    out = tmp_path / "told"
    program = tmp_path / "notify"
    program.write_text("#!/bin/sh\n" + body.format(out=out) + "\n")
    program.chmod(stat.S_IRWXU)
    config = tmp_path / "certvault.yaml"
    config.write_text(f"notify: {{command: {program}}}\n")
    config.chmod(0o600)
    return str(config), out


def told(out):
    if not out.exists():
        return []
    return [json.loads(line) for line in out.read_text().splitlines()]


GLASS = permit("glass", [ALICE], ["export"], break_glass=True,
               when={"reason": "required"})


def test_break_glass(vault_with_entry, tmp_path):
    config, out = notifier(tmp_path)
    rig = Rig(vault_with_entry, config)
    rig.start()
    try:
        rig.policy(EXPORT, GLASS)
        waits = rig.export(ALICE)
        id = asked(waits)
        assert "--break-glass" in waits["parameters"]["hint"]
        # Without a reason it waits for approval like any other.
        refused(rig.ask(ALICE, "Export", name="a", dry_run=True,
                        break_glass=True), "busy")
        got = given(rig.export(ALICE, break_glass=True))
        leaf, = rig.leaves(seq=got["audit_seq"])
        assert leaf["details"]["break_glass"] is True
        assert leaf["rules"] == ["glass"]
        assert until(lambda: len(told(out)) == 2)
        filed, broken = told(out)
        assert filed["event"] == "request" and filed["request"]["id"] == id
        assert broken["event"] == "break-glass"
        assert broken["actor"]["uid"] == ALICE and broken["entry"] == "a"
        assert broken["audit_seq"] == got["audit_seq"]
        given(rig.ask(BOB, "Approve", id=id))
        assert until(lambda: len(told(out)) == 3)
        assert told(out)[2]["event"] == "approved"
    finally:
        assert rig.broker.end() == 0


def test_a_glass_is_broken_by_each_look_at_the_record(rig):
    """`audit tail -f` asks for what came since: each such question is as loud
    as the first, and one that waits for approvals is asked anew."""
    rig.policy(permit("glass", [ALICE], ["audit.read"], break_glass=True,
                      when={"reason": "required"}))

    def tail(**more):
        return rig.ask(ALICE, "AuditTail", reason="fire", **more)

    given(tail(last=5))
    last = rig.leaves()[-1]["seq"]
    for n in (2, 3):
        said = given(tail(after=0))
        assert said["items"]
        assert len(rig.leaves(action="audit.read", break_glass=True)) == n
    refused(rig.ask(ALICE, "AuditTail", after=last), "denied")
    rig.policy(permit("asks", [ALICE], ["audit.read"], **approvals()))
    id = asked(tail(after=0))
    given(rig.ask(BOB, "Approve", id=id))
    assert given(tail(after=0))["items"]
    assert asked(tail(after=0)) != id


def test_notify_holds_nobody_up(vault_with_entry, tmp_path):
    """A command that never ends: the door stays as quick, what is too much is
    dropped, and the record says so."""
    config, out = notifier(tmp_path, "echo $$ >> {out}; exec sleep 600")
    rig = Rig(vault_with_entry, config)
    rig.start()
    try:
        rig.policy(GLASS)
        begin = time.monotonic()
        for i in range(80):
            given(rig.export(ALICE, break_glass=True, reason=f"r{i}"))
        assert time.monotonic() - begin < harness.within(60)
        assert until(lambda: out.exists() and
                     len(out.read_text().splitlines()) == 4)
    finally:
        assert rig.broker.end() == 0
    for pid in out.read_text().split():
        assert until(lambda p=pid: not os.path.exists(f"/proc/{p}"))


RUNNING, QUEUE, KEPT = 4, 64, 16   # limits.h, notify.c


def test_requests_do_not_crowd_out_what_is_urgent(vault_with_entry, tmp_path):
    """Whoever may file requests fills the queue but for the places of
    break-glass and freeze; what found none is told by its number."""
    gate = tmp_path / "gate"
    gate.touch()
    config, out = notifier(
        tmp_path, f"while [ -e {gate} ]; do sleep 0.05; done; cat >> {{out}}")
    rig = Rig(vault_with_entry, config)
    rig.start()
    try:
        rig.policy({**EXPORT, "subjects": {"uids": [ALICE, DAVE]}}, GLASS)
        filed = 0
        for uid in (ALICE, DAVE):
            with users.connect_as(rig.broker.path, uid) as s:
                for i in range(32):
                    asked(rig.export(uid, on=s, reason=f"r{uid}-{i}"))
                    filed += 1
        given(rig.export(ALICE, break_glass=True, reason="fire"))
        rig.v(*rig.v.to, "lock", "--all", code=0)
        rig.v(*rig.v.to, "unlock", "--all", code=0)
        gate.unlink()
        room = RUNNING + QUEUE - KEPT
        assert until(lambda: len(told(out)) == room + 3, 60), len(told(out))
        events = [t["event"] for t in told(out)]
        assert events.count("request") == room < filed
        assert {"break-glass", "freeze", "unfreeze"} <= set(events)
        assert until(lambda: rig.leaves(method="notify"))
        dropped, = rig.leaves(method="notify")
        assert dropped["details"]["failed"] == filed - room
    finally:
        assert rig.broker.end() == 0


def test_a_notify_command_that_others_can_write(vault_with_entry, tmp_path):
    config, _ = notifier(tmp_path)
    os.chmod(tmp_path / "notify", 0o777)
    with pytest.raises(AssertionError):
        Broker(vault_with_entry, "--key-file", vault_with_entry.key_file,
               "--config", config)


# --- killed ---

KILLS = [(call, n) for call in ("pwrite64", "fdatasync", "fsync")
         for n in range(1, 13)]


@contextlib.contextmanager
def killer(rig, call, n):
    """strace on the running broker, which kills it at its nth `call`."""
    p = subprocess.Popen(
        ["strace", "-qq", "-o", "/dev/null", "-p",
         str(rig.broker.process.pid), "-e", "trace=" + call, "-e",
         "signal=none", "-e", f"inject={call}:signal=SIGKILL:when={n}"],
        stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def traced():
        with open(f"/proc/{rig.broker.process.pid}/status",
                  encoding="ascii") as f:
            return any(line.startswith("TracerPid:") and
                       line.split()[1] != "0" for line in f)
    assert until(traced)
    try:
        yield
    finally:
        p.terminate()
        p.wait()


@pytest.mark.skipif(not harness.have_strace(),
                    reason="strace is not to be used here")
def test_killed_anywhere_an_approval_is_used_once_at_most(rig):
    """The broker is killed at the nth write or sync since it began to answer;
    the call is made again by the next one. Released: never twice."""
    v = rig.v
    rig.policy(EXPORT)
    id = asked(rig.export(ALICE))
    given(rig.ask(BOB, "Approve", id=id))
    assert rig.broker.end() == 0
    template = os.path.join(v.home, "template")
    shutil.copytree(v.folder, template)
    kills = KILLS if harness.FULL else \
        [("fdatasync", 1), *harness.seeded().sample(KILLS, 6),
         ("fdatasync", 99)]
    ends = set()
    for call, n in kills:
        shutil.rmtree(v.folder)
        shutil.copytree(template, v.folder)
        rig.start()
        with killer(rig, call, n):
            first = rig.export(ALICE)
        rig.broker.end(signal.SIGKILL)
        harness.wait_for_none()
        rig.start()
        second = rig.export(ALICE)
        permits = rig.leaves(request=id, decision="permit", action="export",
                             phase="decision")
        released = [a for a in (first, second)
                    if a is not None and "error" not in a]
        assert len(permits) <= 1 and len(released) <= 1, (call, n)
        # What was released has its leaf.
        for a in released:
            assert a["parameters"]["audit_seq"] == permits[0]["seq"]
        ends.add((first is not None, len(released)))
        assert rig.broker.end() == 0
        v.verify()
    rig.start()
    rig.requests(ALICE)                  # it serves: it may be ended
    assert len(ends) > 1, ends           # some died, and not all of them


def test_an_approval_is_for_the_policy_that_was_shown(rig):
    """Another file with the same words is another request."""
    def document(version, *rules):
        return json.dumps({
            "apiVersion": "certvault/v1", "kind": "Policy",
            "metadata": {"name": "t", "version": version},
            "rules": [permit("owner", [0], ["*"]), MAY_APPROVE, *rules]})

    rig.policy(permit("appliers", [ALICE], ["policy.apply"], **approvals()))
    good = document(rig.version + 1)
    evil = document(rig.version + 1, permit("mine", [ALICE], ["*"]))

    def apply(text):
        return rig.ask(ALICE, "PolicyApply", text=text, dry_run=False,
                       reason="tidy up")

    number = asked(apply(good))
    given(rig.ask(BOB, "Approve", id=number))
    assert asked(apply(evil)) != number
    assert given(apply(good))["policy"]["version"] == rig.version + 1
    # Nor is one to be had without the file.
    refused(rig.ask(ALICE, "Request", action="policy.apply",
                    reason="tidy up"), "usage")


def test_consent_to_a_use_is_no_signature(rig):
    """What a handshake would be signed with goes past the grant."""
    rig.policy(permit("users", [ALICE], ["use"], **approvals()))

    def sign():
        return rig.ask(ALICE, "Sign", name="a", purpose="tls13-client",
                       algorithm="ecdsa_secp256r1_sha256",
                       data=base64.b64encode(
                           signing.tls13()).decode(), reason="look")

    answer = sign()
    if answer["parameters"].get("code") == "busy":
        given(rig.ask(BOB, "Approve", id=asked(answer)))
        answer = sign()
    refused(answer, "denied")


def test_a_receipt_for_an_answer(rig):
    """Who approved, or refused, has a proof of it (merkle.py checks it)."""
    rig.policy(EXPORT)
    key = rig.v(*rig.v.to, "audit", "key", code=0).out.decode().strip()
    first = asked(rig.export(ALICE))
    answers = [given(rig.ask(BOB, "Approve", id=first, receipt=True))]
    second = asked(rig.export(ALICE, reason="another"))
    answers.append(given(rig.ask(BOB, "Deny", id=second, receipt=True)))
    third = asked(rig.export(ALICE, reason="a third"))
    answers.append(given(rig.ask(ALICE, "Deny", id=third, receipt=True)))
    for got, method, id in zip(answers, ("Approve", "Deny", "Deny"),
                               (first, second, third)):
        index, hashes, note, record = merkle.proof_of(got["receipt"])
        _, size, root = merkle.open_note(note.encode(), key)
        assert merkle.included(index, size, merkle.leaf(record), hashes, root)
        leaf = json.loads(record)
        assert leaf["seq"] == index == got["audit_seq"]
        assert leaf["details"]["request"] == id
        assert leaf["details"]["method"] == method
    assert "receipt" not in given(rig.ask(
        BOB, "Approve", id=asked(rig.export(ALICE, reason="x"))))
