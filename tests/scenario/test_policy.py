"""Policies through the command line: check, apply, show, explain, test, and
what they decide."""

import json
import os
import pwd

import pytest
import yaml

import harness
from harness import DENIED, INTEGRITY, INVALID, NOT_FOUND, USAGE
from kube import Identity, as_yaml, config

ME = os.getuid()
NAME = pwd.getpwuid(ME).pw_name


def policy(*rules, version=1, **metadata):
    return yaml.safe_dump({
        "apiVersion": "certvault/v1", "kind": "Policy",
        "metadata": {"name": "t", "version": version, **metadata},
        "rules": list(rules)}, sort_keys=False)


ALL = {"name": "all", "effect": "permit", "subjects": {"uids": [ME]},
       "actions": ["*"]}


def permit(name, *actions, **more):
    return {"name": name, "effect": "permit", "subjects": {"uids": [ME]},
            "actions": list(actions), **more}


def forbid(name, *actions, **more):
    return {**permit(name, *actions, **more), "effect": "forbid"}


def test_check(vault):
    good = vault.write("good.yaml", policy(ALL))
    vault("policy", "check", good, code=0)
    bad = vault.write("bad.yaml", policy({**ALL, "effekt": "permit"}))
    done = vault("-o", "json", "policy", "check", bad, code=INVALID)
    assert "line" in done.error["message"] and "effekt" in done.note
    vault("policy", "check", os.path.join(vault.home, "none"), code=NOT_FOUND)


def test_check_needs_no_vault(home, secrets):
    v = harness.Vault(home, secrets, init=False)
    path = v.write("p.yaml", policy(ALL))
    v("policy", "check", path, code=0)


BAD = {
    "unknown-top": policy(ALL) + "extra: 1\n",
    "unknown-action": policy(permit("a", "fly")),
    "no-rules": policy().replace("rules: []", ""),
    "duplicate-name": policy(ALL, ALL),
    "duplicate-key": policy(ALL) + "kind: Policy\n",
    "anchor": policy(ALL).replace("name: all", "name: &a all"),
    "two-documents": policy(ALL) + "---\n" + policy(ALL),
    "effect": policy({**ALL, "effect": "allow"}),
    "forbid-with-grant": policy(forbid("f", "use", grant={"max_duration":
                                                          "1h"})),
    "version-negative": policy(ALL, version=-1),
    "version-word": policy(ALL, version="one"),
    "api": policy(ALL).replace("certvault/v1", "certvault/v9"),
    "back-reference": policy({**ALL, "when": {"ticket": "(a)\\1"}}),
    "hours": policy({**ALL, "when": {"hours": "8-25"}}),
    "days": policy({**ALL, "when": {"days": ["someday"]}}),
    "zone": policy({**ALL, "when": {"hours": "08:00-09:00",
                                    "timezone": "Nowhere/Land"}}),
    "uid": policy({**ALL, "subjects": {"uids": [-1]}}),
    "no-subjects": policy({k: v for k, v in ALL.items() if k != "subjects"}),
    "empty": "",
    "scalar": "42\n",
    "bytes": b"\xff\xfe",
}


@pytest.mark.parametrize("name", BAD)
def test_refused(vault, name):
    path = vault.write("p.yaml", BAD[name])
    done = vault("policy", "check", path)
    assert done.code in (INVALID, NOT_FOUND), done
    before = vault.json("policy", "show")
    done = vault("policy", "apply", path)
    assert done.code in (INVALID, NOT_FOUND), done
    assert vault.json("policy", "show") == before


def test_the_first_policy(vault):
    shown = vault("policy", "show", code=0).text
    document = yaml.safe_load(shown)
    assert document["metadata"]["version"] == 0
    # What is shown can be checked and applied again: the same bytes are 0.
    path = vault.write("p.yaml", shown)
    vault("policy", "check", path, code=0)
    vault("policy", "apply", path, code=0)


def test_versions(vault):
    one = vault.write("1.yaml", policy(ALL, version=1))
    vault("policy", "apply", one, code=0)
    vault("policy", "apply", one, code=0)                 # the same bytes
    other = vault.write("1b.yaml", policy(ALL, version=1) + "# other bytes\n")
    vault("policy", "apply", other, code=INTEGRITY)
    three = vault.write("3.yaml", policy(ALL, version=3))
    vault("policy", "apply", three, code=0)
    two = vault.write("2.yaml", policy(ALL, version=2))
    vault("policy", "apply", two, code=INTEGRITY)
    assert yaml.safe_load(vault("policy", "show", code=0).out)[
        "metadata"]["version"] == 3


def test_apply_dry_run(vault):
    path = vault.write("1.yaml", policy(ALL, version=1))
    vault("policy", "apply", path, "--dry-run", code=0)
    assert yaml.safe_load(vault("policy", "show", code=0).out)[
        "metadata"]["version"] == 0


def test_names_that_nobody_has(vault):
    """In a permit a warning, in a forbid an error."""
    path = vault.write("1.yaml", policy(ALL, {
        **permit("x", "use"), "subjects": {"users": ["nobody-has-this-name"]}}))
    done = vault("policy", "apply", path, code=0)
    assert "nobody-has-this-name" in done.note + done.text
    path = vault.write("2.yaml", policy(ALL, {
        **forbid("x", "use"), "subjects": {"users": ["nobody-has-this-name"]}},
        version=2))
    done = vault("policy", "apply", path)
    assert done.code == INVALID, done
    assert "nobody-has-this-name" in done.note


@pytest.fixture
def three(vault):
    for name, labels in (("prod-a", "env=prod"), ("prod-b", "env=prod"),
                         ("dev-c", "env=dev")):
        vault.add(as_yaml(config(Identity())), name, "--label", labels,
                  "--exportable")
    return vault


READS = permit("reads", "audit.read", "policy.read", "policy.apply", "admin")


def apply(vault, *rules, version=1):
    path = vault.write("p.yaml", policy(*rules, version=version))
    return vault("policy", "apply", path, code=0)


def test_default_deny(three):
    apply(three, READS)
    three("list", code=DENIED)
    three("show", "prod-a", code=DENIED)
    three("rm", "prod-a", "--yes", code=DENIED)
    three("rename", "prod-a", "x", code=DENIED)
    three("import", "-", "--name", "n", code=DENIED,
          input=as_yaml(config(Identity())))


def test_list_shows_only_what_is_permitted(three):
    apply(three, READS, permit("l", "list", "show",
                               entries={"labels": {"env": "prod"}}))
    assert three.names() == ["prod-a", "prod-b"]
    three("show", "dev-c", code=DENIED)
    three("show", "prod-a", code=0)


def test_forbid_beats_permit(three):
    apply(three, ALL, forbid("no", "show", entries={"names": ["*-b"]}))
    three("show", "prod-a", code=0)
    error = three.error(DENIED, "show", "prod-b")
    record = json.loads(three("audit", "record", str(error["audit_seq"]),
                              code=0).out)
    assert record["decision"] == "deny" and "no" in record["rules"]


def test_edit_is_decided_before_and_after(three):
    apply(three, READS, permit("e", "edit", "list", "show",
                               entries={"names": ["prod-*"]}))
    three("rename", "prod-a", "prod-z", code=0)
    three("rename", "prod-b", "dev-z", code=DENIED)
    three("rename", "dev-c", "prod-c", code=DENIED)
    three("label", "prod-b", "env=dev", code=0)
    three("label", "dev-c", "env=prod", code=DENIED)


def test_a_warning_without_a_line(vault):
    """What the whole policy lacks is in no line of it."""
    path = vault.write("p.yaml", policy(permit("r", "list")))
    for words in (("check",), ("apply", "--dry-run")):
        note = vault("policy", *words, path, code=0).note
        assert "no rule permits policy.apply" in note, words
        assert "line 0" not in note, words


def test_a_time_zone_that_is_not_there(vault):
    """apply and check say the same of it: which, in which rule, and where."""
    path = vault.write("p.yaml", policy(ALL) + """- name: night
  effect: permit
  subjects: {uids: [1]}
  actions: [use]
  when: {hours: "08:00-09:00", timezone: Mars/X}
""")
    said = []
    for words in (("check",), ("apply",), ("apply", "--dry-run")):
        error = vault("-o", "json", "policy", *words, path,
                      code=INVALID).error
        note = vault("policy", *words, path, code=INVALID).note
        said.append((error["message"].replace(path + ": ", ""), error["hint"],
                     [x for x in note.splitlines() if "|" in x][:2]))
        if "apply" in words:
            assert error["state"] == "the policy in force is unchanged"
    line = 1 + open(path).read().splitlines().index(
        '  when: {hours: "08:00-09:00", timezone: Mars/X}')
    text, hint, excerpt = said[0]
    assert said[1] == said[0] and said[2] == said[0]
    assert text.startswith(f"line {line}, column 42: rule \"night\": ")
    assert '"Mars/X"' in text and "tzdata" in hint
    assert "Mars/X" in excerpt[0]
    assert excerpt[1].index("^") == excerpt[0].index("Mars/X")


def test_import_is_decided_on_the_name_to_be(three):
    apply(three, READS, permit("i", "import", "list",
                               entries={"names": ["lab-*"]}))
    text = as_yaml(config(Identity()))
    three("import", "-", "--name", "prod-x", code=DENIED, input=text)
    three("import", "-", "--name", "lab-x", code=0, input=text)


def test_hours(three):
    """Whatever the time is, one of two halves of the day is now."""
    apply(three, READS,
          permit("am", "show", when={"hours": "00:00-12:00",
                                     "timezone": "UTC"}),
          permit("pm", "list", when={"hours": "12:00-24:00",
                                     "timezone": "UTC"}))
    codes = {three("show", "prod-a").code, three("list").code}
    assert codes == {0, DENIED}


def test_without_the_right_to_change_it_stays(three):
    apply(three, permit("r", "list", "policy.read", "audit.read"))
    path = three.write("p2.yaml", policy(ALL, version=2))
    three("policy", "apply", path, code=DENIED)


def explain(vault, *args):
    return vault.json("policy", "explain", *args)


def test_explain(three):
    """Users are matched by the names that are given."""
    apply(three, ALL, {**permit("named", "*"), "subjects": {"users": [NAME]}},
          {**forbid("no-prod-export", "export",
                    entries={"labels": {"env": "prod"}}),
           "subjects": {"users": ["*"]}})
    said = explain(three, "--user", NAME, "--action", "export", "--entry",
                   "prod-a")
    assert said["decision"] == "deny"
    rules = {r["name"]: r for r in said["rules"]}
    assert rules["no-prod-export"]["matched"] is True
    assert rules["no-prod-export"]["effect"] == "forbid"
    assert all(r["because"] for r in said["rules"])
    said = explain(three, "--user", NAME, "--action", "export", "--entry",
                   "dev-c")
    assert said["decision"] == "permit" and said["offer"] == "named"
    said = explain(three, "--user", "somebody", "--action", "export",
                   "--entry", "dev-c")
    assert said["decision"] == "deny"


def test_explain_of_a_record(three):
    apply(three, ALL, forbid("no", "export", entries={"names": ["prod-a"]}))
    error = three.error(DENIED, "export", "prod-a", "--reason", "x")
    said = explain(three, "--seq", str(error["audit_seq"]))
    assert said["decision"] == "deny"


CASES = {"apiVersion": "certvault/v1", "kind": "PolicyTest", "cases": [
    {"user": "alice", "groups": ["sre"], "action": "use",
     "entry": {"name": "prod-a", "labels": {"env": "prod"}},
     "reason": "x", "expect": "permit"},
    {"user": "bob", "groups": [], "action": "use",
     "entry": {"name": "prod-a", "labels": {"env": "prod"}},
     "expect": "deny"},
]}


def test_test(vault):
    text = policy({"name": "sre", "effect": "permit",
                   "subjects": {"groups": ["sre"]}, "actions": ["use"],
                   "entries": {"labels": {"env": "prod"}},
                   "when": {"reason": "required"}})
    rules = vault.write("p.yaml", text)
    cases = vault.write("cases.yaml", yaml.safe_dump(CASES))
    vault("policy", "test", cases, "--policy", rules, code=0)
    flipped = json.loads(json.dumps(CASES))
    flipped["cases"][1]["expect"] = "permit"
    cases = vault.write("cases2.yaml", yaml.safe_dump(flipped))
    done = vault("policy", "test", cases, "--policy", rules, code=1)
    assert "bob" in done.text + done.note
    broken = vault.write("cases3.yaml", "kind: PolicyTest\n")
    done = vault("policy", "test", broken, "--policy", rules, code=INVALID)
    assert f"{broken}: line 1, column 1: " in done.note, done


def test_test_names_the_file(vault):
    """Two texts come together: which of them has that line is said."""
    cases = vault.write("cases.yaml", yaml.safe_dump(CASES))
    wrong = vault.write("wrong.yaml", yaml.safe_dump(CASES).replace(
        "expect: deny", "expect: maybe"))
    rules = vault.write("p.yaml", policy(ALL))
    bad = vault.write("bad.yaml", policy({**ALL, "effect": "maybe"}))
    for words, name in (((wrong, "--policy", rules), wrong),
                        ((cases, "--policy", bad), bad), ((wrong,), wrong)):
        error = vault.error(INVALID, "policy", "test", *words)
        assert error["message"].startswith(f"{name}: line "), error
        assert "maybe" in error["message"]


NO_TEXT = {
    "crlf": (b"\n", b"\r\n", "line 1, column 25: this line ends with CR LF",
             "tr -d"),
    "a-carriage-return": (b"kind:", b"kind:\r", "line 2, column 6: a control "
                          "character (U+000D)", ""),
    "nul": (b"kind:", b"ki\0nd:", "line 2, column 3: a NUL byte", "UTF-8"),
    "latin-1": (b"kind:", "# gr\u00fc\u00df\nkind:".encode("latin-1"),
                "line 2, column 5: this is not UTF-8", "UTF-8"),
    "utf-16": (b"apiVersion", b"\xff\xfea\0p\0",
               "line 1, column 1: this is not UTF-8", "UTF-8"),
    "escape": (b"kind:", "# \u00fc \x1b[2J\nkind:".encode(),
               "line 2, column 5: a control character (U+001B)", ""),
    "c1": (b"kind:", "# \u0085\nkind:".encode(),
           "line 2, column 3: a control character (U+0085)", ""),
}


@pytest.mark.parametrize("name", NO_TEXT)
def test_what_is_no_text(vault, name):
    """Whatever reads the file says in plain words what is wrong with it, and
    where."""
    old, new, says, hint = NO_TEXT[name]
    text = b"apiVersion: certvault/v1\nkind: Policy\n" \
        b"metadata: {name: a, version: 9}\nrules: []\n"
    path = vault.write("p.yaml", text.replace(old, new))
    for words in (("check", path), ("apply", path), ("lint", path),
                  ("fmt", path), ("test", path), ("diff", path)):
        error = vault.error(INVALID, "policy", *words)
        assert error["message"].startswith(f"{path}: {says}"), error
        assert hint in error.get("hint", ""), error


def test_test_against_the_policy_in_force(vault):
    apply(vault, ALL)
    cases = vault.write("c.yaml", yaml.safe_dump({
        "apiVersion": "certvault/v1", "kind": "PolicyTest", "cases": [
            {"user": "nobody", "groups": [], "action": "use",
             "entry": {"name": "a", "labels": {}}, "expect": "deny"}]}))
    vault("policy", "test", cases, code=0)


def test_usage(vault):
    vault("policy", code=USAGE)
    vault("policy", "apply", code=USAGE)
    vault("policy", "explain", code=USAGE)
