"""destroy: what goes is told first, what stays is told too, and the record
survives unless it was to go."""

import os

import pytest

import harness
import tokens
import wire
from harness import BUSY, DENIED, INVALID, NOT_FOUND, UNAVAILABLE, USAGE
from held import Held
from kube import Identity, as_yaml, config


@pytest.fixture
def kept(vault, secrets):
    v = vault
    for name in ("a", "b"):
        v.add(as_yaml(config(Identity("p256", secrets=secrets))), name)
    v.spoilt = True                 # there is nothing to verify at the end
    return v


def read(path):
    with open(path, "rb") as f:
        return f.read()


def test_it_is_told_then_done(kept):
    v = kept
    before = v.snapshot()
    would = v.json("destroy", "--dry-run")
    assert would["entries"] == 2 and would["names"] == ["a", "b"]
    assert would["destroyed"] is False and would["keys_left"] == []
    v("destroy", code=USAGE)                     # a question, and no --yes
    assert v.snapshot() == before
    box = read(v.path("vault.db"))
    done = v.json("destroy", "--yes", "--reason", "moved to the new one")
    assert done["destroyed"] and done["entries"] == 2
    left = sorted(os.listdir(v.folder))
    assert left == ["audit", "destroyed", "lock", "service"]
    assert "log.key" not in os.listdir(v.path("audit")) and box
    # The record is whole, ends with it, and is signed.
    report = v.verify()
    assert report["ok"] and report["checkpoint"] == "valid"
    assert b"moved to the new one" in read(v.path("audit/log"))
    tail = read(v.path("audit/log"))[-2000:]
    assert b'"outcome":"ok"' in tail and b'"method":"Destroy"' in tail
    # Nobody takes the folder for an empty one.
    assert "was destroyed" in v("list", code=NOT_FOUND).note
    v("init", "--key", "file:" + v.key_file, code=INVALID)
    assert sorted(os.listdir(v.folder)) == left


def test_with_its_record(kept):
    v = kept
    v("destroy", "--with-record", "--yes", code=0)
    assert os.listdir(v.folder) == []
    assert "no vault" in v("list", code=NOT_FOUND).note
    v("init", "--key", "file:" + v.key_file, code=0)


def test_tiles_and_old_records_go_too(kept):
    """What was made for a proof holds records; what a restore put aside holds
    the key that signed them."""
    v = kept
    v("audit", "prove", "1", code=0)
    backup = os.path.join(v.home, "b")
    v("backup", backup, code=0)
    v("restore", backup, "--accept-rollback", "--yes", code=0)
    v("unlock", code=0)
    assert os.path.exists(v.path("audit.replaced-1/log.key"))
    v("audit", "prove", "1", code=0)
    v("destroy", "--with-record", "--yes", code=0)
    assert os.listdir(v.folder) == []


def test_the_key_of_old_records_goes(kept):
    v = kept
    backup = os.path.join(v.home, "b")
    v("backup", backup, code=0)
    v("restore", backup, "--accept-rollback", "--yes", code=0)
    assert os.path.exists(v.path("audit.replaced-1/log.key"))
    v("destroy", "--yes", code=0)
    assert not os.path.exists(v.path("audit.replaced-1/log.key"))
    assert os.path.exists(v.path("audit.replaced-1/log"))


def test_policy_decides(kept):
    v = kept
    text = """
apiVersion: certvault/v1
kind: Policy
metadata: {name: no, version: 2}
rules:
- {name: little, effect: permit, subjects: {uids: [%d]}, actions: [list, audit.read]}
""" % os.getuid()
    v("policy", "apply", v.write("no.yaml", text), code=0)
    v("destroy", "--yes", code=DENIED)
    assert v.names() == ["a", "b"]


def test_an_agent_has_it(kept):
    v = kept
    v.flags = []
    v("agent", "start", code=0)
    try:
        v.flags = ["--no-agent"]
        done = v("destroy", "--yes", code=BUSY)
        assert "agent stop" in done.note and v.names() == ["a", "b"]
        v.flags = []
        # The agent itself can, when nobody else has it; then it ends.
        v("destroy", "--yes", code=0)
        assert not harness.wait_for_none(10)
    finally:
        v.flags = ["--no-agent"]
    assert "was destroyed" in v("list", code=NOT_FOUND).note


def test_the_service_does_and_ends(kept):
    v = kept
    broker = wire.Broker(v, "--key-file", v.key_file)
    o = harness.Vault(v.home, v.secrets, init=False)
    o.extra.pop("CERTVAULT_DIR")
    o("--broker", "unix:" + broker.path, "destroy", "--yes", code=0)
    assert broker.process.wait(60) == 0
    broker.end()
    assert not os.path.exists(v.path("vault.db"))
    assert v.verify()["ok"]


@pytest.fixture
def softhsm(tmp_path):
    kind = [k for k in tokens.KINDS if k.name == "softhsm"][0]
    if kind.missing():
        pytest.skip(f"softhsm: {kind.missing()}")
    token = kind(tmp_path / "token")
    token.start()
    yield token
    token.stop()


@pytest.fixture
def held(vault, softhsm):
    h = Held(vault, softhsm)
    h.add("p256", "held")
    vault.spoilt = True
    return h


def test_keys_on_tokens_go_with_it(held):
    assert held.private_keys()
    would = held.json("destroy", "--dry-run")
    assert len(would["keys_destroyed"]) == 1
    assert "held (pkcs11:" in would["keys_destroyed"][0]
    held("destroy", "--yes", code=0)
    assert not held.private_keys()


def test_or_are_kept_and_named(held):
    done = held.json("destroy", "--keep-keys", "--yes")
    assert len(done["keys_left"]) == 1 and done["keys_destroyed"] == []
    assert held.private_keys()


def test_a_token_without_its_pin_stops_it(held):
    done = held("destroy", "--yes", pin=False, code=UNAVAILABLE)
    assert "the vault is there" in done.note, done
    assert held.entry("held")["state"] == "ready" and held.private_keys()
