"""Understanding a policy: diff, who-can, history, what apply warns of and
records, and the floor below which its version never falls."""

import grp
import json
import os
import pwd
import shutil

import pytest
import yaml

import harness
from harness import INTEGRITY, INVALID, NOT_FOUND, USAGE
from kube import Identity, as_yaml, config

ME = os.getuid()
EVERY = ("fetch import list show use issue renew rotate revoke remove edit "
         "approve audit.read policy.read policy.apply admin").split()
OWNER = {"name": "owner", "effect": "permit", "subjects": {"uids": [ME]},
         "actions": EVERY}


def policy(*rules, version=1):
    return yaml.safe_dump({
        "apiVersion": "certvault/v1", "kind": "Policy",
        "metadata": {"name": "t", "version": version},
        "rules": [OWNER, *rules]}, sort_keys=False)


def rule(name, effect, subjects, actions, **more):
    return {"name": name, "effect": effect, "subjects": subjects,
            "actions": actions, **more}


@pytest.fixture
def three(vault):
    for name, labels in (("prod-a", "env=prod"), ("prod-b", "env=prod"),
                         ("dev-c", "env=dev")):
        vault.add(as_yaml(config(Identity())), name, "--label", labels)
    return vault


def members(group):
    """As getent tells: listed, or of that first group."""
    g = grp.getgrnam(group)
    return ({m for m in g.gr_mem if known(m)} |
            {p.pw_name for p in pwd.getpwall() if p.pw_gid == g.gr_gid})


def known(user):
    try:
        return bool(pwd.getpwnam(user))
    except KeyError:
        return False


def who(item):
    for kind in ("user", "group", "everyone"):
        if kind in item:
            return kind, item[kind]
    raise AssertionError(item)


def diff(vault, old, new, *args):
    return vault.json("policy", "diff", old, new, *args)


def test_diff_tells_who_gains_and_loses(three):
    people = rule("people", "permit", {"groups": ["daemon"]}, ["use", "list"],
                  entries={"names": ["prod-*"]})
    old = three.write("old.yaml", policy(people))
    new = three.write("new.yaml", policy(
        {**people, "actions": ["list", "show"],
         "entries": {"labels": {"env": "prod"}}}, version=2))
    said = diff(three, old, new)
    assert said["apiVersion"] == "certvault/v1"
    assert said["kind"] == "PolicyDiff"
    assert said["rules"] == {"added": [], "removed": [], "changed": ["people"]}
    assert said["complete"] is True and said["omitted"] == 0
    assert said["entries"] == 3
    got = {(who(i), i["action"], i["entry"], i["change"])
           for i in said["items"]}
    expected = set()
    for person in [("user", m) for m in members("daemon") if m != pwd.getpwuid(
            ME).pw_name] + [("group", "daemon")]:
        for entry in ("prod-a", "prod-b"):
            expected.add((person, "use", entry, "lost"))
            expected.add((person, "show", entry, "gained"))
    assert got == expected
    item = next(i for i in said["items"] if i["change"] == "gained")
    assert item["before"] == "no" and item["after"] == "yes"
    assert item["after_rules"] == ["people"] and item["before_rules"] == []


def test_diff_of_what_is_the_same_under_other_names(three):
    """A rule cut in two, and called otherwise, changes nobody's rights."""
    old = three.write("old.yaml", policy(
        rule("both", "permit", {"users": ["daemon"]}, ["use", "show"],
             when={"reason": "required"})))
    new = three.write("new.yaml", policy(
        rule("one", "permit", {"uids": [pwd.getpwnam("daemon").pw_uid]},
             ["show"], when={"reason": "required"}),
        rule("two", "permit", {"users": ["daemon"]}, ["use"],
             when={"reason": "required"}), version=2))
    said = diff(three, old, new)
    assert said["items"] == []
    assert said["rules"] == {"added": ["one", "two"], "removed": ["both"],
                             "changed": []}


def test_diff_of_terms(three):
    """Who may still, but on other terms, is told too, terms in words."""
    one = rule("r", "permit", {"users": ["daemon"]}, ["use"],
               entries={"names": ["dev-c"]}, when={"reason": "required"})
    old = three.write("old.yaml", policy(one))
    new = three.write("new.yaml", policy(
        {**one, "when": {"ticket": "OPS-[0-9]+", "hours": "08:00-18:00"},
         "grant": {"max_duration": "2h", "read_only": True}}, version=2))
    items = diff(three, old, new)["items"]
    assert len(items) == 1 and items[0]["change"] == "changed"
    assert items[0]["before"] == items[0]["after"] == "if"
    assert items[0]["before_terms"] == "with a reason"
    assert items[0]["after_terms"] == ("with a ticket like OPS-[0-9]+, "
                                       "08:00-18:00 UTC, at most 2h, read-only")
    shown = three("policy", "diff", old, new, code=0)
    assert "if: with a reason" in shown.text and "daemon" in shown.text
    assert "0 gained, 0 lost, 1 on other terms" in shown.note


def test_diff_of_versions_and_the_one_in_force(three):
    first = three.write("1.yaml", policy())
    three("policy", "apply", first, code=0)
    more = rule("more", "permit", {"users": ["*"]}, ["show"])
    second = three.write("2.yaml", policy(more, version=2))
    three("policy", "apply", second, code=0)
    for old, new in (("1", "2"), ("1", "current"), (first, second),
                     ("1", second)):
        said = diff(three, old, new, "--entry", "dev-*")
        assert {who(i) for i in said["items"]} == {
            ("everyone", "everyone else")}, (old, new)
    assert diff(three, "2", second)["items"] == []
    assert three("policy", "diff", "1", code=0).out == \
        three("policy", "diff", "1", "2", code=0).out
    three("policy", "diff", "7", "2", code=NOT_FOUND)
    bad = three.write("bad.yaml", policy() + "extra: 1\n")
    done = three("policy", "diff", "current", bad, code=INVALID)
    assert "line" in done.note and "extra: 1" in done.note
    three("policy", "diff", "1", "2", "--action", "fly", code=USAGE)


def test_narrowed(three):
    more = rule("more", "permit", {"users": ["daemon", "bin"]},
                ["show", "use"])
    old = three.write("1.yaml", policy())
    new = three.write("2.yaml", policy(more, version=2))
    assert len(diff(three, old, new)["items"]) == 2 * 2 * 3
    one = diff(three, old, new, "--user", "bin", "--action", "use", "--entry",
               "prod-*")["items"]
    assert {(who(i)[1], i["action"], i["entry"]) for i in one} == {
        ("bin", "use", "prod-a"), ("bin", "use", "prod-b")}


def test_only_entries_that_the_caller_may_list(three):
    seer = {**OWNER, "actions": ["policy.read", "policy.apply", "audit.read"]}
    text = yaml.safe_dump({
        "apiVersion": "certvault/v1", "kind": "Policy",
        "metadata": {"name": "t", "version": 1},
        "rules": [seer, rule("l", "permit", {"uids": [ME]}, ["list"],
                             entries={"names": ["dev-*"]})]})
    three("policy", "apply", three.write("1.yaml", text), code=0)
    new = three.write("2.yaml", policy(
        rule("all", "permit", {"users": ["*"]}, ["use"]), version=2))
    said = diff(three, "current", new, "--user", "daemon")
    assert {i["entry"] for i in said["items"] if "entry" in i} <= {"dev-c"}
    assert said["entries"] == 1
    # Of an entry by name nothing is told that a list would not tell.
    can = three.json("policy", "who-can", "use", "prod-a")
    assert can["known"] is False


# --- against `policy test`, which decides one request after the other ---

USERS = ["daemon", "bin", "sys", "sync"]
GROUPS = ["daemon", "bin", "sys", "adm", "tty"]
ACTIONS = ["list", "show", "use", "export", "remove", "edit", "admin",
           "policy.read", "audit.read"]
ENTRIES = {"prod-a": "prod", "prod-b": "prod", "dev-c": "dev"}
WITHOUT = {"admin", "policy.read", "audit.read"}


def random_rules(rng, n):
    rules = []
    for i in range(n):
        subjects = {}
        if rng.random() < .5:
            subjects["users"] = rng.sample(USERS, rng.randint(1, 2))
        if rng.random() < .5:
            subjects["groups"] = rng.sample(GROUPS, rng.randint(1, 2))
        if not subjects or rng.random() < .1:
            subjects = {"users": ["*"]}
        one = rule(f"r{i}", rng.choice(["permit", "permit", "forbid"]),
                   subjects, rng.sample(ACTIONS, rng.randint(1, 3)))
        if rng.random() < .5:
            one["entries"] = rng.choice(
                [{"names": ["prod-*"]}, {"names": ["*-c", "prod-a"]},
                 {"labels": {"env": "prod"}}, {"labels": {"env": "d*"}},
                 {"names": ["*"]}])
        if rng.random() < .2:
            one["when"] = {"mode": [rng.choice(["exec", "service"])]}
        rules.append(one)
    return rules


def decisions(vault, path):
    """(user, action, entry) -> permitted, by names, one by one."""
    cases, keys = [], []
    for user in USERS:
        p = pwd.getpwnam(user)
        groups = [grp.getgrgid(g).gr_name
                  for g in os.getgrouplist(user, p.pw_gid)]
        for action in ACTIONS:
            for name in ([None] if action in WITHOUT else ENTRIES):
                case = {"user": user, "groups": groups, "action": action,
                        "mode": "exec", "expect": "permit"}
                if name is not None:
                    case["entry"] = {"name": name,
                                     "labels": {"env": ENTRIES[name]}}
                cases.append(case)
                keys.append((user, action, name))
    file = vault.write("cases.yaml", json.dumps(
        {"apiVersion": "certvault/v1", "kind": "PolicyTest", "cases": cases}))
    said = vault("-o", "json", "policy", "test", file, "--policy", path).json
    return {k: i["got"] == "permit" for k, i in zip(keys, said["items"])}


def about(path):
    """The users that rules name, or have in a group that they name."""
    with open(path, encoding="utf-8") as f:
        rules = yaml.safe_load(f)["rules"]
    found = set()
    for one in rules:
        found |= set(one["subjects"].get("users", []))
        for group in one["subjects"].get("groups", []):
            found |= members(group)
    return found


def test_random_policies(three):
    """Every flip is told, and nothing that is none."""
    rng = harness.seeded()
    flips = 0
    for n in range(40 if harness.FULL else 4):
        old = three.write("old.yaml", policy(*random_rules(rng, 8)))
        new = three.write("new.yaml", policy(*random_rules(rng, 8)))
        before, after = decisions(three, old), decisions(three, new)
        told = about(old) | about(new)
        got = {}
        for i in diff(three, old, new)["items"]:
            if who(i)[0] != "group":
                got[who(i)[1], i["action"], i.get("entry")] = i
        for key, was in before.items():
            # Whom no rule is about is anybody.
            item = got.get(key if key[0] in told
                           else ("everyone else", *key[1:]))
            if was == after[key]:
                assert item is None, (n, key, item)
                continue
            flips += 1
            assert item is not None, (n, key)
            assert item["change"] == ("lost" if was else "gained")
            assert (item["before"], item["after"]) == (
                ("yes", "no") if was else ("no", "yes"))
    assert flips > 20


# --- who-can ---

def test_who_can(three):
    three("policy", "apply", three.write("1.yaml", policy(
        rule("named", "permit", {"users": ["bin"]}, ["export"],
             entries={"labels": {"env": "prod"}}, when={"reason": "required"}),
        rule("group", "permit", {"groups": ["daemon"]}, ["export"]),
        rule("never", "forbid", {"users": ["*"]}, ["export"],
             entries={"names": ["prod-b"]}))), code=0)
    said = three.json("policy", "who-can", "export", "prod-a")
    assert said["kind"] == "PolicyWhoCan" and said["known"] is True
    can = {who(i): i for i in said["items"]}
    assert set(can) == ({("user", m) for m in members("daemon")} |
                        {("user", "bin"), ("group", "daemon")})
    assert can["user", "bin"]["may"] == "if"
    assert can["user", "bin"]["terms"] == "with a reason"
    assert can["user", "bin"]["rules"] == ["named"]
    assert can["group", "daemon"]["may"] == "yes"
    assert three.json("policy", "who-can", "export", "prod-b")["items"] == []
    assert "nobody" in three("policy", "who-can", "export", "prod-b",
                             code=0).note
    assert {who(i) for i in three.json("policy", "who-can", "export",
                                       "dev-c")["items"]} == \
        set(can) - {("user", "bin")}
    unknown = three("policy", "who-can", "export", "other", code=0)
    assert "by its name alone" in unknown.note


def test_who_can_do_what_has_no_entry(three):
    said = three.json("policy", "who-can", "policy.apply")
    assert [i["uid"] for i in said["items"]] == [ME]
    three("policy", "who-can", "policy.apply", "prod-a", code=USAGE)
    three("policy", "who-can", "use", code=USAGE)
    three("policy", "who-can", "fly", code=USAGE)


def test_nobody_by_number_is_never_told_to_be_able(three):
    """65534 is denied always, whatever a rule says."""
    three("policy", "apply", three.write("1.yaml", policy(
        rule("all", "permit", {"users": ["nobody", "*"]}, ["show"]))), code=0)
    said = three.json("policy", "who-can", "show", "prod-a")["items"]
    assert ("user", "nobody") not in {who(i) for i in said}
    assert ("everyone", "everyone else") in {who(i) for i in said}


# --- apply ---

def last_apply(vault):
    return [r for r in vault.records("--action", "policy.apply")
            if r.get("outcome") == "ok"][-1]


def test_the_record_has_digest_and_rules(three):
    three("policy", "apply", three.write("1.yaml", policy(
        rule("a", "permit", {"users": ["bin"]}, ["show"]),
        rule("b", "permit", {"users": ["bin"]}, ["use"]))), code=0)
    more = [rule(f"n{i}", "permit", {"users": ["bin"]}, ["show"])
            for i in range(40)]
    path = three.write("2.yaml", policy(
        rule("a", "permit", {"users": ["bin"]}, ["show", "list"]), *more,
        version=2))
    three("policy", "apply", path, "--reason", "review", code=0)
    leaf = last_apply(three)
    details = leaf["details"]
    import hashlib
    with open(path, "rb") as f:
        assert details["new_sha256"] == hashlib.sha256(f.read()).hexdigest()
    assert (details["old_version"], details["new_version"]) == (1, 2)
    assert details["rules_removed"] == ["b"]
    assert details["rules_changed"] == ["a"]
    assert details["rules_added"] == [f"n{i}" for i in range(32)]
    assert details["rules_omitted"] == 8
    # The decision has them too: it is written before anything changes.
    decision = [r for r in three.records("--action", "policy.apply")
                if r["op"] == leaf["op"] and r["phase"] == "decision"][0]
    assert decision["details"]["rules_removed"] == ["b"]


def test_history(three):
    for n in (1, 3):
        three("policy", "apply", three.write("p.yaml", policy(
            *[rule("x", "permit", {"users": ["bin"]}, ["show"])] * (n == 3),
            version=n)), "--reason", f"number {n}", "--ticket", f"T-{n}",
            code=0)
    said = three.json("policy", "history")
    assert said["kind"] == "PolicyVersionList"
    items = said["items"]
    assert [i["version"] for i in items] == [3, 1, 0]
    assert items[0]["reason"] == "number 3" and items[0]["ticket"] == "T-3"
    assert items[0]["uid"] == ME and items[0]["rules_added"] == ["x"]
    assert "actor" not in items[2]
    leaf = json.loads(three("audit", "record", str(items[0]["seq"]),
                            code=0).out)
    assert leaf["details"]["new_sha256"] == items[0]["sha256"]
    assert three("-o", "name", "policy", "history", code=0).text.split() == [
        "3", "1", "0"]


LOCKED_OUT = "you yourself may no longer apply policies"


def without(*actions, **subjects):
    return yaml.safe_dump({
        "apiVersion": "certvault/v1", "kind": "Policy",
        "metadata": {"name": "t", "version": 2},
        "rules": [{**OWNER, "actions": [a for a in EVERY if a not in actions]},
                  *([rule("other", "permit", subjects, ["policy.apply"])]
                    if subjects else [])]})


def test_apply_warns_whoever_locks_themselves_out(three):
    alone = three.write("2.yaml", without("policy.apply", "admin"))
    done = three("policy", "apply", alone, "--dry-run", code=0)
    assert LOCKED_OUT in done.note and "administer the vault" in done.note
    assert "nobody may apply policies" in done.note
    other = three.write("3.yaml", without("policy.apply", users=["bin"]))
    done = three("policy", "apply", other, "--dry-run", code=0)
    assert LOCKED_OUT in done.note
    assert "nobody may apply policies" not in done.note
    fine = three.write("4.yaml", policy(version=2))
    done = three("policy", "apply", fine, "--dry-run", code=0)
    assert "warning" not in done.note


def test_apply_warns_of_what_everybody_may(three):
    path = three.write("2.yaml", policy(
        rule("oops", "permit", {"users": ["*"]}, ["*"]), version=2))
    done = three("policy", "apply", path, code=0)
    for action in ("policy.apply", "admin", "export", "use"):
        assert f"every user of this host may {action}" in done.note


def test_dry_run_shows_the_difference(three):
    path = three.write("2.yaml", policy(
        rule("more", "permit", {"users": ["bin"]}, ["show"]), version=2))
    done = three("policy", "apply", path, "--dry-run", code=0)
    assert "rules added: more" in done.text
    assert "gained" in done.text and "dev-c, prod-a, prod-b" in done.text
    said = three.json("policy", "apply", path, "--dry-run")
    assert said["kind"] == "PolicyDryRun"
    assert {i["entry"] for i in said["diff"]["items"]
            if i.get("user") == "bin"} == set(ENTRIES)
    assert three.json("policy", "history")["items"][0]["version"] == 0


# --- explain --seq ---

def test_a_record_is_decided_again_by_the_policy_of_then(three):
    no = rule("no", "forbid", {"users": ["*"]}, ["show"],
              entries={"labels": {"env": "prod"}}, when={"reason": "required"})
    three("policy", "apply", three.write("1.yaml", policy(no)), code=0)
    seq = three.error(harness.DENIED, "show", "prod-a", "--reason", "why")[
        "audit_seq"]
    three("policy", "apply", three.write("2.yaml", policy(version=2)), code=0)
    three("show", "prod-a", code=0)
    said = three.json("policy", "explain", "--seq", str(seq))
    assert said["decision"] == said["again"]["decision"] == "deny"
    assert said["policy"]["version"] == 1
    rules = {r["name"]: r for r in said["again"]["rules"]}
    assert rules["no"]["matched"] is True and rules["owner"]["matched"] is True
    shown = three("policy", "explain", "--seq", str(seq), code=0)
    assert "decided again" in shown.text and "warning" not in shown.note
    # Of the entry only its name is recorded: what it is now may differ.
    three("label", "prod-a", "env=dev", code=0)
    shown = three("policy", "explain", "--seq", str(seq), code=0)
    assert "then it was deny" in shown.note
    # A permit, by the policy of now.
    last = three.records("--action", "show", "--outcome", "permit")[-1]["seq"]
    said = three.json("policy", "explain", "--seq", str(last))
    assert said["again"]["offer"] == "owner"
    assert said["policy"]["version"] == 2


# --- the floor ---

def copy_store(vault, to):
    """The store as it is on the disk; nothing runs."""
    for name in ("vault.db", "vault.db-wal"):
        if os.path.exists(vault.path(name)):
            shutil.copy(vault.path(name), to)
        elif os.path.exists(os.path.join(to, name)):
            os.unlink(os.path.join(to, name))


def put_store(vault, at):
    for name in ("vault.db", "vault.db-wal", "vault.db-shm"):
        if os.path.exists(vault.path(name)):
            os.unlink(vault.path(name))
        if os.path.exists(os.path.join(at, name)):
            shutil.copy(os.path.join(at, name), vault.path(name))


def test_a_store_that_was_put_back_is_refused(three, tmp_path):
    three("policy", "apply", three.write("1.yaml", policy()), code=0)
    copy_store(three, tmp_path)
    three("policy", "apply", three.write("2.yaml", policy(version=2)), code=0)
    three("list", code=0)                # a leaf under version 2
    put_store(three, tmp_path)
    for args in (["list"], ["status"], ["policy", "show"],
                 ["policy", "apply", three.write("3.yaml", policy(version=3))]):
        done = three(*args, code=INTEGRITY)
        assert "rolled back" in done.note and "version 1" in done.note
    three.verify()                       # the record itself is whole


def test_a_version_that_is_another_one_is_refused(three, tmp_path):
    three("policy", "apply", three.write("1.yaml", policy()), code=0)
    copy_store(three, tmp_path)
    log = three.path("audit")
    kept = os.path.join(tmp_path, "audit")
    shutil.copytree(log, kept)
    three("policy", "apply", three.write("2.yaml", policy(
        rule("evil", "permit", {"users": ["*"]}, ["export"]), version=2)),
        code=0)
    evil = os.path.join(tmp_path, "evil")
    os.mkdir(evil)
    copy_store(three, evil)
    put_store(three, tmp_path)
    shutil.rmtree(log)
    shutil.copytree(kept, log)
    three("policy", "apply", three.write("2.yaml", policy(version=2)), code=0)
    three("list", code=0)
    put_store(three, evil)
    done = three("list", code=INTEGRITY)
    assert "another one in the record" in done.note
