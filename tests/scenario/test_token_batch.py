"""Several identities of one file, or of one fetch, to a token: every one is an
entry with its key there, or none is and nothing is left; cut off at any step.
The token is the stand-in of test_token_journal.py."""

import contextlib
import json
import os
import subprocess

import pytest

import harness
import minting
import tokens
from harness import DENIED, INVALID, UNAVAILABLE
from kube import Identity, as_yaml, config, several
from together_rig import request, traced
from wire import Broker, answer
from test_token_journal import (TO, cloud, dump, fake_build, fetch,  # noqa: F401
                                journal, login, make, vault)

NAMES = ["p", "q", "r"]


def some(points, times, *sample):
    """Every point at each of `times`, or the sample of CI."""
    every = [(p, n) for p in points for n in times]
    assert set(sample) <= set(every)
    return pytest.mark.parametrize("point, after", every if harness.FULL
                                   else sample)


ENTRIES = ["m-p", "m-q", "m-r"]


def batch(v, code=None, *args):
    v.keys = [Identity(secrets=v.secrets) for _ in NAMES]
    v.file = v.write("kube", as_yaml(several(v.keys, NAMES)))
    return v("-o", "json", "import", v.file, "--name", "m-{context}", "--to",
             TO, *args, code=code)


def outcomes(v, action="import"):
    return {r["entry"]: r["outcome"] for r in v.records("--action", action)
            if r["phase"] == "outcome" and r.get("entry") in ENTRIES}


def destroyed(v):
    return [r for r in v.records() if r["action"] == "gc-destroy"]


def all_or_none(v):
    """What is there after a login; each key is an entry's."""
    names = [n for n in v.names() if n != "other"]
    assert names in ([], ENTRIES), names
    states = {e["state"] for e in v.json("list")["items"]}
    assert states <= {"ready"}, states
    ids = sorted(e["entry_id"] for e in
                 (v.json("show", n) for n in v.names())
                 if e["location"] == "token")
    assert sorted(k["id"] for k in v.token.keys) == ids
    return bool(names)


# --- rm: what is destroyed is gone, so that all is decided before ---

def three(v):
    v.identities = {}
    for name in ENTRIES[:2]:
        make(v, name)
        v.identities[name] = v.identity
    v.add(as_yaml(config(Identity(secrets=v.secrets))), ENTRIES[2])


def remove(v, **options):
    return v("rm", *ENTRIES, "--yes", **options)


def removals(v):
    return [(r["entry"], r["phase"], r.get("outcome"))
            for r in v.records("--action", "remove") if r.get("entry")]


def test_rm_against_who_adopts_its_last_key(vault):
    """All keys are looked at before the first goes: the last one must be
    nobody else's still when its turn comes."""
    three(vault)
    last = vault.json("show", ENTRIES[1])["entry_id"]
    key = "".join("%" + last[i:i + 2] for i in range(0, len(last), 2))
    go = os.path.join(vault.token.folder, "go")
    vault.token.plan(hang="Destroy.begin")
    rm = vault.start("--no-agent", "rm", *ENTRIES, "--yes")
    tokens.wait_for(lambda: "hangs" in vault.token.state["calls"],
                    lambda: "rm is not in its first Destroy", seconds=60)
    adopt = vault.start(
        "--no-agent", "adopt", "other", "--key", f"pkcs11:token=fake;id={key}",
        "--cert", vault.write("c.pem", vault.identities[ENTRIES[1]].cert_pem),
        "--cluster", vault.write("cluster", as_yaml(config(Identity()))))
    with contextlib.suppress(subprocess.TimeoutExpired):
        adopt.wait(2)           # as long as rm is at work it waits, too
    with open(go, "wb"):
        pass
    assert rm.wait(60) == 0, (rm.communicate(), adopt.communicate())
    assert adopt.wait(60) != 0
    for process in rm, adopt:
        process.communicate()
    os.unlink(go)
    vault.token.plan()
    assert vault.names() == [] and not vault.token.keys


def test_rm_decides_all_before_the_first(vault):
    three(vault)
    remove(vault, code=0)
    assert vault.names() == [] and not vault.token.keys
    told = removals(vault)
    assert [p for _, p, _ in told] == ["decision"] * 3 + ["outcome"] * 3, told
    assert {o for _, p, o in told if p == "outcome"} == {"ok"}
    assert journal(vault) == []


@pytest.mark.parametrize("after", [0, 1])
def test_rm_of_one_that_the_token_keeps(vault, after):
    """Those behind it stay; each has its outcome."""
    three(vault)
    vault.token.plan(refuse="Destroy", after=after)
    error = vault.error(INVALID, "rm", *ENTRIES, "--yes")
    assert error["message"].startswith(ENTRIES[after] + ":"), error
    assert error["state"].endswith(
        f"{1 + after} of 3 were removed before it, {1 - after} stay"), error
    assert vault.names() == ENTRIES[after:2]
    assert len(vault.token.keys) == 2 - after
    came = outcomes(vault, "remove")
    assert came == {ENTRIES[2]: "ok", ENTRIES[0]: "ok" if after else "failed",
                    ENTRIES[1]: "failed"}
    assert journal(vault) == []


def test_rm_whose_outcome_cannot_be_written(vault, tmp_path):
    """Where the record fails behind the entries that have no key there, no key
    goes either, and the error says so."""
    three(vault)
    vault.policy()
    b = Broker(vault, "--key-file", vault.key_file)
    with b.connect() as s:
        s.settimeout(60)
        # Then nothing waits for the disk any more, and the first time it is
        # the decisions that become durable.
        s.sendall(request("Label", name=ENTRIES[2], set={"a": "b"}, remove=[]))
        assert "error" not in answer(s)
        with traced(b, os.devnull, "-P", vault.path("audit/log"), "-e",
                    "inject=fdatasync:error=EIO:when=2"):
            s.sendall(request("Remove", names=ENTRIES, dry_run=False))
            error = answer(s)["parameters"]
    assert b.end() == 0
    assert error["code"] == "io", error
    assert "no key was destroyed" in error["state"], error
    assert "those without" in error["state"], error
    assert vault.names() == ENTRIES[:2] and len(vault.token.keys) == 2
    login(vault)
    assert journal(vault) == []
    came = outcomes(vault, "remove")
    assert came[ENTRIES[2]] == "ok"
    assert {came[n] for n in ENTRIES[:2]} <= {"failed", "aborted"}


@pytest.mark.parametrize("after", [0, 1])
@pytest.mark.parametrize("point", ["Destroy.begin", "Destroy.end"])
def test_rm_of_several_cut_off(vault, point, after):
    three(vault)
    vault.token.plan(die=point, after=after)
    remove(vault, code=UNAVAILABLE)
    login(vault)
    gone = after + (1 if point == "Destroy.end" else 0)
    assert vault.names() == ENTRIES[gone:2]
    assert len(vault.token.keys) == 2 - gone and journal(vault) == []
    came = outcomes(vault, "remove")
    assert set(came) == set(ENTRIES)
    assert [n for n in ENTRIES[:2] if came[n] == "ok"] == ENTRIES[:gone]


def test_rm_asks_before_it_removes_anything(vault):
    """A key that another entry has, too: nothing of the rest goes."""
    three(vault)
    ref = vault.token.keys[0]["id"]
    key = ";id=" + "".join("%" + ref[i:i + 2] for i in range(0, len(ref), 2))
    owner = next(n for n in ENTRIES[:2]
                 if vault.json("show", n)["entry_id"] == ref)
    vault.identity = vault.identities[owner]
    vault("adopt", "other", "--key", "pkcs11:token=fake" + key, "--cert",
          vault.write("c.pem", vault.identity.cert_pem), "--cluster",
          vault.write("cluster", as_yaml(config(Identity()))), code=0)
    vault.error(INVALID, "rm", *ENTRIES, "--yes")
    assert vault.names() == [*ENTRIES, "other"]
    assert len(vault.token.keys) == 2
    vault("rm", *ENTRIES, "other", "--yes", code=0)
    assert vault.names() == [] and not vault.token.keys


@pytest.mark.parametrize("after", [0, 1, 2])
def test_one_is_refused_by_the_token(vault, after):
    make(vault, "other")
    before = vault.token.objects
    vault.token.plan(refuse="Import", after=after)
    done = batch(vault, INVALID)
    assert vault.names() == ["other"] and vault.token.objects == before
    assert journal(vault) == []
    assert NAMES[after] in done.error["message"], done
    assert outcomes(vault) == dict.fromkeys(ENTRIES, "failed")
    assert len(destroyed(vault)) == after
    vault.token.plan()
    batch(vault, 0)
    assert all_or_none(vault)


def test_one_is_in_the_vault_already(vault):
    keys = [Identity(secrets=vault.secrets) for _ in NAMES]
    vault.add(as_yaml(config(keys[2])), "other")
    vault("import", "-", "--name", "m-{context}", "--to", TO,
          input=as_yaml(several(keys, NAMES)), code=INVALID)
    assert vault.names() == ["other"] and not vault.token.objects
    assert "Import" not in vault.token.state["calls"]


def test_policy_forbids_one(vault):
    vault.policy({"name": "not-q", "effect": "forbid",
                  "subjects": {"users": ["*"]}, "actions": ["import"],
                  "entries": {"names": ["m-q"]}})
    batch(vault, DENIED)
    assert vault.names() == [] and not vault.token.objects
    assert "Import" not in vault.token.state["calls"]
    assert journal(vault) == []
    batch(vault, DENIED, "--dry-run")
    assert vault.names() == []


def test_policy_forbids_what_one_came_to_be(vault):
    """The token takes the second in a way that policy does not permit for it:
    the one that was made before goes, too."""
    vault.policy({"name": "q-unwrapped", "effect": "forbid",
                  "subjects": {"users": ["*"]}, "actions": ["import"],
                  "entries": {"names": ["m-q"], "provenance": ["imported"]}})
    vault.token.plan(way_of_import="imported")
    batch(vault, DENIED)
    assert vault.names() == [] and not vault.token.objects
    assert journal(vault) == []
    assert outcomes(vault) == dict.fromkeys(ENTRIES, "failed")
    assert len(destroyed(vault)) == 2


def test_dry_run(vault):
    done = batch(vault, 0, "--dry-run")
    assert [e["name"] for e in done.json["items"]] == ENTRIES
    assert {e["location"] for e in done.json["items"]} == {"token"}
    assert all(e["token_uri"].startswith("pkcs11:")
               for e in done.json["items"])
    assert vault.names() == [] and not vault.token.objects
    assert journal(vault) == []


def test_dry_run_of_more_than_a_limit_lets_in(vault):
    """Each of them would be permitted, all of them are not."""
    rules = [{"name": "few", "effect": "permit", "actions": ["import"],
              "limit": {"count": 2, "per": "1h"}},
             {"name": "rest", "effect": "permit",
              "actions": ["list", "audit.read"]}]
    vault("policy", "apply", vault.write("policy.yaml", json.dumps({
        "apiVersion": "certvault/v1", "kind": "Policy",
        "metadata": {"name": "test", "version": 1},
        "rules": [{**r, "subjects": {"users": ["*"]}} for r in rules]})),
          code=0)
    for more in ([], ["--dry-run"]):
        done = batch(vault, None, *more)
        assert done.code == 75 and "limit" in done.note, done
        assert vault.names() == [] and journal(vault) == []


@some(["begin", "half", "named", "created", "certified", "end"], [0, 1, 2],
      ("begin", 0), ("half", 1), ("named", 2), ("created", 1), ("created", 2),
      ("end", 2))
def test_cut_off(vault, point, after):
    make(vault, "other")
    before = vault.token.objects
    vault.token.plan(die="Import." + point, after=after)
    batch(vault, UNAVAILABLE)
    assert len(journal(vault)) == len(NAMES)
    items = {e["name"]: e["state"] for e in vault.json("list")["items"]}
    assert items == {"other": "ready", **dict.fromkeys(ENTRIES, "pending")}
    login(vault)
    whole = after == 2 and point in ("created", "certified", "end")
    assert vault.names() == ([*ENTRIES, "other"] if whole else ["other"])
    assert outcomes(vault) == dict.fromkeys(ENTRIES,
                                            "ok" if whole else "aborted")
    login(vault)
    login(vault)
    assert all_or_none(vault) == whole and journal(vault) == []
    if not whole:
        assert vault.token.objects == before
    was, objects = dump(vault), vault.token.objects
    login(vault)
    assert (dump(vault), vault.token.objects) == (was, objects)


@some(["Destroy.begin", "Destroy.one", "Destroy.end", "Examine.begin",
       "Debris.begin"], [0, 1, 2], ("Destroy.one", 1), ("Destroy.end", 2),
      ("Debris.begin", 0))
def test_going_back_is_cut_off(vault, point, after):
    """After the second key, while the first login takes it back."""
    vault.token.plan(die="Import.created", after=1)
    batch(vault, UNAVAILABLE)
    vault.token.plan(die=point, after=after)
    for _ in range(4):
        login(vault)
    assert not all_or_none(vault)
    assert journal(vault) == [] and not vault.token.objects
    assert outcomes(vault) == dict.fromkeys(ENTRIES, "aborted")


@some(["Examine.begin", "Examine.end", "PutCertificates.begin",
       "PutCertificates.end"], [0, 1, 2], ("Examine.begin", 1),
      ("PutCertificates.end", 1))
def test_going_forward_is_cut_off(vault, point, after):
    vault.token.plan(die="Import.created", after=2)
    batch(vault, UNAVAILABLE)
    vault.token.plan(die=point, after=after)
    for _ in range(4):
        login(vault)
    assert all_or_none(vault)
    assert journal(vault) == []
    assert outcomes(vault) == dict.fromkeys(ENTRIES, "ok")


@some(["Destroy.begin", "Destroy.one"], [0, 1], ("Destroy.begin", 1),
      ("Destroy.one", 0))
def test_taking_it_back_at_once_is_cut_off(vault, point, after):
    """The token refuses the third; its process dies while the others go."""
    vault.token.plan(refuse_after=2, die=point, after=after)
    batch(vault)
    for _ in range(4):
        login(vault)
    assert not all_or_none(vault)
    assert journal(vault) == [] and not vault.token.objects


def test_refused_by_policy_and_not_destroyed(vault):
    """What policy refused after the fact never becomes an entry by recovery:
    not of several, and not alone."""
    vault.policy({"name": "unwrapped", "effect": "forbid",
                  "subjects": {"users": ["*"]}, "actions": ["import"],
                  "entries": {"provenance": ["imported"]}})
    for run in (batch, lambda v: make(v, "m-p", code=None)):
        vault.token.plan(way_of_import="imported", die="Destroy.begin")
        run(vault)
        assert journal(vault)
        vault.token.plan()
        for _ in range(3):
            login(vault)
        assert vault.names() == [] and not vault.token.objects
        assert journal(vault) == []


def test_cut_off_before_policy_refused(vault):
    """Policy permits one way alone, and nobody can tell any more which it
    was: back."""
    vault.policy({"name": "unwrapped", "effect": "forbid",
                  "subjects": {"users": ["*"]}, "actions": ["import"],
                  "entries": {"provenance": ["imported"]}})
    vault.token.plan(way_of_import="imported", die="Import.end")
    make(vault, "a", code=UNAVAILABLE)
    login(vault)
    assert vault.names() == [] and not vault.token.objects


def test_a_folder_stays_per_file(vault):
    """Each file stands or falls whole; one that falls keeps no other."""
    folder = os.path.join(vault.home, "many")
    os.mkdir(folder, 0o700)
    held = Identity(secrets=vault.secrets)
    vault.add(as_yaml(config(held)), "other")
    files = {"a": [Identity(secrets=vault.secrets) for _ in range(2)],
             "b": [Identity(secrets=vault.secrets), held],
             "c": [Identity(secrets=vault.secrets)]}
    for name, keys in files.items():
        vault.write(f"many/{name}.yaml",
                    as_yaml(several(keys, ["x", "y"][:len(keys)])))
    done = vault("import", folder, "--to", TO, code=INVALID)
    assert "1 of them were refused" in done.note, done
    assert vault.names() == ["a-x", "a-y", "c", "other"], done
    assert len(vault.token.keys) == 3


def test_too_many_at_once(vault):
    """Not in parts: then nothing could take it back as a whole."""
    n = 65
    key = Identity(secrets=vault.secrets)
    keys = [Identity(key=key.key) for _ in range(n)]
    done = vault("import", "-", "--name", "m-{context}", "--to", TO,
                 input=as_yaml(several(keys)), code=INVALID)
    assert "64" in done.note, done
    assert vault.names() == [] and not vault.token.objects


# --- from the cloud ---

@pytest.fixture
def twice(cloud):  # noqa: F811
    """A cluster whose answer is one key under two authorities."""
    cluster = cloud.standin.cloud.add("twice", alg="rsa2048")
    cluster.outside = minting.Authority("the outside CA")
    yield cloud
    cloud.standin.cloud.clusters.remove(cluster)


def fetch_twice(v, code=None):
    return fetch(v, "m-{context}", "--cluster", "twice", code=code)


FETCHED = ["m-externalTLSVerify", "m-internal"]


def test_fetch(twice):
    fetch_twice(twice, 0)
    assert twice.names() == FETCHED and len(twice.token.keys) == 2
    entries = [twice.json("show", n) for n in FETCHED]
    assert len({e["key"]["spki_sha256"] for e in entries}) == 1
    assert {e["source"]["kind"] for e in entries} == {"cce"}
    assert journal(twice) == []
    for name in FETCHED:
        ops = [(r["phase"], r.get("outcome"))
               for r in twice.records("--action", "fetch")
               if r.get("entry") == name]
        # What is asked about before the certificate is has a name, too.
        assert ops[-2:] == [("decision", None), ("outcome", "ok")] or \
            sorted(o[1] or "" for o in ops) == ["", "", "ok", "ok"], (name, ops)


def test_fetch_that_the_token_refuses(twice):
    twice.token.plan(refuse="Import", after=1)
    done = fetch_twice(twice, INVALID)
    assert "issued a certificate" in done.error["state"], done
    assert twice.names() == [] and not twice.token.objects
    assert journal(twice) == []


@some(["half", "created", "end"], [0, 1], ("created", 0), ("end", 1))
def test_fetch_cut_off(twice, point, after):
    twice.token.plan(die="Import." + point, after=after)
    fetch_twice(twice, UNAVAILABLE)
    for _ in range(3):
        login(twice)
    whole = after == 1 and point != "half"
    assert twice.names() == (FETCHED if whole else [])
    assert len(twice.token.keys) == (2 if whole else 0)
    assert journal(twice) == []
