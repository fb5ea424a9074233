"""P11: no PIN is burnt. A token with three tries, whose counter outlives every
process and which writes each try down, is given wrong PINs, crashes in the
login, many command lines at once and flags that lie: by our own act it never
has fewer than two tries left."""

import os
import shutil
import subprocess

import pytest

import harness
from held import Held

RUNS = 1000 if harness.FULL else 50
FLAGS = ("honest", "zero", "low", "final", "locked")
CRASHES = ("login=die-counted", "fault=C_Login kill", "fault=C_Login crash",
           "fault=C_Login kill-after", "fault=C_Login crash-after",
           "fault=C_Login rv:0x5", "fault=C_Login rv-after:0x30",
           "fault=C_OpenSession kill", "login=wrong")


@pytest.fixture
def held(release_vault, misbehaving):
    made = Held(release_vault, misbehaving)
    made.wrong_file = release_vault.write("wrong", misbehaving.wrong_pin + "\n")
    made.template = os.path.join(release_vault.home, "template")
    shutil.copytree(release_vault.folder, made.template)
    return made


def afresh(held):
    """A new token, a vault and a user that know of no login."""
    held.token.reset()
    held.forget_logins()
    shutil.rmtree(held.vault.folder)
    shutil.copytree(held.template, held.vault.folder)


def wrong(held):
    return ("--pin-source", "file:" + held.wrong_file)


def login(held, *more, pin=None):
    return held(*(pin or wrong(held)), "token", "login", held.uri, *more,
                pin=False)


def together(held, n, *args):
    """n command lines at once; their exit codes."""
    running = [held.vault.start(*wrong(held), *args, stdout=subprocess.DEVNULL,
                                stderr=subprocess.DEVNULL) for _ in range(n)]
    return [p.wait(harness.TIMEOUT) for p in running]


def attack(held, rng):
    """One run; what it did, for the message."""
    kind = rng.choice(("wrong", "crash", "together", "lies"))
    flags = rng.choice(FLAGS) if kind in ("lies", "crash") else "honest"
    lines = [f"flags={flags}"]
    if kind == "crash":
        lines.append(rng.choice(CRASHES))
    held.token.control(*lines)
    if kind == "together":
        codes = together(held, 8, *rng.choice((
            ("token", "login", held.uri), ("token", "objects", held.uri))))
        assert 0 not in codes, codes
    else:
        for _ in range(rng.randrange(2, 5)):
            pin = () if kind == "crash" and rng.random() < 0.5 \
                else wrong(held)
            held(*pin, *rng.choice((("token", "login", held.uri),
                                    ("token", "objects", held.uri))),
                 pin=not pin)
    return kind, lines


def test_no_pin_is_burnt(held):
    rng = harness.seeded()
    seen = {}
    for n in range(RUNS):
        afresh(held)
        what = attack(held, rng)
        left = harness.wait_for_none()
        assert not left, (n, what, left)
        tries = held.token.tries()
        assert tries >= 2, (n, what, tries, held.token.attempts())
        # At most one try that the token did not take for right.
        bad = [a for a in held.token.attempts() if a[2] != "right"]
        assert len(bad) <= 1, (n, what, held.token.attempts())
        seen[what[0]] = seen.get(what[0], 0) + len(held.token.attempts())
    print("attempts that reached the token:", seen)
    assert sum(seen.values()) >= RUNS / 10      # it was no test of nothing


def test_after_one_wrong_pin_nothing_is_tried(held):
    done = login(held)
    assert done.code == harness.UNAVAILABLE, done
    assert len(held.token.attempts()) == 1
    for args in (("token", "objects", held.uri), ("token", "login", held.uri)):
        done = held("-o", "json", *args)           # the right one, even
        assert done.code == harness.UNAVAILABLE, done
        assert "token login" in done.note, done
    assert len(held.token.attempts()) == 1
    assert held.token.tries() == 2


def test_the_right_pin_leaves_no_trace(held):
    for _ in range(3):
        held("token", "login", held.uri, code=0)
        held("token", "objects", held.uri, code=0)
    assert held.token.tries() == 3
    assert {a[2] for a in held.token.attempts()} == {"right"}


@pytest.mark.parametrize("flags, tried", [
    ("honest", True), ("zero", True), ("low", False), ("final", False),
    ("locked", False)])
def test_flags_stop_automation(held, flags, tried):
    held.token.control("flags=" + flags)
    done = held("token", "login", held.uri)
    assert (done.code == 0) == tried, done
    assert bool(held.token.attempts()) == tried


def test_a_crash_in_the_login_is_remembered(held):
    held.token.control("login=die-counted")
    assert held("token", "login", held.uri).code == harness.UNAVAILABLE
    assert held.token.tries() == 2
    held.token.control()
    for _ in range(3):
        assert held("token", "objects", held.uri).code == harness.UNAVAILABLE
    assert held.token.tries() == 2
    assert len(held.token.attempts()) == 1


def test_eight_command_lines_burn_one_try(held):
    codes = together(held, 8, "token", "objects", held.uri)
    assert set(codes) == {harness.UNAVAILABLE}
    assert len(held.token.attempts()) == 1
    assert held.token.tries() == 2


def test_no_pin_in_the_uri_or_in_arguments(held):
    pin = held.token.pin
    done = held("token", "objects", held.uri + "?pin-value=" + pin, pin=False)
    assert done.code == harness.USAGE, done
    done = held("token", "objects", held.uri + "?pin-source=%7Ccat%20x",
                pin=False)
    assert done.code == harness.USAGE, done
    assert not held.token.attempts()


def test_an_empty_pin_is_not_tried(held):
    empty = held.vault.write("empty", "\n")
    done = login(held, pin=("--pin-source", "file:" + empty))
    assert done.code in (harness.INVALID, harness.USAGE), done
    assert not held.token.attempts()


def test_change_pin(held):
    """The old one from a file, the new one from another."""
    held.vault.secrets.add("new PIN", "brand-new-pin-77")
    new = held.vault.write("new", "brand-new-pin-77\n")
    held("token", "change-pin", held.uri, "--new-pin-source", "file:" + new,
         code=0)
    with open(held.token.path("pin"), encoding="ascii") as f:
        assert f.read() == "brand-new-pin-77"
