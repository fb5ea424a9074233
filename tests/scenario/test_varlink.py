"""The broker's interface is the one that its .varlink file tells of: every
method, what each takes, and what each answers. (Whatever the other tests ask by
wire.Broker.call is held against the file as well.)"""

import json
import os
import re

import pytest

import harness
import kube
import varlink
from wire import Broker

IO = varlink.PREFIX


@pytest.fixture
def served(home, secrets):
    v = harness.Vault(home, secrets)
    v.add(kube.as_yaml(kube.config(kube.Identity("p256", secrets=secrets))),
          "a", "--exportable")
    b = Broker(v, "--key-file", v.key_file)
    yield b
    assert b.end() == 0


def test_every_method_takes_what_the_file_says():
    taken = varlink.parameters_taken()
    told = varlink.THE.methods
    assert set(taken) == set(told) and len(taken) > 80
    # One table for several methods, cut to what each takes.
    shared = {"Deny": {"signature"}, "SlotList": {"id", "key"},
              "SlotAdd": {"id"}, "SlotRemove": {"key"},
              "SlotRecovery": {"id", "key"}}
    wrong = {m: (taken[m] - set(told[m][0]), set(told[m][0]) - taken[m])
             for m in taken
             if taken[m] - shared.get(m, set()) != set(told[m][0])}
    assert not wrong, wrong


def test_what_is_bound_by_approvals_is_told_of():
    """approval_call.c names members of members: "cloud.region", "key.uri"."""
    with open(os.path.join(varlink.BROKER, "approval_call.c"),
              encoding="ascii") as f:
        rows = re.findall(r'\{"(\w+)", (?:NULL|"[^"]*"), (?:true|false), '
                          r'(?:true|false),\s*\{(.*?)\}\}', f.read(), re.S)
    looked = 0
    for method, members in rows:
        given = varlink.THE.methods[method][0]
        for outer, inner in re.findall(r'\{"(\w+)\.(\w+)"', "{" + members):
            kind = given[outer]
            assert inner in varlink.THE.types[kind], (method, outer, inner)
            looked += 1
    assert looked > 10


MORE = (("SlotList", {"id": "x"}), ("SlotRecovery", {"key": {}}),
        ("SlotRemove", {"id": "x", "key": {}}), ("Backup", {"tty": True}),
        ("Deny", {"id": "x", "signature": "x"}))


def test_nothing_more_is_taken(served):
    for method, parameters in MORE:
        said = served.call(IO + method, parameters)
        assert said["parameters"]["code"] == "invalid", said
        assert list(parameters)[-1] in said["parameters"]["message"], said


ALL = {"apiVersion": "certvault/v1", "kind": "Policy",
       "metadata": {"name": "t", "version": 1},
       "rules": [{"name": "all", "effect": "permit", "subjects":
                  {"uids": [os.getuid()]}, "actions": ["*"]}]}
ANSWERED = {
    "PolicyApply": {"text": json.dumps(ALL), "dry_run": False},
    "Hello": {}, "Status": {}, "Metrics": {}, "List": {}, "Show": {"name": "a"},
    "Export": {"name": "a", "dry_run": False}, "SlotList": {}, "Grants": {},
    "SlotRecovery": {}, "Requests": {}, "PolicyShow": {}, "PolicyHistory": {},
    "PolicyExplain": {"request": {"user": "root", "action": "use"}},
    "PolicyWhoCan": {"action": "use", "name": "a"},
    "PolicyDiff": {"old": {}, "new": {}}, "Health": {}, "TokenList": {},
    "Check": {"entries": [{"name": "a"}]},
    "Label": {"name": "a", "set": {"env": "x"}, "remove": []},
    "Rename": {"name": "a", "new_name": "a2"},
    "AuditQuery": {"filter": {}}, "AuditWho": {"name": "a"},
    "AuditExposure": {}, "AuditTail": {"last": 3}, "AuditRecord": {"seq": 0},
    "AuditStatus": {}, "AuditCheckpoint": {}, "AuditKey": {}, "AuditKeys": {},
    "AuditAnchors": {}, "AuditProve": {"seq": 0},
    "AuditConsistency": {"old": 1, "new": 2}, "AuditReport": {},
    "AuditBundle": {}, "AuditRebuild": {}, "AuditSinks": {},
    "Backup": {}, "Destroy": {"dry_run": True},
    "Remove": {"names": ["a2"], "dry_run": True},
}


def test_answers_are_told_of(served):
    for method, parameters in ANSWERED.items():
        said = served.call(IO + method, parameters)     # looks itself
        assert "error" not in said, (method, said)
    with served.connect() as s:
        head = served.call(IO + "AuditReport", on=s)["parameters"]
        said = served.call(IO + "AuditExport", {
            "from": head["first"], "end": head["end"]}, on=s)
        assert "error" not in said, said


def test_an_answer_that_is_not_told_of_is_seen():
    check = varlink.THE.check
    good = {"slot": {"id": "1", "kind": "file", "created": "x"},
            "secret": "x"}
    check(IO + "SlotRecovery", {"parameters": good})
    for wrong in ({}, {**good, "more": 1}, {**good, "secret": 1},
                  {**good, "slot": {**good["slot"], "more": "x"}}):
        with pytest.raises(AssertionError):
            check(IO + "SlotRecovery", {"parameters": wrong})
    with pytest.raises(AssertionError):
        check(IO + "AuditNothing", {"parameters": {}})
    with pytest.raises(AssertionError):
        check(IO + "Show", {"error": IO + "NoSuch", "parameters": {}})
    check(IO + "AuditTail", {"parameters": {"items": [{}]}, "continues": True})
