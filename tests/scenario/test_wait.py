"""Waiting for an approval (--wait) that ends before somebody answers: which
request stays open is said, and what to do. As root, because the others are
other users, by number."""

import json
import signal

import pytest

from approval_rig import (approvals, given, rig, until, vault_with_entry,
                          waiter)
from users import ALICE, BOB, needs_root, permit

pytestmark = needs_root
assert rig and vault_with_entry


@pytest.fixture
def asking(rig):
    rig.policy(permit("copies", [ALICE], ["export"], **approvals()))
    return rig


def waiting(rig, *flags):
    """Somebody who waits, and the request that he waits for."""
    waits = waiter(rig, ALICE, *flags, "export", "a", "--reason", "copy")
    request, = given(rig.ask(BOB, "Requests"))["items"]
    return waits, request["id"]


def check_words(error, id):
    assert error["request_id"] == id and id in error["message"]
    assert "nothing was done" in error["state"]
    assert f"{id} stays open" in error["state"]
    assert "same command again" in error["hint"]
    assert "certvault requests" in error["hint"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_the_service_ends_as_root(asking, number):
    waits, id = waiting(asking, "-o", "json")
    asking.broker.end(number)
    out, err = waits.communicate(timeout=120)
    assert waits.returncode == 69 and out == b"", err
    error = json.loads(err.splitlines()[-1])["error"]
    assert error["code"] == "unavailable"
    check_words(error, id)
    asking.start()
    # As it said: it is open still, and the same command goes on with it.
    again, same = waiting(asking)
    assert same == id
    given(asking.ask(BOB, "Approve", id=id))
    out, err = again.communicate(timeout=120)
    assert again.returncode == 0 and b"client-key-data" in out, err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_as_root(asking, number):
    waits, id = waiting(asking, "-o", "json")
    waits.send_signal(number)
    out, err = waits.communicate(timeout=120)
    assert waits.returncode == 128 + number and out == b"", err
    error = json.loads(err.splitlines()[-1])["error"]
    assert error["code"] == "interrupted"
    check_words(error, id)
    assert until(lambda: given(asking.ask(
        BOB, "Requests"))["items"][0]["state"] == "open")


def test_interrupted_in_words_as_root(asking):
    waits, id = waiting(asking)
    waits.send_signal(signal.SIGINT)
    _, err = waits.communicate(timeout=120)
    assert waits.returncode == 130
    lines = err.decode().splitlines()
    assert f"interrupted: the request {id} still waits" in lines[0]
    assert lines[1].startswith("state: nothing was done")
    assert lines[2].startswith("hint: the same command again")
