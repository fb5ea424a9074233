"""A key leaves only by policy, with a reason, on the record."""

import json
import os
import stat
import subprocess

import pytest
import yaml

import harness
import minting
from harness import DENIED, INVALID, NOT_FOUND, USAGE
from kube import Identity, as_yaml, config


@pytest.fixture
def held(vault, secrets):
    vault.identity = Identity("p256", secrets=secrets)
    vault.add(as_yaml(config(vault.identity)), "a", "--exportable")
    return vault


def test_the_first_policy_denies_it(held):
    error = held.error(DENIED, "export", "a", "--reason", "because")
    assert error["code"] == "denied" and error["hint"]
    (record,) = held.records("--action", "export")
    assert record["decision"] == "deny" and record["entry"] == "a"
    assert record["seq"] == error["audit_seq"]
    assert record["reason"] == "because"


def test_permitted_with_a_reason(held):
    held.policy(harness.MAY_EXPORT)
    error = held.error(DENIED, "export", "a")
    assert "reason" in error["message"] + error["hint"]
    done = held("export", "a", "--reason", "restore drill", code=0, secret=True)
    document = yaml.safe_load(done.out)
    user = document["users"][0]["user"]
    assert user["client-key-data"]
    (name,) = [c["name"] for c in document["contexts"]]
    assert document["current-context"] == name
    phases = [(r["phase"], r.get("decision"), r.get("outcome"))
              for r in held.records("--action", "export")]
    assert phases == [("decision", "deny", None), ("decision", "permit", None),
                      ("outcome", "permit", "ok")] or \
        [p[0] for p in phases] == ["decision", "decision", "outcome"]


def test_what_is_not_exportable_never_is(vault, secrets):
    vault.policy(harness.MAY_EXPORT)
    vault.add(as_yaml(config(Identity(secrets=secrets))), "a")
    error = vault.error(DENIED, "export", "a", "--reason", "x")
    assert "export" in error["message"]
    assert vault.json("show", "a")["exportable"] is False


def test_a_ticket(held):
    held.policy({**harness.MAY_EXPORT,
                 "when": {"reason": "required", "ticket": "OPS-[0-9]+"}})
    held("export", "a", "--reason", "x", code=DENIED)
    held("export", "a", "--reason", "x", "--ticket", "OPS-1x", code=DENIED)
    held("export", "a", "--reason", "x", "--ticket", "OPS-12", code=0,
         secret=True)
    assert held.records("--action", "export")[-1]["ticket"] == "OPS-12"


@pytest.mark.parametrize("reason", [
    "x" * 257, "-----BEGIN PRIVATE KEY-----", "QUJD" * 10, "a\nb", "a\u202eb",
    "\x1b[2J"])
def test_reasons_that_are_refused(held, reason):
    held.policy(harness.MAY_EXPORT)
    held("export", "a", "--reason", reason, code=INVALID)
    assert reason not in str(held.records())


def test_to_a_file(held):
    held.policy(harness.MAY_EXPORT)
    path = os.path.join(held.home, "out.yaml")
    done = held("export", "a", "--reason", "x", "--output", path, code=0)
    assert not held.secrets.found_in(done.out)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    with open(path, encoding="ascii") as f:
        assert yaml.safe_load(f)["users"]
    assert not [n for n in os.listdir(held.home)
                if n.startswith((".out", "out.yaml."))]


def test_to_a_file_that_cannot_be_made(held):
    held.policy(harness.MAY_EXPORT)
    done = held("export", "a", "--reason", "x", "--output",
                os.path.join(held.home, "none", "out.yaml"))
    assert done.code in (NOT_FOUND, harness.IO), done


def test_one_file_for_the_key_and_its_receipt(held):
    """A released key would be in the place of its receipt."""
    held.policy(harness.MAY_EXPORT)
    path = os.path.join(held.home, "out.yaml")
    twisted = os.path.join(held.home, ".", "out.yaml")
    before = len(held.records("--action", "export"))
    for more in ((), ("--yes",)):
        error = held.error(USAGE, "export", "a", "--reason", "x", "--output",
                           path, "--receipt", twisted, *more)
        assert "--receipt" in error["message"]
    assert len(held.records("--action", "export")) == before
    assert not os.path.exists(path)


def test_a_dash_is_no_file_to_write(held, monkeypatch):
    monkeypatch.chdir(held.home)
    held.policy(harness.MAY_EXPORT)
    for words in (("export", "a", "--reason", "x", "--output", "-"),
                  ("backup", "-"), ("backup", "-", "--yes")):
        assert held.error(USAGE, *words)["hint"], words
    assert not held.records("--action", "export")
    assert "-" not in os.listdir(held.home)
    # What is no secret goes to standard output so.
    assert held("audit", "export", "--format", "jsonl", "--output", "-",
                code=0).out


def test_formats(held):
    held.policy(harness.MAY_EXPORT)
    text = held("export", "a", "--reason", "x", code=0, secret=True).out
    again = held("-o", "json", "export", "a", "--reason", "x", code=0,
                 secret=True).out
    assert yaml.safe_load(text) == json.loads(again)


def test_one_context(vault, secrets):
    vault.policy(harness.MAY_EXPORT)
    i = Identity(secrets=secrets)
    vault.add(as_yaml(minting.kubeconfig(
        i.ca.pem, i.cert_pem, i.key_pem, "https://10.0.0.1:5443",
        "https://203.0.113.9:5443")), "a", "--exportable")
    out = yaml.safe_load(vault("export", "a", "--reason", "x", code=0,
                               secret=True).out)
    assert len(out["contexts"]) == 3
    assert out["current-context"].endswith("externalTLSVerify")
    out = yaml.safe_load(vault("export", "a", "--reason", "x", "--context",
                               "internal", code=0, secret=True).out)
    (cluster,) = out["clusters"]
    assert cluster["cluster"]["server"] == "https://10.0.0.1:5443"
    vault("export", "a", "--reason", "x", "--context", "none", code=NOT_FOUND)


def test_to_a_terminal_without_output(held):
    held.policy(harness.MAY_EXPORT)
    before = len(held.records("--action", "export"))
    master, slave = os.openpty()
    try:
        p = held.start("export", "a", "--reason", "x", stdout=slave,
                       stderr=subprocess.PIPE)
        err = p.communicate(timeout=60)[1]
    finally:
        os.close(slave)
        os.close(master)
    assert p.returncode == USAGE and b"--output" in err
    assert len(held.records("--action", "export")) == before


def test_dry_run_releases_nothing(held):
    held.policy(harness.MAY_EXPORT)
    done = held("export", "a", "--reason", "x", "--dry-run", code=0)
    assert not held.secrets.found_in(done.out + done.err)


def test_another_entrys_sealed_key_does_not_open(held, secrets):
    """A sealed box does not say who made it: it is bound to its entry."""
    held.policy(harness.MAY_EXPORT)
    held.add(as_yaml(config(Identity(secrets=secrets))), "b", "--exportable")
    import sqlite3
    db = sqlite3.connect(held.path("vault.db"))
    rows = db.execute("select id, digest, sealed from boxes").fetchall()
    assert len(rows) == 2
    for (row, _, _), (_, digest, sealed) in zip(rows, reversed(rows)):
        db.execute("update boxes set digest = ?, sealed = ? where id = ?",
                   (digest, sealed, row))
    db.commit()
    db.close()
    for name in ("a", "b"):
        error = held.error(harness.INTEGRITY, "export", name, "--reason", "x")
        assert error["code"] == "integrity"


def test_every_release_has_its_leaf(held):
    held.policy(harness.MAY_EXPORT)
    for i in range(3):
        held("export", "a", "--reason", f"n{i}", code=0, secret=True)
    permits = [r for r in held.records("--action", "export")
               if r["phase"] == "decision" and r["decision"] == "permit"]
    assert [r["reason"] for r in permits] == ["n0", "n1", "n2"]
    who = held.json("audit", "who", "a")["items"]
    assert any(r["action"] == "export" and r.get("reason") == "n2"
               for r in who)
