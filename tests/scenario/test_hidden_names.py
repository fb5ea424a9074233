"""Which names there are is told to nobody who may not do what he asks: of an
entry, a grant, a request that is not there the answer is that of one that is.
As root, because the others are other users, by number."""

import json
import os
import shutil

import pytest

import harness
import kube
from approval_rig import (Rig, approvals, asked, given, person, refused,
                          vault_with_entry)
from harness import UNAVAILABLE
from kube import Identity, as_yaml, config
from users import ALICE, BOB, CAROL, needs_root, permit

pytestmark = needs_root
DENIED = 77
EVE = 64009
assert vault_with_entry

USE = {"kind": "exec", "read_only": False}
SIGN = {"purpose": "tls12", "algorithm": "ecdsa_secp256r1_sha256",
        "data": "00"}
# Method, parameters beside the name; `name` is what is asked for.
CALLS = [
    ("Show", {}), ("Export", {"dry_run": False}),
    ("Export", {"dry_run": True, "context": "nosuch"}), ("Use", USE),
    ("Use", {**USE, "context": "nosuch"}), ("Keyless", {}),
    ("Keyless", {"context": "nosuch"}),
    ("Rename", {"new_name": "z"}), ("Rename", {"new_name": "a//b"}),
    ("Label", {"set": {"k": "v"}}), ("Label", {"set": {"k//": "v"}}),
    ("Pin", {"context": "nosuch", "spki": 43 * "A" + "="}),
    ("ServerKey", {"context": "nosuch"}),
    ("Request", {"action": "export"}), ("Request", {"action": "use"}),
    ("Request", {"action": "use", "context": "nosuch"}),
]
GONE = "gone"


@pytest.fixture
def served(vault_with_entry, secrets):
    """Entries `a` and `lab` (a label), for the owner; nothing for EVE."""
    v = vault_with_entry
    v.add(as_yaml(config(Identity("p256", secrets=secrets))), "lab",
          "--label", "env=prod")
    r = Rig(v)
    r.start()
    r.policy(permit("alice", [ALICE], ["export"], **approvals()),
             permit("carol", [CAROL], ["export", "use", "show", "edit"],
                    entries={"names": ["c-*"]}))
    yield r
    assert r.broker.end() == 0


def same(error, name):
    """An answer without what differs by itself: the name, and its leaf."""
    said = {k: v for k, v in error.items() if k != "audit_seq"}
    return json.dumps(said, sort_keys=True).replace(f'\\"{name}\\"', "NAME")


def both(rig, uid, method, there="a", **parameters):
    """What is said of an entry that is there, and of one that is not."""
    out = []
    for name in there, GONE:
        named = {"names": [name]} if method == "Remove" else {"name": name}
        out.append(refused(rig.ask(uid, method, **named, **parameters),
                           "denied"))
    assert all(isinstance(e.get("audit_seq"), int) for e in out), out
    assert same(out[0], there) == same(out[1], GONE), out
    return out


def test_entries_as_root(served):
    for method, parameters in CALLS + [("Remove", {})]:
        for uid in EVE, CAROL:
            one, other = both(served, uid, method, **parameters)
        leaves = [served.v.json(*served.v.to, "audit", "record",
                                str(e["audit_seq"])) for e in (one, other)]
        for leaf, name in zip(leaves, ("a", GONE)):
            assert leaf["decision"] == "deny"
            assert leaf["entry"] in (name, parameters.get("new_name"))
            assert leaf["error"] == "denied" and \
                leaf["actor"]["uid"] == CAROL
        more = leaves[0].keys() - leaves[1].keys() - {"context"}
        assert more == {"entry_id", "spki"}
    both(served, EVE, "Show", there="lab")


def test_who_may_is_told_as_root(served):
    """66 stays for whoever could do it; nothing is filed for what is not
    there."""
    for method, parameters in CALLS[:2] + CALLS[3:4]:
        refused(served.ask(0, method, name=GONE, **parameters), "not-found")
        refused(served.ask(CAROL, method, name="c-x", **parameters),
                "not-found")
    refused(served.ask(0, "Remove", names=["a", GONE]), "not-found")
    refused(served.ask(0, "Rename", name=GONE, new_name="x"), "not-found")
    error = refused(served.ask(ALICE, "Export", name=GONE, dry_run=False),
                    "not-found")
    assert "request_id" not in error
    refused(served.ask(ALICE, "Request", name=GONE, action="export"),
            "not-found")
    assert served.requests(ALICE) == []
    asked(served.export(ALICE))
    assert len(served.requests(ALICE)) == 1
    # A name that no entry can have is no secret.
    refused(served.ask(EVE, "Show", name="a//b"), "not-found")
    assert served.v.json(*served.v.to, "show", "a")["name"] == "a"


def test_rm_of_several_as_root(served):
    said = [refused(served.ask(EVE, "Remove", names=names), "denied")
            for names in (["a", "lab"], ["a", GONE], ["a", "lab", GONE])]
    assert len({same(e, "a") for e in said}) == 1, said
    said = [refused(served.ask(EVE, "Remove", names=[n, n]), "invalid")
            for n in ("a", GONE)]
    assert said[0]["message"].replace("a is", GONE + " is") == \
        said[1]["message"]


def test_a_name_in_use_as_root(served, secrets):
    """Who may not take anything in does not learn which names are taken."""
    path = served.v.write("new.yaml", as_yaml(config(Identity(
        "p256", secrets=secrets))))
    said = []
    for name in "a", GONE:
        with open(path, "rb") as f:
            done = person(served, EVE, "-o", "json", "import", "-", "--name",
                          name, input=f.read())
        assert done.code == DENIED, done
        said.append(same(json.loads(done.err)["error"], name))
    assert said[0] == said[1]


def test_grants_and_requests_as_root(served):
    said = [refused(served.ask(EVE, "GrantsRevoke", ids=["0" * 32]), "denied"),
            refused(served.ask(EVE, "GrantsRevoke", user="root"), "denied")]
    assert said[0]["message"] == said[1]["message"]
    refused(served.ask(0, "GrantsRevoke", ids=["0" * 32]), "not-found")
    id = asked(served.export(ALICE))
    for method in "Approve", "Deny":
        said = [refused(served.ask(EVE, method, id=i), "denied")
                for i in (id, "0" * 12)]
        assert said[0].pop("audit_seq") != said[1].pop("audit_seq")
        assert json.dumps(said[0]).replace(id, "0" * 12) == \
            json.dumps(said[1])
        refused(served.ask(BOB, method, id="0" * 12), "not-found")
    given(served.ask(BOB, "Approve", id=id))
    given(served.export(ALICE))
    # It is used: over, for who may know of it.
    refused(served.ask(BOB, "Approve", id=id), "invalid")
    refused(served.ask(EVE, "Approve", id=id), "denied")


def test_a_storm_is_counted_once_as_root(served):
    """60 leaves a minute, then a number: each denial counts as one."""
    n = 75
    for i in range(n):
        call = ("Remove", {"names": [GONE]}) if i % 3 else \
            ("Show", {"name": GONE})
        refused(served.ask(EVE, call[0], **call[1]), "denied")
    assert served.broker.end() == 0
    records = [r for r in served.v.records() if r["actor"]["uid"] == EVE]
    served.start()
    given(served.ask(0, "Show", name="a"))
    assert sum(r["details"].get("count", 1) for r in records) == n, records


def test_the_command_line_as_root(served):
    for args in (["show", "N"], ["export", "N"], ["exec", "N", "--", "true"],
                 ["rm", "N", "--yes"], ["rename", "N", "z"],
                 ["label", "N", "a=b"], ["kubeconfig", "N"],
                 ["request", "export", "N"],
                 ["pin", "N", "--context", "c", "--show"]):
        said = []
        for name in "a", GONE:
            done = person(served, EVE, "-o", "json",
                          *[name if x == "N" else x for x in args])
            assert done.code == DENIED, done
            said.append(same(json.loads(done.err)["error"], name))
        assert said[0] == said[1], args


def test_offline_66_stays(home, secrets):
    v = harness.Vault(home, secrets)
    v.add(as_yaml(config(kube.Identity("p256", secrets=secrets))), "a")
    for args in (["show", GONE], ["rm", GONE, "--yes"], ["rename", GONE, "b"],
                 ["label", GONE, "a=b"], ["exec", GONE, "--", "true"]):
        v(*args, code=harness.NOT_FOUND)
    v("exec", "a", "--context", "nosuch", "--", "true",
      code=harness.NOT_FOUND)
    v.verify()


def test_opening_is_not_decided_as_root(served):
    """Whoever has what opens the vault opens it, and leaves no denial; who has
    not learns of which kind it is, and not where it lies."""
    v = served.v
    kept = os.path.join("/tmp", f"cv-key-{EVE}-{os.getpid()}")
    shutil.copy(v.key_file, kept)
    os.chown(kept, EVE, EVE)
    os.chmod(kept, 0o600)
    try:
        v(*v.to, "lock", code=0)
        error = refused(served.ask(EVE, "Unlock"), "locked")
        assert [s.keys() for s in error["slots"]] == [{"kind"}], error
        done = person(served, EVE, "unlock", code=UNAVAILABLE)
        assert "name the key file with --key-file" in done.note
        assert v.key_file not in done.note
        with open(kept, "r+b") as f:
            right = f.read()
            f.seek(0)
            f.write(bytes(len(right)))
        person(served, EVE, "--key-file", kept, "unlock", code=UNAVAILABLE)
        assert v.json(*v.to, "status")["locked"]
        with open(kept, "r+b") as f:
            f.write(right)
        person(served, EVE, "--key-file", kept, "unlock", code=0)
        assert not v.json(*v.to, "status")["locked"]
        assert given(served.ask(EVE, "Unlock")) == {}
    finally:
        os.unlink(kept)
    mine = [r for r in served.leaves() if r["actor"]["uid"] == EVE]
    assert [(r["phase"], r["outcome"]) for r in mine] == \
        [("event", "failed"), ("event", "ok")], mine
    assert {r["details"]["method"] for r in mine} == {"Unlock"}
