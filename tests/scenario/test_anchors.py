"""Anchors: checkpoints in places that whoever rewrites the vault's disk does
not reach, and what they tell of a log that was put back, or goes on twice."""

import base64
import json
import os
import re
import shutil
import stat
import subprocess
import time

import pytest

import kube
import merkle
import tokens
import harness
from harness import CONFIG, DENIED, INTEGRITY, NOT_FOUND, REMOTE
from held import Held
from test_sinks import pki, tls_server
from witness import DASH, Witness, key_id

__all__ = ["pki"]


@pytest.fixture
def witness():
    w = Witness()
    yield w
    w.stop()


def configure(vault, *anchors):
    folder = os.path.join(vault.home, "config", "certvault")
    os.makedirs(folder, mode=0o700, exist_ok=True)
    path = os.path.join(folder, "certvault.yaml")
    with open(path, "w", encoding="utf-8") as f:
        json.dump({"audit": {"anchors": list(anchors)}}, f)
    os.chmod(path, 0o600)
    return path


def key_of(vault):
    return vault("audit", "key", code=0).text.strip()


def status(vault):
    return vault.json("audit", "status")


def anchor(vault, code=0):
    done = vault("-o", "json", "audit", "anchor", code=code)
    return done.json["items"]


def reported(vault, word):
    """A report says what the status says, in each of its forms."""
    page = os.path.join(vault.home, "report.html")
    assert status(vault)["anchored"] == word
    assert vault.json("audit", "report")["anchored"] == word
    text = vault("audit", "report", code=0).text
    assert re.search(rf"^  anchored +{word}$", text, re.M), text
    vault("audit", "report", "--html", page, "--yes", code=0)
    with open(page, encoding="utf-8") as f:
        assert f'"anchored":"{word}"' in f.read()


def conflicts(vault):
    return [r for r in vault.records("--action", "log")
            if r.get("details", {}).get("anchor")
            and r.get("error") == "integrity"]


# --- a file ---

def test_a_file_gets_each_checkpoint(vault, tmp_path):
    path = tmp_path / "anchors.txt"
    configure(vault, f"file:{path}")
    key = key_of(vault)
    for i in range(3):
        vault("list", code=0)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    notes = path.read_text().split("\n\n")
    assert notes.pop() == ""
    sizes = []
    for text, line in zip(notes[::2], notes[1::2]):
        _, size, _ = merkle.open_note((text + "\n\n" + line + "\n").encode(),
                                      key)
        sizes.append(size)
    assert len(sizes) >= 3 and sizes == sorted(set(sizes))
    said = status(vault)
    assert said["anchored"] == "file" and said["anchor"]["age_s"] <= 60
    assert said["anchor"]["size"] == sizes[-1]
    reported(vault, "file")
    # Nothing is taken away from it, and a write that was cut off is no note.
    before = path.read_bytes()
    path.write_bytes(before + before[-40:-3])
    vault("list", code=0)
    after = path.read_bytes()
    assert after.startswith(before + before[-40:-3] + b"\n\n")
    assert status(vault)["anchored"] == "file"


def test_a_log_that_was_put_back(vault, tmp_path):
    """H71, H70: consistent in itself, and shorter than what the file says."""
    path = tmp_path / "anchors.txt"
    configure(vault, f"file:{path}")
    vault("list", code=0)
    shutil.copytree(vault.folder, tmp_path / "yesterday")
    vault("list", "--reason", "today", code=0)
    vault.verify()
    shutil.rmtree(vault.folder)
    shutil.copytree(tmp_path / "yesterday", vault.folder)
    error = vault.error(INTEGRITY, "list")
    assert "rolled back" in error["message"]
    assert str(path) in error["hint"] or str(path) in error["message"]
    # Without that file nothing tells: it is what an anchor is for.
    path.rename(tmp_path / "aside")
    vault("list", code=0)


def put_back(vault, before):
    shutil.rmtree(vault.folder)
    shutil.copytree(before, vault.folder)


def test_verify_holds_the_log_against_the_file(vault, tmp_path):
    """By a copy of the folder alone it is as good as ever it was."""
    path = tmp_path / "anchors.txt"
    config = configure(vault, f"file:{path}")
    vault("list", code=0)
    before = tmp_path / "before"
    shutil.copytree(vault.folder, before)
    vault("list", code=0)
    report = vault.verify()
    place, = report["anchors"]
    assert report["anchored"] == "file" and report["notes"] == []
    assert place == {"kind": "file", "place": str(path), "state": "ok",
                     "size": report["checkpoint_size"]}
    assert f"file {path}: ok" in vault("audit", "verify", code=0).text
    put_back(vault, before)
    report = vault.verify(code=INTEGRITY)
    place, = report["anchors"]
    assert report["anchored"] == "none" and place["state"] == "conflict"
    assert place["size"] > report["size"]
    fault, = report["errors"]
    assert fault["what"] == "anchor" and "rolled back" in fault["message"]
    # The same without a word of it in the configuration: nothing tells.
    os.rename(config, config + ".aside")
    report = vault.verify()
    assert report["anchored"] == "none" and report["anchors"] == []
    # Longer than the copy there, with another past.
    for i in range(9):
        vault("list", "--reason", f"other {i}", code=0)
    os.rename(config + ".aside", config)
    report = vault.verify(code=INTEGRITY)
    assert "are not those" in report["errors"][0]["message"]
    # What is signed by nobody, and shorter, says nothing; longer, it does.
    note = path.read_text().split("\n")[:3]
    for size, code in ((1, 0), (10**6, INTEGRITY)):
        path.write_text("\n".join([note[0], str(size), note[2], "", "x", ""]))
        assert vault.verify(code=code)["ok"] is (code == 0)
    path.unlink()


def test_verify_after_the_log_got_another_key(vault, tmp_path):
    """What the key before signed is held against it too."""
    path = tmp_path / "anchors.txt"
    configure(vault, f"file:{path}")
    vault("list", code=0)
    by_old = path.read_bytes()
    vault("audit", "key", "rotate", code=0)
    path.write_bytes(by_old)
    report = vault.verify()
    assert report["anchored"] == "file"
    assert 0 < report["anchors"][0]["size"] < report["size"]


def test_verify_of_what_cannot_be_read(vault, tmp_path):
    kept = f"file:{tmp_path}"
    configure(vault, kept, "command:/bin/true", "token:pkcs11:token=none",
              f"git:{tmp_path}", f"file:{tmp_path}/no/absent")
    vault("list", code=0)
    report = vault.verify()
    assert report["ok"] and report["anchored"] == "none"
    states = [(a["kind"], a["state"]) for a in report["anchors"]]
    assert states == [("file", "unread"), ("command", "unread"),
                      ("token", "unread"), ("git", "unread"), ("file", "none")]
    assert all(a["message"] for a in report["anchors"][:4])
    assert [n["what"] for n in report["notes"]] == ["anchor"] * 4


def test_a_log_that_was_written_anew(vault, tmp_path):
    """Longer than the copy in the file, with another past."""
    path = tmp_path / "anchors.txt"
    configure(vault, f"file:{path}")
    shutil.copytree(vault.folder, tmp_path / "before")
    vault("list", "--reason", "one", code=0)
    shutil.rmtree(vault.folder)
    shutil.copytree(tmp_path / "before", vault.folder)
    path.rename(tmp_path / "aside")
    for i in range(4):
        vault("list", "--reason", f"other {i}", code=0)
    vault("audit", "prove", "0", code=0)
    (tmp_path / "aside").rename(path)
    assert "root" in vault.error(INTEGRITY, "list")["message"]
    path.unlink()


def test_a_file_that_cannot_be_written(vault, tmp_path):
    configure(vault, f"file:{tmp_path}/no/such/folder/x")
    vault("list", code=0)
    assert status(vault)["anchored"] == "none"
    item, = anchor(vault, code=REMOTE)
    assert item["state"] == "failed" and "No such file" in item["message"]
    # Told once, not with each command.
    assert len(vault.records("--action", "log")) == 1
    os.makedirs(tmp_path / "no" / "such" / "folder")
    item, = anchor(vault)
    assert item["state"] == "ok" and "message" not in item
    for path in ("/dev/full", str(tmp_path)):
        configure(vault, f"file:{path}")
        assert anchor(vault, code=REMOTE)[0]["state"] == "failed"


# --- a command ---

def test_a_command(vault, tmp_path):
    program = tmp_path / "keep"
    program.write_text(f"#!/bin/sh\ncat > {tmp_path}/got; env > "
                       f"{tmp_path}/env\n")
    program.chmod(0o700)
    configure(vault, f"command:{program}")
    vault("list", code=0)
    assert not (tmp_path / "got").exists(), "a private broker waits for none"
    item, = anchor(vault)
    assert item == {"kind": "command", "place": str(program), "state": "ok",
                    "size": item["size"], "age_s": item["age_s"]}
    _, size, _ = merkle.open_note((tmp_path / "got").read_bytes(),
                                  key_of(vault))
    assert size == item["size"]
    assert status(vault)["anchored"] == "command"
    program.write_text("#!/bin/sh\nexit 3\n")
    item, = anchor(vault, code=REMOTE)
    assert item["state"] == "failed" and "ended with 3" in item["message"]
    program.chmod(0o722)
    vault("list", code=CONFIG)
    configure(vault)


def test_no_anchors(vault):
    vault("audit", "anchor", code=NOT_FOUND)
    reported(vault, "none")
    assert status(vault)["anchors"] == []


KEY = "w.example+e533421d+BAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"
NONE = ["witness:http://h/x?ca=/ca.pem#" + KEY,
        "witness:https://h/x?ca=ca.pem#" + KEY,
        "witness:https://h/x?ca=/no/such/ca.pem#" + KEY,
        "witness:https://h/x?ca=/etc/passwd#" + KEY, "file:relative", "file:", "paper:/x", "token:x", "git:x", "/x",
        "witness:https://h/x", "witness:ftp://h#w+00000000+AAAA",
        "witness:http://127.0.0.1/#example.org/log+e8e55eb1+"
        "AdMHa6fVh3Fd0ceX1gD+7kB0EJ9Yv1uDk1yy0M1rKq8T", "witness:http://u@h#k"]


def test_what_is_no_anchor(vault):
    for text in NONE:
        configure(vault, text)
        done = vault("list", code=CONFIG)
        assert b"audit.anchors" in done.err, text
    configure(vault)


def test_a_pin_in_an_anchor(vault):
    """It would be in the record with each failure."""
    for text in ("token:pkcs11:token=t?pin-value=SECRET99",
                 "token:pkcs11:token=t?pin-source=/SECRET99",
                 "tokn:PKCS11:token=t?PIN-value=SECRET99"):
        configure(vault, text)
        for words in (["list"], ["config", "check"]):
            done = vault(*words, code=CONFIG)
            assert b"PIN" in done.err and b"SECRET99" not in done.err
    configure(vault)


# --- git ---

def git(repository, *words, text=b""):
    return subprocess.run(["git", "-C", str(repository), *words], check=True,
                          input=text, capture_output=True).stdout


@pytest.fixture
def repository(tmp_path):
    if shutil.which("git") is None:
        pytest.skip("no git here")
    path = tmp_path / "repository"
    subprocess.run(["git", "init", "-q", "--bare", str(path)], check=True)
    return path


def branch_of(repository):
    name, = git(repository, "for-each-ref", "--format=%(refname)").split()
    return name.decode()


def test_git(vault, repository, tmp_path):
    hook = repository / "hooks" / "reference-transaction"
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/hooked\n")
    hook.chmod(0o755)
    configure(vault, f"git:{repository}")
    first, = anchor(vault)
    second, = anchor(vault)
    assert first["state"] == second["state"] == "ok"
    branch = branch_of(repository)
    commits = git(repository, "rev-list", "--reverse", branch).split()
    assert len(commits) == 2
    for commit, item in zip(commits, (first, second)):
        note = git(repository, "cat-file", "blob",
                   commit.decode() + ":checkpoint")
        assert merkle.open_note(note, key_of(vault))[1] == item["size"]
    git(repository, "fsck", "--strict")
    assert not (tmp_path / "hooked").exists()
    assert status(vault)["anchored"] == "git"


def test_git_knows_a_longer_log(vault, repository, tmp_path):
    configure(vault, f"git:{repository}")
    shutil.copytree(vault.folder, tmp_path / "yesterday")
    for _ in range(5):
        vault("list", code=0)
    anchor(vault)
    shutil.rmtree(vault.folder)
    shutil.copytree(tmp_path / "yesterday", vault.folder)
    item, = anchor(vault, code=INTEGRITY)
    assert item["state"] == "conflict"
    assert status(vault)["anchored"] == "conflict"
    vault.error(INTEGRITY, "audit", "checkpoint")
    # Longer by now than what lies there, and still another.
    for _ in range(9):
        vault("list", "--reason", "other", code=0)
    assert anchor(vault, code=INTEGRITY)[0]["state"] == "conflict"
    configure(vault)  # by the folder alone it is a good one


def test_verify_holds_the_log_against_git(vault, repository, tmp_path):
    configure(vault, f"git:{repository}")
    assert vault.verify()["anchors"][0]["state"] == "none"
    shutil.copytree(vault.folder, tmp_path / "before")
    vault("list", code=0)
    anchor(vault)
    report = vault.verify()
    assert report["anchored"] == "git"
    assert report["anchors"][0]["size"] <= report["size"]
    put_back(vault, tmp_path / "before")
    report = vault.verify(code=INTEGRITY)
    assert report["anchors"][0]["state"] == "conflict"
    assert "rolled back" in report["errors"][0]["message"]
    configure(vault)


@pytest.mark.parametrize("lead", (b"x\n999999999\n", b"x\n999999999\n\n"))
def test_git_with_something_else_on_the_branch(vault, repository, lead):
    """What says that it is newer, and is no checkpoint, is no anchor; nor is
    an older one behind it."""
    configure(vault, f"git:{repository}")
    anchor(vault)
    branch = branch_of(repository)
    note = git(repository, "cat-file", "blob", branch + ":checkpoint")
    blob = git(repository, "hash-object", "-w", "--stdin",
               text=lead + (note if lead.endswith(b"\n\n") else b""))
    tree = git(repository, "mktree",
               text=b"100644 blob " + blob.strip() + b"\tcheckpoint\n")
    commit = git(repository, "-c", "user.name=x", "-c", "user.email=x",
                 "commit-tree", tree.strip().decode(), "-m", "x")
    git(repository, "update-ref", branch, commit.strip().decode())
    vault("list", code=0)
    item, = anchor(vault, code=REMOTE)
    assert item["state"] == "failed"
    assert "no checkpoint of this log" in item["message"]
    assert git(repository, "rev-parse", branch) == commit


@pytest.mark.parametrize("kind", ("file", "git"))
def test_a_log_from_before_its_new_key(vault, repository, tmp_path, kind):
    """What lies there is signed by a key that the copy does not know."""
    place = repository if kind == "git" else tmp_path / "anchors.txt"
    configure(vault, f"{kind}:{place}")
    anchor(vault)
    shutil.copytree(vault.folder, tmp_path / "yesterday")
    vault("audit", "key", "rotate", code=0)
    for _ in range(5):
        vault("list", code=0)
    # Notes by the key before are no reason to stop.
    assert anchor(vault)[0]["state"] == "ok"
    shutil.rmtree(vault.folder)
    shutil.copytree(tmp_path / "yesterday", vault.folder)
    if kind == "file":
        assert "rolled back" in vault.error(INTEGRITY, "list")["message"]
        place.unlink()
        return
    head = git(repository, "rev-parse", branch_of(repository))
    assert anchor(vault, code=INTEGRITY)[0]["state"] == "conflict"
    assert git(repository, "rev-parse", branch_of(repository)) == head
    vault.error(INTEGRITY, "audit", "checkpoint")
    configure(vault)


# --- witnesses ---

def cosigned(vault, witness):
    name = key_id(witness.name, 4, witness.public).hex()
    with open(vault.path("audit/cosigned/" + name), encoding="utf-8") as f:
        return f.read()


def test_a_witness(vault, witness):
    key = key_of(vault)
    witness.trust(key)
    configure(vault, witness.anchor)
    first, = anchor(vault)
    assert first["state"] == "ok" and first["place"] == witness.name
    assert witness.asked == [(0, 0, first["size"])]
    for _ in range(3):
        vault("list", code=0)
    second, = anchor(vault)
    old, hashes, size = witness.asked[1]
    assert (old, size) == (first["size"], second["size"]) and hashes > 0
    assert witness.answers == [200, 200]
    # What is kept verifies by both keys.
    note = cosigned(vault, witness)
    assert merkle.open_note(note.encode(), key)[1] == second["size"]
    line = note.splitlines()[-1]
    assert line.startswith(DASH + witness.name + " ")
    raw = base64.b64decode(line.split(" ")[2])
    when = int.from_bytes(raw[4:12], "big")
    text = note.partition("\n\n")[0] + "\n"
    witness.key.public_key().verify(
        raw[12:], f"cosignature/v1\ntime {when}\n{text}".encode())
    assert abs(when - time.time()) < 60
    reported(vault, "witness")
    # Offline, by the keys that the configuration names.
    said = vault.json("audit", "verify")
    assert said["anchored"] == "witness"
    assert [(w["name"], w["size"]) for w in said["witnesses"]] == \
        [(witness.name, second["size"])]
    kept = vault.write("cosigned", note)
    shutil.rmtree(vault.path("audit/cosigned"))
    assert vault.json("audit", "verify")["anchored"] == "none"
    said = vault.json("audit", "verify", "--checkpoint", kept)
    assert said["anchored"] == "witness" and said["ok"]
    configure(vault)
    said = vault.json("audit", "verify", "--checkpoint", kept)
    assert said["anchored"] == "file" and said["witnesses"] == []


def test_a_witness_behind_its_own_authority(vault, pki):
    """A team's own witness: trusted for the way there is who signed its
    certificate; for what it says, its key alone, as ever."""
    w = Witness(context=tls_server(pki, "good"))
    other = Witness(context=tls_server(pki, "other"))
    try:
        for one in (w, other):
            one.trust(key_of(vault))

        def with_ca(one, ca):
            return one.anchor.replace("#", f"?ca={ca}#")
        for text in (w.anchor, with_ca(other, f"{pki}/ca.pem")):
            configure(vault, text)
            item, = anchor(vault, code=REMOTE)
            assert "certificate" in item["message"], item
        assert not w.asked and not other.asked
        configure(vault, with_ca(w, f"{pki}/ca.pem"))
        first, = anchor(vault)
        assert first["state"] == "ok" and first["place"] == w.name
        assert vault.json("audit", "verify")["anchored"] == "witness"
        # By whom the way is trusted says nothing of what the witness knows.
        shutil.rmtree(vault.path("audit/cosigned"))
        shutil.copy(pki / "ca.pem", pki / "moved.pem")
        with open(vault.path("audit/anchors"), encoding="ascii") as f:
            kept = f.read()
        configure(vault, with_ca(w, f"{pki}/moved.pem"))
        assert anchor(vault)[0]["state"] == "ok"
        with open(vault.path("audit/anchors"), encoding="ascii") as f:
            assert [a["id"] for a in json.loads(kept)["anchors"]] == \
                [a["id"] for a in json.load(f)["anchors"]]
        w.mode = "other-key"
        assert anchor(vault, code=REMOTE)[0]["state"] == "failed"
        # More authorities than a socket takes at once.
        one = (pki / "ca.pem").read_text()
        many = one * (240000 // len(one))
        (pki / "many.pem").write_text(many)
        w.mode = ""
        configure(vault, with_ca(w, f"{pki}/many.pem"))
        assert anchor(vault)[0]["state"] == "ok"
    finally:
        w.stop()
        other.stop()


def test_it_tells_how_far_it_is(vault, witness):
    """What we remember of it is derived: without it, it is asked."""
    witness.trust(key_of(vault))
    configure(vault, witness.anchor)
    anchor(vault)
    shutil.rmtree(vault.path("audit/cosigned"))
    os.unlink(vault.path("audit/anchors"))
    assert status(vault)["anchored"] == "none"
    item, = anchor(vault)
    assert item["state"] == "ok"
    assert witness.answers == [200, 409, 200]
    assert witness.asked[1][0] == 0 and witness.asked[2][0] > 0


BAD = ["other-root", "future", "zero", "other-key", "no-line", "garbage", "html",
       "huge", "hang-up", "404", "403", "400", "500", "size-text"]


def test_bad_cosignatures_are_not_taken(vault, witness):
    """H78: ignored, and the record says so, once."""
    witness.trust(key_of(vault))
    configure(vault, witness.anchor)
    for mode in BAD:
        witness.mode = mode
        item, = anchor(vault, code=REMOTE)
        assert item["state"] == "failed" and item["message"], mode
        assert not os.path.exists(vault.path("audit/cosigned")), mode
    assert status(vault)["anchored"] == "none"
    told, = vault.records("--action", "log")
    assert told["details"]["place"] == witness.name
    assert told["details"]["because"]
    witness.mode = ""
    assert anchor(vault)[0]["state"] == "ok"
    kept = cosigned(vault, witness)
    for mode in BAD[:6]:
        witness.mode = mode
        anchor(vault, code=REMOTE)
        assert cosigned(vault, witness) == kept, mode
    assert vault.records("--action", "log")[1]["outcome"] == "ok"


def test_a_witness_that_answers_for_the_log(vault, witness):
    """A line of the log's key that it did not sign: it is not kept, for
    verifying would fail by it."""
    key = key_of(vault)
    witness.trust(key)
    configure(vault, witness.anchor)
    name, number, _ = key.split("+", 2)
    line = base64.b64encode(bytes.fromhex(number) + bytes(64)).decode()
    sign = witness.sign
    witness.sign = lambda text: sign(text) + f"{DASH}{name} {line}\n".encode()
    assert anchor(vault)[0]["state"] == "ok"
    assert line not in cosigned(vault, witness)
    assert vault.verify()["anchored"] == "witness"


def test_the_signature_says_how_far_a_witness_is(vault, witness, tmp_path):
    """audit/anchors is not signed: not even once another anchor's end has had
    it read again."""
    witness.trust(key_of(vault))
    configure(vault, witness.anchor, f"file:{tmp_path}/anchors.txt")
    first = anchor(vault)[0]
    path = vault.path("audit/anchors")
    with open(path, encoding="utf-8") as f:
        state = json.load(f)
    state["anchors"][0].update(size=999999, time=int(time.time()) - 5)
    with open(path, "w", encoding="utf-8") as f:
        json.dump(state, f)
    vault("list", code=0)
    with open(path, encoding="utf-8") as f:
        assert json.load(f)["anchors"][0]["size"] == first["size"]
    assert status(vault)["anchors"][0]["size"] == first["size"]


def test_a_second_copy_of_the_vault(vault, witness, tmp_path):
    """H72: both go on; the second to be cosigned is found out, and no
    checkpoint is signed there any more."""
    witness.trust(key_of(vault))
    configure(vault, witness.anchor)
    anchor(vault)
    shutil.copytree(vault.folder, tmp_path / "copy")
    for _ in range(3):
        vault("list", code=0)
    anchor(vault)
    # The other one is longer by now: its proof does not hold.
    shutil.rmtree(vault.folder)
    shutil.copytree(tmp_path / "copy", vault.folder)
    for _ in range(9):
        vault("list", "--reason", "elsewhere", code=0)
    item, = anchor(vault, code=INTEGRITY)
    assert item["state"] == "conflict"
    assert witness.answers[-2:] == [409, 422]
    assert status(vault)["anchored"] == "conflict"
    leaf, = conflicts(vault)
    assert leaf["details"]["place"] == witness.name
    assert "certvault_anchor_conflict 1" in vault("status", "--metrics",
                                                  code=0).text
    assert vault.verify()["anchored"] == "witness"  # as far as it goes here
    before = open(vault.path("audit/checkpoint"), "rb").read()
    vault("list", code=0)
    vault.error(INTEGRITY, "audit", "checkpoint")
    assert open(vault.path("audit/checkpoint"), "rb").read() == before
    # Only a person who says so has it tried again, and it stays as it is.
    n = len(witness.answers)
    anchor(vault, code=INTEGRITY)
    assert len(witness.answers) > n and len(conflicts(vault)) == 1


def test_yesterdays_vault(vault, witness, tmp_path):
    """H71: what is put back knows nothing of what was cosigned since."""
    witness.trust(key_of(vault))
    configure(vault, witness.anchor)
    anchor(vault)
    shutil.copytree(vault.folder, tmp_path / "yesterday")
    for _ in range(9):
        vault("list", code=0)
    anchor(vault)
    shutil.rmtree(vault.folder)
    shutil.copytree(tmp_path / "yesterday", vault.folder)
    item, = anchor(vault, code=INTEGRITY)
    assert item["state"] == "conflict" and "longer" in item["message"]
    assert len(conflicts(vault)) == 1


def test_a_conflict_ends_where_it_was_none(vault, witness):
    witness.trust(key_of(vault))
    configure(vault, witness.anchor)
    witness.mode = "size-lie"
    assert anchor(vault, code=INTEGRITY)[0]["state"] == "conflict"
    witness.mode = ""
    assert anchor(vault)[0]["state"] == "ok"
    assert status(vault)["anchored"] == "witness"
    vault("audit", "checkpoint", code=0)


def test_the_door_does_not_wait(vault, witness):
    """A witness that says nothing; the broker that stays answers as ever."""
    witness.trust(key_of(vault))
    configure(vault, witness.anchor)
    witness.mode = "stall"
    vault.flags = []
    vault("agent", "start", code=0)
    try:
        until(lambda: status(vault)["anchors"][0]["state"] == "running")
        begin = time.monotonic()
        for _ in range(10):
            vault("list", code=0)
        assert time.monotonic() - begin < harness.within(15)
        assert status(vault)["anchors"][0]["state"] == "running"
        witness.mode = ""
        witness.resume.set()
        until(lambda: status(vault)["anchored"] == "witness")
    finally:
        vault("agent", "stop", code=0)
        vault.flags = ["--no-agent"]


def test_who_asks_while_one_is_on_its_way(vault, witness):
    """`audit anchor` speaks of the checkpoint of now, not of that one."""
    witness.trust(key_of(vault))
    configure(vault, witness.anchor)
    witness.mode = "stall"
    vault.flags = []
    vault("agent", "start", code=0)
    try:
        until(lambda: status(vault)["anchors"][0]["state"] == "running")
        before = len(vault.records("--action", "admin"))
        asking = vault.start("-o", "json", "audit", "anchor")
        until(lambda: len(vault.records("--action", "admin")) > before, 60)
        witness.mode = ""
        witness.resume.set()
        out, err = asking.communicate(timeout=90)
        assert asking.returncode == 0, err
        item, = json.loads(out)["items"]
        assert [size for _, _, size in witness.asked][1:] == [item["size"]]
        assert item["size"] > witness.asked[0][2]
    finally:
        vault("agent", "stop", code=0)
        vault.flags = ["--no-agent"]


def test_who_asks_while_one_ends_in_a_conflict(vault, witness):
    """What is known of the checkpoint before says nothing of that of now."""
    witness.trust(key_of(vault))
    configure(vault, witness.anchor)
    witness.mode = "stall"
    vault.flags = []
    vault("agent", "start", code=0)
    try:
        until(lambda: status(vault)["anchors"][0]["state"] == "running")
        before = len(vault.records("--action", "admin"))
        asking = vault.start("-o", "json", "audit", "anchor")
        until(lambda: len(vault.records("--action", "admin")) > before, 60)
        witness.mode = "size-lie"
        witness.resume.set()
        _, err = asking.communicate(timeout=180)
        assert asking.returncode == INTEGRITY, err
        assert witness.asked[-1][2] > witness.asked[0][2], witness.asked
        assert len(conflicts(vault)) == 1
    finally:
        vault("agent", "stop", code=0)
        vault.flags = ["--no-agent"]


@pytest.mark.skipif(not harness.FULL, reason="over a minute: CV_FULL=1")
def test_who_asks_waits_for_two_runs(vault, tmp_path):
    """The one on its way and that of now, of a command that never ends."""
    program = tmp_path / "keep"
    program.write_text("#!/bin/sh\nexec sleep 200\n")
    program.chmod(0o700)
    configure(vault, f"command:{program}")
    vault.flags = []
    vault("agent", "start", code=0)
    try:
        until(lambda: status(vault)["anchors"][0]["state"] == "running")
        item, = anchor(vault, code=REMOTE)
        assert item["state"] == "failed", item
    finally:
        vault("agent", "stop", code=0)
        vault.flags = ["--no-agent"]


def test_verify_holds_the_log_against_them(vault, witness, tmp_path):
    """A cosigned note that is not the log's, or of more than there is."""
    vault.spoilt = True
    witness.trust(key_of(vault))
    configure(vault, witness.anchor)
    shutil.copytree(vault.folder, tmp_path / "before")
    anchor(vault)
    kept = cosigned(vault, witness)
    shutil.rmtree(vault.folder)
    shutil.copytree(tmp_path / "before", vault.folder)
    name = key_id(witness.name, 4, witness.public).hex()

    def place(text):
        os.makedirs(vault.path("audit/cosigned"), mode=0o700, exist_ok=True)
        with open(vault.path("audit/cosigned/" + name), "w",
                  encoding="utf-8") as f:
            f.write(text)
        os.chmod(vault.path("audit/cosigned/" + name), 0o600)

    place(kept)
    said = vault.verify(code=INTEGRITY)
    assert said["anchored"] == "none"
    assert "shorter than a witness" in said["errors"][0]["message"]
    for _ in range(6):
        vault("list", "--reason", "another", code=0)
    place(kept)
    said = vault.verify(code=INTEGRITY)
    assert "not the one that a witness signed" in said["errors"][0]["message"]
    # What the witness has not signed is no word of it.
    for text in (kept.replace(DASH + witness.name, DASH + "w"), kept[:-30],
                 kept.rpartition(DASH)[0], "x"):
        place(text)
        assert vault.verify(code=INTEGRITY)["errors"][0]["what"] == "witness"


# --- a token ---

@pytest.fixture
def soft(vault, tmp_path):
    why = tokens.SoftHsm.missing()
    if why:
        pytest.skip(why)
    token = tokens.SoftHsm(tmp_path / "softhsm")
    token.start()
    held = Held(vault, token)
    held.configure(audit={"anchors": ["token:" + held.uri]})
    yield held
    token.stop()


def data_of(held):
    said = held.token.pkcs11_tool("--list-objects", "--type", "data")
    return said.stdout.decode()


def test_a_token(soft, tmp_path):
    """H71: what is on the token outlives a disk that was put back, and no PIN
    is wanted for it."""
    vault = soft.vault
    item, = anchor(vault)
    assert item["state"] == "ok" and item["kind"] == "token"
    assert status(vault)["anchored"] == "token"
    assert data_of(soft).count("certvault:anchor:") == 1
    shutil.copytree(vault.folder, tmp_path / "yesterday")
    for _ in range(4):
        vault("list", code=0)
    second, = anchor(vault)
    assert second["size"] > item["size"]
    assert data_of(soft).count("certvault:anchor:") == 1
    shutil.rmtree(vault.folder)
    shutil.copytree(tmp_path / "yesterday", vault.folder)
    item, = anchor(vault, code=INTEGRITY)
    assert item["state"] == "conflict"
    assert len(conflicts(vault)) == 1
    # It is still there, as it was.
    vault.error(INTEGRITY, "audit", "checkpoint")
    assert anchor(vault, code=INTEGRITY)[0]["state"] == "conflict"


def test_a_token_and_the_logs_new_key(soft, tmp_path):
    """One object for a log, whatever its key: a copy from before the change
    finds what it does not know."""
    vault = soft.vault
    anchor(vault)
    shutil.copytree(vault.folder, tmp_path / "yesterday")
    vault("audit", "key", "rotate", code=0)
    for _ in range(3):
        vault("list", code=0)
    assert anchor(vault)[0]["state"] == "ok"
    assert data_of(soft).count("certvault:anchor:") == 1
    shutil.rmtree(vault.folder)
    shutil.copytree(tmp_path / "yesterday", vault.folder)
    assert anchor(vault, code=INTEGRITY)[0]["state"] == "conflict"


def test_a_token_that_is_not_there(soft):
    vault = soft.vault
    soft.configure(audit={"anchors": ["token:pkcs11:token=another?module-name="
                                      + soft.token.name]})
    item, = anchor(vault, code=REMOTE)
    assert item["state"] == "failed" and item["message"]


def test_an_anchor_is_no_debris(soft):
    """A checkpoint that came to the token while a key did is left alone by
    what cleans up after a change that was cut off."""
    vault = soft.vault
    soft.add("p256", "a")
    anchor(vault)
    soft("token", "objects", soft.uri, code=0)
    soft("rm", "a", "--yes", code=0)
    assert data_of(soft).count("certvault:anchor:") == 1


# --- policy ---

@pytest.fixture
def vault_with_entry(vault, secrets):
    vault.add(kube.as_yaml(kube.config(kube.Identity("p256",
                                                     secrets=secrets))),
              "a", "--exportable")
    return vault


def test_a_policy_that_wants_anchors(vault_with_entry, tmp_path):
    """H78: nothing is given out once the anchors are too old, or in a
    conflict; the denial says what to do."""
    vault = vault_with_entry
    program = tmp_path / "keep"
    program.write_text("#!/bin/sh\nexec cat > /dev/null\n")
    program.chmod(0o700)
    configure(vault, f"command:{program}")
    vault.policy({"name": "anchored", "effect": "permit",
                  "subjects": {"uids": [os.getuid()]}, "actions": ["export"],
                  "when": {"anchor_age": "2s"}})
    out = str(tmp_path / "out")

    def export(code):
        return vault("-o", "json", "export", "a", "--output", out, "--yes",
                     code=code, secret=True)

    error = export(DENIED).error
    assert "not anchored within 2s" in error["message"]
    assert "audit anchor" in error["hint"]
    anchor(vault)
    export(0)
    end = time.monotonic() + 60
    while vault("export", "a", "--output", out, "--yes",
                secret=True).code == 0:
        assert time.monotonic() < end
    export(DENIED)
    anchor(vault)
    export(0)
    got = vault.json("policy", "explain", "--user", "x", "--action", "export",
                     "--entry", "a")
    assert got["rules"]
    configure(vault)


def test_anchors_are_repeated_for_the_policy(vault, tmp_path):
    """A broker that stays keeps them as young as the policy wants, while
    nothing happens."""
    got = tmp_path / "got"
    program = tmp_path / "keep"
    program.write_text(f"#!/bin/sh\ncat > /dev/null; echo x >> {got}\n")
    program.chmod(0o700)
    configure(vault, f"command:{program}")
    vault.flags = []
    vault("agent", "start", code=0)
    try:
        until(lambda: got.exists())
        assert status(vault)["anchored"] == "command"
    finally:
        vault("agent", "stop", code=0)
        vault.flags = ["--no-agent"]


def until(what, seconds=60):
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not come to it"
        time.sleep(0.05)
