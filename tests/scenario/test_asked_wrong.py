"""Questions to the record that are typing errors: refused or warned of, and
never an empty answer that reads like a good one. And what cannot be found or
does not verify says what state things are in and what to do next."""

import os

import pytest

import harness
import kube
from harness import INTEGRITY, NOT_FOUND, USAGE


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
    for there in "ok", "failed", "aborted", "unknown", "denied", "permit":
        assert there in error["hint"]


def test_outcomes_that_there_are(asked):
    asked("show", "nosuch", code=NOT_FOUND)
    got = {word: len(asked.records("--outcome", word)) for word in
           ("ok", "failed", "aborted", "unknown", "denied", "deny", "permit")}
    assert got["denied"] == got["deny"] == 1 and got["ok"] and got["permit"]


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
