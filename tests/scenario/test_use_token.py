"""Grants for entries whose keys are on tokens: the PIN is asked for while there
is somebody to give it, and what the token cannot sign is not promised."""

import json
import os

import pytest

import harness
import signing
import tokens
from held import Held
from relay_stub import Stub, install, use


@pytest.fixture
def rig(home, secrets, tmp_path):
    build = install(tmp_path / "installed", harness.BUILD)
    v = harness.Vault(home, secrets, build=build)
    v.stub = Stub(build)
    return v


def grant_of(answer):
    assert "error" not in answer, answer
    return answer["parameters"]["grant"]["id"]


def held_on(rig, token, alg):
    """An entry of that kind of key; skips where the token takes none."""
    held = Held(rig, token)
    if f"import {alg}" not in token.can:
        pytest.skip(f"{token.name} takes no {alg} key from outside")
    rig.policy({"name": "leaky-too", "effect": "permit",
                "subjects": {"uids": [os.getuid()]},
                "actions": ["import", "use", "list", "show"],
                "entries": {"names": ["*"], "leaky": True}})
    identity, _ = held.add(alg)
    return held, identity


@pytest.mark.parametrize("alg", ["p256", "rsa2048"])
def test_a_grant_for_a_token(rig, token, alg):
    held, identity = held_on(rig, token, alg)
    with held.broker() as b:
        s = b.connect()
        wanted = use(b, "held", on=s)
        assert wanted["error"].endswith(".PinRequired"), wanted
        assert not os.path.exists(rig.stub.path), "a relay before the PIN"
        held(*held.to(b), "token", "login", held.uri, code=0)
        id_ = grant_of(use(b, "held", on=s))
        up = rig.stub.orders("Open")[0]["grant"]["upstream"]
        assert set(up["algorithms"]) <= set(signing.ALGORITHMS[alg])
        data = signing.tls13()
        answer = rig.stub.sign(id_, data=data, algorithm=up["algorithms"][0])
        signing.verify(identity.cert.public_key(), up["algorithms"][0], data,
                       signing.signature(answer))
        for algorithm in up["algorithms"][1:]:
            if "pkcs1" not in algorithm:
                signing.signature(rig.stub.sign(id_, algorithm=algorithm))
        s.close()


def test_a_token_that_goes_ends_its_grants(rig, token):
    if type(token).remove is tokens.Token.remove:
        pytest.skip(f"{token.name} cannot be pulled here")
    held, _ = held_on(rig, token, "p256")
    with held.broker() as b:
        held(*held.to(b), "token", "login", held.uri, code=0)
        s = b.connect()
        id_ = grant_of(use(b, "held", on=s))
        try:
            token.remove()
            assert "token" in rig.stub.closed(id_, harness.within(5))["why"]
            assert "error" in rig.stub.sign(id_)
        finally:
            token.put_back()
        s.close()


def test_lost(rig, token):
    held, _ = held_on(rig, token, "p256")
    with held.broker() as b:
        held(*held.to(b), "token", "login", held.uri, code=0)
        held(*held.to(b), "token", "lost", held.uri, "--yes", code=0)
        gone = use(b, "held")
        assert gone["error"].endswith(".Unavailable"), gone
        assert json.dumps(gone).count("lost")
