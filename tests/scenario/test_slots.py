"""Key slots: what opens the vault is added, changed and taken away, never the
last."""

import json
import os

import pytest
import yaml

import harness
from harness import DENIED, INVALID, NOT_FOUND, UNAVAILABLE, USAGE
from kube import Identity, as_yaml, config


@pytest.fixture
def held(vault, secrets):
    vault.policy(harness.MAY_EXPORT)
    vault.add(as_yaml(config(Identity(secrets=secrets))), "a", "--exportable")
    return vault


def slots(vault):
    return vault.json("slot", "list")["items"]


def opens(vault, *args, **options):
    done = vault("export", "a", "--reason", "x", *args, secret=True, **options)
    assert done.code in (0, UNAVAILABLE), done
    return done.code == 0


def without_key_file(vault):
    if os.path.exists(vault.key_file):
        os.rename(vault.key_file, vault.key_file + ".away")


def test_list(held):
    (slot,) = slots(held)
    assert slot["kind"] == "file" and slot["path"] == held.key_file
    assert slot["id"] and slot["created"].endswith("Z")
    assert held.json("slot", "list")["apiVersion"] == "certvault/v1"


def test_add_a_passphrase(held, secrets):
    secrets.add("passphrase", "a long enough passphrase")
    path = held.write("pass", "a long enough passphrase\n")
    held("slot", "add", "passphrase", "--new-passphrase-file", path, code=0)
    assert sorted(s["kind"] for s in slots(held)) == ["file", "passphrase"]
    assert opens(held)
    without_key_file(held)
    assert not opens(held)
    assert opens(held, "--passphrase-file", path)
    assert not opens(held, "--passphrase-file", held.write("wrong", "nope"))


def test_add_a_key_file(held):
    other = os.path.join(held.home, "second.key")
    held("slot", "add", "file:" + other, code=0)
    assert os.path.getsize(other) == 32
    without_key_file(held)
    assert opens(held)


def test_add_needs_the_vault_open(held):
    without_key_file(held)
    done = held("slot", "add", "file:" + os.path.join(held.home, "x.key"))
    assert done.code == UNAVAILABLE, done
    assert len(slots(held)) == 1


def test_remove_never_the_last(held):
    (slot,) = slots(held)
    done = held("slot", "remove", slot["id"], "--yes")
    assert done.code in (USAGE, INVALID, DENIED), done
    assert slots(held) == [slot] and opens(held)
    held("slot", "remove", "none-such", "--yes", code=NOT_FOUND)


def test_remove(held):
    first = slots(held)[0]["id"]
    other = os.path.join(held.home, "second.key")
    held("slot", "add", "file:" + other, code=0)
    held("slot", "remove", first, "--yes", code=0)
    assert [s["path"] for s in slots(held)] == [other]
    assert opens(held)
    os.rename(other, other + ".away")
    assert not opens(held)
    # What was removed opens nothing any more.
    assert not opens(held, "--key-file", held.key_file)


def test_a_recovery_code_is_not_enough_to_remove_the_rest(held):
    """Or it is: whichever, a vault that nothing opens is never left."""
    held("slot", "recovery", code=0, secret=True)
    first = [s for s in slots(held) if s["kind"] == "file"][0]["id"]
    held("slot", "remove", first, "--yes")
    assert len(slots(held)) >= 1


def test_change_the_passphrase(held, secrets):
    for word in ("the first passphrase", "the second passphrase"):
        secrets.add("passphrase", word)
    one = held.write("one", "the first passphrase")
    two = held.write("two", "the second passphrase")
    held("slot", "add", "passphrase", "--new-passphrase-file", one, code=0)
    slot = [s for s in slots(held) if s["kind"] == "passphrase"][0]
    held("slot", "change", slot["id"], "--new-passphrase-file", two, code=0)
    assert len(slots(held)) == 2
    without_key_file(held)
    assert not opens(held, "--passphrase-file", one)
    assert opens(held, "--passphrase-file", two)
    held("slot", "change", "none", "--passphrase-file", two,
         "--new-passphrase-file", one, code=NOT_FOUND)


def test_recovery_code(held, secrets):
    done = held("-o", "json", "slot", "recovery", code=0, secret=True)
    code = done.json.get("secret") or done.json.get("code") or \
        done.json.get("recovery_code")
    assert code, done.json.keys()
    secrets.add("recovery code", code)
    assert "recovery" in [s["kind"] for s in slots(held)]
    assert code not in str(held.records())
    without_key_file(held)
    path = held.write("code", code + "\n")
    assert opens(held, "--passphrase-file", path)
    typed = held.write("typed", code.lower().replace("-", " ") + "\n")
    assert opens(held, "--passphrase-file", typed)
    changed = code[:-1] + ("A" if code[-1] != "A" else "B")
    assert not opens(held, "--passphrase-file", held.write("bad", changed))


@pytest.mark.parametrize("form", ["table", "json", "yaml", "name"])
def test_recovery_code_as_a_document(held, form):
    done = held("-o", form, "slot", "recovery", code=0, secret=True)
    if form in ("table", "name"):
        assert done.text.count("\n") == 1 and ":" not in done.text
        return
    doc = yaml.safe_load(done.text)
    assert list(doc) == ["apiVersion", "kind", "slot", "recovery_code"]
    assert (doc["apiVersion"], doc["kind"]) == ("certvault/v1", "RecoveryCode")
    assert doc["slot"] in [s["id"] for s in slots(held)]
    assert form == "yaml" or json.loads(done.text) == doc


def test_every_change_is_recorded(held):
    other = os.path.join(held.home, "second.key")
    held("slot", "add", "file:" + other, "--reason", "spare", code=0)
    records = [r for r in held.records("--action", "admin")
               if r.get("reason") == "spare"]
    assert [r["phase"] for r in records] == ["decision", "outcome"]
    assert records[0]["op"] == records[1]["op"]


def test_policy_decides(held):
    held.policy({"name": "no", "effect": "forbid", "actions": ["admin"],
                 "subjects": {"users": ["*"]}}, version=2)
    held("slot", "list", code=DENIED)
    held("slot", "add", "file:" + os.path.join(held.home, "x"), code=DENIED)
    assert not os.path.exists(os.path.join(held.home, "x"))


def test_short_key_files_are_refused(held):
    path = held.write("short", b"x" * 31)
    held("slot", "add", "file:" + path, code=INVALID)
    assert len(slots(held)) == 1


def test_the_flag_for_a_new_passphrase_is_named(vault):
    given = vault.write("given", "no passphrase of a slot")
    for more in ((), ("--passphrase-file", given)):
        error = vault.error(UNAVAILABLE, "slot", "add", "passphrase", *more)
        assert "--new-passphrase-file" in error["hint"]
        assert "--key-file" not in error["hint"]
    first = vault.json("slot", "list")["items"][0]["id"]
    error = vault.error(UNAVAILABLE, "slot", "change", first, "--key",
                        "passphrase")
    assert "--new-passphrase-file" in error["hint"]
    assert len(vault.json("slot", "list")["items"]) == 1


def test_a_key_file_opens_one_slot(held):
    """Of two slots with one file, taking one away would change nothing."""
    (first,) = slots(held)
    again = "file:" + held.key_file
    error = held.error(INVALID, "slot", "add", again)
    assert error["code"] == "exists" and first["id"] in error["message"]
    assert error["state"] == "nothing was changed"
    assert f"slot change {first['id']}" in error["hint"], error
    other = os.path.join(held.home, "second.key")
    held("slot", "add", "file:" + other, code=0)
    second = [s["id"] for s in slots(held) if s["path"] == other][0]
    error = held.error(INVALID, "slot", "change", second, "--key", again)
    assert error["code"] == "exists" and first["id"] in error["message"]
    assert len(slots(held)) == 2


def test_a_slot_is_not_changed_to_the_key_that_it_has(held):
    """Who changes it to its own file wants another key, and is told."""
    (first,) = slots(held)
    change = ("slot", "change", first["id"], "--key", "file:" + held.key_file)
    error = held.error(INVALID, *change)
    assert error["code"] == "exists", error
    assert error["state"] == "nothing was changed"
    assert "--key-file" in error["hint"], error
    assert slots(held) == [first] and opens(held)
    # As the hint says.
    old = os.path.join(held.home, "old.key")
    os.rename(held.key_file, old)
    held.write("vault.key", b"another key of 32 bytes and more")
    held(*change, "--key-file", old, code=0)
    assert opens(held) and not opens(held, "--key-file", old)
