"""What must not lie in the vault's own folder: what opens it, and what is there
for when it is lost."""

import os

import pytest

import harness
from harness import USAGE, Vault
from kube import Identity, as_yaml, config

SAID = "lies in the vault's own folder"


def contents(folder):
    """But for what grows with the record."""
    return sorted(os.path.join(where, leaf) for where, _, leaves in
                  os.walk(folder) for leaf in leaves
                  if "/tile/" not in where and
                  not leaf.endswith(("-wal", "-shm")))


@pytest.mark.parametrize("below", ["new.key", "sub/new.key"])
def test_a_key_file_of_a_new_vault(home, secrets, below):
    v = Vault(home, secrets, init=False)
    done = v("init", "--key", "file:" + v.path(below), code=USAGE)
    assert SAID in done.note and "elsewhere" in done.note
    assert "nothing was done" in done.note
    assert not os.path.exists(v.folder)


def test_a_key_file_of_a_slot(vault, tmp_path):
    was = contents(vault.folder)
    (slot,) = vault.json("slot", "list")["items"]
    os.symlink(vault.folder, tmp_path / "by-another-name")
    for path in (vault.path("new.key"), vault.path("audit/new.key"),
                 str(tmp_path / "by-another-name" / "new.key")):
        for words in (["slot", "add", "file:" + path],
                      ["slot", "change", slot["id"], "--key", "file:" + path]):
            assert SAID in vault(*words, code=USAGE).note
    assert contents(vault.folder) == was
    assert vault.json("slot", "list")["items"] == [slot]
    # One that lies there already, too, and a link to it that does not.
    with open(vault.path("old.key"), "wb") as f:
        f.write(b"k" * 32)
    os.symlink(vault.path("old.key"), tmp_path / "old.key")
    for path in (vault.path("old.key"), str(tmp_path / "old.key")):
        assert SAID in vault("slot", "add", "file:" + path, code=USAGE).note
    # The folder beside it, whose name begins alike, is another one.
    os.mkdir(vault.folder + "-keys", 0o700)
    vault("slot", "add", "file:" + vault.folder + "-keys/new.key", code=0)


def test_what_is_written_out_of_it(vault, secrets):
    vault.policy(harness.MAY_EXPORT)
    vault.add(as_yaml(config(Identity(secrets=secrets))), "a", "--exportable")
    was = contents(vault.folder)
    with open(vault.path("vault.db"), "rb") as f:
        store = f.read()
    for leaf in ("out", "vault.db"):
        path = vault.path(leaf)
        for words in (["backup", path], ["export", "a", "--output", path],
                      ["export", "a", "--output", vault.home + "/out",
                       "--receipt", path],
                      ["audit", "export", "--format", "jsonl", "--output",
                       path]):
            done = vault("--yes", "--reason", "x", *words, code=USAGE)
            assert SAID in done.note, done
    assert contents(vault.folder) == was
    with open(vault.path("vault.db"), "rb") as f:
        assert f.read() == store
    assert not [r for r in vault.records("--action", "export")]
