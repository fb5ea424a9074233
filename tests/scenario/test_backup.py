"""backup, restore, destroy: what was backed up comes back whole, what would be
lost is told before it is, and nothing is guessed."""

import base64
import hashlib
import json
import os
import shutil
import sqlite3
import stat
import struct

import pytest

import harness
import users
import wire
from harness import (BUSY, CONFIG, DENIED, INTEGRITY, INVALID, IO, NOT_FOUND,
                     USAGE)
from kube import Identity, as_yaml, config
from test_log_key_kills import being_made, say_being_made

MAGIC = b"certvault-backup"
PARTS = ["audit/key.pub", "audit/log.key.sealed", "audit/checkpoint",
         "audit/archived", "vault.db", "audit/checkpoints",
         "audit/archived.hashes", "audit/log"]


@pytest.fixture
def kept(vault, secrets):
    """A vault with two entries, and what each key is."""
    v = vault
    v.policy(harness.MAY_EXPORT)
    v.identities = {}
    for name in ("a", "b"):
        v.identities[name] = Identity("p256", secrets=secrets)
        v.add(as_yaml(config(v.identities[name])), name, "--exportable")
    v.backup = os.path.join(v.home, "vault.backup")
    return v


def other(v, name):
    """The same person's command line for another folder."""
    o = harness.Vault(v.home, v.secrets, build=v.build, init=False)
    o.folder = os.path.join(v.home, name)
    o.extra["CERTVAULT_DIR"] = o.folder
    return o


def read(path):
    with open(path, "rb") as f:
        return f.read()


def parse(data):
    """(head, {part: bytes}) of a backup, by docs/formats.md."""
    assert data[:16] == MAGIC
    version, length = struct.unpack(">II", data[16:24])
    head = json.loads(data[24:24 + length])
    assert version == head["v"]
    assert json.dumps(head, sort_keys=True, separators=(",", ":")).encode() \
        == data[24:24 + length]
    at, found = 24 + length, {}
    for part in head["parts"]:
        found[part["name"]] = data[at:at + part["size"]]
        at += part["size"]
    assert hashlib.sha256(data[:at]).digest() == data[at:]
    return head, found


def build(head, found, spell=lambda text: text):
    """The other way round; `spell` has the head's text."""
    head["parts"] = [{"name": n, "size": len(found[n])} for n in found]
    text = spell(json.dumps(head, sort_keys=True, separators=(",", ":"))
                 .encode())
    data = MAGIC + struct.pack(">II", head["v"], len(text)) + text + \
        b"".join(found.values())
    return data + hashlib.sha256(data).digest()


def left_behind(folder):
    return [n for n in os.listdir(folder)
            if n.startswith(("restoring", ".", "vault.db."))]


def events(v, method):
    return [r for r in v.records("--action", "admin")
            if r["details"].get("method") == method]


def test_it_comes_back(kept):
    v = kept
    made = v.json("backup", v.backup)["backup"]
    assert made["entries"] == 2 and made["policy_version"] == 1
    assert made["slots"] == ["file"]
    assert stat.S_IMODE(os.stat(v.backup).st_mode) == 0o600
    data = read(v.backup)
    head, found = parse(data)
    assert list(found) == PARTS and made["digest"] == data[-32:].hex()
    assert head["vault_id"] == v.json("status")["vault_id"]
    # Nothing that opens anything is in it, not even the log's key.
    assert not v.secrets.found_in(data)
    seed = base64.b64decode(read(v.path("audit/log.key"))
                            .split(b"+", 4)[-1])[1:]
    assert seed not in data and base64.b64encode(seed)[:40] not in data

    o = other(v, "drill")
    would = o.json("restore", v.backup, "--dry-run")
    assert would["target"] == "new" and not would["restored"]
    assert not os.path.exists(o.folder)
    o("restore", v.backup, code=USAGE)             # a question, and no --yes
    assert not os.path.exists(o.folder)
    assert o.json("restore", v.backup, "--yes")["restored"]
    assert not left_behind(o.folder)
    assert read(os.path.join(o.folder, "audit/log")).startswith(
        found["audit/log"])
    for name, identity in v.identities.items():
        done = o("export", name, "--reason", "drill", secret=True, code=0)
        assert b"client-key-data" in done.out
        assert o.json("show", name)["key"]["spki_sha256"] == identity.spki
    assert o.verify()["checkpoint"] == "valid"
    assert read(os.path.join(o.folder, "audit/log.key")) == \
        read(v.path("audit/log.key"))
    assert not os.path.exists(o.path("audit/log.key.sealed"))
    told, = events(o, "Restore")
    assert told["phase"] == "event" and told["broker"]["mode"] == "offline"
    assert told["details"]["leaves"] == head["log"]["size"]
    assert told["details"]["digest"] == made["digest"]
    assert "rolled_back" not in told["details"]
    # The checkpoints of before hold for the copy too.
    assert o("audit", "verify", code=0)


def test_the_record_says_how_a_backup_went(kept):
    v = kept
    made = v.json("backup", v.backup)["backup"]
    decision, outcome = events(v, "Backup")
    assert decision["op"] == outcome["op"] and outcome["outcome"] == "ok"
    assert outcome["details"]["digest"] == made["digest"]
    assert outcome["details"]["leaves"] == made["leaves"] == \
        decision["seq"] + 1


def test_what_is_there_is_not_overwritten(kept):
    v = kept
    v.write("vault.backup", "precious")
    before = len(v.records())
    assert v.error(INVALID, "backup", v.backup)["code"] == "exists"
    assert read(v.backup) == b"precious"
    assert not events(v, "Backup"), before
    v("backup", v.backup, "--yes", code=0)
    parse(read(v.backup))
    os.unlink(v.backup)
    os.symlink("/etc/passwd", v.backup)
    v("backup", v.backup, "--yes", code=INVALID)
    v("backup", os.path.join(v.home, "not/there"), code=NOT_FOUND)
    v("restore", os.path.join(v.home, "not-there"), "--yes", code=NOT_FOUND)


def test_a_locked_vault_can_be_backed_up(kept):
    v = kept
    os.rename(v.key_file, v.key_file + ".away")
    v("backup", v.backup, code=0)
    o = other(v, "drill")
    o("restore", v.backup, "--yes", code=0)
    o.extra["CERTVAULT_KEY_FILE"] = v.key_file + ".away"
    assert o.names() == ["a", "b"]
    # Not opened yet: the log's key is still sealed, and goes into the next.
    assert os.path.exists(o.path("audit/log.key.sealed"))
    second = os.path.join(v.home, "second.backup")
    o("backup", second, code=0)
    assert parse(read(second))[1]["audit/log.key.sealed"] == \
        parse(read(v.backup))[1]["audit/log.key.sealed"]
    # A checkpoint wants it open, and is then one of the old key.
    assert o("audit", "checkpoint", code=0).text.startswith("certvault/")
    assert not os.path.exists(o.path("audit/log.key.sealed"))


def test_an_older_one_is_refused_and_told(kept, secrets):
    v = kept
    v("backup", v.backup, code=0)
    v.add(as_yaml(config(Identity("p256", secrets=secrets))), "newer")
    before = read(v.path("audit/log"))
    for args in (["--dry-run"], ["--yes"]):
        done = v("restore", v.backup, *args, code=INTEGRITY)
        assert "older than the vault" in done.note
        assert "newer" in done.note                 # the entry
    assert read(v.path("audit/log"))[:len(before)] == before
    assert "newer" in v.names()
    would = v.json("restore", v.backup, "--dry-run", "--accept-rollback")
    assert would["target"] == "behind" and would["entries_lost"] == ["newer"]
    lost = would["leaves_lost"]
    assert lost > 0
    size = v.json("audit", "status")["size"]
    done = v.json("restore", v.backup, "--yes", "--accept-rollback",
                  "--reason", "the drill")
    assert done["restored"]
    assert v.names() == ["a", "b"]
    # What was given up is kept, and the record says how much it was.
    assert read(v.path("audit.replaced-1/log"))[:len(before)] == before
    told, = events(v, "Restore")
    assert told["details"]["rolled_back"] is True
    assert told["details"]["lost_size"] >= size
    assert told["details"]["lost_leaves"] >= lost
    assert told["reason"] == "the drill"
    v("export", "a", "--reason", "x", code=0, secret=True)
    # A second one keeps the first.
    v("restore", v.backup, "--yes", "--accept-rollback", code=0)
    assert read(v.path("audit.replaced-1/log"))[:len(before)] == before
    assert os.path.exists(v.path("audit.replaced-2/log"))


def test_a_newer_one_goes_over_an_older_copy(kept, secrets):
    """A standby that is brought up to date."""
    v = kept
    v("backup", v.backup, code=0)
    o = os.path.join(v.home, "standby")
    shutil.copytree(v.folder, o)
    standby = other(v, "standby")
    v.add(as_yaml(config(Identity("p256", secrets=secrets))), "newer")
    later = os.path.join(v.home, "later.backup")
    v("backup", later, code=0)
    done = standby.json("restore", later, "--yes")
    assert done["target"] == "ahead" and done["restored"]
    assert standby.names() == ["a", "b", "newer"]
    assert "rolled_back" not in events(standby, "Restore")[0]["details"]
    assert standby.verify()["ok"]
    # It went on by itself since: neither continues the other.
    standby("list", code=0)
    last = os.path.join(v.home, "last.backup")
    v("label", "a", "k=v", code=0)
    v("backup", last, code=0)
    assert "both went on" in standby("restore", last, "--yes",
                                     code=INTEGRITY).note


def test_another_vault_is_left_alone(kept, secrets, tmp_path):
    v = kept
    v("backup", v.backup, code=0)
    o = harness.Vault(tmp_path / "other", secrets)
    before = o.snapshot()
    for args in (["--yes"], ["--yes", "--accept-rollback"]):
        assert o.error(INVALID, "restore", v.backup, *args)
    assert o.snapshot() == before and not left_behind(o.folder)


def test_policy_decides_over_a_vault(kept):
    v = kept
    v("backup", v.backup, code=0)
    document = {
        "apiVersion": "certvault/v1", "kind": "Policy",
        "metadata": {"name": "no", "version": 2},
        "rules": [{"name": "little", "effect": "permit",
                   "subjects": {"uids": [os.getuid()]},
                   "actions": ["list", "audit.read", "policy.apply"]}]}
    v("policy", "apply", v.write("no.yaml", json.dumps(document)), code=0)
    v("backup", v.backup + "2", code=DENIED)
    assert not os.path.exists(v.backup + "2")
    v("restore", v.backup, "--yes", "--accept-rollback", code=DENIED)
    said = [r for r in v.records("--action", "admin")
            if r.get("decision") == "deny"]
    assert [r["broker"]["mode"] for r in said] == ["exec", "offline"]
    # Into a folder of its own nobody's policy is in force.
    other(v, "elsewhere")("restore", v.backup, "--yes", code=0)


def test_somebody_uses_the_folder(kept):
    v = kept
    v("backup", v.backup, code=0)
    v.flags = []
    v("agent", "start", code=0)
    try:
        done = v("restore", v.backup, "--yes", "--accept-rollback", code=BUSY)
        assert "agent stop" in done.note
    finally:
        v("agent", "stop", code=0)
        v.flags = ["--no-agent"]
    assert not left_behind(v.folder)
    v("restore", v.backup, "--yes", "--accept-rollback", code=0)


def test_what_is_there_is_damaged(kept):
    v = kept
    v("backup", v.backup, code=0)
    os.unlink(v.path("vault.db"))
    for name in ("vault.db-wal", "vault.db-shm"):
        if os.path.exists(v.path(name)):
            os.unlink(v.path(name))
    v("restore", v.backup, "--yes", code=INTEGRITY)
    assert os.path.exists(v.path("audit/log"))
    os.rename(v.folder, v.folder + ".damaged")
    v("restore", v.backup, "--yes", code=0)
    assert v.names() == ["a", "b"]


def test_an_init_that_was_cut_off_is_no_vault(kept):
    v = kept
    v("backup", v.backup, code=0)
    o = other(v, "drill")
    shutil.copytree(v.folder, o.folder)
    with open(o.path("initialising"), "w", encoding="ascii"):
        pass
    assert o.json("restore", v.backup, "--yes")["target"] == "new"
    assert not os.path.exists(o.path("initialising"))
    assert o.names() == ["a", "b"] and o.verify()["ok"]


def test_what_leads_elsewhere_is_not_followed(kept, tmp_path):
    v = kept
    v("backup", v.backup, code=0)
    o = other(v, "drill")
    os.symlink(tmp_path, o.folder)
    o("restore", v.backup, "--yes", code=CONFIG)
    os.unlink(o.folder)
    os.mkdir(o.folder, 0o700)
    (tmp_path / "precious").write_text("x")
    for name in ("restoring.new", "restoring"):
        os.symlink(tmp_path, o.path(name))
        done = o("restore", v.backup, "--yes")
        assert done.code != 0, done
        os.unlink(o.path(name))
    os.chmod(o.folder, 0o755)
    o("restore", v.backup, "--yes", code=CONFIG)
    assert (tmp_path / "precious").read_text() == "x"
    assert "vault.db" not in os.listdir(tmp_path)


def test_what_was_written_ahead_for_the_old_store_is_not_read_into_the_new(
        kept):
    """Killed between the moment and the moving, with a WAL lying there."""
    v = kept
    v("backup", v.backup, code=0)
    o = other(v, "drill")
    o("restore", v.backup, "--yes", code=0)
    db = sqlite3.connect(v.path("vault.db"))
    db.execute("pragma wal_autocheckpoint = 0")
    db.execute("create table junk(x)")
    db.execute("insert into junk values (zeroblob(100000))")
    db.commit()
    cut = other(v, "cut")
    shutil.copytree(v.folder, cut.folder)
    db.execute("drop table junk")
    db.commit()
    db.close()
    assert os.path.getsize(cut.path("vault.db-wal")) > 100000
    os.mkdir(cut.path("restoring"), 0o700)
    shutil.copy(o.path("vault.db"), cut.path("restoring/vault.db"))
    shutil.copytree(o.path("audit"), cut.path("restoring/audit"))
    assert cut.names() == ["a", "b"] and cut.verify()["ok"]
    assert not left_behind(cut.folder)
    db = sqlite3.connect(cut.path("vault.db"))
    assert not db.execute("select * from sqlite_schema where name = 'junk'"
                          ).fetchall()
    db.close()


def test_a_damaged_backup_is_refused(kept):
    """Each byte counts; nothing of it is put anywhere."""
    v = kept
    v("backup", v.backup, code=0)
    data = read(v.backup)
    rng = harness.seeded()
    o = other(v, "drill")
    bad = os.path.join(v.home, "bad")

    def refused(changed, code, words=""):
        with open(bad, "wb") as f:
            f.write(changed)
        # By a look at it alone, too: that is what `backup` goes by.
        for how in ("--dry-run", "--yes"):
            done = o("restore", bad, how, code=code)
            assert words in done.note, done
            assert not os.path.exists(o.folder), done

    for at in [rng.randrange(len(data)) for _ in range(100 if harness.FULL
                                                       else 6)]:
        one = bytearray(data)
        one[at] ^= 1 << rng.randrange(8)
        refused(bytes(one), INVALID if at < 16 else INTEGRITY)
    for length in (0, 5, 16, 23, 60, len(data) // 2, len(data) - 1):
        refused(data[:length], INVALID if length < 16 else INTEGRITY)
    refused(data + b"x", INTEGRITY, "behind")
    refused(data[:16] + struct.pack(">I", 4) + data[20:], INTEGRITY, "newer")
    # One of records that are archived, and no checkpoints; one of neither.
    for v in (1, 2):
        refused(data[:16] + struct.pack(">I", v) + data[20:], INTEGRITY, "head")
    refused(b"GIF89a" + data, INVALID, "no backup")
    head, found = parse(data)
    # Whole by its digest, and still not right. One head has one spelling.
    for spell in (lambda t: t.replace(b",", b", ", 1), lambda t: t + b"\n",
                  lambda t: b'{"v":3,' + t[1:].replace(b',"v":3', b""),
                  lambda t: t.replace(b"Z", b"+00:00", 1)):
        refused(build(dict(head), found, spell), INTEGRITY, "head")
    refused(build(dict(head), {**found, "audit/log": found["audit/log"] +
                               struct.pack("<II", 3, 0) + b"{}x"}),
            INTEGRITY, "log")
    refused(build(dict(head), {**found, "audit/log": b""}), INTEGRITY, "log")
    refused(build(dict(head), {**found, "audit/checkpoint":
                               found["audit/checkpoint"].replace(
                                   b"\n", b"\r\n", 1)}), INTEGRITY)
    refused(build(dict(head), {**found, "vault.db": found["vault.db"][:8192]}),
            INTEGRITY)
    refused(build({**head, "vault_id": "0" * 32}, found), INTEGRITY,
            "different vaults")


def changed_store(v, found, *sql):
    """The parts with a store that was changed by other means."""
    path = os.path.join(v.home, "changed.db")
    with open(path, "wb") as f:
        f.write(found["vault.db"])
    db = sqlite3.connect(path)
    for statement in sql:
        db.execute(*statement)
    db.commit()
    db.execute("pragma wal_checkpoint(truncate)")
    db.close()
    return {**found, "vault.db": read(path)}


def digest(vault_id, table, *fields):
    """A row's, by docs/formats.md."""
    h = hashlib.blake2b(digest_size=32)
    for field in (vault_id.encode(), table.encode(), *fields):
        h.update(struct.pack("<Q", len(field)) + field)
    return h.digest()


def journal_row(vault_id, op, action, doc, created=1):
    text = json.dumps(doc)
    d = digest(vault_id, "journal", op.encode(), action.encode(),
               struct.pack("<q", created), text.encode())
    return ("insert into journal (digest, op, action, created, doc) "
            "values (?,?,?,?,?)", (d, op, action, created, text))


def test_h90_what_a_newer_program_wrote_is_not_guessed_at(kept):
    v = kept
    v("backup", v.backup, code=0)
    head, found = parse(read(v.backup))
    o = other(v, "drill")
    bad = os.path.join(v.home, "newer")
    op = "ab" * 16
    newer = [
        changed_store(v, found, ("pragma user_version = 99",)),
        changed_store(v, found, journal_row(
            head["vault_id"], op, "teleport", {"done": False, "entry": "",
                                               "entry_id": "", "spki": ""})),
        changed_store(v, found, journal_row(
            head["vault_id"], op, "import", {"kind": "teleport"})),
        changed_store(v, found, journal_row(
            head["vault_id"], op, "edit", {"done": False, "entry": "a",
                                           "entry_id": "", "spki": "",
                                           "then": "x"})),
    ]
    for parts in newer:
        with open(bad, "wb") as f:
            f.write(build(dict(head), parts))
        done = o("restore", bad, "--yes", code=INTEGRITY)
        assert "newer" in done.note, done
        assert not os.path.exists(o.folder)


def test_a_store_that_is_not_the_one_of_its_log(kept):
    """Parts of two backups of one vault, each whole: what policy was in force
    at the end of the log is in the store, or it is not restored."""
    v = kept
    older, newer = (os.path.join(v.home, n) for n in ("older", "newer"))
    v("backup", older, code=0)
    v.policy(harness.MAY_EXPORT, version=2)
    v("backup", newer, code=0)
    (one, old), (two, new) = parse(read(older)), parse(read(newer))
    o = other(v, "drill")
    bad = os.path.join(v.home, "bad")
    for head, found in ((dict(two), {**new, "vault.db": old["vault.db"]}),
                        (dict(one), {**old, "vault.db": new["vault.db"]})):
        with open(bad, "wb") as f:
            f.write(build(head, found))
        for how in ("--dry-run", "--yes"):
            done = o("restore", bad, how, code=INTEGRITY)
            assert "the backup's store is not the one of its log" in \
                done.note, done
            assert not os.path.exists(o.folder), done
    for path in (older, newer):
        o("restore", path, "--dry-run", code=0)


def test_h90_a_newer_journal_is_left_to_the_newer_program(kept):
    """The same in a vault that is opened: an older program over its journal."""
    v = kept
    vault_id = v.json("status")["vault_id"]
    shutil.copytree(v.folder, v.folder + ".copy")
    for action, doc in (("teleport", {"done": True, "entry": "", "entry_id": "",
                                      "spki": ""}),
                        ("import", {"kind": "teleport"}),
                        ("edit", {"done": True, "more": 1})):
        shutil.rmtree(v.folder)
        shutil.copytree(v.folder + ".copy", v.folder)
        db = sqlite3.connect(v.path("vault.db"))
        db.execute(*journal_row(vault_id, "cd" * 16, action, doc))
        db.commit()
        db.close()
        log = read(v.path("audit/log"))
        done = v("list", code=INTEGRITY)
        assert "does not know" in done.note and "newer" in done.note
        assert read(v.path("audit/log")) == log
        db = sqlite3.connect(v.path("vault.db"))
        assert db.execute("select count(*) from journal").fetchone() == (1,)
        db.close()
    db = sqlite3.connect(v.path("vault.db"))
    db.execute("delete from journal")
    db.commit()
    db.execute("pragma user_version = 99")
    db.close()
    assert "newer" in v("list", code=INTEGRITY).note
    shutil.rmtree(v.folder)
    shutil.copytree(v.folder + ".copy", v.folder)


def test_h71_nothing_on_a_token_is_destroyed_by_an_old_copy(kept):
    """Rows about tokens, and what they would destroy, do not come back."""
    v = kept
    v("backup", v.backup, code=0)
    head, found = parse(read(v.backup))
    old = os.path.join(v.home, "old")
    parts = changed_store(v, found, *[journal_row(
        head["vault_id"], f"{i:02x}" * 16, "import",
        {"kind": kind, "key": {"token": "pkcs11:token=x", "id": "00"},
         "snapshot": [], "objects": []})
        for i, kind in enumerate(("import", "generate", "remove", "debris"))])
    with open(old, "wb") as f:
        f.write(build(dict(head), parts))
    o = other(v, "drill")
    done = o("-o", "json", "restore", old, "--yes", code=0)
    assert done.json["unfinished"] == 4
    assert done.json["tokens_left"] == ["pkcs11:token=x"]
    assert "token objects" in done.note and "pkcs11:token=x" in done.note
    db = sqlite3.connect(o.path("vault.db"))
    assert db.execute("select count(*) from journal").fetchone() == (0,)
    db.close()
    assert events(o, "Restore")[0]["details"]["unfinished"] == 4


def test_what_was_cut_off_is_forgotten_and_said(kept):
    """Keys for the log that were being made: in the backup, and in the vault
    that it replaces. Said before it is done, and on the record."""
    v = kept
    row = "%032x pkcs11:serial=%d;token=x"
    say_being_made(v, row % (1, 1))
    v("backup", v.backup, code=0)
    say_being_made(v, "\n".join(row % (i, i) for i in (1, 2, 3)))
    db = sqlite3.connect(v.path("vault.db"))
    db.execute(*journal_row(v.json("status")["vault_id"], "cd" * 16, "import",
                            {"kind": "import", "snapshot": [], "objects": [],
                             "key": {"token": "pkcs11:token=y", "id": "00"}}))
    db.commit()
    db.close()
    left = [f"pkcs11:serial={i};token=x" for i in (1, 2, 3)] + [
        "pkcs11:token=y"]
    for how in ("--dry-run", "--yes"):
        done = v("-o", "json", "restore", v.backup, "--accept-rollback", how,
                 code=0)
        assert sorted(done.json["tokens_left"]) == left, done
        assert done.json["unfinished"] == 5
        assert "token login" in done.note and left[2] in done.note
    assert being_made(v) == ""
    assert [r["details"]["unfinished"] for r in events(v, "Restore")
            if r["phase"] == "event"] == [5]
    o = other(v, "drill")
    assert o.json("restore", v.backup, "--yes")["tokens_left"] == left[:1]


def request_row(vault_id, n, state):
    key, doc = "ab" * 32, json.dumps({"state": ("open", "approved", "denied",
                                                "used")[state], "n": n})
    request = f"{n:012x}"
    numbers = struct.pack("<4q", 1000, 1, 1 << 40, state)
    d = digest(vault_id, "requests", request.encode(), key.encode(), numbers,
               doc.encode())
    return ("insert into requests (id, key, uid, created, expires, state, "
            "digest, doc) values (?,?,?,?,?,?,?,?)",
            (request, key, 1000, 1, 1 << 40, state, d, doc))


def test_an_approval_is_not_used_twice_by_restoring(kept):
    v = kept
    v("backup", v.backup, code=0)
    head, found = parse(read(v.backup))
    parts = changed_store(v, found, *[request_row(head["vault_id"], i, i)
                                      for i in range(4)])
    old = os.path.join(v.home, "old")
    with open(old, "wb") as f:
        f.write(build(dict(head), parts))
    o = other(v, "drill")
    assert o.json("restore", old, "--yes")["requests_closed"] == 2
    db = sqlite3.connect(o.path("vault.db"))
    rows = db.execute("select state, doc from requests order by id").fetchall()
    db.close()
    assert [s for s, _ in rows] == [4, 4, 2, 3]
    assert json.loads(rows[1][1]) == {"state": "expired", "n": 1}
    assert o("status", code=0)                  # every digest is right
    assert events(o, "Restore")[0]["details"]["requests_closed"] == 2


def test_h71_a_checkpoint_kept_elsewhere_tells(kept):
    v = kept
    v("backup", v.backup, code=0)
    anchor = v.write("anchor", v("audit", "checkpoint", code=0).text)
    os.rename(v.folder, v.folder + ".gone")
    v("restore", v.backup, "--yes", code=0)
    assert v.verify()["ok"]                      # by itself it is whole
    done = v("audit", "verify", "--checkpoint", anchor, code=INTEGRITY)
    assert done.code == INTEGRITY
    v.spoilt = True


@pytest.fixture
def served(kept):
    """The vault served on a socket, with a log that takes several pieces."""
    v = kept
    v.broker = wire.Broker(v, "--key-file", v.key_file)
    s = v.broker.connect()
    hello = {"method": "io.certvault.Broker.Hello", "parameters": {}}
    s.sendall(json.dumps(hello).encode() + b"\0")
    assert "error" not in wire.answer(s)
    for i in range(2000):
        got = v.broker.call("io.certvault.Broker.List",
                            {"reason": "words " * 40}, on=s)
        assert "error" not in got, got
    s.close()
    yield v
    v.broker.end()


def call(v, s, method, **parameters):
    return v.broker.call("io.certvault.Broker." + method, parameters, on=s)


def greeted(v):
    s = v.broker.connect()
    assert "error" not in call(v, s, "Hello")
    return s


def pull(v, s, between=lambda: None):
    begun = call(v, s, "Backup")
    while begun.get("error", "").endswith("Busy"):   # the other hangs up
        begun = call(v, s, "Backup")
    data, begun = b"", begun["parameters"]
    while True:
        piece = call(v, s, "BackupRead", at=len(data))["parameters"]["data"]
        if not piece:
            break
        data += base64.b64decode(piece)
        between()
    assert len(data) == begun["size"]
    return data, begun


def test_one_moment_of_a_vault_that_goes_on(served):
    """Through the service, while others change it."""
    v = served
    s, others, n = greeted(v), greeted(v), [0]

    def change():
        n[0] += 1
        assert "error" not in call(v, others, "Label", name="a",
                                   set={"n": str(n[0])}, remove=[])

    data, begun = pull(v, s, change)
    assert n[0] >= 4, "one piece only"
    head, found = parse(data)
    log = read(v.path("audit/log"))
    assert log.startswith(found["audit/log"]) and log != found["audit/log"]
    assert len(found["audit/log"]) > 1 << 20
    assert head["log"]["size"] == begun["leaves"]
    assert "error" not in call(v, s, "BackupEnd", digest=data[-32:].hex())
    with open(v.backup, "wb") as f:
        f.write(data)
    v.broker.end()
    o = other(v, "drill")
    o("restore", v.backup, "--yes", code=0)
    assert o.json("show", "a")["labels"] == {}       # none of the changes
    assert o.verify()["ok"]


def test_the_command_line_through_the_service(served):
    v = served
    o = other(v, "elsewhere")
    o.extra.pop("CERTVAULT_DIR")
    o.json("--broker", "unix:" + v.broker.path, "backup", v.backup)
    parse(read(v.backup))
    # Its folder is nobody's to restore into meanwhile.
    done = v("restore", v.backup, "--yes", "--accept-rollback", code=BUSY)
    assert v.broker.path in done.note
    done = o("--broker", "unix:" + v.broker.path, "restore", v.backup, "--yes",
             code=USAGE)


@users.needs_root
def test_who_may_not_gets_nothing_of_it(kept):
    """Neither to begin one, nor to read or end somebody else's; each attempt to
    begin is a denial in the record, and the one under way goes on."""
    v, name = kept, "io.certvault.Broker."
    broker = wire.Broker(v, "--key-file", v.key_file)
    try:
        users.open_way(broker.path)
        with broker.connect() as own, \
                users.connect_as(broker.path, users.BOB) as other:
            for s in (own, other):
                assert "error" not in broker.call(name + "Hello", on=s)
            for more in ({}, {"reason": "x"}):
                said = broker.call(name + "Backup", more, on=other)
                assert said["parameters"]["code"] == "denied", said
            begun = broker.call(name + "Backup", {}, on=own)
            assert "error" not in begun, begun
            for method, more in (("Backup", {}), ("BackupRead", {"at": 0}),
                                 ("BackupEnd", {"digest": "0" * 64})):
                said = broker.call(name + method, more, on=other)
                assert "error" in said, (method, said)
                assert "data" not in said["parameters"], said
            read_on = broker.call(name + "BackupRead", {"at": 0}, on=own)
            assert "data" in read_on["parameters"], read_on
    finally:
        broker.end()
    denied = [r for r in v.records() if r.get("decision") == "deny"]
    assert len(denied) >= 3, denied
    assert {(r["action"], r["error"], r["actor"]["uid"]) for r in denied} == \
        {("admin", "denied", users.BOB)}


def test_one_at_a_time_and_unfinished_ones_are_told(served):
    v = served
    first, second = greeted(v), greeted(v)
    assert call(v, second, "BackupRead", at=0)["error"].endswith("Invalid")
    assert call(v, second, "BackupEnd", digest="0" * 64)["error"]
    begun = call(v, first, "Backup", reason="nightly")
    assert call(v, second, "Backup")["error"].endswith("Busy")
    assert call(v, first, "BackupRead", at=7)["error"].endswith("Invalid")
    assert call(v, first, "BackupRead", at=0)["parameters"]["data"]
    assert call(v, second, "BackupRead", at=0)["error"].endswith("Invalid")
    first.close()
    data, _ = pull(v, second)                        # the way is free again
    answer = call(v, second, "BackupEnd", digest="0" * 64)
    assert answer["error"].endswith("Integrity")
    data, _ = pull(v, second)
    assert "error" not in call(v, second, "BackupEnd", digest=data[-32:].hex())
    v.broker.end()
    told = [(r["phase"], r.get("outcome"), r.get("reason"))
            for r in events(v, "Backup")]
    assert begun["parameters"]["audit_seq"] > 0
    assert [t for t in told if t[1] or t[2]] == [
        ("decision", None, "nightly"), ("outcome", "failed", "nightly"),
        ("outcome", "failed", None), ("outcome", "ok", None)]
