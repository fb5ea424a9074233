"""Several inits at once in one folder: one makes the vault, and it is good."""

import os
import shutil

import pytest

import harness
from harness import INVALID, Vault
from kube import Identity, as_yaml, config

OK = 0
ROUNDS = 60 if harness.FULL else 10


def at_once(v, n, key):
    """Runs `n` inits; what each said, by its code."""
    runs = [v.start("-o", "json", "init", "--key", "file:" + key(i))
            for i in range(n)]
    said = []
    for p in runs:
        out, err = p.communicate(timeout=harness.TIMEOUT)
        done = harness.Result(("init",), p.returncode, out, err)
        v.check(done)
        said.append(done)
    return said


def check_one_made_it(v, said, key):
    made = [i for i, done in enumerate(said) if done.code == OK]
    assert len(made) == 1, said
    for done in said:
        if done.code != OK:
            assert done.code == INVALID, said
            assert done.error["code"] == "exists", said
            assert "nothing was changed" in done.error["state"] or \
                "not touched" in done.error["state"], said
    (i,) = made
    assert v.json("status")["vault_id"] == said[i].json["vault_id"]
    assert v.verify()["ok"]
    v.key_file = key(i)
    v.policy(harness.MAY_EXPORT)
    v.add(as_yaml(config(Identity(secrets=v.secrets))), "a", "--exportable")
    v("export", "a", "--reason", "test", "--key-file", key(i), code=OK,
      secret=True)
    assert not os.path.exists(v.path("initialising"))


@pytest.mark.parametrize("n", [2, 3])
def test_one_makes_the_vault(home, secrets, n):
    v = Vault(home, secrets, init=False)
    for i in range(ROUNDS):
        v.folder = v.extra["CERTVAULT_DIR"] = os.path.join(v.home, f"v{i}")

        def key(nth, i=i):
            return os.path.join(v.home, f"key{i}-{nth}")
        check_one_made_it(v, at_once(v, n, key), key)


def test_one_key_file_for_all_opens_what_was_made(home, secrets):
    """Who came too late takes away no key file that it made: the one that made
    the vault may have read it."""
    v = Vault(home, secrets, init=False)
    for i in range(ROUNDS // 2):
        v.folder = v.extra["CERTVAULT_DIR"] = os.path.join(v.home, f"v{i}")
        path = os.path.join(v.home, f"key{i}")
        said = at_once(v, 3, lambda _, path=path: path)
        made = [done for done in said if done.code == OK]
        assert len(made) == 1, said
        assert all(done.code in (OK, INVALID) for done in said), said
        v.policy(harness.MAY_EXPORT)
        v.add(as_yaml(config(Identity(secrets=secrets))), "a", "--exportable")
        v("export", "a", "--reason", "test", "--key-file", path, code=OK,
          secret=True)
        assert v.verify()["ok"]


def test_what_an_init_left_is_cleaned_by_one(home, secrets):
    """The mark of one that was cut off, and parts of its vault: several find
    it, one cleans it."""
    v = Vault(home, secrets)
    for i in range(ROUNDS // 2):
        with open(v.path("initialising"), "w", encoding="ascii"):
            pass
        # What is derived from the log is made only behind an init.
        shutil.rmtree(v.path("audit/tile"))
        for name in ("audit/tiles", "audit/tiles.last", "audit/checkpoints"):
            os.unlink(v.path(name))

        def key(nth, i=i):
            return os.path.join(v.home, f"key{i}-{nth}")
        check_one_made_it(v, at_once(v, 2, key), key)
