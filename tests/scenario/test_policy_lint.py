"""policy lint and policy fmt: of a file, without a vault."""

import os
import re

import pytest
import yaml

import harness
from harness import INVALID, USAGE

ME = os.getuid()
OWNER = """\
- name: owner
  effect: permit
  subjects: {uids: [%d]}
  actions: [list, use, approve, audit.read, policy.read, policy.apply, admin]
""" % ME


def policy(*rules, owner=OWNER):
    return ("apiVersion: certvault/v1\nkind: Policy\n"
            "metadata: {name: t, version: 1}\nrules:\n" + owner +
            "".join("- " + r.strip().replace("\n", "\n  ") + "\n"
                    for r in rules))


@pytest.fixture
def cli(home, secrets):
    return harness.Vault(home, secrets, init=False)


def lint(cli, text, code=None):
    done = cli("-o", "json", "policy", "lint", cli.write("p.yaml", text))
    assert done.code == (code if code is not None else done.code), done
    return done.json["items"]


def found(items):
    return {(i.get("rule"), i["code"], i["severity"]) for i in items}


def rule(name, effect="permit", who="users: [daemon]", actions="[use]", more=""):
    return (f"name: {name}\neffect: {effect}\nsubjects: {{{who}}}\n"
            f"actions: {actions}\n{more}")


def test_nothing_is_doubtful(cli):
    assert lint(cli, policy(rule("r", more='entries: {names: ["prod-*"]}')),
                code=0) == []


ONE = {
    "entries-and-an-action-without": (
        rule("r", actions="[audit.read]", more='entries: {names: ["a*"]}'),
        ("r", "never", "error")),
    "entries-and-one-action-without": (
        rule("r", actions="[use, admin]", more='entries: {names: ["a*"]}'),
        ("r", "never", "warning")),
    "limits-on-export": (
        rule("r", actions="[export]", more="entries: {names: [a]}\n"
             "when: {reason: required}\ngrant: {read_only: true}"),
        ("r", "never", "error")),
    "limits-on-use-and-export": (
        rule("r", actions="[use, export]", more="entries: {names: [a]}\n"
             "grant: {namespaces: [x]}"), ("r", "never", "warning")),
    "approvals-by-too-few": (
        rule("r", more="require: {approvals: {count: 2, from: {users: "
             "[bin]}}}"), ("r", "never", "error")),
    "approvals-outside-the-service": (
        rule("r", more="when: {mode: [agent]}\nrequire: {approvals: "
             "{count: 1, from: {users: [bin]}}}"), ("r", "never", "error")),
    "everyone-may-export": (
        rule("r", who='users: ["*"]', actions="[export]"),
        ("r", "broad", "error")),
    "everyone-may-use-with-a-reason": (
        rule("r", who='users: ["*"]', more="when: {reason: required}"),
        ("r", "broad", "warning")),
    "a-group-may-do-everything": (
        rule("r", who="groups: [daemon]", actions='["*"]'),
        ("r", "broad", "warning")),
    "export-of-all": (
        rule("r", actions="[export]"), ("r", "broad", "warning")),
    "unresolved-in-a-permit": (
        rule("r", who="users: [daemon, no-such-user]"),
        ("r", "unresolved", "warning")),
    "unresolved-in-a-forbid": (
        rule("r", "forbid", "groups: [no-such-group]", "[export]"),
        ("r", "unresolved", "error")),
    "nobody-is-there": (
        rule("r", who="users: [no-such-user]"), ("r", "never", "error")),
    "signatures-without-keys": (
        rule("r", more="require: {approvals: {count: 1, from: {users: [bin]}, "
             "signed: true}}"), ("r", "never", "error")),
    "no-such-time-zone": (
        rule("r", more="when: {days: [mon], timezone: Europe/Nowhere}"),
        ("r", "unresolved", "error")),
    "any-label-is-enough": (
        rule("r", more="entries: {labels: {a: b, c: d}}"),
        (None, "doubtful", "warning")),
}


@pytest.mark.parametrize("name", ONE)
def test_one(cli, name):
    text, expected = ONE[name]
    items = lint(cli, policy(text), code=1)
    assert expected in found(items), items
    item = next(i for i in items if i["code"] == expected[1])
    assert item["line"] >= 9 and item["text"]


def test_nobody_approves(cli):
    owner = OWNER.replace("[list, use, approve", "[list, use, show")
    text = policy(rule("r", more="require: {approvals: {count: 1, from: "
                       "{groups: [daemon]}}}"), owner=owner)
    items = lint(cli, text, code=1)
    assert any("no rule permits approve" in i["text"] for i in items)
    assert lint(cli, text.replace("use, show", "use, approve"), code=0) == []


def test_lockout(cli):
    text = policy(owner=OWNER.replace("policy.apply, ", ""))
    assert found(lint(cli, text, code=1)) == {(None, "lockout", "error")}


def test_shadowed(cli):
    forbid = rule("no", "forbid", 'users: ["*"]', "[export, use]",
                  'entries: {names: ["prod-*"]}')
    permit = rule("r", actions="[use]",
                  more='entries: {names: ["prod-a*", "prod-?"]}')
    assert found(lint(cli, policy(forbid, permit), code=1)) == {
        ("r", "shadowed", "error")}
    # Not, where something of it is left.
    for other in (permit.replace('"prod-?"', '"p*"'),
                  permit.replace("[use]", "[use, show]")):
        assert lint(cli, policy(forbid, other), code=0) == []
    assert lint(cli, policy(forbid + "\nwhen: {reason: required}", permit)
                )[0]["code"] != "shadowed"
    assert lint(cli, policy(forbid.replace('users: ["*"]', "users: [bin]"),
                            permit), code=0) == []


def test_redundant(cli):
    wide = rule("wide", who="groups: [daemon]", actions="[use, list]",
                more="when: {reason: required}")
    narrow = rule("narrow", who="groups: [daemon]",
                  more="entries: {names: [a]}\nwhen: {reason: required}")
    assert found(lint(cli, policy(wide, narrow), code=1)) == {
        ("narrow", "redundant", "warning")}
    # Other terms, or more is given: then it is wanted.
    for other in (narrow.replace("{reason: required}", '{ticket: "A-1"}'),
                  narrow.replace("when: {reason: required}", ""),
                  narrow + "\ngrant: {max_duration: 30d}"):
        assert lint(cli, policy(wide, other), code=0) == []
    twice = [rule(n) for n in ("one", "two")]
    assert found(lint(cli, policy(*twice), code=1)) == {
        ("two", "redundant", "warning")}


def test_a_long_policy_in_time(cli):
    text = policy(*[rule(f"r{i}", more=f"entries: {{names: [e{i}]}}")
                    for i in range(5000)])
    done = cli("-o", "json", "policy", "lint", cli.write("p.yaml", text),
               timeout=100)
    assert done.code == 0
    assert [i["severity"] for i in done.json["items"]] == ["info"]


def test_lint_of_what_is_no_policy(cli):
    done = cli("policy", "lint", cli.write("p.yaml", policy() + "extra: 1\n"))
    assert done.code == INVALID and "extra: 1" in done.note


# --- covering is never claimed where it is not: by random requests ---

def test_a_shadowed_rule_never_permits(cli):
    """What lint calls shadowed, `policy test` denies, whatever the entry."""
    rng = harness.seeded()
    globs = ["*", "a*", "*b", "a?b", "ab", "a*b", "??", "b*a"]
    names = ["a", "b", "ab", "aab", "axb", "ba", "bxa", "aa", "abab"]
    told = 0
    for _ in range(60 if harness.FULL else 12):
        rules = []
        for i in range(6):
            rules.append(rule(
                f"r{i}", rng.choice(["permit", "forbid"]),
                rng.choice(["users: [daemon]", 'users: ["*"]',
                            "users: [daemon, bin]"]),
                rng.choice(["[show]", "[show, list]", "[list]"]),
                "entries: {names: [%s]}" % ", ".join(
                    f'"{g}"' for g in rng.sample(globs, rng.randint(1, 2)))))
        text = policy(*rules)
        items = lint(cli, text)
        shadowed = {i["rule"] for i in items if i["code"] == "shadowed"}
        told += len(shadowed)
        cases = [{"user": u, "action": a, "entry": {"name": n},
                  "expect": "permit"} for u in ("daemon", "bin")
                 for a in ("show", "list") for n in names]
        path = cli.write("cases.yaml", yaml.safe_dump(
            {"apiVersion": "certvault/v1", "kind": "PolicyTest",
             "cases": cases}))
        said = cli("-o", "json", "policy", "test", path, "--policy",
                   cli.write("p.yaml", text)).json
        assert not shadowed & {i.get("offer") for i in said["items"]
                               if i["got"] == "permit"}
    assert told > 0


# --- fmt ---

UNTIDY = """\
# The policy of the test.

kind:   Policy        # what it is
apiVersion: certvault/v1
metadata:
    version: 1
    name: "t"
# rules come
# in any order
rules:

  - effect: permit      # yes
    name:   'owner'
    subjects:
        uids:
        - 0
        - 1             # and this one
    actions: [ "*" ]

  # about prod
  - name: sre
    actions:
    - use
    - "list"
    subjects: { groups: [ sre ] }     # who # and why
    effect: permit
    entries: {names: ["prod-*", 'a#b-no-comment?']}
    when:
      ticket: "OPS-[0-9]+ #x"
      # in the day
      hours: 08:00-18:00
    grant: {max_duration: 2h}
# the end
"""

TIDY = """\
# The policy of the test.

apiVersion: certvault/v1
kind: Policy  # what it is
metadata: {version: 1, name: t}
# rules come
# in any order
rules:

- name: owner
  effect: permit  # yes
  subjects:
    uids:
    - 0
    - 1  # and this one
  actions: ["*"]

# about prod
- name: sre
  effect: permit
  subjects: {groups: [sre]}  # who # and why
  actions: [use, list]
  entries: {names: ["prod-*", "a-no-comment?"]}
  when:
    ticket: "OPS-[0-9]+ #x"
    # in the day
    hours: "08:00-18:00"
  grant: {max_duration: 2h}
# the end
"""
UNTIDY = UNTIDY.replace("a#b-no-comment?", "a-no-comment?")


def test_fmt(cli):
    path = cli.write("p.yaml", UNTIDY)
    out = cli("policy", "fmt", path, code=0).text
    assert out == TIDY
    assert yaml.safe_load(out) == yaml.safe_load(UNTIDY)
    again = cli("policy", "fmt", cli.write("q.yaml", out), code=0).text
    assert again == out
    with open(path, encoding="utf-8") as f:
        assert f.read() == UNTIDY


def test_fmt_check_and_write(cli):
    path = cli.write("p.yaml", UNTIDY, mode=0o640)
    done = cli("policy", "fmt", "--check", path, code=1)
    assert "not tidy" in done.note
    cli("policy", "fmt", "--write", path, code=0)
    cli("policy", "fmt", "--check", path, code=0)
    assert os.stat(path).st_mode & 0o777 == 0o640
    with open(path, encoding="utf-8") as f:
        assert yaml.safe_load(f) == yaml.safe_load(UNTIDY)
    cli("policy", "fmt", "--check", "--write", path, code=USAGE)
    cli("policy", "fmt", "--write", "-", code=USAGE, input=UNTIDY)
    link = os.path.join(cli.home, "link.yaml")
    os.symlink(path, link)
    cli.write("p.yaml", UNTIDY)
    cli("policy", "fmt", "--write", link, code=INVALID)
    bad = cli.write("bad.yaml", UNTIDY + "extra: 1\n")
    cli("policy", "fmt", "--write", bad, code=INVALID)


def comments(text):
    """Those that this test writes."""
    return sorted(re.findall(r"# [cl]\d+$", text, re.M))


def scramble(rng, tree, indent=0, key=None):
    """The same tree, written in some way, with comments anywhere."""
    pad = " " * indent

    def remark():
        return f"  # c{rng.randrange(1000)}" if rng.random() < .2 else ""

    def above():
        n = rng.choice([0, 0, 0, 1, 2])
        blank = "\n" if rng.random() < .1 else ""
        return blank + "".join(f"{pad}# l{rng.randrange(1000)}\n"
                               for _ in range(n))
    out = ""
    if isinstance(tree, dict):
        items = list(tree.items())
        rng.shuffle(items)
        for k, v in items:
            if isinstance(v, (dict, list)) and v and rng.random() < .6:
                out += f"{above()}{pad}{k}:{remark()}\n"
                out += scramble(rng, v, indent + rng.choice([2, 4]))
            else:
                out += (f"{above()}{pad}{k}: "
                        f"{yaml.safe_dump(v, default_flow_style=True, width=9999).split(chr(10))[0]}"
                        f"{remark()}\n")
    else:
        for v in tree:
            if isinstance(v, dict) and rng.random() < .7:
                body = scramble(rng, v, indent + 2)
                lines = body.split("\n")
                first = next(i for i, x in enumerate(lines)
                             if x.strip() and not x.strip().startswith("#"))
                lines[first] = pad + "- " + lines[first][indent + 2:]
                out += "\n".join(lines)
            else:
                out += (f"{above()}{pad}- "
                        f"{yaml.safe_dump(v, default_flow_style=True, width=9999).split(chr(10))[0]}"
                        f"{remark()}\n")
    return out


def test_fmt_keeps_what_it_says_and_all_comments(cli):
    rng = harness.seeded()
    for n in range(150 if harness.FULL else 15):
        tree = {
            "apiVersion": "certvault/v1", "kind": "Policy",
            "metadata": {"name": "t", "version": n},
            "rules": [{
                "name": f"r{i}", "effect": "permit",
                "subjects": {"users": rng.sample(
                    ["daemon", "bin", "yes", "a b", "08", "x#y", "é"],
                    rng.randint(1, 4))},
                "actions": rng.sample(["use", "list", "show", "export",
                                       "sign.raw"], rng.randint(1, 4)),
                **({"entries": {"names": ["a*", "b?"],
                                "labels": {"env": "prod"}}}
                   if rng.random() < .5 else {}),
                **({"when": {"reason": "required", "ticket": "A[0-9]{2}\\.\"#"
                             , "hours": "08:00-18:00", "days": ["mon"]}}
                   if rng.random() < .5 else {}),
                **({"grant": {"max_duration": "15m", "read_only": True,
                              "verbs": ["get"] * rng.randint(1, 40)}}
                   if rng.random() < .3 else {}),
            } for i in range(rng.randint(1, 5))]}
        text = scramble(rng, tree)
        assert yaml.safe_load(text) == tree
        path = cli.write("p.yaml", text)
        out = cli("policy", "fmt", path, code=0).text
        assert yaml.safe_load(out) == tree, (text, out)
        assert comments(out) == comments(text), (text, out)
        assert cli("policy", "fmt", cli.write("q.yaml", out),
                   code=0).text == out, (text, out)


def test_fmt_of_json(cli):
    import json
    text = json.dumps(yaml.safe_load(TIDY))
    out = cli("policy", "fmt", cli.write("p.json", text), code=0).text
    assert json.loads(out) == yaml.safe_load(TIDY) and out.count("\n") > 20


# --- the schema for editors ---

EVERYTHING = """\
apiVersion: certvault/v1
kind: Policy
metadata: {name: t, version: 1}
keys:
  bin: ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPO2jKxNnH1jJ0vHkA4qn0nBYdVfCkzT0y3yWzYQ7uXr"]
rules:
- name: all
  effect: permit
  break_glass: true
  subjects: {users: [bin], groups: [bin], uids: [7]}
  actions: [use]
  entries: {names: ["a*"], labels: {env: prod}, provenance: [born], leaky: true}
  when: {reason: required, ticket: A, hours: "08:00-18:00", days: [mon],
    timezone: UTC, contexts: [x], mode: [service], tty: required,
    anchor_age: 1h}
  grant: {max_duration: 1h, read_only: true, verbs: [get], namespaces: [x],
    resources: [pods], record: all}
  limit: {count: 5, per: 1h, sessions: 3}
  require: {approvals: {count: 1, from: {users: [bin]}, signed: true}}
"""


def keys_of(schema, defs, found):
    if "$ref" in schema:
        return
    for key, value in schema.get("properties", {}).items():
        if isinstance(value, dict):
            found.add(key)
            keys_of(value, defs, found)
    if isinstance(schema.get("items"), dict):
        keys_of(schema["items"], defs, found)


def test_the_schema_has_the_keys_that_the_parser_has(cli):
    import json
    with open(os.path.join(harness.SOURCE, "docs", "policy.schema.json"),
              encoding="utf-8") as f:
        schema = json.load(f)
    told = set()
    keys_of(schema, schema["$defs"], told)
    for part in schema["$defs"].values():
        keys_of(part, schema["$defs"], told)
    parsed = set()
    for name in os.listdir(os.path.join(harness.SOURCE, "policy")):
        if re.fullmatch(r"parse.*\.c", name):
            with open(os.path.join(harness.SOURCE, "policy", name),
                      encoding="utf-8") as f:
                parsed |= set(re.findall(
                    r'\{"([A-Za-z_]+)", (?:true|false), &', f.read()))
    assert parsed == told
    cli("policy", "check", cli.write("p.yaml", EVERYTHING), code=0)

    def used(node):
        if isinstance(node, dict):
            return set(node) | {k for v in node.values() for k in used(v)}
        if isinstance(node, list):
            return {k for v in node for k in used(v)}
        return set()
    assert told <= used(yaml.safe_load(EVERYTHING))
    # Words of an enumeration are the parser's too.
    actions = schema["$defs"]["rule"]["properties"]["actions"]["items"]["enum"]
    cli("policy", "check", cli.write("p.yaml", policy(rule(
        "r", actions="[" + ", ".join(f'"{a}"' for a in actions) + "]"))),
        code=0)
    verbs = schema["$defs"]["rule"]["properties"]["grant"]["properties"][
        "verbs"]["items"]["enum"]
    cli("policy", "check", cli.write("p.yaml", policy(rule(
        "r", more="grant: {verbs: [" + ", ".join(f'"{v}"' for v in verbs) +
        "]}"))), code=0)
