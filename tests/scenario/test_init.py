"""A vault is made, and what may stand in its way."""

import os
import stat

import pytest

import harness
from harness import CONFIG, INVALID, NOT_FOUND, UNAVAILABLE, USAGE, Vault
from kube import Identity, as_yaml, config


def mode(path):
    return stat.S_IMODE(os.stat(path).st_mode)


def test_makes_a_vault_that_is_ours_alone(vault):
    assert mode(vault.folder) == 0o700
    for where, folders, leaves in os.walk(vault.folder):
        for name in folders:
            assert mode(os.path.join(where, name)) == 0o700
        for name in leaves:
            assert mode(os.path.join(where, name)) == 0o600
    assert mode(vault.key_file) == 0o600
    assert os.path.getsize(vault.key_file) == 32
    assert vault.json("list") == {"apiVersion": "certvault/v1",
                                  "kind": "EntryList", "items": []}
    assert vault.verify()["ok"]


def test_no_socket_lies_in_it(vault):
    for where, _, leaves in os.walk(vault.folder):
        for leaf in leaves:
            assert not stat.S_ISSOCK(os.lstat(os.path.join(where,
                                                           leaf)).st_mode)


def test_takes_an_existing_key_file(home, secrets):
    v = Vault(home, secrets, init=False)
    v.write("vault.key", b"k" * 4096)
    v("init", "--key", "file:" + v.key_file, code=0)
    with open(v.key_file, "rb") as f:
        assert f.read() == b"k" * 4096


@pytest.mark.parametrize("size", [0, 31, 4097])
def test_refuses_a_key_file_of_another_size(home, secrets, size):
    v = Vault(home, secrets, init=False)
    v.write("vault.key", b"k" * size)
    v("init", "--key", "file:" + v.key_file, code=INVALID)
    assert not os.path.exists(v.path("vault.db"))


def test_passphrase(home, secrets):
    v = Vault(home, secrets, init=False)
    secrets.add("passphrase", "correct horse battery staple")
    path = v.write("pass", "correct horse battery staple\n")
    v("init", "--new-passphrase-file", path, code=0)
    # It opens by the passphrase alone, from a file, standard input or the
    # environment's file; and not by another.
    v("list", code=0)
    v.policy(harness.MAY_EXPORT)
    v("import", "-", "--name", "a", "--exportable",
      input=as_yaml(config(Identity(secrets=secrets))), code=0)
    export = ("export", "a", "--reason", "test")
    v(*export, code=UNAVAILABLE)
    v(*export, "--passphrase-file", path, code=0, secret=True)
    v(*export, "--passphrase-file", "-", code=0, secret=True,
      input="correct horse battery staple\n")
    v(*export, env={"CERTVAULT_PASSPHRASE_FILE": path}, code=0, secret=True)
    wrong = v.write("wrong", "wrong horse")
    done = v("-o", "json", *export, "--passphrase-file", wrong,
             code=UNAVAILABLE)
    assert done.error["code"] == "auth" and not done.out


def test_a_passphrase_is_asked_for_under_no_input(home, secrets):
    v = Vault(home, secrets, init=False)
    v("init", code=UNAVAILABLE)
    assert not os.path.exists(v.folder)


def test_what_a_new_vault_wants_is_named(home, secrets):
    """--key-file opens a vault that is there; a new one's has another flag."""
    v = Vault(home, secrets, init=False)
    for more in ((), ("--key-file", v.write("key", "k" * 32))):
        hint = v.error(UNAVAILABLE, "init", *more)["hint"]
        assert "--new-passphrase-file" in hint and "--key file:" in hint
        assert "--key-file" not in hint
    assert not os.path.exists(v.path("vault.db"))


def test_an_empty_passphrase_is_none(home, secrets):
    v = Vault(home, secrets, init=False)
    path = v.write("pass", "\n")
    done = v("init", "--new-passphrase-file", path)
    assert done.code in (USAGE, INVALID), done
    assert not os.path.exists(v.path("vault.db"))


def test_a_vault_is_never_made_over_another(vault):
    before = vault.snapshot()
    done = vault("-o", "json", "init", "--key", "file:" + vault.key_file,
                 code=INVALID)
    assert done.error["code"] == "exists"
    assert vault.snapshot() == before


@pytest.mark.parametrize("origin", ["bad x+", "a+b", "\u2003", "x" * 256])
def test_an_origin_that_no_key_can_have_makes_nothing(home, secrets, origin):
    v = Vault(home, secrets, init=False)
    os.mkdir(v.folder, 0o700)
    error = v.error(INVALID if len(origin) < 99 else USAGE, "init", "--key",
                    "file:" + v.key_file, "--log-origin", origin)
    if len(origin) < 99:
        assert error["state"] == "no vault was made"
        assert "example.org/audit" in error["hint"]
    assert os.listdir(v.folder) == []
    assert not os.path.exists(v.key_file)


def test_a_folder_that_others_can_read_is_refused(home, secrets):
    v = Vault(home, secrets, init=False)
    os.mkdir(v.folder, 0o755)
    os.chmod(v.folder, 0o755)
    v("init", "--key", "file:" + v.key_file, code=CONFIG)
    os.chmod(v.folder, 0o700)
    v("init", "--key", "file:" + v.key_file, code=0)
    os.chmod(v.folder, 0o750)
    v("list", code=CONFIG)


def test_a_folder_that_is_a_link_is_refused(home, secrets):
    v = Vault(home, secrets, init=False)
    os.mkdir(os.path.join(v.home, "elsewhere"), 0o700)
    os.symlink(os.path.join(v.home, "elsewhere"), v.folder)
    v("init", "--key", "file:" + v.key_file, code=CONFIG)
    assert os.listdir(os.path.join(v.home, "elsewhere")) == []


@pytest.mark.parametrize("where", ["/proc/nowhere/vault", "file/vault"])
def test_a_folder_that_cannot_be_made(home, secrets, where):
    """Why is in the answer itself: also for who reads the JSON alone."""
    v = Vault(home, secrets, init=False)
    v.write("file", "no folder")
    done = v("-o", "json", "--vault", os.path.join(v.home, where), "init",
             "--key", "file:" + v.key_file)
    assert done.code in (harness.IO, CONFIG), done
    assert done.note.count("\n") == 1, done
    assert where in done.error["message"]
    assert done.error["state"] == "no vault was made"
    assert not os.path.exists(v.key_file)


def test_without_a_vault_the_hint_is_init(home, secrets):
    v = Vault(home, secrets, init=False)
    error = v.error(NOT_FOUND, "list")
    assert "init" in error["hint"]
    del v.extra["CERTVAULT_DIR"]
    error = v.error(NOT_FOUND, "list")
    assert "init" in error["hint"]


def test_the_default_folder(home, secrets):
    v = Vault(home, secrets, init=False)
    del v.extra["CERTVAULT_DIR"]
    v("init", "--key", "file:" + v.key_file, code=0)
    assert os.path.isdir(os.path.join(v.home, "data", "certvault"))
    assert v.json("list")["items"] == []
    v("--vault", os.path.join(v.home, "data", "certvault"), "list", code=0)


def test_the_key_file_may_move(vault, secrets):
    vault.policy(harness.MAY_EXPORT)
    vault.add(as_yaml(config(Identity(secrets=secrets))), "a", "--exportable")
    moved = os.path.join(vault.home, "moved.key")
    os.rename(vault.key_file, moved)
    export = ("export", "a", "--reason", "test")
    vault(*export, code=UNAVAILABLE)
    vault(*export, "--key-file", moved, code=0, secret=True)
    vault(*export, env={"CERTVAULT_KEY_FILE": moved}, code=0, secret=True)
    other = vault.write("other.key", b"x" * 32)
    vault(*export, "--key-file", other, code=UNAVAILABLE)


def test_another_vaults_database_is_noticed(home, secrets, tmp_path):
    a = Vault(home, secrets)
    other = tmp_path / "other"
    other.mkdir()
    b = Vault(other, secrets)
    b.add(as_yaml(config(Identity(secrets=secrets))), "theirs")
    for leaf in ("vault.db", "vault.db-wal", "vault.db-shm"):
        if os.path.exists(b.path(leaf)):
            with open(b.path(leaf), "rb") as f:
                a_data = f.read()
            with open(a.path(leaf), "wb") as f:
                f.write(a_data)
        elif os.path.exists(a.path(leaf)):
            os.unlink(a.path(leaf))
    a("list", code=harness.INTEGRITY)


@pytest.mark.parametrize("damage", ["missing", "empty", "page", "version"])
def test_a_damaged_database_is_told(vault, damage):
    vault.add(as_yaml(config(Identity())), "a")
    path = vault.path("vault.db")
    size = os.path.getsize(path)
    if damage == "missing":
        os.unlink(path)
    elif damage == "empty":
        os.truncate(path, 0)
    elif damage == "page":
        with open(path, "r+b") as f:
            f.seek(4096)
            f.write(b"\xff" * (size - 4096))
    else:
        import sqlite3
        db = sqlite3.connect(path)
        version = db.execute("pragma user_version").fetchone()[0]
        db.execute(f"pragma user_version = {version + 1}")
        db.commit()
        db.close()
    vault.spoilt = True
    done = vault("list")
    assert done.code in (harness.INTEGRITY, harness.IO), done
    # Never made anew over what is left.
    if damage == "missing":
        assert not os.path.exists(path)
