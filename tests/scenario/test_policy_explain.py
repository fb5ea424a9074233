"""`policy explain` of rules with limits: it counts what the door counts, and
never says no where it only does not know."""

import json
import os
import pwd
import select

import pytest

import harness
import kube
import users
from harness import BUSY, DENIED
from relay_stub import Stub, install, use
from test_audit import grow
from users import ALICE, permit
from wire import Broker, answer

NAME = pwd.getpwuid(os.getuid()).pw_name
LIMITED = {"name": "lim", "effect": "permit", "subjects": {"users": [NAME]},
           "actions": ["export"], "entries": {"names": ["a"]},
           "limit": {"count": 2, "per": "1h"}}
QUESTION = ("--user", NAME, "--action", "export", "--entry", "a")


@pytest.fixture
def limited(vault):
    vault.add(kube.as_yaml(kube.config(kube.Identity("p256"))), "a",
              "--exportable")
    vault.policy(LIMITED, {**LIMITED, "name": "other", "actions": ["use"],
                           "subjects": {"users": ["daemon"]},
                           "limit": {"sessions": 2}})
    return vault


def explain(vault, *words):
    return vault.json("policy", "explain", *words)


def rule_of(said, name="lim"):
    return {r["name"]: r for r in said["rules"]}[name]


def export(vault, number, code=0):
    return vault("-o", "json", "export", "a", "--output",
                 os.path.join(vault.home, f"out{number}"), code=code)


def test_it_counts_as_the_door_does(limited):
    for number in range(2):
        said = explain(limited, *QUESTION)
        assert said["decision"] == "permit" and said["offer"] == "lim", said
        assert "condition" not in said
        assert rule_of(said)["limit"] == {"count": 2, "per": 3600,
                                          "used": number}
        words = limited("policy", "explain", *QUESTION, code=0).text
        assert words.startswith("permit by rule lim\n"), words
        assert f"used {number} of 2 within 1h" in words
        export(limited, number)
    said = explain(limited, *QUESTION)
    error = export(limited, 2, code=BUSY).error
    assert said["decision"] == "deny" and said["wait"] == "limit"
    assert rule_of(said)["limit"]["used"] == 2
    assert said["retry_after"] > 0 and "used up" in error["message"]


def test_of_somebody_else(limited):
    """Whom the host knows by that name; nobody is held to another's count."""
    said = explain(limited, "--user", "daemon", "--action", "use", "--entry",
                   "a")
    assert said["decision"] == "permit" and said["offer"] == "other"
    assert rule_of(said, "other")["limit"] == {"sessions": 2, "live": 0}
    export(limited, 0)
    limited.policy({**LIMITED, "subjects": {"users": ["*"]}}, version=2)
    for name, used in ((NAME, 1), ("daemon", 0), ("1", 0), ("no-such-user", 0)):
        said = explain(limited, "--user", name, *QUESTION[2:])
        assert rule_of(said)["limit"]["used"] == used, name


def test_a_record_knows_what_was_counted_then(limited):
    """Each is decided again as it was: with the counts before it."""
    for number in range(3):
        export(limited, number, code=BUSY if number == 2 else 0)
    leaves = [x for x in limited.records("--action", "export")
              if x["phase"] == "decision"]
    assert [x["decision"] for x in leaves] == ["permit", "permit", "deny"]
    for used, leaf in enumerate(leaves):
        seq = str(leaf["seq"])
        said = explain(limited, "--seq", seq)
        assert said["decision"] == said["again"]["decision"] == \
            leaf["decision"], said
        assert rule_of(said["again"])["limit"]["used"] == used
        done = limited("policy", "explain", "--seq", seq, code=0)
        assert "then it was" not in done.note
        assert ("deny:" in done.text) == (used == 2)


def test_another_time_is_no_denial(limited):
    """Nobody knows what will have been used: a permit on a condition."""
    for number in range(2):
        export(limited, number)
    question = (*QUESTION, "--at", "2040-01-01T10:00:00Z")
    said = explain(limited, *question)
    assert said["decision"] == "permit" and said["offer"] == "lim"
    assert said["condition"] == ("its limit of 2 in 1h is not used up: how "
                                 "often it was used is not known")
    assert rule_of(said)["limit"] == {"count": 2, "per": 3600}
    assert limited("policy", "explain", *question, code=0).text.startswith(
        "permit by rule lim, if its limit of 2 in 1h is not used up: ")


def test_a_freeze_is_the_cause(limited):
    """No rule denied it then: the record says what did, and so does who is
    asked about now."""
    export(limited, 0)
    limited("lock", "--all", "--reason", "stolen", code=0)
    seq = str(export(limited, 1, code=DENIED).error["audit_seq"])
    leaf = json.loads(limited("audit", "record", seq, code=0).text)
    assert leaf["details"]["because"].startswith("the vault is frozen since ")
    assert "stolen" not in leaf["details"]["because"]
    now = explain(limited, *QUESTION)
    assert now["decision"] == "permit" and now["frozen"] is True
    assert now["frozen_reason"] == "stolen" and now["frozen_since"]
    first, second = limited("policy", "explain", *QUESTION,
                            code=0).text.splitlines()[:2]
    assert first.startswith("deny: the vault is frozen since ")
    assert first.endswith("; but for that:")
    assert second == "permit by rule lim"
    # Of what goes on, of another time and of a record it is not told.
    for words in (("--user", NAME, "--action", "list", "--entry", "a"),
                  (*QUESTION, "--at", "2040-01-01T10:00:00Z")):
        assert "frozen" not in explain(limited, *words)
    limited("unlock", "--all", code=0)
    for _ in range(2):          # now, and when it is long over
        said = explain(limited, "--seq", seq)
        assert said["decision"] == "deny" and said["rules"] == []
        assert said["because"] == leaf["details"]["because"]
        assert said["again"]["decision"] == "permit"
        done = limited("policy", "explain", "--seq", seq, code=0)
        assert done.text.startswith(
            f"deny: {leaf['details']['because']}\n"), done
        assert "then it was" not in done.note
        export(limited, 2, code=None)
    assert "frozen" not in explain(limited, *QUESTION)
    later = [r for r in limited.records("--action", "export")
             if r["phase"] == "decision"][-1]
    assert "because" not in explain(limited, "--seq", str(later["seq"]))


def asked_together(broker, request):
    """A record's decision is asked about, then somebody else lists, and asks
    the same. Did the list come first? All three answers."""
    asks, other, third = (broker.connect() for _ in range(3))

    def ask(s, method, **parameters):
        s.sendall(json.dumps({"method": "io.certvault.Broker." + method,
                              "parameters": parameters}).encode() + b"\0")
    ask(asks, "PolicyExplain", request=request)
    ask(other, "List")
    ask(third, "PolicyExplain", request=request)
    listed = answer(other)
    first = not select.select([asks], [], [], 0)[0]
    said = [answer(s)["parameters"] for s in (asks, third)]
    for s in (asks, other, third):
        s.close()
    assert "items" in listed["parameters"], listed
    return first, said


def test_others_are_served_while_the_log_is_read(vault):
    """What was used before a record is counted in steps; who else comes has his
    turn between two of them, and who asks the same is told to come again. On a
    busy machine he may be late: he has some tries."""
    n = 20000
    vault.add(kube.as_yaml(kube.config(kube.Identity("p256"))), "a",
              "--exportable")
    vault.policy({**LIMITED, "limit": {"count": 100000, "per": "1h"}})
    export(vault, 0)
    grow(vault, n, 100)
    export(vault, 1)
    leaf = [r for r in vault.records("--action", "export", "--limit", "4")
            if r["phase"] == "decision"][-1]
    request = {"uid": os.getuid(), "action": "export", "entry": "a",
               "at": leaf["time"], "seq": leaf["seq"],
               "version": leaf["policy"]["version"]}
    broker = Broker(vault)
    try:
        for _ in range(10):
            first, (said, third) = asked_together(broker, request)
            assert rule_of(said["explanation"])["limit"]["used"] == n + 1
            assert third.get("code") == "busy" or "explanation" in third
            if first:
                break
        assert first, "nobody was served meanwhile"
    finally:
        broker.end()
    said = explain(vault, "--seq", str(leaf["seq"]))
    assert rule_of(said["again"])["limit"]["used"] == n + 1


@pytest.fixture
def served(home, secrets, tmp_path):
    """A service whose relay the test plays."""
    build = install(tmp_path / "installed", harness.BUILD)
    v = harness.Vault(home, secrets, build=build)
    v.identity = kube.Identity("p256", secrets=secrets)
    v.add(kube.as_yaml(kube.config(v.identity)), "a")
    v.policy(permit("sess", [ALICE], ["use"], limit={"sessions": 2}))
    v.stub = Stub(build)
    v.broker = Broker(v, "--key-file", v.key_file)
    users.open_way(v.broker.path)
    yield v
    assert v.broker.end() == 0
    v.verify()


@users.needs_root
def test_sessions_of_a_service(served):
    v, broker = served, served.broker
    to = ("--broker", "unix:" + broker.path)
    alice = users.connect_as(broker.path, ALICE)

    def ask():
        return v.json("policy", "explain", *to, "--user", str(ALICE),
                      "--action", "use", "--entry", "a")
    for live in range(2):
        said = ask()
        assert said["decision"] == "permit", said
        assert rule_of(said, "sess")["limit"] == {"sessions": 2, "live": live}
        assert f"{live} of 2 sessions live" in rule_of(said, "sess")["because"]
        assert "grant" in use(broker, on=alice)["parameters"]
    said = ask()
    assert said["decision"] == "deny" and said["wait"] == "limit"
    assert use(broker, on=alice)["parameters"]["code"] == "busy"
    # Of the past no record says how many lived: never a no for that.
    first = [x for x in v.json("audit", "query", *to, "--action",
                               "use")["items"] if x["phase"] == "decision"][0]
    said = v.json("policy", "explain", *to, "--seq", str(first["seq"]))
    assert first["decision"] == said["decision"] == "permit"
    assert said["again"]["decision"] == "permit"
    assert "limit of 2 sessions is not used up" in said["again"]["condition"]
    alice.close()
