"""Entries are listed, shown, labelled, renamed and removed."""

import datetime
import json
import os
import subprocess

import pytest
import yaml

import harness
from harness import INVALID, NOT_FOUND, USAGE
from kube import Identity, as_yaml, config

UTC = datetime.timezone.utc
KEYS = {"name", "labels", "source", "location", "state", "provenance", "leaky",
        "key", "certificate", "contexts", "exportable", "created", "updated"}


@pytest.fixture
def full(vault):
    """prod-a, prod-b, dev-c with labels."""
    for name, labels in (("prod-a", "env=prod"), ("prod-b", "env=prod"),
                         ("dev-c", "env=dev")):
        vault.add(as_yaml(config(Identity())), name, "--label", labels)
    return vault


def openssl(*args, data):
    return subprocess.run(["openssl", *args], input=data, check=True,
                          capture_output=True).stdout.decode()


def test_shape(full):
    document = full.json("list")
    assert document["apiVersion"] == "certvault/v1"
    assert document["kind"] == "EntryList"
    for entry in document["items"]:
        assert KEYS <= set(entry), KEYS - set(entry)
        assert set(entry["key"]) >= {"type", "bits", "spki_sha256"}
        assert set(entry["certificate"]) >= {"subject", "issuer", "serial",
                                             "not_before", "not_after"}
        assert entry["state"] == "ready" and entry["location"] == "sealed"
        for time in ("created", "updated"):
            datetime.datetime.strptime(entry[time], "%Y-%m-%dT%H:%M:%SZ")
    shown = full.json("show", "prod-a")
    assert KEYS <= set(shown)
    (listed,) = [e for e in document["items"] if e["name"] == "prod-a"]
    # What is listed is shown too; what is shown may say more.
    for key in ("name", "labels", "source", "key", "exportable", "created"):
        assert shown[key] == listed[key]
    assert {k: shown["certificate"][k] for k in listed["certificate"]} == \
        listed["certificate"]


def test_history_says_who(full):
    """As the record calls them, from the first line on."""
    full("label", "prod-a", "tier=1", code=0)
    user = full.records("--action", "import")[0]["actor"]["user"]
    assert user
    assert [(h["what"], h["by"]) for h in
            full.json("show", "prod-a")["history"]] == [("import", user),
                                                        ("edited", user)]


@pytest.mark.parametrize("alg", ["rsa2048", "p256", "ed25519"])
def test_openssl_sees_the_same_certificate(vault, alg):
    identity = Identity(alg, common="kim")
    vault.add(as_yaml(config(identity)), "a")
    shown = vault.json("show", "a")["certificate"]
    text = openssl("x509", "-noout", "-subject", "-issuer", "-serial",
                   "-startdate", "-enddate", "-nameopt", "RFC2253",
                   "-dateopt", "iso_8601", data=identity.cert_pem)
    said = dict(line.split("=", 1) for line in text.strip().split("\n"))
    assert shown["subject"] == said["subject"]
    assert shown["issuer"] == said["issuer"]
    assert shown["serial"] == said["serial"]
    assert shown["not_before"] == said["notBefore"].replace(" ", "T")
    assert shown["not_after"] == said["notAfter"].replace(" ", "T")
    spki = openssl("x509", "-noout", "-pubkey", data=identity.cert_pem)
    der = subprocess.run(["openssl", "pkey", "-pubin", "-outform", "DER"],
                         input=spki.encode(), check=True,
                         capture_output=True).stdout
    import hashlib
    assert vault.json("show", "a")["key"]["spki_sha256"] == \
        hashlib.sha256(der).hexdigest()


def test_patterns_and_labels(full):
    def names(*args):
        return sorted(e["name"] for e in full.json("list", *args)["items"])

    assert names("prod-*") == ["prod-a", "prod-b"]
    assert names("prod-?") == ["prod-a", "prod-b"]
    assert names("dev-c") == ["dev-c"]
    assert names("PROD-*") == []
    assert names("--label", "env=prod") == ["prod-a", "prod-b"]
    assert names("--label", "env=prod", "*-b") == ["prod-b"]
    assert names("--label", "env=none") == []


def test_expires_within(vault):
    now = datetime.datetime.now(UTC)
    for name, days in (("soon", 2), ("later", 30)):
        vault.add(as_yaml(config(Identity(
            end=now + datetime.timedelta(days=days)))), name)

    def names(value):
        return [e["name"] for e in vault.json("list", "--expires-within",
                                              value)["items"]]

    assert names("7") == ["soon"]
    assert names("7d") == ["soon"]
    assert names("1h") == []
    assert sorted(names("60d")) == ["later", "soon"]
    done = vault("list", "--expires-within", "x", code=USAGE)
    assert "--expires-within: not a duration" in done.note


def test_formats(full):
    names = full("-o", "name", "list", code=0).text.split()
    assert sorted(names) == ["dev-c", "prod-a", "prod-b"]
    table = full("list", code=0).text
    assert table.count("\n") == 4 and "NAME" in table.split("\n")[0].upper()
    document = yaml.safe_load(full("-o", "yaml", "list", code=0).out)
    assert document == full.json("list")
    shown = yaml.safe_load(full("-o", "yaml", "show", "dev-c", code=0).out)
    assert shown == full.json("show", "dev-c")
    full("-o", "xml", "list", code=USAGE)


def test_flags_before_and_after(full):
    assert full("list", "-o", "json", code=0).out == \
        full("-o", "json", "list", code=0).out
    assert full("list", "--label=env=dev", "-o=json", code=0).json["items"]


def test_what_is_not_there(vault):
    error = vault.error(NOT_FOUND, "show", "none")
    assert error["code"] == "not-found" and "none" in error["message"]
    vault("show", code=USAGE)
    vault("rm", "none", "--yes", code=NOT_FOUND)
    vault("rename", "none", "other", code=NOT_FOUND)
    vault("label", "none", "a=b", code=NOT_FOUND)


def test_label(full):
    full("label", "prod-a", "team=pay", "env=stage", code=0)
    assert full.json("show", "prod-a")["labels"] == {"env": "stage",
                                                     "team": "pay"}
    full("label", "prod-a", "env-", code=0)
    assert full.json("show", "prod-a")["labels"] == {"team": "pay"}
    for bad in ("=x", "a b=c", "k=" + "v" * 64, "k" * 64 + "=v", "nothing"):
        done = full("label", "prod-a", bad)
        assert done.code in (USAGE, INVALID), done
    assert full.json("show", "prod-a")["labels"] == {"team": "pay"}


def test_a_label_set_and_taken_away_at_once(full):
    before = full.json("show", "prod-a")["labels"]
    for words in (("x=1", "x-"), ("x-", "x=1"), ("a=b", "env-", "env=new")):
        error = full.error(USAGE, "label", "prod-a", *words)
        assert "x" in error["message"] or "env" in error["message"]
    assert full.json("show", "prod-a")["labels"] == before


def test_updated_moves_and_created_stays(full):
    before = full.json("show", "prod-a")
    full("label", "prod-a", "a=b", code=0)
    after = full.json("show", "prod-a")
    assert after["created"] == before["created"]
    assert after["updated"] >= before["updated"]


def test_rename(full):
    spki = full.json("show", "prod-a")["key"]["spki_sha256"]
    full("rename", "prod-a", "team/x", code=0)
    assert full.names() == ["dev-c", "prod-b", "team/x"]
    assert full.json("show", "team/x")["key"]["spki_sha256"] == spki
    error = full.error(INVALID, "rename", "team/x", "prod-b")
    assert error["code"] == "exists"
    for bad in ("", "../x", "a b", ".x"):
        done = full("rename", "team/x", "--", bad)
        assert done.code in (USAGE, INVALID), done
    # The sealed key is bound to the entry, not to its name.
    full.policy(harness.MAY_EXPORT)
    full.add(as_yaml(config(Identity())), "e", "--exportable")
    full("rename", "e", "f", code=0)
    full("export", "f", "--reason", "x", code=0)


def test_rm(full):
    full("rm", "prod-a", "dev-c", "--yes", code=0)
    assert full.names() == ["prod-b"]


def test_rm_with_flags_that_say_two_things(full):
    before = full.names()
    for more in ((), ("--dry-run",)):
        error = full.error(USAGE, "rm", "prod-a", "--yes", "--keep-key",
                           "--destroy-key", *more)
        assert "--keep-key" in error["message"]
    assert full.names() == before


def test_rm_of_one_that_is_not_there_removes_none(full):
    full("rm", "prod-a", "none", "--yes", code=NOT_FOUND)
    assert full.names() == ["dev-c", "prod-a", "prod-b"]


def test_rm_leaves_no_sealed_bytes_behind(vault):
    """secure_delete: neither in the database nor beside it."""
    vault.add(as_yaml(config(Identity())), "a", "--label", "mark=find-me-here")
    data = b"".join(vault.snapshot().values())
    import sqlite3
    db = sqlite3.connect(f"file:{vault.path('vault.db')}?mode=ro", uri=True)
    blobs = []
    for (table,) in db.execute(
            "select name from sqlite_master where type='table'").fetchall():
        if table in ("policy", "slots"):
            continue                   # these stay
        for row in db.execute(f'select * from "{table}"'):
            for v in row:
                if isinstance(v, bytes) and len(v) > 200:
                    blobs.append(v)
                elif isinstance(v, str) and len(v) > 400:
                    blobs.append(v.encode())
    db.close()
    assert blobs, "no sealed key in the database?"
    pieces = [b[len(b) // 2:][:32] for b in blobs]
    assert all(p in data for p in pieces)
    vault("rm", "a", "--yes", code=0)
    for where, _, leaves in os.walk(vault.folder):
        for leaf in leaves:
            with open(os.path.join(where, leaf), "rb") as f:
                left = f.read()
            if "audit" not in where:
                assert not any(p in left for p in pieces), leaf
                assert b"find-me-here" not in left, leaf


def test_rm_dry_run(full):
    before = full.snapshot()
    done = full("rm", "prod-a", "--dry-run")
    assert done.code == 0 and b"prod-a" in done.out + done.err, done
    assert full.names() == ["dev-c", "prod-a", "prod-b"]
    assert full.snapshot() == before


def test_two_at_once(full):
    """Commands side by side: each is done or told, none is half done."""
    started = [full.start("label", "prod-a", f"k{i}=v") for i in range(6)]
    codes = [p.wait(60) for p in started]
    for p in started:
        p.stdout.close()
        p.stderr.close()
    assert set(codes) <= {0, harness.BUSY}, codes
    labels = full.json("show", "prod-a")["labels"]
    assert sum(k.startswith("k") for k in labels) == codes.count(0)


def test_json_is_one_document_of_ascii(full):
    done = full("-o", "json", "list", code=0)
    assert all(c < 128 for c in done.out) and done.out.endswith(b"\n")
    json.loads(done.out)
