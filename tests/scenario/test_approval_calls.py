"""An approval is of one call: what was approved is exactly what is done, and
what permits several things at once permits all of them or none. Needs root:
the users are others, by number."""

import hashlib
import json
import os
import re
import sqlite3
import struct

import pytest

import kube
import users
from approval_rig import (approvals, asked, given, person,
                          refused, rig, vault_with_entry)
from harness import BUSY
from users import ALICE, BOB, CAROL, permit

pytestmark = users.needs_root


def approve(rig, id, uid=BOB):
    return given(rig.ask(uid, "Approve", id=id))["request"]


def seen_by_bob(rig, id):
    return {r["id"]: r for r in rig.requests(BOB)}[id]


def permits(rig, **wanted):
    return rig.leaves(decision="permit", phase="decision", **wanted)


def check_told(rig):
    """Every permit of a change has one outcome, and no outcome comes twice."""
    leaves = [r for r in rig.leaves()
              if r["action"] in ("edit", "remove", "import", "admin")]
    told = [r["op"] for r in leaves if r["phase"] == "outcome"]
    given_ = [r["op"] for r in leaves
              if r["phase"] == "decision" and r["decision"] == "permit"]
    assert len(set(told)) == len(told), "an outcome came twice"
    assert set(given_) <= set(told), [r for r in leaves if r["op"] in
                                      set(given_) - set(told)]


# --- bound to the rest of the call ---

EDITS = permit("edits", [ALICE], ["edit"], **approvals())


def rename(rig, new, **more):
    return rig.ask(ALICE, "Rename", name="a", new_name=new, reason="tidy",
                   **more)


def test_a_rename_is_to_that_name(rig):
    rig.policy(EDITS)
    id = asked(rename(rig, "b"))
    seen = seen_by_bob(rig, id)
    assert seen["call"] == {"method": "Rename", "new_name": "b"}
    assert seen["does"] == "rename to b"
    table = person(rig, BOB, "requests", code=0).out.decode()
    assert "edit: rename to b" in table, table
    approve(rig, id)
    # Neither to another name, nor another edit.
    assert asked(rename(rig, "c")) != id
    labels = rig.ask(ALICE, "Label", name="a", set={"env": "dev", "x": "y"},
                     remove=["old"], reason="tidy")
    assert asked(labels) != id
    assert seen_by_bob(rig, asked(labels))["does"] == \
        "label set env=dev x=y remove old"
    given(rename(rig, "b"))
    check_told(rig)
    # It is the entry's request still, under its new name, and used.
    assert {r["state"] for r in rig.requests(ALICE, all=True)
            if r["id"] == id} == {"used"}


def test_labels_are_those(rig):
    rig.policy(EDITS)

    def label(**parameters):
        return rig.ask(ALICE, "Label", name="a", reason="tidy", **parameters)

    id = asked(label(set={"env": "dev"}, remove=[]))
    approve(rig, id)
    assert asked(label(set={"env": "prod"}, remove=[])) != id
    assert asked(label(set={"env": "dev"}, remove=["x"])) != id
    given(label(set={"env": "dev"}, remove=[]))
    assert rig.v.json(*rig.v.to, "show", "a")["labels"] == {"env": "dev"}


def test_a_pin_is_that_pin(rig):
    rig.policy(EDITS)

    def pin(spki):
        return rig.ask(ALICE, "Pin", name="a", context="main", spki=spki,
                       reason="tidy")

    one, other = "A" * 43 + "=", "B" * 42 + "A="
    id = asked(pin(one))
    assert seen_by_bob(rig, id)["does"] == f"pin the server to SPKI {one}"
    approve(rig, id)
    assert asked(pin(other)) != id
    given(pin(one))


def test_rm_with_a_flag_is_another(rig):
    """What `request` can say is the plain command."""
    rig.policy(permit("removes", [ALICE], ["remove"], **approvals()))
    said = given(rig.ask(ALICE, "Request", action="remove", name="a",
                         reason="tidy"))["request"]
    assert said["call"] is None and said["does"] is None

    def remove(**flags):
        return rig.ask(ALICE, "Remove", names=["a"], dry_run=False,
                       reason="tidy", **flags)

    approve(rig, said["id"])
    for flag, words in (("destroy_key", "destroy the key"),
                        ("keep_key", "keep the key")):
        id = asked(remove(**{flag: True}))
        assert id != said["id"] and seen_by_bob(rig, id)["does"] == words
    assert "remove: destroy the key" in \
        person(rig, BOB, "requests", code=0).out.decode()
    given(remove(keep_key=False))
    check_told(rig)


def import_as_alice(rig, key, *args, code, server="https://10.0.0.1:6443"):
    config = kube.config(key)
    config["clusters"][0]["cluster"]["server"] = server
    path = rig.v.write("theirs.yaml", kube.as_yaml(config))
    os.chmod(path, 0o644)
    return person(rig, ALICE, "-o", "json", "import", path, "--name", "b",
                  "--reason", "new", *args, code=code)


def test_an_import_is_of_that_key(rig):
    rig.policy(permit("imports", [ALICE], ["import"], **approvals()))
    one, other = (kube.Identity("p256", secrets=rig.v.secrets)
                  for _ in range(2))
    id = import_as_alice(rig, one, code=BUSY).error["request_id"]
    seen = seen_by_bob(rig, id)
    assert seen["call"]["method"] == "Import"
    assert seen["does"].startswith("SPKI " + seen["call"]["spki"][:16])
    approve(rig, id)
    for args, key, more in (((), other, {}), (("--exportable",), one, {}),
                            (("--label", "env=prod"), one, {}),
                            ((), one, {"server": "https://10.9.9.9:6443"})):
        got = import_as_alice(rig, key, *args, code=BUSY, **more)
        assert got.error["request_id"] != id, (args, more)
    import_as_alice(rig, one, code=0)
    shown = rig.v.json(*rig.v.to, "show", "b")
    assert shown["key"]["spki_sha256"] == seen["call"]["spki"]
    assert shown["exportable"] is False
    check_told(rig)


ADMIN = permit("admins", [ALICE], ["admin"], **approvals())


def test_one_thing_of_an_admin_is_no_other(rig):
    rig.policy(ADMIN)

    def admin(method, **parameters):
        return rig.ask(ALICE, method, reason="incident", **parameters)

    slots = given(rig.ask(0, "SlotList"))["items"]
    calls = [("LockAll", {}, "lock --all"),
             ("UnlockAll", {}, "unlock --all"),
             ("Lock", {}, "lock"),
             ("Destroy", {"dry_run": False}, "destroy the vault"),
             ("Destroy", {"with_record": True, "dry_run": False},
              "destroy the vault with its record"),
             ("Backup", {}, "back up the vault"),
             ("SlotRemove", {"id": slots[0]["id"]},
              "remove the slot " + slots[0]["id"]),
             ("SlotRecovery", {}, "make a recovery key"),
             ("TokenLost", {"uri": "pkcs11:token=x"},
              "give up pkcs11:token=x")]
    ids = {}
    for method, parameters, words in calls:
        answer = admin(method, **parameters)
        if answer["parameters"].get("code") != "busy":
            continue                      # it wanted something else first
        ids[words] = asked(answer)
        assert seen_by_bob(rig, ids[words])["does"] == words
        assert seen_by_bob(rig, ids[words])["call"]["method"] == method
    assert {"lock --all", "unlock --all", "destroy the vault"} <= set(ids)
    assert len(set(ids.values())) == len(ids) > 5, ids
    approve(rig, ids["lock --all"])
    assert asked(admin("UnlockAll")) == ids["unlock --all"]
    given(admin("LockAll"))
    assert asked(admin("LockAll")) not in ids.values()
    given(rig.ask(0, "UnlockAll"))


def test_a_slot_on_a_token_is_on_that_token(rig):
    """Who approves one token approves no other."""
    rig.policy(ADMIN)
    id = given(rig.ask(0, "SlotList"))["items"][0]["id"]
    calls = [("SlotAdd", {}, "add a slot"),
             ("SlotChange", {"id": id}, "change the slot " + id + " to")]
    for method, more, words in calls:
        ids = {}
        for uri in ("pkcs11:token=x", "pkcs11:token=y"):
            ids[uri] = asked(rig.ask(ALICE, method, reason="incident",
                                     key={"kind": "token", "uri": uri},
                                     **more))
            told = seen_by_bob(rig, ids[uri])
            assert told["does"] == words + " token " + uri
            assert told["call"]["key.uri"] == uri
        assert len(set(ids.values())) == 2


@pytest.mark.parametrize("form", ["pkcs11:token=x?PIN={}", "pkcs11:pin={}",
                                  "pkcs11:token=x?pin-value%3D{}"])
def test_a_pin_in_the_wrong_place_is_shown_to_nobody(rig, form):
    """Nor kept: who approves sees a hash of such a URI, and approves it alone."""
    pin = "no-pin-of-anybodys-48151623"
    rig.policy(ADMIN)
    uri = form.format(pin)
    ids = {asked(rig.ask(ALICE, method, reason="incident", uri=u))
           for method in ("TokenList", "TokenObjects")
           for u in (uri, uri + "4")}
    assert len(ids) == 4
    told = [seen_by_bob(rig, id) for id in ids]
    assert pin not in json.dumps(told)
    assert all("sha256:" in t["call"]["uri"] for t in told), told
    for name in os.listdir(rig.v.folder):
        path = rig.v.path(name)
        if os.path.isfile(path):
            with open(path, "rb") as f:
                assert pin.encode() not in f.read(), name
    with open(rig.v.path("audit/log"), "rb") as f:
        assert pin.encode() not in f.read()


def test_a_fetch_goes_the_way_that_was_approved(rig):
    """Through that proxy, believing those authorities: another is asked for
    anew."""
    rig.policy(permit("fetches", [ALICE], ["fetch", "fetch.service"],
                      **approvals()))
    cloud = {"endpoint": "https://127.0.0.1:1", "project_id": "0" * 32,
             "token": "t"}
    other = [{}, {"proxy": "http://127.0.0.1:2"},
             {"proxy": "http://127.0.0.1:3"}, {"ca_pem": "one\n"},
             {"ca_pem": "two\n"}, {"regions": "CCE: {}\n"}]
    ids = []
    for more in other:
        answer = rig.ask(ALICE, "Fetch", cloud={**cloud, **more},
                         cluster_id="11111111-2222-3333-4444-555555555555",
                         name="f", exportable=False, labels={}, dry_run=False,
                         as_service=False, reason="new")
        ids.append(asked(answer))
        told = seen_by_bob(rig, ids[-1])
        for key, value in more.items():
            if key != "proxy":
                value = hashlib.sha256(value.encode()).hexdigest()
            assert told["call"]["cloud." + key] == value
            assert value in told["does"]
    assert len(set(ids)) == len(other)


@pytest.mark.parametrize("action", ["edit", "admin", "import", "fetch",
                                    "fetch.service", "policy.apply",
                                    "approve"])
def test_what_request_cannot_say(rig, action):
    rig.policy(permit("all", [ALICE], [action], **approvals()))
    refused(rig.ask(ALICE, "Request", action=action, reason="x",
                    **({"name": "a"} if action == "edit" else {})), "usage")


def test_more_than_people_would_read(rig):
    rig.policy(EDITS)
    answer = rig.ask(ALICE, "Label", name="a", reason="tidy",
                     set={}, remove=["x" * 60] * 400)
    assert answer["parameters"]["code"] == "invalid", answer
    assert rig.requests(ALICE, all=True) == []


# Methods whose parameters are all in what every request has (action, entry,
# reason, ticket, context, duration, read-only), that read, or are not decided.
# (Of the record all is read as such; what administers it is bound as `admin`.)
PLAIN = """AgentStatus AgentStop BackupEnd BackupRead Clusters Export Health
Hello Init Keyless List Metrics PolicyDiff PolicyExplain PolicyHistory
PolicyShow PolicyWhoCan Prompt Request Requests Show Sign Status Target Unlock
Use UseEnd""".split()


def test_every_method_is_bound_or_has_nothing_to_bind():
    """A new method: does it belong into approval_call.c's table, or to those
    above? Nor is there a parameter in the table that its method has not."""
    root = os.path.join(os.path.dirname(__file__), "..", "..", "vault")
    with open(os.path.join(root, "wire", "io.certvault.Broker.varlink"),
              encoding="ascii") as f:
        methods = dict(re.findall(r"^method (\w+)\((.*?)\) ->", f.read(),
                                  re.M | re.S))
    with open(os.path.join(root, "broker", "approval_call.c"),
              encoding="ascii") as f:
        table = f.read().split("calls[] = {")[1].split("/* clang-format")[0]
    rows = re.findall(r'\{"(\w+)", (?:NULL|"[^"]*"), (?:true|false), '
                      r'(?:true|false),\s*\{(.*?)\}\}', table, re.S)
    bound = {m: re.findall(r'\{"([\w.]+)"', "{" + rest) for m, rest in rows}
    assert len(rows) == len(bound) > 30
    assert not set(bound) & set(PLAIN)
    assert {m for m in bound if not m.startswith("Audit")} | set(PLAIN) == \
        {m for m in methods if not m.startswith("Audit")}
    for method, members in bound.items():
        for member in members:
            assert re.search(rf"\b{member.split('.')[0]}: ", methods[method]), \
                (method, member)


# --- an edit's two halves ---

def entry_rule(name, labels, uids=(ALICE,), **more):
    return permit(name, list(uids), ["edit"], entries={"labels": labels},
                  **more)


def test_both_halves_are_recorded_and_counted(rig):
    """Out of where edits are free, into where there are two an hour."""
    rig.v(*rig.v.to, "label", "a", "env=dev", code=0)
    rig.policy(entry_rule("free", {"env": "dev"}),
               entry_rule("few", {"env": "prod"},
                          limit={"count": 2, "per": "1h"}))

    def label(env):
        return rig.ask(ALICE, "Label", name="a", set={"env": env}, remove=[])

    given(label("prod"))
    leaves = permits(rig, action="edit")[-2:]
    assert [r["rules"] for r in leaves] == [["free"], ["few"]]
    assert leaves[0]["op"] != leaves[1]["op"]
    given(label("dev"))                 # the second of two
    refused(label("prod"), "busy")
    given(rig.ask(ALICE, "Label", name="a", set={"x": "y"}, remove=[]))
    check_told(rig)


def test_both_halves_ask_for_their_approvals(rig):
    rig.v(*rig.v.to, "label", "a", "env=dev", code=0)
    rig.policy(entry_rule("devs", {"env": "dev"}, **approvals(uids=[BOB])),
               entry_rule("prods", {"env": "prod"}, **approvals(uids=[CAROL])))

    def label():
        return rig.ask(ALICE, "Label", name="a", set={"env": "prod"},
                       remove=[])

    id = asked(label())
    approve(rig, id, CAROL)
    assert asked(label()) == id         # the other half's
    approve(rig, id, BOB)
    given(label())
    both = permits(rig, action="edit", request=id)
    assert sorted(r["rules"][0] for r in both) == ["devs", "prods"]
    check_told(rig)
    assert asked(rig.ask(ALICE, "Label", name="a", set={"env": "dev"},
                         remove=[])) != id


def test_a_glass_in_the_second_half_is_loud(rig):
    rig.v(*rig.v.to, "label", "a", "env=dev", code=0)
    rig.policy(entry_rule("free", {"env": "dev"}),
               entry_rule("glass", {"env": "prod"}, break_glass=True,
                          when={"reason": "required"}))
    given(rig.ask(ALICE, "Label", name="a", set={"env": "prod"}, remove=[],
                  reason="fire"))
    quiet, loud = permits(rig, action="edit")[-2:]
    assert "break_glass" not in quiet["details"]
    assert loud["details"]["break_glass"] is True and loud["rules"] == ["glass"]


# --- several at once ---


def remove(rig, *names):
    return rig.ask(ALICE, "Remove", names=list(names), dry_run=False,
                   reason="tidy")


def test_rm_of_more_than_the_limit_takes_nothing_of_it(rig):
    add_to_service(rig, "b", "c")
    rig.policy(permit("few", [ALICE], ["remove"],
                      limit={"count": 2, "per": "1h"}))
    refused(remove(rig, "a", "b", "c"), "busy")
    assert permits(rig, action="remove") == []
    given(remove(rig, "a", "b"))        # the two are still there
    refused(remove(rig, "c"), "busy")
    check_told(rig)


def test_rm_waits_for_all_its_approvals(rig):
    add_to_service(rig, "b")
    rig.policy(permit("asks", [ALICE], ["remove"], **approvals()))
    first = asked(remove(rig, "a", "b"))
    approve(rig, first)
    second = asked(remove(rig, "a", "b"))
    assert second != first
    # What the first was given is not used up by that.
    assert seen_by_bob(rig, first)["state"] == "approved"
    approve(rig, second)
    given(remove(rig, "a", "b"))
    assert sorted(r["details"]["request"]
                  for r in permits(rig, action="remove")) == \
        sorted([first, second])
    check_told(rig)


def test_rm_of_the_same_twice(rig):
    rig.policy(permit("asks", [ALICE], ["remove"], **approvals()))
    refused(remove(rig, "a", "a"), "invalid")
    assert rig.requests(ALICE, all=True) == []


def add_to_service(rig, *names):
    for name in names:
        path = rig.v.write("new.yaml", kube.as_yaml(kube.config(
            kube.Identity("p256", secrets=rig.v.secrets))))
        rig.v(*rig.v.to, "import", path, "--name", name, code=0)


def folder_of(rig, n):
    folder = os.path.join(rig.v.home, "theirs")
    os.makedirs(folder, exist_ok=True)
    for i in range(n):
        path = os.path.join(folder, f"k{i}.yaml")
        with open(path, "wb") as f:
            text = kube.as_yaml(kube.config(
                kube.Identity("p256", secrets=rig.v.secrets)))
            f.write(text if isinstance(text, bytes) else text.encode())
        os.chmod(path, 0o644)
    users.open_way(os.path.join(folder, "k0.yaml"))
    return folder


def test_import_of_a_folder_under_a_limit(rig):
    """As many as the limit gives, the others wait: 75, not 77."""
    rig.policy(permit("few", [ALICE], ["import"],
                      limit={"count": 2, "per": "1h"}))
    done = person(rig, ALICE, "-o", "json", "import", folder_of(rig, 3))
    assert done.code == BUSY, done
    assert len(permits(rig, action="import")) == 3   # the rig's own, and two
    check_told(rig)
    names = {e["name"] for e in rig.v.json(*rig.v.to, "list")["items"]}
    assert len(names) == 3


def test_import_of_a_folder_that_wants_approvals(rig):
    rig.policy(permit("asks", [ALICE], ["import"], **approvals()))
    folder = folder_of(rig, 2)
    assert person(rig, ALICE, "import", folder).code == BUSY
    waiting = rig.requests(BOB)
    assert len(waiting) == 2            # one each, asked for at once
    approve(rig, waiting[0]["id"])
    assert person(rig, ALICE, "import", folder).code == BUSY
    approve(rig, waiting[1]["id"])
    done = person(rig, ALICE, "import", folder)
    assert done.code == 0 or done.code == 65, done   # one is there already
    assert len(rig.v.json(*rig.v.to, "list")["items"]) == 3
    check_told(rig)


# --- lists ---

def listed(rig, uid=ALICE, **more):
    return sorted(e["name"] for e in
                  given(rig.ask(uid, "List", labels={}, **more))["items"])


def test_a_list_shows_what_its_record_gives(rig):
    add_to_service(rig, "b", "c")
    names = {n: {"entries": {"names": [n]}} for n in "abc"}
    free = permit("free", [ALICE], ["list"], **names["a"])
    few = permit("few", [ALICE], ["list"], **names["b"],
                 limit={"count": 1, "per": "1h"})
    glass = permit("glass", [ALICE], ["list"], **names["c"], break_glass=True)
    rig.policy(free, few, glass)
    for _ in range(3):
        assert listed(rig) == ["a"]     # counts for nothing, tells nobody
    assert listed(rig, reason="fire", break_glass=True) == ["a", "c"]
    loud, = rig.leaves(action="list", break_glass=True)
    assert loud["rules"] == ["glass"]
    rig.policy(few, glass)
    assert listed(rig, reason="x") == ["b"]
    assert permits(rig, action="list")[-1]["rules"] == ["few"]
    # That of c nothing else is about: the glass is all that there is.
    assert listed(rig, reason="x") == ["c"]
    assert permits(rig, action="list")[-1]["rules"] == ["glass"]
    refused(rig.ask(ALICE, "List", labels={}), "busy")
    rig.policy(permit("asks", [ALICE], ["list"], **approvals(), **names["b"]),
               free)
    assert listed(rig) == ["a"] and rig.requests(ALICE, all=True) == []


# --- what was seen, what is left ---

def test_a_dry_run_of_an_export_is_recorded(rig):
    rig.policy(permit("glass", [ALICE], ["export"], break_glass=True,
                      when={"reason": "required"}))
    given(rig.ask(ALICE, "Export", name="a", dry_run=True, reason="x"))
    leaf, = rig.leaves(action="export", dry_run=True)
    assert leaf["phase"] == "event" and leaf["actor"]["uid"] == ALICE


def test_nobody_looks_through_a_broken_glass_unseen(rig):
    """Whoever may approve in an emergency alone is not shown requests."""
    rig.version += 1
    document = {
        "apiVersion": "certvault/v1", "kind": "Policy",
        "metadata": {"name": "t", "version": rig.version},
        "rules": [permit("owner", [0], ["*"]),
                  permit("copies", [ALICE], ["export"], **approvals()),
                  permit("glass", [BOB], ["approve"], break_glass=True,
                         when={"reason": "required"}),
                  permit("few", [CAROL], ["approve"],
                         limit={"count": 1, "per": "1h"})]}
    path = rig.v.write("policy.yaml", json.dumps(document))
    rig.v(*rig.v.to, "policy", "apply", path, code=0)
    id = asked(rig.export(ALICE))
    assert rig.requests(BOB) == []
    assert [r["id"] for r in rig.requests(CAROL)] == [id]
    given(rig.ask(BOB, "Approve", id=id, reason="fire"))
    assert rig.leaves(action="approve", break_glass=True)


def test_the_entry_is_gone(rig):
    """Its request is shown to whoever asked, and to nobody else; nobody can
    approve it."""
    rig.policy(permit("copies", [ALICE], ["export"], **approvals()))
    id = asked(rig.export(ALICE))
    assert [r["id"] for r in rig.requests(BOB)] == [id]
    rig.v(*rig.v.to, "rm", "a", "--yes", code=0)
    assert [r["id"] for r in rig.requests(ALICE)] == [id]
    assert rig.requests(BOB) == [] == rig.requests(BOB, ids=[id])
    error = refused(rig.ask(BOB, "Approve", id=id), "not-found")
    assert "not there any more" in error["message"]
    # Another entry of that name is another.
    add_to_service(rig, "a")
    assert rig.requests(BOB) == []


def test_its_primary_group_is_in_the_record(rig):
    s = users.connect_as(rig.broker.path, ALICE, 64009, [64010])
    with s:
        rig.ask(ALICE, "Show", on=s, name="a")
    leaf = rig.leaves(action="show")[-1]
    assert leaf["actor"]["gids"] == [64009, 64010]


# --- 24 hours ---

def seal(db):
    """The row's digest, as docs/formats.md has it."""
    vault_id, = db.execute("SELECT value FROM meta WHERE key = 'vault_id'"
                           ).fetchone()
    vault_id = vault_id if isinstance(vault_id, bytes) else vault_id.encode()
    id, key, uid, created, expires, state, doc = db.execute(
        "SELECT id, key, uid, created, expires, state, doc FROM requests"
    ).fetchone()
    content = [id.encode(), key.encode(),
               struct.pack("<4q", uid, created, expires, state), doc.encode()]
    digest = hashlib.blake2b(digest_size=32)
    for piece in (vault_id, b"requests", *content):
        digest.update(struct.pack("<Q", len(piece)) + piece)
    db.execute("UPDATE requests SET digest = ?", (digest.digest(),))


def in_the_store(rig, change):
    """Ends the service, changes the row of the one request, starts it."""
    assert rig.broker.end() == 0
    with sqlite3.connect(os.path.join(rig.v.folder, "vault.db")) as db:
        change(db)
        seal(db)
    db.close()
    rig.start()


def by_wall_time(db):
    db.execute("UPDATE requests SET expires = strftime('%s') - 1,"
               " created = strftime('%s') - 86401")


def by_the_boot(db):
    """Its clock was set back: what counts then is how long the host ran."""
    doc = json.loads(db.execute("SELECT doc FROM requests").fetchone()[0])
    doc["mono_ms"] -= 24 * 3600 * 1000
    db.execute("UPDATE requests SET doc = ?", (json.dumps(doc),))


def just_before(db):
    doc = json.loads(db.execute("SELECT doc FROM requests").fetchone()[0])
    doc["mono_ms"] -= 24 * 3600 * 1000 - 600 * 1000
    db.execute("UPDATE requests SET doc = ?, expires = strftime('%s') + 600",
               (json.dumps(doc),))


@pytest.mark.parametrize("change, over", [(by_wall_time, True),
                                          (by_the_boot, True),
                                          (just_before, False)])
@pytest.mark.parametrize("approved", [False, True])
def test_after_a_day_it_is_over(rig, change, over, approved):
    rig.policy(permit("copies", [ALICE], ["export"], **approvals()))
    id = asked(rig.export(ALICE))
    if approved:
        approve(rig, id)
    in_the_store(rig, change)
    state, = [r["state"] for r in rig.requests(ALICE, all=True)]
    if not over:
        assert state == ("approved" if approved else "open")
        if not approved:
            approve(rig, id)
        given(rig.export(ALICE))
        return
    assert state == "expired"
    error = refused(rig.ask(CAROL, "Approve", id=id), "invalid")
    assert "expired" in error["message"]
    assert asked(rig.export(ALICE)) != id
