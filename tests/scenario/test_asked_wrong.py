"""Questions to the record that are typing errors: refused or warned of, and
never an empty answer that reads like a good one. And what cannot be found or
does not verify says what state things are in and what to do next."""

import os

import pytest

import harness
import kube
from harness import INTEGRITY, INVALID, NOT_FOUND, USAGE


@pytest.fixture
def asked(home, secrets):
    v = harness.Vault(home, secrets)
    v.add(kube.as_yaml(kube.config(kube.Identity("p256", secrets=secrets))),
          "a", "--exportable")
    yield v
    v.verify()


def whole(error):
    """What was wrong, the state of things, what to do next."""
    assert error["message"] and error.get("state"), error
    assert error.get("hint"), error
    return error


@pytest.mark.parametrize("word", ["xx", "permitted", "DENY", ""])
def test_an_outcome_that_there_is_not(asked, word):
    error = asked.error(USAGE, "audit", "query", "--outcome", word)
    for there in "ok", "failed", "aborted", "unknown", "denied", "refused", \
            "permit":
        assert there in error["hint"]


def test_outcomes_that_there_are(asked):
    asked("show", "nosuch", code=NOT_FOUND)
    asked("export", "a", code=harness.DENIED)
    got = {word: len(asked.records("--outcome", word)) for word in
           ("ok", "failed", "aborted", "unknown", "denied", "refused", "deny",
            "permit")}
    assert got["denied"] == got["refused"] == 1 and got["deny"] == 2
    assert got["ok"] and got["permit"]


def test_what_nobody_denied_is_no_denial(asked):
    """A name that is taken, or not there, is refused, and policy denied
    nothing: a record, under a word of its own."""
    text = kube.as_yaml(kube.config(kube.Identity("p256",
                                                  secrets=asked.secrets)))
    asked("import", "-", "--name", "a", input=text, code=INVALID)
    asked("show", "nope", code=NOT_FOUND)
    asked("rm", "nope", "--yes", code=NOT_FOUND)
    asked("audit", "key", "rotate", "--to", "bogus", code=USAGE)
    asked("export", "a", code=harness.DENIED)
    for _ in range(2):              # by a scan, and by the index
        denied = asked.records("--outcome", "denied")
        assert [(r["action"], r["error"]) for r in denied] == \
            [("export", "denied")]
        refused = asked.records("--outcome", "refused")
        assert {r["decision"] for r in refused} == {"deny"}
        assert [(r["action"], r["error"]) for r in refused][:3] == \
            [("import", "exists"), ("show", "not-found"),
             ("remove", "not-found")]
    report = asked.json("audit", "report")
    assert [d["entry"] for d in report["denials"]] == ["a"]
    assert {(d["action"], d["error"]) for d in report["refusals"]} == \
        {(r["action"], r["error"]) for r in refused}
    text = asked("audit", "report", code=0).text
    section = text.partition("Refused, and not by policy\n")[2]
    assert "not-found" in section.partition("Break-glass")[0]
    assert " refused " in asked("audit", "query", code=0).text


@pytest.mark.parametrize("command", [
    ("query",), ("who", "a"), ("report",),
    ("prove", "--output", "reversed")])
def test_the_end_before_the_beginning(asked, command):
    error = asked.error(USAGE, "audit", *command, "--since", "2h", "--until",
                        "3h")
    assert "--since is later than --until" in whole(error)["message"]
    # One moment is a period.
    now = asked.records()[-1]["time"]
    assert asked.records("--since", now, "--until", now)


def test_an_actor_whom_no_record_knows(asked):
    def said(actor):
        done = asked("audit", "exposure", "--actor", actor, code=0)
        return "no record knows an actor" in done.note

    assert said("nosuch") and said("4000000")
    assert not said(str(os.getuid()))
    assert not said(asked.records()[0]["actor"]["user"])


def test_a_bundle_of_nothing(asked):
    for i, period in enumerate((("--since", "2099-01-01"),
                                ("--until", "2001-01-01"),
                                ("--since", "2099-01-01", "--entry", "a"),
                                ("--since", "2001-01-01", "--until",
                                 "2002-01-01"))):
        path = os.path.join(asked.home, f"bundle{i}")
        error = asked.error(NOT_FOUND, "audit", "prove", *period, "--output",
                            path)
        assert "no record is of that time" in whole(error)["message"]
        assert not [n for n in os.listdir(asked.home) if "bundle" in n]


def test_what_is_not_there(asked):
    def path(name):
        return os.path.join(asked.home, name)

    for args in (("audit", "consistency", "1", "999999"),
                 ("audit", "verify", "--proof", path("nosuch"), "--key", "k"),
                 ("policy", "check", path("nosuch")),
                 ("import", path("nosuch")),
                 ("audit", "verify", "--bundle", path("nosuch")),
                 ("audit", "verify", "--archive", path("nosuch")),
                 ("audit", "prove", "0", "--output", path("none/there")),
                 ("export", "a", "--output", path("none/there"))):
        whole(asked.error(NOT_FOUND, *args))


def test_a_proof_that_fails(asked):
    proof = os.path.join(asked.home, "proof")
    asked("audit", "prove", "0", "--output", proof, code=0)
    key = asked("audit", "key", code=0).out.decode().strip()
    record = asked.write("record", asked("audit", "record", "1", code=0).out)
    error = asked.error(INTEGRITY, "audit", "verify", "--proof", proof,
                        "--key", key, "--record", record)
    assert "nothing shows" in whole(error)["state"]
    with open(proof, "ab") as f:
        f.write(b"more")
    whole(asked.error(INTEGRITY, "audit", "verify", "--proof", proof,
                      "--key", key, "--record", record))


@pytest.mark.parametrize("spoil", (
    lambda text: text.replace(b"\n", b"\r\n"), lambda text: text + b"\0",
    lambda text: text[:-2] + b"\xff\n"), ids=("crlf", "nul", "no-utf-8"))
def test_what_no_note_or_record_holds_does_not_verify(asked, spoil):
    """H73: a changed line end is 70 like any other change, in the name of the
    file that was given and not of a message between two programs."""
    good = {"proof": asked("audit", "prove", "0", code=0).out,
            "record": asked("audit", "record", "0", code=0).out}
    key = asked("audit", "key", code=0).out.decode().strip()
    for bad in good:
        path = {name: asked.write(name, spoil(text) if name == bad else text)
                for name, text in good.items()}
        error = asked.error(INTEGRITY, "audit", "verify", "--proof",
                            path["proof"], "--key", key, "--record",
                            path["record"])
        assert path[bad] in whole(error)["message"]
    note = asked.write("note", spoil(asked("audit", "checkpoint", code=0).out))
    bundle = os.path.join(asked.home, "for-a-note")
    if not os.path.isdir(bundle):
        asked("audit", "prove", "--since", "1d", "--output", bundle, code=0)
    for args in (), ("--bundle", bundle):
        error = asked.error(INTEGRITY, "audit", "verify", *args,
                            "--checkpoint", note)
        assert note in whole(error)["message"]


def test_a_proof_replaces_files_alone(asked):
    """--yes is for files: as root it took /dev/null away."""
    log = os.path.join(asked.folder, "audit", "log")
    for name, make in (("a-fifo", os.mkfifo), ("a-folder", os.mkdir),
                       ("a-link", lambda p: os.symlink("nowhere", p))):
        path = os.path.join(asked.home, name)
        make(path)
        was = os.lstat(path)
        before = os.path.getsize(log)
        error = asked.error(INVALID, "audit", "prove", "0", "--output", path,
                            "--yes")
        assert "stays" in whole(error)["hint"]
        now = os.lstat(path)
        assert (now.st_ino, now.st_mode) == (was.st_ino, was.st_mode)
        assert os.path.getsize(log) == before
    path = asked.write("a-proof", b"old")
    asked("audit", "prove", "0", "--output", path, "--yes", code=0)
    assert open(path, "rb").read().startswith(b"c2sp.org/tlog-proof")
