"""The token is pulled at any PKCS#11 call of a command: the entry and its key
stay together, or both are gone, and a token that is not there is not taken for
one that has no such key."""

import pytest

import harness
from test_token_crash import (CHANGES, act, check, cloud, prepared, restore,
                              switches)

__all__ = ["cloud", "prepared"]
SAMPLE = 6


@pytest.mark.parametrize("change", [c for c in CHANGES if c != "sign"])
def test_pulled_at_each_call(prepared, change):
    held = prepared
    restore(held)
    held.token.control("calls=1", *switches(change))
    assert act(held, change).code == 0
    calls = {int(c[1]): c[2] for c in held.token.calls()}
    rng = harness.seeded()
    # One that is cut off in a login is a person's to go on with.
    after = max(n for n in calls if calls[n] == "C_Login") + 2
    calls = {n: name for n, name in calls.items() if n > after}
    chosen = sorted(calls) if harness.FULL else \
        sorted(rng.sample(sorted(calls), min(SAMPLE, len(calls))))
    for n in chosen:
        restore(held)
        # For all processes, until somebody puts it back.
        held.token.control(f"fault={n}+ remove", *switches(change))
        done = act(held, change)
        left = harness.wait_for_none()
        assert not left, (n, left)
        where = f"{change}: pulled at {calls[n]} #{n}"
        kept = check(held, where)
        if done.code == 0 and change == "rm":
            assert "first" not in kept, where


def test_what_others_put_beside_the_key_stays(prepared):
    """Another program's key with the id of ours."""
    held = prepared
    restore(held)
    held.token.pkcs11_tool("--keypairgen", "--key-type", "EC:secp256r1", "--id",
                           held.entry("first")["entry_id"], "--label", "theirs")
    held("rm", "first", "--yes", code=0)
    assert held.json("list")["items"] == []
    said = held.token.pkcs11_tool("--list-objects").stdout.decode()
    assert said.count("theirs") == 2, said
    assert "certvault:" not in said, said
    held("token", "login", held.uri, code=0)
    assert held.token.pkcs11_tool("--list-objects").stdout.decode() == said
