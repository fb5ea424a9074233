"""A key that wants the PIN at every use, and a PIN that was changed elsewhere:
the one wrong try is written down like that of a login."""

import base64

import pytest
from cryptography.hazmat.primitives import serialization

import harness
import minting
import signing
from held import Held, certified
from kube import Identity, as_yaml, config


@pytest.fixture
def held(release_vault, misbehaving):
    made = Held(release_vault, misbehaving)
    misbehaving.control("always-authenticate=1")
    misbehaving.generate("p256", "01", "card")
    public = serialization.load_der_public_key(misbehaving.public_key("01"))
    v = made.vault
    made("adopt", "a", "--key", made.key_uri("01"), "--cert",
         v.write("c.pem", certified(minting.Authority("x"), public)),
         "--cluster", v.write("cluster", as_yaml(config(Identity()))), code=0)
    return made


def sign(broker):
    return signing.sign(broker, "a", "challenge", "ecdsa_secp256r1_sha256",
                        signing.challenge())


def wrong(held):
    return [a for a in held.token.attempts() if a[2] != "right"]


@pytest.mark.parametrize("flags", ["honest", "zero"])
def test_a_pin_that_was_changed_elsewhere(held, flags):
    held.token.control("always-authenticate=1", "flags=" + flags)
    with held.broker() as b:
        held(*held.to(b), "token", "login", held.uri, code=0)
        signing.signature(sign(b))
        held.token.write("pin", "9876")
        for _ in range(3):
            assert "error" in sign(b)
        assert len(wrong(held)) == 1
    # Another broker, the file as it was: nothing is tried.
    with held.broker() as b:
        for args in (("token", "objects", held.uri),
                     ("token", "login", held.uri)):
            done = held(*held.to(b), *args)
            assert done.code == harness.UNAVAILABLE, done
            assert "token login" in done.note, done
        assert "error" in sign(b)
    assert len(wrong(held)) == 1 and held.token.tries() == 2


def test_the_new_pin_helps_at_once(held):
    with held.broker() as b:
        held(*held.to(b), "token", "login", held.uri, code=0)
        signing.signature(sign(b))
        held.token.write("pin", "9876")
        assert "error" in sign(b)
        got = b.call("io.certvault.Broker.TokenLogin", {
            "token_uri": held.token.uri, "source": "tty", "anew": True,
            "secret": base64.b64encode(b"9876").decode()})
        assert "error" not in got, got
        signing.signature(sign(b))
    assert len(wrong(held)) == 1
    with held.broker() as b:
        held.vault(*held.to(b), "--pin-source", "file:" + held.vault.write(
            "new", "9876\n"), "token", "login", held.uri, code=0)


@pytest.mark.parametrize("how", ["unwrap=1", "unwrap=0"])
def test_a_new_key_wants_it_too(held, how):
    """What the token makes of an import, or makes itself, wants the PIN at its
    first use, which is ours."""
    held.token.control("always-authenticate=1", how)
    identity, _ = held.add("p256", "b")
    held.check_signatures("b", identity.cert.public_key(), "p256",
                          ["ecdsa_secp256r1_sha256"])
    held("generate", "c", "--token", held.uri, "--alg", "p256", "--csr",
         held.vault.path("../c.csr"), code=0)
    assert not wrong(held)
