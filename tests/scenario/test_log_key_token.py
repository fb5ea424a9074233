"""The log's key on a token: checkpoints are signed there, wait where it is locked
or away, and are never signed by another key. On SoftHSM."""

import os
import shutil
import time

import pytest

import harness
import merkle
from harness import INTEGRITY, INVALID, NOT_FOUND, UNAVAILABLE, USAGE
from test_archive import fill
from test_log_key import both_signed, key_of, note_of, rotation
from test_slot_token import configured, pin, softhsm, token
from kube import Identity, as_yaml, config


__all__ = ["softhsm", "token"]


@pytest.fixture
def plain(home, secrets, token):
    """A vault whose log's key is in its file."""
    v = configured(home, token, secrets)
    yield v
    v.verify()


@pytest.fixture
def v(home, secrets, token):
    """One whose log's key is on the token from the beginning."""
    v = configured(home, token, secrets, init=False)
    v("init", "--key", "file:" + v.key_file, "--log-key", "token:" + token.uri,
      *pin(v), code=0)
    yield v
    v.verify()


def key_file(v):
    with open(v.path("audit/log.key"), encoding="utf-8") as f:
        return f.read()


def covered(v):
    """How many leaves the stored checkpoint covers, whose signature is good."""
    if not os.path.exists(v.path("audit/checkpoint")):
        return 0
    return size_of(note_of(v), v.path("audit/key.pub"))


def size_of(note, key):
    with open(key, encoding="utf-8") as f:
        return merkle.open_note(note, f.read().strip())[1]


def wait_until(said, seconds=60):
    end = time.monotonic() + seconds
    while not said():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.05)


def log_key(v):
    return v.json("audit", "status")["log_key"]


def doctor(v, *args):
    done = v("-o", "json", "doctor", *args)
    items = [i for i in done.json["items"] if i["check"] == "log key"]
    return items[0] if items else None


def listed(token):
    return token.pkcs11_tool("--list-objects").stdout.decode()


def objects(token):
    return listed(token).count("Private Key Object")


def test_init(v, token):
    vkey = key_of(v)
    text = key_file(v)
    assert text.startswith(f"TOKEN+KEY+{vkey} pkcs11:") and "PRIVATE" not in text
    assert oct(os.stat(v.path("audit/log.key")).st_mode & 0o777) == "0o600"
    # init's own PIN was there to sign what it wrote.
    assert covered(v) > 0
    origin = vkey.split("+")[0]
    assert f"certvault:log:{origin}" in listed(token)
    assert "never extractable" in listed(token)
    keys = v.json("audit", "key", "--all")["items"]
    assert [k["vkey"] for k in keys] == [vkey]
    assert log_key(v)["location"] == "token"
    assert v.json("audit", "verify")["checkpoint_age_s"] >= 0


def test_locked_records_go_on_and_checkpoints_wait(v, token):
    at = covered(v)
    for i in range(3):
        v("list", code=0)       # nobody is asked for a PIN, nothing waits
    assert covered(v) == at
    told = log_key(v)
    assert told["waiting"] >= 3 and told["token_uri"] in key_file(v)
    assert doctor(v)["result"] == "warn"
    assert "locked" in doctor(v)["message"]
    assert v.verify()["checkpoint"] == "valid"
    # Whoever asks for one is asked for the PIN, or told.
    v("audit", "checkpoint", code=UNAVAILABLE)
    note = v("audit", "checkpoint", *pin(v), code=0).out
    size = size_of(note, v.path("audit/key.pub"))
    assert size > at + 3 and covered(v) >= size
    # A proof of what is under it wants no PIN; of what is not, it does.
    v("audit", "prove", "0", code=0)
    v("list", code=0)
    last = str(v.json("audit", "status")["size"] - 1)
    v("audit", "prove", last, code=UNAVAILABLE)
    v("audit", "prove", last, *pin(v), code=0)


def test_an_agent_signs_once_it_is_logged_in(v, token):
    v.flags = []
    v("agent", "start", code=0)
    try:
        v("label", "x", "a=b", code=NOT_FOUND)
        at = covered(v)
        v("token", "login", token.uri + "?module-name=softhsm", *pin(v),
          code=0)
        wait_until(lambda: covered(v) > at)
        v("list", code=0)
        size = v.json("audit", "status")["size"]
        wait_until(lambda: covered(v) >= size)
        assert doctor(v)["result"] == "ok", doctor(v)
    finally:
        v("agent", "stop")
        v.flags = ["--no-agent"]
    assert v.verify()["checkpoint"] == "valid"


def test_a_token_that_is_gone(v, token):
    at = note_of(v)
    token.remove()
    try:
        v("list", code=0)
        v("audit", "checkpoint", *pin(v), code=UNAVAILABLE)
        assert note_of(v) == at
        told = doctor(v)
        assert told["result"] == "fail" and "absent" in told["message"]
    finally:
        token.put_back()
    v("audit", "checkpoint", *pin(v), code=0)
    assert note_of(v) != at


def test_a_key_that_is_gone_or_another(v, token):
    at = note_of(v)
    uri = log_key(v)["token_uri"]
    key_id = uri.split("id=")[1].split(";")[0].replace("%", "").lower()
    token.reset()
    assert objects(token) == 0
    done = v("audit", "checkpoint", *pin(v), code=NOT_FOUND)
    assert "log's key" in done.note
    # Another one with the same id and label.
    token.pkcs11_tool("--keypairgen", "--key-type", "EC:edwards25519", "--id",
                      key_id, "--label",
                      "certvault:log:" + key_of(v).split("+", maxsplit=1)[0])
    v("audit", "checkpoint", *pin(v), code=INTEGRITY)
    v("list", code=0)
    assert note_of(v) == at
    v.flags = []
    v("agent", "start", code=0)
    try:
        v("token", "login", token.uri + "?module-name=softhsm", *pin(v),
          code=0)
        told = doctor(v)
        assert told["result"] == "fail" and "other" in told["message"], told
        assert note_of(v) == at
    finally:
        v("agent", "stop")
        v.flags = ["--no-agent"]


def test_an_existing_key(home, secrets, token):
    v = configured(home, token, secrets, init=False)
    token.pkcs11_tool("--keypairgen", "--key-type", "EC:edwards25519", "--id",
                      "0a0b", "--label", "mine")
    token.generate("p256", "0c", "theirs")
    done = v("init", "--key", "file:" + v.key_file, "--log-key",
             f"token:{token.uri};id=%0c", *pin(v), code=INVALID)
    assert "another kind (ec-p256)" in done.note
    v("init", "--key", "file:" + v.key_file, "--log-key",
      f"token:{token.uri};object=nobody", *pin(v), code=NOT_FOUND)
    assert not os.path.exists(v.path("vault.db"))
    before = objects(token)
    v("init", "--key", "file:" + v.key_file, "--log-key",
      f"token:{token.uri};object=mine", *pin(v), code=0)
    assert objects(token) == before
    assert "id=%0A%0B" in key_file(v) and covered(v) > 0
    v.verify()


def test_refused_before_anything_is_made(home, secrets, token):
    v = configured(home, token, secrets, init=False)
    key = ("init", "--key", "file:" + v.key_file, "--log-key")
    v(*key, "passphrase", code=USAGE)
    v(*key, "token:pkcs11:token=nobody", *pin(v), code=NOT_FOUND)
    v(*key, "token:" + token.uri, code=UNAVAILABLE)     # no PIN
    assert objects(token) == 0
    assert not os.path.exists(v.path("vault.db"))


def test_rotations(plain, token):
    v = plain
    keys = [key_of(v)]
    v("audit", "key", "rotate", "--to", "token:" + token.uri, code=UNAVAILABLE)
    v("audit", "key", "rotate", "--to", "hsm", code=USAGE)
    assert key_of(v) == keys[0] and objects(token) == 0
    for to in ("token:" + token.uri, "token:" + token.uri, "file", "file"):
        kept = v.write("kept", note_of(v))
        new = v("audit", "key", "rotate", "--to", to, *pin(v),
                code=0).text.strip()
        details = rotation(v)
        assert (details["old_log_key"], details["new_log_key"]) == (keys[-1],
                                                                    new)
        both_signed(details)
        keys.append(new)
        assert key_file(v).startswith("TOKEN+KEY+" if to != "file"
                                      else "PRIVATE+KEY+")
        assert not os.path.exists(v.path("audit/log.key.next"))
        assert covered(v) > 0
        assert v.json("audit", "verify", "--checkpoint", kept)["ok"]
    assert [k["vkey"] for k in v.json("audit", "key", "--all")["items"]] == keys
    # Keys that signed something are nobody's to destroy but their owner's.
    assert objects(token) == 2
    v("list", code=0)
    assert log_key(v) == {"location": "file", "waiting": log_key(v)["waiting"]}


def test_a_policy_signer_is_not_the_logs_key(v, token):
    """With it the broker itself could sign, so no signature would count."""
    other = configured(os.path.join(v.home, "other"), token, v.secrets,
                       init=False)
    other("init", "--key", "file:" + other.key_file, "--policy-signer",
          key_of(v), code=0)
    before = key_of(other), objects(token)
    done = other("audit", "key", "rotate", "--to",
                 "token:" + log_key(v)["token_uri"], *pin(other), code=INVALID)
    assert "signs policies" in done.note and "nothing was changed" in done.note
    assert (key_of(other), objects(token)) == before
    assert other.verify()["ok"]


def test_signed_by_another_broker(v, token):
    """What this one could not sign is no error any more."""
    v.flags = []
    v("agent", "start", code=0)
    try:
        v("list", code=0)
        wait_until(lambda: "error" in log_key(v))
        v.flags = ["--no-agent"]
        v("audit", "checkpoint", *pin(v), code=0)
        v.flags = []
        told = log_key(v)
        assert told["waiting"] == 0 and "error" not in told, told
    finally:
        v.flags = []
        v("agent", "stop")
        v.flags = ["--no-agent"]


def test_a_receipt_wants_the_token(v, token):
    """Or nothing is released."""
    v.policy(harness.MAY_EXPORT)
    v.add(as_yaml(config(Identity(secrets=v.secrets))), "a", "--exportable")
    out, receipt = v.path("../out"), v.path("../receipt")
    asked = ("export", "a", "--reason", "x", "--output", out, "--receipt",
             receipt)
    v(*asked, code=UNAVAILABLE)
    assert not os.path.exists(out) and not os.path.exists(receipt)
    v(*asked, *pin(v), code=0)
    assert os.path.exists(out)
    v("audit", "verify", "--proof", receipt, "--key", key_of(v), code=0)
    os.unlink(out)


def test_backup(v, token, tmp_path):
    file = str(tmp_path / "b")
    v("backup", file, code=0)
    vkey, text = key_of(v), key_file(v)
    with open(file, "rb") as f:
        assert b"PRIVATE+KEY" not in f.read()
    shutil.rmtree(v.folder)
    done = v("-o", "json", "restore", file, "--yes", code=0)
    assert done.json["log_key"] in text
    assert key_of(v) == vkey and key_file(v) == text
    v("audit", "checkpoint", *pin(v), code=0)
    assert covered(v) > 0
    # And back to a file: the one before it does not come back with it.
    v("audit", "key", "rotate", *pin(v), code=0)
    v("backup", file, "--yes", code=0)
    shutil.rmtree(v.folder)
    assert "log_key" not in v("-o", "json", "restore", file, "--yes",
                              code=0).json
    v("unlock", "--key-file", v.key_file, code=0)
    v("audit", "checkpoint", code=0)


def test_an_archive_asks_for_the_pin_before_it_copies(v, token, tmp_path):
    """Its own record must be signed: not to be found out when all is copied."""
    fill(v, 300)
    v("audit", "checkpoint", *pin(v), code=0)
    to = tmp_path / "log-0"
    argv = ("audit", "archive", "--before", "256", "--output", str(to))
    done = v(*argv, code=UNAVAILABLE)
    assert "token" in done.note and not to.exists(), done
    assert not [r for r in v.records("--action", "admin")
                if r["details"].get("method") == "AuditArchive" and
                r.get("decision") == "permit"]
    v(*argv, *pin(v), code=0)
    assert v.verify()["archived"]["before"] == 256
